//! The auditor's rules about rolls: invariants 1, 6, 8 and 11, from what the world knows to be true.
//!
//! It counts hosts and compares versions; which roll is under way is what patchroll has stored, because nobody else can
//! know what was asked of it.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::decision::{HostStep, ImageStep, Step};
use evenkeel_model::fleet::Refresh;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::{BuilderState, TemplateUse};
use evenkeel_model::{FunctionName, GroupName, ImageId, InstanceId, RollId, TemplateId};
use evenkeel_patchroll::{Ended, Ending, Roll, Stage, State};
use evenkeel_turn::{Budget, OutCause};

use crate::clock::{MINUTE, Ms, since_begin, timestamp};
use crate::cloud::{GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::turns::TurnNo;

/// A look may be so old: what was published since then is nobody's fault.
const A_LOOK: Ms = 2 * MINUTE;
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
    /// What is under way.
    roll: Option<Roll>,
    /// The rolls that have ended, so that each is judged once.
    ended: BTreeSet<RollId>,
    /// When the last one ended, until it was looked at what it left behind.
    left_at: Option<Ms>,
}

impl RollAudit {
    /// The budget was written. Gives what is wrong with it: a host that is sent away on purpose while it is spent.
    pub(super) fn budget(&mut self, budget: &Budget, allowed: usize) -> Option<String> {
        let sent = |id: &&InstanceId| !self.outs.contains(*id) && budget.outs[*id].cause != OutCause::Lost;
        let new = budget.outs.keys().filter(sent).count();
        let out = budget.outs.len();
        self.outs = budget.outs.keys().cloned().collect();
        (new > 0 && out > allowed).then(|| format!("{new} hosts noted as sent away: {out} are out, {allowed} may be"))
    }

    /// A person has set a group's capacity.
    pub(super) fn meddled(&mut self, group: GroupNo) {
        self.raised.remove(&group);
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
    fn is_behind(&self, one: &Instance) -> bool {
        let Some(course) = self.cloud.templates.course.get(&one.group) else { return false };
        let mut recent = course
            .iter()
            .enumerate()
            .filter(|(index, _)| course.get(index + 1).is_none_or(|(until, _, _)| until + A_LOOK >= self.now));
        let same = |(_, (_, version, image)): (usize, &(Ms, u64, ImageId))| {
            one.version.version == *version && one.image == *image
        };
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
        let concerned = |one: &&Instance| pool.as_ref().is_none_or(|pool| self.cloud.groups[one.group].pool == *pool);
        let stays = |one: &&Instance| one.phase == Phase::InService && !one.ended && !one.doomed;
        let old = |one: &&Instance| self.is_behind(one) || (refresh == Refresh::All && one.launched < began);
        let left = self.cloud.instances.values().filter(concerned).filter(stays).find(old);
        if let Some(host) = left.map(|one| one.id.clone()) {
            self.audit.violated(8, now, format!("roll {} ends as done, and {host} is outdated", ended.id));
        }
    }

    /// Invariant 1, when a roll sends a host away.
    pub(crate) fn audit_leaver(&mut self, host: HostNo) {
        let now = self.now;
        let Some(id) = self.cloud.instances.get(&host).map(|one| one.id.clone()) else { return };
        let allowed = self.fleet.disruption.max_out as usize;
        let gone = |id: &InstanceId| self.cloud.number(id).is_none_or(|number| self.cloud.instances[&number].ended);
        let others = self.audit.hosts.voluntary.keys().filter(|id| !gone(id)).count();
        let out = self.measure.rolls.out(&self.cloud) + others;
        if out > allowed {
            self.audit.budget_violations += 1;
            self.audit.violated(
                1,
                now,
                format!("{id} sent away by a roll: {out} are out on purpose, {allowed} may be"),
            );
        }
        let left = self.units_without(host);
        // What a turn was told may be a moment old: a host that fell out since then is nobody's fault.
        if left + 1 < self.fleet.hosts.minimum {
            self.audit.violated(1, now, format!("{id} sent away by a roll: {left} units are left in service"));
        }
        if !self.budget().outs.contains_key(&id) {
            self.audit.budget_violations += 1;
            self.audit.violated(1, now, format!("{id} sent away by a roll, and the budget does not know of it"));
        }
        self.judge_leaver(host, &id);
    }

    /// Invariant 8: only what is outdated is replaced, and a new host is not replaced again.
    fn judge_leaver(&mut self, host: HostNo, id: &InstanceId) {
        let Some(roll) = self.audit.rolls.replaces() else { return };
        let one = &self.cloud.instances[&host];
        let before = roll.refresh == Refresh::All && timestamp(one.launched) < roll.started;
        if !before && !self.is_behind_now(one) {
            let (roll, now) = (roll.id.clone(), self.now);
            self.audit.violated(8, now, format!("roll {roll} sends {id} away, which is what its group launches"));
        }
    }

    fn is_behind_now(&self, one: &Instance) -> bool {
        let (version, image) = self.cloud.launches(one.group);
        one.version.version != version || one.image != image
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

    /// Patchroll makes a group larger or smaller.
    pub(crate) fn audit_roll_capacity(&mut self, group: GroupNo, by: i64) {
        *self.audit.rolls.raised.entry(group).or_default() += by;
    }

    /// Looked at every minute: some time after a roll's end nothing of it is left.
    pub(crate) fn audit_leftovers(&mut self) {
        if self.audit.rolls.left_at.is_none_or(|at| self.now - at < CLEARED) {
            return;
        }
        self.audit.rolls.left_at = None;
        let mut found: Vec<(u8, String)> = Vec::new();
        for (number, host) in &self.cluster.hosts {
            let id = &host.seen.id;
            let stays = self.cloud.instances.get(number).is_some_and(|one| one.phase != Phase::Terminating);
            if stays && host.seen.status == HostStatus::Draining && self.audit.rolls.drained.contains(number) {
                found.push((8, format!("{id} still drains after the roll")));
            }
            if host.seen.attributes.contains_key(HostStep::OLD) {
                found.push((8, format!("{id} is still marked after the roll")));
            }
        }
        let places = self.budget();
        for id in places.outs.iter().filter(|(_, out)| out.by == FunctionName::Patchroll).map(|(id, _)| id) {
            found.push((1, format!("{id} still has a place in the budget after the roll")));
        }
        for builder in self.cloud.builders.iter().filter(|one| one.state != BuilderState::Gone) {
            found.push((8, format!("{} is still there after the roll", builder.id)));
        }
        for (group, by) in self.audit.rolls.raised.iter().filter(|(_, by)| **by > 0) {
            found.push((8, format!("{} is still larger by {by} after the roll", self.cloud.groups[*group].name)));
        }
        let now = self.now;
        for (invariant, detail) in found {
            self.audit.violated(invariant, now, detail);
        }
        self.audit.rolls.raised.clear();
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
            ImageStep::RunBuilder { roll: _, template: version, image: _ } => template(&version.id),
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
mod tests {
    use evenkeel_model::decision::{Decision, HostWhy, Outcome, RollWhy, Why};
    use evenkeel_model::fleet::{Format, read};
    use evenkeel_turn::ledger::{Expect, Key, Write};
    use serde_json::{Value, json};

    use super::*;
    use crate::cloud::HostKind;
    use crate::faults::Faults;
    use crate::setup::Setup;
    use crate::signals::Signals;

    /// Five hosts in a cluster, two of which may be out.
    struct Story {
        core: Core,
    }

    impl Story {
        fn new() -> Self {
            let text = "name = \"a\"\ncluster = \"a\"\nhosts = { minimum = 4, steady = 5, maximum = 6 }\n\
                pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
                [patch]\nwave = 2\n[disruption]\nmax_out = 2\n";
            let fleet = read(text.as_bytes(), Format::Toml).unwrap();
            let signals = Signals::new(&fleet, |_| None);
            Self { core: Core::new(fleet, Setup::default(), signals, Faults::default(), 1) }
        }

        /// The same, with something newer to roll onto and a roll that has begun.
        fn rolling() -> Self {
            let mut story = Self::new();
            story.core.publish(0, HostKind::Sound);
            story.core.now = 10 * MINUTE;
            story.stores(json!({ "roll": roll() }));
            story
        }

        fn host(&self, index: usize) -> InstanceId {
            let (_, one) = self.core.cloud.instances.iter().nth(index).unwrap();
            one.id.clone()
        }

        fn writes(&mut self, key: Key, body: &Value) {
            let write = [Write::put(key, body.to_string(), Expect::Anything)];
            self.core.table.write(&write, |_| None).unwrap();
            let now = self.core.now;
            self.core.audit.recorded(1, &write, now);
            self.core.note_state(&write);
        }

        fn stores(&mut self, state: Value) {
            self.writes(Key::of(&self.core.fleet.name, "state", FunctionName::Patchroll), &state);
        }

        fn places(&mut self, hosts: &[usize]) {
            let out = json!({ "cause": "roll", "by": "patchroll", "since": STARTED, "deadline": STARTED });
            let outs: serde_json::Map<String, Value> =
                hosts.iter().map(|index| (self.host(*index).to_string(), out.clone())).collect();
            self.writes(Budget::key(&self.core.fleet.name), &json!({ "outs": outs }));
        }

        fn decides(&mut self, step: Step) {
            let decision = Decision {
                at: timestamp(self.core.now),
                function: FunctionName::Patchroll,
                why: match step {
                    Step::Host(HostStep::Terminate { .. }) => Why::Host(HostWhy::Empty),
                    Step::Host(_) | Step::Image(_) | Step::SetDesiredCount { .. } => Why::Roll(RollWhy::Unattractive),
                },
                step,
                outcome: Outcome::Undone,
            };
            self.core.audit.hosts.recorded(1, decision);
        }

        fn drains(&mut self, index: usize) {
            let hosts = [self.host(index)];
            let step = HostStep::SetStatus { hosts: hosts.to_vec(), status: HostStatus::Draining };
            self.decides(Step::Host(step.clone()));
            self.takes_effect(&step);
        }

        fn takes_effect(&mut self, step: &HostStep) {
            self.core.host_effect(1, step);
            let HostStep::SetStatus { hosts, status } = step else { return };
            self.core.set_host_status(hosts, *status).unwrap();
            self.core.note_roll_status(FunctionName::Patchroll, hosts, *status);
        }

        fn ends(&mut self, index: usize) {
            let (host, pool) = (self.host(index), "p".parse().unwrap());
            self.decides(Step::Host(HostStep::Terminate { host: host.clone(), pool, shrink: false }));
            self.core.terminate_effect(1, &host, false);
            self.core.terminate(FunctionName::Patchroll, &host, false).unwrap();
        }

        fn found(&self) -> Vec<u8> {
            self.core.audit.violations.iter().map(|violation| violation.invariant).collect()
        }
    }

    const STARTED: &str = "2026-01-05T00:10:00Z";

    fn roll() -> Value {
        json!({
            "id": "r-1", "started": STARTED, "because": "a test", "any_time": true, "refresh": "outdated",
            "stage": "rolling", "wave": { "since": STARTED, "hosts": {} },
        })
    }

    fn ended(ending: &str) -> Value {
        json!({ "ended": [{
            "id": "r-1", "because": "a test", "started": STARTED, "at": STARTED, "ending": ending, "waves": 1,
            "replaced": 1, "went": 0,
        }] })
    }

    #[test]
    fn a_sound_roll_is_left_in_peace() {
        let mut story = Story::rolling();
        story.places(&[0]);
        story.drains(0);
        story.ends(0);
        story.stores(ended("aborted"));
        story.places(&[]);
        story.core.now += CLEARED;
        story.core.audit_leftovers();
        assert_eq!(story.core.audit.violations, []);
    }

    #[test]
    fn a_host_that_goes_when_it_must_not_is_found() {
        let mut unknown = Story::rolling();
        unknown.drains(0);
        assert_eq!(unknown.found(), [1], "the budget does not know of it");

        let mut many = Story::rolling();
        many.places(&[0, 1, 2]);
        assert_eq!(many.found(), [1], "three places, where two may be out");
        many.drains(0);
        many.drains(1);
        many.drains(2);
        assert_eq!(many.found(), [1, 1, 1], "too many are out, and too few are left");

        let mut undecided = Story::rolling();
        undecided.places(&[0]);
        let hosts = vec![undecided.host(0)];
        undecided.takes_effect(&HostStep::SetStatus { hosts, status: HostStatus::Draining });
        assert_eq!(undecided.found(), [11], "nobody decided it");

        let mut busy = Story::rolling();
        busy.places(&[0]);
        busy.drains(0);
        let number = *busy.core.cloud.instances.keys().next().unwrap();
        busy.core.cluster.add_task(number, None, evenkeel_model::Room::default(), 0);
        busy.ends(0);
        assert_eq!(busy.found(), [7], "something runs on it");

        let mut new = Story::new();
        new.core.now = 10 * MINUTE;
        new.stores(json!({ "roll": roll() }));
        new.places(&[0]);
        new.drains(0);
        assert_eq!(new.found(), [8], "it is what its group launches");
    }

    #[test]
    fn a_roll_that_ends_as_done_with_an_outdated_host_is_found() {
        let mut story = Story::rolling();
        story.stores(ended("done"));
        assert_eq!(story.found(), [8]);
        let mut story = Story::new();
        story.core.now = 10 * MINUTE;
        story.stores(json!({ "roll": roll() }));
        story.stores(ended("done"));
        assert!(story.found().is_empty());
    }

    #[test]
    fn what_a_roll_leaves_behind_is_found() {
        let mut story = Story::rolling();
        story.places(&[0]);
        story.drains(0);
        let (marked, group) = (story.host(1), story.core.cloud.groups[0].name.clone());
        story.core.mark_old(&[marked], true).unwrap();
        story.core.set_capacity(FunctionName::Patchroll, &group, 6).unwrap();
        let image = story.core.cloud.launches(0).1;
        let template = story.core.cloud.instances.values().next().unwrap().version.clone();
        let (fleet, roll) = (story.core.fleet.name.clone(), "r-1".parse().unwrap());
        story.core.run_builder(&fleet, &roll, &template, &image, 1).unwrap();
        story.stores(ended("aborted"));
        story.core.now += CLEARED - 1;
        story.core.audit_leftovers();
        assert!(story.found().is_empty(), "it has some time to clear things away");
        story.core.now += 1;
        story.core.audit_leftovers();
        let mut found = story.found();
        found.sort_unstable();
        assert_eq!(found, [1, 8, 8, 8, 8], "{:?}", story.core.audit.violations);
    }

    #[test]
    fn what_is_not_the_fleets_is_not_to_be_touched() {
        let mut story = Story::rolling();
        let foreign = story.core.cloud.templates.add_public_image("x", timestamp(0), HostKind::Sound);
        for step in [
            ImageStep::DeleteImage { image: foreign },
            ImageStep::SetDefault { template: "lt-other".parse().unwrap(), version: 1 },
        ] {
            story.decides(Step::Image(step.clone()));
            story.core.image_effect(1, &step);
        }
        assert_eq!(story.found(), [6, 6]);
    }
}
