//! What is kept of a host between two looks, to be compared with what it says next.

use std::collections::BTreeMap;

use evenkeel_model::observed::{Host, HostStatus, Mark};
use evenkeel_model::resources::Resources;
use evenkeel_model::{InstanceId, Timestamp};

/// A host at the last look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) mark: Mark,
    /// When it was seen with this mark for the first time.
    pub(crate) since: Timestamp,
    /// When its tasks were listed last.
    pub(crate) listed: Option<Timestamp>,
    /// What it has less (CPU units, MiB) than its tasks explain.
    pub(crate) unexplained: [i64; 2],
    /// The version up to which what happened on it was compared with what is known of its tasks.
    pub(crate) version: u64,
    /// How often it has itself become another since, as far as is known.
    pub(crate) changes: u64,
    /// When its stopping tasks are listed once more.
    pub(crate) stops_again: Option<Timestamp>,
    pub(crate) status: HostStatus,
    pub(crate) connected: bool,
}

impl Compared {
    pub(crate) const fn new(host: &Host, now: Timestamp, version: u64) -> Self {
        Self {
            mark: host.mark,
            since: now,
            listed: None,
            unexplained: [0, 0],
            version,
            changes: 0,
            stops_again: None,
            status: host.status,
            connected: host.connected,
        }
    }

    /// The same host as it is now.
    pub(crate) fn with(self, host: &Host, now: Timestamp) -> Self {
        let since = if self.mark == host.mark { self.since } else { now };
        let changes = [self.status != host.status, self.connected != host.connected];
        let changes = self.changes + changes.into_iter().map(u64::from).sum::<u64>();
        Self { mark: host.mark, since, changes, status: host.status, connected: host.connected, ..self }
    }
}

/// What a host has less (CPU units, MiB) than the tasks that are known to be there explain.
pub(crate) fn unexplained(host: &Host, live: &BTreeMap<InstanceId, Resources>) -> [i64; 2] {
    let left = host.registered.minus(live.get(&host.id).copied().unwrap_or_default());
    [(left.cpu, host.mark.remaining.cpu), (left.memory, host.mark.remaining.memory)]
        .map(|(left, said)| i64::from(left) - i64::from(said))
}
