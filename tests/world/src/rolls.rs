//! Measures rolls: how long they took, how long they had to take, and how many hosts were out because of them.
//!
//! Which roll is under way, and how it ended, is what patchroll has stored. Everything else is measured here, from what
//! the functions did and what the hosts went through.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::fleet::{Fleet, Patch, Wave};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::{FunctionName, InstanceId, RollId};
use evenkeel_patchroll::{Ended, Ending, Roll, Stage, State};
use evenkeel_turn::ledger::Write;
use evenkeel_turn::state_key;

use crate::clock::{Ms, SECOND};
use crate::cloud::{Cloud, GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::setup::millis;

/// Calls that end hosts: twenty at once, five a second after that (assumed for Auto Scaling, see `api`). Nobody is faster.
const ENDS_AT_ONCE: u64 = 20;
const ENDS_A_SECOND: u64 = 5;

/// All rolls, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Rolls {
    pub(crate) list: Vec<Measured>,
}

/// One roll.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) id: RollId,
    /// What patchroll says of it.
    pub(crate) state: &'static str,
    /// Hosts in all, as patchroll counts them.
    pub(crate) hosts: u32,
    /// Hosts that patchroll has replaced.
    pub(crate) replaced: u32,
    pub(crate) waves: u32,
    pub(crate) since: Ms,
    /// Its first step.
    pub(crate) first: Option<Ms>,
    pub(crate) ended: Option<Ms>,
    /// The most hosts that were out at once because of it.
    pub(crate) max_out: usize,
    /// The groups' capacities when it began.
    desired: Vec<usize>,
    /// Patchroll's calls of AWS before it began, and until now or its end.
    calls_before: u64,
    pub(crate) calls: u64,
    /// What baking its image took.
    baked: Ms,
    /// Hosts that were sent away, in the order in which they were.
    leavers: Vec<Leaver>,
    /// Hosts that were ordered to come first and are not there yet: when they were ordered.
    ordered: BTreeMap<GroupNo, Vec<Ms>>,
    /// Hosts that came first: when they were there, and how long that took from their order on.
    first_come: BTreeMap<GroupNo, Vec<(Ms, Ms)>>,
}

/// A host that was sent away.
#[derive(Debug, Clone)]
struct Leaver {
    host: HostNo,
    group: GroupNo,
    /// When it was told to drain, or to end where nothing had to drain.
    left: Ms,
    empty: Option<Ms>,
    ended: Option<Ms>,
    /// Its group shrank by it.
    shrinks: bool,
    /// When another was all that it should be.
    replaced: Option<Ms>,
}

impl Rolls {
    /// Patchroll has stored its state.
    pub(crate) fn stored(&mut self, state: &State, cloud: &Cloud, calls: u64, now: Ms) {
        for ended in state.ended.iter().rev() {
            self.note(&ended.id, cloud, calls, now).ends(ended, calls, now);
        }
        if let Some(roll) = &state.roll {
            let measured = self.note(&roll.id, cloud, calls, now);
            measured.goes_on(roll);
            if roll.wave.is_none() {
                // A group that is whole between two waves has no place left to fill, also where it was made smaller.
                let whole: Vec<GroupNo> =
                    (0..cloud.groups.len()).filter(|group| measured.missing(*group, cloud) == 0).collect();
                measured.write_off(|leaver| !leaver.shrinks && whole.contains(&leaver.group));
            }
        }
    }

    fn note(&mut self, id: &RollId, cloud: &Cloud, calls: u64, now: Ms) -> &mut Measured {
        let index = self.list.iter().position(|known| known.id == *id).unwrap_or_else(|| {
            let desired = cloud.groups.iter().map(|group| group.desired as usize).collect();
            self.list.push(Measured::new(id, desired, calls, now));
            self.list.len() - 1
        });
        &mut self.list[index]
    }

    /// The roll that is under way.
    pub(crate) fn current(&mut self) -> Option<&mut Measured> {
        self.list.iter_mut().rev().find(|roll| roll.ended.is_none())
    }

    /// Patchroll takes a step of the roll that is under way.
    pub(crate) fn step(&mut self, calls: u64, now: Ms) {
        if let Some(roll) = self.current() {
            roll.first.get_or_insert(now);
            roll.calls = calls - roll.calls_before;
        }
    }

    /// Something about the bake takes so long.
    pub(crate) fn bakes(&mut self, took: Ms) {
        if let Some(roll) = self.current() {
            roll.baked += took;
        }
    }

    /// A host is told to drain; without tasks it is empty at once.
    /// Gives whether that is news.
    pub(crate) fn drains(&mut self, host: HostNo, group: GroupNo, empty: bool, now: Ms) -> bool {
        let Some(roll) = self.current() else { return false };
        if roll.leavers.iter().any(|known| known.host == host) {
            return false;
        }
        let empty = empty.then_some(now);
        roll.leavers.push(Leaver { host, group, left: now, empty, ended: None, shrinks: false, replaced: None });
        true
    }

    /// A host takes tasks again.
    pub(crate) fn stays(&mut self, host: HostNo) {
        if let Some(roll) = self.current() {
            roll.leavers.retain(|known| known.host != host || known.ended.is_some());
        }
    }

    /// Nothing runs on a host any more.
    pub(crate) fn emptied(&mut self, host: HostNo, now: Ms) {
        if let Some(leaver) = self.leaver(host) {
            leaver.empty.get_or_insert(now);
        }
    }

    /// A host is told to end, which counts where it had worked or been told to drain. Gives whether it is news that it
    /// goes.
    pub(crate) fn ends(&mut self, host: HostNo, group: GroupNo, shrinks: bool, worked: bool, now: Ms) -> bool {
        let news = worked && self.drains(host, group, true, now);
        if let Some(leaver) = self.leaver(host) {
            leaver.ended.get_or_insert(now);
            leaver.shrinks |= shrinks;
        }
        news
    }

    /// Somebody else has set a group's capacity: what is missing there is his affair.
    pub(crate) fn meddled(&mut self, group: GroupNo) {
        if let Some(roll) = self.current() {
            roll.write_off(|leaver| leaver.group == group);
        }
    }

    /// A host is gone that nobody told to end.
    pub(crate) fn lost(&mut self, host: HostNo) {
        self.stays(host);
    }

    /// A group is to grow by so many hosts first.
    pub(crate) fn grows(&mut self, group: GroupNo, by: u32, now: Ms) {
        if let Some(roll) = self.current() {
            roll.ordered.entry(group).or_default().extend((0..by).map(|_| now));
        }
    }

    /// A host that was launched at `launched` is all that it should be. It takes the place of the one that ended first;
    /// where none is missing, it is one that was to come first.
    pub(crate) fn ready(&mut self, group: GroupNo, launched: Ms, now: Ms) {
        let Some(roll) = self.current().filter(|roll| launched >= roll.since) else { return };
        let missing =
            roll.leavers.iter_mut().filter(|one| one.group == group && !one.shrinks && one.replaced.is_none());
        if let Some(leaver) = missing.filter(|one| one.ended.is_some()).min_by_key(|one| one.ended) {
            leaver.replaced = Some(now);
        } else if let Some(ordered) = roll.ordered.get_mut(&group).filter(|ordered| !ordered.is_empty()) {
            let at = ordered.remove(0);
            roll.first_come.entry(group).or_default().push((now, now - at));
        }
    }

    /// Whether a host leaves because of the roll that is under way.
    pub(crate) fn leaves(&self, host: HostNo) -> bool {
        let current = self.list.last().filter(|roll| roll.ended.is_none());
        current.is_some_and(|roll| roll.leavers.iter().any(|leaver| leaver.host == host))
    }

    fn leaver(&mut self, host: HostNo) -> Option<&mut Leaver> {
        self.current()?.leavers.iter_mut().find(|known| known.host == host)
    }

    /// Hosts that are out because of the roll that is under way.
    pub(crate) fn out(&self, cloud: &Cloud) -> usize {
        self.list.last().filter(|roll| roll.ended.is_none()).map_or(0, |roll| roll.out(cloud))
    }

    /// Notes how many are out now.
    fn count(&mut self, cloud: &Cloud) {
        let out = self.out(cloud);
        if let Some(roll) = self.current() {
            roll.max_out = roll.max_out.max(out);
        }
    }
}

impl Measured {
    fn new(id: &RollId, desired: Vec<usize>, calls: u64, now: Ms) -> Self {
        Self {
            id: id.clone(),
            desired,
            state: "rolling",
            hosts: 0,
            replaced: 0,
            waves: 0,
            since: now,
            first: None,
            ended: None,
            max_out: 0,
            calls_before: calls,
            calls: 0,
            baked: 0,
            leavers: Vec::new(),
            ordered: BTreeMap::new(),
            first_come: BTreeMap::new(),
        }
    }

    fn goes_on(&mut self, roll: &Roll) {
        let wave = roll.wave.as_ref().map_or(0, |wave| wave.hosts.len());
        let left = u32::try_from(roll.todo.len() + wave + roll.abandoned.len()).unwrap_or(u32::MAX);
        self.hosts = self.hosts.max(left + roll.replaced + roll.went);
        (self.replaced, self.waves) = (roll.replaced, roll.waves);
        if roll.halted.is_some() && roll.wave.is_none() {
            // Given up in time: a halted roll says that replacements are missing, and waits for a person.
            self.write_off(|_| true);
        }
        self.state = match (&roll.stage, &roll.halted) {
            (Stage::TakingBack, _) => "taking-back",
            (Stage::Baking(_) | Stage::Rolling, Some(_)) => "halted",
            (Stage::Baking(_) | Stage::Rolling, None) if roll.paused => "paused",
            (Stage::Baking(_), None) => "baking",
            (Stage::Rolling, None) => "rolling",
        };
    }

    /// Hosts that have ended and are not going to be replaced because of the roll.
    fn write_off(&mut self, which: impl Fn(&Leaver) -> bool) {
        self.leavers.retain(|leaver| leaver.ended.is_none() || leaver.replaced.is_some() || !which(leaver));
    }

    fn ends(&mut self, ended: &Ended, calls: u64, now: Ms) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(now);
        self.calls = calls - self.calls_before;
        let abandoned = u32::try_from(ended.abandoned.len()).unwrap_or(u32::MAX);
        self.hosts = self.hosts.max(ended.replaced + ended.went + abandoned);
        (self.replaced, self.waves) = (ended.replaced, ended.waves);
        self.state = match &ended.ending {
            Ending::Done => "done",
            Ending::Incomplete => "incomplete",
            Ending::Aborted => "aborted",
            Ending::NotBaked(_) => "not-baked",
            Ending::RolledBack(_) => "rolled-back",
        };
    }

    /// Hosts that are sent away: those that drain, whether another came first or not; and those that were ended and not
    /// replaced, less those that came first, and no more than their group misses. Counted so that it is never too many:
    /// where a host is lost at the same time, the next new one takes the place of the one that was sent away, and where a
    /// group has as many as it had before the roll, none is missed.
    fn out(&self, cloud: &Cloud) -> usize {
        let mut ended: BTreeMap<GroupNo, usize> = BTreeMap::new();
        let mut drain = 0;
        for leaver in self.leavers.iter().filter(|leaver| leaver.replaced.is_none()) {
            match leaver.ended {
                Some(_) => *ended.entry(leaver.group).or_default() += 1,
                // One that had died when it was told to drain is a loss.
                None => drain += usize::from(cloud.instances.get(&leaver.host).is_some_and(|one| !one.ended)),
            }
        }
        let out = |(group, ended): (&GroupNo, &usize)| {
            let came = self.first_come.get(group).map_or(0, Vec::len);
            let missing = self.missing(*group, cloud).saturating_sub(self.draining(*group));
            ended.saturating_sub(came).min(missing)
        };
        drain + ended.iter().map(out).sum::<usize>()
    }

    /// Hosts of a group that were told to drain and not to end yet.
    fn draining(&self, group: GroupNo) -> usize {
        self.leavers.iter().filter(|leaver| leaver.group == group && leaver.ended.is_none()).count()
    }

    /// Hosts that a group misses: of those it had before the roll, or of those it is to have, if that is less.
    fn missing(&self, group: GroupNo, cloud: &Cloud) -> usize {
        let leaving: BTreeSet<HostNo> = self.leavers.iter().map(|leaver| leaver.host).collect();
        let there = cloud.members(group).filter(|(host, one)| {
            one.phase == Phase::InService && one.ready_at.is_some() && !one.ended && !leaving.contains(host)
        });
        let wanted = self.desired.get(group).copied().unwrap_or(0).min(cloud.groups[group].desired as usize);
        wanted.saturating_sub(there.count())
    }

    /// From the first step to the end, or until `now`.
    pub(crate) fn took(&self, now: Ms) -> Ms {
        self.first.map_or(0, |first| self.ended.unwrap_or(now).saturating_sub(first))
    }

    /// What a roll takes at least, with the draws of this one: for each wave the slowest drain of its hosts, then the
    /// slowest end with its boot and health check (where new hosts come first: the slowest boot, then the slowest drain;
    /// rolls go below this, because hosts may boot in the quiet time before), and the quiet time. Waves are full, as large as the fleet file and the budget allow: a first wave of one is the
    /// controller's own affair. Ends come no faster than the API allows them. The time to bake comes on top.
    pub(crate) fn floor(&self, fleet: &Fleet) -> Ms {
        let Some(patch) = &fleet.patch else { return 0 };
        let size = self.wave_size(fleet, patch);
        let settle = millis(patch.settle);
        let mut left: Vec<&Leaver> = self.leavers.iter().filter(|one| one.shrinks || one.replaced.is_some()).collect();
        left.sort_by_key(|leaver| (leaver.left, leaver.host));
        let mut came: Vec<(Ms, Ms)> = self.first_come.values().flatten().copied().collect();
        came.sort_unstable();
        let waves = left.chunks(size).map(|wave| {
            let shrinking = wave.iter().filter(|leaver| leaver.shrinks).count();
            let first: Vec<Ms> = came.drain(..shrinking.min(came.len())).map(|(_, took)| took).collect();
            longest(wave, &first) + settle
        });
        self.baked + waves.sum::<Ms>()
    }

    /// Hosts of a full wave.
    fn wave_size(&self, fleet: &Fleet, patch: &Patch) -> usize {
        let asked = match patch.wave {
            Wave::Hosts(hosts) => hosts,
            Wave::Percent(percent) => self.hosts * percent / 100,
        };
        asked.min(fleet.disruption.max_out).max(1) as usize
    }
}

impl Core {
    /// Patchroll takes a step.
    pub(crate) fn note_roll_step(&mut self, function: FunctionName) {
        self.watch_step(function);
        if function == FunctionName::Patchroll {
            let calls = self.apis.of_aws(function);
            self.measure.rolls.step(calls, self.now);
        }
    }

    /// Patchroll's state was stored, if it is among `writes`.
    pub(crate) fn note_state(&mut self, writes: &[Write]) {
        let key = state_key(&self.fleet.name, FunctionName::Patchroll);
        for body in writes.iter().filter(|write| write.key == key).filter_map(|write| write.body.as_deref()) {
            let Ok(state) = serde_json::from_str::<State>(body) else { continue };
            let calls = self.apis.of_aws(FunctionName::Patchroll);
            self.measure.rolls.stored(&state, &self.cloud, calls, self.now);
            self.audit_rolls(&state);
        }
    }

    /// Hosts were told to drain, or to take tasks again.
    pub(crate) fn note_roll_status(&mut self, function: FunctionName, hosts: &[InstanceId], status: HostStatus) {
        self.note_roll_step(function);
        self.watch_status(function, hosts, status);
        if function != FunctionName::Patchroll {
            return;
        }
        let numbers: Vec<HostNo> = hosts.iter().filter_map(|id| self.cloud.number(id)).collect();
        for number in numbers {
            let empty = self.cluster.hosts.get(&number).is_none_or(|host| host.tasks.is_empty());
            let group = self.cloud.instances[&number].group;
            let drains = status != HostStatus::Active;
            self.audit_roll_status(number, drains);
            if !drains {
                self.measure.rolls.stays(number);
            } else if self.measure.rolls.drains(number, group, empty, self.now) {
                self.measure.rolls.count(&self.cloud);
                self.audit_leaver(number);
            }
        }
    }

    /// A host is told to end; one that never worked is nobody's loss.
    pub(crate) fn note_roll_end(&mut self, function: FunctionName, host: HostNo, shrinks: bool) {
        self.note_roll_step(function);
        if function != FunctionName::Patchroll {
            return;
        }
        let Instance { group, ready_at, .. } = self.cloud.instances[&host];
        self.watch_end(function, group, shrinks);
        if shrinks {
            self.audit_roll_shrinks(group);
        }
        if self.measure.rolls.ends(host, group, shrinks, ready_at.is_some(), self.now) {
            self.measure.rolls.count(&self.cloud);
            if self.is_ready(host) {
                self.audit_leaver(host);
            }
        }
    }

    /// A group's capacity was set.
    pub(crate) fn note_roll_capacity(&mut self, function: FunctionName, group: GroupNo, from: u32, to: u32) {
        self.note_roll_step(function);
        if function != FunctionName::Patchroll {
            self.measure.rolls.meddled(group);
            return;
        }
        self.audit_roll_capacity(group, from, to);
        if to > from {
            self.measure.rolls.grows(group, to - from, self.now);
        }
    }
}

/// What a wave takes at least: its slowest drain, and then the slowest of the others in their place.
fn longest(wave: &[&Leaver], first: &[Ms]) -> Ms {
    let drain = |leaver: &Leaver| {
        let empty = leaver.empty.into_iter().chain(leaver.ended).min().unwrap_or(leaver.left);
        empty.saturating_sub(leaver.left)
    };
    let again = |leaver: &Leaver| leaver.replaced.zip(leaver.ended).map_or(0, |(replaced, ended)| replaced - ended);
    let slowest = |shrinks: bool, time: &dyn Fn(&Leaver) -> Ms| {
        wave.iter().filter(|leaver| leaver.shrinks == shrinks).map(|leaver| time(leaver)).max().unwrap_or(0)
    };
    let ends = (wave.len() as Ms).saturating_sub(ENDS_AT_ONCE) * SECOND / ENDS_A_SECOND;
    let ends_first = slowest(false, &drain).max(ends) + slowest(false, &again);
    let comes_first = first.iter().copied().max().unwrap_or(0) + slowest(true, &drain).max(ends);
    if first.is_empty() { ends_first } else { ends_first.max(comes_first) }
}
