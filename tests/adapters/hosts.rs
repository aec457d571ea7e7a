//! Container instances: batches and pages, those that register twice or leave, and the changes to them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use evenkeel_model::InstanceId;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::resources::{Port, Resources};
use evenkeel_turn::ports::{ChangeHosts, PortError, ReadEcs};
use serde_json::{Value, json};

use crate::cluster::{ARN, Cluster, instance, shop, task};
use crate::fake::{Asked, Fake, Reply, id};

#[tokio::test]
async fn hosts_come_in_pages_of_a_hundred_with_what_they_registered() {
    let fake = Fake::new(|asked| Cluster::of(250, 200).answer(asked));
    let hosts = fake.aws().hosts(&shop()).await.unwrap();
    assert_eq!(hosts.len(), 250);
    assert_eq!(fake.asked("ListContainerInstances").len(), 3);
    assert_eq!(fake.asked("DescribeContainerInstances").len(), 3);
    let host = hosts.iter().find(|host| host.id == id("i-7")).unwrap();
    // Its instance type is not told, so nobody knows how many network interfaces it may have.
    assert_eq!(host.registered, Resources { gpu: 2, interfaces: u32::MAX, ..Resources::new(2048, 3885) });
    assert_eq!(host.reserved_ports, BTreeSet::from([22, 2376, 51678].map(Port::Tcp)));
    assert_eq!((host.zone.clone(), host.pool.clone()), (Some(id("eu-west-1a")), Some(id("spot"))));
    assert_eq!((host.status, host.connected, host.task_count), (HostStatus::Active, true, 2));
    assert_eq!(host.attributes["ecs.capability.task-eni"], "");
}

#[tokio::test]
async fn a_host_that_registered_twice_is_the_one_with_a_connected_agent() {
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeContainerInstances" => {
            let (mut before, mut after) = (instance(1), instance(2));
            before["agentConnected"] = json!(false);
            after["ec2InstanceId"] = json!("i-1");
            Reply::Json(json!({ "containerInstances": [before.clone(), after, before] }))
        }
        "UpdateContainerInstancesState" => Reply::Json(json!({ "failures": [] })),
        _ => Cluster::of(2, 0).answer(asked),
    });
    let aws = fake.aws();
    let found = aws.hosts(&shop()).await.unwrap();
    assert_eq!(found.iter().map(|host| (host.id.as_str(), host.connected)).collect::<Vec<_>>(), [("i-1", true)]);
    aws.set_status(&shop(), &hosts([1]), HostStatus::Draining).await.unwrap();
    let drained = fake.asked("UpdateContainerInstancesState")[0].list("containerInstances");
    assert_eq!(drained, [format!("{ARN}:container-instance/shop/h2")]);
}

#[tokio::test]
async fn some_hosts_are_asked_for_alone_and_known_ones_with_one_call() {
    let fake = Fake::new(|asked| Cluster::of(1000, 0).answer(asked));
    let aws = fake.aws();
    let names = async |numbers: &[usize]| {
        fake.forget();
        let found = aws.some_hosts(&shop(), &hosts(numbers.iter().copied())).await.unwrap();
        let names: Vec<String> = found.iter().map(|host| host.id.to_string()).collect();
        let calls = ["ListContainerInstances", "DescribeContainerInstances"].map(|action| fake.asked(action).len());
        (names.join(" "), calls)
    };
    let few = [7, 7, 930, 2000];
    assert_eq!(names(&few).await, ("i-7 i-930".to_owned(), [1, 1]));
    let asked = fake.asked("ListContainerInstances")[0].text("filter").to_owned();
    assert_eq!(asked, "ec2InstanceId in ['i-2000', 'i-7', 'i-930']");
    assert_eq!(names(&[930, 7]).await, ("i-7 i-930".to_owned(), [0, 1]), "known from the last look");
    assert_eq!(names(&[930, 8]).await, ("i-8 i-930".to_owned(), [1, 2]));
    assert_eq!(names(&[]).await, (String::new(), [0, 0]));
    let many: Vec<usize> = (0..250).collect();
    let (found, calls) = names(&many).await;
    assert_eq!((found.split(' ').count(), calls), (250, [3, 4]), "two are known; the rest is asked for by hundreds");
}

#[tokio::test]
async fn a_host_that_was_deregistered_or_registers_anew_is_looked_for_again() {
    let anew = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&anew);
    let fake = Fake::new(move |asked| {
        let later = later.load(Ordering::Relaxed);
        match asked.action.as_str() {
            // Some clouds do not know filters, and list everything.
            "ListContainerInstances" => {
                let numbers = if later { 3..5 } else { 1..4 };
                let arns = numbers.map(|number| format!("{ARN}:container-instance/shop/h{number}"));
                Reply::Json(json!({ "containerInstanceArns": arns.collect::<Vec<_>>() }))
            }
            _ => {
                let describe = |arn: String| {
                    let mut host = instance(arn.rsplit('h').next().unwrap().parse().unwrap());
                    match host["ec2InstanceId"].as_str().unwrap() {
                        "i-1" if later => host["status"] = json!("INACTIVE"),
                        "i-2" => host["agentConnected"] = json!(false),
                        "i-4" => host["ec2InstanceId"] = json!("i-2"),
                        _ => {}
                    }
                    host
                };
                let found: Vec<Value> = asked.list("containerInstances").into_iter().map(describe).collect();
                Reply::Json(json!({ "containerInstances": found }))
            }
        }
    });
    let aws = fake.aws();
    let look = async || {
        let found = aws.some_hosts(&shop(), &hosts([1, 2])).await.unwrap();
        found.into_iter().map(|host| (host.id.to_string(), host.connected)).collect::<Vec<_>>()
    };
    assert_eq!(look().await, [("i-1".to_owned(), true), ("i-2".to_owned(), false)]);
    anew.store(true, Ordering::Relaxed);
    assert_eq!(look().await, [("i-2".to_owned(), true)], "one is in no cluster now, one is registered anew");
}

fn hosts(numbers: impl IntoIterator<Item = usize>) -> Vec<InstanceId> {
    numbers.into_iter().map(|number| id(&format!("i-{number}"))).collect()
}

/// A cluster of 250 hosts that answers changes with `reply`.
fn changes(reply: impl Fn(&Asked) -> Reply + Send + 'static) -> Fake {
    Fake::new(move |asked| {
        let reads = asked.action.starts_with("List") || asked.action.starts_with("Describe");
        if reads { Cluster::of(250, 0).answer(asked) } else { reply(asked) }
    })
}

#[tokio::test]
async fn hosts_are_drained_by_their_arns_without_looking_twice() {
    let fake = changes(|_| Reply::Json(json!({ "containerInstances": [], "failures": [] })));
    let aws = fake.aws();
    aws.hosts(&shop()).await.unwrap();
    fake.forget();
    aws.set_status(&shop(), &hosts([3, 249]), HostStatus::Draining).await.unwrap();
    let asked = fake.asked("UpdateContainerInstancesState");
    assert_eq!(fake.calls(), 1);
    let arns = [3, 249].map(|number| format!("{ARN}:container-instance/shop/h{number}"));
    assert_eq!((asked[0].list("containerInstances"), asked[0].text("status")), (arns.to_vec(), "DRAINING"));
}

#[tokio::test]
async fn hosts_that_have_left_are_passed_over() {
    // A process that has not looked yet finds the hosts itself; one of them is in no cluster any more.
    let fake = changes(|_| Reply::Json(json!({ "failures": [{ "arn": "arn:h1", "reason": "MISSING" }] })));
    fake.aws().set_status(&shop(), &hosts([1, 999]), HostStatus::Active).await.unwrap();
    assert_eq!(fake.asked("UpdateContainerInstancesState")[0].list("containerInstances").len(), 1);
    let fake = changes(|_| panic!("there is nothing to change"));
    fake.aws().set_status(&shop(), &hosts([999]), HostStatus::Draining).await.unwrap();
    let fake = changes(|_| Reply::Json(json!({ "failures": [{ "arn": "arn:h1", "reason": "AGENT" }] })));
    let refused = fake.aws().set_status(&shop(), &hosts([1]), HostStatus::Draining).await;
    assert_eq!(refused, Err(PortError::Refused("arn:h1: AGENT".to_owned())));
}

#[tokio::test]
async fn hosts_are_marked_by_short_ids_and_one_that_left_does_not_spoil_it() {
    let fake = changes(|asked| {
        let ids: Vec<&str> =
            asked.body["attributes"].as_array().unwrap().iter().map(|a| a["targetId"].as_str().unwrap()).collect();
        let gone = ids.contains(&"h2");
        if gone { Reply::Error("TargetNotFoundException", "", 400) } else { Reply::Json(json!({ "attributes": [] })) }
    });
    fake.aws().mark_old(&shop(), &hosts([1, 2, 3]), true).await.unwrap();
    let puts = fake.asked("PutAttributes");
    assert_eq!(puts.len(), 4, "all three, and then one by one");
    let first = &puts[0].body["attributes"][0];
    let expect =
        json!({ "name": "evenkeel.old", "value": "true", "targetType": "container-instance", "targetId": "h1" });
    assert_eq!(*first, expect);
    fake.aws().mark_old(&shop(), &hosts([1]), false).await.unwrap();
    assert!(fake.asked("DeleteAttributes")[0].body["attributes"][0]["value"].is_null());
}

/// Three hosts of a hundred drain and look empty; each has one task, and `stopped` says which have stopped.
fn emptied(stopped: Arc<Mutex<BTreeSet<usize>>>, active: Arc<AtomicBool>) -> Fake {
    Fake::new(move |asked| match asked.action.as_str() {
        "DescribeContainerInstances" => {
            let hosts = asked.list("containerInstances").len();
            let host = |number| {
                let mut host = instance(number);
                if number < 3 && !active.load(Ordering::Relaxed) {
                    host["status"] = json!("DRAINING");
                    host["runningTasksCount"] = json!(0);
                    host["pendingTasksCount"] = json!(0);
                }
                host
            };
            Reply::Json(json!({ "containerInstances": (0..hosts).map(host).collect::<Vec<_>>() }))
        }
        "ListTasks" => {
            let host = asked.text("containerInstance").rsplit('h').next().unwrap().to_owned();
            Reply::Json(json!({ "taskArns": [format!("{ARN}:task/shop/t{host}")] }))
        }
        "DescribeTasks" => {
            let of = |arn: &String| {
                let number: usize = arn.rsplit('t').next().unwrap().parse().unwrap();
                let mut task = task(number);
                task["desiredStatus"] = json!("STOPPED");
                task["lastStatus"] =
                    json!(if stopped.lock().unwrap().contains(&number) { "STOPPED" } else { "DEACTIVATING" });
                task
            };
            Reply::Json(json!({ "tasks": asked.list("tasks").iter().map(of).collect::<Vec<_>>() }))
        }
        _ => Cluster::of(100, 0).answer(asked),
    })
}

#[tokio::test]
async fn a_draining_host_is_empty_only_when_its_last_task_has_stopped() {
    let (stopped, active) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let fake = emptied(Arc::clone(&stopped), Arc::clone(&active));
    let aws = fake.aws();
    let left = async || {
        fake.forget();
        let hosts = aws.hosts(&shop()).await.unwrap();
        let count = |name| hosts.iter().find(|host| host.id == id(name)).unwrap().task_count;
        let counts = ["i-0", "i-1", "i-2"].map(count);
        (counts, fake.asked("ListTasks").len(), fake.asked("DescribeTasks").len())
    };
    assert_eq!(left().await, ([1, 1, 1], 3, 1), "they still shut down");
    stopped.lock().unwrap().insert(1);
    assert_eq!(left().await, ([1, 0, 1], 0, 1), "what is left on them is known");
    stopped.lock().unwrap().extend([0, 2]);
    assert_eq!(left().await, ([0, 0, 0], 0, 1));
    assert_eq!(left().await, ([0, 0, 0], 0, 0), "nothing is left to ask about");
    // They take tasks again, and drain again: these are other tasks.
    active.store(true, Ordering::Relaxed);
    left().await;
    active.store(false, Ordering::Relaxed);
    stopped.lock().unwrap().clear();
    assert_eq!(left().await, ([1, 1, 1], 3, 1));
}
