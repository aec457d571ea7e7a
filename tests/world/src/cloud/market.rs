//! The spot market: how many instances it gives, and how it takes them back.

use std::sync::Arc;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::SpotCode;
use rand::RngExt;

use crate::clock::{Ms, SECOND};
use crate::cloud::spot::Trace;
use crate::cloud::{Cloud, GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::{Core, Event};

/// From the warning to the end (EC2 user guide, "Spot Instance interruption notices").
const NOTICE: Ms = 120 * SECOND;

/// What a group can get.
#[derive(Debug, Clone, Default)]
pub(crate) struct Market {
    /// How many spot instances there are over time, scaled to the group.
    pub(crate) trace: Option<Arc<Trace>>,
    /// Every launch is refused for want of capacity until then.
    pub(crate) starved_until: Ms,
    /// Zones that refuse until then.
    pub(crate) starved_zones: std::collections::BTreeMap<evenkeel_model::Zone, Ms>,
    /// The account's limit for this group.
    pub(crate) quota: Option<u32>,
}

impl Market {
    /// The most instances that it gives at `now`.
    pub(crate) fn gives(&self, now: Ms) -> u32 {
        self.trace.as_ref().map_or(u32::MAX, |trace| trace.at(now))
    }
}

/// How the market takes an instance back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Two minutes after a warning.
    Warned,
    /// At once.
    Unwarned,
}

impl Core {
    /// Gives a spot pool a market that follows a file.
    pub(crate) fn follow(&mut self, number: GroupNo, trace: Trace) {
        self.cloud.groups[number].market.trace = Some(Arc::new(trace));
        self.at(0, Event::Market(number));
    }

    /// The market changes: takes back what it does not give any more.
    pub(crate) fn market(&mut self, number: GroupNo) {
        let Some(trace) = self.cloud.groups[number].market.trace.clone() else { return };
        if let Some(next) = trace.next_after(self.now) {
            self.at(next, Event::Market(number));
        }
        let spot = |one: &Instance| one.purchase == Purchase::Spot && !one.ended && !one.doomed;
        let alive: Vec<HostNo> =
            self.cloud.members(number).filter(|(_, one)| spot(one)).map(|(host, _)| host).collect();
        let mut alive = alive;
        while alive.len() > trace.at(self.now) as usize {
            let taken = alive.swap_remove(self.rng.market.random_range(0..alive.len()));
            let warned = self.rng.market.random_range(0..1_000) < self.setup.spot.warned_per_mille;
            self.interrupt(taken, if warned { Interruption::Warned } else { Interruption::Unwarned });
        }
    }

    /// Takes a spot instance back.
    pub(crate) fn interrupt(&mut self, host: HostNo, how: Interruption) {
        let now = self.now;
        let setup = self.setup.spot;
        let Some(instance) = self.cloud.instances.get_mut(&host).filter(|one| !one.doomed && !one.ended) else {
            return;
        };
        let id = instance.id.clone();
        instance.doomed = true;
        let (works, warned) = (instance.works, how == Interruption::Warned);
        if works {
            let missing = self.misses_more();
            let units = self.units_of(host);
            self.measure.losses.lost(host, warned, units, missing, now);
        }
        match how {
            Interruption::Unwarned => self.ends(host),
            Interruption::Warned => {
                self.cloud.requests.insert(id, (SpotCode::Marked, now));
                if self.rng.market.random_range(0..1_000) < setup.rebalance_per_mille {
                    self.announce_rebalance(host);
                }
                self.announce_warning(host);
                self.after(NOTICE, Event::Taken(host));
            }
        }
    }

    /// Capacity units of a host.
    pub(crate) fn units_of(&self, host: HostNo) -> u32 {
        self.cloud.instances.get(&host).map_or(0, |one| self.cloud.groups[one.group].units)
    }

    /// Whether the hosts that are not about to be taken are fewer than the fleet runs best on.
    pub(crate) fn misses_more(&self) -> bool {
        let sound = self.cloud.instances.values().filter(|one| one.works && !one.ended && !one.doomed);
        let units: u32 = sound.map(|one| self.cloud.groups[one.group].units).sum();
        units < self.fleet.hosts.steady
    }

    /// The two minutes are over.
    pub(crate) fn taken(&mut self, host: HostNo) {
        let empty = self.cluster.hosts.get(&host).is_none_or(|host| {
            let own = host.tasks.iter().filter_map(|task| self.cluster.tasks.get(task));
            own.filter(|task| task.service.is_some()).count() == 0
        });
        let alive = self.cloud.instances.get(&host).is_some_and(|one| !one.ended);
        if alive || empty {
            self.measure.losses.taken(host, empty);
        }
        self.ends(host);
    }

    /// EC2 recommends to rebalance; a group with capacity rebalancing launches another at once, from the spot market only.
    pub(crate) fn recommend_rebalance(&mut self, host: HostNo) {
        let Cloud { groups, instances, .. } = &mut *self.cloud;
        let Some(instance) = instances.get_mut(&host) else { return };
        let number = instance.group;
        if instance.purchase == Purchase::Spot
            && groups[number].setup.capacity_rebalancing
            && instance.phase == Phase::InService
        {
            instance.at_risk = true;
            self.group_looks(number, 10 * SECOND);
        }
        self.announce_rebalance(host);
    }
}
