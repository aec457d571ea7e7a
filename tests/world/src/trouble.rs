//! Trouble that no turn makes: hosts die, agents lose their connection, tasks crash, people deploy and meddle.

mod others;
mod rolls;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::observed::{HandsOff, HostStatus};
use evenkeel_model::{Resources, Room};
use rand::RngExt;

use crate::clock::{MINUTE, SECOND};
use crate::cloud::Interruption;
use crate::cluster::{HostNo, ServiceNo, TaskNo};
use crate::core::{Core, Event};

pub(crate) use others::Mishap;
pub(crate) use rolls::RollTrouble;

/// One thing that goes wrong, or comes back.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Draw the next one.
    Next,
    /// A host's agent is connected again.
    Reconnect(HostNo),
    /// A host takes tasks again.
    Activate(HostNo),
    /// A task that is nobody's ends.
    AloneEnds(TaskNo),
    /// Something about rolls.
    Roll(RollTrouble),
    /// A host that was warned was not taken.
    Spared(HostNo),
    /// Something about everything else.
    Mishap(Mishap),
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
            Trouble::Reconnect(host) => {
                let mute = self.cloud.instances.get(&host).is_some_and(|one| one.mute);
                if let Some(found) = self.cluster.hosts.get_mut(&host).filter(|_| !mute) {
                    found.seen.connected = true;
                    self.announce_host(host, "ACTIVE");
                    self.look_at_short_services();
                    self.maybe_ready(host);
                }
            }
            Trouble::Activate(host) => {
                self.cluster.set_status(host, HostStatus::Active, self.now);
                self.announce_host(host, "ACTIVE");
                self.look_at_short_services();
            }
            Trouble::AloneEnds(task) => self.stop(task),
            Trouble::Roll(trouble) => self.roll_trouble(trouble),
            Trouble::Spared(host) => self.spared(host),
            Trouble::Mishap(mishap) => self.mishap(mishap),
        }
    }

    fn make_trouble(&mut self) {
        let hosts: Vec<HostNo> = self.cluster.hosts.keys().copied().collect();
        let tasks: Vec<TaskNo> = self.cluster.tasks.keys().copied().collect();
        let rng = &mut self.rng.trouble;
        let kind = rng.random_range(0..10);
        let host = hosts.get(rng.random_range(0..hosts.len().max(1))).copied();
        let task = tasks.get(rng.random_range(0..tasks.len().max(1))).copied();
        let service: ServiceNo = rng.random_range(0..self.cluster.services.len().max(1));
        match (kind, host, task) {
            (0, Some(host), _) => self.fail(host),
            (8, _, _) => self.market_trouble(),
            (1, Some(host), _) => {
                if let Some(found) = self.cluster.hosts.get_mut(&host) {
                    found.seen.connected = false;
                }
                let wait = self.rng.trouble.random_range(5 * SECOND..90 * SECOND);
                self.announce_host(host, "ACTIVE");
                self.after(wait, Event::Trouble(Trouble::Reconnect(host)));
            }
            (2, Some(host), _) => {
                self.cluster.set_status(host, HostStatus::Draining, self.now);
                self.announce_host(host, "DRAINING");
                if let Some(one) = self.cloud.instances.get(&host) {
                    let units = self.cloud.groups[one.group].units;
                    self.measure.losses.drained(units, self.now);
                }
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
                // ECS places nothing on hosts that drain.
                let takes_it = self.cluster.hosts.get(&host).filter(|host| host.seen.takes_tasks());
                let room = takes_it.map(crate::cluster::SimHost::placeable);
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

    /// A host dies without a word; its group finds out. One that was warned is lost already.
    pub(crate) fn fail(&mut self, host: HostNo) {
        let works = self.cloud.instances.get(&host).is_some_and(|one| one.works && !one.doomed);
        if works {
            if let Some(instance) = self.cloud.instances.get_mut(&host) {
                instance.doomed = true;
            }
            let missing = self.misses_more();
            let units = self.units_of(host);
            self.measure.losses.lost(host, false, units, missing, self.now);
        }
        self.ends(host);
    }

    /// The market takes some spot hosts, or nothing more is to be had for a while, or EC2 sees a risk.
    fn market_trouble(&mut self) {
        let kind = self.rng.trouble.random_range(0..4);
        let is_spot = |purchase| purchase == Purchase::Spot;
        match kind {
            0 | 1 => {
                for _ in 0..self.rng.trouble.random_range(1..4) {
                    let Some(host) = self.any_working(is_spot) else { return };
                    let warned = self.rng.trouble.random_range(0..3) > 0;
                    self.interrupt(host, if warned { Interruption::Warned } else { Interruption::Unwarned });
                }
            }
            2 => {
                let groups = self.cloud.groups.len();
                let group = self.rng.trouble.random_range(0..groups.max(1));
                let until = self.now + self.rng.trouble.random_range(5 * MINUTE..40 * MINUTE);
                if let Some(group) = self.cloud.groups.get_mut(group) {
                    group.market.starved_until = until;
                }
            }
            _ => {
                if let Some(host) = self.any_working(is_spot) {
                    self.recommend_rebalance(host);
                }
            }
        }
    }

    /// A task's container ends by itself.
    fn crash(&mut self, task: TaskNo) {
        let alone = self.cluster.tasks.get(&task).is_none_or(|task| task.service.is_none());
        if alone {
            return;
        }
        self.cluster.tell_to_stop(task);
        self.after(100, Event::Ended(task));
    }
}
