//! Stories of a fleet: what its owner would see, minute by minute.

use std::time::Duration;

use evenkeel_model::FunctionName;
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::view::{ServiceView, View};
use evenkeel_turn::{lease_key, state_key, view_key};
use evenkeel_world::clock::{MINUTE, SECOND};
use evenkeel_world::demand::{Walk, per_task, read};
use evenkeel_world::setup::{Setup, room_for};
use evenkeel_world::{Faults, Source, World};

fn fleet(text: &str) -> Fleet {
    fleet::read(text, Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn demo() -> Fleet {
    fleet(include_str!("../../infra/fleets/demo.toml"))
}

/// A world in which every demand wanders.
fn wandering(fleet: Fleet, setup: Setup, seed: u64) -> World {
    let rooms: Vec<f64> =
        fleet.services.iter().map(|file| f64::from(room_for(&fleet, &setup, file)) * per_task(file) * 0.9).collect();
    let mut rooms = rooms.into_iter();
    World::new(fleet, setup, seed, Faults::default(), |service| {
        let most = rooms.next().unwrap_or(0.0);
        service.demand.as_ref().map(|_| Source::Walk(Box::new(Walk::new(seed, 100, most))))
    })
}

fn view(world: &World) -> View {
    world.view().unwrap_or_else(|| panic!("no view after {} ms", world.now()))
}

fn service<'v>(view: &'v View, name: &str) -> &'v ServiceView {
    view.services.iter().find(|service| service.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn at_a_spike_reports_give_way_and_after_it_they_come_back() {
    let mut world = wandering(demo(), Setup::for_fleet(&demo()), 5);
    world.calm();
    world.run_until(4 * MINUTE);
    let calm = view(&world);
    assert!(service(&calm, "web").running <= 4, "{calm:?}");
    // 24 slots; two are web's headroom.
    assert!(service(&calm, "reports").running >= 17, "{calm:?}");
    world.spike();
    world.run_until(6 * MINUTE);
    let spike = view(&world);
    let web = service(&spike, "web");
    assert!(web.running >= web.want, "{spike:?}");
    assert!(web.running >= 20 && service(&spike, "reports").running <= 4);
    assert!(spike.decisions.iter().any(|decision| decision.text.contains("so that web can start")));
    world.calm();
    world.run_until(10 * MINUTE);
    assert!(service(&view(&world), "reports").running >= 17);
    assert_eq!(world.report().invariant_violations, []);
}

#[test]
fn a_quiet_fleet_is_left_alone() {
    let mut world = wandering(demo(), Setup::for_fleet(&demo()), 1);
    world.calm();
    world.run_until(3 * MINUTE);
    let before = world.report().api_calls.get("ecs:UpdateService").copied();
    let mut still = 0;
    for minute in 4..9 {
        world.calm();
        let earlier = view(&world).services.iter().map(|service| service.desired).collect::<Vec<_>>();
        world.run_until(minute * MINUTE);
        still += u32::from(earlier == view(&world).services.iter().map(|service| service.desired).collect::<Vec<_>>());
    }
    let after = world.report().api_calls.get("ecs:UpdateService").copied();
    assert!(after.unwrap_or(0) - before.unwrap_or(0) <= 6 && still >= 2, "{before:?} then {after:?}");
}

#[test]
fn a_fleet_at_rest_writes_only_its_leases_and_is_shown_as_of_the_last_turn() {
    let fleet = fleet(include_str!("../../infra/fleets/shop.toml"));
    let name = fleet.name.clone();
    let functions = [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll];
    let keys = [state_key, view_key, lease_key].map(|key| functions.map(|function| key(&name, function)));
    let setup = Setup::for_fleet(&fleet);
    let level = |service: &fleet::Service| service.demand.as_ref().map(|_| Source::Level(300.0));
    let mut world = World::new(fleet, setup, 3, Faults::default(), level);
    world.run_until(60 * MINUTE);
    let versions =
        |world: &World| keys.each_ref().map(|kind| kind.each_ref().map(|key| world.item_version(key).unwrap_or(0)));
    let before = versions(&world);
    world.run_until(80 * MINUTE);
    let after = versions(&world);
    let writes = |kind: usize| [0, 1, 2].map(|function| after[kind][function] - before[kind][function]);
    assert_eq!((writes(0), writes(1)), ([0; 3], [0; 3]), "states and views");
    assert!(writes(2).iter().all(|&leases| leases >= 2 * 20), "{:?} leases", writes(2));
    let seen = [view(&world).at, world.backfill_view().unwrap().at, world.patch_view().unwrap().at];
    assert!(seen.iter().all(|at| *at > view(&world).at - Duration::from_secs(70)), "{seen:?}");
    assert_eq!(world.report().invariant_violations, []);
}

#[test]
fn planning_again_on_an_unchanged_world_gives_nothing() {
    let mut world = wandering(demo(), Setup::for_fleet(&demo()), 9);
    let mut quiet = 0;
    // Beats come three seconds after whole tens; eight seconds later their turn is over and nothing new was measured.
    for step in 1..60 {
        world.run_until(MINUTE + step * 10 * SECOND + 8 * SECOND);
        let (seen, state) = (world.observe(), world.microscale_state());
        let fleet = demo();
        let given = evenkeel_turn::Given {
            fleet: &fleet,
            state: &state,
            board: &evenkeel_turn::Board::default(),
            now: seen.at,
        };
        let outlook = evenkeel_microscale::plan(&given, &seen);
        let again = evenkeel_microscale::plan(&given, &seen);
        assert_eq!(outlook, again, "the same inputs give the same plan");
        quiet += u32::from(outlook.steps.is_empty());
    }
    assert!(quiet >= 50, "only {quiet} of 59 second plans were empty");
}

#[test]
fn every_kind_of_demand_is_followed() {
    let kinds = [
        "{ metric = \"k/m\", period = \"10s\", per_task = 10 }",
        "{ metric = \"k/m\", period = \"10s\", target = 60 }",
        "{ queue = \"jobs\", per_task = 10, drain_within = \"1m\" }",
        "{ manual = true, per_task = 10 }",
        "{ alarm = \"busy\", add = 2, cooldown = \"1m\" }",
    ];
    for kind in kinds {
        let text = format!(
            "name = \"k\"\ncluster = \"k\"\nbeat = \"10s\"\nhosts = {{ minimum = 3, steady = 3, maximum = 3 }}\n\
             pool = [{{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }}]\n\
             [[service]]\nname = \"work\"\npriority = 1\nmin_tasks = 1\nmax_tasks = 20\ndemand = {kind}\n\
             [[service]]\nname = \"rest\"\npriority = 2\nfill = true\n"
        );
        let mut world = wandering(fleet(&text), Setup::default(), 3);
        world.run_until(3 * 60 * MINUTE);
        let report = world.report();
        let work = &report.services[0];
        assert_eq!(report.invariant_violations, [], "{kind}");
        assert_eq!(report.over_asked_task_seconds, 0.0, "{kind}");
        assert!(work.starts > 5, "{kind}: {work:?}");
        let served = 1.0 - work.short_task_seconds / work.wanted_task_seconds;
        assert!(served > 0.75, "{kind}: only {served} of the wanted task-seconds ran");
    }
}

#[test]
fn unlike_sizes_strategies_ports_daemons_and_strangers_are_lived_with() {
    let text = include_str!("../../infra/fleets/shop.toml");
    let setup = "daemon = { cpu = 128, memory = 256 }\nunmanaged_tasks = 3\n\
                 [service.web]\ntask = { cpu = 512, memory = 1500 }\nports = [8080]\n\
                 [service.reports]\ntask = { cpu = 200, memory = 700 }\nstrategy = [\"random\"]\n";
    for seed in 1..=5 {
        let fleet = fleet(text);
        let setup = Setup::read(setup, &fleet).unwrap_or_else(|error| panic!("{error:?}"));
        let mut world = wandering(fleet, setup, seed);
        world.run_until(6 * 60 * MINUTE);
        let report = world.report();
        assert_eq!(report.invariant_violations, [], "seed {seed}");
        assert_eq!(report.over_asked_task_seconds, 0.0, "seed {seed}");
        let web = view(&world);
        // One static port: at most one web task on each of the five hosts.
        assert!(service(&web, "web").running <= 5);
    }
}

#[test]
fn real_traces_are_followed_within_the_promised_times() {
    let folder = "../../../shared/data/demand";
    if !std::path::Path::new(folder).is_dir() {
        println!("skipped: the folder with real demand traces is not there");
        return;
    }
    for name in ["elb-requests", "tweets-aapl", "taxi-rides", "llm-code-arrivals"] {
        let (fleet, setup) = (demo(), Setup::for_fleet(&demo()));
        let (series, _) = read(format!("{folder}/{name}.csv").as_ref()).unwrap_or_else(|error| panic!("{error}"));
        let room = room_for(&fleet, &setup, &fleet.services[0]);
        let series = evenkeel_world::demand::fit(series, room, 50.0).unwrap_or_else(|error| panic!("{error}"));
        let mut world = World::new(fleet, setup, 1, Faults::default(), |service| {
            service.demand.as_ref().map(|_| Source::Series(series.clone()))
        });
        world.run_until(Duration::from_hours(24).as_millis() as u64);
        let report = world.report();
        let reaction = report.services[0].reaction_seconds;
        assert_eq!(report.invariant_violations, [], "{name}");
        assert_eq!(report.over_asked_task_seconds, 0.0, "{name}");
        assert!(reaction.p50 <= Some(25.0) && reaction.p99 <= Some(60.0), "{name}: {reaction:?}");
    }
}

#[test]
fn random_demand_for_a_day_keeps_holes_filled_without_flapping() {
    for seed in 1..=3 {
        let mut world = wandering(demo(), Setup::for_fleet(&demo()), seed);
        world.run_until(24 * 60 * MINUTE);
        let report = world.report();
        let reports = &report.services[1];
        assert!(reports.holes_used >= Some(0.95), "seed {seed}: {reports:?}");
        assert!(reports.most_flaps_in_a_minute <= 1, "seed {seed}: {reports:?}");
        assert_eq!(report.invariant_violations, []);
    }
}

/// ECS knows needs that we do not. What seemed to make room did not, and is not tried each minute.
#[test]
fn fill_tasks_do_not_die_in_vain_for_a_need_that_nobody_knows() {
    for seed in 1..=3 {
        // Twelve are wanted; there is room for 24 tasks, which reports fill.
        let source = |service: &evenkeel_model::fleet::Service| service.demand.as_ref().map(|_| Source::Level(600.0));
        let mut world = World::new(demo(), Setup::for_fleet(&demo()), seed, Faults::default(), source);
        let web = "web".parse().unwrap_or_else(|_| unreachable!("a service's name"));
        world.needs_what_no_host_has(&web, true);
        let mut stops = Vec::new();
        for hour in 1..=4 {
            world.run_until(hour * 60 * MINUTE);
            let report = world.report();
            let reports = report.services.iter().find(|service| service.fill).map_or(0, |service| service.stops);
            stops.push(reports - stops.iter().sum::<u64>());
        }
        assert!(stops[0] <= 6 && stops[1..].iter().all(|stops| *stops <= 2), "seed {seed}: {stops:?} in each hour");
        assert!(view(&world).waits.iter().any(|wait| wait.contains("web") && wait.contains("one more is tried at")));
        // When the need is met, it is believed within half an hour.
        world.needs_what_no_host_has(&web, false);
        world.run_until((4 * 60 + 35) * MINUTE);
        let seen = view(&world);
        assert_eq!(service(&seen, "web").running, 12, "seed {seed}: {:?}", seen.waits);
        assert_eq!(world.report().invariant_violations, [], "seed {seed}");
    }
}

/// Two capacity providers of two hosts each, of 16 tasks: `web` on both in equal parts, `jobs` on one, `reports` anywhere.
const PROVIDERS: &str = r#"
name = "provided"
cluster = "provided"
hosts = { minimum = 2, steady = 4, maximum = 4 }
pool = [{ name = "arm", purchase = "reserved", auto_scaling_group = "arm" },
        { name = "x86", purchase = "reserved", auto_scaling_group = "x86" }]
[[service]]
name = "web"
priority = 1
max_tasks = 20
demand = { metric = "provided/web", period = "10s", per_task = 1 }
[[service]]
name = "jobs"
priority = 2
max_tasks = 40
demand = { metric = "provided/jobs", period = "10s", per_task = 1 }
[[service]]
name = "reports"
priority = 3
fill = true
"#;

const ON_PROVIDERS: &str = r#"
pool.arm = { hosts = 2, provider = "cp-arm", attributes = { "ecs.cpu-architecture" = "arm64" } }
pool.x86 = { hosts = 2, provider = "cp-x86" }
service.web.providers = [{ provider = "cp-arm", weight = 1 }, { provider = "cp-x86", weight = 1 }]
service.jobs.providers = [{ provider = "cp-arm", weight = 1 }]
service.jobs.constraints = [{ member-of = "attribute:ecs.cpu-architecture == arm64" }]
"#;

#[test]
fn tasks_go_to_the_hosts_of_their_capacity_providers_and_others_are_stopped_there_only() {
    for seed in 1..=5 {
        let fleet = fleet(PROVIDERS);
        let setup = Setup::read(ON_PROVIDERS, &fleet).unwrap_or_else(|error| panic!("{error}"));
        // Eight of the one, and thirty of the other, of which twelve have room beside four of the first.
        let level = |name: &str| if name == "web" { 8.0 } else { 30.0 };
        let mut world = World::new(fleet, setup, seed, Faults::default(), |service| {
            service.demand.as_ref().map(|_| Source::Level(level(service.name.as_str())))
        });
        world.run_until(10 * MINUTE);
        let seen = view(&world);
        let running = ["web", "jobs", "reports"].map(|name| service(&seen, name).running);
        assert_eq!(running, [8, 12, 12], "seed {seed}: {:?}", seen.waits);
        assert!(seen.waits.iter().any(|wait| wait.starts_with("jobs is 18 short")), "seed {seed}: {:?}", seen.waits);
        let stops = |world: &World| world.report().services.iter().map(|service| service.stops).sum::<u64>();
        let before = stops(&world);
        world.run_until(60 * MINUTE);
        assert_eq!(stops(&world), before, "seed {seed}: nobody is stopped for the eighteen");
        let report = world.report();
        assert_eq!(report.invariant_violations, [], "seed {seed}");
        assert!(report.overdue.is_empty(), "seed {seed}: {:?}", report.overdue);
    }
}
