//! What an invocation answers.

use evenkeel_intake::MessageId;
use evenkeel_turn::Summary;
use serde_json::{Value, json};

use crate::not_handled::NotHandled;

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// A queue brought it: its answer names messages, and nothing else is read.
    batch: bool,
    again: Vec<String>,
    failure: Option<NotHandled>,
    done: Vec<Value>,
}

impl Answer {
    pub(crate) fn fine(&mut self, message: Option<&MessageId>) {
        self.batch |= message.is_some();
    }

    /// A message of a queue comes again, and ends in the queue's dead-letter queue. What no queue brought fails the
    /// invocation; the first failure is the one that is told.
    pub(crate) fn failed(&mut self, message: Option<&MessageId>, why: NotHandled) {
        match message {
            Some(message) => {
                self.batch = true;
                self.again.push(message.as_str().to_owned());
            }
            None => {
                self.failure.get_or_insert(why);
            }
        }
    }

    /// A turn, and how the fleet stands after it, where somebody asked.
    pub(crate) fn turned(&mut self, summary: &Summary, view: Option<Value>) {
        let mut answer = serde_json::to_value(summary).unwrap_or_default();
        if let Some(view) = view {
            answer["view"] = view;
        }
        self.done(answer);
    }

    pub(crate) fn done(&mut self, what: Value) {
        self.done.push(what);
    }

    pub(crate) fn finish(mut self) -> Result<Value, NotHandled> {
        if self.batch {
            // Lambda developer guide, "Implementing partial batch responses". A record that has no id cannot be named;
            // failing the whole batch for it would repeat the good ones, and it is logged and counted.
            let again: Vec<Value> = self.again.iter().map(|id| json!({ "itemIdentifier": id })).collect();
            return Ok(json!({ "batchItemFailures": again }));
        }
        match self.failure {
            Some(failure) => Err(failure),
            None if self.done.len() == 1 => Ok(self.done.remove(0)),
            None => Ok(Value::Array(self.done)),
        }
    }
}
