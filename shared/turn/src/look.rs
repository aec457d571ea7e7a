//! Looks that several functions take in the same way.

use std::collections::BTreeMap;

use evenkeel_model::observed::{Level, Signal};
use evenkeel_model::{AlarmName, Timestamp};

use crate::ports::{Clock, ReadSignals};
use crate::retry;

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
