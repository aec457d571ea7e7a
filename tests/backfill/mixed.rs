//! Stories of a group that holds an on-demand base and spot hosts: each host counts as what it is.

use evenkeel_model::InstanceId;
use evenkeel_model::fleet::{Format, Purchase, read};
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, HostKind, Interruption, World};

use crate::{SHOP, feed, fleet, pool, quiet, world};

/// The shop with its reserved and its spot hosts in one group, three of them its base.
fn shop(from: &str, to: &str, seed: u64) -> World {
    let base = "[[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"shop-base\"\n\n";
    let spot = "name = \"spot\"\npurchase = \"spot\"\nauto_scaling_group = \"shop-spot\"\n";
    assert!(SHOP.contains(base) && SHOP.contains(spot) && SHOP.contains(from));
    let text = SHOP.replace(base, "").replace(spot, &spot.replace("\"spot\"", "\"mixed\"")).replace(from, to);
    let fleet = fleet(&text);
    let setup = include_str!("../world/setups/shop.toml")
        .replace("[pool.base]\nhosts = 3\n", "")
        .replace("[pool.spot]\nhosts = 2\n", "[pool.mixed]\non_demand_base = 3\nhosts = 5\n");
    let setup = Setup::read(&setup, &fleet).unwrap_or_else(|problem| panic!("{setup}\n{problem}"));
    world(fleet, setup, seed, Faults::default(), 300.0)
}

/// Base, spot hosts and stand-ins that work.
fn working(world: &World) -> [u32; 3] {
    [Purchase::Mixed, Purchase::Spot, Purchase::OnDemand].map(|kind| world.working(kind))
}

/// The hosts that backfill shows as bought like this.
fn shown(world: &World, purchase: Purchase) -> Vec<InstanceId> {
    let hosts = world.backfill_view().map(|view| view.hosts).unwrap_or_default();
    hosts.into_iter().filter(|host| host.purchase == purchase).map(|host| host.id).collect()
}

#[test]
fn a_spot_host_of_the_group_is_stood_in_for_until_the_market_gives_another() {
    for how in [Interruption::Warned, Interruption::Unwarned] {
        for seed in 1..=10 {
            let case = format!("{how:?}, seed {seed}");
            let mut world = shop("", "", seed);
            world.run_until(10 * MINUTE);
            assert_eq!([Purchase::Mixed, Purchase::Spot].map(|kind| shown(&world, kind).len()), [3, 2], "{case}");
            assert!(world.interrupt(how));
            if how == Interruption::Warned {
                world.run_until(10 * MINUTE + 5 * SECOND);
                assert!(feed(&world).iter().any(|line| line.contains("drain i-mixed")), "{case}: {:?}", feed(&world));
            }
            world.run_until(12 * MINUTE);
            assert_eq!(world.working(Purchase::OnDemand), 1, "{case}: {:?}", world.backfill_view());
            world.run_until(32 * MINUTE);
            assert_eq!(working(&world), [3, 2, 0], "{case}: {:?}", world.backfill_view());
            let report = world.report();
            quiet(&report);
            assert_eq!((report.losses.warned + report.losses.unwarned, report.backfill.moves), (1, 1), "{case}");
            assert_eq!(report.hosts.below_minimum_seconds, 0.0, "{case}");
        }
    }
}

#[test]
fn in_a_drought_the_base_stays_whole_and_stand_ins_stay_until_spot_is_back() {
    for seed in 1..=10 {
        let mut world = shop("", "", seed);
        world.run_until(10 * MINUTE);
        world.starve_spot(60 * MINUTE);
        world.interrupt(Interruption::Warned);
        world.interrupt(Interruption::Unwarned);
        world.run_until(14 * MINUTE);
        assert_eq!(working(&world), [3, 0, 2], "seed {seed}: {:?}", world.backfill_view());
        // What dies of the base comes back as on-demand, whatever the market gives.
        world.run_until(25 * MINUTE);
        let dies = shown(&world, Purchase::Mixed).remove(0);
        assert!(world.interrupt_host(&dies, Interruption::Unwarned));
        world.run_until(30 * MINUTE);
        assert_eq!(world.working(Purchase::Mixed), 3, "seed {seed}: {:?}", world.backfill_view());
        world.run_until(68 * MINUTE);
        assert_eq!(working(&world), [3, 0, 2], "seed {seed}: {:?}", world.backfill_view());
        world.run_until(120 * MINUTE);
        assert_eq!(working(&world), [3, 2, 0], "seed {seed}: {:?}", world.backfill_view());
        let report = world.report();
        quiet(&report);
        assert_eq!(report.hosts.below_minimum_seconds, 0.0, "seed {seed}");
    }
}

#[test]
fn a_recommendation_to_rebalance_is_followed_for_a_spot_host_of_the_group() {
    let mut world = shop("", "", 8);
    world.run_until(5 * MINUTE);
    let host = world.recommend_rebalance();
    assert!(host.is_some_and(|host| shown(&world, Purchase::Spot).contains(&host)));
    world.run_until(20 * MINUTE);
    assert_eq!(working(&world), [3, 2, 1], "{:?}", feed(&world));
    world.run_until(95 * MINUTE);
    assert_eq!(working(&world), [3, 2, 0], "{:?}", feed(&world));
    quiet(&world.report());
}

#[test]
fn a_roll_leaves_the_group_as_large_as_it_was() {
    for strategy in ["terminate-first", "launch-first"] {
        for seed in 1..=10 {
            let mut world = shop("strategy = \"terminate-first\" ", &format!("strategy = \"{strategy}\" "), seed);
            world.run_until(5 * MINUTE);
            world.publish_versions(HostKind::Sound);
            world.roll(RollVerb::Start, None);
            world.run_until(60 * MINUTE);
            let case = format!("{strategy}, seed {seed}");
            let ended = world.patchroll_state().ended;
            assert!(ended.first().is_some_and(|roll| roll.ending == Ending::Done), "{case}: {:?}", feed(&world));
            assert_eq!(world.versions(&pool("mixed")).keys().copied().collect::<Vec<_>>(), [2], "{case}");
            let [base, spot, stand_ins] = working(&world);
            assert_eq!(
                (base + spot, stand_ins, world.desired(&pool("mixed"))),
                (5, 0, 5),
                "{case}: {:?}",
                feed(&world)
            );
            // A host of the base that goes after its successor came leaves the base one short until the next launch.
            assert!(base == 3 || (base == 2 && strategy == "launch-first"), "{case}: {base} of the base");
            let report = world.report();
            quiet(&report);
            assert!(!feed(&world).iter().any(|line| line.contains("pool burst")), "{case}: {:?}", feed(&world));
        }
    }
}

#[test]
fn a_base_is_said_of_mixed_pools_only_and_is_a_share_of_the_minimum_else() {
    let text = "name = \"r\"\ncluster = \"r\"\nhosts = { minimum = 4, steady = 9, maximum = 12 }\n\
        pool = [{ name = \"a\", purchase = \"mixed\", auto_scaling_group = \"a\" }, \
        { name = \"b\", purchase = \"reserved\", auto_scaling_group = \"b\" }, \
        { name = \"c\", purchase = \"on-demand\", auto_scaling_group = \"c\" }]\n[backfill]\n";
    let fleet = read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"));
    let hosts = |name: &str| Setup::default().hosts_of(&fleet, &pool(name));
    assert_eq!((hosts("a").0.on_demand_base, hosts("a").1, hosts("b").1, hosts("c").1), (Some(2), 7, 2, 0));
    let said = Setup::read("[pool.b]\non_demand_base = 1\n", &fleet).map_err(|problem| problem.to_string());
    assert_eq!(said, Err("setup gives pool b an on_demand_base, and its purchase is not \"mixed\"".to_owned()));
}
