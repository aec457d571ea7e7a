//! The independent auditor: after every turn it re-derives the rules from what the turn was told and what it did.
//!
//! It counts and never simulates, and shares no code with the planners. What it can only bound, it bounds so that every
//! violation that it reports is one.

mod hosts;
mod liveness;
mod rolls;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_model::decision::{Decision, Outcome, Step};
use evenkeel_model::fleet::{Demand, Fleet, MetricSource, Service};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Signal, Task};
use evenkeel_model::report::Wait;
use evenkeel_model::{FunctionName, InstanceId, Resources, ServiceName};
use evenkeel_turn::ledger::{Key, Write};
use evenkeel_turn::{Budget, Summary};
use serde::Serialize;

use crate::clock::{Ms, SECOND, seconds};
use crate::cluster::ServiceNo;
use crate::setup::millis;
use crate::turns::{TurnNo, Under};

/// One broken invariant, by its number in the design.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// The invariant's number.
    pub invariant: u8,
    /// When, in seconds since the world began.
    pub at_seconds: f64,
    /// What was seen.
    pub detail: String,
}

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

/// What somebody sets may be a count that we have set before: until no answer of ECS can be that old, it is not known whose it
/// is.
const OLD_ANSWERS: Ms = 40 * SECOND;

/// The auditor.
pub(crate) struct Audit {
    fleet: Arc<Fleet>,
    pub(crate) violations: Vec<Violation>,
    /// Those of the rules about what must happen, apart: a world that breaks no other rule may be late with something.
    pub(crate) overdue: Vec<Violation>,
    /// Times that the disruption budget was overdrawn on purpose.
    pub(crate) budget_violations: u64,
    pub(crate) hosts: hosts::HostAudit,
    pub(crate) rolls: rolls::RollAudit,
    pub(crate) liveness: liveness::Liveness,
    /// Decisions that each turn has recorded and not completed.
    recorded: BTreeMap<TurnNo, BTreeSet<(ServiceName, u32)>>,
    /// When somebody else set a count last.
    meddled: BTreeMap<ServiceNo, Ms>,
}

impl Audit {
    pub(crate) fn new(fleet: &Arc<Fleet>) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            violations: Vec::new(),
            overdue: Vec::new(),
            budget_violations: 0,
            hosts: hosts::HostAudit::default(),
            rolls: rolls::RollAudit::default(),
            liveness: liveness::Liveness::default(),
            recorded: BTreeMap::new(),
            meddled: BTreeMap::new(),
        }
    }

    pub(crate) fn meddled(&mut self, service: ServiceNo, now: Ms) {
        self.meddled.insert(service, now);
        self.liveness.count_meddled(service, now);
    }

    /// A person has set a group's capacity.
    pub(crate) fn capacity_meddled(&mut self, group: crate::cloud::GroupNo, from: u32, to: u32, now: Ms) {
        let own = self.liveness.capacity_meddled(group, to, now);
        self.rolls.meddled(group, rolls::Before { at: now, desired: from, own });
        self.hosts.capacity_meddled(now);
    }

    /// The fleet file was edited.
    pub(crate) fn file_edited(&mut self, fleet: Arc<Fleet>, now: Ms) {
        let names = |fleet: &Fleet| fleet.pools.iter().map(|pool| pool.auto_scaling_group.clone()).collect::<Vec<_>>();
        let (before, after) = (names(&self.fleet), names(&fleet));
        self.rolls.listed(&before, &after, now);
        self.fleet = fleet;
    }

    /// Notes the decisions and the places in the budget among what a turn has written, while the hosts that are `idle` are
    /// there and do not work.
    pub(crate) fn recorded(&mut self, turn: TurnNo, writes: &[Write], idle: &BTreeSet<InstanceId>, now: Ms) {
        let fleet = &Arc::clone(&self.fleet).name;
        for budget in bodies::<Budget>(writes, &Budget::key(fleet)) {
            self.liveness.budget(&budget);
            if let Some(detail) = self.rolls.budget(&budget, self.fleet.disruption.max_out as usize, idle) {
                self.budget_violations += 1;
                self.violated(1, now, detail);
            }
        }
        for write in writes.iter().filter(|write| write.key.sort.starts_with("decision#")) {
            let decisions: Vec<Decision> =
                write.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
            for decision in decisions.into_iter().filter(|decision| decision.outcome == Outcome::Undone) {
                match decision.step {
                    Step::SetDesiredCount { service, from: _, to } => {
                        self.recorded.entry(turn).or_default().insert((service, to));
                    }
                    Step::Host(_) | Step::Image(_) => self.hosts.recorded(turn, decision),
                    Step::Roll(_) => {}
                }
            }
        }
    }

    /// A count is about to be set.
    pub(crate) fn effect(&mut self, turn: TurnNo, service: &ServiceName, count: u32, now: Ms) {
        let known = self.recorded.get(&turn).is_some_and(|known| known.contains(&(service.clone(), count)));
        if !known {
            self.violated(11, now, format!("{service} set to {count} without a recorded decision"));
        }
        if !self.fleet.services.iter().any(|ours| ours.name == *service) {
            self.violated(6, now, format!("{service} is not in the fleet file"));
        }
    }

    pub(crate) fn violated(&mut self, invariant: u8, now: Ms, detail: String) {
        self.violations.push(Violation { invariant, at_seconds: seconds(now), detail });
    }

    /// Judges a turn that has ended, in whatever way.
    /// `counts` are what the services' counts truly are then: an answer that the turn had may have been older.
    pub(crate) fn turn_ended(
        &mut self,
        turn: TurnNo,
        under: &Under,
        summary: Option<&Summary>,
        counts: &BTreeMap<ServiceName, u32>,
        now: Ms,
    ) {
        let recorded = self.recorded.remove(&turn).unwrap_or_default();
        self.hosts.turn_ended(turn);
        if summary.is_some_and(|summary| summary.function != FunctionName::Microscale) {
            return;
        }
        let fleet = Arc::clone(&self.fleet);
        let clean = summary.is_some() && under.failed_calls == 0;
        // What a turn that was cut short meant to do is what it recorded; the next turn goes on from there.
        let meant = if clean { BTreeSet::new() } else { recorded };
        let theirs = self.set_by_people(&under.seen, counts, now);
        let theirs = &theirs;
        for seen in under.earlier.iter().chain([&under.seen]) {
            let count = Count { fleet: &fleet, seen, meant: &meant, truly: counts, theirs };
            for problem in count.raises().chain(count.lowers()) {
                self.violated(problem.0, now, problem.1);
            }
        }
        let count = Count { fleet: &fleet, seen: &under.seen, meant: &meant, truly: counts, theirs };
        if clean
            && let Some(summary) = summary
            && summary.held
            && summary.rounds == 1
            && let Some(detail) = count.preemption_not_taken(summary)
        {
            self.violated(4, now, detail);
        }
    }
}

impl Audit {
    /// Services whose count somebody has set so lately that it may be one of ours in an old answer, or that the turn was
    /// told the count of before: an answer that comes late is what the turn before, or the one before that, was told.
    fn set_by_people(&self, told: &Seen, truly: &BTreeMap<ServiceName, u32>, now: Ms) -> BTreeSet<ServiceName> {
        let late = OLD_ANSWERS + 2 * millis(self.fleet.beat);
        let unsure = |service: &&Service, at: Ms| {
            let before = told.services.iter().find(|ecs| ecs.name == service.name).map(|ecs| ecs.desired);
            let set = told.sets.iter().any(|(name, _)| *name == service.name);
            now - at <= OLD_ANSWERS || (now - at <= late && !set && before != truly.get(&service.name).copied())
        };
        let meddled = self.meddled.iter().filter_map(|(service, at)| Some((self.fleet.services.get(*service)?, *at)));
        meddled.filter(|(service, at)| unsure(service, *at)).map(|(service, _)| service.name.clone()).collect()
    }
}

/// Counting on what a turn was told.
struct Count<'a> {
    fleet: &'a Fleet,
    seen: &'a Seen,
    /// Counts that were recorded and perhaps not set any more.
    meant: &'a BTreeSet<(ServiceName, u32)>,
    /// The services' counts as they truly are at the turn's end: an answer may be older than our own last write.
    truly: &'a BTreeMap<ServiceName, u32>,
    /// Services whose count somebody else has set, so that the turn could not know it for certain.
    theirs: &'a BTreeSet<ServiceName>,
}

impl Count<'_> {
    fn file(&self, name: &ServiceName) -> Option<&Service> {
        self.fleet.services.iter().find(|service| service.name == *name)
    }

    fn ecs(&self, name: &ServiceName) -> Option<&EcsService> {
        self.seen.services.iter().find(|service| service.name == *name)
    }

    fn live(&self, name: &ServiceName) -> u32 {
        let own = self.seen.tasks.iter().filter(|task| task.service.as_ref() == Some(name) && task.is_live());
        u32::try_from(own.count()).unwrap_or(u32::MAX)
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
            let stays = |task: &&Task| {
                task.host == host.id && task.is_live() && !task.service.as_ref().is_some_and(|other| gone(task, other))
            };
            let mut left = host.registered;
            let mut ports = host.reserved_ports.clone();
            for task in self.seen.tasks.iter().filter(stays) {
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
    fn raises(&self) -> impl Iterator<Item = (u8, String)> {
        // A turn may be told the count of before its own last write.
        let count = |name: &ServiceName| {
            self.truly.get(name).map_or(self.left_at(name), |truly| self.left_at(name).min(*truly))
        };
        let names = self.fleet.services.iter().map(|file| &file.name);
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
        let own = |task: &&Task| task.service.as_ref() == Some(name) && task.is_live() && self.stays(&task.host);
        u32::try_from(self.seen.tasks.iter().filter(own).count()).unwrap_or(u32::MAX)
    }

    fn stays(&self, id: &InstanceId) -> bool {
        self.seen.hosts.iter().any(|host| host.id == *id && host.status == HostStatus::Active)
    }

    /// Invariant 3: no task that its service still wants is stopped, unless its host is leaving or a higher tier starts
    /// something.
    fn lowers(&self) -> impl Iterator<Item = (u8, String)> {
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
    fn preemption_not_taken(&self, summary: &Summary) -> Option<String> {
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

/// What was written under a key.
fn bodies<T: serde::de::DeserializeOwned>(writes: &[Write], key: &Key) -> impl Iterator<Item = T> {
    let ours = writes.iter().filter(move |write| write.key == *key);
    ours.filter_map(|write| serde_json::from_str(write.body.as_deref()?).ok())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at the type's limits")]
fn tasks(value: f64) -> u32 {
    (value - 1e-6).ceil().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::fleet::{self, Format};

    const FLEET: &str = "name = \"a\"\ncluster = \"a\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
        pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
        [[service]]\nname = \"web\"\npriority = 1\nmin_tasks = 1\nmax_tasks = 6\n\
        demand = { metric = \"a/m\", period = \"10s\", per_task = 1 }\n\
        [[service]]\nname = \"low\"\npriority = 2\nfill = true\n";

    /// One host of four slots: two `web`, two `low`; `web` wants `want`.
    fn judge(want: f64, sets: &[(&str, u32)], waits: Vec<Wait>) -> Vec<u8> {
        let fleet = Arc::new(fleet::read(FLEET, Format::Toml).unwrap());
        let mut audit = Audit::new(&fleet);
        let task = |(number, service): (usize, &str)| {
            serde_json::json!({
                "id": format!("t-{number}"), "host": "h-1", "service": service, "takes": { "cpu": 1, "memory": 1 },
                "phase": "RUNNING", "created": "2026-01-05T00:00:00Z",
            })
        };
        let tasks: Vec<_> = ["web", "web", "low", "low"].into_iter().enumerate().map(task).collect();
        let service = |name: &str| serde_json::json!({ "name": name, "desired": 2, "task": { "cpu": 1, "memory": 1 } });
        let json = serde_json::json!({
            "at": "2026-01-05T00:00:00Z",
            "hosts": [{ "id": "h-1", "registered": { "cpu": 4, "memory": 4 }, "status": "ACTIVE" }],
            "tasks": tasks,
            "services": [service("web"), service("low")],
        });
        let told: evenkeel_model::observed::Observed = serde_json::from_value(json).unwrap();
        let Some(Demand::Metric(demand)) = &fleet.services[0].demand else { panic!("web has a metric") };
        let seen = Seen {
            hosts: told.hosts,
            tasks: Arc::new(told.tasks),
            services: told.services,
            signals: vec![(demand.source.clone(), Signal::Value { value: want, at: told.at })],
            sets: sets.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect(),
            counts: BTreeMap::new(),
        };
        let summary = Summary {
            fleet: fleet.name.clone(),
            function: evenkeel_model::FunctionName::Microscale,
            held: true,
            rests_until: None,
            rounds: 1,
            unfinished: false,
            wakes: Vec::new(),
            decisions: Vec::new(),
            report: evenkeel_model::report::Report { waits, shortfall: Vec::new() },
            missed: 0,
            not_woken: None,
            fleet_file_refused: None,
        };
        let counts = seen.services.iter().map(|ecs| (ecs.name.clone(), ecs.desired)).collect();
        audit.turn_ended(1, &Under { seen, ..Under::default() }, Some(&summary), &counts, 0);
        audit.violations.iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn a_sound_turn_is_left_in_peace() {
        assert!(judge(2.0, &[], vec![]).is_empty());
        assert!(judge(3.0, &[("low", 1), ("web", 3)], vec![]).is_empty());
        assert!(judge(1.0, &[("web", 1)], vec![]).is_empty());
    }

    #[test]
    fn every_kind_of_wrong_turn_is_found() {
        assert_eq!(judge(3.0, &[("web", 3)], vec![]), [2], "more than fits");
        assert_eq!(judge(2.0, &[("low", 1)], vec![]), [3], "a kill without gain");
        assert_eq!(judge(3.0, &[], vec![]), [4], "a preemption that was not taken");
        assert_eq!(judge(2.0, &[("web", 1)], vec![]), [3, 4], "a wanted task stopped");
        assert_eq!(judge(9.0, &[("low", 0), ("web", 7)], vec![]), [2, 2], "above the maximum and the room");
    }

    #[test]
    fn an_effect_without_a_recorded_decision_is_found() {
        let fleet = Arc::new(fleet::read(FLEET, Format::Toml).unwrap());
        let mut audit = Audit::new(&fleet);
        audit.effect(1, &"web".parse().unwrap(), 3, 0);
        audit.effect(1, &"other".parse().unwrap(), 3, 0);
        let found: Vec<u8> = audit.violations.iter().map(|violation| violation.invariant).collect();
        assert_eq!(found, [11, 11, 6]);
    }
}
