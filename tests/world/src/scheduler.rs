//! What ECS and its agents do: place and stop tasks to meet desired counts, start and end their containers.

mod places;

use evenkeel_model::decision::HostStep;
use evenkeel_model::observed::{HandsOff, HostStatus};
use evenkeel_turn::ports::{Answer, PortError};
use rand::RngExt;

use crate::clock::{MINUTE, Ms, SECOND};
use crate::cluster::{Agent, HostNo, ServiceNo, SimHost, SimTask, TaskNo};
use crate::core::{Core, Event};
use crate::setup::millis;

/// ECS tries a task that it could not place again after about this long.
const RETRY: Ms = 10 * SECOND;
/// A task that has waited so long for a host of its capacity provider is taken for one that could not be placed.
const PROVISIONED_WITHIN: Ms = MINUTE;
/// A task that never started its containers ends at once.
const QUICK_END: Ms = 200;

impl Core {
    /// UpdateService with a desired count.
    pub(crate) fn set_desired(&mut self, service: ServiceNo, count: u32) {
        self.cluster.services[service].desired = count;
        self.look_soon(service);
    }

    /// Has ECS look at a service after its scheduler's usual delay.
    pub(crate) fn look_soon(&mut self, service: ServiceNo) {
        let wait = self.setup.ecs.scheduler.draw(&mut self.rng.ecs);
        self.after(wait, Event::Reconcile(service));
    }

    /// Has ECS look at a service again at `at`, once, however many reasons there are.
    fn look_again(&mut self, service: ServiceNo, at: Ms) {
        if self.cluster.services[service].looks.insert(at) {
            self.at(at, Event::Reconcile(service));
        }
    }

    /// Has ECS look at every service that misses tasks.
    pub(crate) fn look_at_short_services(&mut self) {
        for service in 0..self.cluster.services.len() {
            // Tasks on hosts that drain are still to be moved: others are missing in their place.
            let staying = self.ecs_keeps(service);
            if staying < self.cluster.services[service].desired as usize || self.deploying(service) {
                self.look_soon(service);
            }
        }
    }

    fn deploying(&self, service: ServiceNo) -> bool {
        self.cluster.services[service].hands_off == Some(HandsOff::Deploying)
    }

    /// Brings a service towards its desired count.
    pub(crate) fn reconcile(&mut self, service: ServiceNo) {
        self.cluster.services[service].looks.remove(&self.now);
        self.leave_draining_hosts(service);
        if self.deploying(service) {
            self.deploy(service);
            return;
        }
        let desired = self.cluster.services[service].desired as usize;
        let before = self.ecs_keeps(service);
        if before > desired {
            let mut victims = self.victims(service);
            while self.ecs_keeps(service) > desired {
                let Some(victim) = self.choose_victim(service, &mut victims) else { break };
                self.stop(victim);
            }
        }
        if before > self.ecs_keeps(service) {
            // A stopping task counts as free at once, so services that found no room are looked at again.
            self.look_at_short_services();
        }
        // Others may come before those on draining hosts have gone, as far as `maximumPercent` allows.
        let most = desired * self.cluster.services[service].leaving.maximum_percent as usize / 100;
        let live = self.cluster.tasks.counts(service).live() as usize;
        let missing = desired.saturating_sub(self.ecs_keeps(service)).min(most.max(desired).saturating_sub(live));
        self.place(service, missing);
    }

    /// A service's live tasks that are not to be moved.
    fn ecs_keeps(&self, service: ServiceNo) -> usize {
        let counts = self.cluster.tasks.counts(service);
        (counts.live() - self.cluster.live_on(service, HostStatus::Draining)) as usize
    }

    fn is_draining(&self, task: &SimTask) -> bool {
        self.cluster.hosts.get(&task.host).is_some_and(|host| host.seen.status == HostStatus::Draining)
    }

    /// DRAINING: PENDING tasks stop at once, RUNNING ones as far as `minimumHealthyPercent` of the others run; protected
    /// ones stay until their protection ends.
    fn leave_draining_hosts(&mut self, service: ServiceNo) {
        let there = self.cluster.live_on_draining_hosts(service).into_iter();
        let draining: Vec<TaskNo> = there.filter(|(_, task)| !task.protected).map(|(number, _)| number).collect();
        if draining.is_empty() {
            return;
        }
        let running = |number: &TaskNo| self.cluster.tasks.get(number).is_some_and(|task| task.agent == Agent::Running);
        let (running, pending): (Vec<_>, Vec<_>) = draining.into_iter().partition(running);
        for task in pending {
            self.stop(task);
        }
        let up = self.cluster.tasks.counts(service).running as usize;
        let service = &self.cluster.services[service];
        let keep = (service.desired as usize * service.leaving.minimum_percent as usize).div_ceil(100);
        let spare = up.saturating_sub(keep);
        let free = |number: &TaskNo| self.cluster.tasks.get(number).is_some_and(|task| !task.protected);
        let going: Vec<TaskNo> = running.into_iter().filter(free).take(spare).collect();
        for task in going {
            self.stop(task);
        }
    }

    /// A rolling deployment: new tasks where they fit, old ones stop as new ones run, never fewer than half.
    fn deploy(&mut self, service: ServiceNo) {
        let desired = self.cluster.services[service].desired as usize;
        let revision = self.cluster.services[service].revision;
        let is_new = |task: &SimTask| task.revision == revision;
        let new = self.cluster.live(service).filter(|(_, task)| is_new(task)).count();
        self.place(service, desired.saturating_sub(new));
        let up = self.cluster.tasks.counts(service).running as usize;
        let old: Vec<TaskNo> =
            self.cluster.live(service).filter(|(_, task)| !is_new(task)).map(|(number, _)| number).collect();
        let placed = self.cluster.live(service).filter(|(_, task)| is_new(task)).count();
        // Where new tasks find no room, half of the service may stop first.
        let keep = if placed < desired { desired.div_ceil(2) } else { desired };
        for task in old.iter().take(up.saturating_sub(keep)) {
            self.stop(*task);
        }
        if old.is_empty() && placed >= desired {
            self.cluster.services[service].hands_off = None;
            self.announce_deployment(service);
        } else {
            self.look_again(service, self.now + RETRY);
        }
    }

    /// Places up to `missing` tasks; backs off after it has failed for a while.
    fn place(&mut self, service: ServiceNo, missing: usize) {
        if missing == 0 {
            self.cluster.services[service].failing_since = None;
            return;
        }
        if self.now < self.cluster.services[service].backs_off_until {
            return;
        }
        let mut places = self.places_for(service);
        for _ in 0..missing {
            let Some(host) = self.choose_host(service, &mut places) else {
                self.place_failed(service);
                return;
            };
            self.cluster.services[service].failing_since = None;
            let takes = self.cluster.services[service].task.clone();
            let task = self.cluster.add_task(host, Some(service), takes, self.now);
            self.cluster.name_task(task, false, self.now);
            self.maybe_forget(task, host);
            self.advance_agent(host);
        }
    }

    fn place_failed(&mut self, service: ServiceNo) {
        let now = self.now;
        let setup = self.setup.ecs;
        let state = &mut self.cluster.services[service];
        let since = *state.failing_since.get_or_insert(now);
        if !state.providers.is_empty() {
            // It stays PROVISIONING, and ECS says nothing: that it takes long tells.
            if now - since >= PROVISIONED_WITHIN {
                state.placement_failed = Some(since + PROVISIONED_WITHIN);
            }
            self.look_again(service, now + RETRY);
            return;
        }
        state.placement_failed = Some(now);
        if now - since >= setup.tries_for_seconds * SECOND {
            state.failing_since = None;
            state.backs_off_until = now + setup.backs_off_seconds * SECOND;
            let until = state.backs_off_until;
            self.look_again(service, until);
        } else {
            self.look_again(service, self.now + RETRY);
        }
        if since == now {
            self.announce_placement_failure(service);
        }
    }

    /// Tells a task to stop.
    pub(crate) fn stop(&mut self, number: TaskNo) {
        let Some(task) = self.cluster.tasks.get(&number) else { return };
        let (began, service) = (task.holds_room(), task.service);
        if !self.cluster.tell_to_stop(number) {
            return;
        }
        self.cluster.name_task(number, true, self.now);
        let wait = match service.map(|service| &self.cluster.services[service]) {
            _ if !began => QUICK_END,
            None => SECOND,
            Some(service) if self.rng.agent.random_range(0..1_000) < service.stubborn_per_mille => {
                // Captured: with a stop timeout of 30 s, execution stopped after 43 s, and the room was free then.
                millis(service.stop_timeout) + self.rng.agent.random_range(SECOND..14 * SECOND)
            }
            Some(service) => millis(service.leaving.deregistration_delay) + service.stop.draw(&mut self.rng.agent),
        };
        if let Some(service) = service {
            self.measure.stopped(service, self.now);
        }
        self.after(wait, Event::Ended(number));
    }

    /// A task's containers run.
    pub(crate) fn runs(&mut self, number: TaskNo) {
        let now = self.now;
        let Some(task) = self.cluster.tasks.get(&number) else { return };
        if task.agent != Agent::Starting {
            return;
        }
        let (host, service, created) = (task.host, task.service, task.created);
        self.cluster.set_running(number, now);
        if let Some(service) = service {
            self.measure.started(service, created);
            if self.deploying(service) {
                self.look_soon(service);
            }
        }
        self.remember_on(host);
        self.look_if_draining(service);
    }

    /// UpdateContainerInstancesState: hosts that have left are passed over.
    pub(crate) fn set_host_status(&mut self, hosts: &[evenkeel_model::InstanceId], status: HostStatus) -> Answer<()> {
        if hosts.len() > HostStep::MOST_HOSTS {
            return Err(PortError::Refused(format!("InvalidParameterException: {} container instances", hosts.len())));
        }
        for id in hosts {
            let found = self.cloud.number(id).filter(|number| self.cluster.hosts.contains_key(number));
            let Some(number) = found else { continue };
            self.cluster.set_status(number, status, self.now);
            self.stop_daemons(number);
            self.announce_host(number, if status == HostStatus::Active { "ACTIVE" } else { "DRAINING" });
        }
        for service in 0..self.cluster.services.len() {
            self.look_soon(service);
        }
        Ok(())
    }

    /// PutAttributes and DeleteAttributes: hosts that have left are passed over.
    pub(crate) fn mark_old(&mut self, hosts: &[evenkeel_model::InstanceId], old: bool) -> Answer<()> {
        if hosts.len() > HostStep::MOST_HOSTS {
            return Err(PortError::Refused(format!("InvalidParameterException: {} attributes", hosts.len())));
        }
        for id in hosts {
            let Some(host) = self.cloud.number(id).and_then(|number| self.cluster.hosts.get_mut(&number)) else {
                continue;
            };
            if old {
                host.seen.attributes.insert(HostStep::OLD.to_owned(), "true".to_owned());
            } else {
                host.seen.attributes.remove(HostStep::OLD);
            }
        }
        Ok(())
    }

    /// A daemon's task on a draining host stops last (ECS developer guide, "Draining").
    fn stop_daemons(&mut self, host: HostNo) {
        let Some(found) = self.cluster.hosts.get(&host).filter(|host| host.seen.status == HostStatus::Draining) else {
            return;
        };
        let tasks = || found.tasks.iter().filter_map(|task| Some((*task, self.cluster.tasks.get(task)?)));
        if tasks().all(|(_, task)| task.daemon) {
            let daemons: Vec<TaskNo> = tasks().map(|(number, _)| number).collect();
            for daemon in daemons {
                self.stop(daemon);
            }
        }
    }

    fn look_if_draining(&mut self, service: Option<ServiceNo>) {
        let Some(service) = service else { return };
        if self.cluster.live_on(service, HostStatus::Draining) > 0 {
            self.look_soon(service);
        }
    }

    /// A task's containers have ended.
    pub(crate) fn ended(&mut self, number: TaskNo) {
        let Some(task) = self.cluster.remove_task(number) else { return };
        self.remember_on(task.host);
        self.advance_agent(task.host);
        self.stop_daemons(task.host);
        if self.cluster.hosts.get(&task.host).is_none_or(|host| host.tasks.is_empty()) {
            self.measure.rolls.emptied(task.host, self.now);
        }
        self.look_at_short_services();
    }

    /// The agent goes through its queue in order: a task starts when its host really has room, and not before the tasks
    /// in front of it.
    pub(crate) fn advance_agent(&mut self, number: HostNo) {
        let Some(host) = self.cluster.hosts.get(&number) else { return };
        if !host.counts().any_queued() {
            return;
        }
        let queued: Vec<TaskNo> = host.tasks.clone();
        for number in queued {
            let Some(task) = self.cluster.tasks.get(&number) else { continue };
            if task.agent != Agent::Queued {
                continue;
            }
            let Some(host) = self.cluster.hosts.get(&task.host) else { return };
            if !self.cluster.begins(host, &task.takes) {
                return;
            }
            let wait =
                task.service.map_or(SECOND, |service| self.cluster.services[service].start.draw(&mut self.rng.agent));
            self.cluster.set_agent(number, Agent::Starting);
            self.after(wait, Event::Runs(number));
        }
    }

    /// amazon-ecs-agent #5138: a task in a slot freed by a stopping one may be forgotten.
    fn maybe_forget(&mut self, number: TaskNo, host: HostNo) {
        let rate = self.setup.ecs.forgotten_per_mille;
        let stopping = |host: &SimHost| host.counts().any_stopping();
        if rate == 0 || !self.cluster.hosts.get(&host).is_some_and(stopping) {
            return;
        }
        if self.rng.agent.random_range(0..1_000) < rate {
            self.cluster.set_agent(number, Agent::Forgotten);
            let wait = self.setup.ecs.forgotten_for.draw(&mut self.rng.agent);
            self.after(wait, Event::Remember(number));
        }
    }

    /// The agent remembers what it forgot on a host.
    fn remember_on(&mut self, number: HostNo) {
        let Some(host) = self.cluster.hosts.get(&number) else { return };
        if !host.counts().any_forgotten() {
            return;
        }
        let forgot = |task: &TaskNo| self.cluster.tasks.get(task).is_some_and(|task| task.agent == Agent::Forgotten);
        let forgotten: Vec<TaskNo> = host.tasks.iter().copied().filter(forgot).collect();
        for task in &forgotten {
            self.cluster.set_agent(*task, Agent::Queued);
        }
        if !forgotten.is_empty() {
            self.advance_agent(number);
        }
    }

    /// The agent remembers one task.
    pub(crate) fn remember(&mut self, number: TaskNo) {
        if let Some(task) = self.cluster.tasks.get(&number) {
            self.remember_on(task.host);
        }
    }
}
