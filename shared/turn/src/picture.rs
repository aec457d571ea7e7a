//! What a process keeps of a cluster's tasks between two looks, and what of it may have changed.
//!
//! A host's answer says that its tasks have changed ([`Mark`]), and what they take. So tasks are asked for again only on
//! such hosts, and listed only where what is known does not add up to what the host says. Tasks that are on their way up or
//! down are asked for with each look, because no host tells when a stopping one has stopped. All others are asked for once in
//! [`ROUND`] as well, a few with each look: what differs then had been missed.
//!
//! [`Mark`]: evenkeel_model::observed::Mark

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::observed::{EcsService, Host, Mark, Task, TaskPhase};
use evenkeel_model::resources::Resources;
use evenkeel_model::{ClusterName, InstanceId, ServiceName, TaskId, Timestamp};

use crate::compared::{Compared, unexplained};
use crate::ports::{MOST_TASKS, OLD_ANSWERS, TaskNow};
use crate::round::{ROUND, Round};

/// A picture that is older is not worth comparing with.
const MOST_AGE: Duration = Duration::from_secs(600);
/// A task that has room is placed within seconds.
const PLACED_WITHIN: Duration = Duration::from_secs(60);
/// Most tasks have stopped this long after they were told to.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Of so many batches of tasks it is asked at once whether they are protected.
const FIRST_BATCHES: usize = 5;
/// In one look, stopping tasks are listed of so many hosts at most.
const MOST_LISTS: usize = 10;
/// So many lists of stopping tasks that showed nothing say that hosts count more than what is told here.
const LISTS_IN_VAIN: u32 = 50;

/// A cluster's tasks as they were seen last.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    cluster: ClusterName,
    at: Timestamp,
    /// The look before was so lately that what was told to stop since may not have stopped.
    follows: bool,
    /// All tasks were asked for in this look.
    whole: bool,
    /// Those that are not STOPPED.
    tasks: BTreeMap<TaskId, Kept>,
    hosts: BTreeMap<InstanceId, Compared>,
    protected: BTreeSet<TaskId>,
    /// Which tasks are asked for next although nothing says that they have changed.
    sweep: Round,
    /// Of which it is asked next whether they are protected.
    protection: Round,
    in_vain: u32,
    /// By how many tasks ECS counts more of a service than are known, and since when.
    waiting: BTreeMap<ServiceName, (u32, Timestamp)>,
    /// Tasks that had changed without their host saying so.
    missed: u64,
    /// What a first look has listed and not asked for yet.
    to_ask: BTreeSet<TaskId>,
    /// Tasks that were asked for because a service named them, and when it did.
    named: BTreeMap<TaskId, Timestamp>,
    /// Where tasks of which something was said were before, as they were compared with their hosts' versions last.
    told: BTreeMap<TaskId, Place>,
}

/// The host of a task that is not STOPPED, and what it does there.
type Place = Option<(InstanceId, TaskPhase)>;

/// A task that is not STOPPED.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    /// On a host.
    On(Task),
    /// It has no host yet: when it was made, and whether it waits for a capacity provider to have one.
    Waits(Option<ServiceName>, Timestamp, bool),
    /// It will never be on a host of an Auto Scaling group.
    Elsewhere,
}

impl Picture {
    pub(crate) const fn new(cluster: ClusterName, now: Timestamp) -> Self {
        Self {
            cluster,
            at: now,
            follows: false,
            whole: true,
            tasks: BTreeMap::new(),
            hosts: BTreeMap::new(),
            protected: BTreeSet::new(),
            sweep: Round { from: None, at: now },
            protection: Round { from: None, at: now },
            in_vain: 0,
            waiting: BTreeMap::new(),
            missed: 0,
            to_ask: BTreeSet::new(),
            named: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Whether it can be compared with what is there now.
    pub(crate) fn serves(&self, cluster: &ClusterName, now: Timestamp) -> bool {
        self.cluster == *cluster && now >= self.at && now.duration_since(self.at).unsigned_abs() <= MOST_AGE
    }

    /// Whether it is large, and will soon serve no more.
    pub(crate) fn pays(&self, now: Timestamp) -> bool {
        self.tasks.len() > MOST_TASKS && now.duration_since(self.at).unsigned_abs() >= MOST_AGE / 2
    }

    /// Tasks to ask for before anything else is known: those on their way up or down, those without a host that is there,
    /// and those whose turn it is.
    pub(crate) fn unsettled(&mut self, now: Timestamp) -> Ask {
        let settled = |kept: &Kept| match kept {
            Kept::On(task) => task.phase == TaskPhase::Running && self.hosts.contains_key(&task.host),
            Kept::Waits(..) => false,
            Kept::Elsewhere => true,
        };
        let unsettled = self.tasks.iter().filter(|(_, kept)| !settled(kept)).map(|(id, _)| id.clone());
        let unsettled: BTreeSet<TaskId> = unsettled.collect();
        let swept = self.sweep.due(&self.tasks, now);
        Ask { sweep: swept.difference(&unsettled).cloned().collect(), unsettled }
    }

    /// Tasks of which to ask whether they are protected: those that were, and those whose turn it is.
    pub(crate) fn protection_due(&mut self, now: Timestamp) -> Vec<TaskId> {
        let due = self.protection.due(&self.tasks, now);
        self.protected.union(&due).cloned().collect()
    }

    /// The same for a picture that is just begun: of a few hundred tasks at once, of the others in their turn.
    pub(crate) fn protection_at_first(&mut self, tasks: &BTreeSet<TaskId>) -> Vec<TaskId> {
        let first: Vec<TaskId> = tasks.iter().take(FIRST_BATCHES * MOST_TASKS).cloned().collect();
        self.protection.from = first.last().cloned();
        first
    }

    pub(crate) fn note_protection(&mut self, asked: &[TaskId], protected: BTreeSet<TaskId>) {
        self.protected.retain(|id| !asked.contains(id));
        self.protected.extend(protected);
    }

    /// Takes in what was said of `asked`; one of which nothing was said is gone.
    pub(crate) fn take_in<'a>(&mut self, asked: impl IntoIterator<Item = &'a TaskId>, answer: Vec<TaskNow>) {
        for (id, now) in as_kept(asked, answer) {
            let before = self.place(&id);
            // Old answers may have a task go and come again in one look, which then did not happen.
            self.told.entry(id.clone()).or_insert(before);
            self.replace(id, now);
        }
    }

    /// The same for what a first look has listed: what happened to it before says nothing of what its host tells since.
    pub(crate) fn take_in_listed(&mut self, asked: &BTreeSet<TaskId>, answer: Vec<TaskNow>) {
        as_kept(asked, answer).into_iter().for_each(|(id, now)| self.replace(id, now));
    }

    fn replace(&mut self, id: TaskId, now: Option<Kept>) {
        match now {
            Some(now) => self.tasks.insert(id, now),
            None => self.tasks.remove(&id),
        };
    }

    fn place(&self, id: &TaskId) -> Place {
        match self.tasks.get(id) {
            Some(Kept::On(task)) => Some((task.host.clone(), task.phase)),
            Some(Kept::Waits(..) | Kept::Elsewhere) | None => None,
        }
    }

    /// What has happened on hosts since they were compared, as far as is known, counted as their versions count.
    fn events(&self) -> BTreeMap<InstanceId, u64> {
        let mut events: BTreeMap<InstanceId, u64> =
            self.hosts.iter().map(|(id, known)| (id.clone(), known.changes)).collect();
        for (id, before) in &self.told {
            let now = self.place(id);
            // A placement is one event of a host, and so is the word to stop.
            let more = match (before.as_ref().map(|(_, phase)| phase), now.as_ref().map(|(_, phase)| phase)) {
                (None, Some(TaskPhase::Stopping)) => 2,
                (None, Some(_)) | (Some(TaskPhase::Pending | TaskPhase::Running), Some(TaskPhase::Stopping) | None) => {
                    1
                }
                _ => 0,
            };
            if let Some(known) = now.as_ref().or(before.as_ref()).and_then(|(host, _)| events.get_mut(host)) {
                *known += more;
            }
        }
        events
    }

    /// Known tasks that may have changed: those on hosts that are not there any more, and on hosts that have another mark than
    /// at the last look. Not where what was told of them since is all that happened there, and not where more is taken than
    /// they take: what has come there is to be listed, and the list says which of them still are to run.
    pub(crate) fn on_changed(&self, hosts: &[Host]) -> BTreeSet<TaskId> {
        let live = self.live();
        let events = self.events();
        // As long as not everything was asked for, nothing adds up.
        let whole = self.to_ask.is_empty();
        let clear = |host: &&Host| {
            let Some(known) = self.hosts.get(&host.id) else { return false };
            let unexplained = unexplained(host, &live);
            let told = host.mark.version.saturating_sub(known.version) == events.get(&host.id).copied().unwrap_or(0);
            let more = unexplained.iter().zip(known.unexplained).any(|(now, before)| *now > before);
            known.mark == host.mark || (whole && (more || (unexplained == known.unexplained && told)))
        };
        let clear: BTreeSet<&InstanceId> = hosts.iter().filter(clear).map(|host| &host.id).collect();
        self.tasks_on(|host| !clear.contains(host))
    }

    /// Known tasks on these hosts.
    pub(crate) fn on(&self, hosts: &[InstanceId]) -> BTreeSet<TaskId> {
        let hosts: BTreeSet<&InstanceId> = hosts.iter().collect();
        self.tasks_on(|host| hosts.contains(host))
    }

    fn tasks_on(&self, those: impl Fn(&InstanceId) -> bool) -> BTreeSet<TaskId> {
        let on_those = |kept: &Kept| matches!(kept, Kept::On(task) if those(&task.host));
        self.tasks.iter().filter(|(_, kept)| on_those(kept)).map(|(id, _)| id.clone()).collect()
    }

    /// Counts those tasks that are other than `before` on hosts that say that nothing has changed.
    pub(crate) fn count_missed(&mut self, before: &[Task], hosts: &[Host]) {
        let marks: BTreeMap<&InstanceId, Mark> = hosts.iter().map(|host| (&host.id, host.mark)).collect();
        let silent = |task: &Task| {
            let known = self.hosts.get(&task.host);
            known.is_some_and(|known| marks.get(&task.host) == Some(&known.mark))
        };
        let same = |task: &Task| matches!(self.tasks.get(&task.id), Some(Kept::On(now)) if now.phase == task.phase);
        let missed = before.iter().filter(|task| silent(task) && !same(task)).count();
        self.missed += u64::try_from(missed).unwrap_or(u64::MAX);
    }

    /// These tasks as they are known, where they are on a host.
    pub(crate) fn known(&self, ids: &BTreeSet<TaskId>) -> Vec<Task> {
        let known = |id: &TaskId| match self.tasks.get(id) {
            Some(Kept::On(task)) => Some(task.clone()),
            _ => None,
        };
        ids.iter().filter_map(known).collect()
    }

    /// Takes in the hosts' marks, and forgets hosts that are gone.
    pub(crate) fn note_hosts(&mut self, hosts: &[Host], now: Timestamp) {
        let mut known = std::mem::take(&mut self.hosts);
        // A whole look has asked for what stops; of a host that has come since, nothing is known.
        let whole = std::mem::take(&mut self.whole);
        if whole {
            self.told.clear();
        }
        let new = |host: &Host| Compared::new(host, now, if whole { host.mark.version } else { 0 });
        let compared = |host: &Host| {
            let before = known.remove(&host.id);
            (host.id.clone(), before.map_or_else(|| new(host), |before| before.with(host, now)))
        };
        self.hosts = hosts.iter().map(compared).collect();
        self.follows = now.duration_since(self.at).unsigned_abs() <= STOPS_WITHIN;
        self.at = now;
    }

    /// Notes that the tasks of these hosts were listed.
    pub(crate) fn note_listed<'a>(&mut self, hosts: impl IntoIterator<Item = &'a InstanceId>, now: Timestamp) {
        for host in hosts {
            if let Some(known) = self.hosts.get_mut(host) {
                known.listed = Some(now);
            }
        }
    }

    /// Hosts whose tasks have to be listed, because those that are known do not add up to what the host says is left.
    ///
    /// One whose numbers never add up is listed until a list is no old answer any more. What was unexplained before and after
    /// that is taken to be so, until it changes, and for a round at most.
    pub(crate) fn not_adding_up(&mut self, hosts: &[Host], now: Timestamp) -> Vec<InstanceId> {
        let live = self.live();
        let mut odd = Vec::new();
        for host in hosts {
            let Some(known) = self.hosts.get_mut(&host.id) else { continue };
            let unexplained = unexplained(host, &live);
            let was = std::mem::replace(&mut known.unexplained, unexplained);
            let certain = |listed: Timestamp| {
                let recent = now.duration_since(listed).unsigned_abs() < ROUND;
                recent && listed >= known.since + OLD_ANSWERS && was == unexplained
            };
            if unexplained != [0, 0] && !known.listed.is_some_and(certain) {
                odd.push(host.id.clone());
            }
        }
        odd
    }

    /// What the known tasks take of each host.
    fn live(&self) -> BTreeMap<InstanceId, Resources> {
        let mut live: BTreeMap<InstanceId, Resources> = BTreeMap::new();
        for kept in self.tasks.values() {
            if let Kept::On(task) = kept
                && task.is_live()
            {
                let sum = live.entry(task.host.clone()).or_default();
                *sum = sum.plus(task.takes.resources);
            }
        }
        live
    }

    /// Hosts on which more has happened than is known of their tasks: one may have come there and been told to stop between
    /// two looks. Their stopping tasks are listed twice, because the first list may be an old answer.
    pub(crate) fn stopped_unseen(&mut self, now: Timestamp) -> Vec<InstanceId> {
        let mut unseen = Vec::new();
        let events = self.events();
        for (id, known) in &mut self.hosts {
            let happened = known.mark.version.saturating_sub(known.version);
            let told = events.get(id).copied().unwrap_or(0);
            let unexplained = happened > told && (self.in_vain < LISTS_IN_VAIN || told == 0);
            let again = known.stops_again.is_some_and(|due| due <= now);
            if !self.follows || !(unexplained || again) {
                continue;
            }
            if unseen.len() == MOST_LISTS {
                // Its turn comes with the next look.
                known.stops_again = Some(now);
                continue;
            }
            known.stops_again = unexplained.then_some(now + OLD_ANSWERS);
            unseen.push(id.clone());
        }
        unseen
    }

    /// Notes that so many lists of stopping tasks showed what was not known, or not, and that no more is asked for in this
    /// look.
    pub(crate) fn note_unseen(&mut self, lists: usize, found: bool) {
        let lists = u32::try_from(lists).unwrap_or(u32::MAX);
        self.in_vain = if found { 0 } else { self.in_vain.saturating_add(lists) };
        for known in self.hosts.values_mut() {
            known.version = known.mark.version;
            known.changes = 0;
        }
        self.told.clear();
    }

    /// Services on capacity providers of which ECS counts more tasks than are known: they wait for a host, so no host tells of
    /// them. What a list does not explain is asked for again until that is no old answer, when it changes, and once in a round.
    pub(crate) fn without_host(&mut self, services: &[EcsService], now: Timestamp) -> Vec<ServiceName> {
        let age = |since: Timestamp| now.duration_since(since).unsigned_abs();
        let before = std::mem::take(&mut self.waiting);
        let since = |name: &ServiceName, more: u32| {
            before.get(name).filter(|(was, since)| *was == more && age(*since) < ROUND).map_or(now, |(_, since)| *since)
        };
        let excess = self.excess(services).into_iter();
        self.waiting = excess.map(|(name, more)| (name.clone(), (more, since(&name, more)))).collect();
        self.waiting.iter().filter(|(_, (_, since))| age(*since) < OLD_ANSWERS).map(|(name, _)| name.clone()).collect()
    }

    /// Notes that those services' tasks were listed.
    pub(crate) fn note_without_host(&mut self, services: &[EcsService]) {
        let excess = self.excess(services);
        self.waiting.retain(|name, _| excess.contains_key(name));
    }

    fn excess(&self, services: &[EcsService]) -> BTreeMap<ServiceName, u32> {
        let counts = self.counts();
        let of_providers = services.iter().filter(|service| !service.providers.is_empty());
        let excess = of_providers.filter_map(|service| {
            let known = counts.get(&service.name).copied().unwrap_or(0);
            (service.counted > known).then(|| (service.name.clone(), service.counted - known))
        });
        excess.collect()
    }

    /// Those of `services` of which ECS counts more tasks than are known on hosts.
    pub(crate) fn more_than_known<'s>(&self, services: &'s [EcsService]) -> Vec<&'s EcsService> {
        let counts = self.counts();
        services.iter().filter(|service| service.counted > counts.get(&service.name).copied().unwrap_or(0)).collect()
    }

    fn counts(&self) -> BTreeMap<&ServiceName, u32> {
        let mut counts: BTreeMap<&ServiceName, u32> = BTreeMap::new();
        for kept in self.tasks.values() {
            let service = match kept {
                Kept::On(task) if task.is_live() => task.service.as_ref(),
                Kept::Waits(service, ..) => service.as_ref(),
                Kept::On(_) | Kept::Elsewhere => None,
            };
            if let Some(service) = service {
                *counts.entry(service).or_default() += 1;
            }
        }
        counts
    }

    /// Tasks that services have named since shortly before the last look, of which nothing is known, or only that they run.
    pub(crate) fn named(&mut self, services: &mut [EcsService]) -> BTreeSet<TaskId> {
        let from = self.at - OLD_ANSWERS;
        self.named.retain(|_, at| *at >= from);
        let mut fresh = BTreeSet::new();
        for (task, at) in services.iter_mut().flat_map(|service| std::mem::take(&mut service.told_of)) {
            let settled = match self.tasks.get(&task) {
                None => true,
                Some(Kept::On(known)) => known.phase == TaskPhase::Running,
                Some(Kept::Waits(..) | Kept::Elsewhere) => false,
            };
            if at >= from && self.named.insert(task.clone(), at) != Some(at) && settled {
                fresh.insert(task);
            }
        }
        fresh
    }

    /// Notes what is to be asked for, now or by the next look.
    pub(crate) fn note_to_ask(&mut self, tasks: BTreeSet<TaskId>) {
        self.to_ask.extend(tasks);
    }

    /// The next so many that are to be asked for.
    pub(crate) fn next_to_ask(&mut self, most: usize) -> BTreeSet<TaskId> {
        match self.to_ask.iter().nth(most).cloned() {
            Some(first_left) => {
                let left = self.to_ask.split_off(&first_left);
                std::mem::replace(&mut self.to_ask, left)
            }
            None => std::mem::take(&mut self.to_ask),
        }
    }

    /// How many are still to be asked for.
    pub(crate) fn left_to_ask(&self) -> usize {
        self.to_ask.len()
    }

    /// How many tasks are known.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Those of the listed tasks that are not known.
    pub(crate) fn unknown(&self, listed: impl IntoIterator<Item = TaskId>) -> BTreeSet<TaskId> {
        listed.into_iter().filter(|id| !self.tasks.contains_key(id)).collect()
    }

    /// Those of the tasks that are listed as to stop which are not known so.
    pub(crate) fn not_stopping(&self, listed: impl IntoIterator<Item = TaskId>) -> BTreeSet<TaskId> {
        let stops =
            |id: &TaskId| matches!(self.tasks.get(id), Some(Kept::On(task)) if task.phase == TaskPhase::Stopping);
        listed.into_iter().filter(|id| !stops(id)).collect()
    }

    /// By service, when the newest of the tasks that wait for a host of their capacity provider should have had one: ECS says
    /// nothing of it, as it expects the provider's group to grow.
    pub(crate) fn late(&self, now: Timestamp) -> BTreeMap<ServiceName, Timestamp> {
        let mut late: BTreeMap<ServiceName, Timestamp> = BTreeMap::new();
        for kept in self.tasks.values() {
            let Kept::Waits(Some(service), created, true) = kept else { continue };
            let due = *created + PLACED_WITHIN;
            if due <= now {
                let newest = late.entry(service.clone()).or_insert(due);
                *newest = due.max(*newest);
            }
        }
        late
    }

    /// All tasks on hosts.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let on_host = |kept: &Kept| match kept {
            Kept::On(task) => Some(Task { protected: self.protected.contains(&task.id), ..task.clone() }),
            Kept::Waits(..) | Kept::Elsewhere => None,
        };
        self.tasks.values().filter_map(on_host).collect()
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

/// What was said of each of `asked`; one of which nothing was said is gone.
fn as_kept<'a>(asked: impl IntoIterator<Item = &'a TaskId>, answer: Vec<TaskNow>) -> BTreeMap<TaskId, Option<Kept>> {
    let mut kept: BTreeMap<TaskId, Option<Kept>> = asked.into_iter().map(|id| (id.clone(), None)).collect();
    kept.extend(answer.into_iter().map(|found| match found {
        TaskNow::On(task) => (task.id.clone(), Some(Kept::On(task))),
        TaskNow::Waits { id, service, created, for_host } => (id, Some(Kept::Waits(service, created, for_host))),
        TaskNow::Elsewhere(id) => (id, Some(Kept::Elsewhere)),
        TaskNow::Stopped(id) => (id, None),
    }));
    kept
}

/// What to ask for before anything else is known.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    /// Tasks that may be other than they were.
    pub(crate) unsettled: BTreeSet<TaskId>,
    /// Tasks that should be as they were.
    pub(crate) sweep: BTreeSet<TaskId>,
}
