//! Instance refreshes: somebody else's roll. The group replaces its own instances, one after the other.

use evenkeel_model::GroupName;
use evenkeel_model::groups::Process;
use serde_json::json;

use crate::clock::{Ms, SECOND};
use crate::cloud::{Cloud, GroupNo, Phase};
use crate::cluster::HostNo;
use crate::core::{Core, Event};

/// A group goes on with its refresh when it looks at it, about this often.
const LOOKS: Ms = 10 * SECOND;

/// A refresh under way.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    /// Its number, from which its id is made.
    number: u64,
    /// Instances that are still to be replaced.
    todo: Vec<HostNo>,
}

impl Cloud {
    /// DescribeInstanceRefreshes: the groups in which one is under way.
    pub(crate) fn refreshes(&self, names: &[GroupName]) -> Vec<GroupName> {
        let refreshing = self.groups.iter().filter(|group| group.refresh.is_some() && names.contains(&group.name));
        refreshing.map(|group| group.name.clone()).collect()
    }
}

impl Core {
    /// StartInstanceRefresh. AWS refuses a second one in the same group.
    pub(crate) fn begin_refresh(&mut self, number: GroupNo) {
        if self.cloud.groups[number].refresh.is_some() {
            return;
        }
        let todo = self.cloud.members(number).filter(|(_, one)| one.phase != Phase::Terminating);
        let todo = todo.map(|(host, _)| host).collect();
        self.cloud.refreshed += 1;
        self.cloud.groups[number].refresh = Some(Refresh { number: self.cloud.refreshed, todo });
        self.announce_refresh(number, self.cloud.refreshed, "Started");
        self.after(LOOKS, Event::Refreshes(number));
    }

    /// CancelInstanceRefresh, or it fails: what is replaced stays so.
    pub(crate) fn end_refresh(&mut self, number: GroupNo, how: &str) {
        if let Some(refresh) = self.cloud.groups[number].refresh.take() {
            self.announce_refresh(number, refresh.number, how);
        }
    }

    /// The group goes on with its refresh: the next instance goes when all others are there.
    pub(crate) fn refreshes(&mut self, number: GroupNo) {
        let Some(mut refresh) = self.cloud.groups[number].refresh.take() else { return };
        let group = &self.cloud.groups[number];
        let staying = || self.cloud.members(number).filter(|(_, one)| one.phase != Phase::Terminating);
        let whole = staying().count() >= group.desired as usize
            && staying().all(|(_, one)| one.phase == Phase::InService && !one.ended && one.ready_at.is_some());
        let held = group.suspended.contains(&Process::Launch) || group.suspended.contains(&Process::Terminate);
        refresh.todo.retain(|host| staying().any(|(there, _)| there == *host));
        let next = if whole && !held { refresh.todo.first().copied() } else { None };
        if refresh.todo.is_empty() && whole {
            self.announce_refresh(number, refresh.number, "Succeeded");
            return;
        }
        self.cloud.groups[number].refresh = Some(refresh);
        if let Some(host) = next {
            self.begin_end(host);
        }
        self.after(LOOKS, Event::Refreshes(number));
    }

    /// EC2 Auto Scaling Instance Refresh Started, Succeeded, Failed or Cancelled.
    fn announce_refresh(&mut self, number: GroupNo, refresh: u64, what: &str) {
        let detail = json!({ "InstanceRefreshId": format!("4ef4e500-0000-4000-8000-{refresh:012x}") });
        self.of_group(number, &format!("EC2 Auto Scaling Instance Refresh {what}"), detail);
    }
}
