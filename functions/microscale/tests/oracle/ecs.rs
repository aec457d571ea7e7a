//! ECS, with everything that is left to its choice tried: which tasks it stops, and where it places new ones.
//!
//! All lowered counts come before all raised ones, in any interleaving among each other. Stopping a task only takes a bit
//! out of the set of live tasks, so that what may be left of a cluster is a small set of numbers.

use std::collections::BTreeSet;

use crate::case::{Case, Door, Job, Kind, Phase, Rule};

/// The live tasks, by their place in the case's list.
pub(crate) type Alive = u128;

/// More ways of placing than this are not tried; no case that is drawn comes near.
const MOST_WAYS: usize = 400_000;

impl Case {
    /// Everybody who lives before the turn, but those on hosts that drain: ECS has others in their place, if it can.
    pub(crate) fn alive(&self) -> Alive {
        let live = self.jobs.iter().enumerate().filter(|(_, job)| job.phase != Phase::Stopping && !self.moves(job));
        live.fold(0, |alive, (number, _)| alive | 1 << number)
    }

    pub(crate) fn jobs_in(&self, alive: Alive) -> impl Iterator<Item = (usize, &Job)> {
        self.jobs.iter().enumerate().filter(move |(number, _)| alive >> number & 1 == 1)
    }

    /// All that ECS may leave when it stops so many tasks of each service.
    pub(crate) fn left_after(&self, stops: &[u32]) -> BTreeSet<Alive> {
        let mut ends = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![self.alive()];
        while let Some(alive) = open.pop() {
            let mut may_end = true;
            for (kind, &stops) in stops.iter().enumerate() {
                let left = self.jobs_in(alive).filter(|(_, job)| job.kind == Some(kind)).count();
                if left + stops as usize <= self.staying(kind) as usize {
                    continue;
                }
                let victims = self.victims(alive, kind);
                // Protected tasks may be spared, so that fewer are stopped than the count was lowered by.
                may_end &= victims.iter().all(|&victim| self.jobs[victim].protected);
                for victim in victims {
                    let next = alive & !(1 << victim);
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
            if may_end {
                ends.insert(alive);
            }
        }
        ends
    }

    /// The tasks that ECS may stop next, one of each that are alike.
    ///
    /// Whether a lowered count spares protected tasks is not documented, so both are tried.
    pub(crate) fn victims(&self, alive: Alive, kind: usize) -> Vec<usize> {
        let own = || self.jobs_in(alive).filter(|(_, job)| job.kind == Some(kind));
        let mut victims = self.chosen(alive, kind, own().map(|(number, _)| number).collect());
        victims.extend(self.chosen(
            alive,
            kind,
            own().filter(|(_, job)| !job.protected).map(|(number, _)| number).collect(),
        ));
        let mut unlike: Vec<usize> = Vec::new();
        for victim in victims {
            if unlike.iter().all(|&other| self.jobs[other] != self.jobs[victim]) {
                unlike.push(victim);
            }
        }
        unlike
    }

    /// Narrows the choice by the service's strategies, one after the other.
    fn chosen(&self, alive: Alive, kind: usize, mut from: Vec<usize>) -> Vec<usize> {
        let default = [Rule::FullestZone];
        let rules = &self.kinds[kind].rules;
        for rule in if rules.is_empty() { &default[..] } else { rules } {
            let value = |&number: &usize| -> u32 {
                let job = &self.jobs[number];
                let others = || self.jobs_in(alive).map(|(_, other)| other);
                let left = |part: usize| {
                    let used: u32 = others().filter(|other| other.spot == job.spot).map(|other| other.size[part]).sum();
                    self.spots[job.spot].size[part] - used + job.size[part]
                };
                let zone = |job: &Job| self.spots[job.spot].zone;
                let alike = |same: &dyn Fn(&Job) -> bool| {
                    let own = others().filter(|other| other.kind == Some(kind) && same(other));
                    u32::try_from(own.count()).unwrap_or(u32::MAX)
                };
                match rule {
                    Rule::MostCpuLeft => left(0),
                    Rule::MostMemoryLeft => left(1),
                    Rule::FullestZone => alike(&|other| zone(other) == zone(job)),
                    Rule::FullestHost => alike(&|other| other.spot == job.spot),
                    Rule::Any => 0,
                }
            };
            let most = from.iter().map(value).max();
            from.retain(|number| Some(value(number)) == most);
        }
        from
    }

    /// How many tasks of a service ECS would place when nothing else is placed: it stops where none fits any more.
    pub(crate) fn slots(&self, alive: Alive, kind: usize) -> u32 {
        Ground::new(self, alive).slots(kind)
    }

    /// Visits every way in which ECS may place these tasks, and hands over where each of them ends: the tasks that are
    /// not placed, and the slots of every service that are left. Ends the walk when the visitor is not content.
    pub(crate) fn place_all<E>(
        &self,
        alive: Alive,
        raises: &[u32],
        mut at_end: impl FnMut(&[u32], &Ground<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut seen: BTreeSet<Vec<u32>> = BTreeSet::new();
        let mut open = vec![(Ground::new(self, alive), raises.to_vec())];
        while let Some((ground, missing)) = open.pop() {
            let mut ended = true;
            for kind in (0..self.kinds.len()).filter(|&kind| missing[kind] > 0) {
                for spot in (0..self.spots.len()).filter(|&spot| ground.fits(kind, spot)) {
                    ended = false;
                    let (mut ground, mut missing) = (ground.clone(), missing.clone());
                    ground.place(kind, spot);
                    missing[kind] -= 1;
                    if seen.insert(ground.placed.clone()) {
                        assert!(seen.len() < MOST_WAYS, "too many ways to place {raises:?}");
                        open.push((ground, missing));
                    }
                }
            }
            if ended {
                at_end(&missing, &ground)?;
            }
        }
        Ok(())
    }
}

/// A cluster while ECS places tasks.
#[derive(Clone)]
pub(crate) struct Ground<'c> {
    case: &'c Case,
    alive: Alive,
    /// New tasks, by host and service.
    placed: Vec<u32>,
}

impl<'c> Ground<'c> {
    pub(crate) fn new(case: &'c Case, alive: Alive) -> Self {
        Self { case, alive, placed: vec![0; case.spots.len() * case.kinds.len()] }
    }

    pub(crate) fn place(&mut self, kind: usize, spot: usize) {
        self.placed[spot * self.case.kinds.len() + kind] += 1;
    }

    pub(crate) fn fits(&self, kind: usize, spot: usize) -> bool {
        let (new, place) = (&self.case.kinds[kind], &self.case.spots[spot]);
        if place.door != Door::Open || new.only_in.is_some_and(|zone| zone != place.zone) {
            return false;
        }
        let old = || self.case.jobs_in(self.alive).map(|(_, job)| job).filter(|job| job.spot == spot);
        let count = self.case.kinds.len();
        let newcomers = &self.placed[spot * count..(spot + 1) * count];
        let with: Vec<(&Kind, u32)> = self.case.kinds.iter().zip(newcomers.iter().copied()).collect();
        let room = (0..3).all(|part| {
            let taken: u32 = old().map(|job| job.size[part]).sum();
            let placed: u32 = with.iter().map(|(kind, tasks)| kind.size[part] * tasks).sum();
            taken + placed + new.size[part] <= place.size[part]
        });
        let port = new.port.is_none()
            || (place.kept != new.port
                && old().all(|job| job.port != new.port)
                && with.iter().all(|(kind, tasks)| *tasks == 0 || kind.port != new.port));
        let distinct = !new.distinct || (newcomers[kind] == 0 && old().all(|job| job.kind != Some(kind)));
        room && port && distinct
    }

    /// How many tasks of a service ECS would still place.
    pub(crate) fn slots(&self, kind: usize) -> u32 {
        (0..self.case.spots.len()).map(|spot| self.slots_on(kind, spot)).sum()
    }

    /// How many tasks of a service ECS would still place on a host.
    pub(crate) fn slots_on(&self, kind: usize, spot: usize) -> u32 {
        let mut ground = self.clone();
        let mut slots = 0;
        while ground.fits(kind, spot) {
            ground.place(kind, spot);
            slots += 1;
        }
        slots
    }
}
