//! What a function is to the one loop: what it remembers, sees, decides and does.

use std::future::Future;
use std::time::Duration;

use evenkeel_model::decision::{Outcome, Planned};
use evenkeel_model::report::Report;
use evenkeel_model::{Fleet, FunctionName, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::account::Looked;
use crate::board::{Board, Tell};
use crate::budget::Budget;
use crate::cluster::Memory;
use crate::ports::Answer;
use crate::view::Snapshot;

/// What differs between the functions: how they look, think and act. Everything else is [`run`](crate::run).
pub trait Function<P>: Sync {
    /// The function's name in ledger keys and decisions.
    const NAME: FunctionName;
    /// What it remembers from turn to turn. Unknown fields are kept, so that an older version loses nothing.
    type State: Remembers + Clone + PartialEq + Serialize + DeserializeOwned + Default + Send + Sync;
    /// What it sees.
    type Seen: Send + Sync;
    /// What it shows.
    type View: Snapshot + Send;

    /// Looks at the world with the fewest calls; `memory` is what this process has seen before.
    fn observe(
        &self,
        given: &Given<'_, Self::State>,
        ports: &P,
        deadline: Timestamp,
        memory: &Memory,
    ) -> impl Future<Output = Answer<Self::Seen>> + Send;

    /// Decides. Pure: the same arguments give the same plan.
    fn plan(&self, given: &Given<'_, Self::State>, seen: &Self::Seen) -> Outlook<Self::State>;

    /// Takes one step.
    fn apply(&self, fleet: &Fleet, planned: &Planned, ports: &P) -> impl Future<Output = Answer<()>> + Send;

    /// Notes in the state what became of a step.
    fn settle(&self, state: &mut Self::State, applied: &Applied<'_>);

    /// What another function should know, where it is news.
    fn tells(&self, _given: &Given<'_, Self::State>, _outlook: &Outlook<Self::State>) -> Option<Tell> {
        None
    }

    /// What a turn that only observes takes into account, for the scorecard; `planned` are the steps that are not taken.
    fn looked(
        &self,
        _given: &Given<'_, Self::State>,
        _seen: &Self::Seen,
        _outlook: &Outlook<Self::State>,
        _planned: &[Planned],
    ) -> Option<Looked> {
        None
    }

    /// The snapshot for the page, without its decisions.
    fn view(
        &self,
        given: &Given<'_, Self::State>,
        seen: &Self::Seen,
        outlook: &Outlook<Self::State>,
    ) -> Option<Self::View>;
}

/// What a function remembers from turn to turn.
pub trait Remembers {
    /// It was not written again, because nothing but the times of its newest samples changed until `at`.
    fn still(&mut self, at: Timestamp);

    /// It is the state of a plan whose steps are not taken, because the function only observes: what it has decided is again
    /// as it was `before`, and only what was seen is new. So it believes of no step that it was taken.
    fn observed(&mut self, before: &Self);

    /// The function acts from now on, and has only observed until then: what is there was right for somebody, so every dwell
    /// begins anew before anything is lowered.
    fn takes_over(&mut self);
}

/// What a function is given to decide with, besides what it sees.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a, S> {
    /// The fleet file in force.
    pub fleet: &'a Fleet,
    /// The state that the last turn saved.
    pub state: &'a S,
    /// What others left in the ledger.
    pub board: &'a Board,
    /// When the world is looked at; the plan is made for the same moment.
    pub now: Timestamp,
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
    /// The disruption budget, where it changes: written together with the decisions, before any step.
    pub budget: Option<Budget>,
    /// When to look again, from now on, besides the ticks.
    pub wakes: Vec<Duration>,
}

/// A step and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The step.
    pub planned: &'a Planned,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// When it was over.
    pub at: Timestamp,
}
