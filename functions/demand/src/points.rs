//! The values of one minute.

use std::time::Duration;

use evenkeel_model::fleet::{Demand, Fleet, Service, Statistic};
use evenkeel_model::{FleetName, Timestamp};
use evenkeel_turn::ports::DataPoint;

use crate::walk::Walk;

/// The walk takes a step this often.
const STEP: i64 = 10;
/// Each day is a walk of its own, so that no process has to go back further.
const DAY: i64 = 24 * 60 * 60;
const MINUTE: i64 = 60;
/// A peak needs this part of a service's `max_tasks`.
const PEAK: f64 = 0.9;
/// Without `max_tasks`.
const TASKS: u32 = 20;

/// What to publish for the minute that begins at `minute`: one point for each period that begins in it. CloudWatch shows a
/// point only once its time has come, so that a reader every ten seconds sees the demand move.
///
/// Services whose demand is no metric have nothing to publish; nor has a metric of AWS's own, which nobody else may write,
/// and one whose samples are counted.
#[must_use]
pub fn points(fleet: &Fleet, minute: Timestamp) -> Vec<DataPoint> {
    let begin = minute.as_second().div_euclid(MINUTE) * MINUTE;
    fleet.services.iter().flat_map(|service| of_service(&fleet.name, service, begin)).collect()
}

fn of_service(fleet: &FleetName, service: &Service, begin: i64) -> Vec<DataPoint> {
    let Some(Demand::Metric(demand)) = &service.demand else { return Vec::new() };
    let source = &demand.source;
    if source.metric.as_str().starts_with("AWS/") || source.statistic == Statistic::SampleCount {
        return Vec::new();
    }
    let most = PEAK * f64::from(service.max_tasks.unwrap_or(TASKS)) * source.shown(demand.per_task);
    let period = Duration::as_secs(&source.period).max(1).cast_signed();
    // The first multiple of the period that is not before the minute.
    let first = (begin + period - 1).div_euclid(period) * period;
    let times = (first..begin + MINUTE).step_by(usize::try_from(period).unwrap_or(usize::MAX));
    let mut walk = DayWalk::new(fleet, service, begin.div_euclid(DAY), most);
    let point = |second: i64| {
        let at = Timestamp::from_second(second).ok()?;
        Some(DataPoint { source: source.clone(), at, value: walk.at(second.rem_euclid(DAY)) })
    };
    times.filter_map(point).collect()
}

/// A service's walk through one day.
struct DayWalk {
    walk: Walk,
    steps: i64,
    value: f64,
}

impl DayWalk {
    fn new(fleet: &FleetName, service: &Service, day: i64, most: f64) -> Self {
        // FNV-1a: services and fleets walk apart.
        let name = format!("{fleet}/{}", service.name);
        let purpose = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { walk: Walk::new(day.cast_unsigned(), purpose, most), steps: 0, value: 0.0 }
    }

    /// The value at a second of the day; seconds never go back.
    fn at(&mut self, second: i64) -> f64 {
        while self.steps <= second / STEP {
            self.value = self.walk.next_value();
            self.steps += 1;
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::fleet::{Format, read};

    const FILE: &str = r#"
        name = "shop"
        cluster = "shop"
        hosts = { minimum = 1, steady = 2, maximum = 3 }
        pool = [{ name = "base", purchase = "reserved", auto_scaling_group = "shop-base" }]
        [[service]]
        name = "web"
        priority = 1
        max_tasks = 10
        demand = { metric = "shop/Requests", statistic = "Sum", period = "10s", per_task = 50 }
        [[service]]
        name = "slow"
        priority = 2
        max_tasks = 4
        demand = { metric = "shop/Jobs", period = "5m", per_task = 1 }
        [[service]]
        name = "foreign"
        priority = 3
        demand = { metric = "AWS/ApplicationELB/RequestCount", dimensions = { LoadBalancer = "app/shop/1" }, per_task = 1 }
        [[service]]
        name = "rest"
        priority = 4
        fill = true
    "#;

    fn of(minute: &str) -> Vec<(String, i64, u64)> {
        let fleet = read(FILE, Format::Toml).unwrap();
        let points = points(&fleet, minute.parse().unwrap());
        let values = points.iter().map(|point| {
            assert!((0.0..=450.0).contains(&point.value), "{}", point.value);
            (point.source.metric.to_string(), point.at.as_second() % 3600, point.value.to_bits())
        });
        values.collect()
    }

    #[test]
    fn a_minute_has_a_point_for_each_period_that_begins_in_it() {
        let at = |points: &[(String, i64, u64)]| -> Vec<String> {
            points.iter().map(|(metric, second, _)| format!("{metric} {second}")).collect()
        };
        let web = |from: i64| (0..6).map(move |step| format!("shop/Requests {}", from + 10 * step));
        let plain: Vec<String> = web(540).collect();
        assert_eq!(at(&of("2026-01-05T00:09:41Z")), plain);
        let with_slow: Vec<String> = web(600).chain(["shop/Jobs 600".to_owned()]).collect();
        assert_eq!(at(&of("2026-01-05T00:10:00Z")), with_slow);
    }

    #[test]
    fn the_same_minute_is_the_same_in_every_process_and_the_next_goes_on() {
        let (one, next) = (of("2026-01-05T23:58:00Z"), of("2026-01-05T23:59:00Z"));
        assert_eq!(one, of("2026-01-05T23:58:59Z"));
        let values: Vec<f64> = one.iter().chain(&next).map(|(_, _, bits)| f64::from_bits(*bits)).collect();
        let jumps = values.windows(2).filter(|pair| (pair[0] - pair[1]).abs() > 0.1 * 450.0).count();
        assert!(jumps <= 1, "a walk, not noise: {values:?}");
        assert_ne!(one, of("2026-01-06T23:58:00Z"), "another day is another walk");
    }
}
