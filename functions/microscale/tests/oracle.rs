//! The planner against an exhaustive oracle on small clusters: all victim choices, all placements, all sacrifices.
//!
//! The oracle shares no code with the planner. It plays ECS: lowers come before raises, in any interleaving; a victim is
//! whatever the strategy allows; a new task goes to any host that fits.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use evenkeel_microscale::{State, plan};
use evenkeel_model::decision::Step;
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::observed::{EcsService, Field, Host, HostStatus, Observed, Placement, Signal, Task, TaskPhase};
use evenkeel_model::{Resources, Room, Timestamp};
use evenkeel_turn::Given;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CASES: u64 = 10_000;
/// `web`, `mid` and `low`, one in each tier.
const NAMES: [&str; 3] = ["web", "mid", "low"];

/// A small cluster.
#[derive(Debug, Clone)]
struct Case {
    hosts: Vec<Spot>,
    services: [Kind; 3],
    /// Live tasks, by host and service.
    tasks: Vec<[u32; 3]>,
    /// Whether lower tiers want more than they have, too.
    all_want: bool,
}

#[derive(Debug, Clone)]
struct Spot {
    size: [u32; 2],
    zone: usize,
    open: bool,
}

#[derive(Debug, Clone)]
struct Kind {
    size: [u32; 2],
    port: bool,
    strategy: Strategy,
    min: u32,
    want: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Strategy {
    Default,
    Cpu,
    Memory,
    Host,
    Random,
    ZoneThenMemory,
}

impl Case {
    fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategies = [
            Strategy::Default,
            Strategy::Cpu,
            Strategy::Memory,
            Strategy::Host,
            Strategy::Random,
            Strategy::ZoneThenMemory,
        ];
        let ports = rng.random_ratio(1, 5);
        let mut kind = |tier: u32| Kind {
            size: [rng.random_range(1..=4), rng.random_range(1..=4)],
            port: ports && tier < 2,
            strategy: strategies[rng.random_range(0..strategies.len())],
            min: if tier > 0 && rng.random_ratio(1, 3) { rng.random_range(0..=2) } else { 0 },
            want: 0,
        };
        let mut services = [kind(0), kind(1), kind(2)];
        let hosts: Vec<Spot> = (0..rng.random_range(1..=4))
            .map(|_| Spot {
                size: [rng.random_range(2..=9), rng.random_range(2..=9)],
                zone: rng.random_range(0..2),
                open: rng.random_ratio(7, 8),
            })
            .collect();
        let mut case = Self {
            tasks: vec![[0; 3]; hosts.len()],
            hosts,
            services: services.clone(),
            all_want: seed.is_multiple_of(3),
        };
        for _ in 0..rng.random_range(0..=8) {
            // Mostly lower tiers, so that there is something to take.
            let service = [0, 1, 1, 2, 2, 2][rng.random_range(0..6)];
            let host = rng.random_range(0..case.hosts.len());
            if case.fits(&case.tasks, host, service, true) {
                case.tasks[host][service] += 1;
            }
        }
        for (service, kind) in services.iter_mut().enumerate() {
            let more = if service == 0 || case.all_want { rng.random_range(0..=3) } else { 0 };
            kind.want = case.live(service) + more;
            kind.min = kind.min.min(case.live(service));
        }
        case.services = services;
        case
    }

    fn live(&self, service: usize) -> u32 {
        self.tasks.iter().map(|tasks| tasks[service]).sum()
    }

    fn free(&self, tasks: &[[u32; 3]], host: usize, part: usize) -> u32 {
        let used: u32 = (0..3).map(|service| tasks[host][service] * self.services[service].size[part]).sum();
        self.hosts[host].size[part] - used
    }

    fn fits(&self, tasks: &[[u32; 3]], host: usize, service: usize, closed_too: bool) -> bool {
        let kind = &self.services[service];
        let port_free = || (0..3).all(|other| !self.services[other].port || tasks[host][other] == 0);
        (self.hosts[host].open || closed_too)
            && (0..2).all(|part| self.free(tasks, host, part) >= kind.size[part])
            && (!kind.port || port_free())
    }

    /// New tasks of a service that fit when nothing else moves.
    fn slots(&self, tasks: &[[u32; 3]], service: usize) -> u32 {
        let mut tasks = tasks.to_vec();
        let mut slots = 0;
        for host in 0..self.hosts.len() {
            while self.fits(&tasks, host, service, false) {
                tasks[host][service] += 1;
                slots += 1;
            }
        }
        slots
    }

    /// The hosts whose task ECS may stop next.
    fn victims(&self, tasks: &[[u32; 3]], service: usize) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.hosts.len()).filter(|&host| tasks[host][service] > 0).collect();
        let zone = |host: &usize| -> u32 {
            let same = (0..self.hosts.len()).filter(|&other| self.hosts[other].zone == self.hosts[*host].zone);
            same.map(|other| tasks[other][service]).sum()
        };
        let left = |part: usize| move |host: &usize| self.free(tasks, *host, part) + self.services[service].size[part];
        match self.services[service].strategy {
            Strategy::Random => {}
            Strategy::Default => largest(&mut found, zone),
            Strategy::Cpu => largest(&mut found, left(0)),
            Strategy::Memory => largest(&mut found, left(1)),
            Strategy::Host => largest(&mut found, |host| tasks[*host][service]),
            Strategy::ZoneThenMemory => {
                largest(&mut found, zone);
                largest(&mut found, left(1));
            }
        }
        found
    }

    /// All clusters that ECS may leave when it stops so many tasks of each service.
    fn after(&self, kills: [u32; 3]) -> BTreeSet<Vec<[u32; 3]>> {
        let mut ends = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![self.tasks.clone()];
        while let Some(tasks) = open.pop() {
            let mut ended = true;
            for service in 0..3 {
                let stopped = self.live(service) - tasks.iter().map(|tasks| tasks[service]).sum::<u32>();
                if stopped == kills[service] {
                    continue;
                }
                ended = false;
                for host in self.victims(&tasks, service) {
                    let mut next = tasks.clone();
                    next[host][service] -= 1;
                    if seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            if ended {
                ends.insert(tasks);
            }
        }
        ends
    }

    /// The most new `web` tasks, up to its want, whose start is certain, and the cheapest sacrifice for them.
    fn best(&self) -> (u32, [u32; 3]) {
        let need = self.services[0].want - self.live(0);
        let mut best = (0, [0; 3]);
        // In the order of the price: the more important tier counts first.
        for mid in 0..=self.live(1) - self.services[1].min {
            for low in 0..=self.live(2) - self.services[2].min {
                let kills = [0, mid, low];
                let certain = self.after(kills).iter().map(|tasks| self.slots(tasks, 0)).min().unwrap_or(0).min(need);
                if certain > best.0 {
                    best = (certain, kills);
                }
            }
        }
        best
    }

    /// Whether every raise is placed, wherever ECS puts each of them and in whatever order.
    fn all_placed(&self, start: Vec<[u32; 3]>, raises: [u32; 3]) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![(start, raises)];
        while let Some((tasks, raises)) = open.pop() {
            for service in (0..3).filter(|&service| raises[service] > 0) {
                let fit: Vec<usize> =
                    (0..self.hosts.len()).filter(|&host| self.fits(&tasks, host, service, false)).collect();
                if fit.is_empty() {
                    return false;
                }
                for host in fit {
                    let (mut tasks, mut raises) = (tasks.clone(), raises);
                    tasks[host][service] += 1;
                    raises[service] -= 1;
                    if seen.insert((tasks.clone(), raises)) {
                        open.push((tasks, raises));
                    }
                }
            }
        }
        true
    }

    fn fleet(&self) -> Fleet {
        let mut text = String::from(
            "name = \"o\"\ncluster = \"o\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
             pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n",
        );
        for (tier, kind) in self.services.iter().enumerate() {
            text.push_str(&format!(
                "[[service]]\nname = \"{}\"\npriority = {}\nmin_tasks = {}\nscale_down_after = \"1s\"\n\
                 demand = {{ metric = \"o/{tier}\", period = \"10s\", per_task = 1 }}\n",
                NAMES[tier],
                tier + 1,
                kind.min
            ));
        }
        fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    fn observed(&self, at: Timestamp) -> Observed {
        let host = |(number, spot): (usize, &Spot)| Host {
            id: format!("h-{number}").parse().unwrap(),
            zone: format!("z-{}", spot.zone).parse().ok(),
            pool: None,
            registered: Resources::new(spot.size[0] * 256, spot.size[1] * 512),
            reserved_ports: BTreeSet::new(),
            status: if spot.open { HostStatus::Active } else { HostStatus::Draining },
            connected: true,
            attributes: BTreeMap::new(),
        };
        let needs = |kind: &Kind| Room {
            resources: Resources::new(kind.size[0] * 256, kind.size[1] * 512),
            ports: kind.port.then_some(80).into_iter().collect(),
        };
        let mut seen = Observed {
            at,
            hosts: self.hosts.iter().enumerate().map(host).collect(),
            tasks: Vec::new(),
            services: Vec::new(),
            demand: BTreeMap::new(),
        };
        for (service, kind) in self.services.iter().enumerate() {
            for (host, tasks) in self.tasks.iter().enumerate() {
                for number in 0..tasks[service] {
                    seen.tasks.push(Task {
                        id: format!("{}-{host}-{number}", NAMES[service]).parse().unwrap(),
                        host: format!("h-{host}").parse().unwrap(),
                        service: NAMES[service].parse().ok(),
                        takes: needs(kind),
                        phase: TaskPhase::Running,
                        created: at,
                        started: Some(at),
                        protected: false,
                    });
                }
            }
            let spread = |over: &str| Placement::Spread(over.to_owned());
            let strategy = match kind.strategy {
                Strategy::Default => vec![],
                Strategy::Cpu => vec![Placement::Binpack(Field::Cpu)],
                Strategy::Memory => vec![Placement::Binpack(Field::Memory)],
                Strategy::Host => vec![spread("instanceId")],
                Strategy::Random => vec![Placement::Random],
                Strategy::ZoneThenMemory => {
                    vec![spread("attribute:ecs.availability-zone"), Placement::Binpack(Field::Memory)]
                }
            };
            seen.services.push(EcsService {
                name: NAMES[service].parse().unwrap(),
                desired: self.live(service),
                task: needs(kind),
                strategy,
                constraints: Vec::new(),
                stop_timeout: std::time::Duration::from_secs(30),
                hands_off: None,
                placement_failed: None,
            });
            seen.demand.insert(NAMES[service].parse().unwrap(), Signal::Value { value: f64::from(kind.want), at });
        }
        seen
    }

    /// The counts that the planner decides on.
    fn planned(&self) -> [u32; 3] {
        let at = Timestamp::UNIX_EPOCH;
        let (fleet, seen, state) = (self.fleet(), self.observed(at), State::default());
        let given = Given { fleet: &fleet, state: &state, pushed: &BTreeMap::new(), now: at };
        let outlook = plan(&given, &seen);
        let mut counts = [0, 1, 2].map(|service| self.live(service));
        for planned in &outlook.steps {
            let Step::SetDesiredCount { service, from: _, to } = &planned.step;
            let place = NAMES.iter().position(|name| *name == service.as_str()).unwrap();
            counts[place] = *to;
        }
        counts
    }

    /// What is wrong with the planner's decision, if anything is.
    fn judge(&self) -> Result<(), String> {
        let counts = self.planned();
        let live = [0, 1, 2].map(|service| self.live(service));
        let raises = [0, 1, 2].map(|service| counts[service].saturating_sub(live[service]));
        let kills = [0, 1, 2].map(|service| live[service].saturating_sub(counts[service]));
        for (service, kind) in self.services.iter().enumerate() {
            if counts[service] < kind.min {
                return Err(format!("{} is set to {}, below its minimum", NAMES[service], counts[service]));
            }
        }
        let ends = self.after(kills);
        if let Some(end) = ends.into_iter().find(|end| !self.all_placed(end.clone(), raises)) {
            return Err(format!("counts {counts:?} are not certain to be placed: ECS may leave {end:?}"));
        }
        let (certain, cheapest) = self.best();
        if raises[0] != certain {
            return Err(format!("web starts {}, and {certain} could be made certain with {cheapest:?}", raises[0]));
        }
        // With all tiers wanting more, mid may take from low for itself, too.
        if !self.all_want && kills != cheapest {
            return Err(format!("{kills:?} tasks are stopped for {certain} web, and {cheapest:?} would do"));
        }
        Ok(())
    }
}

fn largest(found: &mut Vec<usize>, key: impl Fn(&usize) -> u32) {
    let most = found.iter().map(&key).max();
    found.retain(|host| Some(key(host)) == most);
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, kind) in NAMES.iter().zip(&self.services) {
            let Kind { size, port, strategy, min, want } = kind;
            writeln!(f, "  {name}: size {size:?}, port {port}, {strategy:?}, at least {min}, wants {want}")?;
        }
        for (host, tasks) in self.hosts.iter().zip(&self.tasks) {
            let Spot { size, zone, open } = host;
            writeln!(f, "  a host of {size:?} in zone {zone}, open {open}, with {tasks:?}")?;
        }
        Ok(())
    }
}

#[test]
fn priority_1_reaches_what_ecs_can_be_made_to_reach_with_the_fewest_kills() {
    let (mut raised, mut preempted, mut refused) = (0, 0, 0);
    for seed in 0..CASES {
        let case = Case::random(seed);
        if let Err(problem) = case.judge() {
            panic!("seed {seed}: {problem}\n{case}");
        }
        let (certain, kills) = case.best();
        raised += u64::from(certain > 0);
        preempted += u64::from(kills != [0; 3]);
        refused += u64::from(certain < case.services[0].want - case.live(0));
    }
    println!("{CASES} cases: {raised} raised, {preempted} with preemption, {refused} refused in part or whole");
    assert!(raised > 2_000 && preempted > 500 && refused > 500, "the cases are too easy");
}
