//! The plan of a turn.
//!
//! What is needed is counted anew from the hosts there are, and every step is absolute or about one host: so planning
//! again gives nothing, and a turn that was lost is made up for by the next.

use std::collections::BTreeSet;

use evenkeel_model::decision::{HostStep, HostWhy, LossCause, Need, Planned, Step, Why};
use evenkeel_model::fleet::{Backfill, Purchase};
use evenkeel_model::groups::MemberState;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::report::{HostWait, Report, Wait};
use evenkeel_model::{FunctionName, InstanceId, Timestamp};
use evenkeel_turn::window::Extreme;
use evenkeel_turn::{Budget, Given, Out, OutCause, Outlook, REPAID_WITHIN};

use crate::deadline::at_risk;
use crate::hosts::{Hosts, Standing};
use crate::need::{need, note_changes};
use crate::pools::{Source, capacities, forgive, sources};
use crate::release::Release;
use crate::seen::Seen;
use crate::state::{HostMemory, Lease, LeavingWhy, Reason, State};

/// Plans a turn. Pure: the same arguments give the same plan.
pub fn plan(given: &Given<'_, State>, seen: &Seen) -> Outlook<State> {
    let mut state = given.state.clone();
    let mut report = Report::default();
    let Some(policy) = &given.fleet.backfill else {
        return Outlook { steps: Vec::new(), report, state, budget: None, wakes: Vec::new() };
    };
    state.notices.merge(&given.board.notices);
    state.notices.forget(given.now);
    state.notices.keep_ours(&seen.groups, |host| given.state.hosts.contains_key(host));
    let hosts = Hosts::judge(given, seen, &mut state, &mut report);
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
    planning.plan();
    let Planning { budget, state, report, steps, .. } = planning;
    let budget = (budget != given.board.budget).then_some(budget);
    Outlook { steps, report, state, budget, wakes: Vec::new() }
}

/// A place of a host that was lost and that nothing has made up for.
fn is_loss(out: &Out) -> bool {
    out.cause == OutCause::Lost && out.by == FunctionName::Backfill
}

struct Planning<'a, 'h> {
    given: &'a Given<'a, State>,
    policy: &'a Backfill,
    seen: &'a Seen,
    hosts: &'a Hosts<'h>,
    budget: Budget,
    state: State,
    report: Report,
    steps: Vec<Planned>,
}

impl Planning<'_, '_> {
    fn plan(&mut self) {
        let now = self.given.now;
        forgive(self.hosts, &mut self.state);
        let sources = sources(self.hosts, self.seen, &mut self.state, now, &mut self.report);
        let there: u32 = sources.iter().map(Source::units).sum();
        let Self { given, policy, seen, hosts, state, report, .. } = self;
        let need = need(given, policy, seen, hosts, there, state, report);
        let dwell = self.state.needed.sample(now, need.on_demand, self.policy.release_after, Extreme::Largest);
        // No dwell is worth more hosts than the fleet may have.
        let others =
            self.hosts.units(|kept| kept.standing == Standing::Works && kept.pool.purchase != Purchase::OnDemand);
        let kept = dwell.min(self.given.fleet.hosts.maximum.saturating_sub(others));
        // A host that is kept after all counts again: the rest is for the pools.
        let back = self.keep_leaving(need.on_demand.saturating_sub(there));
        let short = Need { on_demand: need.on_demand.saturating_sub(back), ..need };
        let most = self.given.fleet.hosts.maximum.saturating_sub(need.reserved + need.spot);
        let launches = capacities(&sources, &short, kept, most, &mut self.state, now, &mut self.report);
        self.steps.extend(launches);
        self.drain_lost();
        self.bring_back();
        let over = (others + there).saturating_sub(self.given.fleet.hosts.maximum);
        let tied = self.give_back(there.saturating_sub(kept), over);
        self.call_off();
        self.finish_leaving();
        self.lease(&need, kept, &tied);
    }

    /// Every new loss debits the budget, below zero if need be; what came into service repays.
    fn debit_losses(&mut self) {
        let now = self.given.now;
        for (id, memory) in &self.state.hosts {
            let before = self.given.state.hosts.get(id).and_then(|memory| memory.loss);
            let Some(loss) = memory.loss.filter(|_| before.is_none()) else { continue };
            let out = Out {
                cause: OutCause::Lost,
                by: FunctionName::Backfill,
                pool: None,
                since: loss.at,
                deadline: loss.at + REPAID_WITHIN,
            };
            // A host that was leaving anyway is out already.
            self.budget.outs.entry(id.clone()).or_insert(out);
        }
        self.budget.outs.retain(|_, out| !is_loss(out) || out.deadline > now);
        // No more is made up for than there was: where `steady` is out of reach, a loss is repaid all the same.
        let reach = self.state.reach.unwrap_or(self.given.fleet.hosts.steady);
        let missing = reach.saturating_sub(self.hosts.working());
        let mut lost: Vec<(Timestamp, InstanceId)> =
            self.budget.outs.iter().filter(|(_, out)| is_loss(out)).map(|(id, out)| (out.since, id.clone())).collect();
        lost.sort();
        let over = lost.len().saturating_sub(missing as usize);
        for (_, id) in lost.into_iter().take(over) {
            self.budget.outs.remove(&id);
        }
        let hosts = self.hosts;
        let state = &self.state;
        self.budget.outs.retain(|id, out| match (out.by, out.cause) {
            (FunctionName::Backfill, OutCause::Release | OutCause::Rebalance | OutCause::Roll) => {
                // Given back when the host is gone; a record without a memory of it is one of a turn that died.
                let leaves = |memory: &HostMemory| memory.leaving.is_some() || memory.back;
                hosts.all.contains_key(id) && state.hosts.get(id).is_some_and(leaves)
            }
            (FunctionName::Backfill, OutCause::Lost) => true,
            // A dead holder's: its time is over, and the host is gone.
            (FunctionName::Microscale | FunctionName::Patchroll, _) => out.deadline > now || hosts.all.contains_key(id),
        });
        if self.budget.outs.is_empty() {
            self.state.reach = Some(self.hosts.working().min(self.given.fleet.hosts.steady));
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
            // Somebody raised MinSize since.
            let bound = kept.is_bound();
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
    fn bring_back(&mut self) {
        let mut back = Vec::new();
        for (id, memory) in self.state.hosts.iter_mut().filter(|(_, memory)| memory.back) {
            let host = self.hosts.all.get(id).and_then(|kept| kept.host);
            if memory.loss.is_none() && host.is_some_and(|host| host.status == HostStatus::Draining) {
                back.push(id.clone());
            } else {
                memory.back = false;
                let own = |out: &Out| out.by == FunctionName::Backfill && out.cause != OutCause::Lost;
                if self.budget.outs.get(id).is_some_and(own) {
                    self.budget.outs.remove(id);
                }
            }
        }
        self.set_status(&back, HostStatus::Active, &HostWhy::NeededAgain);
    }

    /// Lost hosts drain at once, beside the launches: ten a call.
    fn drain_lost(&mut self) {
        let hosts = self.hosts;
        let mut by_loss: Vec<(LossCause, Option<Timestamp>, Vec<InstanceId>)> = Vec::new();
        for (id, memory) in &self.state.hosts {
            let (Some(loss), Some(kept)) = (memory.loss, hosts.all.get(id)) else { continue };
            let Some(host) = kept.host else { continue };
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
            was && !is && kept.host.is_some_and(|host| host.status == HostStatus::Draining)
        };
        let spared: Vec<&InstanceId> = hosts.all.iter().filter(spared).map(|(id, _)| *id).collect();
        for id in spared {
            if let Some(memory) = self.state.hosts.get_mut(id) {
                memory.back = true;
            }
        }
    }

    fn set_status(&mut self, ids: &[InstanceId], status: HostStatus, why: &HostWhy) {
        if self.given.fleet.cluster.is_none() {
            return;
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
        let mut release = Release {
            given: self.given,
            policy: self.policy,
            seen: self.seen,
            hosts: self.hosts,
            working: self.hosts.working(),
            budget: &mut self.budget,
            state: &mut self.state,
            report: &mut self.report,
        };
        release.end_strays();
        release.end_without_agent();
        release.replace_at_risk();
        if surplus == 0 {
            return BTreeSet::new();
        }
        if release.given.board.held {
            release.report.waits.push(Wait::Host(HostWait::Held { hosts: surplus }));
            return BTreeSet::new();
        }
        release.give_back(surplus)
    }

    /// Hosts that were about to be sent away stay, where others fell out before they were told to go.
    fn call_off(&mut self) {
        let alone = self.given.fleet.cluster.is_none();
        let allowed = self.given.fleet.disruption.max_out;
        for (id, memory) in &mut self.state.hosts {
            let (Some(leaving), Some(kept)) = (memory.leaving, self.hosts.all.get(id)) else { continue };
            let on_purpose = matches!(leaving.why, LeavingWhy::Release | LeavingWhy::Rebalance) && !leaving.ending;
            let still_here = kept.host.map_or(alone, |host| host.status == HostStatus::Active);
            if self.budget.out() > allowed && on_purpose && still_here && !kept.member.state.is_leaving() {
                self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out: self.budget.out(), allowed }));
                memory.leaving = None;
                self.budget.outs.remove(id);
            }
        }
    }

    /// Hosts that leave drain, and end when they are empty or their time is over.
    fn finish_leaving(&mut self) {
        let now = self.given.now;
        let mut to_drain = Vec::new();
        let mut ends = Vec::new();
        for (id, memory) in &self.state.hosts {
            let (Some(leaving), Some(kept)) = (memory.leaving, self.hosts.all.get(id)) else { continue };
            if leaving.ending || kept.member.state.is_leaving() {
                continue;
            }
            let waited = now.duration_since(leaving.since).unsigned_abs();
            let bound = kept.is_bound();
            if bound && leaving.why == LeavingWhy::Release {
                continue; // its group would refuse, and it is asked back
            }
            let stands_in = kept.pool.purchase == Purchase::OnDemand;
            let shrink = leaving.why != LeavingWhy::Rebalance && stands_in && !bound;
            let mut end = |why| ends.push((id.clone(), kept.pool.name.clone(), shrink, why));
            match (leaving.why, kept.host) {
                (LeavingWhy::NeverJoined, _) => {
                    end(HostWhy::NeverJoined { waited: now.duration_since(memory.since).unsigned_abs() });
                }
                // Without a cluster the group's own deregistration from the load balancer is the drain.
                (_, None) => end(self.why(leaving.why)),
                (_, Some(host)) if host.status == HostStatus::Active => to_drain.push((leaving.why, id.clone())),
                (_, Some(host)) if host.task_count == 0 => end(HostWhy::Empty),
                (_, Some(host)) if waited >= self.policy.drain_timeout => {
                    end(HostWhy::DrainTimeout { tasks: host.task_count, waited });
                }
                (_, Some(host)) => {
                    let deadline = leaving.since + self.policy.drain_timeout;
                    let wait = HostWait::Draining { host: id.clone(), tasks: host.task_count, deadline };
                    self.report.waits.push(Wait::Host(wait));
                }
            }
        }
        for (_, id) in &to_drain {
            // Its time begins when it drains: telling it may have failed.
            if let Some(leaving) = self.state.hosts.get_mut(id).and_then(|memory| memory.leaving.as_mut()) {
                leaving.since = now;
            }
        }
        for why in [LeavingWhy::Release, LeavingWhy::Rebalance, LeavingWhy::AgentGone] {
            let ids: Vec<InstanceId> =
                to_drain.iter().filter(|(one, _)| *one == why).map(|(_, id)| id.clone()).collect();
            let reason = self.why(why);
            self.set_status(&ids, HostStatus::Draining, &reason);
        }
        for (host, pool, shrink, why) in ends {
            let step = Step::Host(HostStep::Terminate { host, pool, shrink });
            self.steps.push(Planned { step, why: Why::Host(why), needs: Vec::new(), beside: false });
        }
    }

    fn bound(&self, id: &InstanceId) -> bool {
        self.hosts.all.get(id).is_some_and(|kept| self.hosts.at_minimum(&kept.pool.name, &self.state))
    }

    fn why(&self, why: LeavingWhy) -> HostWhy {
        match why {
            LeavingWhy::Release => HostWhy::NoReason { quiet: self.policy.release_after },
            LeavingWhy::Rebalance => HostWhy::AtRisk,
            LeavingWhy::NeverJoined => HostWhy::NeverJoined { waited: crate::hosts::patience(self.given.fleet) },
            LeavingWhy::AgentGone => HostWhy::AgentGone { waited: self.policy.agent_timeout },
        }
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
                kept.is_some_and(|kept| kept.pool.purchase == Purchase::OnDemand) && memory.leaving.is_none()
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
