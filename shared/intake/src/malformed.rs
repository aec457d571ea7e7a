//! Why an event was refused, and where in it.

use std::fmt;

use evenkeel_model::ids::InvalidId;
use evenkeel_model::trigger::InvalidAmount;

use crate::{MAX_BYTES, MAX_DEPTH, MAX_ITEMS};

/// An event that cannot be used, ever: for the dead-letter queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Malformed {
    /// Where, such as `Records[0].body.detail.instance-id`; empty for the payload as a whole.
    pub place: String,
    /// Why.
    pub reason: Reason,
}

/// Why an event cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason {
    /// More than Lambda delivers.
    #[error("{bytes} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// How many there were.
        bytes: usize,
    },
    /// More events than a batch can hold.
    #[error("more than {MAX_ITEMS} events in one payload; these and the rest were not read")]
    TooMany,
    /// Wrappers in wrappers.
    #[error("wrapped more than {MAX_DEPTH} times")]
    TooDeep,
    /// Not text.
    #[error("not UTF-8 after {valid_up_to} bytes")]
    NotUtf8 {
        /// How many bytes were fine.
        valid_up_to: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("not the JSON that is expected here: {problem}")]
    NotJson {
        /// In the parser's words, cut to 200 characters.
        problem: String,
    },
    /// What the event is about is not in it.
    #[error("missing")]
    Missing,
    /// Another type of JSON value.
    #[error("not {expected}")]
    NotA {
        /// What it should be.
        expected: &'static str,
    },
    /// Text that is not a valid id.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A number that is not a demand.
    #[error(transparent)]
    Amount(#[from] InvalidAmount),
    /// A word that is not one of the known ones.
    #[error("{problem}")]
    NotAWord {
        /// Which word, and which are known, cut to 200 characters.
        problem: String,
    },
    /// A request's time must be exact.
    #[error("{text:?} is not an RFC 3339 time")]
    NotATime {
        /// The refused text, cut to 80 characters.
        text: String,
    },
    /// An ARN of something else, or none at all.
    #[error("{text:?} is not {expected}")]
    NotAnArn {
        /// The refused text, cut to 80 characters.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A request asks for nothing.
    #[error("asks for nothing: one of {verbs} is needed")]
    NoVerb {
        /// The verbs there are.
        verbs: &'static str,
    },
    /// A request asks for several things.
    #[error("asks for {first} and {second}: a request has one verb")]
    SeveralVerbs {
        /// One of them.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
    /// A request with a field that would be ignored.
    #[error("unknown field; allowed here: {allowed}")]
    UnknownField {
        /// The fields that belong to the verb.
        allowed: String,
    },
    /// A request that says the same thing twice, perhaps differently.
    #[error("given twice")]
    Twice,
}

impl Malformed {
    /// The payload as a whole.
    pub(crate) const fn here(reason: Reason) -> Self {
        Self { place: String::new(), reason }
    }

    /// One field.
    pub(crate) fn at(place: &str, reason: impl Into<Reason>) -> Self {
        Self { place: place.to_owned(), reason: reason.into() }
    }

    /// The same problem, seen from one level further out.
    pub(crate) fn inside(self, outer: &str) -> Self {
        let Self { place, reason } = self;
        let place = match (outer.is_empty(), place.is_empty()) {
            (true, _) => place,
            (_, true) => outer.to_owned(),
            (false, false) => format!("{outer}.{place}"),
        };
        Self { place, reason }
    }
}

impl Reason {
    pub(crate) fn not_json(problem: &serde_json::Error) -> Self {
        Self::NotJson { problem: problem.to_string().chars().take(200).collect() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, reason } = self;
        match place.as_str() {
            "" => write!(f, "payload: {reason}"),
            place => write!(f, "{place}: {reason}"),
        }
    }
}

impl std::error::Error for Malformed {}
