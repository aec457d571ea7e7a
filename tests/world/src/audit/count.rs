//! The auditor's rules about counts: invariants 2, 3 and 4, counted on what one turn was told.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_model::fleet::{Demand, Fleet, MetricSource, Service};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Signal, Task};
use evenkeel_model::report::Wait;
use evenkeel_model::{InstanceId, Resources, ServiceName};
use evenkeel_turn::Summary;

/// What one turn was told, and what it did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hosts: Vec<Host>,
    pub(crate) tasks: Arc<Vec<Task>>,
    pub(crate) services: Vec<EcsService>,
    pub(crate) signals: Vec<(MetricSource, Signal)>,
    /// The counts that were set, in order.
    pub(crate) sets: Vec<(ServiceName, u32)>,
    /// The most that each service's count truly was when one was set.
    pub(crate) counts: BTreeMap<ServiceName, u32>,
}

/// Counting on what a turn was told.
pub(super) struct Count<'a> {
    fleet: &'a Fleet,
    seen: &'a Seen,
    /// Counts that were recorded and perhaps not set any more.
    meant: &'a BTreeSet<(ServiceName, u32)>,
    /// The services' counts as they truly are at the turn's end: an answer may be older than our own last write.
    truly: &'a BTreeMap<ServiceName, u32>,
    /// Services whose count somebody else has set, so that the turn could not know it for certain.
    theirs: &'a BTreeSet<ServiceName>,
    /// What it was told, put in order.
    told: OnceCell<Told<'a>>,
}

/// A turn's tasks by what is asked about them: a rule asks for each service and for each host, and there are thousands.
struct Told<'a> {
    /// The live tasks on each host.
    on_host: BTreeMap<&'a InstanceId, Vec<&'a Task>>,
    /// Hosts that are ACTIVE.
    active: BTreeSet<&'a InstanceId>,
    /// Live tasks of each service, and those of them on ACTIVE hosts.
    live: BTreeMap<&'a ServiceName, (u32, u32)>,
}

impl<'a> Told<'a> {
    fn new(seen: &'a Seen) -> Self {
        let active = seen.hosts.iter().filter(|host| host.status == HostStatus::Active).map(|host| &host.id).collect();
        let mut told = Self { on_host: BTreeMap::new(), active, live: BTreeMap::new() };
        for task in seen.tasks.iter().filter(|task| task.is_live()) {
            told.on_host.entry(&task.host).or_default().push(task);
            if let Some(service) = &task.service {
                let (live, staying) = told.live.entry(service).or_default();
                *live += 1;
                *staying += u32::from(told.active.contains(&task.host));
            }
        }
        told
    }
}

impl<'a> Count<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        seen: &'a Seen,
        meant: &'a BTreeSet<(ServiceName, u32)>,
        truly: &'a BTreeMap<ServiceName, u32>,
        theirs: &'a BTreeSet<ServiceName>,
    ) -> Self {
        Self { fleet, seen, meant, truly, theirs, told: OnceCell::new() }
    }

    fn told(&self) -> &Told<'a> {
        self.told.get_or_init(|| Told::new(self.seen))
    }

    fn file(&self, name: &ServiceName) -> Option<&Service> {
        self.fleet.services.iter().find(|service| service.name == *name)
    }

    fn ecs(&self, name: &ServiceName) -> Option<&EcsService> {
        self.seen.services.iter().find(|service| service.name == *name)
    }

    fn live(&self, name: &ServiceName) -> u32 {
        self.told().live.get(name).map_or(0, |(live, _)| *live)
    }

    /// The count that a turn has set last.
    fn set_in_it(&self, name: &ServiceName) -> Option<u32> {
        self.seen.sets.iter().rev().find(|(service, _)| service == name).map(|(_, count)| *count)
    }

    /// The count that a turn left a service with.
    fn left_at(&self, name: &ServiceName) -> u32 {
        self.set_in_it(name).or(self.ecs(name).map(|ecs| ecs.desired)).unwrap_or(0)
    }

    /// How many more tasks fit if those that are `gone` were not there.
    fn slots_without(&self, name: &ServiceName, gone: impl Fn(&Task, &ServiceName) -> bool) -> u32 {
        let Some(ecs) = self.ecs(name) else { return 0 };
        let on_host = |host: &Host| {
            if !host.takes_tasks() {
                return 0;
            }
            let stays = |task: &&&Task| !task.service.as_ref().is_some_and(|other| gone(task, other));
            let mut left = host.registered;
            let mut ports = host.reserved_ports.clone();
            for task in self.told().on_host.get(&host.id).into_iter().flatten().filter(stays) {
                left = left.minus(task.takes.resources);
                ports.extend(&task.takes.ports);
            }
            let mut fits = 0;
            while fits < 10_000 && self.holds(left, ecs.task.resources) {
                left = left.minus(ecs.task.resources);
                fits += 1;
            }
            if ecs.task.ports.is_empty() { fits } else { fits.min(u32::from(ports.is_disjoint(&ecs.task.ports))) }
        };
        self.seen.hosts.iter().map(on_host).sum()
    }

    fn holds(&self, room: Resources, need: Resources) -> bool {
        need != Resources::default() && room.cpu >= need.cpu && room.memory >= need.memory && room.gpu >= need.gpu
    }

    /// Invariant 2: no count above what fits, even if all tasks of the services that give some up were gone; none outside
    /// min..max as far as that fits.
    pub(super) fn raises(&self) -> impl Iterator<Item = (u8, String)> {
        // A turn may be told the count of before its own last write.
        let count = |name: &ServiceName| {
            self.truly.get(name).map_or(self.left_at(name), |truly| self.left_at(name).min(*truly))
        };
        // Whoever sets nothing raises nothing.
        let names = self.fleet.services.iter().map(|file| &file.name).filter(|_| !self.seen.sets.is_empty());
        let given_up: BTreeSet<&ServiceName> = names.filter(|name| count(name) < self.live(name)).collect();
        self.seen.sets.iter().flat_map(move |(name, count)| {
            let (live, slots) = (self.live(name), self.slots_without(name, |_, other| given_up.contains(other)));
            let feasible = live.saturating_add(slots);
            let ceiling = self.file(name).map_or(u32::MAX, Service::ceiling);
            let floor = self.file(name).map_or(0, |file| file.min_tasks).min(live);
            let over = (*count > feasible)
                .then(|| format!("{name} set to {count}, but {live} live and at most {slots} more fit"));
            let above = (*count > ceiling).then(|| format!("{name} set to {count}, above max_tasks {ceiling}"));
            let below = (*count < floor).then(|| format!("{name} set to {count}, below min_tasks {floor}"));
            over.into_iter().chain(above).chain(below).map(|detail| (2, detail))
        })
    }

    /// Live tasks on hosts that stay. ECS moves those on hosts that drain; where they have no place, they are given up.
    fn staying(&self, name: &ServiceName) -> u32 {
        self.told().live.get(name).map_or(0, |(_, staying)| *staying)
    }

    fn stays(&self, id: &InstanceId) -> bool {
        self.told().active.contains(id)
    }

    /// Invariant 3: no task that its service still wants is stopped, unless its host is leaving or a higher tier starts
    /// something.
    pub(super) fn lowers(&self) -> impl Iterator<Item = (u8, String)> {
        self.seen.sets.iter().filter_map(|(name, count)| {
            let file = self.file(name)?;
            let live = self.staying(name);
            let wanted = self.wanted(file).unwrap_or(live).min(file.ceiling());
            let higher_starts = || {
                let higher = self.fleet.services.iter().filter(|other| other.priority < file.priority);
                higher.map(|other| &other.name).any(|other| {
                    if self.theirs.contains(other) {
                        return true;
                    }
                    let meant = self.meant.iter().filter(|(name, _)| name == other).map(|(_, count)| *count).max();
                    let truly = [self.truly, &self.seen.counts].map(|counts| counts.get(other).copied().unwrap_or(0));
                    let truly = truly[0].max(truly[1]);
                    self.left_at(other).max(meant.unwrap_or(0)).max(truly) > self.staying(other)
                })
            };
            (*count < live.min(wanted) && !higher_starts()).then(|| {
                (3, format!("{name} set to {count}: {live} live on hosts that stay, {wanted} wanted, and no higher tier starts one"))
            })
        })
    }

    /// What the service wants by the signal that the turn saw; a fill service wants all that it has.
    fn wanted(&self, file: &Service) -> Option<u32> {
        match &file.demand {
            None => Some(u32::MAX),
            Some(Demand::Metric(demand)) => {
                let (_, signal) = self.seen.signals.iter().find(|(source, _)| *source == demand.source)?;
                match signal {
                    Signal::Value { value, at: _ } => {
                        let of_one = demand.source.shown(demand.per_task);
                        Some(tasks(value / of_one).max(file.min_tasks))
                    }
                    Signal::Backlog { .. } | Signal::Alarm { .. } | Signal::Unknown(_) => None,
                }
            }
            // The other kinds remember levels; what they want now cannot be told from one turn.
            Some(Demand::Tracking(_) | Demand::Queue(_) | Demand::Manual(_) | Demand::Steps(_)) => Some(0),
        }
    }

    /// Invariant 4, where it is plain: the highest tier's only service is short, and stopping every task of the lower
    /// tiers, where all may go, is certain to start more of it.
    pub(super) fn preemption_not_taken(&self, summary: &Summary) -> Option<String> {
        let top = self.fleet.services.iter().map(|service| service.priority).min()?;
        let mut first = self.fleet.services.iter().filter(|service| service.priority == top);
        let (service, None) = (first.next()?, first.next()) else { return None };
        if service.fill {
            return None; // it wants what is left, and waits for its dwell
        }
        let held_back = |wait: &Wait| match wait {
            Wait::NoSuchService { service }
            | Wait::HandsOff { service, .. }
            | Wait::ForeignWriter { service, .. }
            | Wait::Constraint { service, .. }
            | Wait::Distrust { service, .. }
            | Wait::UnknownDemand { service, .. } => Some(service.clone()),
            Wait::Host(_)
            | Wait::Roll(_)
            | Wait::FileRefused { .. }
            | Wait::FirstLook { .. }
            | Wait::Looks { .. }
            | Wait::NoRoom { .. }
            | Wait::Placement { .. }
            | Wait::ScaleDown { .. }
            | Wait::Refill { .. } => None,
        };
        let mut held_back: BTreeSet<ServiceName> = summary.report.waits.iter().filter_map(held_back).collect();
        held_back.extend(self.theirs.iter().cloned());
        let uncertain = self.seen.services.iter().any(|ecs| !ecs.constraints.is_empty() || !ecs.task.ports.is_empty());
        if held_back.contains(&service.name) || uncertain {
            return None;
        }
        // Somebody else's placements in flight may take the room.
        let in_flight = |name: &ServiceName| self.ecs(name).is_some_and(|ecs| ecs.desired > self.live(name));
        if held_back.iter().any(in_flight) {
            return None;
        }
        let wanted = self.wanted(service)?.min(service.ceiling());
        let truly = self.truly.get(&service.name).copied().unwrap_or(0);
        let left_at = self.set_in_it(&service.name).unwrap_or(truly);
        let may_go: BTreeSet<&ServiceName> = self
            .fleet
            .services
            .iter()
            .filter(|other| other.priority > top && other.min_tasks == 0 && !held_back.contains(&other.name))
            .map(|other| &other.name)
            .collect();
        // ECS moves tasks off hosts that drain, this service's and others', and they take room as well.
        let counted = |name: &ServiceName| *name == service.name || may_go.contains(name);
        let moves = |task: &&Task| {
            task.is_live() && !self.stays(&task.host) && task.service.as_ref().is_some_and(|name| !counted(name))
        };
        if self.seen.tasks.iter().any(|task| moves(&task)) {
            return None;
        }
        // ECS does not stop protected tasks when a count falls.
        let goes = |task: &Task, other: &ServiceName| may_go.contains(other) && !task.protected;
        let could = self.staying(&service.name).saturating_add(self.slots_without(&service.name, goes));
        (left_at < wanted.min(could)).then(|| {
            format!(
                "{} left at {left_at}: {wanted} wanted, and {could} would fit without the lower tiers",
                service.name
            )
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at the type's limits")]
fn tasks(value: f64) -> u32 {
    (value - 1e-6).ceil().max(0.0) as u32
}
