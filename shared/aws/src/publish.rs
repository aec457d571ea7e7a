//! Amazon CloudWatch: publishing values.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_smithy_types::DateTime;
use evenkeel_turn::ports::{Answer, DataPoint, PortError, PublishMetrics};

use crate::Aws;
use crate::convert::all;
use crate::error::port_error;

/// Values in one call (CloudWatch API reference, PutMetricData).
const MOST_VALUES: usize = 1000;

impl PublishMetrics for Aws {
    async fn publish(&self, points: &[DataPoint]) -> Answer<()> {
        let mut by_namespace: BTreeMap<&str, Vec<MetricDatum>> = BTreeMap::new();
        for point in points {
            let (namespace, name) = point.source.metric.split().unwrap_or(("", point.source.metric.as_str()));
            by_namespace.entry(namespace).or_default().push(datum(name, point));
        }
        let chunks = by_namespace
            .iter()
            .flat_map(|(namespace, data)| data.chunks(MOST_VALUES).map(move |chunk| (*namespace, chunk.to_vec())));
        let puts = all(chunks.map(async |(namespace, chunk)| {
            let put = self.cloudwatch.put_metric_data().namespace(namespace).set_metric_data(Some(chunk));
            // The same value again counts twice in a sum (CloudWatch API reference, PutMetricData).
            let once = aws_sdk_cloudwatch::Config::builder().retry_config(Self::once());
            Ok(put.customize().config_override(once).send().await.map(|_| ()).map_err(port_error))
        }));
        answer_of(&puts.await?)
    }
}

/// Of several puts, what is to be known of all: nobody may try again where one is done, or may be.
fn answer_of(answers: &[Answer<()>]) -> Answer<()> {
    let errors = || answers.iter().filter_map(|answer| answer.as_ref().err());
    let unknown = errors().find(|error| matches!(error, PortError::Unavailable(_)));
    let Some(error) = unknown.or_else(|| errors().next()) else { return Ok(()) };
    match answers.len() - errors().count() {
        0 => Err(error.clone()),
        done => Err(PortError::Unavailable(format!("{done} of {} puts were done: {error}", answers.len()))),
    }
}

fn datum(name: &str, point: &DataPoint) -> MetricDatum {
    let dimension = |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
    let high = point.source.period < Duration::from_secs(60);
    MetricDatum::builder()
        .metric_name(name)
        .set_dimensions(Some(point.source.dimensions.iter().map(dimension).collect()))
        .timestamp(DateTime::from_secs(point.at.as_second()))
        .value(point.value)
        .set_storage_resolution(high.then_some(1))
        .build()
}
