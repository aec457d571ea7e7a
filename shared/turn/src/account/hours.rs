//! Where accounts are kept: the open hour among what every turn reads, and each closed one under a key of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::{FleetName, FunctionName, Timestamp};

use super::{Account, Looked};
use crate::body::to_json;
use crate::error::TurnError;
use crate::lease::{Kept, Lease};
use crate::ledger::{Expect, Item, Key, Write};

/// As long as decisions are.
const KEPT: Duration = Duration::from_hours(14 * 24);
const HOUR: Duration = Duration::from_hours(1);
/// The functions that keep an account.
const FUNCTIONS: [FunctionName; 2] = [FunctionName::Microscale, FunctionName::Backfill];

/// The key of the hour that goes on.
pub(crate) fn account_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::turn(fleet, format_args!("account#{function}"))
}

fn closed_key(fleet: &FleetName, function: FunctionName, hour: &str) -> Key {
    Key::of(fleet, "account", format_args!("{function}#{hour}"))
}

fn hour(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H").to_string()
}

/// What was accounted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Each function's hours, the oldest first.
    pub hours: BTreeMap<FunctionName, Vec<Account>>,
    /// How many hours are there and not understood.
    pub unread: usize,
}

impl Accounts {
    /// The keys of everything since the hour of `since`: for each function its lease, its open hour, and its closed ones.
    #[must_use]
    pub fn keys(fleet: &FleetName, since: Timestamp, now: Timestamp) -> Vec<Key> {
        let mut hours = Vec::new();
        let mut at = since.max(now - KEPT);
        while hour(at) <= hour(now) {
            hours.push(hour(at));
            at += HOUR;
        }
        let of = |function| {
            let open = [Lease::key(fleet, function), account_key(fleet, function)];
            let closed = hours.iter().map(|hour| closed_key(fleet, function, hour));
            open.into_iter().chain(closed.collect::<Vec<_>>())
        };
        FUNCTIONS.into_iter().flat_map(of).collect()
    }

    /// What the items under those keys say of the time since the hour of `since`.
    #[must_use]
    pub fn of(since: Timestamp, items: &[Option<Item>]) -> Self {
        let mut accounts = Self::default();
        for (function, items) in FUNCTIONS.into_iter().zip(items.chunks((items.len() / FUNCTIONS.len()).max(1))) {
            let [lease, open, closed @ ..] = items else { continue };
            let watched = Lease::kept(lease.as_ref()).ok().and_then(|kept| kept.watched);
            let mut hours = Vec::new();
            for item in closed.iter().chain([open]).flatten() {
                match serde_json::from_str::<Account>(&item.body) {
                    Ok(account) => hours.push(account),
                    Err(_) => accounts.unread += 1,
                }
            }
            if let (Some(last), Some(watched)) = (hours.last_mut(), watched) {
                *last = last.clone().held_until(watched);
            }
            hours.retain(|account| account.at >= since);
            if !hours.is_empty() {
                accounts.hours.insert(function, hours);
            }
        }
        accounts
    }
}

/// What is to be written after a look at `now`, nothing where all is as it was; `kept` then says that it was looked at.
/// `goes_on` says whether the turn before observed as well. An account that this version does not understand is begun anew:
/// nothing is decided by it.
pub(crate) fn note(
    (fleet, function): (&FleetName, FunctionName),
    found: Option<&Item>,
    looked: &Looked,
    now: Timestamp,
    (goes_on, kept): (bool, &mut Kept),
) -> Result<Vec<Write>, TurnError> {
    let held = kept.watched.replace(now);
    let key = account_key(fleet, function);
    let put = |account: &Account| to_json(&key, account).map(|body| Write::put(key.clone(), body, Expect::Anything));
    let before: Option<Account> = found.and_then(|item| serde_json::from_str(&item.body).ok());
    let Some(before) = before else { return Ok(vec![put(&Account::new(now, looked))?]) };
    let mut account = before.clone().held_until(held.unwrap_or(before.at));
    account.look(now, looked, goes_on);
    if hour(before.from) != hour(now) {
        let key = closed_key(fleet, function, &hour(before.from));
        let body = Some(to_json(&key, &account)?.into());
        let closed = Write { key, body, expect: Expect::Anything, expires: Some(now + KEPT) };
        return Ok(vec![closed, put(&account.next())?]);
    }
    let still = account.levels == before.levels && account.sums.unknown == before.sums.unknown;
    if still && goes_on { Ok(Vec::new()) } else { Ok(vec![put(&account)?]) }
}
