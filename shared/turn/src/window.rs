//! Samples of the last while, for dwells.

use std::time::Duration;

use evenkeel_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Samples of the last while, kept only as far as they can still be the extreme one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(Vec<(Timestamp, u32)>);

/// Which sample of a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// The largest: up at once, down late.
    Largest,
    /// The smallest: up late, down at once.
    Smallest,
}

impl Window {
    /// Whether nothing was sampled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sample and gives the extreme one of the last `length`. Samples must always ask for the same extreme.
    pub fn sample(&mut self, now: Timestamp, value: u32, length: Duration, extreme: Extreme) -> u32 {
        let beats = |old: u32| match extreme {
            Extreme::Largest => value >= old,
            Extreme::Smallest => value <= old,
        };
        while self.0.pop_if(|(_, old)| beats(*old)).is_some() {}
        self.0.push((now, value));
        // A clock that went back must not leave samples of the future behind.
        let past = |at: Timestamp| now.duration_since(at).unsigned_abs() <= length;
        let first = self.0.iter().position(|(at, _)| past(*at)).unwrap_or(self.0.len() - 1);
        self.0.drain(..first);
        self.0[0].1
    }

    /// The extreme sample, as of the last one.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|(_, value)| *value)
    }

    /// The newest sample was seen again, the last time at `at`.
    pub fn still(&mut self, at: Timestamp) {
        if let Some((newest, _)) = self.0.last_mut() {
            *newest = at.max(*newest);
        }
    }

    /// When the sample that counts now is over, if nothing else happens.
    #[must_use]
    pub fn ends(&self, length: Duration) -> Option<Timestamp> {
        self.0.first().and_then(|(at, _)| at.saturating_add(length).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn up_at_once_and_down_after_the_dwell() {
        let mut window = Window::default();
        let dwell = Duration::from_secs(60);
        let seen: Vec<u32> = [(0, 3), (10, 9), (20, 4), (60, 4), (70, 5), (71, 4), (131, 4), (132, 1)]
            .map(|(second, want)| window.sample(at(second), want, dwell, Extreme::Largest))
            .to_vec();
        assert_eq!(seen, [3, 9, 9, 9, 9, 5, 4, 4]);
    }

    #[test]
    fn a_sample_that_was_seen_again_counts_from_then() {
        let mut window = Window::default();
        let dwell = Duration::from_secs(60);
        window.sample(at(0), 9, dwell, Extreme::Largest);
        window.still(at(50));
        window.still(at(40));
        let seen = [(70, 4), (110, 4), (111, 4)]
            .map(|(second, want)| window.sample(at(second), want, dwell, Extreme::Largest));
        assert_eq!(seen, [9, 9, 4]);
    }

    #[test]
    fn a_fill_service_takes_what_was_open_all_the_time() {
        let mut window = Window::default();
        let dwell = Duration::from_secs(30);
        let seen: Vec<u32> = [(0, 5), (10, 8), (20, 8), (30, 8), (40, 8), (41, 2), (72, 9)]
            .map(|(second, open)| window.sample(at(second), open, dwell, Extreme::Smallest))
            .to_vec();
        assert_eq!(seen, [5, 5, 5, 5, 8, 2, 9]);
    }
}
