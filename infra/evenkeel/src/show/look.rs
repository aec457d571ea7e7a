//! What the functions see on an account, on one screen.

use std::collections::BTreeMap;
use std::fmt::Write;

use evenkeel_model::fleet::{Demand, Fleet, Pool, Service};
use evenkeel_model::groups::{Group, MemberState};
use evenkeel_model::observed::{EcsService, HandsOff, Host, HostStatus, Observed, Signal, Task, TaskPhase};
use evenkeel_model::{AlarmName, InstanceId};

use super::table::{BAD, Cell, FAINT, GOOD, ODD, TITLE, Table, paint};
use super::words::count;
use crate::account::Sight;

/// The screen.
pub(crate) fn look(fleet: &Fleet, sight: &Sight) -> String {
    let mut screen = format!("{}  {}\n", paint(TITLE, &fleet.name), paint(FAINT, heading(fleet, sight)));
    let _a_string_takes_all = write!(screen, "{}", pools(fleet, sight));
    if let Some(line) = strangers(fleet, sight) {
        let _a_string_takes_all = writeln!(screen, "  {}", paint(ODD, line));
    }
    if let Some(seen) = &sight.microscale {
        let _a_string_takes_all = write!(screen, "{}", services(fleet, seen));
        let _a_string_takes_all = writeln!(screen, "  {}", tasks(fleet, seen));
    }
    let alarms: BTreeMap<&AlarmName, &Signal> = sight.backfill.alarms.iter().chain(&sight.halts).collect();
    if !alarms.is_empty() {
        let mut table = Table::new(&["alarm", "state"], true);
        for (name, signal) in alarms {
            table.row(vec![Cell::from(name), state(signal)]);
        }
        let _a_string_takes_all = write!(screen, "{table}");
    }
    if !sight.unread.is_empty() {
        let _a_string_takes_all = writeln!(screen, "{}", paint(BAD, "not read"));
        for (what, because) in &sight.unread {
            let _a_string_takes_all = writeln!(screen, "  {what}: {because}");
        }
    }
    screen
}

fn heading(fleet: &Fleet, sight: &Sight) -> String {
    let cluster = fleet.cluster.as_ref().map_or_else(|| "no cluster".to_owned(), |name| format!("cluster {name}"));
    format!("live, {cluster}, seen {:.0}", sight.at)
}

fn pools(fleet: &Fleet, sight: &Sight) -> Table {
    let hosts: BTreeMap<&InstanceId, &Host> = hosts(sight).iter().map(|host| (&host.id, host)).collect();
    let with_cluster = fleet.cluster.is_some();
    let mut heading = vec!["pool", "desired", "in service", "coming", "going"];
    if with_cluster {
        heading.extend(["takes tasks", "drains", "no agent"]);
    }
    heading.push("");
    let mut table = Table::new(&heading, true);
    for pool in &fleet.pools {
        let group = sight.backfill.groups.iter().find(|group| group.name == pool.auto_scaling_group);
        let Some(group) = group else {
            let mut row = vec![Cell::from(&pool.name)];
            row.extend((2..heading.len()).map(|_| Cell::of(FAINT, "?")));
            row.push(Cell::of(BAD, format!("{}, group {} is not there", pool.purchase, pool.auto_scaling_group)));
            table.row(row);
            continue;
        };
        let of = |state: MemberState| number(group.members.iter().filter(|member| member.state == state).count());
        let mut row = vec![
            Cell::from(&pool.name),
            Cell::from(group.desired),
            Cell::count(of(MemberState::InService), GOOD),
            Cell::count(of(MemberState::Pending), ODD),
            Cell::count(of(MemberState::Terminating) + of(MemberState::Aside), ODD),
        ];
        if with_cluster {
            let those = || group.members.iter().filter_map(|member| hosts.get(&member.id));
            let drain = those().filter(|host| host.status == HostStatus::Draining).count();
            row.push(Cell::count(number(those().filter(|host| host.takes_tasks()).count()), GOOD));
            row.push(Cell::count(number(drain), ODD));
            row.push(Cell::count(number(those().filter(|host| !host.connected).count()), BAD));
        }
        row.push(about(pool, group));
        table.row(row);
    }
    table
}

fn about(pool: &Pool, group: &Group) -> Cell {
    let mut words = vec![format!("{}, {}, {} to {}", pool.purchase, group.name, group.min, group.max)];
    words.extend(group.scaled_by.as_ref().map(|by| format!("left alone: {by}")));
    words.extend(group.suspended.iter().map(|process| format!("{} is suspended", process.name())));
    let style = if words.len() > 1 { ODD } else { FAINT };
    Cell::of(style, words.join("; "))
}

/// The cluster's hosts, from whoever could read them.
fn hosts(sight: &Sight) -> &[Host] {
    sight.microscale.as_ref().map_or(&sight.backfill.hosts, |seen| &seen.hosts)
}

/// Hosts of the cluster that are in none of the pools' groups.
fn strangers(fleet: &Fleet, sight: &Sight) -> Option<String> {
    let groups = &sight.backfill.groups;
    let known = |host: &Host| groups.iter().any(|group| group.members.iter().any(|member| member.id == host.id));
    let strangers = hosts(sight).iter().filter(|host| !known(host)).count();
    let cluster = fleet.cluster.as_ref().filter(|_| strangers > 0)?;
    Some(format!("{} of cluster {cluster} in none of these groups", count(strangers, "host")))
}

fn services(fleet: &Fleet, seen: &Observed) -> Table {
    let mut table = Table::new(&["service", "priority", "desired", "running", "pending", "stopping", "demand"], true);
    for service in &fleet.services {
        let Some(found) = seen.services.iter().find(|found| found.name == service.name) else {
            let mut row = vec![Cell::from(&service.name), Cell::from(service.priority)];
            row.extend((0..4).map(|_| Cell::of(FAINT, "?")));
            row.push(Cell::of(BAD, "not there"));
            table.row(row);
            continue;
        };
        let of = |phase: TaskPhase| number(tasks_of(seen, found).filter(|task| task.phase == phase).count());
        table.row(vec![
            Cell::from(&service.name),
            Cell::from(service.priority),
            Cell::from(found.desired),
            Cell::count(of(TaskPhase::Running), GOOD),
            Cell::count(of(TaskPhase::Pending), ODD),
            Cell::count(of(TaskPhase::Stopping), ODD),
            wants(service, found, seen.demand.get(&service.name)),
        ]);
    }
    table
}

fn tasks_of<'s>(seen: &'s Observed, service: &EcsService) -> impl Iterator<Item = &'s Task> {
    let name = service.name.clone();
    seen.tasks.iter().filter(move |task| task.service.as_ref() == Some(&name))
}

fn wants(service: &Service, found: &EcsService, signal: Option<&Signal>) -> Cell {
    if let Some(off) = found.hands_off {
        return Cell::of(ODD, format!("left alone: {}", why(off)));
    }
    match (&service.demand, signal) {
        (None, _) => Cell::of(FAINT, "takes what is left"),
        (Some(Demand::Manual(_)), _) => Cell::of(FAINT, "sent by hand"),
        (Some(_), None) => Cell::of(BAD, "not read"),
        (Some(_), Some(signal)) => state(signal),
    }
}

/// Why a count is left alone, in a few words.
const fn why(off: HandsOff) -> &'static str {
    match off {
        HandsOff::Deploying => "it deploys",
        HandsOff::ScaledElsewhere => "Application Auto Scaling sets its count",
        HandsOff::Daemon => "a daemon, one task on each host",
        HandsOff::Deleted => "it is being deleted",
        HandsOff::DeploymentFailed => "a failed deployment stays",
        HandsOff::Fargate => "its tasks run on Fargate",
        HandsOff::Anywhere => "its tasks run outside AWS",
        HandsOff::ManagedInstances => "its tasks run on ECS Managed Instances",
        HandsOff::TaskSets => "somebody else makes its task sets",
    }
}

fn state(signal: &Signal) -> Cell {
    match signal {
        Signal::Value { value, at } => Cell::from(format!("{value} at {at:.0}")),
        Signal::Backlog { waiting, in_flight, at: _ } => {
            Cell::from(format!("{waiting} waiting, {in_flight} in flight"))
        }
        Signal::Alarm { firing: true, since } => Cell::of(BAD, format!("ALARM since {since:.0}")),
        Signal::Alarm { firing: false, since } => Cell::of(GOOD, format!("OK since {since:.0}")),
        Signal::Unknown(because) => Cell::of(ODD, format!("unknown: {because}")),
    }
}

fn tasks(fleet: &Fleet, seen: &Observed) -> String {
    let ours = |task: &&Task| fleet.services.iter().any(|service| task.service.as_ref() == Some(&service.name));
    let others = seen.tasks.iter().filter(|task| !ours(task)).count();
    let of_all = count(seen.tasks.len(), "task");
    format!("{of_all} on {}, {others} of others than these services", count(seen.hosts.len(), "host"))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
