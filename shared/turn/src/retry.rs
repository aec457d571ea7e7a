//! Tries a call again while the turn has time for it.

use std::future::Future;
use std::time::Duration;

use evenkeel_model::Timestamp;

use crate::ports::{Answer, Clock, PortError};

/// The pause before the second try; it doubles with each. AWS's SDKs start between 0 and 1 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// More tries than this only add load: a turn comes every few seconds anyway.
const MOST_TRIES: u32 = 4;

/// Makes `call`, again and again while its error is a passing one, the pauses grow, and `deadline` is not reached.
///
/// Safe for reads, and for every step that [may be repeated](evenkeel_model::decision::Step::may_be_repeated).
///
/// # Errors
/// The error of the last try.
pub async fn retry<C: Clock, T, F>(clock: &C, deadline: Timestamp, call: impl FnMut() -> F) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    retry_if(clock, deadline, PortError::is_passing, call).await
}

/// The same only where nothing can have been done: for what may not be done twice.
///
/// # Errors
/// The error of the last try.
pub async fn retry_throttled<C: Clock, T, F>(clock: &C, deadline: Timestamp, call: impl FnMut() -> F) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    retry_if(clock, deadline, |error| *error == PortError::Throttled, call).await
}

async fn retry_if<C: Clock, T, F>(
    clock: &C,
    deadline: Timestamp,
    again: impl Fn(&PortError) -> bool,
    mut call: impl FnMut() -> F,
) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..MOST_TRIES {
        match call().await {
            Err(error) if again(&error) && clock.now() + pause < deadline => clock.sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    call().await
}
