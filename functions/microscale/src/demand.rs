//! From what a demand source said to the number of tasks that are wanted.

use std::time::Duration;

use evenkeel_model::Timestamp;
use evenkeel_model::fleet::{Demand, MetricSource, Missing, Service, StepsDemand, TrackingDemand};
use evenkeel_model::observed::Signal;
use evenkeel_turn::Pushed;

use crate::books::ServiceBook;
use evenkeel_turn::window::Extreme;

use crate::state::{Level, Memory};

/// A metric is late by its period, by CloudWatch's own delay, and by a publisher's missed turn; what is older than three
/// periods and a minute is unknown.
const LATE_PERIODS: u32 = 3;
const LATE: Duration = Duration::from_secs(60);

/// How many tasks a service wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Now, within the limits.
    pub(crate) now: u32,
    /// The highest of the dwell.
    pub(crate) held: u32,
    /// Why the demand is not known, and the last want is held.
    pub(crate) unknown: Option<String>,
}

/// The want of a service with a demand. Notes the sample in `memory`.
pub(crate) fn want(
    book: &ServiceBook<'_>,
    demand: &Demand,
    signal: Option<&Signal>,
    pushed: Option<&Pushed>,
    memory: &mut Memory,
    now: Timestamp,
) -> Want {
    let file = book.file;
    let desired = book.desired;
    if memory.window.is_empty() {
        // Nothing is remembered: the count that is there was right for somebody, so it gets its dwell too.
        memory.window.sample(now, clamp(file, desired), file.scale_down_after, Extreme::Largest);
    }
    let (tasks, unknown) = match tasks(book, demand, signal, pushed, memory, now) {
        Ok(tasks) => (tasks, None),
        Err(because) => (memory.want.unwrap_or(desired), Some(because)),
    };
    let tasks = clamp(file, tasks);
    memory.want = Some(tasks);
    let held = memory.window.sample(now, tasks, file.scale_down_after, Extreme::Largest);
    // Nothing is given up on the word of a source that says nothing.
    let held = if unknown.is_some() { held.max(desired) } else { held };
    // The limits may have been edited since the samples were taken.
    Want { now: tasks, held: clamp(file, held), unknown }
}

fn clamp(file: &Service, tasks: u32) -> u32 {
    tasks.max(file.min_tasks).min(file.ceiling())
}

fn tasks(
    book: &ServiceBook<'_>,
    demand: &Demand,
    signal: Option<&Signal>,
    pushed: Option<&Pushed>,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<u32, String> {
    match demand {
        Demand::Metric(metric) => {
            let (value, _) = measured(&metric.source, signal, now)?;
            whole(value / metric.source.shown(metric.per_task))
        }
        Demand::Tracking(tracking) => match measured(&tracking.source, signal, now) {
            Ok((value, at)) => tracked(tracking, value, at, book, memory),
            Err(because) if book.live() == 0 => Err(format!("{because}, and no task runs that it could measure")),
            Err(because) => Err(because),
        },
        Demand::Queue(queue) => {
            let (waiting, in_flight) = backlog(signal, now)?;
            // Whoever works on a message now is not to be ended, but nobody has to be added for it.
            let busy = whole(in_flight / f64::from(queue.at_once))?.min(book.live());
            let wanted = whole((waiting + in_flight) / (queue.per_task * queue.drain_within.as_secs_f64()))?;
            Ok(wanted.max(busy))
        }
        Demand::Manual(manual) => {
            let Pushed { value, at } = pushed.ok_or("no demand was sent yet")?;
            let (value, _) = fresh(Some(&Signal::Value { value: *value, at: *at }), manual.valid_for, now)?;
            whole(value / manual.per_task)
        }
        Demand::Steps(steps) => match signal {
            Some(Signal::Alarm { firing, since: _ }) => Ok(stepped(steps, *firing, book, memory, now)),
            other => Err(unusable(other)),
        },
    }
}

/// The value of a metric, and its time.
fn measured(source: &MetricSource, signal: Option<&Signal>, now: Timestamp) -> Result<(f64, Timestamp), String> {
    let valid = source.period * LATE_PERIODS + LATE;
    let late = matches!(signal, Some(Signal::Value { value: _, at }) if *at + valid < now);
    if late && source.missing == Missing::Zero {
        return Ok((0.0, now));
    }
    fresh(signal, valid, now)
}

/// What waits in a queue, and what is in flight; all of a plain value waits.
fn backlog(signal: Option<&Signal>, now: Timestamp) -> Result<(f64, f64), String> {
    match signal {
        Some(&Signal::Backlog { waiting, in_flight, at }) => {
            fresh(Some(&Signal::Value { value: waiting, at }), LATE, now).map(|(waiting, _)| (waiting, in_flight))
        }
        other => fresh(other, LATE, now).map(|(waiting, _)| (waiting, 0.0)),
    }
}

/// The signal's value and its time, if it is not older than `valid`.
fn fresh(signal: Option<&Signal>, valid: Duration, now: Timestamp) -> Result<(f64, Timestamp), String> {
    match signal {
        Some(&Signal::Value { value, at }) => {
            let age = now.duration_since(at);
            if age.unsigned_abs() > valid {
                let seconds = age.as_secs().unsigned_abs();
                return Err(match age.is_positive() {
                    true => format!("the newest value is {seconds} s old"),
                    false => format!("the newest value is dated {seconds} s in the future"),
                });
            }
            Ok((value, at))
        }
        other => Err(unusable(other)),
    }
}

fn unusable(signal: Option<&Signal>) -> String {
    match signal {
        None => "its source was not read".to_owned(),
        Some(Signal::Unknown(because)) => because.clone(),
        Some(Signal::Value { .. }) => "a value came where an alarm's state was expected".to_owned(),
        Some(Signal::Backlog { .. }) => "a queue's backlog came where something else was expected".to_owned(),
        Some(Signal::Alarm { .. }) => "an alarm's state came where a value was expected".to_owned(),
    }
}

/// Rounds up to whole tasks; what is a task and a millionth only by the last digits of a division is one task.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at the type's limits")]
fn whole(tasks: f64) -> Result<u32, String> {
    if tasks.is_finite() {
        return Ok((tasks - 1e-6).ceil().max(0.0) as u32);
    }
    Err(format!("the value is not a number ({tasks})"))
}

/// What keeps the metric at its target with the load there is now.
fn tracked(
    tracking: &TrackingDemand,
    value: f64,
    at: Timestamp,
    book: &ServiceBook<'_>,
    memory: &Memory,
) -> Result<u32, String> {
    let period = tracking.source.period;
    let held = memory.want.unwrap_or_else(|| book.live());
    // A value that was measured with another number of tasks says nothing about this one.
    let measured_before = memory.changed.is_some_and(|changed| at - period < changed);
    if book.live() == 0 && value > 0.0 {
        // There is load, and nothing that it could be divided among: one task tells how much it is.
        return Ok(held.max(1));
    }
    if book.running == 0 || book.pending > 0 || measured_before {
        return Ok(held);
    }
    let ratio = value / tracking.source.shown(tracking.target);
    if (ratio - 1.0).abs() <= tracking.tolerance {
        return Ok(book.running);
    }
    whole(f64::from(book.running) * ratio)
}

/// One step for each cooldown that the alarm stays as it is.
fn stepped(steps: &StepsDemand, firing: bool, book: &ServiceBook<'_>, memory: &mut Memory, now: Timestamp) -> u32 {
    let first = Level { tasks: clamp(book.file, book.live()), since: now - steps.cooldown };
    let level = memory.level.get_or_insert(first);
    if now.duration_since(level.since).unsigned_abs() >= steps.cooldown {
        let tasks =
            if firing { level.tasks.saturating_add(steps.add) } else { level.tasks.saturating_sub(steps.remove) };
        let tasks = clamp(book.file, tasks);
        if tasks != level.tasks {
            *level = Level { tasks, since: now };
        }
    }
    level.tasks
}
