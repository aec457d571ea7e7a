//! What patchroll remembers from turn to turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::decision::{Ending, Halt, HostStep, ImageStep, Outcome, Step, Stuck};
use evenkeel_model::fleet::{Patch, Refresh};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::TemplateVersion;
use evenkeel_model::{GroupName, ImageId, InstanceId, PoolName, RollId, TemplateId, Timestamp};
use evenkeel_turn::{Applied, Notices, OLD_ANSWERS, Remembers};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pairs::{Capacity, Wave};

/// The state of a fleet. Fields that this version does not know are kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The hosts of all pools.
    #[serde(default)]
    pub hosts: BTreeMap<InstanceId, HostNote>,
    /// What events said about hosts at risk: they go first.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// What each pool would launch now.
    #[serde(default)]
    pub targets: BTreeMap<PoolName, Target>,
    /// The roll that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<Roll>,
    /// Rolls that have ended, newest first.
    #[serde(default)]
    pub ended: Vec<Ended>,
    /// The newest order that was followed.
    #[serde(default)]
    pub followed: u64,
    /// An event asked for a roll, which waits for a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// The last opening of a window that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Timestamp>,
    /// When the halt alarms were read last.
    #[serde(default)]
    pub alarms_read: Timestamp,
    /// When it was looked last what the groups launch, while a roll is on.
    #[serde(default)]
    pub templates_read: Timestamp,
    /// When it was looked for instance refreshes last.
    #[serde(default)]
    pub refreshes_read: Timestamp,
    /// Groups in which one was under way then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshing: Vec<GroupName>,
    /// Until when wake-ups are on their way.
    #[serde(default)]
    pub woken_until: Timestamp,
    /// The moment for which one more is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken_for: Option<Timestamp>,
    /// When as many hosts ended as may in one turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_turn: Option<Timestamp>,
    /// Hosts that were told to drain, until they are seen to take tasks again or are gone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drained: BTreeSet<InstanceId>,
    /// Hosts that were marked as old, until they are seen without the mark or are gone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub marked: BTreeSet<InstanceId>,
    /// The next look is to be a whole one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looks_whole: bool,
    /// Capacity was asked of backfill.
    #[serde(default)]
    pub borrows: u32,
    /// Hosts that the groups miss, where no backfill counts what is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// Hosts that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Since when some are.
    pub since: Timestamp,
    /// How many count as out.
    pub hosts: u32,
}

impl State {
    /// Whether nothing is under way, and nothing is left of it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.roll.is_none() && self.drained.is_empty() && self.marked.is_empty() && self.borrows == 0
    }

    /// Notes what became of a step, where the next look does not show it.
    pub(crate) fn settle(&mut self, applied: &Applied<'_>) {
        match &applied.planned.step {
            // The look that they were planned by may be some seconds older.
            Step::Host(HostStep::Terminate { .. }) if self.full_turn.is_some() => self.full_turn = Some(applied.at),
            Step::Host(HostStep::SetStatus { hosts, status: HostStatus::Active })
                if *applied.outcome == Outcome::Done =>
            {
                // Whoever tells it to drain from now on is somebody else.
                self.drained.retain(|id| !hosts.contains(id));
            }
            Step::Image(ImageStep::RunBuilder { .. } | ImageStep::MakeImage { .. }) => {
                if let Some(Roll { stage: Stage::Baking(bake), .. }) = &mut self.roll {
                    bake.refused = match applied.outcome {
                        Outcome::Failed(because) => Some(Refused { at: applied.at, because: because.clone() }),
                        Outcome::Done | Outcome::Undone | Outcome::Left(_) | Outcome::Would => None,
                    };
                }
            }
            Step::Host(_) | Step::SetDesiredCount { .. } | Step::Image(_) | Step::Roll(_) => {}
        }
    }
}

impl Remembers for State {
    /// Nothing here is a sample.
    fn still(&mut self, _at: Timestamp) {}

    /// A roll that would begin has not begun: its window is not answered. One that was begun before stands still.
    fn observed(&mut self, before: &Self) {
        let ended = |state: &Self| state.ended.first().map(|ended| ended.id.clone());
        if self.roll.is_some() != before.roll.is_some() || ended(self) != ended(before) {
            self.answered = before.answered;
        }
        for (id, note) in &mut self.hosts {
            note.changed = before.hosts.get(id).and_then(|before| before.changed);
        }
        self.roll.clone_from(&before.roll);
        self.ended.clone_from(&before.ended);
        self.drained.retain(|id| before.drained.contains(id));
        self.marked.retain(|id| before.marked.contains(id));
        (self.woken_until, self.woken_for) = (before.woken_until, before.woken_for);
        (self.full_turn, self.borrows) = (before.full_turn, before.borrows);
    }

    /// Nothing here is a dwell.
    fn takes_over(&mut self) {}
}

/// What is remembered of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNote {
    /// Its pool, as the fleet file called it last.
    pub pool: PoolName,
    /// Its group: what it belongs to, whatever its pool is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// When it was first seen.
    pub since: Timestamp,
    /// It was seen in the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// When we had it drain or marked it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// When it was launched, once EC2 has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched: Option<Timestamp>,
    /// Its image, once EC2 has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
}

impl HostNote {
    /// Whether it was changed so lately that an answer may show it as it was before.
    pub(crate) fn may_look_unchanged(&self, now: Timestamp) -> bool {
        self.changed.is_some_and(|changed| now.duration_since(changed).unsigned_abs() < OLD_ANSWERS)
    }

    /// Whether it was launched after `at`: as EC2 says, in whole seconds, rounded down; until it does, a host that was first
    /// seen after that was.
    pub(crate) fn came_after(&self, at: Timestamp) -> bool {
        self.launched.map_or(self.since > at, |launched| launched + Duration::from_secs(1) > at)
    }
}

/// What a pool launches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The launch template.
    pub template: TemplateId,
    /// Its version.
    pub version: u64,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// What some instance types are launched from instead, each of a template of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Target>,
}

impl Target {
    /// What an instance that was launched from `own` would be launched from now.
    #[must_use]
    pub fn of(&self, own: Option<&TemplateVersion>) -> &Self {
        let line = |own: &TemplateVersion| self.lines.iter().find(|line| line.template == own.id);
        own.and_then(line).unwrap_or(self)
    }
}

/// A roll that an event asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Why, in words.
    pub because: String,
    /// Which hosts.
    pub refresh: Refresh,
    /// Hosts that were launched before this.
    pub at: Timestamp,
}

/// One replacement of all outdated hosts of a fleet or a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// Its id.
    pub id: RollId,
    /// When it began.
    pub started: Timestamp,
    /// Who asked for it, in words.
    pub because: String,
    /// It was asked for by hand, so it need not wait for a window.
    pub any_time: bool,
    /// One pool, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Which hosts.
    pub refresh: Refresh,
    /// What it does now.
    pub stage: Stage,
    /// Somebody paused it.
    #[serde(default)]
    pub paused: bool,
    /// Somebody asked that it end.
    #[serde(default)]
    pub aborting: bool,
    /// It takes no more hosts out, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<Halt>,
    /// What the groups launched before, for the way back.
    #[serde(default)]
    pub from: BTreeMap<GroupName, TemplateVersion>,
    /// Hosts that are still to be replaced.
    #[serde(default)]
    pub todo: BTreeSet<InstanceId>,
    /// The hosts that are out together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<Wave>,
    /// The quiet time after the last wave: until then no host goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Timestamp>,
    /// Waves so far, the one under way included.
    #[serde(default)]
    pub waves: u32,
    /// Hosts that were replaced.
    #[serde(default)]
    pub replaced: u32,
    /// Hosts that went by themselves while the roll was on, and count as rolled.
    #[serde(default)]
    pub went: u32,
    /// Hosts that could not be replaced.
    #[serde(default)]
    pub abandoned: BTreeMap<InstanceId, Stuck>,
    /// The groups' capacities.
    #[serde(default)]
    pub groups: BTreeMap<GroupName, Capacity>,
}

impl Roll {
    /// Whether it is about a pool: one was named, or none, which means all.
    pub(crate) fn is_about(&self, pool: &PoolName) -> bool {
        self.pool.as_ref().is_none_or(|one| one == pool)
    }

    /// Whether it is halted and takes itself back: where the fleet file says so, and there is a version to go back to.
    pub(crate) fn turns_back(&self, policy: &Patch) -> bool {
        let by_itself = matches!(self.halted, Some(Halt::Alarm(_) | Halt::Replacement(_)));
        by_itself && policy.roll_back && !self.from.is_empty() && !self.aborting && self.stage == Stage::Rolling
    }

    /// Whether there is something to do for it, although no wave is under way and nobody says anything.
    pub(crate) fn goes_on_alone(&self, policy: &Patch) -> bool {
        let stopped = self.paused || (self.halted.is_some() && self.stage == Stage::Rolling);
        !stopped || self.aborting || self.turns_back(policy) || self.groups.values().any(|group| group.extra > 0)
    }
}

/// What a roll does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It bakes an image.
    Baking(BakeState),
    /// It replaces hosts.
    Rolling,
    /// It replaces its own new hosts by what was there before.
    TakingBack,
}

/// How far a bake is; the rest is read from the builder and the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakeState {
    /// When it began.
    pub since: Timestamp,
    /// The last call that was refused: it is not made again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Why it gives no image: what it made is being cleared away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A call of a bake that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// AWS's words.
    pub because: String,
}

impl BakeState {
    /// It begins.
    pub(crate) const fn new(since: Timestamp) -> Self {
        Self { since, refused: None, failed: None }
    }
}

/// A roll that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: RollId,
    /// Who asked for it.
    pub because: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub ending: Ending,
    /// Waves.
    pub waves: u32,
    /// Hosts that were replaced.
    pub replaced: u32,
    /// Hosts that went by themselves.
    pub went: u32,
    /// Hosts that could not be replaced, and why; of a roll before the newest, only some of them.
    #[serde(default)]
    pub abandoned: BTreeMap<InstanceId, Stuck>,
}

#[cfg(test)]
mod tests {
    use evenkeel_model::decision::{HostWhy, Planned, Why};

    use super::*;

    #[test]
    fn ends_keep_their_distance_from_when_they_happened() {
        let [looked, ended] = ["2026-01-05T00:00:00Z", "2026-01-05T00:00:03Z"].map(|at| at.parse().unwrap());
        let end = HostStep::Terminate { host: "i-1".parse().unwrap(), pool: "base".parse().unwrap(), shrink: false };
        let planned =
            Planned { step: Step::Host(end), why: Why::Host(HostWhy::Empty), needs: Vec::new(), beside: false };
        // One whose answer was lost may have ended its host.
        for outcome in [Outcome::Done, Outcome::Failed("no answer".to_owned())] {
            let applied = Applied { planned: &planned, outcome: &outcome, at: ended };
            let mut full = State { full_turn: Some(looked), ..State::default() };
            full.settle(&applied);
            assert_eq!(full.full_turn, Some(ended));
            let mut few = State::default();
            few.settle(&applied);
            assert_eq!(few.full_turn, None, "a few need no distance");
        }
    }
}
