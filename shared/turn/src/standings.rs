//! Whether an event about a host is news to this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::trigger::{ContainerInstanceChange, ContainerInstanceStatus};
use evenkeel_model::{InstanceId, Timestamp};

/// A tick comes each minute; what was seen longer ago says nothing of what is news.
const NEWS_WITHIN: Duration = Duration::from_secs(90);

/// How a cluster's hosts stood at the last look, and which instances the fleet's groups had.
#[derive(Debug, Default)]
pub struct Standings {
    seen: Mutex<Seen>,
    members: Mutex<Members>,
}

/// When, and how each host stood.
type Seen = Option<(Timestamp, BTreeMap<InstanceId, Standing>)>;
/// When, and which instances were to stay in their groups.
type Members = Option<(Timestamp, BTreeSet<InstanceId>)>;

#[derive(Debug)]
struct Standing {
    version: u64,
    status: HostStatus,
    connected: bool,
}

impl Standings {
    pub(crate) const fn new() -> Self {
        Self { seen: Mutex::new(None), members: Mutex::new(None) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hosts there were.
    pub(crate) fn count(&self) -> usize {
        self.seen().as_ref().map_or(0, |(_, hosts)| hosts.len())
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how all hosts stand.
    pub(crate) fn note(&self, hosts: &[Host], now: Timestamp) {
        let standing = |host: &Host| {
            let Host { id, mark, status, connected, .. } = host;
            (id.clone(), Standing { version: mark.version, status: *status, connected: *connected })
        };
        *self.seen() = Some((now, hosts.iter().map(standing).collect()));
    }

    /// Notes the instances that are to stay in the fleet's groups; none where not all of the groups were shown.
    pub fn note_members(&self, members: Option<BTreeSet<InstanceId>>, now: Timestamp) {
        *self.members() = members.map(|members| (now, members));
    }

    /// Whether it is news that an instance has ended, or is about to. EC2 tells of each instance of the account several times
    /// (shutting-down, terminated), Auto Scaling and ECS do as well: those that are not the fleet's, and those that the last
    /// look has shown on their way out, are no news.
    #[must_use]
    pub fn is_news_of_an_end(&self, instance: &InstanceId, now: Timestamp) -> bool {
        let members = self.members();
        let lately = members.as_ref().filter(|(at, _)| now.duration_since(*at).unsigned_abs() < NEWS_WITHIN);
        lately.is_none_or(|(_, members)| members.contains(instance))
    }

    /// Whether an event says what the last look has not shown: a host that comes or goes, drains, or loses its agent. ECS sends
    /// one for each task that is placed or stops as well, and counts them all in one version (ECS developer guide, "Amazon ECS
    /// container instance state change events"); who looks at tasks does so with every beat.
    #[must_use]
    pub fn is_news(&self, change: &ContainerInstanceChange, now: Timestamp) -> bool {
        let seen = self.seen();
        let lately = seen.as_ref().filter(|(at, _)| now.duration_since(*at).unsigned_abs() < NEWS_WITHIN);
        let (Some((_, hosts)), Some(id)) = (lately, &change.instance) else { return true };
        let Some(known) = hosts.get(id) else { return true };
        if change.version.is_some_and(|version| version <= known.version) {
            return false;
        }
        let same_status = match change.status {
            ContainerInstanceStatus::Active => known.status == HostStatus::Active,
            ContainerInstanceStatus::Draining => known.status == HostStatus::Draining,
            // Nobody counts on a host that drains.
            ContainerInstanceStatus::Deregistering | ContainerInstanceStatus::Inactive => {
                return known.status != HostStatus::Draining;
            }
            ContainerInstanceStatus::Registering
            | ContainerInstanceStatus::RegistrationFailed
            | ContainerInstanceStatus::Other => false,
        };
        !same_status || change.agent_connected.is_some_and(|connected| connected != known.connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn host(version: u64) -> Host {
        let host: Host = serde_json::from_value(serde_json::json!({
            "id": "i-1", "registered": { "cpu": 1, "memory": 1 }, "status": "ACTIVE", "connected": true,
        }))
        .unwrap();
        let mark = evenkeel_model::observed::Mark { version, ..host.mark };
        Host { mark, ..host }
    }

    fn change(
        instance: &str,
        version: u64,
        status: ContainerInstanceStatus,
        connected: bool,
    ) -> ContainerInstanceChange {
        ContainerInstanceChange {
            at: None,
            cluster: "shop".parse().unwrap(),
            container_instance: "c-1".parse().unwrap(),
            instance: instance.parse().ok(),
            status,
            agent_connected: Some(connected),
            version: Some(version),
        }
    }

    #[test]
    fn only_what_changes_how_a_host_stands_is_news() {
        use ContainerInstanceStatus::{Active, Draining, Inactive};
        let standings = Standings::new();
        assert!(standings.is_news(&change("i-1", 7, Active, true), NOW), "nothing was seen yet");
        standings.note(&[host(7)], NOW);
        let cases = [
            ("i-1", 6, Draining, true, false, "the look was later than the event"),
            ("i-1", 8, Active, true, false, "a task was placed, or has stopped"),
            ("i-1", 8, Draining, true, true, "it drains"),
            ("i-1", 8, Active, false, true, "its agent is away"),
            ("i-1", 8, Inactive, false, true, "it goes"),
            ("i-2", 1, Active, true, true, "it comes"),
        ];
        for (instance, version, status, connected, news, case) in cases {
            assert_eq!(standings.is_news(&change(instance, version, status, connected), NOW), news, "{case}");
        }
        let later = NOW + NEWS_WITHIN;
        assert!(standings.is_news(&change("i-1", 8, Active, true), later), "what was seen is old");
    }

    #[test]
    fn that_a_host_which_drains_goes_is_no_news() {
        use ContainerInstanceStatus::{Active, Deregistering, Inactive};
        let standings = Standings::new();
        standings.note(&[Host { status: HostStatus::Draining, ..host(7) }], NOW);
        for status in [Deregistering, Inactive] {
            assert!(!standings.is_news(&change("i-1", 8, status, false), NOW));
        }
        assert!(standings.is_news(&change("i-1", 8, Active, true), NOW), "it takes tasks again");
    }

    #[test]
    fn only_the_end_of_an_instance_that_was_to_stay_is_news() {
        let standings = Standings::new();
        let [mine, other]: [InstanceId; 2] = ["i-1", "i-2"].map(|id| id.parse().unwrap());
        assert!(standings.is_news_of_an_end(&other, NOW), "nothing was seen yet");
        standings.note_members(Some(BTreeSet::from([mine.clone()])), NOW);
        assert!(standings.is_news_of_an_end(&mine, NOW));
        assert!(!standings.is_news_of_an_end(&other, NOW), "it is somebody else's, or on its way out");
        assert!(standings.is_news_of_an_end(&other, NOW + NEWS_WITHIN), "what was seen is old");
        standings.note_members(None, NOW);
        assert!(standings.is_news_of_an_end(&other, NOW), "a group was not shown");
    }
}
