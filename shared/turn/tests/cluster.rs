//! A picture that is kept by differences is the same as one that is made anew, whatever happens between two looks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use evenkeel_model::observed::{EcsService, Host, HostStatus, Mark, Running, Task, TaskPhase};
use evenkeel_model::resources::{Resources, Room};
use evenkeel_model::{ClusterName, Fleet, InstanceId, ServiceName, TaskId, Timestamp, fleet};
use evenkeel_turn::ports::{Answer, Clock, MOST_TASKS, Meant, PortError, ReadEcs, TaskNow, TasksOf};
use evenkeel_turn::{Memory, cluster};
use futures_util::FutureExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random histories, of fifteen and more looks each.
const HISTORIES: u64 = 10_000;
const BEAT: Duration = Duration::from_secs(10);

/// A cluster as it truly is.
#[derive(Clone, Default)]
struct Truth {
    hosts: BTreeMap<InstanceId, Machine>,
    /// Those that have stopped are kept for an hour, as ECS does.
    tasks: BTreeMap<TaskId, Found>,
    protected: BTreeSet<TaskId>,
    born: u64,
    /// What services have named as started or stopped.
    named: BTreeMap<TaskId, Timestamp>,
}

#[derive(Clone)]
struct Machine {
    version: u64,
    connected: bool,
    status: HostStatus,
}

#[derive(Clone)]
struct Found {
    service: Option<ServiceName>,
    /// None: it waits for a capacity provider.
    host: Option<InstanceId>,
    takes: Resources,
    created: Timestamp,
    /// None: it is STOPPED.
    phase: Option<TaskPhase>,
}

impl Truth {
    fn on<'a>(&'a self, host: &'a InstanceId) -> impl Iterator<Item = &'a Found> {
        self.tasks.values().filter(move |task| task.host.as_ref() == Some(host))
    }

    fn hosts(&self) -> Vec<Host> {
        let host = |(id, machine): (&InstanceId, &Machine)| {
            let live =
                || self.on(id).filter(|task| matches!(task.phase, Some(TaskPhase::Pending | TaskPhase::Running)));
            let count = |phase| u32::try_from(live().filter(|task| task.phase == Some(phase)).count()).unwrap();
            let registered = Resources::new(4_096, 8_000);
            let json = serde_json::json!({
                "id": id, "registered": registered, "status": machine.status, "connected": machine.connected,
            });
            let mark = Mark {
                version: machine.version,
                running: count(TaskPhase::Running),
                pending: count(TaskPhase::Pending),
                remaining: live().fold(registered, |room, task| room.minus(task.takes)),
            };
            Host { mark, ..serde_json::from_value(json).unwrap() }
        };
        self.hosts.iter().map(host).collect()
    }

    fn describe(&self, id: &TaskId) -> Option<TaskNow> {
        let found = self.tasks.get(id)?;
        let Some(phase) = found.phase else { return Some(TaskNow::Stopped(id.clone())) };
        let Some(host) = found.host.clone() else {
            let (service, created) = (found.service.clone(), found.created);
            return Some(TaskNow::Waits { id: id.clone(), service, created, for_host: true });
        };
        Some(TaskNow::On(Task {
            id: id.clone(),
            host,
            service: found.service.clone(),
            takes: Room::from(found.takes),
            phase,
            created: found.created,
            started: None,
            protected: false,
        }))
    }

    /// Something happens.
    fn changes(&mut self, rng: &mut ChaCha8Rng, now: Timestamp) {
        let host = pick(rng, self.hosts.keys());
        let task = pick(rng, self.tasks.keys());
        match (rng.random_range(0..12), host, task) {
            (0..4, Some(host), _) => drop(self.place(rng, Some(host), now)),
            (4, Some(host), _) => {
                // It comes and is told to stop before anybody looks.
                let born = self.place(rng, Some(host), now);
                self.tell_to_stop(&born);
            }
            (5, _, _) => drop(self.place(rng, None, now)),
            (6, Some(host), Some(task)) => self.goes_on(&task, Some(host)),
            (7, _, Some(task)) => self.goes_on(&task, None),
            (8 | 9, _, Some(task)) => {
                self.tell_to_stop(&task);
                if rng.random_bool(0.7) {
                    self.named.insert(task, now);
                }
            }
            (10, Some(host), _) if rng.random_bool(0.5) => {
                let machine = self.hosts.get_mut(&host).unwrap();
                machine.version += 1;
                if rng.random_bool(0.5) {
                    machine.connected = !machine.connected;
                } else {
                    let drains = machine.status == HostStatus::Draining;
                    machine.status = if drains { HostStatus::Active } else { HostStatus::Draining };
                }
            }
            (10, Some(host), _) if self.hosts.len() > 2 && rng.random_bool(0.2) => {
                self.hosts.remove(&host);
                for task in self.tasks.values_mut().filter(|task| task.host.as_ref() == Some(&host)) {
                    task.phase = None;
                }
            }
            (11, _, _) if self.hosts.len() < 6 => {
                self.born += 1;
                let id = InstanceId::new(&format!("i-{}", self.born)).unwrap();
                self.hosts.insert(id, Machine { version: 7, connected: true, status: HostStatus::Active });
            }
            (_, _, Some(task)) if self.protected.contains(&task) => drop(self.protected.remove(&task)),
            (_, _, Some(task)) if self.tasks[&task].phase.is_some() && rng.random_bool(0.1) => {
                self.protected.insert(task);
            }
            _ => {}
        }
    }

    fn place(&mut self, rng: &mut ChaCha8Rng, host: Option<InstanceId>, now: Timestamp) -> TaskId {
        self.born += 1;
        let id = TaskId::new(&format!("t-{:04x}", self.born * 40_503 % 65_536)).unwrap();
        let service = ["web", "reports", "agent"][rng.random_range(0..3)];
        let service = if host.is_none() { "web" } else { service };
        let takes = Resources::new(if rng.random_bool(0.5) { 256 } else { 0 }, 256);
        self.event_on(host.as_ref());
        let (service, phase) = (ServiceName::new(service).ok(), Some(TaskPhase::Pending));
        self.tasks.insert(id.clone(), Found { service, host, takes, created: now, phase });
        // Not all of it is told.
        if rng.random_bool(0.7) {
            self.named.insert(id.clone(), now);
        }
        id
    }

    fn tell_to_stop(&mut self, id: &TaskId) {
        let task = self.tasks.get_mut(id).unwrap();
        if matches!(task.phase, Some(TaskPhase::Pending | TaskPhase::Running)) {
            task.phase = task.host.is_some().then_some(TaskPhase::Stopping);
            let host = task.host.clone();
            self.event_on(host.as_ref());
        }
    }

    /// The agent is done with something; a task that waits finds a host.
    fn goes_on(&mut self, id: &TaskId, host: Option<InstanceId>) {
        let task = self.tasks.get_mut(id).unwrap();
        match task.phase {
            Some(TaskPhase::Pending) if task.host.is_none() => {
                task.host.clone_from(&host);
                self.event_on(host.as_ref());
            }
            Some(TaskPhase::Pending) => task.phase = Some(TaskPhase::Running),
            Some(TaskPhase::Stopping) => task.phase = None,
            Some(TaskPhase::Running) | None => {}
        }
    }

    fn event_on(&mut self, host: Option<&InstanceId>) {
        if let Some(machine) = host.and_then(|host| self.hosts.get_mut(host)) {
            machine.version += 1;
        }
    }
}

fn pick<'a, T: Clone + 'a>(rng: &mut ChaCha8Rng, of: impl ExactSizeIterator<Item = &'a T>) -> Option<T> {
    let mut of = of;
    if of.len() == 0 { None } else { of.nth(rng.random_range(0..of.len())).cloned() }
}

/// ECS as its callers know it.
struct Ecs {
    fleet: Fleet,
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    truth: Truth,
    /// What was true at earlier moments, the newest last.
    earlier: Vec<(Timestamp, Truth)>,
    rng: ChaCha8Rng,
    /// Answers may be old, calls fail, and things happen between two calls.
    unkind: bool,
    calls: usize,
}

thread_local! {
    /// Answers of a second look do not count, and nothing happens in it.
    static CALM: Cell<bool> = const { Cell::new(false) };
}

impl Ecs {
    fn new(seed: u64) -> Self {
        let text = include_str!("../../../infra/fleets/demo.toml");
        let state = State {
            now: "2026-01-05T00:00:00Z".parse().unwrap(),
            truth: Truth::default(),
            earlier: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            unkind: false,
            calls: 0,
        };
        Self { fleet: fleet::read(text, fleet::Format::Toml).unwrap(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn passes(&self, time: Duration, changes: usize) {
        let mut state = self.state();
        state.now += time;
        for _ in 0..changes {
            let State { truth, rng, now, .. } = &mut *state;
            truth.changes(rng, *now);
        }
        let (now, truth) = (state.now, state.truth.clone());
        state.earlier.retain(|(at, _)| *at + Duration::from_secs(20) > now);
        state.earlier.push((now, truth));
    }

    /// A call of so many requests.
    fn answer<T>(&self, requests: usize, of: impl FnOnce(&Truth) -> T) -> Answer<T> {
        if self.state().unkind && !CALM.get() {
            let changes = usize::from(self.state().rng.random_bool(0.3));
            self.passes(Duration::from_millis(100), changes);
        }
        let mut state = self.state();
        state.calls += requests;
        let State { rng, earlier, truth, unkind, .. } = &mut *state;
        if !*unkind || CALM.get() {
            return Ok(of(truth));
        }
        if rng.random_bool(0.05) {
            return Err(PortError::Throttled);
        }
        let old = rng.random_bool(0.2).then(|| rng.random_range(0..earlier.len().max(1)));
        Ok(of(old.and_then(|old| earlier.get(old)).map_or(&*truth, |(_, earlier)| earlier)))
    }

    /// A look with what the process remembers.
    fn look(&self, memory: &Memory) -> Answer<(Vec<Host>, Running)> {
        self.look_within(memory, BEAT)
    }

    fn look_within(&self, memory: &Memory, time: Duration) -> Answer<(Vec<Host>, Running)> {
        let deadline = self.state().now + time;
        let (hosts, running) = cluster(&self.fleet, self, deadline, memory).now_or_never().unwrap();
        Ok((hosts?, running?.unwrap()))
    }

    /// A look of a process that knows nothing, to which nothing happens.
    fn look_anew(&self) -> (Vec<Host>, Running) {
        CALM.set(true);
        let calls = self.state().calls;
        let seen = self.look_within(&Memory::new(), 10 * BEAT).unwrap();
        self.state().calls = calls;
        CALM.set(false);
        seen
    }
}

impl Clock for Ecs {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send {
        self.state().now += length;
        ready(())
    }
}

impl ReadEcs for Ecs {
    async fn hosts(&self, _: &ClusterName) -> Answer<Vec<Host>> {
        self.answer(1, Truth::hosts)
    }

    async fn task_ids(&self, _: &ClusterName, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        self.answer(1, |truth| {
            let wanted = |task: &Found| {
                let of_it = match of {
                    TasksOf::All => true,
                    TasksOf::Service(service) => task.service.as_ref() == Some(service),
                    TasksOf::Host(host) => task.host.as_ref() == Some(host),
                };
                let runs = matches!(task.phase, Some(TaskPhase::Pending | TaskPhase::Running));
                of_it && runs == (meant == Meant::ToRun)
            };
            truth.tasks.iter().filter(|(_, task)| wanted(task)).map(|(id, _)| id.clone()).collect()
        })
    }

    async fn describe_tasks(&self, _: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        let requests = tasks.len().div_ceil(MOST_TASKS);
        self.answer(requests, |truth| tasks.iter().filter_map(|id| truth.describe(id)).collect())
    }

    async fn protected(&self, _: &ClusterName, tasks: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        let requests = tasks.len().div_ceil(MOST_TASKS);
        self.answer(requests, |truth| tasks.iter().filter(|id| truth.protected.contains(id)).cloned().collect())
    }

    async fn services(&self, _: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        self.answer(1, |truth| {
            let service = |name: &ServiceName| {
                let own = |task: &&Found| {
                    let live = matches!(task.phase, Some(TaskPhase::Pending | TaskPhase::Running));
                    live && task.service.as_ref() == Some(name)
                };
                let json = serde_json::json!({
                    "name": name, "desired": 1, "task": { "cpu": 1, "memory": 1 },
                    "providers": [{ "provider": "p", "weight": 1 }],
                });
                let counted = u32::try_from(truth.tasks.values().filter(own).count()).unwrap();
                let named =
                    truth.named.iter().filter(|(id, _)| truth.tasks.get(id).is_some_and(|task| own_task(task, name)));
                let told_of = named.map(|(id, at)| (id.clone(), *at)).collect();
                EcsService { counted, told_of, ..serde_json::from_value(json).unwrap() }
            };
            names.iter().map(service).collect()
        })
    }
}

fn own_task(task: &Found, name: &ServiceName) -> bool {
    task.service.as_ref() == Some(name)
}

/// What was seen, but for whether tasks are protected, which is asked for in turn.
fn but_protection((hosts, running): (Vec<Host>, Running)) -> (Vec<Host>, Running) {
    let tasks = running.tasks.into_iter().map(|task| Task { protected: false, ..task }).collect();
    (hosts, Running { tasks, ..running })
}

/// The tasks that are in one of two pictures only.
fn difference((_, seen): &(Vec<Host>, Running), (_, whole): &(Vec<Host>, Running)) -> String {
    let lines = |of: &Running, than: &Running, word: &str| {
        let only = of.tasks.iter().filter(|task| !than.tasks.contains(task));
        only.map(|task| format!("{word} {} {} {:?} {:?}\n", task.id, task.host, task.phase, task.service))
            .collect::<String>()
    };
    lines(seen, whole, "only seen:")
        + &lines(whole, seen, "not seen:")
        + &format!("{:?}", seen.services == whole.services)
}

fn sorted((hosts, mut running): (Vec<Host>, Running)) -> (Vec<Host>, Running) {
    running.tasks.sort_by(|a, b| a.id.cmp(&b.id));
    (hosts, running)
}

#[test]
fn a_picture_by_differences_is_a_whole_picture() {
    for seed in 0..HISTORIES {
        let ecs = Ecs::new(seed);
        let memory = Memory::new();
        for look in 0..20 {
            let changes = ecs.state().rng.random_range(0..6);
            ecs.passes(BEAT, changes);
            let seen = but_protection(sorted(ecs.look(&memory).unwrap()));
            let whole = but_protection(sorted(ecs.look_anew()));
            assert!(seen == whole, "history {seed}, look {look}:\n{}", difference(&seen, &whole));
        }
        assert_eq!(memory.missed(), 0, "history {seed}");
    }
}

#[test]
fn old_answers_and_what_happens_meanwhile_are_made_up_for() {
    let mut wrong = Vec::new();
    for seed in 0..HISTORIES {
        let ecs = Ecs::new(seed);
        let memory = Memory::new();
        ecs.state().unkind = true;
        for _ in 0..15 {
            let changes = ecs.state().rng.random_range(0..6);
            ecs.passes(BEAT, changes);
            // A call that fails is tried again; a look that fails leaves nothing, and the next one sees everything.
            drop(ecs.look(&memory));
        }
        ecs.state().unkind = false;
        for _ in 0..4 {
            ecs.passes(BEAT, 0);
            ecs.look(&memory).unwrap();
        }
        let (seen, whole) =
            (but_protection(sorted(ecs.look(&memory).unwrap())), but_protection(sorted(ecs.look_anew())));
        if seen != whole {
            wrong.push(format!("history {seed}:\n{}", difference(&seen, &whole)));
        }
        // What nobody saw being told to stop has stopped after its stop timeout, two minutes at most.
        ecs.state().truth.tasks.retain(|_, task| task.phase != Some(TaskPhase::Stopping));
        for _ in 0..31 {
            ecs.passes(BEAT, 0);
            ecs.look(&memory).unwrap();
        }
        let (seen, whole) = (sorted(ecs.look(&memory).unwrap()), sorted(ecs.look_anew()));
        assert!(seen == whole, "history {seed}:\n{}", difference(&seen, &whole));
    }
    // Two old answers at once may look like the truth; then it takes a round.
    assert!(wrong.len() <= usize::try_from(HISTORIES).unwrap() / 1_000, "{}", wrong.concat());
}

/// A thousand hosts with ten tasks each: two hundred requests, of which sixty may come at once and fifteen each second after.
#[test]
fn a_first_look_that_takes_longer_than_a_turn_goes_on_in_the_next_one() {
    for seed in 0..3 {
        let ecs = Ecs::new(seed);
        {
            let mut state = ecs.state();
            let State { truth, rng, now, .. } = &mut *state;
            for host in 0..1_000 {
                let id = InstanceId::new(&format!("i-{host}")).unwrap();
                let machine = Machine { version: 7, connected: true, status: HostStatus::Active };
                truth.hosts.insert(id.clone(), machine);
                for _ in 0..10 {
                    let born = truth.place(rng, Some(id.clone()), *now);
                    truth.goes_on(&born, None);
                }
            }
        }
        let memory = Memory::new();
        let mut looks = 0;
        loop {
            looks += 1;
            match ecs.look_within(&memory, Duration::from_secs(4)) {
                Ok(_) => break,
                Err(PortError::Unfinished { seen, all }) => assert!(looks < 10 && seen < all, "{seen} of {all}"),
                Err(error) => panic!("{error}"),
            }
            ecs.passes(BEAT, 20);
        }
        assert!(looks > 1, "the first look had time for everything");
        // What came and was told to stop meanwhile is listed on ten hosts at a time.
        for _ in 0..3 {
            ecs.passes(BEAT, 0);
            ecs.look(&memory).unwrap();
        }
        let (seen, whole) =
            (but_protection(sorted(ecs.look(&memory).unwrap())), but_protection(sorted(ecs.look_anew())));
        assert!(seen == whole, "history {seed}, {looks} looks:\n{}", difference(&seen, &whole));
    }
}
