//! A small cluster, as ECS knows it and as the planner may see it, drawn from a seed.

use evenkeel_model::observed::HandsOff;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// CPU units of 256, memory units of 512 MiB, and GPUs.
pub(crate) type Size = [u32; 3];

/// A cluster with its services.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) spots: Vec<Spot>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) jobs: Vec<Job>,
}

/// A host.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) size: Size,
    pub(crate) zone: u32,
    pub(crate) door: Door,
    /// A port that the agent keeps for itself.
    pub(crate) kept: Option<u16>,
}

/// Whether ECS places tasks on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// Takes none, and those that are there stay.
    Closed,
    /// Takes none, and ECS moves its services' tasks away.
    Draining,
    Disconnected,
    /// Gone from the list of container instances, while its tasks are still listed.
    Unlisted,
}

impl Spot {
    pub(crate) fn takes_tasks(&self) -> bool {
        self.door == Door::Open
    }
}

/// A service.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) tier: u32,
    pub(crate) fill: bool,
    pub(crate) size: Size,
    pub(crate) port: Option<u16>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) distinct: bool,
    /// `memberOf(attribute:zone-number == N)`.
    pub(crate) only_in: Option<u32>,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) want: u32,
    pub(crate) desired: u32,
    pub(crate) headroom: u32,
    /// Whether holes were open long enough for a fill service to take them.
    pub(crate) ripe: bool,
    pub(crate) apart: Option<Apart>,
}

/// What sets a service apart from one that is simply led to its want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Its count is not ours to set.
    HandsOff(HandsOff),
    /// Somebody else changed its count a moment ago.
    Foreign,
    /// ECS said that it could not place a task.
    Refused,
    /// Its demand is not known; the want is what is remembered.
    Unknown,
}

/// A placement strategy; a service without any is spread over zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    MostCpuLeft,
    MostMemoryLeft,
    FullestZone,
    FullestHost,
    Any,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) spot: usize,
    /// The service; none for a standalone task.
    pub(crate) kind: Option<usize>,
    pub(crate) size: Size,
    pub(crate) port: Option<u16>,
    pub(crate) phase: Phase,
    pub(crate) protected: bool,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    /// Told to stop: its room is free for placement.
    Stopping,
}

/// What kind of clusters are drawn, and so what can be said of their plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Only one priority-1 service wants anything: its optimum and the optimum's price are known exactly.
    Pure,
    /// Services of all tiers want more: priority 1 still reaches its optimum.
    Eager,
    /// Everything at once: wants that rise and fall, fill, task sizes of old revisions, hosts not listed any more.
    Busy,
    /// Only fill services move: what they leave of the headroom is known exactly.
    Filling,
    /// Everything at once on up to 50 hosts: too many choices to try all, so some are drawn.
    Large,
}

impl Family {
    pub(crate) const ALL: [Self; 5] = [Self::Pure, Self::Eager, Self::Busy, Self::Filling, Self::Large];

    /// The word that a replay command uses.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Eager => "eager",
            Self::Busy => "busy",
            Self::Filling => "filling",
            Self::Large => "large",
        }
    }

    /// Whether anything goes.
    const fn wild(self) -> bool {
        matches!(self, Self::Busy | Self::Large)
    }
}

impl Case {
    pub(crate) fn draw(family: Family, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(family as u64);
        let mut case = Self { spots: spots(&mut rng, family), kinds: kinds(&mut rng, family), jobs: Vec::new() };
        let tasks = if family == Family::Large { rng.random_range(20..=128) } else { rng.random_range(0..=9) };
        for _ in 0..tasks {
            case.add_task(&mut rng, family);
        }
        for kind in 0..case.kinds.len() {
            case.set_counts(&mut rng, family, kind);
        }
        case
    }

    /// Live tasks of a service.
    pub(crate) fn live(&self, kind: usize) -> u32 {
        let of_kind = self.jobs.iter().filter(|job| job.kind == Some(kind) && job.phase != Phase::Stopping);
        u32::try_from(of_kind.count()).unwrap_or(u32::MAX)
    }

    /// Those of them that ECS moves off hosts that drain.
    pub(crate) fn moving(&self, kind: usize) -> u32 {
        let moves = |job: &&Job| job.kind == Some(kind) && job.phase != Phase::Stopping && self.moves(job);
        u32::try_from(self.jobs.iter().filter(moves).count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn moves(&self, job: &Job) -> bool {
        job.kind.is_some() && self.spots[job.spot].door == Door::Draining
    }

    /// Those that stay where they are.
    pub(crate) fn staying(&self, kind: usize) -> u32 {
        self.live(kind) - self.moving(kind)
    }

    fn add_task(&mut self, rng: &mut impl Rng, family: Family) {
        let spot = rng.random_range(0..self.spots.len());
        // Mostly lower tiers, so that there is something to take; sometimes nobody's.
        let kind = if rng.random_ratio(1, 10) { None } else { Some(pick_low(rng, self.kinds.len())) };
        let phase = [Phase::Running, Phase::Running, Phase::Running, Phase::Running, Phase::Pending, Phase::Stopping]
            [rng.random_range(0..6)];
        let (mut size, mut port) =
            kind.map_or(([1, 1, 0], None), |kind| (self.kinds[kind].size, self.kinds[kind].port));
        if family.wild() && rng.random_ratio(1, if family == Family::Busy { 8 } else { 80 }) {
            size = draw_size(rng);
            port = port.filter(|_| rng.random_ratio(1, 2)).or_else(|| rng.random_ratio(1, 6).then_some(80));
        }
        let protected = kind.is_some() && rng.random_ratio(1, 12);
        let job = Job { spot, kind, size, port, phase, protected };
        // A stopping task may sit beside what was already placed in its room.
        if phase == Phase::Stopping || self.could_stand(&job) {
            self.jobs.push(job);
        }
    }

    /// Whether the task could have been placed there once, when the host was still open.
    fn could_stand(&self, job: &Job) -> bool {
        let there = || self.jobs.iter().filter(|other| other.spot == job.spot && other.phase != Phase::Stopping);
        let spot = &self.spots[job.spot];
        let kind = job.kind.map(|kind| &self.kinds[kind]);
        let room =
            (0..3).all(|part| there().map(|other| other.size[part]).sum::<u32>() + job.size[part] <= spot.size[part]);
        let port = job.port.is_none() || (spot.kept != job.port && there().all(|other| other.port != job.port));
        let distinct = kind.is_none_or(|kind| !kind.distinct || there().all(|other| other.kind != job.kind));
        room && port && distinct && kind.is_none_or(|kind| kind.only_in.is_none_or(|zone| zone == spot.zone))
    }

    fn set_counts(&mut self, rng: &mut impl Rng, family: Family, number: usize) {
        let live = self.live(number);
        let kind = &mut self.kinds[number];
        kind.min = if rng.random_ratio(1, 3) { rng.random_range(0..=2).min(live) } else { 0 };
        kind.max = if rng.random_ratio(1, 8) { live + rng.random_range(0..=2) } else { 50 };
        kind.desired = live;
        let more = rng.random_range(0..=4);
        kind.want = match family {
            Family::Pure if number == 0 => live + more,
            Family::Pure | Family::Filling => live,
            Family::Eager => live + more,
            Family::Large => (live + 3 * more).saturating_sub(rng.random_range(0..=4)),
            Family::Busy => (live + more).saturating_sub(rng.random_range(0..=4)),
        };
        kind.want = kind.want.clamp(kind.min, kind.max);
        if family.wild() {
            // A count that was set before, and that ECS did not reach yet.
            kind.desired = (live + more / 2).saturating_sub(rng.random_range(0..=1)).min(kind.max);
            if rng.random_ratio(1, 8) {
                // The file was edited: more run than it allows.
                kind.max = live.saturating_sub(1).max(kind.min);
                kind.want = kind.want.min(kind.max);
            } else if rng.random_ratio(1, 6) {
                kind.min = (live + rng.random_range(0..=2)).min(kind.max);
                kind.want = kind.want.max(kind.min);
            }
        } else if number == 0 {
            kind.desired = rng.random_range(live..=kind.want.max(live));
        }
        match kind.apart {
            // Stops of a service that is not ours may come or not: here they do not.
            Some(Apart::HandsOff(_) | Apart::Foreign) => {
                kind.desired = if family.wild() { live + rng.random_range(0..=1) } else { live };
            }
            Some(Apart::Refused) => kind.desired = live + 1,
            // Nothing is given up on the word of a source that says nothing.
            Some(Apart::Unknown) => kind.want = kind.want.max(kind.desired).min(kind.max),
            None => {}
        }
    }
}

fn spots(rng: &mut impl Rng, family: Family) -> Vec<Spot> {
    let gpus = rng.random_ratio(1, 6);
    let ports = rng.random_ratio(1, 6);
    let spot = |rng: &mut dyn FnMut(u32, u32) -> u32| {
        let door = match (family, rng(0, 15)) {
            (Family::Busy | Family::Large, 0) => Door::Unlisted,
            (Family::Busy, 1 | 3) | (Family::Large, 1) => Door::Draining,
            (_, 1) => Door::Closed,
            (_, 2) => Door::Disconnected,
            _ => Door::Open,
        };
        let gpu = if gpus { rng(0, 2) } else { 0 };
        let kept = (ports && rng(0, 3) == 0).then_some(80);
        Spot { size: [rng(2, 9), rng(2, 9), gpu], zone: rng(0, 1), door, kept }
    };
    let count = if family == Family::Large { rng.random_range(5..=50) } else { rng.random_range(1..=4) };
    let mut number = |low, high| rng.random_range(low..=high);
    (0..count).map(|_| spot(&mut number)).collect()
}

fn kinds(rng: &mut impl Rng, family: Family) -> Vec<Kind> {
    let ports = rng.random_ratio(1, 5);
    let picky = rng.random_ratio(1, 4);
    let gpus = rng.random_ratio(1, 8);
    let count = if family == Family::Large { rng.random_range(2..=10) } else { rng.random_range(2..=4) };
    // Priority 1 has one service with a demand, but where everything is drawn.
    let tiers: &[u32] = if family.wild() { &[1, 1, 2, 2, 3, 3] } else { &[2, 2, 3, 3] };
    let mut kinds: Vec<Kind> = (0..count)
        .map(|number| {
            let tier = if number == 0 { 1 } else { tiers[rng.random_range(0..tiers.len())] };
            let mut size = draw_size(rng);
            size[2] = u32::from(gpus && rng.random_ratio(1, 3));
            let fill = match family {
                Family::Filling => number + 1 == count || (number > 0 && rng.random_ratio(1, 3)),
                Family::Pure | Family::Eager | Family::Busy | Family::Large => number > 0 && rng.random_ratio(1, 4),
            };
            Kind {
                tier,
                fill,
                size,
                port: (ports && rng.random_ratio(1, 2)).then(|| if rng.random_ratio(1, 4) { 443 } else { 80 }),
                rules: draw_rules(rng),
                distinct: picky && rng.random_ratio(1, 3),
                only_in: (picky && rng.random_ratio(1, 3)).then(|| rng.random_range(0..=1)),
                min: 0,
                max: 0,
                want: 0,
                desired: 0,
                ripe: match family {
                    Family::Pure | Family::Eager => false,
                    Family::Busy | Family::Large => rng.random_ratio(1, 2),
                    Family::Filling => true,
                },
                headroom: if rng.random_ratio(1, 2) { rng.random_range(0..=2) } else { 0 },
                apart: if number > 0 { draw_apart(rng, family) } else { None },
            }
        })
        .collect();
    kinds.sort_by_key(|kind| (kind.tier, kind.fill));
    kinds
}

fn draw_apart(rng: &mut impl Rng, family: Family) -> Option<Apart> {
    let because = [HandsOff::Daemon, HandsOff::Deploying, HandsOff::ScaledElsewhere][rng.random_range(0..3)];
    match rng.random_range(0..36) {
        0..3 => Some(Apart::HandsOff(because)),
        3 if family.wild() => Some(Apart::Foreign),
        4 if family.wild() => Some(Apart::Refused),
        5 if family.wild() => Some(Apart::Unknown),
        _ => None,
    }
}

fn draw_size(rng: &mut impl Rng) -> Size {
    [rng.random_range(1..=4), rng.random_range(1..=4), 0]
}

fn draw_rules(rng: &mut impl Rng) -> Vec<Rule> {
    match rng.random_range(0..8) {
        0 | 1 => vec![],
        2 => vec![Rule::MostCpuLeft],
        3 => vec![Rule::MostMemoryLeft],
        4 => vec![Rule::FullestHost],
        5 => vec![Rule::Any],
        6 => vec![Rule::FullestZone, Rule::MostMemoryLeft],
        _ => vec![Rule::MostCpuLeft, Rule::FullestHost],
    }
}

/// One of `count` services, the last ones more often.
fn pick_low(rng: &mut impl Rng, count: usize) -> usize {
    rng.random_range(0..count).max(rng.random_range(0..count))
}
