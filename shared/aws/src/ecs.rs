//! Amazon ECS: hosts, tasks and services, and the changes to them.
//!
//! What never changes is asked for once in a process: task definitions, and which instance a container instance is on.

mod change;
mod definitions;
mod emptied;
mod hosts;
mod interfaces;
mod providers;
#[cfg(feature = "applicationautoscaling")]
mod scalable;
mod services;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_model::observed::{EcsService, Host};
use evenkeel_model::{ClusterName, InstanceId, ServiceName, TaskId, Timestamp};
use evenkeel_turn::ports::{Answer, Meant, ReadEcs, TaskNow, TasksOf};

use crate::Aws;
use definitions::Definition;

/// Container instances in one call (ECS API reference, ListContainerInstances, DescribeContainerInstances).
const MOST_IDS: usize = 100;

/// What this process knows already.
#[derive(Default)]
pub(crate) struct Known {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Task definitions by ARN, which no one can change; none where it cannot be described any more.
    definitions: BTreeMap<String, Option<Arc<Definition>>>,
    /// Container instances by cluster and ARN.
    hosts: BTreeMap<ClusterName, BTreeMap<String, hosts::Registration>>,
    /// When all container instances of a cluster were listed.
    listed: BTreeMap<ClusterName, Timestamp>,
    /// The most network interfaces of instance types, which never change.
    interfaces: BTreeMap<String, u32>,
    /// Capacity providers, as they were described last.
    providers: providers::Described,
    /// What is left on hosts that drain, by cluster.
    leftovers: BTreeMap<ClusterName, emptied::Leftovers>,
    /// The services that Application Auto Scaling scales.
    #[cfg(feature = "applicationautoscaling")]
    scalable: BTreeMap<ClusterName, scalable::Scalable>,
    /// The deregistration delays of target groups, and when they were read.
    #[cfg(feature = "elb")]
    delays: BTreeMap<String, (Timestamp, std::time::Duration)>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere cannot leave half a value here: the lock only guards whole insertions.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadEcs for Aws {
    async fn hosts(&self, cluster: &ClusterName) -> Answer<Vec<Host>> {
        self.ecs_hosts(cluster).await
    }

    async fn some_hosts(&self, cluster: &ClusterName, instances: &[InstanceId]) -> Answer<Vec<Host>> {
        self.ecs_some_hosts(cluster, instances).await
    }

    async fn task_ids(&self, cluster: &ClusterName, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        self.ecs_task_ids(cluster, of, meant).await
    }

    async fn describe_tasks(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        self.ecs_describe_tasks(cluster, tasks).await
    }

    async fn protected(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        self.ecs_protected(cluster, tasks).await
    }

    async fn services(&self, cluster: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        self.ecs_services(cluster, names).await
    }
}

/// The ids in the order given, each once.
fn distinct(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
