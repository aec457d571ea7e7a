//! Sites as people have them, and the fleet files that are proposed for them.

use std::collections::BTreeMap;

use evenkeel_model::fleet::{Demand, Fleet, Format, Purchase, Statistic, read};
use evenkeel_model::groups::{Group, ScaledBy};
use evenkeel_model::observed::{EcsService, HandsOff};
use evenkeel_model::survey::{Balanced, Bought, FoundGroup, FoundPolicy, FoundService, ScalesBy, Survey};
use serde_json::json;

use super::{NoFleet, Where, propose};

/// A group with so many hosts: least, now, most.
fn group(name: &str, [min, desired, max]: [u32; 3]) -> FoundGroup {
    let template = json!({ "id": "lt-1", "version": "latest" });
    let group: Group = serde_json::from_value(
        json!({ "name": name, "desired": desired, "min": min, "max": max, "template": template }),
    )
    .unwrap();
    FoundGroup { group, bought: Bought::OnDemand, spot: 0, provider: None, room: None }
}

fn service(name: &str, desired: u32) -> FoundService {
    let service: EcsService =
        serde_json::from_value(json!({ "name": name, "desired": desired, "task": { "cpu": 256, "memory": 512 } }))
            .unwrap();
    FoundService { service, scalable: None, policies: Vec::new(), balanced: Vec::new() }
}

fn scaled(mut found: FoundService, by: ScalesBy) -> FoundService {
    found.scalable = Some((2, 12));
    found.service.hands_off = Some(HandsOff::ScaledElsewhere);
    found.policies.push(FoundPolicy { name: format!("{}-tracks", found.service.name), by });
    found
}

fn cluster(groups: Vec<FoundGroup>, services: Vec<FoundService>) -> Survey {
    Survey { cluster: Some("shop".parse().unwrap()), groups, services, ..Survey::default() }
}

fn balanced(requests: Option<f64>) -> Balanced {
    Balanced { requests, ..Balanced::of_label("app/shop/50dc/targetgroup/web/73e2").unwrap() }
}

/// The proposal, which a fleet file's reader takes and which says each of `parts`.
#[track_caller]
fn proposed(found: &Survey, parts: &[&str]) -> (Fleet, String) {
    let text = propose(found, &Where { options: " --region eu-west-1".to_owned() }).unwrap();
    let fleet = read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    for part in parts {
        assert!(text.contains(part), "{text}\nlacks {part:?}");
    }
    assert!(fleet.remarks().is_empty(), "{:?}", fleet.remarks());
    (fleet, text)
}

#[test]
fn a_cluster_of_launch_type_ec2_has_one_reserved_pool_and_services_by_what_scales_them() {
    let web = scaled(service("web", 6), ScalesBy::Requests(balanced(None), 800.0));
    let api = scaled(service("api", 4), ScalesBy::Cpu(60.0));
    let found = cluster(vec![group("shop-hosts", [2, 5, 8])], vec![service("mail", 3), api, web]);
    let (fleet, text) = proposed(
        &found,
        &[
            "minimum = 2             # never voluntarily below; the groups' own minima add up to 2",
            "purchase = \"reserved\"    # its hosts are there now",
            "dimensions = { \"ClusterName\" = \"shop\", \"ServiceName\" = \"api\" }, target = 60 }",
            "\"LoadBalancer\" = \"app/shop/50dc\", \"TargetGroup\" = \"targetgroup/web/73e2\" }, per_task = 800 }",
            "# as its scaling policy web-tracks",
            "  aws application-autoscaling deregister-scalable-target --service-namespace ecs --scalable-dimension \
             ecs:service:DesiredCount --resource-id service/shop/api --region eu-west-1",
            "need a pool with\n# purchase = \"on-demand\"",
        ],
    );
    assert_eq!((fleet.hosts.minimum, fleet.hosts.steady, fleet.hosts.maximum), (2, 5, 8));
    assert_eq!(fleet.pools[0].purchase, Purchase::Reserved);
    let names: Vec<(&str, u32)> = fleet.services.iter().map(|one| (one.name.as_str(), one.priority)).collect();
    assert_eq!(names, [("web", 1), ("api", 2), ("mail", 3)]);
    let [web, api, mail] = &fleet.services[..] else { panic!("{text}") };
    assert!(matches!(&web.demand, Some(Demand::Metric(one)) if one.per_task == 800.0), "{text}");
    assert!(matches!(&api.demand, Some(Demand::Tracking(one)) if one.target == 60.0), "{text}");
    assert!(matches!(&mail.demand, Some(Demand::Manual(_))), "{text}");
    assert_eq!((api.min_tasks, api.max_tasks, mail.min_tasks, mail.max_tasks), (2, Some(12), 3, Some(6)));
    assert!(fleet.backfill.is_none() && fleet.patch.is_some(), "{text}");
}

#[test]
fn two_providers_are_two_pools_and_managed_scaling_is_to_be_switched_off() {
    let mut spot = FoundGroup {
        bought: Bought::Spot,
        provider: Some("cp-spot".parse().unwrap()),
        ..group("Shop Spot (new)", [0, 4, 10])
    };
    spot.group.scaled_by = Some(ScaledBy::ManagedScaling("ECSManagedAutoScalingPolicy-1".to_owned()));
    let base = FoundGroup { provider: Some("cp-base".parse().unwrap()), ..group("shop-base", [2, 2, 4]) };
    let mut burst = group("shop-burst", [0, 0, 4]);
    burst.group.scaled_by = Some(ScaledBy::Schedule("nightly".to_owned()));
    let mut found = cluster(vec![spot, burst, base], vec![service("web", 2)]);
    found.alarms = vec!["shop-cpu-high".parse().unwrap()];
    let (fleet, _) = proposed(
        &found,
        &[
            "purchase = \"spot\"        # it asks for spot instances",
            "auto_scaling_group = \"Shop Spot (new)\"\n# behind capacity provider cp-spot",
            "purchase = \"on-demand\"   # it is empty now",
            "  aws ecs update-capacity-provider --name cp-spot --auto-scaling-group-provider 'managedScaling={status=DISABLED}' \
             --region eu-west-1",
            "  aws autoscaling delete-scheduled-action --auto-scaling-group-name shop-burst --scheduled-action-name nightly",
            "# alarms = [\"shop-cpu-high\"]",
        ],
    );
    let pools: Vec<(&str, Purchase)> = fleet.pools.iter().map(|pool| (pool.name.as_str(), pool.purchase)).collect();
    let expect =
        [("shop-base", Purchase::Reserved), ("Shop-Spot--new-", Purchase::Spot), ("shop-burst", Purchase::OnDemand)];
    assert_eq!(pools, expect);
    assert!(fleet.backfill.is_some());
}

#[test]
fn a_mixed_group_is_a_mixed_pool_and_what_has_no_counterpart_is_said() {
    let mut mixed = FoundGroup { bought: Bought::Both { base: 1, percent: 25 }, spot: 3, ..group("mixed", [1, 4, 9]) };
    mixed.group.template = None;
    let mut agent = service("agent", 4);
    agent.service.hands_off = Some(HandsOff::Daemon);
    let mut jobs = scaled(service("jobs", 4), ScalesBy::Other("it goes by steps".to_owned()));
    let metric = |name: &str, statistic| ScalesBy::Metric {
        metric: name.to_owned(),
        statistic,
        dimensions: BTreeMap::from([("Queue \"fast\"".to_owned(), "a\\b".to_owned())]),
        target: 40.5,
    };
    jobs.policies.push(FoundPolicy { name: "backlog".to_owned(), by: metric("Shop/Backlog", Statistic::Sum) });
    jobs.policies.push(FoundPolicy { name: "memory".to_owned(), by: ScalesBy::Memory(70.0) });
    let mut pages = service("pages", 2);
    pages.balanced.push(balanced(Some(118.2)));
    let mut bare = service("bare", 2);
    bare.balanced.push(balanced(None));
    let mut found = cluster(vec![mixed], vec![agent, jobs, pages, bare]);
    found.strays = 2;
    found.unread = vec!["alarms: not allowed".to_owned()];
    let (fleet, text) = proposed(
        &found,
        &[
            "# its mixed instances policy buys 1 host on demand, and 25 % beyond them",
            "# 2 of the cluster's hosts are in no Auto Scaling group",
            "#   service agent: a daemon has one task on each host, whatever the count",
            "# its scaling policy jobs-tracks has no counterpart: it goes by steps",
            "# its scaling policy memory as well, of which a service has one: { metric = \"AWS/ECS/MemoryUtilization\"",
            "#   group mixed: it launches from a launch configuration",
            "# what each task got in a minute, on the average of the last day: say what one task can serve\ndemand = ",
            "per_task = 119 }",
            "# it is behind a load balancer; say what one task serves in a minute: { metric",
            "# Could not be read:\n#   alarms: not allowed",
        ],
    );
    assert_eq!(fleet.pools[0].purchase, Purchase::Mixed);
    assert!(!fleet.services.iter().any(|one| one.name.as_str() == "agent"));
    let jobs = fleet.services.iter().find(|one| one.name.as_str() == "jobs").unwrap();
    let Some(Demand::Tracking(demand)) = &jobs.demand else { panic!("{text}") };
    assert_eq!((demand.source.metric.as_str(), demand.target), ("Shop/Backlog", 40.5));
    assert_eq!(demand.source.dimensions["Queue \"fast\""], "a\\b");
}

#[test]
fn a_site_without_ecs_is_groups_only() {
    let groups = vec![group("site/web", [1, 2, 4]), group("site web", [0, 0, 2]), group("site:web", [0, 0, 2])];
    let (fleet, _) = proposed(&Survey { groups, ..Survey::default() }, &["name = \"site-web\"", "# No cluster"]);
    assert!(fleet.cluster.is_none() && fleet.services.is_empty());
    let names: Vec<&str> = fleet.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["site-web", "site-web-2", "site-web-3"], "every pool has a name of its own");
}

#[test]
fn nothing_is_proposed_where_there_are_no_groups() {
    let found = cluster(Vec::new(), vec![service("web", 2)]);
    let refused = propose(&found, &Where::default()).unwrap_err();
    assert_eq!(refused, NoFleet::NoGroups { of: " for cluster shop".to_owned() });
    assert!(refused.to_string().contains("--group"), "{refused}");
}

#[test]
fn whatever_the_numbers_are_the_proposal_is_a_good_fleet_file() {
    let numbers = [0, 1, 2, 5, 5_000, 90_000];
    for min in numbers {
        for desired in numbers {
            for max in numbers {
                for bought in [Bought::OnDemand, Bought::Spot, Bought::Both { base: 0, percent: 50 }] {
                    let mut own = service("web", desired);
                    own.scalable = (min <= max).then_some((min, max));
                    let one = FoundGroup { bought, ..group("one", [min, desired, max]) };
                    let mut found = cluster(vec![one, group("other", [0, 0, max])], vec![own]);
                    found.alarms = vec!["high".parse().unwrap()];
                    let (fleet, text) = proposed(&found, &[]);
                    assert!(fleet.hosts.minimum <= fleet.hosts.steady, "{text}");
                }
            }
        }
    }
}
