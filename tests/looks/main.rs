//! What looks cost, from ten hosts to five thousand, and what they miss.

#![expect(clippy::print_stderr, reason = "a test says what it measured")]

mod account;

use evenkeel_model::FunctionName;
use evenkeel_model::fleet::{self, Fleet, Format, Service};
use evenkeel_world::clock::{Ms, SECOND};
use evenkeel_world::demand::{self, Walk};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Report, Source, World, room_for};

/// Until a fleet's hosts are there and its tasks run.
const BEGUN: Ms = 900 * SECOND;

/// So many hosts of ten slots, half a slot for each of reports' tasks, in a fleet that does all that Even Keel can.
fn fleet_of(hosts: u32) -> (Fleet, Setup) {
    let parts = parts(hosts);
    let mut text = format!(
        "name = \"large\"\ncluster = \"large\"\nbeat = \"10s\"\n\
         hosts = {{ minimum = {half}, steady = {hosts}, maximum = {most} }}\n\
         pool = [{{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"large-base\" }},\n\
                 {{ name = \"spot\", purchase = \"spot\", auto_scaling_group = \"large-spot\" }},\n\
                 {{ name = \"burst\", purchase = \"on-demand\", auto_scaling_group = \"large-burst\" }}]\n\
         [backfill]\n[patch]\n",
        half = hosts / 2,
        most = (hosts * 5 / 4).min(5_000),
    );
    for part in 1..=parts {
        let (web, reports) = (name("web", part), name("reports", part));
        text += &format!(
            "[[service]]\nname = \"{web}\"\npriority = 1\nmin_tasks = {least}\nmax_tasks = {most}\n\
             demand = {{ metric = \"large/{web}\", period = \"10s\", per_task = 50 }}\n\
             [[service]]\nname = \"{reports}\"\npriority = 2\nfill = true\nmax_tasks = {fills}\n",
            least = hosts / 2 / parts,
            most = hosts * 3 / parts,
            fills = hosts * 5 / parts,
        );
    }
    let fleet = fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"));
    let mut setup = format!("[pool.base]\nhosts = {}\n[pool.spot]\nhosts = {}\n", hosts * 6 / 10, hosts * 4 / 10);
    for part in 1..=parts {
        let (web, reports) = (name("web", part), name("reports", part));
        setup += &format!(
            "[service.{web}]\ntask = {{ cpu = 512, memory = 1024 }}\n\
             [service.{reports}]\ntask = {{ cpu = 256, memory = 512 }}\n"
        );
    }
    let setup = Setup::read(&setup, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    (fleet, setup)
}

/// ECS has room for 5,000 tasks in a service: in so many services each kind of work comes.
fn parts(hosts: u32) -> u32 {
    (hosts * 5).div_ceil(5_000)
}

fn name(of: &str, part: u32) -> String {
    if part == 1 { of.to_owned() } else { format!("{of}-{part}") }
}

/// A world whose demand stands still, or walks about.
fn world(hosts: u32, seed: u64, moves: bool) -> World {
    let (fleet, setup) = fleet_of(hosts);
    let room = |service: &Service| {
        f64::from(room_for(&fleet, &setup, service).min(hosts * 3 / parts(hosts))) * demand::per_task(service)
    };
    let of = fleet.services.iter().find(|service| service.demand.is_some()).map_or(0.0, room);
    World::new(fleet, setup, seed, Faults::default(), |service| {
        service.demand.as_ref()?;
        Some(if moves { Source::Walk(Box::new(Walk::new(seed, 7, of * 0.9))) } else { Source::Level(of * 0.5) })
    })
}

/// Requests of microscale between two reports, and its looks: each asks once for its services.
fn between(before: &Report, after: &Report) -> (u64, u64) {
    let calls = |report: &Report| report.calls_by_function[&FunctionName::Microscale].aws;
    let looks = |report: &Report| report.looks[&FunctionName::Microscale];
    (calls(after) - calls(before), looks(after) - looks(before))
}

fn ecs_reads(report: &Report) -> u64 {
    let read =
        |action: &str| action.starts_with("ecs:") && !action.starts_with("ecs:Update") && action != "ecs:PutAttributes";
    report.api_calls.iter().filter(|(action, _)| read(action)).map(|(_, calls)| calls).sum()
}

#[track_caller]
fn quiet(hosts: u32, most: f64) {
    let mut world = world(hosts, 1, false);
    // Where looks cost more than their share, beats are left out, and thousands of hosts fill up more slowly.
    let begun = BEGUN * Ms::from(1 + hosts / 2_500);
    world.run_until(begun);
    let before = world.report();
    world.run_until(begun + 600 * SECOND);
    let after = world.report();
    let (calls, looks) = between(&before, &after);
    let each = calls as f64 / looks as f64;
    let tasks: u32 = world.view().map_or(0, |view| view.services.iter().map(|service| service.running).sum());
    eprintln!("{hosts} hosts, {tasks} tasks: {each:.1} calls a look in {looks} looks, {} throttled", after.throttled);
    assert!(tasks >= hosts * 6, "{tasks} tasks");
    assert!(each <= most, "{each}");
    // At five thousand, the looks of three functions in one second are more than the account has at once.
    let throttled = after.throttled - before.throttled;
    assert!(throttled <= if hosts > 1_000 { calls / 100 } else { 0 }, "{throttled} of {calls}");
    assert_eq!(world.missed(), 0);
}

#[test]
fn a_quiet_look_at_a_hundred_hosts() {
    quiet(100, 5.0);
}

#[test]
fn a_quiet_look_at_a_thousand_hosts() {
    quiet(1_000, 25.0);
}

#[test]
#[ignore = "long: five thousand hosts"]
fn a_quiet_look_at_five_thousand_hosts() {
    quiet(5_000, 110.0);
}

#[test]
fn new_processes_know_a_thousand_hosts_within_ten_seconds() {
    for seed in 1..=3 {
        let mut world = world(1_000, seed, true);
        world.run_until(BEGUN);
        let throttled = world.report().throttled;
        let before = world.view().map(|view| view.at);
        world.note_calls();
        world.begin_processes_anew();
        let mut now = BEGUN;
        while world.view().map(|view| view.at) == before {
            now += SECOND / 10;
            assert!(now < BEGUN + 60 * SECOND, "seed {seed}: no plan within a minute");
            world.run_until(now);
        }
        let calls = world.noted_calls();
        let first = calls.iter().find(|taken| taken.by == FunctionName::Microscale).map_or(now, |taken| taken.at);
        eprintln!("seed {seed}: a plan {} ms after the first of {} calls", now - first, calls.len());
        assert!(now - first <= 10 * SECOND, "seed {seed}: {} ms", now - first);
        world.run_until(now + 60 * SECOND);
        assert_eq!(world.report().throttled, throttled, "seed {seed}");
        assert_eq!(world.missed(), 0, "seed {seed}");
    }
}

/// An hour in which demand walks about.
fn busy(hosts: u32, seed: u64) -> Report {
    let mut world = world(hosts, seed, true);
    world.run_until(BEGUN);
    let before = world.report();
    world.run_until(BEGUN + 3_600 * SECOND);
    let after = world.report();
    let reads = (ecs_reads(&after) - ecs_reads(&before)) as f64 / 3_600.0;
    let reaction = &after.services[0].reaction_seconds;
    eprintln!(
        "{hosts} hosts, seed {seed}: {reads:.2} ECS reads a second, {} throttled, reaction {:?} and {:?} s, {} starts",
        after.throttled - before.throttled,
        reaction.p50,
        reaction.p99,
        after.services.iter().map(|service| service.starts).sum::<u64>()
    );
    assert!(reads <= 4.0, "{reads} reads a second: {:?}", after.api_calls);
    assert_eq!(after.throttled, before.throttled);
    assert_eq!(world.missed(), 0);
    after
}

#[test]
fn a_busy_hour_of_a_thousand_hosts_leaves_the_account_its_calls() {
    let reaction = |hosts: u32| {
        let report = busy(hosts, 1);
        let of = &report.services[0].reaction_seconds;
        [of.p50, of.p99].map(|seconds| seconds.unwrap_or(f64::INFINITY))
    };
    for (small, large) in reaction(10).into_iter().zip(reaction(1_000)) {
        assert!(large <= 1.2 * small, "{large} s, {small} s with ten hosts");
    }
}
