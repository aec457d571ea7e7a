//! What an invocation answers.

use evenkeel_intake::MessageId;
use evenkeel_model::trigger::Request;
use evenkeel_turn::Summary;
use serde_json::{Value, json};

use crate::not_handled::NotHandled;
use crate::says;

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

    /// A turn; where somebody asked for it, in sentences too, and how the fleet stands after it.
    pub(crate) fn turned(&mut self, summary: &Summary, asked: Option<(&Request, Option<Value>)>) {
        let mut answer = serde_json::to_value(summary).unwrap_or_default();
        if let Some((request, view)) = asked {
            answer["says"] = says::of_turn(request, summary).into();
            if let Some(because) = says::refusal(summary) {
                answer["refused"] = because.into();
            }
            if let Some(view) = view {
                answer["view"] = says::brief(view);
            }
        }
        self.done(answer);
    }

    pub(crate) fn done(&mut self, what: Value) {
        self.done.push(what);
    }

    pub(crate) fn finish(self) -> Result<Value, NotHandled> {
        if self.batch {
            // Lambda developer guide, "Implementing partial batch responses". A record that has no id cannot be named;
            // failing the whole batch for it would repeat the good ones, and it is logged and counted.
            let again: Vec<Value> = self.again.iter().map(|id| json!({ "itemIdentifier": id })).collect();
            return Ok(json!({ "batchItemFailures": again }));
        }
        match self.failure {
            Some(failure) => Err(failure),
            // One shape, however many fleets there are.
            None => Ok(json!({ "answers": self.done })),
        }
    }
}
