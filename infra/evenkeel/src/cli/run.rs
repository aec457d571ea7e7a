//! `evenkeel run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::millis;
use evenkeel_world::{Faults, World};
use indicatif::{ProgressBar, ProgressStyle};

use super::world::{DemandOptions, Made, duration};
use super::{FleetOptions, complain, say};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: FleetOptions,
    #[command(flatten)]
    demand: DemandOptions,
    /// How long the world goes on, such as 24h; `whole` for the longest demand file.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = length)]
    duration: Length,
    /// The chance of each kind of fault, from 0 to 1: throttled and failed calls, lost answers, stale reads, killed turns,
    /// doubled, late and lost events.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    faults: f64,
    /// Hosts die and come back, agents lose their connection, tasks crash, people deploy and meddle.
    #[arg(long)]
    trouble: bool,
    /// Zones are lost, warnings come to nothing, news is hours late, alarms, versions and images are deleted, the fleet file is
    /// edited, functions are switched off, clocks jump.
    #[arg(long)]
    mishaps: bool,
    /// Who runs the fleet.
    #[arg(long, value_name = "NAME", default_value = "evenkeel", value_parser = ["evenkeel"])]
    policy: String,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    report: Form,
    /// Where the report is written; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Kills the given turn at the given call, as TURN:CALL, counted from 1.
    #[arg(long, value_name = "TURN:CALL", value_parser = kill)]
    kill: Option<(u64, u32)>,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    For(Duration),
    Whole,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
    Html,
}

fn length(text: &str) -> Result<Length, String> {
    if text == "whole" { Ok(Length::Whole) } else { duration(text).map(Length::For) }
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&rate) { Ok(rate) } else { Err("expected a number from 0 to 1".to_owned()) }
}

fn kill(text: &str) -> Result<(u64, u32), String> {
    let parts = text.split_once(':').and_then(|(turn, call)| Some((turn.parse().ok()?, call.parse().ok()?)));
    parts.ok_or_else(|| "expected TURN:CALL, such as 12:3".to_owned())
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let made = Made::read(&options.fleet, &options.demand)?;
    for note in &made.notes {
        complain(&format!("note: {note}"));
    }
    let length = match options.duration {
        Length::For(length) => length,
        Length::Whole => match made.whole() {
            Some(length) => length,
            None => bail!("--duration whole needs a --demand file"),
        },
    };
    let Options { trouble, mishaps, .. } = *options;
    let faults = Faults { rate: options.faults, trouble, mishaps, kill: options.kill, ..Faults::default() };
    let mut world = made.world(faults);
    go(&mut world, millis(length));
    let report = world.report();
    let text = match options.report {
        Form::Json => serde_json::to_string_pretty(&report)?,
        Form::Text => report.to_string(),
        Form::Html => {
            let decisions = world.view().map(|view| view.decisions).unwrap_or_default();
            evenkeel_world::report::html::page(&report, &world.moments(), &decisions)?
        }
    };
    match &options.out {
        None => say(&text),
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
    }
    if !report.overdue.is_empty() {
        complain(&format!("evenkeel: owed for too long: {}; the report lists what", report.overdue.len()));
    }
    let sound = report.invariant_violations.is_empty();
    if !sound {
        let count = report.invariant_violations.len();
        complain(&format!("evenkeel: {count} invariants were violated; the report lists them"));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the world to its end, with a progress bar where somebody watches.
fn go(world: &mut World, length: u64) {
    let bar = ProgressBar::new(length / MINUTE);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% of {len} simulated minutes, {eta} left") {
        bar.set_style(style);
    }
    clear_when_interrupted(&bar);
    let mut at = 0;
    while at < length {
        at = (at + 60 * MINUTE).min(length);
        world.run_until(at);
        bar.set_position(at / MINUTE);
    }
    bar.finish_and_clear();
}

/// Ctrl-C leaves no half bar behind.
fn clear_when_interrupted(bar: &ProgressBar) {
    let bar = bar.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            bar.finish_and_clear();
            complain("evenkeel: interrupted before the end, so there is no report");
            std::process::exit(130);
        }
    });
}
