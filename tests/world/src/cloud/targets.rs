//! Load balancers: which instances are registered, and what their health checks say.

use std::collections::BTreeSet;

use evenkeel_model::groups::Process;
use evenkeel_model::templates::{Health, Target};
use evenkeel_model::{InstanceId, TargetGroup};

use crate::clock::{Ms, SECOND};
use crate::cloud::{Cloud, GroupNo, Instance, Phase};
use crate::cluster::HostNo;
use crate::core::{Core, Event};

/// A target that never passed a check is unhealthy after two of them, 30 s apart (Elastic Load Balancing user guide,
/// defaults of HealthCheckIntervalSeconds and UnhealthyThresholdCount); it is healthy after the first that it passes.
const UNHEALTHY_AFTER: Ms = 60 * SECOND;
/// What the ARN of every target group begins with.
const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup";

impl Cloud {
    /// The target group of a group, if it is behind a load balancer.
    pub(crate) fn target_group(&self, number: GroupNo) -> Option<TargetGroup> {
        let group = &self.groups[number];
        let arn = || TargetGroup::new(&format!("{ARN}/{}/{number:016x}", group.pool));
        group.balanced.then(arn).and_then(Result::ok)
    }

    /// DescribeTargetHealth of all target groups.
    pub(crate) fn describe_targets(&self) -> Vec<Target> {
        let describe = |one: &Instance| {
            Some(Target { group: self.target_group(one.group)?, instance: one.id.clone(), health: one.target? })
        };
        self.instances.values().filter_map(describe).collect()
    }
}

impl Core {
    /// The group registers an instance that it counts in.
    pub(crate) fn register_target(&mut self, host: HostNo) {
        let Cloud { groups, instances, .. } = &mut *self.cloud;
        let Some(instance) = instances.get_mut(&host) else { return };
        let group = &groups[instance.group];
        if !group.balanced || group.suspended.contains(&Process::AddToLoadBalancer) || instance.target.is_some() {
            return;
        }
        instance.target = Some(Health::Initial);
        if let Some(passes) = instance.passes {
            self.at(passes, Event::Checked(host));
        }
        self.after(UNHEALTHY_AFTER, Event::Checked(host));
    }

    /// A health check's result is known.
    pub(crate) fn checked(&mut self, host: HostNo) {
        let now = self.now;
        let Cloud { groups, instances, .. } = &mut *self.cloud;
        let Some(instance) = instances.get_mut(&host) else { return };
        let checks = matches!(instance.target, Some(Health::Initial | Health::Unhealthy));
        if !checks || instance.ended || instance.phase != Phase::InService {
            return;
        }
        if instance.passes.is_some_and(|passes| passes <= now) {
            instance.target = Some(Health::Healthy);
            self.maybe_ready(host);
            return;
        }
        instance.target = Some(Health::Unhealthy);
        let setup = &groups[instance.group].setup;
        if setup.elb_health {
            let wait = (setup.grace_seconds * SECOND).saturating_sub(UNHEALTHY_AFTER);
            self.after(wait, Event::Sick(host));
        }
    }

    /// The grace period of an instance is over: a group with `ELB` health checks replaces one that is still unhealthy.
    pub(crate) fn sick(&mut self, host: HostNo) {
        let Cloud { groups, instances, .. } = &mut *self.cloud;
        let Some(instance) = instances.get_mut(&host) else { return };
        let group = &groups[instance.group];
        // Also called when the group may end instances again, whose grace period may not be over.
        let grace = group.setup.grace_seconds * SECOND;
        let setup_says = group.setup.elb_health && self.now >= instance.launched + grace;
        if !setup_says
            || instance.target != Some(Health::Unhealthy)
            || instance.phase != Phase::InService
            || instance.ended
        {
            return;
        }
        instance.healthy = false;
        if !group.suspended.contains(&Process::Terminate) {
            self.begin_end(host);
        }
    }

    /// Whether an instance is all that it should be: in service for its group, healthy for its load balancer, and in the
    /// cluster with its agent connected.
    pub(crate) fn is_ready(&self, host: HostNo) -> bool {
        let joined = self.cluster.hosts.get(&host).is_some_and(|host| host.seen.connected);
        let Some(instance) = self.cloud.instances.get(&host) else { return false };
        let sound = instance.phase == Phase::InService && !instance.ended;
        let passes = instance.target.is_none_or(|health| health == Health::Healthy);
        sound && passes && instance.works && (self.fleet.cluster.is_none() || joined)
    }

    /// Hosts that are there and do not work.
    pub(crate) fn idle_hosts(&self) -> BTreeSet<InstanceId> {
        let idle = self.cloud.instances.iter().filter(|(host, _)| !self.is_ready(**host));
        idle.map(|(_, one)| one.id.clone()).collect()
    }

    /// Notes when an instance is all that it should be for the first time.
    pub(crate) fn maybe_ready(&mut self, host: HostNo) {
        let ready = self.is_ready(host);
        let Some(instance) = self.cloud.instances.get_mut(&host).filter(|one| ready && one.ready_at.is_none()) else {
            return;
        };
        instance.ready_at = Some(self.now);
        self.measure.rolls.ready(instance.group, instance.launched, self.now);
    }
}
