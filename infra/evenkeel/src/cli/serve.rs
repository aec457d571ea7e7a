//! `evenkeel serve`: the page, over a world that keeps step with the clock.

mod controls;
mod pace;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use evenkeel_livefeed::{Source, SourceError, router};
use evenkeel_world::Faults;
use serde_json::{Value, json};

use controls::CONTROLS;
use pace::Pace;

use super::world::{DemandOptions, Made};
use super::{FleetOptions, say};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: FleetOptions,
    #[command(flatten)]
    demand: DemandOptions,
    /// Simulated seconds for each real one.
    #[arg(long, default_value_t = 10.0, value_parser = speed)]
    speed: f64,
    /// The port on this machine; 0 for any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The chance of each kind of fault, from 0 to 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = super::run::rate)]
    faults: f64,
    /// Hosts die and come back, agents lose their connection, tasks crash, people deploy and meddle.
    #[arg(long)]
    trouble: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.1..=3_600.0).contains(&speed) { Ok(speed) } else { Err("expected a number from 0.1 to 3600".to_owned()) }
}

/// What the page reads: the snapshot that the world's thread published last. Nobody waits for the world.
#[derive(Clone)]
struct Shared {
    pace: Arc<Pace>,
    speed: f64,
    /// The buttons that this fleet has, as the page takes them.
    controls: Arc<Vec<Value>>,
}

impl Source for Shared {
    async fn view(&self) -> Result<Arc<str>, SourceError> {
        self.pace.shown()?.view.clone().ok_or(SourceError::NothingYet)
    }

    async fn backfill(&self) -> Result<Option<Arc<str>>, SourceError> {
        Ok(self.pace.shown()?.backfill.clone())
    }

    async fn patch(&self) -> Result<Option<Arc<str>>, SourceError> {
        Ok(self.pace.shown()?.patch.clone())
    }

    async fn history(&self) -> Result<Arc<str>, SourceError> {
        Ok(Arc::clone(&self.pace.shown()?.history))
    }
}

pub(crate) fn serve(options: &Options) -> Result<ExitCode> {
    let made = Made::read(&options.fleet, &options.demand)?;
    let of_fleet = CONTROLS.iter().filter(|control| control.is_for(&made.fleet));
    let button =
        |control: &controls::Control| json!({ "id": control.id, "label": control.label, "title": control.title });
    let controls = Arc::new(of_fleet.map(button).collect());
    let faults = Faults { rate: options.faults, trouble: options.trouble, ..Faults::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Loopback only: the page has buttons, and nobody else should press them.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("port {} is not free; choose another with --port", options.port))?;
        let pace = Arc::new(Pace::begin(move || made.world(faults), options.speed)?);
        listen(Shared { pace, speed: options.speed, controls }, listener).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn listen(shared: Shared, listener: tokio::net::TcpListener) -> Result<()> {
    say(&format!("Even Keel is on http://{} (end with ctrl-c)", listener.local_addr()?));
    let world = Router::new()
        .route("/api/world", get(about))
        .route("/api/world/{control}", post(control))
        .with_state(shared.clone());
    let ended = async {
        let _no_handler_no_end = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router(shared).merge(world)).with_graceful_shutdown(ended).await?;
    Ok(())
}

async fn about(State(shared): State<Shared>) -> Result<Json<Value>, StatusCode> {
    let shown = shared.pace.shown().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let (cost, all_on_demand) = shown.usd_an_hour;
    Ok(Json(json!({
        "simulated": true,
        "speed": shared.speed,
        "controls": *shared.controls,
        "usd_an_hour": cost,
        "usd_an_hour_all_on_demand": all_on_demand,
        "simulated_seconds": shown.at.as_secs_f64(),
        "behind_seconds": shared.pace.behind(&shown).as_secs_f64(),
    })))
}

async fn control(State(shared): State<Shared>, Path(id): Path<String>) -> impl IntoResponse {
    let Some(control) = CONTROLS.iter().find(|control| control.id == id) else { return StatusCode::NOT_FOUND };
    if shared.pace.press(control.press) { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}
