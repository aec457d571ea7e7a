//! How many on-demand hosts the fleet needs: for what is missing, for alarms, and for tasks that fit nowhere.

use std::time::Duration;

use evenkeel_model::decision::Need;
use evenkeel_model::fleet::{Backfill, Fleet, Purchase};
use evenkeel_model::report::{Report, Shortfall};
use evenkeel_model::{PoolName, Resources, Timestamp};
use evenkeel_turn::{Borrow, Given, Told};

use crate::boost::{Look, boost};
use crate::hosts::Hosts;
use crate::judge::Standing;
use crate::seen::Seen;
use crate::state::State;

/// Microscale looks every ten seconds or so; what it told of missing room longer ago than this is not counted on.
const TOLD_COUNTS: Duration = Duration::from_secs(180);
/// A roll asks again with every turn, at least each minute.
const BORROW_COUNTS: Duration = Duration::from_secs(180);
/// New hosts get tasks within some seconds; what was told before says nothing about them.
const SETTLING: Duration = Duration::from_secs(30);

/// Counts what is needed, and notes in `state` what alarms and tasks ask for.
pub(crate) fn need(
    given: &Given<'_, State>,
    policy: &Backfill,
    seen: &Seen,
    hosts: &Hosts<'_>,
    on_demand: u32,
    state: &mut State,
    report: &mut Report,
) -> Need {
    let numbers = given.fleet.hosts;
    let counted = |purchase| hosts.counted(purchase, &given.board.budget);
    // The on-demand base of a mixed group is always there, as reserved hosts are.
    let reserved = counted(Purchase::Reserved) + counted(Purchase::Mixed) + hosts.scaled_elsewhere();
    let spot = counted(Purchase::Spot);
    let unknown = hosts.unknown(numbers.steady);
    let has = reserved + spot + unknown + on_demand;
    let boost = boost(&Look { given, policy, seen, hosts, has }, state, report);
    let coming =
        hosts.all.values().any(|kept| kept.standing == Standing::Coming) || on_demand > counted(Purchase::OnDemand);
    state.extra = extra(given, seen, state, has, coming);
    let borrowed = borrowed(&given.board.borrow, given.now);
    let wanted = (numbers.steady + boost + state.extra + borrowed).min(numbers.maximum);
    let on_demand = wanted.saturating_sub(reserved + spot + unknown);
    Need { steady: numbers.steady, boost, shortfall: state.extra, borrowed, reserved, spot, unknown, on_demand }
}

/// Units that a roll has no room without.
fn borrowed(borrow: &Borrow, now: Timestamp) -> u32 {
    if now.duration_since(borrow.at).unsigned_abs() <= BORROW_COUNTS { borrow.units } else { 0 }
}

/// Units beyond `steady` that tasks without a place ask for: one round of hosts at a time, so that tasks that have room
/// on hosts that are on their way are not counted again.
fn extra(given: &Given<'_, State>, seen: &Seen, state: &State, has: u32, coming: bool) -> u32 {
    let told = &given.board.told;
    let age = given.now.duration_since(told.at).unsigned_abs();
    if age > TOLD_COUNTS || !told.missing.iter().any(|missing| helps(given.fleet, missing)) {
        return 0;
    }
    let old = told.at < state.changed + SETTLING;
    if coming || old {
        return state.extra;
    }
    let more = units_for(told, seen, given.fleet);
    state.extra.max((has + more).saturating_sub(given.fleet.hosts.steady))
}

/// Whether a host of some on-demand pool would take the missing tasks: those of a service on capacity providers go to the
/// hosts of these alone.
fn helps(fleet: &Fleet, missing: &Shortfall) -> bool {
    let mut dear = fleet.pools.iter().filter(|pool| pool.purchase == Purchase::OnDemand);
    missing.groups.is_empty() || dear.any(|pool| missing.groups.contains(&pool.auto_scaling_group))
}

/// Units that hold the missing tasks, going by the smallest host that there is of an on-demand pool, or of any.
fn units_for(told: &Told, seen: &Seen, fleet: &Fleet) -> u32 {
    let pool = |name: Option<&PoolName>| fleet.pools.iter().find(|pool| Some(&pool.name) == name);
    let size = |host: &evenkeel_model::observed::Host| {
        let pool = pool(host.pool.as_ref());
        let dear = pool.is_some_and(|pool| pool.purchase == Purchase::OnDemand);
        let Resources { cpu, memory, .. } = host.registered;
        (!dear, cpu, memory)
    };
    let Some(host) = seen.hosts.iter().min_by_key(|host| size(host)) else { return 0 };
    let units = pool(host.pool.as_ref()).map_or(1, |pool| pool.units);
    // In millionths of a host.
    let parts: u64 = told
        .missing
        .iter()
        .filter(|missing| helps(fleet, missing))
        .map(|missing| u64::from(missing.tasks) * 1_000_000 / u64::from(host.registered.times(missing.task).max(1)))
        .sum();
    u32::try_from(parts.div_ceil(1_000_000)).unwrap_or(u32::MAX).saturating_mul(units)
}

/// Notes that capacity joined or left.
pub(crate) fn note_changes(state: &mut State, before: &State, hosts: &Hosts<'_>, now: Timestamp) {
    let joined = hosts.all.iter().any(|(id, kept)| {
        kept.standing == Standing::Works && !before.hosts.get(*id).is_some_and(|memory| memory.joined)
    });
    let left = before.hosts.keys().any(|id| !hosts.all.contains_key(id));
    if joined || left {
        state.changed = now;
    }
}
