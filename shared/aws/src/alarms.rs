//! Amazon CloudWatch: alarms, and how near their metrics are to their thresholds.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, Metric, MetricAlarm, MetricStat, StateValue};
use aws_smithy_types::DateTime;
use evenkeel_model::AlarmName;
use evenkeel_model::observed::{Level, Signal};
use evenkeel_turn::ports::Answer;

use crate::Aws;
use crate::convert::{all, timestamp};
use crate::error::port_error;
use crate::signals::Asks;

/// Alarms in one call (CloudWatch API reference, DescribeAlarms).
const MOST_ALARMS: usize = 100;

#[cfg_attr(not(feature = "sqs"), expect(dead_code, reason = "the port needs both services"))]
impl Aws {
    /// The state of each alarm, in the order of `alarms`.
    pub(crate) async fn cloudwatch_alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        // Composite alarms are left out unless they are asked for.
        let pages = self.describe_alarms(alarms, &[AlarmType::MetricAlarm, AlarmType::CompositeAlarm]).await?;
        let mut found: BTreeMap<&str, Signal> = BTreeMap::new();
        for page in &pages {
            for alarm in page.metric_alarms() {
                let since = alarm.state_transitioned_timestamp().or_else(|| alarm.state_updated_timestamp());
                found.extend(alarm.alarm_name().map(|name| (name, state(name, alarm.state_value(), since))));
            }
            for alarm in page.composite_alarms() {
                let since = alarm.state_transitioned_timestamp().or_else(|| alarm.state_updated_timestamp());
                found.extend(alarm.alarm_name().map(|name| (name, state(name, alarm.state_value(), since))));
            }
        }
        let of = |name: &AlarmName| {
            let none = || Signal::Unknown(format!("there is no alarm {name}"));
            found.get(name.as_str()).cloned().unwrap_or_else(none)
        };
        Ok(alarms.iter().map(of).collect())
    }

    /// How near each alarm's metric is to its threshold, in the order of `alarms`; none where nothing tells.
    pub(crate) async fn cloudwatch_alarm_levels(&self, alarms: &[AlarmName]) -> Answer<Vec<Option<Level>>> {
        let pages = self.describe_alarms(alarms, &[AlarmType::MetricAlarm]).await?;
        let found = pages.iter().flat_map(|page| page.metric_alarms());
        let (ruled, asks): (Vec<(&str, f64)>, Vec<Asks>) = found.filter_map(rule).unzip();
        if asks.is_empty() {
            return Ok(vec![None; alarms.len()]);
        }
        let newest = self.newest(asks).await?;
        let level = |((name, threshold), newest): ((&str, f64), crate::signals::Newest)| {
            let point = newest.ok()?;
            let part = point.value / threshold;
            part.is_finite().then(|| (name.to_owned(), Level { part, from: point.begin }))
        };
        let levels: BTreeMap<String, Level> = ruled.into_iter().zip(newest).filter_map(level).collect();
        Ok(alarms.iter().map(|name| levels.get(name.as_str()).copied()).collect())
    }

    async fn describe_alarms(&self, alarms: &[AlarmName], types: &[AlarmType]) -> Answer<Vec<DescribeAlarmsOutput>> {
        let pages = all(alarms.chunks(MOST_ALARMS).map(async |chunk| {
            let names = chunk.iter().map(|name| name.as_str().to_owned()).collect();
            let asked = self.cloudwatch.describe_alarms().set_alarm_names(Some(names));
            let asked = asked.set_alarm_types(Some(types.to_vec()));
            let asked = asked.max_records(i32::try_from(MOST_ALARMS).unwrap_or(100));
            asked.into_paginator().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        Ok(pages.await?.into_iter().flatten().collect())
    }
}

/// An alarm that says "greater than so much of this metric": its name, its threshold and its metric. None for metric math,
/// an anomaly band (both have no metric of their own), another comparison, and a threshold that nothing is a part of.
fn rule(alarm: &MetricAlarm) -> Option<((&str, f64), Asks)> {
    let greater = [ComparisonOperator::GreaterThanThreshold, ComparisonOperator::GreaterThanOrEqualToThreshold];
    let threshold = alarm.threshold().filter(|threshold| *threshold > 0.0)?;
    if !greater.contains(alarm.comparison_operator()?) {
        return None;
    }
    let metric = Metric::builder()
        .namespace(alarm.namespace()?)
        .metric_name(alarm.metric_name()?)
        .set_dimensions(Some(alarm.dimensions().to_vec()));
    let statistic = alarm.statistic().map(|statistic| statistic.as_str()).or_else(|| alarm.extended_statistic())?;
    let seconds = alarm.period().filter(|period| *period > 0)?;
    let stat = MetricStat::builder().metric(metric.build()).period(seconds).stat(statistic);
    let stat = stat.set_unit(alarm.unit().cloned()).build();
    let period = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    Some(((alarm.alarm_name()?, threshold), Asks { stat, period }))
}

fn state(name: &str, value: Option<&StateValue>, since: Option<&DateTime>) -> Signal {
    let firing = match value {
        Some(StateValue::Alarm) => true,
        Some(StateValue::Ok) => false,
        _ => return Signal::Unknown(format!("alarm {name} has insufficient data")),
    };
    match since.and_then(timestamp) {
        Some(since) => Signal::Alarm { firing, since },
        None => Signal::Unknown(format!("alarm {name} does not say since when")),
    }
}
