//! Groups that grow for their pairs, and what somebody else has made of them.

use std::time::Duration;

use evenkeel_model::decision::{HostStep, RollWhy, Step, Why};
use evenkeel_model::report::{RollWait, Wait};
use evenkeel_model::{GroupName, Timestamp};

use crate::pairs::{Capacity, Pair, Phase, Wave};
use crate::plan::Planning;
use crate::state::Roll;

/// An answer may be so much older than our last write: until then, what a group has says nothing about others.
const AN_ANSWER: Duration = Duration::from_secs(15);

impl Planning<'_, '_> {
    /// Compares the capacities of all groups with what the roll has made of them. Gives those that somebody else has set,
    /// and to what.
    pub(crate) fn watch_capacities(&self, roll: &mut Roll, wave: Option<&Wave>) -> Vec<(GroupName, u32)> {
        let mut foreign = Vec::new();
        for (_, group) in &self.roster.groups {
            let capacity = roll.groups.entry(group.name.clone()).or_insert_with(|| Capacity::new(group.desired));
            if !self.is_settled(capacity) {
                continue;
            }
            if capacity.is_ours(wave, &group.name, group.desired) {
                capacity.take_stock(wave, &group.name, group.desired);
            } else {
                foreign.push((group.name.clone(), group.desired));
            }
        }
        foreign
    }

    /// Says which groups somebody else has set although they grow for the wave, and gives whether there are any; the number
    /// of another group is nobody's affair here.
    pub(crate) fn say_who_set(&mut self, roll: &Roll, wave: &Wave, foreign: &[(GroupName, u32)]) -> bool {
        let mut meddled = false;
        for (name, found) in foreign {
            let grows = wave.of(name).any(|(_, pair)| pair.launch_first);
            let Some((pool, _)) = self.roster.group(name).filter(|_| grows) else { continue };
            meddled = true;
            let expected = roll.groups.get(name).map_or(*found, |capacity| capacity.whole(Some(wave), name));
            let (pool, found) = (pool.name.clone(), *found);
            self.report.waits.push(Wait::Roll(RollWait::ForeignCapacity { pool, expected, found }));
        }
        meddled
    }

    /// Whether what a group has can be told from what the roll asked for last.
    fn is_settled(&self, capacity: &Capacity) -> bool {
        self.given.now.duration_since(capacity.set).unsigned_abs() >= AN_ANSWER
    }

    /// Until when it is not known what a group has besides what it should.
    pub(crate) fn unsettled_until(&self, roll: &Roll) -> Option<Timestamp> {
        let unsettled = roll.groups.values().filter(|capacity| capacity.extra > 0 && !self.is_settled(capacity));
        unsettled.map(|capacity| capacity.set + AN_ANSWER).max()
    }

    /// Makes groups larger by the pairs that wait for it, as long as no old host of theirs is about to make them smaller.
    pub(crate) fn grow(&mut self, roll: &mut Roll, wave: &mut Wave) {
        for name in wave.groups() {
            let Some((pool, group)) = self.roster.group(&name) else { continue };
            let Some(capacity) = roll.groups.get_mut(&name) else { continue };
            let waits = wave.of(&name).any(|(_, pair)| pair.phase == Phase::WaitingToLaunch);
            let ends = wave.of(&name).any(|(_, pair)| pair.phase == Phase::Ending);
            // Somebody else's number is not overwritten, also before it is certain whose it is.
            if !waits || ends || !capacity.is_ours(Some(wave), &name, group.desired) {
                continue;
            }
            let to = capacity.whole(Some(wave), &name);
            let version = self.state.targets.get(&pool.name).map(|target| target.version);
            let now = self.given.now;
            capacity.set = now;
            let hosts = to - capacity.base;
            for pair in
                wave.hosts.values_mut().filter(|pair| pair.group == name && pair.phase == Phase::WaitingToLaunch)
            {
                if pair.asked.is_none() {
                    (pair.asked, pair.version) = (Some(now), version);
                }
            }
            let step = HostStep::SetCapacity { pool: pool.name.clone(), group: name.clone(), from: group.desired, to };
            self.push(Step::Host(step), Why::Roll(RollWhy::LaunchFirst { hosts }), false);
        }
    }

    /// Notes which groups have become larger as the roll has told them.
    pub(crate) fn see_who_grew(&self, roll: &Roll, wave: &mut Wave) {
        for name in wave.groups() {
            let (Some((_, group)), Some(capacity)) = (self.roster.group(&name), roll.groups.get(&name)) else {
                continue;
            };
            let ends = wave.of(&name).any(|(_, pair)| pair.phase == Phase::Ending);
            if ends || group.desired < capacity.whole(Some(wave), &name) {
                continue;
            }
            let waits = |pair: &&mut Pair| pair.group == name && pair.phase == Phase::WaitingToLaunch;
            for pair in wave.hosts.values_mut().filter(waits) {
                pair.enter(Phase::Launching, self.given.now);
            }
        }
    }
}
