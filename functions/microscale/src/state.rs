//! What microscale remembers from turn to turn: dwells, and what it wrote last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_model::decision::{Outcome, Step};
use evenkeel_model::{InstanceId, Room, ServiceName, Timestamp};
use evenkeel_turn::window::Window;
use evenkeel_turn::{Applied, Remembers};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The state of a fleet. Fields that this version does not know are kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct State {
    /// What is remembered of each service of the fleet file.
    pub services: BTreeMap<ServiceName, Memory>,
    /// Fields of later versions.
    pub rest: BTreeMap<String, Value>,
}

/// The state as it is stored. When a large fleet is full, each of its services distrusts almost every host: then a host is
/// named once, and each service says which of those it means, because an item of the ledger has room for 400 KB.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    services: BTreeMap<ServiceName, Memory>,
    /// The hosts of all `tried_of`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tried_hosts: Vec<InstanceId>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// So many names are written out where they are meant.
const MOST_NAMES: usize = 1_000;

impl From<State> for Stored {
    fn from(State { mut services, rest }: State) -> Self {
        let distrusts = || services.values().filter_map(|memory| memory.distrust.as_ref());
        let mut tried_hosts = Vec::new();
        if distrusts().map(|distrust| distrust.tried.len()).sum::<usize>() > MOST_NAMES {
            let all: BTreeSet<&InstanceId> = distrusts().flat_map(|distrust| distrust.tried.iter()).collect();
            tried_hosts = all.into_iter().cloned().collect();
            for distrust in services.values_mut().filter_map(|memory| memory.distrust.as_mut()) {
                let tried = std::mem::take(&mut distrust.tried);
                distrust.tried_of = Some(Marks::of(&tried_hosts, &tried));
            }
        }
        Self { services, tried_hosts, rest }
    }
}

impl From<Stored> for State {
    fn from(Stored { mut services, tried_hosts, rest }: Stored) -> Self {
        for distrust in services.values_mut().filter_map(|memory| memory.distrust.as_mut()) {
            if let Some(marks) = distrust.tried_of.take() {
                distrust.tried = Arc::new(marks.among(&tried_hosts));
            }
        }
        Self { services, rest }
    }
}

/// Some of a list: a hexadecimal digit for each four, the first of them its highest bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marks(String);

impl Marks {
    fn of(all: &[InstanceId], some: &BTreeSet<InstanceId>) -> Self {
        let digit = |four: &[InstanceId]| {
            let bits = four.iter().enumerate().filter(|(_, id)| some.contains(*id)).map(|(place, _)| 8_u32 >> place);
            char::from_digit(bits.sum(), 16).unwrap_or('0')
        };
        Self(all.chunks(4).map(digit).collect())
    }

    fn among(&self, all: &[InstanceId]) -> BTreeSet<InstanceId> {
        let digits = self.0.chars().map(|digit| digit.to_digit(16).unwrap_or(0));
        let of = |(four, digit): (&[InstanceId], u32)| {
            let meant = move |(place, _): &(usize, &InstanceId)| digit & (8 >> place) != 0;
            four.iter().enumerate().filter(meant).map(|(_, id)| id.clone()).collect::<Vec<_>>()
        };
        all.chunks(4).zip(digits).flat_map(of).collect()
    }
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
            Outcome::Left(_) | Outcome::Would => memory.writing = None,
            Outcome::Failed(_) | Outcome::Undone => {}
        }
    }
}

impl Remembers for State {
    fn still(&mut self, at: Timestamp) {
        self.services.values_mut().for_each(|memory| memory.window.still(at));
    }

    /// Others set the counts meanwhile, which makes nobody an intruder.
    fn observed(&mut self, _before: &Self) {
        for memory in self.services.values_mut() {
            memory.forget_count();
            (memory.changed, memory.foreign_until) = (None, None);
        }
    }

    fn takes_over(&mut self) {
        self.services.values_mut().for_each(|memory| memory.window = Window::default());
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
    #[serde(default, skip_serializing_if = "is_empty")]
    pub tried: Arc<BTreeSet<InstanceId>>,
    /// The same as it is stored where hosts are many; never there otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_of: Option<Marks>,
    /// What one task needed.
    #[serde(default)]
    pub task: Room,
    /// What was seen.
    pub because: String,
}

impl Distrust {
    /// A placement failed for the `tries`th time in a row, with these hosts there, and is tried again after `pause`.
    pub(crate) fn new(
        tries: u32,
        (since, pause): (Timestamp, Duration),
        tried: Arc<BTreeSet<InstanceId>>,
        task: Room,
    ) -> Self {
        let because = "ECS could not place a task".to_owned();
        Self { tries, since, until: since + pause, tried, tried_of: None, task, because }
    }
}

fn is_empty(set: &Arc<BTreeSet<InstanceId>>) -> bool {
    set.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_distrusted_is_the_same_however_it_is_stored() {
        let id = |number: usize| format!("i-{number:04}").parse::<InstanceId>().unwrap();
        let distrust = |tried: BTreeSet<InstanceId>| {
            let since = Timestamp::UNIX_EPOCH;
            let distrust = Distrust::new(1, (since, Duration::from_secs(60)), Arc::new(tried), Room::default());
            Memory { distrust: Some(distrust), ..Memory::default() }
        };
        for hosts in [3, 1_501] {
            let some = |step: usize| distrust((0..hosts).filter(|number| number % step != 1).map(id).collect());
            let services = [("a", some(2)), ("b", some(3)), ("c", some(hosts + 1)), ("d", Memory::default())];
            let services = services.map(|(name, memory)| (ServiceName::new(name).unwrap(), memory)).into();
            let state = State { services, ..State::default() };
            let stored = serde_json::to_string(&state).unwrap();
            assert_eq!(stored.matches("i-0002").count(), if hosts == 3 { 3 } else { 1 });
            assert_eq!(serde_json::from_str::<State>(&stored).unwrap(), state);
        }
    }

    #[test]
    fn fields_of_a_later_version_survive() {
        let stored = r#"{"services":{"web":{"want":3,"mood":"calm"}},"tempo":7}"#;
        let state: State = serde_json::from_str(stored).unwrap();
        assert_eq!(state.services[&ServiceName::new("web").unwrap()].want, Some(3));
        assert_eq!(serde_json::to_string(&state).unwrap(), stored);
    }
}
