//! Pools that do not deliver, each in its own way: the next is tried, and the report says why.

use evenkeel_model::groups::Process;
use evenkeel_model::report::Wait;
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, HostKind, Interruption, Outage, World};

use crate::{feed, pool, quiet, shop, three_pools, world};

fn waits(world: &World) -> Vec<String> {
    world.backfill_view().map(|view| view.waits).unwrap_or_default()
}

#[test]
fn a_pool_that_does_not_deliver_does_not_keep_the_next_from_being_tried() {
    type Breaks = fn(&mut World);
    let cases: [(&str, Breaks, u64, &str); 3] = [
        ("suspended", |world| world.suspend(&pool("burst"), Process::Launch), 2, "Launch process is suspended"),
        (
            "never joins",
            |world| {
                world.publish_version(&pool("burst"), HostKind::NeverJoins);
            },
            8,
            "of pool burst are overdue",
        ),
        ("denied", |world| world.break_api("autoscaling:SetDesiredCapacity", Outage::Denied), 3, "cannot be told"),
    ];
    for (name, breaks, within, says) in cases {
        let fleet = three_pools();
        let setup = Setup::for_fleet(&fleet);
        let mut world = world(fleet, setup, 1, Faults::default(), 300.0);
        world.run_until(10 * MINUTE);
        breaks(&mut world);
        world.starve(&pool("spot"), 30 * MINUTE);
        world.interrupt(Interruption::Unwarned);
        world.run_until((10 + within) * MINUTE);
        assert!(waits(&world).iter().any(|wait| wait.contains(says)), "{name}: {:?}", waits(&world));
        assert!(!waits(&world).iter().any(|wait| wait.contains("are missing")) || name == "denied", "{name}");
        if name == "denied" {
            // No pool can be told, and none is said to be on its way.
            assert!(!waits(&world).iter().any(|wait| wait.contains("on their way")), "{:?}", waits(&world));
            world.mend_api("autoscaling:SetDesiredCapacity");
            world.run_until(15 * MINUTE);
        } else {
            assert_eq!(world.desired(&pool("second")), 1, "{name}: {:?}", feed(&world));
        }
        world.run_until(90 * MINUTE);
        assert_eq!((world.desired(&pool("burst")), world.desired(&pool("second"))), (0, 0), "{name}");
        quiet(&world.report());
    }
}

#[test]
fn a_zone_without_capacity_costs_seconds_where_another_has_some() {
    for seed in 1..=3 {
        let mut world = shop(seed);
        world.run_until(10 * MINUTE);
        let zones = world.zones(&pool("burst"));
        assert!(zones.len() > 1, "{zones:?}");
        for zone in &zones[..zones.len() - 1] {
            world.starve_zone(&pool("burst"), zone, 60 * MINUTE);
        }
        world.starve(&pool("spot"), 60 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.run_until(11 * MINUTE);
        assert_eq!(world.hosts(&pool("burst")).len(), 1, "seed {seed}: {:?}", feed(&world));
        quiet(&world.report());
    }
}

#[test]
fn whoever_asks_is_told_that_the_fleet_file_was_refused() {
    let mut world = shop(1);
    world.run_until(5 * MINUTE);
    world.edit_fleet("name = \"shop\"\nhosts = 3\n");
    world.run_until(7 * MINUTE + 5 * SECOND);
    let planned = world.plan_backfill().unwrap_or_else(|| unreachable!("it has backfill"));
    let says = planned.report.waits.iter().any(|wait| matches!(wait, Wait::FileRefused { .. }));
    assert!(says, "{:?}", planned.report);
    assert!(waits(&world).iter().any(|wait| wait.contains("fleet file was refused")), "{:?}", waits(&world));
}
