//! What services have to do over time: series from files, and the random generator.

mod file;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use evenkeel_model::ServiceName;
use evenkeel_model::fleet::{Demand, Service};

pub use evenkeel_demand::Walk;
pub use file::{FileError, read};

/// The part of the time that a fitted series stays at or below [`FULL`].
const MOST_OF_THE_TIME: f64 = 0.99;
/// The part of the room that a fitted series needs then.
const FULL: f64 = 0.9;

/// A demand over time, piecewise constant. `None` is unknown, which is not zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Each value holds from its offset on; offsets rise from zero.
    steps: Vec<(Duration, Option<f64>)>,
    length: Duration,
}

impl Series {
    /// A series of steps; they must begin at zero and rise, and the last must begin before `length`.
    fn new(steps: Vec<(Duration, Option<f64>)>, length: Duration) -> Self {
        debug_assert!(steps.first().is_some_and(|(at, _)| at.is_zero()));
        debug_assert!(steps.is_sorted_by(|a, b| a.0 < b.0));
        Self { steps, length }
    }

    /// The value at `at`; none where it is not known, and after the end.
    #[must_use]
    pub fn at(&self, at: Duration) -> Option<f64> {
        if at >= self.length {
            return None;
        }
        let next = self.steps.partition_point(|(begin, _)| *begin <= at);
        self.steps[..next].last()?.1
    }

    /// When the value changes next, its end included.
    #[must_use]
    pub fn next_change_after(&self, at: Duration) -> Option<Duration> {
        let next = self.steps.partition_point(|(begin, _)| *begin <= at);
        let step = self.steps.get(next).map(|(begin, _)| *begin);
        step.or((at < self.length).then_some(self.length))
    }

    /// How long the series is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// Every value times `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for (_, value) in &mut self.steps {
            *value = value.map(|value| value * factor);
        }
        self
    }

    /// The value that is not exceeded for `part` (0 to 1) of the known time; none where nothing is known.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let ends = self.steps.iter().skip(1).map(|(begin, _)| *begin).chain([self.length]);
        let spans = self.steps.iter().zip(ends).filter_map(|((begin, value), end)| Some(((*value)?, end - *begin)));
        let mut known: Vec<(f64, Duration)> = spans.collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: Duration = known.iter().map(|(_, span)| *span).sum();
        let mut passed = Duration::ZERO;
        let enough = known.iter().find(|(_, span)| {
            passed += *span;
            passed.as_secs_f64() >= all.as_secs_f64() * part
        });
        enough.or(known.last()).map(|(value, _)| *value)
    }
}

/// Why a series cannot be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Scaling zero stays zero.
    #[error(
        "the demand is zero for 99 % of the time, so it cannot be fitted to the fleet; give a factor instead of `fit`"
    )]
    Zero,
    /// A service that fits nowhere.
    #[error("the fleet has no room for a single task of the service")]
    NoRoom,
}

/// Scales a series so that its 99th percentile needs 90 % of `room` tasks.
///
/// # Errors
/// [`FitError`] where no factor does that.
pub fn fit(series: Series, room: u32, per_task: f64) -> Result<Series, FitError> {
    if room == 0 {
        return Err(FitError::NoRoom);
    }
    let now = series.quantile(MOST_OF_THE_TIME).filter(|value| *value > 0.0).ok_or(FitError::Zero)?;
    Ok(series.scaled(FULL * f64::from(room) * per_task / now))
}

/// What one task serves, in its demand's unit. Kinds that know no unit of their own count tasks, as does a fill service.
#[must_use]
pub const fn per_task(service: &Service) -> f64 {
    match &service.demand {
        Some(Demand::Metric(demand)) => demand.source.shown(demand.per_task),
        Some(Demand::Queue(demand)) => demand.per_task,
        Some(Demand::Manual(demand)) => demand.per_task,
        Some(Demand::Tracking(_) | Demand::Steps(_)) | None => 1.0,
    }
}

/// `SERVICE=FILE[:FACTOR|:fit]`, as the command line has it.
#[derive(Debug, Clone, PartialEq)]
pub struct DemandOption {
    /// The service.
    pub service: ServiceName,
    /// The file.
    pub path: PathBuf,
    /// What its values are multiplied with.
    pub scale: Scale,
}

/// What a file's values are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// This.
    Factor(f64),
    /// Whatever [`fit`] finds.
    Fit,
}

/// Why an option is not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{option:?}: {problem}; expected SERVICE=FILE, SERVICE=FILE:FACTOR or SERVICE=FILE:fit")]
pub struct OptionError {
    option: String,
    problem: &'static str,
}

impl FromStr for DemandOption {
    type Err = OptionError;

    fn from_str(option: &str) -> Result<Self, OptionError> {
        let wrong = |problem| OptionError { option: option.to_owned(), problem };
        let (service, file) = option.split_once('=').ok_or(wrong("there is no ="))?;
        let service = service.parse().map_err(|_| wrong("what stands before = is not a service's name"))?;
        let (path, scale) = match file.rsplit_once(':') {
            Some((path, "fit")) => (path, Scale::Fit),
            Some((path, factor)) => match factor.parse::<f64>() {
                Ok(factor) if factor.is_finite() && factor > 0.0 => (path, Scale::Factor(factor)),
                Ok(_) => return Err(wrong("the factor must be a positive number")),
                // A colon in a file's name.
                Err(_) => (file, Scale::Fit),
            },
            None => (file, Scale::Fit),
        };
        if path.is_empty() {
            return Err(wrong("there is no file"));
        }
        Ok(Self { service, path: PathBuf::from(path), scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[(u64, Option<f64>)], length: u64) -> Series {
        let steps = values.iter().map(|(at, value)| (Duration::from_secs(*at), *value)).collect();
        Series::new(steps, Duration::from_secs(length))
    }

    #[test]
    fn a_value_holds_until_the_next_and_a_hole_is_unknown() {
        let series = series(&[(0, Some(1.0)), (10, None), (20, Some(3.0))], 30);
        let at = |second| series.at(Duration::from_secs(second));
        assert_eq!([at(0), at(9), at(10), at(25), at(30)], [Some(1.0), Some(1.0), None, Some(3.0), None]);
        let next = |second| series.next_change_after(Duration::from_secs(second)).map(|at| at.as_secs());
        assert_eq!([next(0), next(10), next(20), next(30)], [Some(10), Some(20), Some(30), None]);
    }

    #[test]
    fn a_fitted_series_needs_nine_tenths_of_the_room_at_its_99th_percentile() -> Result<(), FitError> {
        // One per cent of the time lies above the 99th percentile, and may need any room.
        let fitted = fit(series(&[(0, Some(2.0)), (99, Some(500.0))], 100), 24, 50.0)?;
        assert_eq!(fitted.quantile(0.99), Some(0.9 * 24.0 * 50.0));
        assert_eq!(fit(series(&[(0, Some(0.0))], 100), 24, 50.0), Err(FitError::Zero));
        assert_eq!(fit(series(&[(0, Some(1.0))], 100), 0, 50.0), Err(FitError::NoRoom));
        Ok(())
    }

    #[test]
    fn options_are_understood_or_refused_with_the_reason() {
        let parse =
            |text: &str| text.parse::<DemandOption>().map(|option| (option.path.display().to_string(), option.scale));
        assert_eq!(parse("web=a.csv"), Ok(("a.csv".to_owned(), Scale::Fit)));
        assert_eq!(parse("web=a.csv:fit"), Ok(("a.csv".to_owned(), Scale::Fit)));
        assert_eq!(parse("web=a.csv:0.5"), Ok(("a.csv".to_owned(), Scale::Factor(0.5))));
        assert_eq!(parse("web=a:b.csv"), Ok(("a:b.csv".to_owned(), Scale::Fit)));
        for bad in
            ["web", "=a.csv", "web=", "web=:fit", "web=a.csv:0", "web=a.csv:-1", "web=a.csv:inf", "web=a.csv:NaN"]
        {
            assert!(parse(bad).is_err(), "{bad} was accepted");
        }
    }
}
