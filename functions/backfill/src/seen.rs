//! What one turn of backfill saw.

use std::collections::BTreeMap;

use evenkeel_model::GroupName;
use evenkeel_model::groups::{Group, Refusal, ScaledBy, SpotRequest};
use evenkeel_model::observed::{Host, Level, Running, Signal};
use evenkeel_model::report::Source;
use evenkeel_model::{AlarmName, Timestamp};
use evenkeel_turn::ports::Answer;
use serde::{Deserialize, Serialize};

/// The fleet's hosts, straight from AWS's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// When the answers were asked for.
    pub at: Timestamp,
    /// What could not be read, and why: the rest is what it would be, and nothing of this is known.
    #[serde(default)]
    pub unread: BTreeMap<Source, String>,
    /// The pools' groups that exist.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// The cluster's container instances; none for a fleet without a cluster.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// What the market says about those hosts of spot and mixed pools that are known and spot.
    #[serde(default)]
    pub requests: Vec<SpotRequest>,
    /// The alarms' states.
    #[serde(default)]
    pub alarms: BTreeMap<AlarmName, Signal>,
    /// How near the alarms' metrics are to their thresholds, where hosts came for an alarm; none where nothing tells.
    #[serde(default)]
    pub levels: BTreeMap<AlarmName, Option<Level>>,
    /// Launches that were refused lately, for groups that should have launched.
    #[serde(default)]
    pub refusals: BTreeMap<GroupName, Vec<Refusal>>,
    /// Tasks and services, where a host is about to leave.
    #[serde(default)]
    pub running: Option<Running>,
}

impl Seen {
    /// The same as if nobody else set capacities; a group that counts something else than hosts still does.
    pub(crate) fn as_if_ours(&self) -> Self {
        let mut seen = self.clone();
        for group in &mut seen.groups {
            group.scaled_by = group.scaled_by.take().filter(|by| matches!(by, ScaledBy::Units(_)));
        }
        seen
    }

    /// Whether `source` was read.
    pub(crate) fn has(&self, source: Source) -> bool {
        !self.unread.contains_key(&source)
    }
}

/// What `source` answered; where it failed that is noted, and nothing is known.
pub(crate) fn known<T: Default>(source: Source, answer: Answer<T>, unread: &mut BTreeMap<Source, String>) -> T {
    answer.unwrap_or_else(|error| {
        unread.insert(source, error.to_string());
        T::default()
    })
}
