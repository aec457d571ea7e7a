//! What is taken out of the fleet file, or switched off, in the middle of something: what was begun is ended.

use evenkeel_model::FunctionName;
use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::{Interruption, World};

use crate::{SHOP, feed, fleet, pool, quiet, shop};

/// The shop with one on-demand host that stands in for a spot host, for as long as there is no spot.
fn with_a_stand_in(seed: u64) -> World {
    let mut world = shop(seed);
    world.run_until(10 * MINUTE);
    world.starve(&pool("spot"), 24 * 60 * MINUTE);
    world.interrupt(Interruption::Warned);
    world.run_until(14 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 1, "{:?}", world.backfill_view());
    world
}

/// Somebody edits the fleet file.
fn edit(world: &mut World, fleet: &Fleet) {
    world.edit_fleet(&serde_json::to_string(fleet).unwrap_or_else(|error| panic!("{error}")));
}

/// The shop without some of its parts, from a line that begins with `from` to the next empty one.
fn without(text: &str, from: &str) -> Fleet {
    let begin = text.find(from).unwrap_or_else(|| panic!("{from} is in the file"));
    let rest = &text[begin..];
    let next = rest[1..].find("\n[").map_or(rest.len(), |at| at + 2);
    fleet(&format!("{}{}", &text[..begin], &rest[next..]))
}

#[test]
fn without_its_section_backfill_ends_the_hosts_that_it_began() {
    // In the middle of a stay, of a launch, and of a drain.
    for (seed, at) in [(1, 15 * MINUTE), (2, 14 * MINUTE), (3, 20 * MINUTE)] {
        let mut world = with_a_stand_in(seed);
        world.run_until(at);
        edit(&mut world, &without(SHOP, "[backfill]"));
        world.run_until(at + 16 * MINUTE);
        let case = format!("seed {seed}: {:?}", feed(&world));
        assert_eq!((world.desired(&pool("burst")), world.hosts(&pool("burst")).len()), (0, 0), "{case}");
        assert_eq!((world.draining(), world.places()), (vec![], vec![]), "{case}");
        assert_eq!(world.report().hosts.below_minimum_seconds, 0.0, "{case}");
        // The others are nobody's to touch.
        assert_eq!(world.hosts(&pool("base")).len(), 3, "{case}");
    }
}

#[test]
fn a_launch_on_its_way_is_called_off_without_the_section() {
    let mut world = shop(4);
    world.run_until(10 * MINUTE);
    world.starve(&pool("spot"), 24 * 60 * MINUTE);
    world.starve(&pool("burst"), 2 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(10 * MINUTE + 20 * SECOND);
    edit(&mut world, &without(SHOP, "[backfill]"));
    world.run_until(30 * MINUTE);
    assert_eq!((world.desired(&pool("burst")), world.hosts(&pool("burst")).len()), (0, 0), "{:?}", feed(&world));
    assert_eq!(world.places(), vec![], "{:?}", feed(&world));
}

#[test]
fn a_section_that_comes_back_finds_everything_as_it_should_be() {
    let mut world = with_a_stand_in(5);
    edit(&mut world, &without(SHOP, "[backfill]"));
    world.run_until(40 * MINUTE);
    edit(&mut world, &fleet(SHOP));
    world.run_until(50 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 1, "{:?}", feed(&world));
    quiet(&world.report());
}

#[test]
fn a_pool_that_is_taken_out_of_the_file_is_emptied_and_another_stands_in() {
    let text = SHOP.replacen(
        "[backfill]",
        "[[pool]]\nname = \"second\"\npurchase = \"on-demand\"\nauto_scaling_group = \"shop-second\"\n\n[backfill]",
        1,
    );
    for seed in 1..=3 {
        let two = fleet(&text);
        let setup = evenkeel_world::setup::Setup::for_fleet(&two);
        let mut world = crate::world(two, setup, seed, evenkeel_world::Faults::default(), 300.0);
        world.run_until(10 * MINUTE);
        world.starve(&pool("spot"), 24 * 60 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.run_until(14 * MINUTE);
        assert_eq!(world.hosts(&pool("burst")).len(), 1, "seed {seed}: {:?}", feed(&world));
        let one = without(&text, "[[pool]]   ");
        edit(&mut world, &one);
        world.run_until(34 * MINUTE);
        let case = format!("seed {seed}: {:?}", feed(&world));
        assert_eq!((world.desired(&pool("burst")), world.hosts(&pool("burst")).len()), (0, 0), "{case}");
        assert_eq!(world.hosts(&pool("second")).len(), 1, "{case}");
        assert_eq!((world.draining(), world.report().hosts.below_minimum_seconds), (vec![], 0.0), "{case}");
    }
}

#[test]
fn a_pool_by_another_name_is_the_same_pool() {
    for at in [10, 14, 22] {
        let mut world = shop(2);
        world.run_until(10 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.run_until(at * MINUTE + 5 * SECOND);
        let mut text = SHOP.to_owned();
        for (old, new) in
            [("\"burst\"", "\"peak\""), ("\"spot\"\npurchase", "\"cheap\"\npurchase"), ("\"base\"", "\"ours\"")]
        {
            text = text.replacen(old, new, 1);
        }
        let renamed = fleet(&text);
        assert!(renamed.pools.iter().all(|pool| !["burst", "spot", "base"].contains(&pool.name.as_str())));
        edit(&mut world, &renamed);
        world.run_until(50 * MINUTE);
        let case = format!("{at} min: {:?}", feed(&world));
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{case}");
        assert_eq!((world.draining(), world.places()), (vec![], vec![]), "{case}");
        let report = world.report();
        assert_eq!(
            (report.backfill.launches, report.backfill.moves),
            (2, 1),
            "one stands in, and one is spot again: {case}"
        );
        quiet(&report);
    }
}

#[test]
fn hosts_that_a_silent_roll_left_draining_take_tasks_again() {
    for seed in 1..=3 {
        let mut world = shop(seed);
        world.run_until(10 * MINUTE);
        world.patch();
        while world.draining().is_empty() {
            assert!(world.now() < 20 * MINUTE, "seed {seed}: {:?}", feed(&world));
            world.run_until(world.now() + SECOND);
        }
        world.switch_off(FunctionName::Patchroll, true);
        // Its own drain and replacement timeouts, and two ticks.
        world.run_until(world.now() + 27 * MINUTE);
        assert_eq!((world.draining(), world.places()), (vec![], vec![]), "seed {seed}: {:?}", feed(&world));
        // What comes then is answered as ever.
        world.interrupt(Interruption::Warned);
        world.run_until(world.now() + 30 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.places()), (0, vec![]), "seed {seed}: {:?}", feed(&world));
    }
}

#[test]
fn a_fleet_that_never_had_backfill_is_left_alone() {
    let text = SHOP;
    let never = without(text, "[backfill]");
    let setup = evenkeel_world::setup::Setup::for_fleet(&never);
    let mut world = crate::world(never, setup, 1, evenkeel_world::Faults::default(), 300.0);
    world.set_capacity(&pool("burst"), 1);
    world.run_until(30 * MINUTE);
    assert_eq!(world.hosts(&pool("burst")).len(), 1);
}
