//! What hosts are launched from, and how new ones are judged: launch templates, images, instances, target health.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ImageId, InstanceId, InstanceType, RollId, SubnetId, TargetGroup, TemplateId};

/// The launch template version that a group asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateUse {
    /// The template.
    pub id: TemplateId,
    /// Which of its versions.
    pub version: VersionSpec,
}

/// How a group names a version (Auto Scaling API reference, LaunchTemplateSpecification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSpec {
    /// `$Latest`.
    Latest,
    /// `$Default`.
    Default,
    /// A number.
    Number(u64),
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$Latest"),
            Self::Default => f.write_str("$Default"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// One version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateVersion {
    /// The template.
    pub id: TemplateId,
    /// Its version.
    pub version: u64,
}

/// What a use of a launch template means now (EC2 API reference, DescribeLaunchTemplateVersions with ResolveAlias).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// What was asked for.
    pub asks: TemplateUse,
    /// The version that this is now.
    pub version: u64,
    /// Its image, with a `resolve:ssm:` alias resolved; none where the template leaves it to somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Its instance type; none where the template leaves it to the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceType>,
    /// Why only a group can launch from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_builder: Option<NoBuilder>,
    /// `VersionDescription`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a look at launch templates gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Those that exist.
    pub found: Vec<Template>,
    /// Those that could not be read, for good: nothing is known of them.
    pub denied: Vec<Denied>,
}

/// A launch template that could not be read: the right is missing, or the one to read the parameter that names its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// What was asked for.
    pub asks: TemplateUse,
    /// AWS's words.
    pub because: String,
}

/// Why a builder cannot be launched from a template: what a request leaves out cannot be taken out of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoBuilder {
    /// `InstanceMarketOptions` of spot: taken away at any time, and not to be stopped as a one-time request (EC2 user guide,
    /// "Stop a Spot Instance").
    Spot,
    /// `InstanceRequirements`, which RunInstances does not take (EC2 API reference, RequestLaunchTemplateData).
    Requirements,
}

impl fmt::Display for NoBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spot => "asks for spot instances, and a builder has to stay until it stops itself",
            Self::Requirements => "says what an instance type has to have, which only groups can launch from",
        })
    }
}

/// What a builder is launched from, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The launch template version, with its security groups and role.
    pub template: TemplateVersion,
    /// The base image.
    pub image: ImageId,
    /// Where the template names no subnet; none for the default VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetId>,
    /// What the template leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceType>,
}

/// An EC2 instance (EC2 API reference, DescribeInstances).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The instance.
    pub id: InstanceId,
    /// The image that it was launched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// `LaunchTime`.
    pub launched: Timestamp,
}

/// A target of a load balancer (Elastic Load Balancing API reference, DescribeTargetHealth).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The target group.
    pub group: TargetGroup,
    /// The instance.
    pub instance: InstanceId,
    /// How it is.
    pub health: Health,
}

/// A target's health, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It passes its checks, or there are none.
    Healthy,
    /// It is being registered, or its first checks are under way.
    Initial,
    /// It fails its checks.
    Unhealthy,
    /// It is being deregistered.
    Draining,
    /// Any other: unused, unavailable, or a word that AWS added since.
    Other,
}

/// An instance that an image is baked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// The instance.
    pub id: InstanceId,
    /// The roll that it bakes for, from its tag.
    pub roll: RollId,
    /// How far it is.
    pub state: BuilderState,
}

/// How far a builder is. It shuts itself down when its commands have all succeeded, and stays up otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuilderState {
    /// Starting, or at work.
    Running,
    /// Done: it has stopped itself.
    Stopped,
    /// Ended, by us or by somebody else.
    Gone,
}

/// An image of the fleet's own (EC2 API reference, DescribeImages with the fleet's tag), or another of the account whose
/// name begins like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The image.
    pub id: ImageId,
    /// Its name, which the account has only once in a region.
    pub name: String,
    /// How far it is.
    pub state: ImageState,
    /// When it was made.
    pub created: Timestamp,
    /// The roll that made it, from its tag; none for somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<RollId>,
}

/// How far an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// It is being made.
    Pending,
    /// Instances can be launched from it.
    Available,
    /// It could not be made, or is not usable any more.
    Failed,
}
