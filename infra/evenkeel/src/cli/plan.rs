//! `evenkeel plan`.

mod live;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use evenkeel_microscale::{State, plan as decide};
use evenkeel_model::fleet::{Demand, Fleet, words};
use evenkeel_model::observed::{Observed, Signal};
use evenkeel_turn::{Board, Given, Outlook, Pushed};
use evenkeel_world::Faults;
use evenkeel_world::setup::millis;
use serde_json::Value;

use super::world::{DemandOptions, Made, duration};
use super::{FleetOptions, read_file, say};
use crate::account::Sight;
use crate::show;

pub(crate) use live::live;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet file.
    #[arg(value_name = "FLEET_FILE")]
    pub(crate) file: PathBuf,
    /// The fleet as it was seen, as `look --out` writes it (JSON); the simulated cloud without it.
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// The simulated cloud after this long.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration, conflicts_with = "observed")]
    at: Duration,
    /// What a service's demand is now, instead of what was seen.
    #[arg(long, value_name = "SERVICE=VALUE")]
    want: Vec<String>,
    #[command(flatten)]
    demand: DemandOptions,
    /// Host types, task sizes and times of the simulated cloud (TOML).
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) live: live::LiveOptions,
}

pub(crate) fn plan(options: &Options) -> Result<ExitCode> {
    let Options { file, observed, at, want, demand, setup, seed, json, live: _ } = options;
    let fleet = FleetOptions { fleet: Some(file.clone()), setup: setup.clone(), seed: *seed };
    let made = Made::read(&fleet, demand)?;
    let fleet = made.fleet.clone();
    let (seen, state, hosts, roll) = match observed {
        Some(path) => {
            let (seen, hosts) = read_observed(path, &fleet)?;
            (seen, State::default(), hosts, None)
        }
        None => {
            let mut world = made.world(Faults::default());
            world.run_until(millis(*at));
            let (seen, state) = (world.observe(), world.microscale_state());
            (Some(seen), state, world.plan_backfill(), world.plan_roll())
        }
    };
    let Some(mut seen) = seen else {
        bail!("nothing was seen of the tasks and services of fleet {}", fleet.name);
    };
    let mut board = Board::default();
    for text in want {
        override_demand(&mut seen, &mut board, &fleet, text)?;
    }
    let given = Given { fleet: &fleet, state: &state, board: &board, now: seen.at };
    let outlook = decide(&given, &seen);
    let source = source(options, &fleet);
    let text = if *json {
        let backfill = hosts.map(|hosts| serde_json::json!({ "steps": hosts.steps, "report": hosts.report }));
        let roll = roll.map(|(roll, view)| {
            serde_json::json!({ "steps": roll.steps, "report": roll.report, "waves": view.map(|view| view.waves) })
        });
        let plan = serde_json::json!({
            "source": source, "steps": outlook.steps, "report": outlook.report, "backfill": backfill, "patchroll": roll,
        });
        serde_json::to_string_pretty(&plan)?
    } else {
        let mut lines = vec![source];
        if fleet.cluster.is_some() {
            lines.push(show::plan("microscale", (&outlook.steps, &outlook.report), seen.at));
        }
        lines.extend(hosts.map(|hosts| show::plan("backfill", (&hosts.steps, &hosts.report), seen.at)));
        if let Some((roll, view)) = roll {
            lines.push(show::plan("patchroll, if somebody started a roll,", (&roll.steps, &roll.report), seen.at));
            lines.extend(view.iter().flat_map(|view| show::waves(&view.waves)));
        }
        lines.join("\n")
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// What was seen by microscale, and what backfill would do from what it saw: of a file that `look --out` wrote, or of one that
/// holds what microscale saw only.
fn read_observed(path: &Path, fleet: &Fleet) -> Result<(Option<Observed>, Option<Outlook<evenkeel_backfill::State>>)> {
    let place = || path.display().to_string();
    let read: Value = serde_json::from_slice(&read_file(path)?).with_context(place)?;
    if read.get("backfill").is_none() {
        return Ok((Some(serde_json::from_value(read).with_context(place)?), None));
    }
    let sight: Sight = serde_json::from_value(read).with_context(place)?;
    let (state, board) = (evenkeel_backfill::State::default(), Board::default());
    let given = Given { fleet, state: &state, board: &board, now: sight.at };
    let hosts = fleet.backfill.as_ref().map(|_| evenkeel_backfill::plan(&given, &sight.backfill));
    // A fleet without a cluster has no tasks to see.
    let none = || Observed { at: sight.at, hosts: vec![], tasks: vec![], services: vec![], demand: BTreeMap::new() };
    let seen = if fleet.cluster.is_none() { Some(none()) } else { sight.microscale };
    Ok((seen, hosts))
}

/// Of what this is a plan: whoever reads it must not take a simulation for their fleet.
fn source(options: &Options, fleet: &Fleet) -> String {
    match &options.observed {
        Some(path) => format!("NOT LIVE: fleet {} as it was seen in {}", fleet.name, path.display()),
        None => format!("SIMULATED: fleet {} in the simulated cloud, after {}", fleet.name, words::show(options.at)),
    }
}

/// Demand of `SERVICE=VALUE`, from wherever the service takes it.
fn override_demand(seen: &mut Observed, board: &mut Board, fleet: &Fleet, text: &str) -> Result<()> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)));
    let Some((name, value)) = parts.filter(|(_, value)| value.is_finite() && *value >= 0.0) else {
        bail!("--want {text}: expected SERVICE=VALUE with a number that is not negative");
    };
    let Some(service) = fleet.services.iter().find(|service| service.name.as_str() == name) else {
        bail!("--want {text}: the fleet has no service {name}");
    };
    match &service.demand {
        Some(Demand::Metric(_) | Demand::Tracking(_) | Demand::Queue(_)) => {
            seen.demand.insert(service.name.clone(), Signal::Value { value, at: seen.at });
        }
        Some(Demand::Manual(_)) => {
            board.pushed.insert(service.name.clone(), Pushed { value, at: seen.at });
        }
        Some(Demand::Steps(_)) => bail!("--want {text}: {name} follows an alarm, which has no value"),
        None => bail!("--want {text}: {name} fills what is left, whatever is wanted"),
    }
    Ok(())
}
