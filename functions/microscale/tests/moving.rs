//! What moves off hosts that drain: lower tiers give way before higher ones are raised.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeSet;

use evenkeel_microscale::{State, moves_off, plan};
use evenkeel_model::decision::Step;
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::observed::{HandsOff, Observed, Signal};
use evenkeel_model::report::Wait;
use evenkeel_turn::{Board, Given, Outlook};
use serde_json::json;

fn counts(outlook: &Outlook<State>) -> Vec<String> {
    outlook.steps.iter().map(|planned| planned.step.to_string()).collect()
}

/// Hosts of four slots each. `web` has the first priority, wants four and has none; what `batch` is, is said, and it wants
/// what it has; `low` fills.
struct Quay {
    fleet: Fleet,
    seen: Observed,
}

impl Quay {
    fn new(batch: &str) -> Self {
        let text = format!(
            "name = \"q\"\ncluster = \"q\"\nhosts = {{ minimum = 1, steady = 1, maximum = 1 }}\n\
             pool = [{{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }}]\n\
             [[service]]\nname = \"web\"\npriority = 1\ndemand = {{ metric = \"q/w\", period = \"10s\", per_task = 1 }}\n\
             [[service]]\nname = \"batch\"\n{batch}\n\
             demand = {{ metric = \"q/b\", period = \"10s\", per_task = 1 }}\n\
             [[service]]\nname = \"low\"\npriority = 9\nfill = true\n"
        );
        let fleet = fleet::read(&text, Format::Toml).unwrap();
        let seen = serde_json::from_value(json!({ "at": "2026-01-05T00:00:00Z" })).unwrap();
        let mut quay = Self { fleet, seen };
        for name in ["web", "batch", "low"] {
            let ecs = json!({ "name": name, "desired": 0, "task": { "cpu": 256, "memory": 512 } });
            quay.seen.services.push(serde_json::from_value(ecs).unwrap());
        }
        quay.wants("web", 4.0);
        quay
    }

    fn wants(&mut self, service: &str, value: f64) {
        self.seen.demand.insert(service.parse().unwrap(), Signal::Value { value, at: self.seen.at });
    }

    /// A host of four slots with these tasks; their services' counts grow with them.
    fn host(&mut self, status: &str, tasks: &[(&str, usize)]) {
        let host = format!("h-{}", self.seen.hosts.len());
        let registered = json!({ "cpu": 1024, "memory": 2048 });
        let seen = json!({ "id": host, "status": status, "registered": registered });
        self.seen.hosts.push(serde_json::from_value(seen).unwrap());
        for (service, count) in tasks {
            for _ in 0..*count {
                let task = json!({ "id": format!("t-{}", self.seen.tasks.len()), "host": host, "service": service,
                    "takes": { "cpu": 256, "memory": 512 }, "phase": "RUNNING", "created": self.seen.at });
                self.seen.tasks.push(serde_json::from_value(task).unwrap());
                self.ecs(service).desired += 1;
            }
        }
        let batch = self.ecs("batch").desired;
        self.wants("batch", f64::from(batch));
    }

    fn ecs(&mut self, name: &str) -> &mut evenkeel_model::observed::EcsService {
        self.seen.services.iter_mut().find(|ecs| ecs.name.as_str() == name).unwrap()
    }

    /// The plan, and that the same gives nothing more once its counts are set.
    fn plan(&mut self) -> Outlook<State> {
        let board = Board::default();
        let given = |state| Given { fleet: &self.fleet, state, board: &board, now: self.seen.at };
        let nothing = State::default();
        let outlook = plan(&given(&nothing), &self.seen);
        let mut after = self.seen.clone();
        for planned in &outlook.steps {
            let Step::SetDesiredCount { service, from: _, to } = &planned.step else { panic!("{}", planned.step) };
            after.services.iter_mut().find(|ecs| ecs.name == *service).unwrap().desired = *to;
        }
        assert_eq!(counts(&plan(&given(&outlook.state), &after)), Vec::<String>::new(), "planned again");
        outlook
    }
}

#[test]
fn a_lower_tier_that_moves_gives_way_before_a_higher_one_is_raised() {
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[]);
    quay.host("DRAINING", &[("batch", 4)]);
    let outlook = quay.plan();
    assert_eq!(counts(&outlook), ["batch 4 -> 0", "web 0 -> 4"], "ECS would give the room to either");
    assert_eq!(outlook.steps[1].needs, [0]);

    // From several hosts, and only as many as are in the way.
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[]);
    quay.host("ACTIVE", &[("batch", 2)]);
    quay.host("DRAINING", &[("batch", 2)]);
    quay.host("DRAINING", &[("batch", 2)]);
    assert_eq!(counts(&quay.plan()), ["batch 6 -> 4", "web 0 -> 4"]);

    // Those that are placed again already are counted where they are.
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[("batch", 2)]);
    quay.host("ACTIVE", &[]);
    quay.host("DRAINING", &[("batch", 4)]);
    quay.ecs("batch").desired = 4;
    quay.wants("batch", 4.0);
    assert_eq!(counts(&quay.plan()), ["web 0 -> 4"], "six slots for two and four");
    quay.wants("web", 5.0);
    assert_eq!(counts(&quay.plan()), ["batch 4 -> 3", "web 0 -> 5"]);

    // There is room for all.
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[]);
    quay.host("ACTIVE", &[]);
    quay.host("DRAINING", &[("batch", 4)]);
    assert_eq!(counts(&quay.plan()), ["web 0 -> 4"]);
}

#[test]
fn room_that_is_made_is_not_lost_to_a_lower_tier_that_moves() {
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[("low", 4)]);
    quay.host("DRAINING", &[("batch", 4)]);
    assert_eq!(counts(&quay.plan()), ["low 4 -> 0", "batch 4 -> 0", "web 0 -> 4"]);
}

#[test]
fn fill_that_moves_goes_before_others_are_raised() {
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[]);
    quay.host("DRAINING", &[("low", 4)]);
    let outlook = quay.plan();
    assert_eq!(counts(&outlook), ["low 4 -> 0", "web 0 -> 4"]);
    assert_eq!(outlook.steps[1].needs, [0], "ECS moves it until its count is lower");
}

#[test]
fn fill_takes_holes_although_some_of_it_cannot_leave_a_host_that_drains() {
    let mut quay = Quay::new("priority = 5");
    quay.wants("web", 0.0);
    quay.host("ACTIVE", &[("low", 2)]);
    quay.host("DRAINING", &[("low", 2)]);
    quay.ecs("low").desired = 2;
    let memory = json!({ "services": { "low": { "window": [["2026-01-04T23:59:50Z", 4]] } } });
    let state = serde_json::from_value(memory).unwrap();
    let board = Board::default();
    let given = Given { fleet: &quay.fleet, state: &state, board: &board, now: quay.seen.at };
    assert_eq!(counts(&plan(&given, &quay.seen)), ["low 2 -> 4"]);
}

#[test]
fn what_moves_and_may_not_be_lowered_has_its_room_conceded() {
    // Of the same tier, held by its minimum, or not ours to set.
    for (batch, hands_off) in
        [("priority = 1", None), ("priority = 5\nmin_tasks = 4", None), ("priority = 5", Some(HandsOff::Deploying))]
    {
        let mut quay = Quay::new(batch);
        quay.host("ACTIVE", &[]);
        quay.host("ACTIVE", &[("low", 2)]);
        quay.host("DRAINING", &[("batch", 4)]);
        quay.ecs("batch").hands_off = hands_off;
        assert_eq!(counts(&quay.plan()), ["low 2 -> 0", "web 0 -> 4"], "{batch}, {hands_off:?}");
        quay.seen.hosts.remove(1);
        quay.seen.tasks.retain(|task| task.host.as_str() != "h-1");
        quay.ecs("low").desired = 0;
        let outlook = quay.plan();
        assert_eq!(counts(&outlook), Vec::<String>::new(), "{batch}, {hands_off:?}");
        let waits = |wait: &Wait| matches!(wait, Wait::Placement { service, tasks: 4 } if service.as_str() == "web");
        assert!(outlook.report.waits.iter().any(waits), "{:?}", outlook.report.waits);
    }
}

#[test]
fn what_moves_and_fits_nowhere_keeps_nobody_from_free_room() {
    // Two that move, and are too large for what is left anywhere.
    let mut quay = Quay::new("priority = 1");
    quay.host("ACTIVE", &[]);
    quay.host("DRAINING", &[("batch", 2)]);
    quay.host("DRAINING", &[("low", 1)]);
    quay.ecs("low").hands_off = Some(HandsOff::Deploying);
    for service in ["batch", "low"] {
        quay.ecs(service).task.resources.cpu = 768;
    }
    let daemon = json!({ "id": "d", "host": "h-0", "service": "daemon", "takes": { "cpu": 512, "memory": 0 },
        "phase": "RUNNING", "created": quay.seen.at });
    quay.seen.tasks.push(serde_json::from_value(daemon).unwrap());
    assert_eq!(counts(&quay.plan()), ["web 0 -> 2"]);
}

#[test]
fn a_host_with_more_on_it_than_it_has_gives_no_room_before_that_is_gone() {
    let mut quay = Quay::new("priority = 5");
    quay.host("ACTIVE", &[("low", 6)]);
    assert_eq!(counts(&quay.plan()), ["low 6 -> 0", "web 0 -> 4"], "two of low are beyond what it registered");
    quay.wants("web", 1.0);
    assert_eq!(counts(&quay.plan()), ["low 6 -> 3", "web 0 -> 1"]);
    let leaving = BTreeSet::from(["h-1".parse().unwrap()]);
    quay.host("ACTIVE", &[("batch", 4)]);
    assert_eq!(moves_off(&quay.fleet, &quay.seen, &leaving), Ok(()));
    for _ in 0..2 {
        let task = json!({ "id": format!("t-{}", quay.seen.tasks.len()), "host": "h-0", "service": "others",
            "takes": { "cpu": 256, "memory": 512 }, "phase": "RUNNING", "created": quay.seen.at });
        quay.seen.tasks.push(serde_json::from_value(task).unwrap());
    }
    assert!(moves_off(&quay.fleet, &quay.seen, &leaving).is_err(), "two of others stay, and two of batch have room");
}
