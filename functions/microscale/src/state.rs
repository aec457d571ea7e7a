//! What microscale remembers from turn to turn: dwells, and what it wrote last.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::{Outcome, Step};
use evenkeel_model::{ServiceName, Timestamp};
use evenkeel_turn::Applied;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The state of a fleet. Fields that this version does not know are kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What is remembered of each service of the fleet file.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Memory>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl State {
    /// Notes what became of a step: a count that may have been written, without an answer, stays noted as being written.
    pub(crate) fn settle(&mut self, applied: &Applied<'_>) {
        let Step::SetDesiredCount { service, from: _, to } = &applied.planned.step;
        let Some(memory) = self.services.get_mut(service) else { return };
        match applied.outcome {
            Outcome::Done => {
                memory.wrote = Some(*to);
                memory.writing = None;
            }
            Outcome::Left(_) => memory.writing = None,
            Outcome::Failed(_) | Outcome::Undone => {}
        }
    }
}

/// What is remembered of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The last want that was known, within the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<u32>,
    /// Wants of the last `scale_down_after`; for a fill service the tasks that fitted in the last `refill_after`.
    #[serde(default, skip_serializing_if = "Window::is_empty")]
    pub window: Window,
    /// The count that was written last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrote: Option<u32>,
    /// A count that is being written; stays when the turn was killed, or the answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writing: Option<u32>,
    /// When the count was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// Somebody else wrote the count; it is left alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_until: Option<Timestamp>,
    /// The level of a demand in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The newest placement failure that was taken into account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Timestamp>,
    /// Room that ECS did not use although it seemed to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrust: Option<Distrust>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// The level of a demand in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Tasks.
    pub tasks: u32,
    /// When it changed last.
    pub since: Timestamp,
}

/// A service is not raised above `cap` until a host changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distrust {
    /// The most that is asked for.
    pub cap: u32,
    /// The hosts as they were.
    pub hosts: u64,
    /// What was seen.
    pub because: String,
}

/// Samples of the last while, kept only as far as they can still be the extreme one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(Vec<(Timestamp, u32)>);

/// Which sample of a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// The largest: up at once, down late.
    Largest,
    /// The smallest: up late, down at once.
    Smallest,
}

impl Window {
    /// Whether nothing was sampled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sample and gives the extreme one of the last `length`. Samples must always ask for the same extreme.
    pub fn sample(&mut self, now: Timestamp, value: u32, length: Duration, extreme: Extreme) -> u32 {
        let beats = |old: u32| match extreme {
            Extreme::Largest => value >= old,
            Extreme::Smallest => value <= old,
        };
        while self.0.pop_if(|(_, old)| beats(*old)).is_some() {}
        self.0.push((now, value));
        // A clock that went back must not leave samples of the future behind.
        let past = |at: Timestamp| now.duration_since(at).unsigned_abs() <= length;
        let first = self.0.iter().position(|(at, _)| past(*at)).unwrap_or(self.0.len() - 1);
        self.0.drain(..first);
        self.0[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn up_at_once_and_down_after_the_dwell() {
        let mut window = Window::default();
        let dwell = Duration::from_secs(60);
        let seen: Vec<u32> = [(0, 3), (10, 9), (20, 4), (60, 4), (70, 5), (71, 4), (131, 4), (132, 1)]
            .map(|(second, want)| window.sample(at(second), want, dwell, Extreme::Largest))
            .to_vec();
        assert_eq!(seen, [3, 9, 9, 9, 9, 5, 4, 4]);
    }

    #[test]
    fn a_fill_service_takes_what_was_open_all_the_time() {
        let mut window = Window::default();
        let dwell = Duration::from_secs(30);
        let seen: Vec<u32> = [(0, 5), (10, 8), (20, 8), (30, 8), (40, 8), (41, 2), (72, 9)]
            .map(|(second, open)| window.sample(at(second), open, dwell, Extreme::Smallest))
            .to_vec();
        assert_eq!(seen, [5, 5, 5, 5, 8, 2, 9]);
    }

    #[test]
    fn fields_of_a_later_version_survive() {
        let stored = r#"{"services":{"web":{"want":3,"mood":"calm"}},"tempo":7}"#;
        let state: State = serde_json::from_str(stored).unwrap();
        assert_eq!(state.services[&ServiceName::new("web").unwrap()].want, Some(3));
        assert_eq!(serde_json::to_string(&state).unwrap(), stored);
    }
}
