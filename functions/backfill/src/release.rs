//! On-demand hosts that nothing needs any more: which may go, which must stay, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_microscale::moves_off;
use evenkeel_model::decision::LossCause;
use evenkeel_model::fleet::{Backfill, Purchase, Rebalance};
use evenkeel_model::groups::MemberState;
use evenkeel_model::observed::Observed;
use evenkeel_model::report::{HostWait, Report, Source, Wait};
use evenkeel_model::stuck::{of_host, tied_hosts};
use evenkeel_model::{FunctionName, InstanceId, Timestamp, Zone};
use evenkeel_turn::{Budget, Given, Out, OutCause};

use crate::hosts::{Hosts, Kept};
use crate::judge::{Standing, patience};
use crate::seen::Seen;
use crate::state::{HostMemory, Leaving, LeavingWhy, Loss, State};

/// Moves are counted over this long: an hour, and a minute for what is decided now and done only by the next turn.
const COUNTED: Duration = Duration::from_secs(3_660);
/// A host that could not be emptied is not tried again before.
const TRIED_AGAIN: Duration = Duration::from_secs(1_800);
/// A host that we send away is out for as long as it may drain, and some more until its group has ended it.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

/// Chooses what leaves in this turn.
pub(crate) struct Release<'a, 'h> {
    pub(crate) given: &'a Given<'a, State>,
    pub(crate) policy: &'a Backfill,
    pub(crate) seen: &'a Seen,
    pub(crate) hosts: &'a Hosts<'h>,
    /// Units in service that are left if all goes well.
    pub(crate) working: u32,
    pub(crate) budget: &'a mut Budget,
    pub(crate) state: &'a mut State,
    pub(crate) report: &'a mut Report,
}

/// A candidate's rank: one whose zone can spare it first, then the emptiest, then the youngest, then by name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    unbalances: bool,
    tasks: u32,
    youngest: std::cmp::Reverse<Timestamp>,
    id: &'a InstanceId,
}

impl<'a, 'h> Release<'a, 'h> {
    /// Sends away on-demand hosts as far as `surplus` units and everything else allow.
    pub(crate) fn give_back(&mut self, mut surplus: u32) -> BTreeSet<InstanceId> {
        let now = self.given.now;
        let immovable = self.immovable();
        let mut tied: BTreeSet<InstanceId> = immovable.keys().cloned().collect();
        self.forget_moves();
        self.name_minimums();
        while let Some((id, kept)) = self.next(surplus, &tied) {
            if let Some(wait) = self.in_the_way(kept) {
                self.report.waits.push(Wait::Host(wait));
                break;
            }
            if let Err(because) = self.proof(id) {
                self.report.waits.push(Wait::Host(HostWait::Tied { host: id.clone(), because }));
                tied.insert(id.clone());
                continue;
            }
            surplus -= kept.pool.units;
            self.state.moves.push(now);
            self.leave(id, kept, LeavingWhy::Release);
        }
        if surplus > 0 {
            let stays = immovable.into_iter().map(|(host, because)| Wait::Host(HostWait::Tied { host, because }));
            self.report.waits.extend(stays);
        }
        tied
    }

    /// On-demand hosts that cannot be emptied in order, and why: what is on them never moves, or did not lately.
    fn immovable(&self) -> BTreeMap<InstanceId, String> {
        let now = self.given.now;
        let running = self.seen.running.as_ref();
        let never_moves = running.map(tied_hosts).unwrap_or_default();
        let own = self.hosts.all.iter().filter(|(id, kept)| {
            kept.pool.purchase == Purchase::OnDemand && kept.host.is_some() && !kept.left && self.may_be_asked(id)
        });
        let because = |id: &InstanceId, kept: &Kept<'_>| {
            if never_moves.contains(id) {
                return Some(of_host(id, kept.host, running, self.given.fleet, || None).to_string());
            }
            let given_up = self.state.hosts.get(id).and_then(|memory| memory.given_up)?;
            let again = given_up + TRIED_AGAIN;
            (again > now).then(|| format!("it could not be emptied; tried again at {again:.0}"))
        };
        own.filter_map(|(id, kept)| Some(((*id).clone(), because(id, kept)?))).collect()
    }

    fn forget_moves(&mut self) {
        let now = self.given.now;
        self.state.moves.retain(|at| now.duration_since(*at).unsigned_abs() < COUNTED);
    }

    /// Sends away the on-demand hosts of pools that are left, as far as everything else allows.
    pub(crate) fn give_back_left(&mut self) {
        self.forget_moves();
        let hosts = self.hosts;
        let own = hosts.all.iter().filter(|(_, kept)| kept.left && kept.pool.purchase == Purchase::OnDemand);
        for (id, kept) in own {
            let Some(memory) = self.state.hosts.get(*id) else { continue };
            let never_joined = !memory.joined && kept.standing != Standing::Works;
            let shown = never_joined || kept.standing == Standing::Works;
            let goes = memory.leaving.is_some() || memory.loss.is_some() || kept.member.state.is_leaving();
            if goes || !shown || kept.recalled {
                continue;
            }
            if self.hosts.at_minimum(kept.pool, self.state) {
                let (pool, minimum) = (kept.pool.name.clone(), kept.group.min);
                self.report.waits.push(Wait::Host(HostWait::GroupMinimum { pool, minimum }));
                continue;
            }
            if kept.standing == Standing::Works {
                if let Some(wait) = self.in_the_way(kept) {
                    self.report.waits.push(Wait::Host(wait));
                    return;
                }
                if let Err(because) = self.proof(id) {
                    self.report.waits.push(Wait::Host(HostWait::Tied { host: (*id).clone(), because }));
                    continue;
                }
                self.state.moves.push(self.given.now);
            }
            self.leave(id, kept, LeavingWhy::Release);
        }
    }

    /// Sends away spot hosts at risk whose replacement is there.
    pub(crate) fn replace_at_risk(&mut self) {
        if self.policy.rebalance != Rebalance::Drain {
            return;
        }
        let hosts = self.hosts;
        let at_risk =
            hosts.all.iter().filter(|(_, kept)| kept.at_risk && kept.standing == Standing::Works && !kept.left);
        for (id, kept) in at_risk {
            let whole = self.working >= self.given.fleet.hosts.steady + kept.pool.units;
            if !whole || self.budget.free(self.given.fleet.disruption) == 0 || self.proof(id).is_err() {
                continue;
            }
            self.leave(id, kept, LeavingWhy::Rebalance);
        }
    }

    /// Ends hosts that never joined the cluster: they cost and do nothing. Those that stand in are ended at once; in other
    /// pools, whose groups launch others, one at a time, later, and not while a roll replaces hosts and judges them itself.
    pub(crate) fn end_strays(&mut self) {
        let hosts = self.hosts;
        let now = self.given.now;
        if self.given.fleet.cluster.is_none() || !self.seen.has(Source::Cluster) || hosts.ecs_is_away {
            return;
        }
        let rolls = self.budget.outs.values().any(|out| out.by == FunctionName::Patchroll);
        let mut one_of = BTreeSet::new();
        for (id, kept) in &hosts.all {
            let Some(memory) = self.state.hosts.get(*id) else { continue };
            let stands_in = kept.pool.purchase == Purchase::OnDemand;
            let (most, since) =
                (patience(self.given.fleet), self.state.blind.map_or(memory.since, |at| at.max(memory.since)));
            let most = if stands_in { most } else { most.max(self.policy.agent_timeout) };
            let stray = !memory.joined
                && memory.loss.is_none()
                && memory.leaving.is_none()
                && kept.standing == Standing::Out
                && kept.member.state != MemberState::Aside
                && now.duration_since(since).unsigned_abs() >= most;
            if !stray || kept.left || kept.recalled || (!stands_in && rolls) {
                continue;
            }
            let pool = self.state.groups.entry(kept.group.name.clone()).or_default();
            if let Some(wait) = pool.rests(kept.pool, now) {
                self.report.waits.push(Wait::Host(wait));
                if !stands_in {
                    continue;
                }
            } else if stands_in || one_of.insert(&kept.group.name) {
                let template = kept.member.template.as_ref();
                let runs = template.map(|own| format!("version {} of launch template {}", own.version, own.id));
                pool.note_stray(id, runs, now);
            } else {
                continue;
            }
            self.leave(id, kept, LeavingWhy::NeverJoined);
        }
    }

    /// Drains and ends hosts whose agent does not come back, as many at a time as may be out; their places in the budget are
    /// those of the losses that they are. Where half of all are away, it is ECS that is, and nothing is ended.
    pub(crate) fn end_without_agent(&mut self) {
        let hosts = self.hosts;
        let now = self.given.now;
        for (id, memory) in &mut self.state.hosts {
            // One whose agent is back takes tasks again.
            let back = memory.away.is_none() && hosts.all.get(id).is_some_and(|kept| kept.host.is_some());
            if back && memory.leaving.is_some_and(|leaving| leaving.why == LeavingWhy::AgentGone && !leaving.ending) {
                memory.leaving = None;
                memory.back = true;
            }
        }
        let away = |id: &InstanceId| self.state.hosts.get(id).and_then(|memory| memory.away);
        let all_away = hosts.all.keys().filter(|id| away(id).is_some()).count();
        let leaves = |memory: &HostMemory| memory.leaving.is_some_and(|leaving| leaving.why == LeavingWhy::AgentGone);
        let already = self.state.hosts.values().filter(|memory| leaves(memory)).count();
        let most = (self.given.fleet.disruption.max_out as usize).saturating_sub(already);
        if 2 * all_away >= hosts.all.len() || !self.seen.has(Source::Cluster) {
            return;
        }
        let gone = |(id, kept): &(&&InstanceId, &Kept<'_>)| {
            let long =
                away(id).is_some_and(|since| now.duration_since(since).unsigned_abs() >= self.policy.agent_timeout);
            let lost = self.state.hosts.get(**id).and_then(|memory| memory.loss);
            let here = kept.member.state == MemberState::InService
                && !kept.recalled
                && self.state.hosts.get(**id).is_some_and(|memory| memory.leaving.is_none());
            // One that the cluster does not show any more is as one whose agent is away.
            let silent = |loss: Loss| loss.cause == LossCause::AgentAway || kept.host.is_none();
            long && here && lost.is_some_and(silent)
        };
        let chosen: Vec<_> = hosts.all.iter().filter(gone).take(most).collect();
        for (id, kept) in chosen {
            self.leave(id, kept, LeavingWhy::AgentGone);
        }
    }

    /// The on-demand host that goes next, if any may.
    fn next(&self, surplus: u32, tied: &BTreeSet<InstanceId>) -> Option<(&'h InstanceId, &'a Kept<'h>)> {
        let hosts: &'a Hosts<'h> = self.hosts;
        let asked = hosts.all.iter().filter(|(id, kept)| {
            let fits = kept.pool.purchase == Purchase::OnDemand && kept.pool.units <= surplus;
            let bound = || self.hosts.at_minimum(kept.pool, self.state);
            let theirs = || self.state.groups.get(&kept.group.name).is_some_and(|pool| pool.left_to_others() > 0);
            fits && !kept.left
                && kept.group.scaled_by.is_none()
                && !theirs()
                && self.may_be_asked(id)
                && !tied.contains(**id)
                && !bound()
        });
        asked.map(|(id, kept)| (*id, kept)).min_by(|a, b| self.rank(a.0, a.1).cmp(&self.rank(b.0, b.1)))
    }

    /// Says which pools keep hosts only because their groups may not have fewer.
    fn name_minimums(&mut self) {
        let own = self.hosts.groups.iter().filter(|(pool, _)| pool.purchase == Purchase::OnDemand);
        for (pool, group) in own {
            let minimum = group.map_or(0, |group| group.min);
            if self.hosts.at_minimum(pool, self.state) {
                self.report.waits.push(Wait::Host(HostWait::GroupMinimum { pool: pool.name.clone(), minimum }));
            }
        }
    }

    fn may_be_asked(&self, id: &InstanceId) -> bool {
        let memory = self.state.hosts.get(id);
        let standing = self.hosts.all.get(id).map(|kept| kept.standing);
        standing == Some(Standing::Works)
            && memory.is_some_and(|memory| memory.leaving.is_none() && memory.loss.is_none())
    }

    fn rank<'i>(&self, id: &'i InstanceId, kept: &Kept<'_>) -> Rank<'i> {
        let since = self.state.hosts.get(id).map_or(Timestamp::MIN, |memory| memory.since);
        Rank { unbalances: self.unbalances(kept), tasks: kept.tasks(), youngest: std::cmp::Reverse(since), id }
    }

    /// Whether without the host one zone would have two fewer of its pool than another: the group would launch one there
    /// and end one here (Auto Scaling user guide, "Rebalancing activities").
    fn unbalances(&self, kept: &Kept<'_>) -> bool {
        let mut zones: BTreeMap<&Zone, u32> = BTreeMap::new();
        for other in self.hosts.all.values().filter(|other| other.group.name == kept.group.name) {
            let stays = self.state.hosts.get(&other.member.id).is_some_and(|memory| memory.leaving.is_none());
            if let Some(zone) = &other.member.zone {
                *zones.entry(zone).or_default() += u32::from(stays && other.counts());
            }
        }
        let own = kept.member.zone.as_ref().and_then(|zone| zones.get(zone)).copied();
        let most = zones.values().max().copied();
        own.zip(most).is_some_and(|(own, most)| own < most)
    }

    /// What keeps any host from going now.
    fn in_the_way(&self, kept: &Kept<'_>) -> Option<HostWait> {
        let fleet = self.given.fleet;
        let most = self.policy.moves_per_hour.unwrap_or(fleet.hosts.steady);
        let moves = u32::try_from(self.state.moves.len()).unwrap_or(u32::MAX);
        if moves >= most {
            let until = self.state.moves.first().map_or(self.given.now, |oldest| *oldest + COUNTED);
            return Some(HostWait::MovesSpent { moves, until });
        }
        if self.budget.free(fleet.disruption) == 0 {
            return Some(HostWait::BudgetSpent { out: self.budget.out(), allowed: fleet.disruption.max_out });
        }
        (self.working < fleet.hosts.minimum + kept.pool.units)
            .then_some(HostWait::Minimum { in_service: self.working, minimum: fleet.hosts.minimum })
    }

    /// Whether what runs on the host has another place; the same rule as microscale's.
    fn proof(&self, host: &InstanceId) -> Result<(), String> {
        if self.given.fleet.cluster.is_none() {
            return Ok(());
        }
        let Some(running) = &self.seen.running else { return Err("what runs on it was not looked at yet".to_owned()) };
        let observed = Observed {
            at: self.seen.at,
            hosts: self.seen.hosts.clone(),
            tasks: running.tasks.clone(),
            services: running.services.clone(),
            demand: std::collections::BTreeMap::new(),
        };
        let mut leaving: BTreeSet<InstanceId> = BTreeSet::from([host.clone()]);
        let others = self.state.hosts.iter().filter(|(_, memory)| memory.leaving.is_some() || memory.loss.is_some());
        leaving.extend(others.map(|(id, _)| id.clone()));
        moves_off(self.given.fleet, &observed, &leaving).map_err(|stays| stays.to_string())
    }

    fn leave(&mut self, id: &InstanceId, kept: &Kept<'_>, why: LeavingWhy) {
        let now = self.given.now;
        if kept.standing == Standing::Works {
            self.working = self.working.saturating_sub(kept.pool.units);
            let cause = if why == LeavingWhy::Rebalance { OutCause::Rebalance } else { OutCause::Release };
            let deadline = now + self.policy.drain_timeout + ENDS_WITHIN;
            let out = Out { cause, by: FunctionName::Backfill, pool: None, since: now, deadline };
            self.budget.outs.insert(id.clone(), out);
        }
        if let Some(memory) = self.state.hosts.get_mut(id) {
            memory.leaving = Some(Leaving { why, since: now, ending: false, asked: None });
        }
    }
}
