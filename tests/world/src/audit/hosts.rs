//! The auditor's rules about hosts: invariants 1, 5, 6, 7 and 11, from what the world knows to be true.

use std::collections::{BTreeMap, VecDeque};

use evenkeel_model::decision::{Decision, HostStep, HostWhy, Step, Why};
use evenkeel_model::fleet::{Purchase, Rebalance, Refresh};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::{FunctionName, GroupName, InstanceId};

use crate::clock::{MINUTE, Ms, SECOND};
use crate::cloud::Phase;
use crate::core::Core;
use crate::setup::millis;
use crate::turns::TurnNo;

/// A rebalance recommendation is a reason for so long.
const RISK_COUNTS: Ms = 60 * MINUTE;

/// What AWS plans for a host is one so long before.
const PLAN_COUNTS: Ms = 24 * 60 * MINUTE;

/// Hosts that came for an alarm without a level stay for this long at most, if it fires again and again.
const LONGEST_DWELL: Ms = 120 * MINUTE;

/// A turn acts so long after its look at most: its budget of ten seconds, and what its last call takes.
const A_TURN: Ms = 12 * SECOND;
/// Moves are counted over an hour, and a minute for one that is decided and not done yet.
const MOVES_COUNT: Ms = 61 * MINUTE;
/// A capacity that a person set is left alone for a minute, and until the next tick.
const FOREIGN_COUNTS: Ms = 2 * MINUTE;
/// Whoever looks each minute knows of a loss by then, whatever was announced.
pub(super) const KNOWN: Ms = 3 * MINUTE;

/// A host that a roll borrowed counts for so long after the roll's last outdated host.
const BORROWED: Ms = 4 * MINUTE;

/// An alarm's level may say what the load was so long ago.
const LEVEL_LAGS: Ms = 6 * MINUTE;

/// What the auditor remembers about hosts.
#[derive(Debug, Default)]
pub(crate) struct HostAudit {
    /// Steps about hosts and images that each turn has recorded, with who decided them and why.
    recorded: BTreeMap<TurnNo, Vec<(FunctionName, Step, Why)>>,
    /// Hosts that we send away, until they are gone.
    pub(crate) voluntary: BTreeMap<InstanceId, Ms>,
    /// For how many on-demand units there was a reason, from when on.
    justified: VecDeque<(Ms, u32)>,
    /// How many units the load asked for, lately: metrics are a minute or two behind.
    loads: VecDeque<(Ms, u32)>,
    /// Tasks truly have no place.
    short: bool,
    /// An alarm fired again soon after a host that came for one was given back.
    fired_again: bool,
    /// Whether one was in ALARM when that was looked at last.
    fired: bool,
    /// What runs on each on-demand host is not certain to find another place.
    tied: bool,
    /// When a roll last had hosts to replace and might borrow one for it.
    borrows: Option<Ms>,
    /// A person asked that nothing be given back.
    pub(crate) held: bool,
    /// When a person last set the capacity of an on-demand group.
    capacity_set: Option<Ms>,
    /// An alarm has fired since there was no on-demand host last, and when one was in ALARM last.
    peak: Option<Ms>,
}

impl HostAudit {
    /// Notes a decision about a host or an image.
    pub(crate) fn recorded(&mut self, turn: TurnNo, decision: Decision) {
        let Decision { at: _, function, step, why, outcome: _ } = decision;
        self.recorded.entry(turn).or_default().push((function, step, why));
    }

    /// Who decided a step of a turn, and why; none where nobody did, as far as is recorded.
    pub(super) fn why(&self, turn: TurnNo, is: impl Fn(&Step) -> bool) -> Option<(FunctionName, Step, Why)> {
        self.recorded.get(&turn)?.iter().find(|(_, step, _)| is(step)).cloned()
    }

    /// A turn has ended.
    pub(crate) fn turn_ended(&mut self, turn: TurnNo) {
        self.recorded.remove(&turn);
    }

    /// Notes whether the alarms fire now, `given_back` a while ago.
    fn note_alarms(&mut self, fires: bool, asked_for: u32, given_back: Option<Ms>, now: Ms) {
        if asked_for == 0 && self.peak.is_some_and(|at| now - at > LONGEST_DWELL) {
            self.fired_again = false;
        }
        if fires && !self.fired {
            self.fired_again |= given_back.is_some_and(|at| now - at <= LONGEST_DWELL);
        }
        self.fired = fires;
        if fires {
            self.peak = Some(now);
        } else if asked_for == 0 && !self.fired_again {
            self.peak = None;
        }
    }

    /// A person has set the capacity of an on-demand group.
    pub(crate) fn capacity_meddled(&mut self, now: Ms) {
        self.capacity_set = Some(now);
    }
}

impl Core {
    /// A host's status or attribute is about to be set.
    pub(crate) fn host_effect(&mut self, turn: TurnNo, step: &HostStep) {
        let now = self.now;
        let Some((_, _, why)) = self.audit.hosts.why(turn, |known| matches!(known, Step::Host(known) if known == step))
        else {
            self.audit.violated(11, now, format!("{step} without a recorded decision"));
            return;
        };
        let HostStep::SetStatus { hosts, status } = step else { return };
        for host in hosts {
            if *status == HostStatus::Active {
                self.audit.hosts.voluntary.remove(host);
            } else if let Why::Host(why @ (HostWhy::NoReason { .. } | HostWhy::AtRisk)) = &why {
                self.goes_on_purpose(host, why);
            }
        }
    }

    /// A group's capacity is about to be set.
    pub(crate) fn capacity_effect(&mut self, turn: TurnNo, group: &GroupName, hosts: u32) {
        let now = self.now;
        let is = |step: &Step| matches!(step, Step::Host(HostStep::SetCapacity { group: one, to, .. }) if one == group && *to == hosts);
        let Some((function, _, _)) = self.audit.hosts.why(turn, is) else {
            self.audit.violated(11, now, format!("capacity of {group} set to {hosts} without a recorded decision"));
            return;
        };
        let ours = self.cloud.group_no(group).map(|number| self.cloud.groups[number].purchase);
        if function != FunctionName::Patchroll && ours != Some(Purchase::OnDemand) {
            self.audit.violated(6, now, format!("capacity of {group}, which is not an on-demand pool, set to {hosts}"));
        }
    }

    /// An instance of a warm pool is about to be ended.
    pub(crate) fn warm_effect(&mut self, turn: TurnNo, host: &InstanceId) {
        let is = |step: &Step| matches!(step, Step::Host(HostStep::EndWarm { host: one, pool: _ }) if one == host);
        if self.audit.hosts.why(turn, is).is_none() {
            let now = self.now;
            self.audit.violated(11, now, format!("{host} of a warm pool ended without a recorded decision"));
        }
    }

    /// A host is about to be ended.
    pub(crate) fn terminate_effect(&mut self, turn: TurnNo, host: &InstanceId, shrink: bool) {
        let now = self.now;
        let is = |step: &Step| matches!(step, Step::Host(HostStep::Terminate { host: one, shrink: how, .. }) if one == host && *how == shrink);
        let Some((function, _, why)) = self.audit.hosts.why(turn, is) else {
            self.audit.violated(11, now, format!("{host} ended without a recorded decision"));
            return;
        };
        let Some(number) = self.cloud.number(host) else { return };
        if let Some(there) = self.cluster.hosts.get(&number).filter(|there| !there.tasks.is_empty()) {
            let on_it = there.tasks.len();
            let drained = there.drains.map_or(0, |since| now - since);
            let says_so = matches!(why, Why::Host(HostWhy::DrainTimeout { .. }));
            if !says_so {
                self.audit.violated(7, now, format!("{host} ended with {on_it} tasks on it: {why}"));
            } else if drained + A_TURN < self.drain_timeout(function) {
                let detail =
                    format!("{host} ended with {on_it} tasks on it, {} s after it was told to drain", drained / SECOND);
                self.audit.violated(7, now, detail);
            }
        }
        if let Why::Host(why @ (HostWhy::NoReason { .. } | HostWhy::AtRisk)) = &why {
            self.goes_on_purpose(host, why);
        }
    }

    /// How long a function has to let a host drain.
    fn drain_timeout(&self, function: FunctionName) -> Ms {
        let patch = self.fleet.patch.as_ref().filter(|_| function == FunctionName::Patchroll);
        let backfill = self.fleet.backfill.as_ref().filter(|_| function == FunctionName::Backfill);
        patch.map(|patch| patch.drain_timeout).or(backfill.map(|backfill| backfill.drain_timeout)).map_or(0, millis)
    }

    /// Whether something that is true in the cloud keeps on-demand hosts from being given back now.
    fn nothing_may_go(&self) -> bool {
        let Some(policy) = &self.fleet.backfill else { return false };
        let now = self.now;
        let hosts = self.fleet.hosts;
        let most = policy.moves_per_hour.unwrap_or(hosts.steady) as usize;
        let moves = self.measure.losses.moves.iter().rev().take_while(|at| now - **at <= MOVES_COUNT).count();
        let out = self.audit.hosts.voluntary.len()
            + self.measure.rolls.out(&self.cloud)
            + self.measure.losses.unrepaid(0, now);
        let units = |purchase| {
            let own = self.cloud.groups.iter().filter(move |group| group.purchase == purchase);
            own.map(|group| group.units).max().unwrap_or(0)
        };
        self.audit.hosts.held
            // What cannot be read is unknown, and nothing is given back by what is unknown.
            || self.outages.any()
            || self.audit.hosts.capacity_set.is_some_and(|at| now - at <= FOREIGN_COUNTS)
            || moves >= most
            || out >= self.fleet.disruption.max_out as usize
            || self.cloud.working(|_| true) < hosts.minimum + units(Purchase::OnDemand)
            || self.audit.hosts.tied
    }

    /// Invariant 1, when a host is sent away on purpose.
    fn goes_on_purpose(&mut self, host: &InstanceId, why: &HostWhy) {
        let now = self.now;
        if self.audit.hosts.voluntary.contains_key(host) {
            return;
        }
        if matches!(why, HostWhy::NoReason { .. }) {
            self.measure.losses.moves.push(now);
        }
        let mut voluntary = std::mem::take(&mut self.audit.hosts.voluntary);
        voluntary.retain(|id, _| self.is_leaving(id));
        voluntary.insert(host.clone(), now);
        self.audit.hosts.voluntary = voluntary;
        let lost = self.measure.losses.unrepaid(KNOWN, now);
        let out = self.audit.hosts.voluntary.len() + self.measure.rolls.out(&self.cloud) + lost;
        let allowed = self.fleet.disruption.max_out as usize;
        let left = self.cloud.number(host).map_or(u32::MAX, |number| self.units_without(number));
        if out > allowed {
            self.audit.budget_violations += 1;
            self.audit.violated(
                1,
                now,
                format!("{host} sent away: {out} are out, {lost} of them lost; {allowed} may be"),
            );
        }
        if left + self.fell_just_now() < self.fleet.hosts.minimum {
            self.audit.violated(1, now, format!("{host} sent away: {left} units are left in service"));
        }
        let budget = self.budget();
        if !budget.outs.contains_key(host) || budget.outs.len() > allowed {
            self.audit.budget_violations += 1;
            let out = budget.outs.len();
            self.audit.violated(1, now, format!("{host} sent away while the budget has {out} of {allowed} out"));
        }
    }

    /// On-demand units that there are, and those that there is a reason for now.
    fn leases(&self) -> (u32, u32) {
        let Some(policy) = &self.fleet.backfill else { return (0, 0) };
        let now = self.now;
        let risk = policy.rebalance != Rebalance::Ignore;
        let sound = |(number, one): &(&crate::cluster::HostNo, &crate::cloud::Instance)| {
            // Nobody can know of a host that ECS does not show whether it is there.
            let takes = self.cluster.hosts.get(number).is_none_or(|host| host.seen.takes_tasks() && !host.hidden);
            let planned = one.planned.is_some_and(|begins| begins <= now + PLAN_COUNTS);
            let at_risk = risk && (planned || one.risk_at.is_some_and(|at| now - at <= RISK_COUNTS));
            one.works && !one.ended && !one.doomed && takes && !at_risk
        };
        let units = |one: &crate::cloud::Instance| self.cloud.groups[one.group].units;
        let own = self.cloud.groups.iter().enumerate().filter(|(_, group)| group.purchase == Purchase::OnDemand);
        // A host whose agent is away is replaced, and kept all the same for as long as the file says: its tasks may run on.
        let patience = millis(policy.agent_timeout) + 2 * MINUTE;
        let silent = |number: &crate::cluster::HostNo| {
            self.audit.liveness.away_since(*number).is_some_and(|since| now - since <= patience)
        };
        // What its group is ending already was sent away; what it has beyond its capacity while it evens out its zones
        // is its own affair.
        let there = own.map(|(number, group)| {
            let stay = |(_, one): &(_, &crate::cloud::Instance)| !one.ended && one.phase != Phase::Terminating;
            let (silent, others) =
                self.cloud.members(number).filter(stay).partition::<Vec<_>, _>(|(host, _)| silent(host));
            let [silent, others] = [silent, others].map(|hosts| u32::try_from(hosts.len()).unwrap_or(u32::MAX));
            group.units * group.desired.saturating_sub(silent).min(others)
        });
        let there = there.sum();
        let others: u32 = self
            .cloud
            .instances
            .iter()
            .filter(|instance| instance.1.purchase != Purchase::OnDemand && sound(instance))
            .map(|(_, one)| units(one))
            .sum();
        let hosts = self.fleet.hosts;
        // Hosts are whole: the largest may bring all but one of its units for nothing.
        let own = self.fleet.pools.iter().filter(|pool| pool.purchase == Purchase::OnDemand);
        let largest = own.map(|pool| pool.units).max().unwrap_or(1);
        // Without levels nobody can say what the load needs, so a late peak is a reason, within the longest dwell.
        let blind = !self.setup.alarms.levels || !self.setup.alarms.without_level.is_empty();
        let longest = LONGEST_DWELL.max(millis(policy.release_after));
        let again = blind && self.audit.hosts.fired_again;
        let late = again && self.audit.hosts.peak.is_some_and(|at| now - at <= longest);
        let more = self.signals.any_fleet_alarm() || self.audit.hosts.short || late;
        // Hosts that came for an alarm are a reason for as long as the load would have it fire without them.
        let load = self.audit.hosts.peak.and_then(|_| self.audit.hosts.loads.iter().map(|(_, units)| *units).max());
        let load = load.unwrap_or(0);
        // A roll wishes for room to move, whatever the load is.
        let borrowed = self.audit.hosts.borrows.is_some_and(|at| now - at <= BORROWED);
        let quiet = (hosts.steady.max(load) + if borrowed { largest } else { 0 }).min(hosts.maximum);
        let needed = (if more { hosts.maximum } else { quiet }).saturating_sub(others);
        // Nobody can give back what a group's MinSize keeps; while that starts, others may stand in for it.
        let is_bound = |group: &crate::cloud::SimGroup| group.purchase == Purchase::OnDemand && group.setup.min > 0;
        let bound = self.cloud.groups.iter().enumerate().filter(|(_, group)| is_bound(group));
        let (kept, work) = bound.fold((0, 0), |(kept, work), (number, group)| {
            let working = self.cloud.members(number).filter(|(_, one)| one.works && !one.ended && !one.doomed).count();
            let working = u32::try_from(working).unwrap_or(u32::MAX).min(group.setup.min);
            (kept + group.setup.min * group.units, work + working * group.units)
        });
        let needed = kept + needed.saturating_sub(work);
        (there, if needed == 0 { 0 } else { needed + largest - 1 })
    }

    /// Notes what is dear to look at: whether tasks have no place, and whether what runs on on-demand hosts has another.
    pub(super) fn note_places(&mut self) {
        let dear = |one: &crate::cloud::Instance| one.purchase == Purchase::OnDemand && one.works;
        let mut own = self.cloud.instances.iter().filter(|(_, one)| dear(one)).peekable();
        let tied = own.peek().is_some() && own.all(|(number, _)| !self.surely_moves(*number));
        let short = self.any_without_a_place();
        let borrows = self.fleet.patch.as_ref().is_some_and(|patch| {
            patch.borrow
                && (patch.refresh == Refresh::All || self.cloud.instances.values().any(|one| self.is_behind_now(one)))
        });
        let audit = &mut self.audit.hosts;
        (audit.tied, audit.short) = (tied, short);
        if borrows {
            audit.borrows = Some(self.now);
        }
    }

    /// Notes for how many on-demand units there is a reason, before time passes.
    pub(crate) fn note_leases(&mut self) {
        if self.audit.hosts.peak.is_some() {
            let (now, units) = (self.now, self.units_for_load());
            let loads = &mut self.audit.hosts.loads;
            loads.retain(|(at, before)| now - at <= LEVEL_LAGS && *before > units);
            loads.push_back((now, units));
        }
        let (there, reasons) = self.leases();
        let fires = self.signals.any_fleet_alarm();
        let own = self.cloud.groups.iter().filter(|group| group.purchase == Purchase::OnDemand);
        let asked_for: u32 = own.map(|group| group.desired).sum();
        let stays = self.nothing_may_go();
        let given_back = self.measure.losses.moves.last().copied();
        let audit = &mut self.audit.hosts;
        audit.note_alarms(fires, asked_for, given_back, self.now);
        let reasons = if stays { reasons.max(there) } else { reasons };
        if audit.justified.back().is_none_or(|(_, last)| *last != reasons) {
            audit.justified.push_back((self.now, reasons));
        }
    }

    /// Invariant 5, looked at every minute: no on-demand host outlives its reason by more than the dwell and its drain.
    pub(crate) fn audit_leases(&mut self) {
        let Some(policy) = self.fleet.backfill.clone() else { return };
        let now = self.now;
        let (there, _) = self.leases();
        if self.fleet.observes(FunctionName::Backfill) {
            // Whoever put them there, nobody gives them back; they are counted from when backfill acts.
            self.audit.hosts.justified = [(now, there)].into();
            return;
        }
        let each = millis(policy.drain_timeout) + 5 * MINUTE;
        let within = |hosts: u32| millis(policy.release_after) + Ms::from(hosts) * each;
        let most = within(there);
        let justified = &mut self.audit.hosts.justified;
        // The oldest that is kept was true when the time began that counts, for as many hosts as there may be.
        while justified.get(1).is_some_and(|(at, _)| now - at >= within(self.fleet.hosts.maximum)) {
            justified.pop_front();
        }
        let ends = justified.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let counts = justified.iter().zip(ends).filter(|(_, end)| now - end < most);
        let allowed = counts.map(|((_, units), _)| *units).max().unwrap_or(0);
        if there > allowed {
            // Said once, and then counted anew.
            justified.push_back((now, there));
            let detail =
                format!("{there} on-demand units, and at most {allowed} had a reason in {} min", most / MINUTE);
            self.audit.violated(5, now, detail);
        }
    }
}
