//! Amazon CloudWatch: the values of metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode};
use aws_smithy_types::DateTime;
use evenkeel_model::fleet::{MetricSource, Missing, Statistic};
use evenkeel_model::observed::{Level, Signal};
use evenkeel_model::{AlarmName, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};

use crate::Aws;
use crate::convert::{all, timestamp};
use crate::error::port_error;

/// Metrics in one call (CloudWatch API reference, GetMetricData).
const MOST_METRICS: usize = 500;
/// How many periods are asked for, besides [`LATE`]: what is older is too old for everybody.
const PERIODS: u32 = 4;
/// CloudWatch's own delay and a publisher's.
const LATE: Duration = Duration::from_secs(120);

/// A metric as GetMetricData asks for it.
pub(crate) struct Asks {
    pub(crate) stat: MetricStat,
    pub(crate) period: Duration,
}

/// The newest period of a metric that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) begin: Timestamp,
    pub(crate) value: f64,
}

/// What is known of a metric: its newest point, or CloudWatch's word for why there is none, where it has one. `Complete` is
/// the only one by which there are no data; what an answer leaves out is not known.
pub(crate) type Newest = Result<Point, Option<StatusCode>>;

#[cfg(feature = "sqs")]
impl evenkeel_turn::ports::ReadSignals for Aws {
    async fn metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        self.cloudwatch_metrics(sources).await
    }

    async fn backlogs(&self, queues: &[evenkeel_model::QueueName]) -> Answer<Vec<Signal>> {
        self.sqs_backlogs(queues).await
    }

    async fn alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        self.cloudwatch_alarms(alarms).await
    }

    async fn alarm_levels(&self, alarms: &[AlarmName]) -> Answer<Vec<Option<Level>>> {
        self.cloudwatch_alarm_levels(alarms).await
    }
}

#[cfg_attr(not(feature = "sqs"), expect(dead_code, reason = "the port needs both services"))]
impl Aws {
    async fn cloudwatch_metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        // What several services follow is asked for once: every metric that is asked for is paid (CloudWatch pricing).
        let mut places: BTreeMap<&MetricSource, usize> = BTreeMap::new();
        let mut asks = Vec::new();
        for source in sources {
            places.entry(source).or_insert_with(|| {
                asks.push(Asks { stat: stat(source), period: source.period });
                asks.len() - 1
            });
        }
        let newest = self.newest(asks).await?;
        let signal = |source: &MetricSource| match places.get(source).and_then(|&place| newest.get(place)) {
            Some(Ok(Point { begin, value })) => Signal::Value { value: *value, at: *begin + source.period },
            Some(Err(Some(StatusCode::Complete))) => match source.missing {
                Missing::Zero => Signal::Value { value: 0.0, at: self.now() },
                Missing::Hold => Signal::Unknown(format!("no data of metric {}", source.metric)),
            },
            Some(Err(Some(code))) => Signal::Unknown(format!("metric {}: {}", source.metric, code.as_str())),
            Some(Err(None)) | None => {
                Signal::Unknown(format!("the answer is not complete for metric {}", source.metric))
            }
        };
        Ok(sources.iter().map(signal).collect())
    }

    /// The newest complete period of each metric, in the order of `asks`.
    pub(crate) async fn newest(&self, asks: Vec<Asks>) -> Answer<Vec<Newest>> {
        let now = self.now();
        // A call has one start: with that of a long period, a short one would have points without end, or none, because
        // those of less than a minute are kept for three hours (CloudWatch API reference, MetricStat). Metrics are paid
        // for, and calls are not.
        let mut places: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
        for (place, one) in asks.iter().enumerate() {
            places.entry(one.period).or_default().push(place);
        }
        let calls: Vec<(Duration, &[usize])> = places
            .iter()
            .flat_map(|(period, places)| places.chunks(MOST_METRICS).map(|chunk| (*period, chunk)))
            .collect();
        let of = |places: &[usize]| places.iter().filter_map(|&place| asks.get(place)).collect::<Vec<_>>();
        let found = all(calls.iter().map(|(period, places)| self.newest_of(of(places), *period, now))).await?;
        let mut found: BTreeMap<usize, Newest> =
            calls.iter().flat_map(|(_, places)| *places).copied().zip(found.into_iter().flatten()).collect();
        Ok((0..asks.len()).map(|place| found.remove(&place).unwrap_or(Err(None))).collect())
    }

    /// The same of metrics with the same period.
    async fn newest_of(&self, asks: Vec<&Asks>, period: Duration, now: Timestamp) -> Answer<Vec<Newest>> {
        // A start at a whole period answers fastest, and keeps long periods whole (CloudWatch API reference,
        // GetMetricData).
        let whole = period.as_secs().max(60).cast_signed();
        let start = (now - period * PERIODS - LATE).as_second().div_euclid(whole) * whole;
        let query = |(index, asks): (usize, &&Asks)| {
            MetricDataQuery::builder().id(query_id(index)).metric_stat(asks.stat.clone()).return_data(true).build()
        };
        let queries = asks.iter().enumerate().map(query).collect();
        let asked = self.cloudwatch.get_metric_data().set_metric_data_queries(Some(queries));
        let asked = asked.start_time(DateTime::from_secs(start)).end_time(DateTime::from_secs(now.as_second()));
        let mut pages = asked.scan_by(ScanBy::TimestampDescending).into_paginator().send();
        let mut newest: BTreeMap<String, Newest> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for result in page.map_err(port_error)?.metric_data_results() {
                note_newest(&mut newest, period, result, now);
            }
        }
        Ok((0..asks.len()).map(|index| newest.remove(&query_id(index)).unwrap_or(Err(None))).collect())
    }
}

/// Ids of queries begin with a lower-case letter.
fn query_id(index: usize) -> String {
    format!("m{index}")
}

fn stat(source: &MetricSource) -> MetricStat {
    let (namespace, name) = source.metric.split().unwrap_or(("", source.metric.as_str()));
    let dimension = |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace(namespace)
        .metric_name(name)
        .set_dimensions(Some(source.dimensions.iter().map(dimension).collect()));
    let statistic = match source.statistic {
        Statistic::Sum => "Sum",
        Statistic::Average => "Average",
        Statistic::Maximum => "Maximum",
        Statistic::Minimum => "Minimum",
        Statistic::SampleCount => "SampleCount",
    };
    let period = i32::try_from(source.period.as_secs()).unwrap_or(i32::MAX);
    MetricStat::builder().metric(metric.build()).period(period).stat(statistic).build()
}

/// Notes the newest period of one metric that is over. Points come newest first, and are named by their period's begin; a
/// metric with many points comes in several pages.
fn note_newest(newest: &mut BTreeMap<String, Newest>, period: Duration, result: &MetricDataResult, now: Timestamp) {
    let Some(query) = result.id() else { return };
    if matches!(newest.get(query), Some(Ok(_))) {
        return;
    }
    let points = result.timestamps().iter().zip(result.values());
    let point = |(begin, value): (&DateTime, &f64)| Some(Point { begin: timestamp(begin)?, value: *value });
    let over = points.filter_map(point).filter(|point| point.begin + period <= now);
    if let Some(point) = over.max_by_key(|point| point.begin) {
        newest.insert(query.to_owned(), Ok(point));
    } else if let Some(code @ (StatusCode::Forbidden | StatusCode::InternalError)) = result.status_code() {
        newest.insert(query.to_owned(), Err(Some(code.clone())));
    } else if result.status_code() == Some(&StatusCode::Complete) {
        newest.entry(query.to_owned()).or_insert(Err(Some(StatusCode::Complete)));
    }
}
