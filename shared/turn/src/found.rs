//! What a turn reads of the ledger.

use evenkeel_model::{FleetName, FunctionName, Timestamp};

use crate::account::account_key;
use crate::board::{Borrow, Told, held_key, notices_key, orders_key, pushed_key, retried_key};
use crate::budget::Budget;
use crate::error::TurnError;
use crate::files::in_force_key;
use crate::lease::Lease;
use crate::ledger::{Item, Key};
use crate::observe::would_key;
use crate::ports::{Clock, Ledger};
use crate::retry::retry;

/// What a round reads of the ledger, in one call.
pub(crate) struct Found {
    pub(crate) file: Option<Item>,
    pub(crate) lease: Option<Item>,
    pub(crate) state: Option<Item>,
    pub(crate) pushed: Option<Item>,
    pub(crate) notices: Option<Item>,
    pub(crate) budget: Option<Item>,
    pub(crate) told: Option<Item>,
    pub(crate) held: Option<Item>,
    pub(crate) borrow: Option<Item>,
    pub(crate) orders: Option<Item>,
    pub(crate) retried: Option<Item>,
    pub(crate) would: Option<Item>,
    pub(crate) account: Option<Item>,
}

impl Found {
    /// # Errors
    /// [`TurnError`] when the ledger does not answer in time.
    pub(crate) async fn read<P: Ledger + Clock>(
        ports: &P,
        name: &FleetName,
        function: FunctionName,
        observes: bool,
        deadline: Timestamp,
    ) -> Result<Self, TurnError> {
        let keys = [
            in_force_key(name),
            Lease::key(name, function),
            state_key(name, function),
            pushed_key(name),
            notices_key(name),
            Budget::key(name),
            Told::key(name),
            held_key(name),
            Borrow::key(name),
            orders_key(name),
            retried_key(name),
            would_key(name, function),
            account_key(name, function),
        ];
        // Nobody but a function that observes has anything there.
        let keys = &keys[..keys.len() - if observes { 0 } else { 2 }];
        let items = retry(ports, deadline, || ports.get_together(keys)).await?;
        let mut items = items.into_iter();
        let mut next = || items.next().flatten();
        let (file, lease, state, pushed) = (next(), next(), next(), next());
        let (notices, budget, told, held) = (next(), next(), next(), next());
        let (borrow, orders, retried, would, account) = (next(), next(), next(), next(), next());
        Ok(Self { file, lease, state, pushed, notices, budget, told, held, borrow, orders, retried, would, account })
    }
}

/// The key of what a function remembers.
#[must_use]
pub fn state_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::turn(fleet, format_args!("state#{function}"))
}
