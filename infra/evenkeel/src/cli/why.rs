//! `evenkeel why` and `evenkeel decisions`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use evenkeel_model::Timestamp;
use serde_json::json;

use super::account::OneFleet;
use super::world::duration;
use super::{complain, say};
use crate::account::{Account, Deployment, Recorded};
use crate::show::{self, About};

/// Answers of the table, of 1 MB each, that are read at most where nobody said how far back: thousands of decisions.
const PAGES: usize = 1;
/// Where somebody did.
pub(super) const PAGES_ASKED: usize = 200;
/// A turn takes no longer than this: a decision of which nothing is known by then was that of a turn that was killed.
const TURN: Duration = Duration::from_secs(60);
/// How often the table is looked at.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct WhyOptions {
    /// A host, a service, a pool, a roll's id, or `roll` for the newest roll.
    #[arg(value_name = "NAME")]
    name: String,
    /// How far back; a day otherwise. Decisions are kept for 14 days.
    #[arg(long, value_name = "TIME", value_parser = back)]
    since: Option<Duration>,
    /// For machines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) of: OneFleet,
}

/// How far back, such as `1h`, or `14d`: days of 24 hours.
pub(super) fn back(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days {
        Some(days @ ..=MOST_DAYS) => Ok(Duration::from_hours(24 * days)),
        Some(_) => Err(format!("decisions are kept for 14 days: expected at most {MOST_DAYS}d")),
        None => duration(text),
    }
}

/// More is surely meant otherwise.
const MOST_DAYS: u64 = 366;

pub(crate) async fn why<A: Account>(deployment: &Deployment<A>, options: &WhyOptions) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.of.fleet.as_ref()).await?;
    let standing = deployment.standing(&fleet).await?;
    let now = deployment.account.now();
    let (since, pages) = match options.since {
        Some(since) => (now - since, PAGES_ASKED),
        None => (now - Duration::from_hours(24), PAGES),
    };
    let (decided, all) = deployment.decided(&fleet, since, pages).await?;
    let since = if all { since } else { decided.last().map_or(since, |oldest| oldest.at) };
    if options.json {
        let picked = About::of(&options.name, &standing, &decided).pick(&decided).into_iter();
        let picked: Vec<_> = picked.map(show::for_machines).collect();
        say(&json!({ "about": options.name, "fleet": fleet, "since": since, "decisions": picked }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    match show::why(&options.name, &standing, &decided, since, now) {
        Ok(text) => say(&text),
        Err(unknown) => bail!(unknown),
    }
    if !all {
        complain(&format!(
            "evenkeel: older decisions are left out; --since 14d reads all that are kept, from before {since:.0}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(crate) struct DecisionsOptions {
    /// How far back, up to the 14 days for which decisions are kept.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = back)]
    since: Duration,
    /// Only those about this host, service, pool or roll, or of this function; may come several times.
    #[arg(long, value_name = "NAME")]
    of: Vec<String>,
    /// Goes on with new ones as they come, until ctrl-c.
    #[arg(long)]
    follow: bool,
    /// For machines: a JSON object to a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) fleet: OneFleet,
}

pub(crate) async fn decisions<A: Account>(deployment: &Deployment<A>, options: &DecisionsOptions) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.fleet.fleet.as_ref()).await?;
    let begin = deployment.account.now() - options.since;
    let mut told = Told::default();
    let mut since = begin;
    loop {
        let now = deployment.account.now();
        let (decided, _) = deployment.decided(&fleet, since, PAGES_ASKED).await?;
        let news = told.news(&decided, options.follow, now);
        let asked = |one: &&Recorded| options.of.is_empty() || options.of.iter().any(|name| one.is_about(name));
        for one in news.into_iter().filter(asked) {
            say(&if options.json { show::for_machines(one).to_string() } else { show::line(one, now) });
        }
        if !options.follow {
            if told.0.is_empty() && !options.json {
                complain(&format!(
                    "evenkeel: nothing was decided about fleet {fleet} since {begin:.0}; --since 14d looks further back"
                ));
            }
            return Ok(ExitCode::SUCCESS);
        }
        // What is written late, or is completed, is of the last minute or two.
        since = begin.max(now - 2 * TURN);
        deployment.account.sleep(EVERY).await;
    }
}

/// What was told already, by time and words of the step.
#[derive(Debug, Default)]
struct Told(BTreeSet<(Timestamp, String)>);

impl Told {
    /// What is new, the oldest first. While more is to come, what is still being done is told when it is over.
    fn news<'d>(&mut self, decided: &'d [Recorded], follows: bool, now: Timestamp) -> Vec<&'d Recorded> {
        let may_end = |one: &Recorded| follows && one.is_open() && now.duration_since(one.at).unsigned_abs() < TURN;
        let mut news: Vec<&Recorded> = decided.iter().filter(|one| !may_end(one)).collect();
        news.retain(|one| self.0.insert((one.at, one.raw["step"].to_string())));
        news.sort_by_key(|one| one.at);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::recorded;

    fn round(second: u32, outcome: &str) -> String {
        format!(
            r#"[{{"at":"2026-01-05T10:00:{second:02}Z","function":"microscale","step":{{"set-desired-count":{{"service":"web","from":1,"to":2}}}},
                "why":{{"want-rose":{{"want":2,"live":1}}}},"outcome":"{outcome}"}}]"#
        )
    }

    #[test]
    fn each_decision_is_told_once_and_when_it_is_known_what_became_of_it() {
        let mut told = Told::default();
        let now: Timestamp = "2026-01-05T10:00:20Z".parse().unwrap();
        let first = recorded(&[round(10, "undone"), round(1, "done")]);
        assert_eq!(told.news(&first, true, now).len(), 1);
        let later = recorded(&[round(10, "done"), round(1, "done")]);
        let news = told.news(&later, true, now);
        assert_eq!(
            news.iter().map(|one| one.text()).collect::<Vec<_>>(),
            ["web 1 -> 2: 2 wanted, 1 there, and there is room"]
        );
        assert!(told.news(&later, true, now).is_empty());
        // A turn that was killed leaves it open for ever.
        let killed = recorded(&[round(10, "undone")]);
        assert_eq!(Told::default().news(&killed, true, now + TURN).len(), 1);
        assert_eq!(Told::default().news(&killed, false, now).len(), 1);
    }
}
