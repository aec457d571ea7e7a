//! Events of Amazon EC2.

use evenkeel_model::ids::InstanceId;
use evenkeel_model::trigger::{
    InstanceStateChange, InterruptionAction, RebalanceRecommendation, SpotInterruption, Trigger,
};

use crate::Reading;
use crate::event::Event;
use crate::malformed::Malformed;
use crate::object::{Object, word};

pub(crate) fn interruption(event: &Event<'_>) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::SpotInterruption(SpotInterruption {
        at: event.at,
        instance: instance(&event.detail)?,
        // A warning that does not say what will be done is a warning all the same.
        action: event.detail.maybe_word("instance-action").unwrap_or(InterruptionAction::Other),
    })))
}

pub(crate) fn rebalance(event: &Event<'_>) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::RebalanceRecommendation(RebalanceRecommendation {
        at: event.at,
        instance: instance(&event.detail)?,
    })))
}

pub(crate) fn state(event: &Event<'_>) -> Result<Reading, Malformed> {
    // EC2 writes lower case; transformed events were seen in upper case.
    let state = event.detail.required_text("state")?.to_ascii_lowercase();
    Ok(Reading::Trigger(Trigger::InstanceState(InstanceStateChange {
        at: event.at,
        instance: instance(&event.detail)?,
        state: word(&state).map_err(|reason| Malformed::at("state", reason))?,
    })))
}

/// EC2 writes `instance-id`; events replayed from an archive were seen with `instance_id`. The ids in `resources` are no
/// help: where both are there and differ, the detail is right.
fn instance(detail: &Object<'_>) -> Result<InstanceId, Malformed> {
    match detail.maybe_id("instance_id")? {
        Some(id) if !detail.has("instance-id") => Ok(id),
        Some(_) | None => detail.id("instance-id"),
    }
}
