//! What microscale remembers from turn to turn: dwells, and what it wrote last.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::decision::{Outcome, Step};
use evenkeel_model::{InstanceId, Room, ServiceName, Timestamp};
use evenkeel_turn::window::Window;
use evenkeel_turn::{Applied, Remembers};
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
        let Step::SetDesiredCount { service, from: _, to } = &applied.planned.step else { return };
        let Some(memory) = self.services.get_mut(service) else { return };
        match applied.outcome {
            Outcome::Done => {
                memory.count_is(*to, applied.at);
                memory.writing = None;
            }
            Outcome::Left(_) => memory.writing = None,
            Outcome::Failed(_) | Outcome::Undone => {}
        }
    }
}

impl Remembers for State {
    fn still(&mut self, at: Timestamp) {
        self.services.values_mut().for_each(|memory| memory.window.still(at));
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
    /// Counts that were there before, and when they were replaced: an answer that comes late may still say one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<(u32, Timestamp)>,
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

/// Hosts on which ECS is not believed to place a service's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distrust {
    /// How often a placement failed in a row.
    #[serde(default)]
    pub tries: u32,
    /// When one failed last.
    #[serde(default)]
    pub since: Timestamp,
    /// One task is tried again from then on.
    #[serde(default)]
    pub until: Timestamp,
    /// The hosts that were there.
    #[serde(default)]
    pub tried: BTreeSet<InstanceId>,
    /// What one task needed.
    #[serde(default)]
    pub task: Room,
    /// What was seen.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_version_survive() {
        let stored = r#"{"services":{"web":{"want":3,"mood":"calm"}},"tempo":7}"#;
        let state: State = serde_json::from_str(stored).unwrap();
        assert_eq!(state.services[&ServiceName::new("web").unwrap()].want, Some(3));
        assert_eq!(serde_json::to_string(&state).unwrap(), stored);
    }
}
