//! What is owed by rolls: the next wave, the marks' removal, and capacity as it was.

use evenkeel_model::decision::HostStep;
use evenkeel_model::fleet::{Purchase, Refresh};
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{FunctionName, InstanceId};

use super::{Asked, Duty, EXCUSED, Owed, REFUSED, TWO_TICKS};
use crate::clock::{MINUTE, Ms};
use crate::cloud::{GroupNo, Instance, Phase, SimGroup};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::setup::millis;

impl Core {
    /// No host keeps the mark of those that are to be replaced once it is not.
    pub(super) fn marks(&self) -> Vec<Owed> {
        let asked = self.audit.liveness.asked.as_ref();
        let Some(patch) = &self.fleet.patch else {
            return self.marked().map(|(host, id)| mark(host, id, "no roll is in the fleet file", 0)).collect();
        };
        let ended = asked.filter(|asked| asked.verb == RollVerb::Abort);
        let since = asked.map_or(self.now, |asked| asked.at);
        let clears = millis(patch.drain_timeout) + millis(patch.replace_timeout);
        // Which roll answers what was found is not to be told from outside, so each that was asked for after it may.
        let all = patch.refresh == Refresh::All || self.audit.liveness.found.is_some_and(|at| at <= since);
        // A roll begins when its message has come, and that may be tried again.
        let late = if self.faults.are_any() { EXCUSED } else { 0 };
        let owed = self.marked().filter_map(|(host, id)| {
            let one = self.cloud.instances.get(&host)?;
            let before = all && one.launched < since + late;
            // Whoever goes on after an abort was asked by an event, in a window.
            if ended.is_some() && patch.windows.is_empty() {
                return Some(mark(host, id, "the roll was ended", clears));
            }
            let calm = one.phase == Phase::InService && !one.ended && !one.doomed;
            (calm && !before && !self.is_behind_now(one)).then(|| mark(host, id, "it is what its group launches", 0))
        });
        owed.collect()
    }

    fn marked(&self) -> impl Iterator<Item = (HostNo, &InstanceId)> {
        let marked = self.cluster.hosts.iter().filter(|(_, host)| {
            !host.hidden && host.seen.connected && host.seen.attributes.contains_key(HostStep::OLD)
        });
        marked.map(|(number, host)| (*number, &host.seen.id))
    }

    /// A group that a roll has made larger, or smaller, is as large as people want it some time after the roll's last step.
    pub(super) fn capacities(&self) -> Vec<Owed> {
        let within = self.longest_out() + self.fleet.patch.as_ref().map_or(0, |patch| millis(patch.settle)) + TWO_TICKS;
        let known = &self.audit.liveness;
        if self.lacks_room_to_move() {
            return Vec::new();
        }
        let all = self.cloud.groups.iter().enumerate().filter(|(_, group)| group.purchase != Purchase::OnDemand);
        let owed = all.filter_map(|(number, group)| {
            let own = known.own.get(&number).copied().unwrap_or(group.desired);
            (group.desired != own && !self.is_in_the_way(group)).then(|| Owed {
                duty: Duty::Capacity(number, known.stepped),
                by: FunctionName::Patchroll,
                within,
                dwell: 0,
                detail: format!(
                    "{} has a capacity of {} since the roll's last step, and its own is {own}",
                    group.name, group.desired
                ),
            })
        });
        owed.collect()
    }

    /// Whether the budget or `minimum` keeps every host from going.
    fn lacks_room_to_move(&self) -> bool {
        let out = self.cloud.instances.keys().filter(|host| self.is_out(**host)).count();
        let lost = self.measure.losses.unrepaid(0, self.now);
        out + lost >= self.fleet.disruption.max_out as usize || self.cloud.working(|_| true) <= self.fleet.hosts.minimum
    }

    /// Whether somebody else does something to a group.
    fn is_in_the_way(&self, group: &SimGroup) -> bool {
        group.refresh.is_some() || !group.suspended.is_empty()
    }

    /// Whether a group has all the hosts that it should have, each all that it should be.
    pub(super) fn is_whole(&self, group: GroupNo) -> bool {
        let ready = self.cloud.members(group).filter(|(host, _)| self.is_ready(*host)).count();
        ready >= self.cloud.groups[group].desired as usize
    }

    pub(super) fn all_whole(&self) -> bool {
        self.audit.liveness.broken.is_empty()
    }

    /// Whether everything that a roll was asked for, or may still take, is what its group launches: the roll ends by itself
    /// then, and what is published later is another one's affair.
    pub(super) fn is_rolled(&self) -> bool {
        let known = &self.audit.liveness;
        let pool = known.asked.as_ref().and_then(|asked| asked.pool.as_ref());
        let left = |(number, one): (&HostNo, &Instance)| {
            let concerned = pool.is_none_or(|pool| self.cloud.groups[one.group].pool == *pool);
            let stays = one.phase != Phase::Terminating && !one.ended && !one.aside;
            concerned && stays && !known.spared.contains_key(number) && self.is_behind_now(one)
        };
        !self.cloud.instances.iter().any(left)
    }

    /// A roll with an outdated host, budget, room and a window takes its next wave.
    pub(super) fn next_wave(&self) -> Option<Owed> {
        let patch = self.fleet.patch.as_ref()?;
        let known = &self.audit.liveness;
        let goes_on = |asked: &&Asked| matches!(asked.verb, RollVerb::Start | RollVerb::Resume);
        let asked = known.asked.as_ref().filter(goes_on).filter(|_| known.sought)?;
        // With an image to bake, nobody knows whether there is one to roll onto.
        let calm = known.drains.is_empty() && self.all_whole() && !self.lacks_room_to_move() && !known.halted;
        let known_alarms = patch.halt_alarms.iter().all(|alarm| self.signals.is_known(alarm));
        if !calm || !known_alarms || patch.bake.is_some() || self.cloud.instances.keys().any(|host| self.is_out(*host))
        {
            return None;
        }
        let busy = |group: &SimGroup| self.is_in_the_way(group);
        if self.cloud.groups.iter().any(busy) || known.capacity_set.values().any(|at| self.now - at <= REFUSED) {
            return None;
        }
        let may_go = |(number, one): (&HostNo, &Instance)| {
            let group = &self.cloud.groups[one.group];
            let concerned = asked.pool.as_ref().is_none_or(|pool| group.pool == *pool);
            let old = self.is_behind(one) && self.is_behind_now(one);
            let left = self.cloud.working(|_| true) >= self.fleet.hosts.minimum + group.units;
            let room =
                group.desired < group.max && self.cloud.working(|_| true) + group.units <= self.fleet.hosts.maximum;
            let gives = self.refusal(one.group).is_none() && group.purchase != Purchase::OnDemand;
            let spared = known.spared.contains_key(number);
            concerned && old && left && room && gives && !spared && !one.aside && self.surely_moves(*number)
        };
        let host = self.cloud.instances.iter().find(|one| may_go(*one)).map(|(_, one)| one.id.clone())?;
        Some(Owed {
            duty: Duty::Wave(known.stepped.max(asked.at)),
            by: FunctionName::Patchroll,
            within: millis(patch.settle) + MINUTE + TWO_TICKS,
            dwell: 0,
            detail: format!("a roll was asked for, {host} is outdated and could go, and nothing is done"),
        })
    }
}

fn mark(host: HostNo, id: &InstanceId, because: &str, more: Ms) -> Owed {
    Owed {
        duty: Duty::Mark(host),
        by: FunctionName::Patchroll,
        within: TWO_TICKS + more,
        dwell: 0,
        detail: format!("{id} is marked as old, although {because}"),
    }
}
