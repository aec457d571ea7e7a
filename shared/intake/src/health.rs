//! Events of AWS Health.

use std::collections::BTreeSet;

use evenkeel_model::ids::InstanceId;
use evenkeel_model::trigger::{EventTypeCode, HealthCategory, HealthEvent, Trigger};

use crate::event::Event;
use crate::malformed::{Malformed, Reason};
use crate::object::Object;
use crate::{Reading, arn};

/// AWS Health user guide, "Amazon EventBridge event schema". One event may be about many hosts; it may also be about
/// volumes, reservations or the account, and then names no host.
pub(crate) fn event(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let code: EventTypeCode = detail.id("eventTypeCode")?;
    // `AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED` and its kin are about instances and nothing else.
    let about_instances = code.as_str().starts_with("AWS_EC2_INSTANCE_");
    // AWS Health user guide, "Event and entity status": an event is open, upcoming or closed, an entity perhaps RESOLVED.
    let closed = detail.text("statusCode")?.is_some_and(|status| status == "closed");
    let (mut instances, mut over) = (BTreeSet::new(), BTreeSet::new());
    for (index, json) in detail.list("affectedEntities")?.into_iter().enumerate() {
        let entity = Object::parse(json).and_then(|entity| {
            let resolved = entity.text("status")?.is_some_and(|status| status == "RESOLVED");
            Ok((instance(&entity, about_instances)?, resolved))
        });
        let (id, resolved) = entity.map_err(|problem| problem.inside(&format!("affectedEntities[{index}]")))?;
        if closed || resolved { &mut over } else { &mut instances }.extend(id);
    }
    if about_instances && instances.is_empty() && over.is_empty() {
        return Err(Malformed::at("affectedEntities", Reason::Missing));
    }
    Ok(Reading::Trigger(Trigger::Health(HealthEvent {
        at: event.at,
        code,
        category: detail.maybe_word("eventTypeCategory").unwrap_or(HealthCategory::Other),
        starts: detail.time("startTime"),
        ends: detail.time("endTime"),
        instances: instances.into_iter().collect(),
        over: over.into_iter().collect(),
    })))
}

/// An entity is an instance by its id or ARN, or because the whole event is about instances.
fn instance(entity: &Object<'_>, about_instances: bool) -> Result<Option<InstanceId>, Malformed> {
    let Some(value) = entity.text("entityValue")? else { return Ok(None) };
    let named = arn::resource(&value).and_then(|path| path.strip_prefix("instance/"));
    let id = match named {
        Some(id) => id,
        None if about_instances || value.starts_with("i-") => &value,
        None => return Ok(None),
    };
    id.parse().map(Some).map_err(|problem| Malformed::at("entityValue", Reason::Id(problem)))
}
