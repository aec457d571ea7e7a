//! The record of what a round decided, and the page's feed of the newest decisions.

use std::time::Duration;

use evenkeel_model::decision::{Decision, Outcome, Planned};
use evenkeel_model::view::{DecisionView, View};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::body::{parse, to_json};
use crate::error::TurnError;
use crate::ledger::{Expect, Item, Key, Write};

/// Decisions are kept for 14 days: long enough to ask what happened last week.
const DECISIONS_LAST: Duration = Duration::from_hours(14 * 24);

/// A turn takes no more steps than this; what is left is the next one's. With what else is written they are well within
/// what the ledger takes at once.
pub(crate) const MOST_STEPS: usize = 3_000;
/// An item has no more decisions than this: at a kilobyte each, which is long, it has room for them even if nothing
/// could be deflated.
const MOST_IN_ITEM: usize = 300;
/// Nor is more of an error noted than this many bytes: it is AWS's text.
const MOST_OF_ERROR: usize = 500;

/// The decisions of one round. They are one item, and more where they are very many.
pub(crate) struct Record {
    /// Of the first item.
    key: Key,
    pub(crate) decisions: Vec<Decision>,
}

impl Record {
    pub(crate) fn new(function: FunctionName, fleet: &FleetName, at: Timestamp, epoch: u64, steps: &[Planned]) -> Self {
        let decide = |planned: &Planned| decided(function, at, planned, Outcome::Undone);
        Self::of(function, fleet, at, epoch, steps.iter().map(decide).collect())
    }

    /// The record of decisions that are over.
    pub(crate) fn of(
        function: FunctionName,
        fleet: &FleetName,
        at: Timestamp,
        epoch: u64,
        decisions: Vec<Decision>,
    ) -> Self {
        let Key { fleet, sort } = records_from(fleet, at);
        let key = Key { fleet, sort: format!("{sort}#{function}-{epoch}") };
        Self { key, decisions }
    }

    pub(crate) fn writes(&self, now: Timestamp) -> Result<Vec<Write>, TurnError> {
        let write = |(number, decisions): (usize, &[Decision])| {
            let more = if number == 0 { String::new() } else { format!("#{number}") };
            let Key { fleet, sort } = self.key.clone();
            let key = Key { fleet, sort: sort + &more };
            let body = Some(to_json(&key, &decisions)?.into());
            Ok(Write { key, body, expect: Expect::Anything, expires: Some(now + DECISIONS_LAST) })
        };
        self.decisions.chunks(MOST_IN_ITEM).enumerate().map(write).collect()
    }

    /// The feed `found` under `key`, with these decisions in front.
    pub(crate) fn feed(&self, key: Key, found: Option<&Item>) -> Result<Write, TurnError> {
        // Those of later versions are passed on as they are.
        let old: Vec<Value> = parse(&key, found)?.unwrap_or_default();
        let new = self.decisions.iter().rev().cloned().map(|decision| Entry::New(Box::new(decision.into())));
        let feed: Vec<Entry> = new.chain(old.into_iter().map(Entry::Old)).take(View::MOST_DECISIONS).collect();
        let body = to_json(&key, &feed)?;
        Ok(Write::put(key, body, Expect::Anything))
    }
}

/// A step as it is recorded.
pub(crate) fn decided(function: FunctionName, at: Timestamp, planned: &Planned, outcome: Outcome) -> Decision {
    Decision { at, function, step: planned.step.clone(), why: planned.why.clone(), outcome }
}

/// An entry of the feed.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    New(Box<DecisionView>),
    Old(Value),
}

/// What the keys of the rounds recorded at `at` begin with; those of later rounds are greater.
#[must_use]
pub fn records_from(fleet: &FleetName, at: Timestamp) -> Key {
    Key::of(fleet, RECORDS, format_args!("{at:.3}"))
}

/// A key that is greater than that of any record.
#[must_use]
pub fn records_end(fleet: &FleetName) -> Key {
    Key::of(fleet, RECORDS, "~")
}

const RECORDS: &str = "decision";

/// A step that failed, with as much of the reason as a record has room for.
pub(crate) fn failed(mut because: String) -> Outcome {
    if because.len() > MOST_OF_ERROR {
        because.truncate((0..=MOST_OF_ERROR).rev().find(|&end| because.is_char_boundary(end)).unwrap_or(0));
        because.push_str(" ...");
    }
    Outcome::Failed(because)
}

/// The key of a function's newest decisions, which the page shows below its view.
#[must_use]
pub fn feed_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::of(fleet, "feed", function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_of_a_later_version_stay_in_the_feed() {
        let fleet = FleetName::new("shop").unwrap();
        let key = feed_key(&fleet, FunctionName::Microscale);
        let later = r#"[{"step":{"repaint":"red"},"text":"repaint i-1 red"}]"#;
        let step = evenkeel_model::decision::Step::SetDesiredCount { service: "web".parse().unwrap(), from: 1, to: 2 };
        let why = evenkeel_model::decision::Why::WantRose { want: 2, live: 1 };
        let planned = Planned { step, why, needs: Vec::new(), beside: false };
        let record = Record::new(FunctionName::Microscale, &fleet, Timestamp::UNIX_EPOCH, 1, &[planned]);
        let found = Item { version: 1, body: later.to_owned() };
        let feed: Vec<Value> = serde_json::from_str(&record.feed(key, Some(&found)).unwrap().body.unwrap()).unwrap();
        assert_eq!((feed.len(), &feed[1]["text"]), (2, &Value::from("repaint i-1 red")));
        assert_eq!(feed[1]["step"]["repaint"], "red");
    }
}
