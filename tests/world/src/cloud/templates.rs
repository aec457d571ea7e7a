//! Launch templates, their versions, and the images that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::templates::{
    Denied, ImageState, NoBuilder, Resolved, Template, TemplateUse, TemplateVersion, VersionSpec,
};
use evenkeel_model::{FleetName, GroupName, ImageId, RollId, TemplateId, Timestamp};
use evenkeel_turn::ports::{Answer, PortError};

use crate::clock::{Ms, timestamp};
use crate::cloud::{Cloud, GroupNo};
use crate::core::Core;

/// What hosts are like that were launched from an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostKind {
    /// They work.
    #[default]
    Sound,
    /// They run, and fail every check of their load balancer; without one, their agent stays away.
    NeverHealthy,
    /// They run, and never join the cluster; without one, they fail every check.
    NeverJoins,
    /// They take so many milliseconds longer to boot.
    Slow(Ms),
}

/// A launch template; every group has one of its own.
#[derive(Debug)]
pub(crate) struct SimTemplate {
    pub(crate) id: TemplateId,
    /// Version 1 first; a number is never used again.
    versions: Vec<Version>,
    default: u64,
    /// Those that somebody has deleted.
    deleted: BTreeSet<u64>,
    /// What all its versions have that only groups can launch.
    no_builder: Option<NoBuilder>,
}

/// One version.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) image: ImageId,
    /// `VersionDescription`.
    note: Option<String>,
}

/// An image, while it exists.
#[derive(Debug, Clone)]
pub(crate) struct SimImage {
    pub(crate) name: String,
    pub(crate) state: ImageState,
    pub(crate) created: Timestamp,
    pub(crate) hosts: HostKind,
    /// The fleet and the roll in its tags; none for somebody else's.
    pub(crate) tag: Option<(FleetName, RollId)>,
}

/// All templates and images.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    list: Vec<SimTemplate>,
    pub(crate) images: BTreeMap<ImageId, SimImage>,
    made: u32,
    /// Those that the functions may not read.
    pub(crate) denied: BTreeSet<TemplateId>,
    /// By group: what it would have launched, from each moment on.
    pub(crate) course: BTreeMap<GroupNo, Vec<(Ms, u64, ImageId)>>,
}

impl Templates {
    /// The next image's id.
    pub(crate) fn add_image(&mut self, image: SimImage) -> ImageId {
        self.made += 1;
        let id = ImageId::new(&format!("ami-{}", self.made)).unwrap_or_else(|_| unreachable!("letters and digits"));
        self.images.insert(id.clone(), image);
        id
    }

    /// An image that somebody else made and that can be launched.
    pub(crate) fn add_public_image(&mut self, name: &str, created: Timestamp, hosts: HostKind) -> ImageId {
        let name = format!("{name}-{}", self.made + 1);
        self.add_image(SimImage { name, state: ImageState::Available, created, hosts, tag: None })
    }

    /// A template with its first version.
    pub(crate) fn add(&mut self, name: &str, image: ImageId) -> TemplateId {
        let letters = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().take(40).map(letters).collect();
        let id = TemplateId::new(&format!("lt-{name}-{}", self.list.len() + 1));
        let id = id.unwrap_or_else(|_| unreachable!("letters, digits and hyphens"));
        self.list.push(SimTemplate {
            id: id.clone(),
            versions: vec![Version { image, note: None }],
            default: 1,
            deleted: BTreeSet::new(),
            no_builder: None,
        });
        id
    }

    /// Has all versions of a template say something that only groups can launch.
    pub(crate) fn only_for_groups(&mut self, id: &TemplateId, because: NoBuilder) {
        if let Ok(template) = self.find_mut(id) {
            template.no_builder = Some(because);
        }
    }

    fn find(&self, id: &TemplateId) -> Option<&SimTemplate> {
        self.list.iter().find(|template| template.id == *id)
    }

    fn find_mut(&mut self, id: &TemplateId) -> Answer<&mut SimTemplate> {
        let missing = || PortError::NotFound(format!("InvalidLaunchTemplateId.NotFound: {id}"));
        self.list.iter_mut().find(|template| template.id == *id).ok_or_else(missing)
    }

    /// What a use means now.
    pub(crate) fn resolve(&self, asks: &TemplateUse) -> Option<(u64, &Version)> {
        self.find(&asks.id)?.resolve(asks.version)
    }

    /// A new version that is like the newest one but for its image.
    pub(crate) fn publish(&mut self, id: &TemplateId, image: ImageId) -> u64 {
        let Ok(template) = self.find_mut(id) else { return 0 };
        template.versions.push(Version { image, note: None });
        template.versions.len() as u64
    }

    /// CreateLaunchTemplateVersion, once for each note.
    fn create(&mut self, from: &TemplateVersion, image: &ImageId, note: &str) -> Answer<()> {
        let template = self.find_mut(&from.id)?;
        if template.versions.iter().any(|version| version.note.as_deref() == Some(note)) {
            return Ok(());
        }
        let missing = || PortError::NotFound(format!("InvalidLaunchTemplateId.VersionNotFound: {}", from.version));
        template.resolve(VersionSpec::Number(from.version)).ok_or_else(missing)?;
        template.versions.push(Version { image: image.clone(), note: Some(note.to_owned()) });
        Ok(())
    }

    /// ModifyLaunchTemplate.
    pub(crate) fn set_default(&mut self, id: &TemplateId, version: u64) -> Answer<()> {
        let template = self.find_mut(id)?;
        if template.resolve(VersionSpec::Number(version)).is_none() {
            return Err(PortError::NotFound(format!("InvalidLaunchTemplateId.VersionNotFound: {version}")));
        }
        template.default = version;
        Ok(())
    }
}

impl SimTemplate {
    fn resolve(&self, spec: VersionSpec) -> Option<(u64, &Version)> {
        let number = match spec {
            VersionSpec::Latest => {
                (1..=self.versions.len() as u64).rev().find(|number| !self.deleted.contains(number))?
            }
            VersionSpec::Default => self.default,
            VersionSpec::Number(number) => number,
        };
        if self.deleted.contains(&number) {
            return None;
        }
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.versions.get(index).map(|version| (number, version))
    }
}

impl Cloud {
    /// DescribeLaunchTemplateVersions with ResolveAlias.
    pub(crate) fn describe_templates(&self, uses: &[TemplateUse]) -> Resolved {
        let (denied, read): (Vec<_>, Vec<_>) = uses.iter().partition(|asks| self.templates.denied.contains(&asks.id));
        let because = || "UnauthorizedOperation: not authorized to perform: ssm:GetParameters".to_owned();
        let denied = denied.into_iter().map(|asks| Denied { asks: asks.clone(), because: because() });
        let found = read.into_iter().filter_map(|asks| Some((asks, self.templates.resolve(asks)?)));
        let describe = |(asks, (version, found)): (&TemplateUse, (u64, &Version))| Template {
            asks: asks.clone(),
            version,
            image: Some(found.image.clone()),
            // Types are the groups' own, and so are subnets.
            instance_type: None,
            no_builder: self.templates.find(&asks.id).and_then(|template| template.no_builder),
            note: found.note.clone(),
        };
        Resolved { found: found.map(describe).collect(), denied: denied.collect() }
    }

    /// What a group launches now: the version's number and its image.
    pub(crate) fn launches(&self, number: GroupNo) -> (u64, ImageId) {
        let asks = &self.groups[number].template;
        self.templates
            .resolve(asks)
            .map_or_else(|| unreachable!("groups only name versions that exist"), |(n, v)| (n, v.image.clone()))
    }

    /// DeregisterImage of what a group launches.
    pub(crate) fn deregister(&mut self, number: GroupNo) {
        let (_, image) = self.launches(number);
        self.templates.images.remove(&image);
    }

    /// DeleteLaunchTemplateVersions of the newest, where groups still have something to launch.
    pub(crate) fn delete_version(&mut self, number: GroupNo, now: Ms) {
        let asks = self.groups[number].template.clone();
        let newest = TemplateUse { version: VersionSpec::Latest, ..asks.clone() };
        let Some((version, _)) = self.templates.resolve(&newest) else { return };
        let Some(template) = self.templates.list.iter_mut().find(|template| template.id == asks.id) else { return };
        template.deleted.insert(version);
        let used = self
            .groups
            .iter()
            .any(|group| group.template.id == asks.id && self.templates.resolve(&group.template).is_none());
        let default = self.templates.resolve(&TemplateUse { version: VersionSpec::Default, ..asks.clone() }).is_none();
        if used || default {
            // AWS lets nobody delete the default, and a group without a version launches nothing.
            if let Some(template) = self.templates.list.iter_mut().find(|template| template.id == asks.id) {
                template.deleted.remove(&version);
            }
        }
        self.note_launches(now);
    }

    /// Notes what each group launches from now on.
    pub(crate) fn note_launches(&mut self, now: Ms) {
        for number in 0..self.groups.len() {
            let (version, image) = self.launches(number);
            let course = self.templates.course.entry(number).or_default();
            if course.last().is_none_or(|(_, known, same)| *known != version || *same != image) {
                course.push((now, version, image));
            }
        }
    }
}

impl Core {
    /// How long the updates take that an image is behind with when a host boots from it now.
    pub(crate) fn updates_of(&self, image: &ImageId, seconds_for_each_day: u64) -> Ms {
        let Some(image) = self.cloud.templates.images.get(image) else { return 0 };
        let age = timestamp(self.now).duration_since(image.created).unsigned_abs();
        let days = Duration::from_hours(24).as_millis();
        let took = age.as_millis() * u128::from(seconds_for_each_day) * 1_000 / days;
        Ms::try_from(took).unwrap_or(Ms::MAX)
    }

    /// CreateLaunchTemplateVersion.
    pub(crate) fn new_version(&mut self, from: &TemplateVersion, image: &ImageId, note: &str) -> Answer<()> {
        self.cloud.templates.create(from, image, note)?;
        self.cloud.note_launches(self.now);
        Ok(())
    }

    /// ModifyLaunchTemplate.
    pub(crate) fn set_default(&mut self, template: &TemplateId, version: u64) -> Answer<()> {
        self.cloud.templates.set_default(template, version)?;
        self.cloud.note_launches(self.now);
        Ok(())
    }

    /// UpdateAutoScalingGroup with another launch template version.
    pub(crate) fn use_version(&mut self, group: &GroupName, template: &TemplateUse) -> Answer<()> {
        let Some(number) = self.cloud.group_no(group) else {
            return Err(PortError::NotFound(format!("group {group}")));
        };
        if self.cloud.templates.resolve(template).is_none() {
            return Err(PortError::Refused(format!(
                "ValidationError: no version {} of {}",
                template.version, template.id
            )));
        }
        self.cloud.groups[number].template = template.clone();
        self.cloud.note_launches(self.now);
        Ok(())
    }
}
