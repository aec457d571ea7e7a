//! What every ledger must hold, for the tests of each: the one in memory and the one on DynamoDB must not differ.

use std::time::Duration;

use evenkeel_model::{FleetName, Timestamp};
use futures_util::future::join_all;

use crate::ledger::{Expect, Item, Key, LedgerError, MOST_BYTES, MOST_ITEM_BYTES, MOST_WRITES, Write};
use crate::ports::{Ledger, PortError};

/// Takes an empty ledger through everything that the functions rely on.
///
/// # Panics
/// Where the ledger does not hold it.
pub async fn every_ledger_holds<L: Ledger>(ledger: &L, fleet: &FleetName, other: &FleetName) {
    let suite = Suite { ledger, fleet, other };
    suite.versions_count_writes().await;
    suite.a_stale_write_changes_nothing().await;
    suite.deletes_are_conditional_too().await;
    suite.several_writes_are_one().await;
    suite.what_no_ledger_takes_is_refused().await;
    suite.answers_come_in_the_order_of_the_keys().await;
    suite.one_kind_is_read_together().await;
    suite.fleets_do_not_meet().await;
    suite.any_text_survives().await;
    suite.of_those_who_write_at_once_one_wins().await;
}

/// So many bytes that deflating makes little less: one of 64 characters after the other, as chance has it.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..length).map(|_| next()).collect()
}

struct Suite<'a, L> {
    ledger: &'a L,
    fleet: &'a FleetName,
    other: &'a FleetName,
}

const TAKEN: Result<(), LedgerError> = Ok(());
const CONFLICT: Result<(), LedgerError> = Err(LedgerError::Conflict);

impl<L: Ledger> Suite<'_, L> {
    fn key(&self, sort: &str) -> Key {
        Key::only(self.fleet, sort)
    }

    fn put(&self, sort: &str, body: &str, expect: Expect) -> Write {
        Write::put(self.key(sort), body.to_owned(), expect)
    }

    fn delete(&self, sort: &str, expect: Expect) -> Write {
        Write { key: self.key(sort), body: None, expect, expires: None }
    }

    async fn write(&self, write: Write) -> Result<(), LedgerError> {
        self.ledger.write(vec![write]).await
    }

    /// Version and body.
    async fn read(&self, sort: &str) -> Option<(u64, String)> {
        let found = self.ledger.get(&[self.key(sort)]).await;
        let [item] = found.as_deref().expect("the ledger answers") else { panic!("one answer for one key") };
        item.as_ref().map(|Item { version, body }| (*version, body.clone()))
    }

    async fn expect(&self, sort: &str, version: u64, body: &str) {
        assert_eq!(self.read(sort).await, Some((version, body.to_owned())), "{sort}");
    }

    async fn versions_count_writes(&self) {
        assert_eq!(self.read("counted").await, None);
        assert_eq!(self.write(self.put("counted", "a", Expect::Absent)).await, TAKEN);
        self.expect("counted", 1, "a").await;
        assert_eq!(self.write(self.put("counted", "b", Expect::Version(1))).await, TAKEN);
        self.expect("counted", 2, "b").await;
        assert_eq!(self.write(self.put("counted", "c", Expect::Anything)).await, TAKEN);
        self.expect("counted", 3, "c").await;
        // The same again is a write too.
        assert_eq!(self.write(self.put("counted", "c", Expect::Anything)).await, TAKEN);
        self.expect("counted", 4, "c").await;
        assert_eq!(self.write(self.put("fresh", "a", Expect::Anything)).await, TAKEN);
        self.expect("fresh", 1, "a").await;
        // With a time to go, and without one again.
        let soon: Timestamp = Timestamp::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let expiring = Write { expires: Some(soon), ..self.put("fresh", "b", Expect::Version(1)) };
        assert_eq!(self.write(expiring).await, TAKEN);
        self.expect("fresh", 2, "b").await;
        assert_eq!(self.write(self.put("fresh", "c", Expect::Version(2))).await, TAKEN);
        self.expect("fresh", 3, "c").await;
    }

    async fn a_stale_write_changes_nothing(&self) {
        assert_eq!(self.write(self.put("stale", "a", Expect::Version(1))).await, CONFLICT, "nothing is there");
        assert_eq!(self.read("stale").await, None);
        assert_eq!(self.write(self.put("stale", "a", Expect::Absent)).await, TAKEN);
        assert_eq!(self.write(self.put("stale", "b", Expect::Absent)).await, CONFLICT);
        assert_eq!(self.write(self.put("stale", "b", Expect::Version(1))).await, TAKEN);
        assert_eq!(self.write(self.put("stale", "c", Expect::Version(1))).await, CONFLICT);
        assert_eq!(self.write(self.put("stale", "c", Expect::Version(3))).await, CONFLICT);
        self.expect("stale", 2, "b").await;
    }

    async fn deletes_are_conditional_too(&self) {
        assert_eq!(self.write(self.delete("gone", Expect::Anything)).await, TAKEN, "nothing to delete is fine");
        assert_eq!(self.write(self.delete("gone", Expect::Absent)).await, TAKEN);
        assert_eq!(self.write(self.delete("gone", Expect::Version(1))).await, CONFLICT);
        assert_eq!(self.write(self.put("gone", "a", Expect::Absent)).await, TAKEN);
        assert_eq!(self.write(self.delete("gone", Expect::Absent)).await, CONFLICT);
        assert_eq!(self.write(self.delete("gone", Expect::Version(2))).await, CONFLICT);
        self.expect("gone", 1, "a").await;
        assert_eq!(self.write(self.delete("gone", Expect::Version(1))).await, TAKEN);
        assert_eq!(self.read("gone").await, None);
        // Versions begin anew, so nobody may keep one over a delete.
        assert_eq!(self.write(self.put("gone", "b", Expect::Anything)).await, TAKEN);
        self.expect("gone", 1, "b").await;
        assert_eq!(self.write(self.delete("gone", Expect::Anything)).await, TAKEN);
        assert_eq!(self.read("gone").await, None);
    }

    async fn several_writes_are_one(&self) {
        assert_eq!(self.ledger.write(Vec::new()).await, TAKEN, "nothing to write is fine");
        let first = vec![
            self.put("one", "a", Expect::Absent),
            self.put("two", "a", Expect::Anything),
            self.delete("three", Expect::Absent),
        ];
        assert_eq!(self.ledger.write(first).await, TAKEN);
        let stale = vec![
            self.put("one", "b", Expect::Version(1)),
            self.put("two", "b", Expect::Version(7)),
            self.put("three", "b", Expect::Absent),
        ];
        assert_eq!(self.ledger.write(stale).await, CONFLICT);
        self.expect("one", 1, "a").await;
        self.expect("two", 1, "a").await;
        assert_eq!(self.read("three").await, None);
        let good = vec![
            self.put("one", "c", Expect::Version(1)),
            self.delete("two", Expect::Version(1)),
            self.put("three", "c", Expect::Absent),
        ];
        assert_eq!(self.ledger.write(good).await, TAKEN);
        self.expect("one", 2, "c").await;
        assert_eq!(self.read("two").await, None);
        self.expect("three", 1, "c").await;
    }

    async fn what_no_ledger_takes_is_refused(&self) {
        let twice = vec![self.put("twice", "a", Expect::Anything), self.put("twice", "b", Expect::Anything)];
        assert_eq!(self.ledger.write(twice).await, CONFLICT);
        assert_eq!(self.read("twice").await, None);
        let names: Vec<String> = (0..=MOST_WRITES).map(|number| format!("many#{number}")).collect();
        let mut many: Vec<Write> = names.iter().map(|name| self.put(name, "a", Expect::Absent)).collect();
        let refused = |taken: Result<(), LedgerError>| {
            assert!(matches!(taken, Err(LedgerError::Port(PortError::Refused(_)))), "{taken:?}");
        };
        refused(self.ledger.write(many.clone()).await);
        assert_eq!(self.read("many#0").await, None);
        many.pop();
        assert_eq!(self.ledger.write(many).await, TAKEN);
        self.expect("many#99", 1, "a").await;
        refused(self.write(self.put("large", &noise(2 * MOST_ITEM_BYTES), Expect::Anything)).await);
        assert_eq!(self.read("large").await, None);
        // What counts is what is stored, and that is deflated.
        let large = "x".repeat(2 * MOST_ITEM_BYTES);
        assert_eq!(self.write(self.put("large", &large, Expect::Anything)).await, TAKEN);
        self.expect("large", 1, &large).await;
        // Together.
        let most = noise(MOST_ITEM_BYTES - 1_024);
        let several =
            |count: usize| (0..count).map(|number| self.put(&format!("part#{number}"), &most, Expect::Anything));
        refused(self.ledger.write(several(MOST_BYTES / MOST_ITEM_BYTES + 5).collect()).await);
        assert_eq!(self.read("part#0").await, None);
    }

    async fn answers_come_in_the_order_of_the_keys(&self) {
        assert_eq!(self.ledger.get(&[]).await, Ok(Vec::new()));
        let names: Vec<String> = (0..150).map(|number| format!("many#{}", 149 - number)).collect();
        let mut keys: Vec<Key> = names.iter().map(|name| self.key(name)).collect();
        keys.push(self.key("many#7"));
        let found = self.ledger.get(&keys).await.expect("the ledger answers");
        assert_eq!(found.len(), 151);
        for (index, item) in found.iter().enumerate() {
            // many#149 down to many#0, of which a hundred are there, and many#7 once more.
            assert_eq!(item.is_some(), index >= 50, "{:?}", keys[index]);
        }
    }

    async fn one_kind_is_read_together(&self) {
        assert_eq!(self.ledger.get_together(&[]).await, Ok(Vec::new()));
        // Beside the kind: one that begins like it, the kind alone, and what comes right before and after in order.
        for sort in ["kind#b", "kind#a#1", "kind", "kinder#a", "kind\"b", "kind$b"] {
            assert_eq!(self.write(self.put(sort, sort, Expect::Absent)).await, TAKEN);
        }
        assert_eq!(self.write(self.put("kind#b", "twice", Expect::Version(1))).await, TAKEN);
        let keys = ["kind#c", "kind#b", "kind#a", "kind#a#1", "kind#b"].map(|sort| self.key(sort));
        let found = self.ledger.get_together(&keys).await.expect("the ledger answers");
        let found: Vec<_> =
            found.iter().map(|item| item.as_ref().map(|one| (one.version, one.body.as_str()))).collect();
        assert_eq!(found, [None, Some((2, "twice")), None, Some((1, "kind#a#1")), Some((2, "twice"))]);
        let names: Vec<Key> = (0..=MOST_WRITES).map(|number| self.key(&format!("many#{number}"))).collect();
        let found = self.ledger.get_together(&names).await.expect("the ledger answers");
        assert_eq!(found.iter().flatten().count(), MOST_WRITES);
        let theirs = Key::only(self.other, "kind#b");
        assert_eq!(self.ledger.get_together(&[theirs]).await, Ok(vec![None]));
    }

    async fn fleets_do_not_meet(&self) {
        assert_eq!(self.write(self.put("shared", "ours", Expect::Absent)).await, TAKEN);
        let theirs = Key::only(self.other, "shared");
        assert_eq!(self.ledger.get(std::slice::from_ref(&theirs)).await, Ok(vec![None]));
        assert_eq!(self.write(Write::put(theirs.clone(), "theirs".to_owned(), Expect::Absent)).await, TAKEN);
        self.expect("shared", 1, "ours").await;
        let both = self.ledger.get(&[theirs, self.key("shared")]).await.expect("the ledger answers");
        let bodies: Vec<&str> = both.iter().flatten().map(|item| item.body.as_str()).collect();
        assert_eq!(bodies, ["theirs", "ours"]);
    }

    async fn any_text_survives(&self) {
        let long = "{\"tasks\":12},".repeat(20_000);
        for body in ["", "null", "{\"a\":\"\\u0000 \\\" ü 船\"}", "\u{1F6A2}\n\t\u{7f}", long.as_str()] {
            assert_eq!(self.write(self.put("text", body, Expect::Anything)).await, TAKEN);
            assert_eq!(self.read("text").await.map(|(_, kept)| kept).as_deref(), Some(body));
        }
        let sort = "decision#2026-01-05T00:00:00.000Z#microscale-7";
        assert_eq!(self.write(self.put(sort, "x", Expect::Anything)).await, TAKEN);
        self.expect(sort, 1, "x").await;
    }

    async fn of_those_who_write_at_once_one_wins(&self) {
        assert_eq!(self.write(self.put("lease", "free", Expect::Absent)).await, TAKEN);
        let claims = (0..8).map(|number| self.write(self.put("lease", &format!("{number}"), Expect::Version(1))));
        let taken: Vec<bool> = join_all(claims).await.into_iter().map(|claim| claim == TAKEN).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
        let winner = taken.iter().position(|taken| *taken).expect("one");
        self.expect("lease", 2, &winner.to_string()).await;
    }
}
