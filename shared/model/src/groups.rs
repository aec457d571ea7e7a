//! Auto Scaling groups, their members, and what the spot market says about them, straight from AWS's answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, InstanceId, Zone};

/// An Auto Scaling group (Auto Scaling API reference, DescribeAutoScalingGroups).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// `DesiredCapacity`, in hosts.
    pub desired: u32,
    /// `MinSize`.
    pub min: u32,
    /// `MaxSize`.
    pub max: u32,
    /// Its instances, those of its warm pool not among them.
    #[serde(default)]
    pub members: Vec<Member>,
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
