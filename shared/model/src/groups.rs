//! Auto Scaling groups, their members, and what the spot market says about them, straight from AWS's answers.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, InstanceId, InstanceType, SubnetId, TargetGroup, Zone};
use crate::templates::{TemplateUse, TemplateVersion};

/// An Auto Scaling group (Auto Scaling API reference, DescribeAutoScalingGroups).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// `DesiredCapacity`, in hosts; where the group counts something else, as many hosts as that comes to.
    pub desired: u32,
    /// `MinSize`.
    pub min: u32,
    /// `MaxSize`.
    pub max: u32,
    /// `AvailabilityZones`: it tries the others when one has no capacity. Empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// `VPCZoneIdentifier`: what it launches into; empty for one that names zones only, and so means the default VPC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<SubnetId>,
    /// What it launches first where its template leaves that to it: the first type of its overrides, or what one of its
    /// instances is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceType>,
    /// Its instances, those of its warm pool not among them.
    #[serde(default)]
    pub members: Vec<Member>,
    /// The launch template that it launches from; none for a launch configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateUse>,
    /// Other launch templates that it launches some instance types from, such as Graviton beside x86 (Auto Scaling user
    /// guide, "Use a different launch template for an instance type").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<TemplateUse>,
    /// Some instance types have an image of their own, so that an image tells nothing about what the template means.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_images: bool,
    /// Why its capacity is not ours to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled_by: Option<ScaledBy>,
    /// Processes that somebody has suspended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub suspended: BTreeSet<Process>,
    /// `WarmPoolConfiguration`: it keeps instances beside those in service, which it shows only when asked for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warm_pool: bool,
    /// `TargetGroupARNs`: where its instances take traffic from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_groups: Vec<TargetGroup>,
}

/// Why a group's capacity is not ours to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaledBy {
    /// It counts something else than hosts: `weights` of its instance types, `vcpu` or `memory-mib`.
    Units(String),
    /// The managed scaling of its capacity provider, by this policy.
    ManagedScaling(String),
    /// A scaling policy of this name.
    Policy(String),
    /// A scheduled action of this name.
    Schedule(String),
}

impl fmt::Display for ScaledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(what) => write!(f, "its group's capacity counts {what}, not hosts"),
            Self::ManagedScaling(_) => {
                f.write_str("managed scaling of its capacity provider sets its group's capacity")
            }
            Self::Policy(name) => write!(f, "scaling policy {name} sets its group's capacity"),
            Self::Schedule(name) => write!(f, "scheduled action {name} sets its group's capacity"),
        }
    }
}

/// A process of a group whose suspension keeps hosts from being replaced (Auto Scaling user guide, "Suspend and resume
/// processes"); the others do not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Process {
    /// It launches nothing.
    Launch,
    /// It ends nothing.
    Terminate,
    /// It does not register new instances with its load balancer.
    AddToLoadBalancer,
}

impl Process {
    /// AWS's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Launch => "Launch",
            Self::Terminate => "Terminate",
            Self::AddToLoadBalancer => "AddToLoadBalancer",
        }
    }
}

impl Group {
    /// Members that are there or coming, and not on their way out.
    pub fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.state.is_leaving())
    }
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The EC2 instance.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: MemberState,
    /// What the group's health checks say.
    #[serde(default = "yes")]
    pub healthy: bool,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// The launch template version that it was launched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateVersion>,
    /// Protected from scale-in, which does not stop TerminateInstanceInAutoScalingGroup (Auto Scaling user guide, "Use
    /// instance scale-in protection").
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// An instance of a group's warm pool (Auto Scaling API reference, DescribeWarmPool).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmMember {
    /// The EC2 instance.
    pub id: InstanceId,
    /// The launch template version that it was launched from, which it keeps when it comes into service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateVersion>,
    /// What the group's health checks say: one that is not is replaced.
    #[serde(default = "yes")]
    pub healthy: bool,
    /// The group ends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// `LifecycleState` of a group's instance, as far as it matters here (Auto Scaling user guide, "Instance lifecycle").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Launching, at a launch hook included.
    Pending,
    /// Taking traffic.
    InService,
    /// Leaving: deregistering from its load balancer, at a terminate hook, or ending.
    Terminating,
    /// Set aside by somebody, detaching, or of a word that AWS added since.
    Aside,
}

impl MemberState {
    /// Whether the group has already counted it out.
    #[must_use]
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::Terminating)
    }
}

/// A launch that a group tried and EC2 refused (DescribeScalingActivities, `StatusCode` Failed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: RefusalKind,
    /// AWS's words.
    pub message: String,
    /// The zone that it was tried in, where the activity says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// Why a launch was refused. The two need different answers: capacity comes back by itself, a quota does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// `InsufficientInstanceCapacity`, `UnfulfillableCapacity`, `MaxSpotInstanceCountExceeded` of the market.
    Capacity,
    /// `VcpuLimitExceeded`, `InstanceLimitExceeded`: the account's limit.
    Quota,
    /// Anything else, such as a broken launch template.
    Other,
}

/// What the spot market says about an instance (EC2 user guide, "Spot request status codes").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpotRequest {
    /// The instance.
    pub instance: InstanceId,
    /// Where the request stands.
    pub code: SpotCode,
    /// When that changed.
    pub at: Timestamp,
}

/// A spot request's status code, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotCode {
    /// `fulfilled`: it runs.
    Fulfilled,
    /// `marked-for-termination`, `marked-for-stop`: it has its two minutes.
    Marked,
    /// `instance-terminated-…`, `instance-stopped-…`: it is gone.
    Gone,
    /// Any other.
    Other,
}

const fn yes() -> bool {
    true
}
