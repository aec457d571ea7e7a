//! Real spot markets, for days, with and without warnings. The files are looked for beside the checkout.

#![expect(clippy::print_stderr, reason = "a test says what it measured, and why it skipped")]

use std::path::Path;

use evenkeel_model::fleet::Purchase;
use evenkeel_world::Faults;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::Setup;
use evenkeel_world::spot::Trace;

use crate::seeds::slice;
use crate::{SHOP, fleet, pool, quiet, world};

fn trace(name: &str) -> Option<Trace> {
    let path = Path::new("../../../shared/data/spot").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(Trace::read(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"))),
        Err(error) => {
            eprintln!("skipped: {name} is not there ({error})");
            None
        }
    }
}

/// Runs the shop, or a larger one, on a market, to its end or for a day.
fn ride(name: &str, spot: u32, warned: bool, seeds: &[u64], whole: bool) {
    let Some(trace) = trace(name) else { return };
    let (minimum, steady) = (3, 3 + spot);
    let text = SHOP
        .replace("steady = 5 ", &format!("steady = {steady} "))
        .replace("maximum = 7 ", &format!("maximum = {} ", steady + 2))
        .replace("max_out = 1 ", &format!("max_out = {} ", spot.div_ceil(8)));
    let fleet = fleet(&text);
    assert_eq!((fleet.hosts.minimum, fleet.hosts.steady), (minimum, steady));
    let mut setup = Setup::for_fleet(&fleet);
    if let Some(pool) = setup.pool.get_mut(&pool("spot")) {
        pool.hosts = Some(spot);
    }
    setup.spot.warned_per_mille = if warned { 1_000 } else { 0 };
    for &seed in seeds {
        let mut world = world(fleet.clone(), setup.clone(), seed, Faults::default(), 300.0);
        world.follow(&pool("spot"), &trace).unwrap_or_else(|problem| panic!("{problem}"));
        world.run_until(if whole { trace.length() } else { trace.length().min(24 * 60 * MINUTE) });
        let report = world.report();
        let over = report.hosts.on_demand_hours / report.backfill.floor_on_demand_hours;
        eprintln!(
            "{name}, seed {seed}, warnings {warned}: {:.1} h on-demand, {over:.3} times the floor; {} losses, replaced in \
             {:?} times the boot; at most {} moves in an hour; {} s below the minimum",
            report.hosts.on_demand_hours,
            report.losses.warned + report.losses.unwarned,
            report.losses.replacement_over_floor,
            report.backfill.most_moves_in_an_hour,
            report.hosts.below_minimum_seconds,
        );
        quiet(&report);
        assert_eq!(report.hosts.below_minimum_seconds, 0.0, "three reserved hosts are the minimum");
        // On one day there may be hardly any on-demand hours, and the floor is next to nothing.
        assert!(!whole || over <= 1.10, "{name}: {over}");
        assert!(report.backfill.most_moves_in_an_hour <= steady as usize);
        let moved = report.losses.replacement_over_floor;
        assert!(moved.p50.is_none_or(|p50| p50 <= 1.15) && moved.p99.is_none_or(|p99| p99 <= 1.5), "{moved:?}");
        assert!(world.working(Purchase::Reserved) == 3);
    }
}

/// The markets, with the size of the spot pool.
const R5_B: (&str, u32) = ("r5-16xlarge-us-east-1b.json", 2);
const R5_D: (&str, u32) = ("r5-16xlarge-us-east-1d.json", 2);
const FOUR_P3: (&str, u32) = ("p3-2xlarge-4-node-us-east-1f.json", 4);
const GROUP_P3: (&str, u32) = ("p3-group.csv", 32);

fn ride_whole((name, spot): (&str, u32)) {
    ride(name, spot, true, &[1, 2], true);
    ride(name, spot, false, &[1, 2], true);
}

fn ride_a_day((name, spot): (&str, u32)) {
    for seed in slice("a day of each market", 1..=20, 1) {
        ride(name, spot, seed.is_multiple_of(2), &[seed], false);
    }
}

#[test]
fn a_day_of_r5_in_zone_b() {
    ride_a_day(R5_B);
}

#[test]
fn a_day_of_r5_in_zone_d() {
    ride_a_day(R5_D);
}

#[test]
fn a_day_of_four_p3() {
    ride_a_day(FOUR_P3);
}

#[test]
fn a_day_of_a_group_of_thirty_two_p3() {
    ride_a_day(GROUP_P3);
}

#[test]
#[ignore = "long: a whole market"]
fn r5_in_zone_b() {
    ride_whole(R5_B);
}

#[test]
#[ignore = "long: a whole market"]
fn r5_in_zone_d() {
    ride_whole(R5_D);
}

#[test]
#[ignore = "long: a whole market"]
fn four_p3() {
    ride_whole(FOUR_P3);
}

#[test]
#[ignore = "long: a whole market"]
fn a_group_of_thirty_two_p3() {
    ride_whole(GROUP_P3);
}

/// Reserved hosts do not cover the minimum, one in two is warned, and there may be no cluster: nobody is missing for longer
/// than a boot.
fn ride_without_cover(name: &str, spot: u32, cluster: bool, seed: u64) {
    let Some(trace) = trace(name) else { return };
    let steady = 3 + spot;
    let pool_of = |name: &str, purchase: &str| {
        format!("[[pool]]\nname = \"{name}\"\npurchase = \"{purchase}\"\nauto_scaling_group = \"site-{name}\"\n")
    };
    let text = format!(
        "name = \"site\"\n{}hosts = {{ minimum = {steady}, steady = {steady}, maximum = {} }}\n{}{}{}[backfill]\n\
         [disruption]\nmax_out = {}\n",
        if cluster { "cluster = \"site\"\n" } else { "" },
        steady + 2,
        pool_of("base", "reserved"),
        pool_of("spot", "spot"),
        pool_of("burst", "on-demand"),
        spot.div_ceil(8),
    );
    let fleet = fleet(&text);
    let setup = format!(
        "[spot]\nwarned_per_mille = 500\n[pool.base]\nhosts = 3\n[pool.spot]\nhosts = {spot}\nderegistration_seconds = 60\n\
         update_seconds_per_day = 0\n[pool.burst]\nderegistration_seconds = 60\nterminate_hook_seconds = 20\n\
         update_seconds_per_day = 0\n"
    );
    let setup = Setup::read(&setup, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    let mut world = world(fleet, setup, seed, Faults::default(), 0.0);
    world.follow(&pool("spot"), &trace).unwrap_or_else(|problem| panic!("{problem}"));
    world.run_until(trace.length());
    let report = world.report();
    eprintln!(
        "{name}, cluster {cluster}, seed {seed}: {} s below the minimum, none missing for longer than {} s",
        report.hosts.below_minimum_seconds, report.hosts.longest_missing_seconds
    );
    quiet(&report);
    // The longest boot of this world, in which images do not age, from the order to launch: with a cluster to the first
    // task, 6 + 5 + 17.9 + 6 + 45 s; without one to the load balancer's first check, 6 + 5 + 17.9 + 45 + 31 s.
    let boot = if cluster { 80.0 } else { 105.0 };
    assert!(report.hosts.longest_missing_seconds <= boot, "{name}: {:?}", report.hosts);
    assert!(report.losses.replacement_over_floor.p99.is_none_or(|p99| p99 <= 1.5), "{:?}", report.losses);
    assert!(report.backfill.most_moves_in_an_hour <= steady as usize);
}

#[test]
#[ignore = "long: whole markets"]
fn where_reserved_hosts_do_not_cover_the_minimum_no_host_is_missing_for_longer_than_a_boot() {
    for cluster in [true, false] {
        ride_without_cover("p3-group.csv", 32, cluster, 1);
        ride_without_cover("p3-2xlarge-4-node-us-east-1f.json", 4, cluster, 2);
    }
}
