//! What can go wrong with one host, named: none is left DRAINING, and none is taken for done.

use evenkeel_model::decision::Stuck;
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Faults, HostKind};

use crate::{SHOP, SHOP_SETUP, all_new, ended, feed, fleet, nothing_left, pool, shop, site, start, waits, world};

#[test]
fn a_standalone_task_keeps_its_host_and_the_others_are_rolled() {
    let setup = SHOP_SETUP.replace("[pool.base]\n", "[pool.base]\naz_rebalance = false\n");
    let mut world = world(fleet(SHOP), &setup, 2, Faults::default(), 300.0);
    world.run_until(4 * MINUTE);
    world.run_standalone(&pool("base"));
    start(&mut world);
    world.run_until(60 * MINUTE);
    let ended = ended(&world);
    assert_eq!(ended.ending, Ending::Incomplete);
    assert_eq!(ended.replaced, 4);
    assert_eq!(ended.abandoned.values().collect::<Vec<_>>(), [&Stuck::Standalone { tasks: 1 }]);
    assert!(feed(&world).iter().any(|line| line.contains("it cannot be replaced: 1 standalone tasks")));
    nothing_left(&world);
}

#[test]
fn protected_tasks_keep_their_hosts() {
    // Also where their time is over before a drain is taken for slow.
    for time in ["10m", "30s"] {
        let mut world = shop("drain_timeout = \"10m\"", &format!("drain_timeout = \"{time}\""), 3);
        world.run_until(4 * MINUTE);
        let web = "web".parse().unwrap_or_else(|_| unreachable!("a name"));
        world.protect_tasks(&web, true);
        start(&mut world);
        world.run_until(100 * MINUTE);
        let ended = ended(&world);
        assert_eq!(ended.ending, Ending::Incomplete);
        assert!(ended.abandoned.values().all(|cause| matches!(cause, Stuck::Protected { .. })), "{ended:?}");
        assert!(!ended.abandoned.is_empty());
        nothing_left(&world);
    }
}

#[test]
fn a_service_that_can_never_move_is_named() {
    let never = "[service.web]\nminimum_percent = 100\nmaximum_percent = 100\n";
    let setup = SHOP_SETUP.replace("[service.web]\n", never);
    let mut world = world(fleet(SHOP), &setup, 4, Faults::default(), 300.0);
    start(&mut world);
    world.run_until(100 * MINUTE);
    let ended = ended(&world);
    assert_eq!(ended.ending, Ending::Incomplete);
    assert!(ended.abandoned.values().all(|cause| matches!(cause, Stuck::MinMaxPercent { .. })), "{ended:?}");
    nothing_left(&world);
}

#[test]
fn a_host_whose_agent_is_away_is_given_up() {
    let mut world = shop("max_out = 1 ", "max_out = 1 ", 5);
    start(&mut world);
    world.lose_agent(&pool("base"));
    world.run_until(90 * MINUTE);
    let ended = ended(&world);
    assert!(
        ended.abandoned.is_empty() || ended.abandoned.values().all(|cause| *cause == Stuck::AgentAway),
        "{ended:?}"
    );
    nothing_left(&world);
}

#[test]
fn without_room_it_waits_says_what_is_missing_and_borrows_where_it_may() {
    // 17 tasks of 512 CPU units on five hosts with room for 20: four hosts hold 16.
    for (borrow, replaced) in [(false, 0), (true, 5)] {
        let text = SHOP.replacen("[patch]\n", &format!("[patch]\nborrow = {borrow}\n"), 1);
        let mut world = world(fleet(&text), SHOP_SETUP, 6, Faults::default(), 17.0 * 50.0);
        world.load(Some(1.0));
        start(&mut world);
        world.run_until(20 * MINUTE);
        if !borrow {
            let said = waits(&world);
            assert!(
                said.iter().any(|wait| wait.contains("the next wave waits for room: ")
                    && wait.contains("of web have no place elsewhere")),
                "{said:?}"
            );
        }
        world.run_until(90 * MINUTE);
        if borrow {
            let ended = all_new(&world);
            assert_eq!(ended.replaced, replaced);
        } else {
            assert_eq!(world.patchroll_state().roll.map(|roll| roll.replaced), Some(replaced));
            world.roll(RollVerb::Abort, None);
            world.run_until(95 * MINUTE);
            assert_eq!(ended(&world).ending, Ending::Aborted);
            nothing_left(&world);
        }
    }
}

#[test]
fn a_bad_image_stops_at_the_canary_with_one_host_affected_and_goes_back_when_told_to() {
    for kind in [HostKind::NeverHealthy, HostKind::NeverJoins] {
        for strategy in ["terminate-first", "launch-first"] {
            for roll_back in [false, true] {
                let to = format!("roll_back = {roll_back}\nreplace_timeout = \"6m\"\nstrategy = \"{strategy}\"");
                let mut world = site("strategy = \"terminate-first\"", &to, 7);
                world.run_until(5 * MINUTE);
                world.publish_versions(kind);
                world.roll(RollVerb::Start, None);
                world.run_until(60 * MINUTE);
                let versions = world.versions(&pool("base"));
                let what = format!("{kind:?}, {strategy}, roll back {roll_back}: {versions:?}\n{:#?}", feed(&world));
                if roll_back {
                    assert!(matches!(ended(&world).ending, Ending::RolledBack(_)), "{what}");
                    assert_eq!(versions.get(&2), None, "{what}");
                    nothing_left(&world);
                } else {
                    assert!(versions.get(&2).copied().unwrap_or(0) <= 1, "{what}");
                    assert!(
                        waits(&world)
                            .iter()
                            .any(|wait| wait.contains("the roll is halted: the new host did not come into service")),
                        "{:?}",
                        waits(&world)
                    );
                }
                assert_eq!(world.desired(&pool("base")), 5, "{what}");
            }
        }
    }
}

#[test]
fn refused_launches_are_named_and_backfill_stands_in() {
    let mut world = shop("replace_timeout = \"15m\"", "replace_timeout = \"5m\"", 8);
    world.run_until(4 * MINUTE);
    world.starve(&pool("base"), 60 * MINUTE);
    start(&mut world);
    world.run_until(25 * MINUTE);
    let said = waits(&world);
    assert!(
        said.iter().any(|wait| wait.contains("the roll is halted: launches are refused: Could not launch")),
        "{said:?}"
    );
    assert_eq!(
        world.working(evenkeel_model::fleet::Purchase::OnDemand),
        1,
        "backfill stands in: {:?}",
        world.backfill_view()
    );
    world.run_until(70 * MINUTE);
    world.roll(RollVerb::Resume, None);
    world.run_until(110 * MINUTE);
    all_new(&world);
}
