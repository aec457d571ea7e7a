//! The command line.

mod check;
mod plan;
mod run;
mod serve;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use evenkeel_model::fleet::{self, Fleet, Format};

/// The fleet that is shown when none is named.
const DEMO: &str = include_str!("../../fleets/demo.toml");
/// No fleet file is larger; SSM's advanced parameters take 8 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// Keeps an Amazon ECS fleet full, cheap and patched. This command runs fleets in a simulated cloud.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  evenkeel                                        the page with three hosts and random demand\n  \
                  evenkeel run --duration 24h --report text       a day of the demo fleet\n  \
                  evenkeel check infra/fleets/shop.toml           all problems of a fleet file\n  \
                  evenkeel plan infra/fleets/shop.toml            what a turn would do"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a fleet live, on a page on this machine.
    #[command(
        after_help = "Examples:\n  evenkeel serve\n  evenkeel serve --fleet infra/fleets/shop.toml --speed 60 --port 9000"
    )]
    Serve(serve::Options),
    /// Runs a fleet to the end and reports what was measured.
    #[command(
        after_help = "Examples:\n  evenkeel run --duration 24h\n  evenkeel run --demand web=requests.csv:fit --duration whole \
                      --report json\n  evenkeel run --faults 0.05 --trouble --seed 7 --report html --out report.html"
    )]
    Run(run::Options),
    /// Reads a fleet file and says all that is wrong with it.
    #[command(
        after_help = "Example:\n  evenkeel check infra/fleets/shop.toml\n\nExits with 1 if there is any problem."
    )]
    Check(check::Options),
    /// Says what a turn would do, without doing it.
    #[command(
        after_help = "Examples:\n  evenkeel plan infra/fleets/shop.toml --at 10m\n  evenkeel plan infra/fleets/shop.toml --observed \
                      seen.json"
    )]
    Plan(plan::Options),
}

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        None => serve::serve(&arguments.serve),
        Some(Command::Serve(options)) => serve::serve(&options),
        Some(Command::Run(options)) => run::run(&options),
        Some(Command::Check(options)) => check::check(&options),
        Some(Command::Plan(options)) => plan::plan(&options),
    }
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

/// Reads a fleet file, or fails with all its problems.
pub(crate) fn read_fleet(path: Option<&Path>) -> Result<Fleet> {
    let Some(path) = path else { return Ok(fleet::read(DEMO.as_bytes(), Format::Toml)?) };
    let bytes = read_file(path)?;
    let json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let format = if json { Format::Json } else { Format::Toml };
    match fleet::read(&bytes, format) {
        Ok(fleet) => Ok(fleet),
        Err(problems) => bail!("{} is not a usable fleet file\n{problems}", path.display()),
    }
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

/// Prints a line where results go. A closed pipe is no error: the reader has seen enough.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed_pipe = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line where errors go.
pub(crate) fn complain(text: &str) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{text}");
}
