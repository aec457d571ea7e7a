//! What is owed about hosts: stand-ins, the ends of drains, and places in the disruption budget.

use evenkeel_model::FunctionName;
use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::{Process, RefusalKind};
use evenkeel_turn::OutCause;

use super::{AT_QUOTA, Duty, HEALTH_CHECK, Owed, PATIENCE, REFUSED, TWO_TICKS, patience};
use crate::clock::{MINUTE, Ms, SECOND};
use crate::cloud::{GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::setup::millis;

impl Core {
    /// A lost host's stand-in is asked for within two ticks where some pool can give one.
    pub(super) fn stand_in(&self) -> Option<Owed> {
        self.fleet.backfill.as_ref()?;
        let pools = || self.cloud.groups.iter().enumerate().filter(|(_, group)| group.purchase == Purchase::OnDemand);
        let (mut there, mut all) = (0, 0);
        for (number, group) in self.cloud.groups.iter().enumerate() {
            let counts = self.cloud.members(number).filter(|(host, one)| self.counts(*host, one)).count();
            let staying = self.cloud.members(number).filter(|(_, one)| one.phase != Phase::Terminating && !one.aside);
            let unborn = group.desired.saturating_sub(u32::try_from(staying.count()).unwrap_or(u32::MAX));
            let comes = match group.purchase {
                Purchase::OnDemand if self.may_give(number) => unborn,
                Purchase::OnDemand => 0,
                // Its group is about to launch the one that takes its place.
                Purchase::Reserved | Purchase::Spot | Purchase::Mixed => {
                    let ended = self.audit.liveness.ended.get(&number).map_or(0, Vec::len);
                    unborn.min(u32::try_from(ended).unwrap_or(u32::MAX))
                }
            };
            there += (u32::try_from(counts).unwrap_or(u32::MAX) + comes) * group.units;
            let alive = self.cloud.members(number).filter(|(_, one)| !one.ended).count();
            all += u32::try_from(alive).unwrap_or(u32::MAX).max(group.desired) * group.units;
        }
        let hosts = self.fleet.hosts;
        let missing = hosts.steady.saturating_sub(there);
        let gives = pools().find(|(number, group)| {
            group.desired < group.max && self.may_give(*number) && all + group.units <= hosts.maximum
        });
        let (_, group) = gives.filter(|_| missing > 0)?;
        let newest = pools().filter_map(|(_, group)| group.refusals.last().map(|(at, _, _)| *at)).max();
        let unseen = if self.fleet.cluster.is_none() { HEALTH_CHECK } else { 0 };
        Some(Owed {
            duty: Duty::StandIn(newest),
            by: FunctionName::Backfill,
            within: TWO_TICKS + unseen,
            dwell: 0,
            detail: format!(
                "{missing} of {} units are missing, and {} is not asked for them",
                hosts.steady, group.pool
            ),
        })
    }

    /// Whether a host is there, or on its way, and not lost.
    pub(super) fn counts(&self, host: HostNo, one: &Instance) -> bool {
        let patience = patience(&self.fleet) + MINUTE;
        let comes = one.works || self.now < one.launched + patience;
        let agent = self.fleet.backfill.as_ref().map_or(PATIENCE, |policy| millis(policy.agent_timeout));
        let away = self.audit.liveness.away.get(&host).is_some_and(|since| self.now - since >= agent);
        comes && !away && !one.ended && !one.doomed && one.phase != Phase::Terminating
    }

    /// Whether a pool gives a host if it is asked, and nobody has a reason to believe that it does not.
    fn may_give(&self, number: GroupNo) -> bool {
        let group = &self.cloud.groups[number];
        let lately = group.refusals.last().is_some_and(|(at, kind, _)| {
            let pause = if *kind == RefusalKind::Quota { AT_QUOTA } else { REFUSED };
            self.now < at + pause
        });
        !lately && !group.suspended.contains(&Process::Launch) && self.refusal(number).is_none()
    }

    /// No host drains because of us longer than it has time for.
    pub(super) fn ends_of_drains(&self) -> impl Iterator<Item = Owed> {
        let known = &self.audit.liveness.drains;
        known.iter().filter_map(|(host, (by, since, allowed))| {
            let one = self.cloud.instances.get(host)?;
            let goes = one.ended || one.doomed || one.phase == Phase::Terminating || !one.healthy || one.aside;
            let drained = self.now - since;
            (!goes && drained >= *allowed).then(|| Owed {
                duty: Duty::Drain(*host),
                by: *by,
                within: TWO_TICKS,
                dwell: 0,
                detail: format!(
                    "{} drains because of {by} for {} s, and may for {} s",
                    one.id,
                    drained / SECOND,
                    allowed / SECOND
                ),
            })
        })
    }

    /// Every place in the budget is given back once its host is not out any more.
    pub(super) fn places(&self) -> Vec<Owed> {
        let mut owed = Vec::new();
        let known = &self.audit.liveness;
        let settle = self.fleet.patch.as_ref().map_or(0, |patch| millis(patch.settle));
        let mut losses = 0;
        for (id, (by, cause)) in &known.places {
            if *cause == OutCause::Lost {
                losses += 1;
                continue;
            }
            let number = self.cloud.number(id);
            let (over, within) = match number {
                Some(number) => (!self.is_out(number), TWO_TICKS),
                // Its group is to replace it, and gives up on that in time.
                None if *by == FunctionName::Patchroll && !self.all_whole() => {
                    (true, patience(&self.fleet) + TWO_TICKS + settle)
                }
                None if *by == FunctionName::Patchroll => (true, settle + TWO_TICKS),
                None => (true, TWO_TICKS),
            };
            let off = self.rests(*by);
            let holder = if off { FunctionName::Backfill } else { *by };
            // Somebody else cannot know before its time is over.
            let longer = if off { self.longest_out() } else { 0 };
            if over {
                owed.push(Owed {
                    duty: Duty::Place(id.clone(), number.is_some() || self.all_whole()),
                    by: holder,
                    within: within + longer,
                    dwell: 0,
                    detail: format!("{id} has a place in the budget by {by}, and is not out"),
                });
            }
        }
        let units = self.cloud.working(|_| true);
        let missing = self.fleet.hosts.steady.saturating_sub(units) as usize;
        let doomed =
            self.cloud.instances.values().any(|one| one.doomed || one.ended || one.phase == Phase::Terminating);
        if losses > missing && !doomed && self.cluster.hosts.values().all(|host| host.seen.takes_tasks()) {
            owed.push(Owed {
                duty: Duty::Repaid,
                by: FunctionName::Backfill,
                within: TWO_TICKS,
                dwell: 0,
                detail: format!("{losses} losses have places in the budget, and {missing} units are missing"),
            });
        }
        owed
    }

    pub(super) fn longest_out(&self) -> Ms {
        let patch = self.fleet.patch.as_ref();
        let roll = patch.map_or(0, |patch| millis(patch.drain_timeout) + millis(patch.replace_timeout));
        let release = self.fleet.backfill.as_ref().map_or(0, |policy| millis(policy.drain_timeout) + 10 * MINUTE);
        roll.max(release)
    }

    /// Whether a host is leaving, or lost.
    pub(super) fn is_out(&self, host: HostNo) -> bool {
        let Some(one) = self.cloud.instances.get(&host) else { return true };
        let drains = self.cluster.hosts.get(&host).is_some_and(|host| !host.seen.takes_tasks() || host.hidden);
        let joins = self.fleet.cluster.is_some() && !self.cluster.hosts.contains_key(&host);
        drains || joins || one.ended || one.doomed || !one.healthy || one.phase == Phase::Terminating
    }
}
