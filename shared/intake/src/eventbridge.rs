//! The envelope of EventBridge, and which reader its `source` and `detail-type` ask for.

use evenkeel_model::trigger::{RefreshState, RuleName, ScalingKind, Tick, Trigger};

use crate::event::Event;
use crate::malformed::Malformed;
use crate::object::Object;
use crate::{Reading, arn, autoscaling, cloudwatch, ec2, ecs, health, inspector, ssm};

/// Reads an event that came through a rule, or from EventBridge Scheduler.
pub(crate) fn read(envelope: &Object<'_>) -> Result<Reading, Malformed> {
    let source = envelope.required_text("source")?;
    let detail_type = envelope.required_text("detail-type")?;
    let at = envelope.time("time");
    if let ("aws.events" | "aws.scheduler", "Scheduled Event") = (source.as_ref(), detail_type.as_ref()) {
        // Its detail is `{}` from a rule and `"{}"` from a schedule: there is nothing in it to read.
        return Ok(Reading::Trigger(Trigger::Tick(Tick { at, rule: rule(envelope) })));
    }
    let Some(reader) = reader(&source, &detail_type) else {
        return Ok(Reading::unknown(&format!("{source}/{detail_type}")));
    };
    let json = envelope.json("detail")?;
    let read = || reader(&Event::new(at, Object::parse(&json)?, envelope));
    // ECS names the service of some events in the envelope alone; its details have no field of that name.
    let in_envelope = |problem: &Malformed| source == "aws.ecs" && problem.place == "resources";
    read().map_err(|problem| if in_envelope(&problem) { problem } else { problem.inside("detail") })
}

type Reader = fn(&Event<'_>) -> Result<Reading, Malformed>;

/// The kinds we know. Nothing else is read, not even when it looks alike: anybody in the account may send events.
fn reader(source: &str, detail_type: &str) -> Option<Reader> {
    Some(match (source, detail_type) {
        ("aws.ec2", "EC2 Spot Instance Interruption Warning") => ec2::interruption,
        ("aws.ec2", "EC2 Instance Rebalance Recommendation") => ec2::rebalance,
        ("aws.ec2", "EC2 Instance State-change Notification") => ec2::state,
        ("aws.autoscaling", kind) => return autoscaling_reader(kind),
        ("aws.ecs", "ECS Task State Change") => ecs::task,
        ("aws.ecs", "ECS Container Instance State Change") => ecs::container_instance,
        ("aws.ecs", "ECS Service Action") => ecs::service,
        ("aws.ecs", "ECS Deployment State Change") => ecs::deployment,
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => cloudwatch::change,
        ("aws.health", "AWS Health Event") => health::event,
        ("aws.inspector2", "Inspector2 Finding") => inspector::finding,
        ("aws.ssm", "Configuration Compliance State Change") => ssm::compliance,
        ("aws.ssm", "Parameter Store Change") => ssm::parameter,
        _ => return None,
    })
}

/// Auto Scaling user guide, "EventBridge event reference": the outcome is in the name, not in the detail.
fn autoscaling_reader(detail_type: &str) -> Option<Reader> {
    Some(match detail_type {
        "EC2 Instance-launch Lifecycle Action" | "EC2 Instance-terminate Lifecycle Action" => autoscaling::lifecycle,
        "EC2 Instance Launch Successful" => |event| autoscaling::activity(event, ScalingKind::Launch, true),
        "EC2 Instance Launch Unsuccessful" => |event| autoscaling::activity(event, ScalingKind::Launch, false),
        "EC2 Instance Terminate Successful" => |event| autoscaling::activity(event, ScalingKind::Terminate, true),
        "EC2 Instance Terminate Unsuccessful" => |event| autoscaling::activity(event, ScalingKind::Terminate, false),
        "EC2 Auto Scaling Instance Refresh Started" => |event| autoscaling::refresh(event, RefreshState::Started),
        "EC2 Auto Scaling Instance Refresh Succeeded" => |event| autoscaling::refresh(event, RefreshState::Succeeded),
        "EC2 Auto Scaling Instance Refresh Failed" => |event| autoscaling::refresh(event, RefreshState::Failed),
        "EC2 Auto Scaling Instance Refresh Cancelled" => |event| autoscaling::refresh(event, RefreshState::Cancelled),
        _ => return None,
    })
}

/// Which rule (`rule/NAME`, `rule/BUS/NAME`) or schedule (`schedule/GROUP/NAME`) ticked, where the event says so.
fn rule(envelope: &Object<'_>) -> Option<RuleName> {
    envelope.texts("resources").iter().find_map(|arn| {
        let (kind, name) = arn::resource(arn)?.split_once('/')?;
        matches!(kind, "rule" | "schedule").then(|| name.parse().ok())?
    })
}
