//! What cannot be read is unknown: what can be done without it is done, and nothing is taken for gone, empty or well.

use evenkeel_model::fleet::Purchase;
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::{Interruption, Outage, World};

use crate::{feed, pool, quiet, shop};

fn waits(world: &World) -> Vec<String> {
    world.backfill_view().map(|view| view.waits).unwrap_or_default()
}

fn said(world: &World, text: &str) -> bool {
    feed(world).iter().any(|line| line.contains(text))
}

#[test]
fn one_reading_that_fails_keeps_neither_the_launch_nor_the_drain_back() {
    // What fails, what is called so, whether the host drains at once, and whether another is launched.
    let cases = [
        ("ec2:DescribeSpotInstanceRequests", "spot requests", true, true),
        ("ecs:DescribeTasks", "tasks", true, true),
        ("ecs:DescribeServices", "tasks", true, true),
        ("cloudwatch:*", "alarm", true, true),
        // Asked only until the launch is seen.
        ("autoscaling:DescribeScalingActivities", "", true, true),
        ("ecs:*", "container instances", false, true),
        ("autoscaling:*", "Auto Scaling groups", true, false),
    ];
    for (action, called, drains, launches) in cases {
        for how in [Outage::Down, Outage::Denied] {
            let case = format!("{action} {how:?}");
            let mut world = shop(1);
            world.run_until(10 * MINUTE);
            world.break_api(action, how);
            assert!(world.interrupt(Interruption::Warned));
            world.run_until(10 * MINUTE + 30 * SECOND);
            let feed = feed(&world);
            assert_eq!(said(&world, "drain i-spot"), drains, "{case}: {feed:?}");
            assert_eq!(world.desired(&pool("burst")), u32::from(launches), "{case}: {feed:?}");
            world.run_until(11 * MINUTE + 30 * SECOND);
            let told = called.is_empty() || waits(&world).iter().any(|wait| wait.contains(called));
            assert!(told, "{case}: {:?}", waits(&world));
            // The rest is made up for when the API is back, and in the end all is as before.
            world.mend_api(action);
            world.run_until(50 * MINUTE);
            assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{case}");
            assert!(world.draining().is_empty(), "{case}");
            assert!(!waits(&world).iter().any(|wait| wait.contains("not be read")), "{case}: {:?}", waits(&world));
            quiet(&world.report());
        }
    }
}

#[test]
fn while_a_source_is_out_no_host_is_taken_for_gone_or_empty() {
    // Without the spot requests there is nothing that a release must know.
    let cases = [
        ("ecs:*", 18, 1),
        ("ecs:DescribeContainerInstances", 18, 1),
        ("autoscaling:*", 18, 1),
        // Who has seen the tasks needs not ask again as long as their hosts say that none has changed.
        ("ecs:DescribeTasks", 10, 1),
        ("ec2:*", 18, 0),
    ];
    for (action, from, stay) in cases {
        let mut world = shop(2);
        world.run_until(10 * MINUTE);
        if from == 10 {
            world.break_api(action, Outage::Down);
        }
        world.interrupt(Interruption::Unwarned);
        // The stand-in serves out its dwell while something cannot be read.
        world.run_until(18 * MINUTE);
        let there = [world.hosts(&pool("base")), world.hosts(&pool("spot"))];
        world.break_api(action, Outage::Down);
        world.run_until(60 * MINUTE);
        let now = [world.hosts(&pool("base")), world.hosts(&pool("spot"))];
        assert_eq!(now, there, "{action}: {:?}", feed(&world));
        assert_eq!(world.working(Purchase::OnDemand), stay, "{action}: {:?}", feed(&world));
        world.mend_api(action);
        world.run_until(90 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{action}");
        quiet(&world.report());
    }
}

/// Whoever has seen the tasks is not told that they cannot be described until one changes: by then a release has begun. That it
/// does not come to its end meanwhile says nothing of the host.
#[test]
fn a_stand_in_goes_in_time_after_tasks_could_not_be_described() {
    let mut world = shop(2);
    world.run_until(10 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(18 * MINUTE);
    let there = [world.hosts(&pool("base")), world.hosts(&pool("spot"))];
    world.break_api("ecs:DescribeTasks", Outage::Down);
    world.run_until(60 * MINUTE);
    assert_eq!([world.hosts(&pool("base")), world.hosts(&pool("spot"))], there);
    world.mend_api("ecs:DescribeTasks");
    world.run_until(90 * MINUTE);
    assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2));
    quiet(&world.report());
}

#[test]
fn a_host_that_the_cluster_leaves_out_is_unknown_at_first_and_lost_later() {
    for name in ["base", "spot"] {
        for (hidden, launched) in [(20 * SECOND, 0), (50 * SECOND, 0), (4 * MINUTE, 1)] {
            let mut world = shop(3);
            world.run_until(10 * MINUTE + 5 * SECOND);
            let host = world.hide(&pool(name)).unwrap_or_else(|| unreachable!("there are hosts"));
            // A tick and whatever wakes it otherwise look at the cluster meanwhile.
            world.run_until(10 * MINUTE + 5 * SECOND + hidden);
            assert_eq!(world.desired(&pool("burst")), launched, "{name}, {hidden} ms: {:?}", feed(&world));
            world.show(&host);
            world.run_until(50 * MINUTE);
            assert_eq!(world.desired(&pool("burst")), 0, "{name}, {hidden} ms: {:?}", feed(&world));
            assert!(world.hosts(&pool(name)).contains(&host), "{name}, {hidden} ms: {:?}", feed(&world));
            quiet(&world.report());
        }
    }
}

#[test]
fn a_host_that_the_cluster_no_longer_shows_is_replaced_as_one_without_an_agent() {
    for name in ["base", "spot"] {
        let mut world = shop(3);
        world.run_until(10 * MINUTE);
        let before = world.hosts(&pool(name)).len();
        let gone = world.hide(&pool(name)).unwrap_or_else(|| unreachable!("there are hosts"));
        world.run_until(60 * MINUTE);
        let after = world.hosts(&pool(name));
        assert!(!after.contains(&gone) && after.len() == before, "{name}: {:?}", feed(&world));
        world.run_until(100 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 0, "{name}: {:?}", world.backfill_view());
    }
}

#[test]
fn a_group_that_one_answer_leaves_out_is_unknown_and_not_made_up_for() {
    for name in ["base", "spot", "burst"] {
        let mut world = shop(4);
        world.run_until(10 * MINUTE);
        world.interrupt(Interruption::Unwarned);
        world.run_until(13 * MINUTE);
        let before = world.desired(&pool("burst"));
        world.hide_group(&pool(name), true);
        world.run_until(16 * MINUTE);
        assert_eq!(world.desired(&pool("burst")), before, "{name}: {:?}", feed(&world));
        world.hide_group(&pool(name), false);
        world.run_until(60 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{name}");
        quiet(&world.report());
    }
}
