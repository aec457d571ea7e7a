//! The end of a turn: what is refused, what is large, and what is very many.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use evenkeel_model::decision::{Decision, Outcome, Planned, Step, Why};
use evenkeel_model::report::Report;
use evenkeel_model::{Fleet, FleetName, FunctionName, Timestamp};
use evenkeel_turn::ledger::{Body, Expect, Item, Key, LedgerError, Write, check};
use evenkeel_turn::ports::{Answer, Clock, FleetFiles, Ledger, PortError};
use evenkeel_turn::{
    Applied, Call, FleetCache, Function, Given, HandleError, Limits, Memory, Notices, Outlook, Remembers, Snapshot,
    Summary, feed_key, put_together, rest_of, run, shown, state_key,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FUNCTION: FunctionName = FunctionName::Microscale;
const LIMITS: Limits = Limits { budget: Duration::from_secs(20), lease: Duration::from_secs(30) };
const LEASE: &str = "turn#lease#microscale";
const STATE: &str = "turn#state#microscale";
const VIEW: &str = "view#microscale";

/// A ledger with DynamoDB's limits, which refuses keys that begin with something.
struct Desk {
    now: Mutex<Timestamp>,
    kept: Mutex<BTreeMap<Key, Item>>,
    refuses: Mutex<Option<(&'static str, PortError)>>,
    /// The largest item so far, as it is stored.
    largest: Mutex<usize>,
}

impl Clock for Desk {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send {
        *self.now.lock().unwrap() += length;
        ready(())
    }
}

impl FleetFiles for Desk {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        Ok(include_str!("../../../infra/fleets/demo.toml").to_owned())
    }
}

impl Ledger for Desk {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let kept = self.kept.lock().unwrap();
        Ok(keys.iter().map(|key| kept.get(key).cloned()).collect())
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check(&writes)?;
        if let Some((begins, error)) = &*self.refuses.lock().unwrap()
            && writes.iter().any(|write| write.key.sort.starts_with(begins))
        {
            return Err(error.clone().into());
        }
        let mut kept = self.kept.lock().unwrap();
        let version = |kept: &BTreeMap<Key, Item>, key: &Key| kept.get(key).map_or(0, |item| item.version);
        let holds = |Write { key, expect, .. }: &Write| match expect {
            Expect::Anything => true,
            Expect::Absent => version(&kept, key) == 0,
            Expect::Version(expected) => version(&kept, key) == *expected,
        };
        if !writes.iter().all(holds) {
            return Err(LedgerError::Conflict);
        }
        for Write { key, body, .. } in writes {
            let version = version(&kept, &key) + 1;
            let mut largest = self.largest.lock().unwrap();
            *largest = body.as_ref().map_or(0, Body::stored_len).max(*largest);
            match body {
                Some(body) => kept.insert(key, Item { version, body: body.to_string() }),
                None => kept.remove(&key),
            };
        }
        Ok(())
    }
}

impl Desk {
    fn new() -> Self {
        Self {
            now: Mutex::new(Timestamp::UNIX_EPOCH),
            kept: Mutex::default(),
            refuses: Mutex::default(),
            largest: Mutex::default(),
        }
    }

    fn refuses(&self, begins: &'static str, error: PortError) {
        *self.refuses.lock().unwrap() = Some((begins, error));
    }

    fn takes_all(&self) {
        *self.refuses.lock().unwrap() = None;
    }

    /// The items of this key, and of those that begin with it.
    fn items(&self, begins: &str) -> Vec<(String, Item)> {
        let kept = self.kept.lock().unwrap();
        let ours = kept.iter().filter(|(key, _)| key.sort.starts_with(begins));
        ours.map(|(key, item)| (key.sort.clone(), item.clone())).collect()
    }

    fn item(&self, sort: &str) -> Item {
        self.items(sort).into_iter().next().unwrap().1
    }

    fn has_lease(&self) -> bool {
        serde_json::from_str::<Value>(&self.item(LEASE).body).unwrap()["holder"] != Value::Null
    }

    /// A turn a minute later.
    fn turn(&self, doer: &Doer) -> Result<Summary, HandleError> {
        *self.now.lock().unwrap() += Duration::from_secs(60);
        let call = Call { holder: "somebody", limits: LIMITS, news: &Notices::default(), beat: false };
        run(doer, self, &FleetCache::new(fleet()), call).now_or_never().unwrap()
    }

    /// What the page shows.
    fn page(&self) -> Value {
        let mut view = shown(&self.item(VIEW), Some(&self.item(LEASE))).unwrap();
        let rest = rest_of(&view, &fleet(), FUNCTION);
        let rest = self.get(&rest).now_or_never().unwrap().unwrap();
        put_together(&mut view, &rest);
        view
    }
}

fn fleet() -> FleetName {
    FleetName::new("demo").unwrap()
}

/// Shows hosts, plans steps, and counts its turns.
#[derive(Default)]
struct Doer {
    hosts: Vec<String>,
    waits: usize,
    steps: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    turns: u32,
    done: u32,
    left: u32,
}

impl Remembers for Counted {
    fn still(&mut self, _: Timestamp) {}
    fn observed(&mut self, _: &Self) {}
    fn takes_over(&mut self) {}
}

#[derive(Clone, Serialize)]
struct Shown {
    at: Timestamp,
    waits: Vec<String>,
    hosts: Vec<String>,
}

impl Snapshot for Shown {
    fn at(&mut self) -> &mut Timestamp {
        &mut self.at
    }

    fn waits(&mut self) -> &mut Vec<String> {
        &mut self.waits
    }

    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn some_hosts(&self, which: Range<usize>) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.hosts[which])
    }

    fn keep_hosts(&mut self, first: usize) {
        self.hosts.truncate(first);
    }
}

impl Function<Desk> for Doer {
    const NAME: FunctionName = FUNCTION;
    type State = Counted;
    type Seen = ();
    type View = Shown;

    async fn observe(&self, _: &Given<'_, Counted>, _: &Desk, _: Timestamp, _: &Memory) -> Answer<()> {
        Ok(())
    }

    fn plan(&self, given: &Given<'_, Counted>, (): &()) -> Outlook<Counted> {
        let planned = |to| Planned {
            step: Step::SetDesiredCount { service: "web".parse().unwrap(), from: 0, to },
            why: Why::Limits { want: to },
            needs: Vec::new(),
            beside: false,
        };
        let state = Counted { turns: given.state.turns + 1, ..Counted::default() };
        let steps = (0..self.steps).map(planned).collect();
        Outlook { steps, report: Report::default(), state, budget: None, wakes: Vec::new() }
    }

    async fn apply(&self, _: &Fleet, planned: &Planned, desk: &Desk) -> Answer<()> {
        let records = desk.items("decision#");
        let decisions = records.iter().flat_map(|(_, item)| serde_json::from_str::<Vec<Decision>>(&item.body).unwrap());
        let mut recorded = decisions.map(|decision| decision.step);
        let Step::SetDesiredCount { to, .. } = planned.step else { unreachable!() };
        // Each is looked for now and then: all of them are known before the first.
        assert!(to % 500 != 0 || recorded.any(|step| step == planned.step), "{planned:?} is recorded before");
        Err(PortError::Refused("x".repeat(5_000)))
    }

    fn settle(&self, state: &mut Counted, applied: &Applied<'_>) {
        match applied.outcome {
            Outcome::Left(_) | Outcome::Would => state.left += 1,
            Outcome::Done | Outcome::Failed(_) | Outcome::Undone => state.done += 1,
        }
    }

    fn view(&self, given: &Given<'_, Counted>, (): &(), _: &Outlook<Counted>) -> Option<Shown> {
        let waits = (0..self.waits).map(|number| format!("for {number}")).collect();
        Some(Shown { at: given.now, waits, hosts: self.hosts.clone() })
    }
}

/// Hosts of which each takes `bytes` in the table: text of 64 characters, as chance has it.
fn hosts(count: usize, bytes: usize) -> Vec<String> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[(state >> 58) as usize])
    };
    (0..count).map(|_| (0..bytes * 4 / 3).map(|_| next()).collect()).collect()
}

#[test]
fn a_snapshot_that_is_refused_is_dropped_and_all_else_is_saved() {
    for error in [PortError::Refused("Item size has exceeded the maximum".to_owned()), PortError::Throttled] {
        let (desk, mut doer) = (Desk::new(), Doer { hosts: hosts(1, 10), ..Doer::default() });
        assert_eq!(desk.turn(&doer).unwrap().not_shown, None);
        let old = desk.page();
        desk.refuses(VIEW, error.clone());
        doer.hosts = hosts(2, 10);
        let summary = desk.turn(&doer).unwrap();
        assert!(summary.not_shown.is_some(), "{summary:?}");
        assert!(!desk.has_lease());
        assert_eq!(serde_json::from_str::<Counted>(&desk.item(STATE).body).unwrap().turns, 2, "it is remembered");
        assert_eq!(desk.page(), old, "an old snapshot has its own time");
        // The same snapshot, when it is taken again.
        desk.takes_all();
        assert_eq!(desk.turn(&doer).unwrap().not_shown, None);
        let page = desk.page();
        assert_eq!((page["hosts"].as_array().unwrap().len(), &page["at"]), (2, &Value::from("1970-01-01T00:03:00Z")));
    }
}

#[test]
fn a_state_that_is_refused_gives_the_lease_back_and_nothing_is_taken_for_saved() {
    let (desk, doer) = (Desk::new(), Doer { hosts: hosts(1, 10), ..Doer::default() });
    desk.refuses(STATE, PortError::Refused("Item size has exceeded the maximum".to_owned()));
    let ended = desk.turn(&doer);
    assert!(ended.is_err(), "{ended:?}");
    assert!(!desk.has_lease());
    assert!(desk.items(VIEW).is_empty());
    desk.takes_all();
    assert!(desk.turn(&doer).is_ok());
    assert_eq!(desk.page()["hosts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_large_snapshot_is_several_items_and_a_smaller_one_leaves_none_behind() {
    let (desk, mut doer) = (Desk::new(), Doer { hosts: hosts(10_000, 70), ..Doer::default() });
    for (count, items) in [(10_000, 3), (18_000, 5), (10, 1), (6_000, 2)] {
        doer.hosts = hosts(count, 70);
        let summary = desk.turn(&doer).unwrap();
        assert_eq!(summary.not_shown, None);
        let full = desk.items(VIEW).into_iter().filter(|(_, item)| item.body != "null");
        let names: Vec<String> = full.map(|(sort, _)| sort).collect();
        assert_eq!(names.len(), items, "{names:?}");
        let page = desk.page();
        assert_eq!(page["hosts"], Value::from(doer.hosts.clone()), "all of them, in order");
        assert_eq!(page["waits"], Value::from(Vec::<String>::new()));
    }
    let largest = *desk.largest.lock().unwrap();
    assert!((200_000..=300_000).contains(&largest), "{largest}");
}

#[test]
fn a_snapshot_that_does_not_change_is_not_written_again_in_parts_either() {
    let (desk, doer) = (Desk::new(), Doer { hosts: hosts(10_000, 70), ..Doer::default() });
    desk.turn(&doer).unwrap();
    desk.turn(&doer).unwrap();
    let versions: Vec<u64> = desk.items(VIEW).into_iter().map(|(_, item)| item.version).collect();
    assert_eq!(versions, [1, 1, 1]);
    assert_eq!(desk.page()["at"], "1970-01-01T00:02:00Z");
}

#[test]
fn parts_of_another_snapshot_are_left_out_and_the_page_says_so() {
    let (desk, mut doer) = (Desk::new(), Doer { hosts: hosts(10_000, 70), ..Doer::default() });
    desk.turn(&doer).unwrap();
    let old = desk.items("view#microscale#1").remove(0).1;
    doer.hosts.reverse();
    desk.turn(&doer).unwrap();
    let key = Key { fleet: fleet(), sort: "view#microscale#1".to_owned() };
    desk.kept.lock().unwrap().insert(key.clone(), old);
    let whole = doer.hosts.len();
    let page = desk.page();
    assert_eq!(page["hosts"].as_array().unwrap().len(), whole - whole.div_ceil(3));
    assert_eq!(page["waits"][0], "1 of 2 parts of the hosts were just written anew: look again");
    desk.kept.lock().unwrap().remove(&key);
    assert_eq!(desk.page()["waits"][0], page["waits"][0], "nor is one that is missing passed over");
}

#[test]
fn what_there_is_no_room_for_is_left_out_and_counted() {
    let (desk, doer) = (Desk::new(), Doer { hosts: hosts(40_000, 80), waits: 1_000, ..Doer::default() });
    assert_eq!(desk.turn(&doer).unwrap().not_shown, None);
    let page = desk.page();
    let shown = page["hosts"].as_array().unwrap().len();
    assert!((15_000..25_000).contains(&shown), "{shown}");
    let waits = page["waits"].as_array().unwrap();
    assert_eq!(waits[0], format!("{} hosts are left out of the page: there is no room for them", 40_000 - shown));
    assert_eq!((waits.len(), waits.last().unwrap()), (302, &Value::from("700 more")));
}

#[test]
fn a_snapshot_that_is_too_large_without_hosts_is_dropped() {
    let (desk, doer) = (Desk::new(), Doer { hosts: hosts(1, 3_000_000), ..Doer::default() });
    let summary = desk.turn(&doer).unwrap();
    assert_eq!(summary.not_shown, None, "the one host is left out");
    assert_eq!(desk.page()["waits"][0], "1 hosts are left out of the page: there is no room for them");
}

#[test]
fn thousands_of_steps_are_recorded_before_the_first_is_taken() {
    let (desk, doer) = (Desk::new(), Doer { steps: 5_000, ..Doer::default() });
    let summary = desk.turn(&doer).unwrap();
    assert_eq!((summary.decisions.len(), summary.left), (3_000, 2_000));
    let state: Counted = serde_json::from_str(&desk.item(STATE).body).unwrap();
    assert_eq!((state.done, state.left), (3_000, 2_000));
    let records = desk.items("decision#");
    assert_eq!(records.len(), 10);
    let of = |item: &Item| serde_json::from_str::<Vec<Decision>>(&item.body).unwrap();
    let decisions: Vec<Decision> = records.iter().flat_map(|(_, item)| of(item)).collect();
    assert_eq!(decisions, summary.decisions);
    assert!(matches!(&decisions[0].outcome, Outcome::Failed(because) if because.len() < 600));
    assert!(records.iter().all(|(_, item)| item.body.len() < 400 * 1024), "whatever is in them");
}

#[test]
fn a_feed_that_is_not_understood_does_not_undo_what_was_done() {
    let (desk, doer) = (Desk::new(), Doer { steps: 1, ..Doer::default() });
    let key = feed_key(&fleet(), FUNCTION);
    desk.kept.lock().unwrap().insert(key, Item { version: 1, body: "{".to_owned() });
    let summary = desk.turn(&doer).unwrap();
    assert!(summary.not_shown.is_some(), "{summary:?}");
    assert_eq!(serde_json::from_str::<Counted>(&desk.item(STATE).body).unwrap().done, 1);
}

#[test]
fn states_are_under_their_keys() {
    assert_eq!(state_key(&fleet(), FUNCTION).sort, STATE);
}
