//! The simulated ECS cluster: hosts, tasks, services. What is where, and how much room that leaves.
//!
//! Nothing here decides; `scheduler` does what ECS does, `agent` what the agent on a host does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_microscale::constraint::Expression;
use evenkeel_model::observed::{
    Constraint, EcsService, HandsOff, Host, HostStatus, Leaving, Mark, Placement, ProviderShare, Task, TaskPhase,
};
use evenkeel_model::resources::Port;
use evenkeel_model::{
    GroupName, InstanceId, PoolName, ProviderName, Resources, Room, ServiceName, TaskId, Timestamp, Zone,
};

use crate::clock::Ms;
use crate::setup::Spread;

/// A host's number in the cluster; numbers are never used again.
pub type HostNo = u32;
/// A task's number in the cluster.
pub type TaskNo = u32;
/// A service's place in [`Cluster::services`].
pub type ServiceNo = usize;

/// The whole cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Hosts that exist.
    pub hosts: BTreeMap<HostNo, SimHost>,
    /// Tasks that are not STOPPED.
    pub tasks: BTreeMap<TaskNo, SimTask>,
    /// Services, in the fleet file's order, with services that are nobody's behind them.
    pub services: Vec<SimService>,
    next_host: HostNo,
    next_task: TaskNo,
}

/// A host with its agent.
#[derive(Debug, Clone)]
pub struct SimHost {
    /// What ECS would tell.
    pub seen: Host,
    /// Its tasks, in the order in which they were placed.
    pub tasks: Vec<TaskNo>,
    /// Since when it drains.
    pub drains: Option<Ms>,
    /// ECS's answers leave it out.
    pub hidden: bool,
    /// Its tasks that were placed or told to stop, counted.
    pub events: u64,
}

/// How far the agent is with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// It waits until its host really has room (agent 1.73 and later).
    Queued,
    /// The agent forgot it, until something else happens on the host (amazon-ecs-agent #5138).
    Forgotten,
    /// Its containers are being made.
    Starting,
    /// Its containers run.
    Running,
    /// Its containers were told to end.
    Stopping,
}

/// A task.
#[derive(Debug, Clone)]
pub struct SimTask {
    /// Its id.
    pub id: TaskId,
    /// Its service; none for a standalone task.
    pub service: Option<ServiceNo>,
    /// Its host.
    pub host: HostNo,
    /// What it takes.
    pub takes: Room,
    /// How far it is.
    pub agent: Agent,
    /// When it was placed.
    pub created: Ms,
    /// When it ran.
    pub started: Option<Ms>,
    /// Protected from scale-in.
    pub protected: bool,
    /// It runs on every host, and ends with it.
    pub daemon: bool,
    /// The service's revision that it was made from.
    pub revision: u32,
}

impl SimTask {
    /// Whether ECS counts it for its service.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.agent != Agent::Stopping
    }

    /// Whether its host's room is really in use.
    #[must_use]
    pub fn holds_room(&self) -> bool {
        match self.agent {
            Agent::Queued | Agent::Forgotten => false,
            Agent::Starting | Agent::Running | Agent::Stopping => true,
        }
    }
}

/// A service.
#[derive(Debug, Clone)]
pub struct SimService {
    /// Its name.
    pub name: ServiceName,
    /// Its place in the fleet file; none for services that are nobody's.
    pub in_fleet: bool,
    /// `desiredCount`.
    pub desired: u32,
    /// What one task needs.
    pub task: Room,
    /// Placement strategies.
    pub strategy: Vec<Placement>,
    /// Placement constraints.
    pub constraints: Vec<Constraint>,
    /// The constraints' expressions, read.
    pub expressions: Vec<Arc<Expression>>,
    /// The capacity providers that its tasks go to.
    pub providers: Vec<ProviderShare>,
    /// From the agent's begin to RUNNING.
    pub start: Spread,
    /// From the stop order to STOPPED.
    pub stop: Spread,
    /// Tasks in 1,000 that ignore SIGTERM.
    pub stubborn_per_mille: u32,
    /// `stopTimeout`.
    pub stop_timeout: std::time::Duration,
    /// How its tasks leave a host that drains.
    pub leaving: Leaving,
    /// It needs something that no host has, and that no answer tells of.
    pub hidden_need: bool,
    /// Why its count is not to be touched.
    pub hands_off: Option<HandsOff>,
    /// The newest placement failure.
    pub placement_failed: Option<Ms>,
    /// Since when tasks could not be placed, without a break.
    pub failing_since: Option<Ms>,
    /// When ECS looks at it again.
    pub looks: BTreeSet<Ms>,
    /// Until when ECS does not try.
    pub backs_off_until: Ms,
    /// The revision of new tasks.
    pub revision: u32,
}

impl Cluster {
    /// A number for a host that does not exist yet.
    pub const fn next_number(&mut self) -> HostNo {
        self.next_host += 1;
        self.next_host
    }

    /// A host joins.
    pub fn join(&mut self, number: HostNo, host: SimHost) {
        self.hosts.insert(number, host);
    }

    /// Puts a task on a host.
    pub fn add_task(&mut self, host: HostNo, service: Option<ServiceNo>, takes: Room, now: Ms) -> TaskNo {
        self.next_task += 1;
        let number = self.next_task;
        let name = service.map_or("alone", |service| self.services[service].name.as_str());
        // Names are cut so that the id stays one; the number keeps it unique.
        let stem: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        let id = TaskId::new(&format!("{stem}-{number}")).unwrap_or_else(|_| unreachable!("letters, digits, hyphens"));
        let revision = service.map_or(0, |service| self.services[service].revision);
        let task = SimTask {
            id,
            service,
            host,
            takes,
            agent: Agent::Queued,
            created: now,
            started: None,
            protected: false,
            daemon: false,
            revision,
        };
        self.tasks.insert(number, task);
        if let Some(host) = self.hosts.get_mut(&host) {
            host.tasks.push(number);
            host.events += 1;
        }
        number
    }

    /// Forgets a task.
    pub fn remove_task(&mut self, number: TaskNo) -> Option<SimTask> {
        let task = self.tasks.remove(&number)?;
        if let Some(host) = self.hosts.get_mut(&task.host) {
            host.tasks.retain(|&other| other != number);
        }
        Some(task)
    }

    /// Forgets a host and its tasks, and gives the tasks.
    pub fn remove_host(&mut self, number: HostNo) -> Vec<SimTask> {
        let Some(host) = self.hosts.remove(&number) else { return Vec::new() };
        host.tasks.iter().filter_map(|task| self.tasks.remove(task)).collect()
    }

    /// A service's live tasks.
    pub fn live(&self, service: ServiceNo) -> impl Iterator<Item = (TaskNo, &SimTask)> {
        let own = move |(_, task): &(&TaskNo, &SimTask)| task.service == Some(service) && task.is_live();
        self.tasks.iter().filter(own).map(|(number, task)| (*number, task))
    }

    /// What ECS takes for free on a host: registered minus live tasks.
    #[must_use]
    pub fn placeable(&self, host: &SimHost) -> Resources {
        let live = host.tasks.iter().filter_map(|task| self.tasks.get(task)).filter(|task| task.is_live());
        live.fold(host.seen.registered, |room, task| room.minus(task.takes.resources))
    }

    /// What is really free on a host: registered minus everything the agent has begun and not seen the end of.
    #[must_use]
    pub fn free(&self, host: &SimHost) -> Room {
        let mut ports: BTreeSet<Port> = BTreeSet::new();
        let mut resources = host.seen.registered;
        for task in host.tasks.iter().filter_map(|task| self.tasks.get(task)).filter(|task| task.holds_room()) {
            resources = resources.minus(task.takes.resources);
            ports.extend(&task.takes.ports);
        }
        Room { resources, ports }
    }

    /// Whether ECS would place one more task of `service` on this host.
    #[must_use]
    pub fn fits(&self, service: ServiceNo, host: &SimHost) -> bool {
        host.seen.takes_tasks() && self.fits_in(service, host, self.placeable(host))
    }

    /// The same where the host's placeable room is known.
    pub(crate) fn fits_in(&self, service: ServiceNo, host: &SimHost, room: Resources) -> bool {
        let wanted = &self.services[service];
        if wanted.hidden_need || !host.seen.takes_tasks() || room.times(wanted.task.resources) == 0 {
            return false;
        }
        let live = || host.tasks.iter().filter_map(|task| self.tasks.get(task)).filter(|task| task.is_live());
        let port_taken =
            |port: &Port| host.seen.reserved_ports.contains(port) || live().any(|task| task.takes.ports.contains(port));
        if wanted.task.ports.iter().any(port_taken) {
            return false;
        }
        let distinct = wanted.constraints.contains(&Constraint::DistinctInstance);
        if distinct && live().any(|task| task.service == Some(service)) {
            return false;
        }
        wanted.takes_hosts_like(&host.seen)
    }

    /// The capacity provider that ECS starts a service's next task on: the one whose base is not reached, or whose part of
    /// the tasks beyond all bases is behind most; none where the service has no strategy. It is not passed over where it is
    /// full (ECS developer guide, "Amazon ECS capacity providers").
    pub(crate) fn next_provider(&self, service: ServiceNo) -> Option<&ProviderName> {
        let of = |share: &ProviderShare| {
            let on = |task: &SimTask| self.hosts.get(&task.host).is_some_and(|host| host.is_of(&share.provider));
            u32::try_from(self.live(service).filter(|(_, task)| on(task)).count()).unwrap_or(u32::MAX)
        };
        let shares = self.services[service].providers.iter();
        if let Some(share) = shares.clone().find(|share| of(share) < share.base) {
            return Some(&share.provider);
        }
        // Multiplied out, so that parts are compared without fractions.
        let behind = |share: &&ProviderShare| {
            (u64::from(of(share) - share.base.min(of(share))) * 1_000_000) / u64::from(share.weight)
        };
        shares.filter(|share| share.weight > 0).min_by_key(behind).map(|share| &share.provider)
    }

    /// DescribeContainerInstances.
    #[must_use]
    pub fn describe_hosts(&self) -> Vec<Host> {
        let counted = |host: &SimHost| Host {
            task_count: u32::try_from(host.tasks.len()).unwrap_or(u32::MAX),
            mark: self.mark(host),
            ..host.seen.clone()
        };
        self.hosts.values().filter(|host| !host.hidden).map(counted).collect()
    }

    /// What a container instance says of its tasks.
    fn mark(&self, host: &SimHost) -> Mark {
        let tasks = || host.tasks.iter().filter_map(|task| self.tasks.get(task));
        let count = |of: &dyn Fn(Agent) -> bool| {
            u32::try_from(tasks().filter(|task| of(task.agent)).count()).unwrap_or(u32::MAX)
        };
        let pending = |agent| matches!(agent, Agent::Queued | Agent::Forgotten | Agent::Starting);
        let Resources { cpu, memory, .. } = self.placeable(host);
        Mark {
            version: host.events,
            running: count(&|agent| agent == Agent::Running),
            pending: count(&pending),
            remaining: Resources::new(cpu, memory),
        }
    }

    /// Tells a task to stop, if it was not told yet.
    pub(crate) fn tell_to_stop(&mut self, number: TaskNo) -> bool {
        let Some(task) = self.tasks.get_mut(&number).filter(|task| task.is_live()) else { return false };
        task.agent = Agent::Stopping;
        let host = task.host;
        if let Some(host) = self.hosts.get_mut(&host) {
            host.events += 1;
        }
        true
    }

    /// DescribeTasks of all tasks.
    #[must_use]
    pub fn describe_tasks(&self, at: impl Fn(Ms) -> Timestamp) -> Vec<Task> {
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
                    ServiceName::new("daemon").ok()
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
        let mut counts: BTreeMap<&ServiceName, u32> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.is_live()) {
            if let Some(service) = task.service {
                *counts.entry(&self.services[service].name).or_default() += 1;
            }
        }
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
            counted: counts.get(&service.name).copied().unwrap_or(0),
        };
        asked.map(describe).collect()
    }

    /// Sets a host's status.
    pub fn set_status(&mut self, host: HostNo, status: HostStatus, now: Ms) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.seen.status = status;
            host.events += 1;
            host.drains = (status == HostStatus::Draining).then(|| host.drains.unwrap_or(now));
        }
    }
}

impl SimHost {
    /// A host of `pool` that has just joined.
    #[must_use]
    pub fn new(id: InstanceId, zone: Option<Zone>, pool: &PoolName, setup: &crate::setup::PoolSetup) -> Self {
        let mut attributes = setup.attributes.clone();
        attributes.insert("evenkeel.pool".to_owned(), pool.to_string());
        if let Some(zone) = &zone {
            attributes.insert("ecs.availability-zone".to_owned(), zone.to_string());
        }
        let seen = Host {
            id,
            zone,
            pool: Some(pool.clone()),
            registered: setup.registers,
            reserved_ports: [22, 2375, 2376, 51678, 51679].map(Port::Tcp).into(),
            status: HostStatus::Active,
            connected: true,
            task_count: 0,
            provider: setup.provider.clone(),
            attributes,
            mark: Mark::default(),
        };
        Self { seen, tasks: Vec::new(), drains: None, hidden: false, events: 1 }
    }

    /// Whether it belongs to a capacity provider.
    pub(crate) fn is_of(&self, provider: &ProviderName) -> bool {
        self.seen.provider.as_ref() == Some(provider)
    }
}

impl SimService {
    /// Whether its constraints and its providers let its tasks be on such a host.
    pub(crate) fn takes_hosts_like(&self, host: &Host) -> bool {
        let used =
            |share: &ProviderShare| host.provider.as_ref() == Some(&share.provider) && share.base + share.weight > 0;
        let of_provider = self.providers.is_empty() || self.providers.iter().any(used);
        of_provider && self.expressions.iter().all(|expression| expression.matches(&host.attributes))
    }

    /// A service that runs nothing yet.
    #[must_use]
    pub fn new(name: ServiceName, in_fleet: bool, setup: &crate::setup::ServiceSetup, desired: u32) -> Self {
        let expression = |constraint: &Constraint| match constraint {
            Constraint::DistinctInstance => None,
            Constraint::MemberOf(text) => Expression::parse(text).ok().map(Arc::new),
        };
        Self {
            name,
            in_fleet,
            desired,
            task: Room { resources: setup.task, ports: setup.ports.iter().copied().collect() },
            strategy: setup.strategy.clone(),
            constraints: setup.constraints.clone(),
            expressions: setup.constraints.iter().filter_map(expression).collect(),
            providers: setup.providers.clone(),
            start: setup.start,
            stop: setup.stop,
            stubborn_per_mille: setup.stubborn_per_mille,
            stop_timeout: std::time::Duration::from_secs(setup.stop_timeout_seconds.into()),
            leaving: Leaving {
                minimum_percent: setup.minimum_percent,
                maximum_percent: setup.maximum_percent,
                deregistration_delay: std::time::Duration::from_secs(setup.deregistration_seconds.into()),
            },
            hands_off: None,
            placement_failed: None,
            failing_since: None,
            looks: BTreeSet::new(),
            backs_off_until: 0,
            hidden_need: false,
            revision: 1,
        }
    }
}
