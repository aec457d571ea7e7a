//! What keeps a host from becoming empty, and a new one from coming into service: named, so that somebody can mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::decision::Stuck;
use evenkeel_model::fleet::Fleet;
use evenkeel_model::groups::Refusal;
use evenkeel_model::observed::{Running, Task, TaskPhase};
use evenkeel_model::{InstanceId, PoolName, ServiceName};

use crate::hosts::{Kept, Roster};
use crate::pairs::{Pair, Wave};
use crate::seen::Seen;
use crate::state::Target;

/// What is in the way of a host that drains. Standalone and protected tasks are named before the others: only they can
/// never be helped by waiting for room.
pub(crate) fn of_host(
    kept: &Kept<'_>,
    running: Option<&Running>,
    fleet: &Fleet,
    room: impl Fn() -> Option<String>,
) -> Stuck {
    if kept.host.is_some_and(|host| !host.connected) {
        return Stuck::AgentAway;
    }
    let tasks = kept.host.map_or(0, |host| host.task_count);
    let Some(running) = running else { return Stuck::Unknown { tasks } };
    let on_it: Vec<&Task> = running.tasks.iter().filter(|task| task.host == kept.member.id).collect();
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
pub(crate) fn never_moves(running: &Running, name: &ServiceName) -> bool {
    running.services.iter().any(|service| {
        service.name == *name && service.leaving.minimum_percent >= 100 && service.leaving.maximum_percent <= 100
    })
}

/// Hosts with tasks that nothing but their own end moves away.
pub(crate) fn tied_hosts(running: &Running) -> BTreeSet<&InstanceId> {
    let stays = |task: &&Task| match &task.service {
        _ if task.phase == TaskPhase::Stopping => false,
        None => true,
        Some(service) => task.protected || never_moves(running, service),
    };
    running.tasks.iter().filter(stays).map(|task| &task.host).collect()
}

/// Why a pair's successor is not in service.
pub(crate) fn of_pair(
    pair: &Pair,
    wave: &Wave,
    roster: &Roster<'_>,
    seen: &Seen,
    targets: &BTreeMap<PoolName, Target>,
    waited: Duration,
) -> Stuck {
    let asked = pair.asked.unwrap_or(wave.since);
    let newcomers = roster.staying(&pair.group).filter(|(id, kept)| {
        let new = kept.note.came_after(asked) && !wave.hosts.contains_key(*id) && !wave.is_claimed(id);
        new || pair.successor.as_ref() == Some(*id)
    });
    for (_, kept) in newcomers {
        if let Some(lacks) = &kept.lacks {
            return Stuck::NeverHealthy { lacks: format!("{}: {lacks}", kept.member.id), waited };
        }
        if kept.outdated(targets.get(&kept.pool.name)).is_some() {
            return Stuck::StillOutdated { runs: kept.runs() };
        }
    }
    let refused = seen.refusals.get(&pair.group).into_iter().flatten();
    let newest: Option<&Refusal> = refused.filter(|refusal| refusal.at >= wave.since).max_by_key(|one| one.at);
    newest.map_or(Stuck::NotLaunched { waited }, |refusal| Stuck::LaunchFailing { because: refusal.message.clone() })
}

fn count<T>(found: impl Iterator<Item = T>) -> u32 {
    u32::try_from(found.count()).unwrap_or(u32::MAX)
}
