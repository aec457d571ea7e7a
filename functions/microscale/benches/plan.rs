//! Planning one turn: 1,000 hosts with 50 services and 20,000 tasks, and ten times as much.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use evenkeel_microscale::{State, plan};
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::observed::{
    EcsService, Field, Host, HostStatus, Leaving, Mark, Observed, Placement, Signal, Task, TaskPhase,
};
use evenkeel_model::resources::Port;
use evenkeel_model::{Resources, Room, Timestamp};
use evenkeel_turn::{Board, Given};

/// What the services want in proportion to what runs.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// What there is.
    Quiet,
    /// A little more, and there is room.
    Rising,
    /// More than there is room for: lower tiers must give way.
    Preempting,
    /// One host in twenty is gone.
    HostsLost,
}

fn fleet_file(services: usize) -> Fleet {
    let mut text = String::from(
        "name = \"big\"\ncluster = \"big\"\nbeat = \"10s\"\n[hosts]\nminimum = 1\nsteady = 1\nmaximum = 1\n\
         [[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"big\"\n",
    );
    for number in 0..services {
        let tier = 1 + number * 3 / services;
        text.push_str(&format!("[[service]]\nname = \"s{number}\"\n"));
        if tier == 3 {
            text.push_str("priority = 3\nfill = true\n");
        } else {
            text.push_str(&format!("priority = {tier}\nheadroom_tasks = 2\n"));
            text.push_str("demand = { metric = \"b/m\", period = \"10s\", per_task = 1 }\n");
        }
    }
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn observed(fleet: &Fleet, hosts: usize, tasks: usize, case: Case) -> Observed {
    let at = Timestamp::UNIX_EPOCH;
    let count = fleet.services.len();
    let host = |number: usize| Host {
        id: format!("i-{number}").parse().unwrap_or_else(|error| panic!("{error}")),
        zone: format!("z-{}", number % 3).parse().ok(),
        pool: None,
        registered: Resources::new(8192, 15_500),
        reserved_ports: [22, 51678].map(Port::Tcp).into(),
        provider: None,
        status: HostStatus::Active,
        connected: true,
        task_count: 0,
        attributes: BTreeMap::new(),
        mark: Mark::default(),
    };
    let size = |service: usize| Resources::new(256 + 64 * (service as u32 % 3), 384 + 128 * (service as u32 % 5));
    let task = |number: usize| {
        // A cheap mixing of numbers, so that hosts differ.
        let service = (number * 7 + number / hosts) % count;
        Task {
            id: format!("t-{number}").parse().unwrap_or_else(|error| panic!("{error}")),
            host: format!("i-{}", number % hosts).parse().unwrap_or_else(|error| panic!("{error}")),
            service: Some(fleet.services[service].name.clone()),
            takes: Room::from(size(service)),
            phase: TaskPhase::Running,
            created: at,
            started: Some(at),
            protected: false,
        }
    };
    let strategies = [
        vec![],
        vec![Placement::Binpack(Field::Memory)],
        vec![Placement::Random],
        vec![Placement::Spread("instanceId".to_owned())],
    ];
    let mut tasks: Vec<Task> = (0..tasks).map(task).collect();
    let mut hosts: Vec<Host> = (0..hosts).map(host).collect();
    let mut live: BTreeMap<_, u32> = BTreeMap::new();
    for task in &tasks {
        *live.entry(task.service.clone()).or_default() += 1;
    }
    if matches!(case, Case::HostsLost) {
        hosts.retain(|host| !host.id.as_str().ends_with("7"));
        tasks.retain(|task| !task.host.as_str().ends_with("7"));
    }
    let mut seen = Observed { at, hosts, tasks, services: Vec::new(), demand: BTreeMap::new() };
    for (number, service) in fleet.services.iter().enumerate() {
        let live = live.get(&Some(service.name.clone())).copied().unwrap_or(0);
        seen.services.push(EcsService {
            name: service.name.clone(),
            desired: live,
            task: Room::from(size(number)),
            strategy: strategies[number % strategies.len()].clone(),
            constraints: Vec::new(),
            providers: Vec::new(),
            stop_timeout: std::time::Duration::from_secs(30),
            leaving: Leaving::default(),
            hands_off: None,
            placement_failed: None,
            told_of: BTreeMap::new(),
            counted: live,
        });
        let factor = match case {
            Case::Quiet | Case::HostsLost => 1.0,
            Case::Rising => 1.1,
            Case::Preempting => 2.5,
        };
        seen.demand.insert(service.name.clone(), Signal::Value { value: (f64::from(live) * factor).round(), at });
    }
    seen
}

fn bench(criterion: &mut Criterion) {
    for (hosts, services, tasks) in
        [(100, 10, 2_000), (1_000, 50, 20_000), (10_000, 50, 200_000), (10_000, 500, 200_000)]
    {
        let fleet = fleet_file(services);
        let mut group = criterion.benchmark_group(format!("{hosts} hosts, {services} services, {tasks} tasks"));
        group.sample_size(10);
        for case in [Case::Quiet, Case::Rising, Case::Preempting, Case::HostsLost] {
            let seen = observed(&fleet, hosts, tasks, case);
            let state = State::default();
            let given = Given { fleet: &fleet, state: &state, board: &Board::default(), now: seen.at };
            group.bench_with_input(BenchmarkId::from_parameter(format!("{case:?}")), &seen, |bencher, seen| {
                bencher.iter(|| black_box(plan(&given, seen)));
            });
        }
        group.finish();
    }
    memory();
}

/// The most memory that the process ever had, the observed fleets included.
#[expect(clippy::print_stderr, reason = "a bench has nowhere else to say it")]
fn memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(line) = status.lines().find(|line| line.starts_with("VmHWM")) {
        eprintln!("peak memory of the process: {line}");
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
