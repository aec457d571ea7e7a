//! The plan of a turn.
//!
//! What is under way is read anew from the groups, the cluster and the load balancers; every step is absolute or about one
//! host. So planning again gives nothing, and a turn that was lost is made up for by the next.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_model::decision::{Ending, Halt, HostStep, Planned, RollStep, RollWhy, Step, Why};
use evenkeel_model::fleet::{Patch, Refresh, Strategy};
use evenkeel_model::groups::MemberState;
use evenkeel_model::observed::{HostStatus, Signal};
use evenkeel_model::report::{HostWait, Report, RollWait, Wait};
use evenkeel_model::{FunctionName, InstanceId, Timestamp};
use evenkeel_turn::{Budget, Given, Out, OutCause, Outlook};

use crate::hosts::{Kept, Roster};
use crate::pairs::Wave;
use crate::seen::Seen;
use crate::state::{Ended, Roll, Stage, State};

/// Rolls that are remembered after their end.
const MOST_ENDED: usize = 10;
/// So many hosts that were given up are remembered of each of them but the newest: all of them would fill the state.
const MOST_GIVEN_UP: usize = 20;
/// Calls that mark hosts in one turn, at ten hosts each: a roll of a thousand hosts must not use up ECS's API.
const MOST_MARKS: usize = 5;

/// Plans a turn, which nothing but a beat of our own has woken where it is not `afresh`. Pure: the same arguments give the
/// same plan.
pub fn plan(given: &Given<'_, State>, seen: &Seen, afresh: bool) -> Outlook<State> {
    let mut state = given.state.clone();
    let mut report = Report::default();
    let none;
    let policy = match &given.fleet.patch {
        Some(policy) => policy,
        None if state.is_quiet() => {
            return Outlook { steps: Vec::new(), report, state, budget: None, wakes: Vec::new() };
        }
        // What was begun before the section was taken out is brought to an end.
        None => {
            none = Patch::default();
            &none
        }
    };
    state.notices.merge(&given.board.notices);
    state.notices.forget(given.now);
    state.notices.keep_ours(&seen.groups, |host| given.state.hosts.contains_key(host));
    if seen.alarms.is_some() {
        state.alarms_read = given.now;
    }
    state.looks_whole &= seen.some_hosts;
    if let Some(refreshing) = &seen.refreshes {
        state.refreshing.clone_from(refreshing);
        state.refreshes_read = given.now;
    }
    let roster = Roster::take(given, seen, &mut state, &mut report);
    let takes_back = state.roll.as_ref().is_some_and(|roll| roll.stage == Stage::TakingBack);
    let mut planning = Planning {
        given,
        policy,
        seen,
        roster: &roster,
        budget: given.board.budget.clone(),
        state,
        report,
        takes_back,
        steps: Vec::new(),
        drains: Vec::new(),
        ends: Vec::new(),
        wakes: BTreeSet::new(),
        often: false,
    };
    planning.count_losses();
    if given.fleet.patch.is_some() {
        planning.follow_orders();
        planning.begin_in_window();
    } else {
        planning.end_without_section();
    }
    planning.go_on();
    planning.say_old_warm();
    planning.undo_drains();
    planning.mark();
    planning.outlook(afresh)
}

/// A turn in the making.
pub(crate) struct Planning<'a, 'r> {
    pub(crate) given: &'a Given<'a, State>,
    pub(crate) policy: &'a Patch,
    pub(crate) seen: &'a Seen,
    pub(crate) roster: &'r Roster<'r>,
    pub(crate) budget: Budget,
    pub(crate) state: State,
    pub(crate) report: Report,
    /// The roll takes itself back.
    pub(crate) takes_back: bool,
    steps: Vec<Planned>,
    /// Hosts that drain.
    pub(crate) drains: Vec<(InstanceId, RollWhy)>,
    /// Hosts that end.
    pub(crate) ends: Vec<(Step, Why)>,
    /// When to look again.
    pub(crate) wakes: BTreeSet<Duration>,
    /// Hosts become empty or come into service: look often.
    pub(crate) often: bool,
}

impl Planning<'_, '_> {
    /// Takes the roll as far as it can go now.
    fn go_on(&mut self) {
        let Some(mut roll) = self.state.roll.take() else { return };
        if self.seen.templates.is_some() {
            self.state.templates_read = self.given.now;
        }
        self.count_those_that_went(&mut roll);
        self.look_at_alarms(&mut roll);
        let ending = self.stage(&mut roll);
        self.state.roll = Some(roll);
        if let Some(ending) = ending {
            self.close(ending);
        }
    }

    fn stage(&mut self, roll: &mut Roll) -> Option<Ending> {
        if matches!(roll.stage, Stage::Baking(_)) {
            return self.bake(roll);
        }
        self.advance(roll);
        self.say_if_stopped(roll);
        if roll.wave.is_some() {
            return None;
        }
        if self.keeps_quiet(roll) {
            return None;
        }
        // What comes next is decided with everything in view, and once hosts that were to go take tasks again; a turn that
        // has just ended a wave has not seen that.
        if self.seen.partial || !self.strays(Some(roll)).is_empty() {
            if roll.goes_on_alone(self.policy) {
                self.wakes.insert(Duration::from_secs(1));
            }
            return None;
        }
        self.turn_back(roll);
        if roll.stage == Stage::TakingBack && !roll.aborting && !self.point_back(roll) {
            return None;
        }
        if roll.aborting {
            return (!self.withdraw(roll)).then_some(Ending::Aborted);
        }
        if roll.quiet.is_some_and(|until| until > self.given.now) {
            self.next_wave(roll);
            return None;
        }
        if roll.todo.is_empty() && roll.halted.is_none() {
            self.list_hosts(roll);
        }
        self.give_up_those_not_judged(roll);
        let stopped = roll.halted.is_some() && roll.stage == Stage::Rolling;
        if (stopped || roll.todo.is_empty()) && self.withdraw(roll) {
            return None;
        }
        if stopped || !roll.todo.is_empty() || !self.old_warm(Some(roll)).is_empty() {
            self.next_wave(roll);
            return None;
        }
        Some(match roll.halted.clone() {
            Some(halt) => Ending::RolledBack(halt),
            None if roll.abandoned.is_empty() => Ending::Done,
            None => Ending::Incomplete,
        })
    }

    /// The quiet time after a wave. Nothing happens in it, but for new hosts that come before the next old ones go.
    fn keeps_quiet(&mut self, roll: &Roll) -> bool {
        let stopped = roll.aborting || (roll.halted.is_some() && roll.stage == Stage::Rolling);
        let Some(until) = roll.quiet.filter(|until| *until > self.given.now && !stopped) else { return false };
        self.report.waits.push(Wait::Roll(RollWait::Settling { until }));
        self.wake_at(until);
        self.policy.strategy != Strategy::LaunchFirst || roll.todo.is_empty()
    }

    fn say_if_stopped(&mut self, roll: &Roll) {
        if roll.paused {
            self.report.waits.push(Wait::Roll(RollWait::Paused));
        }
        let aside = self.roster.all.iter().filter(|(_, kept)| {
            let outdated = || kept.to_replace(self.state.targets.get(&kept.pool.name), roll.refresh, roll.started);
            kept.member.state == MemberState::Aside && outdated().is_some()
        });
        self.report.waits.extend(aside.map(|(id, _)| Wait::Roll(RollWait::SetAside { host: (*id).clone() })));
        let refreshing = self.state.refreshing.iter().cloned();
        self.report.waits.extend(refreshing.map(|group| Wait::Roll(RollWait::InstanceRefresh { group })));
        if let Some(because) = roll.halted.clone().filter(|_| roll.stage == Stage::Rolling && !roll.aborting) {
            self.report.waits.push(Wait::Roll(RollWait::Halted { because }));
            if self.policy.roll_back && roll.from.is_empty() {
                let mut targets = self.state.targets.iter().filter(|(pool, _)| roll.is_about(pool));
                let several = targets.any(|(_, target)| !target.lines.is_empty());
                let because = if several {
                    "its hosts are launched from several templates, and one cannot be told for all"
                } else {
                    "its hosts ran no other version of their launch template before"
                };
                let (request, because) = ("roll_back".to_owned(), because.to_owned());
                self.report.waits.push(Wait::Roll(RollWait::Refused { request, because }));
            }
        }
    }

    /// The fleet file has no section for rolls any more: the one that is under way ends as if it had been aborted.
    fn end_without_section(&mut self) {
        self.state.due = None;
        let Some(roll) = &mut self.state.roll else { return };
        let news = !roll.aborting;
        roll.aborting = true;
        roll.halted = Some(Halt::NoSection);
        if news {
            let step = RollStep::Abort { roll: roll.id.clone() };
            self.tell(step, RollWhy::Halted { because: Halt::NoSection });
        }
    }

    /// A halt alarm in ALARM stops the roll.
    fn look_at_alarms(&mut self, roll: &mut Roll) {
        let Some(alarms) = &self.seen.alarms else { return };
        let firing = self.policy.halt_alarms.iter().find(|alarm| {
            alarms.get(*alarm).is_some_and(|signal| matches!(signal, Signal::Alarm { firing: true, since: _ }))
        });
        if let Some(alarm) = firing
            && roll.stage != Stage::TakingBack
            && roll.halted.is_none()
        {
            self.halt(roll, Halt::Alarm(alarm.clone()));
        }
    }

    /// The roll takes no more hosts out.
    pub(crate) fn halt(&mut self, roll: &mut Roll, because: Halt) {
        self.tell(RollStep::Halt { roll: roll.id.clone() }, RollWhy::Halted { because: because.clone() });
        roll.halted = Some(because);
    }

    /// A halt alarm that cannot be read: nobody knows whether the next wave may begin.
    pub(crate) fn unknown_alarm(&self) -> Option<Wait> {
        let alarms = self.seen.alarms.as_ref();
        self.policy.halt_alarms.iter().find_map(|alarm| {
            let because = match alarms.and_then(|alarms| alarms.get(alarm)) {
                Some(Signal::Alarm { .. }) => return None,
                Some(Signal::Unknown(because)) => because.clone(),
                Some(Signal::Value { .. } | Signal::Backlog { .. }) | None => "it was not looked at".to_owned(),
            };
            Some(Wait::Host(HostWait::UnknownAlarm { alarm: alarm.clone(), because }))
        })
    }

    /// The roll is over.
    fn close(&mut self, ending: Ending) {
        let Some(roll) = self.state.roll.take() else { return };
        let always = self.policy.bake.is_some() || roll.refresh == Refresh::All;
        if ending == Ending::Done && !always {
            // What is published later in the same window is rolled in it, too.
            self.state.answered = None;
        }
        let Roll { id, because, started, waves, replaced, went, abandoned, .. } = roll;
        let why = RollWhy::Ended {
            replaced,
            waves,
            went,
            left: u32::try_from(abandoned.len()).unwrap_or(u32::MAX),
            named: abandoned.iter().take(RollWhy::MOST_NAMED).map(|(id, cause)| (id.clone(), cause.clone())).collect(),
        };
        self.tell(RollStep::End { roll: id.clone(), ending: ending.clone() }, why);
        let ended = Ended { id, because, started, at: self.given.now, ending, waves, replaced, went, abandoned };
        self.state.ended.insert(0, ended);
        self.state.ended.truncate(MOST_ENDED);
        for old in self.state.ended.iter_mut().skip(1) {
            if let Some(next) = old.abandoned.keys().nth(MOST_GIVEN_UP).cloned() {
                old.abandoned.split_off(&next);
            }
        }
        self.state.borrows = 0;
    }

    /// Why a host of the roll goes.
    pub(crate) fn why_replaced(&self, roll: &Roll, kept: &Kept<'_>) -> RollWhy {
        if roll.stage == Stage::TakingBack {
            return RollWhy::TakenBack;
        }
        let target = self.state.targets.get(&kept.pool.name);
        kept.to_replace(target, roll.refresh, roll.started).unwrap_or(RollWhy::NoLongerOld)
    }

    /// Takes a place in the disruption budget.
    pub(crate) fn note_out(&mut self, host: &InstanceId) {
        let now = self.given.now;
        let out = Out {
            cause: OutCause::Roll,
            by: FunctionName::Patchroll,
            pool: self.roster.all.get(host).map(|kept| kept.pool.name.clone()),
            since: now,
            deadline: now + self.policy.drain_timeout + self.policy.replace_timeout,
        };
        self.budget.outs.insert(host.clone(), out);
    }

    pub(crate) fn push(&mut self, step: Step, why: Why, beside: bool) {
        let beside = beside && !self.steps.is_empty();
        self.steps.push(Planned { step, why, needs: Vec::new(), beside });
    }

    /// Has the feed say what becomes of a roll.
    pub(crate) fn tell(&mut self, step: RollStep, why: RollWhy) {
        self.push(Step::Roll(step), Why::Roll(why), false);
    }

    /// Hosts that drain because of a roll and are in no wave, or not any more. Those that another function has out are its
    /// affair.
    fn strays(&self, roll: Option<&Roll>) -> Vec<InstanceId> {
        let wave = roll.and_then(|roll| roll.wave.as_ref());
        let in_wave = |id: &InstanceId| wave.is_some_and(|wave| wave.hosts.contains_key(id));
        let drains = |id: &InstanceId| {
            let stays = match self.roster.all.get(id) {
                Some(kept) => kept.stays(),
                None => !self.is_of_listed_group(id),
            };
            stays && self.roster.cluster.get(id).is_some_and(|host| host.status == HostStatus::Draining)
        };
        let taken = |id: &InstanceId| self.budget.outs.get(id).is_some_and(|out| out.by != FunctionName::Patchroll);
        self.state.drained.iter().filter(|id| !in_wave(id) && drains(id) && !taken(id)).cloned().collect()
    }

    /// Hosts that a roll has told to drain and that are not to go take tasks again: asked again until it is seen, because
    /// a turn may die, and a call may fail.
    fn undo_drains(&mut self) {
        let roll = self.state.roll.take();
        let wave = roll.as_ref().and_then(|roll| roll.wave.as_ref());
        let roster = self.roster;
        let (notes, now) = (&self.state.hosts, self.given.now);
        self.state.drained.retain(|id| {
            let told = notes.get(id).is_some_and(|note| note.may_look_unchanged(now));
            // Also where its agent is away: what takes no tasks for other reasons does not drain because of a roll.
            let active = !told && roster.cluster.get(id).is_some_and(|host| host.status == HostStatus::Active);
            let in_wave = wave.is_some_and(|wave| wave.hosts.contains_key(id));
            !roster.is_gone(id, notes.get(id), self.seen.some_hosts) && (in_wave || !active)
        });
        let given_up = |id: &InstanceId| {
            let now = roll.as_ref().map(|roll| &roll.abandoned);
            let before = self.state.ended.first().map(|ended| &ended.abandoned);
            now.into_iter().chain(before).find_map(|abandoned| abandoned.get(id)).cloned()
        };
        let halt = roll.as_ref().and_then(|roll| roll.halted.clone()).unwrap_or(Halt::Yields);
        let why = |id: &InstanceId| match given_up(id) {
            Some(cause) => RollWhy::Abandoned { cause },
            None => RollWhy::Stopped { because: halt.clone() },
        };
        let backs = self.strays(roll.as_ref()).into_iter().map(|id| (id.clone(), why(&id))).collect();
        self.state.roll = roll;
        self.set_status(backs, HostStatus::Active);
    }

    /// Hosts that are to be replaced have a mark in the cluster, others have not.
    fn mark(&mut self) {
        if self.given.fleet.cluster.is_none() || self.seen.hosts.is_empty() {
            return;
        }
        let roll = self.state.roll.as_ref();
        let listed = |id: &InstanceId| {
            roll.is_some_and(|roll| {
                !matches!(roll.stage, Stage::Baking(_))
                    && (roll.todo.contains(id) || roll.wave.as_ref().is_some_and(|wave| wave.hosts.contains_key(id)))
            })
        };
        let (mut old, mut new): (Vec<InstanceId>, Vec<InstanceId>) = (Vec::new(), Vec::new());
        let mut marked = std::mem::take(&mut self.state.marked);
        let (roster, notes, partial, now) = (self.roster, &self.state.hosts, self.seen.some_hosts, self.given.now);
        marked.retain(|id| !roster.is_gone(id, notes.get(id), partial));
        let ids: BTreeSet<InstanceId> = roster.all.keys().copied().chain(&marked).cloned().collect();
        for id in ids {
            let Some(host) = roster.cluster.get(&id) else { continue };
            match (listed(&id), host.attributes.contains_key(HostStep::OLD)) {
                (true, false) => old.push(id),
                (false, true) => new.push(id),
                (false, false) if !notes.get(&id).is_some_and(|note| note.may_look_unchanged(now)) => {
                    marked.remove(&id);
                }
                (false, false) | (true, true) => {}
            }
        }
        self.note_changed(&old);
        marked.extend(new.iter().chain(&old).cloned());
        self.state.marked = marked;
        let reasons = [(old, true, RollWhy::Unattractive), (new, false, RollWhy::NoLongerOld)];
        for (hosts, old, why) in reasons {
            for hosts in hosts.chunks(HostStep::MOST_HOSTS).take(MOST_MARKS) {
                let step = Step::Host(HostStep::Mark { hosts: hosts.to_vec(), old });
                self.push(step, Why::Roll(why.clone()), true);
            }
        }
    }

    /// Until no answer can be so old, these are not believed to be as they were before.
    fn note_changed(&mut self, hosts: &[InstanceId]) {
        for id in hosts {
            if let Some(note) = self.state.hosts.get_mut(id) {
                note.changed = Some(self.given.now);
            }
        }
    }

    /// Sets the status of hosts, ten a call, those with the same reason together.
    fn set_status(&mut self, hosts: Vec<(InstanceId, RollWhy)>, status: HostStatus) {
        let mut by_why: Vec<(RollWhy, Vec<InstanceId>)> = Vec::new();
        for (id, why) in hosts {
            match by_why.iter_mut().find(|(known, _)| *known == why) {
                Some((_, ids)) => ids.push(id),
                None => by_why.push((why, vec![id])),
            }
        }
        for (why, ids) in by_why {
            for hosts in ids.chunks(HostStep::MOST_HOSTS) {
                let step = Step::Host(HostStep::SetStatus { hosts: hosts.to_vec(), status });
                self.push(step, Why::Roll(why.clone()), true);
            }
        }
    }

    fn outlook(mut self, afresh: bool) -> Outlook<State> {
        let (drains, ends) = (std::mem::take(&mut self.drains), std::mem::take(&mut self.ends));
        let drained: Vec<InstanceId> = drains.iter().map(|(id, _)| id.clone()).collect();
        self.note_changed(&drained);
        self.state.drained.extend(drained);
        self.set_status(drains, HostStatus::Draining);
        for (step, why) in ends {
            self.push(step, why, true);
        }
        self.keep_own_places();
        let wakes = self.when_to_look_again(afresh);
        let Planning { given, budget, state, report, steps, .. } = self;
        let budget = (budget != given.board.budget).then_some(budget);
        Outlook { steps, report, state, budget, wakes }
    }

    /// A host keeps its place in the budget as long as it is in a wave or drains because of one.
    fn keep_own_places(&mut self) {
        let wave = self.state.roll.as_ref().and_then(|roll| roll.wave.as_ref());
        let drained = &self.state.drained;
        let of_wave = |id: &InstanceId| wave.and_then(|wave| wave.hosts.get(id)).is_some_and(|pair| !pair.is_over());
        let out = |id: &InstanceId| drained.contains(id) || of_wave(id);
        self.budget.outs.retain(|id, known| known.by != FunctionName::Patchroll || out(id));
    }

    /// When to look again besides the ticks: often while hosts become empty or come into service, and at the end of the
    /// quiet time. Beats ask for the next ones; a turn that none of them has woken asks for those after them, so that a chain
    /// of beats is no longer than from tick to tick.
    fn when_to_look_again(&mut self, afresh: bool) -> Vec<Duration> {
        let now = self.given.now;
        let mut wakes = std::mem::take(&mut self.wakes);
        let wave = self.state.roll.as_ref().and_then(|roll| roll.wave.as_ref());
        let beats = if wave.is_some_and(Wave::launches_first) { &CALM_BEATS[..] } else { &BEATS[..] };
        let last = Duration::from_secs(beats[beats.len() - 1]);
        let ahead = if afresh { last } else { BEATS_OVERLAP };
        if self.often && self.state.woken_until <= now + ahead {
            let from = self.state.woken_until.max(now);
            let from = if afresh { whole_seconds(from.duration_since(now).unsigned_abs()) } else { Duration::ZERO };
            wakes.extend(beats.iter().map(|after| from + Duration::from_secs(*after)));
            self.state.woken_until = now + from + last;
        }
        wakes.into_iter().collect()
    }
}

/// Beats while something is under way: a host is empty after some ten seconds to a minute.
const BEATS: [u64; 3] = [4, 9, 14];
/// Where the new hosts are there already, nothing is missing, and looks are dearer: there are more hosts.
const CALM_BEATS: [u64; 2] = [9, 18];
/// The next ones are asked for with the last.
const BEATS_OVERLAP: Duration = Duration::from_secs(2);

impl Planning<'_, '_> {
    /// Looks again at `at`.
    pub(crate) fn wake_at(&mut self, at: Timestamp) {
        if self.state.woken_for != Some(at) {
            self.state.woken_for = Some(at);
            self.wakes.insert(whole_seconds(at.duration_since(self.given.now).unsigned_abs()));
        }
    }
}

/// Whole seconds, as queues take them, and never too early.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}
