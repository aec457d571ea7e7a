//! What looks may ask of ECS, and how fast.
//!
//! ECS counts what is asked of a cluster's hosts and tasks in one bucket for a whole account and region: 100 requests at
//! once, and 20 a second after that (ECS API reference, "Request throttling for the Amazon ECS API"). Everybody shares it.

use std::time::Duration;

use evenkeel_model::{Fleet, Timestamp};

/// Requests a second that an account has for reading.
const ACCOUNT: f64 = 20.0;
/// Requests that one look makes at once, and in each second after that: the rest of the bucket is for others.
const BURST: f64 = 60.0;
const RATE: f64 = 15.0;
/// What a fleet may spend is for looks at every beat; others come once a minute and with events.
const OF_BEATS: f64 = 0.8;
/// Looks may run ahead of what they may spend by this much: a process that begins looks at everything once.
pub(crate) const AHEAD: Duration = Duration::from_secs(60);

/// The requests a second, on average, that a fleet's looks at every beat may make.
pub(crate) fn allowed(fleet: &Fleet) -> f64 {
    ACCOUNT * OF_BEATS * fleet.api_share
}

/// The share of the account's reads that a fleet's looks may have.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
pub(crate) fn percent(fleet: &Fleet) -> u32 {
    (fleet.api_share * 100.0).ceil() as u32
}

/// Spreads the requests of one process over time, and counts them.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// What is left of the burst, and since when; nothing is owed at first.
    left: Option<(f64, Timestamp)>,
    spent: u64,
}

impl Pacer {
    pub(crate) const fn new() -> Self {
        Self { left: None, spent: 0 }
    }

    /// How long to wait before so many requests at `now`, or a little earlier, which are counted.
    pub(crate) fn take(&mut self, requests: usize, now: Timestamp) -> Duration {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.spent += u64::from(requests);
        let (left, since) = self.left.unwrap_or((BURST, now));
        let passed = now.duration_since(since).as_secs_f64().max(0.0);
        let left = RATE.mul_add(passed, left).min(BURST) - f64::from(requests);
        self.left = Some((left, now.max(since)));
        Duration::from_secs_f64((-left).max(0.0) / RATE)
    }

    /// ECS says that nothing is left, whoever has spent it.
    pub(crate) fn empty(&mut self, now: Timestamp) {
        let left = self.left.map_or(0.0, |(left, _)| left.min(0.0));
        self.left = Some((left, now));
    }

    /// The requests since this was asked last.
    pub(crate) const fn spent(&mut self) -> u64 {
        std::mem::replace(&mut self.spent, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_no_faster_than_the_account_may_take_them() {
        let (mut pacer, mut now) = (Pacer::default(), Timestamp::UNIX_EPOCH);
        let begun = now;
        for _ in 0..30 {
            now += pacer.take(10, now);
        }
        // 60 at once, and then 15 a second.
        assert_eq!(now.duration_since(begun).as_secs(), 16);
        assert_eq!((pacer.spent(), pacer.spent()), (300, 0));
        // What was saved is spent at once, and no more than that.
        now += Duration::from_secs(3_600);
        assert_eq!(pacer.take(60, now), Duration::ZERO);
        assert_eq!(pacer.take(15, now), Duration::from_secs(1));
    }

    #[test]
    fn after_a_throttled_request_nothing_is_left_to_spend_at_once() {
        let (mut pacer, now) = (Pacer::default(), Timestamp::UNIX_EPOCH);
        pacer.empty(now);
        assert_eq!(pacer.take(15, now), Duration::from_secs(1));
        pacer.empty(now);
        assert_eq!(pacer.take(15, now), Duration::from_secs(2), "what is owed is owed still");
    }
}
