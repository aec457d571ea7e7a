//! Wake-ups between two ticks.

use std::time::Duration;

use evenkeel_model::FleetName;

use crate::ports::{Beats, Clock};
use crate::retry;

/// When a turn that was left unfinished goes on.
pub const SOON: Duration = Duration::from_secs(1);
/// A wake-up must not hold the function up.
const WITHIN: Duration = Duration::from_secs(2);

/// Beats in a chain, each asked for by the turn of the one before. Lambda takes a function that wakes itself for one that runs
/// wild after about 16 of them, and puts the message away (Lambda developer guide, "Recursive loop detection").
const MOST_HOPS: u32 = 9;

/// Asks to be woken for `fleet` once after each of `delays`, in whole seconds, by a turn that so many `hops` have led to. Gives
/// why that failed, if it did: the next tick makes up for it, so it fails no turn, and is told instead. A chain that is long
/// enough ends; the next tick begins another.
pub async fn wake<P: Clock + Beats>(ports: &P, fleet: &FleetName, delays: &[Duration], hops: u32) -> Option<String> {
    if delays.is_empty() || hops >= MOST_HOPS {
        return None;
    }
    let deadline = ports.now() + WITHIN;
    retry(ports, deadline, || ports.wake_after(fleet, delays, hops + 1)).await.err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use evenkeel_model::Timestamp;
    use futures_util::FutureExt;

    use super::*;
    use crate::ports::{Answer, PortError};

    /// A queue that fails so often, and what it was asked.
    struct Queue {
        failures: Mutex<u32>,
        asked: Mutex<Vec<Vec<Duration>>>,
    }

    impl Clock for Queue {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn sleep(&self, _pause: Duration) -> impl Future<Output = ()> + Send {
            ready(())
        }
    }

    impl Beats for Queue {
        fn wake_after(
            &self,
            _fleet: &FleetName,
            delays: &[Duration],
            hop: u32,
        ) -> impl Future<Output = Answer<()>> + Send {
            assert!(hop > 0, "the first beat is a hop");
            self.asked.lock().unwrap().push(delays.to_vec());
            let mut left = self.failures.lock().unwrap();
            let fails = *left > 0;
            *left = left.saturating_sub(1);
            ready(if fails { Err(PortError::Throttled) } else { Ok(()) })
        }
    }

    fn asked(failures: u32, delays: &[Duration]) -> (usize, Option<String>) {
        asked_after(0, failures, delays)
    }

    fn asked_after(hops: u32, failures: u32, delays: &[Duration]) -> (usize, Option<String>) {
        let queue = Queue { failures: Mutex::new(failures), asked: Mutex::default() };
        let told = wake(&queue, &FleetName::new("shop").unwrap(), delays, hops).now_or_never().unwrap();
        (queue.asked.into_inner().unwrap().len(), told)
    }

    #[test]
    fn a_wake_up_that_fails_is_tried_again_and_then_told() {
        assert_eq!(asked(0, &[]), (0, None), "nothing to ask for");
        assert_eq!(asked(0, &[SOON]), (1, None));
        assert_eq!(asked(2, &[SOON]), (3, None));
        let (calls, told) = asked(9, &[SOON]);
        assert!(calls < 9 && told.is_some(), "{calls} calls, {told:?}");
    }

    #[test]
    fn a_chain_of_beats_ends_before_lambda_cuts_it() {
        assert_eq!(asked_after(MOST_HOPS - 1, 0, &[SOON]).0, 1);
        assert_eq!(asked_after(MOST_HOPS, 0, &[SOON]), (0, None));
    }
}
