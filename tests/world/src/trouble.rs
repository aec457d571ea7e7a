//! Trouble that no turn makes: hosts die, agents lose their connection, tasks crash, people deploy and meddle.

use evenkeel_model::observed::{HandsOff, HostStatus};
use evenkeel_model::{Resources, Room};
use rand::RngExt;

use crate::clock::{MINUTE, SECOND};
use crate::cluster::{Agent, HostNo, ServiceNo, TaskNo};
use crate::core::{Core, Event};

/// One thing that goes wrong, or comes back.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Draw the next one.
    Next,
    /// A host joins in place of one that died.
    HostJoins(evenkeel_model::PoolName),
    /// A host's agent is connected again.
    Reconnect(HostNo),
    /// A host takes tasks again.
    Activate(HostNo),
    /// A task that is nobody's ends.
    AloneEnds(TaskNo),
}

impl Core {
    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Next => {
                self.make_trouble();
                if let Some(wait) = self.faults.next_trouble(&mut self.rng.trouble) {
                    self.after(wait, Event::Trouble(Trouble::Next));
                }
            }
            Trouble::HostJoins(pool) => {
                let host = self.launch(&pool);
                self.announce_host(host, "ACTIVE");
                self.look_at_short_services();
            }
            Trouble::Reconnect(host) => {
                if let Some(found) = self.cluster.hosts.get_mut(&host) {
                    found.seen.connected = true;
                    self.announce_host(host, "ACTIVE");
                    self.look_at_short_services();
                }
            }
            Trouble::Activate(host) => {
                self.cluster.set_status(host, HostStatus::Active);
                self.announce_host(host, "ACTIVE");
                self.look_at_short_services();
            }
            Trouble::AloneEnds(task) => self.stop(task),
        }
    }

    fn make_trouble(&mut self) {
        let hosts: Vec<HostNo> = self.cluster.hosts.keys().copied().collect();
        let tasks: Vec<TaskNo> = self.cluster.tasks.keys().copied().collect();
        let rng = &mut self.rng.trouble;
        let kind = rng.random_range(0..8);
        let host = hosts.get(rng.random_range(0..hosts.len().max(1))).copied();
        let task = tasks.get(rng.random_range(0..tasks.len().max(1))).copied();
        let service: ServiceNo = rng.random_range(0..self.cluster.services.len().max(1));
        match (kind, host, task) {
            (0, Some(host), _) => self.lose_host(host),
            (1, Some(host), _) => {
                if let Some(found) = self.cluster.hosts.get_mut(&host) {
                    found.seen.connected = false;
                }
                let wait = self.rng.trouble.random_range(5 * SECOND..90 * SECOND);
                self.announce_host(host, "ACTIVE");
                self.after(wait, Event::Trouble(Trouble::Reconnect(host)));
            }
            (2, Some(host), _) => {
                self.cluster.set_status(host, HostStatus::Draining);
                self.announce_host(host, "DRAINING");
                for service in 0..self.cluster.services.len() {
                    self.look_soon(service);
                }
                let wait = self.rng.trouble.random_range(MINUTE..4 * MINUTE);
                self.after(wait, Event::Trouble(Trouble::Activate(host)));
            }
            (3 | 4, _, Some(task)) => self.crash(task),
            (5, _, _) if service < self.cluster.services.len() => {
                let found = &mut self.cluster.services[service];
                if found.hands_off.is_none() {
                    found.hands_off = Some(HandsOff::Deploying);
                    found.revision += 1;
                    self.look_soon(service);
                }
            }
            (6, _, _) if service < self.cluster.services.len() => {
                // Somebody sets a count by hand.
                let count = self.rng.trouble.random_range(0..12);
                self.meddle(service, count);
            }
            (_, Some(host), _) => {
                let takes = Resources::new(256, 300);
                let room = self.cluster.hosts.get(&host).map(|host| self.cluster.placeable(host));
                if room.is_some_and(|room| room.times(takes) > 0) {
                    let task = self.cluster.add_task(host, None, Room::from(takes), self.now);
                    self.advance_agent(host);
                    let wait = self.rng.trouble.random_range(MINUTE..10 * MINUTE);
                    self.after(wait, Event::Trouble(Trouble::AloneEnds(task)));
                }
            }
            (_, None, _) => {}
        }
    }

    /// A person sets a service's count.
    pub(crate) fn meddle(&mut self, service: ServiceNo, count: u32) {
        self.audit.meddled(service, self.now);
        self.set_desired(service, count);
    }

    /// A host dies without a word; a new one joins some minutes later.
    pub(crate) fn lose_host(&mut self, host: HostNo) {
        let pool = self.cluster.hosts.get(&host).and_then(|host| host.seen.pool.clone());
        self.announce_host(host, "INACTIVE");
        self.cluster.remove_host(host);
        self.look_at_short_services();
        if let Some(pool) = pool {
            let wait = self.rng.trouble.random_range(MINUTE..5 * MINUTE);
            self.after(wait, Event::Trouble(Trouble::HostJoins(pool)));
        }
    }

    /// A task's container ends by itself.
    fn crash(&mut self, task: TaskNo) {
        let alone = self.cluster.tasks.get(&task).is_none_or(|task| task.service.is_none());
        if alone {
            return;
        }
        if let Some(task) = self.cluster.tasks.get_mut(&task) {
            task.agent = Agent::Stopping;
        }
        self.after(100, Event::Ended(task));
    }
}
