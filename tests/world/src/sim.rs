//! The world as a whole: takes one event after the other, and lets the turns go on that it concerns.

mod hands;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_backfill::{Backfill, BackfillView, handler as backfill};
use evenkeel_intake::{Reading, read};
use evenkeel_microscale::{Microscale, State, handler as microscale};
use evenkeel_model::fleet::{Fleet, Purchase, Service};
use evenkeel_model::observed::Observed;
use evenkeel_model::trigger::{Manual, Request, Trigger};
use evenkeel_model::view::{DecisionView, Moment, View};
use evenkeel_model::{FunctionName, Timestamp};
use evenkeel_patchroll::{Patchroll, handler as patchroll};
use evenkeel_turn::ledger::{Item, Key};
use evenkeel_turn::{
    FleetCache, HandleError, Limits, Summary, feed_key, lease_key, put_together, records_end, records_from, rest_of,
    shown, state_key, view_key,
};

use crate::account::Taken;
use crate::clock::{MINUTE, Ms};
use crate::core::{Core, Event, Message};
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

type Turn = Pin<Box<dyn Future<Output = Result<Option<Summary>, HandleError>> + Send>>;

/// A simulated cloud with its functions.
pub struct World {
    core: Arc<Mutex<Core>>,
    turns: BTreeMap<TurnNo, (Turn, Message)>,
    started: TurnNo,
    /// Patchroll's among them.
    roll_turns: TurnNo,
    /// What the process of each function keeps.
    processes: BTreeMap<FunctionName, Arc<FleetCache>>,
    seed: u64,
    tally: Tally,
    forget_at: Ms,
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
        let core = Core::new(fleet, setup, signals, faults, seed);
        Self {
            core: Arc::new(Mutex::new(core)),
            turns: BTreeMap::new(),
            started: 0,
            roll_turns: 0,
            processes: BTreeMap::new(),
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

    /// Patchroll's turns so far, those that were nothing for it included.
    #[must_use]
    pub const fn roll_turns(&self) -> u64 {
        self.roll_turns
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

    /// What the function's process keeps from turn to turn.
    fn process(&mut self, function: FunctionName) -> Arc<FleetCache> {
        let name = self.lock().fleet.name.clone();
        Arc::clone(self.processes.entry(function).or_insert_with(|| Arc::new(FleetCache::new(name))))
    }

    /// Functions are called in processes that know nothing from now on.
    pub fn begin_processes_anew(&mut self) {
        self.processes.clear();
        self.lock().newest.forget();
    }

    /// Tasks that looks by difference had missed, of all processes.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.processes.values().map(|process| process.memory().missed()).sum()
    }

    /// A window on the world for a turn that is nobody's message.
    pub(crate) fn window(&mut self, function: FunctionName) -> (Ports, Arc<FleetCache>) {
        self.started += 1;
        (Ports::new(Arc::clone(&self.core), self.started, function), self.process(function))
    }

    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Resume(turn) => self.resume(turn),
            Event::Deliver(message) => self.deliver(&message),
            Event::Tick => self.tick(),
            Event::Reconcile(service) => self.lock().reconcile(service),
            Event::Runs(task) => self.lock().runs(task),
            Event::Ended(task) => self.lock().ended(task),
            Event::Remember(task) => self.lock().remember(task),
            Event::Demand(service) => self.lock().demand_changes(service),
            Event::Push(service) => self.lock().push(service),
            Event::Alarms => self.lock().evaluate_alarms(),
            Event::Load => self.lock().publish_load(),
            Event::Trouble(trouble) => self.lock().trouble(trouble),
            Event::GroupLooks(group) => self.lock().adjust(group),
            Event::WarmsUp(group) => self.lock().warms_up(group),
            Event::WarmEnds(group, instance) => self.lock().warm_ends(group, &instance),
            Event::Market(group) => self.lock().market(group),
            Event::InService(host) => self.lock().in_service(host),
            Event::Abandoned(host) => self.lock().abandoned(host),
            Event::Works(host) => self.lock().works(host),
            Event::Taken(host) => self.lock().taken(host),
            Event::Ends(host) => self.lock().ends(host),
            Event::Missed(host) => self.lock().missed(host),
            Event::Checked(host) => self.lock().checked(host),
            Event::Sick(host) => self.lock().sick(host),
            Event::Built(builder) => self.lock().built(builder),
            Event::Made(image) => self.lock().made(&image),
            Event::Refreshes(group) => self.lock().refreshes(group),
            Event::Patch => self.lock().patch(),
        }
    }

    fn tick(&mut self) {
        let forget = self.now() >= self.forget_at;
        let mut core = self.lock();
        let now = core.now;
        if forget {
            core.table.forget(now);
        }
        core.audit_leases();
        core.audit_leftovers();
        core.send_tick();
        core.at((now / MINUTE + 1) * MINUTE, Event::Tick);
        drop(core);
        if forget {
            self.forget_at = now + FORGET;
        }
    }

    /// A message reaches the function: one turn for each trigger in it.
    fn deliver(&mut self, message: &Message) {
        if self.lock().does_not_run(message.to) {
            let asks =
                |trigger: &Trigger| matches!(trigger, Trigger::Manual(Manual { request: Request::Roll { .. }, .. }));
            let mut core = self.lock();
            let known = &mut core.audit.liveness;
            let passed_over = message.to == FunctionName::Patchroll && known.is_off(message.to);
            if passed_over && read(&message.bytes).triggers().any(asks) {
                known.unheard();
            }
            return;
        }
        for item in read(&message.bytes).items {
            match item.reading {
                Ok(Reading::Trigger(trigger)) => {
                    self.started += 1;
                    let turn = self.started;
                    let rolls = message.to == FunctionName::Patchroll;
                    self.roll_turns += u64::from(rolls);
                    let of_roll = rolls.then_some(self.roll_turns);
                    let about_a_host = matches!(trigger, Trigger::SpotInterruption(_));
                    let ports = Ports::new(Arc::clone(&self.core), turn, message.to);
                    let trigger = trigger.sent_as(&format!("request-{}", message.id));
                    let work = work(message.to, ports, self.process(message.to), trigger, format!("turn-{turn}"));
                    {
                        let mut core = self.lock();
                        let at = core.now;
                        let Core { faults, rng, under, .. } = &mut *core;
                        let begun = under.entry(turn).or_default();
                        begun.kill_at = faults.kill_at(turn, of_roll, rng.own(message.to).faults);
                        begun.timed = about_a_host;
                        begun.chain = message.chain;
                        begun.began = at;
                    }
                    self.turns.insert(turn, (work, message.clone()));
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

    fn end(&mut self, turn: TurnNo, result: Option<Result<Option<Summary>, HandleError>>) {
        let Some((_, message)) = self.turns.remove(&turn) else { return };
        let mut core = self.lock();
        let under = core.under.remove(&turn).unwrap_or_default();
        let summary = match &result {
            Some(Ok(summary)) => summary.as_ref(),
            Some(Err(_)) | None => None,
        };
        let now = core.now;
        let counts = core.cluster.services.iter().map(|service| (service.name.clone(), service.desired)).collect();
        core.audit.turn_ended(turn, &under, summary, &counts, now);
        core.audit.liveness.turn_ended(message.to, &under, summary.is_some_and(|summary| summary.held));
        drop(core);
        let held = summary.is_none_or(|summary| summary.held);
        let tally = &mut self.tally;
        match result {
            None => tally.killed += 1,
            Some(Ok(Some(_))) if held => tally.turns += 1,
            Some(Ok(Some(_))) => tally.marked += 1,
            Some(Ok(None)) => tally.ignored += 1,
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
            if message.to == FunctionName::Patchroll {
                self.lock().audit.liveness.unheard();
            }
            return;
        }
        let mut core = self.lock();
        core.after(MINUTE * Ms::from(tries), Event::Deliver(Message { tries, ..message }));
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
        let key = state_key(&self.lock().fleet.name, FunctionName::Microscale);
        self.stored(&key).unwrap_or_default()
    }

    /// Notes from now on when its calls take from the account's buckets.
    pub fn note_calls(&mut self) {
        self.lock().apis.noted = Some(Vec::new());
    }

    /// The calls that were noted.
    #[must_use]
    pub fn noted_calls(&self) -> Vec<Taken> {
        self.lock().apis.noted.clone().unwrap_or_default()
    }

    /// What was measured so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::of(&self.lock(), self.seed, self.tally)
    }

    /// The snapshot that the page reads, with its decisions; none before the first turn has saved one.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let file = Arc::clone(&self.lock().fleet);
        let fleet = file.name.clone();
        let mut view: View = if file.cluster.is_some() {
            self.shown(FunctionName::Microscale)?
        } else {
            // Without a cluster there are no tasks to show, only hosts and decisions.
            let seen = self.backfill_view().map(|view| view.at).max(self.patch_view().map(|view| view.at));
            View::empty(&file, seen?)
        };
        let mut decisions: Vec<DecisionView> = Vec::new();
        for function in [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll] {
            decisions.extend(self.stored::<Vec<DecisionView>>(&feed_key(&fleet, function)).unwrap_or_default());
        }
        decisions.sort_by_key(|one| std::cmp::Reverse(one.decision.at));
        decisions.truncate(View::MOST_DECISIONS);
        view.decisions = decisions;
        Some(view)
    }

    /// What backfill shows; none before its first turn.
    #[must_use]
    pub fn backfill_view(&self) -> Option<BackfillView> {
        self.shown(FunctionName::Backfill)
    }

    /// What a function shows, as of its last look.
    pub(crate) fn shown<T: serde::de::DeserializeOwned>(&self, function: FunctionName) -> Option<T> {
        let core = self.lock();
        let found = core.table.get(&[view_key, lease_key].map(|key| key(&core.fleet.name, function)));
        let [view, lease] = found.as_slice() else { return None };
        let mut view = shown(view.as_ref()?, lease.as_ref()).ok()?;
        let rest = core.table.get(&rest_of(&view, &core.fleet.name, function));
        drop(core);
        put_together(&mut view, &rest);
        serde_json::from_value(view).ok()
    }

    /// How often the item under `key` was written; none before its first time.
    #[must_use]
    pub fn item_version(&self, key: &Key) -> Option<u64> {
        self.lock().table.get(std::slice::from_ref(key)).pop().flatten().map(|item| item.version)
    }

    /// What the table holds under `keys`, in their order.
    #[must_use]
    pub fn items(&self, keys: &[Key]) -> Vec<Option<Item>> {
        self.lock().table.get(keys)
    }

    /// The bodies of the rounds that were recorded at `since` and later, newest first.
    #[must_use]
    pub fn records(&self, since: Timestamp) -> Vec<String> {
        let core = self.lock();
        let (from, to) = (records_from(&core.fleet.name, since), records_end(&core.fleet.name));
        core.table.between(&from, &to)
    }

    pub(crate) fn stored<T: serde::de::DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let item = self.lock().table.get(std::slice::from_ref(key)).pop().flatten()?;
        serde_json::from_str(&item.body).ok()
    }

    /// What the hosts cost in an hour now, and what they would if all were on-demand, in USD.
    #[must_use]
    pub fn usd_an_hour(&self) -> (f64, f64) {
        let core = self.lock();
        core.cloud.usd_an_hour(core.setup.spot.price_per_mille)
    }

    /// Capacity units that take work now and are bought like this; `Mixed` is the on-demand base of mixed groups.
    #[must_use]
    pub fn working(&self, purchase: Purchase) -> u32 {
        self.lock().cloud.working(|one| one == purchase)
    }
}

/// One invocation of a function.
fn work(to: FunctionName, ports: Ports, fleets: Arc<FleetCache>, trigger: Trigger, holder: String) -> Turn {
    Box::pin(async move {
        match to {
            FunctionName::Backfill => match Backfill.handle(&ports, &fleets, &trigger, &holder, LIMITS).await? {
                backfill::Handled::Turned(summary) => Ok(Some(*summary)),
                backfill::Handled::NotForUs | backfill::Handled::Refused(_) | backfill::Handled::Planned(_) => Ok(None),
            },
            FunctionName::Microscale => match Microscale.handle(&ports, &fleets, &trigger, &holder, LIMITS).await? {
                microscale::Handled::Turned(summary) => Ok(Some(*summary)),
                microscale::Handled::NotForUs | microscale::Handled::Refused(_) | microscale::Handled::Planned(..) => {
                    Ok(None)
                }
            },
            FunctionName::Patchroll => match Patchroll.handle(&ports, &fleets, &trigger, &holder, LIMITS).await? {
                patchroll::Handled::Turned(summary) => Ok(Some(*summary)),
                patchroll::Handled::NotForUs | patchroll::Handled::Refused(_) | patchroll::Handled::Planned(_) => {
                    Ok(None)
                }
            },
        }
    })
}
