//! Rolls in the report.

use std::fmt;

use evenkeel_model::RollId;
use serde::Serialize;

use crate::clock::seconds;
use crate::core::Core;
use crate::rolls::Measured;

/// One roll.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollReport {
    /// Its id.
    pub id: RollId,
    /// `done`, `incomplete`, `aborted`, `not-baked`, `rolled-back`, or what it does at the end of the run: `baking`,
    /// `rolling`, `paused`, `halted`, `taking-back`.
    pub state: &'static str,
    /// Hosts that it was about.
    pub hosts: u32,
    /// Those that were replaced.
    pub replaced: u32,
    /// Waves.
    pub waves: u32,
    /// From its first step to its end, or to the end of the run.
    pub seconds: f64,
    /// What no controller could beat with the same drains, boots and checks, in full waves (see `tests/README.md`).
    pub floor_seconds: f64,
    /// The most hosts that were out at once because of it.
    pub max_out: usize,
    /// Patchroll's requests to AWS meanwhile.
    pub calls: u64,
    /// The same for each replaced host.
    pub calls_per_host: Option<f64>,
}

impl RollReport {
    pub(super) fn of(roll: &Measured, core: &Core) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "calls of one roll fit a double")]
        let each = |calls: u64| calls as f64 / f64::from(roll.replaced);
        Self {
            id: roll.id.clone(),
            state: roll.state,
            hosts: roll.hosts,
            replaced: roll.replaced,
            waves: roll.waves,
            seconds: seconds(roll.took(core.now)),
            floor_seconds: seconds(roll.floor(&core.fleet)),
            max_out: roll.max_out,
            calls: roll.calls,
            calls_per_host: (roll.replaced > 0).then(|| each(roll.calls)),
        }
    }
}

impl fmt::Display for RollReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, state, hosts, replaced, waves, seconds, floor_seconds, max_out, calls, calls_per_host } = self;
        write!(f, "roll {id}: {state}, {replaced} of {hosts} hosts replaced in {waves} waves and {seconds:.0} s")?;
        if *floor_seconds > 0.0 {
            write!(f, " ({:.2} times the {floor_seconds:.0} s that nobody could beat)", seconds / floor_seconds)?;
        }
        write!(f, "\n  at most {max_out} out at once; {calls} calls")?;
        calls_per_host.map_or(Ok(()), |each| write!(f, ", {each:.1} for each replaced host"))
    }
}
