//! `evenkeel page`: the page of a deployment, on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use evenkeel_livefeed::{FromLedger, pages};
use evenkeel_model::FleetName;

use super::account::{AccountOptions, fleet_name};
use super::say;
use crate::account::{Account, Deployment, Trouble};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet; all of the deployment without it.
    #[arg(value_name = "FLEET", value_parser = fleet_name)]
    fleet: Option<FleetName>,
    /// The port on this machine; 0 for any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    pub(crate) account: AccountOptions,
}

pub(crate) async fn page<A: Account + Send + Sync + 'static>(
    deployment: Deployment<A>,
    options: &Options,
) -> Result<ExitCode> {
    let fleets = match &options.fleet {
        Some(fleet) => vec![fleet.clone()],
        None => deployment.fleets().await?,
    };
    let Some(first) = fleets.first() else {
        return Err(Trouble::Several { fleets, place: deployment.place.clone() }.into());
    };
    // What cannot be read is said before anybody opens a browser.
    deployment.standing(first).await?;
    let account = Arc::new(deployment.account);
    let sources = fleets.iter().map(|fleet| (fleet.clone(), FromLedger::new(Arc::clone(&account), fleet.clone())));
    let routes = pages(sources.collect::<Vec<_>>());
    // Loopback only: who may read the deployment is for AWS to say, and here nobody asks.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("port {} is not free; choose another with --port", options.port))?;
    let here = listener.local_addr()?;
    say(&format!("Even Keel is on http://{here} (end with ctrl-c): live, read from {}", deployment.place));
    for fleet in fleets.iter().skip(1) {
        say(&format!("  http://{here}/fleets/{fleet}/"));
    }
    let ended = async {
        let _no_handler_no_end = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(ended).await?;
    Ok(ExitCode::SUCCESS)
}
