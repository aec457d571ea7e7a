//! A busy world with faults, a thousand times: whatever goes wrong, no invariant is broken.

mod liveness;
#[path = "../seeds.rs"]
mod seeds;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use evenkeel_model::fleet::{self, Fleet, Format, Purchase, Service};
use evenkeel_world::clock::MINUTE;
use evenkeel_world::demand::{Walk, per_task};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Report, Source, World, room_for};

/// Seeds in all, and those of a day.
const SEEDS: (u64, usize) = (1_000, 8);
const OTHER_SEEDS: (u64, usize) = (200, 1);
const SIX_SEEDS: (u64, usize) = (200, 3);
/// What is paid for too long, or left behind, shows only after an hour or two.
const LENGTH: u64 = 180 * MINUTE;

/// A fleet, and where its file is.
struct Case {
    file: String,
    fleet: Fleet,
    setup: Setup,
}

impl Case {
    fn new(file: impl Into<String>, text: &str) -> Self {
        let fleet = fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"));
        let setup = Setup::for_fleet(&fleet);
        Self { file: file.into(), fleet, setup }
    }

    /// Two services on hosts that nobody replaces.
    fn demo() -> Self {
        Self::new("infra/fleets/demo.toml", include_str!("../../infra/fleets/demo.toml"))
    }

    /// Reserved, spot and on-demand hosts: microscale and backfill together.
    fn shop() -> Self {
        Self::new("infra/fleets/shop.toml", include_str!("../../infra/fleets/shop.toml"))
    }

    /// The shop's file with other words in it, kept for a replay.
    fn shop_but(name: &str, change: impl Fn(&str) -> String) -> Self {
        let shop = include_str!("../../infra/fleets/shop.toml");
        let text = change(shop);
        assert_ne!(text, shop, "{name}");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shop-{name}.toml"));
        std::fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::new(file.to_string_lossy(), &text)
    }

    /// The world of `evenkeel run --fleet FILE --seed SEED --faults RATE [--trouble] [--kill TURN:CALL]`.
    fn world(&self, seed: u64, faults: Faults) -> World {
        let most = |service: &Service| f64::from(room_for(&self.fleet, &self.setup, service)) * per_task(service) * 0.9;
        let mut purpose = 100;
        World::new(self.fleet.clone(), self.setup.clone(), seed, faults, |service| {
            purpose += 1;
            service.demand.as_ref().map(|_| Source::Walk(Box::new(Walk::new(seed, purpose, most(service)))))
        })
    }

    fn run(&self, seed: u64, faults: Faults, length: u64) -> Report {
        let mut world = self.world(seed, faults);
        world.run_until(length);
        world.report()
    }

    fn replay(&self, rest: &str) -> String {
        format!("cargo run --release -- run --fleet {} {rest}", self.file)
    }

    /// Runs the day's seeds with 5 % faults and trouble, on both cores. Gives how many hosts rolls have replaced, where all
    /// were run: those of one day may have hardly any.
    fn break_nothing(&self, sweep: &str, (all, part): (u64, usize)) -> Option<u64> {
        let trouble = Faults { rate: 0.05, trouble: true, ..Faults::default() };
        self.sweep(sweep, (all, part), &trouble, false)
    }

    /// The same with these faults; what is owed for too long counts where `owed` says so.
    fn sweep(&self, sweep: &str, (all, part): (u64, usize), faults: &Faults, owed: bool) -> Option<u64> {
        let seeds = seeds::slice(sweep, 1..=all, part);
        let next = AtomicUsize::new(0);
        let mishaps = if faults.mishaps { " --mishaps" } else { "" };
        let replaced = AtomicU64::new(0);
        let work = || {
            let mut failed = Vec::new();
            loop {
                let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return failed };
                let report = self.run(seed, faults.clone(), LENGTH);
                assert!(report.killed_turns > 0 && report.turns > 100, "the world of seed {seed} is not busy");
                let of_rolls = report.rolls.iter().map(|roll| u64::from(roll.replaced)).sum();
                replaced.fetch_add(of_rolls, Ordering::Relaxed);
                let late = report.overdue.first().filter(|_| owed);
                if let Some(violation) = report.invariant_violations.first().or(late) {
                    failed.push(format!(
                        "invariant {} at {} s: {}\n  replay: {}",
                        violation.invariant,
                        violation.at_seconds,
                        violation.detail,
                        self.replay(&format!("--seed {seed} --duration 3h --faults 0.05 --trouble{mishaps}"))
                    ));
                }
            }
        };
        let failed: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        assert!(failed.is_empty(), "{} of {} seeds failed:\n{}", failed.len(), seeds.len(), failed.join("\n"));
        (seeds.len() as u64 == all).then(|| replaced.into_inner())
    }
}

#[test]
fn a_thousand_busy_worlds_with_five_per_cent_faults_break_no_invariant() {
    Case::demo().break_nothing("demo", SEEDS);
}

#[test]
fn nor_do_a_thousand_in_which_spot_hosts_are_taken_and_hosts_are_patched() {
    let replaced = Case::shop().break_nothing("shop", SEEDS);
    assert!(replaced.is_none_or(|replaced| replaced > SEEDS.0), "rolls have replaced only {replaced:?} hosts");
}

/// What must happen happens, in the same worlds.
#[test]
#[ignore = "not yet: some waves and stand-ins are late"]
fn not_yet_is_nothing_owed_for_too_long() {
    let faults = Faults { rate: 0.05, trouble: true, ..Faults::default() };
    Case::demo().sweep("demo", SEEDS, &faults, true);
    Case::shop().sweep("shop", SEEDS, &faults, true);
}

/// The same with everything else that may befall a fleet.
#[test]
#[ignore = "not yet: sections that are taken out, clocks that jump and functions that are off leave things behind"]
fn not_yet_do_worlds_with_mishaps_break_nothing() {
    let faults = Faults { rate: 0.05, trouble: true, mishaps: true, ..Faults::default() };
    Case::shop().sweep("mishaps", SEEDS, &faults, true);
}

/// Other ways to patch than the shop's.
fn patch_in_another_way(name: &str, change: impl Fn(&str) -> String) {
    let replaced = Case::shop_but(name, change).break_nothing(name, OTHER_SEEDS);
    assert!(
        replaced.is_none_or(|replaced| replaced > OTHER_SEEDS.0 / 2),
        "rolls have replaced only {replaced:?} hosts"
    );
}

fn launch_first(text: &str) -> String {
    text.replace("\"terminate-first\"", "\"launch-first\"")
}

fn two_at_once(text: &str) -> String {
    text.replace("wave = 1", "wave = 2").replace("max_out = 1", "max_out = 2")
}

fn with(what: &str) -> impl Fn(&str) -> String {
    move |text| text.replace("settle = ", &format!("{what}\nsettle = "))
}

#[test]
fn nor_do_hundreds_that_launch_first() {
    patch_in_another_way("launch-first", launch_first);
}

#[test]
fn nor_do_hundreds_with_waves_of_two() {
    patch_in_another_way("two", two_at_once);
}

#[test]
fn nor_do_hundreds_with_waves_of_two_that_launch_first() {
    patch_in_another_way("two-launch-first", |text| two_at_once(&launch_first(text)));
}

#[test]
fn nor_do_hundreds_that_roll_back() {
    patch_in_another_way("roll-back", with("roll_back = true"));
}

#[test]
fn nor_do_hundreds_that_launch_first_and_roll_back() {
    patch_in_another_way("launch-first-roll-back", |text| with("roll_back = true")(&launch_first(text)));
}

#[test]
fn nor_do_hundreds_that_replace_all_and_borrow() {
    patch_in_another_way("all", with("refresh = \"all\"\nborrow = true"));
}

#[test]
fn nor_do_hundreds_that_bake() {
    patch_in_another_way("bake", |text| {
        text.replace(
            "[disruption]",
            "[patch.bake]\nbase_image_parameter = \"/base\"\ncommands = [\"dnf -y update\"]\nkeep = 2\n\n[disruption]",
        )
    });
}

/// Groups that keep instances in warm pools; those of spot hosts cannot (Auto Scaling user guide, "Warm pools", limitations).
fn with_warm_pools(name: &str, change: impl Fn(&str) -> String) {
    // The command has no setup: what fails is replayed here.
    let mut case = Case::shop_but(name, change);
    for pool in case.fleet.pools.iter().filter(|pool| pool.purchase != Purchase::Spot) {
        case.setup.pool.entry(pool.name.clone()).or_default().warm_pool = 2;
    }
    let replaced = case.break_nothing(name, OTHER_SEEDS);
    assert!(replaced.is_none_or(|replaced| replaced > OTHER_SEEDS.0 / 2), "only {replaced:?} hosts");
}

#[test]
fn nor_do_hundreds_with_warm_pools() {
    with_warm_pools("warm", with("roll_back = true"));
}

#[test]
fn nor_do_hundreds_with_warm_pools_that_launch_first() {
    with_warm_pools("warm-launch-first", launch_first);
}

/// Two may go at once, and a third comes with the next wave: what is lost meanwhile is where it gets tight.
fn six_hosts(strategy: &str) {
    let text = format!(
        "name = \"six\"\ncluster = \"six\"\nhosts = {{ minimum = 4, steady = 6, maximum = 12 }}\n\
         [[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"six-base\"\n\
         [[service]]\nname = \"web\"\npriority = 1\nmin_tasks = 2\nmax_tasks = 20\n\
         demand = {{ metric = \"six/Load\", per_task = 10, period = \"60s\" }}\n\
         [patch]\nstrategy = \"{strategy}\"\nwave = 3\nsettle = \"30s\"\nroll_back = true\n\
         halt_alarms = [\"six-5xx\"]\n[disruption]\nmax_out = 3\n"
    );
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("six-{strategy}.toml"));
    std::fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Case::new(file.to_string_lossy(), &text).break_nothing(&format!("six-{strategy}"), SIX_SEEDS);
}

#[test]
fn nor_do_hundreds_of_six_hosts_in_waves_of_three() {
    six_hosts("terminate-first");
}

#[test]
fn nor_do_hundreds_of_six_hosts_in_waves_of_three_that_launch_first() {
    six_hosts("launch-first");
}

/// Nothing but hosts, so that rolls are all that happens: halted, taken back, resumed, and begun anew in the middle of another.
#[test]
fn rolls_that_launch_first_and_are_taken_back_leave_the_group_as_large_as_it_was() {
    let text = "name = \"lf\"\ncluster = \"c\"\nhosts = { minimum = 4, steady = 6, maximum = 10 }\n\
        [[pool]]\nname = \"base\"\npurchase = \"reserved\"\nauto_scaling_group = \"g-base\"\n\
        [patch]\nwave = 3\nstrategy = \"launch-first\"\nroll_back = true\n[disruption]\nmax_out = 3\n";
    let case = Case::new("", text);
    for seed in 1..=25 {
        let report = case.run(seed, Faults { trouble: true, ..Faults::default() }, 180 * MINUTE);
        assert_eq!(report.invariant_violations, [], "seed {seed}");
    }
}

#[test]
fn a_turn_killed_at_any_call_is_made_up_for() {
    // The spike of seed 3 makes turns with lowers and raises; every one of the first 40 is killed at each of its calls.
    let case = Case::demo();
    for turn in seeds::slice("killed turns", 1..=40, 8) {
        for call in 1..=14 {
            let report = case.run(3, Faults { kill: Some((turn, call)), ..Faults::default() }, 15 * MINUTE);
            let replay = case.replay(&format!("--seed 3 --duration 15m --kill {turn}:{call}"));
            assert_eq!(report.invariant_violations, [], "replay: {replay}");
            assert_eq!(report.over_asked_task_seconds, 0.0, "replay: {replay}");
            assert!(report.killed_turns <= 1);
        }
    }
}

#[test]
fn one_seed_twice_gives_the_same_bytes() {
    let case = Case::shop();
    let faults = || Faults { rate: 0.05, trouble: true, ..Faults::default() };
    let bytes = |seed| serde_json::to_string(&case.run(seed, faults(), 120 * MINUTE)).ok();
    assert_eq!(bytes(11), bytes(11));
    assert_ne!(bytes(11), bytes(12));
}
