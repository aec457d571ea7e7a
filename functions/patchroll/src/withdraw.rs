//! What launch-first waves may leave over: hosts that came and whose old ones did not go.

use evenkeel_model::decision::{HostStep, HostWhy, RollWhy, Step, Why};
use evenkeel_model::groups::Group;
use evenkeel_model::{InstanceId, PoolName};

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

    /// Launches that have not begun are called off, hosts that never came into service end at once, and then the youngest
    /// and emptiest leave in a wave of their own.
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
        let mut new: Vec<(bool, u32, std::cmp::Reverse<evenkeel_model::Timestamp>, InstanceId)> = self
            .roster
            .staying(pool)
            .filter(|(_, kept)| kept.launched_after(roll.started))
            .map(|(id, kept)| (kept.ready(), tasks(kept), std::cmp::Reverse(kept.note.since), id.clone()))
            .collect();
        new.sort();
        let free = self.budget.free(self.given.fleet.disruption);
        let mut wave = Wave {
            since: self.given.now,
            hosts: std::collections::BTreeMap::new(),
            raised: std::collections::BTreeMap::new(),
            withdraws: true,
            gone: None,
        };
        for (ready, on_it, _, id) in new.into_iter().take(surplus as usize) {
            if !ready && on_it == 0 {
                let step = HostStep::Terminate { host: id, pool: pool.clone(), shrink: true };
                self.ends.push((Step::Host(step), Why::Host(HostWhy::Empty)));
            } else if (wave.hosts.len() as u32) < free {
                self.note_out(&id, pool);
                let leaver = Leaver { pool: pool.clone(), leaves: Some(self.given.now), ended: false };
                wave.hosts.insert(id, leaver);
            }
        }
        if !wave.hosts.is_empty() {
            self.leave(roll, &mut wave, None);
            roll.wave = Some(wave);
        }
    }
}

fn tasks(kept: &Kept<'_>) -> u32 {
    kept.host.map_or(0, |host| host.task_count)
}
