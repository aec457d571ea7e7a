//! Pools that do not deliver, and hosts that cannot go.

use evenkeel_model::fleet::Mode;

use super::*;

#[test]
fn a_pool_that_does_not_deliver_does_not_keep_the_next_from_being_tried() {
    // Suspended: at once. Silent: after two minutes. Hosts that never join: after five.
    for (how, within) in [("suspended", 1), ("silent", 4), ("never joins", 8), ("deaf", 3)] {
        let mut story = Story::new();
        match how {
            "suspended" => drop(story.group("g-burst").suspended.insert(Process::Launch)),
            "silent" => story.launches.retain(|name| *name != "g-burst"),
            "deaf" => story.deaf.push("g-burst"),
            _ => story.joins.retain(|name| *name != "g-burst"),
        }
        story.lose_spot();
        let done = story.minutes(within);
        assert_eq!(story.desired("g-second"), 1, "{how}: {done:?} {:?}", story.waits());
        // And not for ever: it goes back to normal when spot does.
        story.spot_is_back();
        let done = story.minutes(60);
        assert_eq!((story.desired("g-burst"), story.desired("g-second")), (0, 0), "{how}: {done:?}");
    }
}

#[test]
fn a_launch_that_cannot_be_asked_for_is_not_on_its_way() {
    let mut story = Story::new();
    story.deaf = vec!["g-burst", "g-second"];
    story.lose_spot();
    story.minutes(3);
    let says = "pool burst cannot be told to launch since";
    assert!(has(&story.waits(), says) && !has(&story.waits(), "on their way"), "{:?}", story.waits());
    assert!(has(&story.waits(), "1 hosts are missing"), "{:?}", story.waits());
    story.deaf.clear();
    story.minutes(3);
    assert_eq!(story.desired("g-burst") + story.desired("g-second"), 1);
}

#[test]
fn a_zone_that_refuses_leaves_the_group_time_to_try_the_others() {
    let mut story = Story::new();
    let zones: Vec<Zone> = ["a", "b"].map(|zone| zone.parse().unwrap()).into();
    story.group("g-burst").zones = zones.clone();
    story.launches.retain(|name| *name != "g-burst");
    story.lose_spot();
    story.minutes(1);
    let refused = |at, zone: &Zone| {
        let message = "We currently do not have sufficient capacity".to_owned();
        ("g-burst", Refusal { at, kind: RefusalKind::Capacity, message, zone: Some(zone.clone()) })
    };
    story.refusals.push(refused(story.now, &zones[0]));
    story.now += Duration::from_secs(10);
    let done = story.turn();
    assert_eq!((done.len(), story.desired("g-burst")), (0, 1), "{done:?}");
    // The second zone refuses as well: nothing is left.
    story.refusals.push(refused(story.now, &zones[1]));
    story.now += Duration::from_secs(10);
    let done = story.turn();
    assert_eq!((story.desired("g-burst"), story.desired("g-second")), (0, 1), "{done:?}");
}

#[test]
fn ten_hosts_in_a_row_that_never_join_are_the_last_for_an_hour_and_what_they_run_is_named() {
    let mut story = Story::new();
    // A spot group whose new hosts never join, one after the other.
    story.joins.retain(|name| *name != "g-spot");
    let gone = story.hosts("g-spot")[0].clone();
    story.group("g-spot").members.retain(|member| member.id != gone);
    let mut ended = 0;
    let mut silent = 0;
    for _ in 0..400 {
        let done = story.minutes(1);
        if has(&done, "replace i-spot") {
            ended += 1;
            silent = 0;
        } else {
            silent += 1;
        }
        if ended == 10 && silent > 40 {
            break;
        }
    }
    assert_eq!(ended, 10, "{:?}", story.waits());
    let says = "10 hosts of pool spot in a row never joined the cluster: they run version 7 of launch template lt-1";
    assert!(has(&story.waits(), says), "{:?}", story.waits());
    assert_eq!(story.desired("g-burst"), 1, "{:?}", story.waits());
}

#[test]
fn when_ecs_has_lost_half_of_all_agents_nothing_is_launched() {
    let mut story = Story::new();
    for host in &mut story.cluster {
        host.connected = false;
    }
    let done = story.minutes(60);
    assert_eq!(done.len(), 0, "{done:?}");
    assert!(has(&story.waits(), "the agents of 5 of 5 hosts are away"), "{:?}", story.waits());
    for host in &mut story.cluster {
        host.connected = true;
    }
    let done = story.minutes(10);
    assert_eq!(done.len(), 0, "{done:?}");
}

#[test]
fn hosts_that_run_without_an_agent_count_against_the_maximum() {
    let mut story = Story::new();
    story.fleet = file(&FILE.replace("maximum = 7", "maximum = 5"));
    let base = story.hosts("g-base")[0].clone();
    story.host(&base).connected = false;
    let done = story.minutes(15);
    assert!(!has(&done, "pool burst"), "five machines run: {done:?}");
    let lost = story.state.hosts[&base].loss.map(|loss| loss.cause);
    assert_eq!(lost, Some(LossCause::AgentAway));
}

#[test]
fn no_stand_in_that_works_goes_because_another_has_lost_its_agent() {
    let mut story = Story::new();
    story.lose_spot();
    story.lose_spot();
    story.minutes(3);
    let silent = story.hosts("g-burst")[0].clone();
    story.host(&silent).connected = false;
    let done = story.minutes(12);
    assert!(has(&done, "pool burst 2 -> 3"), "{done:?}");
    assert!(!has(&done, "no reason to keep it"), "{done:?}");
}

#[test]
fn a_host_whose_tasks_never_move_is_not_given_back_and_another_is() {
    let mut story = Story::new();
    story.lose_spot();
    story.lose_spot();
    story.minutes(4);
    assert_eq!(story.desired("g-burst"), 2);
    let hosts = story.hosts("g-burst");
    story.services.push(
        serde_json::from_value(serde_json::json!({
            "name": "web", "desired": 1, "task": { "cpu": 100, "memory": 100 },
            "leaving": { "minimum_percent": 100, "maximum_percent": 100 },
        }))
        .unwrap(),
    );
    story.run(&hosts[1], Some("web"));
    story.spot_is_back();
    let done = story.minutes(60);
    assert_eq!(story.hosts("g-burst"), [hosts[1].clone()], "{done:?}");
    assert!(!has(&done, &format!("drain {}", hosts[1])), "{done:?}");
    let says = format!("{} stays: 1 tasks of web can never move", hosts[1]);
    assert!(has(&story.waits(), &says), "{:?}", story.waits());
}

#[test]
fn a_host_that_cannot_be_emptied_after_all_takes_tasks_again() {
    let mut story = Story::new();
    story.lose_spot();
    story.minutes(4);
    let host = story.hosts("g-burst")[0].clone();
    story.spot_is_back();
    let mut done = Vec::new();
    while story.host(&host).status == HostStatus::Active {
        done.extend(story.minutes(1));
    }
    // A task that belongs to nobody came before it drained.
    story.run(&host, None);
    let done = story.minutes(13);
    assert!(has(&done, &format!("activate {host}: it cannot be emptied: 1 standalone tasks")), "{done:?}");
    assert_eq!(story.host(&host).status, HostStatus::Active);
    assert_eq!(story.board.budget.outs.len(), 0);
    assert_eq!(story.hosts("g-burst"), [host]);
    // The task ends, and the host goes.
    story.tasks.clear();
    let done = story.minutes(45);
    assert_eq!(story.desired("g-burst"), 0, "{done:?}");
}

#[test]
fn capacity_that_somebody_set_is_said_and_left_for_as_long_as_a_dwell() {
    let mut story = Story::new();
    story.group("g-burst").desired = 2;
    let done = story.minutes(9);
    assert_eq!((done.len(), story.desired("g-burst")), (0, 2), "{done:?}");
    assert!(
        has(&story.waits(), "pool burst was set to 2 by somebody else, and is left so until"),
        "{:?}",
        story.waits()
    );
    story.minutes(15);
    assert_eq!(story.desired("g-burst"), 0);
}

#[test]
fn a_host_is_not_ended_twice_by_an_old_answer() {
    let mut story = Story::new();
    story.lose_spot();
    story.minutes(4);
    let host = story.hosts("g-burst")[0].clone();
    story.spot_is_back();
    let before = loop {
        let before = (story.groups.clone(), story.cluster.clone());
        if has(&story.minutes(1), &format!("give back {host}")) {
            break before;
        }
    };
    // The next look is answered with what was true before the call, and nobody knows whether that was taken.
    if let Some(leaving) = story.state.hosts.get_mut(&host).and_then(|memory| memory.leaving.as_mut()) {
        leaving.ending = false;
    }
    (story.groups, story.cluster) = before;
    story.now += Duration::from_secs(10);
    let done = story.turn();
    assert_eq!(done.len(), 0, "{done:?}");
    // One that is still there after a while was not ended.
    let done = story.minutes(3);
    assert!(has(&done, &format!("give back {host}")), "{done:?}");
}

#[test]
fn hosts_in_their_dwell_go_when_spot_is_on_its_way_back_above_the_maximum() {
    let mut story = Story::new();
    story.fleet = file(&FILE.replace("maximum = 7", "maximum = 5"));
    story.lose_spot();
    story.minutes(4);
    assert_eq!(story.desired("g-burst"), 1);
    // It is launched and has not joined yet.
    story.joins.retain(|name| *name != "g-spot");
    story.spot_is_back();
    let done = story.minutes(2);
    assert!(has(&done, "drain i-burst"), "{done:?}");
}

#[test]
fn a_quota_that_was_raised_is_tried_at_once_when_somebody_says_so() {
    let mut story = Story::new();
    story.launches.retain(|name| *name != "g-burst" && *name != "g-second");
    story.lose_spot();
    story.minutes(1);
    for group in ["g-burst", "g-second"] {
        let message = "over the limit".to_owned();
        story.refusals.push((group, Refusal { at: story.now, kind: RefusalKind::Quota, message, zone: None }));
    }
    story.minutes(4);
    assert_eq!((story.desired("g-burst"), story.desired("g-second")), (0, 0), "{:?}", story.waits());
    story.launches.push("g-burst");
    let done = story.minutes(10);
    assert_eq!(done.len(), 0, "{done:?}");
    story.board.retried = Some(story.now);
    let done = story.minutes(2);
    assert!(has(&done, "pool burst 0 -> 1"), "{done:?}");
}

#[test]
fn a_pool_that_something_else_scales_is_left_as_large_as_it_is_and_its_hosts_count() {
    let scaled = |by: &ScaledBy| {
        let mut story = Story::new();
        story.lose_spot();
        story.minutes(3);
        assert_eq!(story.hosts("g-burst").len(), 1, "a stand-in");
        story.group("g-burst").scaled_by = Some(by.clone());
        story
    };
    for by in [
        ScaledBy::ManagedScaling("p".to_owned()),
        ScaledBy::Schedule("nights".to_owned()),
        ScaledBy::Units("weights".to_owned()),
    ] {
        let mut story = scaled(&by);
        for base in story.hosts("g-base") {
            story.warn(&base);
        }
        let done = story.minutes(2);
        assert!(!has(&done, "pool burst "), "{by:?}: {done:?}");
        assert!(has(&story.waits(), &format!("pool burst is left as large as it is: {by}")), "{:?}", story.waits());
        // Nor is its host given back when nothing needs it any more.
        let mut story = scaled(&by);
        story.spot_is_back();
        let done = story.minutes(30);
        assert!(!has(&done, "drain") && !has(&done, "give back"), "{by:?}: {done:?}");
    }
}

#[test]
fn who_only_observes_says_what_it_would_set_although_something_else_scales_the_pool() {
    let set = |by: ScaledBy, mode| {
        let mut story = Story::new();
        story.fleet.mode = mode;
        story.lose_spot();
        story.group("g-burst").scaled_by = Some(by.clone());
        let done = story.minutes(1);
        assert!(has(&story.waits(), &format!("pool burst is left as large as it is: {by}")), "{:?}", story.waits());
        has(&done, "pool burst 0 -> 1")
    };
    assert!(set(ScaledBy::Policy("cpu".to_owned()), Mode::Observe));
    assert!(!set(ScaledBy::Policy("cpu".to_owned()), Mode::Act));
    assert!(!set(ScaledBy::Units("weights".to_owned()), Mode::Observe));
}
