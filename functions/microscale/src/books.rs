//! Two books for every host. *Placeable* room is what ECS thinks is free, where a task that is stopping counts as gone:
//! it decides what ECS will place. *Real* room counts everything not yet STOPPED: it decides when a task will run.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::fleet::{Fleet, Service};
use evenkeel_model::observed::{Constraint, EcsService, Host, HostStatus, Observed, Task, TaskPhase};
use evenkeel_model::resources::Port;
use evenkeel_model::{InstanceId, Resources, Room, ServiceName, Timestamp};

use crate::constraint::Expression;
use crate::split::Split;

/// More tasks than this of one service on one host are not counted: no host runs so many, and sums stay small.
const MOST_ON_A_HOST: u32 = 10_000;

/// The whole fleet, counted.
pub(crate) struct Books<'a> {
    /// The hosts by id.
    pub(crate) hosts: Vec<HostBook<'a>>,
    /// The fleet file's services, the one that is served first in front.
    pub(crate) services: Vec<ServiceBook<'a>>,
}

/// One host.
pub(crate) struct HostBook<'a> {
    pub(crate) host: &'a Host,
    /// Registered minus live tasks.
    pub(crate) placeable: Resources,
    /// What live tasks take beyond what is registered, as after a resize: so much must go before there is room.
    pub(crate) over: Resources,
    /// Registered minus all tasks that are not STOPPED.
    pub(crate) free: Resources,
    /// Static ports that live tasks or the agent hold.
    pub(crate) ports: BTreeSet<Port>,
}

/// One service of the fleet file.
pub(crate) struct ServiceBook<'a> {
    pub(crate) file: &'a Service,
    /// None where the cluster has no such service.
    pub(crate) ecs: Option<&'a EcsService>,
    /// Its count, as far as is known; zero where the cluster has no such service.
    pub(crate) desired: u32,
    /// What its count may be instead: it was written, and nobody knows whether ECS took it.
    pub(crate) perhaps: Option<u32>,
    /// What a stopped task is sure to give back: the smallest of those that live.
    pub(crate) gives_back: Resources,
    /// All that live need what a new task needs: none is of another revision.
    pub(crate) alike: bool,
    /// Live tasks by host index.
    pub(crate) on: Vec<Live>,
    /// Live tasks on hosts that were not seen, or that drain: stopping them gives no room that counts.
    pub(crate) elsewhere: u32,
    /// Those of them on hosts that drain: ECS starts others in their place, without a change of the count.
    pub(crate) moving: u32,
    pub(crate) running: u32,
    pub(crate) pending: u32,
    pub(crate) stopping: u32,
    /// When the newest live task was placed.
    pub(crate) newest: Timestamp,
    /// Where tasks may be, one answer for each host; none means anywhere.
    pub(crate) allowed: Option<Vec<bool>>,
    pub(crate) distinct: bool,
    /// How ECS splits its tasks over the hosts of several capacity providers.
    pub(crate) split: Option<Split>,
    /// Hosts are left out on which ECS may place its tasks all the same.
    pub(crate) avoids: bool,
    /// A constraint that could not be read.
    pub(crate) not_understood: Option<String>,
}

/// A service's live tasks on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) host: usize,
    pub(crate) tasks: u32,
    /// Those of them that task protection covers.
    pub(crate) protected: u32,
}

impl ServiceBook<'_> {
    /// Tasks that are placed and wanted.
    pub(crate) const fn live(&self) -> u32 {
        self.running + self.pending
    }

    /// Live tasks on one host.
    fn live_on(&self, host: usize) -> u32 {
        self.on.binary_search_by_key(&host, |live| live.host).map_or(0, |found| self.on[found].tasks)
    }

    /// Tasks that ECS looks for a place for, as its count is now: those on hosts that drain do not count for it.
    pub(crate) fn unplaced(&self) -> u32 {
        self.desired.saturating_sub(self.live() - self.moving)
    }

    /// The static ports that are free on a host once the last of the service's tasks there is gone; none where tasks of
    /// another revision make that uncertain.
    pub(crate) fn gives_back_ports(&self) -> impl Iterator<Item = Port> {
        self.need().filter(|_| self.alike).into_iter().flat_map(|need| need.ports.iter().copied())
    }

    /// What one new task needs.
    pub(crate) fn need(&self) -> Option<&Room> {
        self.ecs.map(|ecs| &ecs.task)
    }

    pub(crate) fn name(&self) -> &ServiceName {
        &self.file.name
    }

    /// Where the order of services begins a new tier.
    pub(crate) const fn tier(&self) -> u32 {
        self.file.priority
    }
}

impl<'a> Books<'a> {
    /// Counts what was seen. Services come in the order in which they are served: by priority, fill last, then by name.
    pub(crate) fn count(fleet: &'a Fleet, seen: &'a Observed) -> Self {
        let mut hosts: Vec<HostBook<'a>> = seen.hosts.iter().map(HostBook::empty).collect();
        hosts.sort_by(|a, b| a.host.id.cmp(&b.host.id));
        let mut order: Vec<&Service> = fleet.services.iter().collect();
        order.sort_by_key(|service| (service.priority, service.fill, &service.name));
        let ecs: BTreeMap<&ServiceName, &EcsService> = seen.services.iter().map(|ecs| (&ecs.name, ecs)).collect();
        let mut services: Vec<ServiceBook<'a>> =
            order.iter().map(|file| ServiceBook::empty(file, ecs.get(&file.name).copied(), &hosts)).collect();
        let rank: BTreeMap<&ServiceName, usize> =
            order.iter().enumerate().map(|(rank, service)| (&service.name, rank)).collect();
        let place: BTreeMap<&InstanceId, usize> =
            hosts.iter().enumerate().map(|(index, book)| (&book.host.id, index)).collect();
        for task in &seen.tasks {
            // Hosts and tasks are read at the same time, not at one moment: a task on a host that is not there (any more,
            // or yet) counts for its service, and the next turn sees more clearly.
            let host = place.get(&task.host).copied();
            if let Some(host) = host {
                hosts[host].take(task);
            }
            if let Some(&rank) = task.service.as_ref().and_then(|name| rank.get(name)) {
                let drains = host.is_some_and(|host| hosts[host].host.status == HostStatus::Draining);
                services[rank].moving += u32::from(drains && task.is_live());
                services[rank].take(task, host.filter(|_| !drains));
            }
        }
        for service in &mut services {
            service.merge();
        }
        Self { hosts, services }
    }

    /// How many more tasks of `service` ECS would place on `host` if `placeable` were free there.
    pub(crate) fn slots_with(&self, service: usize, host: usize, placeable: Resources, clear: Cleared<'_>) -> u32 {
        let book = &self.services[service];
        let Some(need) = book.need() else { return 0 };
        let on = &self.hosts[host];
        if !on.host.takes_tasks() || book.allowed.as_ref().is_some_and(|allowed| !allowed[host]) {
            return 0;
        }
        let by_room = placeable.times(need.resources).min(MOST_ON_A_HOST);
        if by_room == 0 {
            return 0;
        }
        let ports_taken = || need.ports.iter().any(|port| on.ports.contains(port) && !clear.ports.contains(port));
        let one_is_here = || book.live_on(host) > 0;
        if (!need.ports.is_empty() && ports_taken()) || (book.distinct && one_is_here()) {
            return 0;
        }
        if need.ports.is_empty() && !book.distinct { by_room } else { 1 }
    }

    /// How many more tasks of `service` ECS would place on `host` now.
    pub(crate) fn slots_on(&self, service: usize, host: usize) -> u32 {
        self.slots_with(service, host, self.hosts[host].placeable, Cleared::NONE)
    }

    /// How many more tasks of `service` alone ECS would place now. Tasks of one service are alike, so whichever host ECS
    /// chooses first, the sum over the hosts is the number that fits.
    pub(crate) fn slots(&self, service: usize) -> u32 {
        let on = |host| self.slots_on(service, host);
        match &self.services[service].split {
            Some(split) => split.slots(|host| self.services[service].live_on(host), on),
            None => (0..self.hosts.len()).map(on).fold(0, u32::saturating_add),
        }
    }

    /// The most tasks of `service` that its hosts could ever hold, with nothing else on them.
    pub(crate) fn most_ever(&self, service: usize) -> u32 {
        let on_host = |(host, book): (usize, &HostBook<'_>)| {
            let given_back = book.ports.difference(&book.host.reserved_ports).copied().collect();
            self.slots_with(service, host, book.host.registered, Cleared { ports: &given_back })
        };
        self.hosts.iter().enumerate().map(on_host).fold(0, u32::saturating_add)
    }

    /// [`Self::slots`] of every service. Services of one size that may be anywhere have the same number: large fleets have
    /// many services and few sizes.
    pub(crate) fn all_slots(&self) -> Vec<u32> {
        let mut known: BTreeMap<Resources, u32> = BTreeMap::new();
        let slots = |(service, book): (usize, &ServiceBook<'_>)| match book.need() {
            Some(need) if need.ports.is_empty() && !book.distinct && book.allowed.is_none() && book.split.is_none() => {
                *known.entry(need.resources).or_insert_with(|| self.slots(service))
            }
            Some(_) | None => self.slots(service),
        };
        self.services.iter().enumerate().map(slots).collect()
    }

    /// The most slots of `hurt` that one new task of `mover` can take away, wherever ECS places it.
    pub(crate) fn worst_damage(&self, mover: usize, hurt: usize) -> u32 {
        let (Some(taken), Some(need)) = (self.services[mover].need(), self.services[hurt].need()) else { return 0 };
        let by_kind = taken.resources.parts().into_iter().zip(need.resources.parts());
        let by_room = by_kind.filter(|(_, need)| *need > 0).map(|(taken, need)| taken.div_ceil(need)).max();
        let by_port = u32::from(!taken.ports.is_disjoint(&need.ports));
        let on_its_host = by_room.unwrap_or(0).max(by_port);
        let book = &self.services[hurt];
        book.split
            .as_ref()
            .map_or(on_its_host, |split| on_its_host.saturating_mul(split.worst(|host| book.live_on(host))))
    }

    /// Leaves out the hosts that `avoided` names for one service.
    pub(crate) fn avoid(&mut self, service: usize, avoided: impl Fn(&InstanceId) -> bool) {
        self.services[service].avoids = true;
        self.services[service].narrow(&self.hosts, |host| !avoided(&host.id));
    }
}

/// Ports that are given back on a host when tasks go.
#[derive(Clone, Copy)]
pub(crate) struct Cleared<'a> {
    pub(crate) ports: &'a BTreeSet<Port>,
}

impl Cleared<'_> {
    pub(crate) const NONE: Self = Self { ports: &BTreeSet::new() };
}

impl<'a> HostBook<'a> {
    fn empty(host: &'a Host) -> Self {
        Self {
            host,
            placeable: host.registered,
            over: Resources::default(),
            free: host.registered,
            ports: host.reserved_ports.clone(),
        }
    }

    /// The placeable room when live tasks of this size are gone.
    pub(crate) const fn without(&self, gone: Resources) -> Resources {
        self.placeable.plus(gone.minus(self.over))
    }

    fn take(&mut self, task: &Task) {
        let Room { resources, ports } = &task.takes;
        self.free = self.free.minus(*resources);
        if task.is_live() {
            self.over = self.over.plus(resources.minus(self.placeable));
            self.placeable = self.placeable.minus(*resources);
            self.ports.extend(ports);
        }
    }
}

impl<'a> ServiceBook<'a> {
    fn empty(file: &'a Service, ecs: Option<&'a EcsService>, hosts: &[HostBook<'_>]) -> Self {
        let mut book = Self {
            file,
            ecs,
            desired: ecs.map_or(0, |ecs| ecs.desired),
            perhaps: None,
            gives_back: ecs.map_or(Resources::default(), |ecs| ecs.task.resources),
            alike: true,
            on: Vec::new(),
            elsewhere: 0,
            moving: 0,
            running: 0,
            pending: 0,
            stopping: 0,
            newest: Timestamp::MIN,
            allowed: None,
            distinct: false,
            split: None,
            avoids: false,
            not_understood: None,
        };
        for constraint in ecs.map_or(&[][..], |ecs| &ecs.constraints) {
            match constraint {
                Constraint::DistinctInstance => book.distinct = true,
                Constraint::MemberOf(text) => match Expression::parse(text) {
                    Ok(expression) => book.narrow(hosts, |host| expression.matches(&host.attributes)),
                    Err(_) => book.not_understood = Some(text.clone()),
                },
            }
        }
        let shares = ecs.map_or(&[][..], |ecs| &ecs.providers);
        if !shares.is_empty() {
            // One without base and weight gets no tasks.
            let used = |host: &Host| {
                shares
                    .iter()
                    .any(|share| Some(&share.provider) == host.provider.as_ref() && share.base + share.weight > 0)
            };
            book.narrow(hosts, used);
            book.split = Split::of(shares, hosts.iter().map(|book| book.host));
        }
        book.allowed = book.allowed.filter(|allowed| allowed.contains(&false));
        book
    }

    /// Leaves the hosts on which tasks may be to those that `fits` names.
    fn narrow(&mut self, hosts: &[HostBook<'_>], fits: impl Fn(&Host) -> bool) {
        let mut allowed = self.allowed.take().unwrap_or_else(|| vec![true; hosts.len()]);
        for (allowed, book) in allowed.iter_mut().zip(hosts) {
            *allowed = *allowed && fits(book.host);
        }
        self.allowed = Some(allowed);
    }

    fn take(&mut self, task: &Task, host: Option<usize>) {
        match task.phase {
            TaskPhase::Stopping => {
                self.stopping += 1;
                return;
            }
            TaskPhase::Running => self.running += 1,
            TaskPhase::Pending => self.pending += 1,
        }
        self.alike &= self.ecs.is_none_or(|ecs| ecs.task == task.takes);
        self.gives_back = self.gives_back.least(task.takes.resources);
        self.newest = self.newest.max(task.created);
        match host {
            Some(host) => self.on.push(Live { host, tasks: 1, protected: u32::from(task.protected) }),
            None => self.elsewhere += 1,
        }
    }

    /// One entry for each host, in the hosts' order.
    fn merge(&mut self) {
        self.on.sort_unstable_by_key(|live| live.host);
        self.on.dedup_by(|next, kept| {
            let same = next.host == kept.host;
            if same {
                kept.tasks += next.tasks;
                kept.protected += next.protected;
            }
            same
        });
    }
}
