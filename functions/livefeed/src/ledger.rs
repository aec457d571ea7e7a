//! The page's data, from the ledger alone.

use std::sync::Arc;

use evenkeel_model::fleet::{Format, read};
use evenkeel_model::view::View;
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_turn::ledger::{Item, Key};
use evenkeel_turn::ports::Ledger;
use evenkeel_turn::{feed_key, good_file_key, lease_key, put_together, rest_of, shown, view_key};
use serde_json::Value;

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
        let found = self.get(&[view_key(&self.fleet, function), lease_key(&self.fleet, function)]).await?;
        let [Some(item), lease] = found.as_slice() else { return Ok(None) };
        let mut view = shown(item, lease.as_ref()).map_err(not_understood)?;
        self.read_rest(&mut view, function).await?;
        Ok(Some(Arc::from(view.to_string())))
    }

    /// Adds what of a large view is in other items.
    async fn read_rest(&self, view: &mut Value, function: FunctionName) -> Result<(), SourceError> {
        let keys = rest_of(view, &self.fleet, function);
        if !keys.is_empty() {
            put_together(view, &self.get(&keys).await?);
        }
        Ok(())
    }
}

impl<L: Ledger + Send + 'static> Source for FromLedger<L> {
    async fn view(&self) -> Result<Arc<str>, SourceError> {
        let of = |key: fn(&FleetName, FunctionName) -> Key| FUNCTIONS.map(|function| key(&self.fleet, function));
        let mut keys = [of(view_key), of(lease_key), of(feed_key)].concat();
        keys.push(good_file_key(&self.fleet));
        let found = self.get(&keys).await?;
        let [views @ .., file] = found.as_slice() else { return Err(SourceError::NothingYet) };
        let (views, others) = views.split_at(FUNCTIONS.len());
        let (leases, feeds) = others.split_at(FUNCTIONS.len());
        let view_of = |number: usize| {
            let item = views[number].as_ref()?;
            Some(shown(item, leases[number].as_ref()).map_err(not_understood))
        };
        // Passed on as they were saved: a later version may have words that this one does not know.
        let mut view = match view_of(0) {
            Some(shown) => {
                let mut view = shown?;
                self.read_rest(&mut view, FunctionName::Microscale).await?;
                view
            }
            // A fleet without a cluster has no tasks to show, only hosts and decisions.
            None => {
                let seen = (1..FUNCTIONS.len()).filter_map(view_of).flatten().filter_map(|view| seen_at(&view)).max();
                let file = file.as_ref().and_then(|item| read(&item.body, Format::of(item.body.as_bytes())).ok());
                let file = file.filter(|file| file.cluster.is_none());
                let (file, at) = file.zip(seen).ok_or(SourceError::NothingYet)?;
                serde_json::to_value(View::empty(&file, at)).map_err(not_understood)?
            }
        };
        let mut decisions: Vec<Value> = Vec::new();
        for feed in feeds.iter().flatten() {
            decisions.extend(serde_json::from_str::<Vec<Value>>(&feed.body).map_err(not_understood)?);
        }
        decisions.sort_by_key(|one| std::cmp::Reverse(seen_at(one)));
        decisions.truncate(View::MOST_DECISIONS);
        if let Some(view) = view.as_object_mut() {
            view.insert("decisions".to_owned(), Value::from(decisions));
        }
        Ok(Arc::from(view.to_string()))
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

fn not_understood(error: serde_json::Error) -> SourceError {
    SourceError::Unavailable(format!("not understood: {error}"))
}

fn seen_at(view: &Value) -> Option<Timestamp> {
    view["at"].as_str()?.parse().ok()
}
