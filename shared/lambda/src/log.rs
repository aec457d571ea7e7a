//! Log lines: JSON, one summary for each turn, and metrics in CloudWatch's embedded format beside it.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use evenkeel_model::Timestamp;
use evenkeel_model::decision::Outcome;
use evenkeel_turn::Summary;
use serde_json::{Value, json};

/// The namespace of the metrics.
const NAMESPACE: &str = "EvenKeel";

/// A line is cut into pieces that are no JSON beyond 256 KB (AWS Lambda developer guide, "Lambda quotas"); the table has all
/// decisions.
const MOST_ENTRIES: usize = 200;

/// What is counted of an invocation besides its turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that say nothing to us.
    pub unknown: u64,
    /// Events that cannot be used.
    pub malformed: u64,
    /// Triggers that could not be handled.
    pub failed: u64,
}

/// Where log lines go.
pub trait Log: Sync {
    /// Takes one line.
    fn line(&self, line: &Value);

    /// A turn's metrics and its summary. Only what happened is a metric: each costs by the hour in which it is written
    /// (CloudWatch pricing, custom metrics), and Lambda counts invocations and their time for nothing.
    fn turn(&self, summary: &Summary, took: Duration, now: Timestamp) {
        let failed = |outcome: &Outcome| match outcome {
            Outcome::Failed(_) => true,
            Outcome::Undone | Outcome::Done | Outcome::Left(_) | Outcome::Would => false,
        };
        let steps = summary.decisions.len();
        let failed = summary.decisions.iter().filter(|decision| failed(&decision.outcome)).count();
        let short: u64 = summary.report.shortfall.iter().map(|shortfall| u64::from(shortfall.tasks)).sum();
        let counts = [
            ("Handed over", u64::from(!summary.held)),
            ("Steps", steps as u64),
            ("Failed steps", failed as u64),
            ("Short tasks", short),
            ("Not shown", u64::from(summary.not_shown.is_some())),
            ("Not woken", u64::from(summary.not_woken.is_some())),
            ("Fleet file refused", u64::from(summary.fleet_file_refused.is_some())),
        ];
        let values: Vec<(&str, Value, &str)> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, json!(count), "Count"))
            .collect();
        if !values.is_empty() {
            let dimensions = [("Fleet", summary.fleet.to_string()), ("Function", summary.function.to_string())];
            self.line(&embedded(&dimensions, &values, now));
        }
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut turn = json!(summary);
        shorten(&mut turn["decisions"]);
        shorten(&mut turn["report"]["waits"]);
        self.line(&json!({ "at": now, "level": "INFO", "message": "turn", "milliseconds": took, "turn": turn }));
    }

    /// What was answered without a turn.
    fn answer(&self, function: &str, answer: &Value) {
        self.line(&json!({ "level": "INFO", "function": function, "message": "answer", "answer": answer }));
    }

    /// An invocation's counts, where there are any.
    fn counts(&self, function: &str, counts: &Counts, now: Timestamp) {
        let Counts { unknown, malformed, failed } = *counts;
        let values = [
            ("Unknown events", json!(unknown), "Count"),
            ("Malformed events", json!(malformed), "Count"),
            ("Failures", json!(failed), "Count"),
        ];
        if unknown + malformed + failed > 0 {
            self.line(&embedded(&[("Function", function.to_string())], &values, now));
        }
    }

    /// Something that somebody may look for.
    fn note(&self, function: &str, message: &str, detail: &str) {
        self.line(&json!({ "level": "WARN", "function": function, "message": message, "detail": detail }));
    }
}

/// Leaves out all entries but the first, and counts the others in the last.
fn shorten(list: &mut Value) {
    let Some(list) = list.as_array_mut() else { return };
    let more = list.len().saturating_sub(MOST_ENTRIES);
    if more > 0 {
        list.truncate(MOST_ENTRIES);
        list.push(json!({ "more": more }));
    }
}

/// The standard output, which Lambda sends to the function's log group.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Log for Stdout {
    fn line(&self, line: &Value) {
        // A line that cannot be written has nowhere to be reported.
        let _lost = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// CloudWatch user guide, "Embedded metric format specification".
fn embedded(dimensions: &[(&str, String)], values: &[(&str, Value, &str)], now: Timestamp) -> Value {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<Value> = values.iter().map(|(name, _, unit)| json!({ "Name": name, "Unit": unit })).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": metrics }],
        },
    });
    for (name, value) in dimensions {
        line[*name] = json!(value);
    }
    for (name, value, _) in values {
        line[*name] = value.clone();
    }
    line
}

/// An error with all that led to it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
