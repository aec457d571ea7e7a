//! The plan of a turn: a desired count for every service.
//!
//! Every count is made anew from the tasks that live and the room there is, never from the count that was set before.
//! So planning again gives nothing, and a turn that was lost is made up for by the next.

use std::collections::BTreeSet;

use evenkeel_model::decision::{Planned, Step, Why};
use evenkeel_model::observed::{EcsService, HandsOff, Observed};
use evenkeel_model::report::{Report, Shortfall, Wait};
use evenkeel_model::{FunctionName, GroupName, ServiceName, Timestamp};
use evenkeel_turn::window::Extreme;
use evenkeel_turn::{Given, Outlook};

use crate::books::Books;
use crate::demand::{Want, want};
use crate::grant::{Grants, Preemption};
use crate::short::says;
use crate::state::State;
use crate::trust::{Trust, judge};
use crate::victims::Work;
use crate::writer::left_alone;

/// Plans a turn. Pure: the same arguments give the same plan.
pub fn plan(given: &Given<'_, State>, seen: &Observed) -> Outlook<State> {
    let mut books = Books::count(given.fleet, seen);
    let mut state = given.state.clone();
    state.services.retain(|name, _| books.services.iter().any(|book| book.name() == name));
    let left_alone = left_alone(&mut books, &mut state, given.now);
    let trusts = judge(&mut books, seen, &mut state, given.now);
    let mut planning = Planning {
        grants: Grants::new(&books),
        work: Work::for_fleet(books.hosts.len()),
        left_alone,
        trusts,
        courses: Vec::new(),
        report: Report::default(),
        now: given.now,
        books: &books,
    };
    planning.set_courses(given, seen, &mut state);
    planning.grant_by_tier();
    planning.fill(&mut state);
    planning.note_shortfall();
    let steps = planning.steps(&mut state);
    let Planning { report, .. } = planning;
    Outlook { steps, report, state, budget: None, wakes: Vec::new() }
}

/// What is to become of one service.
enum Course {
    /// Left alone: whatever its count lets ECS place will be placed.
    HandsOff,
    /// Led to its want.
    Want {
        want: Want,
        /// The most that may be asked for: less than the want where ECS is not trusted to place more.
        cap: u32,
        /// Whom its tasks make room for.
        makes_room: Option<(ServiceName, u32)>,
    },
    /// Fills what is left.
    Fill { cap: u32, makes_room: Option<(ServiceName, u32)> },
}

struct Planning<'b, 'a> {
    books: &'b Books<'a>,
    grants: Grants<'b, 'a>,
    work: Work,
    /// Why which service's count is not ours to set now.
    left_alone: Vec<Option<Wait>>,
    trusts: Vec<Trust>,
    courses: Vec<Course>,
    report: Report,
    now: Timestamp,
}

impl Planning<'_, '_> {
    fn set_courses(&mut self, given: &Given<'_, State>, seen: &Observed, state: &mut State) {
        let observes = given.fleet.observes(FunctionName::Microscale);
        for rank in 0..self.books.services.len() {
            let book = &self.books.services[rank];
            let name = book.name().clone();
            let memory = state.services.entry(name.clone()).or_default();
            let want = book.file.demand.as_ref().map(|demand| {
                want(book, demand, seen.demand.get(&name), given.board.pushed.get(&name), memory, self.now)
            });
            let left_alone = self.left_alone[rank].take();
            // Who only observes says what it would do if the count were its own to set.
            let as_if_ours = observes
                && matches!(left_alone, Some(Wait::HandsOff { because: HandsOff::ScaledElsewhere, service: _ }));
            let is_left_alone = left_alone.is_some() && !as_if_ours;
            self.report.waits.extend(left_alone);
            let course = if is_left_alone {
                if book.ecs.and_then(|ecs| ecs.hands_off).is_none_or(HandsOff::uses_hosts) {
                    self.grants.concede(rank, book.unplaced());
                }
                Course::HandsOff
            } else {
                self.course(rank, want)
            };
            self.courses.push(course);
        }
    }

    fn course(&mut self, rank: usize, want: Option<Want>) -> Course {
        let book = &self.books.services[rank];
        let service = book.name().clone();
        let live = book.live();
        let mut cap = book.file.ceiling();
        self.grants.moves(rank);
        if let Some(expression) = &book.not_understood {
            cap = cap.min(live);
            self.report.waits.push(Wait::Constraint { service: service.clone(), expression: expression.clone() });
        }
        let Trust { cap: tried, waits } = std::mem::take(&mut self.trusts[rank]);
        cap = cap.min(tried.unwrap_or(cap));
        self.report.waits.extend(waits);
        let Some(want) = want else {
            // Tasks on hosts that drain just go: others in their place would be in the way of higher tiers.
            let just_go = book.moving.min(live.saturating_sub(book.file.min_tasks));
            self.grants.give_up(rank, live.saturating_sub(book.file.ceiling()).max(just_go));
            return Course::Fill { cap, makes_room: None };
        };
        if let Some(because) = want.unknown.clone() {
            self.report.waits.push(Wait::UnknownDemand { service, held: want.held, because });
        } else if want.now < want.held {
            self.report.waits.push(Wait::ScaleDown { service, want: want.now, held: want.held });
        }
        self.grants.give_up(rank, live.saturating_sub(want.held));
        Course::Want { want, cap, makes_room: None }
    }

    /// Tasks that a service with a demand still misses.
    fn missing(&self, rank: usize) -> u32 {
        // ECS starts others in place of those on hosts that drain: they need room like new ones.
        let book = &self.books.services[rank];
        let there = book.live() - book.moving + self.grants.granted(rank);
        match &self.courses[rank] {
            // Who gives way asks for nothing more in the same turn.
            Course::Want { makes_room: Some(_), .. } => {
                self.grants.still_moving(rank).saturating_sub(self.grants.granted(rank))
            }
            Course::Want { want, cap, makes_room: None } => want.held.min(*cap).saturating_sub(there),
            Course::HandsOff | Course::Fill { .. } => 0,
        }
    }

    fn grant_by_tier(&mut self) {
        let caps: Vec<u32> = (0..self.books.services.len()).map(|rank| self.may_give(rank)).collect();
        let mut first = 0;
        while first < self.books.services.len() {
            let tier = self.books.services[first].tier();
            let length = self.books.services[first..].iter().take_while(|book| book.tier() == tier).count();
            for rank in first..first + length {
                if self.missing(rank) > 0 {
                    self.grants.count_given_up(rank, &mut self.work);
                }
            }
            self.share_out(first..first + length);
            for rank in first..first + length {
                // Where ECS would put the tasks of a service on several providers is not known well enough to stop others.
                let missing = if self.books.services[rank].split.is_some() { 0 } else { self.missing(rank) };
                if let Some(Preemption { lowerings, starts }) =
                    self.grants.preempt(rank, missing, &caps, &mut self.work)
                {
                    let newcomer = self.books.services[rank].name();
                    for lowering in lowerings.into_iter().filter(|lowering| lowering.count > 0) {
                        self.note_sacrifice(lowering.service, newcomer, starts);
                    }
                }
            }
            first += length;
        }
    }

    /// Live tasks that a service may lose to higher tiers: all but `min_tasks`.
    fn may_give(&self, rank: usize) -> u32 {
        let book = &self.books.services[rank];
        match self.courses[rank] {
            Course::HandsOff => 0,
            Course::Want { .. } | Course::Fill { .. } => book.live().saturating_sub(book.file.min_tasks),
        }
    }

    fn note_sacrifice(&mut self, victim: usize, newcomer: &ServiceName, starts: u32) {
        match &mut self.courses[victim] {
            Course::HandsOff => {}
            Course::Want { makes_room, .. } | Course::Fill { makes_room, .. } => {
                makes_room.get_or_insert_with(|| (newcomer.clone(), starts));
            }
        }
    }

    /// Grants free room to the services of a tier, whoever is furthest from its want first.
    fn share_out(&mut self, ranks: std::ops::Range<usize>) {
        let mut open: Vec<usize> = ranks.filter(|&rank| self.missing(rank) > 0).collect();
        while !open.is_empty() {
            // Alone, a service takes what it misses at once; together they take turns, in a few dozen rounds at most.
            let all: u32 = open.iter().map(|&rank| self.missing(rank)).fold(0, u32::saturating_add);
            let portion = if open.len() == 1 { all } else { all.div_ceil(64) };
            let furthest = |&rank: &usize| {
                let book = &self.books.services[rank];
                let there = u64::from(book.live() - book.moving + self.grants.granted(rank));
                let wanted = there + u64::from(self.missing(rank));
                (there * 1_000_000 / wanted.max(1), rank)
            };
            let Some(rank) = open.iter().copied().min_by_key(furthest) else { return };
            let asked = self.missing(rank).min(portion);
            let given = self.grants.grant(rank, asked);
            if given < asked || self.missing(rank) == 0 {
                open.retain(|&other| other != rank);
            }
        }
    }

    /// Lets the fill services take what was open long enough.
    fn fill(&mut self, state: &mut State) {
        for rank in 0..self.books.services.len() {
            let Course::Fill { cap, .. } = self.courses[rank] else { continue };
            let book = &self.books.services[rank];
            let live = book.live() - self.grants.lowered(rank);
            let Some(memory) = state.services.get_mut(book.name()) else { continue };
            let dwell = book.file.refill_after;
            // What would fit is known by granting it to a copy.
            let mut trial = self.grants.clone();
            // A service that is giving way takes nothing in the same turn; what just goes with its host is in nobody's way.
            let gives_way = self.grants.lowered(rank) > book.moving;
            let open = if gives_way { 0 } else { trial.grant(rank, cap.saturating_sub(live)) };
            let fits = live + open;
            if memory.window.is_empty() {
                // Nothing is remembered: holes count from now on.
                memory.window.sample(self.now, live, dwell, Extreme::Smallest);
            }
            let lasting = memory.window.sample(self.now, fits, dwell, Extreme::Smallest);
            let least = book.file.min_tasks.min(fits);
            let granted = lasting.max(least).saturating_sub(live).min(open);
            self.grants = trial;
            self.grants.take_back(rank, open - granted);
            if granted < open {
                let service = book.name().clone();
                self.report.waits.push(Wait::Refill { service, holes: open - granted, dwell });
            }
        }
    }

    /// Says of every service with a demand what it misses and why.
    fn note_shortfall(&mut self) {
        for rank in 0..self.books.services.len() {
            let Course::Want { want, .. } = &self.courses[rank] else { continue };
            let book = &self.books.services[rank];
            let there = book.live() - book.moving + self.grants.granted(rank);
            let (short, Some(need)) = (want.held.saturating_sub(there), book.need()) else { continue };
            if short == 0 {
                continue;
            }
            let service = book.name().clone();
            let waiting = short.min(self.grants.room(rank).saturating_sub(self.grants.granted(rank)));
            if waiting > 0 {
                self.report.waits.push(Wait::Placement { service: service.clone(), tasks: waiting });
            }
            if short > waiting {
                let because = self.why_no_room(rank);
                self.report.waits.push(Wait::NoRoom { service: service.clone(), short: short - waiting, because });
                let groups = self.books.services[rank].ecs.map(groups_behind).unwrap_or_default();
                let missing = Shortfall { service, tasks: short - waiting, task: need.resources, groups };
                self.report.shortfall.push(missing);
            }
        }
    }

    /// What is needed, what is left, and why stopping others does not help.
    fn why_no_room(&self, rank: usize) -> String {
        let tier = self.books.services[rank].tier();
        let below = (0..self.books.services.len()).filter(|&other| self.books.services[other].tier() > tier);
        let could: u32 = below.map(|other| self.may_give(other).saturating_sub(self.grants.lowered(other))).sum();
        let says = says(self.books, &self.grants, rank);
        match could {
            0 => format!("{says}; lower tiers have nothing to give"),
            could => format!("{says}; whichever of {could} tasks of lower tiers ECS stops, none is sure to make room"),
        }
    }

    /// The steps that lead from the counts there are to those that were decided: lowers first, lowest tier first, then
    /// raises, highest tier first.
    fn steps(&self, state: &mut State) -> Vec<Planned> {
        let changes: Vec<Change> = (0..self.books.services.len()).filter_map(|rank| self.change(rank)).collect();
        let (raises, lowers): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.to > change.from);
        let mut steps = Vec::new();
        let mut freed: Vec<usize> = Vec::new();
        for change in lowers.into_iter().rev().chain(raises) {
            let book = &self.books.services[change.rank];
            let service = book.name().clone();
            if let Some(memory) = state.services.get_mut(&service) {
                memory.begins(change.to, self.now);
            }
            let (from, to) = (change.from, change.to);
            // A raise that has room only when others have gone waits for those who go, whyever they do.
            let needs = match to > from {
                true if self.grants.relies_on_others(change.rank) => freed.clone(),
                true => Vec::new(),
                false => {
                    freed.push(steps.len());
                    Vec::new()
                }
            };
            steps.push(Planned {
                step: Step::SetDesiredCount { service, from, to },
                why: change.why,
                needs,
                beside: false,
            });
        }
        steps
    }

    fn change(&self, rank: usize) -> Option<Change> {
        let book = &self.books.services[rank];
        let live = book.live();
        let granted = self.grants.granted(rank);
        let kept = live - self.grants.lowered(rank);
        // The first grants are for those that move, without a change of the count.
        let to = kept + granted.saturating_sub(self.grants.still_moving(rank));
        // An answer may be older than a write that was not confirmed: what is right by it may be wrong by that.
        let from = if to == book.desired { book.perhaps.unwrap_or(to) } else { book.desired };
        let why = match &self.courses[rank] {
            Course::HandsOff => return None,
            Course::Want { makes_room: Some((service, starts)), .. }
            | Course::Fill { makes_room: Some((service, starts)), .. }
                if to < live =>
            {
                Why::MakesRoom { service: service.clone(), starts: *starts }
            }
            Course::Want { .. } | Course::Fill { .. } if to >= live && to < from => Why::AskedTooMuch { feasible: to },
            Course::Want { want, .. } if to > from => Why::WantRose { want: want.held, live },
            Course::Want { want, .. } => Why::WantFell { want: want.held, dwell: book.file.scale_down_after },
            Course::Fill { .. } if to > from => Why::FillsHoles { holes: granted, dwell: book.file.refill_after },
            Course::Fill { .. } if book.moving > 0 => Why::AskedTooMuch { feasible: to },
            Course::Fill { cap, .. } => Why::Limits { want: *cap },
        };
        (to != from).then_some(Change { rank, from, to, why })
    }
}

struct Change {
    rank: usize,
    from: u32,
    to: u32,
    why: Why,
}

/// The groups behind a service's capacity providers; none where one of them is not known, or any host takes its tasks.
fn groups_behind(ecs: &EcsService) -> BTreeSet<GroupName> {
    let used = ecs.providers.iter().filter(|share| share.base > 0 || share.weight > 0);
    used.map(|share| share.group.clone()).collect::<Option<_>>().unwrap_or_default()
}
