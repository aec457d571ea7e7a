//! What launch-first waves may leave over: hosts that came and whose old ones did not go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evenkeel_model::PoolName;
use evenkeel_model::decision::{HostStep, RollWhy, Step, Why};
use evenkeel_model::groups::Group;
use evenkeel_model::report::{HostWait, Wait};

use crate::hosts::Kept;
use crate::plan::Planning;
use crate::state::{Leaver, Roll, Wave};

impl Planning<'_, '_> {
    /// Takes back what launch-first waves have left over. Gives whether there was anything.
    pub(crate) fn withdraw(&mut self, roll: &mut Roll) -> bool {
        while let Some((pool, base)) = roll.base.first_key_value().map(|(pool, base)| (pool.clone(), *base)) {
            match self.roster.group(&pool) {
                Some(group) if group.desired > base => {
                    self.withdraw_from(roll, &pool, group, group.desired - base);
                    return true;
                }
                Some(_) | None => {
                    roll.base.remove(&pool);
                }
            }
        }
        false
    }

    /// Launches that have not begun are called off, and hosts leave in a wave of their own: first those that are not in
    /// service, then the emptiest and youngest.
    fn withdraw_from(&mut self, roll: &mut Roll, pool: &PoolName, group: &Group, surplus: u32) {
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let unborn = group.desired.saturating_sub(staying).min(surplus);
        if unborn > 0 {
            let because = "not needed any more, and not launched yet".to_owned();
            let (from, to) = (group.desired, group.desired - unborn);
            let step = HostStep::SetCapacity { pool: pool.clone(), group: group.name.clone(), from, to };
            self.push(Step::Host(step), Why::Roll(RollWhy::Withdrawn { because }), false);
            return;
        }
        let taken = &self.budget.outs;
        let mut new: Vec<_> = self
            .roster
            .staying(pool)
            .filter(|(id, kept)| kept.launched_after(roll.started) && !taken.contains_key(*id))
            .map(|(id, kept)| (kept.ready(), tasks(kept), Reverse(kept.note.since), id.clone()))
            .collect();
        new.sort();
        let mut wave = Wave {
            since: self.given.now,
            hosts: BTreeMap::new(),
            raised: BTreeMap::new(),
            came: None,
            withdraws: true,
            targets: BTreeMap::new(),
            gone: None,
        };
        let free = self.budget.free(self.given.fleet.disruption);
        for (_, _, _, id) in new.into_iter().take(surplus.min(free) as usize) {
            self.note_out(&id, pool);
            let leaver = Leaver { pool: pool.clone(), leaves: Some(self.given.now), told: None, ended: false };
            wave.hosts.insert(id, leaver);
        }
        if free == 0 {
            let (out, allowed) = (self.budget.out(), self.given.fleet.disruption.max_out);
            self.report.waits.push(Wait::Host(HostWait::BudgetSpent { out, allowed }));
        } else if !wave.hosts.is_empty() {
            self.leave(roll, &mut wave, false);
            roll.wave = Some(wave);
        }
    }
}

fn tasks(kept: &Kept<'_>) -> u32 {
    kept.host.map_or(0, |host| host.task_count)
}
