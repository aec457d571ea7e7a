//! What backfill remembers from turn to turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::decision::{HostStep, LossCause, Outcome, Step};
use evenkeel_model::fleet::{Pool, Purchase};
use evenkeel_model::groups::RefusalKind;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::{Entries, GroupName, InstanceId, PoolName, Timestamp};
use evenkeel_turn::window::Window;
use evenkeel_turn::{Applied, Notices, OLD_ANSWERS, Remembers};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The state of a fleet. Fields that this version does not know are kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The hosts of all pools.
    #[serde(default)]
    pub hosts: Entries<InstanceId, HostMemory>,
    /// What events said about hosts; AWS's answers may not say it, or not yet.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// The pools, by their groups: names in the fleet file are for people.
    #[serde(default)]
    pub groups: Entries<GroupName, PoolMemory>,
    /// When the cluster could not be read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<Timestamp>,
    /// When tasks or their hosts could not be read last, since they could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Timestamp>,
    /// What the alarms ask for.
    #[serde(default)]
    pub boost: Boost,
    /// How long hosts stay for alarms whose levels are not known.
    #[serde(default, skip_serializing_if = "BackOff::is_none")]
    pub back_off: BackOff,
    /// The hosts in service while some are there for an alarm.
    #[serde(default, skip_serializing_if = "Crew::is_none")]
    pub crew: Crew,
    /// Capacity units beyond `steady` that tasks without a place asked for.
    #[serde(default)]
    pub extra: u32,
    /// On-demand units that were needed in the last `release_after`.
    #[serde(default, skip_serializing_if = "Window::is_empty")]
    pub needed: Window,
    /// Units in service when no host was out last, up to `steady`: what a loss is made up for to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<u32>,
    /// When hosts were given back, within the last hour.
    #[serde(default)]
    pub moves: Vec<Timestamp>,
    /// When capacity last joined or left: what was told of missing room before that is old.
    #[serde(default)]
    pub changed: Timestamp,
    /// Fields of later versions.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// What is remembered of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMemory {
    /// Its pool, as the fleet file called it when it came.
    pub pool: PoolName,
    /// Its group; none where an earlier version noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// When it was first seen.
    pub since: Timestamp,
    /// A spot request was seen for it: in a mixed pool nothing else tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// It was in the cluster.
    #[serde(default)]
    pub joined: bool,
    /// Since when its group has it in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<Timestamp>,
    /// Since when its agent is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Timestamp>,
    /// Since when somebody else has it drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drains: Option<Timestamp>,
    /// When we told it last to drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Timestamp>,
    /// It is taken from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// It leaves because we say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// It was told to drain and is to take tasks again, until it is seen to: a turn may die, and a call may fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// When it could not be emptied last, and was told to take tasks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<Timestamp>,
    /// Why it is kept, for on-demand hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

impl HostMemory {
    pub(crate) fn new(pool: &Pool, now: Timestamp) -> Self {
        Self {
            pool: pool.name.clone(),
            group: Some(pool.auto_scaling_group.clone()),
            since: now,
            spot: false,
            joined: false,
            in_service: None,
            away: None,
            drains: None,
            told: None,
            loss: None,
            leaving: None,
            back: false,
            given_up: None,
            lease: None,
        }
    }

    /// Whether it is a host of this pool.
    pub(crate) fn is_of(&self, pool: &Pool) -> bool {
        self.group.as_ref().map_or(self.pool == pool.name, |group| *group == pool.auto_scaling_group)
    }

    /// How it is bought, as far as it is known; `Mixed` for the on-demand base of a mixed pool.
    pub(crate) const fn bought(&self, pool: &Pool) -> Purchase {
        match pool.purchase {
            Purchase::Mixed if self.spot => Purchase::Spot,
            of_all @ (Purchase::Reserved | Purchase::Spot | Purchase::Mixed | Purchase::OnDemand) => of_all,
        }
    }

    /// Whether it was told to drain so lately that an answer may show it as it was before.
    pub(crate) fn may_drain(&self, now: Timestamp) -> bool {
        self.told.is_some_and(|told| now.duration_since(told).unsigned_abs() < OLD_ANSWERS)
    }

    /// Whether something was begun with it that is not over: it drains, or is to take tasks again.
    pub(crate) const fn is_begun(&self) -> bool {
        self.leaving.is_some() || self.back || self.loss.is_some()
    }
}

/// One loss, whatever signals told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How it is known.
    pub cause: LossCause,
    /// When it was known first.
    pub at: Timestamp,
    /// When the host goes, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// A host that we send away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Why.
    pub why: LeavingWhy,
    /// Since when; time in which nobody could see what runs on it aside.
    pub since: Timestamp,
    /// Its group was told to end it.
    #[serde(default)]
    pub ending: bool,
    /// When its group was to be told last; whether it was is known for certain only where `ending` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
}

/// Why we send a host away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavingWhy {
    /// No reason to keep it is left: its group shrinks.
    Release,
    /// EC2 sees a risk: its group launches another.
    Rebalance,
    /// It never joined the cluster.
    NeverJoined,
    /// Its agent does not come back: where its group is not on-demand, that launches another.
    AgentGone,
}

/// Why an on-demand host is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The reason.
    pub reason: Reason,
    /// Since when it is this one.
    pub since: Timestamp,
    /// The host that it stands in for, where one was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<InstanceId>,
}

/// A reason to keep an on-demand host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Reserved and spot hosts are fewer than `steady`.
    Missing,
    /// An alarm is in ALARM.
    Alarm,
    /// Tasks would fit nowhere.
    Shortfall,
    /// A roll has no room for its next wave.
    Borrowed,
    /// There was a reason within the last `release_after`.
    Dwell,
    /// Somebody asked that nothing be given back.
    Held,
    /// What runs on it has no other place.
    Tied,
    /// Its group may not have fewer.
    GroupMinimum,
    /// None: it waits for its turn to go.
    Over,
}

impl Reason {
    /// In plain words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Missing => "stands in for a spot or reserved host",
            Self::Alarm => "an alarm asks for it",
            Self::Shortfall => "tasks would fit nowhere",
            Self::Borrowed => "makes room for a roll's next wave",
            Self::Dwell => "was needed a moment ago",
            Self::Held => "held by request",
            Self::Tied => "its tasks have no other place",
            Self::GroupMinimum => "its group may not have fewer",
            Self::Over => "waits for its turn to go",
        }
    }
}

/// What is remembered of a pool; what it launches, for on-demand ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMemory {
    /// What the fleet file called it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PoolName>,
    /// How its hosts were bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<Purchase>,
    /// What one host counted for.
    #[serde(default)]
    pub units: u32,
    /// Since when answers leave out its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Timestamp>,
    /// Capacities that our own writes may have led to; another one is somebody else's.
    #[serde(default)]
    pub expected: BTreeSet<u32>,
    /// Somebody else set the capacity: it is not lowered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_until: Option<Timestamp>,
    /// When it was last raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Timestamp>,
    /// The capacity that somebody else set, until then.
    #[serde(default)]
    pub theirs: u32,
    /// It should launch and has not yet.
    #[serde(default)]
    pub awaits: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits_since: Option<Timestamp>,
    /// It cannot be told to launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<Untold>,
    /// Hosts in a row that never joined the cluster.
    #[serde(default)]
    pub strays: u32,
    /// What the last of them ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stray_runs: Option<String>,
    /// After ten of them, none is ended or launched before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
    /// The longest that a host took to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<Duration>,
    /// Launches that were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

impl PoolMemory {
    /// Notes what the fleet file says of it, and whether its group was shown in the look at `read`, where there was one.
    pub(crate) fn note(&mut self, pool: &Pool, shown: bool, read: Option<Timestamp>) {
        (self.name, self.purchase, self.units) = (Some(pool.name.clone()), Some(pool.purchase), pool.units);
        self.unseen = if shown { None } else { self.unseen.or(read) };
    }

    /// Notes whether it could be told to launch.
    fn heard(&mut self, applied: &Applied<'_>) {
        match applied.outcome {
            Outcome::Done => self.untold = None,
            Outcome::Failed(because) => {
                let since = self.untold.as_ref().map_or(applied.at, |untold| untold.since);
                self.untold = Some(Untold { since, because: because.clone() });
            }
            Outcome::Undone | Outcome::Left(_) | Outcome::Would => {}
        }
    }

    /// The pool as it was last.
    pub(crate) fn pool(&self, group: &GroupName) -> Option<Pool> {
        let (name, purchase) = (self.name.clone()?, self.purchase?);
        Some(Pool { name, purchase, auto_scaling_group: group.clone(), units: self.units.max(1) })
    }
}

/// A pool that refuses launches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The newest refusal.
    pub at: Timestamp,
    /// What for.
    pub kind: RefusalKind,
    /// AWS's words.
    pub message: String,
    /// It is tried again then.
    pub until: Timestamp,
    /// Tries in a row that were refused.
    pub tries: u32,
    /// It launches, and what it launches does not join: only a host that does makes up for it.
    #[serde(default)]
    pub joins: bool,
}

/// A pool that cannot be told to launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// Since when.
    pub since: Timestamp,
    /// AWS's words.
    pub because: String,
}

/// What the alarms ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boost {
    /// Capacity units.
    pub level: u32,
    /// When the level last changed, or the alarm fired again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// When an alarm was last seen in ALARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<Timestamp>,
    /// One is now.
    #[serde(default)]
    pub firing: bool,
    /// Units in all that the alarms' levels ask for, as far as they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<u32>,
    /// When the levels were last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Timestamp>,
    /// When hosts were last kept because of a level, or of alarms that would not tell theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<Timestamp>,
}

/// How long hosts stay for alarms whose levels are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// So often an alarm fired soon after hosts were given back: as often does the dwell double.
    pub times: u32,
    /// When an alarm fired last, or hosts were kept for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Timestamp>,
}

impl BackOff {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The hosts in service, and since when it is these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crew {
    /// Units in service.
    pub units: u32,
    /// Since when there are so many, and none came or went.
    pub since: Timestamp,
    /// The most units that carried load in the last minutes, which a late metric may be about.
    pub most: Window,
    /// The least.
    pub least: Window,
}

impl Crew {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Remembers for State {
    fn still(&mut self, at: Timestamp) {
        self.needed.still(at);
        if self.boost.level > 0 {
            self.crew.most.still(at);
            self.crew.least.still(at);
        }
    }

    /// A loss is what its signs say, and they are there with each look: the first turn that acts takes it for new, drains the
    /// host and debits the budget.
    fn observed(&mut self, before: &Self) {
        for (id, memory) in &mut self.hosts {
            let known = before.hosts.get(id);
            memory.told = known.and_then(|known| known.told);
            memory.loss = known.and_then(|known| known.loss);
            memory.leaving = known.and_then(|known| known.leaving);
            memory.back = known.is_some_and(|known| known.back);
            memory.given_up = known.and_then(|known| known.given_up);
            memory.lease = known.and_then(|known| known.lease.clone());
        }
        for (group, memory) in &mut self.groups {
            let none = PoolMemory::default();
            let known = before.groups.get(group).unwrap_or(&none);
            memory.raised = known.raised;
            memory.awaits &= known.awaits;
            memory.awaits_since = known.awaits_since.filter(|_| memory.awaits);
            (memory.strays, memory.rests_until) = (known.strays, known.rests_until);
            memory.stray_runs.clone_from(&known.stray_runs);
        }
        self.moves.clone_from(&before.moves);
    }

    fn takes_over(&mut self) {
        self.needed = Window::default();
    }
}

impl State {
    /// Whether something was begun that is not over, which is ended although nobody asks for backfill any more.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        let ours = |memory: &HostMemory| memory.is_begun() || memory.lease.is_some();
        self.hosts.values().any(ours) || self.groups.values().any(|memory| memory.awaits)
    }

    /// Notes what became of a step. What may or may not have been done is expected either way.
    pub(crate) fn settle(&mut self, applied: &Applied<'_>) {
        let Step::Host(step) = &applied.planned.step else { return };
        let done = matches!(applied.outcome, Outcome::Done);
        let left = matches!(applied.outcome, Outcome::Left(_));
        match step {
            HostStep::SetCapacity { pool: _, group, from, to } => {
                let expected = &mut self.groups.entry(group.clone()).or_default().expected;
                if left {
                    expected.remove(to);
                } else if done {
                    expected.remove(from);
                }
                if let (Some(memory), true) = (self.groups.get_mut(group), to > from) {
                    memory.heard(applied);
                }
            }
            HostStep::SetStatus { hosts, status: HostStatus::Active } if done => {
                for host in hosts {
                    if let Some(memory) = self.hosts.get_mut(host) {
                        // Whoever has it drain from now on is somebody else.
                        memory.back = false;
                    }
                }
            }
            HostStep::SetStatus { .. } | HostStep::Mark { .. } | HostStep::Lost { .. } | HostStep::EndWarm { .. } => {}
            HostStep::Terminate { host, .. } => {
                if let Some(leaving) = self.hosts.get_mut(host).and_then(|host| host.leaving.as_mut()) {
                    leaving.ending = done;
                    leaving.asked = leaving.asked.filter(|_| !left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::decision::{HostWhy, Planned, Why};

    use super::*;

    #[test]
    fn fields_of_a_later_version_survive() {
        let stored = r#"{"hosts":{},"groups":{},"boost":{"level":1,"firing":true},"extra":0,"moves":[],"changed":"1970-01-01T00:00:00Z","tempo":7}"#;
        let state: State = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), stored);
    }

    #[test]
    fn an_end_is_asked_for_when_aws_took_it_and_not_when_it_refused() {
        let at = Timestamp::UNIX_EPOCH;
        let host: InstanceId = "i-1".parse().unwrap();
        for (outcome, ending) in [(Outcome::Done, true), (Outcome::Failed("Throttling".to_owned()), false)] {
            let leaving = Leaving { why: LeavingWhy::Release, since: at, ending: false, asked: Some(at) };
            let memory: HostMemory =
                serde_json::from_value(serde_json::json!({ "pool": "burst", "since": at })).unwrap();
            let mut state = State::default();
            state.hosts.insert(host.clone(), HostMemory { leaving: Some(leaving), ..memory });
            let pool = "burst".parse().unwrap();
            let step = Step::Host(HostStep::Terminate { host: host.clone(), pool, shrink: true });
            let planned = Planned { step, why: Why::Host(HostWhy::NotNeeded), needs: Vec::new(), beside: false };
            state.settle(&Applied { planned: &planned, outcome: &outcome, at });
            assert_eq!(state.hosts[&host].leaving.map(|leaving| leaving.ending), Some(ending), "{outcome:?}");
        }
    }
}
