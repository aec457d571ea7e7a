//! Peaks: long ones, ones that go up and down, and alarms that cannot say how near they are.

use evenkeel_model::fleet::Purchase;
use evenkeel_world::clock::{MINUTE, Ms, SECOND};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, World};

use crate::{SHOP, fleet, quiet, shop, world};

const BEGINS: Ms = 5 * MINUTE;
/// `release_after` of the shop.
const DWELL: Ms = 10 * MINUTE;
/// Until the alarm, the metric and the next tick have noticed, and two hosts have drained one after the other.
const NOTICED: Ms = 3 * MINUTE;
const DRAINED: Ms = 4 * MINUTE;

/// The shop, whose alarms say how near they are to their thresholds or do not.
fn of(seed: u64, levels: bool) -> World {
    let fleet = fleet(SHOP);
    let mut setup = Setup::for_fleet(&fleet);
    setup.alarms.levels = levels;
    world(fleet, setup, seed, Faults::default(), 300.0)
}

fn working(world: &World) -> u32 {
    [Purchase::Reserved, Purchase::Spot, Purchase::OnDemand].map(|kind| world.working(kind)).iter().sum()
}

/// Every length, height and depth of a peak that the fleet of story 2 has an answer to, each with other seeds.
fn each_peak(mut check: impl FnMut(u64, Ms, f64, f64)) {
    let mut seed = 0;
    for minutes in [8, 20, 45, 120] {
        for (high, low) in [(5.3, 2.0), (5.3, 4.0), (6.3, 2.0), (6.3, 4.0)] {
            for _ in 0..SEEDS {
                seed += 1;
                check(seed, minutes * MINUTE, high, low);
            }
        }
    }
}

/// Seeds of each case. All was well with twenty, too, which take a minute or two.
const SEEDS: u64 = 1;

#[test]
fn at_a_peak_of_any_length_it_grows_to_the_maximum_and_goes_back_once() {
    each_peak(|seed, length, high, low| {
        let case = format!("seed {seed}, {} min at {high}, then {low}", length / MINUTE);
        let mut world = of(seed, true);
        world.run_until(BEGINS);
        // Five hosts are not enough, and six are not; seven are, or not even those.
        world.load(Some(high));
        world.run_until(BEGINS + length);
        assert_eq!(working(&world), 7, "{case}: {:?}", world.backfill_view());
        world.load(Some(low));
        world.run_until(BEGINS + length + NOTICED + DWELL + DRAINED);
        assert_eq!(world.working(Purchase::OnDemand), 0, "{case}: {:?}", world.backfill_view());
        world.run_until(BEGINS + length + 60 * MINUTE);
        let report = world.report();
        quiet(&report);
        assert_eq!((report.backfill.launches, report.backfill.moves), (2, 2), "{case}: no flap");
        assert_eq!(report.backfill.most_working, 7, "{case}");
    });
}

#[test]
fn where_alarms_do_not_say_how_near_they_are_hosts_come_back_ever_more_seldom() {
    each_peak(|seed, length, high, low| {
        let case = format!("seed {seed}, {} min at {high}, then {low}", length / MINUTE);
        let mut world = of(seed, false);
        world.run_until(BEGINS);
        world.load(Some(high));
        world.run_until(BEGINS + length);
        world.load(Some(low));
        // The longest dwell that a peak of this length can have led to.
        let flaps = u64::from((length / DWELL + 1).ilog2());
        let dwell = DWELL << flaps;
        world.run_until(BEGINS + length + NOTICED + dwell + DRAINED + DRAINED);
        assert_eq!(world.working(Purchase::OnDemand), 0, "{case}: {:?}", world.backfill_view());
        world.run_until(BEGINS + length + NOTICED + dwell + 60 * MINUTE);
        let report = world.report();
        quiet(&report);
        // A host that is called back while it drains has moved, without a launch.
        let flapped = report.backfill.moves as u64 - 2;
        assert!(report.backfill.launches <= 2 + flapped, "{case}: {:?}", report.backfill);
        // Seven hosts do with 5.3; at 6.3 the alarm never goes quiet. Until the alarm fires again, both may have gone.
        assert!(flapped <= if high < 5.6 { 2 * flaps } else { 0 }, "{case}: {flapped} of {flaps}");
        assert_eq!(report.backfill.most_working, 7, "{case}");
    });
}

#[test]
fn the_reason_says_what_the_alarm_would_do_without_the_hosts() {
    let mut world = shop(1);
    world.run_until(BEGINS);
    world.load(Some(5.3));
    world.run_until(60 * MINUTE);
    let waits = world.backfill_view().map(|view| view.waits).unwrap_or_default();
    let says = "would be at 110 % of its threshold with one less, so 2 hosts stay";
    assert!(waits.iter().any(|wait| wait.contains("alarm shop-cpu-high") && wait.contains(says)), "{waits:?}");
    // As the load falls, one host goes and the other stays: six are at the threshold with 4.8, five are not.
    world.load(Some(4.7));
    world.run_until(90 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 1, "{:?}", world.backfill_view());
    world.load(Some(3.9));
    world.run_until(120 * MINUTE);
    let report = world.report();
    quiet(&report);
    assert_eq!((report.backfill.launches, report.backfill.moves), (2, 2));
    assert_eq!(world.working(Purchase::OnDemand), 0);
}

#[test]
fn a_quiet_turn_asks_for_no_level() {
    let mut world = shop(1);
    world.run_until(30 * MINUTE);
    let report = world.report();
    // Microscale asks for its metrics with each look, and nobody else asks for any.
    let looks = report.looks[&evenkeel_model::FunctionName::Microscale];
    assert_eq!(report.api_calls.get("cloudwatch:GetMetricData"), Some(&looks));
}

#[test]
fn a_load_that_goes_up_and_down_all_the_time_moves_no_host_until_it_is_over() {
    for levels in [true, false] {
        for every in [60, 150, 400] {
            for seed in 1..=SEEDS {
                let case = format!("seed {seed}, every {every} s, levels {levels}");
                let mut world = of(seed, levels);
                world.run_until(BEGINS);
                let mut at = BEGINS;
                let mut high = true;
                while at < 65 * MINUTE {
                    world.load(Some(if high { 6.5 } else { 1.0 }));
                    high = !high;
                    at += every * SECOND;
                    world.run_until(at);
                }
                let before = world.report();
                assert_eq!(before.backfill.moves, 0, "{case}");
                world.load(Some(2.0));
                world.run_until(at + NOTICED + DWELL + DRAINED);
                assert_eq!(world.working(Purchase::OnDemand), 0, "{case}: {:?}", world.backfill_view());
                world.run_until(at + 60 * MINUTE);
                let report = world.report();
                quiet(&report);
                assert!((1..=2).contains(&report.backfill.launches), "{case}: {:?}", report.backfill);
                assert_eq!(report.backfill.moves as u64, report.backfill.launches, "{case}");
                assert!(report.backfill.most_working <= 7, "{case}");
            }
        }
    }
}

/// An alarm without data says neither that there is a peak nor that there is none: nothing is launched for it, and what was
/// is kept no longer than the dwells say.
#[test]
fn an_alarm_that_has_no_data_any_more_raises_nothing_and_lets_go() {
    for levels in [true, false] {
        for after in [MINUTE, 4 * MINUTE, 30 * MINUTE] {
            let case = format!("levels {levels}, silent after {} min", after / MINUTE);
            let mut world = of(1, levels);
            world.run_until(BEGINS);
            world.load(Some(6.5));
            world.run_until(BEGINS + after);
            let there = world.desired(&crate::pool("burst"));
            for alarm in ["shop-cpu-high", "shop-latency-high"] {
                world.silence(&alarm.parse().unwrap_or_else(|_| unreachable!("an alarm's name")), true);
            }
            let silent = BEGINS + after;
            // What was decided in that very moment may still be done.
            world.run_until(silent + MINUTE);
            let most = world.desired(&crate::pool("burst"));
            assert!(most <= there + 1, "{case}");
            for minute in 2..=10 {
                world.run_until(silent + minute * MINUTE);
                assert!(world.desired(&crate::pool("burst")) <= most, "{case}: raised for an alarm that says nothing");
            }
            // The dwell after what was seen last, and the one that every host has.
            world.run_until(silent + 4 * DWELL + NOTICED + DRAINED);
            assert_eq!(world.working(Purchase::OnDemand), 0, "{case}: {:?}", world.backfill_view());
            let says = world.backfill_view().map(|view| view.waits).unwrap_or_default();
            assert!(
                says.iter().any(|wait| wait.contains("shop-cpu-high") && wait.contains("insufficient data")),
                "{says:?}"
            );
        }
    }
}
