//! Every payload in `events/` becomes exactly the trigger that it is meant to show.

mod common;

use std::collections::BTreeMap;

use evenkeel_intake::{Item, Reading, read};
use evenkeel_model::trigger::Trigger;
use serde_json::json;

/// What one item of a payload becomes.
#[derive(Debug, PartialEq)]
enum Becomes {
    Trigger(Box<Trigger>),
    Unknown(String),
    Malformed(String),
}

macro_rules! trigger {
    ($json:tt) => {
        Becomes::Trigger(Box::new(serde_json::from_value(json!($json)).unwrap()))
    };
}

fn unknown(kind: &str) -> Becomes {
    Becomes::Unknown(kind.to_owned())
}

fn malformed(problem: &str) -> Becomes {
    Becomes::Malformed(problem.to_owned())
}

fn becomes(item: Item) -> Becomes {
    match item.reading {
        Ok(Reading::Trigger(trigger)) => Becomes::Trigger(Box::new(trigger)),
        Ok(Reading::Unknown { kind }) => Becomes::Unknown(kind),
        Err(problem) => Becomes::Malformed(problem.to_string()),
    }
}

#[rustfmt::skip]
fn table() -> Vec<(&'static str, Vec<Becomes>)> {
    vec![
        (
            "autoscaling-activity-notification.json",
            vec![trigger!({ "trigger": "scaling-activity", "at": "2026-01-05T09:44:40.102Z", "group": "shop-spot",
            "instance": "i-0a11ce0000000002d", "activity": "launch", "succeeded": true, "status_code": "InProgress",
            "cause": "At 2026-01-05T09:44:06Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2." })],
        ),
        (
            "autoscaling-instance-refresh-cancelled.json",
            vec![trigger!({ "trigger": "instance-refresh", "at": "2026-01-05T13:00:00Z", "group": "shop-base",
            "refresh": "4ef4e500-0000-4000-8000-000000000001", "state": "cancelled" })],
        ),
        (
            "autoscaling-instance-refresh-failed.json",
            vec![trigger!({ "trigger": "instance-refresh", "at": "2026-01-05T12:00:00Z", "group": "shop-base",
            "refresh": "4ef4e500-0000-4000-8000-000000000001", "state": "failed" })],
        ),
        (
            "autoscaling-instance-refresh-started.json",
            vec![trigger!({ "trigger": "instance-refresh", "at": "2026-01-05T10:00:00Z", "group": "shop-base",
            "refresh": "4ef4e500-0000-4000-8000-000000000001", "state": "started" })],
        ),
        (
            "autoscaling-instance-refresh-succeeded.json",
            vec![trigger!({ "trigger": "instance-refresh", "at": "2026-01-05T11:00:00Z", "group": "shop-base",
            "refresh": "4ef4e500-0000-4000-8000-000000000001", "state": "succeeded" })],
        ),
        (
            "autoscaling-launch-lifecycle-action.json",
            vec![trigger!({ "trigger": "lifecycle-action", "at": "2026-01-05T09:30:24Z", "group": "shop-burst",
            "instance": "i-0de0a0d000000001d", "hook": "evenkeel-launch",
            "token": "7c0ffee0-0000-4000-8000-000000000001", "transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "origin": "EC2", "destination": "AutoScalingGroup" })],
        ),
        (
            "autoscaling-launch-successful.json",
            vec![trigger!({ "trigger": "scaling-activity", "at": "2026-01-05T09:30:46Z", "group": "shop-burst",
            "instance": "i-0de0a0d000000001d", "activity": "launch", "succeeded": true, "status_code": "InProgress",
            "cause": "At 2026-01-05T09:30:12Z a user request update of AutoScalingGroup constraints to min: 0, max: 4, desired: 1 changing the desired capacity from 0 to 1." })],
        ),
        (
            "autoscaling-launch-unsuccessful.json",
            vec![trigger!({ "trigger": "scaling-activity", "at": "2026-01-05T09:34:13Z", "group": "shop-spot", "activity": "launch",
            "succeeded": false, "status_code": "Failed",
            "message": "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request configuration. Launching EC2 instance failed.",
            "cause": "At 2026-01-05T09:34:02Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2." })],
        ),
        (
            "autoscaling-lifecycle-action-warm-pool.json",
            vec![trigger!({ "trigger": "lifecycle-action", "at": "2026-01-05T03:00:24Z", "group": "shop-burst",
            "instance": "i-0de0a0d000000001d", "hook": "evenkeel-launch",
            "token": "7c0ffee0-0000-4000-8000-000000000003", "transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "origin": "EC2", "destination": "WarmPool" })],
        ),
        (
            "autoscaling-lifecycle-notification.json",
            vec![trigger!({ "trigger": "lifecycle-action", "at": "2026-01-05T09:33:10.204Z", "group": "shop-spot",
            "instance": "i-0a11ce0000000001d", "hook": "evenkeel-terminate",
            "token": "7c0ffee0-0000-4000-8000-000000000004", "transition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "origin": "AutoScalingGroup", "destination": "EC2" })],
        ),
        (
            "autoscaling-terminate-lifecycle-action.json",
            vec![trigger!({ "trigger": "lifecycle-action", "at": "2026-01-05T09:33:10Z", "group": "shop-spot",
            "instance": "i-0a11ce0000000001d", "hook": "evenkeel-terminate",
            "token": "7c0ffee0-0000-4000-8000-000000000002", "transition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "origin": "AutoScalingGroup", "destination": "EC2" })],
        ),
        (
            "autoscaling-terminate-successful.json",
            vec![trigger!({ "trigger": "scaling-activity", "at": "2026-01-05T09:33:40Z", "group": "shop-spot",
            "instance": "i-0a11ce0000000001d", "activity": "terminate", "succeeded": true,
            "status_code": "InProgress",
            "cause": "At 2026-01-05T09:32:20Z an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped." })],
        ),
        (
            "autoscaling-terminate-unsuccessful.json",
            vec![trigger!({ "trigger": "scaling-activity", "at": "2026-01-05T09:41:00Z", "group": "shop-base",
            "instance": "i-0ba5e00000000001d", "activity": "terminate", "succeeded": false, "status_code": "Failed",
            "message": "Terminating EC2 instance failed.",
            "cause": "At 2026-01-05T09:40:00Z instance i-0ba5e00000000001d was taken out of service in response to a user request." })],
        ),
        ("autoscaling-test-notification.json", vec![unknown("autoscaling:TEST_NOTIFICATION")]),
        (
            "aws-health-event.json",
            vec![trigger!({ "trigger": "health", "at": "2026-01-05T09:00:12Z", "code": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
            "category": "scheduledChange", "starts": "2026-01-19T12:00:00Z", "ends": "2026-01-19T14:00:00Z",
            "instances": ["i-0ba5e00000000001d", "i-0ba5e00000000002d"] })],
        ),
        ("beat.json", vec![trigger!({ "trigger": "beat", "fleet": "shop", "at": "2026-01-05T09:30:10Z" })]),
        (
            "cloudwatch-alarm-lambda-action.json",
            vec![trigger!({ "trigger": "alarm", "at": "2026-01-05T09:30:12.96Z", "alarm": "shop-cpu-high", "state": "ALARM",
            "previous": "OK",
            "reason": "Threshold Crossed: 1 out of the last 1 datapoints [93.5 (05/01/26 09:29:00)] was greater than the threshold (80.0) (minimum 1 datapoint for OK -> ALARM transition)." })],
        ),
        (
            "cloudwatch-alarm-state-change.json",
            vec![trigger!({ "trigger": "alarm", "at": "2026-01-05T09:30:12.96Z", "alarm": "shop-cpu-high", "state": "ALARM",
            "previous": "OK",
            "reason": "Threshold Crossed: 1 out of the last 1 datapoints [93.5 (05/01/26 09:29:00)] was greater than the threshold (80.0) (minimum 1 datapoint for OK -> ALARM transition)." })],
        ),
        (
            "ec2-instance-state-change.json",
            vec![trigger!({ "trigger": "instance-state", "at": "2026-01-05T09:32:03Z", "instance": "i-0a11ce0000000001d",
            "state": "shutting-down" })],
        ),
        (
            "ec2-rebalance-recommendation.json",
            vec![trigger!({ "trigger": "rebalance-recommendation", "at": "2026-01-05T09:22:41Z", "instance": "i-0a11ce0000000001d" })],
        ),
        (
            "ec2-spot-interruption-warning.json",
            vec![trigger!({ "trigger": "spot-interruption", "at": "2026-01-05T09:30:00Z", "instance": "i-0a11ce0000000001d",
            "action": "terminate" })],
        ),
        (
            "ecs-container-instance-state-change.json",
            vec![trigger!({ "trigger": "container-instance-state", "at": "2026-01-05T09:30:02Z", "cluster": "shop",
            "container_instance": "c1ab0000000000000000000000000001", "instance": "i-0a11ce0000000001d",
            "status": "DRAINING", "agent_connected": true, "version": 412 })],
        ),
        (
            "ecs-deployment-state-change.json",
            vec![trigger!({ "trigger": "deployment-state", "at": "2026-01-05T09:50:01Z", "cluster": "shop", "service": "web",
            "deployment": "ecs-svc/4815162342000000002", "event": "SERVICE_DEPLOYMENT_IN_PROGRESS",
            "reason": "ECS deployment ecs-svc/4815162342000000002 in progress." })],
        ),
        (
            "ecs-service-action.json",
            vec![trigger!({ "trigger": "service-action", "at": "2026-01-05T09:31:12Z", "cluster": "shop", "service": "web",
            "event": "SERVICE_TASK_PLACEMENT_FAILURE", "reason": "RESOURCE:MEMORY" })],
        ),
        (
            "ecs-task-state-change.json",
            vec![trigger!({ "trigger": "task-state", "at": "2026-01-05T09:30:43Z", "cluster": "shop",
            "task": "7a5c0000000000000000000000000001", "container_instance": "c1ab0000000000000000000000000001",
            "last_status": "STOPPED", "desired_status": "STOPPED", "version": 6, "service": "reports",
            "stop_code": "ServiceSchedulerInitiated",
            "reason": "Scaling activity initiated by (deployment ecs-svc/4815162342000000001)" })],
        ),
        (
            "inspector2-finding-closed.json",
            vec![trigger!({ "trigger": "finding", "at": "2026-01-05T11:10:46Z", "status": "CLOSED", "kind": "PACKAGE_VULNERABILITY",
            "severity": "CRITICAL", "instances": ["i-0ba5e00000000001d"] })],
        ),
        (
            "inspector2-finding-network.json",
            vec![trigger!({ "trigger": "finding", "at": "2026-01-05T09:10:47Z", "status": "ACTIVE", "kind": "NETWORK_REACHABILITY",
            "severity": "CRITICAL", "instances": ["i-0ba5e00000000001d"] })],
        ),
        (
            "inspector2-finding.json",
            vec![trigger!({ "trigger": "finding", "at": "2026-01-05T09:10:46Z", "status": "ACTIVE", "kind": "PACKAGE_VULNERABILITY",
            "severity": "CRITICAL", "instances": ["i-0ba5e00000000001d"] })],
        ),
        (
            "manual-backfill-hold.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"backfill": "hold"} })],
        ),
        (
            "manual-backfill-plan.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"backfill": "plan"} })],
        ),
        (
            "manual-backfill-release.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"backfill": "release"} })],
        ),
        (
            "manual-backfill-retry.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"backfill": "retry"} })],
        ),
        (
            "manual-backfill-status.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"backfill": "status"} })],
        ),
        (
            "manual-demand.json",
            vec![trigger!({ "trigger": "manual", "at": "2026-01-05T09:30:00Z", "fleet": "shop",
            "request": {"demand": {"reports": 37.5, "web": 1200.0}} })],
        ),
        (
            "manual-microscale-plan.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"microscale": "plan"} })],
        ),
        (
            "manual-microscale-status.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"microscale": "status"} })],
        ),
        (
            "manual-roll-abort.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "abort", "pool": null}} })],
        ),
        (
            "manual-roll-pause.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "pause", "pool": null}} })],
        ),
        (
            "manual-roll-plan.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "plan", "pool": "base"}} })],
        ),
        (
            "manual-roll-resume.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "resume", "pool": null}} })],
        ),
        (
            "manual-roll-start.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "start", "pool": "base", "by": "Anna, CVE-2026-1"}} })],
        ),
        (
            "manual-roll-status.json",
            vec![trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "status", "pool": null}} })],
        ),
        (
            "sns-in-sqs.json",
            vec![trigger!({ "trigger": "alarm", "at": "2026-01-05T09:52:12.96Z", "alarm": "shop-cpu-high", "state": "OK",
            "previous": "ALARM",
            "reason": "Threshold Crossed: 1 out of the last 1 datapoints [58.2 (05/01/26 09:51:00)] was not greater than the threshold (80.0) (minimum 1 datapoint for OK -> ALARM transition)." })],
        ),
        (
            "sns.json",
            vec![trigger!({ "trigger": "alarm", "at": "2026-01-05T09:52:12.96Z", "alarm": "shop-cpu-high", "state": "OK",
            "previous": "ALARM",
            "reason": "Threshold Crossed: 1 out of the last 1 datapoints [58.2 (05/01/26 09:51:00)] was not greater than the threshold (80.0) (minimum 1 datapoint for OK -> ALARM transition)." })],
        ),
        (
            "sqs-with-malformed-message.json",
            vec![malformed(r#"Records[0].body.roll: "begin" is not known here; known are plan, start, pause, resume, abort, status"#),
            trigger!({ "trigger": "manual", "fleet": "shop", "request": {"roll": {"verb": "start", "pool": null}} })],
        ),
        (
            "sqs.json",
            vec![trigger!({ "trigger": "spot-interruption", "at": "2026-01-05T09:30:00Z", "instance": "i-0a11ce0000000001d",
            "action": "terminate" }),
            trigger!({ "trigger": "lifecycle-action", "at": "2026-01-05T09:33:10.204Z", "group": "shop-spot",
            "instance": "i-0a11ce0000000001d", "hook": "evenkeel-terminate",
            "token": "7c0ffee0-0000-4000-8000-000000000004", "transition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "origin": "AutoScalingGroup", "destination": "EC2" }),
            trigger!({ "trigger": "beat", "fleet": "shop", "at": "2026-01-05T09:30:20Z" })],
        ),
        (
            "ssm-compliance-state-change.json",
            vec![trigger!({ "trigger": "compliance", "at": "2026-01-05T04:00:31Z", "instance": "i-0ba5e00000000001d",
            "compliance_type": "Patch", "status": "NON_COMPLIANT" })],
        ),
        (
            "ssm-parameter-change.json",
            vec![trigger!({ "trigger": "parameter", "at": "2026-01-05T10:15:00Z", "parameter": "/evenkeel/fleets/shop",
            "operation": "Update" })],
        ),
        (
            "tick-rule.json",
            vec![trigger!({ "trigger": "tick", "at": "2026-01-05T09:30:00Z", "rule": "evenkeel-tick" })],
        ),
        (
            "tick-scheduler.json",
            vec![trigger!({ "trigger": "tick", "at": "2026-01-05T09:30:00Z", "rule": "evenkeel/tick" })],
        ),
        ("unknown-kind.json", vec![unknown("aws.ssm/Calendar State Change")]),
    ]
}

#[test]
fn every_sample_becomes_what_it_shows() {
    let expected: BTreeMap<_, _> = table().into_iter().collect();
    let files = common::files(&common::samples());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, expected.keys().copied().collect::<Vec<_>>(), "the table and the folder differ");
    for (name, text) in &files {
        let items: Vec<_> = read(text.as_bytes()).items.into_iter().map(becomes).collect();
        assert_eq!(&items, &expected[name.as_str()], "{name}");
    }
}

#[test]
fn every_kind_of_trigger_has_a_sample() {
    let table = table();
    let becomes = table.iter().flat_map(|(_, becomes)| becomes);
    let mut kinds: Vec<_> = becomes
        .filter_map(|becomes| match becomes {
            Becomes::Trigger(trigger) => Some(trigger.kind()),
            Becomes::Unknown(_) | Becomes::Malformed(_) => None,
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 18, "{kinds:?}");
}

#[test]
fn every_sample_survives_every_wrapper() {
    // SQS, SNS and SNS in SQS change nothing but the place of a problem and the message it came in.
    for (name, text) in common::files(&common::samples()) {
        let plain: Vec<_> = read(text.as_bytes()).items.into_iter().map(becomes).collect();
        let sqs = common::in_sqs(&text);
        let wrapped = [
            (sqs.clone(), "Records[0].body."),
            (common::in_sns(&text), "Records[0].Sns.Message."),
            (common::in_sqs(&common::notification(&text)), "Records[0].body.Message."),
        ];
        for (payload, place) in wrapped {
            let items = read(payload.as_bytes()).items;
            assert!(items.iter().all(|item| item.message.is_some() == payload.contains("aws:sqs")), "{name}");
            let plain: Vec<_> = plain.iter().map(|becomes| at(place, becomes)).collect();
            assert_eq!(items.into_iter().map(self::becomes).collect::<Vec<_>>(), plain, "{name}");
        }
    }
}

fn at(place: &str, becomes: &Becomes) -> Becomes {
    match becomes {
        Becomes::Trigger(trigger) => Becomes::Trigger(trigger.clone()),
        Becomes::Unknown(kind) => Becomes::Unknown(kind.clone()),
        Becomes::Malformed(problem) => Becomes::Malformed(format!("{place}{problem}")),
    }
}
