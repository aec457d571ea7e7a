//! The bytes of an invocation become [`Trigger`]s: parsed once here, trusted afterwards.
//!
//! Lenient in what is read, exact in what is handed on. Events are not judged by AWS's schemas, because real ones differ
//! from them: fields that are called required are missing, times come in four formats or empty, numbers and booleans
//! come as text. But every id that leaves this crate is a checked one, and an event of a known kind that does not name
//! what it is about is [`Malformed`], never a guess.
//!
//! The envelopes of the `aws_lambda_events` crate are too strict for this door, so only the tests use them:
//! `EventBridgeEvent` and `CloudWatchAlarm` refuse an event over an empty `time`, `SnsEvent` over a missing signature,
//! and `SqsEvent` refuses the whole batch over one odd record, where the other messages must still get through.
//!
//! Architecture invariant: no I/O, no clock, no panic on any bytes, and no recursion deeper than [`MAX_DEPTH`].

mod arn;
mod autoscaling;
mod carrier;
mod cloudwatch;
mod ec2;
mod ecs;
mod event;
mod eventbridge;
mod health;
mod inspector;
mod malformed;
mod manual;
mod object;
mod ssm;
mod time;

use std::sync::Arc;

use evenkeel_model::trigger::Trigger;

pub use malformed::{Malformed, Reason};

/// The most bytes that are read: Lambda hands over at most 6 MB in one invocation (Lambda developer guide, "Quotas").
pub const MAX_BYTES: usize = 6 * 1024 * 1024;

/// The most items one invocation may hold: the largest SQS batch (Lambda developer guide, "Using Lambda with SQS").
/// Without it, six megabytes of empty records would become two million reports.
pub const MAX_ITEMS: usize = 10_000;

/// How many wrappers may lie around an event. SNS in SQS is two; the rest is for a relay in between.
pub const MAX_DEPTH: usize = 4;

/// What an invocation brought, in its own order.
#[derive(Debug, Clone, PartialEq)]
pub struct Intake {
    /// One for each event. Usually one; several from a batch; none from an empty one.
    pub items: Vec<Item>,
}

/// One event of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The SQS message that brought it, which is what a partial batch failure has to name. `None` where no queue was
    /// involved, or the queue's record was itself malformed.
    pub message: Option<MessageId>,
    /// What it says. [`Malformed`] belongs in the dead-letter queue: another try would not help.
    pub reading: Result<Reading, Malformed>,
}

/// What a well-formed event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Something for us.
    Trigger(Trigger),
    /// Nothing for us: a success and a count.
    Unknown {
        /// What it was, in at most 120 characters, such as `aws.ssm/Calendar State Change`.
        kind: String,
    },
}

/// An SQS message's id, as the queue gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Arc<str>);

impl MessageId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Intake {
    /// The triggers alone.
    pub fn triggers(&self) -> impl Iterator<Item = &Trigger> {
        self.items.iter().filter_map(|item| match &item.reading {
            Ok(Reading::Trigger(trigger)) => Some(trigger),
            Ok(Reading::Unknown { .. }) | Err(_) => None,
        })
    }
}

impl Reading {
    fn unknown(kind: &str) -> Self {
        Self::Unknown { kind: kind.chars().take(120).collect() }
    }
}

/// Reads the payload of one invocation: an event as EventBridge, CloudWatch, SNS, SQS or a person sends it.
///
/// Never fails as a whole: what cannot be read is an item that says why, so that the rest of a batch gets through.
#[must_use]
pub fn read(bytes: &[u8]) -> Intake {
    let refused = |reason| Intake { items: vec![Item { message: None, reading: Err(Malformed::here(reason)) }] };
    if bytes.len() > MAX_BYTES {
        return refused(Reason::TooLarge { bytes: bytes.len() });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => carrier::unwrap(text),
        Err(problem) => refused(Reason::NotUtf8 { valid_up_to: problem.valid_up_to() }),
    }
}
