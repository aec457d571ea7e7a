//! What groups launch: pointing them back to what they launched before, or on to a baked image.

use evenkeel_model::decision::{ImageStep, RollWhy, Step, Why};
use evenkeel_model::templates::{TemplateUse, TemplateVersion, VersionSpec};
use evenkeel_model::{GroupName, ImageId};

use crate::plan::Planning;
use crate::state::{Roll, Stage};

impl Planning<'_, '_> {
    /// Begins to take back a roll that is halted, where the fleet file says so and there is a version to go back to.
    pub(crate) fn turn_back(&mut self, roll: &mut Roll) {
        if !roll.turns_back(self.policy) {
            return;
        }
        roll.stage = Stage::TakingBack;
        roll.todo = self
            .roster
            .all
            .iter()
            .filter(|(_, kept)| kept.stays() && kept.note.came_after(roll.started))
            .filter(|(_, kept)| {
                let from = roll.from.get(&kept.group.name);
                from.is_some_and(|from| kept.member.template.as_ref().is_some_and(|own| own != from))
            })
            .map(|(id, _)| (*id).clone())
            .collect();
    }

    /// Has every group launch what it launched before. Gives whether they all do.
    pub(crate) fn point_back(&mut self, roll: &Roll) -> bool {
        let Some(because) = roll.halted.clone() else { return true };
        let mut done = true;
        for (group, from) in &roll.from {
            done &= self.point(group, from, &Why::Roll(RollWhy::RollBack { because: because.clone() }));
        }
        done
    }

    /// Has a group launch one version of its template. Gives whether it does; a group that is not the fleet's any more is
    /// nobody's concern.
    fn point(&mut self, group: &GroupName, to: &TemplateVersion, why: &Why) -> bool {
        let Some((pool, group)) = self.roster.group(group) else { return !self.is_listed(group) };
        let target = self.state.targets.get(&pool.name);
        if target.is_some_and(|target| target.template == to.id && target.version == to.version) {
            return true;
        }
        let template = TemplateUse { id: to.id.clone(), version: VersionSpec::Number(to.version) };
        let step = ImageStep::UseVersion { pool: pool.name.clone(), group: group.name.clone(), template };
        self.push(Step::Image(step), why.clone(), false);
        false
    }

    /// Has every group of the roll launch the baked image: a new version of its template, and the group's own way of
    /// naming versions stays as it is. Gives whether they all do.
    pub(crate) fn point_to_image(&mut self, roll: &Roll, image: &ImageId) -> bool {
        let mut done = true;
        let mut made: std::collections::BTreeSet<evenkeel_model::TemplateId> = std::collections::BTreeSet::new();
        let roster = self.roster;
        for (pool, group) in &roster.groups {
            let target = self.state.targets.get(&pool.name).filter(|_| roll.is_about(&pool.name));
            let Some(target) = target.cloned() else { continue };
            let Some(asks) = &group.template else { continue };
            if target.image.as_ref() == Some(image) {
                continue;
            }
            done = false;
            let why = Why::Roll(RollWhy::Baked { image: image.clone() });
            let newest = self.latest(&asks.id).filter(|(_, newest)| newest.as_ref() == Some(image));
            match (newest, asks.version) {
                (None, _) if made.insert(asks.id.clone()) => {
                    let from = TemplateVersion { id: asks.id.clone(), version: target.version };
                    let note = format!("evenkeel {} {}", self.given.fleet.name, roll.id);
                    let step = ImageStep::NewVersion { from, image: image.clone(), note };
                    self.push(Step::Image(step), why, false);
                }
                (None, _) => {}
                // It is the newest already, and the answer that said otherwise was older.
                (Some(_), VersionSpec::Latest) => {}
                (Some((version, _)), VersionSpec::Default) => {
                    let step = ImageStep::SetDefault { template: asks.id.clone(), version };
                    self.push(Step::Image(step), why, false);
                }
                (Some((version, _)), VersionSpec::Number(_)) => {
                    let to = TemplateVersion { id: asks.id.clone(), version };
                    let _not_yet = self.point(&group.name, &to, &why);
                }
            }
        }
        done
    }

    /// The newest version of a template and its image.
    fn latest(&self, template: &evenkeel_model::TemplateId) -> Option<(u64, Option<ImageId>)> {
        let asks = TemplateUse { id: template.clone(), version: VersionSpec::Latest };
        let found = self.seen.templates.as_ref()?.iter().find(|found| found.asks == asks)?;
        Some((found.version, found.image.clone()))
    }
}
