//! Events of Amazon EC2 Auto Scaling, through EventBridge and as notifications straight to SQS or SNS.

use evenkeel_model::trigger::{InstanceRefresh, LifecycleAction, RefreshState, ScalingActivity, ScalingKind, Trigger};
use jiff::Timestamp;

use crate::Reading;
use crate::event::Event;
use crate::malformed::{Malformed, Reason};
use crate::object::Object;

/// Sent once when a hook or a notification is set up (Auto Scaling user guide, "Test the notification"). It names no
/// instance, or an invented one, and must be taken without error.
const TEST: &str = "autoscaling:TEST_NOTIFICATION";

/// A lifecycle action through EventBridge.
pub(crate) fn lifecycle(event: &Event<'_>) -> Result<Reading, Malformed> {
    if is_test(&event.detail) {
        return Ok(Reading::unknown(TEST));
    }
    action(&event.detail, event.at)
}

/// A launch or a termination, done or refused.
pub(crate) fn activity(event: &Event<'_>, activity: ScalingKind, succeeded: bool) -> Result<Reading, Malformed> {
    scaling(&event.detail, event.at, activity, succeeded)
}

/// An instance refresh.
pub(crate) fn refresh(event: &Event<'_>, state: RefreshState) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::InstanceRefresh(InstanceRefresh {
        at: event.at,
        group: event.detail.id("AutoScalingGroupName")?,
        refresh: event.detail.id("InstanceRefreshId")?,
        state,
    })))
}

/// A notification that a group sent to a queue or topic itself: the fields of the event, without an envelope (Auto
/// Scaling user guide, "Configure a notification target" for hooks, "Amazon SNS notifications" for activities).
pub(crate) fn notification(body: &Object<'_>) -> Result<Reading, Malformed> {
    if is_test(body) {
        return Ok(Reading::unknown(TEST));
    }
    let at = body.time("Time");
    if body.has("LifecycleTransition") {
        return action(body, at);
    }
    match body.required_text("Event")?.as_ref() {
        "autoscaling:EC2_INSTANCE_LAUNCH" => scaling(body, at, ScalingKind::Launch, true),
        "autoscaling:EC2_INSTANCE_LAUNCH_ERROR" => scaling(body, at, ScalingKind::Launch, false),
        "autoscaling:EC2_INSTANCE_TERMINATE" => scaling(body, at, ScalingKind::Terminate, true),
        "autoscaling:EC2_INSTANCE_TERMINATE_ERROR" => scaling(body, at, ScalingKind::Terminate, false),
        other if other.starts_with("autoscaling:") => Ok(Reading::unknown(other)),
        other => {
            let problem = format!("{:?} is not an event of Auto Scaling", other.chars().take(80).collect::<String>());
            Err(Malformed::at("Event", Reason::NotAWord { problem }))
        }
    }
}

fn is_test(detail: &Object<'_>) -> bool {
    ["LifecycleTransition", "Event"]
        .iter()
        .any(|name| detail.text(name).is_ok_and(|text| text.as_deref() == Some(TEST)))
}

fn action(detail: &Object<'_>, at: Option<Timestamp>) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::LifecycleAction(LifecycleAction {
        at,
        group: detail.id("AutoScalingGroupName")?,
        instance: detail.id("EC2InstanceId")?,
        hook: detail.id("LifecycleHookName")?,
        token: detail.maybe_id("LifecycleActionToken")?,
        transition: detail.word("LifecycleTransition")?,
        origin: detail.maybe_word("Origin"),
        destination: detail.maybe_word("Destination"),
    })))
}

fn scaling(
    detail: &Object<'_>,
    at: Option<Timestamp>,
    activity: ScalingKind,
    succeeded: bool,
) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::ScalingActivity(ScalingActivity {
        at,
        group: detail.id("AutoScalingGroupName")?,
        instance: detail.maybe_id("EC2InstanceId")?,
        activity,
        succeeded,
        status_code: detail.note("StatusCode"),
        message: detail.note("StatusMessage"),
        cause: detail.note("Cause"),
    })))
}
