//! The simulated ECS cluster: hosts, tasks, services. What is where, and how much room that leaves.
//!
//! Nothing here decides; `scheduler` does what ECS does, `agent` what the agent on a host does.

mod answers;
mod counts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use evenkeel_microscale::constraint::Expression;
use evenkeel_model::observed::{Constraint, HandsOff, Host, HostStatus, Leaving, Mark, Placement, ProviderShare};
use evenkeel_model::resources::Port;
use evenkeel_model::{InstanceId, PoolName, ProviderName, Resources, Room, ServiceName, TaskId, Zone};

use crate::clock::Ms;
use crate::setup::Spread;

pub use counts::Tasks;
use counts::{Counts, OnHost};

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
    pub tasks: Tasks,
    /// Services, in the fleet file's order, with services that are nobody's behind them.
    pub services: Vec<SimService>,
    /// The hosts that are not ACTIVE.
    inactive: BTreeSet<HostNo>,
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
    /// What its tasks come to.
    on_it: OnHost,
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

/// An event of a service: tasks that were started, or stopped.
#[derive(Debug, Clone)]
pub struct NamesTasks {
    /// When.
    pub at: Ms,
    /// They were stopped.
    pub stopped: bool,
    /// The tasks.
    pub tasks: Vec<TaskId>,
}

/// An event names no more tasks than the scheduler starts at once.
const MOST_NAMED: usize = 10;
/// ECS keeps a hundred events of a service; those that name no tasks are taken to be as many.
const MOST_EVENTS: usize = 50;

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
    /// Its newest events that name tasks.
    pub events: VecDeque<NamesTasks>,
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
        if host.seen.status != HostStatus::Active {
            self.inactive.insert(number);
        }
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
        self.enter(number, task);
        if let Some(host) = self.hosts.get_mut(&host) {
            host.tasks.push(number);
            host.events += 1;
        }
        number
    }

    /// Forgets a task.
    pub fn remove_task(&mut self, number: TaskNo) -> Option<SimTask> {
        let task = self.leave(number)?;
        if let Some(host) = self.hosts.get_mut(&task.host) {
            host.tasks.retain(|&other| other != number);
        }
        Some(task)
    }

    /// Forgets a host and its tasks, and gives the tasks.
    pub fn remove_host(&mut self, number: HostNo) -> Vec<SimTask> {
        let Some(host) = self.hosts.remove(&number) else { return Vec::new() };
        self.inactive.remove(&number);
        host.tasks.iter().filter_map(|task| self.leave(*task)).collect()
    }

    /// A service's live tasks.
    pub fn live(&self, service: ServiceNo) -> impl Iterator<Item = (TaskNo, &SimTask)> {
        self.tasks.of_service(service).filter(|(_, task)| task.is_live())
    }

    /// How many live tasks of a service are on hosts of a status other than ACTIVE.
    pub(crate) fn live_on(&self, service: ServiceNo, status: HostStatus) -> u32 {
        self.inactive_of(status).map(|host| host.on_it.of(service).live()).sum()
    }

    /// How many live tasks of a service are on ACTIVE hosts.
    pub(crate) fn staying(&self, service: ServiceNo) -> u32 {
        let gone = [HostStatus::Draining, HostStatus::Leaving].map(|status| self.live_on(service, status));
        self.tasks.counts(service).live() - gone.into_iter().sum::<u32>()
    }

    fn inactive_of(&self, status: HostStatus) -> impl Iterator<Item = &SimHost> {
        let there = self.inactive.iter().filter_map(|host| self.hosts.get(host));
        there.filter(move |host| host.seen.status == status)
    }

    /// A service's live tasks on hosts that drain, in the order in which they were placed.
    pub(crate) fn live_on_draining_hosts(&self, service: ServiceNo) -> Vec<(TaskNo, &SimTask)> {
        let draining = self.inactive_of(HostStatus::Draining);
        let there = draining.flat_map(|host| &host.tasks).filter_map(|task| Some((*task, self.tasks.get(task)?)));
        let mut own: Vec<_> = there.filter(|(_, task)| task.service == Some(service) && task.is_live()).collect();
        own.sort_unstable_by_key(|(number, _)| *number);
        own
    }

    /// Whether the agent has room for a task: what is registered, without everything that it has begun and not seen the end of.
    #[must_use]
    pub(crate) fn begins(&self, host: &SimHost, takes: &Room) -> bool {
        let holding = || host.tasks.iter().filter_map(|task| self.tasks.get(task)).filter(|task| task.holds_room());
        let taken = || holding().any(|task| !task.takes.ports.is_disjoint(&takes.ports));
        host.on_it.free(host.seen.registered).times(takes.resources) > 0 && (takes.ports.is_empty() || !taken())
    }

    /// Whether ECS would place one more task of `service` on this host.
    #[must_use]
    pub fn fits(&self, service: ServiceNo, host: &SimHost) -> bool {
        host.seen.takes_tasks() && self.fits_in(service, host, host.placeable())
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
        if distinct && host.on_it.of(service).live() > 0 {
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

    /// Has a task's service say that its scheduler has started or stopped it.
    pub(crate) fn name_task(&mut self, number: TaskNo, stopped: bool, at: Ms) {
        let Some(SimTask { service: Some(service), id, .. }) = self.tasks.get(&number) else { return };
        let events = &mut self.services[*service].events;
        match events.back_mut() {
            Some(last) if last.at == at && last.stopped == stopped && last.tasks.len() < MOST_NAMED => {
                last.tasks.push(id.clone());
            }
            _ => events.push_back(NamesTasks { at, stopped, tasks: vec![id.clone()] }),
        }
        if events.len() > MOST_EVENTS {
            events.pop_front();
        }
    }

    /// Tells a task to stop, if it was not told yet.
    pub(crate) fn tell_to_stop(&mut self, number: TaskNo) -> bool {
        let Some(task) = self.tasks.get(&number).filter(|task| task.is_live()) else { return false };
        let host = task.host;
        self.set_agent(number, Agent::Stopping);
        if let Some(host) = self.hosts.get_mut(&host) {
            host.events += 1;
        }
        true
    }

    /// Sets a host's status.
    pub fn set_status(&mut self, host: HostNo, status: HostStatus, now: Ms) {
        let Some(found) = self.hosts.get_mut(&host) else { return };
        found.seen.status = status;
        found.events += 1;
        found.drains = (status == HostStatus::Draining).then(|| found.drains.unwrap_or(now));
        if status == HostStatus::Active {
            self.inactive.remove(&host);
        } else {
            self.inactive.insert(host);
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
        Self { seen, tasks: Vec::new(), drains: None, hidden: false, events: 1, on_it: OnHost::default() }
    }

    /// What ECS takes for free on it: registered minus live tasks.
    #[must_use]
    pub fn placeable(&self) -> Resources {
        self.on_it.placeable(self.seen.registered)
    }

    /// How many tasks it has, by how far its agent is with them.
    pub(crate) const fn counts(&self) -> Counts {
        self.on_it.all
    }

    /// The same of one service's tasks.
    pub(crate) fn counts_of(&self, service: ServiceNo) -> Counts {
        self.on_it.of(service)
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
            events: VecDeque::new(),
            backs_off_until: 0,
            hidden_need: false,
            revision: 1,
        }
    }
}

#[cfg(test)]
mod tests;
