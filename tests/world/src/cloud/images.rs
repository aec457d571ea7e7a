//! Builders and the images that are made of them.

use evenkeel_model::templates::{Builder, BuilderState, Image, ImageState, Launch, TemplateUse, VersionSpec};
use evenkeel_model::{FleetName, ImageId, InstanceId, InstanceType, RollId, SubnetId};
use evenkeel_turn::ports::{Answer, PortError};
use serde::Deserialize;

use crate::clock::{MINUTE, Ms, timestamp};
use crate::cloud::flow::{TO_RUNNING, TO_USABLE};
use crate::cloud::{Cloud, GroupNo, HostKind, SimImage};
use crate::core::{Core, Event};
use crate::setup::Spread;

/// An instance that has ended is still described for about so long (EC2 user guide, "Terminate Amazon EC2 instances").
const REMEMBERED: Ms = 60 * MINUTE;
/// A base image that nobody has published anew is that old.
const BASE_AGE: Ms = 20 * 24 * 60 * MINUTE;

/// What becomes of the next bakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BakeFate {
    /// They work.
    #[default]
    Works,
    /// EC2 launches no builder.
    BuilderRefused,
    /// A command fails, so the builder stays up.
    BuilderNeverStops,
    /// Somebody ends the builder.
    BuilderGone,
    /// EC2 cannot make the image.
    ImageFails,
    /// Somebody else takes the image's name a moment before.
    NameTaken,
    /// The image is made, and hosts from it never pass a check.
    BadImage,
}

/// How long bakes take, and how they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BakeSetup {
    /// One command on the builder.
    pub command: Spread,
    /// From CreateImage to `available`.
    pub image: Spread,
    /// How they end.
    pub fate: BakeFate,
}

impl Default for BakeSetup {
    fn default() -> Self {
        Self {
            command: Spread { least: 20_000, usual: 60_000, most: 180_000 },
            image: Spread { least: 90_000, usual: 180_000, most: 420_000 },
            fate: BakeFate::Works,
        }
    }
}

/// A builder.
#[derive(Debug, Clone)]
pub(crate) struct SimBuilder {
    pub(crate) id: InstanceId,
    pub(crate) fleet: FleetName,
    pub(crate) roll: RollId,
    pub(crate) state: BuilderState,
    gone_at: Option<Ms>,
}

/// What a group launches into.
pub(crate) fn subnet(number: GroupNo) -> SubnetId {
    SubnetId::new(&format!("subnet-{}", number + 1)).unwrap_or_else(|_| unreachable!("letters, digits and a hyphen"))
}

/// What the groups' overrides name first.
pub(crate) fn instance_type() -> Option<InstanceType> {
    InstanceType::new("m7i.large").ok()
}

impl Cloud {
    /// DescribeInstances by the fleet's tag.
    pub(crate) fn describe_builders(&self, fleet: &FleetName, now: Ms) -> Vec<Builder> {
        let shown = |one: &&SimBuilder| one.fleet == *fleet && one.gone_at.is_none_or(|gone| now - gone < REMEMBERED);
        let describe = |one: &SimBuilder| Builder { id: one.id.clone(), roll: one.roll.clone(), state: one.state };
        self.builders.iter().filter(shown).map(describe).collect()
    }

    /// DescribeImages of the fleet's own by tag, and of those whose name begins so.
    pub(crate) fn describe_images(&self, fleet: &FleetName, prefix: &str) -> Vec<Image> {
        let ours = |image: &SimImage| image.tag.as_ref().filter(|(of, _)| of == fleet).map(|(_, roll)| roll.clone());
        let all = self.templates.images.iter();
        let shown = all.filter(|(_, image)| ours(image).is_some() || image.name.starts_with(prefix));
        let describe = |(id, image): (&ImageId, &SimImage)| Image {
            id: id.clone(),
            name: image.name.clone(),
            state: image.state,
            created: image.created,
            roll: ours(image),
        };
        shown.map(describe).collect()
    }
}

impl Core {
    /// GetParameter of the image that bakes begin with.
    pub(crate) fn base_image(&mut self, parameter: &str) -> Answer<ImageId> {
        let asked = self.fleet.patch.as_ref().and_then(|patch| patch.bake.as_ref());
        if asked.is_none_or(|bake| bake.base_image_parameter != parameter) {
            return Err(PortError::NotFound(format!("ParameterNotFound: {parameter}")));
        }
        if let Some(base) = &self.cloud.base {
            return Ok(base.clone());
        }
        let made = timestamp(0) - std::time::Duration::from_millis(BASE_AGE);
        let base = self.cloud.templates.add_public_image("base", made, HostKind::Sound);
        self.cloud.base = Some(base.clone());
        Ok(base)
    }

    /// RunInstances with the roll as ClientToken: the same token gives the same instance, an ended one as well.
    pub(crate) fn run_builder(
        &mut self,
        fleet: &FleetName,
        roll: &RollId,
        launch: &Launch,
        commands: usize,
    ) -> Answer<()> {
        if self.cloud.builders.iter().any(|one| one.roll == *roll) {
            return Ok(());
        }
        if self.setup.bake.fate == BakeFate::BuilderRefused {
            return Err(PortError::NoCapacity("InsufficientInstanceCapacity: not in this zone".to_owned()));
        }
        let Launch { template, image, subnet: into, instance_type } = launch;
        let asks = TemplateUse { id: template.id.clone(), version: VersionSpec::Number(template.version) };
        let usable = |image: &&SimImage| image.state == ImageState::Available;
        if self.cloud.templates.resolve(&asks).is_none() {
            return Err(PortError::NotFound(format!("InvalidLaunchTemplateId.NotFound: {}", template.id)));
        }
        if self.cloud.templates.images.get(image).filter(usable).is_none() {
            return Err(PortError::NotFound(format!("InvalidAMIID.NotFound: {image}")));
        }
        // The account has no default VPC, and templates name neither subnets nor types.
        let Some(into) = into else {
            return Err(PortError::Refused("VPCIdNotSpecified: No default VPC for this user".to_owned()));
        };
        if (0..self.cloud.groups.len()).all(|number| subnet(number) != *into) {
            return Err(PortError::NotFound(format!("InvalidSubnetID.NotFound: {into}")));
        }
        if instance_type.is_none() {
            let words = "MissingParameter: The request must contain the parameter InstanceType";
            return Err(PortError::Refused(words.to_owned()));
        }
        if let Some(because) = self.cloud.describe_templates(&[asks]).found.first().and_then(|found| found.no_builder) {
            return Err(PortError::Refused(format!("InvalidParameterCombination: {because}")));
        }
        let number = self.cloud.builders.len();
        let id = InstanceId::new(&format!("i-builder-{}", number + 1));
        let id = id.unwrap_or_else(|_| unreachable!("letters, digits and hyphens"));
        let (fleet, roll) = (fleet.clone(), roll.clone());
        self.cloud.builders.push(SimBuilder { id, fleet, roll, state: BuilderState::Running, gone_at: None });
        let rng = &mut self.rng.bake;
        let setup = self.setup.bake;
        let each = (0..commands).map(|_| setup.command.draw(rng)).sum::<Ms>();
        let boots = TO_RUNNING.draw(rng) + TO_USABLE.draw(rng);
        let took = boots + each + self.updates_of(image, 1);
        self.measure.rolls.bakes(took);
        self.after(took, Event::Built(number));
        Ok(())
    }

    /// A builder's commands have ended.
    pub(crate) fn built(&mut self, number: usize) {
        let now = self.now;
        let Some(builder) = self.cloud.builders.get_mut(number) else { return };
        if builder.state != BuilderState::Running {
            return;
        }
        match self.setup.bake.fate {
            BakeFate::Works | BakeFate::ImageFails | BakeFate::NameTaken | BakeFate::BadImage => {
                builder.state = BuilderState::Stopped;
            }
            BakeFate::BuilderNeverStops | BakeFate::BuilderRefused => {}
            BakeFate::BuilderGone => {
                builder.state = BuilderState::Gone;
                builder.gone_at = Some(now);
            }
        }
    }

    /// CreateImage.
    pub(crate) fn make_image(&mut self, fleet: &FleetName, roll: &RollId, of: &InstanceId, name: &str) -> Answer<()> {
        let there = |one: &&SimBuilder| one.id == *of && one.state != BuilderState::Gone;
        if self.cloud.builders.iter().find(there).is_none() {
            return Err(PortError::NotFound(format!("InvalidInstanceID.NotFound: {of}")));
        }
        if self.setup.bake.fate == BakeFate::NameTaken {
            self.take_name(name);
        }
        if self.cloud.templates.images.values().any(|image| image.name == name) {
            return Err(PortError::Refused(format!("InvalidAMIName.Duplicate: AMI name {name} is already in use")));
        }
        let bad = self.setup.bake.fate == BakeFate::BadImage;
        let id = self.cloud.templates.add_image(SimImage {
            name: name.to_owned(),
            state: ImageState::Pending,
            created: timestamp(self.now),
            hosts: if bad { HostKind::NeverHealthy } else { HostKind::Sound },
            tag: Some((fleet.clone(), roll.clone())),
        });
        let took = self.setup.bake.image.draw(&mut self.rng.bake);
        self.measure.rolls.bakes(took);
        self.after(took, Event::Made(id));
        Ok(())
    }

    /// An image that somebody else has made gets a name, unless it is taken.
    pub(crate) fn take_name(&mut self, name: &str) {
        if self.cloud.templates.images.values().any(|image| image.name == name) {
            return;
        }
        let foreign = SimImage {
            name: name.to_owned(),
            state: ImageState::Available,
            created: timestamp(self.now),
            hosts: HostKind::Sound,
            tag: None,
        };
        self.cloud.templates.add_image(foreign);
    }

    /// An image is made, or could not be.
    pub(crate) fn made(&mut self, id: &ImageId) {
        let fails = self.setup.bake.fate == BakeFate::ImageFails;
        if let Some(image) = self.cloud.templates.images.get_mut(id) {
            image.state = if fails { ImageState::Failed } else { ImageState::Available };
        }
    }

    /// TerminateInstances of a builder.
    pub(crate) fn end_builder(&mut self, id: &InstanceId) -> Answer<()> {
        let there = |one: &&mut SimBuilder| one.id == *id && one.state != BuilderState::Gone;
        let Some(builder) = self.cloud.builders.iter_mut().find(there) else {
            return Err(PortError::NotFound(format!("InvalidInstanceID.NotFound: {id}")));
        };
        builder.state = BuilderState::Gone;
        builder.gone_at = Some(self.now);
        Ok(())
    }

    /// DeregisterImage and DeleteSnapshot.
    pub(crate) fn delete_image(&mut self, id: &ImageId) -> Answer<()> {
        let missing = || PortError::NotFound(format!("InvalidAMIID.NotFound: {id}"));
        self.cloud.templates.images.remove(id).map(|_| ()).ok_or_else(missing)
    }
}
