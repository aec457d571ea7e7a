//! The loop and the fleet file, with a function that only watches.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use evenkeel_model::decision::{Decision, Outcome, Planned, Step, Why};
use evenkeel_model::report::Report;
use evenkeel_model::{Fleet, FleetName, FunctionName, Timestamp};
use evenkeel_turn::ledger::{Expect, Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{Answer, Clock, FleetFiles, Ledger, PortError};
use evenkeel_turn::{
    Applied, Call, FleetCache, Function, Given, HandleError, Limits, Memory, NoticeKind, Notices, Outlook, Pushed,
    Remembers, Snapshot, Summary, TurnError, push_demand, run,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

const GOOD: &str = include_str!("../../../infra/fleets/demo.toml");
const BROKEN: &str = "name = \"demo\"\n";
const LIMITS: Limits = Limits { budget: Duration::from_secs(20), lease: Duration::from_secs(30) };

const LEASE: &str = "turn#lease#microscale";

/// A good file that differs.
fn other() -> String {
    let other = GOOD.replace("maximum = 3", "maximum = 4");
    assert_ne!(other, GOOD, "the demo fleet's file changed");
    other
}

/// A parameter that is read and counted, a clock that moves with every look at it, and a ledger.
struct Desk {
    text: Mutex<Answer<String>>,
    reads: Mutex<u32>,
    now: Mutex<Timestamp>,
    kept: Mutex<BTreeMap<Key, Item>>,
    /// What the lease is when news has been left: its holder went on meanwhile.
    lease_after_news: Mutex<Option<serde_json::Value>>,
    /// Another turn takes the lease and gives it back before the next one that asks for it.
    somebody_was_first: Mutex<Option<()>>,
}

impl Clock for Desk {
    fn now(&self) -> Timestamp {
        let mut now = self.now.lock().unwrap();
        *now += Duration::from_millis(1);
        *now
    }

    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send {
        *self.now.lock().unwrap() += length;
        ready(())
    }
}

impl FleetFiles for Desk {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        *self.reads.lock().unwrap() += 1;
        self.text.lock().unwrap().clone()
    }
}

impl Ledger for Desk {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let kept = self.kept.lock().unwrap();
        Ok(keys.iter().map(|key| kept.get(key).cloned()).collect())
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        let mut kept = self.kept.lock().unwrap();
        let of_kind = |kind: &str| writes.iter().any(|write| write.key.sort.starts_with(kind));
        let version = |kept: &BTreeMap<Key, Item>, key: &Key| kept.get(key).map_or(0, |item| item.version);
        for Write { key, expect, .. } in &writes {
            let fits = match expect {
                Expect::Anything => true,
                Expect::Absent => version(&kept, key) == 0,
                Expect::Version(expected) => version(&kept, key) == *expected,
            };
            if !fits {
                return Err(LedgerError::Conflict);
            }
        }
        if self.somebody_was_first.lock().unwrap().take_if(|_| of_kind(LEASE)).is_some() {
            kept.iter_mut().filter(|(key, _)| key.sort == LEASE).for_each(|(_, item)| item.version += 2);
            return Err(LedgerError::Conflict);
        }
        if let Some(lease) = self.lease_after_news.lock().unwrap().take_if(|_| of_kind("turn#notices")) {
            let held = kept.iter_mut().find(|(key, _)| key.sort == LEASE);
            let (_, item) = held.unwrap();
            *item = Item { version: item.version + 2, body: lease.to_string() };
        }
        for Write { key, body, .. } in writes {
            let version = version(&kept, &key) + 1;
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
            text: Mutex::new(Ok(GOOD.to_owned())),
            reads: Mutex::new(0),
            now: Mutex::new(Timestamp::UNIX_EPOCH),
            kept: Mutex::new(BTreeMap::new()),
            lease_after_news: Mutex::new(None),
            somebody_was_first: Mutex::new(None),
        }
    }

    fn edit(&self, text: &str) {
        *self.text.lock().unwrap() = Ok(text.to_owned());
    }

    /// From now on the parameter is not read.
    fn fails(&self, error: PortError) {
        *self.text.lock().unwrap() = Err(error);
    }

    fn lease(&self) -> serde_json::Value {
        let kept = self.kept.lock().unwrap();
        let lease = kept.iter().find(|(key, _)| key.sort == LEASE);
        serde_json::from_str(&lease.unwrap().1.body).unwrap()
    }

    fn reads(&self) -> u32 {
        *self.reads.lock().unwrap()
    }

    fn later(&self, seconds: u64) {
        *self.now.lock().unwrap() += Duration::from_secs(seconds);
    }

    /// A turn of a process some seconds later: the most hosts by its file, and what it did.
    fn turn(&self, process: &FleetCache, seconds: u64) -> (u32, Summary) {
        self.later(seconds);
        let watcher = Watcher::default();
        let call = Call { holder: "somebody", limits: LIMITS, news: &Notices::default(), beat: false };
        let summary = run(&watcher, self, process, call).now_or_never().unwrap().unwrap();
        let maximum = watcher.maximum.lock().unwrap().expect("a plan was made");
        (maximum, summary)
    }
}

/// Sees when it looked, and notes by which file it planned.
#[derive(Default)]
struct Watcher {
    maximum: Mutex<Option<u32>>,
    looks: Mutex<u32>,
    /// A look takes no time.
    quick: bool,
    /// What happens while it looks for the first time.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Meanwhile = Box<dyn FnOnce(&Desk) + Send>;

impl Watcher {
    /// A turn in which something happens while it looks.
    fn turn(desk: &Desk, meanwhile: impl FnOnce(&Desk) + Send + 'static) -> Result<Summary, HandleError> {
        let watcher = Self { meanwhile: Mutex::new(Some(Box::new(meanwhile))), ..Self::default() };
        let call = Call { holder: "somebody", limits: LIMITS, news: &Notices::default(), beat: false };
        run(&watcher, desk, &process(), call).now_or_never().unwrap()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Nothing {}

impl Remembers for Nothing {
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

impl Function<Desk> for Watcher {
    const NAME: FunctionName = FunctionName::Microscale;
    type State = Nothing;
    type Seen = Timestamp;
    type View = Shown;

    async fn observe(&self, given: &Given<'_, Nothing>, desk: &Desk, _: Timestamp, _: &Memory) -> Answer<Timestamp> {
        if !self.quick {
            desk.later(1);
        }
        *self.looks.lock().unwrap() += 1;
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile(desk);
        }
        Ok(given.now)
    }

    fn plan(&self, given: &Given<'_, Nothing>, seen: &Timestamp) -> Outlook<Nothing> {
        assert_eq!(given.now, *seen, "the plan is made for another moment than the look");
        *self.maximum.lock().unwrap() = Some(given.fleet.hosts.maximum);
        let report = Report::default();
        Outlook { steps: Vec::new(), report, state: Nothing {}, budget: None, wakes: Vec::new() }
    }

    async fn apply(&self, _: &Fleet, planned: &Planned, _: &Desk) -> Answer<()> {
        Err(PortError::Refused(planned.step.to_string()))
    }

    fn settle(&self, _: &mut Nothing, _: &Applied<'_>) {}

    fn view(&self, given: &Given<'_, Nothing>, _: &Timestamp, _: &Outlook<Nothing>) -> Option<Shown> {
        Some(Shown { at: given.now, waits: Vec::new(), hosts: Vec::new() })
    }
}

fn process() -> FleetCache {
    FleetCache::new(FleetName::new("demo").unwrap())
}

#[test]
fn a_plan_is_made_for_the_moment_of_its_look() {
    // A look takes a second here, and from the second turn on it is taken while the lease is claimed.
    let (desk, process) = (Desk::new(), process());
    for _ in 0..3 {
        let (_, summary) = desk.turn(&process, 10);
        assert!(summary.held);
        assert_eq!(summary.rounds, 1);
    }
}

#[test]
fn a_file_is_read_once_a_minute_and_a_broken_one_until_it_is_mended() {
    let (desk, process) = (Desk::new(), process());
    let look = |seconds| {
        let refused = desk.turn(&process, seconds).1.fleet_file_refused;
        (refused.is_some(), desk.reads())
    };
    assert_eq!(look(0), (false, 1));
    desk.edit(BROKEN);
    assert_eq!(look(50), (false, 1), "not looked at yet");
    assert_eq!(look(10), (true, 2), "refused, and the last good one is in force");
    assert_eq!(look(1), (true, 3));
    desk.edit(GOOD);
    assert_eq!(look(1), (false, 4), "mended at once");
    assert_eq!(look(50), (false, 4));
}

#[test]
fn processes_work_by_the_same_file() {
    let (desk, first, second) = (Desk::new(), process(), process());
    assert_eq!(desk.turn(&first, 0).0, 3);
    assert_eq!(desk.turn(&second, 50).0, 3);
    desk.edit(&other());
    assert_eq!(desk.turn(&second, 1).0, 3, "nobody has looked at the file");
    assert_eq!(desk.turn(&first, 10).0, 4, "a minute is over");
    assert_eq!(desk.turn(&second, 1).0, 4, "its minute is not, but the ledger says that there is another file");
    let reads = desk.reads();
    for _ in 0..5 {
        assert_eq!(desk.turn(&first, 1).0, 4);
        assert_eq!(desk.turn(&second, 1).0, 4);
    }
    assert_eq!(desk.reads(), reads, "they agree");
    // Back again, and seen first by a third.
    desk.edit(GOOD);
    assert_eq!(desk.turn(&process(), 1).0, 3);
    assert_eq!([&first, &second].map(|process| desk.turn(process, 1).0), [3, 3]);
}

#[test]
fn a_process_that_read_an_old_file_last_does_not_win() {
    // The second reads the parameter before the edit and tells the ledger after the first has read the new one.
    let (desk, first, second) = (Desk::new(), process(), process());
    desk.edit(&other());
    assert_eq!(desk.turn(&first, 0).0, 4);
    desk.edit(GOOD);
    assert_eq!(desk.turn(&second, 1).0, 3);
    desk.edit(&other());
    let reads = desk.reads();
    assert_eq!(desk.turn(&first, 1).0, 4, "the file says so");
    assert_eq!(desk.reads(), reads + 1);
    assert_eq!(desk.turn(&first, 1).0, 4);
    assert_eq!(desk.reads(), reads + 1, "and so does the ledger now");
    assert_eq!(desk.turn(&second, 1).0, 4);
}

#[test]
fn a_process_with_a_broken_file_takes_the_good_one_that_another_found() {
    let (desk, first, second) = (Desk::new(), process(), process());
    assert_eq!(desk.turn(&first, 0).0, 3);
    assert_eq!(desk.turn(&second, 0).0, 3);
    desk.edit(BROKEN);
    assert!(desk.turn(&first, 61).1.fleet_file_refused.is_some());
    desk.edit(&other());
    assert_eq!(desk.turn(&second, 1).0, 4);
    desk.edit(BROKEN);
    let (maximum, summary) = desk.turn(&first, 1);
    assert!(summary.fleet_file_refused.is_some());
    assert_eq!(maximum, 4, "the last good one");
}

#[test]
fn whatever_becomes_of_the_parameter_the_last_good_file_stays_in_force() {
    let (desk, process) = (Desk::new(), process());
    assert_eq!(desk.turn(&process, 0).0, 3);
    let other_fleet = GOOD.replacen("name = \"demo\"", "name = \"demonstration\"", 1);
    assert_ne!(other_fleet, GOOD, "the demo fleet's file changed");
    let denied = || PortError::Refused("AccessDeniedException".to_owned());
    let refused = |process: &FleetCache| {
        let (maximum, summary) = desk.turn(process, 61);
        assert_eq!(maximum, 3);
        summary.fleet_file_refused
    };
    desk.edit(&other_fleet);
    assert_eq!(refused(&process).as_deref(), Some("it is the file of fleet demonstration"));
    for (error, says) in
        [(denied(), "refused: AccessDenied"), (PortError::NotFound("parameter".to_owned()), "not found")]
    {
        desk.fails(error);
        // A process that has worked by the file, and one that begins.
        for process in [&process, &self::process()] {
            let said = refused(process).unwrap_or_default();
            assert!(said.starts_with("it could not be read: ") && said.contains(says), "{said:?}");
        }
    }
    desk.fails(PortError::Throttled);
    assert_eq!(refused(&self::process()).as_deref(), Some("it could not be read: throttled"));
    desk.edit(GOOD);
    assert_eq!(refused(&process), None);
}

#[test]
fn without_any_good_file_the_turn_ends_with_the_reason() {
    let desk = Desk::new();
    desk.fails(PortError::NotFound("parameter".to_owned()));
    let call = Call { holder: "somebody", limits: LIMITS, news: &Notices::default(), beat: false };
    let ended = run(&Watcher::default(), &desk, &process(), call).now_or_never().unwrap();
    assert!(matches!(ended, Err(HandleError::Fleet(_))), "{ended:?}");
}

#[test]
fn who_is_woken_all_the_time_looks_five_times_and_then_once_a_second() {
    let (desk, process, news) = (Desk::new(), process(), Notices::default());
    let watcher = Watcher { quick: true, ..Watcher::default() };
    let began = *desk.now.lock().unwrap();
    for _ in 0..12 {
        let call = Call { holder: "somebody", limits: LIMITS, news: &news, beat: false };
        assert!(run(&watcher, &desk, &process, call).now_or_never().unwrap().unwrap().held);
    }
    let took = desk.now.lock().unwrap().duration_since(began).as_secs();
    assert_eq!(*watcher.looks.lock().unwrap(), 12);
    assert!((6..=7).contains(&took), "{took} s");
}

#[test]
fn what_was_seen_before_another_turn_is_looked_at_again() {
    let (desk, process, news) = (Desk::new(), process(), Notices::default());
    let looks = |desk: &Desk| {
        let watcher = Watcher::default();
        let call = Call { holder: "somebody", limits: LIMITS, news: &news, beat: false };
        assert!(run(&watcher, desk, &process, call).now_or_never().unwrap().unwrap().held);
        desk.later(60);
        *watcher.looks.lock().unwrap()
    };
    assert_eq!((looks(&desk), looks(&desk)), (1, 1));
    *desk.somebody_was_first.lock().unwrap() = Some(());
    assert_eq!(looks(&desk), 2);
}

#[test]
fn news_that_is_left_while_the_holder_ends_is_not_lost() {
    let lease = |holder: Option<&str>, again: bool| serde_json::json!({ "holder": holder, "epoch": 9, "expires": "2026-01-05T00:01:00Z", "again": again });
    let mut news = Notices::default();
    news.add(&"spot-1".parse().unwrap(), NoticeKind::Interruption, "2026-01-05T00:00:00Z".parse().unwrap());
    // The lease is marked already when it is read. Until the news is left its holder has seen the mark, looked again and
    // ended; or it has not, and will look once more.
    for (after, held) in
        [(lease(None, false), true), (lease(Some("other"), true), false), (lease(Some("other"), false), false)]
    {
        let (desk, process) = (Desk::new(), process());
        *desk.now.lock().unwrap() = "2026-01-05T00:00:00Z".parse().unwrap();
        let key = Key { fleet: process.name().clone(), sort: LEASE.to_owned() };
        let body = lease(Some("other"), true).to_string();
        desk.kept.lock().unwrap().insert(key, Item { version: 5, body });
        *desk.lease_after_news.lock().unwrap() = Some(after.clone());
        let call = Call { holder: "somebody", limits: LIMITS, news: &news, beat: false };
        let summary = run(&Watcher::default(), &desk, &process, call).now_or_never().unwrap().unwrap();
        assert_eq!(summary.held, held, "{after}");
        assert!(held || desk.lease()["again"] == true, "{after}");
    }
}

#[test]
fn a_value_that_is_dated_in_the_future_is_one_of_now_and_gives_way_to_the_next() {
    let (desk, fleet) = (Desk::new(), FleetName::new("demo").unwrap());
    let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let key = Key::of(&fleet, "turn", "pushed-demand");
    let push = |value, at: Timestamp, seconds| {
        let values = BTreeMap::from([("web".parse().unwrap(), Pushed { value, at })]);
        let now = start + Duration::from_secs(seconds);
        push_demand(&desk, &fleet, &values, now).now_or_never().unwrap().unwrap();
        let kept: BTreeMap<String, Pushed> = serde_json::from_str(&desk.kept.lock().unwrap()[&key].body).unwrap();
        (kept["web"].value, kept["web"].at.duration_since(start).as_secs())
    };
    let far: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(push(900.0, far, 10), (900.0, 10));
    assert_eq!(push(300.0, start + Duration::from_secs(20), 20), (300.0, 20), "the next one counts");
    assert_eq!(push(500.0, start, 30), (300.0, 20), "a late one does not");
    // One that an earlier version has kept.
    let old = serde_json::json!({ "web": Pushed { value: 900.0, at: far } }).to_string();
    desk.kept.lock().unwrap().insert(key.clone(), Item { version: 9, body: old });
    assert_eq!(push(400.0, start + Duration::from_secs(40), 40), (400.0, 40));
}

/// Whether another process that is woken now takes a turn.
fn another_turns(desk: &Desk) -> bool {
    let call = Call { holder: "another", limits: LIMITS, news: &Notices::default(), beat: false };
    run(&Watcher::default(), desk, &process(), call).now_or_never().unwrap().unwrap().held
}

#[test]
fn whoever_is_woken_while_a_turn_is_taken_leaves_a_mark_and_the_holder_looks_again() {
    for earlier_turns in 0..2 {
        let desk = Desk::new();
        (0..earlier_turns).for_each(|_| assert!(another_turns(&desk)));
        let summary = Watcher::turn(&desk, |desk| assert!(!another_turns(desk), "two turns at once")).unwrap();
        assert_eq!((summary.held, summary.rounds), (true, 2));
        assert_eq!(desk.lease()["holder"], serde_json::Value::Null);
    }
}

#[test]
fn a_holder_that_was_thought_dead_is_told_that_it_saved_nothing() {
    let ended = Watcher::turn(&Desk::new(), |desk| {
        desk.later(LIMITS.lease.as_secs());
        assert!(another_turns(desk), "the lease had run out");
    });
    assert!(matches!(ended, Err(HandleError::Turn(TurnError::LeaseLost))), "{ended:?}");
}

/// Plans three steps, of which the second needs the first, and notes what becomes of them.
struct Doer {
    /// What the first answers.
    answer: Answer<()>,
    /// How long it takes.
    takes: u64,
}

/// What became of the steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Became(Vec<Outcome>);

impl Remembers for Became {
    fn still(&mut self, _: Timestamp) {}
    fn observed(&mut self, _: &Self) {}
    fn takes_over(&mut self) {}
}

impl Function<Desk> for Doer {
    const NAME: FunctionName = FunctionName::Microscale;
    type State = Became;
    type Seen = ();
    type View = Shown;

    async fn observe(&self, _: &Given<'_, Became>, _: &Desk, _: Timestamp, _: &Memory) -> Answer<()> {
        Ok(())
    }

    fn plan(&self, _: &Given<'_, Became>, (): &()) -> Outlook<Became> {
        let planned = |to, needs| Planned {
            step: Step::SetDesiredCount { service: "web".parse().unwrap(), from: 0, to },
            why: Why::Limits { want: to },
            needs,
            beside: false,
        };
        let steps = vec![planned(1, Vec::new()), planned(2, vec![0]), planned(3, Vec::new())];
        Outlook { steps, report: Report::default(), state: Became::default(), budget: None, wakes: Vec::new() }
    }

    async fn apply(&self, _: &Fleet, planned: &Planned, desk: &Desk) -> Answer<()> {
        assert_eq!(desk.decided(), [Outcome::Undone, Outcome::Undone, Outcome::Undone], "it is recorded before");
        let Step::SetDesiredCount { to: 1, .. } = planned.step else { return Ok(()) };
        desk.later(self.takes);
        self.answer.clone()
    }

    fn settle(&self, state: &mut Became, applied: &Applied<'_>) {
        state.0.push(applied.outcome.clone());
    }

    fn view(&self, _: &Given<'_, Became>, (): &(), _: &Outlook<Became>) -> Option<Shown> {
        None
    }
}

impl Desk {
    /// What is recorded of the newest decisions.
    fn decided(&self) -> Vec<Outcome> {
        let kept = self.kept.lock().unwrap();
        let record = kept.iter().rev().find(|(key, _)| key.sort.starts_with("decision#"));
        let decisions: Vec<Decision> = serde_json::from_str(&record.expect("a record").1.body).unwrap();
        decisions.into_iter().map(|decision| decision.outcome).collect()
    }

    /// What a turn of `doer` makes of its steps, as it is recorded and as it is remembered.
    fn done_by(&self, doer: &Doer) -> Vec<Outcome> {
        let call = Call { holder: "somebody", limits: LIMITS, news: &Notices::default(), beat: false };
        let summary = run(doer, self, &process(), call).now_or_never().unwrap().unwrap();
        let outcomes: Vec<Outcome> = summary.decisions.into_iter().map(|decision| decision.outcome).collect();
        assert_eq!(self.decided(), outcomes);
        let state = &self.kept.lock().unwrap()[&evenkeel_turn::state_key(process().name(), Doer::NAME)].body;
        assert_eq!(serde_json::from_str::<Became>(state).unwrap().0, outcomes);
        outcomes
    }
}

#[test]
fn what_becomes_of_each_step_is_recorded_and_remembered_and_no_step_is_taken_in_vain() {
    let done = Desk::new().done_by(&Doer { answer: Ok(()), takes: 1 });
    assert_eq!(done, [Outcome::Done, Outcome::Done, Outcome::Done]);
    let fails = Desk::new().done_by(&Doer { answer: Err(PortError::Refused("denied".to_owned())), takes: 1 });
    assert!(matches!(&fails[..], [Outcome::Failed(_), Outcome::Left(_), Outcome::Done]), "{fails:?}");
    let slow = Desk::new().done_by(&Doer { answer: Ok(()), takes: LIMITS.budget.as_secs() });
    assert!(matches!(&slow[..], [Outcome::Done, Outcome::Left(_), Outcome::Left(_)]), "{slow:?}");
}
