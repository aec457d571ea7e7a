//! What the functions' last turns left of a fleet: read in one call of the ledger, and taken as far as this version
//! understands it.

use std::collections::BTreeMap;

use evenkeel_backfill::BackfillView;
use evenkeel_model::decision::{Decision, Outcome, RollStep, Step, Why};
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::view::View;
use evenkeel_model::{FleetName, FunctionName, RollId, Timestamp};
use evenkeel_patchroll::PatchView;
use evenkeel_turn::ledger::{Item, Key};
use evenkeel_turn::ports::{Answer, Ledger};
use evenkeel_turn::{Budget, feed_key, good_file_key, lease_key, put_together, rest_of, shown, view_key};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The functions that take turns.
const FUNCTIONS: [FunctionName; 3] = [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll];

/// How a fleet stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// The fleet.
    pub(crate) name: FleetName,
    /// The fleet file that was good last.
    pub(crate) file: Option<Fleet>,
    /// What microscale shows.
    pub(crate) tasks: Option<View>,
    /// What backfill shows.
    pub(crate) hosts: Option<BackfillView>,
    /// What patchroll shows.
    pub(crate) patch: Option<PatchView>,
    /// The hosts that are out.
    pub(crate) budget: Budget,
    /// When each function looked last; those that never did are missing.
    pub(crate) looked: BTreeMap<FunctionName, Timestamp>,
    /// The newest decisions, newest first.
    pub(crate) feed: Vec<Recorded>,
    /// What is there and was not understood.
    pub(crate) unread: Vec<String>,
    /// The views as they are stored, for machines.
    pub(crate) raw: BTreeMap<&'static str, Value>,
}

impl Standing {
    /// Reads it; none where no function has ever taken a turn.
    pub(crate) async fn read(ledger: &impl Ledger, fleet: &FleetName) -> Answer<Option<Self>> {
        let of = |key: fn(&FleetName, FunctionName) -> Key| FUNCTIONS.map(|function| key(fleet, function));
        let mut keys = [of(view_key), of(lease_key), of(feed_key)].concat();
        keys.extend([good_file_key(fleet), Budget::key(fleet)]);
        let mut found = ledger.get(&keys).await?;
        if found.iter().all(Option::is_none) {
            return Ok(None);
        }
        // The view of very many hosts is several items.
        for (item, function) in found.iter_mut().zip(FUNCTIONS) {
            let Some(Item { body, .. }) = item else { continue };
            let Ok(mut view) = serde_json::from_str::<Value>(body) else { continue };
            let rest = rest_of(&view, fleet, function);
            if !rest.is_empty() {
                put_together(&mut view, &ledger.get(&rest).await?);
                *body = view.to_string();
            }
        }
        Ok(Some(Self::of(fleet, &found)))
    }

    fn of(name: &FleetName, found: &[Option<Item>]) -> Self {
        let item = |number: usize| found.get(number).and_then(Option::as_ref);
        let mut unread = Vec::new();
        let mut raw: BTreeMap<&'static str, Value> = BTreeMap::new();
        let mut looked = BTreeMap::new();
        let mut feed = Vec::new();
        for (number, function) in FUNCTIONS.into_iter().enumerate() {
            let lease = item(number + FUNCTIONS.len());
            match item(number).map(|view| shown(view, lease)).transpose() {
                Err(error) => unread.push(format!("what {function} shows: {error}")),
                Ok(None) => {}
                Ok(Some(view)) => {
                    looked.extend(time_of(&view).map(|at| (function, at)));
                    raw.insert(NAMES[number], view);
                }
            }
            feed.extend(item(number + 2 * FUNCTIONS.len()).into_iter().flat_map(|item| listed(&item.body)));
        }
        let file = item(3 * FUNCTIONS.len());
        let budget = item(3 * FUNCTIONS.len() + 1);
        let budget = budget.map(|budget| serde_json::from_str(&budget.body)).transpose();
        Self {
            name: name.clone(),
            file: file.and_then(|file| fleet::read(&file.body, Format::of(file.body.as_bytes())).ok()),
            tasks: understood(&raw, NAMES[0], &mut unread),
            hosts: understood(&raw, NAMES[1], &mut unread),
            patch: understood(&raw, NAMES[2], &mut unread),
            budget: budget
                .unwrap_or_else(|error| {
                    unread.push(format!("the disruption budget: {error}"));
                    None
                })
                .unwrap_or_default(),
            looked,
            feed: newest_first(feed.into_iter()),
            unread,
            raw,
        }
    }

    /// When it was seen last.
    pub(crate) fn seen(&self) -> Option<Timestamp> {
        self.looked.values().copied().max()
    }
}

/// The functions' names as keys of what they show.
const NAMES: [&str; 3] = ["microscale", "backfill", "patchroll"];

fn understood<T: DeserializeOwned>(
    raw: &BTreeMap<&'static str, Value>,
    function: &'static str,
    unread: &mut Vec<String>,
) -> Option<T> {
    let view = raw.get(function)?;
    T::deserialize(view).map_err(|error| unread.push(format!("what {function} shows: {error}"))).ok()
}

fn time_of(value: &Value) -> Option<Timestamp> {
    value["at"].as_str()?.parse().ok()
}

/// A decision as it is stored. One of a later version has no more than its words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    /// When it was decided.
    pub(crate) at: Timestamp,
    /// As far as it is understood.
    pub(crate) decision: Option<Decision>,
    /// As it is stored.
    pub(crate) raw: Value,
}

impl Recorded {
    /// The decision as a sentence.
    pub(crate) fn text(&self) -> String {
        match &self.decision {
            Some(decision) => decision.to_string(),
            None => match self.raw["text"].as_str() {
                Some(text) => text.to_owned(),
                None => format!("{} (of a later version than this command)", self.raw["step"]),
            },
        }
    }

    /// Which function decided.
    pub(crate) fn function(&self) -> &str {
        self.raw["function"].as_str().unwrap_or("a later version")
    }

    /// It was not refused, lost or left; what would be done was not even tried.
    pub(crate) fn went_well(&self) -> bool {
        self.decision.as_ref().is_none_or(|decision| matches!(decision.outcome, Outcome::Done | Outcome::Would))
    }

    /// What became of it may still be written.
    pub(crate) fn is_open(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.outcome == Outcome::Undone)
    }

    /// Whether it is about what is called `name`: the function, a service, host, pool, roll or image that its step or its
    /// reason names.
    pub(crate) fn is_about(&self, name: &str) -> bool {
        self.function() == name || names(&self.raw["step"], name) || names(&self.raw["why"], name)
    }

    /// What becomes of a roll here, if anything does.
    pub(crate) fn roll(&self) -> Option<&RollStep> {
        match &self.decision.as_ref()?.step {
            Step::Roll(step) => Some(step),
            Step::SetDesiredCount { .. } | Step::Host(_) | Step::Image(_) => None,
        }
    }

    /// Whether it belongs to a roll.
    pub(crate) fn is_of_roll(&self) -> bool {
        self.roll().is_some() || self.decision.as_ref().is_some_and(|decision| matches!(decision.why, Why::Roll(_)))
    }
}

/// The roll that a step is about.
pub(crate) const fn roll_of(step: &RollStep) -> &RollId {
    match step {
        RollStep::Start { roll, pool: _ }
        | RollStep::Pause { roll }
        | RollStep::Resume { roll }
        | RollStep::Halt { roll }
        | RollStep::Abort { roll }
        | RollStep::End { roll, ending: _ } => roll,
    }
}

/// Whether a text in `value` is `name`, or says it as a word of its own; of keys, those that are ids.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => says(text, name),
        Value::Array(all) => all.iter().any(|one| names(one, name)),
        Value::Object(all) => all.iter().any(|(key, one)| (key == name && name.starts_with("i-")) || names(one, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a sentence names `name`: as a word, so that `web` is not in `web-2` nor in `cobweb`.
pub(crate) fn says(sentence: &str, name: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty()
        && sentence.match_indices(name).any(|(at, _)| {
            let before = sentence[..at].chars().next_back();
            let after = sentence[at + name.len()..].chars().next();
            !before.is_some_and(of_a_name) && !after.is_some_and(of_a_name)
        })
}

/// The decisions of rounds, newest first; a round has its own in the order in which they were taken.
pub(crate) fn recorded(rounds: &[String]) -> Vec<Recorded> {
    newest_first(rounds.iter().flat_map(|round| listed(round).into_iter().rev()))
}

fn newest_first(all: impl Iterator<Item = Value>) -> Vec<Recorded> {
    let understood = |raw| Some(Recorded { at: time_of(&raw)?, decision: Deserialize::deserialize(&raw).ok(), raw });
    let mut all: Vec<Recorded> = all.filter_map(understood).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.at));
    all
}

/// The decisions of a round or a feed, as they are stored.
fn listed(body: &str) -> Vec<Value> {
    serde_json::from_str(body).unwrap_or_default()
}
