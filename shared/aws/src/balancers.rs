//! Elastic Load Balancing: how targets are, and how long they take to leave.

use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};
use evenkeel_model::TargetGroup;
use evenkeel_model::templates::{Health, Target};
use evenkeel_turn::ports::{Answer, ReadTargets};

use crate::Aws;
use crate::convert::{all, id};
use crate::error::port_error;

impl ReadTargets for Aws {
    async fn targets(&self, groups: &[TargetGroup]) -> Answer<Vec<Target>> {
        let answers = all(groups.iter().map(async |group| {
            // All targets of one group come in one answer; there is no call for several groups.
            let answer = self.elb.describe_target_health().target_group_arn(group.as_str()).send().await;
            let found = answer.map_err(port_error)?.target_health_descriptions.unwrap_or_default();
            Ok(found.iter().filter_map(|found| target(group, found)).collect::<Vec<_>>())
        }));
        Ok(answers.await?.into_iter().flatten().collect())
    }
}

impl Aws {
    /// How long a target group lets a target finish; none where it does not say.
    #[cfg(feature = "ecs")]
    pub(crate) async fn deregistration_delay(&self, group: &str) -> Answer<Option<std::time::Duration>> {
        let answer = self.elb.describe_target_group_attributes().target_group_arn(group).send().await;
        let attributes = answer.map_err(port_error)?.attributes.unwrap_or_default();
        let delay = attributes.iter().find(|pair| pair.key() == Some("deregistration_delay.timeout_seconds"));
        Ok(delay.and_then(|pair| pair.value()?.parse().ok()).map(std::time::Duration::from_secs))
    }
}

/// A target; none where it is an address or another load balancer.
fn target(group: &TargetGroup, found: &TargetHealthDescription) -> Option<Target> {
    let instance = id(found.target()?.id())?;
    let health = match found.target_health().and_then(|health| health.state()) {
        Some(TargetHealthStateEnum::Healthy) => Health::Healthy,
        Some(TargetHealthStateEnum::Initial) => Health::Initial,
        Some(TargetHealthStateEnum::Unhealthy | TargetHealthStateEnum::UnhealthyDraining) => Health::Unhealthy,
        Some(TargetHealthStateEnum::Draining) => Health::Draining,
        _ => Health::Other,
    };
    Some(Target { group: group.clone(), instance, health })
}
