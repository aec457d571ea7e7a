//! Which new host stands in for which old one.

use std::cmp::Reverse;

use evenkeel_model::decision::Stuck;
use evenkeel_model::{GroupName, InstanceId};

use crate::hosts::Kept;
use crate::pairs::{Pair, Phase, Wave};
use crate::plan::Planning;
use crate::state::Roll;

impl<'r> Planning<'_, 'r> {
    /// Names the successors that have come, forgets those that went again, and moves their pairs on.
    pub(crate) fn name_successors(&self, roll: &Roll, wave: &mut Wave) {
        if wave.withdraws {
            return;
        }
        for group in wave.groups() {
            let Some((_, found)) = self.roster.group(&group) else { continue };
            self.forget_those_that_went(&group, wave);
            self.claim(&group, wave);
            self.take_over(roll, &group, wave);
            // A group that has all its hosts again is whole, also where somebody has made it smaller meanwhile.
            let whole = self.others_in_service(wave, &group) >= found.desired as usize;
            for pair in wave.hosts.values_mut().filter(|pair| pair.group == group && pair.phase == Phase::Launching) {
                let there = pair.successor.as_ref().and_then(|host| self.roster.all.get(host)).is_some_and(Kept::ready);
                if there || (whole && !pair.launch_first) {
                    let next = if pair.launch_first { Phase::InService } else { Phase::Settled };
                    pair.enter(next, self.given.now);
                }
            }
        }
    }

    /// A successor that is on its way out again is none; before its old host goes, another is waited for.
    fn forget_those_that_went(&self, group: &GroupName, wave: &mut Wave) {
        for pair in wave.hosts.values_mut().filter(|pair| pair.group == *group && !pair.is_over()) {
            let gone = |host: &InstanceId| self.roster.all.get(host).is_none_or(|kept| !kept.stays());
            if pair.successor.as_ref().is_some_and(gone) {
                pair.successor = None;
                if pair.phase == Phase::InService {
                    pair.enter(Phase::Launching, self.given.now);
                }
            }
        }
    }

    /// Gives each pair that waits a host that was launched for it: who was asked for first comes first.
    fn claim(&self, group: &GroupName, wave: &mut Wave) {
        for id in waiting(wave, group) {
            let Some(pair) = wave.hosts.get(&id) else { continue };
            let Some(asked) = pair.asked else { continue };
            let new = |kept: &&Kept<'_>| kept.note.came_after(asked) && self.is_fresh(pair, kept);
            let first = self
                .newcomers(wave, group)
                .filter(new)
                .min_by_key(|kept| (kept.note.launched.unwrap_or(kept.note.since), &kept.member.id));
            let successor = first.map(|kept| kept.member.id.clone());
            if let Some(pair) = wave.hosts.get_mut(&id) {
                pair.successor = successor;
            }
        }
    }

    /// Where a group has one host in service more than it needs, an old one may go although none was launched for it: an
    /// earlier pair has left one over, or a group that evens out its zones has launched one by itself, and launches none for
    /// us then.
    fn take_over(&self, roll: &Roll, group: &GroupName, wave: &mut Wave) {
        for id in waiting(wave, group) {
            let ready = usize::from(self.roster.all.get(&id).is_some_and(Kept::ready));
            let spare = self.spare(roll, wave, group).is_some_and(|spare| spare >= ready);
            if !wave.hosts[&id].launch_first || !spare {
                continue;
            }
            let free = self.newcomers(wave, group).filter(|kept| kept.ready() && !roll.todo.contains(&kept.member.id));
            let free = free.filter(|kept| !self.is_old_again(roll, wave, kept));
            let youngest = free.max_by_key(|kept| (kept.note.launched, Reverse(&kept.member.id)));
            let successor = youngest.map(|kept| kept.member.id.clone());
            if let Some(pair) = wave.hosts.get_mut(&id) {
                pair.successor = successor;
                pair.enter(Phase::InService, self.given.now);
            }
        }
    }

    /// Hosts of a group that stay, besides those that go and those that are somebody's successor.
    fn newcomers<'s>(&'s self, wave: &'s Wave, group: &'s GroupName) -> impl Iterator<Item = &'s Kept<'r>> {
        let new = |(id, _): &(&InstanceId, &Kept<'_>)| !wave.hosts.contains_key(*id) && !wave.is_claimed(id);
        self.roster.staying(group).filter(new).map(|(_, kept)| kept)
    }

    /// Hosts of a group in service besides those that go.
    fn others_in_service(&self, wave: &Wave, group: &GroupName) -> usize {
        self.roster.staying(group).filter(|(id, kept)| !wave.hosts.contains_key(*id) && kept.ready()).count()
    }

    /// Hosts in service that a group has besides those that it had before the roll, and besides those that are to do for
    /// old hosts which work on; none where it has fewer.
    fn spare(&self, roll: &Roll, wave: &Wave, group: &GroupName) -> Option<usize> {
        let is_ready = |id: &InstanceId| self.roster.all.get(id).is_some_and(Kept::ready);
        let goes = |id: &InstanceId| wave.hosts.get(id).is_some_and(|pair| !pair.serves());
        let counts = |kept: &Kept<'_>| kept.ready() && !self.is_old_again(roll, wave, kept);
        let ready = self.roster.staying(group).filter(|(id, kept)| counts(kept) && !goes(id)).count();
        let bound = wave.of(group).filter(|(id, pair)| match &pair.successor {
            Some(host) => pair.serves() && is_ready(host),
            None => pair.phase == Phase::InService && is_ready(id),
        });
        let base = roll.groups.get(group).map_or(usize::MAX, |capacity| capacity.base as usize);
        ready.checked_sub(bound.count())?.checked_sub(base)
    }

    /// Whether a host came since the roll began and runs what an old one of its group's in the wave runs: nothing would be
    /// won with it.
    fn is_old_again(&self, roll: &Roll, wave: &Wave, kept: &Kept<'_>) -> bool {
        let same = |id: &InstanceId| {
            self.roster
                .all
                .get(id)
                .is_some_and(|old| old.member.template.is_some() && old.member.template == kept.member.template)
        };
        let outdated = || kept.outdated(self.state.targets.get(&kept.pool.name)).is_some();
        !wave.hosts.contains_key(&kept.member.id)
            && kept.note.came_after(roll.started)
            && outdated()
            && wave.of(&kept.group.name).any(|(id, _)| same(id))
    }

    /// Whether what stands in for a pair's old host is in service in this look, too.
    pub(crate) fn has_successor(&self, roll: &Roll, wave: &Wave, pair: &Pair) -> bool {
        match &pair.successor {
            Some(host) => self.roster.all.get(host).is_some_and(Kept::ready),
            None => self.spare(roll, wave, &pair.group).is_some(),
        }
    }

    /// Whether a host is what its group launched when it was asked for, or newer: somebody may have published another
    /// version since, onto which the roll goes on when it is through.
    fn is_fresh(&self, pair: &Pair, kept: &Kept<'_>) -> bool {
        let Some(whole) = self.state.targets.get(&kept.pool.name) else { return true };
        let target = whole.of(kept.member.template.as_ref());
        let of_template = kept.member.template.as_ref().filter(|own| own.id == target.template && !self.takes_back);
        // Another version may have been published after the host's launch, or between the look at the target and that.
        let began = pair.version.filter(|began| *began < target.version && target.template == whole.template);
        let later = |own: u64| own > target.version || began.is_some_and(|began| own >= began);
        of_template.is_some_and(|own| later(own.version)) || kept.outdated(Some(whole)).is_none()
    }

    /// A host that came for a pair, is in service, and is as old as the one before: waiting does not help.
    pub(crate) fn wrong_version(&self, roll: &Roll, wave: &Wave) -> Option<Stuck> {
        let waiting = wave.hosts.values().filter(|pair| pair.phase == Phase::Launching && pair.successor.is_none());
        let wrong = |pair: &Pair| {
            let mut new = self.newcomers(wave, &pair.group);
            let asked = pair.asked?;
            // One on the list was there before: EC2 says when in whole seconds only.
            let wrong = new.find(|kept| {
                let new = kept.note.came_after(asked) && !roll.todo.contains(&kept.member.id);
                new && kept.ready() && !self.is_fresh(pair, kept)
            })?;
            Some(Stuck::StillOutdated { runs: wrong.runs() })
        };
        waiting.into_iter().find_map(wrong)
    }

    /// Whether nobody says when a wave's successors are in service: load balancers do not, and a host that has joined
    /// before its group counts it in does not either.
    pub(crate) fn is_unannounced(&self, wave: &Wave) -> bool {
        let mut groups = wave.groups().into_iter();
        let half = |kept: &Kept<'_>| kept.host.is_some() && !kept.ready() && kept.note.came_after(wave.since);
        self.given.fleet.cluster.is_none()
            || groups.any(|group| {
                let balanced = self.roster.group(&group).is_some_and(|(_, found)| !found.target_groups.is_empty());
                balanced || self.roster.staying(&group).any(|(id, kept)| !wave.hosts.contains_key(id) && half(kept))
            })
    }
}

/// The pairs of a group that have no successor yet, in the order in which they were asked for.
fn waiting(wave: &Wave, group: &GroupName) -> Vec<InstanceId> {
    let waits = |(_, pair): &(&InstanceId, &Pair)| pair.phase == Phase::Launching && pair.successor.is_none();
    let mut found: Vec<_> = wave.of(group).filter(waits).map(|(id, pair)| (pair.asked, id.clone())).collect();
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}
