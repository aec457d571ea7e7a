//! What groups, hooks, load balancers and markets do besides: each as a setup, with what backfill makes of it.

use evenkeel_model::fleet::Purchase;
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Interruption, World};

use crate::{SHOP, feed, fleet, pool, quiet, world};

/// The shop with more in its setup.
fn shop_with(more: &str, seed: u64) -> World {
    busy_shop_with(more, seed, 300.0)
}

fn busy_shop_with(more: &str, seed: u64, level: f64) -> World {
    let fleet = fleet(SHOP);
    let known = include_str!("../world/setups/shop.toml");
    // What is said of a pool or a service that the setup names already goes there.
    let mut text = known.to_owned();
    for part in more.split("\n\n") {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        text = if text.contains(head) {
            text.replacen(head, &format!("{head}\n{body}"), 1)
        } else {
            format!("{text}\n{head}\n{body}\n")
        };
    }
    let setup = Setup::read(&text, &fleet).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
    world(fleet, setup, seed, Faults::default(), level)
}

fn waits(world: &World) -> Vec<String> {
    world.backfill_view().map(|view| view.waits).unwrap_or_default()
}

fn all_working(world: &World) -> u32 {
    [Purchase::Reserved, Purchase::Spot, Purchase::OnDemand].map(|kind| world.working(kind)).iter().sum()
}

#[test]
fn a_group_never_goes_below_its_minimum_size_and_the_report_says_why() {
    for seed in 1..=5 {
        let mut world = shop_with("[pool.burst]\nmin = 1", seed);
        world.run_until(5 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 1);
        // Two are needed besides it, and go again.
        world.load(Some(6.3));
        world.run_until(25 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 2, "seed {seed}: {:?}", world.backfill_view());
        world.load(Some(2.0));
        world.run_until(90 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 1, "seed {seed}: {:?}", world.backfill_view());
        let says = "pool burst keeps 1 hosts: its group may not have fewer (MinSize)";
        assert!(waits(&world).iter().any(|wait| wait == says), "seed {seed}: {:?}", waits(&world));
        let view = world.backfill_view().unwrap_or_else(|| unreachable!("there were turns"));
        assert!(view.hosts.iter().any(|host| host.says == "its group may not have fewer"), "{view:?}");
        let report = world.report();
        quiet(&report);
        assert_eq!(report.backfill.moves, 1, "seed {seed}");
        let refused = feed(&world).iter().any(|line| line.contains("ValidationError"));
        assert!(!refused, "seed {seed}: {:?}", feed(&world));
    }
}

#[test]
fn a_refused_launch_is_not_taken_back_below_the_minimum_size() {
    let mut world = shop_with("[pool.burst]\nmin = 1", 2);
    world.run_until(5 * MINUTE);
    world.starve(&pool("burst"), 30 * MINUTE);
    world.starve(&pool("spot"), 30 * MINUTE);
    for _ in 0..2 {
        world.interrupt(Interruption::Unwarned);
    }
    world.run_until(90 * MINUTE);
    assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (2, 1));
    quiet(&world.report());
    assert!(!feed(&world).iter().any(|line| line.contains("ValidationError")), "{:?}", feed(&world));
}

#[test]
fn a_launch_hook_that_nobody_completes_ends_with_its_default_result() {
    // Continued after two timeouts. Its agent joins long before that, and takes work.
    let hook = "launch_hook = { heartbeat_seconds = 60, heartbeats = 1, default_result = \"continue\" }";
    let mut world = shop_with(&format!("[pool.burst]\n{hook}"), 3);
    world.run_until(5 * MINUTE);
    world.starve(&pool("spot"), 60 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(8 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 1, "{:?}", world.backfill_view());
    let report = world.report();
    quiet(&report);
    assert_eq!(report.backfill.launches, 1);

    // Abandoned: the group tries again and again, and backfill asks for no more than the one.
    let hook = "launch_hook = { heartbeat_seconds = 60 }";
    let mut world = shop_with(&format!("[pool.burst]\n{hook}"), 3);
    world.run_until(5 * MINUTE);
    world.starve(&pool("spot"), 40 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(30 * MINUTE);
    let report = world.report();
    quiet(&report);
    assert!(report.backfill.launches > 5, "{:?}", report.backfill);
    assert_eq!(world.desired(&pool("burst")), 1);
    world.run_until(90 * MINUTE);
    assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (2, 0));
    quiet(&world.report());
}

#[test]
fn a_terminate_hook_holds_a_host_until_it_lapses_and_nothing_else_goes_meanwhile() {
    let hook = "terminate_hook = { heartbeat_seconds = 120, heartbeats = 1 }";
    for seed in 1..=3 {
        let mut world = shop_with(&format!("[pool.burst]\n{hook}"), seed);
        world.run_until(5 * MINUTE);
        world.load(Some(6.3));
        world.run_until(20 * MINUTE);
        world.load(Some(2.0));
        world.run_until(60 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 0, "seed {seed}: {:?}", world.backfill_view());
        let report = world.report();
        quiet(&report);
        assert_eq!((report.backfill.launches, report.backfill.moves), (2, 2), "seed {seed}");
    }
}

#[test]
fn a_mixed_group_launches_hosts_of_unlike_size_and_price() {
    let mixed = "types = [{ type = \"m5.large\" }, { type = \"m5.xlarge\" }, { registers = { cpu = 8192, memory = 30000 }, on_demand_usd = 0.4 }]";
    let mut sizes = std::collections::BTreeSet::new();
    let mut prices = std::collections::BTreeSet::new();
    for seed in 1..=6 {
        let mut world = shop_with(&format!("[pool.spot]\n{mixed}"), seed);
        world.run_until(5 * MINUTE);
        let spot = world.observe().hosts.into_iter().filter(|host| host.pool == Some(pool("spot")));
        sizes.extend(spot.map(|host| host.registered.memory));
        prices.insert(format!("{:.4}", world.usd_an_hour().1));
        world.interrupt(Interruption::Warned);
        world.run_until(60 * MINUTE);
        assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (2, 0), "seed {seed}");
        quiet(&world.report());
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [7_764, 15_322, 30_000]);
    assert!(prices.len() > 2, "{prices:?}");
}

#[test]
fn a_type_says_what_hosts_cost_and_register_unless_the_setup_does() {
    let world = shop_with("[pool.burst]\nhosts = 1\ntype = \"r5.large\"\non_demand_usd = 9.0", 1);
    let burst = world.observe().hosts.into_iter().find(|host| host.pool == Some(pool("burst")));
    assert_eq!(burst.map(|host| host.registered.memory), Some(15_322));
    assert!(world.usd_an_hour().0 > 9.0);
    let unknown = Setup::read("[pool.burst]\ntype = \"z9.huge\"", &fleet(SHOP)).err();
    let says = unknown.map(|problem| format!("{:?}", problem)).unwrap_or_default();
    assert!(says.contains("unknown instance type") && says.contains("m5.large"), "{says}");
}

#[test]
fn a_deregistration_that_outlasts_the_notice_is_said_up_front() {
    for (seconds, at_risk) in [(60, false), (150, true)] {
        // 14 tasks, so that each of the five hosts has some.
        let more = format!("[service.web]\nderegistration_seconds = {seconds}");
        let mut world = busy_shop_with(&more, 4, 14.0 * 50.0);
        world.run_until(10 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.run_until(10 * MINUTE + 5 * SECOND);
        let says = waits(&world).iter().any(|wait| wait.contains("may not be empty") && wait.contains("web may take"));
        assert_eq!(says, at_risk, "{seconds} s: {:?}", waits(&world));
        world.run_until(40 * MINUTE);
        let report = world.report();
        quiet(&report);
        assert_eq!(report.losses.drained_in_time, u64::from(!at_risk), "{seconds} s");
        assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (2, 0), "{seconds} s");
    }
}

#[test]
fn a_rebalance_recommendation_and_the_notice_after_it_are_one_loss() {
    for answer in ["ignore", "replace", "drain"] {
        for (rebalancing, later) in [(false, 5), (false, 19), (true, 5)] {
            let case = format!("{answer}, capacity rebalancing {rebalancing}, a notice after {later} min");
            let fleet = fleet(&SHOP.replace("rebalance = \"replace\"", &format!("rebalance = \"{answer}\"")));
            let mut setup = Setup::for_fleet(&fleet);
            if let Some(spot) = setup.pool.get_mut(&pool("spot")) {
                spot.capacity_rebalancing = rebalancing;
            }
            let mut world = world(fleet, setup, 8, Faults::default(), 300.0);
            world.run_until(5 * MINUTE);
            let risky = world.recommend_rebalance().unwrap_or_else(|| unreachable!("there are spot hosts"));
            world.run_until((5 + later) * MINUTE);
            let still = world.interrupt_host(&risky, Interruption::Warned);
            world.run_until((5 + later + 3) * MINUTE);
            assert!(all_working(&world) >= 5, "{case}: {:?}", world.backfill_view());
            world.run_until(95 * MINUTE);
            assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (2, 0), "{case}");
            let report = world.report();
            quiet(&report);
            // One on-demand host for the risk or for the notice, and one by the spot group.
            assert!(report.backfill.launches <= 2, "{case}: {:?}", feed(&world));
            assert!(still || rebalancing || answer == "drain", "{case}: it was replaced already");
            assert_eq!(report.hosts.below_minimum_seconds, 0.0, "{case}");
        }
    }
}

#[test]
fn spot_hosts_that_come_back_at_a_peak_send_their_stand_ins_away_at_once() {
    for seed in 1..=10 {
        let mut world = crate::shop(seed);
        world.run_until(5 * MINUTE);
        // No hosts are enough: the alarm stays in ALARM.
        world.load(Some(9.0));
        world.run_until(15 * MINUTE);
        assert_eq!(all_working(&world), 7, "seed {seed}");
        world.starve(&pool("spot"), 15 * MINUTE);
        world.interrupt(Interruption::Unwarned);
        world.interrupt(Interruption::Unwarned);
        world.run_until(29 * MINUTE);
        assert_eq!((all_working(&world), world.working(Purchase::OnDemand)), (7, 4), "seed {seed}");
        let mut above = 0;
        for second in (30 * 60)..(55 * 60) {
            world.run_until(second * SECOND);
            above += u64::from(all_working(&world) > 7);
        }
        assert_eq!((all_working(&world), world.working(Purchase::OnDemand)), (7, 2), "seed {seed}");
        // Two hosts drain one after the other.
        assert!(above <= 120, "seed {seed}: above the maximum for {above} s");
        let report = world.report();
        quiet(&report);
        assert_eq!(report.backfill.moves, 2, "seed {seed}");
    }
}
