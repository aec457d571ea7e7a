//! `evenkeel plan`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use evenkeel_microscale::{State, plan as decide};
use evenkeel_model::fleet::{Demand, Fleet, words};
use evenkeel_model::observed::{Observed, Signal};
use evenkeel_model::{InstanceId, Timestamp};
use evenkeel_turn::{Board, Given, Outlook, Pushed};
use evenkeel_world::Faults;
use evenkeel_world::setup::millis;

use super::world::{DemandOptions, Made, duration};
use super::{FleetOptions, read_file, say};
use crate::show::count;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet file.
    #[arg(value_name = "FLEET_FILE")]
    file: PathBuf,
    /// The fleet as it was seen (JSON); the simulated cloud without it.
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
    json: bool,
}

pub(crate) fn plan(options: &Options) -> Result<ExitCode> {
    let Options { file, observed, at, want, demand, setup, seed, json } = options;
    let fleet = FleetOptions { fleet: Some(file.clone()), setup: setup.clone(), seed: *seed };
    let made = Made::read(&fleet, demand)?;
    let fleet = made.fleet.clone();
    let (mut seen, state, hosts, roll) = match observed {
        Some(path) => {
            let place = || path.display().to_string();
            let seen: Observed = serde_json::from_slice(&read_file(path)?).with_context(place)?;
            (seen, State::default(), None, None)
        }
        None => {
            let mut world = made.world(Faults::default());
            world.run_until(millis(*at));
            let (seen, state) = (world.observe(), world.microscale_state());
            (seen, state, world.plan_backfill(), world.plan_roll())
        }
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
            lines.push(in_words("microscale", &outlook, seen.at));
        }
        lines.extend(hosts.map(|hosts| in_words("backfill", &hosts, seen.at)));
        if let Some((roll, view)) = roll {
            lines.push(in_words("patchroll, if somebody started a roll,", &roll, seen.at));
            for (number, wave) in view.iter().flat_map(|view| &view.waves).enumerate() {
                let hosts: Vec<&str> = wave.iter().map(InstanceId::as_str).collect();
                lines.push(format!("  wave {}: {}", number + 1, hosts.join(", ")));
            }
        }
        lines.join("\n")
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
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

fn in_words<S>(function: &str, outlook: &Outlook<S>, at: Timestamp) -> String {
    let mut lines = vec![format!("A turn of {function} at {at:.0} would take {}.", count(outlook.steps.len(), "step"))];
    lines.extend(outlook.steps.iter().map(|planned| format!("  {}: {}", planned.step, planned.why)));
    if !outlook.report.waits.is_empty() {
        lines.push("It would wait:".to_owned());
        lines.extend(outlook.report.waits.iter().map(|wait| format!("  {wait}")));
    }
    lines.join("\n")
}
