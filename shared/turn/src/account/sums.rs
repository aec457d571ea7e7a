//! Levels over time. What changed between two looks counts as changed in the middle: nobody knows when, and the errors of
//! many changes cancel out.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::{ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use super::levels::{HostLevel, Levels, TaskLevel};

/// A look at hosts that comes sooner than the next tick was asked for by news of what it sees: that happened just now.
const TICK: Duration = Duration::from_secs(50);
/// A demand that is known later than this does not change any more what was added up.
const LATEST: Duration = Duration::from_secs(600);

/// What was added up, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Time that is accounted for.
    #[serde(default)]
    pub known: u64,
    /// Time without a look.
    #[serde(default)]
    pub unknown: u64,
    /// The services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<ServiceName, TaskSums>,
    /// The hosts.
    #[serde(default)]
    pub hosts: HostSums,
}

/// One service's, in task-milliseconds. What is corrected later may be less than nothing in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskSums {
    /// Wanted.
    #[serde(default)]
    pub wanted: i64,
    /// Wanted and not running.
    #[serde(default)]
    pub short: i64,
    /// Running.
    #[serde(default)]
    pub running: i64,
    /// Room that stayed empty.
    #[serde(default)]
    pub empty: i64,
    /// Milliseconds in which there was a look, and nobody knows what was wanted.
    #[serde(default)]
    pub unknown: u64,
}

/// The hosts', in host-milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostSums {
    /// Milliseconds in which they were read.
    #[serde(default)]
    pub known: u64,
    /// Milliseconds in which there was a look, and the hosts could not be read.
    #[serde(default)]
    pub unknown: u64,
    /// By how they are bought and by instance type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bought: BTreeMap<Purchase, BTreeMap<String, u64>>,
    /// Milliseconds with fewer capacity units in service than `minimum`.
    #[serde(default)]
    pub below_minimum: u64,
    /// Milliseconds with fewer than `steady`.
    #[serde(default)]
    pub below_steady: u64,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds times a count.
fn times(span: Duration, count: u32) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX).saturating_mul(i64::from(count))
}

/// The middle of what a count was before and after, over time.
fn middle(span: Duration, was: u32, is: u32) -> i64 {
    times(span, was).saturating_add(times(span, is)) / 2
}

impl Sums {
    /// Lets time pass with everything as it is.
    pub(super) fn pass(&mut self, levels: &Levels, span: Duration) {
        self.change(levels, levels, (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + span));
    }

    /// Adds what another account added up.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { known, unknown, tasks, hosts } = other;
        self.known += known;
        self.unknown += unknown;
        for (service, sums) in tasks {
            self.tasks.entry(service.clone()).or_default().add(*sums);
        }
        self.hosts.add(hosts);
    }

    /// Lets time pass of which nothing is known.
    pub(super) fn miss(&mut self, span: Duration) {
        self.unknown += millis(span);
    }

    /// Lets the time between two looks pass, the second of which knows since when each service wants what it does.
    pub(super) fn change(&mut self, was: &Levels, is: &Levels, (from, to): (Timestamp, Timestamp)) {
        let span = to.duration_since(from).unsigned_abs();
        self.known += millis(span);
        for service in was.services(is) {
            let Some(level) = was.tasks.get(service).or(is.tasks.get(service)) else { continue };
            let later = is.tasks.get(service).unwrap_or(level);
            self.tasks.entry(service.clone()).or_default().change(level, later, (from, to));
        }
        if let (Some(was), Some(is)) = (&was.hosts, &is.hosts) {
            self.hosts.change(was, is, span);
        } else if was.unread.is_some() || is.unread.is_some() {
            self.hosts.unknown += millis(span);
        }
    }
}

impl TaskSums {
    const fn add(&mut self, other: Self) {
        let Self { wanted, short, running, empty, unknown } = other;
        self.wanted += wanted;
        self.short += short;
        self.running += running;
        self.empty += empty;
        self.unknown += unknown;
    }

    fn change(&mut self, was: &TaskLevel, is: &TaskLevel, (from, to): (Timestamp, Timestamp)) {
        let since = if was.wants == is.wants { from } else { is.since.unwrap_or(to) };
        let span = |from: Timestamp, to: Timestamp| to.duration_since(from).unsigned_abs();
        let whole = span(from, to);
        self.running += middle(whole, was.running, is.running);
        self.empty += middle(whole, was.empty, is.empty);
        // Up to when it is known to be wanted, it came to be wanted some time.
        let turns = since.clamp(from, to);
        let some_time = span(from, turns);
        let later = some_time / 2;
        for (wants, span) in [(was.wants, some_time - later), (is.wants, later), (is.wants, span(turns, to))] {
            match wants {
                Some(wants) => {
                    self.wanted += times(span, wants);
                    self.short += middle(span, wants.saturating_sub(was.running), wants.saturating_sub(is.running));
                }
                None => self.unknown += millis(span),
            }
        }
        // It was wanted before the last look already, and only nobody knew.
        if let (Some(before), Some(wants)) = (was.wants, is.wants)
            && since < from
        {
            let late = span(since, from).min(LATEST);
            let short = |wants: u32| times(late, wants.saturating_sub(was.running));
            self.wanted += times(late, wants) - times(late, before);
            self.short += short(wants) - short(before);
        }
    }
}

impl HostSums {
    fn add(&mut self, other: &Self) {
        let Self { known, unknown, bought, below_minimum, below_steady } = other;
        self.known += known;
        self.unknown += unknown;
        for (purchase, types) in bought {
            let sums = self.bought.entry(*purchase).or_default();
            for (kind, millis) in types {
                *sums.entry(kind.clone()).or_default() += millis;
            }
        }
        self.below_minimum += below_minimum;
        self.below_steady += below_steady;
    }

    fn change(&mut self, was: &HostLevel, is: &HostLevel, span: Duration) {
        self.known += millis(span);
        let later = if span < TICK { Duration::ZERO } else { span / 2 };
        for (level, span) in [(was, span - later), (is, later)] {
            let span = millis(span);
            for (purchase, types) in &level.bought {
                let sums = self.bought.entry(*purchase).or_default();
                for (kind, hosts) in types {
                    *sums.entry(kind.clone()).or_default() += span * u64::from(*hosts);
                }
            }
            self.below_minimum += if level.below_minimum { span } else { 0 };
            self.below_steady += if level.below_steady { span } else { 0 };
        }
    }
}
