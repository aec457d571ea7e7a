//! Others at work on the same fleet: nothing is fought, and the reason is said.

use evenkeel_model::groups::Process;
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::{Faults, HostKind, Outage};

use crate::{
    SHOP, SHOP_SETUP, all_new, ended, feed, fleet, nothing_left, pool, quiet, shop, site, start, waits, world,
};

#[test]
fn a_second_start_is_refused_while_a_roll_is_under_way() {
    let mut world = shop("max_out = 1 ", "max_out = 1 ", 1);
    start(&mut world);
    world.run_until(7 * MINUTE);
    let first = world.patchroll_state().roll.map(|roll| roll.id);
    world.roll(RollVerb::Start, None);
    world.run_until(7 * MINUTE + 2_000);
    assert_eq!(world.patchroll_state().roll.map(|roll| roll.id), first);
    world.run_until(50 * MINUTE);
    all_new(&world);
    assert_eq!(world.patchroll_state().ended.len(), 1);
}

#[test]
fn every_event_twice_changes_nothing() {
    let faults = Faults { doubled: 1.0, ..Faults::default() };
    let mut world = world(fleet(SHOP), SHOP_SETUP, 2, faults, 300.0);
    start(&mut world);
    world.run_until(60 * MINUTE);
    let ended = all_new(&world);
    assert_eq!(ended.replaced, 5);
}

#[test]
fn an_instance_refresh_by_somebody_else_is_left_alone() {
    for minute in 5..=9 {
        let mut world = site("wave = 1", "wave = 1", minute);
        start(&mut world);
        world.run_until(minute * MINUTE + 15_000);
        world.begin_refresh(&pool("base"));
        world.run_until((minute + 1) * MINUTE + 20_000);
        let said = waits(&world);
        assert!(
            said.iter().any(|wait| wait == "an instance refresh of site-base is under way"),
            "minute {minute}: {said:?}"
        );
        world.run_until(120 * MINUTE);
        let ended = all_new(&world);
        assert!(ended.went > 0, "the refresh has replaced hosts: {ended:?}");
    }
}

#[test]
fn a_human_who_sets_the_capacity_is_not_fought() {
    for strategy in ["terminate-first", "launch-first"] {
        // Six would be what a wave that launches first sets itself.
        for (minute, capacity) in [(6, 4), (6, 7), (8, 4), (9, 7), (10, 7), (11, 4)] {
            let mut world = site("terminate-first", strategy, minute);
            start(&mut world);
            world.run_until(minute * MINUTE + 10_000);
            world.set_capacity(&pool("base"), capacity);
            world.run_until(80 * MINUTE);
            let state = world.patchroll_state();
            if let Some(roll) = &state.roll {
                // Four hosts are the minimum: none may go any more.
                assert!(capacity == 4, "{strategy}, minute {minute}, {capacity}: {roll:?} {:?}", waits(&world));
                world.set_capacity(&pool("base"), 5);
                world.run_until(140 * MINUTE);
                all_new(&world);
            } else {
                all_new(&world);
                assert_eq!(world.desired(&pool("base")), capacity, "{strategy}, minute {minute}: {:#?}", feed(&world));
            }
        }
    }
}

#[test]
fn where_launches_are_suspended_no_host_goes() {
    let mut world = site("wave = 1", "wave = 1", 3);
    world.suspend(&pool("base"), Process::Launch);
    start(&mut world);
    world.run_until(10 * MINUTE);
    let said = waits(&world);
    assert!(said.iter().any(|wait| wait == "Launch is suspended in site-base"), "{said:?}");
    assert_eq!(world.patchroll_state().roll.map(|roll| roll.waves), Some(0));
    world.unsuspend(&pool("base"), Process::Launch);
    world.run_until(50 * MINUTE);
    all_new(&world);
}

#[test]
fn hosts_that_are_protected_from_scale_in_are_rolled_too() {
    for strategy in ["terminate-first", "launch-first"] {
        let mut world = site("terminate-first", strategy, 4);
        world.protect(&pool("base"), true);
        start(&mut world);
        world.run_until(50 * MINUTE);
        all_new(&world);
    }
}

#[test]
fn a_host_that_a_launch_hook_holds_when_its_agent_is_there_is_not_missing() {
    let setup = SHOP_SETUP.replace("[pool.base]\n", "[pool.base]\nlaunch_hook_seconds = 150\n");
    assert_ne!(setup, SHOP_SETUP);
    for seed in 1..=5 {
        let mut world = world(fleet(SHOP), &setup, seed, Faults::default(), 300.0);
        start(&mut world);
        world.run_until(70 * MINUTE);
        all_new(&world);
        assert_eq!(world.report().hosts.on_demand_hours, 0.0, "seed {seed}: {:#?}", feed(&world));
    }
}

#[test]
fn a_new_version_in_the_middle_of_a_roll_is_rolled_as_well() {
    let mut world = site("wave = 1", "wave = 1", 5);
    start(&mut world);
    world.run_until(12 * MINUTE);
    world.publish_versions(evenkeel_world::HostKind::Sound);
    world.run_until(120 * MINUTE);
    let ended = ended(&world);
    assert_eq!(ended.ending, Ending::Done);
    assert!(world.versions(&pool("base")).keys().all(|version| *version == 3), "{:?}", world.versions(&pool("base")));
    nothing_left(&world);
}

#[test]
fn nothing_outdated_is_nothing_to_do() {
    let mut world = shop("max_out = 1 ", "max_out = 1 ", 6);
    world.run_until(5 * MINUTE);
    world.roll(RollVerb::Start, None);
    world.run_until(8 * MINUTE);
    let ended = ended(&world);
    assert_eq!((ended.ending, ended.replaced, ended.waves), (Ending::Done, 0, 0));
    nothing_left(&world);
}

/// A fleet that cannot have all its hosts again is patched all the same, once it has waited for an hour.
#[test]
fn a_loss_that_nobody_makes_up_for_holds_a_roll_back_for_an_hour() {
    // With backfill, which counts losses, and without.
    let with = shop("strategy = \"terminate-first\" ", "strategy = \"terminate-first\" ", 4);
    let without = site("wave = 1", "wave = 1", 4);
    for (mut world, name) in [(with, "shop"), (without, "site")] {
        world.run_until(3 * MINUTE);
        for name in ["base", "spot", "burst"] {
            world.starve(&pool(name), 4 * 60 * MINUTE);
        }
        let lost = if name == "shop" { world.fails(&pool("spot")) } else { world.fails(&pool("base")) };
        assert!(lost.is_some());
        world.run_until(30 * MINUTE);
        world.publish_versions(HostKind::Sound);
        world.roll(RollVerb::Start, None);
        world.run_until(50 * MINUTE);
        let said = waits(&world);
        assert!(said.iter().any(|wait| wait.contains("out")), "{name}: {said:?}");
        assert_eq!(world.patchroll_state().roll.map(|roll| roll.waves), Some(0), "{name}: {said:?}");
        // The market gives again, but not all: another host stays away, and nobody is in the way of the others.
        world.starve(&pool("base"), 0);
        if name == "shop" {
            world.run_until(240 * MINUTE);
            let state = world.patchroll_state();
            let began = state.roll.map_or(0, |roll| roll.waves) + state.ended.first().map_or(0, |roll| roll.waves);
            assert!(began > 0, "{name}: {:?}", waits(&world));
        } else {
            world.run_until(120 * MINUTE);
            assert_eq!(ended(&world).ending, Ending::Done);
        }
        quiet(&world.report());
    }
}

#[test]
fn a_host_that_somebody_has_set_aside_is_not_rolled_and_is_named() {
    let mut world = site("minimum = 4", "minimum = 3", 5);
    world.run_until(3 * MINUTE);
    let aside = world.set_aside(&pool("base"));
    let aside = aside.unwrap_or_else(|| unreachable!("there are hosts")).to_string();
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.roll(RollVerb::Start, None);
    world.run_until(8 * MINUTE);
    let said = waits(&world);
    assert!(said.iter().any(|wait| wait.contains(&aside) && wait.contains("set it aside")), "{said:?}");
    world.run_until(60 * MINUTE);
    assert_eq!(ended(&world).replaced, 4);
    assert_eq!(world.versions(&pool("base")).get(&1), Some(&1), "the one that was set aside");
    assert!(!feed(&world).iter().any(|line| line.contains(&aside)), "{:?}", feed(&world));
    quiet(&world.report());
}

#[test]
fn a_host_that_the_cluster_does_not_show_is_given_up_and_never_ended() {
    let mut world = shop("strategy = \"terminate-first\" ", "strategy = \"terminate-first\" ", 6);
    world.run_until(6 * MINUTE);
    let hidden = world.hide(&pool("base"));
    let hidden = hidden.unwrap_or_else(|| unreachable!("there are hosts")).to_string();
    world.publish_versions(HostKind::Sound);
    world.roll(RollVerb::Start, None);
    world.run_until(120 * MINUTE);
    let ended_it = |line: &String| {
        line.starts_with(&format!("replace {hidden} ")) || line.starts_with(&format!("give back {hidden} "))
    };
    assert!(!feed(&world).iter().any(ended_it), "{:#?}", feed(&world));
    // Its group may have ended it since, to even out its zones.
    let ended = ended(&world);
    assert_eq!(ended.ending, Ending::Incomplete, "{ended:?}");
    assert!(ended.abandoned.keys().any(|id| id.as_str() == hidden), "{ended:?}");
    quiet(&world.report());
}

/// Somebody publishes another version while the first one's hosts are on their way: they are good successors, and the roll goes
/// on to the newer one.
#[test]
fn a_version_that_is_published_in_the_middle_of_a_wave_halts_nothing() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in [5, 25, 60, 90] {
            let mut world = site("terminate-first", strategy, seconds);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            world.publish_versions(HostKind::Sound);
            world.run_until(120 * MINUTE);
            let ended = ended(&world);
            assert_eq!(ended.ending, Ending::Done, "{strategy}, {seconds} s: {:#?}", feed(&world));
            let versions = world.versions(&pool("base"));
            assert!(versions.keys().all(|version| *version == 3), "{strategy}, {seconds} s: {versions:?}");
            assert_eq!(world.desired(&pool("base")), 5);
            nothing_left(&world);
        }
    }
}

/// Backfill sets the capacity of on-demand groups as it needs to; in a group that does not grow for the roll a person may, too.
#[test]
fn a_wave_goes_on_while_others_set_the_capacity_of_groups_that_do_not_grow_for_it() {
    let mut raised = 0;
    for seconds in [2, 10, 20] {
        let mut world = shop("max_out = 1 ", "max_out = 3 ", seconds);
        start(&mut world);
        world.run_until(5 * MINUTE + seconds * 1_000);
        assert!(world.fails(&pool("base")).is_some());
        for moment in 0..240 {
            world.run_until(5 * MINUTE + (seconds + moment) * 1_000);
            raised += world.desired(&pool("burst"));
            let said = waits(&world);
            assert!(!said.iter().any(|wait| wait.contains("by somebody else")), "{seconds} s, {moment}: {said:?}");
        }
        world.run_until(90 * MINUTE);
        all_new(&world);
    }
    assert!(raised > 0, "backfill has stood in in none of them");
}

/// Nobody makes room for the tasks of a host that drains while ECS cannot be read: it had no time yet, and is not given up.
#[test]
fn a_drain_outlives_an_outage_of_ecs() {
    let actions = ["ecs:DescribeTasks", "ecs:*", "ecs:DescribeContainerInstances", "ecs:DescribeServices"];
    for (action, later) in actions.into_iter().flat_map(|action| [(action, 0), (action, 10 * SECOND)]) {
        let mut world = shop("drain_timeout = \"10m\"", "drain_timeout = \"5m\"", 5);
        world.run_until(4 * MINUTE);
        start(&mut world);
        while world.draining().is_empty() {
            world.run_until(world.now() + SECOND);
        }
        world.run_until(world.now() + later);
        world.break_api(action, Outage::Down);
        world.run_until(world.now() + 30 * MINUTE);
        world.mend_api(action);
        world.run_until(world.now() + 80 * MINUTE);
        let ended = ended(&world);
        assert!(ended.ending == Ending::Done && ended.replaced == 5, "{action}: {ended:?} {:?}", feed(&world));
        nothing_left(&world);
    }
}
