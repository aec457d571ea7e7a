//! Warm pools: a group takes what waits there before it launches anything, and it runs what it was launched from.
//!
//! Nothing runs on it, so that replacing it needs no place in the disruption budget; its group replaces all of it at once.

use std::collections::BTreeMap;

use evenkeel_model::decision::{HostStep, RollWhy, Step, Why};
use evenkeel_model::fleet::Pool;
use evenkeel_model::groups::Group;
use evenkeel_model::report::{RollWait, Wait};
use evenkeel_model::{InstanceId, PoolName};

use crate::hosts::Origin;
use crate::plan::Planning;
use crate::state::{Roll, Stage};
use crate::wave::{ENDS_AGAIN, MOST_ENDS};

/// An old instance in a warm pool.
pub(crate) struct OldWarm<'a> {
    pub(crate) id: InstanceId,
    pub(crate) why: RollWhy,
    pool: &'a Pool,
    group: &'a Group,
    /// Its group was told.
    told: bool,
}

impl<'r> Planning<'_, 'r> {
    /// What waits in warm pools and is not what its group would launch now, or would be replaced by `roll`; what its group
    /// ends already cannot come into service any more.
    pub(crate) fn old_warm(&self, roll: Option<&Roll>) -> Vec<OldWarm<'r>> {
        let mut old = Vec::new();
        let roster = self.roster;
        for (pool, group) in &roster.groups {
            let asked = roll.is_none_or(|roll| roll.is_about(&pool.name));
            let waiting = self.seen.warm.get(&group.name).filter(|_| asked).into_iter().flatten();
            for member in waiting.filter(|member| !member.leaving) {
                let facts = self.seen.instances.iter().find(|one| one.id == member.id);
                let image = facts.and_then(|one| one.image.as_ref());
                let launched = facts.map(|one| one.launched);
                let origin = Origin { template: member.template.as_ref(), image, launched };
                let target = self.state.targets.get(&pool.name);
                let why = match roll.filter(|roll| roll.stage == Stage::Rolling) {
                    Some(roll) => origin.to_replace(target, roll.refresh, roll.started),
                    None => origin.outdated(target),
                };
                let told = !member.healthy;
                old.extend(why.map(|why| OldWarm { id: member.id.clone(), why, pool, group, told }));
            }
        }
        old
    }

    /// Has groups replace what is old in their warm pools. Gives whether there is any that a wave would bring into service:
    /// where a group launches or ends nothing, neither comes of it.
    pub(crate) fn replace_warm(&mut self, roll: &Roll) -> bool {
        let mut old = self.old_warm(Some(roll));
        for one in old.iter().filter(|_| roll.todo.is_empty()) {
            let suspended = one.group.suspended.first().map(|process| (one.group.name.clone(), *process));
            let wait = suspended.map(|(group, process)| Wait::Roll(RollWait::Suspended { group, process }));
            self.report.waits.extend(wait.filter(|wait| !self.report.waits.contains(wait)));
        }
        old.retain(|one| one.group.suspended.is_empty() && !self.is_refreshing(one.group));
        let untold: Vec<&OldWarm<'_>> = old.iter().filter(|one| !one.told).collect();
        if untold.len() > MOST_ENDS {
            self.wakes.insert(ENDS_AGAIN);
        }
        for one in untold.into_iter().take(MOST_ENDS) {
            let step = HostStep::EndWarm { host: one.id.clone(), pool: one.pool.name.clone() };
            self.push(Step::Host(step), Why::Roll(one.why.clone()), true);
        }
        !old.is_empty()
    }

    /// Says which warm pools have something old in them.
    pub(crate) fn say_old_warm(&mut self) {
        let roll = self.state.roll.as_ref();
        let mut counts: BTreeMap<&PoolName, u32> = BTreeMap::new();
        for one in self.old_warm(roll) {
            *counts.entry(&one.pool.name).or_default() += 1;
        }
        let waits = counts.into_iter().map(|(pool, hosts)| RollWait::OldWarm { pool: pool.clone(), hosts });
        self.report.waits.extend(waits.map(Wait::Roll));
    }
}
