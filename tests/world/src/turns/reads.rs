//! How a turn looks at the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Refusal, SpotRequest, WarmMember};
use evenkeel_model::observed::{EcsService, Host, Level, Signal, Task};
use evenkeel_model::templates::{Builder, Image, Instance, Resolved, Target, TemplateUse};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, QueueName, ServiceName, TargetGroup, TaskId,
};
use evenkeel_turn::ports::{
    Answer, FleetFiles, MOST_TASKS, Meant, ReadEcs, ReadGroups, ReadImages, ReadSignals, ReadTargets, ReadTemplates,
    TaskNow, TasksOf,
};

use super::{Fresh, Ports, Under};
use crate::api::Api;
use crate::clock::timestamp;
use crate::core::Core;

/// Container instances come a hundred in a page, services ten (ECS API reference, List and Describe).
const PAGE: usize = 100;
const SERVICES: usize = 10;
/// Groups come fifty in a page, and so do the instances of a warm pool (Auto Scaling API reference,
/// DescribeAutoScalingGroups and DescribeWarmPool).
const GROUPS: usize = 50;
/// Instances come a thousand in a page (EC2 API reference, DescribeInstances).
const IDS: usize = 1_000;

impl Ports {
    /// What ECS says of all tasks: now, or at the answer before.
    fn all_tasks(core: &mut Core, fresh: Fresh) -> Arc<Vec<Task>> {
        fresh.read(&mut core.newest.tasks, || Arc::new(core.cluster.describe_tasks(timestamp)))
    }

    /// Notes what the turn was told of single tasks; none of those that are not there.
    fn tell(&self, core: &mut Core, under: &mut Under, news: impl IntoIterator<Item = (TaskId, Option<Task>)>) {
        under.told();
        under.news.extend(news);
        let known = core.newest.pictures.entry(self.function).or_default();
        let of_old = known.iter().filter(|task| !under.news.contains_key(&task.id)).cloned();
        let told = Arc::new(of_old.chain(under.news.values().flatten().cloned()).collect::<Vec<Task>>());
        under.told().tasks = Arc::clone(&told);
        *known = told;
    }
}

impl ReadEcs for Ports {
    async fn hosts(&self, _: &ClusterName) -> Answer<Vec<Host>> {
        // They are listed, a hundred in a page, and then described, a hundred at once. Where more are known, one DescribeClusters
        // says how many there are, and they are only listed where that is another number.
        let requests = {
            let core = self.lock();
            let pages = core.cluster.hosts.len().div_ceil(PAGE);
            let there: BTreeSet<&InstanceId> = core.cluster.hosts.values().map(|host| &host.seen.id).collect();
            let listed = core.newest.listed.get(&self.function);
            let all_known = listed.is_some_and(|listed| listed.iter().eq(there));
            match listed {
                Some(known) if known.len() >= PAGE && all_known => 1 + pages,
                Some(known) if known.len() >= PAGE => 2 + 2 * pages,
                _ => 2 * pages,
            }
        };
        self.calls(Api::DescribeContainerInstances, requests, |core, under, fresh| {
            let hosts = fresh.read(&mut core.newest.hosts, || core.cluster.describe_hosts());
            core.newest.listed.insert(self.function, hosts.iter().map(|host| host.id.clone()).collect());
            under.told().hosts.clone_from(&hosts);
            // Whoever compares hosts is judged by what a look at all tasks would have shown him then; one who is told of old
            // hosts knows no more of their tasks than before.
            if fresh == Fresh::Yes {
                let tasks = Self::all_tasks(core, fresh);
                core.newest.pictures.insert(self.function, tasks);
            }
            self.tell(core, under, []);
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

    async fn task_ids(&self, _: &ClusterName, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        let those = |task: &&Task| {
            let of_it = match of {
                TasksOf::All => true,
                TasksOf::Service(service) => task.service.as_ref() == Some(service),
                TasksOf::Host(host) => task.host == *host,
            };
            of_it && task.is_live() == (meant == Meant::ToRun)
        };
        let ids = |tasks: &[Task]| -> Vec<TaskId> { tasks.iter().filter(those).map(|task| task.id.clone()).collect() };
        let requests = ids(&self.lock().cluster.describe_tasks(timestamp)).len().div_ceil(MOST_TASKS).max(1);
        self.calls(Api::ListTasks, requests, |core, under, fresh| {
            let listed: BTreeSet<TaskId> = ids(&Self::all_tasks(core, fresh)).into_iter().collect();
            // What a new list does not show is not so any more; what an old one does not show can only be known from before.
            let heard = core.newest.heard.entry(self.function).or_default();
            let known = core.newest.pictures.get(&self.function).map(|known| ids(known)).unwrap_or_default();
            let not_listed = known.into_iter().filter(|id| !listed.contains(id));
            let unknown = not_listed.filter(|id| fresh == Fresh::Yes || !heard.contains(id)).map(|id| (id, None));
            let unknown: Vec<_> = unknown.collect();
            heard.extend(listed.iter().cloned());
            self.tell(core, under, unknown);
            Ok(listed.into_iter().collect())
        })
        .await
    }

    async fn describe_tasks(&self, _: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        let asked: BTreeSet<&TaskId> = tasks.iter().collect();
        self.calls(Api::DescribeTasks, tasks.len().div_ceil(MOST_TASKS), |core, under, fresh| {
            let all = Self::all_tasks(core, fresh);
            let found: BTreeMap<&TaskId, &Task> = all.iter().map(|task| (&task.id, task)).collect();
            let told = |id: &TaskId| (id.clone(), found.get(id).map(|task| (*task).clone()));
            self.tell(core, under, asked.iter().copied().map(told));
            let found = asked.iter().filter_map(|id| found.get(*id));
            // Whether a task is protected is asked for by itself.
            Ok(found.map(|task| TaskNow::On(Task { protected: false, ..(*task).clone() })).collect())
        })
        .await
    }

    async fn protected(&self, _: &ClusterName, tasks: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        let asked: BTreeSet<&TaskId> = tasks.iter().collect();
        self.calls(Api::GetTaskProtection, tasks.len().div_ceil(MOST_TASKS), |core, _, _| {
            let protected = core.cluster.tasks.values().filter(|task| task.protected && asked.contains(&task.id));
            Ok(protected.map(|task| task.id.clone()).collect())
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
