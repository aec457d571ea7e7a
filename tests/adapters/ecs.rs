//! Tasks and services: batches and pages, what a task takes, what a service says, and how few calls a quiet turn makes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_aws::Also;
use evenkeel_model::ServiceName;
use evenkeel_model::observed::{Constraint, Field, HandsOff, Placement, Running, TaskPhase};
use evenkeel_model::resources::{Port, Resources};
use evenkeel_turn::Memory;
use evenkeel_turn::ports::{ChangeEcs, PortError, ReadEcs};
use serde_json::{Value, json};

use crate::cluster::{ARN, Cluster, all_tasks, look, shop, task};
use crate::fake::{Asked, Fake, Reply, id};

#[tokio::test]
async fn a_quiet_look_makes_few_calls() {
    // DescribeClusters says that no host has come, and one page describes a hundred.
    for (hosts, tasks, calls) in [(99, 90, 2), (100, 200, 2), (1_000, 500, 11)] {
        let fake = Fake::new(move |asked| Cluster::of(hosts, tasks).answer(asked));
        let (aws, memory) = (fake.aws(), Memory::new());
        for _ in 0..2 {
            fake.forget();
            let (found, running) = look(&aws, &memory, &[]).await;
            assert_eq!((found.len(), running.tasks.len()), (hosts, tasks));
        }
        // No list of tasks, no definition, no protection, nothing that stops.
        assert_eq!(fake.calls(), calls, "{hosts} hosts");
    }
}

#[tokio::test]
async fn tasks_that_stop_are_seen_until_they_have_stopped() {
    let cluster = Arc::new(Mutex::new(Cluster::of(250, 150)));
    let answers = Arc::clone(&cluster);
    let fake = Fake::new(move |asked| answers.lock().unwrap().answer(asked));
    let (aws, memory) = (fake.aws(), Memory::new());
    let stopping = async || {
        fake.forget();
        let (_, Running { tasks, .. }) = look(&aws, &memory, &[]).await;
        let stopping = tasks.iter().filter(|task| task.phase == TaskPhase::Stopping).count();
        (tasks.len(), stopping, fake.asked("ListTasks").len(), fake.asked("DescribeTasks").len())
    };
    assert_eq!(
        stopping().await,
        (150, 0, 3, 2),
        "the first look asks for everything, two pages of what runs and one of what stops"
    );
    assert_eq!(stopping().await, (150, 0, 0, 0));
    cluster.lock().unwrap().told_to_stop = BTreeSet::from([3, 4]);
    assert_eq!(stopping().await, (150, 2, 0, 1), "their hosts say that something has changed");
    cluster.lock().unwrap().stopped = BTreeSet::from([3]);
    assert_eq!(stopping().await, (149, 1, 0, 1), "what stops is asked for each time");
    cluster.lock().unwrap().stopped = BTreeSet::from([3, 4]);
    assert_eq!(stopping().await, (148, 0, 0, 1));
    // ECS still lists both, for an hour; nobody asks.
    assert_eq!(stopping().await, (148, 0, 0, 0));
}

#[tokio::test]
async fn protection_is_asked_for_each_time_where_something_is_protected() {
    for (protected, calls) in [(BTreeSet::new(), 1), (BTreeSet::from([5]), 3)] {
        let cluster = Cluster { protected: protected.clone(), ..Cluster::of(250, 20) };
        let fake = Fake::new(move |asked| cluster.answer(asked));
        let (aws, memory) = (fake.aws(), Memory::new());
        for _ in 0..3 {
            let (_, Running { tasks, .. }) = look(&aws, &memory, &[]).await;
            let found: Vec<&str> = tasks.iter().filter(|task| task.protected).map(|task| task.id.as_str()).collect();
            assert_eq!(found.len(), protected.len());
        }
        assert_eq!(fake.asked("GetTaskProtection").len(), calls);
    }
}

/// What the described task takes with this definition; none: it cannot be described any more.
async fn takes(task_fields: Value, definition: Option<Value>) -> (Resources, BTreeSet<Port>, TaskPhase) {
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeTasks" => {
            let mut task = task(1);
            for (name, value) in task_fields.as_object().unwrap() {
                task[name] = value.clone();
            }
            Reply::Json(json!({ "tasks": [task] }))
        }
        "DescribeTaskDefinition" => match &definition {
            Some(definition) => Reply::Json(json!({ "taskDefinition": definition })),
            None => Reply::Error("ClientException", "Unable to describe task definition.", 400),
        },
        _ => Cluster::of(250, 2).answer(asked),
    });
    let tasks = all_tasks(&fake.aws()).await;
    let task = tasks.first().expect("one task").clone();
    (task.takes.resources, task.takes.ports, task.phase)
}

#[tokio::test]
async fn a_task_takes_what_ecs_reserves_for_it() {
    let containers = json!([
        { "name": "app", "cpu": 256, "memory": 1024, "memoryReservation": 512, "portMappings": [
            { "containerPort": 80, "hostPort": 8080 }, { "containerPort": 81, "hostPort": 0 },
            { "containerPort": 53, "hostPort": 53, "protocol": "udp" }] },
        { "name": "proxy", "cpu": 128, "memory": 64,
          "resourceRequirements": [{ "type": "GPU", "value": "1" }] },
    ]);
    let definition = |fields: Value| {
        let mut definition = json!({ "containerDefinitions": containers });
        for (name, value) in fields.as_object().unwrap() {
            definition[name] = value.clone();
        }
        Some(definition)
    };
    let of = |cpu, memory, gpu| Resources { gpu, ..Resources::new(cpu, memory) };
    let with_its_own_address = Resources { interfaces: 1, ..of(384, 576, 1) };
    let app = |fields: Value| {
        let mut app = json!({ "name": "app" });
        for (name, value) in fields.as_object().unwrap() {
            app[name] = value.clone();
        }
        json!({ "overrides": { "containerOverrides": [app] } })
    };
    let told = json!({ "containers": [{ "name": "app", "cpu": "256", "memory": "512", "gpuIds": ["g"] },
                                      { "name": "proxy", "cpu": "null", "memory": "64" }] });
    let cases = [
        ("the reservation, or else the limit", json!({}), definition(json!({})), of(384, 576, 1), vec![8080]),
        (
            "the task's own size",
            json!({}),
            definition(json!({ "cpu": "1 vCPU", "memory": "2048" })),
            of(1024, 2048, 1),
            vec![8080],
        ),
        ("a size of null", json!({}), definition(json!({ "cpu": "null" })), of(384, 576, 1), vec![8080]),
        ("host networking", json!({}), definition(json!({ "networkMode": "host" })), of(384, 576, 1), vec![81, 8080]),
        (
            "an address of its own",
            json!({}),
            definition(json!({ "networkMode": "awsvpc" })),
            with_its_own_address,
            vec![],
        ),
        (
            "an override of a container",
            app(json!({ "cpu": 512, "memory": 2048 })),
            definition(json!({})),
            of(640, 576, 1),
            vec![8080],
        ),
        (
            "an override of its reservation",
            app(json!({ "memoryReservation": 600 })),
            definition(json!({})),
            of(384, 664, 1),
            vec![8080],
        ),
        (
            "an override of the task",
            json!({ "overrides": { "cpu": "2048", "memory": "1 GB" } }),
            definition(json!({})),
            of(2048, 1024, 1),
            vec![8080],
        ),
        ("what the task says, without a definition", told, None, of(256, 576, 1), vec![]),
    ];
    for (name, task, definition, resources, ports) in cases {
        let (found, found_ports, _) = takes(task, definition).await;
        // The app's port 53 is UDP's.
        let udp = ports.contains(&8080).then_some(Port::Udp(53));
        let ports = ports.into_iter().map(Port::Tcp).chain(udp).collect();
        assert_eq!((found, found_ports), (resources, ports), "{name}");
    }
}

#[tokio::test]
async fn a_task_is_pending_running_or_stopping() {
    let cases = [
        ("RUNNING", "PROVISIONING", TaskPhase::Pending),
        ("RUNNING", "PENDING", TaskPhase::Pending),
        ("RUNNING", "ACTIVATING", TaskPhase::Pending),
        ("RUNNING", "RUNNING", TaskPhase::Running),
        ("STOPPED", "RUNNING", TaskPhase::Stopping),
        ("STOPPED", "PENDING", TaskPhase::Stopping),
        ("RUNNING", "DEACTIVATING", TaskPhase::Stopping),
        ("STOPPED", "DEPROVISIONING", TaskPhase::Stopping),
    ];
    for (desired, last, expect) in cases {
        let fields = json!({ "desiredStatus": desired, "lastStatus": last });
        let (_, _, phase) = takes(fields, Some(json!({ "containerDefinitions": [] }))).await;
        assert_eq!(phase, expect, "{desired} {last}");
    }
}

#[tokio::test]
async fn tasks_elsewhere_and_standalone_tasks_are_told_apart() {
    let fake = Fake::new(|asked| match asked.action.as_str() {
        "DescribeTasks" => {
            let mut fargate = task(1);
            fargate["containerInstanceArn"] = Value::Null;
            let mut standalone = task(2);
            standalone["group"] = json!("family:batch");
            Reply::Json(json!({ "tasks": [fargate, standalone] }))
        }
        _ => Cluster::of(250, 2).answer(asked),
    });
    let tasks = all_tasks(&fake.aws()).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].host.clone(), tasks[0].service.clone()), (id("i-2"), None));
    // Its host was not known, so that one host was asked for.
    assert_eq!(fake.asked("DescribeContainerInstances")[0].list("containerInstances").len(), 1);
}

fn service(name: &str) -> Value {
    json!({
        "serviceName": name, "status": "ACTIVE", "desiredCount": 3, "schedulingStrategy": "REPLICA",
        "taskDefinition": format!("{ARN}:task-definition/web:7"),
        "deployments": [{ "id": "d1", "status": "PRIMARY", "rolloutState": "IN_PROGRESS" }],
        "deploymentConfiguration": { "minimumHealthyPercent": 50, "maximumPercent": 150 },
        "placementStrategy": [{ "type": "spread", "field": "attribute:ecs.availability-zone" },
                              { "type": "binpack", "field": "MEMORY" }, { "type": "spread", "field": "host" }],
        "placementConstraints": [{ "type": "distinctInstance" },
                                 { "type": "memberOf", "expression": "attribute:evenkeel.old !exists" }],
        "loadBalancers": [{ "targetGroupArn": "arn:tg/web", "containerName": "web", "containerPort": 80 }],
        "events": [
            { "id": "4", "createdAt": 1_767_571_590.0, "message": "(service web) has started 2 tasks: \
                (task 908525d4911d4f03898ed7ea2ca80e08) (task 585443aa-6654-4a18-b7a8-c463de1beb2e)." },
            { "id": "3", "createdAt": 1_767_571_580.0, "message": "(service web) has stopped 1 running tasks: \
                (task 908525d4911d4f03898ed7ea2ca80e08)." },
            { "id": "2", "createdAt": 1_767_571_500.0, "message": "(service web) has reached a steady state." },
            { "id": "1", "createdAt": 1_767_571_300.0, "message": "(service web) was unable to place a task because no \
                container instance met all of its requirements." },
            { "id": "0", "createdAt": 1_767_571_200.0, "message": "(service web) was unable to place a task because no" },
        ],
    })
}

fn describes_services(change: impl Fn(&mut Value) + Send + 'static) -> Fake {
    Fake::new(move |asked| answer_about_services(asked, &change))
}

/// What AWS says of services like `service`, changed, and of what belongs to them.
pub(crate) fn answer_about_services(asked: &Asked, change: &impl Fn(&mut Value)) -> Reply {
    match asked.action.as_str() {
        "DescribeServices" => {
            let names = asked.list("services");
            assert!(names.len() <= 10, "{} services", names.len());
            let describe = |name: &String| {
                let mut service = service(name);
                change(&mut service);
                service
            };
            Reply::Json(json!({ "services": names.iter().map(describe).collect::<Vec<_>>(), "failures": [] }))
        }
        "DescribeScalableTargets" => Reply::Json(json!({ "ScalableTargets": [] })),
        "DescribeTargetGroupAttributes" => Reply::Xml(
            "<Attributes><member><Key>stickiness.enabled</Key><Value>false</Value></member><member>\
             <Key>deregistration_delay.timeout_seconds</Key><Value>45</Value></member></Attributes>"
                .to_owned(),
        ),
        "DescribeTaskDefinition" => Reply::Json(json!({ "taskDefinition": { "containerDefinitions": [
            { "name": "web", "cpu": 256, "memory": 512, "stopTimeout": 90 }, { "name": "log", "memory": 64 }] }})),
        action => panic!("asked for {action}"),
    }
}

#[tokio::test]
async fn services_come_ten_at_a_time_with_all_that_placement_needs() {
    let fake = describes_services(|_| {});
    let aws = fake.aws();
    let names: Vec<ServiceName> = (0..25).map(|number| id(&format!("web-{number}"))).collect();
    let services = aws.services(&shop(), &names).await.unwrap();
    assert_eq!(services.len(), 25);
    let web = &services[0];
    assert_eq!((web.name.clone(), web.desired), (id("web-0"), 3));
    assert_eq!(web.task.resources, Resources::new(256, 576));
    let zones = Placement::Spread("ecs.availability-zone".to_owned());
    let hosts = Placement::Spread("instanceId".to_owned());
    assert_eq!(web.strategy, [zones, Placement::Binpack(Field::Memory), hosts]);
    let not_old = Constraint::MemberOf("attribute:evenkeel.old !exists".to_owned());
    assert_eq!(web.constraints, [Constraint::DistinctInstance, not_old]);
    assert_eq!(web.stop_timeout, Duration::from_secs(90));
    assert_eq!((web.leaving.minimum_percent, web.leaving.maximum_percent), (50, 150));
    assert_eq!(web.leaving.deregistration_delay, Duration::from_secs(45));
    assert_eq!(web.placement_failed.map(|at| at.as_second()), Some(1_767_571_300));
    let told_of = web.told_of.iter().map(|(task, at)| (task.as_str(), at.as_second())).collect::<Vec<_>>();
    let both = ["585443aa-6654-4a18-b7a8-c463de1beb2e", "908525d4911d4f03898ed7ea2ca80e08"];
    assert_eq!(told_of, both.map(|task| (task, 1_767_571_590)), "each with its newest event");
    assert_eq!(web.hands_off, None, "a first deployment that has not settled is no reason");
    let calls =
        ["DescribeServices", "DescribeTaskDefinition", "DescribeTargetGroupAttributes", "DescribeScalableTargets"];
    assert_eq!(calls.map(|action| fake.asked(action).len()), [3, 1, 1, 1]);
    fake.forget();
    aws.services(&shop(), &names[..10]).await.unwrap();
    assert_eq!(fake.calls(), 1, "what does not change is not asked for again");
}

#[tokio::test]
async fn what_a_function_does_not_decide_by_is_not_asked() {
    let fake = describes_services(|_| {});
    let services = fake.aws_that_asks(Also::NOTHING).services(&shop(), &[id("web")]).await.unwrap();
    assert_eq!(services[0].leaving.deregistration_delay, Duration::from_secs(300), "the load balancer's default");
    assert_eq!(fake.calls(), 2, "the service and its task definition");
}

#[tokio::test]
async fn services_that_are_not_ours_to_scale_say_why() {
    let deploys = json!([{ "id": "d1", "status": "PRIMARY" }, { "id": "d0", "status": "ACTIVE" }]);
    let cases = [
        ("deployments", deploys, Some(HandsOff::Deploying)),
        (
            "taskSets",
            json!([{ "id": "a", "status": "PRIMARY" }, { "id": "b", "status": "ACTIVE" }]),
            Some(HandsOff::Deploying),
        ),
        ("schedulingStrategy", json!("DAEMON"), Some(HandsOff::Daemon)),
        ("status", json!("DRAINING"), Some(HandsOff::Deleted)),
        ("deployments", json!([]), None),
    ];
    for (field, value, expect) in cases {
        let fake = describes_services(move |service| service[field] = value.clone());
        let services = fake.aws().services(&shop(), &[id("web")]).await.unwrap();
        assert_eq!(services[0].hands_off, expect, "{field}");
    }
    let fake = describes_services(|service| service["status"] = json!("INACTIVE"));
    assert!(fake.aws().services(&shop(), &[id("web")]).await.unwrap().is_empty(), "deleted");
}

#[tokio::test(start_paused = true)]
async fn services_that_application_auto_scaling_scales_are_left_alone() {
    let answers = Arc::new(AtomicBool::new(true));
    let well = Arc::clone(&answers);
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeScalableTargets" if !well.load(Ordering::Relaxed) => Reply::Broken,
        "DescribeScalableTargets" => {
            assert_eq!(asked.text("ServiceNamespace"), "ecs");
            let ids = asked.list("ResourceIds");
            assert!(ids.len() <= 50 && ids.iter().all(|id| id.starts_with("service/shop/")), "{ids:?}");
            let suspended = json!({ "DynamicScalingInSuspended": true, "DynamicScalingOutSuspended": true,
                                    "ScheduledScalingSuspended": true });
            let target = |name: &str, state: Value| {
                json!({ "ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount", "MinCapacity": 1,
                        "MaxCapacity": 9, "RoleARN": "arn:role", "CreationTime": 1_767_571_200.0,
                        "ResourceId": format!("service/shop/{name}"), "SuspendedState": state })
            };
            Reply::Json(json!({ "ScalableTargets": [target("web", Value::Null), target("idle", suspended)] }))
        }
        "DescribeServices" => {
            let found: Vec<Value> = asked.list("services").iter().map(|name| service(name)).collect();
            Reply::Json(json!({ "services": found }))
        }
        "DescribeTargetGroupAttributes" => Reply::Xml("<Attributes></Attributes>".to_owned()),
        _ => Cluster::of(1, 0).answer(asked),
    });
    let aws = fake.aws();
    let names: Vec<ServiceName> = ["web", "idle", "jobs"].map(id).to_vec();
    let reasons = async || {
        let services = aws.services(&shop(), &names).await.unwrap();
        services.iter().map(|service| service.hands_off).collect::<Vec<_>>()
    };
    let expect = [Some(HandsOff::ScaledElsewhere), None, None];
    assert_eq!(reasons().await, expect);
    // It is known for a while, and no answer does not stop a turn that has an old one.
    answers.store(false, Ordering::Relaxed);
    assert_eq!(reasons().await, expect);
    assert_eq!(fake.asked("DescribeScalableTargets").len(), 1);
    let without = aws.services(&shop(), &[id("new")]).await;
    assert!(matches!(without, Err(PortError::Unavailable(_))), "{without:?}");
}

#[tokio::test]
async fn a_count_is_set_as_it_is() {
    let fake = Fake::new(|_| Reply::Json(json!({ "service": { "serviceName": "web" } })));
    fake.aws().set_desired_count(&shop(), &id("web"), 12).await.unwrap();
    assert_eq!(fake.asked("UpdateService")[0].body, json!({ "cluster": "shop", "service": "web", "desiredCount": 12 }));
}
