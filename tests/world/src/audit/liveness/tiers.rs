//! What is owed to services: room that there is, or that lower tiers are certain to make.

use evenkeel_model::fleet::Demand;
use evenkeel_model::{FunctionName, ServiceName};

use super::super::room::cost;
use super::{A_TURN, DISTRUST, Duty, FOREIGN_COUNT, Owed, TWO_TICKS};
use crate::clock::{MINUTE, Ms, SECOND};
use crate::cluster::ServiceNo;
use crate::core::Core;
use crate::setup::millis;

impl Core {
    /// A tier with unmet want and free or guaranteed room gets it within two beats; one that fills, once a hole was open for
    /// its dwell.
    pub(super) fn room(&self, service: ServiceNo) -> Option<Owed> {
        let file = &self.fleet.services[service];
        let (desired, name) = (self.cluster.services[service].desired, &file.name);
        let asleep = self.audit.liveness.waits_for_a_tick(FunctionName::Microscale, self.now);
        if asleep || !self.is_ours(service) || self.is_distrusted(service) || !self.is_listed(name) {
            return None;
        }
        let two_beats = 2 * millis(self.fleet.beat) + A_TURN;
        let most = |other: ServiceNo| self.wanted(other).1;
        if file.fill {
            let others = |other: ServiceNo| {
                let file = &self.fleet.services[other];
                most(other).saturating_add(file.headroom_tasks)
            };
            let others = |other: ServiceNo| if other < self.fleet.services.len() { others(other) } else { 0 };
            let free = self.could_run(service, |_| false, others).saturating_sub(self.staying(service));
            let harmless = (0..self.fleet.services.len()).map(|other| self.harmless(service, other)).min();
            let could = (self.staying(service) + free.min(harmless.unwrap_or(0))).min(file.ceiling());
            return (desired < could).then(|| Owed {
                duty: Duty::Holes(service, desired),
                by: FunctionName::Microscale,
                within: two_beats + millis(file.refill_after),
                dwell: millis(file.refill_after),
                detail: format!("{name} is left at {desired}, and {could} would fit beside all others"),
            });
        }
        let wanted = self.wanted(service).0.min(file.ceiling());
        if desired >= wanted {
            return None;
        }
        let gives = |other: ServiceNo| {
            let lower = self.fleet.services.get(other).is_some_and(|other| other.priority > file.priority);
            // Nobody is stopped for tasks on several providers: which one ECS would use is not certain.
            lower && self.is_ours(other) && self.cluster.services[service].providers.len() < 2
        };
        let could = self.could_run(service, gives, most);
        (desired < wanted.min(could)).then(|| Owed {
            duty: Duty::Room(service),
            by: FunctionName::Microscale,
            within: two_beats,
            dwell: 0,
            detail: format!(
                "{name} is left at {desired}: {wanted} wanted, and {could} would fit if lower tiers gave way"
            ),
        })
    }

    /// How many tasks of a service that fills are certain to leave another what it wants and its headroom, whichever hosts
    /// ECS chooses for them.
    fn harmless(&self, service: ServiceNo, other: ServiceNo) -> u32 {
        let file = &self.fleet.services[other];
        let there = self.staying(other);
        let kept = self.wanted(other).1.saturating_sub(there) + file.headroom_tasks;
        if other == service || file.fill || kept == 0 {
            return u32::MAX;
        }
        let free = self.could_run(other, |_| false, |_| 0).saturating_sub(there);
        let [takes, need] = [service, other].map(|service| &self.cluster.services[service].task);
        free.saturating_sub(kept).checked_div(cost(takes, need)).unwrap_or(u32::MAX)
    }

    /// Whether microscale may set a service's count.
    fn is_ours(&self, service: ServiceNo) -> bool {
        let set = self.audit.liveness.meddled.get(&service).is_some_and(|at| self.now - at <= FOREIGN_COUNT);
        let found = &self.cluster.services[service];
        found.hands_off.is_none() && found.in_fleet && !set
    }

    fn is_listed(&self, name: &ServiceName) -> bool {
        self.audit.fleet.services.iter().any(|file| file.name == *name)
    }

    /// Whether nobody need believe that ECS places more of a service: it failed to, a while ago that grows with each time.
    fn is_distrusted(&self, service: ServiceNo) -> bool {
        let (first, longest) = DISTRUST;
        let odd = self.audit.liveness.odd.get(&service).is_some_and(|at| self.now - at <= longest + TWO_TICKS);
        let failures = self.audit.liveness.failures.get(&service);
        odd || failures.and_then(|known| Some((known.len(), known.back()?))).is_some_and(|(times, last)| {
            let pause = (first << times.min(16)).min(longest);
            self.now - last <= pause + TWO_TICKS
        })
    }

    /// How long it takes until everybody knows what a service needs; none where that cannot be told from its demand alone.
    fn known_after(&self, service: ServiceNo) -> Option<Ms> {
        match &self.fleet.services.get(service)?.demand {
            Some(Demand::Metric(demand)) => {
                Some(self.setup.ecs.metric_delay_seconds * SECOND + 2 * millis(demand.source.period) + 5 * SECOND)
            }
            // Sent at once, and every half minute.
            Some(Demand::Manual(_)) => Some(35 * SECOND),
            Some(Demand::Tracking(_) | Demand::Queue(_) | Demand::Steps(_)) | None => None,
        }
    }

    pub(super) fn longest_window(&self) -> Ms {
        let all = (0..self.fleet.services.len()).filter_map(|service| self.known_after(service));
        all.max().unwrap_or(0) + MINUTE
    }

    /// The fewest and the most tasks that anybody who looks now may take for wanted.
    fn wanted(&self, service: ServiceNo) -> (u32, u32) {
        let Some(file) = self.fleet.services.get(service) else { return (0, 0) };
        let clamp = |needs: u32| needs.max(file.min_tasks).min(file.ceiling());
        let known = self.audit.liveness.needs.get(&service).into_iter().flatten();
        let least = self.known_after(service).map(|window| {
            let counts = known.clone().filter(|(at, _)| self.now - at <= window);
            let least = counts.map(|(_, needs)| needs.map_or(0, clamp)).min().unwrap_or(0);
            // A demand is known to nobody before it has been there for so long: nor is the first of all.
            if self.now < window { 0 } else { least }
        });
        let most = if file.fill { 0 } else { known.filter_map(|(_, needs)| needs.map(clamp)).max().unwrap_or(0) };
        (least.unwrap_or(0), most)
    }

    /// Tasks that truly have no place, of a service that does not fill.
    pub(in crate::audit) fn any_without_a_place(&self) -> bool {
        (0..self.fleet.services.len()).filter(|service| !self.fleet.services[*service].fill).any(|service| {
            let file = &self.fleet.services[service];
            let lower = |other: ServiceNo| {
                self.fleet.services.get(other).is_some_and(|other| other.priority > file.priority)
                    && self.is_ours(other)
            };
            let most = |other: ServiceNo| self.wanted(other).1;
            self.is_distrusted(service) || self.could_run(service, lower, most) < most(service)
        })
    }
}
