//! A fresh image before the roll, and what becomes of a bake that fails.

use evenkeel_model::templates::{NoBuilder, VersionSpec};
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{BakeFate, Faults, World};

use crate::{SITE, SITE_SETUP, ended, fleet, nothing_left, pool, shop, world};

const BAKE: &str = "[patch.bake]\nbase_image_parameter = \"/aws/service/ecs/ami\"\ncommands = [\"dnf -y update\", \"true\"]\nkeep = 2\n\
    timeout = \"30m\"\n";

fn bakery(fate: BakeFate, seed: u64) -> World {
    let mut world = world(fleet(&format!("{SITE}{BAKE}")), SITE_SETUP, seed, Faults::default(), 0.0);
    world.bake_goes(fate);
    world.run_until(5 * MINUTE);
    world
}

#[test]
fn the_groups_roll_onto_the_new_image_however_they_name_versions() {
    for (seed, spec) in [(1, VersionSpec::Latest), (2, VersionSpec::Default), (3, VersionSpec::Number(1))] {
        let mut world = bakery(BakeFate::Works, seed);
        world.set_spec(&pool("base"), spec);
        world.roll(RollVerb::Start, None);
        world.run_until(90 * MINUTE);
        let ended = ended(&world);
        assert_eq!((&ended.ending, ended.replaced), (&Ending::Done, 5), "{spec}");
        assert_eq!(world.versions(&pool("base")).into_iter().collect::<Vec<_>>(), [(2, 5)], "{spec}");
        assert_eq!(world.images().len(), 1);
        nothing_left(&world);
    }
}

#[test]
fn a_bake_that_fails_ends_the_roll_with_the_reason_and_leaves_nothing() {
    let reasons = [
        (BakeFate::BuilderNeverStops, "after 1800 s, "),
        (BakeFate::BuilderRefused, "after 1800 s, a builder starts: no capacity: InsufficientInstanceCapacity"),
        (BakeFate::BuilderGone, "ended before it was done"),
        (BakeFate::ImageFails, "could not be made"),
    ];
    for (fate, reason) in reasons {
        let mut world = bakery(fate, 4);
        world.roll(RollVerb::Start, None);
        world.run_until(60 * MINUTE);
        let Ending::NotBaked(because) = ended(&world).ending else { panic!("{fate:?}: {:?}", ended(&world)) };
        assert!(because.contains(reason), "{because}");
        let asked = world.report().api_calls.get("ec2:RunInstances").copied();
        assert!(asked.is_some_and(|calls| calls <= 31), "{fate:?}: asked {asked:?} times in half an hour");
        assert_eq!(world.images(), []);
        assert_eq!(world.builders(), []);
        assert_eq!(world.versions(&pool("base")).into_iter().collect::<Vec<_>>(), [(1, 5)]);
        nothing_left(&world);
    }
}

#[test]
fn a_builder_is_launched_like_hosts_of_a_group_that_one_can_be_launched_like() {
    for (because, words) in [(NoBuilder::Spot, "asks for spot instances"), (NoBuilder::Requirements, "only groups can")]
    {
        let mut world = bakery(BakeFate::Works, 4);
        world.set_no_builder(&pool("base"), because);
        world.roll(RollVerb::Start, None);
        world.run_until(60 * MINUTE);
        let Ending::NotBaked(said) = ended(&world).ending else { panic!("{because:?}: {:?}", ended(&world)) };
        assert!(said.starts_with("pool base: launch template lt-base-1 ") && said.contains(words), "{said}");
        assert_eq!(world.builders(), []);
        nothing_left(&world);
    }
    // One pool that cannot give a builder is no reason against another.
    let mut world = shop("[patch]\n", "[patch]\nbake = { base_image_parameter = \"/aws/service/ecs/ami\" }\n", 4);
    world.set_no_builder(&pool("base"), NoBuilder::Spot);
    world.run_until(5 * MINUTE);
    world.roll(RollVerb::Start, None);
    world.run_until(30 * MINUTE);
    assert_eq!(world.images().len(), 1);
}

#[test]
fn a_name_that_is_taken_is_no_reason_to_give_up() {
    let mut world = bakery(BakeFate::Works, 5);
    world.roll(RollVerb::Start, None);
    world.run_until(5 * MINUTE + 5_000);
    let id = world.patchroll_state().roll.map(|roll| roll.id.to_string()).unwrap_or_default();
    world.take_image_name(&format!("evenkeel-site-{id}"));
    world.run_until(90 * MINUTE);
    assert_eq!(ended(&world).ending, Ending::Done);
    assert_eq!(world.images()[0].name, format!("evenkeel-site-{id}-2"));
    nothing_left(&world);
}

#[test]
fn names_that_are_taken_again_and_again_end_the_bake_in_time() {
    let mut world = bakery(BakeFate::NameTaken, 5);
    world.roll(RollVerb::Start, None);
    world.run_until(90 * MINUTE);
    let Ending::NotBaked(because) = ended(&world).ending else { panic!("{:?}", ended(&world)) };
    let words = "after 1800 s, its updates are installed: refused: InvalidAMIName.Duplicate: ";
    assert!(because.starts_with(words), "{because}");
    nothing_left(&world);
}

#[test]
fn the_newest_images_are_kept_and_the_others_go() {
    let mut world = bakery(BakeFate::Works, 6);
    for roll in 0..4 {
        world.roll(RollVerb::Start, None);
        world.run_until((5 + (roll + 1) * 60) * MINUTE);
        assert_eq!(ended(&world).ending, Ending::Done);
        // The image of the hosts that were replaced last is in use until they are gone.
        assert!(world.images().len() <= 3, "{:?}", world.images());
    }
    assert!(world.images().len() >= 2);
    nothing_left(&world);
}

#[test]
fn a_baked_image_that_is_bad_stops_at_the_canary_and_goes_back() {
    let text = format!("{}{BAKE}", SITE.replace("[patch]\n", "[patch]\nroll_back = true\nreplace_timeout = \"6m\"\n"));
    let mut world = world(fleet(&text), SITE_SETUP, 7, Faults::default(), 0.0);
    world.bake_goes(BakeFate::BadImage);
    world.run_until(5 * MINUTE);
    world.roll(RollVerb::Start, None);
    world.run_until(120 * MINUTE);
    assert!(matches!(ended(&world).ending, Ending::RolledBack(_)), "{:?}", ended(&world));
    assert_eq!(world.versions(&pool("base")).into_iter().collect::<Vec<_>>(), [(1, 5)]);
    nothing_left(&world);
}

#[test]
fn a_roll_that_is_aborted_while_it_bakes_leaves_nothing() {
    let mut world = bakery(BakeFate::Works, 8);
    world.roll(RollVerb::Start, None);
    world.run_until(7 * MINUTE);
    world.roll(RollVerb::Abort, None);
    world.run_until(30 * MINUTE);
    assert_eq!(ended(&world).ending, Ending::Aborted);
    assert_eq!((world.images(), world.builders()), (Vec::new(), Vec::new()));
    nothing_left(&world);
}
