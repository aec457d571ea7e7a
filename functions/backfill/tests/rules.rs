//! The rules of a turn, one by one, on a handful of hosts: what may go, and what must not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_backfill::{Seen, State, plan};
use evenkeel_model::decision::{HostStep, Planned, Step};
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::groups::{MemberState, Refusal, RefusalKind};
use evenkeel_model::observed::{HostStatus, Signal};
use evenkeel_model::report::{HostWait, Shortfall, Wait};
use evenkeel_model::{FunctionName, Timestamp};
use evenkeel_turn::window::Extreme;
use evenkeel_turn::{Board, Borrow, Given, NoticeKind, Out, OutCause, Outlook, Told};
use serde_json::{Value, json};

/// A fleet of reserved, spot and on-demand hosts, and what is seen of it.
struct Story {
    text: String,
    fleet: Fleet,
    seen: Seen,
    state: State,
    board: Board,
}

impl Story {
    /// So many hosts of each pool in service and idle, where `hosts` says how many there should be.
    fn new(hosts: &str, base: usize, spot: usize, burst: usize) -> Self {
        let text = format!(
            "name = \"r\"\ncluster = \"r\"\nhosts = {hosts}\n\
             [[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"base\"\n\
             [[pool]]\nname = \"spot\"\npurchase = \"spot\"\nauto_scaling_group = \"spot\"\n\
             [[pool]]\nname = \"burst\"\npurchase = \"on-demand\"\nauto_scaling_group = \"burst\"\n\
             [backfill]\nrelease_after = \"10m\"\nmoves_per_hour = 9\n[disruption]\nmax_out = 6\n"
        );
        let pools = [("base", base), ("spot", spot), ("burst", burst)];
        let group = |(pool, count): (&str, usize)| -> Value {
            let member = |number| json!({ "id": format!("{pool}-{number}"), "state": "in-service" });
            let members: Vec<Value> = (1..=count).map(member).collect();
            json!({ "name": pool, "desired": count, "min": 0, "max": 9, "members": members })
        };
        let host = |(pool, count): (&'static str, usize)| {
            (1..=count).map(move |number| {
                json!({ "id": format!("{pool}-{number}"), "pool": pool, "status": "ACTIVE",
                    "registered": { "cpu": 2048, "memory": 8192 } })
            })
        };
        let seen = json!({ "at": "2026-01-05T00:00:00Z", "groups": pools.map(group),
            "hosts": pools.into_iter().flat_map(host).collect::<Vec<_>>(), "running": { "tasks": [], "services": [] } });
        let seen = serde_json::from_value(seen).unwrap();
        let fleet = fleet::read(&text, Format::Toml).unwrap();
        // It has looked before, and needed no on-demand host: a function that begins gives those that are there their dwell.
        let mut state = State::default();
        let begun: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        state.needed.sample(begun, 0, Duration::from_secs(600), Extreme::Largest);
        Self { text, fleet, seen, state, board: Board::default() }
    }

    /// The same with more in the fleet file's `[backfill]`.
    fn with(mut self, more: &str) -> Self {
        self.text = self.text.replace("[backfill]\n", &format!("[backfill]\n{more}\n"));
        self.fleet = fleet::read(&self.text, Format::Toml).unwrap();
        self
    }

    fn turn(&mut self) -> Outlook<State> {
        let given = Given { fleet: &self.fleet, state: &self.state, board: &self.board, now: self.seen.at };
        let outlook = plan(&given, &self.seen);
        self.state = outlook.state.clone();
        if let Some(budget) = &outlook.budget {
            self.board.budget = budget.clone();
        }
        outlook
    }

    fn later(&mut self, minutes: u64) {
        self.seen.at += Duration::from_secs(60 * minutes);
    }

    /// A pool's group has so many hosts now, all in service and idle.
    fn has(&mut self, pool: &str, count: u32) {
        let group = self.seen.groups.iter_mut().find(|group| group.name.as_str() == pool).unwrap();
        group.desired = count;
        for number in group.members.len() + 1..=count as usize {
            let id = format!("{pool}-{number}");
            let member = json!({ "id": id, "state": "in-service" });
            group.members.push(serde_json::from_value(member).unwrap());
            let host =
                json!({ "id": id, "pool": pool, "status": "ACTIVE", "registered": { "cpu": 2048, "memory": 8192 } });
            self.seen.hosts.push(serde_json::from_value(host).unwrap());
        }
    }

    /// Whether the alarm `busy` is in ALARM.
    fn alarm(&mut self, firing: bool) {
        let since = self.seen.at;
        self.seen.alarms = [("busy".parse().unwrap(), Signal::Alarm { firing, since })].into();
    }

    /// ECS has a host drain, with so many tasks left on it.
    fn drains(&mut self, id: &str, tasks: u32) {
        let host = self.seen.hosts.iter_mut().find(|host| host.id.as_str() == id).unwrap();
        (host.status, host.task_count) = (HostStatus::Draining, tasks);
    }

    /// A group finds a host unhealthy.
    fn fails(&mut self, id: &str) {
        let mut members = self.seen.groups.iter_mut().flat_map(|group| &mut group.members);
        members.find(|member| member.id.as_str() == id).unwrap().healthy = false;
    }

    /// A pool's hosts are launching still: their agents are not there yet.
    fn launching(&mut self, pool: &str) {
        let of_pool = |id: &str| id.starts_with(pool);
        for member in self.seen.groups.iter_mut().flat_map(|group| &mut group.members) {
            if of_pool(member.id.as_str()) {
                member.state = MemberState::Pending;
            }
        }
        self.seen.hosts.retain(|host| !of_pool(host.id.as_str()));
    }
}

fn steps(outlook: &Outlook<State>) -> Vec<String> {
    outlook.steps.iter().map(|planned| planned.step.to_string()).collect()
}

#[test]
fn nothing_is_given_back_below_the_minimum_while_others_are_on_their_way() {
    // Nothing needs the on-demand hosts as soon as the reserved ones are in service, which they are not yet.
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 2);
    story.launching("base");
    let outlook = story.turn();
    assert_eq!(steps(&outlook), Vec::<String>::new());
    let minimum = Wait::Host(HostWait::Minimum { in_service: 2, minimum: 2 });
    assert!(outlook.report.waits.contains(&minimum), "{:?}", outlook.report.waits);
    // With one more than the minimum, one may go.
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 3);
    story.launching("base");
    let outlook = story.turn();
    assert_eq!(steps(&outlook).len(), 1, "{:?}", steps(&outlook));
    assert!(outlook.report.waits.contains(&minimum), "{:?}", outlook.report.waits);
}

#[test]
fn a_place_that_a_roll_left_behind_is_given_back_when_its_time_is_over() {
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 0);
    let out = |minutes: u64| Out {
        cause: OutCause::Roll,
        by: FunctionName::Patchroll,
        pool: None,
        since: story.seen.at,
        deadline: story.seen.at + Duration::from_secs(60 * minutes),
    };
    let outs = [("gone-1", out(5)), ("gone-2", out(15)), ("base-1", out(5))];
    story.board.budget.outs = outs.into_iter().map(|(id, out)| (id.parse().unwrap(), out)).collect();
    let _with_all_there = story.turn();
    assert_eq!(story.board.budget.outs.len(), 3);
    story.later(10);
    let _with_one_too_old = story.turn();
    let left: Vec<&str> = story.board.budget.outs.keys().map(|id| id.as_str()).collect();
    assert_eq!(left, ["gone-2"], "one works as ever, one is gone, and one has time");
}

#[test]
fn a_host_that_is_given_back_is_ended_when_it_is_empty_and_stays_when_nothing_empties_it() {
    let story = || {
        let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 1);
        assert_eq!(steps(&story.turn()), ["drain burst-1"]);
        story
    };
    let ends = |story: &mut Story| {
        let outlook = story.turn();
        let shrinks = |planned: &Planned| matches!(&planned.step, Step::Host(HostStep::Terminate { shrink: true, .. }));
        assert!(outlook.steps.iter().all(shrinks), "{:?}", steps(&outlook));
        outlook.steps.len() == 1
    };
    let mut empty = story();
    empty.drains("burst-1", 0);
    assert!(ends(&mut empty));
    let mut busy = story();
    busy.drains("burst-1", 3);
    assert!(!ends(&mut busy));
    busy.later(9);
    assert!(!ends(&mut busy), "drain_timeout is ten minutes");
    // Nobody knows what would become of its tasks.
    busy.later(2);
    assert_eq!(steps(&busy.turn()), ["activate burst-1"]);
}

#[test]
fn a_host_that_drains_and_is_needed_again_stays_and_no_other_is_launched() {
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 1);
    assert_eq!(steps(&story.turn()), ["drain burst-1"]);
    story.drains("burst-1", 3);
    story.fails("base-1");
    let outlook = story.turn();
    assert_eq!(steps(&outlook), ["lost base-1", "drain base-1", "activate burst-1"]);
}

#[test]
fn an_event_is_believed_before_aws_answers_say_the_same_and_a_host_that_is_not_taken_comes_back() {
    let mut story = Story::new("{ minimum = 2, steady = 3, maximum = 6 }", 2, 1, 0);
    assert_eq!(steps(&story.turn()), Vec::<String>::new());
    story.board.notices.add(&"spot-1".parse().unwrap(), NoticeKind::Interruption, story.seen.at);
    let outlook = story.turn();
    assert!(steps(&outlook).contains(&"drain spot-1".to_owned()), "{:?}", steps(&outlook));
    assert_eq!(steps(&outlook).len(), 3, "one is lost, and one is launched: {:?}", steps(&outlook));
    story.drains("spot-1", 0);
    story.later(6);
    let outlook = story.turn();
    assert!(steps(&outlook).contains(&"activate spot-1".to_owned()), "{:?}", steps(&outlook));
}

#[test]
fn a_host_that_came_for_tasks_without_a_place_goes_when_everything_fits() {
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 0);
    assert_eq!(steps(&story.turn()), Vec::<String>::new());
    story.later(1);
    let task = serde_json::from_value(json!({ "cpu": 1024, "memory": 1024 })).unwrap();
    let missing = Shortfall { service: "web".parse().unwrap(), tasks: 1, task, groups: BTreeSet::new() };
    story.board.told = Told { at: story.seen.at, missing: vec![missing], would: false };
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    story.has("burst", 1);
    for _ in 0..15 {
        story.later(1);
        story.board.told.at = story.seen.at;
        let outlook = story.turn();
        // One round of hosts at a time: what is missing still asks for one more.
        assert!(!steps(&outlook).iter().any(|step| step.starts_with("drain")), "{:?}", steps(&outlook));
        let wanted = story.seen.groups[2].desired.max(u32::try_from(outlook.steps.len()).unwrap() + 1);
        story.has("burst", wanted.min(2));
    }
    let mut went = Vec::new();
    for _ in 0..12 {
        story.later(1);
        story.board.told = Told { at: story.seen.at, missing: Vec::new(), would: false };
        went.extend(steps(&story.turn()));
    }
    assert!(went.iter().any(|step| step.starts_with("drain burst-1")), "{went:?}");
}

#[test]
fn nothing_is_launched_for_tasks_that_no_on_demand_host_would_take() {
    for (behind, expect) in [("spot", &[][..]), ("burst", &["pool burst 0 -> 1".to_owned()])] {
        let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 0);
        assert_eq!(steps(&story.turn()), Vec::<String>::new());
        story.later(1);
        let task = serde_json::from_value(json!({ "cpu": 1024, "memory": 1024 })).unwrap();
        let groups = BTreeSet::from([behind.parse().unwrap()]);
        let missing = Shortfall { service: "web".parse().unwrap(), tasks: 1, task, groups };
        story.board.told = Told { at: story.seen.at, missing: vec![missing], would: false };
        assert_eq!(steps(&story.turn()), expect, "hosts of {behind} take them");
    }
}

#[test]
fn a_host_that_a_roll_borrowed_goes_when_it_is_not_asked_for_any_more() {
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 0);
    story.board.borrow = Borrow { at: story.seen.at, units: 1, would: false };
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    story.has("burst", 1);
    for _ in 0..15 {
        story.later(1);
        story.board.borrow.at = story.seen.at;
        assert_eq!(steps(&story.turn()), Vec::<String>::new());
    }
    let mut went = Vec::new();
    for _ in 0..15 {
        story.later(1);
        went.extend(steps(&story.turn()));
    }
    assert_eq!(went.first().map(String::as_str), Some("drain burst-1"), "{went:?}");
}

#[test]
fn an_alarm_raises_by_a_step_and_again_only_after_the_cooldown() {
    let story = || {
        let story = Story::new("{ minimum = 2, steady = 2, maximum = 6 }", 2, 0, 0);
        story.with("alarms = [\"busy\"]\nstep = 1\ncooldown = \"3m\"")
    };
    let mut peak = story();
    peak.alarm(true);
    assert_eq!(steps(&peak.turn()), ["pool burst 0 -> 1"]);
    peak.has("burst", 1);
    peak.later(1);
    assert_eq!(steps(&peak.turn()), Vec::<String>::new());
    peak.later(2);
    assert_eq!(steps(&peak.turn()), ["pool burst 1 -> 2"]);
}

#[test]
fn nothing_is_given_back_while_an_alarm_is_in_alarm() {
    for firing in [true, false] {
        let story = Story::new("{ minimum = 2, steady = 2, maximum = 9 }", 2, 0, 4);
        let mut story = story.with("alarms = [\"busy\"]\nstep = 1\ncooldown = \"3m\"");
        story.alarm(firing);
        let outlook = story.turn();
        assert_eq!(outlook.steps.is_empty(), firing, "firing {firing}: {:?}", steps(&outlook));
    }
}

#[test]
fn a_pool_that_launched_in_between_starts_with_the_shortest_pause_again() {
    let mut story = Story::new("{ minimum = 2, steady = 3, maximum = 6 }", 2, 0, 0);
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    let refused = |story: &mut Story, desired: u32| {
        story.later(1);
        let refusal = Refusal { at: story.seen.at, kind: RefusalKind::Other, message: "no".to_owned(), zone: None };
        story.seen.refusals = [("burst".parse().unwrap(), vec![refusal])].into();
        story.seen.groups[2].desired = desired;
        let outlook = story.turn();
        let until =
            outlook.report.waits.iter().find_map(|wait| {
                if let Wait::Host(HostWait::Refused { until, .. }) = wait { Some(*until) } else { None }
            });
        until.map(|until| until.duration_since(story.seen.at).as_secs())
    };
    assert_eq!(refused(&mut story, 1), Some(300));
    story.seen.groups[2].desired = 0;
    story.later(6);
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    assert_eq!(refused(&mut story, 1), Some(600), "a second time in a row");
    story.seen.groups[2].desired = 0;
    story.later(11);
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    // It joins at last, and then a reserved host goes.
    story.has("burst", 1);
    story.later(1);
    assert_eq!(steps(&story.turn()), Vec::<String>::new());
    story.fails("base-1");
    assert_eq!(refused(&mut story, 1), Some(300));
}

#[test]
fn what_aws_plans_is_done_before_in_the_last_patch_window_that_there_is() {
    // It is the night to Monday, and AWS plans something for Saturday, or for the Monday after next.
    for (windows, in_days, goes) in [
        ("Sun 22:00-02:00 UTC", 5, true),
        ("Sun 22:00-02:00 UTC", 14, false),
        ("Wed 22:00-02:00 UTC", 5, false),
        ("Sun 22:00-02:00 UTC\", \"Wed 22:00-02:00 UTC", 5, false),
    ] {
        let story = Story::new("{ minimum = 2, steady = 3, maximum = 6 }", 3, 0, 0);
        let mut story = story.with("rebalance = \"drain\"");
        story.text += &format!("[patch]\nwindows = [\"{windows}\"]\n");
        story.fleet = fleet::read(&story.text, Format::Toml).unwrap();
        let begins = story.seen.at + Duration::from_secs(in_days * 86_400);
        story.board.notices.plan(&"base-1".parse().unwrap(), begins, story.seen.at);
        let outlook = story.turn();
        assert_eq!(!outlook.steps.is_empty(), goes, "{windows}, in {in_days} days: {:?}", steps(&outlook));
    }
}

#[test]
fn no_more_than_moves_per_hour_are_given_back_in_an_hour() {
    let mut story = Story::new("{ minimum = 2, steady = 2, maximum = 9 }", 2, 0, 4);
    story.text = story.text.replace("moves_per_hour = 9", "moves_per_hour = 2");
    story.fleet = fleet::read(&story.text, Format::Toml).unwrap();
    assert_eq!(steps(&story.turn()), ["drain burst-1, burst-2"]);
    story.later(30);
    let outlook = story.turn();
    assert!(!steps(&outlook).iter().any(|step| step.contains("burst-3")), "{:?}", steps(&outlook));
    let spent = |wait: &Wait| matches!(wait, Wait::Host(HostWait::MovesSpent { moves: 2, .. }));
    assert!(outlook.report.waits.iter().any(spent), "{:?}", outlook.report.waits);
}

#[test]
fn hosts_whose_agents_stay_away_are_replaced_unless_half_of_all_are_away() {
    for (away, goes) in [(1, true), (3, false)] {
        let mut story = Story::new("{ minimum = 2, steady = 4, maximum = 6 }", 4, 0, 0);
        assert_eq!(steps(&story.turn()), Vec::<String>::new());
        for host in story.seen.hosts.iter_mut().take(away) {
            host.connected = false;
        }
        let mut said = Vec::new();
        for _ in 0..30 {
            story.later(1);
            said.extend(steps(&story.turn()));
            story.has("burst", 1);
        }
        assert_eq!(said.iter().any(|step| step.starts_with("drain base-1")), goes, "{away} away: {said:?}");
    }
}

#[test]
fn a_host_at_risk_goes_only_when_another_is_there_in_its_place() {
    let mut story = Story::new("{ minimum = 2, steady = 3, maximum = 6 }", 2, 1, 0).with("rebalance = \"drain\"");
    story.board.notices.add(&"spot-1".parse().unwrap(), NoticeKind::AtRisk, story.seen.at);
    assert_eq!(steps(&story.turn()), ["pool burst 0 -> 1"]);
    story.later(1);
    story.seen.groups[2].desired = 1;
    assert_eq!(steps(&story.turn()), Vec::<String>::new(), "it is on its way");
    story.has("burst", 1);
    story.later(1);
    assert_eq!(steps(&story.turn()), ["drain spot-1"]);
}
