//! Hosts that go, each with what comes in its place.
//!
//! A pair is one host that goes and its successor, which is launched for it and stands in for no other. It has one phase,
//! which only what was seen moves on: a host that a look does not show has neither come nor gone.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::Stuck;
use evenkeel_model::{GroupName, InstanceId, Timestamp};
use serde::{Deserialize, Serialize};

/// Hosts that are out together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Since when.
    pub since: Timestamp,
    /// The hosts that go.
    pub hosts: BTreeMap<InstanceId, Pair>,
    /// For launch-first: when the first successor was in service and its old host still was, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<Timestamp>,
    /// Its hosts are too many: their groups shrink by them, and nothing comes in their place.
    #[serde(default)]
    pub withdraws: bool,
    /// When it was looked at last, to a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Timestamp>,
}

/// A wave is looked at every minute at least: after a longer time, nobody could see it.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(150);

/// A host that goes, and its successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Their group.
    pub group: GroupName,
    /// How far they are.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The successor comes before the old host goes.
    #[serde(default)]
    pub launch_first: bool,
    /// When the successor was asked for: when the group was made larger, or the old host was told to end. None where a host
    /// that an earlier pair has left over is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// When the old host was told to end last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Timestamp>,
    /// The version that its group launched when the successor was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The new host, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<InstanceId>,
}

/// How far a pair is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its group is to be made larger by one.
    WaitingToLaunch,
    /// The successor is launched and not in service yet.
    Launching,
    /// The successor is in service, and the old host is, too.
    InService,
    /// The old host becomes empty.
    Draining,
    /// The old host was told to end.
    Ending,
    /// The old host is gone, and its successor in service.
    Settled,
    /// The old host is gone, and nothing came in its place.
    GivenUp(Stuck),
}

impl Pair {
    pub(crate) fn new(group: &GroupName, phase: Phase, since: Timestamp) -> Self {
        let group = group.clone();
        Self { group, phase, since, launch_first: false, asked: None, told: None, version: None, successor: None }
    }

    /// The old host goes on working, and nobody has told it to go.
    pub(crate) const fn serves(&self) -> bool {
        match self.phase {
            Phase::WaitingToLaunch | Phase::InService => true,
            Phase::Launching => self.launch_first,
            Phase::Draining | Phase::Ending | Phase::Settled | Phase::GivenUp(_) => false,
        }
    }

    /// The old host becomes empty or ends.
    pub(crate) const fn leaves(&self) -> bool {
        matches!(self.phase, Phase::Draining | Phase::Ending)
    }

    /// The old host was not told to end yet, so it can stay.
    pub(crate) const fn can_stay(&self) -> bool {
        self.serves() || matches!(self.phase, Phase::Draining)
    }

    /// Nothing is waited for any more.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Settled | Phase::GivenUp(_))
    }

    /// The successor is waited for.
    pub(crate) const fn awaits(&self) -> bool {
        matches!(self.phase, Phase::WaitingToLaunch | Phase::Launching)
    }

    pub(crate) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
    }
}

impl Wave {
    /// Time in which nobody could see the wave does not count towards the end of a drain: whoever makes room for its tasks was
    /// most likely as blind. By how much each is set back.
    pub(crate) fn stop_the_clock(&mut self, now: Timestamp) -> BTreeMap<InstanceId, Duration> {
        let passed = |at: Timestamp| now.duration_since(at).unsigned_abs();
        let unseen = self.looked.filter(|at| passed(*at) > LOOKED_AT_WITHIN);
        if self.looked.is_none_or(|at| passed(at) >= Duration::from_secs(60)) {
            self.looked = Some(now);
        }
        let Some(looked) = unseen else { return BTreeMap::new() };
        let draining = self.hosts.iter_mut().filter(|(_, pair)| pair.phase == Phase::Draining);
        let set_back = draining.map(|(id, pair)| {
            let by = passed(looked.max(pair.since));
            pair.since += by;
            (id.clone(), by)
        });
        set_back.collect()
    }

    /// The groups of its hosts, each once.
    pub(crate) fn groups(&self) -> Vec<GroupName> {
        let groups: BTreeMap<&GroupName, ()> = self.hosts.values().map(|pair| (&pair.group, ())).collect();
        groups.into_keys().cloned().collect()
    }

    /// The pairs of a group.
    pub(crate) fn of<'w>(&'w self, group: &'w GroupName) -> impl Iterator<Item = (&'w InstanceId, &'w Pair)> {
        self.hosts.iter().filter(move |(_, pair)| pair.group == *group)
    }

    /// By how much a group is larger for its pairs: surely, and perhaps besides.
    fn growth(&self, group: &GroupName) -> Growth {
        let count = |which: &dyn Fn(&Phase) -> bool| {
            let found = self.of(group).filter(|(_, pair)| pair.launch_first && which(&pair.phase)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        Growth {
            surely: count(&|phase| matches!(phase, Phase::Launching | Phase::InService | Phase::Draining)),
            waiting: count(&|phase| matches!(phase, Phase::WaitingToLaunch)),
            ending: count(&|phase| matches!(phase, Phase::Ending)),
        }
    }

    /// Whether some of its hosts come before the old ones go.
    pub(crate) fn launches_first(&self) -> bool {
        self.hosts.values().any(|pair| pair.launch_first)
    }

    /// A successor of a pair.
    pub(crate) fn is_claimed(&self, host: &InstanceId) -> bool {
        self.hosts.values().any(|pair| pair.successor.as_ref() == Some(host))
    }
}

/// By how much pairs make a group larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Growth {
    /// Pairs whose successor was asked for, and whose old host was not told to end.
    surely: u32,
    /// Pairs for which the group may not have grown yet.
    waiting: u32,
    /// Pairs for which it may have shrunk again.
    ending: u32,
}

/// A group's capacity while a roll is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// When the roll began, or as somebody else has set it since.
    pub base: u32,
    /// Hosts more than that, or asked for, which no pair needs any more. The next pairs take them over; in the end they are
    /// withdrawn.
    #[serde(default)]
    pub extra: u32,
    /// When the roll changed it last.
    #[serde(default)]
    pub set: Timestamp,
}

impl Capacity {
    pub(crate) const fn new(base: u32) -> Self {
        Self { base, extra: 0, set: Timestamp::UNIX_EPOCH }
    }

    /// What the group should have when all that its pairs wait for is launched.
    pub(crate) fn whole(&self, wave: Option<&Wave>, group: &GroupName) -> u32 {
        let growth = wave.map_or_else(Growth::default, |wave| wave.growth(group));
        self.base + self.extra + growth.surely + growth.waiting + growth.ending
    }

    /// By how much it may be larger than without the roll.
    pub(crate) fn larger(&self, wave: Option<&Wave>, group: &GroupName) -> u32 {
        self.whole(wave, group) - self.base
    }

    /// Whether the roll may have made that of it; otherwise somebody else has set it.
    pub(crate) fn is_ours(&self, wave: Option<&Wave>, group: &GroupName, found: u32) -> bool {
        let growth = wave.map_or_else(Growth::default, |wave| wave.growth(group));
        (self.base + growth.surely..=self.whole(wave, group)).contains(&found)
    }

    /// Notes what is left over, which is known once nothing is in doubt.
    pub(crate) fn take_stock(&mut self, wave: Option<&Wave>, group: &GroupName, found: u32) {
        let growth = wave.map_or_else(Growth::default, |wave| wave.growth(group));
        if growth.waiting + growth.ending == 0 {
            self.extra = found.saturating_sub(self.base + growth.surely);
        }
    }

    /// Somebody else's number stands.
    pub(crate) const fn yields(&mut self, found: u32) {
        self.base = found;
        self.extra = 0;
    }
}
