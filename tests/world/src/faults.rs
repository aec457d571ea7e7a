//! What goes wrong, by rate or by script.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::clock::{MINUTE, Ms};
use crate::core::Core;
use crate::turns::TurnNo;

/// Which faults there are.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The chance, from 0 to 1, of each kind of fault wherever it can happen: a call that is throttled, fails, or whose
    /// answer is lost after the effect; a read that is old; a turn that is killed at some call; an event that is lost
    /// (where AWS may lose it), comes twice, or late.
    pub rate: f64,
    /// The chance that an event comes twice, besides `rate`.
    pub doubled: f64,
    /// The chance that an event is lost which AWS may lose, besides `rate`.
    pub lost: f64,
    /// The chance that a turn is killed at some call, besides `rate`.
    pub killed: f64,
    /// Hosts, agents, tasks and people make trouble too.
    pub trouble: bool,
    /// Zones, clocks, files, limits and functions make trouble, and so does whatever people delete.
    pub mishaps: bool,
    /// Kills the turn with this number (from 1) at its call with this number (from 1), before the call's effect.
    pub kill: Option<(u64, u32)>,
    /// The same for patchroll's own turns, counted from 1.
    pub kill_roll: Option<(u64, u32)>,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    None,
    Throttled,
    /// An error before anything was done.
    Failed,
    /// Done, but the caller is told otherwise.
    AnswerLost,
    /// An older answer.
    Stale,
    /// The role has no right to it.
    Denied,
}

/// What happens to one event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFault {
    None,
    Lost,
    Doubled,
    /// Late by so much.
    Late(Ms),
}

impl Faults {
    /// Draws what happens to a call.
    pub(crate) fn of_call(&self, rng: &mut ChaCha8Rng, changes: bool) -> CallFault {
        if !Core::chance(rng, self.rate) {
            return CallFault::None;
        }
        match (rng.random_range(0..4), changes) {
            (0, _) => CallFault::Throttled,
            (1, _) => CallFault::Failed,
            (2, true) => CallFault::AnswerLost,
            (2, false) => CallFault::Failed,
            (_, false) => CallFault::Stale,
            (_, true) => CallFault::Throttled,
        }
    }

    /// Draws at which call a turn is killed, if it is.
    pub(crate) fn kill_at(&self, turn: TurnNo, of_roll: Option<TurnNo>, rng: &mut ChaCha8Rng) -> Option<u32> {
        match (self.kill, self.kill_roll) {
            (Some((scripted, call)), _) if scripted == turn => Some(call),
            (_, Some((scripted, call))) if Some(scripted) == of_roll => Some(call),
            _ => Core::chance(rng, self.rate.max(self.killed)).then(|| rng.random_range(1..12)),
        }
    }

    /// Draws what happens to an event; some are guaranteed to arrive.
    pub(crate) fn of_event(&self, rng: &mut ChaCha8Rng, may_be_lost: bool) -> EventFault {
        if may_be_lost && Core::chance(rng, self.lost) {
            return EventFault::Lost;
        }
        if Core::chance(rng, self.doubled) {
            return EventFault::Doubled;
        }
        if !Core::chance(rng, self.rate) {
            return EventFault::None;
        }
        match rng.random_range(0..3) {
            0 if may_be_lost => EventFault::Lost,
            0 | 1 => EventFault::Doubled,
            _ => EventFault::Late(rng.random_range(1_000..90_000)),
        }
    }

    /// Whether any call, turn or event may go wrong.
    pub(crate) fn are_any(&self) -> bool {
        let scripted = self.kill.is_some() || self.kill_roll.is_some();
        scripted || self.rate > 0.0 || self.doubled > 0.0 || self.lost > 0.0 || self.killed > 0.0
    }

    /// When the next trouble comes.
    pub(crate) fn next_trouble(&self, rng: &mut ChaCha8Rng) -> Option<Ms> {
        self.trouble.then(|| rng.random_range(MINUTE..6 * MINUTE))
    }
}
