//! `evenkeel roll`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use evenkeel_model::{FleetName, FunctionName, PoolName, RollId, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::account::OneFleet;
use super::ask::{ask, roll_request, tell, whoever};
use super::{complain, say};
use crate::account::{Account, Deployment, Standing};
use crate::show::{self, Progress, ended_as, roll_standing};

/// How often the ledger is looked at: a wave takes a minute or two.
const EVERY: Duration = Duration::from_secs(2);
/// A start that another turn had to follow is followed within this.
const BEGINS: Duration = Duration::from_secs(120);
/// Each function is woken once a minute.
const SILENT: Duration = Duration::from_secs(180);

/// What `--watch` ends with, for the commands' help.
const CODES: &str = "With --watch the exit code says how the roll ended: 0 done, 3 with hosts left, 4 aborted, 5 rolled back, \
                     6 without an image; 1 is an error, as always.";

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  evenkeel roll plan --fleet shop")]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says the waves that a roll would have now, and what would block; changes nothing.
    #[command(after_help = "Example:\n  evenkeel roll plan --fleet shop")]
    Plan(Plain),
    /// Begins a roll, outside its windows too.
    #[command(after_help = format!("Examples:\n  evenkeel roll start --fleet shop --watch\n  evenkeel roll start --fleet shop --pool base --by anna\n\n{CODES}"))]
    Start(Start),
    /// Begins no new wave; the one that is under way ends.
    #[command(after_help = "Example:\n  evenkeel roll pause --fleet shop")]
    Pause(Plain),
    /// Goes on from the step where it paused or halted.
    #[command(after_help = format!("Example:\n  evenkeel roll resume --fleet shop --watch\n\n{CODES}"))]
    Resume(Watched),
    /// Ends for good; what is done stays done, and draining hosts take tasks again.
    #[command(after_help = "Example:\n  evenkeel roll abort --fleet shop")]
    Abort(Plain),
    /// Says how the roll stands, or how the last one ended.
    #[command(after_help = format!("Examples:\n  evenkeel roll status --fleet shop\n  evenkeel roll status --fleet shop --watch\n\n{CODES}"))]
    Status(Watched),
}

#[derive(Debug, Args)]
struct Plain {
    /// Who asks, for the feed; otherwise the name of whoever is signed in on this machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    of: OneFleet,
}

#[derive(Debug, Args)]
struct Watched {
    /// Shows waves and progress until the roll ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    plain: Plain,
}

#[derive(Debug, Args)]
struct Start {
    /// One pool only.
    #[arg(long, value_name = "NAME")]
    pool: Option<PoolName>,
    #[command(flatten)]
    how: Watched,
}

impl Options {
    pub(crate) const fn of(&self) -> &OneFleet {
        match &self.verb {
            Verb::Plan(plain) | Verb::Pause(plain) | Verb::Abort(plain) => &plain.of,
            Verb::Resume(watched) | Verb::Status(watched) => &watched.plain.of,
            Verb::Start(start) => &start.how.plain.of,
        }
    }
}

pub(crate) async fn roll<A: Account>(deployment: &Deployment<A>, options: &Options) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.of().fleet.as_ref()).await?;
    let roll = Roll { deployment, fleet };
    match &options.verb {
        Verb::Plan(plain) => roll.ask("plan", None, plain, false).await,
        Verb::Pause(plain) => roll.ask("pause", None, plain, false).await,
        Verb::Abort(plain) => roll.ask("abort", None, plain, false).await,
        Verb::Resume(Watched { watch, plain }) => roll.ask("resume", None, plain, *watch).await,
        Verb::Start(Start { pool, how }) => roll.ask("start", pool.as_ref(), &how.plain, how.watch).await,
        Verb::Status(Watched { watch, plain }) => roll.status(plain, *watch).await,
    }
}

struct Roll<'d, A> {
    deployment: &'d Deployment<A>,
    fleet: FleetName,
}

impl<A: Account> Roll<'_, A> {
    async fn ask(&self, verb: &str, pool: Option<&PoolName>, plain: &Plain, watch: bool) -> Result<ExitCode> {
        let by = if verb == "plan" { None } else { plain.by.clone().or_else(whoever) };
        let request = roll_request(&self.fleet, verb, pool.map(PoolName::as_str), by);
        let tried = format!("asked patchroll to {verb} a roll of {}", self.fleet);
        let asked = self.deployment.account.now();
        let (body, said) = ask(self.deployment, FunctionName::Patchroll, &request, &tried).await?;
        let code = tell(&body, &said, plain.json);
        if said.refused.is_some() || !watch {
            return Ok(code);
        }
        self.watch(said.roll, asked, plain.json).await
    }

    async fn status(&self, plain: &Plain, watch: bool) -> Result<ExitCode> {
        let now = self.deployment.account.now();
        if watch {
            return self.watch(None, now, plain.json).await;
        }
        let standing = self.deployment.standing(&self.fleet).await?;
        if plain.json {
            let view = standing.raw.get("patchroll");
            say(&json!({ "fleet": self.fleet, "seen": standing.looked.get(&FunctionName::Patchroll), "patchroll": view }).to_string());
        } else {
            for line in roll_standing(&standing, now) {
                say(&line);
            }
            for wait in standing.patch.iter().flat_map(|view| &view.waits) {
                say(&format!("waits: {wait}"));
            }
            if let Some(seen) = standing.looked.get(&FunctionName::Patchroll) {
                say(&format!("seen {} ago", show::age(*seen, now)));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Tells how a roll goes on until it ends: this one, or that which is under way, or that which is about to begin.
    async fn watch(&self, mut id: Option<RollId>, asked: Timestamp, json: bool) -> Result<ExitCode> {
        let teller = Teller::new(json);
        let mut progress = Progress::default();
        let mut silent = false;
        loop {
            let standing = tokio::select! {
                standing = self.deployment.standing(&self.fleet) => standing?,
                _ = tokio::signal::ctrl_c() => return Ok(teller.interrupted(&self.fleet)),
            };
            let now = self.deployment.account.now();
            let roll = standing.patch.as_ref().and_then(|view| view.roll.as_ref());
            if id.is_none() {
                id = roll.map(|roll| roll.id.clone());
            }
            match (&id, roll, &standing.patch) {
                (Some(id), Some(roll), Some(view)) if roll.id == *id => {
                    teller.goes_on(roll, &progress.news(roll, &view.waits));
                }
                (Some(id), _, Some(view)) => {
                    if let Some((ending, text)) = ended_as(view, id) {
                        teller.ends(&text);
                        return Ok(ExitCode::from(ending.code()));
                    }
                }
                (None, _, _) if now.duration_since(asked).unsigned_abs() > BEGINS || seen_since(&standing, asked) => {
                    teller.ends("no roll is under way");
                    return Ok(ExitCode::SUCCESS);
                }
                (None | Some(_), _, _) => {}
            }
            let quiet = standing
                .looked
                .get(&FunctionName::Patchroll)
                .filter(|seen| now.duration_since(**seen).unsigned_abs() > SILENT);
            if let (Some(seen), false) = (quiet, silent) {
                let function = self.deployment.function("patchroll");
                teller.note(&format!(
                    "patchroll has not looked for {}: see `aws logs tail /aws/lambda/{function}`",
                    show::age(*seen, now)
                ));
            }
            silent = quiet.is_some();
            tokio::select! {
                () = self.deployment.account.sleep(EVERY) => {}
                _ = tokio::signal::ctrl_c() => return Ok(teller.interrupted(&self.fleet)),
            }
        }
    }
}

/// Whether patchroll has looked since `asked`: then there is no roll to wait for.
fn seen_since(standing: &Standing, asked: Timestamp) -> bool {
    standing.looked.get(&FunctionName::Patchroll).is_some_and(|seen| *seen > asked)
}

/// Where progress goes: a bar for whoever watches a terminal, lines for all others.
struct Teller {
    bar: Option<ProgressBar>,
    json: bool,
}

impl Teller {
    fn new(json: bool) -> Self {
        let watched = !json && std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let bar = watched.then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} hosts  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, json }
    }

    fn goes_on(&self, roll: &evenkeel_patchroll::RollView, news: &[String]) {
        if self.json {
            if !news.is_empty() {
                say(&json!({ "roll": roll }).to_string());
            }
            return;
        }
        let tell = || news.iter().for_each(|line| say(line));
        match &self.bar {
            None => tell(),
            Some(bar) => {
                bar.suspend(tell);
                bar.set_length(u64::from(roll.hosts));
                bar.set_position(u64::from(roll.done));
                bar.set_message(format!("wave {} of {}, {}", roll.wave, roll.waves, roll.says));
            }
        }
    }

    fn note(&self, text: &str) {
        let tell = || complain(&format!("evenkeel: {text}"));
        self.bar.as_ref().map_or_else(tell, |bar| bar.suspend(tell));
    }

    fn ends(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(&if self.json { json!({ "says": text }).to_string() } else { text.to_owned() });
    }

    /// Whoever stops watching does not stop the roll.
    fn interrupted(&self, fleet: &FleetName) -> ExitCode {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        complain(&format!(
            "evenkeel: the roll goes on; `evenkeel roll status --fleet {fleet} --watch` shows it, `evenkeel roll abort --fleet {fleet}` ends it"
        ));
        ExitCode::from(130)
    }
}
