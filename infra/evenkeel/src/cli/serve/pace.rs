//! A world that keeps step with the clock, on a thread of its own: what the page shows is published, never asked for, so that
//! the page answers at once however much the world has to do.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use evenkeel_livefeed::SourceError;
use evenkeel_world::World;
use evenkeel_world::clock::{MINUTE, Ms, SECOND};

/// A world that is in time moves on this often.
const FRAME: Duration = Duration::from_millis(100);
/// One that is late looks for buttons and shows what there is after so much, at the latest.
const SLICE: Ms = 2 * SECOND;
/// What is shown is written anew at most this often; the page asks once a second.
const SHOWN_EVERY: Duration = Duration::from_millis(250);
/// The same of the history, which is long and of which little is new.
const HISTORY_EVERY: Duration = Duration::from_secs(1);
/// The page opens with some history, as soon as it is simulated.
const BEFORE: Ms = 15 * MINUTE;

type Press = fn(&mut World);

/// What the page reads.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The newest view; none before the first turn has saved one.
    pub(super) view: Option<Arc<str>>,
    pub(super) backfill: Option<Arc<str>>,
    pub(super) patch: Option<Arc<str>>,
    pub(super) history: Arc<str>,
    /// What the hosts cost, and what they would if all were on-demand, in USD.
    pub(super) usd_an_hour: (f64, f64),
    /// The world's time.
    pub(super) at: Duration,
}

impl Default for Shown {
    fn default() -> Self {
        let (view, backfill, patch) = (None, None, None);
        Self { view, backfill, patch, history: Arc::from("[]"), usd_an_hour: (0.0, 0.0), at: Duration::ZERO }
    }
}

/// The thread's other end.
pub(super) struct Pace {
    buttons: Sender<Press>,
    shown: Arc<Mutex<Arc<Shown>>>,
    thread: JoinHandle<()>,
    clock: Clock,
}

/// Where the world should be by now.
#[derive(Clone, Copy)]
struct Clock {
    begun: Instant,
    speed: f64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is where the world meets the clock")]
    fn begin(speed: f64) -> Self {
        Self { begun: Instant::now(), speed }
    }

    fn due(self) -> Duration {
        Duration::from_millis(BEFORE) + self.begun.elapsed().mul_f64(self.speed)
    }
}

impl Pace {
    /// Lets a world begin.
    pub(super) fn begin(world: impl FnOnce() -> World + Send + 'static, speed: f64) -> Result<Self> {
        let (buttons, pressed) = channel();
        let shown = Arc::default();
        let clock = Clock::begin(speed);
        let publisher = Publisher { shown: Arc::clone(&shown), next: Shown::default(), at: None, history_at: None };
        let thread = std::thread::Builder::new()
            .name("world".to_owned())
            .spawn(move || keep_step(world(), clock, &pressed, publisher))
            .context("the world's thread did not start")?;
        Ok(Self { buttons, shown, thread, clock })
    }

    /// What was published last.
    ///
    /// # Errors
    /// The world has stopped: what was published is no longer what is.
    pub(super) fn shown(&self) -> Result<Arc<Shown>, SourceError> {
        if self.thread.is_finished() {
            return Err(SourceError::Unavailable("the simulated world has stopped".to_owned()));
        }
        Ok(Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// How far what is shown is behind where the world should be.
    pub(super) fn behind(&self, shown: &Shown) -> Duration {
        self.clock.due().saturating_sub(shown.at)
    }

    /// Presses a button. Gives whether there is a world to act on.
    pub(super) fn press(&self, button: Press) -> bool {
        self.buttons.send(button).is_ok()
    }
}

/// Lets the world go on at its speed until nobody holds the other end.
fn keep_step(mut world: World, clock: Clock, pressed: &Receiver<Press>, mut publisher: Publisher) {
    loop {
        let due = Ms::try_from(clock.due().as_millis()).unwrap_or(Ms::MAX);
        let until = due.min(world.now() + SLICE);
        world.run_until(until);
        publisher.publish(&world);
        let button = if until < due {
            pressed.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            pressed.recv_timeout(FRAME).map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        match button {
            Ok(press) => press(&mut world),
            Err(true) => return,
            Err(false) => {}
        }
    }
}

/// Writes what the page reads.
struct Publisher {
    shown: Arc<Mutex<Arc<Shown>>>,
    next: Shown,
    at: Option<Instant>,
    history_at: Option<Instant>,
}

impl Publisher {
    #[expect(
        clippy::disallowed_methods,
        reason = "how often the page is written has to do with people, not with the world"
    )]
    fn publish(&mut self, world: &World) {
        let now = Instant::now();
        let due = |at: Option<Instant>, every| at.is_none_or(|at| now - at >= every);
        if !due(self.at, SHOWN_EVERY) {
            return;
        }
        self.at = Some(now);
        let next = &mut self.next;
        next.view = world.view().and_then(|view| written(serde_json::to_string(&view))).or(next.view.take());
        next.backfill = world.backfill_view().and_then(|view| written(serde_json::to_string(&view)));
        next.patch = world.patch_view().and_then(|view| written(serde_json::to_string(&view)));
        if due(self.history_at, HISTORY_EVERY) {
            self.history_at = Some(now);
            next.history = written(serde_json::to_string(&world.moments())).unwrap_or_else(|| Arc::from("[]"));
        }
        next.usd_an_hour = world.usd_an_hour();
        next.at = Duration::from_millis(world.now());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next.clone());
    }
}

fn written(text: serde_json::Result<String>) -> Option<Arc<str>> {
    text.ok().map(Arc::from)
}
