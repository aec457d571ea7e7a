//! Losses and their signs; what is not seen, not asked for any more, or silent.

use super::*;

#[test]
fn a_plan_on_an_unchanged_world_is_empty() {
    let mut story = Story::new();
    assert_eq!(story.turn(), [""; 0]);
    story.lose_spot();
    story.minutes(3);
    assert_eq!(story.turn(), [""; 0]);
}

#[test]
fn a_loss_is_in_the_feed_once_with_its_sign() {
    let mut story = Story::new();
    let spot = story.hosts("g-spot")[0].clone();
    story.warn(&spot);
    let done = story.minutes(1);
    assert!(has(&done, &format!("lost {spot}: EC2's warning; gone at")), "{done:?}");
    assert!(has(&done, "pool burst 0 -> 1") && has(&done, &format!("drain {spot}")), "{done:?}");
    let done = story.minutes(3);
    assert!(!has(&done, "lost"), "{done:?}");
    let first = story.last.as_ref().map(|last| last.steps.len());
    assert_eq!(first, Some(0));
}

#[test]
fn a_host_that_is_gone_from_its_group_between_two_looks_is_a_loss_unless_another_took_its_place() {
    let mut story = Story::new();
    let [replaced, gone] = [story.hosts("g-base")[0].clone(), story.hosts("g-spot")[0].clone()];
    // The group has launched another, which has joined, before anybody looks.
    story.group("g-base").members.retain(|member| member.id != replaced);
    story.live();
    assert_eq!(story.minutes(1), [""; 0]);
    story.launches.retain(|name| *name != "g-spot");
    story.group("g-spot").members.retain(|member| member.id != gone);
    let done = story.minutes(1);
    assert!(has(&done, &format!("lost {gone}: its group does not list it any more")), "{done:?}");
    assert_eq!(story.board.budget.outs.get(&gone).map(|out| out.cause), Some(OutCause::Lost));
    assert!(!has(&story.minutes(3), "lost"));
    assert_eq!(story.board.budget.outs.len(), 0, "a stand-in has repaid it");
}

#[test]
fn each_sign_says_which_it_was() {
    let mut story = Story::new();
    let [gone, sick] = [story.hosts("g-base")[0].clone(), story.hosts("g-base")[1].clone()];
    story.board.notices.add(&gone, NoticeKind::Gone, story.now);
    for member in &mut story.group("g-base").members {
        member.healthy = member.id != sick;
    }
    story.now += MINUTE;
    let seen = story.seen();
    let given = Given { fleet: &story.fleet, state: &story.state, board: &story.board, now: story.now };
    let outlook = plan(&given, &seen);
    let signs: Vec<(&Step, &Why)> = outlook.steps.iter().map(|one| (&one.step, &one.why)).collect();
    let lost = |id: &InstanceId, sign| {
        let step = Step::Host(HostStep::Lost { hosts: vec![id.clone()] });
        let why = Why::Host(HostWhy::Seen { sign, deadline: None });
        assert!(signs.contains(&(&step, &why)), "{signs:?}");
    };
    lost(&gone, Sign::StateChange);
    lost(&sick, Sign::Unhealthy);
}

#[test]
fn without_the_groups_a_host_that_is_taken_drains_and_nothing_else_happens() {
    let mut story = Story::new();
    story.unread.insert(Source::Groups, "no answer".to_owned());
    let spot = story.hosts("g-spot")[0].clone();
    story.warn(&spot);
    let done = story.minutes(1);
    assert!(has(&done, &format!("drain {spot}")) && !has(&done, "pool "), "{done:?}");
    assert!(has(&story.waits(), "the Auto Scaling groups could not be read: no answer"), "{:?}", story.waits());
    story.unread.clear();
    let done = story.minutes(1);
    assert!(has(&done, "pool burst 0 -> 1"), "{done:?}");
}

#[test]
fn without_the_cluster_a_host_is_launched_and_none_is_gone_or_empty() {
    let mut story = Story::new();
    story.lose_spot();
    story.minutes(3);
    story.spot_is_back();
    story.minutes(2);
    story.unread.insert(Source::Cluster, "no answer".to_owned());
    let done = story.minutes(30);
    assert_eq!((done.len(), story.desired("g-burst")), (0, 1), "{done:?}");
    let spot = story.hosts("g-spot")[0].clone();
    story.warn(&spot);
    let done = story.minutes(1);
    assert!(has(&done, "pool burst 1 -> 2") || story.desired("g-burst") == 1, "{done:?}");
    story.unread.clear();
    story.minutes(40);
    assert_eq!(story.desired("g-burst"), 0);
    assert_eq!(story.board.budget.outs.len(), 0);
}

#[test]
fn a_host_that_one_look_leaves_out_is_not_lost() {
    let mut story = Story::new();
    let base = story.hosts("g-base")[0].clone();
    story.joins.clear();
    story.cluster.retain(|host| host.id != base);
    let done = story.minutes(1);
    assert_eq!(done.len(), 0, "{done:?}");
    let done = story.minutes(2);
    assert!(has(&done, &format!("lost {base}: the cluster does not show it any more")), "{done:?}");
    assert!(has(&done, "pool burst 0 -> 1"), "{done:?}");
}

#[test]
fn a_group_that_is_not_shown_is_not_made_up_for_and_its_hosts_are_remembered() {
    for name in ["g-base", "g-spot"] {
        let mut story = Story::new();
        let at = story.groups.iter().position(|group| group.name.as_str() == name).unwrap();
        let hidden = story.groups.remove(at);
        // The cluster goes on to show the hosts.
        let kept = story.cluster.clone();
        for _ in 0..30 {
            story.now += MINUTE;
            story.cluster.clone_from(&kept);
            let done = story.turn();
            assert_eq!(done.len(), 0, "{name}: {done:?}");
        }
        assert!(story.waits_for(|wait| matches!(wait, HostWait::NoSuchGroup { .. })));
        story.groups.insert(at, hidden);
        let done = story.minutes(3);
        assert_eq!(done.len(), 0, "{name}: {done:?}");
    }
    // One that never was there is misspelt.
    let mut story = Story::new();
    story.fleet = file(&FILE.replace("g-spot", "g-sopt"));
    let done = story.minutes(5);
    assert_eq!(done.len(), 0, "{done:?}");
}

#[test]
fn what_was_begun_is_ended_without_the_section() {
    let mut story = Story::new();
    story.lose_spot();
    story.minutes(3);
    assert_eq!(story.desired("g-burst"), 1);
    story.fleet = file(&FILE.replace("[backfill]\nrelease_after = \"10m\"\n", ""));
    story.minutes(6);
    assert_eq!((story.desired("g-burst"), story.board.budget.outs.len()), (0, 0));
    assert!(!story.state.is_begun());
    assert_eq!(story.desired("g-base"), 3);
}

#[test]
fn a_pool_that_is_gone_from_the_file_is_emptied_and_one_by_another_name_is_the_same() {
    let mut story = Story::new();
    story.lose_spot();
    story.minutes(3);
    story.fleet =
        file(&FILE.replace("name = \"burst\"", "name = \"peak\"").replace("name = \"spot\"", "name = \"cheap\""));
    let done = story.minutes(5);
    assert_eq!(done.len(), 0, "{done:?}");
    let without: String = FILE.lines().filter(|line| !line.contains("burst")).map(|line| format!("{line}\n")).collect();
    story.fleet = file(&without);
    // The loss itself has to be repaid before anything goes on purpose.
    let done = story.minutes(10);
    assert_eq!((story.desired("g-burst"), story.desired("g-second")), (0, 1), "{done:?}");
}

#[test]
fn a_host_that_a_silent_roll_left_draining_takes_tasks_again() {
    let mut story = Story::new();
    let base = story.hosts("g-base")[0].clone();
    story.host(&base).status = HostStatus::Draining;
    let out = Out {
        cause: OutCause::Roll,
        by: FunctionName::Patchroll,
        pool: Some("base".parse().unwrap()),
        since: story.now,
        deadline: story.now + 25 * MINUTE,
    };
    story.board.budget.outs.insert(base.clone(), out);
    let done = story.minutes(24);
    assert_eq!(done.len(), 0, "{done:?}");
    let done = story.minutes(3);
    assert!(has(&done, &format!("activate {base}: patchroll had it drain")), "{done:?}");
    assert_eq!((story.host(&base).status, story.board.budget.outs.len()), (HostStatus::Active, 0));
}

#[test]
fn an_old_answer_does_not_hide_that_a_host_which_stays_was_told_to_drain() {
    let mut story = Story::new();
    let _gone = story.lose_spot();
    let _launched = story.minutes(4);
    let burst = story.hosts("g-burst")[0].clone();
    story.spot_is_back();
    let done: Vec<String> = (0..15).flat_map(|_| story.minutes(1)).take_while(|step| !step.contains("drain")).collect();
    assert_eq!(story.host(&burst).status, HostStatus::Draining, "{done:?}");
    // It is needed again, and the answer is from before it was told to drain.
    let _gone = story.lose_spot();
    story.now += Duration::from_secs(5);
    story.host(&burst).status = HostStatus::Active;
    let _stays = story.turn();
    story.host(&burst).status = HostStatus::Draining;
    assert!(story.board.budget.outs.contains_key(&burst), "it is out still");
    let done = story.minutes(1);
    assert!(has(&done, &format!("activate {burst}")), "{done:?}");
}

#[test]
fn a_host_that_was_perhaps_told_to_drain_stays_where_others_fell_out_meanwhile() {
    let mut story = Story::new();
    let _gone = story.lose_spot();
    let _launched = story.minutes(4);
    let burst = story.hosts("g-burst")[0].clone();
    story.spot_is_back();
    story.fleet.disruption.max_out = 1;
    // The turn that chooses it dies before it says so to ECS.
    let chosen = (0..15).any(|_| {
        let _waited = story.minutes(1);
        story.host(&burst).status == HostStatus::Draining
    });
    assert!(chosen, "{:?}", story.waits());
    story.host(&burst).status = HostStatus::Active;
    // One more than needed is on its way, so that the loss of another is made up for, and not yet repaid.
    story.group("g-base").desired = 4;
    story.joins.retain(|name| *name != "g-base");
    story.live();
    let gone = story.hosts("g-base")[0].clone();
    story.warn(&gone);
    story.now += Duration::from_secs(10);
    let done = story.turn();
    assert!(!has(&done, &format!("drain {burst}")), "{done:?}");
    assert!(story.board.budget.outs.contains_key(&burst), "it may be out");
    story.joins.push("g-base");
    let _all_is_over = story.minutes(20);
    assert!(story.board.budget.outs.is_empty(), "{:?}", story.board.budget);
}
