//! One invocation: its bytes, the turns that come of them, and what is tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_intake::{Item, MessageId, Reading, read};
use evenkeel_model::Timestamp;
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::ports::{Clock, DeadLetters, Ledger};
use evenkeel_turn::{FleetCache, Limits, Summary, lease_key, shown, view_key};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::entry::{Done, Entry};
use crate::log::{Counts, Log, chain};
use crate::not_handled::NotHandled;
use crate::says;

/// What a turn leaves of the function's time: its last call may take five seconds, and then there is the answer.
const RESERVE: Duration = Duration::from_secs(7);
/// A lease outlives the function's timeout by this, so that a killed holder is known to be dead.
const LEASE_AFTER: Duration = Duration::from_secs(5);
/// Where the deadline says nothing: some emulators give one that has passed.
const TIME_OTHERWISE: Duration = Duration::from_secs(20);

/// What the runtime hands over.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The request's id, which no other invocation has but another try of the same.
    pub request: &'a str,
    /// When the function is killed.
    pub deadline: Timestamp,
}

/// Handles one invocation. The answer names the messages of a queue that are to come again, or says what was done.
///
/// What cannot lead to anything however often it comes goes to the dead letters at once, where there is such a place.
///
/// # Errors
/// [`NotHandled`] where an event that no queue brought was malformed or its turn could not be taken, and it is to be tried
/// again, or a person sent it, or there was nowhere else to put it.
pub async fn invoke<P: Clock + Ledger + DeadLetters, E: Entry<P>>(
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
            // Boxed, because the futures of a turn's calls lie deeper in one another than the compiler looks.
            Box::pin(run.item(item)).await;
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

impl<P: Clock + Ledger + DeadLetters, E: Entry<P>, L: Log> Run<'_, P, E, L> {
    async fn item(&mut self, item: &Item) {
        let message = item.message.as_ref();
        match &item.reading {
            Ok(Reading::Unknown { kind }) => {
                self.counts.unknown += 1;
                self.log.note(E::NAME, "unknown event", kind);
                self.answer.fine(message);
            }
            Ok(Reading::Trigger(trigger)) => {
                let sent_as = message.map_or(self.invocation.request, MessageId::as_str);
                self.trigger(&trigger.clone().sent_as(sent_as), message).await;
            }
            Err(malformed) => {
                self.counts.malformed += 1;
                self.log.note(E::NAME, "malformed event", &malformed.to_string());
                self.never(message, NotHandled::Malformed(malformed.to_string())).await;
            }
        }
    }

    async fn trigger(&mut self, trigger: &Trigger, message: Option<&MessageId>) {
        let asked = if let Trigger::Manual(manual) = trigger { Some(manual) } else { None };
        let (mut failure, mut passing, mut answered) = (None, false, false);
        for (before, fleet) in self.fleets.iter().enumerate() {
            let began = self.ports.now();
            let limits = self.limits(began, self.fleets.len() - before);
            let turn = Box::pin(self.entry.handle(self.ports, fleet, trigger, self.invocation.request, limits));
            match turn.await {
                Ok(Done::NotForUs) => continue,
                Ok(Done::Turned(summary)) => {
                    let took = self.ports.now().duration_since(began).unsigned_abs();
                    self.log.turn(&summary, took, self.ports.now());
                    let asked = match asked {
                        Some(manual) => Some((&manual.request, self.view(&summary).await)),
                        None => None,
                    };
                    self.answer.turned(&summary, asked);
                }
                Ok(Done::Answered(mut answer)) => {
                    if let Some(fields) = answer.as_object_mut() {
                        fields.insert("fleet".to_owned(), json!(fleet.name()));
                        fields.insert("function".to_owned(), json!(E::NAME));
                    }
                    self.log.answer(E::NAME, &answer);
                    self.answer.done(answer);
                }
                Err(error) => {
                    self.counts.failed += 1;
                    let words = chain(&error);
                    self.log.note(E::NAME, &format!("fleet {} not served", fleet.name()), &words);
                    passing |= error.is_passing();
                    failure = Some(NotHandled::Failed(words));
                }
            }
            answered = true;
        }
        match failure {
            None => {
                if let (Some(manual), false) = (asked, answered) {
                    let served: Vec<&str> = self.fleets.iter().map(|fleet| fleet.name().as_str()).collect();
                    let refused = says::misdirected(&manual.request, manual.fleet.as_str(), E::NAME, &served);
                    let answer =
                        json!({ "says": [refused], "refused": refused, "fleet": manual.fleet, "function": E::NAME });
                    self.answer.done(answer);
                }
                self.answer.fine(message);
            }
            Some(failure) if passing => self.answer.failed(message, failure),
            Some(failure) => self.never(message, failure).await,
        }
    }

    /// What another try would not help. Whoever asks by hand waits for the answer; anything else goes to the dead letters.
    async fn never(&mut self, message: Option<&MessageId>, why: NotHandled) {
        let payload: Value = serde_json::from_slice(self.invocation.payload).unwrap_or_default();
        let by_hand = message.is_none() && payload.get("Records").is_none() && payload.get("source").is_none();
        if by_hand {
            return self.answer.failed(message, why.told_by_hand());
        }
        let event = record(&payload, message).unwrap_or(&payload).to_string();
        match Box::pin(self.ports.bury(&why.to_string(), &event)).await {
            Ok(true) => {
                self.answer.done(json!({ "dead_letter": why.to_string() }));
                self.answer.fine(message);
            }
            Ok(false) => self.answer.failed(message, why),
            Err(error) => {
                self.log.note(E::NAME, "dead letter not taken", &error.to_string());
                self.answer.failed(message, why);
            }
        }
    }

    /// How the fleet stands after a turn, for whoever asked for it; the turn is done whether that can be read or not.
    async fn view(&self, summary: &Summary) -> Option<Value> {
        let keys = [view_key, lease_key].map(|key| key(&summary.fleet, summary.function));
        let found = Box::pin(self.ports.get(&keys)).await.ok()?;
        let [view, lease] = found.as_slice() else { return None };
        shown(view.as_ref()?, lease.as_ref()).ok()
    }

    /// The time there is, shared among the fleets that have not had their turn yet: a slow one must not starve the last.
    fn limits(&self, now: Timestamp, fleets: usize) -> Limits {
        let left = self.invocation.deadline.duration_since(now);
        let left = if left.is_positive() { left.unsigned_abs() } else { TIME_OTHERWISE };
        let share = u32::try_from(fleets).unwrap_or(u32::MAX).max(1);
        Limits { budget: left.saturating_sub(RESERVE) / share, lease: left + LEASE_AFTER }
    }
}

/// The record of a queue's batch that has this id.
fn record<'a>(payload: &'a Value, message: Option<&MessageId>) -> Option<&'a Value> {
    let id = message?.as_str();
    payload.get("Records")?.as_array()?.iter().find(|record| record["messageId"] == id)
}
