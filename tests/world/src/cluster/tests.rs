//! What is kept while tasks come and go is what counting them anew gives.

use evenkeel_model::fleet::{Format, read};

use crate::clock::MINUTE;
use crate::demand::Walk;
use crate::faults::Faults;
use crate::setup::Setup;
use crate::signals::Source;
use crate::sim::World;

#[test]
fn counts_that_are_kept_are_those_that_are_there() {
    let text = include_str!("../../../../infra/fleets/shop.toml");
    let fleet = read(text.as_bytes(), Format::Toml).unwrap();
    let setup = "unmanaged_tasks = 2\n[daemon]\ncpu = 64\nmemory = 128\n[ecs]\nforgotten_per_mille = 200\n\
                 [service.web]\ntask = { cpu = 512, memory = 1024 }\nports = [8080]\n";
    let setup = Setup::read(setup, &fleet).unwrap();
    let faults = Faults { rate: 0.02, trouble: true, mishaps: true, ..Faults::default() };
    let mut world = World::new(fleet, setup, 5, faults, |service| {
        service.demand.as_ref()?;
        Some(Source::Walk(Box::new(Walk::new(5, 100, 1_500.0))))
    });
    let mut tasks = 0;
    for minute in 1..=240 {
        world.run_until(minute * MINUTE);
        let core = world.lock();
        tasks += core.cluster.tasks.len();
        if let Err(problem) = core.cluster.adds_up() {
            panic!("after {minute} minutes, {problem}");
        }
    }
    assert!(tasks > 2_000, "{tasks}");
}
