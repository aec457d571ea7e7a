//! What launch-first waves may leave over: hosts that came and whose old ones did not go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evenkeel_model::decision::{HostStep, RollWhy, Step, Why};
use evenkeel_model::fleet::Pool;
use evenkeel_model::groups::Group;
use evenkeel_model::report::{HostWait, Wait};

use crate::hosts::Kept;
use crate::pairs::{Pair, Phase, Wave};
use crate::plan::Planning;
use crate::state::Roll;

impl Planning<'_, '_> {
    /// Takes back what launch-first waves have left over. Gives whether there is anything, or may be.
    pub(crate) fn withdraw(&mut self, roll: &mut Roll) -> bool {
        if let Some(until) = self.unsettled_until(roll) {
            self.wake_at(until);
            return true;
        }
        let left = |(pool, group): &(&Pool, &Group)| {
            let extra = roll.groups.get(&group.name).map_or(0, |capacity| capacity.extra);
            (extra > 0).then_some((pool.name.clone(), group.name.clone(), extra))
        };
        let Some((pool, name, extra)) = self.roster.groups.iter().find_map(left) else { return false };
        let Some((_, group)) = self.roster.group(&name) else { return true };
        // Launches that have not begun are called off.
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let unborn = group.desired.saturating_sub(staying).min(extra);
        if unborn > 0 {
            let because = "not needed any more, and not launched yet".to_owned();
            let (from, to) = (group.desired, group.desired - unborn);
            let step = HostStep::SetCapacity { pool, group: name.clone(), from, to };
            self.push(Step::Host(step), Why::Roll(RollWhy::Withdrawn { because }), false);
            let now = self.given.now;
            roll.groups.entry(name).and_modify(|capacity| capacity.set = now);
        } else {
            self.withdraw_from(roll, group, extra);
        }
        true
    }

    /// Hosts leave in a wave of their own: first those of this roll, those that are not in service, then the emptiest and
    /// youngest.
    fn withdraw_from(&mut self, roll: &mut Roll, group: &Group, extra: u32) {
        let now = self.given.now;
        let taken = &self.budget.outs;
        let mut found: Vec<_> = self
            .roster
            .staying(&group.name)
            .filter(|(id, _)| !taken.contains_key(*id))
            .map(|(id, kept)| {
                let old = !kept.note.came_after(roll.started);
                (old, kept.ready(), tasks(kept), Reverse(kept.note.since), id.clone())
            })
            .collect();
        found.sort();
        let free = self.budget.free(self.given.fleet.disruption);
        if free == 0 {
            let (out, allowed) = (self.budget.out(), self.given.fleet.disruption.max_out);
            self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out, allowed }));
            return;
        }
        let mut wave = Wave { since: now, hosts: BTreeMap::new(), came: None, withdraws: true, looked: Some(now) };
        for (.., id) in found.into_iter().take(extra.min(free) as usize) {
            self.note_out(&id);
            wave.hosts.insert(id, Pair::new(&group.name, Phase::Draining, now));
        }
        self.leave(roll, &mut wave);
        roll.wave = (!wave.hosts.is_empty()).then_some(wave);
    }
}

fn tasks(kept: &Kept<'_>) -> u32 {
    kept.host.map_or(0, |host| host.task_count)
}
