//! The plan of a turn.
//!
//! What is needed is counted anew from the hosts there are, and every step is absolute or about one host: so planning
//! again gives nothing, and a turn that was lost is made up for by the next.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::decision::{HostStep, HostWhy, LossCause, Need, Planned, Step, Why};
use evenkeel_model::fleet::{Backfill, Purchase};
use evenkeel_model::groups::{MemberState, ScaledBy};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::report::{HostWait, Report, Source, Wait};
use evenkeel_model::{FunctionName, InstanceId, Timestamp};
use evenkeel_turn::window::Extreme;
use evenkeel_turn::{Budget, Given, Out, OutCause, Outlook};

use crate::deadline::at_risk;
use crate::hosts::{Grounds, Hosts, Kept};
use crate::need::{need, note_changes};
use crate::pools::{Supply, capacities, forgive, sources};
use crate::release::Release;
use crate::seen::Seen;
use crate::state::{HostMemory, Lease, LeavingWhy, PoolMemory, Reason, State};

/// Plans a turn. Pure: the same arguments give the same plan.
pub fn plan(given: &Given<'_, State>, seen: &Seen) -> Outlook<State> {
    // Who only observes says what it would do if all capacities were its own to set.
    let as_if_ours = given.fleet.observes(FunctionName::Backfill).then(|| seen.as_if_ours());
    plan_for(given, as_if_ours.as_ref().unwrap_or(seen), seen)
}

/// Plans a turn from what was `seen`; `shown` is the same as AWS shows it.
fn plan_for(given: &Given<'_, State>, seen: &Seen, shown: &Seen) -> Outlook<State> {
    let mut state = given.state.clone();
    let mut report = Report::default();
    let unread = seen.unread.iter().map(|(source, because)| (*source, because.clone()));
    report.waits.extend(unread.map(|(source, because)| Wait::Host(HostWait::Unread { source, because })));
    if !seen.has(Source::Cluster) {
        state.blind = Some(given.now);
    }
    stop_the_clock(&mut state, seen, given.now);
    // Without its section in the fleet file, it ends what it began, as a file that says nothing else would have it.
    let default = Backfill::default();
    let policy = given.fleet.backfill.as_ref().unwrap_or(&default);
    state.notices.merge(&given.board.notices);
    state.notices.forget(given.now);
    if seen.has(Source::Groups) {
        state.notices.keep_ours(&seen.groups, |host| given.state.hosts.contains_key(host));
    }
    let grounds = Grounds::of(given, seen);
    let hosts = Hosts::judge(given, seen, &grounds, &mut state, &mut report);
    note_changes(&mut state, given.state, &hosts, given.now);
    let mut planning = Planning {
        given,
        policy,
        seen,
        hosts: &hosts,
        budget: given.board.budget.clone(),
        state,
        report,
        steps: Vec::new(),
    };
    planning.debit_losses();
    if !seen.has(Source::Groups) {
        // Nothing but losses can be seen, and only their drain is the cluster's affair alone.
        planning.drain_lost();
        planning.bring_back();
    } else if given.fleet.backfill.is_some() {
        planning.plan(shown);
    } else {
        planning.wind_down();
    }
    let Planning { budget, state, report, steps, .. } = planning;
    let budget = (budget != given.board.budget).then_some(budget);
    Outlook { steps, report, state, budget, wakes: Vec::new() }
}

/// What nobody can see does not count towards the end of a drain: whoever makes room for its tasks is as blind meanwhile.
fn stop_the_clock(state: &mut State, seen: &Seen, now: Timestamp) {
    let reads = seen.has(Source::Cluster) && seen.has(Source::Tasks);
    if let Some(before) = std::mem::replace(&mut state.unread, (!reads).then_some(now)) {
        for leaving in state.hosts.values_mut().filter_map(|memory| memory.leaving.as_mut()) {
            let from = before.max(leaving.since);
            leaving.since += now.duration_since(from).unsigned_abs();
        }
    }
}

/// A turn in the making.
pub(crate) struct Planning<'a, 'h> {
    pub(crate) given: &'a Given<'a, State>,
    pub(crate) policy: &'a Backfill,
    pub(crate) seen: &'a Seen,
    pub(crate) hosts: &'a Hosts<'h>,
    pub(crate) budget: Budget,
    pub(crate) state: State,
    pub(crate) report: Report,
    pub(crate) steps: Vec<Planned>,
}

impl Planning<'_, '_> {
    fn plan(&mut self, shown: &Seen) {
        let now = self.given.now;
        self.name_scaled_elsewhere(shown);
        forgive(self.hosts, self.given.state, &mut self.state, now);
        let sources = sources(self.given, self.policy, self.seen, self.hosts, &mut self.state, &mut self.report);
        let there: u32 = sources.iter().map(Supply::units).sum();
        let Self { given, policy, seen, hosts, state, report, .. } = self;
        let need = need(given, policy, seen, hosts, there, state, report);
        if self.state.needed.is_empty() {
            // Nothing is remembered: what is there was right for somebody, so it gets its dwell too.
            self.state.needed.sample(now, there, self.policy.release_after, Extreme::Largest);
        }
        let dwell = self.state.needed.sample(now, need.on_demand, self.policy.release_after, Extreme::Largest);
        // No dwell is worth more hosts than the fleet may have, those that are on their way included.
        let others = self.hosts.units(|kept| kept.counts() && kept.pool.purchase != Purchase::OnDemand && !kept.left)
            + self.hosts.scaled_elsewhere();
        let theirs = sources.iter().map(|source| {
            self.state.groups.get(&source.group.name).map_or(0, PoolMemory::left_to_others) * source.pool.units
        });
        let kept = dwell.max(theirs.sum()).min(self.given.fleet.hosts.maximum.saturating_sub(others));
        // A host that is kept after all counts again: the rest is for the pools.
        let back = self.keep_leaving(need.on_demand.saturating_sub(there));
        let short = Need { on_demand: need.on_demand.saturating_sub(back), ..need };
        let idle = self.hosts.idle(&self.state);
        let most = self.given.fleet.hosts.maximum.saturating_sub(need.reserved + need.spot + idle);
        let launches = capacities(&sources, &short, kept, most, &mut self.state, now, &mut self.report);
        self.steps.extend(launches);
        self.end_left();
        self.drain_lost();
        self.bring_back();
        let over = (others + there).saturating_sub(self.given.fleet.hosts.maximum);
        // Hosts that are not counted on are ended by rules of their own: none that works goes because of them.
        let counts = there.saturating_sub(sources.iter().map(Supply::idle).sum());
        let tied = self.give_back(counts.saturating_sub(kept), over);
        self.call_off();
        self.finish_leaving();
        self.lease(&need, kept, &tied);
    }

    /// Says which pools' capacities are not ours; what any other group counts in matters to nobody here.
    fn name_scaled_elsewhere(&mut self, shown: &Seen) {
        for (pool, _) in &self.hosts.groups {
            let group = shown.groups.iter().find(|group| group.name == pool.auto_scaling_group);
            let because = group.and_then(|group| group.scaled_by.clone());
            let matters =
                |because: &ScaledBy| pool.purchase == Purchase::OnDemand || !matches!(because, ScaledBy::Units(_));
            if let Some(because) = because.filter(matters) {
                self.report.waits.push(Wait::Host(HostWait::ScaledElsewhere { pool: pool.name.clone(), because }));
            }
        }
    }

    /// Hosts that were leaving and are needed again stay, as far as `missing` units say. Gives their units.
    fn keep_leaving(&mut self, mut missing: u32) -> u32 {
        let mut back = 0;
        for (id, memory) in &mut self.state.hosts {
            let Some(kept) = self.hosts.all.get(id) else { continue };
            let leaves = memory.leaving.is_some_and(|leaving| leaving.why == LeavingWhy::Release && !leaving.ending);
            let alone = self.given.fleet.cluster.is_none();
            let draining = kept.host.map_or(alone, |host| host.status != HostStatus::Leaving);
            let stays = kept.member.state == MemberState::InService && memory.loss.is_none();
            // Somebody raised MinSize since, or has something else scale the group.
            let bound = kept.is_bound() || kept.group.scaled_by.is_some();
            if kept.left {
                continue;
            }
            if (missing == 0 && !bound) || !leaves || !draining || !stays {
                continue;
            }
            missing = missing.saturating_sub(kept.pool.units);
            memory.leaving = None;
            memory.back = true;
            back += kept.pool.units;
        }
        back
    }

    /// Hosts that are to take tasks again are told so until they do, and keep their places in the budget as long.
    pub(crate) fn bring_back(&mut self) {
        let mut back = Vec::new();
        let mut of_silent: BTreeMap<FunctionName, Vec<InstanceId>> = BTreeMap::new();
        for (id, memory) in self.state.hosts.iter_mut().filter(|(_, memory)| memory.back) {
            let host = self.hosts.all.get(id).and_then(|kept| kept.host);
            if memory.loss.is_none() && host.is_some_and(|host| host.status == HostStatus::Draining) {
                match self.budget.outs.get(id).map(|out| out.by).filter(|by| *by != FunctionName::Backfill) {
                    Some(holder) => of_silent.entry(holder).or_default().push(id.clone()),
                    None => back.push(id.clone()),
                }
            } else if host.is_none() && self.given.fleet.cluster.is_some() && memory.loss.is_none() {
                // Not known: seen to when it is shown again.
            } else if memory.loss.is_none() && host.is_some() && memory.may_drain(self.given.now) {
                // That it takes tasks may be an answer from before it was told to drain.
            } else {
                memory.back = false;
                let own = |out: &Out| out.by == FunctionName::Backfill && out.cause != OutCause::Lost;
                if self.budget.outs.get(id).is_some_and(own) {
                    self.budget.outs.remove(id);
                }
            }
        }
        self.set_status(&back, HostStatus::Active, &HostWhy::NeededAgain);
        for (holder, hosts) in of_silent {
            self.set_status(&hosts, HostStatus::Active, &HostWhy::Silent { holder });
        }
    }

    /// Lost hosts drain at once, beside the launches: ten a call.
    pub(crate) fn drain_lost(&mut self) {
        let hosts = self.hosts;
        let mut by_loss: Vec<(LossCause, Option<Timestamp>, Vec<InstanceId>)> = Vec::new();
        for (id, memory) in &self.state.hosts {
            let (Some(loss), Some(kept)) = (memory.loss, hosts.all.get(id)) else { continue };
            let Some(host) = kept.host else { continue };
            let known = self.given.state.hosts.get(id).is_some_and(|memory| memory.loss.is_some());
            if self.given.fleet.backfill.is_none() && !known {
                continue; // nobody asks for more than an end of what was begun
            }
            if let (Some(deadline), Some(running)) = (loss.deadline, &self.seen.running)
                && let Some(because) = at_risk(id, deadline, running, self.given.now)
            {
                self.report.waits.push(Wait::Host(HostWait::DrainAtRisk { host: id.clone(), deadline, because }));
            }
            // A host whose agent is away cannot be emptied in order; ECS starts its tasks elsewhere by itself.
            let drains = matches!(loss.cause, LossCause::Interruption | LossCause::Leaving);
            if host.status == HostStatus::Active && drains {
                match by_loss.iter_mut().find(|(cause, _, _)| *cause == loss.cause) {
                    Some((_, _, ids)) => ids.push(id.clone()),
                    None => by_loss.push((loss.cause, loss.deadline, vec![id.clone()])),
                }
            }
        }
        for (cause, deadline, ids) in by_loss {
            self.set_status(&ids, HostStatus::Draining, &HostWhy::Lost { cause, deadline });
        }
        // A host that was not taken after all takes tasks again.
        let spared = |(id, kept): &(&&InstanceId, &crate::hosts::Kept<'_>)| {
            let was = self.given.state.hosts.get(**id).is_some_and(|memory| {
                memory.loss.is_some_and(|loss| loss.cause == LossCause::Interruption) && memory.leaving.is_none()
            });
            let is = self.state.hosts.get(**id).is_some_and(|memory| memory.loss.is_some());
            let told = self.state.hosts.get(**id).is_some_and(|memory| memory.may_drain(self.given.now));
            was && !is && kept.host.is_some_and(|host| host.status == HostStatus::Draining || told)
        };
        let spared: Vec<&InstanceId> = hosts.all.iter().filter(spared).map(|(id, _)| *id).collect();
        for id in spared {
            if let Some(memory) = self.state.hosts.get_mut(id) {
                memory.back = true;
            }
        }
    }

    pub(crate) fn set_status(&mut self, ids: &[InstanceId], status: HostStatus, why: &HostWhy) {
        if self.given.fleet.cluster.is_none() {
            return;
        }
        if status == HostStatus::Draining {
            for id in ids {
                if let Some(memory) = self.state.hosts.get_mut(id) {
                    memory.told = Some(self.given.now);
                }
            }
        }
        for hosts in ids.chunks(HostStep::MOST_HOSTS) {
            let step = Step::Host(HostStep::SetStatus { hosts: hosts.to_vec(), status });
            let beside = !self.steps.is_empty();
            self.steps.push(Planned { step, why: Why::Host(why.clone()), needs: Vec::new(), beside });
        }
    }

    /// Chooses what goes of `surplus` units, of which `over` are more than the fleet may have. Gives the hosts that must
    /// stay because of what runs on them.
    fn give_back(&mut self, surplus: u32, over: u32) -> BTreeSet<InstanceId> {
        // No alarm is a reason for more than the fleet may have.
        let surplus = if self.state.boost.firing { surplus.min(over) } else { surplus };
        let mut release = self.release();
        release.end_strays();
        release.end_without_agent();
        release.replace_at_risk();
        if release.given.board.held {
            if surplus > 0 {
                release.report.waits.push(Wait::Host(HostWait::Held { hosts: surplus }));
            }
            return BTreeSet::new();
        }
        release.give_back_left();
        if surplus == 0 { BTreeSet::new() } else { release.give_back(surplus) }
    }

    pub(crate) fn release(&mut self) -> Release<'_, '_> {
        Release {
            given: self.given,
            policy: self.policy,
            seen: self.seen,
            hosts: self.hosts,
            working: self.hosts.working(),
            budget: &mut self.budget,
            state: &mut self.state,
            report: &mut self.report,
        }
    }

    fn bound(&self, id: &InstanceId) -> bool {
        self.hosts.all.get(id).is_some_and(|kept| self.hosts.at_minimum(kept.pool, &self.state))
    }

    /// Says of every on-demand host why it is there: the oldest stand for what is missing, then for alarms, then for tasks.
    fn lease(&mut self, need: &Need, kept: u32, tied: &BTreeSet<InstanceId>) {
        let now = self.given.now;
        let base = need.steady.saturating_sub(need.reserved + need.spot);
        let mut lost: Vec<InstanceId> = self
            .state
            .hosts
            .iter()
            .filter(|(_, memory)| memory.loss.is_some() && memory.lease.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let mut own: Vec<(Timestamp, InstanceId)> = self
            .state
            .hosts
            .iter()
            .filter(|(id, memory)| {
                let kept = self.hosts.all.get(*id);
                let stays = |kept: &Kept<'_>| kept.pool.purchase == Purchase::OnDemand && !kept.left;
                kept.is_some_and(stays) && memory.leaving.is_none()
            })
            .map(|(id, memory)| (memory.since, id.clone()))
            .collect();
        own.sort();
        let mut units = 0;
        let mut dwelling = 0;
        for (_, id) in own {
            let reason = match units {
                units if units < base.min(need.on_demand) => Reason::Missing,
                units if units < (base + need.boost).min(need.on_demand) => Reason::Alarm,
                units if units < (base + need.boost + need.shortfall).min(need.on_demand) => Reason::Shortfall,
                units if units < need.on_demand => Reason::Borrowed,
                units if units < kept => Reason::Dwell,
                _ if self.given.board.held => Reason::Held,
                _ if tied.contains(&id) => Reason::Tied,
                _ if self.bound(&id) => Reason::GroupMinimum,
                _ => Reason::Over,
            };
            units += self.hosts.all.get(&id).map_or(1, |kept| kept.pool.units);
            dwelling += u32::from(reason == Reason::Dwell);
            let Some(memory) = self.state.hosts.get_mut(&id) else { continue };
            note_lease(memory, reason, now, &mut lost);
        }
        if let Some(until) = self.state.needed.ends(self.policy.release_after).filter(|_| dwelling > 0) {
            self.report.waits.push(Wait::Host(HostWait::Dwell { hosts: dwelling, until }));
        }
    }
}

fn note_lease(memory: &mut HostMemory, reason: Reason, now: Timestamp, lost: &mut Vec<InstanceId>) {
    match &mut memory.lease {
        Some(lease) if lease.reason == reason => {}
        Some(lease) => {
            lease.reason = reason;
            lease.since = now;
        }
        None => {
            let stands_in_for = (reason == Reason::Missing).then(|| lost.pop()).flatten();
            memory.lease = Some(Lease { reason, since: now, stands_in_for });
        }
    }
}
