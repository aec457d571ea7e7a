//! The rules of a roll, one by one, on a handful of hosts: what must hold before a wave begins, and which hosts it takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::{HostStep, ImageStep, Planned, Step};
use evenkeel_model::fleet::{self, Fleet, Format, Refresh};
use evenkeel_model::groups::ScaledBy;
use evenkeel_model::observed::{HostStatus, Signal};
use evenkeel_model::report::{HostWait, RollWait, Wait};
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{FunctionName, InstanceId, Timestamp};
use evenkeel_patchroll::{Seen, State, plan};
use evenkeel_turn::{Ask, Board, Given, NoticeKind, Out, OutCause, Outlook};
use serde_json::{Value, json};

/// Five hosts in service and idle, of an older version than their group launches now, and one of another pool.
struct Story {
    fleet: Fleet,
    seen: Seen,
    state: State,
    board: Board,
    later: Duration,
}

impl Story {
    /// With so many hosts in service at least and in all at most, this budget, and what `[patch]` says.
    fn new(minimum: u32, maximum: u32, max_out: u32, patch: &str) -> Self {
        let text = format!(
            "name = \"r\"\ncluster = \"r\"\nhosts = {{ minimum = 1, steady = 6, maximum = 9 }}\n\
             [[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"base\"\n\
             [[pool]]\nname = \"spot\"\npurchase = \"spot\"\nauto_scaling_group = \"spot\"\n\
             [[service]]\nname = \"web\"\npriority = 1\nmax_tasks = 9\ndemand = {{ manual = true, per_task = 1 }}\n\
             [patch]\nhalt_alarms = [\"r-5xx\"]\n{patch}\n[disruption]\nmax_out = {max_out}\n"
        );
        let ids = ["base-1", "base-2", "base-3", "base-4", "base-5", "spot-1"];
        let asks = json!({ "id": "lt-1", "version": "latest" });
        let group = |pool: &str| {
            let own = ids.iter().filter(|id| id.starts_with(pool));
            let member = |id| json!({ "id": id, "state": "in-service", "template": { "id": "lt-1", "version": 1 } });
            let members: Vec<Value> = own.map(member).collect();
            json!({ "name": pool, "desired": members.len(), "min": 0, "max": 9, "members": members, "template": asks })
        };
        let host = |id: &&str| json!({ "id": id, "status": "ACTIVE", "registered": { "cpu": 2048, "memory": 8192 } });
        let instance = |id: &&str| json!({ "id": id, "launched": "2026-01-04T00:00:00Z" });
        let groups = ["base", "spot"].map(group);
        let seen = json!({
            "groups": groups, "templates": [{ "asks": asks, "version": 2 }],
            "instances": ids.iter().map(instance).collect::<Vec<_>>(),
            "hosts": ids.iter().map(host).collect::<Vec<_>>(), "running": { "tasks": [], "services": [] },
            "targets": [], "refreshes": [],
        });
        let mut seen: Seen = serde_json::from_value(seen).unwrap();
        let quiet = Signal::Alarm { firing: false, since: now() };
        seen.alarms = Some(BTreeMap::from([("r-5xx".parse().unwrap(), quiet)]));
        let mut fleet = fleet::read(&text, Format::Toml).unwrap_or_else(|problems| panic!("{problems}"));
        // Numbers with which no roll could ever begin are refused in a file.
        fleet.hosts.minimum = minimum;
        fleet.hosts.maximum = maximum;
        Self { fleet, seen, state: State::default(), board: Board::default(), later: Duration::ZERO }
    }

    /// A roll is started by hand; its canary went well already.
    fn after_its_canary(mut self) -> Self {
        self.board.orders.add(now(), start(None), None);
        let outs = self.board.budget.clone();
        for number in 0..9 {
            self.is_out(&format!("other-{number}"));
        }
        let _nothing_goes = self.turn();
        self.board.budget = outs;
        self.state.roll.as_mut().unwrap().waves = 1;
        self
    }

    /// Another function has a host out.
    fn is_out(&mut self, id: &str) {
        let deadline = now() + Duration::from_secs(600);
        let out = Out { cause: OutCause::Lost, by: FunctionName::Backfill, pool: None, since: now(), deadline };
        self.board.budget.outs.insert(id.parse().unwrap(), out);
    }

    fn turn(&mut self) -> Outlook<State> {
        let given = Given { fleet: &self.fleet, state: &self.state, board: &self.board, now: now() + self.later };
        let outlook = plan(&given, &self.seen, true);
        self.state = outlook.state.clone();
        outlook
    }

    /// The same, and its places in the budget are stored.
    fn goes_on(&mut self) -> Outlook<State> {
        let outlook = self.turn();
        if let Some(budget) = &outlook.budget {
            self.board.budget = budget.clone();
        }
        outlook
    }

    /// New hosts of the first group are there, in service, five minutes later.
    fn comes(&mut self, ids: &[&str]) {
        self.comes_with(ids, 2);
    }

    /// The same with a version of their template.
    fn comes_with(&mut self, ids: &[&str], version: u64) {
        self.later += Duration::from_secs(300);
        for id in ids {
            let template = json!({ "id": "lt-1", "version": version });
            let member = json!({ "id": id, "state": "in-service", "template": template });
            let host = json!({ "id": id, "status": "ACTIVE", "registered": { "cpu": 2048, "memory": 8192 } });
            let instance = json!({ "id": id, "launched": now() + Duration::from_secs(60) });
            self.seen.groups[0].members.push(serde_json::from_value(member).unwrap());
            self.seen.hosts.push(serde_json::from_value(host).unwrap());
            self.seen.instances.push(serde_json::from_value(instance).unwrap());
            self.seen.groups[0].desired += 1;
        }
    }

    /// The hosts that the next turn tells to drain.
    fn drains(&mut self) -> Vec<String> {
        drained(&self.turn())
    }
}

fn now() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

fn start(pool: Option<&str>) -> Ask {
    Ask::Roll { verb: RollVerb::Start, pool: pool.map(|pool| pool.parse().unwrap()), by: None }
}

fn drained(outlook: &Outlook<State>) -> Vec<String> {
    let drains = outlook.steps.iter().filter_map(|planned| match &planned.step {
        Step::Host(HostStep::SetStatus { hosts, status: HostStatus::Draining }) => Some(hosts),
        Step::Host(_) | Step::SetDesiredCount { .. } | Step::Image(_) | Step::Roll(_) => None,
    });
    drains.flatten().map(ToString::to_string).collect()
}

/// By how much groups grow.
fn raised(outlook: &Outlook<State>) -> u32 {
    let raises = outlook.steps.iter().filter_map(|planned| match &planned.step {
        Step::Host(HostStep::SetCapacity { from, to, .. }) => Some(to - from),
        Step::Host(_) | Step::SetDesiredCount { .. } | Step::Image(_) | Step::Roll(_) => None,
    });
    raises.sum()
}

/// So many hosts may be in service at least, and out at most, with waves of three.
fn first(minimum: u32, max_out: u32) -> Story {
    Story::new(minimum, 9, max_out, "wave = 3")
}

#[test]
fn a_wave_is_as_large_as_the_fleet_file_the_budget_and_the_minimum_allow() {
    let goes = |minimum, max_out| first(minimum, max_out).after_its_canary().drains().len();
    assert_eq!(goes(1, 6), 3, "as the fleet file says");
    assert_eq!(goes(1, 3), 3);
    assert_eq!(goes(4, 3), 2, "six are there, and four must be");
    assert_eq!(goes(5, 3), 1);
    let mut whole = first(6, 3).after_its_canary();
    let outlook = whole.turn();
    assert_eq!(drained(&outlook), Vec::<String>::new());
    let minimum = Wait::Host(HostWait::Minimum { in_service: 6, minimum: 6 });
    assert!(outlook.report.waits.contains(&minimum), "{:?}", outlook.report.waits);
    assert_eq!(whole.state.roll.as_ref().unwrap().wave, None, "no host is named that cannot go");
    let mut two = first(4, 3).after_its_canary();
    let _wave = two.turn();
    assert_eq!(two.state.roll.unwrap().wave.unwrap().hosts.len(), 2);
    // One that is out already counts.
    let mut story = first(1, 3).after_its_canary();
    story.is_out("other-1");
    assert_eq!(story.drains().len(), 2);
    story = first(1, 3).after_its_canary();
    (1..=3).for_each(|number| story.is_out(&format!("other-{number}")));
    let outlook = story.turn();
    assert_eq!(drained(&outlook), Vec::<String>::new());
    let spent = Wait::Host(HostWait::BudgetSpent { out: 3, allowed: 3 });
    assert!(outlook.report.waits.contains(&spent), "{:?}", outlook.report.waits);
}

#[test]
fn the_first_wave_is_one_host() {
    let mut story = first(1, 3);
    story.board.orders.add(now(), start(None), None);
    assert_eq!(story.drains(), ["base-1"]);
}

#[test]
fn a_roll_of_one_pool_lists_no_host_of_another() {
    let mut story = first(1, 3);
    story.board.orders.add(now(), start(Some("spot")), None);
    assert_eq!(story.drains(), ["spot-1"]);
    assert_eq!(story.state.roll.unwrap().todo.len(), 0);
}

#[test]
fn no_wave_begins_while_a_halt_alarm_cannot_be_read() {
    let mut story = first(1, 3).after_its_canary();
    let alarms = story.seen.alarms.as_mut().unwrap();
    alarms.insert("r-5xx".parse().unwrap(), Signal::Unknown("it is denied".to_owned()));
    let outlook = story.turn();
    assert_eq!(drained(&outlook), Vec::<String>::new());
    let waits =
        |wait: &Wait| matches!(wait, Wait::Host(HostWait::UnknownAlarm { because, .. }) if because == "it is denied");
    assert!(outlook.report.waits.iter().any(waits), "{:?}", outlook.report.waits);
}

#[test]
fn hosts_at_risk_go_first_those_that_cannot_be_emptied_last_and_those_of_others_not_at_all() {
    let mut story = first(1, 3).after_its_canary();
    story.board.notices.add(&"base-5".parse().unwrap(), NoticeKind::AtRisk, now());
    story.is_out("base-2");
    let alone = json!({ "id": "t-1", "host": "base-1", "takes": { "cpu": 256, "memory": 512 }, "phase": "RUNNING",
        "created": now() });
    story.seen.running.as_mut().unwrap().tasks.push(serde_json::from_value(alone).unwrap());
    assert_eq!(story.drains(), ["base-3", "base-5"], "of three places one is taken");
}

#[test]
fn where_new_hosts_come_first_neither_the_fleet_nor_a_group_grows_beyond_its_maximum() {
    let grows = |maximum: u32, of_group: u32| {
        let mut story = Story::new(1, maximum, 6, "wave = 3\nstrategy = \"launch-first\"").after_its_canary();
        story.seen.groups.iter_mut().for_each(|group| group.max = of_group);
        raised(&story.turn())
    };
    assert_eq!(grows(9, 9), 3);
    assert_eq!(grows(8, 9), 2, "six are there");
    assert_eq!(grows(6, 9), 0);
    assert_eq!(grows(9, 6), 2, "one more of base, which has five, and one of spot");
}

#[test]
fn where_new_hosts_come_first_they_are_the_room_for_what_runs_on_the_old_ones() {
    for (strategy, begins) in [("launch-first", true), ("terminate-first", false)] {
        let mut story = Story::new(1, 9, 6, &format!("wave = 3\nstrategy = \"{strategy}\"")).after_its_canary();
        let running = story.seen.running.as_mut().unwrap();
        let web = json!({ "name": "web", "desired": 48, "task": { "cpu": 256, "memory": 512 } });
        running.services.push(serde_json::from_value(web).unwrap());
        for (number, host) in story.seen.hosts.iter_mut().flat_map(|host| (0..8).map(|_| host.id.clone())).enumerate() {
            let task = json!({ "id": format!("web-{number}"), "host": host, "service": "web",
                "takes": { "cpu": 256, "memory": 512 }, "phase": "RUNNING", "created": now() });
            running.tasks.push(serde_json::from_value(task).unwrap());
        }
        let outlook = story.turn();
        let began = raised(&outlook) > 0 || !drained(&outlook).is_empty();
        assert_eq!(began, begins, "{strategy}: {:?}", outlook.report.waits);
    }
}

#[test]
fn old_hosts_whose_new_ones_are_there_go_as_far_as_the_minimum_and_the_budget_allow() {
    let goes = |minimum, out: u32| {
        let mut story = Story::new(1, 9, 3, "wave = 3\nstrategy = \"launch-first\"").after_its_canary();
        story.seen.groups[1].max = 1;
        assert_eq!(raised(&story.turn()), 3);
        story.fleet.hosts.minimum = minimum;
        (0..out).for_each(|number| story.is_out(&format!("other-{number}")));
        story.comes(&["base-6", "base-7", "base-8"]);
        story.drains().len()
    };
    assert_eq!(goes(1, 0), 3);
    assert_eq!(goes(1, 1), 2, "one of three places in the budget is taken");
    assert_eq!(goes(1, 3), 0);
    assert_eq!(goes(9, 0), 0, "nine are there, and nine must be");
}

#[test]
fn an_old_answer_does_not_hide_a_host_that_a_roll_left_draining() {
    let mut story = first(1, 3);
    story.board.orders.add(now(), start(None), None);
    assert_eq!(story.drains(), ["base-1"]);
    story.later = Duration::from_secs(5);
    story.board.orders.add(now() + story.later, Ask::Roll { verb: RollVerb::Abort, pool: None, by: None }, None);
    assert_eq!(story.drains(), Vec::<String>::new(), "it is shown as it was before");
    story.later = Duration::from_secs(10);
    story.seen.hosts[0].status = HostStatus::Draining;
    let back = |planned: &Planned| {
        matches!(&planned.step, Step::Host(HostStep::SetStatus { hosts, status: HostStatus::Active })
            if hosts.iter().any(|id| id.as_str() == "base-1"))
    };
    assert!(story.turn().steps.iter().any(back));
}

#[test]
fn a_host_that_does_not_drain_has_no_place_in_the_budget_when_the_roll_is_over_also_without_its_agent() {
    let mut story = first(1, 3);
    story.board.orders.add(now(), start(None), None);
    assert_eq!(story.drains(), ["base-1"]);
    story.seen.hosts[0].connected = false;
    story.board.orders.add(now(), Ask::Roll { verb: RollVerb::Abort, pool: None, by: None }, None);
    story.later = Duration::from_secs(60);
    let outlook = story.turn();
    assert_eq!(outlook.budget.unwrap_or_default().out(), 0);
    assert!(outlook.state.drained.is_empty());
}

#[test]
fn what_a_roll_has_ended_and_nothing_replaced_is_a_loss_for_which_what_is_taken_back_makes_up() {
    let mut story = Story::new(1, 9, 1, "roll_back = true");
    story.fleet.backfill = fleet::read(include_str!("../../../infra/fleets/shop.toml"), Format::Toml).unwrap().backfill;
    story.board.orders.add(now(), start(None), None);
    assert_eq!(drained(&story.goes_on()), ["base-1"]);
    story.seen.groups[0].members.remove(0);
    story.seen.hosts.remove(0);
    let member = json!({ "id": "base-6", "state": "in-service", "template": { "id": "lt-1", "version": 2 } });
    story.seen.groups[0].members.push(serde_json::from_value(member).unwrap());
    let held = |story: &Story| story.board.budget.outs.values().map(|out| (out.cause, out.by)).collect::<Vec<_>>();
    for later in [60, 960] {
        story.later = Duration::from_secs(later);
        let _waits = story.goes_on();
    }
    assert!(story.state.roll.as_ref().unwrap().halted.is_some(), "the new host did not join the cluster");
    assert_eq!(held(&story), [(OutCause::Lost, FunctionName::Backfill)]);
    story.seen.templates.as_mut().unwrap()[0].version = 1;
    story.later += Duration::from_secs(60);
    let _taken_back = story.goes_on();
    assert_eq!(held(&story), [(OutCause::Roll, FunctionName::Patchroll)], "it has no place besides");
    assert!(story.board.budget.outs.contains_key(&"base-6".parse::<InstanceId>().unwrap()));
}

/// The first group launches hosts of another architecture from a template of their own, too.
fn with_graviton(story: &mut Story) {
    story.seen.groups[0].lines = vec![serde_json::from_value(json!({ "id": "lt-arm", "version": "latest" })).unwrap()];
    let arm = json!({ "asks": { "id": "lt-arm", "version": "latest" }, "version": 7 });
    story.seen.templates.as_mut().unwrap().push(serde_json::from_value(arm).unwrap());
}

#[test]
fn a_halted_roll_says_why_it_is_not_taken_back() {
    for (several, words) in [(true, "launched from several templates"), (false, "ran no other version")] {
        let mut story = Story::new(1, 9, 1, "roll_back = true");
        if several {
            with_graviton(&mut story);
        } else {
            // Hosts of another template than the group's were never launched from an older version of that.
            let other = json!({ "id": "lt-0", "version": 1 });
            for member in &mut story.seen.groups[0].members {
                member.template = Some(serde_json::from_value(other.clone()).unwrap());
            }
        }
        story.board.orders.add(now(), start(Some("base")), None);
        assert_eq!(drained(&story.goes_on()), ["base-1"]);
        let fires = Signal::Alarm { firing: true, since: now() };
        story.seen.alarms.as_mut().unwrap().insert("r-5xx".parse().unwrap(), fires);
        let waits = story.goes_on().report.waits;
        let refused = |wait: &Wait| {
            let Wait::Roll(RollWait::Refused { request, because }) = wait else { return false };
            request == "roll_back" && because.contains(words)
        };
        assert!(waits.iter().any(refused), "{waits:?}");
    }
}

#[test]
fn in_a_group_of_two_architectures_each_host_is_held_against_its_own_template() {
    let mut story = first(1, 3);
    with_graviton(&mut story);
    for (number, member) in story.seen.groups[0].members.iter_mut().enumerate() {
        let own = match number {
            0 => json!({ "id": "lt-arm", "version": 6 }),
            1 | 2 => json!({ "id": "lt-arm", "version": 7 }),
            _ => json!({ "id": "lt-1", "version": 2 }),
        };
        member.template = Some(serde_json::from_value(own).unwrap());
    }
    story.board.orders.add(now(), start(Some("base")), None);
    assert_eq!(story.drains(), ["base-1"], "the only one that is older than its own template");
    assert!(story.state.roll.as_ref().unwrap().todo.is_empty());
}

#[test]
fn a_group_that_something_else_scales_does_not_grow_for_a_roll() {
    let mut story = Story::new(1, 9, 3, "strategy = \"launch-first\"");
    story.seen.groups[0].scaled_by = Some(ScaledBy::ManagedScaling("p".to_owned()));
    story.board.orders.add(now(), start(Some("base")), None);
    let outlook = story.turn();
    assert_eq!(raised(&outlook), 0);
    assert_eq!(drained(&outlook), ["base-1"], "its own group launches what takes its place");
}

#[test]
fn a_place_that_another_function_holds_is_not_given_back_by_a_roll() {
    let mut story = Story::new(1, 9, 3, "strategy = \"launch-first\"").after_its_canary();
    story.seen.groups[1].max = 1;
    assert_eq!(raised(&story.turn()), 1);
    let old = story.state.roll.as_ref().unwrap().wave.as_ref().unwrap().hosts.keys().next().unwrap().clone();
    story.is_out(old.as_str());
    story.comes(&["base-6"]);
    story.seen.groups[0].members.retain(|member| member.id != old);
    story.seen.hosts.retain(|host| host.id != old);
    let after = story.turn().budget.unwrap_or_else(|| story.board.budget.clone());
    assert_eq!(after.outs.get(&old).map(|out| out.by), Some(FunctionName::Backfill));
}

#[test]
fn a_finding_about_hosts_that_are_nobodys_here_or_newer_makes_no_roll_due() {
    let due = |host: &str, found: &str| {
        let mut story = Story::new(1, 9, 3, "windows = [\"daily 12:00-13:00 UTC\"]");
        let (because, hosts) = ("a finding".to_owned(), vec![host.parse().unwrap()]);
        story.board.orders.add(found.parse().unwrap(), Ask::Due { because, refresh: Refresh::All, hosts }, None);
        let outlook = story.turn();
        let waits = |wait: &Wait| matches!(wait, Wait::Roll(RollWait::OutsideWindow { .. }));
        assert_eq!(outlook.report.waits.iter().any(waits), outlook.state.due.is_some());
        outlook.state.due.is_some()
    };
    assert!(due("base-1", "2026-01-04T12:00:00Z"));
    assert!(!due("base-1", "2026-01-03T12:00:00Z"), "it was launched since");
    assert!(!due("i-1", "2026-01-04T12:00:00Z"), "it is nobody's here");
}

#[test]
fn where_nobody_counts_losses_one_holds_the_next_wave_back_for_an_hour() {
    let mut story = Story::new(1, 9, 1, "wave = 1").after_its_canary();
    story.seen.groups[0].desired += 1;
    for minutes in [0, 30, 59] {
        story.later = Duration::from_secs(60 * minutes);
        assert_eq!(story.drains(), Vec::<String>::new(), "after {minutes} minutes");
    }
    story.later = Duration::from_secs(60 * 61);
    assert_eq!(story.drains().len(), 1, "nobody makes up for it");
}

#[test]
fn no_wave_begins_while_somebody_else_refreshes_a_group() {
    let mut story = first(1, 3).after_its_canary();
    story.seen.refreshes = Some(vec!["base".parse().unwrap()]);
    assert_eq!(story.drains(), Vec::<String>::new());
    story.seen.refreshes = Some(Vec::new());
    assert_eq!(story.drains().len(), 3);
}

#[test]
fn a_host_of_another_image_than_its_version_means_now_is_outdated() {
    for (image, goes) in [("ami-2", vec!["base-1"]), ("ami-1", vec![])] {
        let mut story = first(1, 3);
        let template = story.seen.templates.as_mut().unwrap().first_mut().unwrap();
        (template.version, template.image) = (1, Some(image.parse().unwrap()));
        for instance in &mut story.seen.instances {
            instance.image = Some("ami-1".parse().unwrap());
        }
        story.board.orders.add(now(), start(None), None);
        assert_eq!(story.drains(), goes, "{image}");
    }
}

/// A wave of three hosts of the first group, whose new ones are asked for.
fn growing() -> Story {
    let mut story = Story::new(1, 9, 3, "wave = 3\nstrategy = \"launch-first\"").after_its_canary();
    story.seen.groups[1].max = 1;
    assert_eq!(raised(&story.turn()), 3);
    story
}

#[test]
fn a_new_host_of_the_old_version_is_nobodys_successor() {
    let mut story = growing();
    let new = ["base-6", "base-7", "base-8"];
    story.comes_with(&new, 1);
    for _ in 0..3 {
        let went = story.drains();
        assert!(went.iter().all(|id| new.contains(&id.as_str())), "{went:?}");
        story.later += Duration::from_secs(60);
    }
    assert!(story.state.roll.unwrap().halted.is_some(), "the next would be the same");
}

#[test]
fn one_new_host_is_the_successor_of_one_old_one() {
    let mut story = growing();
    story.comes(&["base-6"]);
    story.seen.groups[0].desired = 8;
    let mut went = std::collections::BTreeSet::new();
    for _ in 0..6 {
        went.extend(story.drains());
        story.later += Duration::from_secs(60);
    }
    assert_eq!(went.len(), 1, "{went:?}");
}

#[test]
fn a_number_that_somebody_sets_while_a_wave_grows_is_left_alone() {
    let mut story = growing();
    story.seen.groups[0].desired = 4;
    // It may be an old answer, or a person.
    story.later += Duration::from_secs(5);
    assert_eq!(raised(&story.turn()), 0);
}

#[test]
fn old_images_are_deleted_but_for_those_that_hosts_run() {
    let bake = "[patch.bake]\nbase_image_parameter = \"/base\"\nkeep = 1";
    let mut story = Story::new(1, 9, 3, bake);
    for instance in &mut story.seen.instances {
        instance.image = Some("ami-2".parse().unwrap());
    }
    story.board.orders.add(now(), start(None), None);
    let _bakes = story.turn();
    let roll = story.state.roll.as_ref().unwrap().id.clone();
    let image = |id: &str, roll: &str, day: u32| json!({ "id": id, "name": id, "state": "available", "created": format!("2026-01-0{day}T00:00:00Z"), "roll": roll });
    let images = [image("ami-1", "r-1", 1), image("ami-2", "r-2", 2), image("ami-3", roll.as_str(), 4)];
    let bakery = json!({ "base": { "Ok": "ami-0" }, "builders": [], "images": images });
    story.seen.bakery = Some(serde_json::from_value(bakery).unwrap());
    story.seen.templates.as_mut().unwrap()[0].image = Some("ami-3".parse().unwrap());
    story.later = Duration::from_secs(600);
    let outlook = story.turn();
    let deleted: Vec<&str> = outlook
        .steps
        .iter()
        .filter_map(|planned| match &planned.step {
            Step::Image(ImageStep::DeleteImage { image }) => Some(image.as_str()),
            Step::Image(_) | Step::Host(_) | Step::SetDesiredCount { .. } | Step::Roll(_) => None,
        })
        .collect();
    assert_eq!(deleted, ["ami-1"], "{:?}", outlook.steps);
}

/// Two wait in the first group's warm pool, one of the old version and one of the new.
fn with_a_warm_pool(mut story: Story) -> Story {
    let waiting = |id, version| json!({ "id": id, "template": { "id": "lt-1", "version": version } });
    let pool = json!({ "base": [waiting("warm-old", 1), waiting("warm-new", 2)] });
    story.seen.warm = serde_json::from_value(pool).unwrap();
    story.seen.groups[0].warm_pool = true;
    story.board.orders.add(now(), start(None), None);
    story
}

fn replaced_in_warm_pools(outlook: &Outlook<State>) -> Vec<String> {
    let ended = outlook.steps.iter().filter_map(|planned| {
        let Step::Host(HostStep::EndWarm { host, pool: _ }) = &planned.step else { return None };
        Some(host.to_string())
    });
    ended.collect()
}

#[test]
fn what_is_old_in_a_warm_pool_goes_whatever_is_out_and_no_host_goes_before_it_is_gone() {
    let mut story = with_a_warm_pool(Story::new(1, 9, 1, ""));
    story.is_out("other-1");
    let outlook = story.turn();
    assert_eq!(replaced_in_warm_pools(&outlook), ["warm-old"]);
    assert!(story.state.roll.as_ref().unwrap().wave.is_none());
    // It was told, and its group has not ended it yet.
    story.board.budget.outs.clear();
    story.seen.warm.values_mut().flatten().next().unwrap().healthy = false;
    assert_eq!(replaced_in_warm_pools(&story.turn()), [""; 0]);
    assert!(story.state.roll.as_ref().unwrap().wave.is_none(), "it may come into service still");
    story.seen.warm.values_mut().flatten().next().unwrap().leaving = true;
    let _begins = story.turn();
    assert!(story.state.roll.as_ref().unwrap().wave.is_some());
}

#[test]
fn where_a_process_is_suspended_a_warm_pool_is_left_alone_and_that_is_said() {
    let mut story = with_a_warm_pool(Story::new(1, 9, 1, ""));
    for member in &mut story.seen.groups[0].members {
        member.template.as_mut().unwrap().version = 2;
    }
    story.seen.groups[0].suspended.insert(evenkeel_model::groups::Process::Terminate);
    let outlook = story.turn();
    assert_eq!(drained(&outlook), ["spot-1"], "hosts of other groups go on");
    assert_eq!(replaced_in_warm_pools(&outlook), [""; 0]);
    let says = |wait: &Wait| matches!(wait, Wait::Roll(RollWait::OldWarm { pool: _, hosts: 1 }));
    assert!(outlook.report.waits.iter().any(says), "{:?}", outlook.report.waits);
}
