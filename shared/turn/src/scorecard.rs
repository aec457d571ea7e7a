//! What a fleet's own controllers did, and what Even Keel would have done, as observing turns saw it.

use std::collections::BTreeMap;

use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_model::{FunctionName, ServiceName, Timestamp};
use serde::Serialize;

use crate::account::{Account, Accounts, Change, Sums, TaskSums, Unmet};

/// A fleet that was observed for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scorecard {
    /// How long each function observed.
    pub watched: BTreeMap<FunctionName, Watched>,
    /// The services of the fleet file, highest priority first, and then those that are in it no more.
    pub services: Vec<ServiceScore>,
    /// The hosts; none where nobody counted them.
    pub hosts: Option<HostScore>,
    /// What others changed, newest first.
    pub changes: Vec<Change>,
    /// What would have been done and nobody did, newest first.
    pub unmet: Vec<Unmet>,
    /// Changes and plans that are not listed, because an hour had too many.
    pub unlisted: u32,
    /// Hours that were not understood.
    pub unread: usize,
}

/// How long a function observed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Watched {
    /// The first look.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// Seconds that are accounted for.
    pub known_seconds: f64,
    /// Seconds in which it should have looked and did not.
    pub unknown_seconds: f64,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceScore {
    /// Its name.
    pub name: ServiceName,
    /// Its priority; none where the fleet file does not have it any more.
    pub priority: Option<u32>,
    /// Whether it takes what is left.
    pub fill: bool,
    /// Wanted, in task-seconds.
    pub wanted_task_seconds: f64,
    /// Wanted and not running.
    pub short_task_seconds: f64,
    /// Running.
    pub running_task_seconds: f64,
    /// For a fill service: room that stayed empty.
    pub empty_task_seconds: f64,
    /// Seconds in which its demand was not known.
    pub unknown_seconds: f64,
}

/// The hosts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostScore {
    /// Seconds in which they were read.
    pub known_seconds: f64,
    /// Seconds in which they could not be read.
    pub unknown_seconds: f64,
    /// What was paid for.
    pub bought: Vec<Bought>,
    /// Seconds with fewer capacity units in service than `minimum`.
    pub below_minimum_seconds: f64,
    /// Seconds with fewer than `steady`.
    pub below_steady_seconds: f64,
}

/// Hosts that were bought alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bought {
    /// How; `mixed` is the on-demand base of a mixed pool.
    pub purchase: Purchase,
    /// The instance type, where known.
    pub instance_type: Option<String>,
    /// Host-hours.
    pub hours: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two weeks of a million hosts have fewer milliseconds than a double is exact for"
)]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

fn seconds_of(millis: u64) -> f64 {
    seconds(i64::try_from(millis).unwrap_or(i64::MAX))
}

impl Scorecard {
    /// The scorecard of `accounts`; `fleet` says which services come first.
    #[must_use]
    pub fn of(fleet: Option<&Fleet>, accounts: &Accounts) -> Self {
        let mut card = Self { unread: accounts.unread, ..Self::default() };
        let mut sums = Sums::default();
        for (function, hours) in &accounts.hours {
            card.watched.extend(Watched::of(hours).map(|watched| (*function, watched)));
            for account in hours {
                sums.add(&account.sums);
                card.changes.extend(account.changes.iter().cloned());
                card.unmet.extend(account.unmet.iter().cloned());
                card.unlisted += account.unlisted;
            }
            card.unmet.extend(hours.last().into_iter().flat_map(Account::open));
        }
        card.changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        card.unmet.sort_by_key(|unmet| std::cmp::Reverse(unmet.since));
        card.services = sums.tasks.iter().map(|(name, sums)| ServiceScore::of(name, sums, fleet)).collect();
        card.services.sort_by_key(|service| (service.priority.unwrap_or(u32::MAX), service.fill));
        card.hosts = (sums.hosts.known + sums.hosts.unknown > 0).then(|| HostScore::of(&sums));
        card
    }
}

impl Watched {
    fn of(hours: &[Account]) -> Option<Self> {
        let sum = |of: fn(&Sums) -> u64| hours.iter().map(|account| of(&account.sums)).sum();
        Some(Self {
            from: hours.first()?.from,
            to: hours.last()?.at,
            known_seconds: seconds_of(sum(|sums| sums.known)),
            unknown_seconds: seconds_of(sum(|sums| sums.unknown)),
        })
    }
}

impl ServiceScore {
    fn of(name: &ServiceName, sums: &TaskSums, fleet: Option<&Fleet>) -> Self {
        let file = fleet.and_then(|fleet| fleet.services.iter().find(|service| service.name == *name));
        let TaskSums { wanted, short, running, empty, unknown } = *sums;
        Self {
            name: name.clone(),
            priority: file.map(|file| file.priority),
            fill: file.is_some_and(|file| file.fill),
            wanted_task_seconds: seconds(wanted),
            short_task_seconds: seconds(short.max(0)),
            running_task_seconds: seconds(running),
            empty_task_seconds: seconds(empty),
            unknown_seconds: seconds_of(unknown),
        }
    }
}

impl HostScore {
    fn of(sums: &Sums) -> Self {
        let bought = |(purchase, types): (&Purchase, &BTreeMap<String, u64>)| {
            let purchase = *purchase;
            let of_type = move |(kind, millis): (&String, &u64)| {
                let instance_type = Some(kind.clone()).filter(|kind| !kind.is_empty());
                Bought { purchase, instance_type, hours: seconds_of(*millis) / 3_600.0 }
            };
            types.iter().map(of_type).collect::<Vec<_>>()
        };
        Self {
            known_seconds: seconds_of(sums.hosts.known),
            unknown_seconds: seconds_of(sums.hosts.unknown),
            bought: sums.hosts.bought.iter().flat_map(bought).collect(),
            below_minimum_seconds: seconds_of(sums.hosts.below_minimum),
            below_steady_seconds: seconds_of(sums.hosts.below_steady),
        }
    }

    /// Host-hours of one kind of purchase.
    #[must_use]
    pub fn hours(&self, purchase: Purchase) -> f64 {
        self.bought.iter().filter(|bought| bought.purchase == purchase).map(|bought| bought.hours).sum()
    }
}
