//! What patchroll shows: the patch state of every host, the roll with its waves, and when it should end.

use std::collections::BTreeMap;

use evenkeel_model::{InstanceId, PoolName, RollId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::Ended;

/// The snapshot for the page and for `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchView {
    /// When it was seen.
    pub at: Timestamp,
    /// All hosts of the pools.
    pub hosts: BTreeMap<InstanceId, HostPatch>,
    /// The roll that is under way.
    pub roll: Option<RollView>,
    /// For `plan`: the waves that a roll would have now, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<InstanceId>>,
    /// Rolls that have ended, newest first.
    pub ended: Vec<Ended>,
    /// When the next window opens; none without windows, or while one is open.
    pub next_window: Option<Timestamp>,
    /// What is waited for, in sentences.
    pub waits: Vec<String>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPatch {
    /// Its pool.
    pub pool: PoolName,
    /// Where it stands.
    pub state: PatchState,
    /// What it runs, in words, such as `version 3`.
    pub runs: String,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchState {
    /// It is what its group would launch now.
    Current,
    /// It is not, and nothing is done about it yet.
    Outdated,
    /// It is out in a wave.
    Leaving,
    /// It came to replace one.
    New,
    /// It could not be replaced.
    Abandoned,
}

/// A roll under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollView {
    /// Its id.
    pub id: RollId,
    /// Who asked for it.
    pub because: String,
    /// When it began.
    pub started: Timestamp,
    /// What it does now, in words.
    pub says: String,
    /// The wave under way, from 1; 0 before the first.
    pub wave: u32,
    /// Waves in all, as far as can be told.
    pub waves: u32,
    /// Hosts that were replaced or went by themselves.
    pub done: u32,
    /// Hosts in all.
    pub hosts: u32,
    /// When it should end, going by the waves so far; none while it is stopped or nothing is known yet.
    pub expected_end: Option<Timestamp>,
    /// It can be paused.
    pub running: bool,
}
