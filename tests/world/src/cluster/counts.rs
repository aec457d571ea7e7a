//! What the tasks of a host and of a service come to, kept while tasks come, go on and go: with thousands of tasks, counting
//! them anew for every question is most of what a simulated hour would cost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use evenkeel_model::Resources;

use super::{Agent, Cluster, ServiceNo, SimTask, TaskNo};
use crate::clock::Ms;

/// Tasks by how far their agents are with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    queued: u32,
    forgotten: u32,
    starting: u32,
    pub(crate) running: u32,
    stopping: u32,
}

impl Counts {
    const fn of(&mut self, agent: Agent) -> &mut u32 {
        match agent {
            Agent::Queued => &mut self.queued,
            Agent::Forgotten => &mut self.forgotten,
            Agent::Starting => &mut self.starting,
            Agent::Running => &mut self.running,
            Agent::Stopping => &mut self.stopping,
        }
    }

    /// Those that do not run yet.
    pub(crate) const fn pending(self) -> u32 {
        self.queued + self.forgotten + self.starting
    }

    /// Those that were not told to stop.
    pub(crate) const fn live(self) -> u32 {
        self.pending() + self.running
    }

    /// Whether any waits for room.
    pub(crate) const fn any_queued(self) -> bool {
        self.queued > 0
    }

    /// Whether the agent forgot any.
    pub(crate) const fn any_forgotten(self) -> bool {
        self.forgotten > 0
    }

    /// Whether any was told to stop.
    pub(crate) const fn any_stopping(self) -> bool {
        self.stopping > 0
    }
}

/// A sum of resources, which no number of tasks makes stop at a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, takes: Resources) {
        for (sum, part) in self.0.iter_mut().zip(takes.parts()) {
            *sum += u64::from(part);
        }
    }

    fn take(&mut self, takes: Resources) {
        for (sum, part) in self.0.iter_mut().zip(takes.parts()) {
            *sum -= u64::from(part);
        }
    }

    fn left_of(self, registered: Resources) -> Resources {
        let [cpu, memory, gpu, interfaces] = self.0.map(|sum| u32::try_from(sum).unwrap_or(u32::MAX));
        registered.minus(Resources { cpu, memory, gpu, interfaces })
    }
}

/// What a host's tasks come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnHost {
    pub(crate) all: Counts,
    /// By service, as far as any task of it was ever here.
    services: Vec<Counts>,
    /// What its live tasks take.
    live: Sum,
    /// What the agent has begun and not seen the end of.
    held: Sum,
}

impl OnHost {
    /// Those of one service.
    pub(crate) fn of(&self, service: ServiceNo) -> Counts {
        self.services.get(service).copied().unwrap_or_default()
    }

    /// What ECS takes for free.
    pub(crate) fn placeable(&self, registered: Resources) -> Resources {
        self.live.left_of(registered)
    }

    /// What is really free.
    pub(crate) fn free(&self, registered: Resources) -> Resources {
        self.held.left_of(registered)
    }

    fn enter(&mut self, task: &SimTask) {
        *self.all.of(task.agent) += 1;
        if let Some(service) = task.service {
            if self.services.len() <= service {
                self.services.resize(service + 1, Counts::default());
            }
            *self.services[service].of(task.agent) += 1;
        }
        if task.is_live() {
            self.live.add(task.takes.resources);
        }
        if task.holds_room() {
            self.held.add(task.takes.resources);
        }
    }

    fn leave(&mut self, task: &SimTask) {
        *self.all.of(task.agent) -= 1;
        if let Some(service) = task.service {
            *self.services[service].of(task.agent) -= 1;
        }
        if task.is_live() {
            self.live.take(task.takes.resources);
        }
        if task.holds_room() {
            self.held.take(task.takes.resources);
        }
    }
}

/// All tasks that are not STOPPED, to be read as a map; they change through [`Cluster`]'s counts only.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    all: BTreeMap<TaskNo, SimTask>,
    services: Vec<OfService>,
}

#[derive(Debug, Clone, Default)]
struct OfService {
    tasks: BTreeSet<TaskNo>,
    counts: Counts,
}

impl Deref for Tasks {
    type Target = BTreeMap<TaskNo, SimTask>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Tasks {
    /// A service's tasks, in the order in which they were placed.
    pub(crate) fn of_service(&self, service: ServiceNo) -> impl Iterator<Item = (TaskNo, &SimTask)> {
        let own = self.services.get(service).into_iter().flat_map(|own| &own.tasks);
        own.filter_map(|number| Some((*number, self.all.get(number)?)))
    }

    /// How many tasks a service has.
    pub(crate) fn counts(&self, service: ServiceNo) -> Counts {
        self.services.get(service).map(|own| own.counts).unwrap_or_default()
    }

    fn of(&mut self, service: ServiceNo) -> &mut OfService {
        if self.services.len() <= service {
            self.services.resize_with(service + 1, OfService::default);
        }
        &mut self.services[service]
    }
}

impl Cluster {
    /// A task is there from now on.
    pub(super) fn enter(&mut self, number: TaskNo, task: SimTask) {
        if let Some(host) = self.hosts.get_mut(&task.host) {
            host.on_it.enter(&task);
        }
        if let Some(service) = task.service {
            let own = self.tasks.of(service);
            own.tasks.insert(number);
            *own.counts.of(task.agent) += 1;
        }
        self.tasks.all.insert(number, task);
    }

    /// A task is there no more, whether its host still is or not.
    pub(super) fn leave(&mut self, number: TaskNo) -> Option<SimTask> {
        let task = self.tasks.all.remove(&number)?;
        if let Some(host) = self.hosts.get_mut(&task.host) {
            host.on_it.leave(&task);
        }
        if let Some(service) = task.service {
            let own = self.tasks.of(service);
            own.tasks.remove(&number);
            *own.counts.of(task.agent) -= 1;
        }
        Some(task)
    }

    /// The agent goes on with a task.
    pub(crate) fn set_agent(&mut self, number: TaskNo, agent: Agent) {
        let Some(task) = self.tasks.all.get_mut(&number) else { return };
        let before = task.agent;
        if let Some(host) = self.hosts.get_mut(&task.host) {
            host.on_it.leave(task);
            task.agent = agent;
            host.on_it.enter(task);
        }
        task.agent = agent;
        if let Some(service) = task.service {
            let own = self.tasks.of(service);
            *own.counts.of(before) -= 1;
            *own.counts.of(agent) += 1;
        }
    }

    /// A task's containers run.
    pub(crate) fn set_running(&mut self, number: TaskNo, now: Ms) {
        self.set_agent(number, Agent::Running);
        if let Some(task) = self.tasks.all.get_mut(&number) {
            task.started = Some(now);
        }
    }

    /// A task is a daemon's.
    pub(crate) fn set_daemon(&mut self, number: TaskNo) {
        if let Some(task) = self.tasks.all.get_mut(&number) {
            task.daemon = true;
        }
    }

    /// Protects the tasks that a service has now from being stopped, or ends that.
    pub(crate) fn protect(&mut self, service: ServiceNo, protected: bool) {
        for task in self.tasks.all.values_mut().filter(|task| task.service == Some(service)) {
            task.protected = protected;
        }
    }
}

#[cfg(test)]
impl Cluster {
    /// Whether what is kept is what counting everything anew gives.
    pub(crate) fn adds_up(&self) -> Result<(), String> {
        let mut anew = Self { services: self.services.clone(), ..Self::default() };
        for (number, host) in &self.hosts {
            let bare = super::SimHost { on_it: OnHost::default(), ..host.clone() };
            anew.join(*number, bare);
        }
        for (number, task) in self.tasks.iter() {
            anew.enter(*number, task.clone());
        }
        let hosts = self.hosts.iter().find(|(number, host)| {
            let other = &anew.hosts[number].on_it;
            let services = 0..self.services.len();
            let same = services.clone().all(|service| host.on_it.of(service) == other.of(service));
            !same || (host.on_it.all, host.on_it.live, host.on_it.held) != (other.all, other.live, other.held)
        });
        if let Some((number, host)) = hosts {
            return Err(format!(
                "host {number}: {:?} is kept, and {:?} is there",
                host.on_it, anew.hosts[number].on_it
            ));
        }
        if self.inactive != anew.inactive {
            return Err(format!("{:?} are kept as not ACTIVE, and {:?} are", self.inactive, anew.inactive));
        }
        let services = (0..self.services.len()).find(|service| {
            let numbers =
                |cluster: &Self| cluster.tasks.of_service(*service).map(|(number, _)| number).collect::<Vec<_>>();
            self.tasks.counts(*service) != anew.tasks.counts(*service) || numbers(self) != numbers(&anew)
        });
        services.map_or(Ok(()), |service| Err(format!("service {service}: {:?} is kept", self.tasks.counts(service))))
    }
}
