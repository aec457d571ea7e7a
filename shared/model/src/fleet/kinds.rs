//! The kinds of single values that a fleet file has.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::field::{Kind, Refused};
use super::limits::{self, Limits};
use super::place::shorten;
use super::tree::Value;
use super::window::{InvalidWindow, Window};
use super::{Wave, words};
use crate::ids::{InvalidId, MetricName};

/// A whole number within a range.
pub(super) fn whole(range: RangeInclusive<u32>) -> Kind<u32> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    Kind::of(expected, move |value| within(&range, value))
}

fn within(range: &RangeInclusive<u32>, value: &Value) -> Option<u32> {
    let number = u32::try_from(value.whole()?).ok()?;
    range.contains(&number).then_some(number)
}

/// A number greater than zero, such as `per_task`.
pub(super) fn positive() -> Kind<f64> {
    Kind::of("a positive number (1e-9 to 1e15)", |value| bounded(value, limits::POSITIVE))
}

/// A part of a target.
pub(super) fn tolerance() -> Kind<f64> {
    Kind::of("a number from 0 to 1, such as 0.1", |value| bounded(value, limits::TOLERANCE))
}

/// A share of the account's API.
pub(super) fn api_share() -> Kind<f64> {
    Kind::of("a number from 0.01 to 1, such as 0.2", |value| bounded(value, limits::API_SHARE))
}

/// Bounds are included; NaN is within none.
fn bounded(value: &Value, (least, most): (f64, f64)) -> Option<f64> {
    value.number().filter(|number| (least..=most).contains(number))
}

pub(super) fn flag() -> Kind<bool> {
    Kind::of("true or false", Value::flag)
}

/// The flag that says that a demand is sent: false would say nothing.
pub(super) fn always_true() -> Kind<bool> {
    Kind::of("true", |value| value.flag().filter(|flag| *flag))
}

/// A text of 1 to `most` characters.
pub(super) fn text(most: usize) -> Kind<String> {
    Kind::of(format!("a text of 1 to {most} characters"), move |value| {
        value.text().filter(|text| (1..=most).contains(&text.chars().count())).map(str::to_owned)
    })
}

/// A typed id.
pub(super) fn id<T: FromStr<Err = InvalidId> + 'static>(expected: &'static str) -> Kind<T> {
    Kind::of(expected, |value| value.text()?.parse().ok())
}

/// `namespace/name` of a CloudWatch metric.
pub(super) fn metric() -> Kind<MetricName> {
    id::<MetricName>("a metric as namespace/name, such as \"AWS/SQS/NumberOfMessagesSent\"").unless(|metric| {
        metric.split().is_none().then(|| {
            format!("expected a metric as namespace/name, found {:?} without one of the two", shorten(metric.as_str()))
        })
    })
}

/// One of a few words.
pub(super) fn choice<T: Copy + 'static>(choices: &'static [(&'static str, T)]) -> Kind<T> {
    let quoted = choices.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>();
    Kind::of(format!("one of {}", quoted.join(", ")), |value| {
        let text = value.text()?;
        choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
    })
}

/// A duration in words, within limits.
pub(super) fn duration(Limits { least, most }: Limits) -> Kind<Duration> {
    let parsed = Kind::of_text("a duration such as \"90s\" or \"10m\"", |text| {
        words::parse(text).map_err(|error| Refused::Because(format!("{error}, found {:?}", shorten(text))))
    });
    parsed.unless(move |duration| {
        let [shown, least_shown, most_shown] = [*duration, least, most].map(words::show);
        if *duration < least {
            Some(format!("{shown} is too short: expected {least_shown} to {most_shown}"))
        } else if *duration > most {
            Some(format!("{shown} is too long: expected {least_shown} to {most_shown}"))
        } else {
            None
        }
    })
}

/// The time between two turns: a schedule that comes once a minute carries it.
pub(super) fn beat() -> Kind<Duration> {
    duration(limits::BEAT).unless(|beat| {
        let divides = Duration::from_secs(60).as_millis().is_multiple_of(beat.as_millis());
        let whole_seconds = beat.subsec_millis() == 0;
        (!divides || !whole_seconds).then(|| {
            let shown = words::show(*beat);
            format!("{shown} is no whole part of a minute: expected 5s, 6s, 10s, 12s, 15s, 20s, 30s or 1m")
        })
    })
}

/// A period that `CloudWatch` accepts (`CloudWatch` API reference, `MetricStat`).
pub(super) fn period() -> Kind<Duration> {
    duration(limits::PERIOD).unless(|period| {
        let seconds = period.as_secs();
        let accepted = period.subsec_millis() == 0 && (matches!(seconds, 1 | 5 | 10 | 20 | 30) || seconds % 60 == 0);
        (!accepted).then(|| {
            let shown = words::show(*period);
            format!("CloudWatch has no period of {shown}: expected 1s, 5s, 10s, 20s, 30s or whole minutes up to 24h")
        })
    })
}

/// A patch window.
pub(super) fn window() -> Kind<Window> {
    Kind::of_text("a window such as \"Sun 02:00-05:00 Europe/London\"", |text| {
        text.parse().map_err(|error: InvalidWindow| Refused::Because(error.to_string()))
    })
}

/// A number of hosts, or a share of them.
pub(super) fn wave() -> Kind<Wave> {
    let expected = format!("a number of hosts from 1 to {}, or a share from \"1%\" to \"100%\"", limits::HOSTS);
    Kind::of(expected, |value| {
        let share = value.text().and_then(words::parse_percent).map(Wave::Percent);
        share.or_else(|| within(&(1..=limits::HOSTS), value).map(Wave::Hosts))
    })
}

/// The name of an SSM parameter, or its ARN.
pub(super) fn parameter_name() -> Kind<String> {
    text(limits::PARAMETER_NAME).unless(|name| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':');
        (!name.chars().all(allowed)).then(|| {
            format!(
                "expected the name of an SSM parameter, such as \"/aws/service/ecs/…/image_id\", found {:?}",
                shorten(name)
            )
        })
    })
}

/// A shell command. A NUL cannot be part of one.
pub(super) fn command() -> Kind<String> {
    text(limits::COMMAND_BYTES)
        .unless(|command| command.contains('\0').then(|| "expected a shell command, found one with a NUL".to_owned()))
}
