//! Stories of fleets whose hosts are replaced wave by wave.

mod bake;
mod edited;
mod feed;
mod killed;
mod others;
#[path = "../seeds.rs"]
mod seeds;
mod sizes;
mod stuck;
mod warm;
mod windows;

use evenkeel_model::PoolName;
use evenkeel_model::decision::Decision;
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::{Ended, Ending, State};
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, HostKind, Interruption, Report, Source, World};

const SHOP: &str = include_str!("../../infra/fleets/shop.toml");
const SHOP_SETUP: &str = include_str!("../world/setups/shop.toml");

/// Story 3: five servers behind a load balancer, one at a time.
const SITE: &str = "name = \"site\"\nhosts = { minimum = 4, steady = 5, maximum = 9 }\n\
    pool = [{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"site-base\" }]\n\
    [patch]\nstrategy = \"terminate-first\"\nwave = 1\nsettle = \"60s\"\nhalt_alarms = [\"site-5xx\"]\n";
const SITE_SETUP: &str = "[pool.base]\nderegistration_seconds = 60\n";

fn fleet(text: &str) -> Fleet {
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn world(fleet: Fleet, setup: &str, seed: u64, faults: Faults, level: f64) -> World {
    let setup = Setup::read(setup, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    World::new(fleet, setup, seed, faults, |service| service.demand.as_ref().map(|_| Source::Level(level)))
}

/// The servers behind a load balancer, as the fleet file says with `from` replaced by `to`.
fn site(from: &str, to: &str, seed: u64) -> World {
    assert!(SITE.contains(from), "{from}");
    world(fleet(&SITE.replace(from, to)), SITE_SETUP, seed, Faults::default(), 0.0)
}

/// The shop: three reserved and two spot hosts in a cluster, and on-demand ones when they are needed.
fn shop(from: &str, to: &str, seed: u64) -> World {
    assert!(SHOP.contains(from), "{from}");
    world(fleet(&SHOP.replacen(from, to, 1)), SHOP_SETUP, seed, Faults::default(), 300.0)
}

fn pool(name: &str) -> PoolName {
    name.parse().unwrap_or_else(|_| unreachable!("a pool's name"))
}

/// After five minutes, something newer is there and somebody starts a roll.
fn start(world: &mut World) {
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.roll(RollVerb::Start, None);
}

fn quiet(report: &Report) {
    assert_eq!(report.invariant_violations, []);
    assert_eq!(report.budget_violations, 0);
}

fn feed(world: &World) -> Vec<String> {
    let decisions: Vec<Decision> =
        world.view().map(|view| view.decisions.into_iter().map(|one| one.decision).collect()).unwrap_or_default();
    decisions.iter().rev().map(ToString::to_string).collect()
}

fn waits(world: &World) -> Vec<String> {
    world.patch_view().map(|view| view.waits).unwrap_or_default()
}

/// What every roll must leave behind, however it ended: nothing.
fn nothing_left(world: &World) {
    assert_eq!(world.draining(), []);
    assert_eq!(world.marked_old(), []);
    assert_eq!(world.builders(), []);
    quiet(&world.report());
}

/// The roll that ended last; there is none under way.
fn ended(world: &World) -> Ended {
    let State { roll, ended, .. } = world.patchroll_state();
    assert_eq!(roll, None, "{:?}\n{:#?}", waits(world), feed(world));
    ended.into_iter().next().unwrap_or_else(|| panic!("no roll has ended: {:?}", waits(world)))
}

/// The roll ended with every host of every pool of version 2.
fn all_new(world: &World) -> Ended {
    let ended = ended(world);
    assert_eq!(ended.ending, Ending::Done, "{ended:?}\n{:#?}", feed(world));
    for name in ["base", "spot", "burst"] {
        let versions = world.versions(&pool(name));
        assert!(versions.keys().all(|version| *version == 2), "{name}: {versions:?}");
    }
    nothing_left(world);
    ended
}

#[test]
fn five_servers_behind_a_load_balancer_are_replaced_one_at_a_time() {
    for strategy in ["terminate-first", "launch-first"] {
        for seed in 1..=10 {
            let mut world = site("terminate-first", strategy, seed);
            start(&mut world);
            world.run_until(40 * MINUTE);
            let ended = all_new(&world);
            // A group that evens out its zones ends some by itself.
            assert_eq!((ended.replaced + ended.went, ended.waves), (5, ended.replaced));
            let report = world.report();
            let roll = &report.rolls[0];
            assert!(roll.max_out <= 1, "{strategy}, seed {seed}: never more than one is out");
            assert!(roll.seconds <= 1.10 * roll.floor_seconds, "{strategy}, seed {seed}: {roll}");
            if seed == 1 {
                eprintln!("{strategy}: {roll}");
            }
            assert_eq!(world.desired(&pool("base")), 5);
        }
    }
}

#[test]
fn a_shop_of_reserved_and_spot_hosts_is_rolled_one_at_a_time_while_all_three_functions_work() {
    for strategy in ["terminate-first", "launch-first"] {
        for seed in 1..=10 {
            let mut world = shop("strategy = \"terminate-first\" ", &format!("strategy = \"{strategy}\" "), seed);
            start(&mut world);
            world.run_until(50 * MINUTE);
            let ended = all_new(&world);
            assert_eq!(ended.replaced + ended.went, 5, "{strategy}, seed {seed}");
            let report = world.report();
            let roll = &report.rolls[0];
            assert!(roll.max_out <= 1, "{strategy}, seed {seed}");
            assert!(roll.seconds <= 1.10 * roll.floor_seconds, "{strategy}, seed {seed}: {roll}");
            if seed == 1 {
                eprintln!("{strategy}: {roll}");
            }
            assert_eq!(report.hosts.on_demand_hours, 0.0, "{strategy}, seed {seed}: {:#?}", feed(&world));
            assert_eq!(report.hosts.below_minimum_seconds, 0.0);
        }
    }
}

#[test]
fn a_spot_host_lost_during_the_roll_comes_back_new_and_counts_as_rolled() {
    for how in [Interruption::Warned, Interruption::Unwarned] {
        for seed in 1..=10 {
            let mut world = shop("max_out = 1 ", "max_out = 1 ", seed);
            start(&mut world);
            world.run_until(6 * MINUTE + seed * 9_000);
            assert!(world.interrupt(how));
            world.run_until(60 * MINUTE);
            let ended = all_new(&world);
            assert_eq!(ended.replaced + ended.went, 5, "{how:?}, seed {seed}: {ended:?}");
        }
    }
}

#[test]
fn a_halt_alarm_in_any_wave_stops_the_roll_and_resume_goes_on_from_there() {
    for minute in 5..=20 {
        let mut world = shop("max_out = 1 ", "max_out = 1 ", minute);
        start(&mut world);
        world.run_until(minute * MINUTE + 30_000);
        let alarm = "shop-5xx".parse().unwrap_or_else(|_| unreachable!("a name"));
        world.halt(&alarm, true);
        world.run_until((minute + 8) * MINUTE);
        let new = world.versions(&pool("base")).get(&2).copied().unwrap_or(0);
        assert_eq!(world.draining(), [], "minute {minute}");
        if world.patchroll_state().roll.is_some() {
            assert!(
                waits(&world).iter().any(|wait| wait == "the roll is halted: alarm shop-5xx is in ALARM"),
                "{:?}",
                waits(&world)
            );
        }
        world.run_until((minute + 12) * MINUTE);
        assert_eq!(world.versions(&pool("base")).get(&2).copied().unwrap_or(0), new, "nothing goes on");
        world.halt(&alarm, false);
        world.roll(RollVerb::Resume, None);
        world.run_until(70 * MINUTE);
        let ended = all_new(&world);
        assert_eq!(ended.replaced + ended.went, 5, "minute {minute}");
    }
}

#[test]
fn a_halted_roll_is_taken_back_where_the_fleet_file_says_so() {
    for strategy in ["terminate-first", "launch-first"] {
        let to = format!("roll_back = true\nstrategy = \"{strategy}\" ");
        let mut world = shop("strategy = \"terminate-first\" ", &to, 3);
        start(&mut world);
        world.run_until(13 * MINUTE);
        let alarm = "shop-5xx".parse().unwrap_or_else(|_| unreachable!("a name"));
        world.halt(&alarm, true);
        world.run_until(60 * MINUTE);
        let ended = ended(&world);
        assert!(matches!(ended.ending, Ending::RolledBack(_)), "{ended:?}");
        for name in ["base", "spot"] {
            assert!(
                world.versions(&pool(name)).keys().all(|version| *version == 1),
                "{:?}",
                world.versions(&pool(name))
            );
        }
        nothing_left(&world);
    }
}

#[test]
fn it_can_be_paused_resumed_and_aborted_at_any_moment() {
    for minute in 5..=12 {
        let mut world = shop("max_out = 1 ", "max_out = 1 ", minute);
        start(&mut world);
        world.run_until(minute * MINUTE + 20_000);
        world.roll(RollVerb::Pause, None);
        world.run_until((minute + 10) * MINUTE);
        let replaced = world.patchroll_state().roll.map(|roll| roll.replaced);
        assert!(waits(&world).iter().any(|wait| wait == "the roll is paused"), "{:?}", waits(&world));
        assert_eq!(world.draining(), []);
        world.roll(RollVerb::Resume, None);
        world.run_until((minute + 11) * MINUTE);
        world.roll(RollVerb::Abort, None);
        world.run_until((minute + 23) * MINUTE);
        let ended = ended(&world);
        assert_eq!(ended.ending, Ending::Aborted, "minute {minute}");
        assert!(Some(ended.replaced) >= replaced);
        nothing_left(&world);
        // What was not replaced is rolled by the next.
        world.roll(RollVerb::Start, None);
        world.run_until((minute + 60) * MINUTE);
        all_new(&world);
    }
}
