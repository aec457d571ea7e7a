//! What a task needs of its host beside CPU and memory, and on which hosts ECS places it.

use evenkeel_model::observed::{Constraint, HandsOff};
use evenkeel_model::report::Wait;
use serde_json::{Value, json};

use crate::{Story, counts};

/// Both services as they are, two hosts, and `web` wants twelve.
fn short(change: impl FnOnce(&mut Value)) -> Story {
    let mut story = Story::new(2, 6, 10, 12.0);
    let mut seen = serde_json::to_value(&story.seen).unwrap();
    change(&mut seen);
    story.seen = serde_json::from_value(seen).unwrap();
    story
}

fn no_room(story: &mut Story) -> (Vec<String>, String) {
    let outlook = story.turn();
    let says = outlook.report.waits.iter().find_map(|wait| {
        let Wait::NoRoom { service, short, because } = wait else { return None };
        Some(format!("{service} {short}: {because}"))
    });
    (counts(&outlook), says.unwrap_or_default())
}

/// Gives each of `web`'s tasks, and what a new one needs.
fn web_needs(seen: &mut Value, what: &Value) {
    let tasks = seen["tasks"].as_array_mut().unwrap().iter_mut().filter(|task| task["service"] == "web");
    for takes in tasks.map(|task| &mut task["takes"]).collect::<Vec<_>>() {
        takes.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    }
    seen["services"][0]["task"].as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
}

#[test]
fn nobody_is_stopped_for_a_task_that_lacks_a_network_interface() {
    let mut story = short(|seen| {
        web_needs(seen, &json!({ "interfaces": 1 }));
        for host in seen["hosts"].as_array_mut().unwrap() {
            host["registered"]["interfaces"] = json!(3);
        }
    });
    let (counts, says) = no_room(&mut story);
    assert!(counts.is_empty(), "{counts:?}");
    assert!(says.starts_with("web 6: web needs 512 MiB and 256 CPU units and a network interface"), "{says}");
    assert!(says.contains("2 short of CPU and network interfaces"), "{says}");
    // One more interface on each host: others give way for two tasks.
    for host in &mut story.seen.hosts {
        host.registered.interfaces = 4;
    }
    assert_eq!(no_room(&mut story).0, ["low 10 -> 8", "web 6 -> 8"]);
}

#[test]
fn ports_of_udp_are_in_the_way_of_their_own_kind_only() {
    let with = |port: Value| {
        let mut story = short(|seen| {
            // One on each host, where a task of `low` has the port of the other kind.
            let tasks = seen["tasks"].as_array_mut().unwrap();
            tasks.retain(|task| task["service"] != "web" || task["id"] == "web-0");
            let low = tasks.iter_mut().filter(|task| task["service"] == "low" && task["host"] == "h-1");
            low.take(1).for_each(|task| task["takes"]["ports"] = json!([53]));
            seen["services"][0]["desired"] = json!(1);
            web_needs(seen, &json!({ "ports": [port] }));
        });
        story.seen.demand.clear();
        story
            .seen
            .demand
            .insert("web".parse().unwrap(), evenkeel_model::observed::Signal::Value { value: 3.0, at: story.seen.at });
        no_room(&mut story)
    };
    let (counts, says) = with(json!("53/udp"));
    assert_eq!(counts, ["web 1 -> 2"]);
    assert!(says.contains("port 53/udp") && says.contains("in use on port 53/udp"), "{says}");
    let (counts, says) = with(json!(53));
    assert!(counts.is_empty(), "which task ECS stops of ten is not known: {counts:?}");
    assert!(says.contains("in use on port 53,") || says.contains("in use on port 53;"), "{says}");
}

#[test]
fn services_that_use_no_host_are_left_alone_and_take_nobodys_room() {
    for because in [HandsOff::Fargate, HandsOff::Anywhere, HandsOff::ManagedInstances] {
        let mut story = Story::new(2, 6, 0, 12.0);
        // As many tasks as it wants run somewhere else, and twenty more are to come.
        story.seen.services[1].hands_off = Some(because);
        story.seen.services[1].desired = 20;
        let outlook = story.turn();
        assert_eq!(counts(&outlook), ["web 6 -> 12"], "{because:?}");
        let said = |wait: &Wait| matches!(wait, Wait::HandsOff { because: why, .. } if *why == because);
        assert!(outlook.report.waits.iter().any(said), "{because:?}");
    }
}

/// `low` on both hosts, each of a provider of its own, and `web` on those of its strategy.
fn of_providers(web: usize, want: f64, shares: &Value) -> Story {
    let mut story = Story::new(2, web, 4, want);
    let mut seen = serde_json::to_value(&story.seen).unwrap();
    seen["hosts"][0]["provider"] = json!("cp-arm");
    seen["hosts"][1]["provider"] = json!("cp-x86");
    seen["services"][0]["providers"] = shares.clone();
    story.seen = serde_json::from_value(seen).unwrap();
    story
}

#[test]
fn room_is_counted_on_the_hosts_of_a_services_provider_only() {
    // Three of web's six are on the other provider's host since its strategy was changed, and stay there.
    let mut story = of_providers(6, 16.0, &json!([{ "provider": "cp-arm", "weight": 1 }]));
    let outlook = story.turn();
    assert_eq!(counts(&outlook), ["low 4 -> 0", "web 6 -> 11"], "eight on the one, and three that are there");
    assert_eq!(outlook.report.shortfall[0].tasks, 5);
}

#[test]
fn on_several_providers_as_many_are_asked_for_as_none_is_short_of() {
    let half = json!([{ "provider": "cp-arm", "weight": 1 }, { "provider": "cp-x86", "weight": 1 }]);
    let mut story = of_providers(6, 16.0, &half);
    let outlook = story.turn();
    assert_eq!(counts(&outlook), ["web 6 -> 12"], "six on each beside the others, of whom nobody is stopped");
    assert_eq!(outlook.report.shortfall[0].tasks, 4);
    let mostly = json!([{ "provider": "cp-arm", "base": 2 }, { "provider": "cp-x86", "weight": 1 }]);
    let outlook = of_providers(6, 16.0, &mostly).turn();
    assert_eq!(counts(&outlook), ["web 6 -> 8"], "two on the first, and the second has room for six");
}

#[test]
fn constraints_of_the_task_definition_keep_tasks_where_they_may_be() {
    let mut story = Story::new(2, 2, 14, 8.0);
    story.seen.services[0].constraints =
        vec![Constraint::MemberOf("attribute:ecs.cpu-architecture == arm64".to_owned())];
    let (steps, says) = no_room(&mut story);
    assert!(steps.is_empty() && says.starts_with("web 6"), "{steps:?} {says}");
    story.seen.hosts[0].attributes.insert("ecs.cpu-architecture".to_owned(), "arm64".to_owned());
    assert_eq!(counts(&story.turn()), ["low 14 -> 2", "web 2 -> 8"]);
}
