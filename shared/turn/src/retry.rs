//! Tries a call again while the turn has time for it.

use std::future::Future;
use std::time::Duration;

use evenkeel_model::Timestamp;

use crate::ports::{Answer, Clock};

/// The pause before the second try; it doubles with each. AWS's SDKs start between 0 and 1 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// More tries than this only add load: a turn comes every few seconds anyway.
const MOST_TRIES: u32 = 4;

/// Makes `call`, again and again while its error is a passing one, the pauses grow, and `deadline` is not reached.
///
/// Safe for every port call: reads change nothing, and writes are absolute.
///
/// # Errors
/// The error of the last try.
pub async fn retry<C: Clock, T, F>(clock: &C, deadline: Timestamp, mut call: impl FnMut() -> F) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..MOST_TRIES {
        match call().await {
            Err(error) if error.is_passing() && clock.now() + pause < deadline => clock.sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    call().await
}
