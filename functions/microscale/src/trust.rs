//! Where ECS is not believed to place a service's tasks.
//!
//! ECS knows needs that we do not: an attribute, a network interface. Where room seemed to be there and ECS did not use it,
//! the hosts that were there are not counted on for that service, for a minute at first and for half an hour at last; then
//! one task is tried. A host that joined since is believed at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_model::observed::{Observed, Task, TaskPhase};
use evenkeel_model::report::Wait;
use evenkeel_model::{InstanceId, Timestamp};

use crate::books::Books;
use crate::state::{Distrust, Memory, State};

/// ECS may try to place a task before it has stopped those that make room for it; a failure this soon says nothing.
const SETTLING: Duration = Duration::from_secs(15);
/// A task that is placed waits for the slowest victim and starts within seconds; a minute and a half later it is stuck
/// (amazon-ecs-agent #5138: a task in a slot freed by a stopping one can stay PENDING for 15 to 20 minutes).
const STUCK: Duration = Duration::from_secs(90);
/// The first pause after a failed placement; each one more doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(1_800);

/// What is made of a service.
#[derive(Default)]
pub(crate) struct Trust {
    /// The most tasks that are asked for: one is tried.
    pub(crate) cap: Option<u32>,
    /// What is said of it.
    pub(crate) waits: Vec<Wait>,
}

/// Judges each service, in the books' order, and leaves out of the books the hosts that are not counted on.
pub(crate) fn judge(books: &mut Books<'_>, seen: &Observed, state: &mut State, now: Timestamp) -> Vec<Trust> {
    let longest = seen.services.iter().map(|ecs| ecs.stop_timeout).max().unwrap_or_default();
    (0..books.services.len())
        .map(|rank| {
            let book = &books.services[rank];
            let ours = book.ecs.is_some_and(|ecs| ecs.hands_off.is_none());
            if !ours {
                return Trust::default();
            }
            let memory = state.services.entry(book.name().clone()).or_default();
            let tasks: Vec<&Task> =
                seen.tasks.iter().filter(|task| task.service.as_ref() == Some(book.name())).collect();
            Case { rank, tasks, now, longest }.judge(books, memory)
        })
        .collect()
}

struct Case<'a> {
    rank: usize,
    /// The service's own.
    tasks: Vec<&'a Task>,
    now: Timestamp,
    /// The slowest that any service's tasks may stop.
    longest: Duration,
}

impl Case<'_> {
    fn judge(&self, books: &mut Books<'_>, memory: &mut Memory) -> Trust {
        let mut trust = Trust::default();
        let (service, live) = (books.services[self.rank].name().clone(), books.services[self.rank].live());
        self.note_failure(books, memory);
        if let Some(distrust) = &memory.distrust {
            let tried = |id: &InstanceId| distrust.tried.contains(id);
            let before = books.services[self.rank].allowed.clone();
            books.avoid(self.rank, tried);
            if self.now >= distrust.until {
                // One more than fit on the hosts that are believed, or those would keep the others from ever being tried.
                let believed = books.slots(self.rank);
                books.services[self.rank].allowed = before;
                trust.cap = Some(live.saturating_add(believed).saturating_add(1));
            }
            let (because, until) = (distrust.because.clone(), distrust.until);
            trust.waits.push(Wait::Distrust { service: service.clone(), cap: live, because, until });
        }
        let stuck: BTreeSet<&InstanceId> = self.stuck().map(|task| &task.host).collect();
        if let Some(oldest) = self.stuck().map(|task| task.created).min() {
            books.avoid(self.rank, |id| stuck.contains(id));
            let waited = self.now.duration_since(oldest).unsigned_abs().as_secs();
            let because = format!("a task is PENDING for {waited} s");
            trust.waits.push(Wait::Distrust { service, cap: live, because, until: self.now + FIRST_PAUSE });
        }
        trust
    }

    /// Tasks that should have started.
    fn stuck(&self) -> impl Iterator<Item = &&Task> {
        let late = |task: &&&Task| {
            let waited = self.now.duration_since(task.created).unsigned_abs();
            task.phase == TaskPhase::Pending && waited > self.longest + STUCK
        };
        self.tasks.iter().filter(late)
    }

    fn note_failure(&self, books: &Books<'_>, memory: &mut Memory) {
        let book = &books.services[self.rank];
        let Some(ecs) = book.ecs else { return };
        let too_soon =
            memory.changed.map_or(Timestamp::MIN, |changed| changed.saturating_add(SETTLING).unwrap_or(changed));
        let news = ecs.placement_failed.filter(|failed| memory.failure.is_none_or(|known| known < *failed));
        // ECS shows a failure long after the task has found its place: it says nothing of the next one that has none.
        memory.failure = news.or(memory.failure);
        let failed = news.filter(|failed| book.desired > book.live() && *failed > too_soon);
        let proven = |distrust: &Distrust| {
            // A task of the service runs where none was believed to, or its needs are others.
            let starts = |task: &&&Task| task.created > distrust.since && task.phase == TaskPhase::Running;
            distrust.task != ecs.task
                || self.tasks.iter().filter(starts).any(|task| distrust.tried.contains(&task.host))
        };
        let before = memory.distrust.take().filter(|distrust| !proven(distrust));
        memory.distrust = match failed {
            None => before,
            Some(_) => {
                let tries = before.as_ref().map_or(0, |before| before.tries).saturating_add(1);
                let pause = FIRST_PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE);
                let there = books.hosts.iter().filter(|host| host.host.takes_tasks());
                let tried = there.map(|host| host.host.id.clone()).collect();
                Some(Distrust::new(tries, (self.now, pause), Arc::new(tried), ecs.task.clone()))
            }
        };
    }
}
