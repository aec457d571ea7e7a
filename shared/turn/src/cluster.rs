//! A look at a cluster: everything the first time, and then what has changed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use evenkeel_model::observed::{EcsService, Host, Running, Task};
use evenkeel_model::{ClusterName, Fleet, InstanceId, ServiceName, TaskId, Timestamp};
use futures_util::future::{join3, try_join, try_join_all};

use crate::picture::{Ask, Picture};
use crate::ports::{Answer, Clock, MOST_TASKS, Meant, PortError, ReadEcs, TaskNow, TasksOf};
use crate::retry;

/// What a process keeps of a cluster between two turns. A look that fails, or is killed, leaves nothing, and the next one asks
/// for everything; one that was throttled leaves what was there before it.
#[derive(Debug, Default)]
pub struct Memory {
    picture: Mutex<Option<Picture>>,
}

impl Memory {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { picture: Mutex::new(None) }
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

    fn take(&self) -> Option<Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, picture: Picture) {
        *self.picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
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
    let look = Look { ports, cluster, deadline, now };
    let kept = memory.take().filter(|picture| picture.serves(cluster, now));
    let before = kept.clone();
    let hosts = look.hosts();
    let services = retry(ports, deadline, || ports.services(cluster, &names));
    let (hosts, services, picture) = match kept {
        Some(picture) => join3(hosts, services, look.unsettled(picture)).await,
        None => join3(hosts, services, look.whole()).await,
    };
    let running = match (&hosts, services, picture) {
        (Ok(hosts), Ok(services), Ok(picture)) => look.changed(hosts, services, picture, memory).await,
        (Err(error), _, _) => Err(error.clone()),
        (_, Err(error), _) | (_, _, Err(error)) => Err(error),
    };
    // Who is throttled must not ask for everything the next time.
    if let (Err(PortError::Throttled), Some(before)) = (&running, before) {
        memory.keep(before);
    }
    (hosts, running.map(Some))
}

/// One look, and whom it asks.
struct Look<'a, P> {
    ports: &'a P,
    cluster: &'a ClusterName,
    deadline: Timestamp,
    now: Timestamp,
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
        retry(self.ports, self.deadline, || self.ports.hosts(self.cluster)).await
    }

    /// Everything, whatever was known.
    async fn whole(&self) -> Answer<Begun> {
        let mut picture = Picture::new(self.cluster.clone(), self.now);
        let (running, stopping) =
            try_join(self.list(TasksOf::All, Meant::ToRun), self.list(TasksOf::All, Meant::ToStop)).await?;
        let asked: BTreeSet<TaskId> = running.into_iter().chain(stopping).collect();
        let of = picture.protection_at_first(&asked);
        let (answer, (of, protected)) = try_join(self.describe(&asked), self.protection(of)).await?;
        picture.take_in(&asked, answer);
        picture.note_protection(&of, protected);
        Ok(Begun { picture, asked, swept: Vec::new() })
    }

    /// What may be other than it was, whatever the hosts say.
    async fn unsettled(&self, mut picture: Picture) -> Answer<Begun> {
        let Ask { unsettled, sweep } = picture.unsettled(self.now);
        let swept = picture.known(&sweep);
        let asked: BTreeSet<TaskId> = unsettled.into_iter().chain(sweep).collect();
        let of = picture.protection_due(self.now);
        let (answer, (of, protected)) = try_join(self.describe(&asked), self.protection(of)).await?;
        picture.take_in(&asked, answer);
        picture.note_protection(&of, protected);
        Ok(Begun { picture, asked, swept })
    }

    /// What the hosts and services say has changed.
    async fn changed(
        &self,
        hosts: &[Host],
        mut services: Vec<EcsService>,
        begun: Begun,
        memory: &Memory,
    ) -> Answer<Running> {
        let Begun { mut picture, mut asked, swept } = begun;
        picture.count_missed(&swept, hosts);
        let on_changed = picture.on_changed(hosts);
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
            let listed = self.list(TasksOf::Service(&service), Meant::ToRun).await?;
            self.ask_for_unknown(&mut picture, &mut asked, listed).await?;
        }
        picture.note_without_host(&services);
        let unseen = picture.stopped_unseen(self.now);
        let lists = unseen.iter().map(|host| self.list(TasksOf::Host(host), Meant::ToStop));
        let listed: Vec<TaskId> = try_join_all(lists).await?.into_iter().flatten().collect();
        let found = self.ask_for_unknown(&mut picture, &mut asked, listed).await?;
        picture.note_unseen(unseen.len(), found);
        let late = picture.late(self.now);
        for service in &mut services {
            service.placement_failed = service.placement_failed.max(late.get(&service.name).copied());
        }
        let tasks = picture.tasks();
        memory.keep(picture);
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
        let pages = |tasks: u32| usize::try_from(tasks).unwrap_or(usize::MAX).div_ceil(MOST_TASKS).max(1);
        let of_services = picture.more_than_known(services);
        let by_service: usize = of_services.iter().map(|service| pages(service.counted)).sum();
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
        let ids = picture.unknown(listed).into_iter().chain(known.difference(&still).cloned()).collect();
        self.ask(picture, asked, ids).await
    }

    /// Asks for those of the listed tasks that are not known; whether there was one that is not STOPPED.
    async fn ask_for_unknown(
        &self,
        picture: &mut Picture,
        asked: &mut BTreeSet<TaskId>,
        listed: Vec<TaskId>,
    ) -> Answer<bool> {
        let unknown = picture.unknown(listed);
        let before = picture.len();
        self.ask(picture, asked, unknown).await?;
        Ok(picture.len() > before)
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
        retry(self.ports, self.deadline, || self.ports.task_ids(self.cluster, of, meant)).await
    }

    async fn describe(&self, tasks: &BTreeSet<TaskId>) -> Answer<Vec<TaskNow>> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let tasks: Vec<TaskId> = tasks.iter().cloned().collect();
        retry(self.ports, self.deadline, || self.ports.describe_tasks(self.cluster, &tasks)).await
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
