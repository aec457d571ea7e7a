//! The placement proof: whether what runs on some hosts has a place on the others, by the same rule of what fits as the
//! counts are set by.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::fleet::Fleet;
use evenkeel_model::observed::{Observed, Task};
use evenkeel_model::resources::Port;
use evenkeel_model::{InstanceId, Resources, ServiceName, TaskId};

use crate::books::{Books, Cleared};

/// Why hosts cannot be emptied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    /// A task that belongs to no service: ECS does not move it.
    #[error("the standalone task {task} is on {host}, and ECS does not move it")]
    Standalone {
        /// The task.
        task: TaskId,
        /// Its host.
        host: InstanceId,
    },
    /// A task that is protected from being stopped.
    #[error("a task of {service} on {host} is protected")]
    Protected {
        /// Its service.
        service: ServiceName,
        /// Its host.
        host: InstanceId,
    },
    /// A task has no place elsewhere.
    #[error("{tasks} tasks of {service} have no place elsewhere; one needs {} MiB and {} CPU units", .task.memory, .task.cpu)]
    NoRoom {
        /// Its service.
        service: ServiceName,
        /// The tasks that have none.
        tasks: u32,
        /// What one of them needs.
        task: Resources,
    },
}

/// Whether all tasks that count on the hosts `leaving` have a place on the others. Fill services of a lower priority give
/// way down to their `min_tasks`, and their own tasks on these hosts just go. Pure.
///
/// # Errors
/// [`Stays`] with the first thing in the way.
pub fn moves_off(fleet: &Fleet, seen: &Observed, leaving: &BTreeSet<InstanceId>) -> Result<(), Stays> {
    let books = Books::count(fleet, seen);
    let mut places = Places::new(&books, seen, leaving);
    let mut moving: Vec<(u32, std::cmp::Reverse<Resources>, &ServiceName, &Task)> = Vec::new();
    for task in seen.tasks.iter().filter(|task| task.is_live() && leaving.contains(&task.host)) {
        let Some(name) = &task.service else {
            return Err(Stays::Standalone { task: task.id.clone(), host: task.host.clone() });
        };
        let file = fleet.services.iter().find(|service| service.name == *name);
        if file.is_some_and(|file| file.fill) || is_daemon(seen, name, fleet) {
            continue;
        }
        if task.protected {
            return Err(Stays::Protected { service: name.clone(), host: task.host.clone() });
        }
        moving.push((file.map_or(1, |file| file.priority), std::cmp::Reverse(task.takes.resources), name, task));
    }
    // The important first, then the large, which fit in fewest places.
    moving.sort_by(|a, b| (a.0, a.1, a.2, &a.3.id).cmp(&(b.0, b.1, b.2, &b.3.id)));
    for (index, (priority, _, name, task)) in moving.iter().enumerate() {
        if !places.take(*priority, name, task) {
            let left = moving[index..].iter().filter(|(_, _, other, _)| other == name).count();
            let tasks = u32::try_from(left).unwrap_or(u32::MAX);
            return Err(Stays::NoRoom { service: (*name).clone(), tasks, task: task.takes.resources });
        }
    }
    Ok(())
}

/// A service that is not the fleet file's and has one task on each host is taken for a daemon, whose tasks go with it.
fn is_daemon(seen: &Observed, name: &ServiceName, fleet: &Fleet) -> bool {
    if fleet.services.iter().any(|service| service.name == *name) {
        return false;
    }
    let mut on: BTreeMap<&InstanceId, u32> = BTreeMap::new();
    for task in seen.tasks.iter().filter(|task| task.service.as_ref() == Some(name) && task.is_live()) {
        *on.entry(&task.host).or_default() += 1;
    }
    let everywhere = seen.hosts.iter().filter(|host| host.takes_tasks()).all(|host| on.contains_key(&host.id));
    everywhere && on.values().all(|tasks| *tasks == 1)
}

/// The room on the hosts that stay.
struct Places<'b, 'a> {
    books: &'b Books<'a>,
    seen: &'a Observed,
    /// Room that is free now, by host; none on hosts that leave.
    room: Vec<Option<Resources>>,
    /// What must go on a host before there is room.
    over: Vec<Resources>,
    /// Ports that moved tasks took, and those that fill tasks gave back.
    taken: Vec<BTreeSet<Port>>,
    cleared: Vec<BTreeSet<Port>>,
    /// Fill tasks that have given way.
    gone: BTreeSet<&'a TaskId>,
    /// How many more each fill service may give.
    may_give: BTreeMap<&'a ServiceName, u32>,
    /// Services of which one came to a host that takes only one.
    distinct: BTreeSet<(usize, usize)>,
}

impl<'b, 'a> Places<'b, 'a> {
    fn new(books: &'b Books<'a>, seen: &'a Observed, leaving: &BTreeSet<InstanceId>) -> Self {
        let room = |book: &crate::books::HostBook<'_>| {
            (book.host.takes_tasks() && !leaving.contains(&book.host.id)).then_some(book.placeable)
        };
        let fill = books.services.iter().filter(|book| book.file.fill);
        Self {
            books,
            seen,
            room: books.hosts.iter().map(room).collect(),
            over: books.hosts.iter().map(|book| book.over).collect(),
            taken: vec![BTreeSet::new(); books.hosts.len()],
            cleared: vec![BTreeSet::new(); books.hosts.len()],
            gone: BTreeSet::new(),
            may_give: fill.map(|book| (&book.file.name, book.live().saturating_sub(book.file.min_tasks))).collect(),
            distinct: BTreeSet::new(),
        }
    }

    /// Finds the task a place, and takes it: where least room is left, and with fill tasks gone only where nothing else
    /// helps.
    fn take(&mut self, priority: u32, name: &ServiceName, task: &Task) -> bool {
        let rank = self.books.services.iter().position(|book| book.file.name == *name);
        let fits = |places: &Self, host: usize| {
            let room = places.room[host].filter(|room| places.fits(rank, host, *room, task));
            room.map(|room| (room, host))
        };
        let hosts = 0..self.room.len();
        if let Some((room, host)) = hosts.clone().filter_map(|host| fits(self, host)).min() {
            self.put(rank, host, room, task);
            return true;
        }
        for host in hosts {
            let Some(room) = self.room[host] else { continue };
            let Some((more, ports, gone)) = self.without_fill(host, priority) else { continue };
            let before = std::mem::replace(&mut self.cleared[host], ports);
            let room = room.plus(more.minus(self.over[host]));
            if self.fits(rank, host, room, task) {
                for (service, id) in gone {
                    self.gone.insert(id);
                    if let Some(left) = self.may_give.get_mut(service) {
                        *left -= 1;
                    }
                }
                self.over[host] = self.over[host].minus(more);
                self.put(rank, host, room, task);
                return true;
            }
            self.cleared[host] = before;
        }
        false
    }

    fn fits(&self, rank: Option<usize>, host: usize, room: Resources, task: &Task) -> bool {
        if !self.taken[host].is_disjoint(&task.takes.ports) || room.times(task.takes.resources) == 0 {
            return false;
        }
        let Some(rank) = rank else {
            // Not in the fleet file: its constraints are not known, its size and ports are.
            return self.books.hosts[host].ports.is_disjoint(&task.takes.ports);
        };
        let book = &self.books.services[rank];
        let one_came = book.distinct && self.distinct.contains(&(rank, host));
        // Its provider misses one then, and others are not asked for it.
        let provider = |id: &InstanceId| self.seen.hosts.iter().find(|host| host.id == *id)?.provider.as_ref();
        let elsewhere = book.split.is_some() && provider(&task.host) != self.books.hosts[host].host.provider.as_ref();
        !one_came && !elsewhere && self.books.slots_with(rank, host, room, Cleared { ports: &self.cleared[host] }) > 0
    }

    fn put(&mut self, rank: Option<usize>, host: usize, room: Resources, task: &Task) {
        self.room[host] = Some(room.minus(task.takes.resources));
        self.taken[host].extend(&task.takes.ports);
        self.distinct.extend(rank.map(|rank| (rank, host)));
    }

    /// The room and the ports that fill tasks of lower priorities would give back on a host, and which tasks those are.
    #[expect(clippy::type_complexity, reason = "read once, right below where it is made")]
    fn without_fill(
        &self,
        host: usize,
        priority: u32,
    ) -> Option<(Resources, BTreeSet<Port>, Vec<(&'a ServiceName, &'a TaskId)>)> {
        let id = &self.books.hosts[host].host.id;
        let mut left = self.may_give.clone();
        let mut more = Resources::default();
        let mut ports = self.cleared[host].clone();
        let mut gone = Vec::new();
        for task in self.seen.tasks.iter().filter(|task| task.host == *id && task.is_live() && !task.protected) {
            let Some(book) = self.books.services.iter().find(|book| Some(&book.file.name) == task.service.as_ref())
            else {
                continue;
            };
            let gives = left.get_mut(&book.file.name).filter(|left| **left > 0 && book.file.priority > priority);
            let Some(gives) = gives.filter(|_| !self.gone.contains(&task.id)) else { continue };
            *gives -= 1;
            more = more.plus(task.takes.resources);
            ports.extend(&task.takes.ports);
            gone.push((task.service.as_ref()?, &task.id));
        }
        (!gone.is_empty()).then_some((more, ports, gone))
    }
}
