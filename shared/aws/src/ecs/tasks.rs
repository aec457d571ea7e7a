//! Tasks: lists of them, and what they are.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{self, DesiredStatus, LaunchType};
use evenkeel_model::observed::{Task, TaskPhase};
use evenkeel_model::{ClusterName, TaskId};
use evenkeel_turn::ports::{Answer, Clock, MOST_TASKS, Meant, TaskNow, TasksOf};
use futures_util::future::try_join;

use super::definitions::room_of;
use super::distinct;
use crate::Aws;
use crate::convert::{all, id, timestamp};
use crate::error::port_error;

/// ECS lists tasks for an hour after they have stopped, thousands in a large cluster where much moves. A process that begins
/// looks at no more pages of them: what still stops among the others has stopped a minute later.
const MOST_PAGES_OF_STOPPED: usize = 5;

impl Aws {
    pub(super) async fn ecs_task_ids(
        &self,
        cluster: &ClusterName,
        of: TasksOf<'_>,
        meant: Meant,
    ) -> Answer<Vec<TaskId>> {
        let list = self.ecs.list_tasks().cluster(cluster.as_str()).desired_status(match meant {
            Meant::ToRun => DesiredStatus::Running,
            Meant::ToStop => DesiredStatus::Stopped,
        });
        let list = match of {
            TasksOf::All => list,
            TasksOf::Service(service) => list.service_name(service.as_str()),
            TasksOf::Host(host) => match self.arns_of(cluster, std::slice::from_ref(host)).await?.into_iter().next() {
                Some(arn) => list.container_instance(arn),
                // Nothing runs on a host that has left.
                None => return Ok(Vec::new()),
            },
        };
        let most = if (of, meant) == (TasksOf::All, Meant::ToStop) { MOST_PAGES_OF_STOPPED } else { usize::MAX };
        let mut pages = list.into_paginator().send();
        let mut ids = Vec::new();
        for _ in 0..most {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(port_error)?;
            ids.extend(page.task_arns().iter().filter_map(|arn| id(arn.rsplit('/').next())));
        }
        Ok(ids)
    }

    pub(super) async fn ecs_describe_tasks(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        let ids: Vec<String> = tasks.iter().map(|task| task.as_str().to_owned()).collect();
        let found = self.describe_tasks(cluster, &ids).await?;
        let there = || found.iter().filter(|task| !is_stopped(task));
        let on = there().filter_map(types::Task::container_instance_arn).map(str::to_owned).collect();
        let from = there().filter_map(types::Task::task_definition_arn).map(str::to_owned);
        let (hosts, definitions) = try_join(self.instances_of(cluster, on), self.definitions(distinct(from))).await?;
        let now = self.now();
        let describe = |task: &types::Task| {
            let id: TaskId = id(task.task_arn()?.rsplit('/').next())?;
            if is_stopped(task) {
                return Some(TaskNow::Stopped(id));
            }
            if matches!(task.launch_type(), Some(LaunchType::Fargate | LaunchType::External)) {
                return Some(TaskNow::Elsewhere(id));
            }
            let service = crate::convert::id(task.group().and_then(|group| group.strip_prefix("service:")));
            let created = task.created_at().and_then(timestamp).unwrap_or(now);
            let Some(host) = task.container_instance_arn().and_then(|arn| hosts.get(arn)) else {
                let for_host = task.container_instance_arn().is_none() && task.last_status() == Some("PROVISIONING");
                return Some(TaskNow::Waits { id, service, created, for_host });
            };
            let definition = task.task_definition_arn().and_then(|arn| definitions.get(arn)).and_then(Option::as_deref);
            Some(TaskNow::On(Task {
                id,
                host: host.clone(),
                service,
                takes: room_of(task, definition),
                phase: phase(task),
                created,
                started: task.started_at().and_then(timestamp),
                protected: false,
            }))
        };
        Ok(found.iter().filter_map(describe).collect())
    }

    /// DescribeTasks of ids or ARNs, a hundred in a call.
    pub(super) async fn describe_tasks(&self, cluster: &ClusterName, tasks: &[String]) -> Answer<Vec<types::Task>> {
        let pages = all(tasks.chunks(MOST_TASKS).map(async |chunk| {
            let asked = self.ecs.describe_tasks().cluster(cluster.as_str());
            let answer = asked.set_tasks(Some(chunk.to_vec())).send().await.map_err(port_error)?;
            Ok(answer.tasks.unwrap_or_default())
        }));
        Ok(pages.await?.into_iter().flatten().collect())
    }

    pub(super) async fn ecs_protected(&self, cluster: &ClusterName, tasks: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        let pages = all(tasks.chunks(MOST_TASKS).map(async |chunk| {
            let ids = chunk.iter().map(|task| task.as_str().to_owned()).collect();
            let asked = self.ecs.get_task_protection().cluster(cluster.as_str());
            let answer = asked.set_tasks(Some(ids)).send().await.map_err(port_error)?;
            // Its failures are tasks that have stopped, or are of no service.
            Ok(answer.protected_tasks.unwrap_or_default())
        }));
        let found = pages.await?.into_iter().flatten().filter(types::ProtectedTask::protection_enabled);
        Ok(found.filter_map(|task| id(task.task_arn()?.rsplit('/').next())).collect())
    }
}

fn is_stopped(task: &types::Task) -> bool {
    matches!(task.last_status(), Some("STOPPED" | "DELETED"))
}

/// ECS developer guide, "Amazon ECS task lifecycle".
fn phase(task: &types::Task) -> TaskPhase {
    match (task.desired_status(), task.last_status()) {
        (Some("STOPPED"), _) | (_, Some("DEACTIVATING" | "STOPPING" | "DEPROVISIONING")) => TaskPhase::Stopping,
        (_, Some("RUNNING")) => TaskPhase::Running,
        _ => TaskPhase::Pending,
    }
}
