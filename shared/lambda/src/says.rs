//! What a request by hand is answered, in sentences.

use evenkeel_model::FunctionName;
use evenkeel_model::report::{RollWait, Wait};
use evenkeel_model::trigger::{BackfillVerb, Request};
use evenkeel_turn::{InWords, Outlook, Summary};
use serde_json::Value;

/// Sentences for a turn that somebody asked for: what was asked is done, what follows from it, and what is waited for.
pub(crate) fn of_turn(request: &Request, summary: &Summary) -> Vec<String> {
    let mut says = Vec::new();
    match request {
        Request::Demand(amounts) => {
            says.extend(
                amounts.iter().map(|(service, amount)| format!("the demand of {service} is {} now", amount.get())),
            );
        }
        Request::Backfill(BackfillVerb::Hold) => {
            says.push("no on-demand host is given back before somebody asks to release".to_owned());
        }
        Request::Backfill(BackfillVerb::Release) => {
            says.push("on-demand hosts without a reason are given back again".to_owned());
        }
        Request::Backfill(BackfillVerb::Retry) => {
            says.push("pools that refused launches are tried again at once".to_owned());
        }
        Request::Backfill(BackfillVerb::Status | BackfillVerb::Plan)
        | Request::Microscale(_)
        | Request::Roll { .. } => {}
    }
    if !summary.held {
        says.push(format!("another turn of {} is under way, and takes this up before it ends", summary.function));
        return says;
    }
    says.extend(refusal(summary));
    says.extend(summary.decisions.iter().map(ToString::to_string));
    if summary.decisions.is_empty() && refusal(summary).is_none() {
        says.push("nothing had to be changed for it".to_owned());
    }
    says.extend(waits(&summary.report.waits));
    if summary.unfinished {
        says.push("there was no time left to look again: the next turn goes on".to_owned());
    }
    says
}

/// Why what was asked for was not done, if so.
pub(crate) fn refusal(summary: &Summary) -> Option<String> {
    summary.report.waits.iter().find_map(refused)
}

fn refused(wait: &Wait) -> Option<String> {
    let Wait::Roll(refused @ RollWait::Refused { .. }) = wait else { return None };
    Some(refused.to_string())
}

/// Sentences for what a turn would do, after how things are.
pub(crate) fn of_outlook<S>(outlook: &Outlook<S>, view: &impl InWords) -> Vec<String> {
    let mut says = view.in_words();
    let steps = outlook.steps.iter().map(|planned| format!("a turn now would: {}: {}", planned.step, planned.why));
    says.extend(steps);
    if outlook.steps.is_empty() {
        says.push("a turn now would change nothing".to_owned());
    }
    says.extend(waits(&outlook.report.waits));
    says
}

fn waits(waits: &[Wait]) -> impl Iterator<Item = String> {
    waits.iter().filter(|wait| refused(wait).is_none()).map(|wait| format!("waits: {wait}"))
}

/// A view without the tasks of each host: nobody asks for those by hand, and they are most of it.
pub(crate) fn brief(mut view: Value) -> Value {
    if let Some(hosts) = view["hosts"].as_array_mut() {
        for host in hosts.iter_mut().filter_map(Value::as_object_mut) {
            host.remove("tasks");
        }
    }
    view
}

/// Why a request leads to nothing at a function, and what to do instead.
pub(crate) fn misdirected(request: &Request, fleet: &str, function: &str, served: &[&str]) -> String {
    let (meant, word) = match request {
        Request::Demand(_) => (FunctionName::Microscale, "demand"),
        Request::Microscale(_) => (FunctionName::Microscale, "microscale"),
        Request::Backfill(_) => (FunctionName::Backfill, "backfill"),
        Request::Roll { .. } => (FunctionName::Patchroll, "roll"),
    };
    if !served.contains(&fleet) {
        let served = if served.is_empty() { "none".to_owned() } else { served.join(", ") };
        return format!(
            "fleet {fleet} is not served here: the fleets of this function are {served}; name one of them, or run `infra/deploy` with \
             the file of {fleet}"
        );
    }
    if meant.to_string() == function {
        return format!(
            "fleet {fleet} has nothing for {function} to do: its file lacks {}; add that and run `infra/deploy`",
            match meant {
                FunctionName::Microscale => "services",
                FunctionName::Backfill => "the section [backfill]",
                FunctionName::Patchroll => "the section [patch]",
            }
        );
    }
    format!("`{word}` is asked of {meant}, and this is {function}: invoke the function whose name ends with -{meant}")
}
