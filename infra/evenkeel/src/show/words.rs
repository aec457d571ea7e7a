//! Numbers and times in words.

use evenkeel_model::Timestamp;

/// `1 host`, `2 hosts`.
pub(crate) fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number: u64 = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How long ago: `4 s`, `12 min`, `3 h`, `2 days`. A clock that is behind is no reason for a negative age.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time of day, in UTC as AWS has it; with the date where that is not today's.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let time = at.strftime("%H:%M:%S");
    if day(at) == day(now) { time.to_string() } else { format!("{} {time}", day(at)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ages_are_said_as_people_say_them() {
        assert_eq!([count(1_u32, "pool"), count(2_u32, "pool")], ["1 pool", "2 pools"]);
        let now: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let ago = |seconds| age(now - std::time::Duration::from_secs(seconds), now);
        assert_eq!([ago(4), ago(130), ago(7_300), ago(200_000)], ["4 s", "2 min", "2 h", "2 days"]);
        assert_eq!(age(now + std::time::Duration::from_secs(3), now), "0 s");
        let at = "2026-01-04T23:59:59Z".parse().unwrap();
        assert_eq!([clock(now, now), clock(at, now)], ["10:00:00", "2026-01-04 23:59:59"]);
    }
}
