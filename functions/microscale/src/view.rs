//! The snapshot for the page.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::Step;
use evenkeel_model::fleet::Fleet;
use evenkeel_model::observed::{Observed, Signal, Task, TaskPhase};
use evenkeel_model::view::{HostView, ServiceView, TasksView, View};
use evenkeel_model::{FunctionName, Resources, ServiceName, Timestamp};
use evenkeel_turn::{Given, Outlook};

use crate::books::{Books, HostBook};
use crate::state::State;

/// A container with its image on the host starts in 4 to 9 s (captured: 8.3 s with a pull of 5.6 s, 9.0 s without);
/// used until a start of the service was seen.
const USUAL_START: Duration = Duration::from_secs(9);
/// `stopTimeout` where nothing is known of it.
const USUAL_STOP: Duration = Duration::from_secs(30);

/// What the page shows of this turn.
pub(crate) fn view(given: &Given<'_, State>, seen: &Observed, outlook: &Outlook<State>) -> View {
    let books = Books::count(given.fleet, seen);
    let mut lines: Vec<Lines<'_>> = books.hosts.iter().map(|_| Lines::new()).collect();
    for task in &seen.tasks {
        if let Ok(index) = books.hosts.binary_search_by(|book| book.host.id.cmp(&task.host)) {
            lines[index].entry((task.service.as_ref(), task.phase)).or_insert(Line::NONE).add(task);
        }
    }
    let starts = Starts::of(seen);
    let tasks = books.hosts.iter().zip(&lines).map(|(book, lines)| tasks(book, lines, &starts, given.now));
    let mut hosts: Vec<HostView> =
        books.hosts.iter().zip(tasks).map(|(book, tasks)| host(given.fleet, book, tasks)).collect();
    hosts.sort_by(|a, b| (a.purchase, &a.pool, &a.id).cmp(&(b.purchase, &b.pool, &b.id)));
    let services = (0..books.services.len()).map(|rank| service(&books, rank, given, seen, outlook)).collect();
    View {
        fleet: given.fleet.name.clone(),
        at: given.now,
        beat_seconds: given.fleet.beat.as_secs(),
        mode: given.fleet.mode_of(FunctionName::Microscale),
        hosts,
        services,
        waits: outlook.report.waits.iter().map(ToString::to_string).collect(),
        report: outlook.report.clone(),
        decisions: Vec::new(),
    }
}

fn host(fleet: &Fleet, book: &HostBook<'_>, tasks: Vec<TasksView>) -> HostView {
    let pool = book.host.pool.as_ref().and_then(|name| fleet.pools.iter().find(|pool| pool.name == *name));
    HostView {
        id: book.host.id.clone(),
        zone: book.host.zone.clone(),
        pool: book.host.pool.clone(),
        purchase: pool.map(|pool| pool.purchase),
        status: book.host.status,
        connected: book.host.connected,
        registered: book.host.registered,
        placeable: (book.placeable != book.free).then_some(book.placeable),
        free: book.free,
        tasks,
    }
}

/// A host's tasks by service, and how far they are.
type Lines<'a> = BTreeMap<(Option<&'a ServiceName>, TaskPhase), Line>;

/// Tasks of a line.
struct Line {
    count: u32,
    takes: Resources,
    /// When ECS placed the first of them.
    placed: Timestamp,
}

impl Line {
    const NONE: Self = Self { count: 0, takes: Resources::new(0, 0), placed: Timestamp::MAX };

    fn add(&mut self, task: &Task) {
        self.count += 1;
        self.takes = self.takes.plus(task.takes.resources);
        self.placed = self.placed.min(task.created);
    }
}

fn tasks(book: &HostBook<'_>, lines: &Lines<'_>, starts: &Starts<'_>, now: Timestamp) -> Vec<TasksView> {
    // Real room that is less than placeable means that stopping tasks are still there; where live tasks already need
    // their room, the newcomers wait.
    let stopping = book.placeable.parts().into_iter().zip(book.free.parts()).any(|(placeable, free)| placeable > free);
    let full = book.free.parts()[..2].contains(&0);
    let stops = lines.keys().filter(|(_, phase)| *phase == TaskPhase::Stopping);
    let longest_stop = stops.map(|(service, _)| starts.stop_timeout(*service)).max().unwrap_or_default();
    let tasks = lines.iter().map(|(&(service, phase), line)| {
        let pending = phase == TaskPhase::Pending;
        let waits_for_room = pending && stopping && full;
        // From when it was placed to when it should run: the longest stop in its way, and the usual start.
        let wait = if waits_for_room { longest_stop } else { Duration::ZERO };
        let expected = || (line.placed + wait + starts.usual(service)).max(now);
        TasksView {
            id: format!("{} {}", service.map_or("standalone", ServiceName::as_str), phase.name()),
            service: service.cloned(),
            phase,
            count: line.count,
            takes: line.takes,
            waits_for_room,
            expected_start: pending.then(expected),
        }
    });
    tasks.collect()
}

/// How long tasks of the services take to stop and to start.
struct Starts<'a> {
    stops: BTreeMap<&'a ServiceName, Duration>,
    usual: BTreeMap<Option<&'a ServiceName>, Duration>,
}

impl<'a> Starts<'a> {
    fn of(seen: &'a Observed) -> Self {
        let mut starts: BTreeMap<Option<&ServiceName>, Vec<Duration>> = BTreeMap::new();
        // Asked for of pending tasks only.
        let pending = seen.tasks.iter().filter(|task| task.phase == TaskPhase::Pending);
        pending.for_each(|task| {
            starts.entry(task.service.as_ref()).or_default();
        });
        for task in &seen.tasks {
            if let (Some(of), Some(started)) = (starts.get_mut(&task.service.as_ref()), task.started) {
                of.push(started.duration_since(task.created).unsigned_abs());
            }
        }
        // The median of those that run.
        let median = |mut starts: Vec<Duration>| {
            starts.sort_unstable();
            starts.get(starts.len() / 2).copied().unwrap_or(USUAL_START)
        };
        Self {
            stops: seen.services.iter().map(|ecs| (&ecs.name, ecs.stop_timeout)).collect(),
            usual: starts.into_iter().map(|(service, starts)| (service, median(starts))).collect(),
        }
    }

    fn stop_timeout(&self, service: Option<&ServiceName>) -> Duration {
        service.and_then(|name| self.stops.get(name)).copied().unwrap_or(USUAL_STOP)
    }

    fn usual(&self, service: Option<&ServiceName>) -> Duration {
        self.usual.get(&service).copied().unwrap_or(USUAL_START)
    }
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
