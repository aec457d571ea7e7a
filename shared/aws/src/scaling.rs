//! Who else sets the capacities of Auto Scaling groups.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_autoscaling::types::ScalingPolicy;
use evenkeel_model::groups::ScaledBy;
use evenkeel_model::{GroupName, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};
use futures_util::future::try_join;

use crate::Aws;
use crate::convert::all;
use crate::error::port_error;

/// How the policy begins that ECS makes for managed scaling (ECS developer guide, "Automatically manage Amazon ECS capacity
/// with cluster auto scaling").
const MANAGED: &str = "ECSManagedAutoScalingPolicy";
/// People add a policy once, so groups are asked about rarely; until then two writers set one capacity.
const READ_AGAIN: Duration = Duration::from_secs(300);

/// When which group was asked about, and what was said.
#[derive(Default)]
pub(crate) struct Known(Mutex<BTreeMap<GroupName, (Timestamp, Option<ScaledBy>)>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupName, (Timestamp, Option<ScaledBy>)>> {
        // A panic elsewhere cannot leave half a value here: the lock only guards whole insertions.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aws {
    /// Those of the groups whose capacity something else sets, and what. An old answer is better than none.
    pub(crate) async fn scaled_by(&self, groups: Vec<GroupName>) -> Answer<BTreeMap<GroupName, ScaledBy>> {
        let now = self.now();
        let before = self.scaling.lock().clone();
        let fresh = |group: &GroupName| {
            before.get(group).is_some_and(|(at, _)| now.duration_since(*at).unsigned_abs() < READ_AGAIN)
        };
        let found = all(groups.iter().filter(|group| !fresh(group)).map(async |group| {
            match (self.scales(group).await, before.get(group)) {
                (Ok(scaled), _) => Ok((group.clone(), (now, scaled))),
                (Err(_), Some(known)) => Ok((group.clone(), known.clone())),
                (Err(error), None) => Err(error),
            }
        }))
        .await?;
        let mut known = self.scaling.lock();
        known.extend(found);
        Ok(groups.into_iter().filter_map(|group| Some((group.clone(), known.get(&group)?.1.clone()?))).collect())
    }

    async fn scales(&self, group: &GroupName) -> Answer<Option<ScaledBy>> {
        let policies = self.autoscaling.describe_policies().auto_scaling_group_name(group.as_str());
        let policies = policies.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let actions = self.autoscaling.describe_scheduled_actions().auto_scaling_group_name(group.as_str());
        let actions = actions.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let (policies, actions) =
            try_join(async { policies.await.map_err(port_error) }, async { actions.await.map_err(port_error) }).await?;
        let policy = policies.iter().find_map(policy);
        // What sets only MinSize or MaxSize bounds the capacity, and so may set it, too.
        let action = || actions.first().map(|one| one.scheduled_action_name().unwrap_or_default().to_owned());
        Ok(policy.or_else(|| action().map(ScaledBy::Schedule)))
    }
}

/// What a policy that is on says; one that only forecasts sets nothing.
fn policy(found: &ScalingPolicy) -> Option<ScaledBy> {
    let forecasts = found
        .predictive_scaling_configuration()
        .is_some_and(|one| one.mode().is_none_or(|mode| mode.as_str() == "ForecastOnly"));
    if found.enabled() == Some(false) || forecasts {
        return None;
    }
    let name = found.policy_name().unwrap_or_default().to_owned();
    Some(if name.starts_with(MANAGED) { ScaledBy::ManagedScaling(name) } else { ScaledBy::Policy(name) })
}
