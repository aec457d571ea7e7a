//! What a function that only observes saw, added up over time: what a scorecard is made of.
//!
//! It is written only when something of it has changed, together with what a turn saves anyway: the lease says until when it
//! still held. An hour's account is closed with the first look after it, and kept for two weeks.

mod hours;
mod levels;
mod sums;
#[cfg(test)]
mod tests;

use std::time::Duration;

use evenkeel_model::{PoolName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

pub use hours::Accounts;
pub(crate) use hours::{account_key, note};
pub use levels::{HostLevel, Levels, Looked, Plan, PoolLevel, TaskLevel};
pub(crate) use sums::{Sums, TaskSums};

/// Between two looks that are further apart nobody knows what happened, and what could not be read for so long is not known
/// any more. A tick comes each minute, and Lambda tries one that failed again after one minute and two.
const MOST_GAP: Duration = Duration::from_secs(300);
/// What would be done, and is not wanted any more so soon, is hardly worth telling.
const WORTH_TELLING: Duration = Duration::from_secs(60);
/// Changes, and plans that nobody followed, that an hour's account lists; more are counted. All turns read the open account.
const MOST_LISTED: usize = 60;

/// What a count is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// The tasks of a service.
    Service(ServiceName),
    /// The hosts of a pool.
    Pool(PoolName),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(service) => service.fmt(f),
            Self::Pool(pool) => write!(f, "pool {pool}"),
        }
    }
}

/// A count that somebody else has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was seen first.
    pub at: Timestamp,
    /// When it was not there yet.
    pub after: Timestamp,
    /// What was changed.
    pub of: Thing,
    /// The count before.
    pub from: u32,
    /// The count after.
    pub to: u32,
    /// Whether AWS is told to scale it; otherwise nobody knows who did it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
    /// What would have been done, where something would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// What would have been done for a while, and nobody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// Since when.
    pub since: Timestamp,
    /// When it was not wanted any more; none where it still is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What would have been changed.
    pub of: Thing,
    /// The count that there was.
    pub from: u32,
    /// The count that it would have become.
    pub to: u32,
}

/// An hour, as one function saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its first look.
    pub from: Timestamp,
    /// The look up to which it is added up.
    pub at: Timestamp,
    /// What was seen then.
    pub levels: Levels,
    /// What was added up.
    #[serde(default)]
    pub(crate) sums: Sums,
    /// What others changed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What would have been done and nobody did, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<Unmet>,
    /// How many changes and plans there was no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Account {
    /// An account that begins with what was seen at `at`.
    #[must_use]
    pub fn new(at: Timestamp, looked: &Looked) -> Self {
        let levels = Levels::after(&Levels::default(), at, looked);
        Self { from: at, at, levels, sums: Sums::default(), changes: Vec::new(), unmet: Vec::new(), unlisted: 0 }
    }

    /// One that goes on where this one ends.
    fn next(&self) -> Self {
        Self {
            from: self.at,
            at: self.at,
            levels: self.levels.clone(),
            sums: Sums::default(),
            changes: Vec::new(),
            unmet: Vec::new(),
            unlisted: 0,
        }
    }

    /// The same as of `held`, up to which looks have found everything as it was.
    #[must_use]
    pub fn held_until(mut self, held: Timestamp) -> Self {
        if held > self.at {
            self.sums.pass(&self.levels, held.duration_since(self.at).unsigned_abs());
            self.at = held;
        }
        self
    }

    /// Takes a look into account. Where the function did not observe all the time since the last one, that time is
    /// nobody's; where there was no look for long, it is unknown.
    fn look(&mut self, at: Timestamp, looked: &Looked, goes_on: bool) {
        let levels = Levels::after(&self.levels, at, looked);
        let passed = at.duration_since(self.at);
        // A clock that went back counts nothing twice.
        let span = if passed.is_negative() { Duration::ZERO } else { passed.unsigned_abs() };
        if goes_on {
            if span > MOST_GAP {
                self.sums.miss(span);
            } else {
                self.sums.change(&self.levels, &levels, (self.at, self.at + span));
            }
            self.compare(&levels, at);
        }
        (self.at, self.levels) = (at, levels);
    }

    /// Lists what others have changed since, and what nobody followed.
    fn compare(&mut self, levels: &Levels, at: Timestamp) {
        let after = self.at;
        for (of, was, is) in self.levels.pairs(levels) {
            let follows = is.plan.zip(was.plan).is_some_and(|(is, was)| is.since == was.since);
            if was.count != is.count {
                let (from, to, scaled, plan) = (was.count, is.count, is.scaled, was.plan);
                if self.changes.len() < MOST_LISTED {
                    self.changes.push(Change { at, after, of: of.clone(), from, to, scaled, plan });
                } else {
                    self.unlisted += 1;
                }
            }
            let Some(plan) = was.plan.filter(|_| !follows) else { continue };
            let met = (plan.to > was.count && is.count > was.count) || (plan.to < was.count && is.count < was.count);
            if met || at.duration_since(plan.since).unsigned_abs() < WORTH_TELLING {
                continue;
            }
            if self.unmet.len() < MOST_LISTED {
                self.unmet.push(Unmet { since: plan.since, until: Some(at), of, from: was.count, to: plan.to });
            } else {
                self.unlisted += 1;
            }
        }
    }

    /// What would be done since some time, and was not done yet when it was looked at last.
    pub(crate) fn open(&self) -> impl Iterator<Item = Unmet> + '_ {
        let old = |plan: &Plan| self.at.duration_since(plan.since).unsigned_abs() >= WORTH_TELLING;
        self.levels.counts().filter_map(move |(of, level)| {
            let plan = level.plan.filter(old)?;
            Some(Unmet { since: plan.since, until: None, of, from: level.count, to: plan.to })
        })
    }
}
