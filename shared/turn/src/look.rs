//! Looks that several functions take in the same way.

use std::collections::BTreeMap;

use evenkeel_model::observed::{Level, Running, Signal};
use evenkeel_model::{AlarmName, Fleet, ServiceName, Timestamp};
use futures_util::future::try_join;

use crate::ports::{Answer, Clock, ReadEcs, ReadSignals};
use crate::retry;

/// What runs in the fleet's cluster; none without one.
///
/// # Errors
/// The error of the last try.
pub async fn running<P: ReadEcs + Clock>(fleet: &Fleet, ports: &P, deadline: Timestamp) -> Answer<Option<Running>> {
    let Some(cluster) = &fleet.cluster else { return Ok(None) };
    let names: Vec<ServiceName> = fleet.services.iter().map(|service| service.name.clone()).collect();
    let (tasks, services) = try_join(
        retry(ports, deadline, || ports.tasks(cluster)),
        retry(ports, deadline, || ports.services(cluster, &names)),
    )
    .await?;
    Ok(Some(Running { tasks, services }))
}

/// The alarms' states. One that cannot be read is unknown; it must not stop the turn.
pub async fn alarms<P: ReadSignals + Clock>(
    names: &[AlarmName],
    ports: &P,
    deadline: Timestamp,
) -> BTreeMap<AlarmName, Signal> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let answers = retry(ports, deadline, || ports.alarms(names)).await;
    let answers = answers.unwrap_or_else(|error| vec![Signal::Unknown(error.to_string()); names.len()]);
    names.iter().cloned().zip(answers).collect()
}

/// How near the alarms' metrics are to their thresholds; empty where that could not be read this time.
pub async fn alarm_levels<P: ReadSignals + Clock>(
    names: &[AlarmName],
    ports: &P,
    deadline: Timestamp,
) -> BTreeMap<AlarmName, Option<Level>> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let answers = retry(ports, deadline, || ports.alarm_levels(names)).await.unwrap_or_default();
    names.iter().cloned().zip(answers).collect()
}
