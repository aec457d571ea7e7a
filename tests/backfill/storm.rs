//! Thirty of a hundred spot hosts are taken within a minute, while events come twice or not at all and turns are killed.

use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Interruption, Report, World};

use crate::seeds::slice;
use crate::{SHOP, fleet, pool, quiet, world};

const TAKEN: u32 = 30;

/// Three reserved hosts, a hundred spot hosts.
fn hundred() -> (Fleet, Setup) {
    let text = SHOP
        .replace("minimum = 3 ", "minimum = 60 ")
        .replace("steady = 5 ", "steady = 103 ")
        .replace("maximum = 7 ", "maximum = 140 ")
        .replace("max_tasks = 40", "max_tasks = 400")
        .replace("max_out = 1 ", "max_out = 5 ");
    let fleet = fleet(&text);
    let mut setup = Setup::for_fleet(&fleet);
    if let Some(pool) = setup.pool.get_mut(&pool("spot")) {
        pool.hosts = Some(100);
    }
    (fleet, setup)
}

/// Hosts are taken at even distances within `length`; the spot market gives nothing for an hour.
fn storm(seed: u64, faults: Faults, how: Interruption, length: u64) -> World {
    storm_of(TAKEN, seed, faults, how, length)
}

pub(crate) fn storm_of(hosts: u32, seed: u64, faults: Faults, how: Interruption, length: u64) -> World {
    let (fleet, setup) = hundred();
    let mut world = world(fleet, setup, seed, faults, 12_000.0);
    // The alarms stay quiet: what is launched is launched for hosts that are lost.
    world.load(Some(20.0));
    world.run_until(5 * MINUTE);
    assert_eq!(world.working(Purchase::Spot), 100);
    world.starve(&pool("spot"), 60 * MINUTE);
    for taken in 0..hosts {
        world.run_until(5 * MINUTE + u64::from(taken) * length / u64::from(hosts));
        assert!(world.interrupt(how), "there are spot hosts");
    }
    world
}

pub(crate) fn calls(report: &Report, action: &str) -> u64 {
    report.api_calls.get(action).copied().unwrap_or(0)
}

#[test]
fn thirty_hosts_that_are_taken_at_once_drain_in_three_calls_and_are_replaced_by_one() {
    for seed in 1..=5 {
        let mut world = storm(seed, Faults::default(), Interruption::Warned, 0);
        world.run_until(30 * MINUTE);
        let report = world.report();
        quiet(&report);
        assert_eq!(calls(&report, "ecs:UpdateContainerInstancesState"), u64::from(TAKEN.div_ceil(10)));
        assert_eq!(calls(&report, "autoscaling:SetDesiredCapacity"), 1, "one capacity for all");
        assert_eq!(report.backfill.launches, u64::from(TAKEN));
        assert_eq!(world.working(Purchase::OnDemand), TAKEN);
        assert_eq!(report.throttled, 0);
        assert_eq!(report.losses.drained_in_time, u64::from(TAKEN));
    }
}

#[test]
fn a_storm_over_a_minute_with_lost_and_doubled_events_and_killed_turns_replaces_every_host_once() {
    let faults = Faults { doubled: 1.0, lost: 1.0 / 3.0, killed: 0.1, ..Faults::default() };
    let seeds = slice("storms", 1..=10, 1);
    let to_the_end = |seed| seed <= 2 || seeds.first() == Some(&seed);
    for &seed in &seeds {
        for how in [Interruption::Warned, Interruption::Unwarned] {
            let mut world = storm(seed, faults.clone(), how, MINUTE);
            world.run_until(20 * MINUTE);
            let report = world.report();
            quiet(&report);
            assert!(report.killed_turns > 0, "functions are killed");
            // The spot group gets nothing, so every launch is ours: one for each host, no more.
            assert_eq!(report.backfill.launches, u64::from(TAKEN), "seed {seed}, {how:?}: each replaced exactly once");
            assert_eq!(world.working(Purchase::OnDemand), TAKEN, "seed {seed}, {how:?}");
            assert_eq!(report.throttled, 0, "seed {seed}, {how:?}: a bucket was overdrawn");
            assert_eq!(report.hosts.below_minimum_seconds, 0.0);
            if to_the_end(seed) {
                let losses = report.losses;
                eprintln!(
                    "seed {seed}, {how:?}: {} drain calls, {} capacity calls, {} of {} drained in time, replaced in {:?} \
                     times the boot, {} turns of which {} killed",
                    calls(&report, "ecs:UpdateContainerInstancesState"),
                    calls(&report, "autoscaling:SetDesiredCapacity"),
                    losses.drained_in_time,
                    losses.warned,
                    losses.replacement_over_floor,
                    report.turns,
                    report.killed_turns,
                );
                // Spot comes back, and the on-demand hosts go, as many at a time as may be out.
                world.run_until(5 * MINUTE + 180 * MINUTE);
                assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (100, 0), "seed {seed}");
                quiet(&world.report());
            }
        }
    }
}
