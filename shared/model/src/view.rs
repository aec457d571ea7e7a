//! The snapshot of a fleet that the page reads: everything it shows, and nothing that would need AWS.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, FunctionName};
use crate::fleet::{Fleet, Mode};
use crate::ids::{FleetName, InstanceId, PoolName, ServiceName, Zone};
use crate::observed::{HostStatus, TaskPhase};
use crate::report::Report;
use crate::resources::Resources;

/// A fleet at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The fleet.
    pub fleet: FleetName,
    /// When it was seen.
    pub at: Timestamp,
    /// Seconds until the next view is due.
    pub beat_seconds: u64,
    /// Whether microscale acts, or only observes.
    #[serde(default, skip_serializing_if = "Mode::is_act")]
    pub mode: Mode,
    /// Its hosts, by pool and id.
    pub hosts: Vec<HostView>,
    /// Its services, highest priority first.
    pub services: Vec<ServiceView>,
    /// What is waited for, in sentences.
    pub waits: Vec<String>,
    /// The same as values, with the shortfall.
    pub report: Report,
    /// The newest decisions, newest first, at most [`View::MOST_DECISIONS`].
    pub decisions: Vec<DecisionView>,
}

impl View {
    /// A page shows no more than this at once; the ledger keeps the others for 14 days.
    pub const MOST_DECISIONS: usize = 40;

    /// A fleet of which nothing was seen.
    #[must_use]
    pub fn empty(fleet: &Fleet, at: Timestamp) -> Self {
        Self {
            fleet: fleet.name.clone(),
            at,
            beat_seconds: fleet.beat.as_secs(),
            mode: fleet.mode_of(FunctionName::Microscale),
            hosts: Vec::new(),
            services: Vec::new(),
            waits: Vec::new(),
            report: Report::default(),
            decisions: Vec::new(),
        }
    }
}

/// A host and what runs on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// The EC2 instance.
    pub id: InstanceId,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Its pool, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// How it is bought (`reserved`, `spot`, `on-demand`), where the pool is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<crate::fleet::Purchase>,
    /// Whether ECS places tasks on it.
    pub status: HostStatus,
    /// Whether its agent is connected.
    pub connected: bool,
    /// What it has.
    pub registered: Resources,
    /// What ECS takes for free, a task that is stopping counting as gone; none where that is what is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeable: Option<Resources>,
    /// What is really free: a task counts until it is STOPPED.
    pub free: Resources,
    /// All tasks on it, summed up.
    pub tasks: Vec<TasksView>,
}

/// The tasks of one service on a host that are equally far. A fleet may run a hundred thousand tasks, and a view is to be
/// read at a glance: so it has their number, and not each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TasksView {
    /// What tells this line from the host's others; that of an earlier version is one task, and this its name.
    pub id: String,
    /// The service; none for standalone tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// How far they are.
    pub phase: TaskPhase,
    /// How many they are.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// What they take together.
    pub takes: Resources,
    /// Pending although placed, because a task that is stopping is still in their way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_room: bool,
    /// When the first of them should run at the latest, going by `stopTimeout` and the starts seen lately; for pending tasks
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_start: Option<Timestamp>,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_one(count: &u32) -> bool {
    *count == 1
}

/// A service's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: ServiceName,
    /// 1 is served first.
    pub priority: u32,
    /// Whether it takes what is left.
    pub fill: bool,
    /// The demand in its source's unit, where there is one and it is known.
    pub demand: Option<f64>,
    /// Wanted tasks.
    pub want: u32,
    /// The desired count after this turn.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that are placed and not running yet.
    pub pending: u32,
    /// Tasks that are stopping.
    pub stopping: u32,
    /// The most that would fit, its own tasks included and lower tiers left as they are.
    pub feasible: u32,
    /// Slots kept free for it.
    pub headroom: u32,
}

/// A decision as the feed shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// The decision as a sentence.
    pub text: String,
}

impl From<Decision> for DecisionView {
    fn from(decision: Decision) -> Self {
        Self { text: decision.to_string(), decision }
    }
}

/// One moment of a chart: for each service what was asked for and what there was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// The numbers of each service.
    pub services: BTreeMap<ServiceName, MomentOfService>,
}

/// One service's numbers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MomentOfService {
    /// Tasks that the demand needs; for a fill service the tasks that would fit.
    pub wanted: f64,
    /// Tasks that run.
    pub running: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_earlier_version_is_one_task() {
        let old = r#"{"id":"t-1","service":null,"phase":"PENDING","takes":{"cpu":256,"memory":512,"gpu":0},
                      "waits_for_room":false,"expected_start":null}"#;
        let line: TasksView = serde_json::from_str(old).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((line.id.as_str(), line.count, line.waits_for_room), ("t-1", 1, false));
    }
}
