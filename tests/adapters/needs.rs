//! What tasks need and hosts have beside CPU and memory, and who runs a service's tasks: raw answers, and what is made of
//! them.

use std::collections::BTreeSet;

use evenkeel_model::observed::{Constraint, EcsService, HandsOff, Host, ProviderShare};
use evenkeel_model::resources::Port;
use evenkeel_turn::Memory;
use evenkeel_turn::ports::ReadEcs;
use serde_json::{Value, json};

use crate::cluster::{Cluster, instance, look, shop, task};
use crate::ecs::answer_about_services;
use crate::fake::{Fake, Reply, id};

/// The one service of a cluster whose answers are these.
async fn service(change: Value, definition: Value, managed: &'static [&'static str]) -> Option<EcsService> {
    let change = move |service: &mut Value| {
        service.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    };
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeTaskDefinition" => Reply::Json(json!({ "taskDefinition": definition })),
        "DescribeCapacityProviders" => {
            let describe = |name: &String| {
                let kind = if managed.contains(&name.as_str()) {
                    "managedInstancesProvider"
                } else {
                    "autoScalingGroupProvider"
                };
                let arn = format!("arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:5c7:autoScalingGroupName/g-{name}");
                json!({ "name": name, "status": "ACTIVE", kind: { "autoScalingGroupArn": arn } })
            };
            let found: Vec<Value> = asked.list("capacityProviders").iter().map(describe).collect();
            Reply::Json(json!({ "capacityProviders": found }))
        }
        _ => answer_about_services(asked, &change),
    });
    fake.aws().services(&shop(), &[id("web")]).await.unwrap().pop()
}

fn plain() -> Value {
    json!({ "containerDefinitions": [{ "name": "web", "cpu": 256, "memory": 512 }] })
}

#[tokio::test]
async fn a_task_definition_says_where_its_tasks_may_be() {
    let definition = json!({
        "containerDefinitions": [{ "name": "dns", "cpu": 64, "memory": 64, "portMappings": [
            { "containerPort": 53, "hostPort": 53, "protocol": "udp" }, { "containerPort": 53, "hostPort": 53, "protocol": "tcp" },
            { "containerPort": 80, "protocol": "tcp" }] }],
        "placementConstraints": [{ "type": "memberOf", "expression": "attribute:ecs.cpu-architecture == arm64" }],
        "requiresAttributes": [{ "name": "ecs.capability.docker-plugin.local" },
                               { "name": "stack", "value": "production", "targetType": "container-instance" }],
        "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
    });
    let found =
        service(json!({ "placementConstraints": [{ "type": "distinctInstance" }] }), definition, &[]).await.unwrap();
    assert_eq!(found.task.ports, BTreeSet::from([Port::Tcp(53), Port::Udp(53)]));
    let expressions = [
        "attribute:ecs.cpu-architecture == arm64",
        "attribute:ecs.capability.docker-plugin.local exists",
        "attribute:stack == production",
        "attribute:ecs.cpu-architecture == arm64",
        "attribute:ecs.os-type == linux",
    ];
    let own = [Constraint::DistinctInstance].into_iter();
    let expect: Vec<Constraint> = own.chain(expressions.map(|text| Constraint::MemberOf(text.to_owned()))).collect();
    assert_eq!(found.constraints, expect);
    let windows = json!({ "containerDefinitions": [], "runtimePlatform": { "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE" } });
    let found = service(json!({ "placementConstraints": [] }), windows, &[]).await.unwrap();
    assert_eq!(found.constraints, [Constraint::MemberOf("attribute:ecs.os-type == windows".to_owned())]);
}

#[tokio::test]
async fn a_service_on_capacity_providers_says_which_and_in_what_parts() {
    let strategy = json!([{ "capacityProvider": "cp-arm", "weight": 1, "base": 2 }, { "capacityProvider": "cp-x86" }]);
    let found = service(json!({ "capacityProviderStrategy": strategy }), plain(), &[]).await.unwrap();
    let share = |provider: &str, base, weight| ProviderShare {
        provider: id(provider),
        base,
        weight,
        group: Some(id(&format!("g-{provider}"))),
    };
    assert_eq!(found.providers, [share("cp-arm", 2, 1), share("cp-x86", 0, 0)]);
    assert_eq!(found.hands_off, None);
    let found = service(json!({ "launchType": "EC2" }), plain(), &[]).await.unwrap();
    assert_eq!((found.providers.len(), found.hands_off), (0, None), "any host");
}

#[tokio::test]
async fn services_that_use_no_host_of_a_group_say_what_runs_them() {
    let on = |provider: &str| json!({ "capacityProviderStrategy": [{ "capacityProvider": provider, "weight": 1 }] });
    let cases = [
        (json!({ "launchType": "FARGATE" }), Some(HandsOff::Fargate)),
        (on("FARGATE_SPOT"), Some(HandsOff::Fargate)),
        (json!({ "launchType": "EXTERNAL" }), Some(HandsOff::Anywhere)),
        (json!({ "launchType": "MANAGED_INSTANCES" }), Some(HandsOff::ManagedInstances)),
        (on("managed"), Some(HandsOff::ManagedInstances)),
        (on("own"), None),
    ];
    for (change, expect) in cases {
        let found = service(change.clone(), plain(), &["managed"]).await.unwrap();
        assert_eq!(found.hands_off, expect, "{change}");
    }
}

#[tokio::test]
async fn services_of_every_controller_have_the_true_word() {
    let set = |status: &str, percent: f64| {
        json!({ "id": status, "status": status, "taskDefinition": "arn:task-definition/web:7",
                "scale": { "value": percent, "unit": "PERCENT" } })
    };
    let by = |controller: &str, sets: Value| json!({ "deploymentController": { "type": controller }, "taskDefinition": null, "taskSets": sets, "deployments": [] });
    let deployment = |status: &str, state: &str| json!({ "id": status, "status": status, "rolloutState": state });
    let deploys = |deployments: Value| json!({ "deployments": deployments });
    let cases = [
        ("one set by CodeDeploy", by("CODE_DEPLOY", json!([set("PRIMARY", 100.0)])), None),
        (
            "two sets by CodeDeploy",
            by("CODE_DEPLOY", json!([set("PRIMARY", 100.0), set("ACTIVE", 100.0)])),
            Some(HandsOff::Deploying),
        ),
        ("one whole set by others", by("EXTERNAL", json!([set("PRIMARY", 100.0)])), None),
        ("a part of a set by others", by("EXTERNAL", json!([set("PRIMARY", 50.0)])), Some(HandsOff::TaskSets)),
        ("no set by others", by("EXTERNAL", json!([])), Some(HandsOff::TaskSets)),
        (
            "blue and green",
            deploys(json!([deployment("PRIMARY", "IN_PROGRESS"), deployment("ACTIVE", "COMPLETED")])),
            Some(HandsOff::Deploying),
        ),
        (
            "a failed deployment that stays",
            deploys(json!([deployment("PRIMARY", "FAILED"), deployment("ACTIVE", "COMPLETED")])),
            Some(HandsOff::DeploymentFailed),
        ),
        ("zones are balanced by ECS", json!({ "availabilityZoneRebalancing": "ENABLED" }), None),
    ];
    for (name, change, expect) in cases {
        let found = service(change, plain(), &[]).await;
        assert_eq!(found.map(|found| found.hands_off), Some(expect), "{name}");
    }
}

/// A host whose registration has these fields besides.
async fn host(change: Value) -> (Host, usize) {
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeContainerInstances" => {
            let mut found = instance(1);
            for (name, value) in change.as_object().unwrap() {
                match found[name].as_array_mut() {
                    Some(list) => list.extend(value.as_array().unwrap().clone()),
                    None => found[name] = value.clone(),
                }
            }
            Reply::Json(json!({ "containerInstances": [found] }))
        }
        "DescribeInstanceTypes" => {
            assert_eq!(asked.text("Filter.1.Name"), "instance-type");
            assert_eq!(asked.list("Filter.1.Value"), ["c5.large"]);
            let info = "<networkInfo><maximumNetworkInterfaces>3</maximumNetworkInterfaces></networkInfo>";
            Reply::Xml(format!(
                "<instanceTypeSet><item><instanceType>c5.large</instanceType>{info}</item></instanceTypeSet>"
            ))
        }
        _ => Cluster::of(1, 0).answer(asked),
    });
    let aws = fake.aws();
    let _known_after_that = aws.hosts(&shop()).await.unwrap();
    let found = aws.hosts(&shop()).await.unwrap().pop().unwrap();
    (found, fake.asked("DescribeInstanceTypes").len())
}

#[tokio::test]
async fn a_host_says_its_provider_its_udp_ports_and_how_many_interfaces_are_left_for_tasks() {
    let udp = json!([{ "name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": ["514"] }]);
    let of_type = |name: &str| json!({ "name": "ecs.instance-type", "value": name });
    let (found, asked) = host(json!({ "capacityProviderName": "cp-arm", "registeredResources": udp,
                                      "attributes": [of_type("c5.large")] }))
    .await;
    assert_eq!(found.provider, Some(id("cp-arm")));
    assert!(found.reserved_ports.contains(&Port::Udp(514)) && found.reserved_ports.contains(&Port::Tcp(22)));
    assert_eq!((found.registered.interfaces, asked), (2, 1), "one is its own, and a type is asked for once");
    let trunk = json!({ "name": "ecs.awsvpc-trunk-id", "value": "eni-1" });
    let (found, asked) = host(json!({ "attributes": [of_type("c5.large"), trunk] })).await;
    assert_eq!((found.registered.interfaces, asked), (10, 0), "as the developer guide says");
}

#[tokio::test]
async fn a_task_that_waits_for_a_host_of_its_provider_tells_that_it_could_not_be_placed() {
    let after = |seconds: f64| async move {
        let now = 1_767_571_200.0;
        let fake = Fake::new(move |asked| match asked.action.as_str() {
            "DescribeTasks" => {
                let mut waits = task(0);
                waits.as_object_mut().unwrap().remove("containerInstanceArn");
                waits["lastStatus"] = json!("PROVISIONING");
                waits["createdAt"] = json!(now - seconds);
                Reply::Json(json!({ "tasks": [waits] }))
            }
            "ListTasks" | "GetTaskProtection" | "ListContainerInstances" | "DescribeContainerInstances" => {
                Cluster::of(1, 1).answer(asked)
            }
            _ => answer_about_services(asked, &|service| service["events"] = json!([])),
        });
        let aws = fake.aws().with_clock(|| "2026-01-05T00:00:00Z".parse().unwrap());
        let (_, mut running) = look(&aws, &Memory::new(), &["web"]).await;
        assert!(running.tasks.is_empty(), "on no host");
        running.services.pop().unwrap().placement_failed.map(|at| at.as_second())
    };
    assert_eq!(after(30.0).await, None);
    assert_eq!(after(90.0).await, Some(1_767_571_170), "a minute after it was made");
}
