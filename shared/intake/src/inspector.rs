//! Findings of Amazon Inspector.

use std::collections::BTreeSet;

use evenkeel_model::ids::InstanceId;
use evenkeel_model::trigger::{Finding, Severity, Trigger};

use crate::Reading;
use crate::event::Event;
use crate::malformed::Malformed;
use crate::object::Object;

/// Inspector user guide, "Amazon EventBridge schema for Amazon Inspector events". Findings about container images and
/// functions come too; they name no host.
pub(crate) fn finding(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let mut instances = BTreeSet::new();
    for (index, json) in detail.list("resources")?.into_iter().enumerate() {
        let resource = Object::parse(json).and_then(|resource| instance(&resource));
        instances.extend(resource.map_err(|problem| problem.inside(&format!("resources[{index}]")))?);
    }
    Ok(Reading::Trigger(Trigger::Finding(Finding {
        at: event.at,
        status: detail.word("status")?,
        kind: detail.word("type")?,
        severity: detail.maybe_word("severity").unwrap_or(Severity::Other),
        instances: instances.into_iter().collect(),
    })))
}

fn instance(resource: &Object<'_>) -> Result<Option<InstanceId>, Malformed> {
    match resource.text("type")?.as_deref() {
        Some("AWS_EC2_INSTANCE") => resource.id("id").map(Some),
        Some(_) | None => Ok(None),
    }
}
