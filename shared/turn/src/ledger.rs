//! What is kept in the table, and how: versioned items, written only where nobody else has written since.

use std::fmt;

use evenkeel_model::{FleetName, Timestamp};

use crate::ports::PortError;

/// Where an item is: partition `fleet#NAME`, and a sort key such as `lease#microscale`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The fleet.
    pub fleet: FleetName,
    /// The sort key.
    pub sort: String,
}

impl Key {
    /// The key of `kind#name`.
    #[must_use]
    pub fn of(fleet: &FleetName, kind: &str, name: impl fmt::Display) -> Self {
        Self { fleet: fleet.clone(), sort: format!("{kind}#{name}") }
    }

    /// The key of the only item of its kind.
    #[must_use]
    pub fn only(fleet: &FleetName, kind: &str) -> Self {
        Self { fleet: fleet.clone(), sort: kind.to_owned() }
    }
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// 1 at first, one more with each write.
    pub version: u64,
    /// JSON.
    pub body: String,
}

/// What must be there for a write to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Anything,
    /// Nothing under this key.
    Absent,
    /// This version of the item.
    Version(u64),
}

impl Expect {
    /// That nobody has written since `item` was read.
    #[must_use]
    pub fn same(item: Option<&Item>) -> Self {
        item.map_or(Self::Absent, |item| Self::Version(item.version))
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// The new JSON; none deletes the item.
    pub body: Option<String>,
    /// What must be there.
    pub expect: Expect,
    /// When the item may be forgotten (DynamoDB TTL: deleted some time after, so readers judge by time themselves).
    pub expires: Option<Timestamp>,
}

impl Write {
    /// Puts `body` where `expect` holds, for ever.
    #[must_use]
    pub const fn put(key: Key, body: String, expect: Expect) -> Self {
        Self { key, body: Some(body), expect, expires: None }
    }
}

/// Why a write was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else has written since; nothing was written.
    #[error("somebody else wrote first")]
    Conflict,
    /// The table did not answer well.
    #[error(transparent)]
    Port(#[from] PortError),
}
