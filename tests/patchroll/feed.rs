//! What the feed says of a roll: when it began, was steered, and ended, why, and who asked.

use evenkeel_model::decision::Step;
use evenkeel_model::trigger::RollVerb;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{BakeFate, Faults, HostKind, World};

use crate::{SHOP, SHOP_SETUP, SITE, SITE_SETUP, fleet, pool, site, start, world};

/// What the feed says of rolls, oldest first, each roll by its place among those that began.
fn said(world: &World) -> Vec<String> {
    let view = world.view().unwrap_or_else(|| panic!("there is a view"));
    let of_rolls = view.decisions.into_iter().rev().filter(|one| matches!(one.decision.step, Step::Roll(_)));
    let lines: Vec<String> = of_rolls.map(|one| one.text).collect();
    let mut begun: Vec<String> = Vec::new();
    let named = lines.into_iter().map(|line| {
        let id = line.split([' ', ':', ',']).nth(2).unwrap_or_default().to_owned();
        if !begun.contains(&id) {
            begun.push(id.clone());
        }
        let place = begun.iter().position(|known| *known == id).unwrap_or_default() + 1;
        line.replace(&id, &format!("r-{place}"))
    });
    named.collect()
}

#[test]
fn a_roll_begins_and_ends_in_the_feed_with_who_asked_and_what_became_of_it() {
    let mut world = site("wave = 1", "wave = 1", 1);
    start(&mut world);
    world.run_until(40 * MINUTE);
    let ended = world.patchroll_state().ended.remove(0);
    let what = match ended.went {
        0 => "5 hosts replaced in 5 waves".to_owned(),
        went => format!("{} hosts replaced in {} waves, {went} host", ended.replaced, ended.waves),
    };
    let lines = said(&world);
    assert_eq!(lines[0], "start roll r-1: a manual request");
    assert!(lines[1].starts_with(&format!("end roll r-1, done: {what}")), "{lines:#?}");
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn pausing_resuming_and_aborting_are_in_the_feed_once_with_the_name_that_was_given() {
    let mut world = site("wave = 1", "wave = 1", 2);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.roll_by(RollVerb::Start, "Anna, CVE-2026-1");
    world.run_until(6 * MINUTE);
    // Whoever asks twice changes nothing the second time.
    for verb in [RollVerb::Pause, RollVerb::Pause, RollVerb::Resume, RollVerb::Resume, RollVerb::Abort, RollVerb::Abort]
    {
        world.roll_by(verb, "Ben");
        world.run_until(world.now() + 20_000);
    }
    world.run_until(20 * MINUTE);
    let lines = said(&world);
    assert_eq!(
        lines[..4],
        [
            "start roll r-1: a manual request by Anna, CVE-2026-1",
            "pause roll r-1: a manual request by Ben",
            "resume roll r-1: a manual request by Ben",
            "abort roll r-1: a manual request by Ben",
        ]
    );
    assert!(lines[4].starts_with("end roll r-1, aborted: ") && lines.len() == 5, "{lines:#?}");
}

#[test]
fn a_request_that_comes_twice_is_followed_once() {
    for seed in 1..=5 {
        let faults = Faults { doubled: 1.0, ..Faults::default() };
        let mut world = world(fleet(SITE), SITE_SETUP, seed, faults, 0.0);
        world.run_until(5 * MINUTE);
        world.publish_versions(HostKind::Sound);
        // Each comes once more within five seconds, when the next one was followed already.
        for verb in [RollVerb::Start, RollVerb::Pause, RollVerb::Resume, RollVerb::Pause, RollVerb::Resume] {
            world.roll(verb, None);
            world.run_until(world.now() + 1_500);
        }
        world.run_until(40 * MINUTE);
        let lines = said(&world);
        let asked = ["start", "pause", "resume", "pause", "resume"];
        assert_eq!(lines[..5], asked.map(|word| format!("{word} roll r-1: a manual request")), "seed {seed}");
        assert!(lines[5].starts_with("end roll r-1, done: ") && lines.len() == 6, "seed {seed}: {lines:#?}");
    }
}

#[test]
fn a_window_and_an_event_are_in_the_feed_as_what_asked() {
    let text = SITE.replace("[patch]\n", "[patch]\nwindows = [\"daily 00:10-12:00 UTC\"]\n");
    let mut world = world(fleet(&text), SITE_SETUP, 3, Faults::default(), 0.0);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.run_until(50 * MINUTE);
    world.find_vulnerability(&pool("base"), true);
    world.run_until(90 * MINUTE);
    let lines = said(&world);
    let window = "start roll r-1: its window opened, and ";
    assert!(lines[0].starts_with(window) && lines[0].contains(" is outdated: it runs version 1"), "{lines:#?}");
    assert!(lines[1].starts_with("end roll r-1, done: "), "{lines:#?}");
    assert_eq!(lines[2], "start roll r-2: Inspector found a vulnerable package");
    assert!(lines[3].starts_with("end roll r-2, done: ") && lines.len() == 4, "{lines:#?}");
}

#[test]
fn a_halt_is_in_the_feed_with_its_cause_and_so_is_the_way_back() {
    let mut world = site("wave = 1", "wave = 1\nroll_back = true", 4);
    start(&mut world);
    world.run_until(9 * MINUTE);
    let alarm = "site-5xx".parse().unwrap_or_else(|_| unreachable!("a name"));
    world.halt(&alarm, true);
    world.run_until(50 * MINUTE);
    let lines = said(&world);
    assert_eq!(lines[1], "halt roll r-1: alarm site-5xx is in ALARM");
    let back = "end roll r-1, rolled back (alarm site-5xx is in ALARM): ";
    assert!(lines[2].starts_with(back) && lines.len() == 3, "{lines:#?}");
}

#[test]
fn new_hosts_that_do_not_come_into_service_halt_a_roll_in_the_feed() {
    let mut world = site("wave = 1", "wave = 1\nreplace_timeout = \"6m\"", 5);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::NeverHealthy);
    world.roll(RollVerb::Start, None);
    world.run_until(30 * MINUTE);
    let lines = said(&world);
    assert!(lines[1].starts_with("halt roll r-1: the new host did not come into service in "), "{lines:#?}");
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn a_roll_that_ends_with_hosts_left_names_them_in_the_feed() {
    let setup = SHOP_SETUP.replace("[pool.base]\n", "[pool.base]\naz_rebalance = false\n");
    let mut world = world(fleet(SHOP), &setup, 2, Faults::default(), 300.0);
    world.run_until(4 * MINUTE);
    world.run_standalone(&pool("base"));
    start(&mut world);
    while world.patchroll_state().ended.is_empty() && world.now() < 90 * MINUTE {
        world.run_until(world.now() + MINUTE / 2);
    }
    let lines = said(&world);
    let last = lines.last().unwrap_or_else(|| panic!("it ended"));
    assert!(last.starts_with("end roll r-1, incomplete: 4 hosts replaced in 5 waves, 1 host not replaced: "), "{last}");
    assert!(last.ends_with("(1 standalone tasks, which ECS does not move)"), "{last}");
}

#[test]
fn a_bake_that_fails_ends_a_roll_in_the_feed_with_the_reason() {
    let bake = "[patch.bake]\nbase_image_parameter = \"/ami\"\ncommands = [\"true\"]\ntimeout = \"30m\"\n";
    let mut world = world(fleet(&format!("{SITE}{bake}")), SITE_SETUP, 6, Faults::default(), 0.0);
    world.bake_goes(BakeFate::ImageFails);
    world.run_until(5 * MINUTE);
    world.roll(RollVerb::Start, None);
    world.run_until(60 * MINUTE);
    let lines = said(&world);
    assert_eq!(lines[0], "start roll r-1: a manual request");
    assert!(lines[1].starts_with("end roll r-1, without an image (") && lines.len() == 2, "{lines:#?}");
}
