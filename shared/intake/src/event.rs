//! An event as the readers of each source see it.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::object::Object;

/// What the envelope says and what it holds (EventBridge user guide, "Events structure").
pub(crate) struct Event<'a> {
    pub(crate) at: Option<Timestamp>,
    pub(crate) detail: Object<'a>,
    envelope: &'a Object<'a>,
}

impl<'a> Event<'a> {
    pub(crate) const fn new(at: Option<Timestamp>, detail: Object<'a>, envelope: &'a Object<'a>) -> Self {
        Self { at, detail, envelope }
    }

    /// The ARNs of what the event is about. Not to be trusted for EC2: a spot warning's has the zone where the region
    /// belongs, and no account.
    pub(crate) fn resources(&self) -> Vec<Cow<'a, str>> {
        self.envelope.texts("resources")
    }
}
