//! Amazon EC2 Auto Scaling: groups, their refused launches and instance refreshes, and the changes to them.

use std::collections::BTreeMap;
#[cfg(feature = "ec2")]
use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_autoscaling::types::{
    Activity, AutoScalingGroup, Instance, InstanceRefreshStatus, LaunchTemplateOverrides, LaunchTemplateSpecification,
    ScalingActivityStatusCode,
};
#[cfg(feature = "ec2")]
use evenkeel_model::groups::WarmMember;
use evenkeel_model::groups::{Group, Member, MemberState, Process, Refusal, RefusalKind, ScaledBy};
use evenkeel_model::templates::{TemplateUse, TemplateVersion, VersionSpec};
use evenkeel_model::{GroupName, InstanceId, TargetGroup, Timestamp};
use evenkeel_turn::ports::{Answer, ChangeGroups, Clock, PortError};

use crate::Aws;
use crate::convert::{all, count, id, timestamp};
use crate::error::port_error;

/// Names in one call (Auto Scaling API reference, DescribeAutoScalingGroups).
const MOST_NAMES: usize = 50;
/// Instances in one page (Auto Scaling API reference, DescribeWarmPool).
#[cfg(feature = "ec2")]
const WARM_PAGE: i32 = 50;
/// Groups in one page; it is 50 otherwise.
const PAGE: i32 = 100;
/// How far back refusals matter.
const REFUSALS_LAST: Duration = Duration::from_hours(1);

impl Aws {
    pub(crate) async fn asg_groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        let pages = all(names.chunks(MOST_NAMES).map(async |chunk| {
            let names = chunk.iter().map(|name| name.as_str().to_owned()).collect();
            let asked = self.autoscaling.describe_auto_scaling_groups().set_auto_scaling_group_names(Some(names));
            let pages = asked.max_records(PAGE).into_paginator().items().send();
            pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let found: Vec<AutoScalingGroup> = pages.await?.into_iter().flatten().collect();
        let mut groups: Vec<Group> = found.iter().filter_map(group).collect();
        let names = groups.iter().map(|group| group.name.clone()).collect();
        let scaled = if self.settings.also.scaled_groups { self.scaled_by(names).await? } else { BTreeMap::new() };
        for group in &mut groups {
            group.scaled_by = group.scaled_by.take().or_else(|| scaled.get(&group.name).cloned());
        }
        Ok(groups)
    }

    /// Failed launches of the last hour. Activities come newest first, so paging ends at the first older one.
    pub(crate) async fn asg_refusals(&self, group: &GroupName) -> Answer<Vec<Refusal>> {
        let now = self.now();
        let asked = self.autoscaling.describe_scaling_activities().auto_scaling_group_name(group.as_str());
        let mut activities = asked.max_records(PAGE).into_paginator().items().send();
        let mut refusals = Vec::new();
        while let Some(activity) = activities.next().await {
            let activity = activity.map_err(port_error)?;
            let Some(at) = activity.start_time().and_then(timestamp) else { continue };
            if now.duration_since(at).unsigned_abs() > REFUSALS_LAST {
                break;
            }
            refusals.extend(refusal(&activity, at));
        }
        Ok(refusals)
    }

    /// There is no call for several groups. `Warmed:…` is every state of an instance in a warm pool (Auto Scaling user guide,
    /// "Lifecycle state transitions for instances in a warm pool").
    #[cfg(feature = "ec2")]
    pub(crate) async fn asg_warm_members(&self, group: &GroupName) -> Answer<Vec<WarmMember>> {
        let asked = self.autoscaling.describe_warm_pool().auto_scaling_group_name(group.as_str());
        let mut next: Option<String> = None;
        let mut found = Vec::new();
        loop {
            let page = asked.clone().max_records(WARM_PAGE).set_next_token(next);
            let answer = page.send().await.map_err(port_error)?;
            found.extend(answer.instances().iter().filter_map(warm_member));
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// There is no call for several groups; the newest refresh of a group comes first, and only it can be under way.
    pub(crate) async fn asg_refreshes(&self, names: &[GroupName]) -> Answer<Vec<GroupName>> {
        let answers = all(names.iter().map(async |name| {
            let asked = self.autoscaling.describe_instance_refreshes().auto_scaling_group_name(name.as_str());
            match asked.max_records(PAGE).send().await.map_err(port_error) {
                Ok(answer) => {
                    let mut refreshes = answer.instance_refreshes().iter();
                    Ok(refreshes.any(|refresh| refresh.status().is_some_and(is_under_way)).then(|| name.clone()))
                }
                Err(PortError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        }));
        Ok(answers.await?.into_iter().flatten().collect())
    }

    /// Says which version a group launches. A group with a mixed instances policy gets the whole policy back, because what
    /// an update leaves out of it is not promised to stay.
    #[cfg(feature = "ec2")]
    pub(crate) async fn asg_use_version(&self, group: &GroupName, template: &TemplateUse) -> Answer<()> {
        let asked = self.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group.as_str());
        let answer = asked.max_records(PAGE).send().await.map_err(port_error)?;
        let Some(found) = answer.auto_scaling_groups().first() else {
            return Err(PortError::NotFound(format!("group {group}")));
        };
        let wanted = LaunchTemplateSpecification::builder()
            .launch_template_id(template.id.as_str())
            .version(template.version.to_string())
            .build();
        let update = self.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group.as_str());
        let update = match found.mixed_instances_policy() {
            None => update.launch_template(wanted),
            Some(policy) => {
                let mut policy = policy.clone();
                let mut launch = policy
                    .launch_template
                    .unwrap_or_else(|| aws_sdk_autoscaling::types::LaunchTemplate::builder().build());
                launch.launch_template_specification = Some(wanted);
                policy.launch_template = Some(launch);
                update.mixed_instances_policy(policy)
            }
        };
        update.send().await.map_err(port_error)?;
        Ok(())
    }
}

#[cfg(feature = "ec2")]
impl evenkeel_turn::ports::ReadGroups for Aws {
    async fn groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        self.asg_groups(names).await
    }

    async fn warm_members(&self, group: &GroupName) -> Answer<Vec<WarmMember>> {
        self.asg_warm_members(group).await
    }

    async fn refusals(&self, group: &GroupName) -> Answer<Vec<Refusal>> {
        self.asg_refusals(group).await
    }

    async fn spot_requests(&self, instances: &[InstanceId]) -> Answer<Vec<evenkeel_model::groups::SpotRequest>> {
        let distinct: BTreeSet<&InstanceId> = instances.iter().collect();
        self.ec2_spot_requests(&distinct).await
    }

    async fn refreshes(&self, names: &[GroupName]) -> Answer<Vec<GroupName>> {
        self.asg_refreshes(names).await
    }
}

impl ChangeGroups for Aws {
    async fn set_capacity(&self, group: &GroupName, hosts: u32) -> Answer<()> {
        let set = self.autoscaling.set_desired_capacity().auto_scaling_group_name(group.as_str());
        let set = set.desired_capacity(i32::try_from(hosts).unwrap_or(i32::MAX)).honor_cooldown(false);
        set.send().await.map_err(port_error)?;
        Ok(())
    }

    async fn terminate(&self, host: &InstanceId, shrink: bool) -> Answer<()> {
        let terminate = self.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(host.as_str());
        let terminate = terminate.should_decrement_desired_capacity(shrink).customize();
        // A second one shrinks the group once more (kubernetes/autoscaler #5411, #3255; not documented).
        let once = aws_sdk_autoscaling::Config::builder().retry_config(Self::once());
        let terminate = if shrink { terminate.config_override(once) } else { terminate };
        terminate.send().await.map_err(port_error)?;
        Ok(())
    }

    /// Says that the instance is unhealthy: its group ends it and launches another (Auto Scaling user guide, "View health
    /// check status", on warm pools: "Custom health checks are also supported"). TerminateInstanceInAutoScalingGroup "cannot
    /// be called on instances in a warm pool" (Auto Scaling API reference), and EC2's TerminateInstances passes by the
    /// group's hooks and cannot be allowed for one group by its ARN. The grace period is respected, which instances in a
    /// warm pool do not have: it protects one that has come into service since the look.
    async fn end_warm(&self, host: &InstanceId) -> Answer<()> {
        let unhealthy = self.autoscaling.set_instance_health().instance_id(host.as_str());
        let unhealthy = unhealthy.health_status("Unhealthy").should_respect_grace_period(true);
        unhealthy.send().await.map_err(port_error)?;
        Ok(())
    }
}

fn group(found: &AutoScalingGroup) -> Option<Group> {
    let sources = found.traffic_sources().iter().filter(|source| source.r#type() == Some("elbv2"));
    let arns = found.target_group_arns().iter().map(String::as_str).chain(sources.filter_map(|s| s.identifier()));
    let mut target_groups: Vec<TargetGroup> = arns.filter_map(|arn| id(Some(arn))).collect();
    target_groups.sort();
    target_groups.dedup();
    let mixed = found.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let template = found.launch_template().or_else(|| mixed?.launch_template_specification());
    let overrides = mixed.map_or(&[][..], |mixed| mixed.overrides());
    let template = template.and_then(template_use);
    let own = overrides.iter().filter_map(|own| template_use(own.launch_template_specification()?));
    let mut lines: Vec<TemplateUse> = own.filter(|own| Some(own) != template.as_ref()).collect();
    lines.sort();
    lines.dedup();
    let units = units(found, overrides);
    let subnets = found.vpc_zone_identifier().unwrap_or_default().split(',');
    let mut types = overrides.iter().filter_map(|own| own.instance_type());
    let hosts = hosts_of(found, overrides, units.is_some());
    Some(Group {
        name: id(found.auto_scaling_group_name())?,
        desired: hosts,
        min: if units.is_some() { 0 } else { count(found.min_size()) },
        max: if units.is_some() { hosts } else { count(found.max_size()) },
        lines,
        own_images: overrides.iter().any(|own| own.image_id().is_some()),
        scaled_by: units.map(ScaledBy::Units),
        zones: found.availability_zones().iter().filter_map(|zone| id(Some(zone))).collect(),
        subnets: subnets.filter_map(|subnet| id(Some(subnet.trim()))).collect(),
        instance_type: id(types.next().or_else(|| found.instances().first()?.instance_type())),
        members: found.instances().iter().filter_map(member).collect(),
        template,
        warm_pool: found.warm_pool_configuration().is_some(),
        suspended: found.suspended_processes().iter().filter_map(|s| process(s.process_name()?)).collect(),
        target_groups,
    })
}

/// What a group's capacity counts, if not hosts (Auto Scaling API reference, `WeightedCapacity`, `DesiredCapacityType`).
fn units(found: &AutoScalingGroup, overrides: &[LaunchTemplateOverrides]) -> Option<String> {
    if let Some(kind) = found.desired_capacity_type().filter(|kind| !matches!(*kind, "" | "units")) {
        return Some(kind.to_owned());
    }
    overrides.iter().any(|own| weight(own.weighted_capacity()) > 1).then(|| "weights".to_owned())
}

/// One where nothing is said.
fn weight(given: Option<&str>) -> u32 {
    given.and_then(|weight| weight.parse().ok()).unwrap_or(1)
}

/// `DesiredCapacity` in hosts. In other units: those that stay, and for what is missing as few as it may be.
fn hosts_of(found: &AutoScalingGroup, overrides: &[LaunchTemplateOverrides], in_units: bool) -> u32 {
    let desired = count(found.desired_capacity());
    if !in_units {
        return desired;
    }
    let stays = |one: &&Instance| member(one).is_some_and(|member| !member.state.is_leaving());
    let staying: Vec<u32> = found.instances().iter().filter(stays).map(|one| weight(one.weighted_capacity())).collect();
    let most = overrides.iter().map(|own| weight(own.weighted_capacity())).max().unwrap_or(1).max(1);
    let known = found.desired_capacity_type().is_none_or(|kind| matches!(kind, "" | "units"));
    let missing = if known { desired.saturating_sub(staying.iter().sum()) } else { 0 };
    u32::try_from(staying.len()).unwrap_or(u32::MAX).saturating_add(missing.div_ceil(most))
}

/// A member; none where it waits in the warm pool.
fn member(found: &Instance) -> Option<Member> {
    // A `LifecycleState` that the SDK does not know is passed on as it is.
    let word = found.lifecycle_state()?.as_str();
    let state = match word.split(':').next() {
        Some("Warmed") => return None,
        Some("Pending") => MemberState::Pending,
        Some("InService") => MemberState::InService,
        Some("Terminating" | "Terminated") => MemberState::Terminating,
        _ => MemberState::Aside,
    };
    Some(Member {
        id: id(found.instance_id())?,
        state,
        healthy: is_healthy(found),
        zone: id(found.availability_zone()),
        template: launched_from(found),
        protected: found.protected_from_scale_in().unwrap_or(false),
    })
}

/// An instance of a warm pool; none where it is in service already, or on its way there.
#[cfg(feature = "ec2")]
fn warm_member(found: &Instance) -> Option<WarmMember> {
    let state = found.lifecycle_state()?.as_str().strip_prefix("Warmed:")?;
    Some(WarmMember {
        id: id(found.instance_id())?,
        template: launched_from(found),
        healthy: is_healthy(found),
        leaving: state.starts_with("Terminat"),
    })
}

fn is_healthy(found: &Instance) -> bool {
    !found.health_status().is_some_and(|health| health.eq_ignore_ascii_case("unhealthy"))
}

fn launched_from(found: &Instance) -> Option<TemplateVersion> {
    let template = found.launch_template()?;
    Some(TemplateVersion { id: id(template.launch_template_id())?, version: template.version()?.parse().ok()? })
}

/// Without a version a group means `$Default` (Auto Scaling API reference, LaunchTemplateSpecification).
fn template_use(found: &LaunchTemplateSpecification) -> Option<TemplateUse> {
    let version = match found.version() {
        None | Some("" | "$Default") => VersionSpec::Default,
        Some("$Latest") => VersionSpec::Latest,
        Some(number) => VersionSpec::Number(number.parse().ok()?),
    };
    Some(TemplateUse { id: id(found.launch_template_id())?, version })
}

fn process(name: &str) -> Option<Process> {
    [Process::Launch, Process::Terminate, Process::AddToLoadBalancer].into_iter().find(|process| process.name() == name)
}

/// A launch that failed; none for anything else.
fn refusal(activity: &Activity, at: Timestamp) -> Option<Refusal> {
    let launches = activity.description().is_some_and(|words| words.starts_with("Launching a new EC2 instance"));
    let failed = activity.status_code() == Some(&ScalingActivityStatusCode::Failed);
    let message = activity.status_message().unwrap_or_default();
    // `{"Subnet ID":"subnet-1","Availability Zone":"us-east-1a"}` (Auto Scaling API reference, Activity).
    let details: serde_json::Value = serde_json::from_str(activity.details().unwrap_or_default()).unwrap_or_default();
    let zone = id(details["Availability Zone"].as_str());
    (launches && failed).then(|| Refusal { at, kind: refusal_kind(message), message: message.to_owned(), zone })
}

/// By the words of the message, the only place where the code of EC2's error is (Auto Scaling user guide, "Troubleshoot
/// launch failures"). On-demand refusals come with the sentence alone.
fn refusal_kind(message: &str) -> RefusalKind {
    // The account's limit of spot instances, whatever the name sounds like (EC2 API reference, error codes).
    let quota = [
        "VcpuLimitExceeded",
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "Max spot instance count exceeded",
        "SpotInstanceCountExceeded",
        "more vCPU capacity than your current vCPU limit",
        "instance(s) are already running",
        "Your quota allows for",
    ];
    let capacity = [
        "UnfulfillableCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientReservedInstanceCapacity",
        "ReservationCapacityExceeded",
        "do not have sufficient",
        "no Spot capacity available",
        "SpotMaxPriceTooLow",
        "Your Spot request price of",
    ];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&quota) {
        RefusalKind::Quota
    } else if says(&capacity) {
        RefusalKind::Capacity
    } else {
        RefusalKind::Other
    }
}

fn is_under_way(status: &InstanceRefreshStatus) -> bool {
    use InstanceRefreshStatus::{Baking, Cancelling, InProgress, Pending, RollbackInProgress};
    matches!(status, Pending | InProgress | Baking | Cancelling | RollbackInProgress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_their_words() {
        let cases = [
            (
                "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request \
                 configuration. Launching EC2 instance failed.",
                RefusalKind::Capacity,
            ),
            (
                "We currently do not have sufficient m5.large capacity in the Availability Zone you requested \
                 (us-east-1a). Launching EC2 instance failed.",
                RefusalKind::Capacity,
            ),
            (
                "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that \
                 matches your request. Launching EC2 instance failed.",
                RefusalKind::Capacity,
            ),
            (
                "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your \
                 current vCPU limit of 32 allows. Launching EC2 instance failed.",
                RefusalKind::Quota,
            ),
            (
                "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. \
                 Launching EC2 instance failed.",
                RefusalKind::Quota,
            ),
            ("The image id '[ami-1]' does not exist. Launching EC2 instance failed.", RefusalKind::Other),
            ("", RefusalKind::Other),
        ];
        for (message, kind) in cases {
            assert_eq!(refusal_kind(message), kind, "{message}");
        }
    }
}
