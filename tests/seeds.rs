//! Which seeds of a sweep are tried: a slice that is drawn anew each day, so that over the weeks all are, or every one.
//!
//! `EVENKEEL_SEEDS=all` tries every one, `EVENKEEL_SEEDS=2026-11-27` those of that day.

use std::ops::RangeInclusive;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// What the environment asks for; the seeds of today where it says nothing.
pub(crate) enum Asked {
    /// Every seed of every sweep.
    All,
    /// The slice of a day, in days since 1970.
    Day(u64),
}

impl Asked {
    #[expect(clippy::disallowed_methods, reason = "which seeds a test tries is asked for in the environment")]
    pub(crate) fn of_environment() -> Self {
        let today = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        match std::env::var("EVENKEEL_SEEDS").as_deref() {
            Ok("all") => Self::All,
            Ok(day) => {
                Self::Day(days(day.parse().unwrap_or_else(|_| panic!("EVENKEEL_SEEDS={day}: expected all or a day"))))
            }
            Err(_) => Self::Day(days(today())),
        }
    }
}

fn days(of: jiff::civil::Date) -> u64 {
    let since = of.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
    u64::try_from(since).unwrap_or(0)
}

/// The seeds to try: all of `all`, or `part` of them. The slices of `all / part` days in a row have every seed once.
pub(crate) fn slice(sweep: &str, all: RangeInclusive<u64>, part: usize) -> Vec<u64> {
    slice_of(&Asked::of_environment(), sweep, all, part)
}

#[expect(clippy::print_stderr, reason = "a test says what it tries")]
fn slice_of(asked: &Asked, sweep: &str, all: RangeInclusive<u64>, part: usize) -> Vec<u64> {
    let mut seeds: Vec<u64> = all.collect();
    let Asked::Day(day) = asked else { return seeds };
    // Another order for each sweep, so that not all of them try the same numbers on one day.
    let name = sweep.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    seeds.shuffle(&mut ChaCha8Rng::seed_from_u64(name));
    let slices = seeds.len().div_ceil(part);
    let at = usize::try_from(*day).unwrap_or(0) % slices;
    let mut slice: Vec<u64> = seeds.into_iter().skip(at).step_by(slices).collect();
    slice.sort_unstable();
    eprintln!("sweep {sweep}: {} seeds of day {day}; EVENKEEL_SEEDS=all tries every one", slice.len());
    slice
}

#[test]
fn the_slices_of_some_days_in_a_row_are_all_seeds_once() {
    for first in [0, 20_784] {
        let mut tried: Vec<u64> =
            (first..first + 20).flat_map(|day| slice_of(&Asked::Day(day), "a sweep", 1..=1_000, 50)).collect();
        tried.sort_unstable();
        assert!(tried.into_iter().eq(1..=1_000));
    }
    assert!(slice_of(&Asked::All, "a sweep", 1..=7, 2).into_iter().eq(1..=7));
}
