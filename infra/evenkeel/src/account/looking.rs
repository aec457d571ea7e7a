//! What a function's turn is given to look with: it reads the account, and can change nothing.

use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::time::Duration;

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Refusal, SpotRequest, WarmMember};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Level, Signal};
use evenkeel_model::templates::{Builder, Image, Instance, Launch, Resolved, Target, TemplateUse, TemplateVersion};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, QueueName, RollId, ServiceName, TargetGroup,
    TaskId, TemplateId, Timestamp,
};
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeEcs, ChangeGroups, ChangeHosts, ChangeImages, ChangeTemplates, Clock, FleetFiles, Ledger,
    Meant, PortError, ReadEcs, ReadGroups, ReadImages, ReadSignals, ReadTargets, ReadTemplates, TaskNow, TasksOf,
};

use super::Draft;

/// Everything that the functions read.
pub(crate) trait Reads:
    Clock + ReadEcs + ReadGroups + ReadTemplates + ReadTargets + ReadImages + ReadSignals
{
}
impl<R: Clock + ReadEcs + ReadGroups + ReadTemplates + ReadTargets + ReadImages + ReadSignals> Reads for R {}

/// The ports of a function that only looks: the account for reads, a local text for the fleet file, memory for the ledger.
/// Every change is refused, so that not even a mistake in a dry run can make one.
pub(crate) struct Looking<'a, R> {
    /// Where it looks.
    pub(crate) reads: &'a R,
    /// What it remembers.
    pub(crate) ledger: Draft<'a, R>,
    /// The text of the fleet file.
    pub(crate) text: &'a str,
}

fn refused(what: &str) -> impl Future<Output = Answer<()>> + Send + use<> {
    ready(Err(PortError::Refused(format!("a look changes nothing, and so does not {what}"))))
}

impl<R: Reads> Clock for Looking<'_, R> {
    fn now(&self) -> Timestamp {
        self.reads.now()
    }

    async fn sleep(&self, pause: Duration) {
        self.reads.sleep(pause).await;
    }
}

impl<R: Reads> FleetFiles for Looking<'_, R> {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        Ok(self.text.to_owned())
    }
}

impl<R: Reads + Ledger> Ledger for Looking<'_, R> {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        self.ledger.get(keys).await
    }

    async fn get_together(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        self.ledger.get_together(keys).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        self.ledger.write(writes).await
    }
}

impl<R: Reads> ReadEcs for Looking<'_, R> {
    async fn hosts(&self, cluster: &ClusterName) -> Answer<Vec<Host>> {
        self.reads.hosts(cluster).await
    }

    async fn some_hosts(&self, cluster: &ClusterName, instances: &[InstanceId]) -> Answer<Vec<Host>> {
        self.reads.some_hosts(cluster, instances).await
    }

    async fn task_ids(&self, cluster: &ClusterName, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        self.reads.task_ids(cluster, of, meant).await
    }

    async fn describe_tasks(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        self.reads.describe_tasks(cluster, tasks).await
    }

    async fn protected(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        self.reads.protected(cluster, tasks).await
    }

    async fn services(&self, cluster: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        self.reads.services(cluster, names).await
    }
}

impl<R: Reads> ReadGroups for Looking<'_, R> {
    async fn groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        self.reads.groups(names).await
    }

    async fn warm_members(&self, group: &GroupName) -> Answer<Vec<WarmMember>> {
        self.reads.warm_members(group).await
    }

    async fn refusals(&self, group: &GroupName) -> Answer<Vec<Refusal>> {
        self.reads.refusals(group).await
    }

    async fn spot_requests(&self, instances: &[InstanceId]) -> Answer<Vec<SpotRequest>> {
        self.reads.spot_requests(instances).await
    }

    async fn refreshes(&self, names: &[GroupName]) -> Answer<Vec<GroupName>> {
        self.reads.refreshes(names).await
    }
}

impl<R: Reads> ReadTemplates for Looking<'_, R> {
    async fn templates(&self, uses: &[TemplateUse]) -> Answer<Resolved> {
        self.reads.templates(uses).await
    }

    async fn instances(&self, ids: &[InstanceId]) -> Answer<Vec<Instance>> {
        self.reads.instances(ids).await
    }
}

impl<R: Reads> ReadTargets for Looking<'_, R> {
    async fn targets(&self, groups: &[TargetGroup]) -> Answer<Vec<Target>> {
        self.reads.targets(groups).await
    }
}

impl<R: Reads> ReadImages for Looking<'_, R> {
    async fn base_image(&self, parameter: &str) -> Answer<ImageId> {
        self.reads.base_image(parameter).await
    }

    async fn builders(&self, fleet: &FleetName) -> Answer<Vec<Builder>> {
        self.reads.builders(fleet).await
    }

    async fn images(&self, fleet: &FleetName, prefix: &str) -> Answer<Vec<Image>> {
        self.reads.images(fleet, prefix).await
    }
}

impl<R: Reads> ReadSignals for Looking<'_, R> {
    async fn metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        self.reads.metrics(sources).await
    }

    async fn backlogs(&self, queues: &[QueueName]) -> Answer<Vec<Signal>> {
        self.reads.backlogs(queues).await
    }

    async fn alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        self.reads.alarms(alarms).await
    }

    async fn alarm_levels(&self, alarms: &[AlarmName]) -> Answer<Vec<Option<Level>>> {
        self.reads.alarm_levels(alarms).await
    }
}

impl<R: Reads> ChangeEcs for Looking<'_, R> {
    fn set_desired_count(&self, _: &ClusterName, _: &ServiceName, _: u32) -> impl Future<Output = Answer<()>> + Send {
        refused("set a count")
    }
}

impl<R: Reads> ChangeHosts for Looking<'_, R> {
    fn set_status(&self, _: &ClusterName, _: &[InstanceId], _: HostStatus) -> impl Future<Output = Answer<()>> + Send {
        refused("set the status of hosts")
    }

    fn mark_old(&self, _: &ClusterName, _: &[InstanceId], _: bool) -> impl Future<Output = Answer<()>> + Send {
        refused("mark hosts")
    }
}

impl<R: Reads> ChangeGroups for Looking<'_, R> {
    fn set_capacity(&self, _: &GroupName, _: u32) -> impl Future<Output = Answer<()>> + Send {
        refused("set a capacity")
    }

    fn terminate(&self, _: &InstanceId, _: bool) -> impl Future<Output = Answer<()>> + Send {
        refused("end a host")
    }

    fn end_warm(&self, _: &InstanceId) -> impl Future<Output = Answer<()>> + Send {
        refused("end a host of a warm pool")
    }
}

impl<R: Reads> ChangeTemplates for Looking<'_, R> {
    fn new_version(&self, _: &TemplateVersion, _: &ImageId, _: &str) -> impl Future<Output = Answer<()>> + Send {
        refused("make a launch template version")
    }

    fn set_default(&self, _: &TemplateId, _: u64) -> impl Future<Output = Answer<()>> + Send {
        refused("set a default version")
    }

    fn use_version(&self, _: &GroupName, _: &TemplateUse) -> impl Future<Output = Answer<()>> + Send {
        refused("set a group's version")
    }
}

impl<R: Reads> ChangeImages for Looking<'_, R> {
    fn run_builder(
        &self,
        _: &FleetName,
        _: &RollId,
        _: &Launch,
        _: &[String],
    ) -> impl Future<Output = Answer<()>> + Send {
        refused("launch a builder")
    }

    fn make_image(
        &self,
        _: &FleetName,
        _: &RollId,
        _: &InstanceId,
        _: &str,
    ) -> impl Future<Output = Answer<()>> + Send {
        refused("make an image")
    }

    fn end_builder(&self, _: &InstanceId) -> impl Future<Output = Answer<()>> + Send {
        refused("end a builder")
    }

    fn delete_image(&self, _: &ImageId) -> impl Future<Output = Answer<()>> + Send {
        refused("delete an image")
    }
}

impl<R: Reads> Beats for Looking<'_, R> {
    fn wake_after(&self, _: &FleetName, _: &[Duration], _: u32) -> impl Future<Output = Answer<()>> + Send {
        refused("wake a function")
    }
}
