//! The one loop: claim, observe, plan, record, apply, save, give back.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use evenkeel_model::decision::{Decision, Outcome, Planned};
use evenkeel_model::report::Report;
use evenkeel_model::view::{DecisionView, View};
use evenkeel_model::{Fleet, FleetName, FunctionName, ServiceName, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lease::{Claim, Handover, Lease};
use crate::ledger::{Expect, Item, Key, LedgerError, Write};
use crate::ports::{Answer, Clock, Ledger, PortError};
use crate::retry;

/// Decisions are kept for 14 days: long enough to ask what happened last week.
const DECISIONS_LAST: Duration = Duration::from_hours(14 * 24);
/// A holder that is woken again and again gives the lease back after so many turns: the next wake-up takes over.
const MOST_ROUNDS: usize = 3;

/// What differs between the functions: how they look, think and act. Everything else is [`run`].
pub trait Function<P>: Sync {
    /// The function's name in ledger keys and decisions.
    const NAME: FunctionName;
    /// What it remembers from turn to turn. Unknown fields are kept, so that an older version loses nothing.
    type State: Serialize + DeserializeOwned + Default + Send + Sync;
    /// What it sees.
    type Seen: Send + Sync;

    /// Looks at the world with the fewest calls.
    fn observe(
        &self,
        given: &Given<'_, Self::State>,
        ports: &P,
        deadline: Timestamp,
    ) -> impl Future<Output = Answer<Self::Seen>> + Send;

    /// Decides. Pure: the same arguments give the same plan.
    fn plan(&self, given: &Given<'_, Self::State>, seen: &Self::Seen) -> Outlook<Self::State>;

    /// Takes one step.
    fn apply(&self, fleet: &Fleet, planned: &Planned, ports: &P) -> impl Future<Output = Answer<()>> + Send;

    /// Notes in the state what became of a step.
    fn settle(&self, state: &mut Self::State, applied: &Applied<'_>);

    /// The snapshot for the page, without its decisions.
    fn view(&self, given: &Given<'_, Self::State>, seen: &Self::Seen, outlook: &Outlook<Self::State>) -> Option<View>;
}

/// What a function is given to decide with, besides what it sees.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a, S> {
    /// The fleet file in force.
    pub fleet: &'a Fleet,
    /// The state that the last turn saved.
    pub state: &'a S,
    /// Demand that applications sent.
    pub pushed: &'a BTreeMap<ServiceName, Pushed>,
    /// When the turn began.
    pub now: Timestamp,
}

/// A demand value that an application sent with a manual request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    /// The value, in the service's own unit.
    pub value: f64,
    /// When it was true.
    pub at: Timestamp,
}

/// A plan with what it waits for and what to remember.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook<S> {
    /// The steps in order.
    pub steps: Vec<Planned>,
    /// What could not be done, or not yet.
    pub report: Report,
    /// What to remember, the intended steps included.
    pub state: S,
}

/// A step and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The step.
    pub planned: &'a Planned,
    /// What became of it.
    pub outcome: &'a Outcome,
}

/// How long a turn may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After this no new step is begun.
    pub budget: Duration,
    /// The lease's length: a little over the function's timeout, so that a killed holder is known to be dead.
    pub lease: Duration,
}

/// What a turn did: one line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The fleet.
    pub fleet: FleetName,
    /// The function.
    pub function: FunctionName,
    /// False when another turn had the lease: it was marked to go again.
    pub held: bool,
    /// How often the world was looked at.
    pub rounds: usize,
    /// All decisions with their outcomes.
    pub decisions: Vec<Decision>,
    /// What the last round waited for.
    pub report: Report,
    /// The fleet file's newest text was refused, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_file_refused: Option<String>,
}

/// Why a turn ended without saving.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The world could not be looked at.
    #[error("not observed")]
    Observe(#[source] PortError),
    /// The ledger could not be read or written.
    #[error("ledger not available")]
    Ledger(#[source] LedgerError),
    /// Another turn took the lease over while this one was thought dead.
    #[error("lease lost to a later turn")]
    LeaseLost,
    /// A stored item is not what this version can read.
    #[error("item {key} not understood")]
    Stored {
        /// Its sort key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl From<LedgerError> for TurnError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<PortError> for TurnError {
    fn from(error: PortError) -> Self {
        Self::Ledger(error.into())
    }
}

/// Notes demand that an application sent; the next turn of microscale reads it. Older values than the kept ones are
/// dropped, so that a late or doubled request changes nothing.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn push_demand<P: Ledger>(
    ports: &P,
    fleet: &FleetName,
    values: &BTreeMap<ServiceName, Pushed>,
) -> Result<(), TurnError> {
    let key = pushed_key(fleet);
    loop {
        let found = ports.get(std::slice::from_ref(&key)).await?.pop().flatten();
        let mut kept: BTreeMap<ServiceName, Pushed> = parse(&key, found.as_ref())?.unwrap_or_default();
        for (service, value) in values {
            let newest = kept.entry(service.clone()).or_insert(*value);
            if newest.at < value.at {
                *newest = *value;
            }
        }
        let write = Write::put(key.clone(), to_json(&key, &kept)?, Expect::same(found.as_ref()));
        match ports.write(vec![write]).await {
            Err(LedgerError::Conflict) => {}
            done => return Ok(done?),
        }
    }
}

/// Takes a turn of `function` for `fleet`; `holder` is a name that no other turn has.
///
/// # Errors
/// [`TurnError`] when nothing could be decided or saved; steps that failed are in the summary instead.
pub async fn run<P, F>(
    function: &F,
    ports: &P,
    fleet: &Fleet,
    holder: &str,
    limits: Limits,
) -> Result<Summary, TurnError>
where
    P: Clock + Ledger,
    F: Function<P>,
{
    let started = ports.now();
    let deadline = started + limits.budget;
    let turn = Turn { function, ports, fleet, deadline };
    let lease_key = Lease::key(&fleet.name, F::NAME);
    let mut found = turn.read(&lease_key).await?;
    let mut summary = Summary {
        fleet: fleet.name.clone(),
        function: F::NAME,
        held: true,
        rounds: 0,
        decisions: Vec::new(),
        report: Report::default(),
        fleet_file_refused: None,
    };
    let claim = Lease::claim(ports, &lease_key, found.lease.take(), holder, started, limits.lease).await?;
    let Claim::Held(mut lease) = claim else {
        summary.held = false;
        return Ok(summary);
    };
    loop {
        summary.rounds += 1;
        let writes = turn.round(&found, lease.epoch(), &mut summary).await?;
        let may_go_again = summary.rounds < MOST_ROUNDS && ports.now() < deadline;
        match lease.hand_over(ports, writes).await? {
            Handover::Done => return Ok(summary),
            Handover::Lost => return Err(TurnError::LeaseLost),
            Handover::Again(ours) => lease = ours,
        }
        if !may_go_again {
            // Woken faster than it can look: the next tick or beat goes on from here.
            return match lease.hand_over(ports, Vec::new()).await? {
                Handover::Done | Handover::Again(_) => Ok(summary),
                Handover::Lost => Err(TurnError::LeaseLost),
            };
        }
        found = turn.read(&lease_key).await?;
    }
}

/// Looks and plans, and changes nothing, not even the lease.
///
/// # Errors
/// [`TurnError`] when the world or the ledger could not be read.
pub async fn dry_run<P, F>(
    function: &F,
    ports: &P,
    fleet: &Fleet,
    limits: Limits,
) -> Result<(Outlook<F::State>, Option<View>), TurnError>
where
    P: Clock + Ledger,
    F: Function<P>,
{
    let deadline = ports.now() + limits.budget;
    let turn = Turn { function, ports, fleet, deadline };
    let found = turn.read(&Lease::key(&fleet.name, F::NAME)).await?;
    let known = turn.known(&found)?;
    let given = known.given(fleet, ports.now());
    let seen = function.observe(&given, ports, deadline).await.map_err(TurnError::Observe)?;
    let outlook = function.plan(&given, &seen);
    let view = function.view(&given, &seen, &outlook);
    Ok((outlook, view))
}

struct Turn<'a, P, F> {
    function: &'a F,
    ports: &'a P,
    fleet: &'a Fleet,
    deadline: Timestamp,
}

/// What a round reads of the ledger, in one call.
struct Found {
    lease: Option<Item>,
    state: Option<Item>,
    pushed: Option<Item>,
}

/// What the ledger knows.
struct Known<S> {
    state: S,
    pushed: BTreeMap<ServiceName, Pushed>,
}

impl<S> Known<S> {
    const fn given<'a>(&'a self, fleet: &'a Fleet, now: Timestamp) -> Given<'a, S> {
        Given { fleet, state: &self.state, pushed: &self.pushed, now }
    }
}

impl<P: Clock + Ledger, F: Function<P>> Turn<'_, P, F> {
    async fn read(&self, lease: &Key) -> Result<Found, TurnError> {
        let name = &self.fleet.name;
        let keys = [lease.clone(), state_key(name, F::NAME), pushed_key(name)];
        let items = retry(self.ports, self.deadline, || self.ports.get(&keys)).await?;
        let mut items = items.into_iter();
        let mut next = || items.next().flatten();
        Ok(Found { lease: next(), state: next(), pushed: next() })
    }

    fn known(&self, found: &Found) -> Result<Known<F::State>, TurnError> {
        let name = &self.fleet.name;
        let state = parse(&state_key(name, F::NAME), found.state.as_ref())?.unwrap_or_default();
        let pushed = parse(&pushed_key(name), found.pushed.as_ref())?.unwrap_or_default();
        Ok(Known { state, pushed })
    }

    /// One look at the world and what follows from it. Gives the writes that are left for the end.
    async fn round(&self, found: &Found, epoch: u64, summary: &mut Summary) -> Result<Vec<Write>, TurnError> {
        let name = &self.fleet.name;
        let key = state_key(name, F::NAME);
        let known = self.known(found)?;
        let now = self.ports.now();
        let given = known.given(self.fleet, now);
        let seen = self.function.observe(&given, self.ports, self.deadline).await.map_err(TurnError::Observe)?;
        let mut outlook = self.function.plan(&given, &seen);
        let mut writes = Vec::new();
        let mut expect = Expect::same(found.state.as_ref());
        if !outlook.steps.is_empty() {
            let record = Record::new(F::NAME, name, now, epoch, &outlook.steps);
            let intent = Write::put(key.clone(), to_json(&key, &outlook.state)?, expect);
            self.record(vec![record.write(now)?, intent]).await?;
            expect = Expect::Version(found.state.as_ref().map_or(0, |item| item.version) + 1);
            let record = self.apply(record, &mut outlook).await;
            writes.push(record.write(now)?);
            writes.push(self.feed(&record).await?);
            summary.decisions.extend(record.decisions);
        }
        if let Some(view) = self.function.view(&given, &seen, &outlook) {
            let key = view_key(name);
            let body = to_json(&key, &view)?;
            writes.push(Write::put(key, body, Expect::Anything));
        }
        writes.push(Write::put(key.clone(), to_json(&key, &outlook.state)?, expect));
        summary.report = outlook.report;
        Ok(writes)
    }

    /// Writes the decisions before anything is done. Only a throttled write is tried again: one whose answer was lost
    /// may have been taken, and then the next turn re-plans from it.
    async fn record(&self, writes: Vec<Write>) -> Result<(), TurnError> {
        match self.ports.write(writes.clone()).await {
            Err(LedgerError::Port(PortError::Throttled)) => Ok(self.ports.write(writes).await?),
            done => Ok(done?),
        }
    }

    async fn apply(&self, mut record: Record, outlook: &mut Outlook<F::State>) -> Record {
        for index in 0..outlook.steps.len() {
            let planned = &outlook.steps[index];
            let unmet = planned.needs.iter().any(|&need| record.decisions[need].outcome != Outcome::Done);
            let outcome = if unmet {
                Outcome::Left("a step that must come first was not done".to_owned())
            } else if self.ports.now() >= self.deadline {
                Outcome::Left("the turn's time is over".to_owned())
            } else {
                let call = || self.function.apply(self.fleet, planned, self.ports);
                match retry(self.ports, self.deadline, call).await {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            };
            self.function.settle(&mut outlook.state, &Applied { planned, outcome: &outcome });
            record.decisions[index].outcome = outcome;
        }
        record
    }

    /// The page's feed with these decisions in front.
    async fn feed(&self, record: &Record) -> Result<Write, TurnError> {
        let key = feed_key(&self.fleet.name);
        let found = retry(self.ports, self.deadline, || self.ports.get(std::slice::from_ref(&key))).await?;
        let old: Vec<DecisionView> = parse(&key, found.first().and_then(Option::as_ref))?.unwrap_or_default();
        let new = record.decisions.iter().rev().cloned().map(DecisionView::from);
        let feed: Vec<DecisionView> = new.chain(old).take(View::MOST_DECISIONS).collect();
        let body = to_json(&key, &feed)?;
        Ok(Write::put(key, body, Expect::Anything))
    }
}

/// The decisions of one round, as one item.
struct Record {
    key: Key,
    decisions: Vec<Decision>,
}

impl Record {
    fn new(function: FunctionName, fleet: &FleetName, at: Timestamp, epoch: u64, steps: &[Planned]) -> Self {
        let decide = |planned: &Planned| Decision {
            at,
            function,
            step: planned.step.clone(),
            why: planned.why.clone(),
            outcome: Outcome::Undone,
        };
        let key = Key::of(fleet, "decision", format_args!("{at:.3}#{function}-{epoch}"));
        Self { key, decisions: steps.iter().map(decide).collect() }
    }

    fn write(&self, now: Timestamp) -> Result<Write, TurnError> {
        let body = to_json(&self.key, &self.decisions)?;
        let expires = Some(now + DECISIONS_LAST);
        Ok(Write { key: self.key.clone(), body: Some(body), expect: Expect::Anything, expires })
    }
}

fn state_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::of(fleet, "state", function)
}

fn pushed_key(fleet: &FleetName) -> Key {
    Key::only(fleet, "pushed-demand")
}

/// The key of the newest decisions, which the page shows below the view.
#[must_use]
pub fn feed_key(fleet: &FleetName) -> Key {
    Key::only(fleet, "feed")
}

/// The key of the snapshot that the page shows.
#[must_use]
pub fn view_key(fleet: &FleetName) -> Key {
    Key::only(fleet, "view")
}

fn parse<T: DeserializeOwned>(key: &Key, item: Option<&Item>) -> Result<Option<T>, TurnError> {
    item.map(|item| serde_json::from_str(&item.body))
        .transpose()
        .map_err(|source| TurnError::Stored { key: key.sort.clone(), source })
}

fn to_json<T: Serialize>(key: &Key, value: &T) -> Result<String, TurnError> {
    serde_json::to_string(value).map_err(|source| TurnError::Stored { key: key.sort.clone(), source })
}
