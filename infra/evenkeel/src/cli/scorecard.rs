//! `evenkeel scorecard`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use evenkeel_model::FleetName;
use evenkeel_turn::Scorecard;

use super::account::{AccountOptions, fleet_name};
use super::say;
use super::why::{PAGES_ASKED, back};
use crate::account::{Account, Deployment};
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet; it need not be named where the deployment serves one only.
    #[arg(value_name = "FLEET", value_parser = fleet_name)]
    fleet: Option<FleetName>,
    /// How far back, in whole hours, up to the 14 days for which it is kept.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = back)]
    since: Duration,
    /// For machines: all of it, where the text leaves out what is much alike.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) account: AccountOptions,
}

pub(crate) async fn scorecard<A: Account>(deployment: &Deployment<A>, options: &Options) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.fleet.as_ref()).await?;
    let standing = deployment.standing(&fleet).await?;
    let now = deployment.account.now();
    let since = now - options.since;
    let card = Scorecard::of(standing.file.as_ref(), &deployment.accounts(&fleet, since).await?);
    let (decided, _) = deployment.decided(&fleet, since, PAGES_ASKED).await?;
    if !show::says_anything(&card, &decided) {
        bail!(
            "nothing of fleet {fleet} was observed since {since:.0}\n  `mode = \"observe\"` in its fleet file has it observed; --since \
             14d looks further back"
        );
    }
    if options.json {
        say(&show::scorecard_for_machines(&fleet, &card, &decided).to_string());
    } else {
        say(show::scorecard((&fleet, standing.file.as_ref()), &card, &decided, now).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
