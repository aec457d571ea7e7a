//! Hosts that drain and look empty: whether their last tasks have stopped.
//!
//! `runningTasksCount` counts tasks whose *desired* status is RUNNING (ECS API reference, ContainerInstance), and a host
//! whose tasks still shut down is not empty.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{ContainerInstance, DesiredStatus};
use evenkeel_model::ClusterName;
use evenkeel_turn::ports::Answer;

use crate::Aws;
use crate::convert::{all, count};
use crate::error::port_error;

/// The tasks of each such host that were not STOPPED when they were last looked at, by container instance. No task is
/// placed on a host that drains, so once all are told to stop this only shrinks, and one list is enough.
pub(super) type Leftovers = BTreeMap<String, BTreeSet<String>>;

impl Aws {
    /// How many tasks each of these hosts still has that look empty. One call for each host that is seen like that for the
    /// first time, and one for each hundred tasks that are left on all of them together.
    pub(super) async fn leftovers(
        &self,
        cluster: &ClusterName,
        found: &[ContainerInstance],
    ) -> Answer<BTreeMap<String, u32>> {
        let arns = |emptied: bool| {
            let those = found.iter().filter(move |instance| looks_emptied(instance) == emptied);
            those.filter_map(ContainerInstance::container_instance_arn)
        };
        let before = {
            let mut inner = self.known.lock();
            let leftovers = inner.leftovers.entry(cluster.clone()).or_default();
            // One that takes tasks again may be told to drain again.
            arns(false).for_each(|arn| drop(leftovers.remove(arn)));
            leftovers.clone()
        };
        let unknown: Vec<&str> = arns(true).filter(|arn| !before.contains_key(*arn)).collect();
        let listed = all(unknown.into_iter().map(async |arn| {
            let tasks = self.told_to_stop(cluster, arn).await?;
            Ok((arn.to_owned(), tasks))
        }));
        let mut left: Leftovers = arns(true).filter_map(|arn| before.get_key_value(arn)).map(owned).collect();
        left.extend(listed.await?);
        let ids: Vec<String> = left.values().flatten().cloned().collect();
        let there = self.describe_tasks(cluster, &ids).await?;
        let there = there.iter().filter(|task| task.last_status() != Some("STOPPED"));
        let there: BTreeSet<&str> = there.filter_map(|task| task.task_arn()).collect();
        for tasks in left.values_mut() {
            tasks.retain(|task| there.contains(task.as_str()));
        }
        let counts = left.iter().map(|(arn, tasks)| (arn.clone(), u32::try_from(tasks.len()).unwrap_or(u32::MAX)));
        let counts = counts.collect();
        self.known.lock().leftovers.entry(cluster.clone()).or_default().extend(left);
        Ok(counts)
    }

    async fn told_to_stop(&self, cluster: &ClusterName, host: &str) -> Answer<BTreeSet<String>> {
        let list = self.ecs.list_tasks().cluster(cluster.as_str()).container_instance(host);
        let pages = list.desired_status(DesiredStatus::Stopped).into_paginator().items().send();
        let tasks: Vec<String> = pages.collect::<Result<_, _>>().await.map_err(port_error)?;
        Ok(tasks.into_iter().collect())
    }
}

fn owned((arn, tasks): (&String, &BTreeSet<String>)) -> (String, BTreeSet<String>) {
    (arn.clone(), tasks.clone())
}

fn looks_emptied(instance: &ContainerInstance) -> bool {
    let tasks = count(Some(instance.running_tasks_count())) + count(Some(instance.pending_tasks_count()));
    instance.status() == Some("DRAINING") && tasks == 0
}
