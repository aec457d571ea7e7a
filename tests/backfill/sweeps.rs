//! The same stories over many fleets, markets and seeds, as tables.

use evenkeel_model::fleet::{Fleet, Purchase, Service};
use evenkeel_world::clock::MINUTE;
use evenkeel_world::demand::{Walk, per_task};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Interruption, Source, World, room_for};

use crate::seeds::slice;
use crate::storm::{calls, storm_of};
use crate::{fleet, pool, quiet, three_pools, world};

#[test]
fn a_drought_of_any_kind_ends_in_the_third_pool_and_then_in_spot() {
    for case in 0..16_u32 {
        let seed = 31 + u64::from(case);
        let [spot_too, warned, quota, two] = [1, 2, 4, 8].map(|bit| case & bit != 0);
        let lost = if two { 2 } else { 1 };
        let name = format!("seed {seed}, spot starved {spot_too}, warned {warned}, quota {quota}, {lost} lost");
        let fleet = three_pools();
        let setup = Setup::for_fleet(&fleet);
        let mut world = world(fleet, setup, seed, Faults::default(), 300.0);
        world.run_until(10 * MINUTE);
        for refuses in ["burst", "second"].map(pool) {
            if quota {
                world.limit(&refuses, Some(0));
            } else {
                world.starve(&refuses, 60 * MINUTE);
            }
        }
        if spot_too {
            world.starve(&pool("spot"), 60 * MINUTE);
        }
        for _ in 0..lost {
            world.interrupt(if warned { Interruption::Warned } else { Interruption::Unwarned });
        }
        world.run_until(13 * MINUTE);
        assert_eq!(world.working(Purchase::OnDemand), lost, "{name}: {:?}", world.backfill_view());
        world.run_until(70 * MINUTE);
        let refusals = world.report().backfill.most_refusals_in_an_hour;
        let calm =
            ["burst", "second", "third"].map(pool).iter().all(|pool| refusals.get(pool).is_none_or(|most| *most < 10));
        assert!(calm, "{name}: {refusals:?}");
        world.run_until(110 * MINUTE);
        assert_eq!((world.working(Purchase::OnDemand), world.working(Purchase::Spot)), (0, 2), "{name}");
        quiet(&world.report());
    }
}

#[test]
fn storms_of_other_sizes_replace_every_host_once() {
    let faults = Faults { doubled: 1.0, lost: 1.0 / 3.0, killed: 0.1, ..Faults::default() };
    let both = |seed| [(10, Interruption::Warned, seed), (23, Interruption::Unwarned, seed)];
    for (taken, how, seed) in slice("storms of other sizes", 1..=30, 2).into_iter().flat_map(both) {
        let mut world = storm_of(taken, seed, faults.clone(), how, MINUTE);
        world.run_until(20 * MINUTE);
        let report = world.report();
        quiet(&report);
        assert_eq!(
            report.backfill.launches,
            u64::from(taken),
            "{taken}, {how:?}, seed {seed}: each replaced exactly once"
        );
        assert_eq!(world.working(Purchase::OnDemand), taken, "{taken}, {how:?}, seed {seed}");
        assert_eq!((report.throttled, report.hosts.below_minimum_seconds), (0, 0.0), "{taken}, {how:?}, seed {seed}");
        assert!(
            calls(&report, "ecs:UpdateContainerInstancesState") <= u64::from(taken),
            "{taken}, {how:?}, seed {seed}"
        );
    }
}

/// A pool: its name, how it is bought, its units.
type Pool = (&'static str, &'static str, u32);
/// A fleet: `[hosts]`, what is odd about it, its pools, its setup.
type Odd = (&'static str, &'static str, &'static [Pool], &'static str);

/// Fleets unlike the examples: pools, units, with or without a cluster and tasks, and what is odd about their cloud.
const ODD: [Odd; 9] = [
    (
        "{ minimum = 3, steady = 5, maximum = 7 }",
        "no cluster",
        &[("base", "reserved", 1), ("spot", "spot", 1), ("burst", "on-demand", 1)],
        "[pool.spot]\nderegistration_seconds = 60\n[pool.burst]\nderegistration_seconds = 60\nterminate_hook_seconds = 20\n",
    ),
    (
        "{ minimum = 3, steady = 6, maximum = 8 }",
        "three pools",
        &[
            ("base", "reserved", 1),
            ("spot", "spot", 1),
            ("spot2", "spot", 1),
            ("b1", "on-demand", 1),
            ("b2", "on-demand", 1),
            ("b3", "on-demand", 1),
        ],
        "[pool.b2]\nmin = 1\n",
    ),
    (
        "{ minimum = 6, steady = 10, maximum = 14 }",
        "units",
        &[
            ("base", "reserved", 2),
            ("spot", "spot", 2),
            ("b1", "on-demand", 1),
            ("b2", "on-demand", 2),
            ("b4", "on-demand", 4),
        ],
        "[pool.base]\nhosts = 3\ntype = \"m5.xlarge\"\n[pool.spot]\nhosts = 2\ntype = \"m5.xlarge\"\n[pool.b2]\n\
         type = \"m5.xlarge\"\n[pool.b4]\ntype = \"m5.2xlarge\"\n",
    ),
    (
        "{ minimum = 3, steady = 5, maximum = 8 }",
        "a large stand-in",
        &[("base", "reserved", 1), ("spot", "spot", 1), ("b4", "on-demand", 3)],
        "",
    ),
    (
        "{ minimum = 3, steady = 5, maximum = 7 }",
        "hooks and warm pools",
        &[("base", "reserved", 1), ("spot", "spot", 1), ("b1", "on-demand", 1)],
        "[pool.spot]\ncapacity_rebalancing = true\nwarm_pool = 1\nlaunch_hook_seconds = 20\n\
         terminate_hook = { heartbeat_seconds = 60 }\n[pool.b1]\nwarm_pool = 2\n\
         launch_hook = { completes_after_seconds = 30 }\nterminate_hook = { heartbeat_seconds = 60, heartbeats = 1 }\n",
    ),
    (
        "{ minimum = 3, steady = 5, maximum = 7 }",
        "tasks that cannot drain",
        &[("base", "reserved", 1), ("spot", "spot", 1), ("b1", "on-demand", 1)],
        "[service.web]\nminimum_percent = 100\nmaximum_percent = 100\n",
    ),
    (
        "{ minimum = 2, steady = 4, maximum = 6 }",
        "spot only, mixed types",
        &[("spot", "spot", 1), ("b1", "on-demand", 1)],
        "[pool.spot]\nhosts = 4\ntypes = [{ type = \"m5.large\" }, { type = \"r5.large\" }]\n[pool.b1]\nhosts = 0\n",
    ),
    (
        "{ minimum = 3, steady = 5, maximum = 7 }",
        "alarms without a level",
        &[("base", "reserved", 1), ("spot", "spot", 1), ("b1", "on-demand", 1)],
        "[alarms]\nlevels = false\n",
    ),
    (
        "{ minimum = 3, steady = 5, maximum = 7 }",
        "a mixed group",
        &[("both", "mixed", 1), ("b1", "on-demand", 1)],
        "[pool.both]\non_demand_base = 2\nhosts = 5\ncapacity_rebalancing = true\n",
    ),
];

fn odd(index: usize) -> (Fleet, Setup) {
    let (hosts, what, pools, setup) = ODD[index];
    let cluster = what != "no cluster";
    let pool = |(name, purchase, units): &(&str, &str, u32)| {
        format!(
            "[[pool]]\nname = \"{name}\"\npurchase = \"{purchase}\"\nauto_scaling_group = \"odd-{name}\"\nunits = {units}\n"
        )
    };
    let services = "[[service]]\nname = \"web\"\npriority = 1\nmin_tasks = 2\nmax_tasks = 40\n\
        demand = { metric = \"a/b\", statistic = \"Sum\", period = \"10s\", per_task = 50 }\n\
        [[service]]\nname = \"reports\"\npriority = 2\nfill = true\n";
    let text = format!(
        "name = \"odd\"\n{}hosts = {hosts}\n{}[backfill]\nalarms = [\"cpu\"]\nrebalance = \"{}\"\n{}",
        if cluster { "cluster = \"odd\"\n" } else { "" },
        pools.iter().map(pool).collect::<String>(),
        if what.starts_with("hooks") { "drain" } else { "replace" },
        if cluster { services } else { "" },
    );
    let fleet = fleet(&text);
    let setup = Setup::read(setup, &fleet).unwrap_or_else(|problem| panic!("{what}: {problem}"));
    (fleet, setup)
}

#[test]
fn odd_fleets_break_no_rule_whatever_goes_wrong() {
    for (index, (_, what, ..)) in ODD.iter().enumerate() {
        for seed in 1..=3 {
            for rate in [0.0, 0.05] {
                let (fleet, setup) = odd(index);
                let most = |service: &Service| f64::from(room_for(&fleet, &setup, service)) * per_task(service) * 0.9;
                let mut purpose = 100;
                let faults = Faults { rate, trouble: true, ..Faults::default() };
                let mut world = World::new(fleet.clone(), setup.clone(), seed, faults, |service| {
                    purpose += 1;
                    service.demand.as_ref()?;
                    Some(Source::Walk(Box::new(Walk::new(seed, purpose, most(service)))))
                });
                world.run_until(if seed == 1 { 180 } else { 40 } * MINUTE);
                let report = world.report();
                assert_eq!(report.invariant_violations, [], "{what}, seed {seed}, faults {rate}");
            }
        }
    }
}
