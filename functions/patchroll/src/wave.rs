//! The wave under way: hosts become empty, end, and are replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::{Halt, HostStep, HostWhy, RollWhy, Step, Stuck, Why};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::{HostWait, RollWait, Wait};
use evenkeel_model::{InstanceId, PoolName};

use crate::hosts::Kept;
use crate::plan::Planning;
use crate::seen::drains_usually;
use crate::state::{Leaver, Roll, Stage, Wave};
use crate::stuck;

/// Hosts that end in one turn: Auto Scaling's API is assumed to allow twenty calls at once and five a second after that,
/// and others call it too.
const MOST_ENDS: usize = 10;
/// The next of them end then.
const ENDS_AGAIN: Duration = Duration::from_secs(4);
/// Old hosts go together when all new ones have come, or so long after the first: each time some go costs a handful of
/// calls.
const TOGETHER: Duration = Duration::from_secs(30);

impl Planning<'_, '_> {
    /// Takes the wave as far as it can go now; clears it when it is over.
    pub(crate) fn advance(&mut self, roll: &mut Roll) {
        let Some(mut wave) = roll.wave.take() else { return };
        let stop = self.stops(roll, &wave);
        if !stop {
            self.raise(&wave);
            self.let_go(roll, &mut wave);
        }
        self.leave(roll, &mut wave, stop);
        self.finish(roll, wave);
    }

    /// Whether the wave takes no more of its hosts out: the roll is halted or ends, or somebody else is at work on the
    /// groups.
    fn stops(&mut self, roll: &Roll, wave: &Wave) -> bool {
        if wave.withdraws {
            return false;
        }
        if roll.halted.is_some() && (roll.stage != Stage::TakingBack || roll.aborting) {
            return true;
        }
        let mut yields = false;
        for pool in pools_of(wave) {
            let Some(group) = self.roster.group(&pool) else { continue };
            yields |= self.is_refreshing(group);
            if let Some(expected) = self.foreign_capacity(wave, &pool, group.desired) {
                let found = group.desired;
                self.report.waits.push(Wait::Roll(RollWait::ForeignCapacity { pool, expected, found }));
                yields = true;
            }
        }
        yields
    }

    /// What a raised group's capacity should be, where somebody has set another.
    fn foreign_capacity(&self, wave: &Wave, pool: &PoolName, found: u32) -> Option<u32> {
        let raise = wave.raised.get(pool)?;
        let gone = |(id, leaver): &(&InstanceId, &Leaver)| {
            leaver.pool == *pool && leaver.leaves.is_some() && self.roster.all.get(*id).is_none_or(|kept| !kept.stays())
        };
        let gone = u32::try_from(wave.hosts.iter().filter(gone).count()).unwrap_or(u32::MAX);
        let not_raised_yet = found == raise.found && wave.hosts.values().all(|leaver| leaver.leaves.is_none());
        let expected = raise.most().saturating_sub(gone);
        ((found < expected || found > raise.most()) && !not_raised_yet).then_some(expected)
    }

    /// Grows the groups, as long as no old host has gone.
    pub(crate) fn raise(&mut self, wave: &Wave) {
        if wave.hosts.values().any(|leaver| leaver.leaves.is_some()) {
            return;
        }
        for (pool, raise) in &wave.raised {
            // A host that went by itself meanwhile needs no other that comes first.
            let goes = |(id, leaver): (&InstanceId, &Leaver)| {
                leaver.pool == *pool && self.roster.all.get(id).is_some_and(Kept::stays)
            };
            let Some(group) = self.roster.group(pool).filter(|group| group.desired == raise.found) else { continue };
            if !wave.hosts.iter().any(goes) {
                continue;
            }
            let step = HostStep::SetCapacity {
                pool: pool.clone(),
                group: group.name.clone(),
                from: group.desired,
                to: raise.to,
            };
            if raise.to > raise.found {
                self.push(Step::Host(step), Why::Roll(RollWhy::LaunchFirst { hosts: raise.to - raise.from }), false);
            }
        }
    }

    /// Lets as many old hosts go as new ones have come.
    fn let_go(&mut self, roll: &Roll, wave: &mut Wave) {
        if let Some(until) = roll.quiet.filter(|until| *until > self.given.now) {
            self.report.waits.push(Wait::Roll(RollWait::Settling { until }));
            self.wake_at(until);
            return;
        }
        let raised: Vec<PoolName> = wave.raised.keys().cloned().collect();
        for pool in raised {
            let of_pool = |leaver: &&Leaver| leaver.pool == pool;
            let left = wave.hosts.values().filter(of_pool).filter(|leaver| leaver.leaves.is_some()).count();
            let come = self.come(wave, &pool).saturating_sub(left);
            let waiting =
                wave.hosts.iter().filter(|(_, leaver)| of_pool(leaver) && leaver.leaves.is_none() && !leaver.ended);
            let waiting: Vec<InstanceId> = waiting.map(|(id, _)| id.clone()).collect();
            if come == 0 || waiting.is_empty() {
                continue;
            }
            let together = *wave.came.get_or_insert(self.given.now) + TOGETHER;
            if come < waiting.len() && together > self.given.now {
                self.wake_at(together);
                continue;
            }
            for id in waiting.into_iter().take(come) {
                if let Some(wait) = self.may_leave(&id) {
                    self.report.waits.push(wait);
                    break;
                }
                if let Some(leaver) = wave.hosts.get_mut(&id) {
                    leaver.leaves = Some(self.given.now);
                    self.note_out(&id, &pool);
                }
            }
        }
    }

    /// How many of a pool's hosts that go have others in service in their place.
    fn come(&self, wave: &Wave, pool: &PoolName) -> usize {
        match wave.raised.get(pool) {
            // Whichever hosts there are besides those that go: a group that evens out its zones launches by itself, too.
            Some(raise) => {
                let go = wave.hosts.values().filter(|leaver| leaver.pool == *pool).count();
                self.others_in_service(wave, pool).saturating_sub((raise.from as usize).saturating_sub(go))
            }
            // What was launched before the first of them went stands in for a host that was lost.
            None => {
                let of_pool = wave.hosts.values().filter(|leaver| leaver.pool == *pool);
                let went =
                    of_pool.filter(|leaver| leaver.ended).filter_map(|leaver| leaver.told.or(leaver.leaves)).min();
                let comes = |kept: &&Kept<'_>| went.is_some_and(|went| kept.launched_after(went));
                self.new_hosts(wave, pool)
                    .filter(|kept| kept.ready() && self.is_fresh(wave, kept))
                    .filter(comes)
                    .count()
            }
        }
    }

    /// Hosts of a pool in service besides those that go.
    fn others_in_service(&self, wave: &Wave, pool: &PoolName) -> usize {
        let others = self.roster.staying(pool).filter(|(id, kept)| !wave.hosts.contains_key(*id) && kept.ready());
        others.count()
    }

    fn new_hosts<'s>(&'s self, wave: &'s Wave, pool: &'s PoolName) -> impl Iterator<Item = &'s Kept<'s>> {
        let new =
            |(id, kept): &(&InstanceId, &Kept<'_>)| kept.launched_after(wave.since) && !wave.hosts.contains_key(*id);
        self.roster.staying(pool).filter(new).map(|(_, kept)| kept)
    }

    /// Whether a host is what its pool launched when the wave began, or newer: somebody may have published another version
    /// since, onto which the roll goes on when it is through.
    fn is_fresh(&self, wave: &Wave, kept: &Kept<'_>) -> bool {
        let Some(target) = self.state.targets.get(&kept.pool.name) else { return true };
        let of_template = kept.member.template.as_ref().filter(|own| own.id == target.template && !self.takes_back);
        // Another version may have been published after the host's launch, or between the look at the target and that.
        let began = wave.targets.get(&kept.pool.name).filter(|began| **began < target.version);
        let later = |own: u64| own > target.version || began.is_some_and(|began| own >= *began);
        of_template.is_some_and(|own| later(own.version)) || kept.outdated(Some(target)).is_none()
    }

    /// Drains and ends the hosts that leave; takes back or gives up those that do not.
    pub(crate) fn leave(&mut self, roll: &mut Roll, wave: &mut Wave, stop: bool) {
        let now = self.given.now;
        let mut ends: Vec<(InstanceId, PoolName, Why)> = Vec::new();
        let ids: Vec<InstanceId> = wave.hosts.keys().cloned().collect();
        for id in ids {
            let Some(leaver) = wave.hosts.get_mut(&id) else { continue };
            let Some(kept) = self.roster.all.get(&id).filter(|kept| kept.stays()) else {
                leaver.ended = true;
                continue;
            };
            if leaver.ended {
                continue; // an older answer
            }
            if stop {
                // Where it drains it takes tasks again, and it is still to be replaced.
                wave.hosts.remove(&id);
                roll.todo.insert(id);
                continue;
            }
            let Some(since) = leaver.leaves else { continue };
            let still_here = kept.host.map_or(self.given.fleet.cluster.is_none(), Host::takes_tasks);
            if still_here && self.budget.out() > self.given.fleet.disruption.max_out {
                // Others fell out before this one was told to go.
                self.hold_back(roll, wave, &id);
                continue;
            }
            let waited = now.duration_since(since).unsigned_abs();
            match kept.host {
                // Without a cluster, the group's own deregistration from its load balancer is the drain.
                None if self.given.fleet.cluster.is_none() => {
                    let why = self.why_replaced(roll, kept);
                    ends.push((id, kept.pool.name.clone(), Why::Roll(why)));
                }
                None if !kept.note.joined && kept.launched_after(roll.started) => {
                    let waited = now.duration_since(kept.note.since).unsigned_abs();
                    ends.push((id, kept.pool.name.clone(), Why::Host(HostWhy::NeverJoined { waited })));
                }
                // That the cluster does not show it now does not say that nothing runs on it.
                None if waited < self.policy.drain_timeout => {
                    self.report.waits.push(Wait::Host(HostWait::NotJoined { host: id, waited }));
                }
                None => {
                    wave.hosts.remove(&id);
                    roll.abandoned.insert(id, Stuck::AgentAway);
                }
                Some(host) if host.status == HostStatus::Active => {
                    self.often = true;
                    // Its time begins when it drains: telling it may have failed.
                    leaver.leaves = Some(now);
                    let why = self.why_replaced(roll, kept);
                    self.drains.push((id, why));
                }
                Some(host) if host.task_count == 0 => {
                    ends.push((id, kept.pool.name.clone(), Why::Host(HostWhy::Empty)));
                }
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
                        let why = HostWhy::DrainTimeout { tasks: host.task_count, waited };
                        ends.push((id, kept.pool.name.clone(), Why::Host(why)));
                    }
                    cause => {
                        wave.hosts.remove(&id);
                        roll.abandoned.insert(id, cause);
                    }
                },
            }
        }
        self.end(wave, ends);
    }

    fn end(&mut self, wave: &mut Wave, ends: Vec<(InstanceId, PoolName, Why)>) {
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
        let still = wave.hosts.values().filter(|leaver| !leaver.ended).count();
        if still > 0 && still == ends.len() && left == 0 && !wave.raised.is_empty() {
            // Nothing else is waited for.
            self.wakes.insert(Duration::from_secs(1));
        }
        for (host, pool, why) in ends.into_iter().take(most) {
            let shrink = wave.withdraws || wave.raised.contains_key(&pool);
            if let Some(leaver) = wave.hosts.get_mut(&host) {
                leaver.told.get_or_insert(now);
            }
            self.ends.push((Step::Host(HostStep::Terminate { host, pool, shrink }), why));
        }
    }

    fn stuck(&self, kept: &Kept<'_>) -> Stuck {
        let room = || self.proof(&std::collections::BTreeSet::from([kept.member.id.clone()])).err();
        stuck::of_host(kept, self.seen.running.as_ref(), self.given.fleet, room)
    }

    /// A host that was about to go stays until the disruption budget has a place again.
    fn hold_back(&mut self, roll: &mut Roll, wave: &mut Wave, id: &InstanceId) {
        let (out, allowed) = (self.budget.out(), self.given.fleet.disruption.max_out);
        self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out, allowed }));
        match wave.hosts.get_mut(id) {
            // Its replacement comes or is there.
            Some(leaver) if wave.raised.contains_key(&leaver.pool) => {
                leaver.leaves = None;
                self.budget.outs.remove(id);
            }
            Some(_) | None => {
                wave.hosts.remove(id);
                if !wave.withdraws {
                    roll.todo.insert(id.clone());
                }
            }
        }
    }

    /// Ends the wave when all of its hosts are replaced, or halts the roll when they are not in time.
    fn finish(&mut self, roll: &mut Roll, mut wave: Wave) {
        let now = self.given.now;
        if wave.hosts.is_empty() {
            self.keep_base(roll, &wave);
            return; // taken back or given up, all of them
        }
        let waits = wave.hosts.values().any(|leaver| leaver.leaves.is_none() && !leaver.ended);
        let since = if waits { Some(wave.since) } else { wave.gone };
        if wave.hosts.values().all(|leaver| leaver.ended) {
            wave.gone.get_or_insert(now);
        }
        let missing = self.missing(&wave);
        self.give_back(&wave);
        if missing == 0 && wave.gone.is_some() {
            if !wave.withdraws {
                roll.replaced += u32::try_from(wave.hosts.len()).unwrap_or(u32::MAX);
                roll.quiet = Some(now + self.policy.settle);
            }
            self.keep_base(roll, &wave);
            return;
        }
        let waited = since.map_or(Duration::ZERO, |since| now.duration_since(since).unsigned_abs());
        let wrong = self.wrong_version(&wave);
        if wrong.is_some() || (missing > 0 && since.is_some() && waited >= self.policy.replace_timeout) {
            let cause =
                wrong.unwrap_or_else(|| stuck::of_wave(&wave, self.roster, self.seen, &self.state.targets, waited));
            self.give_up(roll, &wave, cause);
            return;
        }
        if let (Some(since), true) = (since, missing > 0) {
            let deadline = since + self.policy.replace_timeout;
            self.report.waits.push(Wait::Roll(RollWait::Replacing { hosts: missing, deadline }));
            self.often |= self.is_unannounced(&wave);
        }
        roll.wave = Some(wave);
    }

    /// New hosts that are still missing.
    fn missing(&self, wave: &Wave) -> u32 {
        if wave.withdraws {
            return 0;
        }
        let missing = |pool: PoolName| {
            let of_pool = wave.hosts.values().filter(|leaver| leaver.pool == pool);
            let needed = of_pool.filter(|leaver| leaver.ended || wave.raised.contains_key(&pool)).count();
            // A group that is whole is whole, also where somebody made it smaller meanwhile.
            let others = self.others_in_service(wave, &pool);
            let whole = self.roster.group(&pool).is_none_or(|group| others >= group.desired as usize);
            if whole { 0 } else { needed.saturating_sub(self.come(wave, &pool)) }
        };
        u32::try_from(pools_of(wave).into_iter().map(missing).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Whether nobody says when a wave's new hosts are in service: load balancers do not, and a host that has joined
    /// before its group counts it in does not either.
    pub(crate) fn is_unannounced(&self, wave: &Wave) -> bool {
        let mut pools = pools_of(wave).into_iter();
        let half = |kept: &Kept<'_>| kept.host.is_some() && !kept.ready();
        self.given.fleet.cluster.is_none()
            || pools.any(|pool| {
                let balanced = self.roster.group(&pool).is_some_and(|group| !group.target_groups.is_empty());
                balanced || self.new_hosts(wave, &pool).any(half)
            })
    }

    /// A new host that is in service and as old as the one before: waiting does not help.
    fn wrong_version(&self, wave: &Wave) -> Option<Stuck> {
        let pools = pools_of(wave);
        let mut new = pools.iter().flat_map(|pool| self.new_hosts(wave, pool));
        new.find(|kept| kept.ready() && !self.is_fresh(wave, kept))
            .map(|kept| Stuck::StillOutdated { runs: kept.runs() })
    }

    /// The wave's hosts are not replaced in time.
    fn give_up(&mut self, roll: &mut Roll, wave: &Wave, cause: Stuck) {
        let gone = wave.hosts.values().filter(|leaver| leaver.ended).count();
        let still = usize::try_from(self.missing(wave)).unwrap_or(usize::MAX);
        roll.replaced += u32::try_from(gone.saturating_sub(still)).unwrap_or(0);
        self.keep_base(roll, wave);
        roll.halted.get_or_insert(Halt::Replacement(cause));
        for id in wave.hosts.iter().filter(|(_, leaver)| !leaver.ended).map(|(id, _)| id) {
            // What this turn was about to do to it is not done.
            self.drains.retain(|(host, _)| host != id);
            self.ends.retain(
                |(step, _)| !matches!(step, Step::Host(HostStep::Terminate { host, pool: _, shrink: _ }) if host == id),
            );
            roll.todo.insert(id.clone());
        }
    }

    /// A raised group that did not shrink again by itself has hosts too many.
    fn keep_base(&self, roll: &mut Roll, wave: &Wave) {
        for (pool, raise) in &wave.raised {
            let Some(group) = self.roster.group(pool) else { continue };
            let grows = self.grows(pool) || group.desired > raise.from;
            if grows && group.desired <= raise.most() {
                roll.base.insert(pool.clone(), raise.from);
            } else {
                roll.base.remove(pool);
            }
        }
    }

    /// The places in the disruption budget of hosts that are replaced, oldest first.
    fn give_back(&mut self, wave: &Wave) {
        for pool in pools_of(wave) {
            let mut come = self.come(wave, &pool);
            let refused = self.roster.group(&pool).and_then(|group| self.seen.refusals.get(&group.name));
            let refused = refused.is_some_and(|found| found.iter().any(|refusal| refusal.at >= wave.since));
            for (id, _) in wave.hosts.iter().filter(|(_, leaver)| leaver.pool == pool && leaver.ended) {
                if come > 0 || wave.withdraws || wave.raised.contains_key(&pool) {
                    come = come.saturating_sub(1);
                    self.budget.outs.remove(id);
                } else if let Some(out) = self.budget.outs.get_mut(id).filter(|_| refused) {
                    // Nothing is on its way: backfill is to stand in.
                    out.pool = None;
                }
            }
        }
        let gone_whole = self.missing(wave) == 0 && wave.hosts.values().all(|leaver| leaver.ended);
        if gone_whole {
            for id in wave.hosts.keys() {
                self.budget.outs.remove(id);
            }
        }
    }
}

/// The pools of a wave's hosts, each once.
pub(crate) fn pools_of(wave: &Wave) -> Vec<PoolName> {
    let pools: BTreeMap<&PoolName, ()> = wave.hosts.values().map(|leaver| (&leaver.pool, ())).collect();
    pools.into_keys().cloned().collect()
}
