//! Twenty fleets in one account: whether their looks leave the account its calls.
//!
//! Each fleet has a world of its own, which notes when it takes how much from which of the account's buckets; all of it is then
//! taken from one account's buckets in the order of time. The worlds do not feel each other's throttling, which is no difference
//! where none is throttled.

use std::collections::BTreeMap;

use evenkeel_microscale::beat_phase;
use evenkeel_model::{FleetName, FunctionName};
use evenkeel_world::account::{Taken, Together};
use evenkeel_world::clock::{Ms, SECOND};

use super::{BEGUN, world};

const FLEETS: u64 = 20;
const HOSTS: u32 = 200;

/// What each fleet's world asks for in so long, from when its hosts are there and its tasks run.
fn fleets(length: Ms) -> Vec<Vec<Taken>> {
    let one = |seed: u64| {
        let mut world = world(HOSTS, seed, true);
        world.run_until(BEGUN);
        world.note_calls();
        world.run_until(BEGUN + length);
        assert_eq!(world.missed(), 0);
        world.noted_calls()
    };
    std::thread::scope(|threads| {
        let run = |half: u64| move || (1..=FLEETS).filter(|seed| seed % 2 == half).map(one).collect::<Vec<_>>();
        let halves = [0, 1].map(|half| threads.spawn(run(half)));
        halves.into_iter().flat_map(|half| half.join().expect("a world runs")).collect()
    })
}

/// What they come to where each fleet's beats come in their own second, and its ticks half a second after another's.
fn together(fleets: &[Vec<Taken>], names: &[FleetName], length: Ms) -> BTreeMap<u8, Together> {
    let later = |((number, name), calls): ((Ms, &FleetName), &Vec<Taken>)| {
        let shift = |by| if by == FunctionName::Microscale { beat_phase(name) * SECOND } else { number * SECOND / 2 };
        calls.iter().map(|taken| taken.later(shift(taken.by))).collect()
    };
    let spread: Vec<Vec<Taken>> = (0..).zip(names).zip(fleets).map(later).collect();
    let found = Together::of(&spread);
    for (bucket, found) in &found {
        let each = found.requests as f64 / (length / SECOND) as f64;
        eprintln!("{FLEETS} fleets of {HOSTS}, bucket {bucket}: {each:.1} requests a second, {found:?}");
    }
    found
}

/// Ticks of deployments come when each was made, and a deployment's fleets are served one after the other; beats keep step with
/// the clock, and only the product spreads them.
#[test]
#[ignore = "long: twenty worlds of two hundred hosts"]
fn twenty_fleets_for_an_hour_throttle_nobody() {
    let length = 3_600 * SECOND;
    let fleets = fleets(length);
    for names in ["fleet", "shop", "team-a"] {
        let named = |number: u64| format!("{names}-{number}").parse().expect("a name");
        let names: Vec<FleetName> = (1..=FLEETS).map(named).collect();
        for (bucket, found) in together(&fleets, &names, length) {
            assert_eq!(found.throttled, 0, "bucket {bucket}: {found:?}");
        }
    }
}
