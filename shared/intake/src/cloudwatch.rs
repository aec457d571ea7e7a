//! A CloudWatch alarm's change of state, in the three ways it travels.

use evenkeel_model::trigger::{AlarmChange, AlarmState, Trigger};
use jiff::Timestamp;

use crate::Reading;
use crate::event::Event;
use crate::malformed::{Malformed, Reason};
use crate::object::Object;

/// Through EventBridge (CloudWatch user guide, "Alarm events and EventBridge").
pub(crate) fn change(event: &Event<'_>) -> Result<Reading, Malformed> {
    alarm(&event.detail, event.at)
}

/// As the alarm's own Lambda action (CloudWatch user guide, "Invoke a Lambda function from an alarm"): `alarmData` is
/// what EventBridge calls `detail`.
pub(crate) fn direct(action: &Object<'_>) -> Result<Reading, Malformed> {
    let json = action.json("alarmData")?;
    let read = || alarm(&Object::parse(&json)?, action.time("time"));
    read().map_err(|problem| problem.inside("alarmData"))
}

/// As the alarm's SNS action: flat, with other names (CloudWatch user guide, "Notifying users on alarm changes").
pub(crate) fn notification(body: &Object<'_>) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::Alarm(AlarmChange {
        at: body.time("StateChangeTime"),
        alarm: body.id("AlarmName")?,
        state: body.word("NewStateValue")?,
        previous: body.maybe_word("OldStateValue"),
        reason: body.note("NewStateReason"),
    })))
}

fn alarm(data: &Object<'_>, sent: Option<Timestamp>) -> Result<Reading, Malformed> {
    let json = data.raw("state").ok_or_else(|| Malformed::at("state", Reason::Missing))?;
    let now = || {
        let state = Object::parse(json)?;
        Ok((state.word::<AlarmState>("value")?, state.time("timestamp"), state.note("reason")))
    };
    let (state, changed, reason) = now().map_err(|problem: Malformed| problem.inside("state"))?;
    Ok(Reading::Trigger(Trigger::Alarm(AlarmChange {
        // The state's own time has milliseconds; the envelope's does not.
        at: changed.or(sent),
        alarm: data.id("alarmName")?,
        state,
        // A composite alarm's events, and old ones, may lack it.
        previous: data.raw("previousState").and_then(|json| Object::parse(json).ok()?.maybe_word("value")),
        reason,
    })))
}
