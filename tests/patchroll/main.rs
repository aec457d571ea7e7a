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
        println!("{:#?}\n{:#?}\n{:#?}", state.roll, state.ended, feed(&world));
        println!("{:?}", world.patch_view());
        assert_eq!(state.ended[0].ending, Ending::Done);
        quiet(&world.report());
    }
}
