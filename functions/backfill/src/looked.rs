//! What an observing turn takes into account of hosts: what is paid for, whether they are enough, and what would be set.

use std::collections::BTreeMap;

use evenkeel_model::InstanceId;
use evenkeel_model::decision::{HostStep, HostWhy, Planned, Step, Why};
use evenkeel_model::fleet::Pool;
use evenkeel_model::groups::{Group, MemberState};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::Source;
use evenkeel_turn::{Given, HostLevel, Levels, Looked, Outlook, PoolLevel, Thing};

use crate::seen::Seen;
use crate::state::State;

/// What this look saw, and what would be done.
pub(crate) fn looked(given: &Given<'_, State>, seen: &Seen, outlook: &Outlook<State>, planned: &[Planned]) -> Looked {
    let hosts = level(given, seen, &outlook.state);
    let plans = hosts.as_ref().map(|_| plans(given, seen, planned)).unwrap_or_default();
    let unread = hosts.is_none().then_some(given.now);
    Looked { levels: Levels { tasks: BTreeMap::new(), hosts, unread }, since: BTreeMap::new(), plans }
}

/// The pools with their groups, those that were shown.
fn groups<'a>(given: &'a Given<'_, State>, seen: &'a Seen) -> impl Iterator<Item = (&'a Pool, Option<&'a Group>)> {
    let group = |pool: &Pool| seen.groups.iter().find(|group| group.name == pool.auto_scaling_group);
    given.fleet.pools.iter().map(move |pool| (pool, group(pool)))
}

/// The hosts as AWS shows them; none where it does not show all of them.
fn level(given: &Given<'_, State>, seen: &Seen, state: &State) -> Option<HostLevel> {
    if !seen.has(Source::Groups) || !seen.has(Source::Cluster) {
        return None;
    }
    let ecs: BTreeMap<&InstanceId, &Host> = seen.hosts.iter().map(|host| (&host.id, host)).collect();
    let mut level = HostLevel::default();
    let mut in_service = 0;
    for (pool, group) in groups(given, seen) {
        let Some(group) = group else {
            // An answer may leave out a group whose hosts are there.
            if state.hosts.values().any(|memory| memory.is_of(pool)) {
                return None;
            }
            continue;
        };
        let kind = group.instance_type.as_ref().map(ToString::to_string).unwrap_or_default();
        for member in &group.members {
            let purchase = state.hosts.get(&member.id).map_or(pool.purchase, |memory| memory.bought(pool));
            *level.bought.entry(purchase).or_default().entry(kind.clone()).or_default() += 1;
            // Its group may say so some time after the first task could run on it.
            let takes = match &given.fleet.cluster {
                Some(_) => ecs.get(&member.id).is_some_and(|host| host.takes_tasks()),
                None => member.state == MemberState::InService,
            };
            in_service += if takes { pool.units } else { 0 };
        }
        let pool_level = PoolLevel { desired: group.desired, scaled: group.scaled_by.is_some(), plan: None };
        level.pools.insert(pool.name.clone(), pool_level);
    }
    level.below_minimum = in_service < given.fleet.hosts.minimum;
    level.below_steady = in_service < given.fleet.hosts.steady;
    Some(level)
}

/// The capacities that would be set: by a call that sets them, or by hosts that would be given back.
fn plans(given: &Given<'_, State>, seen: &Seen, planned: &[Planned]) -> BTreeMap<Thing, u32> {
    let mut plans = BTreeMap::new();
    let mut go: Vec<&InstanceId> = Vec::new();
    for Planned { step, why, .. } in planned {
        match (step, why) {
            (Step::Host(HostStep::SetCapacity { pool, group: _, from: _, to }), _) => {
                plans.insert(Thing::Pool(pool.clone()), *to);
            }
            (
                Step::Host(HostStep::SetStatus { hosts, status: HostStatus::Draining }),
                Why::Host(HostWhy::NoReason { .. }),
            ) => go.extend(hosts),
            (Step::Host(HostStep::Terminate { host, pool: _, shrink: true }), _) => go.push(host),
            (Step::Host(_) | Step::SetDesiredCount { .. } | Step::Image(_) | Step::Roll(_), _) => {}
        }
    }
    for (pool, group) in groups(given, seen) {
        let Some(group) = group else { continue };
        let going = group.members.iter().filter(|member| go.contains(&&member.id)).count();
        let going = u32::try_from(going).unwrap_or(u32::MAX);
        if going > 0 {
            plans.entry(Thing::Pool(pool.name.clone())).or_insert(group.desired.saturating_sub(going));
        }
    }
    plans
}
