//! Stories of fleets that are only observed: nothing is changed, everything that would be is recorded, and whoever then has
//! them act begins from what is there.

mod scorecard;

use std::collections::BTreeMap;

use evenkeel_model::decision::{Decision, Outcome, Step};
use evenkeel_model::fleet::{self, Fleet, Format, Mode, Purchase};
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{FunctionName, Timestamp};
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::{MINUTE, Ms, SECOND};
use evenkeel_world::demand::Walk;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, HostKind, Interruption, Report, Source, World};

const SHOP: &str = include_str!("../../infra/fleets/shop.toml");
const SHOP_SETUP: &str = include_str!("../world/setups/shop.toml");
const HOUR: Ms = 60 * MINUTE;
/// The world begins on a Monday at midnight UTC.
const WINDOWS: &str = "windows = [\"daily 01:00-01:30 UTC\", \"daily 05:00-07:00 UTC\"]";

/// The shop with two windows a day, and with `mode` where each of `sections` begins; none is the top of the file.
fn shop(modes: &[(&str, &str)]) -> String {
    let window = "windows = [\"Sun 02:00-05:00 Europe/London\"]";
    assert!(SHOP.contains(window));
    let mut text = SHOP.replace(window, WINDOWS);
    for (section, mode) in modes {
        let line = format!("mode = \"{mode}\"\n");
        text = match *section {
            "" => format!("{line}{text}"),
            "[microscale]" => format!("{text}\n[microscale]\n{line}"),
            section => text.replacen(&format!("{section}\n"), &format!("{section}\n{line}"), 1),
        };
    }
    text
}

fn fleet(text: &str) -> Fleet {
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn world(text: &str, seed: u64, source: impl Fn() -> Source) -> World {
    let fleet = fleet(text);
    let setup = Setup::read(SHOP_SETUP, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
    World::new(fleet, setup, seed, Faults::default(), |service| service.demand.as_ref().map(|_| source()))
}

/// Calls that change something other than the ledger and the queue of a function's own beats.
fn changes(report: &Report) -> BTreeMap<&'static str, u64> {
    let own = |action: &str| action.starts_with("dynamodb:") || action == "sqs:SendMessageBatch";
    let reads = |action: &str| {
        let verb = action.split_once(':').map_or(action, |(_, verb)| verb);
        ["Describe", "List", "Get"].iter().any(|read| verb.starts_with(read))
    };
    report.api_calls.clone().into_iter().filter(|(action, _)| !own(action) && !reads(action)).collect()
}

/// All decisions, oldest first.
fn decisions(world: &World) -> Vec<Decision> {
    let records = world.records(Timestamp::UNIX_EPOCH);
    let mut all: Vec<Decision> = Vec::new();
    for record in records.iter().rev() {
        all.extend(serde_json::from_str::<Vec<Decision>>(record).unwrap_or_else(|error| panic!("{record}: {error}")));
    }
    all
}

fn lines(decisions: &[Decision]) -> Vec<String> {
    decisions.iter().map(|one| format!("{:.0} {} {one}", one.at, one.function)).collect()
}

fn sound(report: &Report) {
    assert_eq!(report.invariant_violations, []);
    assert_eq!(report.budget_violations, 0);
    assert!(report.overdue.is_empty(), "{:?}", report.overdue);
}

/// Tasks of priority 1 that were told to stop so far.
fn stops(world: &World) -> u64 {
    world.report().services.iter().filter(|service| service.priority == 1).map(|service| service.stops).sum()
}

/// A morning with a moving demand, a spot host that is lost, newer images and a patch window.
fn morning(world: &mut World) {
    world.run_until(20 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.run_until(40 * MINUTE);
    world.starve_spot(20 * MINUTE);
    world.interrupt(Interruption::Warned);
    world.run_until(2 * HOUR);
    world.spike();
    world.run_until(3 * HOUR);
    world.calm();
    world.run_until(4 * HOUR);
}

#[test]
fn a_fleet_that_is_observed_is_not_changed_and_what_would_be_done_is_recorded_once() {
    for seed in 1..=3 {
        let mut world = world(&shop(&[("", "observe")]), seed, || Source::Walk(Box::new(Walk::new(seed, 100, 500.0))));
        morning(&mut world);
        let report = world.report();
        assert_eq!(changes(&report), BTreeMap::new(), "seed {seed}");
        sound(&report);
        let decided = decisions(&world);
        let says = lines(&decided);
        for function in [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll] {
            let would = |one: &&Decision| one.function == function && one.outcome == Outcome::Would;
            assert!(decided.iter().any(|one| would(&one)), "seed {seed}: {function} would do something: {says:#?}");
        }
        for one in &decided {
            let a_note = one.step.is_a_note();
            assert_eq!(one.outcome, if a_note { Outcome::Done } else { Outcome::Would }, "seed {seed}: {one}");
            assert_eq!(one.to_string().starts_with("would "), !a_note, "seed {seed}: {one}");
        }
        let count = |text: &str| says.iter().filter(|line| line.contains(text)).count();
        // The window is open for half an hour, and patchroll looks thirty times.
        assert_eq!(count("would start roll"), 1, "seed {seed}: {says:#?}");
        assert!(count("would set pool burst 0 -> 1") <= 2, "seed {seed}: {says:#?}");
        let mut last: BTreeMap<FunctionName, &Step> = BTreeMap::new();
        for one in decided.iter().filter(|one| one.function == FunctionName::Microscale) {
            let before = last.insert(one.function, &one.step);
            assert_ne!(before, Some(&one.step), "seed {seed}: said twice: {one}");
        }
        // Who looks sees how things are, and that nobody acts.
        let view = world.view().unwrap_or_else(|| unreachable!("there were turns"));
        assert_eq!(view.mode, Mode::Observe);
        assert!(view.decisions.iter().any(|one| one.text.starts_with("would ")), "seed {seed}: {:#?}", view.decisions);
        assert_eq!(view.services[0].desired, 4, "seed {seed}");
        assert_eq!(world.patch_view().map(|view| (view.mode, view.roll)), Some((Mode::Observe, None)), "seed {seed}");
        assert_eq!(world.backfill_view().map(|view| (view.mode, view.out)), Some((Mode::Observe, 0)), "seed {seed}");
    }
}

#[test]
fn a_plan_that_stays_the_same_is_recorded_once() {
    // Four tasks run, and nine are wanted: microscale looks six times a minute.
    let mut world = world(&shop(&[("", "observe")]), 1, || Source::Level(450.0));
    world.run_until(50 * MINUTE);
    let decided = decisions(&world);
    let web = lines(&decided).into_iter().filter(|line| line.contains("would set web 4 -> 9")).count();
    assert_eq!(web, 1, "{:#?}", lines(&decided));
    assert_eq!(changes(&world.report()), BTreeMap::new());
}

#[test]
fn going_to_act_begins_from_what_is_there_and_stops_nobody_at_once() {
    for seed in 1..=3 {
        let mut world = world(&shop(&[("", "observe")]), seed, || Source::Walk(Box::new(Walk::new(seed, 100, 500.0))));
        morning(&mut world);
        let before = stops(&world);
        world.edit_fleet(&shop(&[]));
        // The file is read again within a minute, and then comes the first minute in which anybody acts.
        world.run_until(4 * HOUR + 10 * SECOND);
        while changes(&world.report()).is_empty() {
            assert!(world.now() < 4 * HOUR + 5 * MINUTE, "seed {seed}: nobody acts");
            world.run_until(world.now() + SECOND);
        }
        world.run_until(world.now() + MINUTE);
        assert_eq!(stops(&world), before, "seed {seed}: {:#?}", lines(&decisions(&world)));
        world.run_until(8 * HOUR);
        let report = world.report();
        sound(&report);
        let ended = world.patchroll_state().ended;
        assert_eq!(ended.first().map(|ended| ended.ending.clone()), Some(Ending::Done), "seed {seed}: {ended:?}");
        for pool in ["base", "spot", "burst"] {
            let versions = world.versions(&pool.parse().unwrap_or_else(|_| unreachable!("a pool's name")));
            assert!(versions.keys().all(|version| *version == 2), "seed {seed}, {pool}: {versions:?}");
        }
        assert_eq!(world.view().map(|view| view.mode), Some(Mode::Act), "seed {seed}");
    }
}

#[test]
fn more_than_is_wanted_keeps_its_dwell_when_microscale_begins_to_act() {
    // Two tasks would do, and the fleet's own controllers have left four.
    let mut world = world(&shop(&[("", "observe")]), 2, || Source::Level(100.0));
    world.run_until(30 * MINUTE);
    world.edit_fleet(&shop(&[]));
    let before = stops(&world);
    let web = |decided: &[Decision]| {
        let of =
            |one: &&Decision| matches!(&one.step, Step::SetDesiredCount { service, .. } if service.as_str() == "web");
        decided.iter().filter(|one| one.outcome == Outcome::Done).find(of).map(|one| one.at)
    };
    let mut acts = None;
    while web(&decisions(&world)).is_none() {
        assert!(world.now() < 40 * MINUTE, "{:#?}", lines(&decisions(&world)));
        if acts.is_none() && world.view().is_some_and(|view| view.mode.is_act()) {
            acts = Some(world.now());
        }
        world.run_until(world.now() + SECOND);
    }
    let acts = acts.unwrap_or_else(|| panic!("it acts before it says so"));
    assert!(world.now() >= acts + 55 * SECOND, "acts at {acts}, lowers at {}", world.now());
    assert!(stops(&world) <= before + 2);
    sound(&world.report());
}

#[test]
fn one_function_observes_while_the_others_act() {
    let of = |function| match function {
        FunctionName::Microscale => "[microscale]",
        FunctionName::Backfill => "[backfill]",
        FunctionName::Patchroll => "[patch]",
    };
    for observing in [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll] {
        let text = shop(&[(of(observing), "observe")]);
        let mut world = world(&text, 2, || Source::Walk(Box::new(Walk::new(2, 100, 500.0))));
        morning(&mut world);
        let report = world.report();
        sound(&report);
        let decided = decisions(&world);
        for one in decided.iter().filter(|one| !one.step.is_a_note()) {
            let would = one.outcome == Outcome::Would;
            assert_eq!(would, one.function == observing, "{observing} observes: {one}");
        }
        let acts = |function| decided.iter().any(|one| one.function == function && one.outcome == Outcome::Done);
        for function in [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll] {
            assert!(function == observing || acts(function), "{function} acts: {:#?}", lines(&decided));
        }
        if observing == FunctionName::Microscale {
            assert!(!changes(&report).contains_key("ecs:UpdateService"));
        }
    }
}

#[test]
fn a_roll_that_stands_still_goes_on_when_patchroll_acts_again() {
    for seconds in [5, 25, 60, 100, 170] {
        let mut world = world(&shop(&[]), seconds, || Source::Level(300.0));
        world.run_until(5 * MINUTE);
        world.publish_versions(HostKind::Sound);
        world.roll(RollVerb::Start, None);
        world.run_until(5 * MINUTE + seconds * SECOND);
        world.edit_fleet(&shop(&[("", "observe")]));
        // The file is read again within a minute.
        world.run_until(10 * MINUTE);
        let stood = changes(&world.report());
        let state = world.patchroll_state();
        world.run_until(45 * MINUTE);
        assert_eq!(changes(&world.report()), stood, "{seconds} s: nothing is done meanwhile");
        assert_eq!(world.patchroll_state().roll, state.roll, "{seconds} s: it is not believed, either");
        // Nobody steers it, either.
        world.roll(RollVerb::Abort, None);
        world.run_until(46 * MINUTE);
        assert_eq!(world.patchroll_state().roll, state.roll, "{seconds} s");
        world.edit_fleet(&shop(&[]));
        world.run_until(150 * MINUTE);
        let ended = world.patchroll_state().ended;
        assert_eq!(ended.first().map(|ended| ended.ending.clone()), Some(Ending::Done), "{seconds} s: {ended:?}");
        assert_eq!((world.draining(), world.marked_old()), (vec![], vec![]), "{seconds} s");
        assert_eq!(world.report().invariant_violations, [], "{seconds} s");
    }
}

#[test]
fn hosts_that_others_have_added_keep_their_dwell_when_backfill_begins_to_act() {
    let mut world = world(&shop(&[("", "observe")]), 3, || Source::Level(300.0));
    let burst = "burst".parse().unwrap_or_else(|_| unreachable!("a pool's name"));
    world.run_until(5 * MINUTE);
    world.set_capacity(&burst, 2);
    world.run_until(60 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 2);
    let would = lines(&decisions(&world)).iter().any(|line| line.contains("would drain"));
    assert!(would, "nobody needs them: {:#?}", lines(&decisions(&world)));
    world.edit_fleet(&shop(&[]));
    // They are given back after `release_after`, one at a time, and not at once.
    world.run_until(69 * MINUTE);
    assert_eq!((world.working(Purchase::OnDemand), world.draining().len()), (2, 0), "{:#?}", lines(&decisions(&world)));
    world.run_until(100 * MINUTE);
    assert_eq!(world.working(Purchase::OnDemand), 0, "{:?}", world.backfill_view());
    sound(&world.report());
}
