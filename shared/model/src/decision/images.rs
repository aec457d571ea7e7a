//! Steps about launch templates and images.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, ImageId, InstanceId, PoolName, RollId, TemplateId};
use crate::templates::{Launch, TemplateUse, TemplateVersion};

/// One change to a launch template, an image, or the instance that an image is baked on. Each is absolute, or carries a
/// token of the roll's, so that taking it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageStep {
    /// EC2 RunInstances, with the roll as ClientToken.
    RunBuilder {
        /// The roll that it is for.
        roll: RollId,
        /// What it starts from, and where.
        #[serde(flatten)]
        launch: Launch,
    },
    /// EC2 CreateImage; its name is its token.
    MakeImage {
        /// The roll that it is for.
        roll: RollId,
        /// The instance.
        builder: InstanceId,
        /// The image's name.
        name: String,
    },
    /// EC2 TerminateInstances, for a builder.
    EndBuilder {
        /// The instance.
        builder: InstanceId,
    },
    /// EC2 DeregisterImage and DeleteSnapshot.
    DeleteImage {
        /// The image.
        image: ImageId,
    },
    /// EC2 CreateLaunchTemplateVersion from an earlier version; the note is its token.
    NewVersion {
        /// The version that it is made from.
        from: TemplateVersion,
        /// Its image.
        image: ImageId,
        /// Its description, by which it is found again.
        note: String,
    },
    /// EC2 ModifyLaunchTemplate.
    SetDefault {
        /// The template.
        template: TemplateId,
        /// The version that `$Default` means from now on.
        version: u64,
    },
    /// Auto Scaling UpdateAutoScalingGroup.
    UseVersion {
        /// The pool.
        pool: PoolName,
        /// Its group.
        group: GroupName,
        /// What it launches from now on.
        template: TemplateUse,
    },
}

impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunBuilder { roll: _, launch } => write!(f, "bake an image from {}", launch.image),
            Self::MakeImage { roll: _, builder, name } => write!(f, "make image {name} of {builder}"),
            Self::EndBuilder { builder } => write!(f, "end builder {builder}"),
            Self::DeleteImage { image } => write!(f, "delete image {image}"),
            Self::NewVersion { from, image, note: _ } => {
                write!(f, "new version of {} from version {} with {image}", from.id, from.version)
            }
            Self::SetDefault { template, version } => write!(f, "version {version} is the default of {template}"),
            Self::UseVersion { pool, group: _, template } => {
                write!(f, "pool {pool} launches version {} of {}", template.version, template.id)
            }
        }
    }
}
