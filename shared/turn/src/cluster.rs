//! A look at a cluster: everything the first time, and then what has changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use evenkeel_model::observed::{EcsService, Host, Running, Task};
use evenkeel_model::{ClusterName, Fleet, InstanceId, ServiceName, TaskId, Timestamp};
use futures_util::future::{join3, try_join, try_join_all};

use crate::picture::{Ask, Picture};
use crate::ports::{Answer, Clock, MOST_TASKS, Meant, PortError, ReadEcs, TaskNow, TasksOf};
use crate::reads::Pacer;
use crate::retry;
use crate::standings::Standings;

/// What a process keeps of a cluster between two turns. A look that fails, or is killed, leaves nothing, and the next one asks
/// for everything; one that was throttled leaves what was there before it.
#[derive(Debug, Default)]
pub struct Memory {
    picture: Mutex<Option<Picture>>,
    /// So many looks at a cluster are under way.
    looks: AtomicUsize,
    /// A turn's whole look has succeeded.
    has_looked: AtomicBool,
    reads: Mutex<Pacer>,
    hosts: Standings,
}

impl Memory {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            picture: Mutex::new(None),
            looks: AtomicUsize::new(0),
            has_looked: AtomicBool::new(false),
            reads: Mutex::new(Pacer::new()),
            hosts: Standings::new(),
        }
    }

    /// Tasks so far that had changed without their host saying so, in the picture that is kept.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Picture::missed)
    }

    /// Whether the next look would cost much more if this one were left out: there is more to list than a page, and what is
    /// known will soon be too old to compare with.
    #[must_use]
    pub fn pays(&self, now: Timestamp) -> bool {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|picture| picture.pays(now))
    }

    /// How hosts stood at the last look.
    #[must_use]
    pub const fn hosts(&self) -> &Standings {
        &self.hosts
    }

    /// Requests to ECS since this was asked last.
    pub(crate) fn spent(&self) -> u64 {
        self.reads().spent()
    }

    fn reads(&self) -> MutexGuard<'_, Pacer> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a turn of this process has looked before.
    pub(crate) fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Relaxed)
    }

    pub(crate) fn note_look(&self) {
        self.has_looked.store(true, Ordering::Relaxed);
    }

    /// Whether another look has the picture, so that one which begins now would be a look at everything.
    pub(crate) fn is_in_use(&self) -> bool {
        self.looks.load(Ordering::Relaxed) > 0
    }

    fn take(&self) -> Option<Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, picture: Picture) {
        *self.picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
    }
}

/// Counts one look among those that are under way, until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(looks: &'a AtomicUsize) -> Self {
        looks.fetch_add(1, Ordering::Relaxed);
        Self(looks)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The hosts of the fleet's cluster, and what runs there: what could not be read of either is the error of its last try. A
/// fleet without a cluster has neither.
pub async fn cluster<P: ReadEcs + Clock>(
    fleet: &Fleet,
    ports: &P,
    deadline: Timestamp,
    memory: &Memory,
) -> (Answer<Vec<Host>>, Answer<Option<Running>>) {
    let Some(cluster) = &fleet.cluster else { return (Ok(Vec::new()), Ok(None)) };
    let names: Vec<ServiceName> = fleet.services.iter().map(|service| service.name.clone()).collect();
    let now = ports.now();
    let _under_way = UnderWay::new(&memory.looks);
    let kept = memory.take().filter(|picture| picture.serves(cluster, now));
    let look = Look { ports, cluster, deadline, now, memory };
    let before = kept.clone();
    let hosts = look.hosts();
    let services = retry(ports, deadline, || ports.services(cluster, &names));
    let (hosts, services, picture) = match kept {
        Some(picture) => join3(hosts, services, look.unsettled(picture)).await,
        None => join3(hosts, services, look.whole()).await,
    };
    let running = match (&hosts, services, picture) {
        (Ok(hosts), Ok(services), Ok(picture)) => Box::pin(look.changed(hosts, services, picture)).await,
        (Err(error), _, _) => Err(error.clone()),
        (_, Err(error), _) | (_, _, Err(error)) => Err(error),
    };
    // Who is throttled must not ask for everything the next time.
    if let (Err(PortError::Throttled), Some(before)) = (&running, before) {
        memory.keep(before);
    }
    (hosts, running.map(Some))
}

/// The cluster's hosts, and nothing of what runs there.
///
/// # Errors
/// That of the last try.
pub async fn hosts<P: ReadEcs + Clock>(
    cluster: &ClusterName,
    ports: &P,
    deadline: Timestamp,
    memory: &Memory,
) -> Answer<Vec<Host>> {
    Look { ports, cluster, deadline, now: ports.now(), memory }.hosts().await
}

/// So many requests for tasks are made together.
const AT_ONCE: usize = 10;

/// The requests that an answer of so many takes: hosts and tasks come a hundred in a page.
fn pages(of: usize) -> usize {
    of.div_ceil(MOST_TASKS).max(1)
}

/// One look, and whom it asks.
struct Look<'a, P> {
    ports: &'a P,
    cluster: &'a ClusterName,
    deadline: Timestamp,
    now: Timestamp,
    memory: &'a Memory,
}

/// A picture that is being brought up to date.
struct Begun {
    picture: Picture,
    /// Tasks that were asked for in this look.
    asked: BTreeSet<TaskId>,
    /// Those of them that should be as they were, as they were.
    swept: Vec<Task>,
}

impl<P: ReadEcs + Clock> Look<'_, P> {
    async fn hosts(&self) -> Answer<Vec<Host>> {
        let asked = pages(self.memory.hosts.count());
        let hosts = self.paced(asked, || self.ports.hosts(self.cluster)).await?;
        // How many there are is known only now: they were counted, or listed.
        self.note(1 + pages(hosts.len()).saturating_sub(asked), self.ports.now());
        self.memory.hosts.note(&hosts, self.now);
        Ok(hosts)
    }

    /// A call of so many requests, when their time has come.
    async fn paced<T, F: Future<Output = Answer<T>>>(&self, requests: usize, call: impl Fn() -> F) -> Answer<T> {
        let call = || async {
            let wait = self.memory.reads().take(requests, self.ports.now());
            if !wait.is_zero() {
                self.ports.sleep(wait).await;
            }
            // On the heap, or the future of a turn nests deeper than compilers follow.
            let answer = Box::pin(call()).await;
            if matches!(answer, Err(PortError::Throttled)) {
                self.memory.reads().empty(self.ports.now());
            }
            answer
        };
        retry(self.ports, self.deadline, call).await
    }

    /// Notes requests since `from` of which nobody knew before: those that come after them wait for it.
    fn note(&self, requests: usize, from: Timestamp) {
        let _others_wait = self.memory.reads().take(requests, from);
    }

    /// Everything, whatever was known.
    async fn whole(&self) -> Answer<Begun> {
        let mut picture = Picture::new(self.cluster.clone(), self.now);
        let (running, stopping) =
            try_join(self.list(TasksOf::All, Meant::ToRun), self.list(TasksOf::All, Meant::ToStop)).await?;
        let listed: BTreeSet<TaskId> = running.into_iter().chain(stopping).collect();
        let of = picture.protection_at_first(&listed);
        picture.note_to_ask(listed);
        let (asked, (of, protected)) = try_join(self.go_on(&mut picture), self.protection(of)).await?;
        picture.note_protection(&of, protected);
        Ok(Begun { picture, asked, swept: Vec::new() })
    }

    /// Asks for what a look at everything has listed, as long as the turn has time; what it asked for.
    async fn go_on(&self, picture: &mut Picture) -> Answer<BTreeSet<TaskId>> {
        let mut asked = BTreeSet::new();
        while picture.left_to_ask() > 0 && self.ports.now() < self.deadline {
            let some = picture.next_to_ask(AT_ONCE * MOST_TASKS);
            let answer = self.describe(&some).await?;
            picture.take_in_listed(&some, answer);
            asked.extend(some);
        }
        Ok(asked)
    }

    /// What may be other than it was, whatever the hosts say.
    async fn unsettled(&self, mut picture: Picture) -> Answer<Begun> {
        let Ask { unsettled, sweep } = picture.unsettled(self.now);
        let swept = picture.known(&sweep);
        let mut asked: BTreeSet<TaskId> = unsettled.into_iter().chain(sweep).collect();
        let of = picture.protection_due(self.now);
        let (answer, (of, protected)) = try_join(self.describe(&asked), self.protection(of)).await?;
        picture.take_in(&asked, answer);
        asked.extend(self.go_on(&mut picture).await?);
        picture.note_protection(&of, protected);
        Ok(Begun { picture, asked, swept })
    }

    /// What the hosts and services say has changed.
    async fn changed(&self, hosts: &[Host], mut services: Vec<EcsService>, begun: Begun) -> Answer<Running> {
        let Begun { mut picture, mut asked, swept } = begun;
        picture.count_missed(&swept, hosts);
        let named = picture.named(&mut services);
        self.ask(&mut picture, &mut asked, named).await?;
        let on_changed = picture.on_changed(hosts);
        if picture.left_to_ask() > 0 {
            picture.note_hosts(hosts, self.now);
            picture.note_to_ask(on_changed.difference(&asked).cloned().collect());
            let (seen, left) = (picture.len(), picture.left_to_ask());
            self.memory.keep(picture);
            return Err(PortError::Unfinished { seen, all: seen + left });
        }
        self.ask(&mut picture, &mut asked, on_changed).await?;
        picture.note_hosts(hosts, self.now);
        // Where a list of services does not explain the hosts, the hosts' own do.
        for by_service in [true, false] {
            let odd = picture.not_adding_up(hosts, self.now);
            if odd.is_empty() {
                break;
            }
            self.explain(&mut picture, &mut asked, &odd, if by_service { &services } else { &[] }).await?;
        }
        for service in picture.without_host(&services, self.now) {
            let unknown = picture.unknown(self.list(TasksOf::Service(&service), Meant::ToRun).await?);
            self.ask(&mut picture, &mut asked, unknown).await?;
        }
        picture.note_without_host(&services);
        let unseen = picture.stopped_unseen(self.now);
        let lists = unseen.iter().map(|host| self.list(TasksOf::Host(host), Meant::ToStop));
        let listed: Vec<TaskId> = try_join_all(lists).await?.into_iter().flatten().collect();
        let news = picture.not_stopping(listed);
        // The list is newer than what was said of them in this look.
        asked.retain(|id| !news.contains(id));
        self.ask(&mut picture, &mut asked, news.clone()).await?;
        picture.note_unseen(unseen.len(), picture.not_stopping(news.clone()).len() < news.len());
        let late = picture.late(self.now);
        for service in &mut services {
            service.placement_failed = service.placement_failed.max(late.get(&service.name).copied());
        }
        let tasks = picture.tasks();
        self.memory.keep(picture);
        Ok(Running { tasks, services })
    }

    /// Lists what may explain the `odd` hosts, with the fewest calls, and asks for what is new, and for what is known there and
    /// not to run any more.
    async fn explain(
        &self,
        picture: &mut Picture,
        asked: &mut BTreeSet<TaskId>,
        odd: &[InstanceId],
        services: &[EcsService],
    ) -> Answer<()> {
        let of_services = picture.more_than_known(services);
        let by_service: usize = of_services.iter().map(|service| pages(service.counted as usize)).sum();
        let all = picture.len().div_ceil(MOST_TASKS);
        let known = picture.on(odd);
        let (listed, all_of_odd) = if !of_services.is_empty() && by_service < odd.len().min(all) {
            let lists = of_services.iter().map(|service| self.list(TasksOf::Service(&service.name), Meant::ToRun));
            // Those of other services may have changed as well.
            (try_join_all(lists).await?.concat(), false)
        } else if all < odd.len() {
            picture.note_listed(odd, self.now);
            (self.list(TasksOf::All, Meant::ToRun).await?, true)
        } else {
            picture.note_listed(odd, self.now);
            let lists = odd.iter().map(|host| self.list(TasksOf::Host(host), Meant::ToRun));
            (try_join_all(lists).await?.concat(), true)
        };
        let still: BTreeSet<TaskId> = if all_of_odd { listed.iter().cloned().collect() } else { BTreeSet::new() };
        let gone: BTreeSet<TaskId> = known.difference(&still).cloned().collect();
        if all_of_odd {
            // The list is newer than what was said of them in this look.
            asked.retain(|id| !gone.contains(id));
        }
        let ids = picture.unknown(listed).into_iter().chain(gone).collect();
        self.ask(picture, asked, ids).await
    }

    /// Asks for tasks that were not asked for in this look.
    async fn ask(&self, picture: &mut Picture, asked: &mut BTreeSet<TaskId>, ids: BTreeSet<TaskId>) -> Answer<()> {
        let ids: BTreeSet<TaskId> = ids.difference(asked).cloned().collect();
        let answer = self.describe(&ids).await?;
        picture.take_in(&ids, answer);
        asked.extend(ids);
        Ok(())
    }

    async fn list(&self, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        let from = self.ports.now();
        let listed = self.paced(1, || self.ports.task_ids(self.cluster, of, meant)).await?;
        // One page comes after the other, no faster than looks may ask.
        self.note(pages(listed.len()) - 1, from);
        Ok(listed)
    }

    async fn describe(&self, tasks: &BTreeSet<TaskId>) -> Answer<Vec<TaskNow>> {
        let tasks: Vec<TaskId> = tasks.iter().cloned().collect();
        let mut found = Vec::with_capacity(tasks.len());
        for some in tasks.chunks(AT_ONCE * MOST_TASKS) {
            let call = || self.ports.describe_tasks(self.cluster, some);
            found.extend(self.paced(pages(some.len()), call).await?);
        }
        Ok(found)
    }

    /// Of which tasks it was asked whether they are protected, and those that are.
    async fn protection(&self, of: Vec<TaskId>) -> Answer<(Vec<TaskId>, BTreeSet<TaskId>)> {
        if of.is_empty() {
            return Ok((of, BTreeSet::new()));
        }
        let protected = retry(self.ports, self.deadline, || self.ports.protected(self.cluster, &of)).await?;
        Ok((of, protected))
    }
}
