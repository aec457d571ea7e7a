//! Durations and shares as words: `"90s"`, `"10m"`, `"1h 30m"`, `"10%"`.
//!
//! For durations this is also the module for `#[serde(with = "words")]`.

use std::borrow::Cow;
use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a number with a unit.
    #[error("expected a duration such as \"90s\" or \"10m\"")]
    Shape,
    /// A number without its unit.
    #[error("expected a duration with its unit, such as \"90s\" or \"10m\"")]
    NoUnit,
    /// Below zero.
    #[error("a duration cannot be negative: expected one such as \"90s\" or \"10m\"")]
    Negative,
    /// Days, weeks, months or years.
    #[error("days and longer units differ in length: expected hours, minutes or seconds, such as \"24h\"")]
    CalendarUnit,
    /// A part of a millisecond.
    #[error("expected whole milliseconds, such as \"500ms\"")]
    TooFine,
    /// More than 2^64 seconds.
    #[error("the number is too large for a duration")]
    TooLarge,
}

/// The characters of a duration. Colons (`1:30`) are left out: is that hours or minutes?
const PATTERN: &str = "^[0-9][A-Za-z0-9., ]*$";

/// Reads `"90s"`, `"10m"`, `"1h 30m"`, `"1.5 hours"`; whole milliseconds only.
///
/// # Errors
/// [`InvalidDuration`] for anything else: no unit, a sign, days or longer, parts of a millisecond.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    if text.starts_with('-') || text.ends_with("ago") {
        return Err(InvalidDuration::Negative);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | ' ');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(allowed) {
        return Err(InvalidDuration::Shape);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(InvalidDuration::NoUnit);
    }
    let duration = SpanParser::new().parse_unsigned_duration(text).map_err(|_| refusal(text))?;
    let whole_milliseconds = duration.subsec_nanos() % 1_000_000 == 0;
    if whole_milliseconds { Ok(duration) } else { Err(InvalidDuration::TooFine) }
}

/// Why the parser refused a text of the right characters. Its own words are about its API, not about a fleet file.
fn refusal(text: &str) -> InvalidDuration {
    // Spans know days to years, so what only a span can hold has one of these units.
    match SpanParser::new().parse_span(text) {
        Ok(_) => InvalidDuration::CalendarUnit,
        Err(_) if text.bytes().filter(u8::is_ascii_digit).count() > 15 => InvalidDuration::TooLarge,
        Err(_) => InvalidDuration::Shape,
    }
}

/// The words for a duration: `1h 30m`, `1m 30s`, `500ms`.
#[must_use]
pub fn show(duration: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// Writes a duration as words.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

/// Reads a duration from words.
///
/// # Errors
/// Those of the deserializer, and [`InvalidDuration`] as a custom one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

/// The JSON schema of a duration.
#[must_use]
pub fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": PATTERN, "examples": ["90s", "10m", "1h 30m"] })
}

/// Reads a share such as `"10%"`: 1 to 100, without leading zeros.
pub(crate) fn parse_percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|share| (1..=100).contains(share))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's serialize_with passes a reference")]
pub(crate) fn percent<S: Serializer>(share: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    format!("{share}%").serialize(serializer)
}

pub(crate) fn percent_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([1-9][0-9]?|100)%$", "examples": ["10%"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_words() {
        // Words, and the milliseconds that they mean.
        let cases = [
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1.5 hours", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("24h", 86_400_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        use InvalidDuration::{CalendarUnit, Negative, NoUnit, Shape, TooFine, TooLarge};
        let cases = [
            ("", Shape),
            ("soon", Shape),
            ("1:30:00", Shape),
            (" 90s", Shape),
            ("90 s\u{0}", Shape),
            ("5m 1h", Shape),
            ("5 parsecs", Shape),
            ("90", NoUnit),
            ("1.5", NoUnit),
            ("-5s", Negative),
            ("5s ago", Negative),
            ("2 days", CalendarUnit),
            ("1mo", CalendarUnit),
            ("1y 2h", CalendarUnit),
            ("500us", TooFine),
            ("0.0001s", TooFine),
            ("99999999999999999999h", TooLarge),
        ];
        for (text, reason) in cases {
            assert_eq!(parse(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for milliseconds in [0, 1, 999, 1_000, 61_001, 90_000, 3_600_000, 5_400_000, 172_800_000, 86_399_999] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse(&show(duration)), Ok(duration), "{}", show(duration));
        }
    }

    #[test]
    fn shares_are_words() {
        assert_eq!(["1%", "10%", "100%"].map(parse_percent), [Some(1), Some(10), Some(100)]);
        for bad in ["0%", "101%", "10", "%", "-1%", "+5%", "05%", "1.5%", "99999999999%", "10 %"] {
            assert_eq!(parse_percent(bad), None, "{bad:?}");
        }
    }
}
