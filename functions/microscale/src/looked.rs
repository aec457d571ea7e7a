//! What an observing turn takes into account of tasks: who was short, which room stayed empty, and what would be set.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::decision::{Planned, Step};
use evenkeel_model::fleet::{Demand, Service};
use evenkeel_model::observed::{HandsOff, Observed, Signal};
use evenkeel_model::report::Wait;
use evenkeel_model::{Resources, ServiceName, Timestamp};
use evenkeel_turn::{Given, HostLevel, Levels, Looked, Outlook, TaskLevel, Thing};

use crate::books::{Books, Cleared, ServiceBook};
use crate::state::State;

/// What this look saw, and what would be done.
pub(crate) fn looked(
    given: &Given<'_, State>,
    seen: &Observed,
    outlook: &Outlook<State>,
    planned: &[Planned],
) -> Looked {
    let unknown: BTreeSet<&ServiceName> = outlook
        .report
        .waits
        .iter()
        .filter_map(|wait| if let Wait::UnknownDemand { service, .. } = wait { Some(service) } else { None })
        .collect();
    let books = Books::count(given.fleet, seen);
    let mut tasks = BTreeMap::new();
    let mut since = BTreeMap::new();
    for (rank, book) in books.services.iter().enumerate() {
        let (file, Some(ecs)) = (book.file, book.ecs) else { continue };
        let wants = match &file.demand {
            None => Some(0),
            Some(_) if unknown.contains(&file.name) => None,
            Some(_) => wants(book, &outlook.state),
        };
        let empty = if file.fill { empty(&books, rank, &outlook.state) } else { 0 };
        let scaled = ecs.hands_off == Some(HandsOff::ScaledElsewhere);
        let (desired, running) = (ecs.desired, book.running);
        let level = TaskLevel { desired, running, wants, empty, scaled, ..TaskLevel::default() };
        tasks.insert(file.name.clone(), level);
        since.extend(wanted_since(file, given, seen).map(|at| (file.name.clone(), at)));
    }
    let plans = planned.iter().filter_map(|planned| match &planned.step {
        Step::SetDesiredCount { service, from: _, to } => Some((Thing::Service(service.clone()), *to)),
        Step::Host(_) | Step::Image(_) | Step::Roll(_) => None,
    });
    // Where backfill takes turns, it sees more of the hosts.
    let hosts = given.fleet.backfill.is_none().then(|| hosts(given, seen));
    Looked { levels: Levels { tasks, hosts, unread: None }, since, plans: plans.collect() }
}

/// The tasks that a service's demand needed when it was known last.
fn wants(book: &ServiceBook<'_>, state: &State) -> Option<u32> {
    state.services.get(book.name()).and_then(|memory| memory.want)
}

/// How many more tasks of a fill service there is room for, hole by hole, after what higher tiers miss and their headroom was
/// set aside where that leaves most.
fn empty(books: &Books<'_>, rank: usize, state: &State) -> u32 {
    let own = &books.services[rank];
    let mut rooms: Vec<(usize, Resources)> =
        books.hosts.iter().enumerate().map(|(host, book)| (host, book.placeable)).collect();
    rooms.retain(|(host, room)| books.slots_with(rank, *host, *room, Cleared::NONE) > 0);
    for other in books.services.iter().filter(|other| other.tier() < own.tier()) {
        let Some(size) = other.need().map(|need| need.resources) else { continue };
        let missing = wants(other, state).unwrap_or(0).saturating_sub(other.live());
        let mut aside = missing + other.file.headroom_tasks;
        // Each goes to the tightest room that takes it, which stays the tightest for the next one.
        let mut open: Vec<&mut Resources> =
            rooms.iter_mut().map(|(_, room)| room).filter(|room| room.times(size) > 0).collect();
        open.sort_by_key(|room| (room.cpu, room.memory));
        for room in open {
            let here = room.times(size).min(aside);
            *room = room.minus(size.scaled(here));
            aside -= here;
        }
    }
    let fits = rooms.iter().map(|(host, room)| books.slots_with(rank, *host, *room, Cleared::NONE));
    fits.fold(0, u32::saturating_add).min(own.file.ceiling().saturating_sub(own.live()))
}

/// Since when a service's demand is what it is now; none where it was only just asked for.
fn wanted_since(file: &Service, given: &Given<'_, State>, seen: &Observed) -> Option<Timestamp> {
    let period = match file.demand.as_ref()? {
        Demand::Metric(metric) => metric.source.period,
        Demand::Tracking(tracking) => tracking.source.period,
        Demand::Manual(_) => return given.board.pushed.get(&file.name).map(|pushed| pushed.at),
        Demand::Queue(_) | Demand::Steps(_) => return None,
    };
    match seen.demand.get(&file.name)? {
        // It is the value of the period that ended then.
        Signal::Value { value: _, at } => Some(*at - period),
        Signal::Backlog { .. } | Signal::Alarm { .. } | Signal::Unknown(_) => None,
    }
}

/// The cluster's hosts, of which ECS knows neither how a mixed pool bought them nor their types.
fn hosts(given: &Given<'_, State>, seen: &Observed) -> HostLevel {
    let mut level = HostLevel::default();
    let mut in_service = 0;
    for host in &seen.hosts {
        let Some(pool) = host.pool.as_ref().and_then(|name| given.fleet.pools.iter().find(|pool| pool.name == *name))
        else {
            continue;
        };
        let types: &mut BTreeMap<String, u32> = level.bought.entry(pool.purchase).or_default();
        *types.entry(String::new()).or_default() += 1;
        in_service += if host.takes_tasks() { pool.units } else { 0 };
    }
    level.below_minimum = in_service < given.fleet.hosts.minimum;
    level.below_steady = in_service < given.fleet.hosts.steady;
    level
}
