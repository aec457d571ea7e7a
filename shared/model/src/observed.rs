//! The fleet as it was seen: hosts, tasks, services and demand, straight from AWS's answers and nothing added.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, InstanceId, PoolName, ProviderName, ServiceName, TaskId, Zone};
use crate::resources::{Port, Resources, Room};

/// What one turn of microscale saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// When the answers were asked for.
    pub at: Timestamp,
    /// The cluster's container instances.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// All tasks on them that are not STOPPED yet, also those of daemons and of nobody.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// The fleet file's services that exist.
    #[serde(default)]
    pub services: Vec<EcsService>,
    /// What the services' demand sources said.
    #[serde(default)]
    pub demand: BTreeMap<ServiceName, Signal>,
}

/// What runs in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// All tasks that are not STOPPED.
    pub tasks: Vec<Task>,
    /// The fleet file's services that exist.
    pub services: Vec<EcsService>,
}

/// An ECS container instance on its EC2 instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The EC2 instance.
    pub id: InstanceId,
    /// Its availability zone, from the attribute `ecs.availability-zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Its pool, from the attribute `evenkeel.pool` where the host's user data sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// What the agent registered: less than the machine has (90 to 97.5 % of the memory).
    pub registered: Resources,
    /// Ports that the agent keeps for itself (22, 2375, 2376, 51678, 51679 on Linux).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reserved_ports: BTreeSet<Port>,
    /// Whether ECS places tasks on it.
    pub status: HostStatus,
    /// Whether the agent is connected; it drops several times an hour in normal operation.
    #[serde(default = "yes")]
    pub connected: bool,
    /// `runningTasksCount` and `pendingTasksCount` together, tasks that are stopping included.
    #[serde(default)]
    pub task_count: u32,
    /// `capacityProviderName`: the provider whose group it was launched by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// All ECS attributes, for placement constraints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What tells whether its tasks have changed.
    #[serde(skip)]
    pub mark: Mark,
}

/// What a container instance says of its tasks without naming them (ECS API reference, ContainerInstance): only ever compared
/// with an earlier one, and with the sum of its tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// `version`: it grows with each placement, each task that is told to stop, and each change of the host itself. A task
    /// that comes up, or has stopped, is no such change.
    pub version: u64,
    /// `runningTasksCount`, without tasks that are told to stop.
    pub running: u32,
    /// `pendingTasksCount`.
    pub pending: u32,
    /// `remainingResources`, as far as CPU units and memory go: what ECS places the next task by.
    pub remaining: Resources,
}

impl Host {
    /// ECS places tasks only on hosts that are ACTIVE and whose agent is connected.
    #[must_use]
    pub const fn takes_tasks(&self) -> bool {
        matches!(self.status, HostStatus::Active) && self.connected
    }
}

/// A container instance's status (ECS API reference, ContainerInstance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HostStatus {
    /// Takes tasks.
    Active,
    /// Takes none, and its service tasks move away.
    Draining,
    /// Any other: registering, deregistering, failed, inactive.
    Leaving,
}

/// An ECS task on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The task.
    pub id: TaskId,
    /// The EC2 instance that it is on.
    pub host: InstanceId,
    /// The service that it belongs to, of the fleet file or not; none for a standalone task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// What it takes of its host.
    pub takes: Room,
    /// How far it is.
    pub phase: TaskPhase,
    /// When ECS placed it.
    pub created: Timestamp,
    /// When its containers ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Whether UpdateTaskProtection protects it from scale-in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
}

impl Task {
    /// Whether the task counts for its service: a task that is told to stop counts as gone, for ECS's placement too.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, TaskPhase::Pending | TaskPhase::Running)
    }
}

/// `lastStatus` and `desiredStatus` of a task, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskPhase {
    /// Placed, wanted, not running yet.
    Pending,
    /// Running and wanted.
    Running,
    /// Told to stop, and not STOPPED yet: free for placement, in the way of the next task.
    Stopping,
}

impl TaskPhase {
    /// Its name, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
        }
    }
}

/// An ECS service with what of its task definition matters for placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcsService {
    /// Its name.
    pub name: ServiceName,
    /// `desiredCount`.
    pub desired: u32,
    /// What one task needs: resources and static host ports.
    pub task: Room,
    /// How ECS places and which victims it takes; empty means its default, spread over zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<Placement>,
    /// Where tasks may be: the service's constraints, those of its task definition, and the attributes that this requires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// `capacityProviderStrategy`: tasks go only to hosts of these providers. None: with the launch type EC2, to any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderShare>,
    /// The largest `stopTimeout` of the task's containers; 30 s by default on EC2.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: Duration,
    /// `deploymentConfiguration` and the target groups: how tasks leave a host that drains.
    #[serde(default)]
    pub leaving: Leaving,
    /// Why its count is not ours to set now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_off: Option<HandsOff>,
    /// The newest "was unable to place a task" among its service events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_failed: Option<Timestamp>,
    /// `runningCount` and `pendingCount` together: only ever compared with the tasks that are known.
    #[serde(skip)]
    pub counted: u32,
    /// Tasks that its service events name as started or stopped, each with the time of its newest event. They only say what to
    /// ask for: events may be late, or more than the hundred that ECS keeps.
    #[serde(skip)]
    pub told_of: BTreeMap<TaskId, Timestamp>,
}

/// A capacity provider's part in a service's strategy (ECS API reference, CapacityProviderStrategyItem).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderShare {
    /// The provider.
    pub provider: ProviderName,
    /// So many tasks go to it first; one provider of a strategy at most has a base.
    #[serde(default)]
    pub base: u32,
    /// Its part of the tasks beyond all bases.
    #[serde(default)]
    pub weight: u32,
    /// The Auto Scaling group behind it; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
}

/// How tasks of a service leave a host that drains (ECS developer guide, "Draining Amazon ECS container instances").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leaving {
    /// `minimumHealthyPercent`: below 100, tasks may stop before others have taken their place.
    pub minimum_percent: u32,
    /// `maximumPercent`: 100 leaves no room for others before these have stopped.
    pub maximum_percent: u32,
    /// The longest deregistration delay of its target groups; zero without a load balancer.
    pub deregistration_delay: Duration,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { minimum_percent: 100, maximum_percent: 200, deregistration_delay: Duration::ZERO }
    }
}

/// Why a service's count is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandsOff {
    /// More than one deployment: ECS starts and stops tasks on its own.
    Deploying,
    /// A scalable target of Application Auto Scaling sets the count.
    ScaledElsewhere,
    /// The DAEMON scheduling strategy: one task on each host.
    Daemon,
    /// The service is being deleted.
    Deleted,
    /// A deployment failed and stays beside the one before: ECS starts nothing of the newer, and little of the older.
    DeploymentFailed,
    /// Its tasks run on Fargate, on no host of the fleet.
    Fargate,
    /// The launch type EXTERNAL: its tasks run on machines outside AWS.
    Anywhere,
    /// Its tasks run on ECS Managed Instances, which AWS scales by itself.
    ManagedInstances,
    /// The deployment controller EXTERNAL, without one task set that is the whole service: whoever makes the task sets says
    /// how many tasks each has.
    TaskSets,
}

impl HandsOff {
    /// Whether its tasks run on hosts of the cluster, and what ECS looks for a place for may take room there.
    #[must_use]
    pub const fn uses_hosts(self) -> bool {
        !matches!(self, Self::Fargate | Self::Anywhere | Self::ManagedInstances)
    }
}

/// One placement strategy of a service; several narrow the choice one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Onto the host with the least of this left; a scale-in takes the task whose host has most left afterwards.
    Binpack(Field),
    /// Evenly over the values of an attribute (`ecs.availability-zone`) or over hosts (`instanceId`).
    Spread(String),
    /// Anywhere.
    Random,
}

/// The field of a binpack strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// CPU units.
    Cpu,
    /// Memory.
    Memory,
}

impl Field {
    /// This field's part of `resources`.
    #[must_use]
    pub const fn of(self, resources: Resources) -> u32 {
        match self {
            Self::Cpu => resources.cpu,
            Self::Memory => resources.memory,
        }
    }
}

/// A placement constraint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// At most one task of the service on a host.
    DistinctInstance,
    /// An expression of the cluster query language over the host's attributes.
    MemberOf(String),
}

/// What a demand source said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// A metric's value for the period that ended at `at`, or a value sent at `at`.
    Value {
        /// The value, in its source's unit.
        value: f64,
        /// When it was true.
        at: Timestamp,
    },
    /// What a queue holds.
    Backlog {
        /// Messages that wait.
        waiting: f64,
        /// Messages that a task has taken and not yet deleted.
        in_flight: f64,
        /// When they were counted.
        at: Timestamp,
    },
    /// An alarm's state.
    Alarm {
        /// In ALARM; OK otherwise.
        firing: bool,
        /// Since when.
        since: Timestamp,
    },
    /// Nothing usable, and why.
    Unknown(String),
}

/// How near an alarm's metric is to its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The metric's value in its newest complete period, as a part of the threshold: above 1 the alarm fires.
    pub part: f64,
    /// When that period began: what changed since is not in it, or only in part.
    pub from: Timestamp,
}

/// ECS's default on EC2 where the task definition and the agent say nothing (ECS developer guide, `stopTimeout`).
const fn default_stop_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
