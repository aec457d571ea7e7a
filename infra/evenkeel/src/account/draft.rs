//! A ledger that is read, and in which what is written stays in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use evenkeel_turn::ledger::{Expect, Item, Key, LedgerError, Write, check};
use evenkeel_turn::ports::{Answer, Ledger};

/// A table, or none, with what was written since: whoever wrote sees it, and nobody else ever does.
pub(crate) struct Draft<'a, L> {
    table: Option<&'a L>,
    written: Mutex<BTreeMap<Key, Option<Item>>>,
}

impl<'a, L: Ledger> Draft<'a, L> {
    /// Over a table, or over nothing.
    pub(crate) const fn over(table: Option<&'a L>) -> Self {
        Self { table, written: Mutex::new(BTreeMap::new()) }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<Key, Option<Item>>> {
        // A panic elsewhere cannot leave half a value here: the lock only guards whole insertions.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_written(&self, keys: &[Key], found: Vec<Option<Item>>) -> Vec<Option<Item>> {
        let written = self.written();
        keys.iter().zip(found).map(|(key, found)| written.get(key).cloned().unwrap_or(found)).collect()
    }
}

impl<L: Ledger> Ledger for Draft<'_, L> {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let found = match self.table {
            Some(table) => table.get(keys).await?,
            None => vec![None; keys.len()],
        };
        Ok(self.with_written(keys, found))
    }

    async fn get_together(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let found = match self.table {
            Some(table) => table.get_together(keys).await?,
            None => vec![None; keys.len()],
        };
        Ok(self.with_written(keys, found))
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check(&writes)?;
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        let found = match self.table {
            Some(table) => table.get(&keys).await?,
            None => vec![None; keys.len()],
        };
        // Nothing is awaited from here on, so that of those who write at once one wins.
        let mut written = self.written();
        let versions: Vec<Option<u64>> = keys
            .iter()
            .zip(found)
            .map(|(key, found)| written.get(key).cloned().unwrap_or(found).map(|item| item.version))
            .collect();
        let holds = |(write, version): (&Write, &Option<u64>)| match write.expect {
            Expect::Anything => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => *version == Some(expected),
        };
        if !writes.iter().zip(&versions).all(holds) {
            return Err(LedgerError::Conflict);
        }
        for (write, version) in writes.into_iter().zip(versions) {
            let item = write.body.map(|body| Item { version: version.unwrap_or(0) + 1, body: body.to_string() });
            written.insert(write.key, item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::FleetName;
    use evenkeel_turn::testing::every_ledger_holds;

    #[tokio::test]
    async fn a_draft_holds_what_every_ledger_holds_and_the_table_below_stays_as_it_is() {
        let [fleet, other]: [FleetName; 2] = ["demo", "demo-2"].map(|name| name.parse().unwrap());
        let table: Draft<'_, Draft<'_, Nothing>> = Draft::over(None);
        every_ledger_holds(&Draft::over(Some(&table)), &fleet, &other).await;
        assert!(table.written().is_empty());

        let key = Key::only(&fleet, "kept");
        let put = |body: &str, expect| Write::put(key.clone(), body.to_owned(), expect);
        table.write(vec![put("old", Expect::Absent)]).await.unwrap();
        let draft = Draft::over(Some(&table));
        assert_eq!(draft.write(vec![put("new", Expect::Absent)]).await, Err(LedgerError::Conflict));
        draft.write(vec![put("new", Expect::Version(1))]).await.unwrap();
        let body = |found: Vec<Option<Item>>| found.into_iter().flatten().next().unwrap().body;
        assert_eq!(body(draft.get_together(std::slice::from_ref(&key)).await.unwrap()), "new");
        assert_eq!(body(table.get(&[key]).await.unwrap()), "old");
    }

    /// No table at all.
    struct Nothing;

    impl Ledger for Nothing {
        async fn get(&self, _: &[Key]) -> Answer<Vec<Option<Item>>> {
            unreachable!("nothing is below")
        }

        async fn write(&self, _: Vec<Write>) -> Result<(), LedgerError> {
            unreachable!("nothing is below")
        }
    }
}
