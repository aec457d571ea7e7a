//! AWS's words and numbers in the model's types, and many calls at once.

use std::future::Future;
use std::vec::IntoIter;

use aws_smithy_types::DateTime;
use evenkeel_model::Timestamp;
use evenkeel_turn::ports::Answer;
use futures_util::stream::{Buffered, Iter, StreamExt, TryCollect, TryStreamExt, iter};

/// Calls of one kind that are under way at once: enough for the latency, few enough for AWS's token buckets.
const AT_ONCE: usize = 8;

/// Makes all calls, some at once, and gives their answers in order; the first error ends it.
///
/// The calls are collected first, so that the future's type does not name the closure that made them: the compiler cannot
/// see that such a future is `Send` (rust-lang/rust#102211).
pub(crate) fn all<T, F>(calls: impl IntoIterator<Item = F>) -> TryCollect<Buffered<Iter<IntoIter<F>>>, Vec<T>>
where
    F: Future<Output = Answer<T>>,
{
    let calls: Vec<F> = calls.into_iter().collect();
    iter(calls).buffered(AT_ONCE).try_collect()
}

/// AWS counts with signed numbers; none of ours is below zero.
pub(crate) fn count(number: Option<i32>) -> u32 {
    u32::try_from(number.unwrap_or(0)).unwrap_or(0)
}

pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

/// An id behind the door; one that no id of ours can be is nothing of ours.
pub(crate) fn id<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}
