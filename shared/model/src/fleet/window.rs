//! Patch windows: days, hours and a zone, such as `Sun 02:00-05:00 Europe/London`.
//!
//! A window belongs to the day on which it opens: `Fri 22:00-04:00` closes on Saturday. It opens and closes once a day
//! also when the clocks change: a time that comes twice means the first of the two, and a time that is skipped means the
//! moment of the change. The zones are those bundled with the program, so that every machine computes the same.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// Days of the week, from-to in wall-clock time, and the zone whose wall clock is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Window {
    days: Days,
    from: Minute,
    to: Minute,
    zone: TimeZone,
}

/// Why a text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// Not three parts.
    #[error("expected days, hours and a zone, such as \"Sun 02:00-05:00 Europe/London\"")]
    Shape,
    /// A day that is none.
    #[error("{0:?} is not a day: expected days such as Sun, Mon-Fri, Sat,Sun or daily")]
    Day(String),
    /// Hours that are none.
    #[error("{0:?} are not hours: expected from-to such as 02:00-05:00, from 00:00 to 24:00")]
    Hours(String),
    /// Opens and closes at the same time.
    #[error("the window closes when it opens: expected two different times, or 00:00-24:00 for whole days")]
    Empty,
    /// A zone that the tz database does not have.
    #[error("{text:?} is not a time zone: {}", did_you_mean(nearest.as_deref()))]
    Zone {
        /// The text.
        text: String,
        /// A zone whose name is close.
        nearest: Option<String>,
    },
}

impl Window {
    /// Whether the window is open.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.closes(at).is_some()
    }

    /// When the window that is open at `at` closes; `None` while it is closed.
    #[must_use]
    pub fn closes(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(at).date();
        // Yesterday's window may reach past midnight, and a clock that is set back over midnight opens tomorrow's today.
        let dates = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        let mut open = dates.into_iter().flatten().filter_map(|date| self.opened_on(date));
        open.find(|(opens, closes)| *opens <= at && at < *closes).map(|(_, closes)| closes)
    }

    /// The first moment after `after` at which the window opens; `None` at the end of the calendar only.
    #[must_use]
    pub fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        // A window opens at least every week, unless a clock change swallows it: then a week later.
        const DAYS_AHEAD: usize = 15;
        let yesterday = self.zone.to_datetime(after).date().yesterday().ok()?;
        let dates = yesterday.series(1.day()).take(1 + DAYS_AHEAD);
        dates.filter_map(|date| self.opened_on(date)).map(|(opens, _)| opens).find(|opens| *opens > after)
    }

    /// The window of one date: its opening and its close. `None` on other days, and where a clock change skips all of it.
    fn opened_on(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.has(date) {
            return None;
        }
        let last_date = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        let opens = self.moment(self.from.on(date)?)?;
        let closes = self.moment(self.to.on(last_date)?)?;
        (opens < closes).then_some((opens, closes))
    }

    /// The moment at which a wall clock of the zone shows `wall`.
    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset after the change, a skipped time is a moment before the change.
                let earlier = after.to_timestamp(wall).ok()?;
                self.zone.following(earlier).next().map(|change| change.timestamp())
            }
        }
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let mut parts = text.split(' ');
        let (Some(days), Some(hours), Some(zone), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidWindow::Shape);
        };
        let days = Days::parse(days)?;
        let bad_hours = || InvalidWindow::Hours(super::place::shorten(hours));
        let (from, to) = hours.split_once('-').ok_or_else(bad_hours)?;
        let from = Minute::parse(from).filter(|from| *from < Minute::DAY_END).ok_or_else(bad_hours)?;
        let to = Minute::parse(to).ok_or_else(bad_hours)?;
        if from == to {
            return Err(InvalidWindow::Empty);
        }
        Ok(Self { days, from, to, zone: parse_zone(zone)? })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, from, to, zone } = self;
        // `parse_zone` lets no zone without a name in.
        write!(f, "{days} {from}-{to} {}", zone.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Window {
    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Za-z,-]+ [0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2} [A-Za-z0-9/_+-]+$",
            "description": "Days, hours and a time zone; hours past midnight belong to the day on which they begin.",
            "examples": ["Sun 02:00-05:00 Europe/London", "Mon-Fri 22:00-04:00 UTC", "daily 00:00-24:00 UTC"],
        })
    }
}

fn parse_zone(text: &str) -> Result<TimeZone, InvalidWindow> {
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(text)
        && zone.iana_name().is_some()
    {
        return Ok(zone);
    }
    let names = database.available().map(|name| name.to_string()).collect::<Vec<_>>();
    let nearest = super::nearest::nearest(text, names.iter().map(String::as_str)).map(str::to_owned);
    Err(InvalidWindow::Zone { text: super::place::shorten(text), nearest })
}

fn did_you_mean(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean {name:?}?"),
        None => "expected a name of the tz database, such as Europe/London or UTC".to_owned(),
    }
}

/// A minute of the day, 0 to 1,440.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Minute(i16);

impl Minute {
    const DAY_END: Self = Self(24 * 60);

    /// `HH:MM`, up to 24:00.
    fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !two_digits(hour) || !two_digits(minute) {
            return None;
        }
        let (hour, minute) = (hour.parse::<i16>().ok()?, minute.parse::<i16>().ok()?);
        let parsed = Self(hour * 60 + minute);
        (minute < 60 && parsed <= Self::DAY_END).then_some(parsed)
    }

    /// This time on a date; 24:00 is the next day's midnight.
    fn on(self, date: Date) -> Option<DateTime> {
        if self == Self::DAY_END {
            return Some(date.tomorrow().ok()?.at(0, 0, 0, 0));
        }
        let (hour, minute) = (i8::try_from(self.0 / 60).ok()?, i8::try_from(self.0 % 60).ok()?);
        Some(date.at(hour, minute, 0, 0))
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A set of weekdays, Monday first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days([bool; 7]);

const DAY_NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Days {
    fn has(self, date: Date) -> bool {
        let monday_first = date.weekday().to_monday_zero_offset();
        usize::try_from(monday_first).is_ok_and(|day| self.0[day])
    }

    /// `daily`, or days and ranges of days with commas; a range may reach over the weekend (`Fri-Mon`).
    fn parse(text: &str) -> Result<Self, InvalidWindow> {
        if text.eq_ignore_ascii_case("daily") {
            return Ok(Self([true; 7]));
        }
        let mut days = [false; 7];
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (mut day, last) = (Self::index(first)?, Self::index(last)?);
            days[day] = true;
            while day != last {
                day = (day + 1) % 7;
                days[day] = true;
            }
        }
        Ok(Self(days))
    }

    fn index(text: &str) -> Result<usize, InvalidWindow> {
        let named = DAY_NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
        named.ok_or_else(|| InvalidWindow::Day(super::place::shorten(text)))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == [true; 7] {
            return f.write_str("daily");
        }
        let mut words = Vec::new();
        let mut first = 0;
        while first < 7 {
            let length = self.0[first..].iter().take_while(|day| **day).count();
            match length {
                0 => {}
                1 | 2 => words.extend(DAY_NAMES[first..first + length].iter().map(ToString::to_string)),
                _ => words.push(format!("{}-{}", DAY_NAMES[first], DAY_NAMES[first + length - 1])),
            }
            first += length + 1;
        }
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    /// The openings and closes that follow `after`, as a person would list them.
    fn listed(text: &str, after: &str, count: usize) -> Vec<String> {
        let (window, mut now) = (window(text), moment(after));
        let mut list = Vec::new();
        for _ in 0..count {
            now = window.next_start(now).expect("a window opens again");
            list.push(format!("{now} {}", window.closes(now).expect("it is open")));
        }
        list
    }

    #[test]
    fn a_window_is_shown_as_it_is_written() {
        for text in [
            "Sun 02:00-05:00 Europe/London",
            "Mon-Fri 22:00-04:00 UTC",
            "Sat,Sun 00:00-24:00 America/New_York",
            "Mon,Wed,Fri-Sun 01:30-01:45 Asia/Kolkata",
            "daily 23:00-00:00 UTC",
        ] {
            assert_eq!(window(text).to_string(), text);
        }
        assert_eq!(window("fri-mon 02:00-05:00 europe/london").to_string(), "Mon,Fri-Sun 02:00-05:00 Europe/London");
        assert_eq!(window("Mon-Sun 02:00-05:00 UTC"), window("daily 02:00-05:00 UTC"));
    }

    #[test]
    fn what_is_no_window_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "expected days, hours and a zone, such as \"Sun 02:00-05:00 Europe/London\""),
            ("Sun 02:00-05:00", "expected days, hours and a zone, such as \"Sun 02:00-05:00 Europe/London\""),
            ("Sunday 02:00-05:00 UTC", "\"Sunday\" is not a day: expected days such as Sun, Mon-Fri, Sat,Sun or daily"),
            ("Sat, 02:00-05:00 UTC", "\"\" is not a day: expected days such as Sun, Mon-Fri, Sat,Sun or daily"),
            (
                "Sun 2:00-5:00 UTC",
                "\"2:00-5:00\" are not hours: expected from-to such as 02:00-05:00, from 00:00 to 24:00",
            ),
            (
                "Sun 24:00-05:00 UTC",
                "\"24:00-05:00\" are not hours: expected from-to such as 02:00-05:00, from 00:00 to 24:00",
            ),
            (
                "Sun 02:60-05:00 UTC",
                "\"02:60-05:00\" are not hours: expected from-to such as 02:00-05:00, from 00:00 to 24:00",
            ),
            (
                "Sun 02:00-02:00 UTC",
                "the window closes when it opens: expected two different times, or 00:00-24:00 for whole days",
            ),
            ("Sun 02:00-05:00 Europe/Londn", "\"Europe/Londn\" is not a time zone: did you mean \"Europe/London\"?"),
            (
                "Sun 02:00-05:00 Atlantis",
                "\"Atlantis\" is not a time zone: expected a name of the tz database, such as Europe/London or UTC",
            ),
        ] {
            assert_eq!(text.parse::<Window>().expect_err(text).to_string(), reason, "{text:?}");
        }
    }

    #[test]
    fn the_opening_belongs_to_the_window_and_the_close_does_not() {
        let window = window("Sun 02:00-05:00 UTC");
        let open = ["2026-11-22T01:59:59Z", "2026-11-22T02:00:00Z", "2026-11-22T04:59:59Z", "2026-11-22T05:00:00Z"]
            .map(|at| window.contains(moment(at)));
        assert_eq!(open, [false, true, true, false]);
        assert!(!window.contains(moment("2026-11-23T03:00:00Z")), "Monday");
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_opens_on() {
        let window = window("Fri 22:00-04:00 UTC");
        let open = ["2026-11-27T03:00:00Z", "2026-11-27T22:00:00Z", "2026-11-28T03:59:00Z", "2026-11-28T22:00:00Z"]
            .map(|at| window.contains(moment(at)));
        assert_eq!(open, [false, true, true, false]);
    }

    #[test]
    fn hours_follow_the_wall_clock_through_the_year() {
        // London goes from UTC+0 to UTC+1 on Sunday 2027-03-28 at 01:00 UTC.
        assert_eq!(
            listed("Sun 02:00-05:00 Europe/London", "2027-03-20T00:00:00Z", 3),
            [
                "2027-03-21T02:00:00Z 2027-03-21T05:00:00Z",
                "2027-03-28T01:00:00Z 2027-03-28T04:00:00Z",
                "2027-04-04T01:00:00Z 2027-04-04T04:00:00Z",
            ]
        );
    }

    #[test]
    fn a_skipped_hour_means_the_moment_of_the_change() {
        // 01:00 to 02:00 does not exist in London on 2027-03-28: the window is an hour short, or is left out that day.
        assert_eq!(
            listed("Sun 01:30-03:00 Europe/London", "2027-03-27T00:00:00Z", 1),
            ["2027-03-28T01:00:00Z 2027-03-28T02:00:00Z"]
        );
        assert_eq!(
            listed("Sun 01:15-01:45 Europe/London", "2027-03-27T00:00:00Z", 1),
            ["2027-04-04T00:15:00Z 2027-04-04T00:45:00Z"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_opens_the_window_once() {
        // 01:00 to 02:00 comes twice in London on 2026-10-25, first at UTC+1.
        assert_eq!(
            listed("daily 01:15-01:45 Europe/London", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:15:00Z 2026-10-25T00:45:00Z", "2026-10-26T01:15:00Z 2026-10-26T01:45:00Z"]
        );
        // A window over the change is an hour longer.
        assert_eq!(
            listed("Sat 23:00-03:00 Europe/London", "2026-10-24T12:00:00Z", 1),
            ["2026-10-24T22:00:00Z 2026-10-25T03:00:00Z"]
        );
    }

    #[test]
    fn the_next_start_is_after_the_given_moment_even_within_a_window() {
        let window = window("daily 02:00-05:00 UTC");
        let next = ["2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z", "2026-11-22T03:00:00Z"]
            .map(|after| window.next_start(moment(after)).expect("it opens daily").to_string());
        assert_eq!(next, ["2026-11-22T02:00:00Z", "2026-11-23T02:00:00Z", "2026-11-23T02:00:00Z"]);
        assert_eq!(window.next_start(Timestamp::MAX), None);
    }
}
