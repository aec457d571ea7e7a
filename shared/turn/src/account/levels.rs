//! What one look saw of what is added up over time.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::fleet::Purchase;
use evenkeel_model::{PoolName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{MOST_GAP, Thing};

/// What a look saw, and what the function would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What was seen.
    pub levels: Levels,
    /// Since when each service's demand is what it is, where that is not only known since now: what a metric says of its
    /// period comes later.
    pub since: BTreeMap<ServiceName, Timestamp>,
    /// The counts that would be set.
    pub plans: BTreeMap<Thing, u32>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// The services' tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<ServiceName, TaskLevel>,
    /// The hosts; none where they could not be read, or another function counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostLevel>,
    /// Since when the hosts could not be read; for a while they count as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Timestamp>,
}

/// One service's tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLevel {
    /// The desired count.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that its demand needs, zero for one without demand; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<u32>,
    /// Since when that could not be read; for a while it counts as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Timestamp>,
    /// Since when it is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// For a fill service: tasks that there is room for beside what higher tiers miss and keep free, and that are not there.
    #[serde(default)]
    pub empty: u32,
    /// AWS is told to scale it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
    /// What would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// The hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLevel {
    /// All that are paid for, by how they are bought and by instance type; an empty name is a type that is not known.
    #[serde(default)]
    pub bought: BTreeMap<Purchase, BTreeMap<String, u32>>,
    /// Fewer capacity units in service than `minimum`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below_minimum: bool,
    /// Fewer than `steady`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below_steady: bool,
    /// The pools' groups.
    #[serde(default)]
    pub pools: BTreeMap<PoolName, PoolLevel>,
}

/// A pool's group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolLevel {
    /// Its desired capacity, in hosts.
    pub desired: u32,
    /// AWS is told to scale it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
    /// What would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Since when: all plans from then on went the same way.
    pub since: Timestamp,
    /// The count that would be set.
    pub to: u32,
}

impl TaskLevel {
    /// Notes since when that is wanted. An answer that is older than what is known already says nothing.
    fn wanted_since(&mut self, was: Option<&Self>, since: Timestamp) {
        let known = was.and_then(|was| Some((was.wants?, was.since?)));
        (self.wants, self.since) = match known {
            Some((wants, before)) if self.wants == Some(wants) || since < before => (Some(wants), Some(before)),
            Some(_) | None => (self.wants, Some(since)),
        };
    }
}

/// A count that somebody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) count: u32,
    pub(super) scaled: bool,
    pub(super) plan: Option<Plan>,
}

impl Levels {
    /// What was seen at `at`, after the levels `before`: what could not be read counts as it was for a while, and what would be
    /// done is planned since `at`, unless there was a plan that went the same way.
    pub(super) fn after(before: &Self, at: Timestamp, looked: &Looked) -> Self {
        let Looked { levels, since: wanted, plans } = looked;
        let earlier: BTreeMap<Thing, Count> = before.counts().collect();
        let plan = |of: Thing, desired: u32| {
            let to = plans.get(&of).copied().filter(|to| *to != desired)?;
            let up = to > desired;
            let old = earlier.get(&of).and_then(|was| was.plan.filter(|plan| (plan.to > was.count) == up));
            Some(Plan { since: old.map_or(at, |plan| plan.since), to })
        };
        let held = |unread: Option<Timestamp>| {
            let since = unread.unwrap_or(at);
            (since, at.duration_since(since).unsigned_abs() < MOST_GAP)
        };
        let mut levels = levels.clone();
        if levels.unread.is_some() {
            let (since, counts) = held(before.unread);
            levels.unread = Some(since);
            levels.hosts = before.hosts.clone().filter(|_| counts);
        }
        for (service, level) in &mut levels.tasks {
            let was = before.tasks.get(service);
            if level.wants.is_none() {
                let (since, counts) = held(was.and_then(|was| was.unread));
                level.unread = Some(since);
                level.wants = was.and_then(|was| was.wants).filter(|_| counts);
                level.since = was.and_then(|was| was.since);
            } else {
                level.wanted_since(was, wanted.get(service).copied().unwrap_or(at).min(at));
            }
            level.plan = plan(Thing::Service(service.clone()), level.desired);
        }
        for (pool, level) in levels.hosts.iter_mut().flat_map(|hosts| &mut hosts.pools) {
            level.plan = plan(Thing::Pool(pool.clone()), level.desired);
        }
        levels
    }

    /// Everything that somebody sets.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Thing, Count)> + '_ {
        let tasks = self.tasks.iter().map(|(service, level)| {
            let TaskLevel { desired: count, scaled, plan, running: _, wants: _, unread: _, since: _, empty: _ } =
                *level;
            (Thing::Service(service.clone()), Count { count, scaled, plan })
        });
        let pools = self.hosts.iter().flat_map(|hosts| &hosts.pools).map(|(pool, level)| {
            let PoolLevel { desired: count, scaled, plan } = *level;
            (Thing::Pool(pool.clone()), Count { count, scaled, plan })
        });
        tasks.chain(pools)
    }

    /// What is in both, as it was here and as it is in `later`.
    pub(super) fn pairs(&self, later: &Self) -> Vec<(Thing, Count, Count)> {
        let is: BTreeMap<Thing, Count> = later.counts().collect();
        self.counts().filter_map(|(of, was)| Some((of.clone(), was, *is.get(&of)?))).collect()
    }

    /// The services in either.
    pub(super) fn services<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a ServiceName> {
        self.tasks.keys().chain(other.tasks.keys()).collect()
    }
}
