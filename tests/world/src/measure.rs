//! Measures a world while it goes on: who wanted, who ran, how fast, and which holes stayed empty.

use std::collections::{BTreeMap, VecDeque};

use evenkeel_model::ServiceName;
use evenkeel_model::fleet::Fleet;
use evenkeel_model::view::{Moment, MomentOfService};

use crate::clock::{MINUTE, Ms, SECOND, seconds, timestamp};
use crate::cluster::{Cluster, ServiceNo};
use crate::losses::Losses;
use crate::rolls::Rolls;
use crate::setup::millis;
use crate::standing::{Hosts, Now, Served, Standing};
use crate::watched::Watched;

/// A wanted task that was never served and not wanted for this long counts as a reaction of that length; one that was
/// gone sooner says nothing about how fast we are.
const GIVEN_UP: Ms = MINUTE;

/// Everything that is measured.
pub(crate) struct Measure {
    pub(crate) services: Vec<Measured>,
    pub(crate) passed: Ms,
    /// Host hours by purchase kind, in host-milliseconds, and USD.
    pub(crate) reserved: u64,
    pub(crate) spot: u64,
    pub(crate) on_demand: u64,
    pub(crate) cost_usd: f64,
    pub(crate) all_on_demand_usd: f64,
    pub(crate) below_minimum: Ms,
    pub(crate) below_steady: Ms,
    pub(crate) missing: Missing,
    pub(crate) losses: Losses,
    pub(crate) rolls: Watched<Rolls>,
    pub(crate) depths: Depths,
    /// Launches that began.
    pub(crate) launches: u64,
    pub(crate) over_asked_task_ms: u64,
    pub(crate) course: Course,
    standing: Standing,
}

/// Calls one after the other, from an event about a host to the first answer to it; the most there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depths {
    /// To the launch request.
    pub launch: u32,
    /// To DRAINING.
    pub drain: u32,
}

/// Units under the fleet's minimum, each from the moment it was missing: whichever was missing first is there first.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    since: VecDeque<Ms>,
    /// The longest that one was missing.
    pub(crate) longest: Ms,
}

impl Missing {
    fn note(&mut self, units: u32, from: Ms, to: Ms) {
        while self.since.len() > units as usize {
            self.since.pop_front();
        }
        while self.since.len() < units as usize {
            self.since.push_back(from);
        }
        if let Some(first) = self.since.front() {
            self.longest = self.longest.max(to - first);
        }
    }
}

/// One service's figures. Integrals are in task-milliseconds.
#[derive(Default)]
pub(crate) struct Measured {
    fill: bool,
    refill_after: Ms,
    pub(crate) wanted: u64,
    pub(crate) short: u64,
    pub(crate) floor_short: u64,
    pub(crate) running: u64,
    /// Task-milliseconds of holes that were open longer than the dwell, and of those that were used.
    pub(crate) holes: u64,
    pub(crate) holes_used: u64,
    /// Task-milliseconds of all holes, however short, that no task was in.
    pub(crate) empty: u64,
    pub(crate) reactions: Vec<Ms>,
    pub(crate) starts: u64,
    pub(crate) stops: u64,
    /// When tasks were told to stop after others had been started, in the last minute and altogether.
    pub(crate) flaps: u64,
    pub(crate) most_flaps_in_a_minute: u64,
    recent_flaps: VecDeque<Ms>,
    rose: bool,
    /// When a task was told to stop last.
    stopped: Ms,
    /// Tasks that are wanted and were not running when they began to be: which, and since when.
    open: Vec<(u32, Ms)>,
    want: u32,
    most: u32,
    usual_start: Ms,
    /// Room for the fill service in the last dwell: samples that can still be the least.
    room: VecDeque<(Ms, u32)>,
}

impl Measure {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let measured = |service: &evenkeel_model::fleet::Service| Measured {
            fill: service.fill,
            refill_after: millis(service.refill_after),
            ..Measured::default()
        };
        Self {
            services: fleet.services.iter().map(measured).collect(),
            passed: 0,
            reserved: 0,
            spot: 0,
            on_demand: 0,
            cost_usd: 0.0,
            all_on_demand_usd: 0.0,
            below_minimum: 0,
            below_steady: 0,
            missing: Missing::default(),
            losses: Losses::default(),
            rolls: Watched::default(),
            depths: Depths::default(),
            launches: 0,
            over_asked_task_ms: 0,
            course: Course::default(),
            standing: Standing::default(),
        }
    }

    /// A service's true want has changed to `want`; `most` could run at best.
    pub(crate) fn wants(&mut self, service: ServiceNo, want: u32, most: u32, now: Ms, cluster: &Cluster) {
        let running = cluster.tasks.counts(service).running;
        let usual_start = cluster.services[service].start.usual;
        let measured = &mut self.services[service];
        measured.usual_start = usual_start;
        measured.most = most;
        let reachable = want.min(most);
        for task in measured.want.max(running) + 1..=reachable {
            measured.open.push((task, now));
            measured.floor_short += usual_start;
        }
        let given_up: Vec<Ms> =
            measured.open.iter().filter(|(task, _)| *task > reachable).map(|(_, at)| now - at).collect();
        measured.open.retain(|(task, _)| *task <= reachable);
        for waited in given_up {
            // The floor could not have been short for longer than the task was wanted.
            measured.floor_short = measured.floor_short.saturating_sub(usual_start.saturating_sub(waited));
            if waited >= GIVEN_UP {
                measured.reactions.push(waited);
            }
        }
        measured.want = want;
        self.note_running(service, running, now);
    }

    fn note_running(&mut self, service: ServiceNo, running: u32, now: Ms) {
        let measured = &mut self.services[service];
        let served = measured.open.iter().filter(|(task, _)| *task <= running).map(|(_, since)| now - since);
        measured.reactions.extend(served);
        measured.open.retain(|(task, _)| *task > running);
    }

    /// A task of the service runs. One that was made before others were told to stop is no turn to starting again.
    pub(crate) fn started(&mut self, service: ServiceNo, created: Ms) {
        if let Some(measured) = self.services.get_mut(service) {
            measured.starts += 1;
            measured.rose |= created >= measured.stopped;
        }
    }

    /// A task of the service was told to stop.
    pub(crate) fn stopped(&mut self, service: ServiceNo, now: Ms) {
        let Some(measured) = self.services.get_mut(service) else { return };
        measured.stops += 1;
        measured.stopped = now;
        if std::mem::take(&mut measured.rose) {
            measured.flaps += 1;
            measured.recent_flaps.push_back(now);
            while measured.recent_flaps.front().is_some_and(|&at| at + MINUTE <= now) {
                measured.recent_flaps.pop_front();
            }
            measured.most_flaps_in_a_minute = measured.most_flaps_in_a_minute.max(measured.recent_flaps.len() as u64);
        }
    }

    /// Lets `span` pass with everything as it is. Also takes note of what changed just before.
    pub(crate) fn pass(&mut self, span: Ms, now: &Now<'_>) {
        let began = self.passed;
        self.passed += span;
        self.standing.keep_up(now, &self.rolls);
        self.count_hosts(span, now.fleet);
        let due = self.course.is_due(self.passed);
        let mut sampled = BTreeMap::new();
        for (service, file) in now.fleet.services.iter().enumerate() {
            let Served { running, live, over_asked, room } = self.standing.services[service];
            self.note_running(service, running, began);
            self.over_asked_task_ms += u64::from(over_asked) * span;
            let measured = &mut self.services[service];
            measured.running += u64::from(running) * span;
            let mut wanted = measured.want;
            if measured.fill {
                let lasting = measured.lasting_room(began, room);
                wanted = room.min(file.ceiling());
                measured.empty += u64::from(wanted.saturating_sub(live)) * span;
                measured.holes += u64::from(lasting) * span;
                measured.holes_used += u64::from(lasting.min(live)) * span;
                measured.wanted += u64::from(lasting.min(file.ceiling())) * span;
                measured.short += u64::from(lasting.min(file.ceiling()).saturating_sub(running)) * span;
            } else {
                measured.wanted += u64::from(measured.want) * span;
                measured.short += u64::from(measured.want.saturating_sub(running)) * span;
                measured.floor_short += u64::from(measured.want.saturating_sub(measured.most)) * span;
            }
            if due {
                let of_service = MomentOfService { wanted: f64::from(wanted), running: f64::from(running) };
                sampled.insert(file.name.clone(), of_service);
            }
        }
        self.finish_sample(sampled);
    }

    fn finish_sample(&mut self, sampled: BTreeMap<ServiceName, MomentOfService>) {
        if !sampled.is_empty() {
            self.course.add(self.passed, sampled);
        }
    }

    fn count_hosts(&mut self, span: Ms, fleet: &Fleet) {
        let Hosts { in_service, working, others, paid_usd, list_usd, reserved, spot, on_demand } = self.standing.hosts;
        self.losses.most_working = self.losses.most_working.max(working);
        if in_service < fleet.hosts.minimum {
            self.below_minimum += span;
        }
        if in_service < fleet.hosts.steady {
            self.below_steady += span;
        }
        self.missing.note(fleet.hosts.minimum.saturating_sub(in_service), self.passed - span, self.passed);
        self.losses.note_need(fleet.hosts.steady.saturating_sub(others), self.passed - span);
        let hours = seconds(span) / 3_600.0;
        self.cost_usd += paid_usd * hours;
        self.all_on_demand_usd += list_usd * hours;
        self.reserved += reserved * span;
        self.spot += spot * span;
        self.on_demand += on_demand * span;
    }
}

/// What was wanted and what ran, over time: fine at first, coarser the longer it goes on, so that it stays small.
pub(crate) struct Course {
    pub(crate) moments: Vec<Moment>,
    every: Ms,
    due_at: Ms,
}

impl Default for Course {
    fn default() -> Self {
        Self { moments: Vec::new(), every: 10 * SECOND, due_at: 0 }
    }
}

impl Course {
    /// Enough for a chart of any width, and for a day at full detail.
    const MOST: usize = 10_000;

    const fn is_due(&self, now: Ms) -> bool {
        now >= self.due_at
    }

    fn add(&mut self, now: Ms, services: BTreeMap<ServiceName, MomentOfService>) {
        self.moments.push(Moment { at: timestamp(now), services });
        if self.moments.len() > Self::MOST {
            let mut index = 0;
            self.moments.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        self.due_at = (now / self.every + 1) * self.every;
    }
}

impl Measured {
    /// The least room of the last dwell: what was open all the time.
    fn lasting_room(&mut self, now: Ms, room: u32) -> u32 {
        while self.room.back().is_some_and(|(_, old)| *old >= room) {
            self.room.pop_back();
        }
        self.room.push_back((now, room));
        // A sample holds until the next one, so the last one before the dwell still counts.
        while self.room.len() > 1 && self.room[0].0 + self.refill_after < now {
            self.room.pop_front();
        }
        self.room.front().map_or(room, |(_, least)| *least)
    }
}
