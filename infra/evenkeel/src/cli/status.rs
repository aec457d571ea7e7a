//! `evenkeel status`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use evenkeel_model::FleetName;
use serde_json::json;

use super::account::{AccountOptions, fleet_name};
use super::say;
use crate::account::{Account, Deployment, Standing, Trouble};
use crate::show;

/// Turns come every few seconds at most.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet; all of the deployment without it.
    #[arg(value_name = "FLEET", value_parser = fleet_name)]
    fleet: Option<FleetName>,
    /// Again and again, until ctrl-c.
    #[arg(long)]
    watch: bool,
    /// For machines: what each function shows, as it is stored.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) account: AccountOptions,
}

pub(crate) async fn status<A: Account>(deployment: &Deployment<A>, options: &Options) -> Result<ExitCode> {
    let fleets = match &options.fleet {
        Some(fleet) => vec![fleet.clone()],
        None => deployment.fleets().await?,
    };
    if fleets.is_empty() {
        return Err(Trouble::Several { fleets, place: deployment.place.clone() }.into());
    }
    loop {
        let mut standing = Vec::new();
        for fleet in &fleets {
            standing.push(deployment.standing(fleet).await?);
        }
        let now = deployment.account.now();
        let text = if options.json {
            let fleets: Vec<_> = standing.iter().map(for_machines).collect();
            json!({ "at": now, "fleets": fleets }).to_string()
        } else {
            let screens: Vec<String> = standing.iter().map(|fleet| show::status(fleet, now)).collect();
            screens.join("\n").trim_end().to_owned()
        };
        if options.watch && !options.json && std::io::stdout().is_terminal() {
            // Home, and clear to the end: nothing flickers.
            say(&format!("\x1b[H\x1b[2J{text}"));
        } else {
            say(&text);
        }
        if !options.watch {
            return Ok(ExitCode::SUCCESS);
        }
        deployment.account.sleep(EVERY).await;
    }
}

fn for_machines(fleet: &Standing) -> serde_json::Value {
    let decisions: Vec<_> = fleet.feed.iter().map(show::for_machines).collect();
    json!({
        "fleet": fleet.name,
        "seen": fleet.seen(),
        "looked": fleet.looked,
        "shows": fleet.raw,
        "budget": fleet.budget,
        "decisions": decisions,
        "not_understood": fleet.unread,
    })
}
