//! What the functions see on an account now, and what they would do, by their own code: nothing deployed is needed, and
//! nothing is changed.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use evenkeel_backfill::{Backfill, Seen};
use evenkeel_microscale::Microscale;
use evenkeel_model::decision::Planned;
use evenkeel_model::observed::{Observed, Signal};
use evenkeel_model::report::Report;
use evenkeel_model::trigger::{BackfillVerb, Manual, MicroscaleVerb, Request, RollVerb, Trigger};
use evenkeel_model::{AlarmName, Fleet, InstanceId, Timestamp};
use evenkeel_patchroll::{PatchView, Patchroll};
use evenkeel_turn::ledger::LedgerError;
use evenkeel_turn::ports::{Answer, Ledger, PortError};
use evenkeel_turn::{
    Board, FleetCache, FleetError, Function, Given, HandleError, Handled, Limits, Memory, Outlook, Remembers,
    TurnError, look,
};
use serde::{Deserialize, Serialize};

use super::{Draft, Looking, Place, Reads, Trouble};

/// A person waits longer than a function may.
const LIMITS: Limits = Limits { budget: Duration::from_secs(120), lease: Duration::from_secs(120) };
/// A first look at very many tasks goes on where the one before ended; so many would be a million.
const MOST_LOOKS: usize = 100;

/// An account as each of the functions asks about it.
pub(crate) struct Eyes<R> {
    pub(crate) microscale: R,
    pub(crate) backfill: R,
    pub(crate) patchroll: R,
}

/// What a function would do now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thought {
    pub(crate) steps: Vec<Planned>,
    pub(crate) report: Report,
    /// The waves of a roll.
    pub(crate) waves: Vec<Vec<InstanceId>>,
}

/// What the functions would do now; none for those that the fleet file gives nothing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thoughts {
    pub(crate) at: Timestamp,
    pub(crate) microscale: Option<Thought>,
    pub(crate) backfill: Option<Thought>,
    pub(crate) patchroll: Option<Thought>,
    /// What patchroll would do if somebody started a roll.
    pub(crate) roll: Option<Thought>,
}

/// What the functions would do now on a fleet whose file is `text`, with what `ledger` remembers of it.
pub(crate) async fn think<R: Reads + Ledger>(
    eyes: &Eyes<R>,
    (fleet, text): (&Fleet, &str),
    ledger: Option<&R>,
    place: &Place,
) -> Result<Thoughts> {
    let looking = |reads| Looking { reads, ledger: Draft::over(ledger), text };
    let (tasks, hosts, rolls) = (looking(&eyes.microscale), looking(&eyes.backfill), looking(&eyes.patchroll));
    let [for_tasks, for_hosts, for_rolls] = [(); 3].map(|()| FleetCache::new(fleet.name.clone()));
    let asks = |request| Trigger::Manual(Manual { at: None, fleet: fleet.name.clone(), request, id: None });
    let at = eyes.microscale.now();
    let microscale = match &fleet.cluster {
        None => None,
        Some(_) => {
            let trigger = asks(Request::Microscale(MicroscaleVerb::Plan));
            let handle = || Microscale.handle(&tasks, &for_tasks, &trigger, "", LIMITS);
            thought(handle, "asked what microscale would do", place).await?.map(|(outlook, _)| without_waves(outlook))
        }
    };
    let trigger = asks(Request::Backfill(BackfillVerb::Plan));
    let handle = || Backfill.handle(&hosts, &for_hosts, &trigger, "", LIMITS);
    let backfill = thought(handle, "asked what backfill would do", place).await?;
    let backfill = backfill.map(|(outlook, _)| without_waves(outlook));
    let mut patch = Vec::new();
    for (verb, tried) in
        [(RollVerb::Status, "asked what patchroll would do"), (RollVerb::Plan, "asked what a roll would do")]
    {
        let trigger = asks(Request::Roll { verb, pool: None, by: None });
        let handle = || Patchroll.handle(&rolls, &for_rolls, &trigger, "", LIMITS);
        patch.push(thought(handle, tried, place).await?.map(|(outlook, view)| with_waves(outlook, view)));
    }
    let roll = patch.pop().flatten();
    Ok(Thoughts { at, microscale, backfill, patchroll: patch.pop().flatten(), roll })
}

fn without_waves<S>(outlook: Outlook<S>) -> Thought {
    Thought { steps: outlook.steps, report: outlook.report, waves: Vec::new() }
}

fn with_waves<S>(outlook: Outlook<S>, view: Option<PatchView>) -> Thought {
    Thought { waves: view.map(|view| view.waves).unwrap_or_default(), ..without_waves(outlook) }
}

/// Asks until everything is seen.
async fn thought<S, V, F>(handle: impl Fn() -> F, tried: &str, place: &Place) -> Result<Option<(Outlook<S>, V)>>
where
    F: Future<Output = Result<Handled<S, V>, HandleError>>,
{
    for _ in 0..MOST_LOOKS {
        match handle().await {
            Ok(Handled::Planned(planned)) => return Ok(Some(*planned)),
            Ok(Handled::NotForUs | Handled::Refused(_) | Handled::Turned(_)) => return Ok(None),
            Err(HandleError::Turn(TurnError::Observe(PortError::Unfinished { .. }))) => {}
            Err(error) => return Err(trouble(error, tried, place)),
        }
    }
    Err(anyhow::anyhow!("{tried}: there are more tasks than {MOST_LOOKS} looks can see"))
}

/// What to do about it, where a call failed.
fn trouble(error: HandleError, tried: &str, place: &Place) -> anyhow::Error {
    match error {
        HandleError::Turn(TurnError::Observe(error)) | HandleError::Fleet(FleetError::Unread { source: error, .. }) => {
            Trouble::unseen(error, tried.to_owned(), place).into()
        }
        HandleError::Turn(TurnError::Ledger(LedgerError::Port(error)))
        | HandleError::Fleet(FleetError::Ledger { source: LedgerError::Port(error), .. }) => {
            Trouble::of(error, tried.to_owned(), "dynamodb:BatchGetItem and dynamodb:Query", place).into()
        }
        HandleError::Fleet(FleetError::Invalid { .. } | FleetError::Misnamed { .. } | FleetError::Ledger { .. })
        | HandleError::Turn(TurnError::Ledger(_) | TurnError::LeaseLost | TurnError::Stored { .. })
        | HandleError::Publish(_) => anyhow::Error::from(error).context(tried.to_owned()),
    }
}

/// What the functions see of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sight {
    /// When it was asked for.
    pub(crate) at: Timestamp,
    /// The fleet file, as JSON.
    pub(crate) fleet: serde_json::Value,
    /// What microscale sees; none for a fleet without a cluster, or where that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) microscale: Option<Observed>,
    /// What backfill sees.
    pub(crate) backfill: Seen,
    /// The alarms that stop a roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) halts: BTreeMap<AlarmName, Signal>,
    /// What could not be read, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unread: BTreeMap<String, String>,
}

/// Looks once.
pub(crate) async fn see<R: Reads + Ledger>(
    eyes: &Eyes<R>,
    (fleet, text): (&Fleet, &str),
    place: &Place,
) -> Result<Sight> {
    let looking = |reads| Looking { reads, ledger: Draft::over(None), text };
    let (tasks, hosts, rolls) = (looking(&eyes.microscale), looking(&eyes.backfill), looking(&eyes.patchroll));
    let at = eyes.microscale.now();
    let deadline = at + LIMITS.budget;
    let tried = |what: &str| format!("looked at {what} of fleet {}", fleet.name);
    let backfill: Seen = watch(&Backfill, fleet, &hosts)
        .await
        .map_err(|error| Trouble::unseen(error, tried("the groups and the cluster"), place))?;
    let mut unread: BTreeMap<String, String> =
        backfill.unread.iter().map(|(source, because)| (source.to_string(), because.clone())).collect();
    let microscale = match &fleet.cluster {
        None => None,
        Some(_) => match watch(&Microscale, fleet, &tasks).await {
            Ok(seen) => Some(seen),
            // Nothing else is worth showing for a cluster that is not there.
            Err(error @ PortError::NotFound(_)) => {
                return Err(Trouble::unseen(error, tried("the cluster"), place).into());
            }
            Err(error) => {
                unread.insert("tasks and services".to_owned(), error.to_string());
                None
            }
        },
    };
    let halts = fleet.patch.as_ref().map_or(&[][..], |patch| &patch.halt_alarms);
    let halts = look::alarms(halts, &rolls, deadline).await;
    let signals =
        microscale.iter().flat_map(|seen| seen.demand.iter().map(|(name, signal)| (name.to_string(), signal)));
    let alarms = backfill.alarms.iter().chain(&halts).map(|(name, signal)| (format!("alarm {name}"), signal));
    for (name, signal) in signals.map(|(name, signal)| (format!("demand of {name}"), signal)).chain(alarms) {
        if let Signal::Unknown(because) = signal {
            unread.insert(name, because.clone());
        }
    }
    Ok(Sight { at, fleet: serde_json::to_value(fleet)?, microscale, backfill, halts, unread })
}

/// What a function sees, with nothing remembered.
async fn watch<'a, R, F>(function: &F, fleet: &Fleet, looking: &Looking<'a, R>) -> Answer<F::Seen>
where
    R: Reads + Ledger,
    F: Function<Looking<'a, R>>,
    F::State: Remembers,
{
    let (state, board, memory) = (F::State::default(), Board::default(), Memory::new());
    let mut rounds = 0;
    loop {
        let now = looking.reads.now();
        let given = Given { fleet, state: &state, board: &board, now };
        rounds += 1;
        match function.observe(&given, looking, now + LIMITS.budget, &memory).await {
            Err(PortError::Unfinished { .. }) if rounds < MOST_LOOKS => {}
            seen => return seen,
        }
    }
}
