//! The traits through which a turn sees and changes the world. Reading and changing are different traits, so that what
//! only looks (the page, a dry run) cannot change anything.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Refusal, SpotRequest, WarmMember};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Level, Signal, Task};
use evenkeel_model::templates::{Builder, Image, Instance, Launch, Resolved, Target, TemplateUse, TemplateVersion};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, QueueName, RollId, ServiceName, TargetGroup,
    TaskId, TemplateId, Timestamp,
};

use crate::ledger::{Item, Key, LedgerError, Write};

pub use crate::port_error::{Answer, PortError};

/// ECS may answer with what was there before a write for some seconds after it (it promises no more than that a change is
/// seen in the end). Half a minute is more than enough, and the next tick sees what a person has set.
pub const OLD_ANSWERS: Duration = Duration::from_secs(30);

/// Time.
pub trait Clock: Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Comes back after `pause`; only ever used for the fraction of a second between two tries of a call.
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// Looks at an ECS cluster.
pub trait ReadEcs: Sync {
    /// All container instances of the cluster.
    fn hosts(&self, cluster: &ClusterName) -> impl Future<Output = Answer<Vec<Host>>> + Send;
    /// Those of these instances that are in the cluster; others may be among them.
    fn some_hosts(
        &self,
        cluster: &ClusterName,
        instances: &[InstanceId],
    ) -> impl Future<Output = Answer<Vec<Host>>> + Send {
        let _all_of_them = instances;
        self.hosts(cluster)
    }
    /// The tasks of the cluster, or of a part of it, that ECS means to be running, or means to stop: those that have stopped
    /// are among the latter for an hour, and where they are many in a whole cluster, some are left out.
    fn task_ids(
        &self,
        cluster: &ClusterName,
        of: TasksOf<'_>,
        meant: Meant,
    ) -> impl Future<Output = Answer<Vec<TaskId>>> + Send;
    /// These tasks, as far as ECS knows them: one that stopped more than an hour ago is missing.
    fn describe_tasks(
        &self,
        cluster: &ClusterName,
        tasks: &[TaskId],
    ) -> impl Future<Output = Answer<Vec<TaskNow>>> + Send;
    /// Those of these tasks that UpdateTaskProtection protects from scale-in.
    fn protected(
        &self,
        cluster: &ClusterName,
        tasks: &[TaskId],
    ) -> impl Future<Output = Answer<BTreeSet<TaskId>>> + Send;
    /// Those of the named services that exist.
    fn services(
        &self,
        cluster: &ClusterName,
        names: &[ServiceName],
    ) -> impl Future<Output = Answer<Vec<EcsService>>> + Send;
}

/// Tasks in one call (ECS API reference, ListTasks, DescribeTasks, GetTaskProtection).
pub const MOST_TASKS: usize = 100;

/// Of what tasks are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TasksOf<'a> {
    /// Of the whole cluster.
    All,
    /// Of a service.
    Service(&'a ServiceName),
    /// On a host.
    Host(&'a InstanceId),
}

/// What ECS means a task to be: its `desiredStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// RUNNING.
    ToRun,
    /// STOPPED.
    ToStop,
}

/// A task as ECS describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskNow {
    /// It is on a host; whether it is protected is not said.
    On(Task),
    /// It has no host yet.
    Waits {
        /// The task.
        id: TaskId,
        /// Its service.
        service: Option<ServiceName>,
        /// When it was made.
        created: Timestamp,
        /// It is PROVISIONING, until its capacity provider has a host for it.
        for_host: bool,
    },
    /// It is on no host of an Auto Scaling group, nor ever will be.
    Elsewhere(TaskId),
    /// It is STOPPED.
    Stopped(TaskId),
}

/// Changes an ECS cluster.
pub trait ChangeEcs: Sync {
    /// Sets a service's desired count.
    fn set_desired_count(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        count: u32,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// Changes the hosts of an ECS cluster.
pub trait ChangeHosts: Sync {
    /// Sets the status of at most ten hosts: DRAINING or ACTIVE. Hosts that have left the cluster are passed over.
    fn set_status(
        &self,
        cluster: &ClusterName,
        hosts: &[InstanceId],
        status: HostStatus,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Gives the attribute `HostStep::OLD` to at most ten hosts, or takes it away. Hosts that have left the cluster are
    /// passed over.
    fn mark_old(
        &self,
        cluster: &ClusterName,
        hosts: &[InstanceId],
        old: bool,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// Looks at Auto Scaling groups and at what the spot market says.
pub trait ReadGroups: Sync {
    /// Those of the named groups that exist.
    fn groups(&self, names: &[GroupName]) -> impl Future<Output = Answer<Vec<Group>>> + Send;
    /// What waits in the group's warm pool.
    fn warm_members(&self, group: &GroupName) -> impl Future<Output = Answer<Vec<WarmMember>>> + Send;
    /// Launches of the group that were refused in the last hour, newest first.
    fn refusals(&self, group: &GroupName) -> impl Future<Output = Answer<Vec<Refusal>>> + Send;
    /// The spot requests of these instances, as far as there are any.
    fn spot_requests(&self, instances: &[InstanceId]) -> impl Future<Output = Answer<Vec<SpotRequest>>> + Send;
    /// Those of the named groups in which an instance refresh is under way: pending, in progress, baking, or rolling back.
    fn refreshes(&self, names: &[GroupName]) -> impl Future<Output = Answer<Vec<GroupName>>> + Send;
}

/// Looks at what hosts are launched from and were launched from.
pub trait ReadTemplates: Sync {
    /// What each of `uses` means now, as far as the templates and versions exist and may be read: one that is denied does
    /// not hide the others.
    fn templates(&self, uses: &[TemplateUse]) -> impl Future<Output = Answer<Resolved>> + Send;
    /// Those of the instances that exist.
    fn instances(&self, ids: &[InstanceId]) -> impl Future<Output = Answer<Vec<Instance>>> + Send;
}

/// Changes what groups launch from.
pub trait ChangeTemplates: Sync {
    /// Makes a new version from an earlier one, with this image. `note` is its description and its token: the same note makes
    /// it once.
    fn new_version(
        &self,
        from: &TemplateVersion,
        image: &ImageId,
        note: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Says which version `$Default` means.
    fn set_default(&self, template: &TemplateId, version: u64) -> impl Future<Output = Answer<()>> + Send;
    /// Says which version a group launches.
    fn use_version(&self, group: &GroupName, template: &TemplateUse) -> impl Future<Output = Answer<()>> + Send;
}

/// Looks at load balancers.
pub trait ReadTargets: Sync {
    /// All targets of these target groups.
    fn targets(&self, groups: &[TargetGroup]) -> impl Future<Output = Answer<Vec<Target>>> + Send;
}

/// Looks at baked images and at what they are baked on.
pub trait ReadImages: Sync {
    /// The image that an SSM parameter names.
    fn base_image(&self, parameter: &str) -> impl Future<Output = Answer<ImageId>> + Send;
    /// The fleet's builders, by their tag; those that ended a while ago may be missing.
    fn builders(&self, fleet: &FleetName) -> impl Future<Output = Answer<Vec<Builder>>> + Send;
    /// The fleet's images by their tag, and all others of the account whose name begins with `prefix`.
    fn images(&self, fleet: &FleetName, prefix: &str) -> impl Future<Output = Answer<Vec<Image>>> + Send;
}

/// Bakes and deletes images.
pub trait ChangeImages: Sync {
    /// Launches an instance that runs `commands` and then stops itself, tagged with the fleet and the roll, which is its
    /// token too.
    fn run_builder(
        &self,
        fleet: &FleetName,
        roll: &RollId,
        launch: &Launch,
        commands: &[String],
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Makes an image of a builder, tagged with the fleet and the roll. A name that is taken is refused.
    fn make_image(
        &self,
        fleet: &FleetName,
        roll: &RollId,
        builder: &InstanceId,
        name: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Ends a builder. One that is gone already is [`PortError::NotFound`].
    fn end_builder(&self, builder: &InstanceId) -> impl Future<Output = Answer<()>> + Send;
    /// Deletes an image and its snapshots. One that is gone already is [`PortError::NotFound`].
    fn delete_image(&self, image: &ImageId) -> impl Future<Output = Answer<()>> + Send;
}

/// Changes Auto Scaling groups.
pub trait ChangeGroups: Sync {
    /// Sets a group's desired capacity.
    fn set_capacity(&self, group: &GroupName, hosts: u32) -> impl Future<Output = Answer<()>> + Send;
    /// Ends an instance through its group; the group shrinks by it, or launches another. One that is gone already is
    /// [`PortError::NotFound`].
    fn terminate(&self, host: &InstanceId, shrink: bool) -> impl Future<Output = Answer<()>> + Send;
    /// Has a group replace an instance of its warm pool. One that is gone already is [`PortError::NotFound`].
    fn end_warm(&self, host: &InstanceId) -> impl Future<Output = Answer<()>> + Send;
}

/// Reads what demand is made from.
pub trait ReadSignals: Sync {
    /// The newest complete period of each metric, in the order of `sources`.
    fn metrics(&self, sources: &[MetricSource]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
    /// Messages waiting and in flight in each queue, in the order of `queues`.
    fn backlogs(&self, queues: &[QueueName]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
    /// The state of each alarm, in the order of `alarms`.
    fn alarms(&self, alarms: &[AlarmName]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
    /// How near each alarm's metric is to its threshold, in the order of `alarms`: `MetricName`, `Dimensions`, `Period`,
    /// `Threshold` and `ComparisonOperator` of DescribeAlarms, and the value by GetMetricData. None where nothing tells:
    /// a composite alarm, metric math, an anomaly band, a comparison that is not "greater", a threshold of zero or below,
    /// a metric without data.
    fn alarm_levels(&self, alarms: &[AlarmName]) -> impl Future<Output = Answer<Vec<Option<Level>>>> + Send;
}

/// Asks for turns between two ticks.
pub trait Beats: Sync {
    /// Wakes the function that asks, for `fleet`, once after each of `delays`; `hop` says how many beats will have led to
    /// those turns.
    fn wake_after(&self, fleet: &FleetName, delays: &[Duration], hop: u32) -> impl Future<Output = Answer<()>> + Send;
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPoint {
    /// The metric, and how it is read; a period under a minute asks for a metric of high resolution.
    pub source: MetricSource,
    /// The moment it stands for.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
}

/// Publishes metrics.
pub trait PublishMetrics: Sync {
    /// Publishes these values; the same ones twice are counted twice.
    fn publish(&self, points: &[DataPoint]) -> impl Future<Output = Answer<()>> + Send;
}

/// Where events go that lead to nothing however often they come.
pub trait DeadLetters: Sync {
    /// Puts an event there, with the reason. False where there is no such place.
    fn bury(&self, because: &str, event: &str) -> impl Future<Output = Answer<bool>> + Send;
}

/// Where fleet files are kept.
pub trait FleetFiles: Sync {
    /// The text of the fleet's file.
    fn text(&self, fleet: &FleetName) -> impl Future<Output = Answer<String>> + Send;
}

/// The table. Item versions make every write conditional; several writes are taken together or not at all.
pub trait Ledger: Sync {
    /// The items under `keys`, in their order, read consistently.
    fn get(&self, keys: &[Key]) -> impl Future<Output = Answer<Vec<Option<Item>>>> + Send;
    /// The same for keys of one fleet and one kind. A ledger that is paid for reads all of the kind at once, which costs less
    /// where its items are small.
    fn get_together(&self, keys: &[Key]) -> impl Future<Output = Answer<Vec<Option<Item>>>> + Send {
        self.get(keys)
    }
    /// Takes all of `writes`, or none.
    fn write(&self, writes: Vec<Write>) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Reads back what was decided. For people: no turn needs it.
pub trait History: Sync {
    /// The bodies of the rounds that were recorded at `since` and later, newest first, as far as `pages` answers of the table
    /// hold them.
    fn records(
        &self,
        fleet: &FleetName,
        since: Timestamp,
        pages: usize,
    ) -> impl Future<Output = Answer<Records>> + Send;
}

/// What was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The body of each round, newest first: a JSON array of decisions.
    pub bodies: Vec<String>,
    /// There is nothing older that was asked for.
    pub all: bool,
}
