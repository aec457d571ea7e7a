//! Spot files: how many instances a market gave over time.
//!
//! Two forms are read: `{"metadata":{"gap_seconds":N},"data":[...]}` with the number at each tick (skypilot-org/spot-traces),
//! and lines `time_ms,add|remove,node` (uclasystem/bamboo).

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::clock::{Ms, SECOND};

/// Ticks or lines of a file; the longest published trace has some tens of thousands.
const MOST: usize = 1_000_000;
/// Nothing goes on for longer than this: ten years.
const LONGEST: Ms = 10 * 366 * 24 * 3_600 * SECOND;
/// Ticks are as many seconds apart as this at least; markets do not change more often.
const SHORTEST_GAP: f64 = 1.0;

/// How many instances there are, from each moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Moments in order, each with a number that differs from the one before; the first is at 0.
    steps: Vec<(Ms, u32)>,
    /// How long the file goes on.
    length: Ms,
}

/// Why a spot file is not usable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TraceError {
    /// Neither form.
    #[error("expected {{\"metadata\":{{\"gap_seconds\":N}},\"data\":[...]}}, or lines of time_ms,add|remove,node")]
    Form,
    /// The JSON is not as it should be.
    #[error("not a spot trace: {0}")]
    Json(String),
    /// A line is not as it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// It goes on for too long, or has too much in it.
    #[error("{0}")]
    TooMuch(String),
    /// There never was an instance.
    #[error("there never was an instance in it")]
    Empty,
}

#[derive(Deserialize)]
struct Ticks {
    metadata: Metadata,
    data: Vec<u32>,
}

#[derive(Deserialize)]
struct Metadata {
    gap_seconds: f64,
}

impl Trace {
    /// Reads either form.
    ///
    /// # Errors
    /// [`TraceError`] with the place.
    pub fn read(text: &str) -> Result<Self, TraceError> {
        let trace = match text.trim_start().chars().next() {
            Some('{') => Self::ticks(text)?,
            Some(first) if first.is_ascii_digit() || first.is_ascii_alphabetic() => Self::lines(text)?,
            Some(_) | None => return Err(TraceError::Form),
        };
        if trace.most() == 0 { Err(TraceError::Empty) } else { Ok(trace) }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive and small")]
    fn ticks(text: &str) -> Result<Self, TraceError> {
        let Ticks { metadata, data } =
            serde_json::from_str(text).map_err(|error| TraceError::Json(error.to_string()))?;
        let gap = metadata.gap_seconds;
        if !(SHORTEST_GAP..=86_400.0).contains(&gap) {
            return Err(TraceError::Json(format!("gap_seconds is {gap}, expected at least 1 and at most a day")));
        }
        if data.len() > MOST {
            return Err(TraceError::TooMuch(format!("{} ticks, expected at most {MOST}", data.len())));
        }
        let gap = (gap * 1_000.0).round() as Ms;
        let count = data.len() as Ms;
        if count * gap > LONGEST {
            return Err(TraceError::TooMuch(format!("{count} ticks of {gap} ms are more than ten years")));
        }
        Ok(Self::of((0..).map(|tick: Ms| tick * gap).zip(data), count * gap))
    }

    fn lines(text: &str) -> Result<Self, TraceError> {
        let mut there: BTreeSet<&str> = BTreeSet::new();
        let mut counts: Vec<(Ms, u32)> = vec![(0, 0)];
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |problem: &str| TraceError::Line { line: index + 1, problem: problem.to_owned() };
            let parts: Vec<&str> = line.split(',').map(str::trim).collect();
            let [time, what, node] = parts[..] else { return Err(wrong("expected time_ms,add|remove,node")) };
            let Ok(at) = time.parse::<Ms>() else {
                if index == 0 {
                    continue; // a header
                }
                return Err(wrong("the time is not a whole number of milliseconds"));
            };
            if at > LONGEST {
                return Err(wrong("the time is more than ten years after the begin"));
            }
            if counts.len() > MOST {
                return Err(TraceError::TooMuch(format!("more than {MOST} lines")));
            }
            if counts.last().is_some_and(|(last, _)| at < *last) {
                return Err(wrong("the time goes back"));
            }
            match what {
                "add" => there.insert(node),
                "remove" => there.remove(node),
                _ => return Err(wrong("expected add or remove")),
            };
            counts.push((at, u32::try_from(there.len()).unwrap_or(u32::MAX)));
        }
        let length = counts.last().map_or(0, |(at, _)| *at);
        Ok(Self::of(counts.into_iter(), length))
    }

    fn of(counts: impl Iterator<Item = (Ms, u32)>, length: Ms) -> Self {
        let mut steps: Vec<(Ms, u32)> = Vec::new();
        for (at, count) in counts {
            // Several lines of one moment are one change.
            if steps.last().is_some_and(|(last, _)| *last == at) {
                steps.pop();
            }
            if steps.last().is_none_or(|(_, last)| *last != count) {
                steps.push((at, count));
            }
        }
        Self { steps, length: length.max(SECOND) }
    }

    /// The most there ever were.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.steps.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// The same course with this maximum.
    #[must_use]
    pub fn scaled_to(&self, most: u32) -> Self {
        let own = u64::from(self.most().max(1));
        let scale = |count: u32| u32::try_from((u64::from(count) * u64::from(most) + own / 2) / own).unwrap_or(most);
        Self::of(self.steps.iter().map(|(at, count)| (*at, scale(*count))), self.length)
    }

    /// How many there are at `now`; the last number goes on after the file's end.
    #[must_use]
    pub fn at(&self, now: Ms) -> u32 {
        let after = self.steps.partition_point(|(at, _)| *at <= now);
        after.checked_sub(1).map_or(0, |index| self.steps[index].1)
    }

    /// When the number changes next.
    #[must_use]
    pub fn next_after(&self, now: Ms) -> Option<Ms> {
        self.steps.get(self.steps.partition_point(|(at, _)| *at <= now)).map(|(at, _)| *at)
    }

    /// How long the file goes on, in milliseconds.
    #[must_use]
    pub const fn length(&self) -> Ms {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let ticks = Trace::read(r#"{"metadata":{"gap_seconds":2},"data":[0,1,1,2,0]}"#);
        let lines = Trace::read("time_ms,what,node\n2000,add,a\n6000,add,b\n8000,remove,a\n8000,remove,b\n");
        let (ticks, lines) = (ticks.map(|trace| trace.steps), lines.map(|trace| trace.steps));
        assert_eq!(ticks, Ok(vec![(0, 0), (2_000, 1), (6_000, 2), (8_000, 0)]));
        assert_eq!(ticks, lines);
    }

    #[test]
    fn it_is_scaled_to_the_pool() {
        let trace = Trace::read(r#"{"metadata":{"gap_seconds":1},"data":[4,3,1,0]}"#).map(|trace| trace.scaled_to(2));
        let seen = trace.map(|trace| [0, 1_000, 2_000, 3_000, 9_000].map(|now| trace.at(now)));
        assert_eq!(seen, Ok([2, 2, 1, 0, 0]), "three of four round up to two of two");
    }

    #[test]
    fn bad_files_are_refused_with_the_place() {
        let problem = |text: &str| Trace::read(text).map_err(|error| error.to_string());
        assert!(matches!(problem(""), Err(text) if text.contains("expected")));
        assert!(matches!(problem("1,add,a\n0,add,b"), Err(text) if text.starts_with("line 2")));
        assert!(matches!(problem("1,jump,a"), Err(text) if text.contains("add or remove")));
        assert!(
            matches!(problem(r#"{"metadata":{"gap_seconds":0},"data":[1]}"#), Err(text) if text.contains("gap_seconds"))
        );
        assert_eq!(Trace::read(r#"{"metadata":{"gap_seconds":1},"data":[0]}"#), Err(TraceError::Empty));
    }

    #[test]
    fn odd_gaps_and_times_and_endless_files_are_refused() {
        let problem =
            |text: &str| Trace::read(text).map(|_| "read".to_owned()).unwrap_or_else(|error| error.to_string());
        let ticks = |gap: &str| problem(&format!(r#"{{"metadata":{{"gap_seconds":{gap}}},"data":[1,2,1]}}"#));
        for gap in ["1e-9", "0", "0.999", "-1", "-1e300", "86401", "1e300"] {
            assert!(ticks(gap).contains("expected at least 1 and at most a day"), "{gap}: {}", ticks(gap));
        }
        for gap in ["NaN", "1e999", "Infinity", "\"1\"", "null"] {
            assert!(ticks(gap).starts_with("not a spot trace"), "{gap}: {}", ticks(gap));
        }
        assert_eq!((ticks("1").as_str(), ticks("86400").as_str()), ("read", "read"));
        let many = |count: usize, gap: u32| {
            let data = vec!["1"; count].join(",");
            problem(&format!(r#"{{"metadata":{{"gap_seconds":{gap}}},"data":[{data}]}}"#))
        };
        assert!(many(4_000, 86_400).contains("more than ten years"));
        assert!(many(MOST + 1, 1).contains("expected at most 1000000"));
        assert!(problem("0,add,a\n18446744073709551615,add,b").contains("line 2: the time is more than ten years"));
        for time in ["18446744073709551616", "-1", "1.5", "NaN"] {
            assert!(problem(&format!("0,add,a\n{time},add,b")).contains("line 2: the time is not a whole"), "{time}");
        }
        let lines = |count: usize| -> String { (0..count).map(|at| format!("{at},add,n{}\n", at % 500)).collect() };
        assert_eq!(problem(&lines(MOST)), "read");
        assert!(problem(&lines(MOST + 2)).contains("more than 1000000 lines"));
    }
}
