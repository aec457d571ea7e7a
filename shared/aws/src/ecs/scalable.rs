//! Services that Application Auto Scaling scales, and whose counts are therefore left alone.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ScalableTarget, ServiceNamespace};
use evenkeel_model::{ClusterName, ServiceName, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};

use crate::Aws;
use crate::convert::{all, id};
use crate::error::port_error;

/// Services in one call (Application Auto Scaling API reference, DescribeScalableTargets).
const MOST_SERVICES: usize = 50;
/// People register a scalable target once, so it is asked for this rarely; until then two writers set one count.
const COUNTS: Duration = Duration::from_secs(300);

/// What was said last about a cluster's services.
#[derive(Clone)]
pub(super) struct Scalable {
    at: Timestamp,
    asked: BTreeSet<ServiceName>,
    scaled: BTreeSet<ServiceName>,
}

impl Aws {
    /// Those of the services that somebody else scales. An old answer is better than none.
    pub(super) async fn scaled_elsewhere(
        &self,
        cluster: &ClusterName,
        names: &[ServiceName],
    ) -> Answer<BTreeSet<ServiceName>> {
        let now = self.now();
        let known = self.known.lock().scalable.get(cluster).cloned();
        let known = known.filter(|known| names.iter().all(|name| known.asked.contains(name)));
        if let Some(known) = &known
            && now.duration_since(known.at).unsigned_abs() < COUNTS
        {
            return Ok(known.scaled.clone());
        }
        match (self.scalable_targets(cluster, names).await, known) {
            (Ok(scaled), _) => {
                let asked = names.iter().cloned().collect();
                let newest = Scalable { at: now, asked, scaled: scaled.clone() };
                self.known.lock().scalable.insert(cluster.clone(), newest);
                Ok(scaled)
            }
            (Err(_), Some(known)) => Ok(known.scaled),
            (Err(error), None) => Err(error),
        }
    }

    async fn scalable_targets(&self, cluster: &ClusterName, names: &[ServiceName]) -> Answer<BTreeSet<ServiceName>> {
        let pages = all(names.chunks(MOST_SERVICES).map(async |chunk| {
            let ids = chunk.iter().map(|name| format!("service/{cluster}/{name}")).collect();
            let asked = self.applicationautoscaling.describe_scalable_targets();
            let asked = asked.service_namespace(ServiceNamespace::Ecs).set_resource_ids(Some(ids));
            let asked = asked.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let found = pages.await?.into_iter().flatten();
        Ok(found.filter(scales).filter_map(|target| id(target.resource_id().rsplit('/').next())).collect())
    }
}

/// A target whose every kind of scaling is suspended sets no count.
fn scales(target: &ScalableTarget) -> bool {
    target.suspended_state().is_none_or(|state| {
        let suspended = [
            state.dynamic_scaling_in_suspended(),
            state.dynamic_scaling_out_suspended(),
            state.scheduled_scaling_suspended(),
        ];
        suspended.iter().any(|suspended| *suspended != Some(true))
    })
}
