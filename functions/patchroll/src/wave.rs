//! The wave under way: hosts become empty, end, and are replaced.

use std::time::Duration;

use evenkeel_model::decision::{Halt, HostStep, HostWhy, Step, Stuck, Why};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::{HostWait, RollWait, Wait};
use evenkeel_model::stuck::of_host;
use evenkeel_model::{FunctionName, GroupName, InstanceId};
use evenkeel_turn::Out;

use crate::hosts::Kept;
use crate::pairs::{Pair, Phase, Wave};
use crate::plan::Planning;
use crate::seen::drains_usually;
use crate::state::{Roll, Stage};
use crate::stuck;

/// Hosts that end in one turn: Auto Scaling's API is assumed to allow twenty calls at once and five a second after that,
/// and others call it too.
pub(crate) const MOST_ENDS: usize = 10;
/// The next of them end then.
pub(crate) const ENDS_AGAIN: Duration = Duration::from_secs(4);
/// A host that was told to end is told again after this long, where nothing came of it: an end that makes its group smaller
/// does so twice when it is told twice.
const TOLD_AGAIN: Duration = Duration::from_secs(10);
/// Old hosts go together when all new ones have come, or so long after the first: each time some go costs a handful of
/// calls.
const TOGETHER: Duration = Duration::from_secs(30);

impl Planning<'_, '_> {
    /// Takes the wave as far as it can go now; clears it when it is over.
    pub(crate) fn advance(&mut self, roll: &mut Roll) {
        let Some(mut wave) = roll.wave.take() else {
            for (group, found) in self.watch_capacities(roll, None) {
                roll.groups.entry(group).and_modify(|capacity| capacity.yields(found));
            }
            return;
        };
        for (id, by) in wave.stop_the_clock(self.given.now) {
            if let Some(out) = self.budget.outs.get_mut(&id).filter(|out| out.by == FunctionName::Patchroll) {
                out.deadline += by;
            }
        }
        self.see_who_went(roll, &mut wave);
        let foreign = self.watch_capacities(roll, Some(&wave));
        let meddled = self.say_who_set(roll, &wave, &foreign);
        self.see_who_grew(roll, &mut wave);
        self.name_successors(roll, &mut wave);
        self.give_up_late(roll, &mut wave);
        self.spare_those_that_are_current(roll, &mut wave);
        let stop = self.stops(roll, &wave) || meddled;
        if stop {
            self.stay(roll, &mut wave);
        }
        for (group, found) in foreign {
            roll.groups.entry(group).and_modify(|capacity| capacity.yields(found));
        }
        if !stop {
            self.grow(roll, &mut wave);
            self.let_go(roll, &mut wave);
        }
        self.leave(roll, &mut wave);
        self.finish(roll, wave);
    }

    /// Notes which old hosts are on their way out of their group, or gone; of a group that is not seen nothing is known.
    fn see_who_went(&self, roll: &mut Roll, wave: &mut Wave) {
        let now = self.given.now;
        let ids: Vec<InstanceId> = wave.hosts.keys().cloned().collect();
        for id in ids {
            let Some(pair) = wave.hosts.get_mut(&id) else { continue };
            if self.roster.group(&pair.group).is_none() {
                if !self.is_listed(&pair.group) {
                    wave.hosts.remove(&id);
                    roll.abandoned.insert(id, Stuck::NotListed);
                }
                continue;
            }
            if self.roster.all.get(&id).is_some_and(Kept::stays) {
                continue;
            }
            if !pair.serves() && !pair.leaves() {
                continue;
            }
            if pair.launch_first {
                // Whether its group has become smaller by it is seen in the group.
                roll.groups.entry(pair.group.clone()).and_modify(|capacity| capacity.extra += 1);
            }
            if wave.withdraws || pair.launch_first {
                pair.enter(Phase::Settled, now);
            } else {
                if pair.asked.is_none() {
                    let pool = self.roster.group(&pair.group).map(|(pool, _)| &pool.name);
                    pair.asked = Some(pair.since);
                    pair.version = pool.and_then(|pool| self.state.targets.get(pool)).map(|target| target.version);
                }
                pair.enter(Phase::Launching, now);
            }
        }
    }

    /// Whether the wave takes no more of its hosts out: the roll is halted or ends, or somebody else is at work on the
    /// groups.
    fn stops(&self, roll: &Roll, wave: &Wave) -> bool {
        if wave.withdraws {
            return false;
        }
        if roll.halted.is_some() && (roll.stage != Stage::TakingBack || roll.aborting) {
            return true;
        }
        let groups = wave.groups();
        groups.iter().filter_map(|group| self.roster.group(group)).any(|(_, group)| self.is_refreshing(group))
    }

    /// Hosts that were not told to end stay: where they drain they take tasks again. One whose end came to nothing stays,
    /// too.
    fn stay(&self, roll: &mut Roll, wave: &mut Wave) {
        let stays = |(_, pair): &(&InstanceId, &Pair)| pair.can_stay() || self.came_to_nothing(pair);
        let ids: Vec<InstanceId> = wave.hosts.iter().filter(stays).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.dissolve(roll, wave, &id);
        }
    }

    /// A version may have been deleted: hosts that were not told to end, and are what their group launches now, stay.
    fn spare_those_that_are_current(&self, roll: &mut Roll, wave: &mut Wave) {
        if roll.stage != Stage::Rolling || wave.withdraws || self.seen.templates.is_none() {
            return;
        }
        let stays = |(id, pair): &(&InstanceId, &Pair)| pair.can_stay() && self.is_current(roll, id);
        let ids: Vec<InstanceId> = wave.hosts.iter().filter(stays).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.dissolve(roll, wave, &id);
            roll.todo.remove(&id);
        }
    }

    /// A host of the wave is not replaced now; what came or was asked for in its place is left over.
    fn dissolve(&self, roll: &mut Roll, wave: &mut Wave, id: &InstanceId) {
        let Some(pair) = wave.hosts.remove(id) else { return };
        if pair.launch_first {
            roll.groups.entry(pair.group).and_modify(|capacity| capacity.extra += 1);
        }
        if !wave.withdraws {
            roll.todo.insert(id.clone());
        }
    }

    /// A host of the wave cannot be replaced.
    fn abandon(&self, roll: &mut Roll, wave: &mut Wave, id: InstanceId, cause: Stuck) {
        let Some(pair) = wave.hosts.remove(&id) else { return };
        if pair.launch_first {
            roll.groups.entry(pair.group).and_modify(|capacity| capacity.extra += 1);
        }
        roll.abandoned.insert(id, cause);
    }

    /// Lets old hosts go whose successors are in service.
    fn let_go(&mut self, roll: &Roll, wave: &mut Wave) {
        if let Some(until) = roll.quiet.filter(|until| *until > self.given.now) {
            self.report.waits.push(Wait::Roll(RollWait::Settling { until }));
            self.wake_at(until);
            return;
        }
        for group in wave.groups() {
            let serve = wave.of(&group).filter(|(_, pair)| pair.serves()).count();
            let ready: Vec<InstanceId> = wave
                .of(&group)
                .filter(|(_, pair)| pair.phase == Phase::InService && self.has_successor(roll, wave, pair))
                .map(|(id, _)| id.clone())
                .collect();
            if ready.is_empty() {
                continue;
            }
            let together = *wave.came.get_or_insert(self.given.now) + TOGETHER;
            if ready.len() < serve && together > self.given.now {
                self.wake_at(together);
                continue;
            }
            for id in ready {
                if let Some(wait) = self.may_leave(wave, &id) {
                    self.report.waits.push(wait);
                    break;
                }
                if let Some(pair) = wave.hosts.get_mut(&id) {
                    pair.enter(Phase::Draining, self.given.now);
                }
                self.note_out(&id);
            }
        }
    }

    /// Drains and ends the hosts that leave; takes back or gives up those that do not.
    pub(crate) fn leave(&mut self, roll: &mut Roll, wave: &mut Wave) {
        let now = self.given.now;
        let mut ends: Vec<(InstanceId, Why)> = Vec::new();
        let ids: Vec<InstanceId> = wave.hosts.keys().cloned().collect();
        for id in ids {
            let Some(pair) = wave.hosts.get_mut(&id).filter(|pair| pair.leaves()) else { continue };
            let Some(kept) = self.roster.all.get(&id).filter(|kept| kept.stays()) else { continue };
            if pair.phase == Phase::Ending {
                self.often = true;
                if !self.came_to_nothing(pair) {
                    continue;
                }
                // Somebody may have let it take tasks again meanwhile.
                pair.enter(Phase::Draining, now);
            }
            let since = pair.since;
            let waited = now.duration_since(since).unsigned_abs();
            let still_here = kept.host.map_or(self.given.fleet.cluster.is_none(), Host::takes_tasks);
            if still_here && self.seen.some_hosts {
                // It was told to drain, and nothing came of it: it is told again once it is known that the others work.
                self.state.looks_whole = true;
                self.wakes.insert(Duration::from_secs(1));
                continue;
            }
            let must_stay = if still_here || kept.may_work() { self.must_stay(wave, &id) } else { None };
            if let Some(wait) = must_stay {
                self.report.waits.push(wait);
                self.hold_back(roll, wave, &id);
                continue;
            }
            match kept.host {
                // Without a cluster, the group's own deregistration from its load balancer is the drain.
                None if self.given.fleet.cluster.is_none() => {
                    ends.push((id, Why::Roll(self.why_replaced(roll, kept))));
                }
                None if !kept.note.joined && kept.note.came_after(roll.started) => {
                    let waited = now.duration_since(kept.note.since).unsigned_abs();
                    ends.push((id, Why::Host(HostWhy::NeverJoined { waited })));
                }
                // That the cluster does not show it now does not say that nothing runs on it.
                None if waited < self.policy.drain_timeout => {
                    self.report.waits.push(Wait::Host(HostWait::NotJoined { host: id, waited }));
                }
                None => self.abandon(roll, wave, id, Stuck::AgentAway),
                Some(host) if host.status == HostStatus::Active => {
                    self.often = true;
                    let why = self.why_replaced(roll, kept);
                    // Its time begins when it drains: telling it may have failed.
                    if let Some(pair) = wave.hosts.get_mut(&id) {
                        pair.since = now;
                    }
                    self.drains.push((id, why));
                }
                Some(host) if host.task_count == 0 => ends.push((id, Why::Host(HostWhy::Empty))),
                Some(host) if waited < self.policy.drain_timeout => {
                    let (tasks, deadline) = (host.task_count, since + self.policy.drain_timeout);
                    self.report.waits.push(Wait::Host(HostWait::Draining { host: id.clone(), tasks, deadline }));
                    self.often = true;
                    if waited >= drains_usually(self.policy) {
                        let cause = self.stuck(kept);
                        self.report.waits.push(Wait::Roll(RollWait::Stuck { host: id, cause, until: deadline }));
                    }
                }
                Some(host) => match self.stuck(kept) {
                    // What is left had its time.
                    cause if cause.goes_by_itself() => {
                        ends.push((id, Why::Host(HostWhy::DrainTimeout { tasks: host.task_count, waited })));
                    }
                    cause => self.abandon(roll, wave, id, cause),
                },
            }
        }
        self.end(wave, ends);
    }

    /// Whether a host was told to end so long ago that one which is in service still was not reached by it.
    fn came_to_nothing(&self, pair: &Pair) -> bool {
        let told = pair.told.unwrap_or(pair.since);
        pair.phase == Phase::Ending && self.given.now.duration_since(told).unsigned_abs() >= TOLD_AGAIN
    }

    fn end(&mut self, wave: &mut Wave, ends: Vec<(InstanceId, Why)>) {
        let now = self.given.now;
        let next = self.state.full_turn.map(|at| at + ENDS_AGAIN).filter(|next| *next > now);
        let most = if next.is_some() { 0 } else { MOST_ENDS };
        let left = ends.len().saturating_sub(most);
        if left > 0 {
            let hosts = u32::try_from(left).unwrap_or(u32::MAX);
            self.report.waits.push(Wait::Roll(RollWait::Ends { hosts }));
            self.wake_at(next.unwrap_or(now + ENDS_AGAIN));
        }
        if most > 0 {
            self.state.full_turn = (ends.len() >= MOST_ENDS).then_some(now);
        }
        let still = wave.hosts.values().filter(|pair| !pair.is_over()).count();
        if still > 0 && still == ends.len() && left == 0 && wave.launches_first() {
            // Nothing else is waited for.
            self.wakes.insert(Duration::from_secs(1));
        }
        for (host, why) in ends.into_iter().take(most) {
            let (Some(pair), Some(kept)) = (wave.hosts.get_mut(&host), self.roster.all.get(&host)) else { continue };
            let pool = kept.pool.name.clone();
            let shrink = wave.withdraws || pair.launch_first;
            if pair.phase != Phase::Ending {
                pair.enter(Phase::Ending, now);
            }
            pair.told = Some(now);
            if pair.asked.is_none() {
                pair.asked = Some(now);
                pair.version = self.state.targets.get(&pool).map(|target| target.version);
            }
            self.ends.push((Step::Host(HostStep::Terminate { host, pool, shrink }), why));
        }
    }

    fn stuck(&self, kept: &Kept<'_>) -> Stuck {
        let room = || self.proof(&std::collections::BTreeSet::from([kept.member.id.clone()])).err();
        of_host(&kept.member.id, kept.host, self.seen.running.as_ref(), self.given.fleet, room)
    }

    /// A host that was about to go stays until it may.
    fn hold_back(&mut self, roll: &mut Roll, wave: &mut Wave, id: &InstanceId) {
        match wave.hosts.get_mut(id) {
            // Nothing was done to it yet.
            Some(pair) if pair.launch_first && !self.roster.all.get(id).is_some_and(Kept::is_draining) => {
                pair.enter(Phase::InService, self.given.now);
                self.budget.give_back(id, FunctionName::Patchroll);
            }
            Some(_) | None => self.dissolve(roll, wave, id),
        }
    }

    /// Ends the wave when nothing is waited for any more, and halts the roll when a successor does not come in time.
    fn finish(&mut self, roll: &mut Roll, wave: Wave) {
        let now = self.given.now;
        self.give_back(&wave);
        if wave.hosts.values().all(Pair::is_over) {
            let settled = wave.hosts.values().filter(|pair| pair.phase == Phase::Settled).count();
            if settled > 0 && !wave.withdraws {
                roll.replaced += u32::try_from(settled).unwrap_or(u32::MAX);
                roll.quiet = Some(now + self.policy.settle);
            }
            return;
        }
        let late = wave.hosts.values().filter(|pair| pair.awaits()).map(|pair| pair.since).min();
        if let Some(since) = late {
            let hosts = wave.hosts.values().filter(|pair| pair.awaits()).count();
            let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
            let deadline = since + self.policy.replace_timeout;
            self.report.waits.push(Wait::Roll(RollWait::Replacing { hosts, deadline }));
            self.often |= self.is_unannounced(&wave);
        }
        roll.wave = Some(wave);
    }

    /// Halts the roll where a successor is not there in time, or is as old as the host before. Nobody waits for the others,
    /// either: what keeps one from coming keeps them all.
    fn give_up_late(&mut self, roll: &mut Roll, wave: &mut Wave) {
        let now = self.given.now;
        let waited = |pair: &Pair| now.duration_since(pair.since).unsigned_abs();
        let late = wave.hosts.values().find(|pair| pair.awaits() && waited(pair) >= self.policy.replace_timeout);
        let cause = self.wrong_version(roll, wave).or_else(|| {
            late.map(|pair| stuck::of_pair(pair, wave, self.roster, self.seen, &self.state.targets, waited(pair)))
        });
        let Some(cause) = cause else { return };
        if roll.halted.is_none() {
            self.halt(roll, Halt::Replacement(cause.clone()));
        }
        let counted = self.given.fleet.is_backfilled();
        let given_up = |pair: &Pair| pair.phase == Phase::Launching && !pair.launch_first;
        for (id, pair) in wave.hosts.iter_mut().filter(|(_, pair)| given_up(pair)) {
            pair.enter(Phase::GivenUp(cause.clone()), now);
            // What the roll has ended and nothing has replaced is missing: backfill makes up for it as for any loss.
            if let Some(out) = self.budget.outs.get_mut(id).filter(|_| counted) {
                *out = Out::lost(now);
            }
        }
    }

    /// Gives back the places in the disruption budget of hosts whose successors are there; where launches are refused,
    /// backfill is to stand in.
    fn give_back(&mut self, wave: &Wave) {
        for (id, pair) in &wave.hosts {
            let group = self.roster.group(&pair.group).map(|(_, group)| &group.name);
            let refused = group.and_then(|group| self.seen.refusals.get(group));
            let refused = refused.is_some_and(|found| found.iter().any(|refusal| refusal.at >= wave.since));
            if pair.is_over() {
                self.budget.give_back(id, FunctionName::Patchroll);
            } else if let Some(out) = self.budget.outs.get_mut(id).filter(|_| refused && pair.awaits()) {
                out.pool = None;
            }
        }
    }

    /// Whether a group is one of the fleet's.
    pub(crate) fn is_listed(&self, group: &GroupName) -> bool {
        self.given.fleet.pools.iter().any(|pool| pool.auto_scaling_group == *group)
    }
}
