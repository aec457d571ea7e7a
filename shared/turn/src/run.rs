//! The one loop: claim, observe, plan, record, apply, save, give back.

use std::time::Duration;

use evenkeel_model::decision::{Outcome, Planned};
use evenkeel_model::report::{Report, Wait};
use evenkeel_model::{Fleet, Timestamp};
use futures_util::future::{join, join_all};

use crate::account;
use crate::board::{
    Board, Borrow, Notices, Tell, Told, held_key, leave, notices_key, orders_key, pushed_key, retried_key,
};
use crate::body::{parse, to_json};
use crate::budget::Budget;
use crate::call::{Call, Limits};
use crate::cluster::Memory;
use crate::error::{HandleError, TurnError};
use crate::files::{FleetCache, InForce};
use crate::found::{Found, state_key};
use crate::function::{Applied, Function, Given, Outlook, Remembers};
use crate::lease::{Claim, Handover, Kept, Lease, Pace};
use crate::ledger::{Expect, LedgerError, Write};
use crate::observe::{self, Would};
use crate::ports::{Clock, FleetFiles, Ledger, PortError};
use crate::reads::{self, AHEAD};
use crate::record::{MOST_STEPS, Record, failed, feed_key};
use crate::retry::{retry, retry_throttled};
use crate::save::Save;
use crate::summary::Summary;
use crate::view::snapshot;

/// A holder that is woken again and again gives the lease back after so many looks: a wake-up of its own takes over.
const MOST_ROUNDS: usize = 10;
/// A look takes two or three calls of Auto Scaling, whose API allows some five a second.
const PACE: Pace = Pace { every: Duration::from_secs(1), burst: 5 };

/// Takes a turn of `function` for the fleet of `fleets`.
///
/// The world is looked at while the lease is claimed: both only depend on what the ledger said, and seconds count when a
/// host is taken.
///
/// # Errors
/// [`HandleError`] when nothing could be decided or saved; steps that failed are in the summary instead.
pub async fn run<P, F>(function: &F, ports: &P, fleets: &FleetCache, call: Call<'_>) -> Result<Summary, HandleError>
where
    P: Clock + FleetFiles + Ledger,
    F: Function<P>,
{
    let mut turn = Turn::new(function, ports, fleets, call.limits, call.news).await?;
    let begun = turn.begin(fleets, &call).await?;
    let mut summary = Summary {
        fleet: fleets.name().clone(),
        function: F::NAME,
        mode: turn.fleet().mode_of(F::NAME),
        held: true,
        rests_until: None,
        rounds: 0,
        decisions: Vec::new(),
        unfinished: false,
        report: Report::default(),
        wakes: Vec::new(),
        missed: 0,
        left: 0,
        not_woken: None,
        not_shown: None,
        fleet_file_refused: turn.in_force.refused.as_ref().map(ToString::to_string),
    };
    let mut begun = match begun {
        Begins::Held(begun) => *begun,
        Begins::Marked => {
            summary.held = false;
            return Ok(summary);
        }
        Begins::Rests(until) => {
            summary.held = false;
            summary.rests_until = Some(until);
            return Ok(summary);
        }
    };
    loop {
        summary.rounds += 1;
        let may_go_again = summary.rounds < MOST_ROUNDS && ports.now() < turn.deadline;
        let round = turn.round(&begun.found, begun.look.take(), &mut begun.lease, &mut summary).await;
        let save = match round {
            // Another function took of the budget meanwhile: look again, as long as the lease is ours.
            Err(TurnError::Ledger(LedgerError::Conflict)) if may_go_again => {
                turn.read_again(&mut begun).await?;
                continue;
            }
            // What was seen is kept, and the next look goes on from there.
            Err(TurnError::Observe(PortError::Unfinished { seen, all })) => {
                summary.unfinished = true;
                summary.report.waits.push(Wait::FirstLook { seen, all });
                begun.lease.give_back(ports).await;
                return Ok(summary);
            }
            Err(error) => {
                // Whoever is woken next must not wait for a turn that is over; this one's own trigger comes again.
                begun.lease.give_back(ports).await;
                return Err(error.into());
            }
            Ok(save) => save,
        };
        let (handover, not_shown) = match save.and_hand_over(&begun.lease, ports).await {
            Ok(done) => done,
            Err(error) => {
                begun.lease.give_back(ports).await;
                return Err(TurnError::from(error).into());
            }
        };
        summary.not_shown = not_shown;
        begun.lease = match handover {
            Handover::Done => return Ok(summary),
            Handover::Lost => return Err(TurnError::LeaseLost.into()),
            Handover::Again(ours) => *ours,
        };
        if !may_go_again {
            summary.unfinished = true;
            begun.lease.give_back(ports).await;
            return Ok(summary);
        }
        turn.read_again(&mut begun).await?;
    }
}

/// Looks and plans, and changes nothing, not even the lease. `suppose` may change what is on the board: what would
/// happen if somebody asked for it.
///
/// # Errors
/// [`HandleError`] when the world, the fleet file or the ledger could not be read.
pub async fn dry_run<P, F>(
    function: &F,
    ports: &P,
    fleets: &FleetCache,
    limits: Limits,
    suppose: impl FnOnce(&mut Board) + Send,
) -> Result<(Outlook<F::State>, Option<F::View>), HandleError>
where
    P: Clock + FleetFiles + Ledger,
    F: Function<P>,
{
    let no_news = Notices::default();
    let mut turn = Turn::new(function, ports, fleets, limits, &no_news).await?;
    let found = turn.read().await?;
    turn.agree(fleets, &found).await?;
    let mut known = turn.known(&found)?;
    suppose(&mut known.board);
    let Look { at, seen } = turn.look_with(&known).await?;
    let given = known.given(turn.fleet(), at);
    let mut outlook = function.plan(&given, &seen);
    turn.say_what_was_refused(&mut outlook);
    let view = if turn.observes() {
        // How things are, and not how they would be.
        let mut as_it_is = outlook.clone();
        observe::take_no_step(function, &mut as_it_is, given.state, at);
        function.view(&given, &seen, &as_it_is)
    } else {
        function.view(&given, &seen, &outlook)
    };
    Ok((outlook, view))
}

struct Turn<'a, P, F> {
    function: &'a F,
    ports: &'a P,
    in_force: InForce,
    memory: &'a Memory,
    deadline: Timestamp,
    news: &'a Notices,
}

/// How a turn begins, if it does.
enum Begins<S> {
    Held(Box<Begun<S>>),
    /// Another turn has the lease, and will go again.
    Marked,
    /// It was woken by a beat, and looks have cost more than they may: not before then.
    Rests(Timestamp),
}

/// A turn that has its lease.
struct Begun<S> {
    lease: Lease,
    found: Found,
    /// What was seen while the lease was claimed.
    look: Option<Look<S>>,
}

/// What was seen, and when. The plan is made for that moment, so that nothing is due in it which the look did not know of.
struct Look<S> {
    at: Timestamp,
    seen: S,
}

/// What the ledger knows.
struct Known<S> {
    state: S,
    board: Board,
}

impl<S> Known<S> {
    const fn given<'a>(&'a self, fleet: &'a Fleet, now: Timestamp) -> Given<'a, S> {
        Given { fleet, state: &self.state, board: &self.board, now }
    }
}

impl<'a, P: Clock + FleetFiles + Ledger, F: Function<P>> Turn<'a, P, F> {
    async fn new(
        function: &'a F,
        ports: &'a P,
        fleets: &'a FleetCache,
        limits: Limits,
        news: &'a Notices,
    ) -> Result<Self, HandleError> {
        let deadline = ports.now() + limits.budget;
        let in_force = fleets.in_force(ports).await?;
        Ok(Self { function, ports, in_force, memory: fleets.memory(), deadline, news })
    }

    fn fleet(&self) -> &Fleet {
        &self.in_force.fleet
    }

    fn observes(&self) -> bool {
        self.fleet().observes(F::NAME)
    }

    /// Takes the turn by the file that other processes work by, where that is another than ours.
    async fn agree(&mut self, fleets: &FleetCache, found: &Found) -> Result<(), HandleError> {
        if !self.in_force.agrees(found.file.as_ref()) {
            self.in_force = fleets.read_again(self.ports).await?;
        }
        Ok(())
    }

    /// Claims the lease, and looks at the world meanwhile.
    async fn begin(&mut self, fleets: &FleetCache, call: &Call<'_>) -> Result<Begins<F::Seen>, HandleError> {
        let (holder, length) = (call.holder, call.limits.lease);
        let name = fleets.name();
        let key = Lease::key(name, F::NAME);
        let mut left = self.news.is_empty();
        loop {
            let now = self.ports.now();
            let found = self.read().await?;
            self.agree(fleets, &found).await?;
            if call.beat
                && let Some(until) = Lease::rests_until(found.lease.as_ref(), now)?
            {
                return Ok(Begins::Rests(until));
            }
            let taken = Lease::is_taken(found.lease.as_ref(), now)?;
            let waits = Lease::pause_of(found.lease.as_ref(), PACE, now)? > Duration::ZERO;
            if taken && !left {
                // The holder must find the news when it sees the mark.
                leave(self.ports, name, self.news, now).await?;
                left = true;
                if Lease::is_marked(found.lease.as_ref())? {
                    // The mark may have been followed, and the lease given back, before the news was there.
                    continue;
                }
            }
            let claim = Lease::claim(self.ports, &key, found.lease.clone(), holder, now, length);
            // Before the first turn of all, everybody finds the lease free, and a fleet that is just built wakes many at once.
            // Nor is everything looked at by many at once, of whom one gets the lease.
            let knows = self.memory.has_looked() && !self.memory.is_in_use();
            let looks = found.lease.is_some() && !taken && !waits && knows;
            let (claim, look) = if looks { join(claim, self.look(&found)).await } else { (claim.await, None) };
            match claim? {
                Claim::Held(mut lease) => {
                    // Where it took more than one try, others may have been here since.
                    let found = if lease.follows(found.lease.as_ref()) { Some(found) } else { None };
                    let look = look.filter(|_| found.is_some());
                    self.keep_pace(&mut lease).await;
                    let found = match found {
                        Some(found) => found,
                        None => self.read().await?,
                    };
                    return Ok(Begins::Held(Box::new(Begun { lease: *lease, found, look })));
                }
                Claim::Marked if left => return Ok(Begins::Marked),
                Claim::Marked => {
                    leave(self.ports, name, self.news, now).await?;
                    left = true;
                }
            }
        }
    }

    /// Reads the ledger for another look, when the pace allows one; what was marked until then is seen by it.
    async fn read_again(&self, begun: &mut Begun<F::Seen>) -> Result<(), TurnError> {
        self.keep_pace(&mut begun.lease).await;
        begun.found = self.read().await?;
        begun.lease = begun.lease.clone().renewed(begun.found.lease.as_ref())?.ok_or(TurnError::LeaseLost)?;
        Ok(())
    }

    async fn keep_pace(&self, lease: &mut Lease) {
        let pause = lease.look(PACE, self.ports.now());
        if !pause.is_zero() {
            self.ports.sleep(pause).await;
        }
    }

    /// What the world looks like; none where that failed, so that the round itself tries and says why.
    async fn look(&self, found: &Found) -> Option<Look<F::Seen>> {
        let known = self.known(found).ok()?;
        self.look_with(&known).await.ok()
    }

    async fn look_with(&self, known: &Known<F::State>) -> Result<Look<F::Seen>, TurnError> {
        let at = self.ports.now();
        let given = known.given(self.fleet(), at);
        let seen =
            self.function.observe(&given, self.ports, self.deadline, self.memory).await.map_err(TurnError::Observe)?;
        self.memory.note_look();
        Ok(Look { at, seen })
    }

    /// Whoever asks how things are is told first that the newest fleet file is not in force.
    fn say_what_was_refused(&self, outlook: &mut Outlook<F::State>) {
        if let Some(refused) = &self.in_force.refused {
            let because = refused.to_string();
            outlook.report.waits.insert(0, Wait::FileRefused { because });
        }
    }

    async fn read(&self) -> Result<Found, TurnError> {
        Found::read(self.ports, &self.fleet().name, F::NAME, self.observes(), self.deadline).await
    }

    fn known(&self, found: &Found) -> Result<Known<F::State>, TurnError> {
        let name = &self.fleet().name;
        let mut state: F::State = parse(&state_key(name, F::NAME), found.state.as_ref())?.unwrap_or_default();
        let kept = Lease::kept(found.lease.as_ref())?;
        if let Kept { seen: Some(seen), state: true, .. } = kept {
            state.still(seen);
        }
        if kept.observed && !self.observes() {
            state.takes_over();
        }
        let mut notices: Notices = parse(&notices_key(name), found.notices.as_ref())?.unwrap_or_default();
        notices.merge(self.news);
        let mut budget: Budget = parse(&Budget::key(name), found.budget.as_ref())?.unwrap_or_default();
        budget.forget_later(self.ports.now());
        // What another function would need only matters to who would only act on it.
        let counts = |would: bool| !would || self.observes();
        let told: Option<Told> = parse(&Told::key(name), found.told.as_ref())?;
        let borrow: Option<Borrow> = parse(&Borrow::key(name), found.borrow.as_ref())?;
        let board = Board {
            pushed: parse(&pushed_key(name), found.pushed.as_ref())?.unwrap_or_default(),
            notices,
            budget,
            told: told.filter(|told| counts(told.would)).unwrap_or_default(),
            held: parse(&held_key(name), found.held.as_ref())?.unwrap_or_default(),
            borrow: borrow.filter(|borrow| counts(borrow.would)).unwrap_or_default(),
            orders: parse(&orders_key(name), found.orders.as_ref())?.unwrap_or_default(),
            retried: parse(&retried_key(name), found.retried.as_ref())?,
        };
        Ok(Known { state, board })
    }

    /// One look at the world and what follows from it. Gives what is left to write at the end.
    async fn round(
        &self,
        found: &Found,
        look: Option<Look<F::Seen>>,
        lease: &mut Lease,
        summary: &mut Summary,
    ) -> Result<Save, TurnError> {
        let name = &self.fleet().name;
        let key = state_key(name, F::NAME);
        let known = self.known(found)?;
        let looked = match look {
            Some(look) => Ok(look),
            None => self.look_with(&known).await,
        };
        let a_second = reads::allowed(self.fleet());
        let spent_until = lease.spend(self.memory.spent(), a_second, self.ports.now());
        let Look { at: now, seen } = looked?;
        summary.missed = self.memory.missed();
        let given = known.given(self.fleet(), now);
        let mut outlook = self.function.plan(&given, &seen);
        self.say_what_was_refused(&mut outlook);
        if spent_until > self.ports.now() + AHEAD {
            let (percent, until) = (reads::percent(self.fleet()), spent_until - AHEAD);
            outlook.report.waits.push(Wait::Looks { percent, until });
        }
        summary.left += self.leave_the_rest(&mut outlook);
        let (mut keeps, mut not_shown) = (Vec::new(), None);
        let mut expect = Expect::same(found.state.as_ref());
        let mut kept = lease.left();
        let mut stored = found.state.as_ref().map(|_| known.state.clone());
        let tell = self.function.tells(&given, &outlook).map(|tell| tell.said(self.observes()));
        let goes_on = std::mem::replace(&mut kept.observed, self.observes());
        if self.observes() {
            let planned = observe::take_no_step(self.function, &mut outlook, given.state, now);
            let before = found.would.as_ref().filter(|_| goes_on);
            let (decided, writes) = Would::new(name, F::NAME, now, &planned).news(before, goes_on, lease.epoch())?;
            keeps.extend(writes);
            if let Some(looked) = self.function.looked(&given, &seen, &outlook, &planned) {
                let watched = (goes_on, &mut kept);
                keeps.extend(account::note((name, F::NAME), found.account.as_ref(), &looked, now, watched)?);
            }
            if let Some(record) = decided {
                not_shown = self.feed(&record).await.map(|feed| keeps.push(feed)).err().map(|error| error.to_string());
                summary.decisions.extend(record.decisions);
            }
        }
        if !outlook.steps.is_empty() || outlook.budget.is_some() {
            let record = Record::new(F::NAME, name, now, lease.epoch(), &outlook.steps);
            let mut first = vec![Write::put(key.clone(), to_json(&key, &outlook.state)?, expect)];
            if let Some(budget) = &outlook.budget {
                let key = Budget::key(name);
                first.push(Write::put(key.clone(), to_json(&key, budget)?, Expect::same(found.budget.as_ref())));
            }
            if !outlook.steps.is_empty() {
                first.extend(record.writes(now)?);
            }
            self.record(first).await?;
            lease.is_rewritten();
            expect = Expect::Version(found.state.as_ref().map_or(0, |item| item.version) + 1);
            stored = None;
            if !outlook.steps.is_empty() {
                let record = self.apply(record, &mut outlook).await;
                keeps.extend(record.writes(now)?);
                match self.feed(&record).await {
                    Ok(feed) => keeps.push(feed),
                    Err(error) => not_shown = Some(error.to_string()),
                }
                summary.decisions.extend(record.decisions);
            }
        }
        let view = self.function.view(&given, &seen, &outlook);
        let shows = view.map_or(Ok(Vec::new()), |view| snapshot(name, F::NAME, view, &mut kept));
        let shows = shows.unwrap_or_else(|because| {
            (kept.view, not_shown) = (None, Some(because));
            Vec::new()
        });
        if let Some(tell) = tell {
            let (key, body) = match tell {
                Tell::Shortfall(told) => (Told::key(name), to_json(&Told::key(name), &told)?),
                Tell::Borrow(borrow) => (Borrow::key(name), to_json(&Borrow::key(name), &borrow)?),
            };
            keeps.push(Write::put(key, body, Expect::Anything));
        }
        kept.state = stored.is_some_and(|mut stored| {
            stored.still(now);
            stored == outlook.state
        });
        if !kept.state {
            keeps.push(Write::put(key.clone(), to_json(&key, &outlook.state)?, expect));
        }
        kept.seen = Some(now);
        summary.report = outlook.report;
        summary.wakes.extend(outlook.wakes);
        Ok(Save { keeps, shows, kept, not_shown })
    }

    /// More steps than a turn can record are left for the next one, which plans them anew.
    fn leave_the_rest(&self, outlook: &mut Outlook<F::State>) -> u64 {
        if outlook.steps.len() <= MOST_STEPS {
            return 0;
        }
        let rest = outlook.steps.split_off(MOST_STEPS);
        let outcome = Outcome::Left(format!("a turn takes {MOST_STEPS} steps"));
        let at = self.ports.now();
        for planned in &rest {
            self.function.settle(&mut outlook.state, &Applied { planned, outcome: &outcome, at });
        }
        rest.len() as u64
    }

    /// Writes the decisions before anything is done. Only a throttled write is tried again: one whose answer was lost
    /// may have been taken, and then the next turn re-plans from it.
    async fn record(&self, writes: Vec<Write>) -> Result<(), TurnError> {
        match self.ports.write(writes.clone()).await {
            Err(LedgerError::Port(PortError::Throttled)) => Ok(self.ports.write(writes).await?),
            done => Ok(done?),
        }
    }

    /// The page's feed with the decisions of `record`. The steps were taken, so a turn does not end because of it.
    async fn feed(&self, record: &Record) -> Result<Write, TurnError> {
        let key = feed_key(&self.fleet().name, F::NAME);
        let found = retry(self.ports, self.deadline, || self.ports.get(std::slice::from_ref(&key))).await?;
        record.feed(key, found.first().and_then(Option::as_ref))
    }

    async fn apply(&self, mut record: Record, outlook: &mut Outlook<F::State>) -> Record {
        let mut next = 0;
        while next < outlook.steps.len() {
            let beside = outlook.steps[next + 1..].iter().take_while(|planned| planned.beside).count();
            let together = next..next + 1 + beside;
            let outcomes = join_all(together.clone().map(|index| self.take(&outlook.steps[index], &record))).await;
            let at = self.ports.now();
            for (index, outcome) in together.zip(outcomes) {
                let applied = Applied { planned: &outlook.steps[index], outcome: &outcome, at };
                self.function.settle(&mut outlook.state, &applied);
                record.decisions[index].outcome = outcome;
                next = index + 1;
            }
        }
        record
    }

    async fn take(&self, planned: &Planned, record: &Record) -> Outcome {
        if planned.needs.iter().any(|&need| record.decisions[need].outcome != Outcome::Done) {
            return Outcome::Left("a step that must come first was not done".to_owned());
        }
        if self.ports.now() >= self.deadline {
            return Outcome::Left("the turn's time is over".to_owned());
        }
        let call = || self.function.apply(self.fleet(), planned, self.ports);
        let done = if planned.step.may_be_repeated() {
            retry(self.ports, self.deadline, call).await
        } else {
            // Where nobody knows whether it was done, only a look at the world tells.
            retry_throttled(self.ports, self.deadline, call).await
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(error) => failed(error.to_string()),
        }
    }
}
