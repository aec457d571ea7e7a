//! The list of hosts that a roll is to replace: who comes on it, and who leaves it without being replaced.

use std::collections::BTreeMap;

use evenkeel_model::decision::Stuck;
use evenkeel_model::templates::TemplateVersion;
use evenkeel_model::{GroupName, InstanceId, PoolName};

use crate::hosts::{Kept, Roster};
use crate::plan::Planning;
use crate::state::{HostNote, Roll, Stage, Target};

impl Planning<'_, '_> {
    /// Puts all hosts that are to be replaced on the roll's list; those that could not be are left out.
    pub(crate) fn list_hosts(&self, roll: &mut Roll) {
        let targets = &self.state.targets;
        for (id, kept) in &self.roster.all {
            let target = targets.get(&kept.pool.name);
            let old = kept.may_go() && kept.to_replace(target, roll.refresh, roll.started).is_some();
            if roll.is_about(&kept.pool.name) && old && !roll.abandoned.contains_key(*id) {
                roll.todo.insert((*id).clone());
            }
        }
        if roll.from.is_empty() {
            roll.from = versions_before(self.roster, roll, targets);
        }
    }

    /// A host on the list that is gone counts as rolled: what takes its place is new.
    pub(crate) fn count_those_that_went(&self, roll: &mut Roll) {
        let unseen = |id: &InstanceId| {
            let note = self.given.state.hosts.get(id);
            let group = note.and_then(|note| note.group.as_ref());
            group.is_some_and(|group| self.roster.group(group).is_none())
        };
        self.give_up_those_not_listed(roll);
        self.keep_those_that_are_current(roll);
        // Nobody waits for what somebody has set aside; it is listed again when it is back.
        roll.todo.retain(|id| self.roster.all.get(id).is_none_or(|kept| kept.may_go() || !kept.stays()));
        let before = roll.todo.len();
        roll.todo.retain(|id| self.roster.all.get(id).is_some_and(Kept::stays) || unseen(id));
        roll.went += u32::try_from(before - roll.todo.len()).unwrap_or(0);
    }

    /// Somebody may have pointed a group back to what its hosts run: then there is nothing to replace.
    fn keep_those_that_are_current(&self, roll: &mut Roll) {
        if roll.stage != Stage::Rolling || self.seen.templates.is_none() {
            return;
        }
        let current: Vec<InstanceId> = roll.todo.iter().filter(|id| self.is_current(roll, id)).cloned().collect();
        roll.todo.retain(|id| !current.contains(id));
    }

    /// Whether a host is known to be what its group launches now.
    pub(crate) fn is_current(&self, roll: &Roll, id: &InstanceId) -> bool {
        self.roster.all.get(id).is_some_and(|kept| {
            let target = self.state.targets.get(&kept.pool.name);
            target.is_some() && kept.to_replace(target, roll.refresh, roll.started).is_none()
        })
    }

    /// Hosts of pools whose templates are not known are given up once no others are left: nobody can say that they are new.
    pub(crate) fn give_up_those_not_judged(&self, roll: &mut Roll) {
        let judged = |id: &InstanceId| self.roster.all.get(id).is_none_or(|kept| self.can_be_judged(roll, kept));
        if roll.stage != Stage::Rolling || roll.halted.is_some() || roll.todo.iter().any(judged) {
            return;
        }
        let concerned = |kept: &Kept<'_>| kept.stays() && roll.is_about(&kept.pool.name);
        let unknown = self.roster.all.iter().filter(|(_, kept)| concerned(kept)).filter_map(|(id, kept)| {
            let because = self.roster.unknown.get(&kept.pool.name).filter(|_| !self.can_be_judged(roll, kept))?;
            Some(((*id).clone(), Stuck::UnknownTemplate { because: because.clone() }))
        });
        let unknown: Vec<(InstanceId, Stuck)> = unknown.collect();
        roll.todo.retain(|id| unknown.iter().all(|(one, _)| one != id));
        roll.abandoned.extend(unknown);
    }

    /// Whether it can be told if a roll is to replace a host.
    pub(crate) fn can_be_judged(&self, roll: &Roll, kept: &Kept<'_>) -> bool {
        kept.can_be_judged(self.state.targets.get(&kept.pool.name), roll.refresh)
    }

    /// Hosts of groups that the fleet file does not name any more are nobody's to replace: those on the list, and those that
    /// would have come to be on it, because their group launched something newer when it was looked at last.
    fn give_up_those_not_listed(&self, roll: &mut Roll) {
        let before = self.given.state;
        let other_image = |note: &HostNote| {
            let launches = before.targets.get(&note.pool).and_then(|target| target.image.as_ref());
            launches.is_some() && note.image.is_some() && launches != note.image.as_ref()
        };
        let behind = before.hosts.iter().filter(|(id, note)| {
            let newly = roll.stage == Stage::Rolling && !before.drained.contains(*id) && !self.is_of_listed_group(id);
            newly && roll.is_about(&note.pool) && other_image(note)
        });
        let behind: Vec<InstanceId> = behind.map(|(id, _)| id.clone()).collect();
        for id in roll.todo.extract_if(.., |id| !self.is_of_listed_group(id)).chain(behind) {
            roll.abandoned.insert(id, Stuck::NotListed);
        }
    }

    /// Whether a host's group is one of the fleet's, as far as it is known.
    pub(crate) fn is_of_listed_group(&self, id: &InstanceId) -> bool {
        let group = self.given.state.hosts.get(id).and_then(|note| note.group.as_ref());
        group.is_none_or(|group| self.is_listed(group))
    }
}

/// What most of a group's hosts on the list were launched from, where it is not what the group launches now.
fn versions_before(
    roster: &Roster<'_>,
    roll: &Roll,
    targets: &BTreeMap<PoolName, Target>,
) -> BTreeMap<GroupName, TemplateVersion> {
    let mut counts: BTreeMap<&GroupName, BTreeMap<&TemplateVersion, usize>> = BTreeMap::new();
    for kept in roll.todo.iter().filter_map(|id| roster.all.get(id)) {
        let Some(own) = &kept.member.template else { continue };
        let target = targets.get(&kept.pool.name);
        // Of several templates only one can be told: such a group is not taken back.
        let one = target.filter(|target| target.lines.is_empty());
        if one.is_some_and(|target| target.template == own.id && target.version != own.version) {
            *counts.entry(&kept.group.name).or_default().entry(own).or_default() += 1;
        }
    }
    let most = |versions: BTreeMap<&TemplateVersion, usize>| {
        let (version, _) = versions.into_iter().max_by_key(|(version, count)| (*count, version.version))?;
        Some(version.clone())
    };
    counts.into_iter().filter_map(|(group, versions)| Some((group.clone(), most(versions)?))).collect()
}
