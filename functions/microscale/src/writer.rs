//! Whose a service's count is: this function's, or somebody else's.

use std::time::Duration;

use evenkeel_model::Timestamp;
use evenkeel_model::report::Wait;
use evenkeel_turn::OLD_ANSWERS;

use crate::books::{Books, ServiceBook};
use crate::state::{Memory, State};

/// After somebody else set a count, it is left alone this long: no tug of war, and no forgotten override either.
const FOREIGN_HOLD: Duration = Duration::from_secs(60);
/// Why which service's count is not ours to set now, in the books' order. Where an answer is older than our last write, the
/// books are corrected.
pub(crate) fn left_alone(books: &mut Books<'_>, state: &mut State, now: Timestamp) -> Vec<Option<Wait>> {
    let why = |book: &mut ServiceBook<'_>| {
        let service = book.name().clone();
        let memory = state.services.entry(service.clone()).or_default();
        let Some(ecs) = book.ecs else { return Some(Wait::NoSuchService { service }) };
        if let Some(because) = ecs.hands_off {
            memory.forget_count();
            return Some(Wait::HandsOff { service, because });
        }
        set_by_others(book, memory, now)
    };
    books.services.iter_mut().map(why).collect()
}

/// Notes the count that was found, and says why it is left alone if somebody else has set it.
fn set_by_others(book: &mut ServiceBook<'_>, memory: &mut Memory, now: Timestamp) -> Option<Wait> {
    let service = book.name().clone();
    memory.replaced.retain(|(_, at)| now.duration_since(*at).unsigned_abs() <= OLD_ANSWERS);
    if let Some(wrote) = memory.wrote
        && wrote != book.desired
        && memory.writing != Some(book.desired)
    {
        if memory.replaced.iter().any(|(count, _)| *count == book.desired) {
            book.desired = wrote;
        } else {
            memory.count_is(book.desired, now);
            memory.writing = None;
            memory.foreign_until = Some(now + FOREIGN_HOLD);
            return Some(Wait::ForeignWriter { service, wrote, found: book.desired });
        }
    }
    memory.count_is(book.desired, memory.changed.unwrap_or(now));
    book.perhaps = memory.writing.filter(|writing| *writing != book.desired);
    match memory.foreign_until {
        Some(until) if now < until => Some(Wait::ForeignWriter { service, wrote: book.desired, found: book.desired }),
        Some(_) | None => {
            memory.foreign_until = None;
            None
        }
    }
}

impl Memory {
    /// A count is about to be written. One that was perhaps written before may be what a late answer says.
    pub(crate) fn begins(&mut self, count: u32, now: Timestamp) {
        self.changed = Some(now);
        if let Some(perhaps) = self.writing.replace(count) {
            self.was(perhaps, count, now);
        }
    }

    /// The count is `count` since `at`; an answer that comes late may say what it was before.
    pub(crate) fn count_is(&mut self, count: u32, at: Timestamp) {
        if let Some(before) = self.wrote.replace(count) {
            self.was(before, count, at);
        }
    }

    fn was(&mut self, before: u32, count: u32, at: Timestamp) {
        if before != count {
            self.replaced.retain(|(other, _)| *other != before && *other != count);
            self.replaced.push((before, at));
        }
    }

    /// The count is somebody else's; what they leave behind is not an intrusion.
    pub(crate) fn forget_count(&mut self) {
        self.wrote = None;
        self.writing = None;
        self.replaced.clear();
    }
}
