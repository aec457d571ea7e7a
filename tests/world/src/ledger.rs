//! The ledger in memory, with DynamoDB's semantics: every write is conditional on the item's version where it says so,
//! and several writes are taken together or not at all.

use std::collections::BTreeMap;

use evenkeel_turn::ledger::{Expect, Item, Key, LedgerError, Write, check};

use crate::clock::Ms;

/// The table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    items: BTreeMap<Key, Stored>,
}

#[derive(Debug, Clone)]
struct Stored {
    item: Item,
    expires: Option<Ms>,
}

impl Table {
    /// BatchGetItem, or a Query of one kind, with consistent reads.
    #[must_use]
    pub fn get(&self, keys: &[Key]) -> Vec<Option<Item>> {
        keys.iter().map(|key| self.items.get(key).map(|stored| stored.item.clone())).collect()
    }

    /// TransactWriteItems.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when a condition does not hold, or what [`check`] refuses; then nothing is written.
    pub fn write(&mut self, writes: &[Write], expires: impl Fn(&Write) -> Option<Ms>) -> Result<(), LedgerError> {
        let version = |key: &Key| self.items.get(key).map(|stored| stored.item.version);
        let holds = |write: &Write| match write.expect {
            Expect::Anything => true,
            Expect::Absent => version(&write.key).is_none(),
            Expect::Version(expected) => version(&write.key) == Some(expected),
        };
        check(writes)?;
        if !writes.iter().all(holds) {
            return Err(LedgerError::Conflict);
        }
        for write in writes {
            let version = version_after(self.items.get(&write.key));
            match &write.body {
                None => {
                    self.items.remove(&write.key);
                }
                Some(body) => {
                    let item = Item { version, body: body.clone() };
                    self.items.insert(write.key.clone(), Stored { item, expires: expires(write) });
                }
            }
        }
        Ok(())
    }

    /// The bodies of all items from one key to another, in the opposite order of their keys: a Query.
    #[must_use]
    pub fn between(&self, from: &Key, to: &Key) -> Vec<String> {
        self.items.range(from..=to).rev().map(|(_, stored)| stored.item.body.clone()).collect()
    }

    /// DynamoDB's TTL: forgets what has expired.
    pub fn forget(&mut self, now: Ms) {
        self.items.retain(|_, stored| stored.expires.is_none_or(|expires| expires > now));
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn version_after(old: Option<&Stored>) -> u64 {
    old.map_or(0, |stored| stored.item.version) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::FleetName;
    use evenkeel_turn::ports::{Answer, Ledger};
    use evenkeel_turn::testing::every_ledger_holds;
    use std::sync::{Mutex, PoisonError};

    /// The table alone, without a world around it.
    struct Alone(Mutex<Table>);

    impl Ledger for Alone {
        async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
            Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(keys))
        }

        async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(&writes, |_| None)
        }
    }

    #[tokio::test]
    async fn the_table_holds_what_every_ledger_holds() {
        let [fleet, other] = ["demo", "demo-2"].map(|name| name.parse().unwrap());
        every_ledger_holds(&Alone(Mutex::default()), &fleet, &other).await;
    }

    fn put(sort: &str, expect: Expect) -> Write {
        let fleet = FleetName::new("demo").unwrap_or_else(|_| unreachable!());
        Write::put(Key::only(&fleet, sort), "1".to_owned(), expect)
    }

    #[test]
    fn a_transaction_is_taken_whole_or_not_at_all() {
        let mut table = Table::default();
        assert!(table.write(&[put("a", Expect::Absent)], |_| None).is_ok());
        let both = [put("b", Expect::Absent), put("a", Expect::Absent)];
        assert_eq!(table.write(&both, |_| None), Err(LedgerError::Conflict));
        assert_eq!(table.len(), 1);
        assert!(table.write(&[put("a", Expect::Version(1)), put("b", Expect::Absent)], |_| None).is_ok());
        assert_eq!(table.write(&[put("a", Expect::Version(1))], |_| None), Err(LedgerError::Conflict));
    }

    #[test]
    fn one_key_twice_in_a_transaction_is_refused() {
        let mut table = Table::default();
        let twice = [put("a", Expect::Anything), put("a", Expect::Anything)];
        assert_eq!(table.write(&twice, |_| None), Err(LedgerError::Conflict));
    }
}
