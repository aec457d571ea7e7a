//! An account's token buckets, and what becomes of them where several fleets share one account.
//!
//! A world has one fleet. For several, each world notes when it asked how much of which bucket, and [`Together`] takes all of it
//! from one account's buckets in the order of time. The worlds do not feel each other: no call fails, or is made again, because
//! another fleet has emptied a bucket. Where none is throttled, that is no difference; where some are, the real account would fare
//! otherwise, and the number says only that there was too much.

use std::collections::BTreeMap;

use evenkeel_model::FunctionName;

use crate::clock::{Ms, SECOND, seconds};

/// A bucket's size and its refill a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Which of the account's.
    pub(crate) number: u8,
    pub(crate) size: f64,
    pub(crate) refill: f64,
}

/// What an account's buckets hold, and since when.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<u8, (f64, Ms)>);

impl Buckets {
    /// Takes requests out; gives whether there was room for them. Those of one call are spread over the time that the call takes.
    pub(crate) fn take(&mut self, taken: Taken) -> bool {
        let Taken { at, bucket: Bucket { number, size, refill }, requests, over, by: _ } = taken;
        let (left, since) = self.0.entry(number).or_insert((size, at));
        *left = (*left + refill * seconds(at - *since)).min(size);
        *since = at;
        let at_once = f64::from(requests) - refill * seconds(over);
        if *left < at_once.max(1.0) {
            // Those that there was room for were answered for nothing.
            *left = left.min(left.fract());
            return false;
        }
        *left -= f64::from(requests);
        true
    }
}

/// A call's requests, of one of the account's buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// When, in milliseconds since the world began.
    pub at: Ms,
    /// Whose it is.
    pub by: FunctionName,
    bucket: Bucket,
    requests: u32,
    /// From its first request to its last one.
    over: Ms,
}

impl Taken {
    pub(crate) const fn new(at: Ms, by: FunctionName, bucket: Bucket, requests: u32, over: Ms) -> Self {
        Self { at, by, bucket, requests, over }
    }

    /// The same so much later: another fleet's minutes need not begin together with ours.
    #[must_use]
    pub const fn later(self, by: Ms) -> Self {
        Self { at: self.at + by, ..self }
    }
}

/// What several worlds' requests come to in one account, for one of its buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Together {
    /// All of them.
    pub requests: u64,
    /// The most in one second.
    pub most_in_a_second: u64,
    /// Calls that found too little in the bucket.
    pub throttled: u64,
}

impl Together {
    /// The ECS bucket for reading the cluster: container instances and tasks.
    pub const CLUSTER_READS: u8 = 0;

    /// All worlds' requests, by bucket.
    #[must_use]
    pub fn of(worlds: &[Vec<Taken>]) -> BTreeMap<u8, Self> {
        let mut all: Vec<Taken> = worlds.concat();
        all.sort_by_key(|taken| taken.at);
        let mut buckets = Buckets::default();
        let mut in_second: BTreeMap<(u8, Ms), u64> = BTreeMap::new();
        let mut found: BTreeMap<u8, Self> = BTreeMap::new();
        for taken in all {
            let own = found.entry(taken.bucket.number).or_default();
            own.requests += u64::from(taken.requests);
            let second = in_second.entry((taken.bucket.number, taken.at / SECOND)).or_default();
            *second += u64::from(taken.requests);
            own.most_in_a_second = own.most_in_a_second.max(*second);
            own.throttled += u64::from(!buckets.take(taken));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: Bucket = Bucket { number: 0, size: 100.0, refill: 20.0 };

    #[test]
    fn one_fleet_fits_and_many_at_once_do_not() {
        let fleet: Vec<Taken> =
            (0..60).map(|beat| Taken::new(beat * 10 * SECOND, FunctionName::Microscale, READS, 30, 0)).collect();
        let [alone, together] = [1, 8].map(|fleets| Together::of(&vec![fleet.clone(); fleets])[&0]);
        assert_eq!((alone.requests, alone.throttled, alone.most_in_a_second), (1_800, 0, 30));
        assert_eq!(together.most_in_a_second, 240);
        assert!(together.throttled > 0, "{together:?}");
        // Six fleets need 18 a second, which there are, if not at once.
        let spread = |n: Ms| fleet.iter().map(|taken| taken.later(n * 1_600)).collect();
        let spread = Together::of(&(0..6).map(spread).collect::<Vec<_>>())[&0];
        assert_eq!(spread.throttled, 0, "{spread:?}");
        assert!(Together::of(&vec![fleet; 6])[&0].throttled > 0);
    }
}
