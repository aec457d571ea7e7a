//! What a turn of a large fleet stores, and what it costs: every item stays well under DynamoDB's 400 KB.
//!
//! Each case is a process of its own, so that its memory is its own: `figures` starts them, and they say what they measured.

#![expect(clippy::print_stderr, reason = "a test says what it measured")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod contents;
mod yard;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use evenkeel_backfill::Backfill;
use evenkeel_microscale::{Microscale, State};
use evenkeel_model::trigger::{Tick, Trigger};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_patchroll::Patchroll;
use evenkeel_turn::ports::Ledger;
use evenkeel_turn::{FleetCache, HandleError, Handled, Limits, Summary, state_key};
use futures_util::FutureExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use yard::Yard;

/// Bytes that an item may have as it is stored.
const MOST_ITEM: usize = 300 * 1024;

/// The most of what the turns of a case took.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    /// Of a turn's processor time.
    cpu_ms: f64,
    /// Of that of a turn that looks for tasks to stop in vain, because far more is wanted than fits.
    crowded_ms: f64,
    /// Of the memory of the process, with the cloud that it looks at.
    memory_mb: f64,
    /// Of each item's size as it was stored.
    items: BTreeMap<String, usize>,
    /// Why the page was not written.
    not_shown: Vec<String>,
    decisions: usize,
    waits: usize,
}

fn now() -> Timestamp {
    "2026-11-28T09:30:00Z".parse().unwrap()
}

/// The most memory that this process ever had, in megabytes.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Processor time of this thread, in milliseconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Turns of one process, and what they took.
struct Process<'a> {
    yard: &'a Yard,
    fleets: FleetCache,
    /// Far more is wanted than fits.
    crowded: bool,
    figures: Figures,
}

impl<'a> Process<'a> {
    fn new(yard: &'a Yard) -> Self {
        let fleets = FleetCache::new(FleetName::new("large").unwrap());
        Self { yard, fleets, crowded: false, figures: Figures::default() }
    }

    /// A turn, ten seconds after the last.
    fn turn(&mut self, function: FunctionName) {
        *self.yard.now.lock().unwrap() += Duration::from_secs(10);
        let trigger = Trigger::Tick(Tick { at: None, rule: None });
        let limits = Limits { budget: Duration::from_secs(20), lease: Duration::from_secs(30) };
        let (yard, fleets) = (self.yard, &self.fleets);
        let before = cpu();
        let summary = match function {
            FunctionName::Microscale => turned(Microscale.handle(yard, fleets, &trigger, "one", limits).now_or_never()),
            FunctionName::Backfill => turned(Backfill.handle(yard, fleets, &trigger, "one", limits).now_or_never()),
            FunctionName::Patchroll => turned(Patchroll.handle(yard, fleets, &trigger, "one", limits).now_or_never()),
        };
        let took = cpu() - before;
        eprintln!("  {function}: {took:.0} ms, {} decisions", summary.decisions.len());
        let figures = &mut self.figures;
        let most = if self.crowded { &mut figures.crowded_ms } else { &mut figures.cpu_ms };
        *most = took.max(*most);
        figures.memory_mb = memory();
        figures.decisions = summary.decisions.len().max(figures.decisions);
        figures.waits = summary.report.waits.len().max(figures.waits);
        figures.not_shown.extend(summary.not_shown);
    }

    fn say(mut self) {
        self.figures.items = std::mem::take(&mut self.yard.largest.lock().unwrap());
        eprintln!("{SAID}{}", serde_json::to_string(&self.figures).unwrap());
    }
}

fn turned<S, V>(handled: Option<Result<Handled<S, V>, HandleError>>) -> Summary {
    match handled.expect("nothing is waited for").unwrap() {
        Handled::Turned(summary) => *summary,
        Handled::NotForUs | Handled::Refused(_) | Handled::Planned(_) => panic!("no turn"),
    }
}

/// What a case says of itself begins with this.
const SAID: &str = "measured: ";

/// The figures of a case that this binary has as an ignored test.
#[track_caller]
fn figures(case: &str) -> Figures {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([case, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr).into_owned();
    let Some(line) = said.lines().find_map(|line| line.strip_prefix(SAID)) else { panic!("{case}: {said}") };
    let figures: Figures = serde_json::from_str(line).unwrap();
    let Figures { cpu_ms, crowded_ms, memory_mb, items, not_shown, decisions, waits } = &figures;
    eprintln!("{case}: {cpu_ms:.0} ms, {crowded_ms:.0} ms where it is crowded, {memory_mb:.0} MB");
    eprintln!("  at most {decisions} decisions, {waits} waits");
    for (item, bytes) in items.iter().filter(|(_, bytes)| **bytes > 10_000) {
        eprintln!("  {item}: {:.0} KB", *bytes as f64 / 1024.0);
    }
    assert!(not_shown.is_empty(), "{not_shown:?}");
    for (item, bytes) in items {
        assert!(*bytes <= MOST_ITEM, "{item} of {bytes} bytes");
    }
    figures
}

#[track_caller]
fn within(figures: &Figures, cpu_ms: f64, memory_mb: f64) {
    assert!(figures.cpu_ms <= cpu_ms, "{} ms, and {cpu_ms} are allowed", figures.cpu_ms);
    assert!(figures.crowded_ms <= 2.0 * cpu_ms, "{} ms, and twice {cpu_ms} are allowed", figures.crowded_ms);
    assert!(figures.memory_mb <= memory_mb, "{} MB, and {memory_mb} are allowed", figures.memory_mb);
}

/// A first look, quiet turns, and some in which demand has moved and tasks have no place.
fn microscale(hosts: usize, tasks: usize) {
    let mut yard = Yard::new(hosts, tasks, now(), &mut ChaCha8Rng::seed_from_u64(1));
    let mut process = Process::new(&yard);
    process.turn(FunctionName::Microscale);
    process.turn(FunctionName::Microscale);
    for (rise, crowded) in [(3, false), (30, true), (0, true)] {
        *yard.rise.lock().unwrap() = rise;
        process.crowded = crowded;
        process.turn(FunctionName::Microscale);
    }
    let Process { fleets, figures, .. } = process;
    // Long after any count was set, so that it is believed.
    *yard.now.lock().unwrap() += Duration::from_secs(60);
    let at = *yard.now.lock().unwrap();
    yard.nothing_is_placed(at);
    let mut process = Process { yard: &yard, fleets, crowded: false, figures };
    process.turn(FunctionName::Microscale);
    let key = state_key(process.fleets.name(), FunctionName::Microscale);
    let found = yard.get(&[key]).now_or_never().unwrap().unwrap().remove(0).unwrap();
    let state: State = serde_json::from_str(&found.body).unwrap();
    let tried = state.services.values().filter_map(|memory| memory.distrust.as_ref()).map(|one| one.tried.len());
    let tried: Vec<usize> = tried.collect();
    assert_eq!(tried, [hosts; yard::SERVICES], "every service distrusts every host");
    process.say();
}

#[test]
#[ignore = "a case of the test beside it"]
fn microscale_1000() {
    microscale(1_000, 20);
}

#[test]
#[ignore = "a case of the test beside it"]
fn microscale_5000() {
    microscale(5_000, 6);
}

#[test]
fn a_thousand_hosts_with_twenty_tasks_each() {
    let figures = figures("microscale_1000");
    within(&figures, 150.0, 64.0);
    assert!(figures.decisions > 0);
}

#[test]
fn five_thousand_hosts_with_six_tasks_each() {
    let figures = figures("microscale_5000");
    within(&figures, 700.0, 128.0);
    assert!(figures.decisions > 0);
}

#[test]
#[ignore = "a case of the test beside it"]
fn backfill_5000() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut yard = Yard::new(5_000, 6, now(), &mut rng);
    contents::storm(&mut yard, now(), &mut rng);
    let mut process = Process::new(&yard);
    process.turn(FunctionName::Backfill);
    process.turn(FunctionName::Backfill);
    process.say();
}

#[test]
fn a_storm_over_five_thousand_hosts() {
    let figures = figures("backfill_5000");
    within(&figures, 3_000.0, 128.0);
    assert!(figures.decisions > 100, "{}", figures.decisions);
}

#[test]
#[ignore = "a case of the test beside it"]
fn patchroll_5000() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let yard = Yard::new(5_000, 6, now(), &mut rng);
    contents::roll(&yard, now(), &mut rng);
    let mut process = Process::new(&yard);
    process.turn(FunctionName::Patchroll);
    process.turn(FunctionName::Patchroll);
    process.say();
}

#[test]
fn a_roll_of_five_thousand_hosts_of_which_a_thousand_are_out() {
    let figures = figures("patchroll_5000");
    within(&figures, 3_000.0, 128.0);
    assert!(figures.decisions > 0);
}
