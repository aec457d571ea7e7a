//! Who may have how many new tasks, so that every one of them is certain to be placed.
//!
//! ECS places the tasks of several services in any order and wherever its strategies like. A grant therefore counts what
//! the other grants of the same turn may take away at worst, wherever ECS puts them.

use std::collections::BTreeMap;

use crate::books::{Books, Cleared};
use crate::victims::{Lowering, Work, certain_slots};

/// The grants of one turn, by service.
#[derive(Clone)]
pub(crate) struct Grants<'b, 'a> {
    books: &'b Books<'a>,
    /// Slots in the room that is free now.
    slots: Vec<u32>,
    /// Slots that each service is certain to have, before what others take of them.
    room: Vec<u32>,
    /// New tasks that each service was granted.
    granted: Vec<u32>,
    /// New tasks that ECS may place whatever is decided here: they take room, and have no claim to it.
    conceded: Vec<u32>,
    /// Tasks that ECS moves off hosts that drain, as long as their service's count is not lowered.
    moving: Vec<u32>,
    /// The services of which ECS may place tasks unasked.
    movers: BTreeMap<usize, Mover>,
    /// Slots of each service that the new tasks of the others may take at worst.
    taken: Vec<u32>,
    /// Live tasks that each service gives up.
    lowered: Vec<u32>,
    /// Slots that fill services leave free for each service.
    headroom: Vec<u32>,
    /// The damage that a fill service's grant may do to a service was measured exactly, once, and used up its margin.
    spent: Vec<bool>,
    /// How much exact measuring may still be done.
    looking: Work,
}

/// How many tasks ECS could place of a service.
#[derive(Clone, Copy)]
struct Mover {
    /// In the room that is free now.
    now: u32,
    /// On its hosts with nothing else on them: what fits on no host, however empty, takes nobody's room.
    ever: u32,
}

/// Tasks to stop so that others can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preemption {
    /// How many more live tasks of which service to give up.
    pub(crate) lowerings: Vec<Lowering>,
    /// How many tasks of the newcomer are certain to start.
    pub(crate) starts: u32,
}

impl<'b, 'a> Grants<'b, 'a> {
    pub(crate) fn new(books: &'b Books<'a>) -> Self {
        let count = books.services.len();
        let slots = books.all_slots();
        Self {
            books,
            room: slots.clone(),
            slots,
            looking: Work::for_fleet(books.hosts.len()),
            granted: vec![0; count],
            conceded: vec![0; count],
            moving: vec![0; count],
            movers: BTreeMap::new(),
            taken: vec![0; count],
            lowered: vec![0; count],
            headroom: books.services.iter().map(|book| book.file.headroom_tasks).collect(),
            spent: vec![false; count],
        }
    }

    /// Slots of the service in the room that is free now, with nobody else in the way.
    pub(crate) fn room(&self, service: usize) -> u32 {
        self.room[service]
    }

    /// New tasks that were granted.
    pub(crate) fn granted(&self, service: usize) -> u32 {
        self.granted[service]
    }

    /// Live tasks that were given up.
    pub(crate) fn lowered(&self, service: usize) -> u32 {
        self.lowered[service]
    }

    /// Tasks that ECS will place as soon as there is room, whatever is decided here.
    pub(crate) fn concede(&mut self, service: usize, tasks: u32) {
        self.conceded[service] += tasks;
        self.note_mover(service, tasks);
    }

    /// ECS places others in place of those on hosts that drain, unless the count is lowered by as many: it counts none of
    /// them when it looks for whom to stop.
    pub(crate) fn moves(&mut self, service: usize) {
        self.moving[service] = self.books.services[service].moving;
        self.note_mover(service, self.moving[service]);
    }

    fn note_mover(&mut self, service: usize, tasks: u32) {
        if tasks > 0 {
            let (now, ever) = match self.books.services[service].avoids {
                true => (u32::MAX, u32::MAX),
                false => (self.slots[service], self.books.most_ever(service)),
            };
            self.movers.insert(service, Mover { now, ever });
        }
    }

    /// Tasks that still move when what was given up is gone.
    pub(crate) fn still_moving(&self, service: usize) -> u32 {
        self.moving[service].saturating_sub(self.lowered[service])
    }

    /// Tasks of a service that ECS may place although they were not granted, with these tasks of each given up.
    fn unasked(&self, service: usize, lowered: &[u32]) -> u32 {
        let Some(Mover { now, ever }) = self.movers.get(&service) else { return 0 };
        let moving = self.moving[service].saturating_sub(lowered[service]);
        let tasks = self.conceded[service] + moving.saturating_sub(self.granted[service]);
        // Who gives up more than what moves makes room, and some may come to fit that do not now.
        let frees = lowered.iter().zip(&self.moving).any(|(lowered, moving)| lowered > moving);
        tasks.min(if frees { *ever } else { now.saturating_sub(self.granted[service]) })
    }

    /// New tasks of a service may take room from all others.
    fn take(&mut self, service: usize, tasks: u32) {
        for other in (0..self.taken.len()).filter(|&other| other != service && tasks > 0) {
            let damage = self.books.worst_damage(service, other).saturating_mul(tasks);
            self.taken[other] = self.taken[other].saturating_add(damage);
        }
    }

    /// New tasks of a service that ECS may place, granted or not.
    fn coming(&self, service: usize) -> u32 {
        self.granted[service] + self.unasked(service, &self.lowered)
    }

    /// Takes back a part of what was granted.
    pub(crate) fn take_back(&mut self, service: usize, tasks: u32) {
        self.granted[service] -= tasks;
        for other in (0..self.taken.len()).filter(|&other| other != service && tasks > 0) {
            let damage = self.books.worst_damage(service, other).saturating_mul(tasks);
            self.taken[other] = self.taken[other].saturating_sub(damage);
        }
    }

    /// Gives up live tasks because they are not wanted any more.
    pub(crate) fn give_up(&mut self, service: usize, tasks: u32) {
        self.lowered[service] += tasks;
    }

    /// Grants up to `tasks` in the room that is free, and gives the number.
    pub(crate) fn grant(&mut self, service: usize, tasks: u32) -> u32 {
        let own = self.own(service, tasks).min(tasks);
        // What would be placed unasked does no more harm when it is granted.
        let harmless = self.unasked(service, &self.lowered);
        let mut more = own.saturating_sub(harmless);
        for other in 0..self.granted.len() {
            if more == 0 {
                break;
            }
            more = self.allowed_by(other, service, more);
        }
        let allowed = own.min(harmless + more);
        self.granted[service] += allowed;
        self.take(service, allowed);
        allowed
    }

    /// How many of `tasks` more tasks are certain to find a slot beside what was granted already.
    fn own(&mut self, service: usize, tasks: u32) -> u32 {
        let roughly = self.certain(service, self.room[service]).saturating_sub(self.granted[service]);
        let moves = |&other: &usize| self.coming(other) > 0 && self.books.worst_damage(other, service) > 0;
        let mut movers = (0..self.granted.len()).filter(|&other| other != service).filter(moves);
        // One mover's damage can be measured exactly, in the room as it is now.
        let (Some(mover), None) = (movers.next(), movers.next()) else { return roughly };
        let free = self.slots[service].saturating_sub(self.granted[service]);
        if roughly >= tasks.min(free) || self.lowered.iter().any(|&lowered| lowered > 0) {
            return roughly;
        }
        let (mut enough, mut too_many) = (roughly, tasks.min(free) + 1);
        while enough + 1 < too_many && self.looking.spend(8 * self.books.hosts.len()) {
            let middle = enough.midpoint(too_many);
            if harmless(self.books, mover, service, free - middle) >= self.coming(mover) {
                enough = middle;
            } else {
                too_many = middle;
            }
        }
        if enough > roughly {
            self.spent[service] = true;
        }
        enough
    }

    /// What is left of `room` slots of a service when others took all that they may take.
    fn certain(&self, service: usize, room: u32) -> u32 {
        self.certain_after(service, room, &self.lowered)
    }

    /// The same with these tasks of each service given up.
    fn certain_after(&self, service: usize, room: u32, lowered: &[u32]) -> u32 {
        let others = self.movers.keys().filter(|&&other| other != service);
        let damage = |&other: &usize| {
            let tasks = self.unasked(other, lowered);
            if tasks == 0 { 0 } else { self.books.worst_damage(other, service).saturating_mul(tasks) }
        };
        others.map(damage).fold(room.saturating_sub(self.taken[service]), u32::saturating_sub)
    }

    /// How many of `tasks` new tasks of `mover` leave `other` what it was granted (and its headroom, if a fill service
    /// moves).
    fn allowed_by(&mut self, other: usize, mover: usize, tasks: u32) -> u32 {
        let fills = self.books.services[mover].file.fill;
        let above = self.books.services[other].tier() < self.books.services[mover].tier();
        let headroom = if fills && above { self.headroom[other] } else { 0 };
        if other == mover || self.granted[other] + headroom == 0 {
            return tasks;
        }
        let damage = self.books.worst_damage(mover, other);
        let margin = self.certain(other, self.room[other]).saturating_sub(self.granted[other] + headroom);
        if damage == 0 || tasks <= margin / damage {
            return tasks;
        }
        let roughly = margin / damage;
        // The exact measure holds for the room as it is now: with tasks about to stop, or another exact measure
        // before, it does not.
        if self.spent[other] || self.lowered.iter().any(|&lowered| lowered > 0) {
            return roughly;
        }
        // A host is tried with one task more and one more: several visits each.
        if !self.looking.spend(8 * self.books.hosts.len()) {
            return roughly;
        }
        let exactly = harmless(self.books, mover, other, margin).min(tasks);
        if exactly > roughly {
            self.spent[other] = true;
            self.room[other] = self.room[other].saturating_sub(margin);
        }
        exactly.max(roughly)
    }

    /// Counts the room that comes of what the others give up in this turn anyway, whichever of their tasks ECS stops.
    pub(crate) fn count_given_up(&mut self, service: usize, work: &mut Work) {
        let lowerings = self.lowerings();
        if !lowerings.is_empty() {
            let room = certain_slots(self.books, service, self.slots[service], &lowerings, work);
            self.room[service] = self.room[service].max(room);
        }
    }

    /// Whether what a service was granted has room only when others have given up theirs: tasks, or the place that ECS
    /// looks for as long as their count is what it is.
    pub(crate) fn relies_on_others(&self, service: usize) -> bool {
        let given_up = |&other: &usize| {
            let asked = self.books.services[other].unplaced();
            let tasks = asked.saturating_sub(self.coming(other));
            if other == service || tasks == 0 {
                0
            } else {
                self.books.worst_damage(other, service).saturating_mul(tasks)
            }
        };
        let before = (0..self.granted.len()).map(|other| given_up(&other)).fold(0, u32::saturating_add);
        self.granted[service] > self.certain(service, self.slots[service]).saturating_sub(before)
    }

    /// The smallest sacrifice of lower tiers that is certain to start up to `tasks` more tasks of `newcomer`: lowest tier
    /// first, then fewest, then youngest. None when no sacrifice is certain to start even one.
    pub(crate) fn preempt(&mut self, newcomer: usize, tasks: u32, caps: &[u32], work: &mut Work) -> Option<Preemption> {
        let victims = self.victims(newcomer, caps);
        if tasks == 0 || victims.is_empty() {
            return None;
        }
        let search = Search { grants: self, newcomer, tasks, victims: &victims };
        let (kills, starts) = search.smallest(work)?;
        for (victim, kills) in victims.iter().zip(&kills) {
            self.lowered[victim.service] += kills;
        }
        self.count_given_up(newcomer, work);
        self.granted[newcomer] += starts;
        self.take(newcomer, starts);
        for other in 0..self.granted.len() {
            if self.certain(other, self.room[other]) < self.granted[other] {
                self.count_given_up(other, work);
            }
        }
        let lowerings =
            victims.iter().zip(kills).map(|(victim, count)| Lowering { service: victim.service, count }).collect();
        Some(Preemption { lowerings, starts })
    }

    fn lowerings(&self) -> Vec<Lowering> {
        let lowering = |(service, &count)| Lowering { service, count };
        self.lowered.iter().enumerate().filter(|(_, count)| **count > 0).map(lowering).collect()
    }

    /// Services of lower tiers that may give up tasks: higher tiers first, and within a tier the one with the youngest
    /// task last, because the last gives first.
    fn victims(&self, newcomer: usize, caps: &[u32]) -> Vec<Victim> {
        let tier = self.books.services[newcomer].tier();
        let mut victims: Vec<Victim> = (0..caps.len())
            .filter(|&service| self.books.services[service].tier() > tier && caps[service] > self.lowered[service])
            .map(|service| Victim { service, cap: caps[service] - self.lowered[service] })
            .collect();
        victims.sort_by_key(|victim| {
            let book = &self.books.services[victim.service];
            (book.tier(), book.newest, victim.service)
        });
        victims
    }
}

/// A service that may give up tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Victim {
    service: usize,
    cap: u32,
}

/// The search for the smallest sacrifice.
struct Search<'s, 'b, 'a> {
    grants: &'s Grants<'b, 'a>,
    newcomer: usize,
    tasks: u32,
    victims: &'s [Victim],
}

/// Sacrifices that are all tried one by one; more are searched service by service.
const MOST_TRIED: u64 = 256;

impl Search<'_, '_, '_> {
    fn smallest(&self, work: &mut Work) -> Option<(Vec<u32>, u32)> {
        let ways = self.victims.iter().try_fold(1_u64, |ways, victim| {
            ways.checked_mul(u64::from(victim.cap) + 1).filter(|&ways| ways <= MOST_TRIED)
        });
        let found = if ways.is_some() { self.by_trying_all(work) } else { self.by_service(work) };
        found.filter(|(_, starts)| *starts > 0)
    }

    /// New tasks that this sacrifice is certain to start, up to those asked for; none where it breaks an earlier grant.
    fn starts(&self, kills: &[u32], work: &mut Work) -> u32 {
        let mut lowered = self.grants.lowered.clone();
        for (victim, kills) in self.victims.iter().zip(kills) {
            lowered[victim.service] += kills;
        }
        let lowerings: Vec<Lowering> =
            lowered.iter().enumerate().map(|(service, &count)| Lowering { service, count }).collect();
        let grants = self.grants;
        let books = grants.books;
        let room = certain_slots(books, self.newcomer, grants.slots[self.newcomer], &lowerings, work);
        let own = grants.certain_after(self.newcomer, room.max(grants.room[self.newcomer]), &lowered);
        let mut starts = own.saturating_sub(grants.granted[self.newcomer]).min(self.tasks);
        for other in (0..grants.granted.len()).filter(|&other| other != self.newcomer && grants.granted[other] > 0) {
            let damage = books.worst_damage(self.newcomer, other);
            if damage == 0 || starts == 0 {
                continue;
            }
            let margin = |room| grants.certain_after(other, room, &lowered).saturating_sub(grants.granted[other]);
            let (slots, room) = (grants.slots[other], grants.room[other]);
            // Who relies on other kills could lose by more of them (they may shift ECS's choice of victims); who does not
            // has a part in the room that they make.
            let margin = if room > slots || margin(room) / damage < starts {
                margin(certain_slots(books, other, slots, &lowerings, work))
            } else {
                margin(room)
            };
            starts = starts.min(margin / damage);
        }
        starts
    }

    /// Every sacrifice in the order of its price.
    fn by_trying_all(&self, work: &mut Work) -> Option<(Vec<u32>, u32)> {
        let mut ways: Vec<Vec<u32>> = vec![Vec::new()];
        for victim in self.victims {
            ways = ways
                .into_iter()
                .flat_map(|way| (0..=victim.cap).map(move |kills| [way.as_slice(), &[kills]].concat()))
                .collect();
        }
        ways.sort_by_cached_key(|way| (self.by_tier(way), way.clone()));
        let mut best: Option<(Vec<u32>, u32)> = None;
        for way in ways {
            let starts = self.starts(&way, work);
            if best.as_ref().is_none_or(|(_, most)| starts > *most) {
                best = Some((way, starts));
            }
            if starts >= self.tasks {
                break;
            }
        }
        best
    }

    /// Kills tier by tier, the most important tier in front: the price of a sacrifice.
    fn by_tier(&self, kills: &[u32]) -> Vec<u32> {
        let tier = |victim: &Victim| self.grants.books.services[victim.service].tier();
        let tiers = self.victims.chunk_by(|a, b| tier(a) == tier(b));
        let mut rest = kills;
        tiers
            .map(|tier| {
                let (these, others) = rest.split_at(tier.len());
                rest = others;
                these.iter().sum()
            })
            .collect()
    }

    /// Spares the more important services as far as possible, one after the other.
    fn by_service(&self, work: &mut Work) -> Option<(Vec<u32>, u32)> {
        let mut kills: Vec<u32> = self.victims.iter().map(|victim| victim.cap).collect();
        let most = self.starts(&kills, work);
        if most == 0 {
            return None;
        }
        // The services in front that need not give anything.
        let (mut spared, mut too_many) = (0, self.victims.len());
        while spared + 1 < too_many {
            let middle = spared.midpoint(too_many);
            let without: Vec<u32> =
                (0..kills.len()).map(|index| if index < middle { 0 } else { kills[index] }).collect();
            if self.starts(&without, work) >= most { spared = middle } else { too_many = middle }
        }
        kills[..spared].fill(0);
        for index in spared..kills.len() {
            let (mut enough, mut low) = (kills[index], 0);
            while low < enough {
                kills[index] = low.midpoint(enough);
                if self.starts(&kills, work) >= most { enough = kills[index] } else { low = kills[index] + 1 }
            }
            kills[index] = enough;
        }
        Some((kills, most))
    }
}

/// The most new tasks of `mover` that cost `hurt` no more than `margin` slots, wherever ECS places them.
///
/// Host by host, so many tasks must come to destroy so many slots; the lower convex hulls of these steps, cheapest
/// stretches first, bound from below what `margin + 1` destroyed slots would take.
fn harmless(books: &Books<'_>, mover: usize, hurt: usize, margin: u32) -> u32 {
    let (Some(size), Some(hurt_size)) = (books.services[mover].need(), books.services[hurt].need()) else { return 0 };
    if books.services[mover].avoids {
        // ECS may place it where it is not counted on.
        return 0;
    }
    let same_port = !size.ports.is_disjoint(&hurt_size.ports);
    let mut stretches: Vec<(f64, u32)> = Vec::new();
    for host in 0..books.hosts.len() {
        let (slots, fits) = (books.slots_on(hurt, host), books.slots_on(mover, host));
        if slots == 0 || fits == 0 {
            continue;
        }
        let destroyed = |tasks: u32| {
            if same_port {
                return slots;
            }
            let left = books.hosts[host].placeable.minus(size.resources.scaled(tasks));
            slots - books.slots_with(hurt, host, left, Cleared::NONE).min(slots)
        };
        // The lower convex hull of (slots destroyed, tasks needed).
        let mut hull: Vec<(u32, u32)> = vec![(0, 0)];
        for tasks in 1..=fits {
            let point = (destroyed(tasks), tasks);
            let slope = |a: (u32, u32), b: (u32, u32)| f64::from(b.1 - a.1) / f64::from(b.0 - a.0);
            if hull.last().is_some_and(|last| point.0 <= last.0) {
                continue;
            }
            while let [.., before, last] = hull.as_slice()
                && slope(*before, *last) >= slope(*last, point)
            {
                hull.pop();
            }
            hull.push(point);
            if point.0 == slots {
                break;
            }
        }
        stretches.extend(hull.windows(2).map(|pair| {
            let slots = pair[1].0 - pair[0].0;
            (f64::from(pair[1].1 - pair[0].1) / f64::from(slots), slots)
        }));
    }
    stretches.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut missing = margin.saturating_add(1);
    let mut price = 0.0;
    for (each, slots) in stretches {
        let taken = slots.min(missing);
        price += each * f64::from(taken);
        missing -= taken;
        if missing == 0 {
            return ceil(price).saturating_sub(1);
        }
    }
    u32::MAX
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "prices are small and not negative")]
fn ceil(value: f64) -> u32 {
    (value - 1e-9).ceil().max(0.0) as u32
}
