//! One invocation: its bytes, the turns that come of them, and what is tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_intake::{Item, MessageId, Reading, read};
use evenkeel_model::Timestamp;
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::ports::Clock;
use evenkeel_turn::{FleetCache, Limits};
use serde_json::Value;

use crate::answer::Answer;
use crate::entry::{Done, Entry};
use crate::log::{Counts, Log, chain};

/// What a turn leaves of the function's time, for the last write and the answer.
const RESERVE: Duration = Duration::from_secs(2);
/// A lease outlives the function's timeout by this, so that a killed holder is known to be dead.
const LEASE_AFTER: Duration = Duration::from_secs(5);
/// Where the deadline says nothing: some emulators give one that has passed.
const TIME_OTHERWISE: Duration = Duration::from_secs(20);

/// What the runtime hands over.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The request's id, which no other invocation has.
    pub request: &'a str,
    /// When the function is killed.
    pub deadline: Timestamp,
}

/// Why an invocation is to be tried again, or to go to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHandled {
    /// The event cannot be used, ever; the platform's tries end in the dead-letter queue, with these words.
    #[error("malformed event: {0}")]
    Malformed(String),
    /// Our fault or AWS's.
    #[error("{0}")]
    Failed(String),
}

impl NotHandled {
    /// The error's type, as the runtime API and the dead-letter queue show it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::Failed(_) => "Failed",
        }
    }
}

/// Handles one invocation. The answer names the messages of a queue that are to come again, or says what was done.
///
/// # Errors
/// [`NotHandled`] where an event that no queue brought was malformed, or its turn could not be taken.
pub async fn invoke<P: Clock, E: Entry<P>>(
    entry: &E,
    ports: &P,
    fleets: &[FleetCache],
    invocation: Invocation<'_>,
    log: &impl Log,
) -> Result<Value, NotHandled> {
    let mut run = Run { entry, ports, fleets, invocation, log, answer: Answer::default(), counts: Counts::default() };
    let intake = read(invocation.payload);
    let mut beats = BTreeSet::new();
    for item in &intake.items {
        // Beats that come together are one.
        let beat = match &item.reading {
            Ok(Reading::Trigger(Trigger::Beat(beat))) => Some(&beat.fleet),
            Ok(_) | Err(_) => None,
        };
        if beat.is_none_or(|fleet| beats.insert(fleet.clone())) {
            run.item(item).await;
        }
    }
    log.counts(E::NAME, &run.counts, ports.now());
    run.answer.finish()
}

struct Run<'a, P, E, L> {
    entry: &'a E,
    ports: &'a P,
    fleets: &'a [FleetCache],
    invocation: Invocation<'a>,
    log: &'a L,
    answer: Answer,
    counts: Counts,
}

impl<P: Clock, E: Entry<P>, L: Log> Run<'_, P, E, L> {
    async fn item(&mut self, item: &Item) {
        let message = item.message.as_ref();
        match &item.reading {
            Ok(Reading::Unknown { kind }) => {
                self.counts.unknown += 1;
                self.log.note(E::NAME, "unknown event", kind);
                self.answer.fine(message);
            }
            Ok(Reading::Trigger(trigger)) => self.trigger(trigger, message).await,
            Err(malformed) => {
                self.counts.malformed += 1;
                self.log.note(E::NAME, "malformed event", &malformed.to_string());
                self.answer.failed(message, NotHandled::Malformed(malformed.to_string()));
            }
        }
    }

    async fn trigger(&mut self, trigger: &Trigger, message: Option<&MessageId>) {
        let mut failure = None;
        for fleet in self.fleets {
            let began = self.ports.now();
            let limits = self.limits(began);
            // Boxed, because the futures of a turn's calls lie deeper in one another than the compiler looks.
            let turn = Box::pin(self.entry.handle(self.ports, fleet, trigger, self.invocation.request, limits));
            match turn.await {
                Ok(Done::NotForUs) => {}
                Ok(Done::Turned(summary)) => {
                    let took = self.ports.now().duration_since(began).unsigned_abs();
                    self.log.turn(&summary, took, self.ports.now());
                    self.answer.done(serde_json::to_value(&summary).unwrap_or_default());
                }
                Ok(Done::Planned(plan)) => self.answer.done(plan),
                Err(error) => {
                    self.counts.failed += 1;
                    let words = chain(&error);
                    self.log.note(E::NAME, &format!("fleet {} not served", fleet.name()), &words);
                    failure = Some(NotHandled::Failed(words));
                }
            }
        }
        match failure {
            None => self.answer.fine(message),
            Some(failure) => self.answer.failed(message, failure),
        }
    }

    fn limits(&self, now: Timestamp) -> Limits {
        let left = self.invocation.deadline.duration_since(now);
        let left = if left.is_positive() { left.unsigned_abs() } else { TIME_OTHERWISE };
        Limits { budget: left.saturating_sub(RESERVE), lease: left + LEASE_AFTER }
    }
}
