//! What a function shows. A view is written when it changes, and the lease says how long it held.

use evenkeel_model::view::View;
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::error::TurnError;
use crate::fingerprint::Fingerprint;
use crate::lease::Lease;
use crate::ledger::{Item, Key};

/// The field of every view that says when it was seen.
const AT: &str = "at";

/// The key of a function's snapshot, which the page shows.
#[must_use]
pub fn view_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::of(fleet, "view", function)
}

/// The key of the item that says how long a function's snapshot held.
#[must_use]
pub fn lease_key(fleet: &FleetName, function: FunctionName) -> Key {
    Lease::key(fleet, function)
}

/// The view in `item` with the time of the last look that found it so, from the function's lease.
///
/// # Errors
/// [`serde_json::Error`] where the item is not JSON.
pub fn shown(item: &Item, lease: Option<&Item>) -> Result<Value, serde_json::Error> {
    let mut view: Value = serde_json::from_str(&item.body)?;
    let written = view[AT].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let seen = Lease::kept(lease).ok().and_then(|kept| kept.seen);
    if let (Some(seen), Some(written)) = (seen, written) {
        view[AT] = serde_json::to_value(seen.max(written))?;
    }
    Ok(view)
}

/// A view, which says when it was seen.
pub trait Dated: Serialize {
    /// When it was seen.
    fn at(&mut self) -> &mut Timestamp;
}

impl Dated for View {
    fn at(&mut self) -> &mut Timestamp {
        &mut self.at
    }
}

/// The fingerprint of everything that a view says, its time aside.
pub(crate) fn fingerprint_but_at<V: Dated>(key: &Key, view: &mut V) -> Result<u64, TurnError> {
    let at = std::mem::replace(view.at(), Timestamp::UNIX_EPOCH);
    let mut print = Fingerprint::default();
    let printed = serde_json::to_writer(&mut print, view);
    *view.at() = at;
    printed.map_err(|source| TurnError::Stored { key: key.sort.clone(), source })?;
    Ok(print.value())
}
