//! Random demand: it wanders, jumps now and then, and can be told to spike or to calm down.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Each step moves by up to this part of the range.
const STEP: f64 = 0.06;
/// Each step goes back by this part of the way to the middle, so that the walk does not stick to an end.
const PULL: f64 = 0.02;
/// A jump comes about once in so many steps: every ten minutes or so with a step each ten seconds.
const JUMP_EVERY: u32 = 60;
/// A spike or a calm lasts so many steps: five minutes.
const HELD: u32 = 30;

/// A random walk between zero and a maximum, pulled to the middle, with jumps.
#[derive(Debug, Clone)]
pub struct Walk {
    rng: ChaCha8Rng,
    most: f64,
    /// 0 to 1.
    level: f64,
    /// A level that is kept, and for how many more steps.
    held: Option<(f64, u32)>,
}

impl Walk {
    /// A walk up to `most`. One seed and purpose always walk the same way.
    #[must_use]
    pub fn new(seed: u64, purpose: u64, most: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose);
        Self { rng, most, level: 0.4, held: None }
    }

    /// The next value.
    pub fn next_value(&mut self) -> f64 {
        let wander: f64 = self.rng.random_range(-STEP..STEP);
        let jump = self.rng.random_ratio(1, JUMP_EVERY);
        let landing: f64 = self.rng.random();
        self.level += wander + PULL * (0.5 - self.level);
        if jump {
            self.level = landing;
        }
        self.level = self.level.clamp(0.0, 1.0);
        if let Some((level, left)) = self.held {
            self.level = (level + wander / 4.0).clamp(0.0, 1.0);
            self.held = (left > 1).then_some((level, left - 1));
        }
        self.level * self.most
    }

    /// Goes close to the maximum and stays there for some minutes.
    pub const fn spike(&mut self) {
        self.held = Some((0.97, HELD));
    }

    /// Falls to a low level and stays there for some minutes.
    pub const fn calm(&mut self) {
        self.held = Some((0.08, HELD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_stays_within_its_range_and_uses_all_of_it() {
        let mut walk = Walk::new(7, 1, 100.0);
        let day: Vec<f64> = (0..8640).map(|_| walk.next_value()).collect();
        assert!(day.iter().all(|value| (0.0..=100.0).contains(value)));
        assert!(day.iter().any(|value| *value < 10.0) && day.iter().any(|value| *value > 90.0));
    }

    #[test]
    fn one_seed_walks_one_way() {
        let day = |seed| {
            let mut walk = Walk::new(seed, 1, 1.0);
            (0..1000).map(|_| walk.next_value().to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(day(3), day(3));
        assert_ne!(day(3), day(4));
    }

    #[test]
    fn a_spike_is_near_the_top_and_passes() {
        let mut walk = Walk::new(1, 1, 100.0);
        walk.spike();
        assert!((0..HELD).all(|_| walk.next_value() > 90.0));
        walk.calm();
        assert!((0..HELD).all(|_| walk.next_value() < 15.0));
        assert!((0..2000).any(|_| walk.next_value() > 50.0));
    }
}
