//! Decisions, one to a line.

use serde_json::{Value, json};

use super::table::{BAD, FAINT, ODD, paint};
use super::words::clock;
use crate::account::Recorded;
use evenkeel_model::Timestamp;

/// When, who, and what for which reason.
pub(crate) fn line(one: &Recorded, now: Timestamp) -> String {
    let text = one.text();
    let text = if one.went_well() { text } else { paint(if one.is_open() { ODD } else { BAD }, text) };
    format!("{}  {:10}  {text}", paint(FAINT, clock(one.at, now)), one.function())
}

/// The same for machines: as it is stored, with its sentence.
pub(crate) fn for_machines(one: &Recorded) -> Value {
    let mut value = one.raw.clone();
    match value.as_object_mut() {
        Some(fields) => {
            fields.insert("text".to_owned(), Value::from(one.text()));
            value
        }
        None => json!({ "text": one.text() }),
    }
}
