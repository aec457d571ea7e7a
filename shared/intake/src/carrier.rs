//! Takes events out of what carried them: SQS batches, SNS notifications, and one in the other.

use std::borrow::Cow;

use crate::malformed::{Malformed, Reason};
use crate::object::Object;
use crate::{Intake, Item, MAX_DEPTH, MAX_ITEMS, MessageId, Reading, autoscaling, cloudwatch, eventbridge, manual};

/// Reads a payload, taking off whatever it is wrapped in.
pub(crate) fn unwrap(text: &str) -> Intake {
    let mut items = Vec::new();
    open(&Wrapped { text, place: "", message: None, depth: 0 }, &mut items);
    Intake { items }
}

/// Something that may hold an event, or a wrapper of one.
struct Wrapped<'a> {
    text: &'a str,
    /// Where it lies in the payload.
    place: &'a str,
    /// The outermost SQS message around it: the only one that Lambda can be told about.
    message: Option<&'a MessageId>,
    depth: usize,
}

impl Wrapped<'_> {
    fn item(&self, reading: Result<Reading, Malformed>) -> Item {
        Item { message: self.message.cloned(), reading: reading.map_err(|problem| problem.inside(self.place)) }
    }
}

fn open(wrapped: &Wrapped<'_>, items: &mut Vec<Item>) {
    let object = match Object::parse(wrapped.text) {
        Ok(object) => object,
        Err(problem) => return items.push(wrapped.item(Err(problem))),
    };
    let opened = if object.has("Records") {
        records(&object, wrapped, items)
    } else if object.has("TopicArn") && object.has("Type") {
        // SNS in SQS: what a queue gets from a topic without raw message delivery.
        notification(&object, wrapped, items)
    } else {
        event(&object).map(|reading| items.push(wrapped.item(Ok(reading))))
    };
    if let Err(problem) = opened {
        items.push(wrapped.item(Err(problem)));
    }
}

fn records(batch: &Object<'_>, wrapped: &Wrapped<'_>, items: &mut Vec<Item>) -> Result<(), Malformed> {
    for (index, json) in batch.list("Records")?.into_iter().enumerate() {
        let place = join(wrapped.place, &format!("Records[{index}]"));
        let inner = Wrapped { text: json, place: &place, ..*wrapped };
        if items.len() >= MAX_ITEMS {
            items.push(inner.item(Err(Malformed::here(Reason::TooMany))));
            break;
        }
        if let Err(problem) = record(&inner, items) {
            items.push(inner.item(Err(problem)));
        }
    }
    Ok(())
}

/// One record of an SQS batch or of an SNS event (Lambda developer guide, "Using Lambda with SQS" and "with SNS"). SQS
/// writes its fields in lower case, SNS in upper case.
fn record(wrapped: &Wrapped<'_>, items: &mut Vec<Item>) -> Result<(), Malformed> {
    let record = Object::parse(wrapped.text)?;
    let source = match record.text("eventSource")? {
        Some(source) => source,
        None => record.required_text("EventSource")?,
    };
    match source.as_ref() {
        "aws:sqs" => {
            let own = MessageId(record.required_text("messageId")?.as_ref().into());
            let message = Some(wrapped.message.unwrap_or(&own));
            let inner = Wrapped { message, ..*wrapped };
            match record.required_text("body") {
                Ok(body) => deeper(&body, "body", &inner, items),
                // A message that says nothing is still one that Lambda has to be told about.
                Err(problem) => items.push(inner.item(Err(problem))),
            }
            Ok(())
        }
        "aws:sns" => {
            let json = record.json("Sns")?;
            let place = join(wrapped.place, "Sns");
            let notice = Object::parse(&json).map_err(|problem| problem.inside("Sns"))?;
            let inner = Wrapped { place: &place, ..*wrapped };
            notification(&notice, &inner, items).map_err(|problem| problem.inside("Sns"))
        }
        other => {
            items.push(wrapped.item(Ok(Reading::unknown(&format!("record of {other}")))));
            Ok(())
        }
    }
}

fn notification(notice: &Object<'_>, wrapped: &Wrapped<'_>, items: &mut Vec<Item>) -> Result<(), Malformed> {
    // SNS developer guide, "Parsing message formats": the other types are about the subscription itself.
    let kind = notice.text("Type")?.unwrap_or(Cow::Borrowed("Notification"));
    if kind != "Notification" {
        items.push(wrapped.item(Ok(Reading::unknown(&format!("SNS {kind}")))));
        return Ok(());
    }
    deeper(&notice.required_text("Message")?, "Message", wrapped, items);
    Ok(())
}

/// Goes on with what a wrapper carried as JSON in a string: the only step that nests, so depth is counted here.
fn deeper(text: &str, name: &str, around: &Wrapped<'_>, items: &mut Vec<Item>) {
    let place = join(around.place, name);
    let inner = Wrapped { text, place: &place, message: around.message, depth: around.depth + 1 };
    if inner.depth > MAX_DEPTH {
        return items.push(inner.item(Err(Malformed::here(Reason::TooDeep))));
    }
    open(&inner, items);
}

fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
}

/// Reads an event by its shape: there is no field that all senders share.
fn event(object: &Object<'_>) -> Result<Reading, Malformed> {
    if object.has("alarmData") {
        return cloudwatch::direct(object);
    }
    if object.has("detail-type") {
        return eventbridge::read(object);
    }
    if object.has("AlarmName") && object.has("NewStateValue") {
        return cloudwatch::notification(object);
    }
    if object.has("LifecycleTransition") || object.has("AutoScalingGroupName") {
        return autoscaling::notification(object);
    }
    if manual::asks(object) {
        return manual::read(object);
    }
    Ok(Reading::unknown("object of no known shape"))
}
