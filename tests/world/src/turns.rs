//! Turns under way: the ports they call through, and when they are answered, or killed.
//!
//! Every call of a turn takes virtual time, so that other turns and the world itself go on in between, and a turn can be
//! killed between any two calls.

mod changes;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use evenkeel_model::groups::Group;
use evenkeel_model::observed::{EcsService, Host, Task};
use evenkeel_model::templates::{Builder, Image, Target};
use evenkeel_model::{FunctionName, InstanceId, TaskId, Timestamp};
use evenkeel_turn::ports::{Answer, Clock, PortError};

use crate::api::Api;
use crate::audit::Seen;
use crate::clock::{Ms, timestamp};
use crate::core::{Core, Event};
use crate::faults::CallFault;
use crate::outages::Outage;
use crate::setup::millis;

/// A turn's number, from 1.
pub(crate) type TurnNo = u64;

/// What the world knows of a turn under way.
#[derive(Debug, Default)]
pub(crate) struct Under {
    /// Calls so far.
    pub(crate) calls: u32,
    /// At which call it is killed.
    pub(crate) kill_at: Option<u32>,
    /// How many messages of its own function have led to it, one sent by the turn of another.
    pub(crate) chain: u32,
    /// It is dead: nothing of it happens any more.
    pub(crate) killed: bool,
    /// When it began.
    pub(crate) began: Ms,
    /// Something was done to one of its calls that it could not help.
    pub(crate) faulted: bool,
    /// Calls that were not answered well.
    pub(crate) failed_calls: u32,
    /// Calls that were answered one after the other.
    pub(crate) answered: u32,
    /// The same before the call that takes effect now was made.
    pub(crate) before: u32,
    /// An event about a host woke it, so it is measured how many calls come before the answer to it.
    pub(crate) timed: bool,
    /// What it was told of single tasks in this round.
    pub(crate) news: BTreeMap<TaskId, Option<Task>>,
    /// What it was told, and what it did, in this round.
    pub(crate) seen: Seen,
    /// The rounds before.
    pub(crate) earlier: Vec<Seen>,
}

impl Under {
    /// Notes how many calls came one after the other before this one.
    fn notes_depth(&self, counts: bool, most: &mut u32) {
        if counts && self.timed {
            *most = (*most).max(self.before);
        }
    }

    /// What it is told now: a new round begins when it looks again after it has acted.
    fn told(&mut self) -> &mut Seen {
        if !self.seen.sets.is_empty() {
            self.earlier.push(std::mem::take(&mut self.seen));
            self.news.clear();
        }
        &mut self.seen
    }
}

/// The newest answers, which a stale read repeats.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// The container instances that each function has listed: its process remembers their names.
    listed: BTreeMap<FunctionName, BTreeSet<InstanceId>>,
    hosts: Option<Vec<Host>>,
    tasks: Option<Arc<Vec<Task>>>,
    /// What each function's process was told of the tasks.
    pictures: BTreeMap<FunctionName, Arc<Vec<Task>>>,
    /// The tasks that were listed to each function's process, ever.
    heard: BTreeMap<FunctionName, BTreeSet<TaskId>>,
    services: Option<Vec<EcsService>>,
    groups: Option<Vec<Group>>,
    targets: Option<Vec<Target>>,
    builders: Option<Vec<Builder>>,
    images: Option<Vec<Image>>,
}

impl Newest {
    /// Forgets what processes kept of the cluster.
    pub(crate) fn forget(&mut self) {
        self.listed.clear();
        self.heard.clear();
    }
}

/// A turn's window on the world.
#[derive(Clone)]
pub struct Ports {
    core: Arc<Mutex<Core>>,
    turn: TurnNo,
    function: FunctionName,
}

impl Ports {
    pub(crate) const fn new(core: Arc<Mutex<Core>>, turn: TurnNo, function: FunctionName) -> Self {
        Self { core, turn, function }
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back at `at`.
    async fn until(&self, at: Ms) {
        std::future::poll_fn(|_| if self.lock().now >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Makes a call of one request.
    async fn call<T: Send>(
        &self,
        api: Api,
        effect: impl FnOnce(&mut Core, &mut Under, Fresh) -> Answer<T> + Send,
    ) -> Answer<T> {
        self.calls(api, 1, effect).await
    }

    /// Makes a call that takes so many requests, because answers come in pages: half of its latency passes before its
    /// effect, half after it.
    async fn calls<T: Send>(
        &self,
        api: Api,
        requests: usize,
        effect: impl FnOnce(&mut Core, &mut Under, Fresh) -> Answer<T> + Send,
    ) -> Answer<T> {
        let Begun { effect_at, answer_at, fault, depth } =
            self.lock().begin_call(self.turn, self.function, api, requests);
        self.until(effect_at).await;
        let fresh = if fault == CallFault::Stale { Fresh::No } else { Fresh::Yes };
        let answer = match fault {
            CallFault::Throttled => Err(PortError::Throttled),
            CallFault::Failed => Err(PortError::Unavailable("internal error".to_owned())),
            CallFault::Denied => {
                Err(PortError::Refused(format!("AccessDenied: not authorized to perform {}", api.name())))
            }
            CallFault::None | CallFault::AnswerLost | CallFault::Stale => {
                self.lock().take_effect(self.turn, |core, under| {
                    under.before = depth - 1;
                    effect(core, under, fresh)
                })
            }
        };
        self.until(answer_at).await;
        let answer = match fault {
            CallFault::AnswerLost => Err(PortError::Unavailable("connection reset".to_owned())),
            CallFault::None | CallFault::Throttled | CallFault::Failed | CallFault::Stale | CallFault::Denied => answer,
        };
        {
            let mut core = self.lock();
            let under = core.under.entry(self.turn).or_default();
            under.answered = under.answered.max(depth);
            under.failed_calls += u32::from(answer.is_err());
            under.faulted |= matches!(answer, Err(PortError::Busy(_)));
        }
        answer
    }
}

/// Whether a read gives what is true now, or what the turn before was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Yes,
    No,
}

impl Fresh {
    /// The newest answer again, or a fresh one, which becomes the newest.
    fn read<T: Clone>(self, newest: &mut Option<T>, fresh: impl FnOnce() -> T) -> T {
        let old = newest.take().filter(|_| self == Self::No);
        newest.insert(old.unwrap_or_else(fresh)).clone()
    }
}

struct Begun {
    effect_at: Ms,
    answer_at: Ms,
    fault: CallFault,
    /// It is this call in a row, counting calls that are made together once.
    depth: u32,
}

impl Core {
    fn begin_call(&mut self, turn: TurnNo, function: FunctionName, api: Api, requests: usize) -> Begun {
        let (latency, enough) = self.apis.take(api, function, requests, self.now, self.rng.own(function).api);
        let drawn = self.faults.of_call(self.rng.own(function).faults, api.changes());
        let fault = match self.outages.of(api) {
            Some(Outage::Down) => CallFault::Failed,
            Some(Outage::Denied) => CallFault::Denied,
            None if enough => drawn,
            None => CallFault::Throttled,
        };
        let (effect_at, answer_at) = (self.now + latency / 2, self.now + latency);
        self.at(effect_at, Event::Resume(turn));
        self.at(answer_at, Event::Resume(turn));
        let under = self.under.entry(turn).or_default();
        under.calls += 1;
        under.faulted |= drawn != CallFault::None;
        under.killed |= under.kill_at.is_some_and(|call| under.calls >= call);
        Begun { effect_at, answer_at, fault, depth: under.answered + 1 }
    }

    fn take_effect<T>(&mut self, turn: TurnNo, effect: impl FnOnce(&mut Self, &mut Under) -> Answer<T>) -> Answer<T> {
        let mut under = self.under.remove(&turn).unwrap_or_default();
        let answer = effect(self, &mut under);
        self.under.insert(turn, under);
        answer
    }
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        let core = self.lock();
        let wrong = core.skew.get(&self.function).copied().unwrap_or(0);
        timestamp(core.now.saturating_add_signed(wrong))
    }

    async fn sleep(&self, pause: Duration) {
        let at = {
            let mut core = self.lock();
            let at = core.now + millis(pause);
            core.at(at, Event::Resume(self.turn));
            at
        };
        self.until(at).await;
    }
}
