//! When a roll begins: by request, in a window, or because an event made one due. And what else people ask for.

use std::collections::BTreeMap;

use evenkeel_model::decision::{Halt, RollStep, RollWhy};
use evenkeel_model::fleet::{Patch, Refresh};
use evenkeel_model::report::{RollWait, Wait};
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{FunctionName, PoolName, RollId, Timestamp};
use evenkeel_turn::{Ask, Order};

use crate::plan::Planning;
use crate::state::{BakeState, Due, Roll, Stage};

/// What is said to those who ask for a roll where there can be none.
pub(crate) const ONLY_OBSERVES: &str = "patchroll only observes this fleet and takes no step (mode = \"observe\" in the fleet file): \
     `plan` says what it would do, and with mode = \"act\" it does it";

impl Planning<'_, '_> {
    /// Follows the orders that are new.
    pub(crate) fn follow_orders(&mut self) {
        let given = self.given;
        let followed = self.state.followed;
        for order in given.board.orders.list.iter().filter(|order| order.number > followed) {
            self.follow(order);
        }
        self.state.followed = given.board.orders.last;
    }

    fn follow(&mut self, order: &Order) {
        match &order.ask {
            Ask::Look => {}
            Ask::Roll { verb, pool, by } => {
                let why = RollWhy::Asked { by: by.clone() };
                let answer = match verb {
                    RollVerb::Start => self.start(order, pool.clone(), why),
                    RollVerb::Pause => self.steer(why, |roll| {
                        let news = !roll.paused;
                        roll.paused = true;
                        news.then(|| RollStep::Pause { roll: roll.id.clone() })
                    }),
                    RollVerb::Resume => self.steer(why, |roll| {
                        let news = roll.paused || roll.halted.is_some();
                        roll.paused = false;
                        roll.halted = None;
                        news.then(|| RollStep::Resume { roll: roll.id.clone() })
                    }),
                    RollVerb::Abort => self.steer(why, |roll| {
                        let news = !roll.aborting;
                        roll.aborting = true;
                        roll.halted = roll.halted.take().or(Some(Halt::Request));
                        news.then(|| RollStep::Abort { roll: roll.id.clone() })
                    }),
                    RollVerb::Plan | RollVerb::Status => Ok(()),
                };
                if let Err(because) = answer {
                    let request = word(*verb).to_owned();
                    self.report.waits.push(Wait::Roll(RollWait::Refused { request, because }));
                }
            }
            Ask::Later(asked) => {
                let because = "this version does not know it".to_owned();
                self.report.waits.push(Wait::Roll(RollWait::Refused { request: asked.to_string(), because }));
            }
            Ask::Due { because, refresh, hosts } => {
                // What was launched after the event, or is nobody's here, is no reason.
                let known = |id| self.roster.all.get(id).is_some_and(|kept| !kept.note.came_after(order.at));
                let covered = self.state.roll.as_ref().is_some_and(|roll| roll.started >= order.at);
                if covered || !(hosts.is_empty() || hosts.iter().any(known)) {
                    return;
                }
                let before = self.state.due.take();
                let refresh = if before.as_ref().is_some_and(|due| due.refresh == Refresh::All) {
                    Refresh::All
                } else {
                    *refresh
                };
                let at = before.map_or(order.at, |due| due.at.max(order.at));
                self.state.due = Some(Due { because: because.clone(), refresh, at });
            }
        }
    }

    /// The roll that is due, which is taken from those that wait; one that would begin has not.
    fn take_due(&mut self) -> Option<Due> {
        if self.given.fleet.observes(FunctionName::Patchroll) { self.state.due.clone() } else { self.state.due.take() }
    }

    fn start(&mut self, order: &Order, pool: Option<PoolName>, why: RollWhy) -> Result<(), String> {
        if let Some(roll) = &self.state.roll {
            return Err(format!("roll {} is under way", roll.id));
        }
        if let Some(pool) = &pool
            && self.roster.groups.iter().all(|(known, _)| known.name != *pool)
        {
            return Err(format!("the fleet has no pool {pool}"));
        }
        let due = self.take_due();
        let refresh = due.map_or(self.policy.refresh, |due| stronger(due.refresh, self.policy.refresh));
        self.begin(why, true, pool, refresh, order.number);
        Ok(())
    }

    /// Changes the roll's course; `how` gives what is told of it, where that is a change.
    fn steer(&mut self, why: RollWhy, how: impl FnOnce(&mut Roll) -> Option<RollStep>) -> Result<(), String> {
        let roll = self.state.roll.as_mut().ok_or_else(|| "no roll is under way".to_owned())?;
        if let Some(step) = how(roll) {
            self.tell(step, why);
        }
        Ok(())
    }

    /// Begins a roll where a window is open and there is a reason.
    pub(crate) fn begin_in_window(&mut self) {
        if self.state.roll.is_some() {
            return;
        }
        let now = self.given.now;
        let open = open_until(self.policy, now);
        if let Some(due) = &self.state.due
            && open.is_none()
        {
            let because = format!("a roll is due ({})", due.because);
            let opens = next_window(self.policy, now);
            self.report.waits.push(Wait::Roll(RollWait::OutsideWindow { because, opens }));
        }
        let Some(until) = open.filter(|_| !self.seen.partial) else { return };
        // A window that overlaps with one that was answered, or follows on its heels, is the same one.
        let answered = self.state.answered.is_some_and(|answered| answered >= now);
        if answered && self.state.due.is_none() {
            self.state.answered = self.state.answered.max(Some(until));
            return;
        }
        let always = self.policy.bake.is_some() || self.policy.refresh == Refresh::All;
        let reason = match self.take_due() {
            Some(due) => Some((due.because, stronger(due.refresh, self.policy.refresh))),
            None if always => Some(("its window opened".to_owned(), self.policy.refresh)),
            None => self.any_outdated().map(|what| (format!("its window opened, and {what}"), self.policy.refresh)),
        };
        if let Some((because, refresh)) = reason {
            self.state.answered = self.state.answered.max(Some(until));
            self.begin(RollWhy::Due { because }, false, None, refresh, self.given.board.orders.last);
        }
    }

    /// What a host runs that its group would not use now, in words, if there is one.
    fn any_outdated(&self) -> Option<String> {
        let mut hosts = self.roster.all.iter().filter(|(_, kept)| kept.may_go());
        let old =
            hosts.find_map(|(id, kept)| Some(((*id).clone(), kept.outdated(self.state.targets.get(&kept.pool.name))?)));
        let waiting = || self.old_warm(None).into_iter().next().map(|old| (old.id, old.why));
        old.or_else(waiting).map(|(id, why)| format!("{id} is outdated: {why}"))
    }

    fn begin(&mut self, why: RollWhy, any_time: bool, pool: Option<PoolName>, refresh: Refresh, number: u64) {
        let now = self.given.now;
        let id = RollId::new(&format!("{}-{number}", now.strftime("%Y%m%dT%H%M%S")));
        let stage = if self.policy.bake.is_some() { Stage::Baking(BakeState::new(now)) } else { Stage::Rolling };
        let mut roll = Roll {
            id: id.unwrap_or_else(|_| unreachable!("digits, a T and a hyphen")),
            started: now,
            because: why.to_string(),
            any_time,
            pool,
            refresh,
            stage,
            paused: false,
            aborting: false,
            halted: None,
            from: BTreeMap::new(),
            todo: std::collections::BTreeSet::new(),
            wave: None,
            quiet: None,
            waves: 0,
            replaced: 0,
            went: 0,
            abandoned: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        self.list_hosts(&mut roll);
        let _nobody_else_yet = self.watch_capacities(&mut roll, None);
        self.tell(RollStep::Start { roll: roll.id.clone(), pool: roll.pool.clone() }, why);
        self.state.roll = Some(roll);
    }
}

const fn stronger(one: Refresh, other: Refresh) -> Refresh {
    match (one, other) {
        (Refresh::All, _) | (_, Refresh::All) => Refresh::All,
        (Refresh::Outdated, Refresh::Outdated) => Refresh::Outdated,
    }
}

const fn word(verb: RollVerb) -> &'static str {
    match verb {
        RollVerb::Plan => "plan",
        RollVerb::Start => "start",
        RollVerb::Pause => "pause",
        RollVerb::Resume => "resume",
        RollVerb::Abort => "abort",
        RollVerb::Status => "status",
    }
}

/// Until when a window is open, if one is: with several, the last to close.
pub(crate) fn open_until(policy: &Patch, now: Timestamp) -> Option<Timestamp> {
    policy.windows.iter().filter_map(|window| window.closes(now)).max()
}

/// When the next window opens.
pub(crate) fn next_window(policy: &Patch, now: Timestamp) -> Option<Timestamp> {
    policy.windows.iter().filter_map(|window| window.next_start(now)).min()
}
