//! `evenkeel serve`: the page, over a world that keeps step with the clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use evenkeel_livefeed::{Source, SourceError, router};
use evenkeel_model::trigger::RollVerb;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Faults, Interruption, World};
use serde_json::{Value, json};

use super::world::{DemandOptions, Made};
use super::{FleetOptions, say};

/// The world moves on this often.
const FRAME: Duration = Duration::from_millis(100);
/// The page opens with some history.
const BEFORE: u64 = 15 * MINUTE;

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

#[derive(Clone)]
struct Shared {
    world: Arc<Mutex<World>>,
    speed: f64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Shared {
    async fn view(&self) -> Result<Arc<str>, SourceError> {
        let view = self.lock().view().ok_or(SourceError::NothingYet)?;
        serde_json::to_string(&view).map(Arc::from).map_err(|error| SourceError::Unavailable(error.to_string()))
    }

    async fn backfill(&self) -> Result<Option<Arc<str>>, SourceError> {
        let Some(view) = self.lock().backfill_view() else { return Ok(None) };
        let text = serde_json::to_string(&view).map_err(|error| SourceError::Unavailable(error.to_string()))?;
        Ok(Some(Arc::from(text)))
    }

    async fn patch(&self) -> Result<Option<Arc<str>>, SourceError> {
        let Some(view) = self.lock().patch_view() else { return Ok(None) };
        let text = serde_json::to_string(&view).map_err(|error| SourceError::Unavailable(error.to_string()))?;
        Ok(Some(Arc::from(text)))
    }

    async fn history(&self) -> Result<Arc<str>, SourceError> {
        let moments = self.lock().moments();
        serde_json::to_string(&moments).map(Arc::from).map_err(|error| SourceError::Unavailable(error.to_string()))
    }
}

pub(crate) fn serve(options: &Options) -> Result<ExitCode> {
    let made = Made::read(&options.fleet, &options.demand)?;
    let mut world = made.world(Faults { rate: options.faults, trouble: options.trouble, ..Faults::default() });
    world.run_until(BEFORE);
    let shared = Shared { world: Arc::new(Mutex::new(world)), speed: options.speed };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(listen(shared, options.port))?;
    Ok(ExitCode::SUCCESS)
}

async fn listen(shared: Shared, port: u16) -> Result<()> {
    // Loopback only: the page has buttons, and nobody else should press them.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("port {port} is not free; choose another with --port"))?;
    say(&format!("Even Keel is on http://{} (end with ctrl-c)", listener.local_addr()?));
    let world = Router::new()
        .route("/api/world", get(about))
        .route("/api/world/{control}", post(control))
        .with_state(shared.clone());
    let clock = tokio::spawn(keep_step(shared.clone()));
    let ended = async {
        let _no_handler_no_end = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router(shared).merge(world)).with_graceful_shutdown(ended).await?;
    clock.abort();
    Ok(())
}

/// Lets the world go on at its speed.
#[expect(clippy::disallowed_methods, reason = "this is where the world meets the clock")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of years fit")]
async fn keep_step(shared: Shared) {
    let begun = Instant::now();
    let mut frames = tokio::time::interval(FRAME);
    loop {
        frames.tick().await;
        let passed = begun.elapsed().as_secs_f64() * 1_000.0 * shared.speed;
        shared.lock().run_until(BEFORE + passed as u64);
    }
}

/// A button of the page.
struct Control {
    id: &'static str,
    label: &'static str,
    title: &'static str,
    shown: Shown,
    press: fn(&mut World),
}

/// For which fleets a button is there.
#[derive(Clone, Copy)]
enum Shown {
    Always,
    /// Fleets with spot pools.
    Spot,
    /// Fleets that may be patched.
    Patch,
}

const CONTROLS: [Control; 11] = [
    Control {
        id: "spike",
        label: "Spike",
        title: "Demand goes close to its maximum for five minutes",
        shown: Shown::Always,
        press: World::spike,
    },
    Control {
        id: "calm",
        label: "Calm",
        title: "Demand falls to almost nothing for five minutes",
        shown: Shown::Always,
        press: World::calm,
    },
    Control {
        id: "interrupt",
        label: "Interrupt spot",
        title: "EC2 takes a spot host back, two minutes after its warning",
        shown: Shown::Spot,
        press: |world| {
            world.interrupt(Interruption::Warned);
        },
    },
    Control {
        id: "kill",
        label: "Kill spot",
        title: "EC2 takes a spot host back at once, without a warning",
        shown: Shown::Spot,
        press: |world| {
            world.interrupt(Interruption::Unwarned);
        },
    },
    Control {
        id: "starve",
        label: "Starve spot",
        title: "No spot host can be launched for thirty minutes",
        shown: Shown::Spot,
        press: |world| world.starve_spot(30 * MINUTE),
    },
    Control {
        id: "load",
        label: "Raise load",
        title: "The load rises beyond what the fleet's steady hosts can carry, and its alarms fire",
        shown: Shown::Spot,
        press: |world| world.load_of_steady(Some(1.06)),
    },
    Control {
        id: "unload",
        label: "Normal load",
        title: "The load is what the services' demand needs again",
        shown: Shown::Spot,
        press: |world| world.load_of_steady(None),
    },
    Control {
        id: "patch",
        label: "Patch",
        title: "A new launch template version with a fresh image is published, and every host is replaced",
        shown: Shown::Patch,
        press: World::patch,
    },
    Control {
        id: "pause",
        label: "Pause roll",
        title: "The roll begins no new wave",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Pause, None),
    },
    Control {
        id: "resume",
        label: "Resume roll",
        title: "The roll goes on from where it is",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Resume, None),
    },
    Control {
        id: "abort",
        label: "Abort roll",
        title: "The roll stops for good, and what is done stays done",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Abort, None),
    },
];

async fn about(State(shared): State<Shared>) -> Json<Value> {
    let world = shared.lock();
    let shown = |control: &&Control| match control.shown {
        Shown::Always => true,
        Shown::Spot => world.has_spot(),
        Shown::Patch => world.may_patch(),
    };
    let controls: Vec<Value> = CONTROLS
        .iter()
        .filter(shown)
        .map(|control| json!({ "id": control.id, "label": control.label, "title": control.title }))
        .collect();
    let (cost, all_on_demand) = world.usd_an_hour();
    Json(json!({
        "simulated": true,
        "speed": shared.speed,
        "controls": controls,
        "usd_an_hour": cost,
        "usd_an_hour_all_on_demand": all_on_demand,
    }))
}

async fn control(State(shared): State<Shared>, Path(id): Path<String>) -> impl IntoResponse {
    let Some(control) = CONTROLS.iter().find(|control| control.id == id) else { return StatusCode::NOT_FOUND };
    (control.press)(&mut shared.lock());
    StatusCode::NO_CONTENT
}
