//! What ECS says of the cluster when it is asked.

use evenkeel_model::observed::{EcsService, Host, Mark, ProviderShare, Task, TaskPhase};
use evenkeel_model::{GroupName, InstanceId, ProviderName, Resources, ServiceName, Timestamp};

use super::{Agent, Cluster, SimHost, SimService, SimTask};
use crate::clock::Ms;

impl Cluster {
    /// DescribeContainerInstances.
    #[must_use]
    pub fn describe_hosts(&self) -> Vec<Host> {
        let counted = |host: &SimHost| Host {
            task_count: u32::try_from(host.tasks.len()).unwrap_or(u32::MAX),
            mark: Self::mark(host),
            ..host.seen.clone()
        };
        self.hosts.values().filter(|host| !host.hidden).map(counted).collect()
    }

    /// What a container instance says of its tasks.
    fn mark(host: &SimHost) -> Mark {
        let Resources { cpu, memory, .. } = host.placeable();
        let counts = host.counts();
        Mark {
            version: host.events,
            running: counts.running,
            pending: counts.pending(),
            remaining: Resources::new(cpu, memory),
        }
    }

    /// DescribeTasks of all tasks.
    #[must_use]
    pub fn describe_tasks(&self, at: impl Fn(Ms) -> Timestamp) -> Vec<Task> {
        let daemon = ServiceName::new("daemon").ok();
        let describe = |task: &SimTask| {
            let host: InstanceId = self.hosts.get(&task.host)?.seen.id.clone();
            let phase = match task.agent {
                Agent::Queued | Agent::Forgotten | Agent::Starting => TaskPhase::Pending,
                Agent::Running => TaskPhase::Running,
                Agent::Stopping => TaskPhase::Stopping,
            };
            Some(Task {
                id: task.id.clone(),
                host,
                service: if task.daemon {
                    daemon.clone()
                } else {
                    task.service.map(|service| self.services[service].name.clone())
                },
                takes: task.takes.clone(),
                phase,
                created: at(task.created),
                started: task.started.map(&at),
                protected: task.protected,
            })
        };
        self.tasks.values().filter_map(describe).collect()
    }

    /// DescribeServices, DescribeTaskDefinition and DescribeCapacityProviders.
    pub(crate) fn describe_services(
        &self,
        names: &[ServiceName],
        behind: impl Fn(&ProviderName) -> Option<GroupName>,
        at: impl Fn(Ms) -> Timestamp,
    ) -> Vec<EcsService> {
        let asked = self.services.iter().filter(|service| names.contains(&service.name));
        let live = |name: &ServiceName| {
            let own = self.services.iter().enumerate().filter(|(_, service)| service.name == *name);
            own.map(|(number, _)| self.tasks.counts(number).live()).sum()
        };
        let share = |share: &ProviderShare| ProviderShare { group: behind(&share.provider), ..share.clone() };
        let describe = |service: &SimService| EcsService {
            name: service.name.clone(),
            desired: service.desired,
            task: service.task.clone(),
            strategy: service.strategy.clone(),
            constraints: service.constraints.clone(),
            providers: service.providers.iter().map(share).collect(),
            stop_timeout: service.stop_timeout,
            leaving: service.leaving,
            hands_off: service.hands_off,
            placement_failed: service.placement_failed.map(&at),
            told_of: service
                .events
                .iter()
                .flat_map(|event| event.tasks.iter().map(|task| (task.clone(), at(event.at))))
                .collect(),
            counted: live(&service.name),
        };
        asked.map(describe).collect()
    }
}
