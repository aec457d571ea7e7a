//! The record of what a round decided, and the page's feed of the newest decisions.

use std::time::Duration;

use evenkeel_model::decision::{Decision, Outcome, Planned};
use evenkeel_model::view::{DecisionView, View};
use evenkeel_model::{FleetName, FunctionName, Timestamp};

use crate::body::{parse, to_json};
use crate::error::TurnError;
use crate::ledger::{Expect, Item, Key, Write};

/// Decisions are kept for 14 days: long enough to ask what happened last week.
const DECISIONS_LAST: Duration = Duration::from_hours(14 * 24);

/// The decisions of one round, as one item.
pub(crate) struct Record {
    key: Key,
    pub(crate) decisions: Vec<Decision>,
}

impl Record {
    pub(crate) fn new(function: FunctionName, fleet: &FleetName, at: Timestamp, epoch: u64, steps: &[Planned]) -> Self {
        let decide = |planned: &Planned| Decision {
            at,
            function,
            step: planned.step.clone(),
            why: planned.why.clone(),
            outcome: Outcome::Undone,
        };
        let key = Key::of(fleet, "decision", format_args!("{at:.3}#{function}-{epoch}"));
        Self { key, decisions: steps.iter().map(decide).collect() }
    }

    pub(crate) fn write(&self, now: Timestamp) -> Result<Write, TurnError> {
        let body = to_json(&self.key, &self.decisions)?;
        let expires = Some(now + DECISIONS_LAST);
        Ok(Write { key: self.key.clone(), body: Some(body), expect: Expect::Anything, expires })
    }

    /// The feed `found` under `key`, with these decisions in front.
    pub(crate) fn feed(&self, key: Key, found: Option<&Item>) -> Result<Write, TurnError> {
        let old: Vec<DecisionView> = parse(&key, found)?.unwrap_or_default();
        let new = self.decisions.iter().rev().cloned().map(DecisionView::from);
        let feed: Vec<DecisionView> = new.chain(old).take(View::MOST_DECISIONS).collect();
        let body = to_json(&key, &feed)?;
        Ok(Write::put(key, body, Expect::Anything))
    }
}

/// The key of a function's newest decisions, which the page shows below its view.
#[must_use]
pub fn feed_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::of(fleet, "feed", function)
}
