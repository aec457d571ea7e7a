//! Wrong turns of patchroll are found, and right ones are not.

use evenkeel_model::decision::{Decision, HostWhy, Outcome, RollWhy, Why};
use evenkeel_model::fleet::{Format, read};
use evenkeel_model::templates::Launch;
use evenkeel_turn::ledger::{Expect, Key, Write};
use evenkeel_turn::state_key;
use serde_json::{Value, json};

use super::*;
use crate::cloud::HostKind;
use crate::cloud::images::{instance_type, subnet};
use crate::faults::Faults;
use crate::setup::Setup;
use crate::signals::Signals;

/// Five hosts in a cluster, two of which may be out.
struct Story {
    core: Core,
}

impl Story {
    fn new() -> Self {
        let text = "name = \"a\"\ncluster = \"a\"\nhosts = { minimum = 4, steady = 5, maximum = 6 }\n\
            pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
            [patch]\nwave = 2\n[disruption]\nmax_out = 2\n";
        let fleet = read(text.as_bytes(), Format::Toml).unwrap();
        let signals = Signals::new(&fleet, |_| None);
        Self { core: Core::new(fleet, Setup::default(), signals, Faults::default(), 1) }
    }

    /// The same, with something newer to roll onto and a roll that has begun.
    fn rolling() -> Self {
        let mut story = Self::new();
        story.core.publish(0, HostKind::Sound);
        story.core.now = 10 * MINUTE;
        story.stores(json!({ "roll": roll() }));
        story
    }

    fn host(&self, index: usize) -> InstanceId {
        let (_, one) = self.core.cloud.instances.iter().nth(index).unwrap();
        one.id.clone()
    }

    fn writes(&mut self, key: Key, body: &Value) {
        let write = [Write::put(key, body.to_string(), Expect::Anything)];
        self.core.table.write(&write, |_| None).unwrap();
        let now = self.core.now;
        let idle = self.core.idle_hosts();
        self.core.audit.recorded(1, &write, &idle, now);
        self.core.note_state(&write);
    }

    fn stores(&mut self, state: Value) {
        self.writes(state_key(&self.core.fleet.name, FunctionName::Patchroll), &state);
    }

    fn places(&mut self, hosts: &[usize]) {
        let out = json!({ "cause": "roll", "by": "patchroll", "since": STARTED, "deadline": STARTED });
        let outs: serde_json::Map<String, Value> =
            hosts.iter().map(|index| (self.host(*index).to_string(), out.clone())).collect();
        self.writes(Budget::key(&self.core.fleet.name), &json!({ "outs": outs }));
    }

    fn decides(&mut self, step: Step) {
        let decision = Decision {
            at: timestamp(self.core.now),
            function: FunctionName::Patchroll,
            why: match step {
                Step::Host(HostStep::Terminate { .. }) => Why::Host(HostWhy::Empty),
                Step::Host(_) | Step::Image(_) | Step::Roll(_) | Step::SetDesiredCount { .. } => {
                    Why::Roll(RollWhy::Unattractive)
                }
            },
            step,
            outcome: Outcome::Undone,
        };
        self.core.audit.hosts.recorded(1, decision);
    }

    fn drains(&mut self, index: usize) {
        let hosts = [self.host(index)];
        let step = HostStep::SetStatus { hosts: hosts.to_vec(), status: HostStatus::Draining };
        self.decides(Step::Host(step.clone()));
        self.takes_effect(&step);
    }

    fn takes_effect(&mut self, step: &HostStep) {
        self.core.host_effect(1, step);
        let HostStep::SetStatus { hosts, status } = step else { return };
        self.core.set_host_status(hosts, *status).unwrap();
        self.core.note_roll_status(FunctionName::Patchroll, hosts, *status);
    }

    fn ends(&mut self, index: usize) {
        let (host, pool) = (self.host(index), "p".parse().unwrap());
        self.decides(Step::Host(HostStep::Terminate { host: host.clone(), pool, shrink: false }));
        self.core.terminate_effect(1, &host, false);
        self.core.terminate(FunctionName::Patchroll, &host, false).unwrap();
    }

    fn found(&self) -> Vec<u8> {
        self.core.audit.violations.iter().map(|violation| violation.invariant).collect()
    }
}

const STARTED: &str = "2026-01-05T00:10:00Z";

fn roll() -> Value {
    json!({
        "id": "r-1", "started": STARTED, "because": "a test", "any_time": true, "refresh": "outdated",
        "stage": "rolling", "wave": { "since": STARTED, "hosts": {} },
    })
}

fn ended(ending: &str) -> Value {
    json!({ "ended": [{
        "id": "r-1", "because": "a test", "started": STARTED, "at": STARTED, "ending": ending, "waves": 1,
        "replaced": 1, "went": 0,
    }] })
}

#[test]
fn a_sound_roll_is_left_in_peace() {
    let mut story = Story::rolling();
    story.places(&[0]);
    story.drains(0);
    story.ends(0);
    story.stores(ended("aborted"));
    story.places(&[]);
    story.core.now += CLEARED;
    story.core.audit_leftovers();
    assert_eq!(story.core.audit.violations, []);
}

#[test]
fn a_host_that_goes_when_it_must_not_is_found() {
    let mut unknown = Story::rolling();
    unknown.drains(0);
    assert_eq!(unknown.found(), [1], "the budget does not know of it");

    let mut many = Story::rolling();
    many.places(&[0, 1, 2]);
    assert_eq!(many.found(), [1], "three places, where two may be out");
    many.drains(0);
    many.drains(1);
    many.drains(2);
    assert_eq!(many.found(), [1, 1, 1, 1], "with the second too few are left, and with the third too many are out");

    let mut idle = Story::rolling();
    idle.core.cloud.instances.values_mut().next().unwrap().works = false;
    idle.places(&[0, 1, 2]);
    assert_eq!(idle.found(), [1], "two of the three work, and their places are one too many");
    let mut idle = Story::rolling();
    idle.core.cloud.instances.values_mut().for_each(|one| one.works = false);
    idle.places(&[0, 1, 2]);
    assert!(idle.found().is_empty(), "nobody misses what does not work");

    let mut undecided = Story::rolling();
    undecided.places(&[0]);
    let hosts = vec![undecided.host(0)];
    undecided.takes_effect(&HostStep::SetStatus { hosts, status: HostStatus::Draining });
    assert_eq!(undecided.found(), [11], "nobody decided it");

    let mut busy = Story::rolling();
    busy.places(&[0]);
    busy.drains(0);
    let number = *busy.core.cloud.instances.keys().next().unwrap();
    busy.core.cluster.add_task(number, None, evenkeel_model::Room::default(), 0);
    busy.ends(0);
    assert_eq!(busy.found(), [7], "something runs on it");

    let mut new = Story::new();
    new.core.now = 10 * MINUTE;
    new.stores(json!({ "roll": roll() }));
    new.places(&[0]);
    new.drains(0);
    assert_eq!(new.found(), [8], "it is what its group launches");
}

#[test]
fn a_roll_that_ends_as_done_with_an_outdated_host_is_found() {
    let mut story = Story::rolling();
    story.stores(ended("done"));
    assert_eq!(story.found(), [8]);
    let mut story = Story::new();
    story.core.now = 10 * MINUTE;
    story.stores(json!({ "roll": roll() }));
    story.stores(ended("done"));
    assert!(story.found().is_empty());
}

#[test]
fn what_a_roll_leaves_behind_is_found() {
    let mut story = Story::rolling();
    story.places(&[0]);
    story.drains(0);
    let (marked, group) = (story.host(1), story.core.cloud.groups[0].name.clone());
    story.core.mark_old(&[marked], true).unwrap();
    story.core.set_capacity(FunctionName::Patchroll, &group, 6).unwrap();
    let image = story.core.cloud.launches(0).1;
    let template = story.core.cloud.instances.values().next().unwrap().version.clone();
    let (fleet, roll) = (story.core.fleet.name.clone(), "r-1".parse().unwrap());
    let launch = Launch { template, image, subnet: Some(subnet(0)), instance_type: instance_type() };
    story.core.run_builder(&fleet, &roll, &launch, 1).unwrap();
    story.stores(ended("aborted"));
    story.core.now += CLEARED - 1;
    story.core.audit_leftovers();
    assert!(story.found().is_empty(), "it has some time to clear things away");
    story.core.now += 1;
    story.core.audit_leftovers();
    let mut found = story.found();
    found.sort_unstable();
    assert_eq!(found, [1, 8, 8, 8, 8], "{:?}", story.core.audit.violations);
}

#[test]
fn a_number_that_a_person_sets_between_a_look_and_a_write_is_lost_and_one_before_the_look_is_not() {
    let left = |ago| {
        let mut story = Story::rolling();
        let group = story.core.cloud.groups[0].name.clone();
        let before = story.core.cloud.groups[0].desired;
        story.core.meddle_with_capacity(0, before - 1);
        story.core.now += ago;
        story.core.set_capacity(FunctionName::Patchroll, &group, before).unwrap();
        story.stores(ended("aborted"));
        story.core.now += CLEARED;
        story.core.audit_leftovers();
        story.found()
    };
    assert!(left(A_MOMENT).is_empty(), "what it writes is what it saw");
    assert_eq!(left(A_MOMENT + 1), [8], "it has made the group larger");
}

#[test]
fn what_is_not_the_fleets_is_not_to_be_touched() {
    let mut story = Story::rolling();
    let foreign = story.core.cloud.templates.add_public_image("x", timestamp(0), HostKind::Sound);
    for step in [
        ImageStep::DeleteImage { image: foreign },
        ImageStep::SetDefault { template: "lt-other".parse().unwrap(), version: 1 },
    ] {
        story.decides(Step::Image(step.clone()));
        story.core.image_effect(1, &step);
    }
    assert_eq!(story.found(), [6, 6]);
}
