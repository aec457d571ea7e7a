//! The page's data, from the ledger alone.

use std::sync::Arc;

use evenkeel_model::fleet::{Format, read};
use evenkeel_model::view::{DecisionView, View};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_turn::ledger::{Item, Key};
use evenkeel_turn::ports::Ledger;
use evenkeel_turn::{feed_key, good_file_key, view_key};

use crate::{Source, SourceError};

const FUNCTIONS: [FunctionName; 3] = [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll];

/// What the functions' turns saved of one fleet.
#[derive(Debug)]
pub struct FromLedger<L> {
    ledger: Arc<L>,
    fleet: FleetName,
}

impl<L> Clone for FromLedger<L> {
    fn clone(&self) -> Self {
        Self { ledger: Arc::clone(&self.ledger), fleet: self.fleet.clone() }
    }
}

impl<L: Ledger> FromLedger<L> {
    /// The page of `fleet`.
    #[must_use]
    pub const fn new(ledger: Arc<L>, fleet: FleetName) -> Self {
        Self { ledger, fleet }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, SourceError> {
        self.ledger.get(keys).await.map_err(|error| SourceError::Unavailable(error.to_string()))
    }

    async fn view_of(&self, function: FunctionName) -> Result<Option<Arc<str>>, SourceError> {
        let found = self.get(&[view_key(&self.fleet, function)]).await?;
        Ok(found.into_iter().flatten().next().map(|item| Arc::from(item.body)))
    }
}

impl<L: Ledger + Send + 'static> Source for FromLedger<L> {
    async fn view(&self) -> Result<Arc<str>, SourceError> {
        let keys = FUNCTIONS.map(|function| [view_key(&self.fleet, function), feed_key(&self.fleet, function)]);
        let mut keys = keys.concat();
        keys.push(good_file_key(&self.fleet));
        let found = self.get(&keys).await?;
        let [tasks, _, hosts, _, patch, _, file] = found.as_slice() else { return Err(SourceError::NothingYet) };
        let mut view = match tasks {
            Some(item) => parse(item)?,
            // A fleet without a cluster has no tasks to show, only hosts and decisions.
            None => {
                let seen = [hosts, patch].into_iter().flatten().filter_map(seen_at).max();
                let file = file.as_ref().and_then(|item| read(&item.body, Format::of(item.body.as_bytes())).ok());
                let file = file.filter(|file| file.cluster.is_none());
                file.zip(seen).map(|(file, at)| View::empty(&file, at)).ok_or(SourceError::NothingYet)?
            }
        };
        for feed in found.iter().skip(1).step_by(2).take(FUNCTIONS.len()).flatten() {
            view.decisions.extend(parse::<Vec<DecisionView>>(feed)?);
        }
        view.decisions.sort_by_key(|one| std::cmp::Reverse(one.decision.at));
        view.decisions.truncate(View::MOST_DECISIONS);
        serde_json::to_string(&view).map(Arc::from).map_err(|error| SourceError::Unavailable(error.to_string()))
    }

    async fn backfill(&self) -> Result<Option<Arc<str>>, SourceError> {
        self.view_of(FunctionName::Backfill).await
    }

    async fn patch(&self) -> Result<Option<Arc<str>>, SourceError> {
        self.view_of(FunctionName::Patchroll).await
    }

    async fn history(&self) -> Result<Arc<str>, SourceError> {
        // The ledger keeps the newest view only; the page draws what it has seen since it was opened.
        Ok(Arc::from("[]"))
    }
}

fn parse<T: serde::de::DeserializeOwned>(item: &Item) -> Result<T, SourceError> {
    serde_json::from_str(&item.body).map_err(|error| SourceError::Unavailable(format!("not understood: {error}")))
}

fn seen_at(item: &Item) -> Option<Timestamp> {
    let view: serde_json::Value = serde_json::from_str(&item.body).ok()?;
    view["at"].as_str()?.parse().ok()
}
