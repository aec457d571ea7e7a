//! Stories of hosts that are lost, of peaks, and of what stands in for them.

mod cloud;
mod edited;
mod mixed;
mod peaks;
mod pools;
#[path = "../seeds.rs"]
mod seeds;
mod storm;
mod sweeps;
mod traces;
mod unread;

use evenkeel_model::PoolName;
use evenkeel_model::decision::Decision;
use evenkeel_model::fleet::{self, Fleet, Format, Purchase};
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Depths, Faults, Interruption, Report, Source, World};
use serde_json::json;

const SHOP: &str = include_str!("../../infra/fleets/shop.toml");

fn fleet(text: &str) -> Fleet {
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A world whose services all have the same demand, always.
fn world(fleet: Fleet, setup: Setup, seed: u64, faults: Faults, level: f64) -> World {
    World::new(fleet, setup, seed, faults, |service| service.demand.as_ref().map(|_| Source::Level(level)))
}

fn pool(name: &str) -> PoolName {
    name.parse().unwrap_or_else(|_| unreachable!("a pool's name"))
}

fn shop(seed: u64) -> World {
    let fleet = fleet(SHOP);
    let setup = Setup::for_fleet(&fleet);
    world(fleet, setup, seed, Faults::default(), 300.0)
}

fn quiet(report: &Report) {
    assert_eq!(report.invariant_violations, []);
    assert_eq!(report.budget_violations, 0);
}

fn decisions(world: &World) -> Vec<Decision> {
    world.view().map(|view| view.decisions.into_iter().map(|one| one.decision).collect()).unwrap_or_default()
}

/// What the feed says, oldest first.
fn feed(world: &World) -> Vec<String> {
    decisions(world).iter().rev().map(ToString::to_string).collect()
}

#[test]
fn a_warned_spot_host_is_stood_in_for_and_drained_at_once_and_the_fleet_goes_back_to_spot() {
    // At the tick, when the fleet file may be a minute old and is read first, and between two of them.
    for (seed, later, most_calls) in (1..=20).flat_map(|seed| [(seed, 0, 5), (seed, 20 * SECOND, 4)]) {
        let mut world = shop(seed);
        world.run_until(10 * MINUTE + later);
        assert!(world.interrupt(Interruption::Warned));
        world.run_until(10 * MINUTE + later + 5 * SECOND);
        let feed = feed(&world);
        let said = |text: &str| feed.iter().any(|line| line.contains(text));
        assert!(said("pool burst 0 -> 1"), "seed {seed}: {feed:?}");
        assert!(said("drain i-spot"), "seed {seed}: {feed:?}");
        world.run_until(12 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 1, "seed {seed}: {:?}", world.backfill_view());
        // The spot group has its host back some three minutes after the loss; ten minutes later the other goes.
        world.run_until(32 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "seed {seed}");
        let report = world.report();
        quiet(&report);
        assert_eq!((report.losses.warned, report.losses.drained_in_time), (1, 1), "seed {seed}");
        assert_eq!(report.hosts.below_minimum_seconds, 0.0);
        // The table; what is there, and then what tasks are; the record.
        let Depths { launch, drain } = report.losses.calls_before;
        assert!(launch <= most_calls && drain <= most_calls, "{:?}", report.losses);
        assert!(report.losses.replacement_over_floor.p99.is_some_and(|over| over <= 1.15), "{:?}", report.losses);
        assert_eq!(report.backfill.moves, 1);
    }
}

#[test]
fn an_unwarned_loss_is_found_by_the_event_or_by_the_next_tick() {
    for seed in 1..=10 {
        let mut world = shop(seed);
        world.run_until(10 * MINUTE);
        assert!(world.interrupt(Interruption::Unwarned));
        world.run_until(12 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 1, "seed {seed}: {:?}", world.backfill_view());
        world.run_until(40 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "seed {seed}");
        quiet(&world.report());
    }
}

/// Three on-demand pools, so that two may refuse.
fn three_pools() -> Fleet {
    let pool = |name: &str| {
        format!("[[pool]]\nname = \"{name}\"\npurchase = \"on-demand\"\nauto_scaling_group = \"shop-{name}\"\n")
    };
    let more = format!("{}{}[backfill]", pool("second"), pool("third"));
    fleet(&SHOP.replacen("[backfill]", &more, 1))
}

#[test]
fn in_a_drought_the_next_pool_is_used_at_once_and_the_others_are_left_in_peace() {
    for seed in 1..=10 {
        let fleet = three_pools();
        let setup = Setup::for_fleet(&fleet);
        let mut world = world(fleet, setup, seed, Faults::default(), 300.0);
        for pool in ["burst", "second", "spot"] {
            world.starve(&crate::pool(pool), 70 * MINUTE);
        }
        world.run_until(10 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.run_until(11 * MINUTE);
        let feed = feed(&world);
        let at =
            |text: &str| feed.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {feed:?}"));
        assert!(at("pool burst 1 -> 0: launch refused, no capacity") <= at("pool second 0 -> 1"));
        assert!(at("pool second 1 -> 0: launch refused") <= at("pool third 0 -> 1"));
        world.run_until(13 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), 1, "seed {seed}");
        let waits = world.backfill_view().map(|view| view.waits).unwrap_or_default();
        assert!(waits.iter().any(|wait| wait.contains("pool burst gives none until")), "{waits:?}");
        world.run_until(70 * MINUTE);
        let report = world.report();
        quiet(&report);
        for (pool, most) in &report.backfill.most_refusals_in_an_hour {
            // The spot group is not ours to calm: it retries as Auto Scaling does.
            assert!(*most < 10 || pool.as_str() == "spot", "seed {seed}: {pool} refused {most}");
        }
    }
}

#[test]
fn when_no_pool_gives_it_asks_seldom_and_says_so() {
    let mut world = shop(3);
    world.starve(&pool("burst"), 120 * MINUTE);
    world.starve(&pool("spot"), 120 * MINUTE);
    world.run_until(5 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(110 * MINUTE);
    let report = world.report();
    quiet(&report);
    assert!(report.backfill.most_refusals_in_an_hour.get(&pool("burst")).is_some_and(|most| (3..10).contains(most)));
    let waits = world.backfill_view().map(|view| view.waits).unwrap_or_default();
    assert!(waits.iter().any(|wait| wait == "1 hosts are missing, and no pool can give more now"), "{waits:?}");
    // When there is capacity again, it is used.
    world.run_until(140 * MINUTE);
    assert_eq!(world.working(Purchase::Spot) + world.working(Purchase::OnDemand), 2, "{:?}", world.backfill_view());
}

#[test]
fn a_quota_is_reported_and_not_run_against() {
    let mut world = shop(4);
    world.limit(&pool("burst"), Some(0));
    world.run_until(5 * MINUTE);
    world.interrupt(Interruption::Warned);
    world.run_until(60 * MINUTE);
    let report = world.report();
    assert!(
        report.backfill.most_refusals_in_an_hour.get(&pool("burst")).is_some_and(|most| *most <= 2),
        "{:?}",
        report.backfill
    );
    assert!(feed(&world).iter().any(|line| line.contains("over the quota (You have requested more vCPU")));
}

#[test]
fn a_held_fleet_gives_nothing_back_until_released() {
    let mut world = shop(6);
    world.run_until(5 * MINUTE);
    world.invoke(&json!({ "fleet": "shop", "backfill": "hold" }));
    world.interrupt(Interruption::Unwarned);
    world.run_until(60 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 1);
    let view = world.backfill_view().unwrap_or_else(|| unreachable!("there were turns"));
    assert!(view.on_hold && view.waits.iter().any(|wait| wait == "1 on-demand hosts are held by request"), "{view:?}");
    world.invoke(&json!({ "fleet": "shop", "backfill": "release" }));
    world.run_until(64 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 0);
    quiet(&world.report());
}

#[test]
fn a_fleet_without_a_cluster_is_ridden_through_as_well() {
    let text = "name = \"site\"\nhosts = { minimum = 3, steady = 5, maximum = 7 }\n\
        pool = [{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"site-base\" }, \
        { name = \"spot\", purchase = \"spot\", auto_scaling_group = \"site-spot\" }, \
        { name = \"burst\", purchase = \"on-demand\", auto_scaling_group = \"site-burst\" }]\n\
        [backfill]\nalarms = [\"site-cpu\"]\n";
    let fleet = fleet(text);
    let setup = "[pool.base]\nderegistration_seconds = 60\n[pool.spot]\nderegistration_seconds = 60\n\
        [pool.burst]\nderegistration_seconds = 60\nterminate_hook_seconds = 20\n";
    let setup = Setup::read(setup, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    let mut world = world(fleet, setup, 2, Faults::default(), 0.0);
    world.run_until(5 * MINUTE);
    world.interrupt(Interruption::Warned);
    world.interrupt(Interruption::Unwarned);
    world.run_until(8 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 2, "{:?}", world.backfill_view());
    world.run_until(40 * MINUTE);
    assert_eq!(
        (world.working(Purchase::OnDemand), world.working(Purchase::Spot)),
        (0, 2),
        "{:?}",
        world.backfill_view()
    );
    let report = world.report();
    quiet(&report);
    assert_eq!(report.hosts.below_minimum_seconds, 0.0);
    assert!(!report.api_calls.contains_key("ecs:UpdateContainerInstancesState"));
}

#[test]
fn a_rebalance_recommendation_is_answered_as_the_fleet_file_says() {
    for (answer, launches) in [("ignore", 0), ("replace", 1), ("drain", 2)] {
        let fleet = fleet(&SHOP.replace("rebalance = \"replace\"", &format!("rebalance = \"{answer}\"")));
        let setup = Setup::for_fleet(&fleet);
        let mut world = world(fleet, setup, 8, Faults::default(), 300.0);
        world.run_until(5 * MINUTE);
        assert!(world.recommend_rebalance().is_some());
        world.run_until(20 * MINUTE);
        let report = world.report();
        quiet(&report);
        // With `drain` the spot group replaces the host that went, too.
        assert_eq!(report.backfill.launches, launches, "{answer}: {:?}", feed(&world));
        let drained = feed(&world).iter().any(|line| line.contains("EC2 recommends to rebalance"));
        assert_eq!(drained, answer == "drain");
        // A recommendation that nothing follows is noise after an hour, and the host that stood by goes.
        world.run_until(95 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{answer}");
    }
}

#[test]
fn tasks_that_fit_nowhere_get_a_host_and_it_stays_while_they_need_it() {
    // 26 tasks of 512 CPU units need seven hosts of 2,048, six and a half to be exact; the alarms stay quiet.
    let fleet = fleet(SHOP);
    let setup = Setup::for_fleet(&fleet);
    let mut world = crate::world(fleet, setup, 9, Faults::default(), 26.0 * 50.0);
    world.load(Some(1.0));
    world.run_until(12 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 2, "{:?}", world.backfill_view());
    world.run_until(90 * MINUTE);
    let report = world.report();
    quiet(&report);
    assert_eq!((report.backfill.launches, report.backfill.moves), (2, 0), "no flap: {:?}", feed(&world));
}

#[test]
fn pools_of_unlike_sizes_count_in_capacity_units() {
    let pool_of = |name: &str, purchase: &str, units: u32| {
        format!(
            "[[pool]]\nname = \"{name}\"\npurchase = \"{purchase}\"\nauto_scaling_group = \"big-{name}\"\nunits = {units}\n"
        )
    };
    // Six reserved units on three hosts, four of spot on two; one spot host is worth two small or one large one.
    for (burst, launched, units) in [(1, 2, 2), (2, 1, 2), (3, 1, 3)] {
        let text = format!(
            "name = \"big\"\nhosts = {{ minimum = 6, steady = 10, maximum = 14 }}\n{}{}{}[backfill]\n",
            pool_of("base", "reserved", 2),
            pool_of("spot", "spot", 2),
            pool_of("burst", "on-demand", burst),
        );
        let fleet = fleet(&text);
        let setup = Setup::for_fleet(&fleet);
        let mut world = world(fleet, setup, 5, Faults::default(), 0.0);
        world.run_until(5 * MINUTE);
        assert_eq!((world.working(Purchase::Reserved), world.working(Purchase::Spot)), (6, 4));
        world.starve(&pool("spot"), 30 * MINUTE);
        world.interrupt(Interruption::Unwarned);
        world.run_until(8 * MINUTE);
        assert_eq!((world.report().backfill.launches, world.working(Purchase::OnDemand)), (launched, units));
        world.run_until(90 * MINUTE);
        assert_eq!((world.working(Purchase::Spot), world.working(Purchase::OnDemand)), (4, 0), "{burst} units");
        quiet(&world.report());
    }
}

#[test]
fn what_aws_plans_for_a_host_is_acted_on_a_day_ahead_and_not_at_all_when_it_is_over() {
    const DAY: u64 = 24 * 60 * MINUTE;
    // The shop replaces hosts at risk; its window is on Sundays.
    let over = [("closed", None), ("upcoming", Some("RESOLVED"))];
    for (begins, over, asked) in
        [(14 * DAY, None, 0), (DAY, None, 1), (4 * DAY, Some(over[0]), 0), (4 * DAY, Some(over[1]), 0)]
    {
        let mut world = shop(1);
        world.run_until(4 * MINUTE);
        let host = world.backfill_view().and_then(|view| view.hosts.first().map(|host| host.id.clone()));
        let host = host.unwrap_or_else(|| unreachable!("there are hosts"));
        let plan = world.retires(&host, begins, "upcoming", None);
        world.run_until(world.now() + 2 * SECOND);
        if let Some((status, entity)) = over {
            world.retires(&host, begins, status, entity);
            world.run_until(world.now() + 2 * SECOND);
            // A day before, the first event comes once more.
            world.run_until(begins - DAY);
            world.invoke(&plan);
        }
        world.run_until(world.now() + 6 * MINUTE);
        let case = format!("at {begins}, {over:?}");
        assert_eq!(world.desired(&pool("burst")), asked, "{case}: {:?}", feed(&world));
        quiet(&world.report());
    }
    // Without a word that it is over, it is replaced a day before.
    let mut world = shop(1);
    world.run_until(4 * MINUTE);
    let host = world.backfill_view().and_then(|view| view.hosts.first().map(|host| host.id.clone()));
    let host = host.unwrap_or_else(|| unreachable!("there are hosts"));
    world.retires(&host, 3 * DAY, "upcoming", None);
    world.run_until(2 * DAY - 2 * MINUTE);
    assert_eq!(world.desired(&pool("burst")), 0);
    world.run_until(2 * DAY + 3 * MINUTE);
    assert_eq!(world.desired(&pool("burst")), 1, "{:?}", feed(&world));
    quiet(&world.report());
}

#[test]
fn a_host_whose_agent_does_not_come_back_is_stood_in_for_and_replaced_in_its_group() {
    for name in ["base", "spot"] {
        for seed in 1..=3 {
            let mut world = shop(seed);
            world.run_until(5 * MINUTE);
            let before = world.hosts(&pool(name));
            let gone = world.lose_agent(&pool(name)).unwrap_or_else(|| unreachable!("there are hosts"));
            // Five minutes away are something else than a dropped connection.
            world.run_until(14 * MINUTE);
            assert_eq!(world.working(Purchase::OnDemand), 1, "{name}, seed {seed}: {:?}", world.backfill_view());
            // Twenty minutes away, its drain, and a boot.
            world.run_until(44 * MINUTE);
            let after = world.hosts(&pool(name));
            assert!(!after.contains(&gone) && after.len() == before.len(), "{name}, seed {seed}: {:?}", feed(&world));
            world.run_until(80 * MINUTE);
            assert_eq!(world.working(Purchase::OnDemand), 0, "{name}, seed {seed}: {:?}", world.backfill_view());
            quiet(&world.report());
        }
    }
}

#[test]
fn a_stand_in_whose_agent_dies_is_stood_in_for_and_ended() {
    let mut world = shop(2);
    world.run_until(5 * MINUTE);
    world.starve(&pool("spot"), 240 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(10 * MINUTE);
    let gone = world.lose_agent(&pool("burst")).unwrap_or_else(|| unreachable!("one stands in"));
    world.run_until(60 * MINUTE);
    let hosts = world.hosts(&pool("burst"));
    assert!(!hosts.contains(&gone) && hosts.len() == 1, "{hosts:?}: {:?}", feed(&world));
    assert_eq!(world.desired(&pool("burst")), 1);
    quiet(&world.report());
}

#[test]
fn when_ecs_loses_all_agents_no_host_is_ended() {
    let mut world = shop(3);
    world.run_until(5 * MINUTE);
    let there = [world.hosts(&pool("base")), world.hosts(&pool("spot"))];
    world.lose_all_agents(true);
    world.run_until(65 * MINUTE);
    world.lose_all_agents(false);
    world.run_until(70 * MINUTE);
    assert_eq!([world.hosts(&pool("base")), world.hosts(&pool("spot"))], there, "{:?}", feed(&world));
    world.run_until(140 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 0, "{:?}", world.backfill_view());
    quiet(&world.report());
}
