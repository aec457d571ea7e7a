//! What is kept in the table, and how: versioned items, written only where nobody else has written since.

use std::fmt;

use evenkeel_model::{FleetName, Timestamp};

use crate::port_error::PortError;

pub use crate::stored::Body;

/// Where an item is: partition `fleet#NAME`, and a sort key such as `view#microscale`.
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

    /// The key of something that every turn reads. They are of one kind, so that one call finds all of it, and what is small
    /// is read as one: a key of its own costs as much as 4 KB, found or not.
    pub(crate) fn turn(fleet: &FleetName, name: impl fmt::Display) -> Self {
        Self::of(fleet, "turn", name)
    }

    /// What the sort key begins with.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.sort.split_once('#').map_or(self.sort.as_str(), |(kind, _)| kind)
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
    pub body: Option<Body>,
    /// What must be there.
    pub expect: Expect,
    /// When the item may be forgotten (DynamoDB TTL: deleted some time after, so readers judge by time themselves).
    pub expires: Option<Timestamp>,
}

impl Write {
    /// Puts `body` where `expect` holds, for ever.
    #[must_use]
    pub fn put(key: Key, body: String, expect: Expect) -> Self {
        Self { key, body: Some(body.into()), expect, expires: None }
    }

    /// Bytes in the table, attribute names included. `body` says how those of the body are counted.
    fn size(&self, body: impl Fn(&Body) -> usize) -> usize {
        let Self { key, body: kept, expect: _, expires: _ } = self;
        key.sort.len() + key.fleet.as_str().len() + kept.as_ref().map_or(0, body) + BYTES_BESIDE
    }

    /// The same, exact only where it might be more than an item has room for: deflating costs time.
    fn size_at_most(&self) -> usize {
        let text = self.size(|body| body.len());
        if text > MOST_ITEM_BYTES { self.size(Body::stored_len) } else { text }
    }
}

/// Writes that are taken together (DynamoDB API reference, TransactWriteItems).
pub const MOST_WRITES: usize = 100;
/// Bytes of an item as it is stored, keys and attribute names included (DynamoDB developer guide, "Quotas").
pub const MOST_ITEM_BYTES: usize = 400 * 1024;
/// Bytes of all that is written together (DynamoDB API reference, TransactWriteItems: 4 MB).
pub const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The names of the attributes, the fleet's prefix, the version and the time of expiry, generously.
const BYTES_BESIDE: usize = 128;

/// Refuses what no ledger takes, in the same way for all of them: one key twice, and more or larger items than DynamoDB has
/// room for.
///
/// # Errors
/// [`LedgerError::Conflict`] for a key that comes twice, [`PortError::Refused`] for what is too much.
pub fn check(writes: &[Write]) -> Result<(), LedgerError> {
    let refused = |because: String| Err(LedgerError::Port(PortError::Refused(because)));
    if writes.len() > MOST_WRITES {
        return refused(format!("{} writes at once: the ledger takes {MOST_WRITES}", writes.len()));
    }
    for (index, write) in writes.iter().enumerate() {
        if writes[..index].iter().any(|other| other.key == write.key) {
            return Err(LedgerError::Conflict);
        }
        let size = write.size_at_most();
        if size > MOST_ITEM_BYTES {
            return refused(format!("item {} of {size} bytes: the ledger takes {MOST_ITEM_BYTES}", write.key.sort));
        }
    }
    if writes.iter().map(Write::size_at_most).sum::<usize>() > MOST_BYTES {
        let bytes: usize = writes.iter().map(|write| write.size(Body::stored_len)).sum();
        if bytes > MOST_BYTES {
            return refused(format!("{bytes} bytes at once: the ledger takes {MOST_BYTES}"));
        }
    }
    Ok(())
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
