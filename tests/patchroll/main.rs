//! Stories of fleets whose hosts are replaced wave by wave.

use evenkeel_model::decision::Decision;
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Report, Source, World};
use serde_json::json;

fn fleet(text: &str) -> Fleet {
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn world(fleet: Fleet, setup: &str, seed: u64, faults: Faults, level: f64) -> World {
    let setup = Setup::read(setup, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    World::new(fleet, setup, seed, faults, |service| service.demand.as_ref().map(|_| Source::Level(level)))
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

/// Story 3: five servers behind a load balancer, one at a time, no ECS.
const FIVE: &str = "name = \"site\"\nhosts = { minimum = 4, steady = 5, maximum = 6 }\n\
    pool = [{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"site-base\" }]\n\
    [patch]\nrefresh = \"all\"\nstrategy = \"terminate-first\"\nwave = 1\nsettle = \"60s\"\n";
const FIVE_SETUP: &str = "[pool.base]\nderegistration_seconds = 60\n";

#[test]
fn five_servers_behind_a_load_balancer_are_replaced_one_at_a_time() {
    for seed in 1..=5 {
        let mut world = world(fleet(FIVE), FIVE_SETUP, seed, Faults::default(), 0.0);
        world.run_until(5 * MINUTE);
        world.invoke(&json!({ "fleet": "site", "roll": "start" }));
        world.run_until(60 * MINUTE);
        let state = world.patchroll_state();
        assert_eq!(state.ended[0].ending, Ending::Done);
        quiet(&world.report());
    }
}

const SHOP_FILE: &str = include_str!("../../infra/fleets/shop.toml");
const SHOP_SETUP: &str = include_str!("../world/setups/shop.toml");

/// The shop, whose hosts are all replaced when a roll is started by hand; `more` goes below `[patch]`.
fn shop(more: &str) -> Fleet {
    fleet(&SHOP_FILE.replace("halt_alarms = [\"shop-5xx\"]", "halt_alarms = []").replacen("[patch]\n", &format!("[patch]\nrefresh = \"all\"\n{more}\n"), 1))
}

fn start(world: &mut World, fleet: &str) {
    world.invoke(&json!({ "fleet": fleet, "roll": "start" }));
}

fn draining(world: &World) -> usize {
    use evenkeel_model::observed::HostStatus;
    world.observe().hosts.iter().filter(|host| host.status != HostStatus::Active).count()
}

#[test]
fn a_shop_of_reserved_and_spot_hosts_is_rolled_one_at_a_time_while_all_three_functions_work() {
    for seed in 1..=5 {
        let mut world = world(shop(""), SHOP_SETUP, seed, Faults::default(), 300.0);
        world.run_until(5 * MINUTE);
        start(&mut world, "shop");
        world.run_until(60 * MINUTE);
        let state = world.patchroll_state();
        eprintln!("{:?} {:?}", state.roll, state.ended);
        for line in feed(&world) { eprintln!("  {line}"); }
        let report = world.report();
        eprintln!("{:?}", report.api_calls);
        assert_eq!(state.ended.first().map(|ended| &ended.ending), Some(&Ending::Done), "seed {seed}");
        assert_eq!(draining(&world), 0);
        quiet(&report);
    }
}

#[test]
fn launch_first() {
    for seed in 1..=3 {
        let fleet = fleet(&SHOP_FILE.replace("halt_alarms = [\"shop-5xx\"]", "halt_alarms = []").replace("strategy = \"terminate-first\" ", "strategy = \"launch-first\" ").replacen("[patch]\n", "[patch]\nrefresh = \"all\"\n", 1));
        let mut world = world(fleet, SHOP_SETUP, seed, Faults::default(), 300.0);
        world.run_until(5 * MINUTE);
        start(&mut world, "shop");
        world.run_until(60 * MINUTE);
        let state = world.patchroll_state();
        eprintln!("{:?} {:?}", state.roll, state.ended);
        for line in feed(&world) { eprintln!("  {line}"); }
        assert_eq!(state.ended.first().map(|ended| &ended.ending), Some(&Ending::Done), "seed {seed}");
        quiet(&world.report());
    }
}

fn hundred(hosts: u32, strategy: &str) -> (Fleet, String) {
    let text = SHOP_FILE.replace("halt_alarms = [\"shop-5xx\"]", "halt_alarms = []")
        .replace("minimum = 3 ", &format!("minimum = {} ", hosts / 2))
        .replace("steady = 5 ", &format!("steady = {hosts} "))
        .replace("maximum = 7 ", &format!("maximum = {} ", hosts * 5 / 4))
        .replace("max_tasks = 40", "max_tasks = 4000")
        .replace("max_out = 1 ", &format!("max_out = {} ", hosts / 10))
        .replace("strategy = \"terminate-first\" ", &format!("strategy = \"{strategy}\" "))
        .replace("wave = 1 ", "wave = \"10%\" ")
        .replacen("[patch]\n", "[patch]\nrefresh = \"all\"\n", 1);
    (fleet(&text), SHOP_SETUP.replace("hosts = 3", &format!("hosts = {}", hosts * 3 / 10)).replace("hosts = 2", &format!("hosts = {}", hosts * 7 / 10)))
}

#[test]
fn a_hundred() {
    for (hosts, strategy) in [(100, "terminate-first"), (100, "launch-first"), (1000, "terminate-first")] {
        let (fleet, setup) = hundred(hosts, strategy);
        let mut world = world(fleet, &setup, 1, Faults::default(), f64::from(hosts) * 60.0);
        world.load(Some(1.0));
        world.run_until(5 * MINUTE);
        let before = world.report().api_calls;
        start(&mut world, "shop");
        world.run_until(80 * MINUTE);
        let state = world.patchroll_state();
        eprintln!("{hosts} {strategy} {:?} {:?}", state.roll, state.ended);
        let report = world.report();
        eprintln!("throttled {} {:?}\n{:?}", report.throttled, before, report.api_calls);
        quiet(&report);
    }
}
