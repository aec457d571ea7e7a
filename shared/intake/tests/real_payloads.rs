//! Payloads that nobody on this project wrote: captured ones, and the samples of AWS's documentation and of other
//! projects. They lie outside of the repository, because not all of their licences allow to pass them on; without them
//! the test says so and ends.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel_intake::{Reading, read};
use serde_json::Value;

const FOLDER: &str = "../../../shared/data/events";

/// What each becomes: kind, time, the names of the ids it carries, and the words it says. The ids themselves are looked
/// up in the payload.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("alarmdata-cloudwatch-alarm-lambda-action__captured-alarmdata-single-2024-07-16.json", &[
        "alarm, 2024-07-16T13:14:42.817Z, alarm, previous=OK, state=ALARM",
    ]),
    ("alarmdata-cloudwatch-alarm-lambda-action__lambda-events-cloudwatch-alarm-composite-with-suppressor-alarm.json", &[
        "alarm, 2022-07-22T15:57:45.394Z, alarm, previous=OK, state=ALARM",
    ]),
    ("alarmdata-cloudwatch-alarm-lambda-action__powertools-cloudwatchalarmeventsinglemetric.json", &[
        "alarm, 2024-02-17T11:53:08.431Z, alarm, previous=OK, state=ALARM",
    ]),
    ("asg-lifecycle-notification-direct-to-sqs-sns__captured-asg-direct-2024-02-26.json", &[
        "lifecycle-action, 2024-02-26T04:53:24.631Z, destination=EC2, group, hook, instance, origin=AutoScalingGroup, token, transition=autoscaling:EC2_INSTANCE_TERMINATING",
    ]),
    ("asg-lifecycle-notification-direct-to-sqs-sns__nth-direct-sqs-test-notification.json", &[
        "unknown: autoscaling:TEST_NOTIFICATION",
    ]),
    ("asg-notification-sns-message-body__captured-asg-sns-scale-in-2022-12-23.json", &[
        "scaling-activity, 2022-12-23T19:17:20.123Z, activity=terminate, group, instance, succeeded=true",
    ]),
    ("asg-notification-sns-message-body__captured-asg-sns-terminate-2024-12-05.json", &[
        "scaling-activity, 2024-12-05T21:50:47.988Z, activity=terminate, group, instance, succeeded=true",
    ]),
    ("aws-health-event__awsdocs-cr-eventbridge-L25.json", &[
        "health, 2023-03-10T12:03:38Z, category=accountNotification, code, ends=2023-03-10T12:03:38Z, starts=2023-03-10T12:03:38Z",
    ]),
    ("aws-health-event__nth-health-dedicated-host-maintenance.json", &[
        "health, 2016-06-05T06:27:57Z, category=scheduledChange, code, instances, starts=2016-06-05T15:10:09Z",
    ]),
    ("calendar-state-change__awsdocs-monitoring-systems-manager-e-L78.json", &[
        "unknown: aws.ssm/Calendar State Change",
    ]),
    ("cloudtrail-bidevictedevent-record__captured-bidevicted-2026-07-28.json", &[
        "unknown: object of no known shape",
    ]),
    ("cloudwatch-alarm-configuration-change__awsdocs-cloudwatch-and-eventbridge-L266.json", &[
        "unknown: aws.cloudwatch/CloudWatch Alarm Configuration Change",
    ]),
    ("cloudwatch-alarm-configuration-change__awsdocs-cloudwatch-and-eventbridge-L389.json", &[
        "unknown: aws.cloudwatch/CloudWatch Alarm Configuration Change",
    ]),
    ("cloudwatch-alarm-configuration-change__awsdocs-cloudwatch-and-eventbridge-L516.json", &[
        "unknown: aws.cloudwatch/CloudWatch Alarm Configuration Change",
    ]),
    ("cloudwatch-alarm-state-change__awsdocs-cloudwatch-and-eventbridge-L137.json", &[
        "alarm, 2019-10-03T16:00:04.653Z, alarm, previous=OK, state=ALARM",
    ]),
    ("cloudwatch-alarm-state-change__awsdocs-cloudwatch-and-eventbridge-L65.json", &[
        "alarm, 2019-10-02T17:20:48.554Z, alarm, previous=INSUFFICIENT_DATA, state=ALARM",
    ]),
    ("configuration-compliance-state-change__awsdocs-monitoring-systems-manager-e-L126.json", &[
        "compliance, 2017-07-17T19:03:26Z, compliance_type=Association, instance, status=COMPLIANT",
    ]),
    ("configuration-compliance-state-change__awsdocs-monitoring-systems-manager-e-L174.json", &[
        "unknown: aws.123456789012/Configuration Compliance State Change",
    ]),
    ("ec2-ami-state-change__awsdocs-monitor-ami-events-L105.json", &[
        "unknown: aws.ec2/EC2 AMI State Change",
    ]),
    ("ec2-ami-state-change__awsdocs-monitor-ami-events-L80.json", &[
        "unknown: aws.ec2/EC2 AMI State Change",
    ]),
    ("ec2-auto-scaling-instance-refresh-cancelled__awsdocs-ec2-auto-scaling-event-refer-L322.json", &[
        "instance-refresh, at an unknown time, group, refresh, state=cancelled",
    ]),
    ("ec2-auto-scaling-instance-refresh-failed__awsdocs-ec2-auto-scaling-event-refer-L299.json", &[
        "instance-refresh, at an unknown time, group, refresh, state=failed",
    ]),
    ("ec2-auto-scaling-instance-refresh-succeeded__awsdocs-ec2-auto-scaling-event-refer-L276.json", &[
        "instance-refresh, at an unknown time, group, refresh, state=succeeded",
    ]),
    ("ec2-automation-step-status-change-notification__awsdocs-monitoring-systems-manager-e-L18.json", &[
        "unknown: aws.ssm/EC2 Automation Step Status-change Notification",
    ]),
    ("ec2-command-status-change-notification__awsdocs-monitoring-systems-manager-e-L433.json", &[
        "unknown: aws.ssm/EC2 Command Status-change Notification",
    ]),
    ("ec2-fleet-information__awsdocs-ec2-fleet-event-types-L162.json", &[
        "unknown: aws.ec2fleet/EC2 Fleet Information",
    ]),
    ("ec2-fleet-spot-instance-request-change__awsdocs-ec2-fleet-event-types-L85.json", &[
        "unknown: aws.ec2fleet/EC2 Fleet Spot Instance Request Change",
    ]),
    ("ec2-instance-launch-lifecycle-action__awsdocs-ec2-auto-scaling-event-refer-L29.json", &[
        "lifecycle-action, at an unknown time, group, hook, instance, token, transition=autoscaling:EC2_INSTANCE_LAUNCHING",
    ]),
    ("ec2-instance-launch-lifecycle-action__awsdocs-warm-pools-eventbridge-event-L65.json", &[
        "lifecycle-action, 2021-01-19T00:35:52.359Z, destination=AutoScalingGroup, group, hook, instance, origin=WarmPool, token, transition=autoscaling:EC2_INSTANCE_LAUNCHING",
    ]),
    ("ec2-instance-launch-lifecycle-action__captured-asg-launch-2020-10-20.json", &[
        "lifecycle-action, 2020-10-20T05:47:36Z, group, hook, instance, token, transition=autoscaling:EC2_INSTANCE_LAUNCHING",
    ]),
    ("ec2-instance-launch-lifecycle-action__nth-asg-launch-nth-test1.json", &[
        "lifecycle-action, 2020-07-01T22:30:58Z, group, hook, instance, token, transition=autoscaling:EC2_INSTANCE_LAUNCHING",
    ]),
    ("ec2-instance-launch-successful__awsdocs-eb-event-patterns-null-value-L10.json", &[
        "malformed: detail.AutoScalingGroupName: missing",
    ]),
    ("ec2-instance-launch-unsuccessful__lambda-events-autoscaling-event-launch-unsuccessful.json", &[
        "scaling-activity, 1970-01-01T00:00:00Z, activity=launch, group, instance, succeeded=false",
    ]),
    ("ec2-instance-rebalance-recommendation__awsdocs-rebalance-recommendations-L44.json", &[
        "rebalance-recommendation, at an unknown time, instance",
    ]),
    ("ec2-instance-state-change-notification__awsdocs-eb-event-patterns-content-ba-L146.json", &[
        "instance-state, 2015-11-11T21:29:54Z, instance, state=pending",
    ]),
    ("ec2-instance-state-change-notification__awsdocs-eb-pipes-input-transformatio-L67.json", &[
        "instance-state, 2015-11-11T21:29:54Z, instance, state=running",
    ]),
    ("ec2-instance-state-change-notification__powertools-eventbridgeevent.json", &[
        "instance-state, 2017-12-22T18:43:48Z, instance, state=terminated",
    ]),
    ("ec2-instance-terminate-lifecycle-action__awsdocs-warm-pools-eventbridge-event-L123.json", &[
        "lifecycle-action, 2022-03-28T00:12:37.214Z, destination=WarmPool, group, hook, instance, origin=AutoScalingGroup, token, transition=autoscaling:EC2_INSTANCE_TERMINATING",
    ]),
    ("ec2-instance-terminate-lifecycle-action__nth-asg-terminate-nth-test1.json", &[
        "lifecycle-action, 2020-07-01T22:19:58Z, group, hook, instance, token, transition=autoscaling:EC2_INSTANCE_TERMINATING",
    ]),
    ("ec2-instance-terminate-lifecycle-action__nth-asg-test-notification.json", &[
        "unknown: autoscaling:TEST_NOTIFICATION",
    ]),
    ("ec2-instance-terminate-successful__awsdocs-ec2-auto-scaling-event-refer-L157.json", &[
        "scaling-activity, at an unknown time, activity=terminate, group, instance, succeeded=true",
    ]),
    ("ec2-instance-terminate-unsuccessful__lambda-events-autoscaling-event-terminate-unsuccessful.json", &[
        "scaling-activity, 1970-01-01T00:00:00Z, activity=terminate, group, instance, succeeded=false",
    ]),
    ("ec2-spot-fleet-error__awsdocs-spot-fleet-event-types-L198.json", &[
        "unknown: aws.ec2spotfleet/EC2 Spot Fleet Error",
    ]),
    ("ec2-spot-fleet-instance-change__awsdocs-spot-fleet-event-types-L122.json", &[
        "unknown: aws.ec2spotfleet/EC2 Spot Fleet Instance Change",
    ]),
    ("ec2-spot-fleet-state-change__awsdocs-spot-fleet-event-types-L29.json", &[
        "unknown: aws.ec2spotfleet/EC2 Spot Fleet State Change",
    ]),
    ("ec2-spot-instance-interruption-warning__awsdocs-spot-instance-termination-no-L15.json", &[
        "spot-interruption, at an unknown time, action=other, instance",
    ]),
    ("ec2-spot-instance-interruption-warning__captured-spot-itn-2020-03-27.json", &[
        "spot-interruption, 2020-03-27T08:50:06Z, action=terminate, instance",
    ]),
    ("ec2-spot-instance-interruption-warning__nth-spot-itn-empty-time.json", &[
        "spot-interruption, at an unknown time, action=terminate, instance",
    ]),
    ("ec2-state-manager-association-state-change__awsdocs-monitoring-systems-manager-e-L483.json", &[
        "unknown: aws.ssm/EC2 State Manager Association State Change",
    ]),
    ("ecs-container-instance-state-change__awsdocs-ecs-cwe-events-L50.json", &[
        "container-instance-state, 2016-12-06T16:41:06Z, agent_connected=true, cluster, container_instance, instance, status=ACTIVE, version=14801",
    ]),
    ("ecs-deployment-state-change__awsdocs-ecs-cwe-events-L513.json", &[
        "deployment-state, 2020-05-23T12:31:14Z, cluster, deployment, event=SERVICE_DEPLOYMENT_IN_PROGRESS, service",
    ]),
    ("ecs-deployment-state-change__awsdocs-ecs-cwe-events-L561.json", &[
        "deployment-state, 2020-05-23T12:31:14Z, cluster, deployment, event=SERVICE_DEPLOYMENT_COMPLETED, service",
    ]),
    ("ecs-service-action__awsdocs-ecs-cwe-events-L356.json", &[
        "service-action, 2019-11-19T19:27:22Z, cluster, event=SERVICE_STEADY_STATE, service",
    ]),
    ("ecs-service-action__awsdocs-ecs-cwe-events-L380.json", &[
        "service-action, 2019-11-19T19:37:00Z, cluster, event=CAPACITY_PROVIDER_STEADY_STATE, service",
    ]),
    ("ecs-service-action__awsdocs-ecs-cwe-events-L432.json", &[
        "service-action, 2019-11-19T19:55:38Z, cluster, event=SERVICE_TASK_PLACEMENT_FAILURE, service",
    ]),
    ("ecs-task-state-change__awsdocs-ecs-cwe-events-L209.json", &[
        "task-state, 2020-01-23T17:57:58Z, cluster, desired_status=RUNNING, last_status=RUNNING, task, version=4",
    ]),
    ("ecs-task-state-change__captured-ecs-task-2016-ec2-launch.json", &[
        "task-state, 2016-12-06T16:41:06Z, cluster, container_instance, desired_status=RUNNING, last_status=RUNNING, task, version=4",
    ]),
    ("ecs-task-state-change__captured-ecs-task-stopped-scale-in-2023-05-02.json", &[
        "task-state, 2023-05-02T15:29:11Z, cluster, desired_status=STOPPED, last_status=STOPPED, service, stop_code=ServiceSchedulerInitiated, task, version=6",
    ]),
    ("inspector2-finding__awsdocs-inspector2-ec2-package-2024-09-04.json", &[
        "finding, 2024-09-04T17:00:36Z, instances, kind=PACKAGE_VULNERABILITY, severity=MEDIUM, status=CLOSED",
    ]),
    ("maintenance-window-execution-state-change-noti__awsdocs-monitoring-systems-manager-e-L255.json", &[
        "unknown: aws.ssm/Maintenance Window Execution State-change Notification",
    ]),
    ("maintenance-window-target-registration-notific__awsdocs-monitoring-systems-manager-e-L230.json", &[
        "unknown: aws.ssm/Maintenance Window Target Registration Notification",
    ]),
    ("maintenance-window-task-target-invocation-stat__awsdocs-monitoring-systems-manager-e-L308.json", &[
        "unknown: aws.ssm/Maintenance Window Task Target Invocation State-change Notification",
    ]),
    ("parameter-store-change__awsdocs-monitoring-systems-manager-e-L385.json", &[
        "parameter, 2017-05-22T16:44:48Z, operation=Update, parameter",
    ]),
    ("parameter-store-change__awsdocs-parameter-store-ec2-aliases-L74.json", &[
        "parameter, 2020-05-26T22:04:42Z, operation=Create, parameter",
    ]),
    ("parameter-store-change__captured-ssm-create-2021-08-19.json", &[
        "parameter, 2021-08-19T06:26:38Z, operation=Create, parameter",
    ]),
    ("scheduled-event__awsdocs-eb-run-lambda-schedule-L98.json", &[
        "tick, 2015-10-08T16:53:06Z, rule",
    ]),
    ("sns-wrapped-cloudwatch-alarm__lambda-events-cloudwatch-alarm-sns-payload-multiple-metrics.json", &[
        "alarm, 2015-06-03T17:43:27.123Z, alarm, previous=INSUFFICIENT_DATA, state=ALARM",
        "alarm, 2015-06-03T17:43:27.123Z, alarm, previous=INSUFFICIENT_DATA, state=ALARM",
    ]),
    ("sqs-event-lambda-trigger__powertools-snssqsevent.json", &[
        "unknown: object of no known shape",
    ]),
];

const IDS: [&str; 14] = [
    "alarm",
    "cluster",
    "code",
    "container_instance",
    "deployment",
    "group",
    "hook",
    "instance",
    "instances",
    "parameter",
    "refresh",
    "rule",
    "service",
    "task",
];
const NOTES: [&str; 4] = ["cause", "message", "reason", "status_code"];

#[test]
fn every_payload_becomes_what_the_table_says() {
    if !Path::new(FOLDER).is_dir() {
        println!("skipped: there are no payloads in {FOLDER}");
        return;
    }
    let files = common::files(Path::new(FOLDER));
    let table: BTreeMap<_, _> = TABLE.iter().copied().collect();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, table.keys().copied().collect::<Vec<_>>(), "the table and the folder differ");
    for (name, text) in &files {
        let items = read(text.as_bytes()).items;
        let facts: Vec<_> = items
            .iter()
            .map(|item| match &item.reading {
                Ok(Reading::Trigger(trigger)) => facts(&serde_json::to_value(trigger).unwrap(), text),
                Ok(Reading::Unknown { kind }) => format!("unknown: {kind}"),
                Err(problem) => format!("malformed: {problem}"),
            })
            .collect();
        assert_eq!(facts, table[name.as_str()], "{name}");
    }
}

/// The line of the table for a trigger.
#[expect(clippy::unwrap_used, reason = "a trigger is a JSON object")]
fn facts(trigger: &Value, payload: &str) -> String {
    let fields: BTreeMap<_, _> = trigger.as_object().unwrap().iter().collect();
    let mut facts = vec![text(&trigger["trigger"]), trigger["at"].as_str().unwrap_or("at an unknown time").to_owned()];
    for (name, value) in fields {
        let name = name.as_str();
        let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if nothing || name == "trigger" || name == "at" || NOTES.contains(&name) {
            continue;
        }
        if name == "token" || IDS.contains(&name) {
            let ids = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            assert!(ids.iter().all(|id| payload.contains(&text(id))), "{name} {value} is not in the payload");
            facts.push(name.to_owned());
        } else {
            facts.push(format!("{name}={}", text(value)));
        }
    }
    facts.join(", ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
