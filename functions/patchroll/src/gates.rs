//! What must hold before a wave begins, and which hosts it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_microscale::{Stays, moves_off};
use evenkeel_model::decision::HostStep;
use evenkeel_model::fleet::{Patch, Purchase, Strategy, Wave as WaveSize};
use evenkeel_model::groups::Process;
use evenkeel_model::observed::{Host, HostStatus, Observed, Task};
use evenkeel_model::report::{HostWait, RollWait, Wait};
use evenkeel_model::stuck::tied_hosts;
use evenkeel_model::{GroupName, InstanceId, PoolName, Timestamp, Zone};
use evenkeel_turn::{NoticeKind, REPAID_WITHIN};

use crate::hosts::Kept;
use crate::orders::{next_window, open_until};
use crate::pairs::{Capacity, Pair, Phase, Wave};
use crate::plan::Planning;
use crate::state::{Missed, Roll, Stage};

/// A rebalance recommendation that nothing followed for so long was noise.
const RISK_COUNTS: Duration = Duration::from_hours(1);

/// A host that could go next. The order of the fields is the policy: hosts at risk go anyway, those that cannot be emptied
/// in order come last, dear ones before cheap ones, zones take turns, a canary should be empty soon, and the oldest
/// go before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    tied: bool,
    not_at_risk: bool,
    not_on_demand: bool,
    of_its_zone: usize,
    tasks: u32,
    launched: Timestamp,
    id: &'a InstanceId,
}

/// Hosts of a wave in a fleet of so many: a share is rounded down, and one at least.
pub(crate) fn wave_size(policy: &Patch, hosts: usize) -> u32 {
    match policy.wave {
        WaveSize::Hosts(hosts) => hosts,
        WaveSize::Percent(percent) => (u32::try_from(hosts).unwrap_or(u32::MAX).saturating_mul(percent) / 100).max(1),
    }
}

impl<'r> Planning<'_, 'r> {
    /// Begins the next wave, or says what it waits for.
    pub(crate) fn next_wave(&mut self, roll: &mut Roll) {
        let refreshing =
            roll.todo.iter().filter_map(|id| self.roster.all.get(id)).any(|kept| self.is_refreshing(kept.group));
        if refreshing || roll.paused || (roll.halted.is_some() && roll.stage == Stage::Rolling) {
            return; // which was said already
        }
        if let Some(wait) = self.closed(roll) {
            self.report.waits.push(wait);
            return;
        }
        // What a group has besides what it should is taken over by the next pairs, so it must be known.
        if let Some(until) = self.unsettled_until(roll) {
            self.wake_at(until);
            return;
        }
        if self.replace_warm(roll) {
            return;
        }
        let size = self.size(roll);
        let free = self.free();
        // What is taken back and never worked makes up for what is missing, and needs no place besides.
        let losses = if roll.stage == Stage::TakingBack { self.budget.losses().count() } else { 0 };
        let (most, idle) = if free > 0 { (size.min(free) as usize, false) } else { (losses.min(size as usize), true) };
        let mut chosen = self.choose(roll, most, idle);
        if free == 0 && chosen.is_empty() {
            let (out, allowed) = (self.out(), self.given.fleet.disruption.max_out);
            self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out, allowed }));
            return;
        }
        self.keep_those_that_fit(&mut chosen);
        if !chosen.is_empty() {
            self.begin_wave(roll, chosen);
        }
    }

    /// Hosts that are out: by the budget, and those that its groups miss where no backfill counts what is lost.
    fn out(&self) -> u32 {
        self.budget.out() + self.state.missed.map_or(0, |missed| missed.hosts)
    }

    /// How many hosts more may go on purpose.
    fn free(&self) -> u32 {
        self.given.fleet.disruption.max_out.saturating_sub(self.out())
    }

    /// Counts the hosts that were lost, where nobody else does; a group that is not whole again after an hour is as it is.
    /// A roll that is taken back replaces what is missing. A look at some of the hosts does not tell how many are missing.
    pub(crate) fn count_losses(&mut self) {
        let now = self.given.now;
        if self.seen.some_hosts {
            return;
        }
        let counts = !self.given.fleet.is_backfilled() && !self.takes_back;
        let missing = if counts { self.lost() } else { 0 };
        self.state.missed = (missing > 0).then(|| {
            let since = self.state.missed.map_or(now, |missed| missed.since);
            let hosts = if now.duration_since(since).unsigned_abs() < REPAID_WITHIN { missing } else { 0 };
            Missed { since, hosts }
        });
    }

    /// Hosts that the groups should have in service and have not, besides those that are out and those that came first.
    fn lost(&self) -> u32 {
        let raised = |group: &GroupName| {
            let roll = self.state.roll.as_ref();
            let capacity = roll.and_then(|roll| Some((roll.groups.get(group)?, roll.wave.as_ref())));
            capacity.map_or(0, |(capacity, wave)| capacity.larger(wave, group))
        };
        let of_group = |(_, group): &(&evenkeel_model::fleet::Pool, &evenkeel_model::groups::Group)| {
            let ready = self.roster.staying(&group.name).filter(|(_, kept)| kept.ready()).count();
            group.desired.saturating_sub(raised(&group.name)).saturating_sub(u32::try_from(ready).unwrap_or(u32::MAX))
        };
        let missing: u32 = self.roster.groups.iter().map(of_group).sum();
        // A host that is out and in service still is not among the missing.
        let out = self.budget.outs.keys().filter(|id| self.roster.all.get(id).is_none_or(|kept| !kept.ready())).count();
        missing.saturating_sub(u32::try_from(out).unwrap_or(u32::MAX))
    }

    /// What keeps any wave of a roll that goes on from beginning.
    fn closed(&mut self, roll: &Roll) -> Option<Wait> {
        let taking_back = roll.stage == Stage::TakingBack;
        if !roll.any_time && !taking_back && open_until(self.policy, self.given.now).is_none() {
            let because = "the next wave waits".to_owned();
            let opens = next_window(self.policy, self.given.now);
            return Some(Wait::Roll(RollWait::OutsideWindow { because, opens }));
        }
        if !taking_back && let Some(wait) = self.unknown_alarm() {
            return Some(wait);
        }
        None
    }

    /// Whether somebody else's instance refresh replaces a group's hosts.
    pub(crate) fn is_refreshing(&self, group: &evenkeel_model::groups::Group) -> bool {
        self.state.refreshing.contains(&group.name)
    }

    /// How many hosts the next wave takes. The first is a canary of one.
    fn size(&self, roll: &Roll) -> u32 {
        if roll.waves == 0 {
            return 1;
        }
        wave_size(self.policy, self.roster.all.values().filter(|kept| kept.stays()).count())
    }

    /// Which comes first in a pool. Backfill alone sets the capacity of on-demand pools, and others may say how large a group
    /// is, so these cannot grow first.
    pub(crate) fn strategy(&self, pool: &evenkeel_model::fleet::Pool) -> Strategy {
        let of_pool = self.roster.groups.iter().find(|(known, _)| known.name == pool.name);
        let theirs = of_pool.is_some_and(|(_, group)| group.scaled_by.is_some());
        if theirs || (pool.purchase == Purchase::OnDemand && self.given.fleet.is_backfilled()) {
            Strategy::TerminateFirst
        } else {
            self.policy.strategy
        }
    }

    /// The next hosts, as many as the numbers of the fleet file allow; of those that do not work only where `idle` says so.
    fn choose(&mut self, roll: &Roll, most: usize, idle: bool) -> Vec<InstanceId> {
        if most == 0 {
            return Vec::new();
        }
        let mut candidates = self.candidates(roll);
        candidates.retain(|(_, kept)| !idle || !kept.may_work());
        let hosts = self.given.fleet.hosts;
        let mut working = self.roster.working();
        let mut space = hosts.maximum.saturating_sub(self.all_units());
        let mut room: BTreeMap<PoolName, u32> = self.room_in_groups(roll);
        let mut in_zone: BTreeMap<Option<Zone>, usize> = BTreeMap::new();
        let mut chosen = Vec::new();
        let mut held_up = None;
        while chosen.len() < most {
            let in_its_zone = |kept: &Kept<'_>| in_zone.get(&kept.member.zone).copied().unwrap_or(0);
            let rank = |index: &usize| {
                let (rank, kept) = candidates[*index];
                Rank { of_its_zone: in_its_zone(kept), ..rank }
            };
            let Some(best) = (0..candidates.len()).min_by_key(rank) else { break };
            let (_, kept) = candidates.swap_remove(best);
            let units = kept.pool.units;
            match self.strategy(kept.pool) {
                Strategy::TerminateFirst
                    if kept.may_work() && working < hosts.minimum + if kept.ready() { units } else { 0 } =>
                {
                    let (in_service, minimum) = (working, hosts.minimum);
                    held_up = Some(Wait::Host(HostWait::Minimum { in_service, minimum }));
                    continue;
                }
                Strategy::TerminateFirst => working = working.saturating_sub(if kept.ready() { units } else { 0 }),
                Strategy::LaunchFirst => {
                    let left = room.entry(kept.pool.name.clone()).or_default();
                    if *left == 0 || space < units {
                        let maximum = if *left == 0 { kept.group.max } else { hosts.maximum };
                        let pool = kept.pool.name.clone();
                        held_up = Some(Wait::Roll(RollWait::Maximum { maximum, pool }));
                        continue;
                    }
                    *left -= 1;
                    space -= units;
                }
            }
            *in_zone.entry(kept.member.zone.clone()).or_default() += 1;
            chosen.push(kept.member.id.clone());
        }
        if chosen.is_empty()
            && let Some(wait) = held_up
        {
            if matches!(wait, Wait::Host(HostWait::Minimum { .. })) {
                self.borrow();
            }
            self.report.waits.push(wait);
        }
        chosen
    }

    /// Hosts on the list whose groups would replace them, each with its rank.
    fn candidates(&mut self, roll: &Roll) -> Vec<(Rank<'r>, &'r Kept<'r>)> {
        let roster = self.roster;
        let quiet = roll.quiet.is_some_and(|until| until > self.given.now);
        let mut found = Vec::new();
        let mut suspended: BTreeSet<(GroupName, Process)> = BTreeSet::new();
        let tied = self.seen.running.as_ref().map(tied_hosts).unwrap_or_default();
        // A host that another function has out is its own affair until it is back or gone.
        let taken: BTreeSet<&InstanceId> = self.given.board.budget.outs.keys().collect();
        // Nobody knows what would come in the place of a host whose pool's template is not known.
        let is_known = |kept: &Kept<'_>| roll.stage == Stage::TakingBack || self.can_be_judged(roll, kept);
        let may_go = |kept: &Kept<'_>| kept.may_go() && is_known(kept);
        let listed =
            roster.all.iter().filter(|(id, kept)| may_go(kept) && roll.todo.contains(**id) && !taken.contains(*id));
        for (id, kept) in listed {
            match kept.group.suspended.first() {
                Some(process) => {
                    suspended.insert((kept.group.name.clone(), *process));
                }
                // In the quiet time nothing goes; new hosts may come.
                None if quiet && self.strategy(kept.pool) == Strategy::TerminateFirst => {}
                None => found.push((self.rank(id, kept, tied.contains(id), roll.waves == 0), kept)),
            }
        }
        for (group, process) in suspended {
            self.report.waits.push(Wait::Roll(RollWait::Suspended { group, process }));
        }
        found
    }

    fn rank(&self, id: &'r InstanceId, kept: &Kept<'_>, tied: bool, canary: bool) -> Rank<'r> {
        let at_risk = self.state.notices.fresh(id, NoticeKind::AtRisk, self.given.now, RISK_COUNTS).is_some();
        let away = kept.host.is_some_and(|host| !host.connected);
        Rank {
            tied: tied || away,
            not_at_risk: !at_risk,
            not_on_demand: kept.pool.purchase != Purchase::OnDemand,
            of_its_zone: 0,
            tasks: kept.host.filter(|_| canary).map_or(0, |host| host.task_count),
            launched: kept.note.launched.unwrap_or(Timestamp::MIN),
            id,
        }
    }

    /// Units that are there or about to be launched.
    fn all_units(&self) -> u32 {
        let of = |(pool, group): &(&evenkeel_model::fleet::Pool, &evenkeel_model::groups::Group)| {
            let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
            staying.max(group.desired) * pool.units
        };
        self.roster.groups.iter().map(of).sum()
    }

    /// How many hosts each group may grow by, those that it has too many already included.
    fn room_in_groups(&self, roll: &Roll) -> BTreeMap<PoolName, u32> {
        let room = |(pool, group): &(&evenkeel_model::fleet::Pool, &evenkeel_model::groups::Group)| {
            let base = roll.groups.get(&group.name).map_or(group.desired, |capacity| capacity.base);
            (pool.name.clone(), group.max.saturating_sub(base))
        };
        self.roster.groups.iter().map(room).collect()
    }

    /// Leaves of `chosen`, whose best come first, as many as have a place for what runs on them.
    fn keep_those_that_fit(&mut self, chosen: &mut Vec<InstanceId>) {
        if self.given.fleet.cluster.is_none() || chosen.is_empty() {
            return;
        }
        let first = |count: usize| chosen[..count].iter().cloned().collect::<BTreeSet<InstanceId>>();
        let Err(because) = self.proof(&first(chosen.len())) else { return };
        let (mut fits, mut fails) = (0, chosen.len());
        let mut reason = because;
        while fits + 1 < fails {
            let middle = usize::midpoint(fits, fails);
            match self.proof(&first(middle)) {
                Ok(()) => fits = middle,
                Err(because) => (fails, reason) = (middle, because),
            }
        }
        if fits == 0 {
            self.borrow();
            let borrows = self.state.borrows > 0;
            self.report.waits.push(Wait::Roll(RollWait::NoRoom { because: reason, borrows }));
        }
        chosen.truncate(fits);
    }

    /// Whether what runs on these hosts has another place; the same rule as microscale's. Tasks that ECS does not move
    /// anyway are left out: a host with such tasks drains as far as it can.
    ///
    /// # Errors
    /// What has no place, in words.
    pub(crate) fn proof(&self, hosts: &BTreeSet<InstanceId>) -> Result<(), String> {
        if self.given.fleet.cluster.is_none() {
            return Ok(());
        }
        let Some(running) = &self.seen.running else { return Err("what runs was not looked at yet".to_owned()) };
        let draining = |host: &&Host| host.status == HostStatus::Draining && self.roster.all.contains_key(&host.id);
        let mut leaving = hosts.clone();
        leaving.extend(self.seen.hosts.iter().filter(draining).map(|host| host.id.clone()));
        let moves = |task: &&Task| !(leaving.contains(&task.host) && (task.service.is_none() || task.protected));
        // Where the new host comes first, it is there when the old one goes, and takes no less.
        let first = hosts.iter().filter_map(|id| self.roster.all.get(id)).filter(|kept| {
            self.strategy(kept.pool) == Strategy::LaunchFirst && kept.host.is_some_and(Host::takes_tasks)
        });
        let first = first.filter_map(|kept| kept.host).cloned().map(comes_first);
        let observed = Observed {
            at: self.given.now,
            hosts: self.seen.hosts.iter().cloned().chain(first).collect(),
            tasks: running.tasks.iter().filter(moves).cloned().collect(),
            services: running.services.clone(),
            demand: BTreeMap::new(),
        };
        moves_off(self.given.fleet, &observed, &leaving).map_err(|stays: Stays| stays.to_string())
    }

    /// What keeps one host of a wave from leaving now, although its successor is there.
    pub(crate) fn may_leave(&self, wave: &Wave, host: &InstanceId) -> Option<Wait> {
        if self.free() == 0 {
            let (out, allowed) = (self.out(), self.given.fleet.disruption.max_out);
            return Some(Wait::Host(HostWait::BudgetSpent { out, allowed }));
        }
        self.falls_short(wave, host)
    }

    /// What keeps a host that was about to be told to go, or to end: others fell out before that.
    pub(crate) fn must_stay(&self, wave: &Wave, host: &InstanceId) -> Option<Wait> {
        let (out, allowed) = (self.budget.out(), self.given.fleet.disruption.max_out);
        let works = self.roster.all.get(host).is_some_and(|kept| !kept.is_draining());
        if works && out > allowed {
            return Some(Wait::Host(HostWait::BudgetSpent { out, allowed }));
        }
        self.falls_short(wave, host)
    }

    /// Whether too few are left in service without a host that may work, and without the others of its wave that are told to
    /// go.
    fn falls_short(&self, wave: &Wave, host: &InstanceId) -> Option<Wait> {
        let own = self.roster.all.get(host)?;
        let leaves = |id: &InstanceId| wave.hosts.get(id).is_some_and(Pair::leaves);
        let works = |kept: &Kept<'_>| kept.stays() && (kept.ready() || (self.seen.some_hosts && kept.is_unseen()));
        let others = self.roster.all.iter().filter(|(id, kept)| **id != host && works(kept) && !leaves(id));
        let others: u32 = others.map(|(_, kept)| kept.pool.units).sum();
        let in_service = others + if own.ready() { own.pool.units } else { 0 };
        let minimum = self.given.fleet.hosts.minimum;
        let falls = own.may_work() && others < minimum;
        falls.then_some(Wait::Host(HostWait::Minimum { in_service, minimum }))
    }

    /// Asks backfill for one more host, where the fleet file allows it; until the roll is over.
    fn borrow(&mut self) {
        if self.policy.borrow {
            self.state.borrows = self.state.borrows.max(1);
        }
    }

    fn begin_wave(&mut self, roll: &mut Roll, chosen: Vec<InstanceId>) {
        let now = self.given.now;
        let mut wave = Wave { since: now, hosts: BTreeMap::new(), came: None, withdraws: false, looked: Some(now) };
        for id in chosen {
            let Some(kept) = self.roster.all.get(&id) else { continue };
            let mut pair = Pair::new(&kept.group.name, Phase::Draining, now);
            if self.strategy(kept.pool) == Strategy::LaunchFirst {
                pair.launch_first = true;
                let capacity =
                    roll.groups.entry(pair.group.clone()).or_insert_with(|| Capacity::new(kept.group.desired));
                pair.phase = if capacity.extra > 0 { Phase::Launching } else { Phase::WaitingToLaunch };
                capacity.extra = capacity.extra.saturating_sub(1);
            } else {
                let made_up_for = self.budget.losses().next().cloned();
                if let Some(loss) = made_up_for.filter(|_| roll.stage == Stage::TakingBack && !kept.may_work()) {
                    self.budget.outs.remove(&loss);
                }
                self.note_out(&id);
            }
            roll.todo.remove(&id);
            wave.hosts.insert(id, pair);
        }
        roll.waves += 1;
        self.grow(roll, &mut wave);
        self.leave(roll, &mut wave);
        self.often |= self.is_unannounced(&wave);
        roll.wave = Some(wave);
    }
}

/// A host like `old`, before anything runs on it.
fn comes_first(old: Host) -> Host {
    let id = InstanceId::new(&format!("{:.56}-comes", old.id)).unwrap_or_else(|_| old.id.clone());
    let mut attributes = old.attributes;
    attributes.remove(HostStep::OLD);
    Host { id, attributes, task_count: 0, ..old }
}
