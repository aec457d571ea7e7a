//! Baking an image before a roll: a builder installs updates and stops itself, an image is made of it, and the groups are
//! pointed to it. How far that is is read from the builder and the images by their tags, so nothing is made twice.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_model::decision::{Ending, Halt, ImageStep, RollWhy, Step, Why};
use evenkeel_model::fleet::Bake;
use evenkeel_model::groups::Group;
use evenkeel_model::report::{RollWait, Wait};
use evenkeel_model::templates::{BuilderState, Image, ImageState, Launch, TemplateVersion};
use evenkeel_model::{FleetName, ImageId, InstanceType};

use crate::plan::Planning;
use crate::seen::Bakery;
use crate::state::{BakeState, Refused, Roll, Stage};

/// A call of a bake that was refused is made again after this long.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// What the names of the fleet's images begin with. An image's name has 3 to 128 characters (EC2 API reference,
/// CreateImage).
pub(crate) fn prefix(fleet: &FleetName) -> String {
    format!("evenkeel-{fleet}-")
}

impl Planning<'_, '_> {
    /// Takes the bake as far as it can go now; a roll whose bake fails ends with it.
    pub(crate) fn bake(&mut self, roll: &mut Roll) -> Option<Ending> {
        let Stage::Baking(mut bake) = roll.stage.clone() else { return None };
        let (Some(policy), Some(bakery)) = (&self.policy.bake, &self.seen.bakery) else {
            // The fleet file asks for no bake any more.
            if self.policy.bake.is_none() {
                self.begin_rolling(roll);
            }
            return None;
        };
        if roll.aborting {
            bake.failed.get_or_insert_with(|| Halt::Request.to_string());
        }
        if bake.failed.is_none() {
            bake.failed = self.bake_on(roll, policy, bakery, &bake).err();
        }
        let failed = bake.failed.clone();
        if !matches!(roll.stage, Stage::Rolling) {
            roll.stage = Stage::Baking(bake);
        }
        let because = failed?;
        let clean = self.clear_away(roll, bakery, &because);
        clean.then_some(if roll.aborting { Ending::Aborted } else { Ending::NotBaked(because) })
    }

    /// The next step of a bake that goes well.
    ///
    /// # Errors
    /// Why it gives no image.
    fn bake_on(&mut self, roll: &mut Roll, policy: &Bake, bakery: &Bakery, bake: &BakeState) -> Result<(), String> {
        let image = bakery.images.iter().find(|image| image.roll.as_ref() == Some(&roll.id));
        let builder = bakery.builders.iter().find(|builder| builder.roll == roll.id);
        let again = |refused: &Refused| refused.at + REFUSED_AGAIN > self.given.now;
        let rests = bake.refused.as_ref().is_some_and(again);
        let mut stage = match (image, builder.map(|builder| (builder, builder.state))) {
            (Some(Image { id, state: ImageState::Available, .. }), _) => {
                self.roll_onto(roll, policy, bakery, id);
                return Ok(());
            }
            (Some(Image { state: ImageState::Failed, name, .. }), _) => {
                return Err(format!("image {name} could not be made"));
            }
            (Some(Image { state: ImageState::Pending, name, .. }), _) => format!("image {name} is being made"),
            (None, Some((builder, BuilderState::Stopped))) => {
                let name = free_name(&self.given.fleet.name, roll, &bakery.images);
                let step = ImageStep::MakeImage { roll: roll.id.clone(), builder: builder.id.clone(), name };
                if !rests {
                    self.push(Step::Image(step), Why::Roll(RollWhy::Installed), false);
                }
                "its updates are installed".to_owned()
            }
            (None, Some((builder, BuilderState::Running))) => format!("{} installs updates", builder.id),
            (None, Some((builder, BuilderState::Gone))) => {
                return Err(format!("builder {} ended before it was done", builder.id));
            }
            (None, None) => {
                let step = self.run_builder(roll, policy, bakery)?;
                if !rests {
                    self.push(Step::Image(step), Why::Roll(RollWhy::Bake), false);
                }
                "a builder starts".to_owned()
            }
        };
        if let Some(Refused { because, .. }) = &bake.refused {
            stage = format!("{stage}: {because}");
        }
        let deadline = bake.since + policy.timeout;
        if self.given.now >= deadline {
            return Err(format!("after {} s, {stage}", policy.timeout.as_secs()));
        }
        self.report.waits.push(Wait::Roll(RollWait::Baking { stage, deadline }));
        Ok(())
    }

    fn run_builder(&self, roll: &Roll, policy: &Bake, bakery: &Bakery) -> Result<ImageStep, String> {
        let image = match &bakery.base {
            Some(Ok(image)) => image.clone(),
            Some(Err(because)) => return Err(format!("parameter {}: {because}", policy.base_image_parameter)),
            None => return Err(format!("parameter {} was not read", policy.base_image_parameter)),
        };
        let launch = self.launch(roll, image)?;
        Ok(ImageStep::RunBuilder { roll: roll.id.clone(), launch })
    }

    /// A builder is launched like a host of the first group of the roll that one can be launched like.
    fn launch(&self, roll: &Roll, image: ImageId) -> Result<Launch, String> {
        let asked = self.roster.groups.iter().filter(|(pool, _)| roll.is_about(&pool.name));
        let targets = asked.filter_map(|(pool, group)| Some((pool, group, self.state.targets.get(&pool.name)?)));
        if let Some((pool, ..)) = targets.clone().find(|(_, _, target)| !target.lines.is_empty()) {
            let pool = &pool.name;
            return Err(format!("pool {pool} launches from several templates, and one image cannot be right for all"));
        }
        let mut because = Vec::new();
        for (pool, group, target) in targets {
            let template = TemplateVersion { id: target.template.clone(), version: target.version };
            match self.left_out(group) {
                Ok(instance_type) => {
                    let subnet = group.subnets.first().cloned();
                    return Ok(Launch { template, image, subnet, instance_type });
                }
                Err(why) => because.push(format!("pool {}: launch template {} {why}", pool.name, template.id)),
            }
        }
        Err(if because.is_empty() {
            "no group of the roll has a launch template".to_owned()
        } else {
            because.join("; ")
        })
    }

    /// The instance type that a request has to name for a builder like the group's hosts.
    ///
    /// # Errors
    /// What about the group's launch template allows none.
    fn left_out(&self, group: &Group) -> Result<Option<InstanceType>, String> {
        let mut templates = self.seen.templates.iter().flatten();
        let template = templates.find(|template| Some(&template.asks) == group.template.as_ref());
        let template = template.ok_or("was not read")?;
        match (template.no_builder, &template.instance_type, &group.instance_type) {
            (Some(why), ..) => Err(why.to_string()),
            (None, Some(_), _) => Ok(None),
            (None, None, Some(own)) => Ok(Some(own.clone())),
            (None, None, None) => Err("names no instance type, and neither does the group".to_owned()),
        }
    }

    /// The image is there: the builder goes, the groups are pointed to the image, old images go, and hosts are replaced.
    fn roll_onto(&mut self, roll: &mut Roll, policy: &Bake, bakery: &Bakery, image: &ImageId) {
        let ended = self.end_builder(roll, bakery, &RollWhy::Baked { image: image.clone() });
        let pointed = self.point_to_image(roll, image);
        if !ended || !pointed {
            return;
        }
        self.prune(policy, bakery, image);
        self.begin_rolling(roll);
    }

    fn begin_rolling(&mut self, roll: &mut Roll) {
        roll.stage = Stage::Rolling;
        self.list_hosts(roll);
    }

    /// Ends the roll's builder. Gives whether it is gone.
    fn end_builder(&mut self, roll: &Roll, bakery: &Bakery, why: &RollWhy) -> bool {
        let there = |builder: &&evenkeel_model::templates::Builder| {
            builder.roll == roll.id && builder.state != BuilderState::Gone
        };
        let Some(builder) = bakery.builders.iter().find(there) else { return true };
        let step = ImageStep::EndBuilder { builder: builder.id.clone() };
        self.push(Step::Image(step), Why::Roll(why.clone()), false);
        false
    }

    /// Deletes images of the fleet beyond those that are kept, but none that is in use.
    fn prune(&mut self, policy: &Bake, bakery: &Bakery, newest: &ImageId) {
        let in_use: BTreeSet<&ImageId> = self
            .state
            .targets
            .values()
            .filter_map(|target| target.image.as_ref())
            .chain(self.state.hosts.values().filter_map(|note| note.image.as_ref()))
            .chain([newest])
            .collect();
        let mut own: Vec<&Image> = bakery.images.iter().filter(|image| image.roll.is_some()).collect();
        own.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        let keep = usize::try_from(policy.keep).unwrap_or(usize::MAX);
        let old: Vec<ImageId> =
            own.into_iter().skip(keep).map(|image| image.id.clone()).filter(|id| !in_use.contains(id)).collect();
        for image in old {
            let why = Why::Roll(RollWhy::TooMany { keep: policy.keep });
            self.push(Step::Image(ImageStep::DeleteImage { image }), why, false);
        }
    }

    /// Takes away what a failed bake has made. Gives whether nothing is left.
    fn clear_away(&mut self, roll: &Roll, bakery: &Bakery, because: &str) -> bool {
        let why = RollWhy::BakeFailed { because: because.to_owned() };
        let mut clean = self.end_builder(roll, bakery, &why);
        // An image that a group launches already is left to it.
        let in_use = |id: &ImageId| self.state.targets.values().any(|target| target.image.as_ref() == Some(id));
        let own = bakery.images.iter().filter(|image| image.roll.as_ref() == Some(&roll.id) && !in_use(&image.id));
        for image in own.collect::<Vec<_>>() {
            clean = false;
            let step = ImageStep::DeleteImage { image: image.id.clone() };
            self.push(Step::Image(step), Why::Roll(why.clone()), false);
        }
        clean
    }
}

/// A name that no image has. Names are the account's, so somebody else may have taken the first.
fn free_name(fleet: &FleetName, roll: &Roll, images: &[Image]) -> String {
    let first = format!("{}{}", prefix(fleet), roll.id);
    let taken = |name: &String| images.iter().any(|image| image.name == *name);
    let numbered = (2..).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(first)
}
