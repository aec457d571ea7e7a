//! The rules of a turn, one by one, on a small cluster: what is left alone, what is held, what is never done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod demand;
mod needs;

use evenkeel_microscale::{State, moves_off, plan};
use evenkeel_model::Timestamp;
use evenkeel_model::decision::{Step, Why};
use evenkeel_model::fleet::{self, Fleet, Format, Mode};
use evenkeel_model::observed::{HandsOff, HostStatus, Observed, Placement, Signal, TaskPhase};
use evenkeel_model::report::Wait;
use evenkeel_turn::{Board, Given, Outlook};
use serde_json::{Value, json};

/// Hosts of eight slots each; `web` and `low` run what is said, and `web` wants `want`.
#[derive(Clone)]
struct Story {
    fleet: Fleet,
    seen: Observed,
    state: State,
}

impl Story {
    fn new(hosts: usize, web: usize, low: usize, want: f64) -> Self {
        let text = "name = \"r\"\ncluster = \"r\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
                    pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
                    [[service]]\nname = \"web\"\npriority = 1\nmin_tasks = 1\nmax_tasks = 20\nheadroom_tasks = 2\n\
                    demand = { metric = \"r/m\", period = \"10s\", per_task = 1 }\n\
                    [[service]]\nname = \"low\"\npriority = 2\nfill = true\n";
        let at = "2026-01-05T00:00:00Z";
        let task = |service: &str, number: usize| -> Value {
            json!({ "id": format!("{service}-{number}"), "host": format!("h-{}", number % hosts), "service": service,
                "takes": { "cpu": 256, "memory": 512 }, "phase": "RUNNING", "created": at, "started": at })
        };
        let service = |name: &str, desired: usize| -> Value {
            json!({ "name": name, "desired": desired, "task": { "cpu": 256, "memory": 512 } })
        };
        let host = |number: usize| -> Value {
            json!({ "id": format!("h-{number}"), "zone": format!("z-{number}"), "status": "ACTIVE",
                "registered": { "cpu": 2048, "memory": 8192 } })
        };
        // The second service fills from the other end, so that no host is overfull.
        let tasks = (0..web).map(|number| task("web", number)).chain((0..low).map(|number| task("low", web + number)));
        let seen = json!({
            "at": at, "hosts": (0..hosts).map(host).collect::<Vec<_>>(), "tasks": tasks.collect::<Vec<_>>(),
            "services": [service("web", web), service("low", low)],
        });
        let mut seen: Observed = serde_json::from_value(seen).unwrap();
        seen.demand.insert("web".parse().unwrap(), Signal::Value { value: want, at: seen.at });
        Self { fleet: fleet::read(text, Format::Toml).unwrap(), seen, state: State::default() }
    }

    fn turn(&mut self) -> Outlook<State> {
        let board = Board::default();
        let given = Given { fleet: &self.fleet, state: &self.state, board: &board, now: self.seen.at };
        let outlook = plan(&given, &self.seen);
        self.state = outlook.state.clone();
        outlook
    }

    /// Half a minute later ECS says that it could not place a task of `web`; the turn after that.
    fn placement_fails(&mut self) -> Outlook<State> {
        self.later(30);
        self.seen.services[0].placement_failed = Some(self.seen.at);
        self.turn()
    }

    /// A turn whose outlook does not matter here: only what it remembers.
    fn a_turn_passes(&mut self) {
        let _only_its_state = self.turn();
    }

    /// ECS takes the counts; nothing is placed or stopped yet.
    fn counts_are_set(&mut self, outlook: &Outlook<State>) {
        for planned in &outlook.steps {
            let Step::SetDesiredCount { service, from: _, to } = &planned.step else {
                unreachable!("microscale sets counts")
            };
            self.seen.services.iter_mut().find(|ecs| ecs.name == *service).unwrap().desired = *to;
        }
    }

    fn wants(&mut self, value: f64) {
        self.seen.demand.insert("web".parse().unwrap(), Signal::Value { value, at: self.seen.at });
    }

    fn later(&mut self, seconds: i64) {
        self.seen.at = Timestamp::from_second(self.seen.at.as_second() + seconds).unwrap();
        for signal in self.seen.demand.values_mut() {
            if let Signal::Value { value: _, at } = signal {
                *at = self.seen.at;
            }
        }
    }
}

fn counts(outlook: &Outlook<State>) -> Vec<String> {
    outlook.steps.iter().map(|planned| planned.step.to_string()).collect()
}

#[test]
fn planning_again_after_the_counts_were_set_gives_nothing() {
    for want in [1.0, 6.0, 9.0, 14.0, 20.0] {
        let mut story = Story::new(2, 6, 10, want);
        let outlook = story.turn();
        story.counts_are_set(&outlook);
        assert_eq!(counts(&story.turn()), Vec::<String>::new(), "{want} wanted");
    }
}

#[test]
fn lowers_come_first_and_raises_that_rely_on_them_need_them() {
    let outlook = Story::new(2, 6, 10, 9.0).turn();
    assert_eq!(counts(&outlook), ["low 10 -> 7", "web 6 -> 9"]);
    assert_eq!(outlook.steps[1].needs, [0]);
    assert!(matches!(&outlook.steps[0].why, Why::MakesRoom { service, starts: 3 } if service.as_str() == "web"));
}

#[test]
fn all_that_nothing_protects_makes_room_where_choices_are_too_many_to_try() {
    let mut story = Story::new(10, 0, 80, 20.0);
    story.seen.services[0].task.resources = serde_json::from_value(json!({ "cpu": 512, "memory": 1024 })).unwrap();
    story.seen.services[1].strategy = vec![Placement::Random];
    for (number, task) in story.seen.tasks.iter_mut().enumerate() {
        task.protected = number % 10 < 5;
    }
    assert_eq!(
        counts(&story.turn()).last().map(String::as_str),
        Some("web 0 -> 20"),
        "half of the hosts can be cleared"
    );
}

#[test]
fn nothing_is_stopped_when_hosts_are_lost() {
    let mut story = Story::new(3, 12, 12, 12.0);
    story.a_turn_passes();
    story.seen.hosts.remove(2);
    story.seen.tasks.retain(|task| task.host.as_str() != "h-2");
    // Eight of each are left on two full hosts; the counts come down to that and web takes room from low.
    let outlook = story.turn();
    for planned in &outlook.steps {
        let Step::SetDesiredCount { service, from: _, to } = &planned.step else {
            unreachable!("microscale sets counts")
        };
        let live = story.seen.tasks.iter().filter(|task| task.service.as_ref() == Some(service)).count();
        let gives_way = matches!(planned.why, Why::MakesRoom { .. });
        assert!(gives_way || *to as usize >= live, "{} with {live} live", planned.step);
    }
    assert_eq!(counts(&outlook), ["low 12 -> 4"], "web is wanted at 12 already, and 4 of low make room for it");
}

#[test]
fn a_want_that_falls_is_followed_after_the_dwell() {
    let mut story = Story::new(2, 6, 0, 6.0);
    story.a_turn_passes();
    story.later(10);
    story.seen.demand.insert("web".parse().unwrap(), Signal::Value { value: 2.0, at: story.seen.at });
    let outlook = story.turn();
    assert!(outlook.steps.iter().all(|planned| !planned.step.to_string().starts_with("web")));
    assert!(matches!(outlook.report.waits[0], Wait::ScaleDown { want: 2, held: 6, .. }));
    story.later(61);
    assert!(counts(&story.turn()).contains(&"web 6 -> 2".to_owned()));
}

#[test]
fn a_tracked_value_from_before_the_last_change_says_nothing_about_what_it_did() {
    let text = "name = \"t\"\ncluster = \"t\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
                pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
                [[service]]\nname = \"web\"\npriority = 1\ndemand = { metric = \"t/m\", period = \"60s\", target = 50 }\n";
    let tracked = fleet::read(text, Format::Toml).unwrap().services[0].demand.clone();
    let story = |running, seconds, before: Option<&State>| {
        let mut story = Story::new(3, running, 0, 100.0);
        story.fleet.services[0].demand = tracked.clone();
        story.state = before.cloned().unwrap_or_default();
        story.later(seconds);
        story
    };
    let first = story(4, 0, None).turn();
    assert_eq!(counts(&first)[0], "web 4 -> 8", "twice the target");
    // Eight run now, and the value is of a period in which four did.
    let second = story(8, 30, Some(&first.state)).turn();
    assert!(!counts(&second).iter().any(|count| count.starts_with("web")), "{:?}", counts(&second));
    let third = story(8, 90, Some(&second.state)).turn();
    assert!(counts(&third).contains(&"web 8 -> 16".to_owned()), "a whole period later it does: {:?}", counts(&third));
}

#[test]
fn unknown_demand_holds_what_there_is_and_says_so() {
    let mut story = Story::new(2, 6, 2, 6.0);
    story.a_turn_passes();
    for minutes in 1..30 {
        story.later(60);
        story.seen.demand.insert("web".parse().unwrap(), Signal::Unknown("no data".to_owned()));
        let outlook = story.turn();
        assert!(!counts(&outlook).iter().any(|step| step.starts_with("web")), "minute {minutes}: {outlook:?}");
        assert!(outlook.report.waits.iter().any(|wait| matches!(wait, Wait::UnknownDemand { held: 6, .. })));
        let counts = outlook;
        story.counts_are_set(&counts);
    }
}

#[test]
fn a_service_that_is_not_ours_to_set_is_left_alone() {
    for because in [HandsOff::Deploying, HandsOff::ScaledElsewhere, HandsOff::Daemon, HandsOff::Deleted] {
        let mut story = Story::new(2, 6, 10, 12.0);
        story.seen.services[1].hands_off = Some(because);
        let outlook = story.turn();
        assert!(counts(&outlook).iter().all(|step| !step.starts_with("low")), "{because:?}: {outlook:?}");
        assert!(
            outlook
                .report
                .waits
                .iter()
                .any(|wait| matches!(wait, Wait::HandsOff { because: why, .. } if *why == because))
        );
        assert_eq!(outlook.report.shortfall[0].tasks, 6);
    }
}

#[test]
fn who_only_observes_says_what_it_would_set_although_aws_scales_the_service() {
    let set = |because, mode| {
        let mut story = Story::new(2, 6, 2, 12.0);
        story.fleet.mode = mode;
        story.seen.services[0].hands_off = Some(because);
        let outlook = story.turn();
        let waits = &outlook.report.waits;
        assert!(waits.iter().any(|wait| matches!(wait, Wait::HandsOff { because: why, .. } if *why == because)));
        counts(&outlook).iter().any(|step| step.starts_with("web 6 -> "))
    };
    assert!(set(HandsOff::ScaledElsewhere, Mode::Observe));
    assert!(!set(HandsOff::ScaledElsewhere, Mode::Act));
    // What nobody may set now, nobody would.
    assert!(!set(HandsOff::Deploying, Mode::Observe));
}

#[test]
fn a_foreign_count_is_reported_and_left_for_a_minute() {
    let mut story = Story::new(2, 6, 2, 6.0);
    story.a_turn_passes();
    story.seen.services[0].desired = 3;
    let outlook = story.turn();
    assert!(!counts(&outlook).iter().any(|step| step.starts_with("web")));
    assert!(outlook.report.waits.iter().any(|wait| matches!(wait, Wait::ForeignWriter { wrote: 6, found: 3, .. })));
    story.later(30);
    assert!(!counts(&story.turn()).iter().any(|step| step.starts_with("web")));
    story.later(31);
    assert!(counts(&story.turn()).contains(&"web 3 -> 6".to_owned()));
}

#[test]
fn an_old_answer_is_not_taken_for_a_foreign_writer() {
    let mut story = Story::new(2, 4, 0, 4.0);
    story.a_turn_passes();
    let found = |story: &mut Story, desired: Option<u32>| {
        story.later(10);
        if let Some(desired) = desired {
            story.seen.services[0].desired = desired;
        }
        let outlook = story.turn();
        let foreign = outlook.report.waits.iter().any(|wait| matches!(wait, Wait::ForeignWriter { .. }));
        story.counts_are_set(&outlook);
        (foreign, counts(&outlook).into_iter().filter(|step| step.starts_with("web")).collect::<Vec<_>>())
    };
    let none = (false, Vec::<String>::new());
    story.wants(6.0);
    assert_eq!(found(&mut story, None), (false, vec!["web 4 -> 6".to_owned()]));
    story.wants(9.0);
    assert_eq!(found(&mut story, None), (false, vec!["web 6 -> 9".to_owned()]));
    assert_eq!(found(&mut story, None), none);
    // ECS answers with what was there before the last write, or before the one before.
    story.wants(12.0);
    let raised = (false, vec!["web 9 -> 12".to_owned()]);
    assert_eq!(found(&mut story.clone(), Some(6)), raised, "what is wanted goes on");
    assert_eq!(found(&mut story.clone(), Some(4)), raised);
    assert_eq!(found(&mut story, Some(9)), raised);
    assert_eq!(found(&mut story, None), none);
    // Somebody sets the same count again: as soon as no answer can be that old.
    assert_eq!(found(&mut story, Some(9)), none);
    assert_eq!(found(&mut story, Some(9)), none);
    assert_eq!(found(&mut story, Some(9)), (true, Vec::new()));
    // An old answer after that does not begin the minute anew.
    assert_eq!(found(&mut story, Some(12)), (true, Vec::new()));
    for _ in 0..4 {
        assert_eq!(found(&mut story, Some(9)), (true, Vec::new()));
    }
    assert_eq!(found(&mut story, Some(9)), (false, vec!["web 9 -> 12".to_owned()]));
    // A count that we never set is foreign at once.
    assert!(found(&mut story, Some(5)).0);
}

#[test]
fn a_count_that_was_perhaps_written_is_written_again_where_another_is_right() {
    let mut story = Story::new(2, 6, 0, 6.0);
    story.a_turn_passes();
    story.wants(3.0);
    story.a_turn_passes();
    story.later(61);
    let of_web = |outlook: &Outlook<State>| {
        counts(outlook).into_iter().filter(|step| step.starts_with("web")).collect::<Vec<_>>()
    };
    // The turn is killed after its step, or before it: the next is told 6 in either case, by an old answer or by a true one.
    assert_eq!(of_web(&story.turn()), ["web 6 -> 3"]);
    let mut risen = story.clone();
    risen.wants(6.0);
    let outlook = risen.turn();
    assert_eq!(of_web(&outlook), ["web 3 -> 6"]);
    // An answer from between the two is nobody else's.
    risen.seen.services[0].desired = 3;
    assert!(!risen.turn().report.waits.iter().any(|wait| matches!(wait, Wait::ForeignWriter { .. })));
    assert_eq!(of_web(&story.turn()), ["web 6 -> 3"]);
    story.seen.services[0].desired = 3;
    story.seen.tasks.retain(|task| !["web-3", "web-4", "web-5"].contains(&task.id.as_str()));
    assert_eq!(of_web(&story.turn()), Vec::<String>::new(), "it was taken");
}

#[test]
fn fill_waits_until_holes_were_open_long_enough_and_leaves_the_headroom() {
    let mut story = Story::new(2, 4, 4, 4.0);
    assert!(story.turn().steps.is_empty());
    story.later(20);
    assert!(story.turn().steps.is_empty());
    story.later(11);
    // Sixteen slots, eight taken, two for web's headroom.
    assert_eq!(counts(&story.turn()), ["low 4 -> 10"]);
}

#[test]
fn room_that_ecs_does_not_use_is_tried_ever_more_seldom_and_new_hosts_at_once() {
    let mut story = Story::new(2, 4, 0, 8.0);
    let outlook = story.turn();
    story.counts_are_set(&outlook);
    let outlook = story.placement_fails();
    assert!(counts(&outlook).contains(&"web 8 -> 4".to_owned()), "{outlook:?}");
    assert!(outlook.report.waits.iter().any(|wait| matches!(wait, Wait::Distrust { cap: 4, .. })));
    story.counts_are_set(&outlook);
    // Other room, or a host that drains, says nothing about what is in the way.
    story.seen.tasks.retain(|task| task.service != Some("low".parse().unwrap()));
    let mut tried = Vec::new();
    for second in (0..3 * 3_600).step_by(10) {
        story.later(10);
        let outlook = story.turn();
        if let Some(raise) = counts(&outlook).iter().find(|step| step.starts_with("web 4 -> ")) {
            assert_eq!(raise, "web 4 -> 5", "one is tried");
            tried.push(second / 60);
            story.counts_are_set(&outlook);
            let outlook = story.placement_fails();
            assert!(counts(&outlook).contains(&"web 5 -> 4".to_owned()), "{outlook:?}");
            story.counts_are_set(&outlook);
        }
    }
    assert_eq!(tried.len(), 9, "after 1, 2, 4, 8, 16, and then each 30 minutes: {tried:?}");
    let mut new = story.seen.hosts[1].clone();
    new.id = "h-9".parse().unwrap();
    story.seen.hosts.push(new);
    story.later(10);
    assert!(counts(&story.turn()).contains(&"web 4 -> 8".to_owned()), "a new host is believed");
}

#[test]
fn a_failure_that_is_over_says_nothing_of_the_next_task_without_a_place() {
    let mut story = Story::new(2, 4, 0, 4.0);
    // ECS could not place a task at once, and then could, all between two looks.
    let outlook = story.placement_fails();
    story.counts_are_set(&outlook);
    story.later(600);
    let lost = story.seen.tasks.iter().position(|task| task.service == Some("web".parse().unwrap())).unwrap();
    story.seen.tasks.remove(lost);
    let outlook = story.turn();
    assert!(!counts(&outlook).iter().any(|step| step.starts_with("web")), "{outlook:?}");
    assert!(!outlook.report.waits.iter().any(|wait| matches!(wait, Wait::Distrust { .. })), "{outlook:?}");
}

#[test]
fn hosts_that_were_not_believed_are_tried_again_although_others_have_room() {
    let mut story = Story::new(2, 4, 0, 14.0);
    let outlook = story.turn();
    story.counts_are_set(&outlook);
    let outlook = story.placement_fails();
    story.counts_are_set(&outlook);
    story.seen.services[1].desired = 0;
    let mut new = story.seen.hosts[1].clone();
    new.id = "h-9".parse().unwrap();
    story.seen.hosts.push(new);
    story.later(10);
    assert!(counts(&story.turn()).contains(&"web 4 -> 12".to_owned()), "eight on the new host");
    story.later(60);
    assert!(counts(&story.turn()).contains(&"web 4 -> 13".to_owned()), "and then one more is tried");
}

#[test]
fn hosts_are_believed_again_when_a_task_starts_there_or_needs_something_else() {
    for changed in [false, true] {
        let mut story = Story::new(2, 4, 0, 8.0);
        let outlook = story.turn();
        story.counts_are_set(&outlook);
        let outlook = story.placement_fails();
        story.counts_are_set(&outlook);
        story.later(10);
        assert!(!counts(&story.turn()).iter().any(|step| step.starts_with("web")));
        if changed {
            story.seen.services[0].task.resources.memory += 1;
        } else {
            story.seen.tasks[0].created = story.seen.at;
        }
        assert!(counts(&story.turn()).contains(&"web 4 -> 8".to_owned()), "changed {changed}");
    }
}

#[test]
fn a_task_that_stays_pending_is_not_joined_by_more_on_its_host() {
    let mut story = Story::new(2, 4, 0, 8.0);
    story.seen.tasks[0].phase = TaskPhase::Pending;
    story.later(300);
    let outlook = story.turn();
    assert!(outlook.report.waits.iter().any(|wait| matches!(wait, Wait::Distrust { cap: 4, .. })), "{outlook:?}");
    assert!(counts(&outlook).contains(&"web 4 -> 8".to_owned()), "the other host has room, and is believed");
    story.seen.tasks[1].phase = TaskPhase::Pending;
    assert!(!counts(&story.turn()).iter().any(|step| step.starts_with("web 4 -> ")));
}

#[test]
fn room_is_made_for_what_moves_off_a_host_that_drains() {
    // Two of web and six of low on each of three full hosts.
    let mut story = Story::new(3, 6, 18, 6.0);
    story.a_turn_passes();
    story.seen.hosts[2].status = HostStatus::Draining;
    let outlook = story.turn();
    assert_eq!(counts(&outlook), ["low 18 -> 10"], "six of low go with the host, and two make room for web's two");
    story.counts_are_set(&outlook);
    assert_eq!(counts(&story.turn()), Vec::<String>::new());
}

#[test]
fn a_running_task_is_not_given_up_because_its_host_drains() {
    let mut story = Story::new(2, 16, 0, 16.0);
    story.a_turn_passes();
    story.seen.hosts[1].status = HostStatus::Draining;
    let outlook = story.turn();
    assert_eq!(counts(&outlook), Vec::<String>::new(), "there is no room elsewhere");
    assert_eq!(outlook.report.shortfall[0].tasks, 8, "and that is told");
}

#[test]
fn hosts_may_be_emptied_where_others_have_room_or_fill_gives_way() {
    let proof = |story: &Story, host: &str| {
        let leaving = std::collections::BTreeSet::from([host.parse().unwrap()]);
        moves_off(&story.fleet, &story.seen, &leaving).map_err(|stays| stays.to_string())
    };
    assert_eq!(proof(&Story::new(3, 6, 18, 6.0), "h-2"), Ok(()), "fill gives way");
    let full = proof(&Story::new(2, 16, 0, 16.0), "h-1");
    assert_eq!(full, Err("8 tasks of web have no place elsewhere; one needs 512 MiB and 256 CPU units".to_owned()));
    assert!(proof(&Story::new(2, 10, 0, 10.0), "h-1").is_err(), "three places elsewhere, and three on the host itself");
    for (least, fits) in [(16, true), (17, false)] {
        let mut story = Story::new(3, 6, 18, 6.0);
        story.fleet.services[1].min_tasks = least;
        assert_eq!(proof(&story, "h-2").is_ok(), fits, "two tasks of web need a place, and {least} of low must stay");
    }
    let mut protected = Story::new(3, 6, 0, 6.0);
    protected.seen.tasks[2].protected = true;
    assert_eq!(proof(&protected, "h-2"), Err("a task of web on h-2 is protected".to_owned()));
    let mut alone = Story::new(3, 6, 0, 6.0);
    alone.seen.tasks[0].service = None;
    assert_eq!(proof(&alone, "h-0"), Err("the standalone task web-0 is on h-0, and ECS does not move it".to_owned()));
    assert_eq!(proof(&alone, "h-1"), Ok(()));
    // A task of a service that is nobody's, on every host: a daemon, which goes with its host.
    let mut daemon = Story::new(3, 3, 0, 3.0);
    for task in &mut daemon.seen.tasks {
        task.service = Some("logs".parse().unwrap());
    }
    assert_eq!(proof(&daemon, "h-0"), Ok(()));
}

/// `low` of priority 9 has all the room; `web` of priority 1 has no task; `batch` of priority 5 is left alone, and asks for
/// `asked` tasks of a size of its own.
fn left_alone(asked: u32, size: Value) -> Vec<String> {
    let services = json!([
        { "name": "web", "desired": 0, "task": { "cpu": 256, "memory": 512 } },
        { "name": "batch", "desired": asked, "task": size, "hands_off": "deploying" },
        { "name": "low", "desired": 16, "task": { "cpu": 256, "memory": 512 } },
    ]);
    counts(&full_of("low", services))
}

/// Two hosts of eight slots, full of one service's tasks; `web` wants four, `batch` none any more.
fn full_of(name: &str, services: Value) -> Outlook<State> {
    let text = "name = \"q\"\ncluster = \"q\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
                pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
                [[service]]\nname = \"web\"\npriority = 1\ndemand = { metric = \"q/w\", period = \"10s\", per_task = 1 }\n\
                [[service]]\nname = \"batch\"\npriority = 5\nscale_down_after = \"0s\"\n\
                demand = { metric = \"q/b\", period = \"10s\", per_task = 1 }\n\
                [[service]]\nname = \"low\"\npriority = 9\nfill = true\n";
    let at = "2026-01-05T00:00:00Z";
    let slot = json!({ "cpu": 256, "memory": 512 });
    let task = |number: usize| {
        json!({ "id": format!("{name}-{number}"), "host": format!("h-{}", number % 2), "service": name, "takes": slot,
            "phase": "RUNNING", "created": at, "started": at })
    };
    let host = |number: usize| json!({ "id": format!("h-{number}"), "status": "ACTIVE", "registered": { "cpu": 2048, "memory": 8192 } });
    let mut seen: Observed = serde_json::from_value(json!({
        "at": at, "hosts": [host(0), host(1)], "tasks": (0..16).map(task).collect::<Vec<_>>(),
        "services": services,
    }))
    .unwrap();
    let fleet = fleet::read(text, Format::Toml).unwrap();
    let board = Board::default();
    let mut look = |state: &State, after: u64| {
        seen.at += std::time::Duration::from_secs(after);
        for (service, value) in [("web", 4.0), ("batch", 0.0)] {
            seen.demand.insert(service.parse().unwrap(), Signal::Value { value, at: seen.at });
        }
        plan(&Given { fleet: &fleet, state, board: &board, now: seen.at }, &seen)
    };
    // The first look of all gives each count that is there its dwell.
    let first = look(&State::default(), 0);
    look(&first.state, 60)
}

#[test]
fn room_that_a_service_gives_up_by_itself_goes_to_a_higher_tier_in_the_same_turn() {
    let services = json!([
        { "name": "web", "desired": 0, "task": { "cpu": 256, "memory": 512 } },
        { "name": "batch", "desired": 16, "task": { "cpu": 256, "memory": 512 } },
        { "name": "low", "desired": 0, "task": { "cpu": 256, "memory": 512 } },
    ]);
    let outlook = full_of("batch", services);
    assert_eq!(counts(&outlook), ["batch 16 -> 0", "web 0 -> 4"]);
    assert_eq!(outlook.steps[1].needs, [0], "it has no room before the others have gone");
    assert_eq!(outlook.report.shortfall, []);
}

#[test]
fn what_is_left_alone_and_not_placed_is_counted_on_top() {
    let steps = |low: u32| vec![format!("low 16 -> {low}"), "web 0 -> 4".to_owned()];
    // ECS may give one of the slots to it.
    assert_eq!(left_alone(1, json!({ "cpu": 256, "memory": 512 })), steps(11));
    assert_eq!(left_alone(3, json!({ "cpu": 256, "memory": 512 })), steps(9));
    assert_eq!(left_alone(0, json!({ "cpu": 256, "memory": 512 })), steps(12));
}

#[test]
fn what_nobody_can_place_takes_nobodys_room() {
    let steps = ["low 16 -> 12", "web 0 -> 4"];
    for size in [json!({ "cpu": 4096, "memory": 512 }), json!({ "cpu": 256, "memory": 512, "gpu": 1 })] {
        assert_eq!(left_alone(2, size.clone()), steps, "{size}");
    }
}

#[test]
fn why_there_is_no_room_is_said_of_hosts_as_they_are_left() {
    // Two hosts of eight slots by their CPU; memory for sixteen. Nothing else runs there.
    let mut story = Story::new(2, 4, 0, 20.0);
    let outlook = story.turn();
    assert!(counts(&outlook).contains(&"web 4 -> 16".to_owned()), "{outlook:?}");
    let why = outlook.report.waits.iter().find_map(|wait| {
        let Wait::NoRoom { because, .. } = wait else { return None };
        Some(because.clone())
    });
    let says = "web needs 512 MiB and 256 CPU units on one host; of 2 hosts 2 short of CPU; h-1 would have 4096 MiB and 0 CPU units \
                left; lower tiers have nothing to give";
    assert_eq!(why.as_deref(), Some(says));
}
