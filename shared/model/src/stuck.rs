//! What keeps a host from becoming empty: one rule for all who drain hosts.

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::Stuck;
use crate::fleet::Fleet;
use crate::ids::{InstanceId, ServiceName};
use crate::observed::{Host, Running, Task, TaskPhase};

/// What is in the way of a host that drains. Standalone and protected tasks are named before the others: only they can
/// never be helped by waiting for room.
#[must_use]
pub fn of_host(
    id: &InstanceId,
    host: Option<&Host>,
    running: Option<&Running>,
    fleet: &Fleet,
    room: impl Fn() -> Option<String>,
) -> Stuck {
    if host.is_some_and(|host| !host.connected) {
        return Stuck::AgentAway;
    }
    let tasks = host.map_or(0, |host| host.task_count);
    let Some(running) = running else { return Stuck::Unknown { tasks } };
    let on_it: Vec<&Task> = running.tasks.iter().filter(|task| task.host == *id).collect();
    let live = || on_it.iter().filter(|task| task.phase != TaskPhase::Stopping);
    let alone = count(live().filter(|task| task.service.is_none()));
    if alone > 0 {
        return Stuck::Standalone { tasks: alone };
    }
    let mut of: BTreeMap<&ServiceName, (u32, u32)> = BTreeMap::new();
    for task in live() {
        let Some(service) = &task.service else { continue };
        let entry = of.entry(service).or_default();
        entry.0 += 1;
        entry.1 += u32::from(task.protected);
    }
    if let Some((service, (_, protected))) = of.iter().find(|(_, (_, protected))| *protected > 0) {
        return Stuck::Protected { service: (*service).clone(), tasks: *protected };
    }
    for (name, (tasks, _)) in &of {
        if never_moves(running, name) {
            return Stuck::MinMaxPercent { service: (*name).clone(), tasks: *tasks };
        }
    }
    let ours = |name: &ServiceName| fleet.services.iter().any(|service| service.name == *name && !service.fill);
    if of.keys().any(|name| ours(name))
        && let Some(because) = room()
    {
        return Stuck::NoRoom { because };
    }
    let stopping = count(on_it.iter().filter(|task| task.phase == TaskPhase::Stopping));
    if stopping > 0 && of.is_empty() { Stuck::Stopping { tasks: stopping } } else { Stuck::Unknown { tasks } }
}

/// Whether a service's tasks can never leave a host that drains (ECS developer guide, "Draining").
#[must_use]
pub fn never_moves(running: &Running, name: &ServiceName) -> bool {
    running.services.iter().any(|service| {
        service.name == *name && service.leaving.minimum_percent >= 100 && service.leaving.maximum_percent <= 100
    })
}

/// Hosts with tasks that nothing but their own end moves away.
#[must_use]
pub fn tied_hosts(running: &Running) -> BTreeSet<&InstanceId> {
    let stays = |task: &&Task| match &task.service {
        _ if task.phase == TaskPhase::Stopping => false,
        None => true,
        Some(service) => task.protected || never_moves(running, service),
    };
    running.tasks.iter().filter(stays).map(|task| &task.host).collect()
}

fn count<T>(found: impl Iterator<Item = T>) -> u32 {
    u32::try_from(found.count()).unwrap_or(u32::MAX)
}
