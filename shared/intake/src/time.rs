//! The times that AWS writes.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// Longer text is no time; the longest format has 33 characters.
const MAX_CHARS: usize = 64;

/// A wrong weekday is forgiven: AWS's own documentation has a Saturday that was a Sunday.
const RFC_1123: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);

/// Reads a time in any format that AWS sends; `None` for the empty text, for placeholders such as
/// `yyyy-mm-ddThh:mm:ssZ`, and for anything else.
///
/// - RFC 3339, `2026-01-05T00:00:10Z`: EventBridge, ECS, Auto Scaling
/// - the same with an offset without a colon, `2026-01-05T00:00:10.123+0000`: CloudWatch alarms
/// - RFC 1123, `Mon, 05 Jan 2026 00:00:10 GMT`: AWS Health
/// - Java's own, `Mon Jan 05 00:00:10.123 UTC 2026`: Inspector
pub(crate) fn lenient(text: &str) -> Option<Timestamp> {
    if text.len() > MAX_CHARS {
        return None;
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    RFC_1123.parse_timestamp(text).ok().or_else(|| java(text))
}

fn java(text: &str) -> Option<Timestamp> {
    let (_weekday, rest) = text.split_once(' ')?;
    let moment = DateTime::strptime("%b %d %H:%M:%S%.f UTC %Y", rest).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_aws_is_the_same_moment() {
        let moment = "2026-01-05T00:00:10Z".parse().ok();
        for text in [
            "2026-01-05T00:00:10Z",
            "2026-01-05T00:00:10.000+0000",
            "2026-01-05T00:00:10.0Z",
            "2026-01-05T01:00:10+01:00",
            "2026-01-04T19:00:10.000-0500",
            "Mon, 05 Jan 2026 00:00:10 GMT",
            "Mon, 5 Jan 2026 00:00:10 GMT",
            "Fri, 05 Jan 2026 00:00:10 GMT",
            "Mon Jan 05 00:00:10.000 UTC 2026",
            "Mon Jan 05 00:00:10 UTC 2026",
        ] {
            assert_eq!(lenient(text), moment, "{text}");
        }
    }

    #[test]
    fn fractions_are_kept() {
        assert_eq!(lenient("2026-01-05T00:00:10.960+0000"), "2026-01-05T00:00:10.96Z".parse().ok());
        assert_eq!(lenient("Mon Jan 05 00:00:10.356 UTC 2026"), "2026-01-05T00:00:10.356Z".parse().ok());
    }

    #[test]
    fn what_is_no_time_is_unknown() {
        for text in ["", "yyyy-mm-ddThh:mm:ssZ", "now", "2026-01-05", "2026-02-30T00:00:00Z", "1767571210", "é", " "] {
            assert_eq!(lenient(text), None, "{text:?}");
        }
        assert_eq!(lenient(&"2".repeat(100_000)), None);
    }
}
