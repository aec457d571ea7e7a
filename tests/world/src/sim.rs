//! The world as a whole: takes one event after the other, and lets the turns go on that it concerns.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_intake::{Reading, read};
use evenkeel_microscale::handler::{HandleError, Handled};
use evenkeel_microscale::{Microscale, State};
use evenkeel_model::FunctionName;
use evenkeel_model::fleet::{Fleet, Service};
use evenkeel_model::observed::Observed;
use evenkeel_model::view::{DecisionView, Moment, View};
use evenkeel_turn::ledger::Key;
use evenkeel_turn::{FleetCache, Limits, feed_key, view_key};

use crate::clock::{MINUTE, Ms};
use crate::core::{Core, Event};
use crate::demand::Walk;
use crate::faults::Faults;
use crate::report::Report;
use crate::setup::Setup;
use crate::signals::{Signals, Source};
use crate::turns::{Ports, TurnNo};

/// Microscale's limits: a Lambda timeout of 12 s, of which the turn uses 10; the lease outlives the timeout by a little.
pub const LIMITS: Limits = Limits { budget: Duration::from_secs(10), lease: Duration::from_secs(15) };
/// The table's TTL is looked at this often; DynamoDB takes up to days.
const FORGET: Ms = 60 * MINUTE;
/// Lambda tries an asynchronous invocation twice more, after one and two minutes.
const MOST_TRIES: u32 = 3;

type Turn = Pin<Box<dyn Future<Output = Result<Handled, HandleError>> + Send>>;

/// A simulated cloud with its functions.
pub struct World {
    core: Arc<Mutex<Core>>,
    turns: BTreeMap<TurnNo, (Turn, Message)>,
    started: TurnNo,
    fleets: Arc<FleetCache>,
    seed: u64,
    tally: Tally,
    forget_at: Ms,
}

/// A message that a turn works on.
#[derive(Clone)]
struct Message {
    bytes: Arc<[u8]>,
    tries: u32,
}

/// How turns ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Turns that were taken.
    pub turns: u64,
    /// Wake-ups that found another turn under way.
    pub marked: u64,
    /// Turns that were killed.
    pub killed: u64,
    /// Turns that ended with an error.
    pub failed: u64,
    /// Messages that were given up after the last try.
    pub dead_letters: u64,
    /// Messages that were nothing for this function.
    pub ignored: u64,
    /// Messages that could not be read.
    pub malformed: u64,
}

impl World {
    /// A world at its beginning. `source` gives each service its demand.
    pub fn new(
        fleet: Fleet,
        setup: Setup,
        seed: u64,
        faults: Faults,
        source: impl FnMut(&Service) -> Option<Source>,
    ) -> Self {
        let signals = Signals::new(&fleet, source);
        let fleets = Arc::new(FleetCache::new(fleet.name.clone()));
        let core = Core::new(fleet, setup, signals, faults, seed);
        Self {
            core: Arc::new(Mutex::new(core)),
            turns: BTreeMap::new(),
            started: 0,
            fleets,
            seed,
            tally: Tally::default(),
            forget_at: FORGET,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // The world is never shared with a thread that could panic while it holds the lock.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the world began.
    #[must_use]
    pub fn now(&self) -> Ms {
        self.lock().now
    }

    /// How turns ended so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Lets everything happen that happens until `end`.
    pub fn run_until(&mut self, end: Ms) {
        loop {
            let event = {
                let mut core = self.lock();
                match core.next_at() {
                    Some(at) if at <= end => core.next(),
                    _ => {
                        core.pass(end);
                        return;
                    }
                }
            };
            if let Some(event) = event {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Resume(turn) => self.resume(turn),
            Event::Deliver { bytes, tries } => self.deliver(Message { bytes, tries }),
            Event::Tick => self.tick(),
            Event::Reconcile(service) => self.lock().reconcile(service),
            Event::Runs(task) => self.lock().runs(task),
            Event::Ended(task) => self.lock().ended(task),
            Event::Remember(task) => self.lock().remember(task),
            Event::Demand(service) => self.lock().demand_changes(service),
            Event::Push(service) => self.lock().push(service),
            Event::Alarms => self.lock().evaluate_alarms(),
            Event::Trouble(trouble) => self.lock().trouble(trouble),
        }
    }

    fn tick(&mut self) {
        let forget = self.now() >= self.forget_at;
        let mut core = self.lock();
        let now = core.now;
        if forget {
            core.table.forget(now);
        }
        core.send_tick();
        core.at((now / MINUTE + 1) * MINUTE, Event::Tick);
        drop(core);
        if forget {
            self.forget_at = now + FORGET;
        }
    }

    /// A message reaches the function: one turn for each trigger in it.
    fn deliver(&mut self, message: Message) {
        for item in read(&message.bytes).items {
            match item.reading {
                Ok(Reading::Trigger(trigger)) => {
                    self.started += 1;
                    let turn = self.started;
                    let ports = Ports::new(Arc::clone(&self.core), turn);
                    let fleets = Arc::clone(&self.fleets);
                    let work = async move {
                        let holder = format!("turn-{turn}");
                        Microscale.handle(&ports, &fleets, &trigger, &holder, LIMITS).await
                    };
                    {
                        let mut core = self.lock();
                        let Core { faults, rng, under, .. } = &mut *core;
                        under.entry(turn).or_default().kill_at = faults.kill_at(turn, &mut rng.faults);
                    }
                    self.turns.insert(turn, (Box::pin(work), message.clone()));
                    self.resume(turn);
                }
                Ok(Reading::Unknown { .. }) => self.tally.ignored += 1,
                Err(_) => self.tally.malformed += 1,
            }
        }
    }

    /// Lets a turn go on until its next call.
    fn resume(&mut self, turn: TurnNo) {
        let Some((work, _)) = self.turns.get_mut(&turn) else { return };
        let mut context = Context::from_waker(Waker::noop());
        let polled = work.as_mut().poll(&mut context);
        let killed = self.lock().under.get(&turn).is_some_and(|under| under.killed);
        match polled {
            _ if killed => self.end(turn, None),
            Poll::Pending => {}
            Poll::Ready(result) => self.end(turn, Some(result)),
        }
    }

    fn end(&mut self, turn: TurnNo, result: Option<Result<Handled, HandleError>>) {
        let Some((_, message)) = self.turns.remove(&turn) else { return };
        let mut core = self.lock();
        let under = core.under.remove(&turn).unwrap_or_default();
        let summary = match &result {
            Some(Ok(Handled::Turned(summary))) => Some(summary),
            Some(Ok(Handled::NotForUs | Handled::Planned(..)) | Err(_)) | None => None,
        };
        let now = core.now;
        core.audit.turn_ended(turn, &under, summary, now);
        drop(core);
        let held = summary.is_none_or(|summary| summary.held);
        let tally = &mut self.tally;
        match result {
            None => tally.killed += 1,
            Some(Ok(Handled::Turned(_))) if held => tally.turns += 1,
            Some(Ok(Handled::Turned(_))) => tally.marked += 1,
            Some(Ok(Handled::NotForUs | Handled::Planned(..))) => tally.ignored += 1,
            Some(Err(_)) => tally.failed += 1,
        }
        let done = matches!(result, Some(Ok(_)));
        if !done {
            self.try_again(message);
        }
    }

    fn try_again(&mut self, message: Message) {
        let tries = message.tries + 1;
        if tries >= MOST_TRIES {
            self.tally.dead_letters += 1;
            return;
        }
        let mut core = self.lock();
        core.after(MINUTE * Ms::from(tries), Event::Deliver { bytes: message.bytes, tries });
    }

    /// What was wanted and what ran, over time.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        self.lock().measure.course.moments.clone()
    }

    /// What a turn of microscale would see now.
    #[must_use]
    pub fn observe(&self) -> Observed {
        self.lock().observe()
    }

    /// What microscale remembers.
    #[must_use]
    pub fn microscale_state(&self) -> State {
        let core = self.lock();
        let key = Key::of(&core.fleet.name, "state", FunctionName::Microscale);
        let item = core.table.get(&[key]).into_iter().next().flatten();
        item.and_then(|item| serde_json::from_str(&item.body).ok()).unwrap_or_default()
    }

    /// Sends every random demand up for some minutes.
    pub fn spike(&mut self) {
        self.steer(Walk::spike);
    }

    /// Lets every random demand fall for some minutes.
    pub fn calm(&mut self) {
        self.steer(Walk::calm);
    }

    fn steer(&mut self, how: impl Fn(&mut Walk)) {
        let mut core = self.lock();
        for service in 0..core.fleet.services.len() {
            if let Some(walk) = core.signals.walk(service) {
                how(walk);
            }
        }
    }

    /// What was measured so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::of(&self.lock(), self.seed, self.tally)
    }

    /// The snapshot that the page reads, with its decisions; none before the first turn has saved one.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let core = self.lock();
        let keys = [view_key(&core.fleet.name), feed_key(&core.fleet.name)];
        let mut items = core.table.get(&keys).into_iter();
        drop(core);
        let mut view: View = serde_json::from_str(&items.next()??.body).ok()?;
        let feed = items.next().flatten();
        let decisions: Option<Vec<DecisionView>> = feed.and_then(|feed| serde_json::from_str(&feed.body).ok());
        view.decisions = decisions.unwrap_or_default();
        Some(view)
    }
}
