//! The auditor's rules about rolls: invariants 1, 5, 6, 8 and 11, from what the world knows to be true.
//!
//! It counts hosts and compares versions; which roll is under way is what patchroll has stored, because nobody else can
//! know what was asked of it.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::decision::{HostStep, ImageStep, Step};
use evenkeel_model::fleet::Refresh;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::{BuilderState, TemplateUse};
use evenkeel_model::{FunctionName, GroupName, ImageId, InstanceId, PoolName, RollId, TemplateId};
use evenkeel_patchroll::{Ended, Ending, Roll, Stage, State};
use evenkeel_turn::{Budget, OutCause};

use crate::clock::{MINUTE, Ms, SECOND, since_begin, timestamp};
use crate::cloud::{GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::turns::TurnNo;

/// A look may be so old: what was published since then is nobody's fault.
const A_LOOK: Ms = 2 * MINUTE;
/// A turn acts so long after its look at most.
const A_MOMENT: Ms = 3 * SECOND;
/// From a tick to what the turn after the next one does.
const A_TICK: Ms = 70 * SECOND;
/// So long after its end a roll has cleared everything away, whatever failed at first.
const CLEARED: Ms = 10 * MINUTE;

/// What the auditor remembers about rolls.
#[derive(Debug, Default)]
pub(crate) struct RollAudit {
    /// The hosts that were out by the last budget.
    outs: BTreeSet<InstanceId>,
    /// Hosts that patchroll has told to drain, until they take tasks again or are gone.
    drained: BTreeSet<HostNo>,
    /// By how many hosts patchroll has made each group larger, and not smaller again.
    raised: BTreeMap<GroupNo, i64>,
    /// What each group was before a person set its capacity last.
    before: BTreeMap<GroupNo, Before>,
    /// What is under way.
    roll: Option<Roll>,
    /// The rolls that have ended, so that each is judged once.
    ended: BTreeSet<RollId>,
    /// When the last one ended, until it was looked at what it left behind.
    left_at: Option<Ms>,
    /// Since when no host should be out, because none of a wave is.
    idle_since: Option<Ms>,
    /// Groups that the fleet file does not name any more: since when.
    unlisted: BTreeMap<GroupName, Ms>,
}

/// A group before a person set its capacity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// When that was.
    pub(super) at: Ms,
    /// What it had.
    pub(super) desired: u32,
    /// What people wanted it to have.
    pub(super) own: Option<u32>,
}

impl RollAudit {
    /// The budget was written. Gives what is wrong with it: a host that is sent away on purpose while it is spent.
    pub(super) fn budget(&mut self, budget: &Budget, allowed: usize, idle: &BTreeSet<InstanceId>) -> Option<String> {
        // Nobody misses a host that does not work.
        let sent = |id: &&InstanceId| {
            !self.outs.contains(*id) && budget.outs[*id].cause != OutCause::Lost && !idle.contains(*id)
        };
        let new = budget.outs.keys().filter(sent).count();
        let out = budget.outs.len();
        self.outs = budget.outs.keys().cloned().collect();
        (new > 0 && out > allowed).then(|| format!("{new} hosts noted as sent away: {out} are out, {allowed} may be"))
    }

    /// The fleet file named other groups before.
    pub(super) fn listed(&mut self, before: &[GroupName], after: &[GroupName], now: Ms) {
        for group in before.iter().filter(|group| !after.contains(group)) {
            self.unlisted.insert(group.clone(), now);
        }
        self.unlisted.retain(|group, _| !after.contains(group));
    }

    /// A person has set a group's capacity.
    pub(super) fn meddled(&mut self, group: GroupNo, before: Before) {
        self.raised.remove(&group);
        self.before.insert(group, before);
    }

    fn replaces(&self) -> Option<&Roll> {
        let replaces = |roll: &&Roll| {
            roll.stage == Stage::Rolling && roll.wave.as_ref().is_some_and(|wave| !wave.withdraws) && !roll.aborting
        };
        self.roll.as_ref().filter(replaces)
    }
}

impl Core {
    /// Whether an instance is not what its group launches, nor what it launched a moment ago.
    pub(super) fn is_behind(&self, one: &Instance) -> bool {
        self.was_behind(one, self.now)
    }

    /// The same as it was at `now`.
    fn was_behind(&self, one: &Instance, now: Ms) -> bool {
        self.were_behind(one.group, one.version.version, &one.image, now)
    }

    /// The same for what an instance of a group was launched from.
    fn were_behind(&self, group: GroupNo, version: u64, image: &ImageId, now: Ms) -> bool {
        let Some(course) = self.cloud.templates.course.get(&group) else { return false };
        let mut recent = course.iter().enumerate().filter(|(index, (since, _, _))| {
            *since <= now && course.get(index + 1).is_none_or(|(until, _, _)| until + A_LOOK >= now)
        });
        let same = |(_, (_, of, from)): (usize, &(Ms, u64, ImageId))| version == *of && image == from;
        !recent.any(same)
    }

    /// What patchroll has stored.
    pub(crate) fn audit_rolls(&mut self, state: &State) {
        let new: Vec<Ended> =
            state.ended.iter().rev().filter(|ended| !self.audit.rolls.ended.contains(&ended.id)).cloned().collect();
        for ended in new {
            self.judge_end(&ended);
            self.audit.rolls.ended.insert(ended.id.clone());
            self.audit.rolls.left_at = Some(self.now);
        }
        if state.roll.is_some() {
            self.audit.rolls.left_at = None;
        }
        let idle = state.roll.as_ref().is_none_or(|roll| roll.wave.is_none());
        let since = self.audit.rolls.idle_since.unwrap_or(self.now);
        self.audit.rolls.idle_since = idle.then_some(since);
        self.audit.rolls.roll.clone_from(&state.roll);
    }

    /// Invariant 8: a roll that ends well leaves no outdated host.
    fn judge_end(&mut self, ended: &Ended) {
        if ended.ending != Ending::Done {
            return;
        }
        let now = self.now;
        if !ended.abandoned.is_empty() {
            let detail = format!("roll {} ends as done with {} hosts given up", ended.id, ended.abandoned.len());
            self.audit.violated(8, now, detail);
        }
        let last = self.audit.rolls.roll.as_ref().filter(|roll| roll.id == ended.id);
        let (pool, refresh) = last.map_or((None, Refresh::Outdated), |roll| (roll.pool.clone(), roll.refresh));
        let began = since_begin(ended.started);
        // A group that the fleet file names no more is the fleet's until then.
        let until = |one: &Instance| {
            let unlisted = self.audit.rolls.unlisted.get(&self.cloud.groups[one.group].name);
            unlisted.copied().unwrap_or(now)
        };
        let concerned = |one: &&Instance| {
            let asked = pool.as_ref().is_none_or(|pool| self.cloud.groups[one.group].pool == *pool);
            asked && until(one) >= began.max(one.launched)
        };
        let stays = |one: &&Instance| one.phase == Phase::InService && !one.ended && !one.doomed && !one.aside;
        let old =
            |one: &&Instance| self.was_behind(one, until(one)) || (refresh == Refresh::All && one.launched < began);
        let left = self.cloud.instances.values().filter(concerned).filter(stays).find(old);
        if let Some(host) = left.map(|one| one.id.clone()) {
            self.audit.violated(8, now, format!("roll {} ends as done, and {host} is outdated", ended.id));
        }
        if let Some(host) = self.old_in_warm_pools(pool.as_ref(), (refresh == Refresh::All).then_some(began)) {
            let detail = format!("roll {} ends as done, and {host} is outdated in its warm pool", ended.id);
            self.audit.violated(8, now, detail);
        }
    }

    /// An instance that waits in the warm pool of `pool`, or of any, and is behind, or was launched `before`.
    fn old_in_warm_pools(&self, pool: Option<&PoolName>, before: Option<Ms>) -> Option<InstanceId> {
        let groups = self.cloud.groups.iter().enumerate();
        let concerned = groups.filter(|(_, group)| pool.is_none_or(|pool| group.pool == *pool));
        let mut waiting = concerned.flat_map(|(number, group)| group.warm.members.iter().map(move |one| (number, one)));
        let old = waiting.find(|(number, one)| {
            let early = before.is_some_and(|before| one.launched < before);
            !one.unhealthy && (early || self.were_behind(*number, one.version.version, &one.image, self.now))
        });
        old.map(|(_, one)| one.id.clone())
    }

    /// Invariant 1, when a roll sends a host away.
    pub(crate) fn audit_leaver(&mut self, host: HostNo) {
        let now = self.now;
        let Some(id) = self.cloud.instances.get(&host).map(|one| one.id.clone()) else { return };
        let allowed = self.fleet.disruption.max_out as usize;
        let of_roll = |id: &InstanceId| self.cloud.number(id).is_some_and(|host| self.measure.rolls.leaves(host));
        let others = self.audit.hosts.voluntary.keys().filter(|id| self.is_leaving(id) && !of_roll(id)).count();
        let lost = self.measure.losses.unrepaid(super::hosts::KNOWN, now);
        let out = self.measure.rolls.out(&self.cloud) + others + lost;
        if out > allowed {
            self.audit.budget_violations += 1;
            self.audit.violated(
                1,
                now,
                format!("{id} sent away by a roll: {out} are out, {lost} of them lost; {allowed} may be"),
            );
        }
        let left = self.units_without(host);
        if left + self.fell_just_now() < self.fleet.hosts.minimum {
            self.audit.violated(1, now, format!("{id} sent away by a roll: {left} units are left in service"));
        }
        if !self.budget().outs.contains_key(&id) {
            self.audit.budget_violations += 1;
            self.audit.violated(1, now, format!("{id} sent away by a roll, and the budget does not know of it"));
        }
        self.judge_leaver(host, &id);
    }

    /// Units that fell out and that a turn could not know of: what it was told may be a moment old, a host that was warned
    /// works on until the next tick finds it where its warning was lost, and without a cluster a group sees a death only
    /// with its next health check.
    pub(crate) fn fell_just_now(&self) -> u32 {
        let unseen = |one: &&Instance| self.fleet.cluster.is_none() && one.ended && one.phase == Phase::InService;
        let unseen = self.cloud.instances.values().filter(unseen).map(|one| self.cloud.groups[one.group].units);
        self.measure.losses.units_since(self.now, A_MOMENT, A_TICK) + unseen.sum::<u32>()
    }

    /// Invariant 8: only what is outdated is replaced, and a new host is not replaced again.
    fn judge_leaver(&mut self, host: HostNo, id: &InstanceId) {
        let Some(roll) = self.audit.rolls.replaces() else { return };
        let one = &self.cloud.instances[&host];
        let before = roll.refresh == Refresh::All && timestamp(one.launched) < roll.started;
        // A version that was deleted since a look may have made it current again.
        let course = self.cloud.templates.course.get(&one.group).and_then(|course| course.last());
        let lately = course.is_some_and(|(since, _, _)| one.launched < *since && since + A_LOOK >= self.now);
        if !before && !lately && !self.is_behind_now(one) {
            let (roll, now) = (roll.id.clone(), self.now);
            self.audit.violated(8, now, format!("roll {roll} sends {id} away, which is what its group launches"));
        }
    }

    pub(super) fn is_behind_now(&self, one: &Instance) -> bool {
        let (version, image) = self.cloud.launches(one.group);
        one.version.version != version || one.image != image
    }

    /// Whether a host is on its way out still: somebody may have told it to take tasks again.
    pub(crate) fn is_leaving(&self, id: &InstanceId) -> bool {
        let Some(number) = self.cloud.number(id) else { return false };
        let one = &self.cloud.instances[&number];
        let takes = self.cluster.hosts.get(&number).is_some_and(|host| host.seen.status == HostStatus::Active);
        !one.ended && !takes
    }

    /// Capacity units in service without a host and without those that drain.
    pub(crate) fn units_without(&self, without: HostNo) -> u32 {
        let stays =
            |number: &HostNo| self.cluster.hosts.get(number).is_none_or(|host| host.seen.status == HostStatus::Active);
        let there = self
            .cloud
            .instances
            .iter()
            .filter(|(number, one)| one.works && !one.ended && !one.doomed && **number != without && stays(number));
        there.map(|(_, one)| self.cloud.groups[one.group].units).sum()
    }

    /// The disruption budget as it is stored.
    pub(crate) fn budget(&self) -> Budget {
        let item = self.table.get(&[Budget::key(&self.fleet.name)]).pop().flatten();
        item.and_then(|item| serde_json::from_str(&item.body).ok()).unwrap_or_default()
    }

    /// Patchroll tells hosts to drain, or to take tasks again.
    pub(crate) fn audit_roll_status(&mut self, host: HostNo, drains: bool) {
        let drained = &mut self.audit.rolls.drained;
        if drains {
            drained.insert(host)
        } else {
            drained.remove(&host)
        };
    }

    /// Patchroll ends a host, and its group becomes smaller by it.
    pub(crate) fn audit_roll_shrinks(&mut self, group: GroupNo) {
        *self.audit.rolls.raised.entry(group).or_default() -= 1;
    }

    /// Patchroll sets a group's capacity. What a person has set since the turn looked is lost to it: SetDesiredCapacity has
    /// no condition (API reference), so nobody could know of it, and what people want is what they wanted before.
    pub(crate) fn audit_roll_capacity(&mut self, group: GroupNo, from: u32, to: u32) {
        let unknown = self.audit.rolls.before.remove(&group).filter(|before| self.now - before.at <= A_MOMENT);
        let from = unknown.map_or(from, |before| before.desired);
        if let Some(own) = unknown.and_then(|before| before.own) {
            self.audit.liveness.capacity_meddled(group, own, self.now);
        }
        *self.audit.rolls.raised.entry(group).or_default() += i64::from(to) - i64::from(from);
    }

    /// Looked at every minute: some time after a wave no host drains because of it, and some time after a roll nothing of
    /// it is left.
    pub(crate) fn audit_leftovers(&mut self) {
        let now = self.now;
        let long_ago = |at: Option<Ms>| at.is_some_and(|at| now - at >= CLEARED);
        let mut found: Vec<(u8, String)> = Vec::new();
        if long_ago(self.audit.rolls.idle_since) {
            found.extend(self.still_drains().map(|id| (8, format!("{id} still drains, and is in no wave"))));
            // Said once.
            self.audit.rolls.drained.clear();
        }
        if long_ago(self.audit.rolls.left_at) {
            self.audit.rolls.left_at = None;
            found.extend(self.left_behind());
            self.audit.rolls.raised.clear();
        }
        for (invariant, detail) in found {
            self.audit.violated(invariant, now, detail);
        }
    }

    fn still_drains(&self) -> impl Iterator<Item = &InstanceId> {
        let stays =
            |number: &HostNo| self.cloud.instances.get(number).is_some_and(|one| one.phase != Phase::Terminating);
        let ours = move |number: &&HostNo| self.audit.rolls.drained.contains(*number) && stays(number);
        let hosts = self.cluster.hosts.iter().filter(move |(number, _)| ours(number));
        hosts.filter(|(_, host)| host.seen.status == HostStatus::Draining).map(|(_, host)| &host.seen.id)
    }

    /// What a roll has left behind, besides hosts that drain.
    fn left_behind(&self) -> Vec<(u8, String)> {
        let mut found: Vec<(u8, String)> = Vec::new();
        let marked = self.cluster.hosts.values().filter(|host| host.seen.attributes.contains_key(HostStep::OLD));
        found.extend(marked.map(|host| (8, format!("{} is still marked after the roll", host.seen.id))));
        let places = self.budget();
        let ours = places.outs.iter().filter(|(_, out)| out.by == FunctionName::Patchroll);
        found.extend(ours.map(|(id, _)| (1, format!("{id} still has a place in the budget after the roll"))));
        let builders = self.cloud.builders.iter().filter(|one| one.state != BuilderState::Gone);
        found.extend(builders.map(|builder| (8, format!("{} is still there after the roll", builder.id))));
        // Steps may cross with what a group does by itself: larger it is where it truly has more than people want.
        let larger = |group: GroupNo| {
            self.audit.liveness.own.get(&group).is_none_or(|own| self.cloud.groups[group].desired > *own)
        };
        let raised = self.audit.rolls.raised.iter().filter(|(group, by)| **by > 0 && larger(**group));
        let name = |group: GroupNo| &self.cloud.groups[group].name;
        found.extend(raised.map(|(group, by)| (8, format!("{} is still larger by {by} after the roll", name(*group)))));
        found
    }

    /// A template, an image or a builder is about to be changed.
    pub(crate) fn image_effect(&mut self, turn: TurnNo, step: &ImageStep) {
        let now = self.now;
        if self.audit.hosts.why(turn, |known| matches!(known, Step::Image(known) if known == step)).is_none() {
            self.audit.violated(11, now, format!("{step} without a recorded decision"));
        }
        if !self.is_of_the_fleet(step) {
            self.audit.violated(6, now, format!("{step}, which is not the fleet's"));
        }
    }

    /// Invariant 6 for templates, images and builders; those that are gone are nobody's.
    fn is_of_the_fleet(&self, step: &ImageStep) -> bool {
        let template = |id: &TemplateId| self.cloud.groups.iter().any(|group| group.template.id == *id);
        let builder = |id: &InstanceId| {
            let found = self.cloud.builders.iter().find(|one| one.id == *id);
            found.is_none_or(|one| one.fleet == self.fleet.name)
        };
        match step {
            ImageStep::RunBuilder { roll: _, launch } => template(&launch.template.id),
            ImageStep::MakeImage { roll: _, builder: id, name: _ } | ImageStep::EndBuilder { builder: id } => {
                builder(id)
            }
            ImageStep::DeleteImage { image } => {
                let found = self.cloud.templates.images.get(image);
                let ours = found.is_none_or(|image| image.tag.as_ref().is_some_and(|(of, _)| *of == self.fleet.name));
                let used = (0..self.cloud.groups.len()).any(|group| self.cloud.launches(group).1 == *image);
                ours && !used
            }
            ImageStep::NewVersion { from, image: _, note: _ } => template(&from.id),
            ImageStep::SetDefault { template: id, version: _ } => template(id),
            ImageStep::UseVersion { pool: _, group, template: asks } => {
                template(&asks.id) && self.cloud.group_no(group).is_some()
            }
        }
    }

    /// What a group launches is about to be changed.
    pub(crate) fn use_effect(&mut self, turn: TurnNo, group: &GroupName, template: &TemplateUse) {
        let is = |step: &Step| matches!(step, Step::Image(ImageStep::UseVersion { pool: _, group: one, template: what }) if one == group && what == template);
        match self.audit.hosts.why(turn, is) {
            Some((_, Step::Image(step), _)) => self.image_effect(turn, &step),
            Some(_) | None => {
                let (now, version) = (self.now, template.version);
                self.audit.violated(11, now, format!("{group} told to launch {version} without a recorded decision"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
