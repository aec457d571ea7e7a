//! Groups with warm pools: what waits in them was launched before the roll, and would come into service in place of the
//! hosts that go.

use evenkeel_model::templates::VersionSpec;
use evenkeel_model::trigger::RollVerb;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Faults, HostKind, World};

use crate::{SITE, SITE_SETUP, all_new, feed, fleet, pool, start, waits, world};

/// The servers behind a load balancer, with two more in a warm pool; `patch` is added to their section.
fn warm(strategy: &str, patch: &str, seed: u64) -> World {
    let text = SITE.replace("terminate-first", strategy).replace("[patch]\n", &format!("[patch]\n{patch}"));
    world(fleet(&text), &format!("{SITE_SETUP}warm_pool = 2\n"), seed, Faults::default(), 0.0)
}

#[test]
fn what_waits_in_a_warm_pool_is_replaced_before_the_hosts_in_service() {
    for strategy in ["terminate-first", "launch-first"] {
        for seed in 1..=10 {
            let mut world = warm(strategy, "", seed);
            start(&mut world);
            assert_eq!(world.warm_versions(&pool("base")), [(1, 2)].into(), "{strategy}, seed {seed}");
            world.run_until(60 * MINUTE);
            let ended = all_new(&world);
            assert_eq!(ended.replaced + ended.went, 5, "{strategy}, seed {seed}: {:#?}", feed(&world));
            assert_eq!(world.warm_versions(&pool("base")), [(2, 2)].into(), "{strategy}, seed {seed}");
            assert_eq!(world.desired(&pool("base")), 5, "{strategy}, seed {seed}");
            let told = feed(&world).iter().filter(|line| line.contains("in the warm pool of base")).count();
            assert_eq!(told, 2, "{strategy}, seed {seed}: each once: {:#?}", feed(&world));
        }
    }
}

/// What is said about the warm pool.
fn says(world: &World) -> Option<String> {
    waits(world).into_iter().find(|wait| wait.contains("in the warm pool of base"))
}

#[test]
fn what_is_old_in_a_warm_pool_alone_is_said_and_a_roll_replaces_it() {
    let mut world = warm("terminate-first", "", 1);
    start(&mut world);
    world.run_until(40 * MINUTE);
    all_new(&world);
    // Somebody points the group back for a while, in which the pool is filled up.
    world.set_spec(&pool("base"), VersionSpec::Number(1));
    world.set_capacity(&pool("base"), 6);
    world.run_until(45 * MINUTE);
    world.set_capacity(&pool("base"), 5);
    world.set_spec(&pool("base"), VersionSpec::Latest);
    let before = feed(&world).len();
    world.run_until(50 * MINUTE);
    assert_eq!(world.versions(&pool("base")), [(2, 5)].into());
    assert_eq!(world.warm_versions(&pool("base")), [(1, 1), (2, 1)].into());
    let said = says(&world);
    let outdated = "1 in the warm pool of base are outdated: a roll replaces them before its next wave";
    assert_eq!((said.as_deref(), feed(&world).len()), (Some(outdated), before), "nothing is done outside a roll");
    world.roll(RollVerb::Start, None);
    world.run_until(60 * MINUTE);
    let ended = all_new(&world);
    assert_eq!((ended.replaced, ended.waves), (0, 0), "no host in service went: {:#?}", feed(&world));
    assert_eq!((world.warm_versions(&pool("base")), says(&world)), ([(2, 2)].into(), None));
}

#[test]
fn a_window_opens_a_roll_for_a_warm_pool_and_one_that_is_closed_leaves_it_alone() {
    let mut world = warm("terminate-first", "windows = [\"daily 00:10-00:40 UTC\"]\n", 2);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.run_until(9 * MINUTE + 50_000);
    assert_eq!((world.warm_versions(&pool("base")), feed(&world).len()), ([(1, 2)].into(), 0));
    assert!(says(&world).is_some(), "{:?}", waits(&world));
    world.run_until(60 * MINUTE);
    all_new(&world);
    assert_eq!(world.warm_versions(&pool("base")), [(2, 2)].into());
}

#[test]
fn a_paused_roll_leaves_a_warm_pool_alone() {
    let mut world = warm("launch-first", "", 3);
    start(&mut world);
    world.roll(RollVerb::Pause, None);
    world.run_until(15 * MINUTE);
    assert!(world.patchroll_state().roll.is_some(), "{:#?}", feed(&world));
    assert_eq!(world.warm_versions(&pool("base")), [(1, 2)].into());
    world.roll(RollVerb::Resume, None);
    world.run_until(60 * MINUTE);
    all_new(&world);
    assert_eq!(world.warm_versions(&pool("base")), [(2, 2)].into());
}

#[test]
fn where_updates_at_boot_count_what_waited_since_before_the_roll_is_replaced_too() {
    let mut world = warm("terminate-first", "refresh = \"all\"\n", 4);
    world.run_until(5 * MINUTE);
    world.roll(RollVerb::Start, None);
    world.run_until(60 * MINUTE);
    let told = feed(&world).iter().filter(|line| line.contains("in the warm pool of base")).count();
    assert_eq!(told, 2, "{:#?}", feed(&world));
    assert_eq!(crate::ended(&world).replaced, 5, "{:#?}", feed(&world));
    crate::nothing_left(&world);
}
