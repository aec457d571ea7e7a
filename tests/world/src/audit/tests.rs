//! Wrong turns of microscale are found, and sound ones are not.

use evenkeel_model::fleet::{self, Demand, Format};
use evenkeel_model::observed::Signal;
use evenkeel_model::report::Wait;

use super::*;

const FLEET: &str = "name = \"a\"\ncluster = \"a\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
    pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
    [[service]]\nname = \"web\"\npriority = 1\nmin_tasks = 1\nmax_tasks = 6\n\
    demand = { metric = \"a/m\", period = \"10s\", per_task = 1 }\n\
    [[service]]\nname = \"low\"\npriority = 2\nfill = true\n";

/// One host of four slots: two `web`, two `low`; `web` wants `want`.
fn judge(want: f64, sets: &[(&str, u32)], waits: Vec<Wait>) -> Vec<u8> {
    let fleet = Arc::new(fleet::read(FLEET, Format::Toml).unwrap());
    let mut audit = Audit::new(&fleet);
    let task = |(number, service): (usize, &str)| {
        serde_json::json!({
            "id": format!("t-{number}"), "host": "h-1", "service": service, "takes": { "cpu": 1, "memory": 1 },
            "phase": "RUNNING", "created": "2026-01-05T00:00:00Z",
        })
    };
    let tasks: Vec<_> = ["web", "web", "low", "low"].into_iter().enumerate().map(task).collect();
    let service = |name: &str| serde_json::json!({ "name": name, "desired": 2, "task": { "cpu": 1, "memory": 1 } });
    let json = serde_json::json!({
        "at": "2026-01-05T00:00:00Z",
        "hosts": [{ "id": "h-1", "registered": { "cpu": 4, "memory": 4 }, "status": "ACTIVE" }],
        "tasks": tasks,
        "services": [service("web"), service("low")],
    });
    let told: evenkeel_model::observed::Observed = serde_json::from_value(json).unwrap();
    let Some(Demand::Metric(demand)) = &fleet.services[0].demand else { panic!("web has a metric") };
    let seen = Seen {
        hosts: told.hosts,
        tasks: Arc::new(told.tasks),
        services: told.services,
        signals: vec![(demand.source.clone(), Signal::Value { value: want, at: told.at })],
        sets: sets.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect(),
        counts: BTreeMap::new(),
    };
    let summary = Summary {
        fleet: fleet.name.clone(),
        function: evenkeel_model::FunctionName::Microscale,
        mode: evenkeel_model::fleet::Mode::Act,
        held: true,
        rests_until: None,
        rounds: 1,
        unfinished: false,
        wakes: Vec::new(),
        decisions: Vec::new(),
        report: evenkeel_model::report::Report { waits, shortfall: Vec::new() },
        missed: 0,
        left: 0,
        not_woken: None,
        not_shown: None,
        fleet_file_refused: None,
    };
    let counts = seen.services.iter().map(|ecs| (ecs.name.clone(), ecs.desired)).collect();
    audit.turn_ended(1, &Under { seen, ..Under::default() }, Some(&summary), &counts, 0);
    audit.violations.iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_sound_turn_is_left_in_peace() {
    assert!(judge(2.0, &[], vec![]).is_empty());
    assert!(judge(3.0, &[("low", 1), ("web", 3)], vec![]).is_empty());
    assert!(judge(1.0, &[("web", 1)], vec![]).is_empty());
}

#[test]
fn every_kind_of_wrong_turn_is_found() {
    assert_eq!(judge(3.0, &[("web", 3)], vec![]), [2], "more than fits");
    assert_eq!(judge(2.0, &[("low", 1)], vec![]), [3], "a kill without gain");
    assert_eq!(judge(3.0, &[], vec![]), [4], "a preemption that was not taken");
    assert_eq!(judge(2.0, &[("web", 1)], vec![]), [3, 4], "a wanted task stopped");
    assert_eq!(judge(9.0, &[("low", 0), ("web", 7)], vec![]), [2, 2], "above the maximum and the room");
}

#[test]
fn an_effect_without_a_recorded_decision_is_found() {
    let fleet = Arc::new(fleet::read(FLEET, Format::Toml).unwrap());
    let mut audit = Audit::new(&fleet);
    audit.effect(1, &"web".parse().unwrap(), 3, 0);
    audit.effect(1, &"other".parse().unwrap(), 3, 0);
    let found: Vec<u8> = audit.violations.iter().map(|violation| violation.invariant).collect();
    assert_eq!(found, [11, 11, 6]);
}
