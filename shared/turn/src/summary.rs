//! What a turn did, as the log has it.

use std::time::Duration;

use evenkeel_model::decision::Decision;
use evenkeel_model::fleet::Mode;
use evenkeel_model::report::Report;
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde::Serialize;

/// What a turn did: one line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The fleet.
    pub fleet: FleetName,
    /// The function.
    pub function: FunctionName,
    /// It only observes: what it has decided is what it would do.
    #[serde(skip_serializing_if = "Mode::is_act")]
    pub mode: Mode,
    /// False when another turn had the lease: it was marked to go again.
    pub held: bool,
    /// A beat that was left out: until when looks cost no more than they may again. Nothing was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
    /// How often the world was looked at.
    pub rounds: usize,
    /// All decisions with their outcomes.
    pub decisions: Vec<Decision>,
    /// It was woken again, and there was no time left to look: somebody is to wake it once more.
    pub unfinished: bool,
    /// What the last round waited for.
    pub report: Report,
    /// When to look again, from now on, besides the ticks: what every round asked for.
    pub wakes: Vec<Duration>,
    /// Tasks that had changed without their host saying so, since the process last asked for all of them.
    #[serde(skip_serializing_if = "is_none")]
    pub missed: u64,
    /// Steps that were planned and left for the next turn, because one takes no more than some thousands.
    #[serde(skip_serializing_if = "is_none")]
    pub left: u64,
    /// Why the function could not ask to be woken again, which the next tick makes up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_woken: Option<String>,
    /// Why the page still shows what was there before. Everything else was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_shown: Option<String>,
    /// The fleet file's newest text was refused, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_file_refused: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}
