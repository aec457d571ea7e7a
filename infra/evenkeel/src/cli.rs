//! The command line.

mod account;
mod ask;
mod check;
mod docs;
mod init;
mod look;
mod page;
mod plan;
mod roll;
mod run;
mod scorecard;
mod serve;
mod status;
mod why;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use evenkeel_model::fleet::{self, Fleet, Format, Problems};

#[cfg(feature = "aws")]
use crate::account::Surveyed;

/// The fleet that is shown when none is named.
const DEMO: &str = include_str!("../../fleets/demo.toml");
/// No fleet file is larger; SSM's advanced parameters take 8 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// Keeps an Amazon ECS fleet full, cheap and patched. Tries fleets in a simulated cloud, and operates those that are deployed.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  evenkeel                                        the page with three hosts and random demand\n  \
                  evenkeel run --duration 24h --report text       a day of the demo fleet\n  \
                  evenkeel check infra/fleets/shop.toml           all problems of a fleet file\n  \
                  evenkeel plan infra/fleets/shop.toml            what a turn would do\n  \
                  evenkeel status                                 how the fleets that are deployed stand"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a fleet live in the simulated cloud, on a page on this machine.
    #[command(
        after_help = "Examples:\n  evenkeel serve\n  evenkeel serve --fleet infra/fleets/shop.toml --speed 60 --port 9000"
    )]
    Serve(serve::Options),
    /// Runs a fleet in the simulated cloud to the end, and reports what was measured.
    #[command(
        after_help = "Examples:\n  evenkeel run --duration 24h\n  evenkeel run --demand web=requests.csv:fit --duration whole \
                      --report json\n  evenkeel run --faults 0.05 --trouble --seed 7 --report html --out report.html"
    )]
    Run(run::Options),
    /// Reads fleet files and says all that is wrong with them.
    #[command(
        after_help = "Examples:\n  evenkeel check infra/fleets/shop.toml\n  evenkeel check infra/fleets/shop.toml \
                      infra/fleets/demo.toml --json\n\nExits with 1 if there is any problem."
    )]
    Check(check::Options),
    /// Says what turns would do, without doing it: in the simulated cloud, or with --live on your account.
    #[command(
        after_help = "Examples:\n  evenkeel plan infra/fleets/shop.toml --at 10m\n  evenkeel plan infra/fleets/shop.toml --observed \
                      seen.json\n  evenkeel plan infra/fleets/shop.toml --live\n  evenkeel plan infra/fleets/shop.toml --live \
                      --deployment evenkeel --json\n\nWith --live it needs infra/reader-policy.json."
    )]
    Plan(plan::Options),
    /// Shows what Even Keel sees on your account now: hosts by pool, services, tasks, groups, alarms, and what it could not read.
    #[command(
        after_help = "Examples:\n  evenkeel look infra/fleets/shop.toml\n  evenkeel look infra/fleets/shop.toml --out seen.json \
                      --anonymous\n\nNeeds infra/reader-policy.json, and nothing deployed. Exits with 1 if anything could not be read."
    )]
    Look(look::Options),
    /// Writes a fleet file for what your account has: pools, services and their demand, each with its reason.
    #[command(
        after_help = "Examples:\n  evenkeel init\n  evenkeel init --cluster shop --out fleet.toml\n  evenkeel init --cluster shop \
                      --group shop-burst\n\nNeeds infra/reader-policy.json, and nothing deployed."
    )]
    Init(init::Options),
    #[command(flatten)]
    Live(Live),
    /// Writes what a shell needs to complete this command's words.
    #[command(
        after_help = "Example:\n  evenkeel completions bash > ~/.local/share/bash-completion/completions/evenkeel"
    )]
    Completions(docs::CompletionsOptions),
    /// Writes the manual pages.
    #[command(after_help = "Examples:\n  evenkeel man\n  evenkeel man --out man")]
    Man(docs::ManOptions),
}

/// What is asked of a deployment.
#[derive(Debug, Subcommand)]
enum Live {
    /// Shows a deployed fleet on one screen: hosts, services, budget, roll, alarms, who gave way, and how old that is.
    #[command(
        after_help = "Examples:\n  evenkeel status\n  evenkeel status shop --watch\n  evenkeel status shop --json"
    )]
    Status(status::Options),
    /// Says why a host, a service, a pool or a roll is as it is: what was decided about it, and what it waits for.
    #[command(after_help = "Examples:\n  evenkeel why web --fleet shop\n  evenkeel why roll --fleet shop --since 14d")]
    Why(why::WhyOptions),
    /// Lists what was decided, and why.
    #[command(
        after_help = "Examples:\n  evenkeel decisions --fleet shop --since 1h\n  evenkeel decisions --fleet shop --of web --of backfill \
                      --follow\n  evenkeel decisions --fleet shop --since 14d --json"
    )]
    Decisions(why::DecisionsOptions),
    /// Says of a fleet that is only observed what its own controllers did, and what Even Keel would have done.
    #[command(
        after_help = "Examples:\n  evenkeel scorecard shop\n  evenkeel scorecard shop --since 7d\n  evenkeel scorecard --json"
    )]
    Scorecard(scorecard::Options),
    /// Replaces the hosts of a fleet, wave by wave: plan, start, pause, resume, abort, status.
    Roll(roll::Options),
    /// Has no on-demand host given back until it is released.
    #[command(after_help = "Example:\n  evenkeel hold --fleet shop")]
    Hold(ask::Options),
    /// Ends a hold.
    #[command(after_help = "Example:\n  evenkeel release --fleet shop")]
    Release(ask::Options),
    /// Has pools tried again at once that refused launches: there is capacity, or a quota was raised.
    #[command(after_help = "Example:\n  evenkeel retry --fleet shop")]
    Retry(ask::Options),
    /// Says what services have to do now, for those whose demand is `manual`.
    #[command(after_help = "Example:\n  evenkeel push web=1200 --fleet shop")]
    Push(ask::PushOptions),
    /// Shows the page of a deployment on this machine, read with your own credentials.
    #[command(after_help = "Examples:\n  evenkeel page\n  evenkeel page shop --port 9000")]
    Page(page::Options),
}

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        None => serve::serve(&arguments.serve),
        Some(Command::Serve(options)) => serve::serve(&options),
        Some(Command::Run(options)) => run::run(&options),
        Some(Command::Check(options)) => Ok(check::check(&options)),
        Some(Command::Plan(options)) if options.live.live => plan_live(&options),
        Some(Command::Plan(options)) => plan::plan(&options),
        Some(Command::Look(options)) => look(&options),
        Some(Command::Init(options)) => init(&options),
        Some(Command::Live(command)) => live(command),
        Some(Command::Completions(options)) => Ok(docs::completions(&options)),
        Some(Command::Man(options)) => docs::man(&options),
    }
}

impl Live {
    #[cfg(feature = "aws")]
    const fn account(&self) -> &account::AccountOptions {
        match self {
            Self::Status(options) => &options.account,
            Self::Why(options) => &options.of.account,
            Self::Decisions(options) => &options.fleet.account,
            Self::Scorecard(options) => &options.account,
            Self::Roll(options) => &options.of().account,
            Self::Hold(options) | Self::Release(options) | Self::Retry(options) => &options.of.account,
            Self::Push(options) => &options.how.of.account,
            Self::Page(options) => &options.account,
        }
    }
}

/// Waits for what takes calls of an account.
#[cfg(feature = "aws")]
fn wait(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(feature = "aws")]
fn look(options: &look::Options) -> Result<ExitCode> {
    wait(async {
        let (eyes, place) = crate::account::eyes(options.place.place(None)).await?;
        look::look(&eyes, &place, options).await
    })
}

#[cfg(feature = "aws")]
fn init(options: &init::Options) -> Result<ExitCode> {
    wait(async {
        let found =
            crate::account::survey(options.place.place(None), options.cluster.as_ref(), &options.groups).await?;
        Ok(match found {
            (Surveyed::Clusters(clusters), place) => init::list(&clusters, &place),
            (Surveyed::Fleet(found), place) => init::init(&found, &place, options)?,
        })
    })
}

#[cfg(not(feature = "aws"))]
fn init(_: &init::Options) -> Result<ExitCode> {
    without_sdk()
}

#[cfg(not(feature = "aws"))]
fn look(_: &look::Options) -> Result<ExitCode> {
    without_sdk()
}

#[cfg(feature = "aws")]
fn plan_live(options: &plan::Options) -> Result<ExitCode> {
    wait(async {
        let (eyes, place) = crate::account::eyes(options.live.place()).await?;
        plan::live(&eyes, &place, (&options.live, &options.file, options.json)).await
    })
}

#[cfg(not(feature = "aws"))]
fn plan_live(_: &plan::Options) -> Result<ExitCode> {
    without_sdk()
}

/// Does what a command asks of a deployment.
#[cfg(feature = "aws")]
fn live(command: Live) -> Result<ExitCode> {
    wait(async {
        let deployment = crate::account::connect(command.account().place()).await?;
        match command {
            Live::Status(options) => status::status(&deployment, &options).await,
            Live::Why(options) => why::why(&deployment, &options).await,
            Live::Decisions(options) => why::decisions(&deployment, &options).await,
            Live::Scorecard(options) => scorecard::scorecard(&deployment, &options).await,
            Live::Roll(options) => roll::roll(&deployment, &options).await,
            Live::Hold(options) => ask::backfill(&deployment, "hold", &options).await,
            Live::Release(options) => ask::backfill(&deployment, "release", &options).await,
            Live::Retry(options) => ask::backfill(&deployment, "retry", &options).await,
            Live::Push(options) => ask::push(&deployment, &options).await,
            Live::Page(options) => page::page(deployment, &options).await,
        }
    })
}

#[cfg(not(feature = "aws"))]
fn live(command: Live) -> Result<ExitCode> {
    drop(command);
    without_sdk()
}

#[cfg(not(feature = "aws"))]
fn without_sdk() -> Result<ExitCode> {
    bail!(
        "this `evenkeel` was built without AWS's SDK, so that it builds quickly, and reaches no account\n  \
         `cargo install --locked --path infra/evenkeel --features aws` builds one that does, in some minutes"
    )
}

/// The fleet and its world, as every command takes them.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetOptions {
    /// The fleet file, TOML or JSON; the demo fleet without it.
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: Option<PathBuf>,
    /// Host types, task sizes and times of the simulated cloud (TOML); fitting ones for the example fleets, defaults for
    /// any other.
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Why a file is no fleet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotUsable {
    /// It cannot be read.
    #[error("{0:#}")]
    Unread(anyhow::Error),
    /// What is in it is written otherwise than its name says: one hint, and not a problem for each line.
    #[error("{file} holds {is}, and its name says {says}\n  rename it to end with .{ending}")]
    OtherFormat {
        /// The file.
        file: String,
        /// What is in it.
        is: &'static str,
        /// What its name says.
        says: &'static str,
        /// How a name ends that fits.
        ending: &'static str,
    },
    /// It says what no fleet can be.
    #[error("{file} is not a usable fleet file\n{problems}")]
    Problems {
        /// The file.
        file: String,
        /// All of it.
        problems: Problems,
    },
}

/// Reads a fleet file, or fails with all its problems; the demo fleet without a path.
pub(crate) fn read_fleet(path: Option<&Path>) -> Result<Fleet> {
    match path {
        None => Ok(fleet::read(DEMO.as_bytes(), Format::Toml)?),
        Some(path) => Ok(read_fleet_file(path)?),
    }
}

/// Reads a fleet file.
pub(crate) fn read_fleet_file(path: &Path) -> Result<Fleet, NotUsable> {
    let bytes = read_file(path).map_err(NotUsable::Unread)?;
    let file = path.display().to_string();
    let json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    match (json, Format::of(&bytes)) {
        (false, Format::Json) => {
            return Err(NotUsable::OtherFormat { file, is: "JSON", says: "TOML", ending: "json" });
        }
        (true, Format::Toml) if !bytes.trim_ascii().is_empty() && fleet::read(&bytes, Format::Toml).is_ok() => {
            return Err(NotUsable::OtherFormat { file, is: "TOML", says: "JSON", ending: "toml" });
        }
        (true | false, Format::Json | Format::Toml) => {}
    }
    let format = if json { Format::Json } else { Format::Toml };
    fleet::read(&bytes, format).map_err(|problems| NotUsable::Problems { file, problems })
}

/// Reads a file's text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_file(path)?).with_context(|| path.display().to_string())
}

/// Reads a file that is not absurdly large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let place = || path.display().to_string();
    let found = std::fs::metadata(path).with_context(place)?;
    if !found.is_file() {
        bail!("{} is not a file", path.display());
    }
    if found.len() > MOST_BYTES {
        bail!("{} has {} bytes; no fleet file needs more than {MOST_BYTES}", path.display(), found.len());
    }
    std::fs::read(path).with_context(place)
}

/// Prints a line where results go, without colours where nobody sees them. A closed pipe is no error: the reader has seen
/// enough.
pub(crate) fn say(text: &str) {
    let mut out = anstream::stdout().lock();
    let _closed_pipe = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes bytes as they are where results go.
pub(crate) fn write_out(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _closed_pipe = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints a line where errors go.
pub(crate) fn complain(text: &str) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{text}");
}
