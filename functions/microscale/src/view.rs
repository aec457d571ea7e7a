//! The snapshot for the page.

use std::time::Duration;

use evenkeel_model::decision::Step;
use evenkeel_model::fleet::Fleet;
use evenkeel_model::observed::{Observed, Signal, Task, TaskPhase};
use evenkeel_model::view::{HostView, ServiceView, TaskView, View};
use evenkeel_model::{ServiceName, Timestamp};
use evenkeel_turn::{Given, Outlook};

use crate::books::{Books, HostBook};
use crate::state::State;

/// A container with its image on the host starts in 4 to 9 s (captured: 8.3 s with a pull of 5.6 s, 9.0 s without);
/// used until a start of the service was seen.
const USUAL_START: Duration = Duration::from_secs(9);

/// What the page shows of this turn.
pub(crate) fn view(given: &Given<'_, State>, seen: &Observed, outlook: &Outlook<State>) -> View {
    let books = Books::count(given.fleet, seen);
    let mut hosts: Vec<HostView> = books.hosts.iter().map(|book| host(given.fleet, book)).collect();
    for task in &seen.tasks {
        if let Ok(index) = books.hosts.binary_search_by(|book| book.host.id.cmp(&task.host)) {
            hosts[index].tasks.push(waiting_task(&books.hosts[index], task));
        }
    }
    for host in &mut hosts {
        expect_starts(host, seen, given.now);
        host.tasks.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
    }
    hosts.sort_by(|a, b| (a.purchase, &a.pool, &a.id).cmp(&(b.purchase, &b.pool, &b.id)));
    let services = (0..books.services.len()).map(|rank| service(&books, rank, given, seen, outlook)).collect();
    View {
        fleet: given.fleet.name.clone(),
        at: given.now,
        beat_seconds: given.fleet.beat.as_secs(),
        hosts,
        services,
        waits: outlook.report.waits.iter().map(ToString::to_string).collect(),
        report: outlook.report.clone(),
        decisions: Vec::new(),
    }
}

fn host(fleet: &Fleet, book: &HostBook<'_>) -> HostView {
    let pool = book.host.pool.as_ref().and_then(|name| fleet.pools.iter().find(|pool| pool.name == *name));
    HostView {
        id: book.host.id.clone(),
        zone: book.host.zone.clone(),
        pool: book.host.pool.clone(),
        purchase: pool.map(|pool| pool.purchase),
        status: book.host.status,
        connected: book.host.connected,
        registered: book.host.registered,
        placeable: book.placeable,
        free: book.free,
        tasks: Vec::new(),
    }
}

fn waiting_task(book: &HostBook<'_>, task: &Task) -> TaskView {
    // Real room that is less than placeable means that stopping tasks are still there; where live tasks already need
    // their room, the newcomers wait.
    let stopping = book.placeable.parts().into_iter().zip(book.free.parts()).any(|(placeable, free)| placeable > free);
    let full = book.free.parts()[..2].contains(&0);
    TaskView {
        id: task.id.clone(),
        service: task.service.clone(),
        phase: task.phase,
        takes: task.takes.resources,
        waits_for_room: task.phase == TaskPhase::Pending && stopping && full,
        expected_start: (task.phase == TaskPhase::Pending).then_some(task.created),
    }
}

/// From when a pending task was placed to when it should run: the longest stop in its way, and the usual start.
fn expect_starts(host: &mut HostView, seen: &Observed, now: Timestamp) {
    let timeout = |service: &Option<ServiceName>| {
        let ecs = seen.services.iter().find(|ecs| Some(&ecs.name) == service.as_ref());
        ecs.map_or(Duration::from_secs(30), |ecs| ecs.stop_timeout)
    };
    let stopping = host.tasks.iter().filter(|task| task.phase == TaskPhase::Stopping);
    let longest_stop = stopping.map(|task| timeout(&task.service)).max().unwrap_or_default();
    for task in &mut host.tasks {
        if let Some(expected) = &mut task.expected_start {
            let wait = if task.waits_for_room { longest_stop } else { Duration::ZERO };
            *expected = (*expected + wait + usual_start(seen, task.service.as_ref())).max(now);
        }
    }
}

/// The median start of the service's tasks that run.
fn usual_start(seen: &Observed, service: Option<&ServiceName>) -> Duration {
    let same = seen.tasks.iter().filter(|task| task.service.as_ref() == service);
    let mut starts: Vec<Duration> =
        same.filter_map(|task| Some(task.started?.duration_since(task.created).unsigned_abs())).collect();
    starts.sort_unstable();
    starts.get(starts.len() / 2).copied().unwrap_or(USUAL_START)
}

fn service(
    books: &Books<'_>,
    rank: usize,
    given: &Given<'_, State>,
    seen: &Observed,
    outlook: &Outlook<State>,
) -> ServiceView {
    let book = &books.services[rank];
    let file = book.file;
    let decided = outlook.steps.iter().find_map(|planned| match &planned.step {
        Step::SetDesiredCount { service, from: _, to } => (*service == file.name).then_some(*to),
        Step::Host(_) | Step::Image(_) | Step::Roll(_) => None,
    });
    let desired = decided.unwrap_or(book.desired);
    let sent = given.board.pushed.get(&file.name).map(|pushed| pushed.value);
    let demand = match seen.demand.get(&file.name) {
        Some(Signal::Value { value, at: _ }) => Some(*value),
        Some(Signal::Backlog { waiting, in_flight, at: _ }) => Some(waiting + in_flight),
        Some(Signal::Alarm { .. } | Signal::Unknown(_)) | None => sent,
    };
    let remembered = outlook.state.services.get(&file.name).and_then(|memory| memory.want);
    let feasible = book.live().saturating_add(books.slots(rank));
    ServiceView {
        name: file.name.clone(),
        priority: file.priority,
        fill: file.fill,
        demand,
        want: remembered.unwrap_or(feasible.min(file.ceiling())),
        desired,
        running: book.running,
        pending: book.pending,
        stopping: book.stopping,
        feasible,
        headroom: file.headroom_tasks,
    }
}
