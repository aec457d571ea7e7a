//! Room, counted from what is in the cluster: how many tasks are certain to have a place, whichever hosts ECS chooses for
//! those of others. It counts and never simulates: what it calls certain is, and more may be.

use evenkeel_model::observed::{Constraint, ProviderShare};
use evenkeel_model::{Resources, Room};

use crate::clock::{Ms, SECOND};
use crate::cluster::{Agent, HostNo, ServiceNo, SimHost, SimTask};
use crate::core::Core;
use crate::setup::millis;

/// More tasks than this fit on no host.
const MOST_ON_A_HOST: u32 = 10_000;
/// A task that is placed and does not start for so long is stuck; nobody counts on its host for others of its service.
const STUCK: Ms = 80 * SECOND;

/// How many slots of `need` a task that takes `takes` can cost at most, wherever it lies.
pub(super) fn cost(takes: &Room, need: &Room) -> u32 {
    let kinds = takes.resources.parts().into_iter().zip(need.resources.parts());
    let parts = kinds.filter(|(_, need)| *need > 0).map(|(takes, need)| takes.div_ceil(need)).max().unwrap_or(0);
    parts.max(u32::from(!takes.ports.is_disjoint(&need.ports)))
}

impl Core {
    /// A service's live tasks on hosts that stay, and that count for it from now on.
    pub(super) fn staying(&self, service: ServiceNo) -> u32 {
        self.cluster.staying(service)
    }

    /// Slots of a service if the tasks that are `gone` were not there, if any, on the hosts that are `open`.
    fn slots(
        &self,
        service: ServiceNo,
        open: impl Fn(HostNo, &SimHost) -> bool,
        gone: Option<&dyn Fn(&SimTask) -> bool>,
    ) -> u32 {
        let wanted = &self.cluster.services[service];
        if wanted.hidden_need || wanted.task.resources == Resources::default() {
            return 0;
        }
        let single = !wanted.task.ports.is_empty() || wanted.constraints.contains(&Constraint::DistinctInstance);
        let on_host = |(number, host): (&HostNo, &SimHost)| {
            let matches = wanted.takes_hosts_like(&host.seen);
            if !host.seen.takes_tasks() || host.hidden || !matches || !open(*number, host) {
                return 0;
            }
            let stays = |task: &&SimTask| task.is_live() && !gone.is_some_and(|gone| gone(task));
            let tasks = || host.tasks.iter().filter_map(|task| self.cluster.tasks.get(task)).filter(stays);
            let in_the_way = |task: &SimTask| !task.takes.ports.is_disjoint(&wanted.task.ports);
            let reserved = !host.seen.reserved_ports.is_disjoint(&wanted.task.ports);
            let taken = !wanted.task.ports.is_empty() && (reserved || tasks().any(in_the_way));
            let twice = wanted.constraints.contains(&Constraint::DistinctInstance)
                && tasks().any(|task| task.service == Some(service));
            if taken || twice {
                return 0;
            }
            let room = match gone {
                Some(_) => tasks().fold(host.seen.registered, |room, task| room.minus(task.takes.resources)),
                None => host.placeable(),
            };
            let fits = room.times(wanted.task.resources).min(MOST_ON_A_HOST);
            if single { fits.min(1) } else { fits }
        };
        match wanted.providers.len() {
            0 | 1 => self.cluster.hosts.iter().map(on_host).sum(),
            _ => {
                let each: Vec<(&SimHost, u32)> =
                    self.cluster.hosts.iter().map(|host| (host.1, on_host(host))).collect();
                self.slots_split(service, &each)
            }
        }
    }

    /// How many tasks more of a service on several providers are certain to have a place: no provider must be asked for more
    /// than it has, whoever gets what does not divide.
    fn slots_split(&self, service: ServiceNo, each: &[(&SimHost, u32)]) -> u32 {
        let shares = &self.cluster.services[service].providers;
        let bases: u32 = shares.iter().map(|share| share.base).sum();
        let weights: u32 = shares.iter().map(|share| share.weight).sum();
        let could = |share: &ProviderShare| {
            let own = self.cluster.live(service);
            let on =
                |task: &SimTask| self.cluster.hosts.get(&task.host).is_some_and(|host| host.is_of(&share.provider));
            let live = u32::try_from(own.filter(|(_, task)| on(task)).count()).unwrap_or(u32::MAX);
            live + each.iter().filter(|(host, _)| host.is_of(&share.provider)).map(|(_, slots)| slots).sum::<u32>()
        };
        let fits = |all: u32| {
            shares.iter().all(|share| {
                let beyond = all.saturating_sub(bases).saturating_mul(share.weight).div_ceil(weights.max(1));
                share.base.min(all) + beyond <= could(share)
            })
        };
        let live = self.staying(service);
        let most: u32 = each.iter().map(|(_, slots)| slots).sum();
        (0..=most).take_while(|more| fits(live + more)).last().unwrap_or(0)
    }

    /// How many tasks of a service could run for certain if the services that `give` were lowered to their minimum.
    /// `wants` says how many the others may have asked for or ask for next: ECS may place them first, wherever it likes.
    pub(super) fn could_run(
        &self,
        service: ServiceNo,
        gives: impl Fn(ServiceNo) -> bool,
        wants: impl Fn(ServiceNo) -> u32,
    ) -> u32 {
        let longest = self.cluster.services.iter().map(|one| millis(one.stop_timeout)).max().unwrap_or(0);
        let stuck = |task: &SimTask| {
            let waits = matches!(task.agent, Agent::Queued | Agent::Forgotten | Agent::Starting);
            task.service == Some(service) && waits && self.now - task.created > longest + STUCK
        };
        let open = |_: HostNo, host: &SimHost| {
            let tasks = || host.tasks.iter().filter_map(|task| self.cluster.tasks.get(task));
            host.counts_of(service).pending() == 0 || !tasks().any(&stuck)
        };
        // ECS does not stop protected tasks when a count falls.
        let gone = |task: &SimTask| !task.protected && task.service.is_some_and(&gives);
        let any_gives = (0..self.cluster.services.len()).any(&gives);
        let slots = self.slots(service, open, any_gives.then_some(&gone as &dyn Fn(&SimTask) -> bool));
        let need = &self.cluster.services[service].task;
        let mut taken: u32 = 0;
        for (other, found) in self.cluster.services.iter().enumerate().filter(|(other, _)| *other != service) {
            let comes = if gives(other) {
                self.fleet.services.get(other).map_or(0, |file| file.min_tasks)
            } else if self.fits_nowhere(other) {
                0 // what nobody can place takes nobody's room
            } else {
                wants(other).max(found.desired).saturating_sub(self.staying(other))
            };
            taken = taken.saturating_add(comes.saturating_mul(cost(&found.task, need)));
        }
        // Where one provider lacks a place, the others get none of what would go to them meanwhile.
        let shares = &self.cluster.services[service].providers;
        let weights: u32 = shares.iter().map(|share| share.weight).sum();
        let least = shares.iter().map(|share| share.weight).filter(|weight| *weight > 0).min().unwrap_or(1);
        taken = taken.saturating_mul(weights.div_ceil(least).max(1));
        self.staying(service).saturating_add(slots.saturating_sub(taken))
    }

    /// Whether a service's task fits on no host, however empty.
    fn fits_nowhere(&self, service: ServiceNo) -> bool {
        self.slots(service, |_, _| true, Some(&|task| !task.daemon)) == 0
    }

    /// Whether everything on a host is certain to find another place, fill tasks aside: what waits for a place already comes
    /// first. Tasks that ECS does not move make it uncertain.
    pub(super) fn surely_moves(&self, host: HostNo) -> bool {
        let Some(found) = self.cluster.hosts.get(&host) else { return self.fleet.cluster.is_none() };
        let on_it: Vec<&SimTask> = found.tasks.iter().filter_map(|task| self.cluster.tasks.get(task)).collect();
        if on_it.iter().any(|task| !task.daemon && (task.service.is_none() || task.protected)) {
            return false;
        }
        let fills = |service: ServiceNo| self.fleet.services.get(service).is_some_and(|file| file.fill);
        let moves = |service: ServiceNo| {
            let own = on_it.iter().filter(|task| task.service == Some(service)).count();
            u32::try_from(own).unwrap_or(u32::MAX)
        };
        let all = 0..self.cluster.services.len();
        let tied = |service: &ServiceNo| {
            let found = &self.cluster.services[*service];
            let stays_put = found.leaving.minimum_percent >= 100 && found.leaving.maximum_percent <= 100;
            moves(*service) > 0 && (stays_put || found.hands_off.is_some())
        };
        if all.clone().any(|service| tied(&service)) {
            return false;
        }
        // With the host, all that ECS has still to place: each costs the others what it can cost at most.
        let comes = |service: ServiceNo| {
            let missing = self.cluster.services[service].desired.saturating_sub(self.staying(service));
            if fills(service) { 0 } else { moves(service) + missing }
        };
        let kept = |service: ServiceNo| {
            if fills(service) { self.fleet.services.get(service).map_or(0, |file| file.min_tasks) } else { 0 }
        };
        all.clone().filter(|service| moves(*service) > 0 && !fills(*service)).all(|service| {
            let need = &self.cluster.services[service].task;
            let others = all.clone().filter(|other| *other != service);
            let taken: u32 = others
                .map(|other| {
                    (comes(other) + kept(other)).saturating_mul(cost(&self.cluster.services[other].task, need))
                })
                .sum();
            let gone = |task: &SimTask| !task.protected && task.service.is_some_and(fills);
            let slots = self.slots(service, |number, _| number != host, Some(&gone));
            slots >= comes(service).saturating_add(taken)
        })
    }
}
