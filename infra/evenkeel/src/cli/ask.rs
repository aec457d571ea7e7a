//! What is asked of a deployed function by hand: `evenkeel hold`, `release`, `retry` and `push`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use evenkeel_model::{FleetName, FunctionName, ServiceName};
use serde_json::{Value, json};

use super::account::OneFleet;
use super::{complain, say};
use crate::account::{Account, Deployment};
use crate::show::Said;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: OneFleet,
}

#[derive(Debug, Args)]
pub(crate) struct PushOptions {
    /// A service whose demand is `manual`, and its demand now, in its own unit.
    #[arg(value_name = "SERVICE=VALUE", required = true, value_parser = pushed)]
    values: Vec<(ServiceName, f64)>,
    #[command(flatten)]
    pub(crate) how: Options,
}

fn pushed(text: &str) -> Result<(ServiceName, f64), String> {
    let expected = || "expected SERVICE=VALUE with a number that is not negative, such as web=1200".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let name = ServiceName::new(name).map_err(|error| error.to_string())?;
    let value: f64 = value.parse().map_err(|_| expected())?;
    if value.is_finite() && value >= 0.0 { Ok((name, value)) } else { Err(expected()) }
}

/// Asks backfill for `verb`.
pub(crate) async fn backfill<A: Account>(
    deployment: &Deployment<A>,
    verb: &str,
    options: &Options,
) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.of.fleet.as_ref()).await?;
    let request = json!({ "fleet": fleet, "backfill": verb });
    let (body, said) =
        ask(deployment, FunctionName::Backfill, &request, &format!("asked backfill to {verb} for {fleet}")).await?;
    Ok(tell(&body, &said, options.json))
}

/// Sends demand.
pub(crate) async fn push<A: Account>(deployment: &Deployment<A>, options: &PushOptions) -> Result<ExitCode> {
    let fleet = deployment.fleet(options.how.of.fleet.as_ref()).await?;
    let mut demand = BTreeMap::new();
    for (service, value) in &options.values {
        if demand.insert(service, value).is_some() {
            bail!("{service} comes twice\n  name each service once, such as `evenkeel push web=1200 api=30`");
        }
    }
    let request = json!({ "fleet": fleet, "demand": demand });
    let (body, said) = ask(deployment, FunctionName::Microscale, &request, &format!("sent demand of {fleet}")).await?;
    Ok(tell(&body, &said, options.how.json))
}

/// Sends a request, and gives the answer as it is and as people want it.
pub(crate) async fn ask<A: Account>(
    deployment: &Deployment<A>,
    function: FunctionName,
    request: &Value,
    tried: &str,
) -> Result<(Value, Said)> {
    let reply = deployment.ask(function, &request.to_string(), tried.to_owned()).await?;
    let body: Value = serde_json::from_str(&reply.body).unwrap_or(Value::String(reply.body));
    if reply.failed {
        let words = body["errorMessage"].as_str().map_or_else(|| body.to_string(), str::to_owned);
        bail!("{tried} ({}): {}", deployment.place, with_next(&words, &deployment.function(function)));
    }
    let said = Said::of(&body);
    Ok((body, said))
}

/// The words of a function that failed, with what to type next where they do not say it.
fn with_next(words: &str, function: &str) -> String {
    if words.contains('\n') || words.contains('`') {
        return words.to_owned();
    }
    let passes = words.contains("throttled") || words.contains("no answer") || words.contains("timed out");
    let next = if passes { "type the same again in a few seconds" } else { "what it said before is in its log" };
    format!("{words}\n  {next}: `aws logs tail /aws/lambda/{function}`")
}

/// Says what was answered. What was refused is an error.
pub(crate) fn tell(body: &Value, said: &Said, json: bool) -> ExitCode {
    if json {
        say(&body.to_string());
    } else {
        for one in said.says.iter().filter(|one| said.refused.as_ref() != Some(one)) {
            say(one);
        }
        if let Some(refused) = &said.refused {
            complain(&format!("evenkeel: {refused}"));
        }
    }
    if said.refused.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Who asks, where nobody says it: the name by which the machine knows them.
#[expect(clippy::disallowed_methods, reason = "the edge: the environment says who sits here")]
pub(crate) fn whoever() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|name| !name.is_empty())
}

/// A request about a fleet's roll.
pub(crate) fn roll_request(fleet: &FleetName, verb: &str, pool: Option<&str>, by: Option<String>) -> Value {
    let mut request = json!({ "fleet": fleet, "roll": verb });
    if let Some(pool) = pool {
        request["pool"] = json!(pool);
    }
    if let Some(by) = by {
        request["by"] = json!(by);
    }
    request
}
