//! Tasks: two calls for each hundred of them, and one more where tasks may be stopping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::{self, DesiredStatus};
use evenkeel_model::observed::{Task, TaskPhase};
use evenkeel_model::{ClusterName, ServiceName, TaskId, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};
use futures_util::future::try_join;

use super::definitions::room_of;
use super::{Known, MOST_IDS, distinct};
use crate::Aws;
use crate::convert::{all, id, timestamp};
use crate::error::port_error;

/// A look that is older says nothing about which tasks came and went since.
const LOOK_COUNTS: Duration = Duration::from_secs(120);
/// A task that has room is placed within seconds.
const PLACED_WITHIN: Duration = Duration::from_secs(60);
/// Protection is a call of its own for each hundred tasks (GetTaskProtection). Where nothing is protected it is asked for
/// this rarely; where something is, with each look.
const PROTECTION_COUNTS: Duration = Duration::from_secs(300);

/// What the last look at a cluster's tasks said.
#[derive(Default)]
pub(super) struct Look {
    /// When.
    at: Option<Timestamp>,
    /// Tasks that were to run.
    running: BTreeSet<String>,
    /// Some of those that were to stop had not.
    stopping: bool,
    /// Tasks that are known to be STOPPED, which they stay, and which ECS lists for an hour.
    stopped: BTreeSet<String>,
    /// When protection was last asked for, and found nothing.
    unprotected: Option<Timestamp>,
    /// Services with a task that has waited for a host of its capacity provider longer than a placement takes, and since
    /// when: ECS says nothing of it, as it expects the provider's group to grow.
    waiting: BTreeMap<ServiceName, Timestamp>,
}

impl Known {
    /// Services whose tasks wait in vain for a host of their capacity provider, and when that was seen.
    pub(super) fn waiting_for_hosts(&self, cluster: &ClusterName) -> BTreeMap<ServiceName, Timestamp> {
        self.lock().looks.get(cluster).map(|look| look.waiting.clone()).unwrap_or_default()
    }

    /// Those that this process has not seen STOPPED.
    pub(super) fn not_stopped(&self, cluster: &ClusterName, arns: Vec<String>) -> Vec<String> {
        let inner = self.lock();
        let stopped = inner.looks.get(cluster).map(|look| &look.stopped);
        arns.into_iter().filter(|arn| stopped.is_none_or(|stopped| !stopped.contains(arn))).collect()
    }
}

impl Aws {
    pub(super) async fn ecs_tasks(&self, cluster: &ClusterName) -> Answer<Vec<Task>> {
        let now = self.now();
        let (running, mut stopping) = if self.may_be_stopping(cluster, now) {
            let both = try_join(
                self.task_arns(cluster, DesiredStatus::Running),
                self.task_arns(cluster, DesiredStatus::Stopped),
            );
            let (running, stopping) = both.await?;
            (running, Some(stopping))
        } else {
            (self.task_arns(cluster, DesiredStatus::Running).await?, None)
        };
        let listed: BTreeSet<String> = running.iter().cloned().collect();
        if stopping.is_none() && self.some_left(cluster, &listed) {
            stopping = Some(self.task_arns(cluster, DesiredStatus::Stopped).await?);
        }
        let mut arns = self.known.not_stopped(cluster, stopping.clone().unwrap_or_default());
        arns.extend(running);
        let found = self.describe_tasks(cluster, &distinct(arns)).await?;
        let protected = self.protected(cluster, &listed, now).await?;
        let tasks = self.tasks_of(cluster, &found, &protected, now).await?;
        self.note_look(cluster, now, listed, stopping, &found);
        Ok(tasks)
    }

    /// ECS lists tasks by what they should be, and a task that is told to stop takes room until it has. They only have to
    /// be asked for where the last look showed such tasks, or does not count any more.
    fn may_be_stopping(&self, cluster: &ClusterName, now: Timestamp) -> bool {
        let inner = self.known.lock();
        let Some(look) = inner.looks.get(cluster) else { return true };
        look.stopping || look.at.is_none_or(|at| now.duration_since(at).unsigned_abs() > LOOK_COUNTS)
    }

    /// Whether a task that was to run at the last look is not any more.
    fn some_left(&self, cluster: &ClusterName, running: &BTreeSet<String>) -> bool {
        self.known.lock().looks.get(cluster).is_none_or(|look| !look.running.is_subset(running))
    }

    fn note_look(
        &self,
        cluster: &ClusterName,
        now: Timestamp,
        running: BTreeSet<String>,
        stopping: Option<Vec<String>>,
        found: &[types::Task],
    ) {
        let mut inner = self.known.lock();
        let look = inner.looks.entry(cluster.clone()).or_default();
        let newly = found.iter().filter(|task| is_stopped(task)).filter_map(types::Task::task_arn);
        if let Some(listed) = stopping {
            let listed: BTreeSet<String> = listed.into_iter().collect();
            look.stopped.retain(|arn| listed.contains(arn));
        }
        look.stopped.extend(newly.map(str::to_owned));
        look.stopping = found.iter().any(|task| !is_stopped(task) && phase(task) == TaskPhase::Stopping);
        look.running = running;
        look.waiting = waiting(found, now);
        look.at = Some(now);
    }

    async fn task_arns(&self, cluster: &ClusterName, status: DesiredStatus) -> Answer<Vec<String>> {
        let list = self.ecs.list_tasks().cluster(cluster.as_str()).desired_status(status);
        let pages = list.into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)
    }

    pub(super) async fn describe_tasks(&self, cluster: &ClusterName, arns: &[String]) -> Answer<Vec<types::Task>> {
        let pages = all(arns.chunks(MOST_IDS).map(async |chunk| {
            let asked = self.ecs.describe_tasks().cluster(cluster.as_str());
            let answer = asked.set_tasks(Some(chunk.to_vec())).send().await.map_err(port_error)?;
            Ok(answer.tasks.unwrap_or_default())
        }));
        Ok(pages.await?.into_iter().flatten().collect())
    }

    /// Which tasks UpdateTaskProtection protects. A task that was protected in the last five minutes, in a cluster where
    /// none was, may be missing: then ECS stops another one than was meant, which the next turn sees.
    async fn protected(
        &self,
        cluster: &ClusterName,
        tasks: &BTreeSet<String>,
        now: Timestamp,
    ) -> Answer<BTreeSet<String>> {
        let recent = |at: Timestamp| now.duration_since(at).unsigned_abs() < PROTECTION_COUNTS;
        if self.known.lock().looks.get(cluster).and_then(|look| look.unprotected).is_some_and(recent) {
            return Ok(BTreeSet::new());
        }
        let tasks: Vec<String> = tasks.iter().cloned().collect();
        let pages = all(tasks.chunks(MOST_IDS).map(async |chunk| {
            let asked = self.ecs.get_task_protection().cluster(cluster.as_str());
            let answer = asked.set_tasks(Some(chunk.to_vec())).send().await.map_err(port_error)?;
            Ok(answer.protected_tasks.unwrap_or_default())
        }));
        let found = pages.await?.into_iter().flatten().filter(types::ProtectedTask::protection_enabled);
        let protected: BTreeSet<String> = found.filter_map(|task| task.task_arn).collect();
        let mut inner = self.known.lock();
        inner.looks.entry(cluster.clone()).or_default().unprotected = protected.is_empty().then_some(now);
        Ok(protected)
    }

    async fn tasks_of(
        &self,
        cluster: &ClusterName,
        found: &[types::Task],
        protected: &BTreeSet<String>,
        now: Timestamp,
    ) -> Answer<Vec<Task>> {
        let there = || found.iter().filter(|task| !is_stopped(task));
        let on = there().filter_map(types::Task::container_instance_arn).map(str::to_owned).collect();
        let from = there().filter_map(types::Task::task_definition_arn).map(str::to_owned);
        let (hosts, definitions) = try_join(self.instances_of(cluster, on), self.definitions(distinct(from))).await?;
        let task = |task: &types::Task| {
            let arn = task.task_arn()?;
            let definition = definitions.get(task.task_definition_arn()?).and_then(Option::as_deref);
            Some(Task {
                id: id::<TaskId>(arn.rsplit('/').next())?,
                // On Fargate, or not placed yet: on no host of ours.
                host: hosts.get(task.container_instance_arn()?)?.clone(),
                service: id(task.group().and_then(|group| group.strip_prefix("service:"))),
                takes: room_of(task, definition),
                phase: phase(task),
                created: task.created_at().and_then(timestamp).unwrap_or(now),
                started: task.started_at().and_then(timestamp),
                protected: protected.contains(arn),
            })
        };
        Ok(there().filter_map(task).collect())
    }
}

/// By service, when the newest of the tasks that wait for a host should have had one.
fn waiting(found: &[types::Task], now: Timestamp) -> BTreeMap<ServiceName, Timestamp> {
    let mut late: BTreeMap<ServiceName, Timestamp> = BTreeMap::new();
    let waits = |task: &&types::Task| {
        task.container_instance_arn().is_none() && task.last_status() == Some("PROVISIONING") && !is_fargate(task)
    };
    for task in found.iter().filter(waits) {
        let due = task.created_at().and_then(timestamp).map(|created| created + PLACED_WITHIN);
        let service = id(task.group().and_then(|group| group.strip_prefix("service:")));
        if let (Some(due), Some(service)) = (due.filter(|due| *due <= now), service) {
            let known = late.entry(service).or_insert(due);
            *known = due.max(*known);
        }
    }
    late
}

fn is_fargate(task: &types::Task) -> bool {
    task.launch_type() == Some(&types::LaunchType::Fargate)
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
