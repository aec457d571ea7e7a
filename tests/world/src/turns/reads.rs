//! How a turn looks at the world.

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Refusal, SpotRequest, WarmMember};
use evenkeel_model::observed::{EcsService, Host, Level, Signal, Task};
use evenkeel_model::templates::{Builder, Image, Instance, Resolved, Target, TemplateUse};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, QueueName, ServiceName, TargetGroup,
};
use evenkeel_turn::ports::{
    Answer, FleetFiles, ReadEcs, ReadGroups, ReadImages, ReadSignals, ReadTargets, ReadTemplates,
};

use super::Ports;
use crate::api::Api;
use crate::clock::timestamp;
use crate::core::Core;

/// Container instances and tasks come a hundred in a page, services ten (ECS API reference, List and Describe).
const PAGE: usize = 100;
const SERVICES: usize = 10;
/// Groups come fifty in a page, and so do the instances of a warm pool (Auto Scaling API reference,
/// DescribeAutoScalingGroups and DescribeWarmPool).
const GROUPS: usize = 50;
/// Instances come a thousand in a page (EC2 API reference, DescribeInstances).
const IDS: usize = 1_000;

impl Ports {
    /// Requests for a List and a Describe of so many things.
    fn pages(&self, count: impl FnOnce(&Core) -> usize) -> usize {
        2 * count(&self.lock()).div_ceil(PAGE)
    }
}

impl ReadEcs for Ports {
    async fn hosts(&self, _: &ClusterName) -> Answer<Vec<Host>> {
        let requests = self.pages(|core| core.cluster.hosts.len());
        self.calls(Api::DescribeContainerInstances, requests, |core, under, fresh| {
            let hosts = fresh.read(&mut core.newest.hosts, || core.cluster.describe_hosts());
            core.newest.listed.insert(self.function, hosts.iter().map(|host| host.id.clone()).collect());
            under.told().hosts.clone_from(&hosts);
            Ok(hosts)
        })
        .await
    }

    async fn some_hosts(&self, _: &ClusterName, instances: &[InstanceId]) -> Answer<Vec<Host>> {
        // DescribeContainerInstances for each hundred; those that the process has never listed need a page of
        // ListContainerInstances with a filter and a description of their own.
        let requests = {
            let core = self.lock();
            let listed = core.newest.listed.get(&self.function);
            let (known, new): (Vec<_>, Vec<_>) =
                instances.iter().partition(|id| listed.is_some_and(|listed| listed.contains(*id)));
            known.len().div_ceil(PAGE) + 2 * new.len().div_ceil(PAGE)
        };
        self.calls(Api::DescribeContainerInstances, requests, |core, _, _| {
            let mut hosts = core.cluster.describe_hosts();
            hosts.retain(|host| instances.contains(&host.id));
            Ok(hosts)
        })
        .await
    }

    async fn tasks(&self, _: &ClusterName) -> Answer<Vec<Task>> {
        let requests = self.pages(|core| core.cluster.tasks.len());
        self.calls(Api::DescribeTasks, requests, |core, under, fresh| {
            let tasks = fresh.read(&mut core.newest.tasks, || core.cluster.describe_tasks(timestamp));
            under.told().tasks.clone_from(&tasks);
            Ok(tasks)
        })
        .await
    }

    async fn services(&self, _: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        self.calls(Api::DescribeServices, names.len().div_ceil(SERVICES), |core, under, fresh| {
            let (cluster, cloud) = (&core.cluster, &core.cloud);
            let services = fresh.read(&mut core.newest.services, || {
                cluster.describe_services(names, |provider| cloud.behind(provider), timestamp)
            });
            under.told().services.clone_from(&services);
            Ok(services)
        })
        .await
    }
}

impl ReadGroups for Ports {
    async fn groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        self.calls(Api::DescribeAutoScalingGroups, names.len().div_ceil(GROUPS), |core, _, fresh| {
            Ok(fresh.read(&mut core.newest.groups, || core.cloud.describe(names)))
        })
        .await
    }

    async fn warm_members(&self, group: &GroupName) -> Answer<Vec<WarmMember>> {
        let requests = self.lock().cloud.describe_warm(group).len().div_ceil(GROUPS);
        self.calls(Api::DescribeWarmPool, requests, |core, _, _| Ok(core.cloud.describe_warm(group))).await
    }

    async fn refusals(&self, group: &GroupName) -> Answer<Vec<Refusal>> {
        self.call(Api::DescribeScalingActivities, |core, _, _| {
            Ok(core.cloud.describe_refusals(group, core.now, timestamp))
        })
        .await
    }

    async fn refreshes(&self, names: &[GroupName]) -> Answer<Vec<GroupName>> {
        // One group a request.
        self.calls(Api::DescribeInstanceRefreshes, names.len(), |core, _, _| Ok(core.cloud.refreshes(names))).await
    }

    async fn spot_requests(&self, instances: &[InstanceId]) -> Answer<Vec<SpotRequest>> {
        self.calls(Api::DescribeSpotRequests, instances.len().div_ceil(IDS), |core, _, _| {
            Ok(core.cloud.describe_requests(instances, timestamp))
        })
        .await
    }
}

impl ReadTemplates for Ports {
    async fn templates(&self, uses: &[TemplateUse]) -> Answer<Resolved> {
        // One template a request.
        self.calls(Api::DescribeTemplateVersions, uses.len(), |core, _, _| Ok(core.cloud.describe_templates(uses)))
            .await
    }

    async fn instances(&self, ids: &[InstanceId]) -> Answer<Vec<Instance>> {
        self.calls(Api::DescribeInstances, ids.len().div_ceil(IDS), |core, _, _| {
            Ok(core.cloud.describe_instances(ids, timestamp))
        })
        .await
    }
}

impl ReadTargets for Ports {
    async fn targets(&self, groups: &[TargetGroup]) -> Answer<Vec<Target>> {
        // One target group a request.
        self.calls(Api::DescribeTargetHealth, groups.len(), |core, _, fresh| {
            let mut all = fresh.read(&mut core.newest.targets, || core.cloud.describe_targets());
            all.retain(|target| groups.contains(&target.group));
            Ok(all)
        })
        .await
    }
}

impl ReadImages for Ports {
    async fn base_image(&self, parameter: &str) -> Answer<ImageId> {
        self.call(Api::GetParameter, |core, _, _| core.base_image(parameter)).await
    }

    async fn builders(&self, fleet: &FleetName) -> Answer<Vec<Builder>> {
        self.call(Api::DescribeInstances, |core, _, fresh| {
            let now = core.now;
            Ok(fresh.read(&mut core.newest.builders, || core.cloud.describe_builders(fleet, now)))
        })
        .await
    }

    async fn images(&self, fleet: &FleetName, prefix: &str) -> Answer<Vec<Image>> {
        // Once by the tag, once by the name.
        self.calls(Api::DescribeImages, 2, |core, _, fresh| {
            Ok(fresh.read(&mut core.newest.images, || core.cloud.describe_images(fleet, prefix)))
        })
        .await
    }
}

impl ReadSignals for Ports {
    async fn metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        self.call(Api::GetMetricData, |core, under, _| {
            let signals: Vec<Signal> = sources.iter().map(|source| core.metric(source)).collect();
            let meant =
                sources.iter().zip(&signals).map(|(source, signal)| (source.clone(), core.meant(source, signal)));
            under.told().signals.extend(meant.collect::<Vec<_>>());
            Ok(signals)
        })
        .await
    }

    async fn backlogs(&self, queues: &[QueueName]) -> Answer<Vec<Signal>> {
        self.call(Api::GetQueueAttributes, |core, _, _| Ok(queues.iter().map(|queue| core.backlog(queue)).collect()))
            .await
    }

    async fn alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        self.call(Api::DescribeAlarms, |core, _, _| Ok(alarms.iter().map(|alarm| core.alarm(alarm)).collect())).await
    }

    async fn alarm_levels(&self, alarms: &[AlarmName]) -> Answer<Vec<Option<Level>>> {
        // What the alarms watch is known from the look at their states.
        self.call(Api::GetMetricData, |core, _, _| Ok(alarms.iter().map(|alarm| core.alarm_level(alarm)).collect()))
            .await
    }
}

impl FleetFiles for Ports {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        self.call(Api::GetParameter, |core, _, _| Ok(core.fleet_text.clone())).await
    }
}
