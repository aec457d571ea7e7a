//! Hosts that leave: drained, ended when they are empty, or kept after all.

use std::time::Duration;

use evenkeel_model::decision::{HostStep, HostWhy, Planned, Step, Stuck, Why};
use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::Group;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::report::{HostWait, Source, Wait};
use evenkeel_model::stuck::of_host;
use evenkeel_model::{FunctionName, InstanceId};

use crate::hosts::Kept;
use crate::plan::Planning;
use crate::state::{LeavingWhy, State};

/// A group that was told to end a host shows so within seconds; one that does not after so long is told again.
const ASKED_AGAIN: Duration = Duration::from_secs(90);

impl Planning<'_, '_> {
    /// Nobody asks for backfill any more: what was begun is ended, and then nothing is remembered.
    pub(crate) fn wind_down(&mut self) {
        self.end_left();
        self.drain_lost();
        self.bring_back();
        self.release().give_back_left();
        self.call_off();
        self.finish_leaving();
        if !self.state.is_begun() {
            self.state = State { rest: std::mem::take(&mut self.state.rest), ..State::default() };
        }
    }

    /// What is on its way in pools that are left does not come, and hosts of theirs that are not on-demand ones stay.
    pub(crate) fn end_left(&mut self) {
        let winds_down = self.given.fleet.backfill.is_none();
        for (pool, group) in &self.hosts.left {
            let memory = self.state.groups.entry(pool.auto_scaling_group.clone()).or_default();
            memory.awaits = false;
            let ours = |group: &&Group| pool.purchase == Purchase::OnDemand && group.scaled_by.is_none();
            let Some(group) = group.filter(ours) else { continue };
            let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX).max(group.min);
            if staying < group.desired && memory.expected.contains(&group.desired) {
                memory.expected = [group.desired, staying].into();
                let (pool, group, from) = (pool.name.clone(), group.name.clone(), group.desired);
                let step = Step::Host(HostStep::SetCapacity { pool, group, from, to: staying });
                let beside = !self.steps.is_empty();
                self.steps.push(Planned { step, why: Why::Host(HostWhy::NotNeeded), needs: Vec::new(), beside });
            }
        }
        for (id, memory) in &mut self.state.hosts {
            let stays = |kept: &Kept<'_>| (kept.left || winds_down) && kept.pool.purchase != Purchase::OnDemand;
            if self.hosts.all.get(id).is_some_and(stays) && memory.leaving.is_some_and(|leaving| !leaving.ending) {
                memory.leaving = None;
                memory.back = true;
            }
        }
    }

    /// Hosts that were about to be sent away stay, where others fell out before they were told to go.
    pub(crate) fn call_off(&mut self) {
        let alone = self.given.fleet.cluster.is_none();
        let allowed = self.given.fleet.disruption.max_out;
        for (id, memory) in &mut self.state.hosts {
            let (Some(leaving), Some(kept)) = (memory.leaving, self.hosts.all.get(id)) else { continue };
            let on_purpose = matches!(leaving.why, LeavingWhy::Release | LeavingWhy::Rebalance) && !leaving.ending;
            let still_here = kept.host.map_or(alone, |host| host.status == HostStatus::Active);
            if self.budget.out() > allowed && on_purpose && still_here && !kept.member.state.is_leaving() {
                self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out: self.budget.out(), allowed }));
                memory.leaving = None;
                if memory.may_drain(self.given.now) {
                    memory.back = true;
                } else {
                    self.budget.give_back(id, FunctionName::Backfill);
                }
            }
        }
    }

    /// Hosts that leave drain, and end when they are empty or their time is over.
    pub(crate) fn finish_leaving(&mut self) {
        let now = self.given.now;
        let mut to_drain = Vec::new();
        let mut stuck = Vec::new();
        let mut unshown = Vec::new();
        let mut ends = Vec::new();
        for (id, memory) in &self.state.hosts {
            let (Some(leaving), Some(kept)) = (memory.leaving, self.hosts.all.get(id)) else { continue };
            // An answer may be old, and a second call would have the group shrink twice.
            let asked = leaving.asked.is_some_and(|at| now.duration_since(at).unsigned_abs() < ASKED_AGAIN);
            if leaving.ending || kept.member.state.is_leaving() || kept.recalled || asked {
                continue;
            }
            let waited = now.duration_since(leaving.since).unsigned_abs();
            let bound = kept.is_bound();
            if bound && leaving.why == LeavingWhy::Release {
                continue; // its group would refuse, and it is asked back
            }
            let stands_in = kept.pool.purchase == Purchase::OnDemand;
            let shrink = leaving.why != LeavingWhy::Rebalance && stands_in && !bound && kept.group.scaled_by.is_none();
            let mut end = |why| ends.push((id.clone(), kept.pool.name.clone(), shrink, why));
            match (leaving.why, kept.host) {
                (LeavingWhy::NeverJoined, _) => {
                    end(HostWhy::NeverJoined { waited: now.duration_since(memory.since).unsigned_abs() });
                }
                (_, None) if self.given.fleet.cluster.is_some() && memory.joined => {
                    // That the cluster does not show it does not say that nothing runs on it.
                    let patience = if leaving.why == LeavingWhy::AgentGone {
                        self.policy.drain_timeout
                    } else {
                        self.policy.drain_timeout + self.policy.agent_timeout
                    };
                    if waited >= patience && self.seen.has(Source::Cluster) {
                        end(HostWhy::DrainTimeout { tasks: 0, waited });
                    } else {
                        let until = leaving.since + patience;
                        self.report.waits.push(Wait::Host(HostWait::NotShown { host: id.clone(), until }));
                        // Told once all the same: it may only be missing in the answer.
                        if waited.is_zero() {
                            unshown.push(id.clone());
                        }
                    }
                }
                (_, None) if self.given.fleet.cluster.is_some() => {
                    end(HostWhy::NeverJoined { waited: now.duration_since(memory.since).unsigned_abs() });
                }
                // Without a cluster the group's own deregistration from the load balancer is the drain.
                (_, None) => end(self.why(leaving.why)),
                (_, Some(host)) if host.status == HostStatus::Active => to_drain.push((leaving.why, id.clone())),
                (_, Some(host)) if host.task_count == 0 => end(HostWhy::Empty),
                (LeavingWhy::AgentGone, Some(host)) if waited >= self.policy.drain_timeout => {
                    end(HostWhy::DrainTimeout { tasks: host.task_count, waited });
                }
                // What is left had its time, where it is on its way out; anything else cannot move.
                (_, Some(host)) if waited >= self.policy.drain_timeout && self.seen.running.is_some() => {
                    let cause = of_host(id, Some(host), self.seen.running.as_ref(), self.given.fleet, || None);
                    if cause.goes_by_itself() {
                        end(HostWhy::DrainTimeout { tasks: host.task_count, waited });
                    } else {
                        stuck.push((id.clone(), cause));
                    }
                }
                (_, Some(host)) => {
                    let deadline = leaving.since + self.policy.drain_timeout;
                    let wait = HostWait::Draining { host: id.clone(), tasks: host.task_count, deadline };
                    self.report.waits.push(Wait::Host(wait));
                }
            }
        }
        for (id, cause) in stuck {
            self.give_up(&id, &cause);
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
        self.set_status(&unshown, HostStatus::Draining, &self.why(LeavingWhy::AgentGone));
        for (host, pool, shrink, why) in ends {
            if let Some(leaving) = self.state.hosts.get_mut(&host).and_then(|memory| memory.leaving.as_mut()) {
                leaving.asked = Some(now);
            }
            let step = Step::Host(HostStep::Terminate { host, pool, shrink });
            self.steps.push(Planned { step, why: Why::Host(why), needs: Vec::new(), beside: false });
        }
    }

    /// A host that cannot be emptied takes tasks again; its place in the budget is free when it does.
    fn give_up(&mut self, id: &InstanceId, cause: &Stuck) {
        if let Some(memory) = self.state.hosts.get_mut(id) {
            memory.leaving = None;
            memory.back = true;
            memory.given_up = Some(self.given.now);
        }
        self.report.waits.push(Wait::Host(HostWait::Tied { host: id.clone(), because: cause.to_string() }));
        self.set_status(std::slice::from_ref(id), HostStatus::Active, &HostWhy::CannotMove { cause: cause.clone() });
    }

    fn why(&self, why: LeavingWhy) -> HostWhy {
        match why {
            LeavingWhy::Release => HostWhy::NoReason { quiet: self.policy.release_after },
            LeavingWhy::Rebalance => HostWhy::AtRisk,
            LeavingWhy::NeverJoined => HostWhy::NeverJoined { waited: crate::judge::patience(self.given.fleet) },
            LeavingWhy::AgentGone => HostWhy::AgentGone { waited: self.policy.agent_timeout },
        }
    }
}
