//! Warm pools: instances that wait beside a group, of what it launched when they were launched.

use evenkeel_model::groups::WarmMember;
use evenkeel_model::templates::{Instance as Ec2Instance, TemplateVersion};
use evenkeel_model::{GroupName, ImageId, InstanceId, Timestamp};
use evenkeel_turn::ports::{Answer, PortError};

use super::{Cloud, GroupNo};
use crate::clock::{Ms, SECOND};
use crate::cloud::flow::HEALTH_CHECK;
use crate::core::{Core, Event};
use crate::setup::Spread;

/// A stopped instance of a warm pool starts in about this.
pub(super) const WARM_START: Spread = Spread { least: 8_000, usual: 12_000, most: 20_000 };
/// A warm pool is filled up again after this.
pub(super) const WARM_REFILL: Ms = 120 * SECOND;

/// A group's warm pool.
#[derive(Debug, Default)]
pub(crate) struct WarmPool {
    /// Who waits in it, the oldest first.
    pub(crate) members: Vec<Warm>,
    /// Instances that were ever launched into it.
    born: u32,
}

/// An instance of a warm pool.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    pub(crate) id: InstanceId,
    /// The launch template version and the image that it was launched from.
    pub(crate) version: TemplateVersion,
    pub(crate) image: ImageId,
    pub(crate) launched: Ms,
    /// It was said to be unhealthy, and is about to end.
    pub(crate) unhealthy: bool,
}

impl WarmPool {
    /// Who comes into service next.
    pub(super) fn take(&mut self) -> Option<Warm> {
        let next = self.members.iter().position(|one| !one.unhealthy)?;
        Some(self.members.remove(next))
    }
}

impl Warm {
    pub(super) fn describe(&self, at: impl Fn(Ms) -> Timestamp) -> Ec2Instance {
        Ec2Instance { id: self.id.clone(), image: Some(self.image.clone()), launched: at(self.launched) }
    }
}

impl Cloud {
    /// Launches an instance into a group's warm pool, unless it is full.
    pub(super) fn warm_up(&mut self, number: GroupNo, now: Ms) {
        let (version, image) = self.launches(number);
        let group = &mut self.groups[number];
        if group.warm.members.len() >= group.setup.warm_pool as usize {
            return;
        }
        group.warm.born += 1;
        let id = format!("i-{:.40}-warm-{}", group.pool.as_str(), group.warm.born).replace('_', "-");
        let id = InstanceId::new(&id).unwrap_or_else(|_| unreachable!("pool names are shorter than ids"));
        let version = TemplateVersion { id: group.template.id.clone(), version };
        group.warm.members.push(Warm { id, version, image, launched: now, unhealthy: false });
    }

    /// DescribeWarmPool.
    pub(crate) fn describe_warm(&self, group: &GroupName) -> Vec<WarmMember> {
        let warm = self.group_no(group).map_or(&[][..], |number| &self.groups[number].warm.members);
        let describe = |one: &Warm| WarmMember {
            id: one.id.clone(),
            template: Some(one.version.clone()),
            healthy: !one.unhealthy,
            leaving: false,
        };
        warm.iter().map(describe).collect()
    }

    /// Which group's warm pool an instance waits in.
    pub(crate) fn warm_in(&self, id: &InstanceId) -> Option<GroupNo> {
        self.groups.iter().position(|group| group.warm.members.iter().any(|one| one.id == *id))
    }
}

impl Core {
    /// A warm pool has one more.
    pub(crate) fn warms_up(&mut self, number: GroupNo) {
        self.cloud.warm_up(number, self.now);
    }

    /// SetInstanceHealth of an instance in a warm pool. One that has come into service meanwhile is in its grace period.
    pub(crate) fn end_warm(&mut self, id: &InstanceId) -> Answer<()> {
        let Some(number) = self.cloud.warm_in(id) else {
            return match self.cloud.number(id) {
                Some(_) => Ok(()),
                None => Err(PortError::NotFound(format!("instance {id}"))),
            };
        };
        let members = &mut self.cloud.groups[number].warm.members;
        if let Some(one) = members.iter_mut().find(|one| one.id == *id && !one.unhealthy) {
            one.unhealthy = true;
            let wait = HEALTH_CHECK.draw(&mut self.rng.cloud);
            self.after(wait, Event::WarmEnds(number, id.clone()));
        }
        Ok(())
    }

    /// A group ends an unhealthy instance of its warm pool, and fills the pool up again.
    pub(crate) fn warm_ends(&mut self, number: GroupNo, id: &InstanceId) {
        self.cloud.groups[number].warm.members.retain(|one| one.id != *id);
        self.after(WARM_REFILL, Event::WarmsUp(number));
    }
}
