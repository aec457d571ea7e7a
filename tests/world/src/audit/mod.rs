//! The independent auditor: after every turn it re-derives the rules from what the turn was told and what it did.
//!
//! It counts and never simulates, and shares no code with the planners. What it can only bound, it bounds so that every
//! violation that it reports is one.

mod count;
mod hosts;
mod liveness;
mod rolls;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use count::Count;
use evenkeel_model::decision::{Decision, Outcome, Step};
use evenkeel_model::fleet::{Fleet, Service};
use evenkeel_model::{FunctionName, InstanceId, ServiceName};
use evenkeel_turn::ledger::{Key, Write};
use evenkeel_turn::{Budget, Summary};
use serde::Serialize;

use crate::clock::{Ms, SECOND, seconds};
use crate::cluster::ServiceNo;
use crate::setup::millis;
use crate::turns::{TurnNo, Under};

pub(crate) use count::Seen;

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
            let count = Count::new(&fleet, seen, &meant, counts, theirs);
            for problem in count.raises().chain(count.lowers()) {
                self.violated(problem.0, now, problem.1);
            }
        }
        let count = Count::new(&fleet, &under.seen, &meant, counts, theirs);
        if clean
            && let Some(summary) = summary
            && summary.held
            && summary.mode.is_act()
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

/// What was written under a key.
fn bodies<T: serde::de::DeserializeOwned>(writes: &[Write], key: &Key) -> impl Iterator<Item = T> {
    let ours = writes.iter().filter(move |write| write.key == *key);
    ours.filter_map(|write| serde_json::from_str(write.body.as_deref()?).ok())
}

#[cfg(test)]
mod tests;
