//! A cluster as ECS describes it.

use std::collections::BTreeSet;

use evenkeel_aws::Aws;
use evenkeel_model::observed::{Host, Running, Task};
use evenkeel_model::{ClusterName, Fleet, Timestamp, fleet};
use evenkeel_turn::ports::{Meant, ReadEcs, TaskNow, TasksOf};
use evenkeel_turn::{Memory, cluster};
use serde_json::{Value, json};

use crate::fake::{Asked, Reply, id};

pub(crate) const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012";

pub(crate) fn shop() -> ClusterName {
    id("shop")
}

/// A fleet in that cluster.
fn fleet_of(services: &[&str]) -> Fleet {
    let mut text = "name = \"shop\"\ncluster = \"shop\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
        pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n"
        .to_owned();
    for (priority, name) in services.iter().enumerate() {
        text += &format!("[[service]]\nname = \"{name}\"\npriority = {}\nfill = true\n", priority + 1);
    }
    fleet::read(&text, fleet::Format::Toml).unwrap()
}

/// A turn's look at the cluster.
pub(crate) async fn look(aws: &Aws, memory: &Memory, services: &[&str]) -> (Vec<Host>, Running) {
    let (hosts, running) = cluster(&fleet_of(services), aws, Timestamp::MAX, memory).await;
    (hosts.unwrap(), running.unwrap().unwrap())
}

/// All tasks on hosts, as a process sees them that knows nothing.
pub(crate) async fn all_tasks(aws: &Aws) -> Vec<Task> {
    let ids = aws.task_ids(&shop(), TasksOf::All, Meant::ToRun).await.unwrap();
    let found = aws.describe_tasks(&shop(), &ids).await.unwrap().into_iter();
    let on_host = |task| if let TaskNow::On(task) = task { Some(task) } else { None };
    found.filter_map(on_host).collect()
}

pub(crate) fn instance(number: usize) -> Value {
    json!({
        "containerInstanceArn": format!("{ARN}:container-instance/shop/h{number}"),
        "ec2InstanceId": format!("i-{number}"),
        "status": "ACTIVE", "agentConnected": true, "runningTasksCount": 1, "pendingTasksCount": 1,
        "registeredResources": [
            { "name": "CPU", "type": "INTEGER", "integerValue": 2048 },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": 3885 },
            { "name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2376", "51678"] },
            { "name": "GPU", "type": "STRINGSET", "stringSetValue": ["GPU-a", "GPU-b"] },
        ],
        "attributes": [
            { "name": "ecs.availability-zone", "value": "eu-west-1a" },
            { "name": "ecs.capability.task-eni" },
            { "name": "evenkeel.pool", "value": "spot" },
        ],
    })
}

pub(crate) fn task(number: usize) -> Value {
    json!({
        "taskArn": format!("{ARN}:task/shop/t{number}"),
        "containerInstanceArn": format!("{ARN}:container-instance/shop/h{}", number % 100),
        "taskDefinitionArn": format!("{ARN}:task-definition/web:7"),
        "group": "service:web", "desiredStatus": "RUNNING", "lastStatus": "RUNNING",
        "createdAt": 1_767_571_200.0, "startedAt": 1_767_571_204.5,
    })
}

/// One page of `all`, and where the next begins.
fn page(field: &str, all: &[String], asked: &Asked) -> Reply {
    let from: usize = asked.text("nextToken").parse().unwrap_or(0);
    let to = (from + 100).min(all.len());
    let next = if to < all.len() { json!(to.to_string()) } else { Value::Null };
    Reply::Json(json!({ field: all[from..to], "nextToken": next }))
}

/// A cluster of so many hosts and tasks, all well.
pub(crate) struct Cluster {
    pub(crate) hosts: usize,
    pub(crate) tasks: usize,
    /// Tasks that were told to stop; ECS lists them, stopped or not.
    pub(crate) told_to_stop: BTreeSet<usize>,
    pub(crate) stopped: BTreeSet<usize>,
    pub(crate) protected: BTreeSet<usize>,
}

impl Cluster {
    pub(crate) fn of(hosts: usize, tasks: usize) -> Self {
        let none = BTreeSet::new;
        Self { hosts, tasks, told_to_stop: none(), stopped: none(), protected: none() }
    }

    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let numbers = |field: &str| -> Vec<usize> {
            let ids = asked.list(field);
            assert!((1..=100).contains(&ids.len()), "{} ids in {}", ids.len(), asked.action);
            ids.iter().map(|id| id.rsplit(['h', 't']).next().unwrap().parse().unwrap()).collect()
        };
        match asked.action.as_str() {
            "ListContainerInstances" => {
                let filter = asked.text("filter");
                let listed = |number: &usize| filter.is_empty() || filter.contains(&format!("'i-{number}'"));
                let listed = (0..self.hosts).filter(listed);
                let arns: Vec<String> =
                    listed.map(|number| format!("{ARN}:container-instance/shop/h{number}")).collect();
                page("containerInstanceArns", &arns, asked)
            }
            "DescribeContainerInstances" => {
                let found: Vec<Value> =
                    numbers("containerInstances").into_iter().map(|number| self.instance(number)).collect();
                Reply::Json(json!({ "containerInstances": found, "failures": [] }))
            }
            "ListTasks" => {
                let stops = asked.text("desiredStatus") == "STOPPED";
                let host = asked.text("containerInstance");
                let on_it = |number: &usize| host.is_empty() || host.ends_with(&format!("/h{}", number % 100));
                let stops = |number: &usize| self.told_to_stop.contains(number) == stops;
                let listed = (0..self.tasks).filter(|number| stops(number) && on_it(number));
                let arns: Vec<String> = listed.map(|number| format!("{ARN}:task/shop/t{number}")).collect();
                page("taskArns", &arns, asked)
            }
            "DescribeTasks" => {
                let describe = |number: usize| {
                    let mut task = task(number);
                    if self.told_to_stop.contains(&number) {
                        task["desiredStatus"] = json!("STOPPED");
                    }
                    if self.stopped.contains(&number) {
                        task["lastStatus"] = json!("STOPPED");
                    }
                    task
                };
                let found: Vec<Value> = numbers("tasks").into_iter().map(describe).collect();
                Reply::Json(json!({ "tasks": found, "failures": [] }))
            }
            "GetTaskProtection" => {
                let asked = numbers("tasks").into_iter().filter(|number| self.protected.contains(number));
                let found: Vec<Value> = asked
                    .map(|number| json!({ "taskArn": format!("{ARN}:task/shop/t{number}"), "protectionEnabled": true }))
                    .collect();
                Reply::Json(json!({ "protectedTasks": found, "failures": [] }))
            }
            "DescribeClusters" => {
                let shop = json!({ "clusterName": "shop", "registeredContainerInstancesCount": self.hosts });
                Reply::Json(json!({ "clusters": [shop], "failures": [] }))
            }
            "DescribeTaskDefinition" => Reply::Json(json!({ "taskDefinition": {
                "taskDefinitionArn": asked.text("taskDefinition"), "networkMode": "bridge",
                "containerDefinitions": [{ "name": "web", "cpu": 256, "memory": 512 }],
            }})),
            action => panic!("asked for {action}"),
        }
    }

    /// A host with what its tasks leave of it.
    fn instance(&self, number: usize) -> Value {
        let own = || (0..self.tasks).filter(|task| task % 100 == number);
        let live = own().filter(|task| !self.told_to_stop.contains(task)).count();
        let mut host = instance(number);
        host["version"] = json!(2 * own().count() - live);
        host["runningTasksCount"] = json!(live);
        host["pendingTasksCount"] = json!(0);
        host["remainingResources"] = json!([
            { "name": "CPU", "type": "INTEGER", "integerValue": 2048 - 256 * live },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": 3885 - 512 * live },
        ]);
        host
    }
}
