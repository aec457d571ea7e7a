//! What fails or is taken away while the rest goes on: an API by service and action, a zone's capacity, a row of an answer.

use std::collections::BTreeMap;

use evenkeel_model::{InstanceId, PoolName, Zone};
use evenkeel_turn::Budget;

use crate::api::Api;
use crate::clock::Ms;
use crate::core::Core;
use crate::sim::World;

/// How an API fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It does not answer.
    Down,
    /// The role has no right to it.
    Denied,
}

/// What is out.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// By action, such as `ec2:DescribeSpotInstanceRequests`, or by service: `ecs:*`.
    apis: BTreeMap<String, Outage>,
}

impl Outages {
    /// Whether anything is out.
    pub(crate) fn any(&self) -> bool {
        !self.apis.is_empty()
    }

    /// How a call fails, if it does.
    pub(crate) fn of(&self, api: Api) -> Option<Outage> {
        let action = api.name();
        let service = action.split(':').next().unwrap_or_default();
        self.apis.get(action).or_else(|| self.apis.get(&format!("{service}:*"))).copied()
    }
}

impl World {
    /// Every call of an action, or of a service (`ecs:*`), fails from now on.
    pub fn break_api(&mut self, action: &str, how: Outage) {
        self.lock().outages.apis.insert(action.to_owned(), how);
    }

    /// The same calls are answered again.
    pub fn mend_api(&mut self, action: &str) {
        self.lock().outages.apis.remove(action);
    }

    /// The hosts that have a place in the disruption budget.
    #[must_use]
    pub fn places(&self) -> Vec<InstanceId> {
        let key = Budget::key(&self.lock().fleet.name);
        self.stored::<Budget>(&key).map(|budget| budget.outs.keys().cloned().collect()).unwrap_or_default()
    }

    /// ECS's answers show a host again that they left out.
    pub fn show(&mut self, host: &InstanceId) {
        self.lock().hide_host(host, false);
    }

    /// One zone refuses every launch of a pool for want of capacity, for so long from now on; others give.
    pub fn starve_zone(&mut self, pool: &PoolName, zone: &Zone, length: Ms) {
        let mut core = self.lock();
        let until = core.now + length;
        for group in core.cloud.groups.iter_mut().filter(|group| group.pool == *pool) {
            group.market.starved_zones.insert(zone.clone(), until);
        }
    }

    /// The zones of a pool.
    #[must_use]
    pub fn zones(&self, pool: &PoolName) -> Vec<Zone> {
        let core = self.lock();
        let own = core.cloud.groups.iter().find(|group| group.pool == *pool);
        own.map(|group| group.setup.zones.clone()).unwrap_or_default()
    }

    /// DescribeAutoScalingGroups leaves out the group of a pool, or shows it again.
    pub fn hide_group(&mut self, pool: &PoolName, hidden: bool) {
        for group in self.lock().cloud.groups.iter_mut().filter(|group| group.pool == *pool) {
            group.hidden = hidden;
        }
    }
}

impl Core {
    fn hide_host(&mut self, host: &InstanceId, hidden: bool) {
        if let Some(number) = self.cloud.number(host)
            && let Some(found) = self.cluster.hosts.get_mut(&number)
        {
            found.hidden = hidden;
        }
    }
}
