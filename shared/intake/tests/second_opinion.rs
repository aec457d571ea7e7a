//! The samples have the shapes that the `aws_lambda_events` crate knows, which AWS's own Rust runtime maintains.

mod common;

use aws_lambda_events::autoscaling::AutoScalingEvent;
use aws_lambda_events::cloudwatch_alarms::CloudWatchMetricAlarm;
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::sns::{SnsEvent, SnsMessage};
use aws_lambda_events::sqs::SqsEvent;
use serde_json::Value;

#[test]
fn every_sample_is_what_the_aws_crate_expects() {
    for (name, text) in common::files(&common::samples()) {
        let shape = match name.as_str() {
            "sns.json" => serde_json::from_str::<SnsEvent>(&text).map(|_| "SNS"),
            name if name.starts_with("sqs") => serde_json::from_str::<SqsEvent>(&text).map(|_| "SQS"),
            "sns-in-sqs.json" => serde_json::from_str::<SqsEvent>(&text).and_then(|batch| {
                let body = batch.records[0].body.as_deref().unwrap_or_default();
                serde_json::from_str::<SnsMessage>(body).map(|_| "SNS in SQS")
            }),
            "cloudwatch-alarm-lambda-action.json" => {
                serde_json::from_str::<CloudWatchMetricAlarm>(&text).map(|_| "alarm action")
            }
            _ if !text.contains("\"detail-type\"") => Ok("no envelope"),
            name if name.starts_with("autoscaling") => {
                serde_json::from_str::<AutoScalingEvent<Value>>(&text).map(|_| "Auto Scaling")
            }
            _ => serde_json::from_str::<EventBridgeEvent>(&text).map(|_| "EventBridge"),
        };
        assert!(shape.is_ok(), "{name}: {shape:?}");
    }
}
