//! Auto Scaling groups and their EC2 instances: what there is. Nothing here decides; [`flow`] does what groups and EC2 do,
//! [`market`] what the spot market does, [`announce`] says it in AWS's words.

mod announce;
mod flow;
pub(crate) mod images;
mod market;
mod refresh;
pub mod spot;
mod targets;
mod templates;
mod warm;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_model::groups::{Group, Member, MemberState, Process, Refusal, RefusalKind, SpotCode, SpotRequest};
use evenkeel_model::templates::{Health, Instance as Ec2Instance, TemplateUse, TemplateVersion};
use evenkeel_model::{GroupName, ImageId, InstanceId, PoolName, ProviderName, Timestamp, Zone};

use crate::clock::{Ms, timestamp};
use crate::cloud::warm::WarmPool;
use crate::cluster::HostNo;
use crate::setup::{PoolSetup, Setup};

pub use images::{BakeFate, BakeSetup};
pub use market::Interruption;
pub(crate) use market::Market;
pub use templates::HostKind;
pub(crate) use templates::{SimImage, Templates};

/// A group's place in the fleet file's pools.
pub(crate) type GroupNo = usize;

/// All groups and instances.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) groups: Vec<SimGroup>,
    /// Instances that exist, or that their group has not missed yet.
    pub(crate) instances: BTreeMap<HostNo, Instance>,
    /// What the market said about instances, gone ones included.
    requests: BTreeMap<InstanceId, (SpotCode, Ms)>,
    pub(crate) templates: Templates,
    /// Instance refreshes so far.
    pub(crate) refreshed: u64,
    /// Builders, ended ones included.
    pub(crate) builders: Vec<images::SimBuilder>,
    /// Zones in which nothing can be launched.
    pub(crate) lost_zones: BTreeSet<Zone>,
    /// What the parameter of the base image names, once somebody asked.
    pub(crate) base: Option<ImageId>,
}

/// An Auto Scaling group.
#[derive(Debug)]
pub(crate) struct SimGroup {
    pub(crate) pool: PoolName,
    pub(crate) name: GroupName,
    pub(crate) purchase: Purchase,
    pub(crate) units: u32,
    pub(crate) desired: u32,
    pub(crate) max: u32,
    pub(crate) setup: PoolSetup,
    pub(crate) market: Market,
    /// Launches refused in a row.
    refused: u32,
    /// It does not try again before.
    waits_until: Ms,
    /// Launches that were refused.
    pub(crate) refusals: Vec<(Ms, RefusalKind, Option<Zone>)>,
    /// Somebody's instance refresh is under way.
    pub(crate) refresh: Option<refresh::Refresh>,
    /// What it launches.
    pub(crate) template: TemplateUse,
    /// It is behind a load balancer.
    pub(crate) balanced: bool,
    /// Processes that somebody has suspended.
    pub(crate) suspended: BTreeSet<Process>,
    /// New instances are protected from scale-in.
    pub(crate) protects: bool,
    /// Its warm pool.
    pub(crate) warm: WarmPool,
    /// Answers leave it out.
    pub(crate) hidden: bool,
    /// The group looks at itself then.
    looks_at: Option<Ms>,
}

/// Where an instance is in its life, as its group has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    InService,
    Terminating,
}

/// An EC2 instance of a group.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) group: GroupNo,
    /// Which of the group's types it is of.
    pub(crate) kind: usize,
    /// How it is bought: in a mixed group `Spot`, or `Mixed` for one of its on-demand base.
    pub(crate) purchase: Purchase,
    pub(crate) zone: Option<Zone>,
    pub(crate) phase: Phase,
    /// What no controller could make shorter: from the group's look to in service.
    pub(crate) floor: Ms,
    /// It takes work: in service for its group, and in the cluster where there is one.
    pub(crate) works: bool,
    /// EC2 has ended it; its group may not know yet.
    pub(crate) ended: bool,
    /// The market takes it.
    pub(crate) doomed: bool,
    /// When EC2 last saw a risk.
    pub(crate) risk_at: Option<Ms>,
    /// A person has it in Standby.
    pub(crate) aside: bool,
    /// When something begins that AWS plans for it.
    pub(crate) planned: Option<Ms>,
    /// Its group replaces it because of a rebalance recommendation.
    pub(crate) at_risk: bool,
    /// The launch template version and the image that it was launched from.
    pub(crate) version: TemplateVersion,
    pub(crate) image: ImageId,
    /// `LaunchTime`.
    pub(crate) launched: Ms,
    /// Protected from scale-in.
    pub(crate) protected: bool,
    /// What the group's health checks say.
    pub(crate) healthy: bool,
    /// From when on it passes its load balancer's checks; never, where its image is bad.
    pub(crate) passes: Option<Ms>,
    /// How it is for its load balancer, while it is registered.
    pub(crate) target: Option<Health>,
    /// When it was all that it should be for the first time.
    pub(crate) ready_at: Option<Ms>,
    /// Its agent stays away.
    pub(crate) mute: bool,
}

impl SimGroup {
    /// Whether a zone gives none of its hosts now.
    pub(crate) fn is_starved(&self, zone: &Zone, now: Ms) -> bool {
        self.market.starved_zones.get(zone).is_some_and(|until| now < *until)
    }

    /// What one of its instances costs in an hour, and what it would as an on-demand one.
    pub(crate) fn usd_an_hour(&self, instance: &Instance, spot_per_mille: u32) -> (f64, f64) {
        let list = self.setup.of_type(instance.kind).1.usd();
        let part = match instance.purchase {
            // A one-year standard reservation is typically about 37 % below on-demand.
            Purchase::Reserved => 0.63,
            Purchase::Spot => f64::from(spot_per_mille) / 1_000.0,
            Purchase::Mixed | Purchase::OnDemand => 1.0,
        };
        (list * part, list)
    }
}

impl Cloud {
    /// The group behind a capacity provider.
    pub(crate) fn behind(&self, provider: &ProviderName) -> Option<GroupName> {
        let of = self.groups.iter().find(|group| group.setup.provider.as_ref() == Some(provider));
        of.map(|group| group.name.clone())
    }

    pub(crate) fn new(fleet: &Fleet, setup: &Setup) -> Self {
        let mut templates = Templates::default();
        let mut group = |pool: &evenkeel_model::fleet::Pool| {
            let (setup, hosts) = setup.hosts_of(fleet, &pool.name);
            let made = timestamp(0) - Duration::from_hours(24 * setup.image_age_days);
            let image = templates.add_public_image(pool.name.as_str(), made, HostKind::Sound);
            let template = TemplateUse { id: templates.add(pool.name.as_str(), image), version: setup.version };
            SimGroup {
                pool: pool.name.clone(),
                name: pool.auto_scaling_group.clone(),
                purchase: pool.purchase,
                units: pool.units,
                desired: hosts,
                max: setup.max.unwrap_or_else(|| hosts.max(fleet.hosts.maximum)),
                market: Market::default(),
                refused: 0,
                waits_until: 0,
                refusals: Vec::new(),
                refresh: None,
                template,
                balanced: setup.is_balanced(fleet),
                suspended: BTreeSet::new(),
                protects: setup.protected,
                warm: WarmPool::default(),
                setup,
                hidden: false,
                looks_at: None,
            }
        };
        let groups = fleet.pools.iter().map(&mut group).collect();
        let mut cloud = Self { groups, templates, ..Self::default() };
        for number in 0..cloud.groups.len() {
            for _ in 0..cloud.groups[number].setup.warm_pool {
                cloud.warm_up(number, 0);
            }
        }
        cloud.note_launches(0);
        cloud
    }

    /// What the market says about an instance from now on.
    pub(crate) fn note_request(&mut self, id: &InstanceId, code: SpotCode, now: Ms) {
        if let Some(request) = self.requests.get_mut(id) {
            *request = (code, now);
        }
    }

    /// The group of this name.
    pub(crate) fn group_no(&self, name: &GroupName) -> Option<GroupNo> {
        self.groups.iter().position(|group| group.name == *name)
    }

    /// The instance of this id, if it exists.
    pub(crate) fn number(&self, id: &InstanceId) -> Option<HostNo> {
        self.instances.iter().find(|(_, instance)| instance.id == *id).map(|(number, _)| *number)
    }

    /// How the next instance of a group would be bought: a mixed one fills up its base first (Auto Scaling API reference,
    /// `InstancesDistribution`).
    pub(crate) fn buys(&self, group: GroupNo) -> Purchase {
        let SimGroup { purchase, setup, .. } = &self.groups[group];
        let base = setup.on_demand_base.unwrap_or(0);
        match purchase {
            Purchase::Mixed if self.in_base(group) >= base as usize => Purchase::Spot,
            other @ (Purchase::Reserved | Purchase::Spot | Purchase::Mixed | Purchase::OnDemand) => *other,
        }
    }

    /// Instances of a mixed group that are on-demand, as far as the group counts on them.
    pub(crate) fn in_base(&self, group: GroupNo) -> usize {
        let stays = |one: &Instance| one.phase != Phase::Terminating && !one.aside;
        self.members(group).filter(|(_, one)| one.purchase == Purchase::Mixed && stays(one)).count()
    }

    /// The instances that a group counts.
    pub(crate) fn members(&self, group: GroupNo) -> impl Iterator<Item = (HostNo, &Instance)> {
        self.instances.iter().filter(move |(_, one)| one.group == group).map(|(number, one)| (*number, one))
    }

    /// Capacity units that take work now, of the kinds that `of` names.
    pub(crate) fn working(&self, of: impl Fn(Purchase) -> bool) -> u32 {
        let working = self.instances.values().filter(|one| one.works && !one.ended && of(one.purchase));
        working.map(|one| self.groups[one.group].units).sum()
    }

    /// What all instances cost in an hour, and what they would as on-demand ones.
    pub(crate) fn usd_an_hour(&self, spot_per_mille: u32) -> (f64, f64) {
        let each = self.instances.values().filter(|one| !one.ended);
        each.map(|one| self.groups[one.group].usd_an_hour(one, spot_per_mille))
            .fold((0.0, 0.0), |(paid, list), (one, of_list)| (paid + one, list + of_list))
    }

    /// DescribeAutoScalingGroups.
    pub(crate) fn describe(&self, names: &[GroupName]) -> Vec<Group> {
        let asked = self.groups.iter().enumerate().filter(|(_, group)| names.contains(&group.name) && !group.hidden);
        let member = |(_, one): (HostNo, &Instance)| Member {
            id: one.id.clone(),
            state: match one.phase {
                _ if one.aside => MemberState::Aside,
                Phase::Pending => MemberState::Pending,
                Phase::InService => MemberState::InService,
                Phase::Terminating => MemberState::Terminating,
            },
            healthy: one.healthy,
            zone: one.zone.clone(),
            template: Some(one.version.clone()),
            protected: one.protected,
        };
        let describe = |(number, group): (GroupNo, &SimGroup)| Group {
            name: group.name.clone(),
            desired: group.desired,
            min: group.setup.min,
            max: group.max,
            zones: group.setup.zones.clone(),
            subnets: vec![images::subnet(number)],
            instance_type: images::instance_type(),
            members: self.members(number).map(member).collect(),
            template: Some(group.template.clone()),
            lines: Vec::new(),
            own_images: false,
            scaled_by: group.setup.scaled_by.clone(),
            suspended: group.suspended.clone(),
            warm_pool: group.setup.warm_pool > 0,
            target_groups: self.target_group(number).into_iter().collect(),
        };
        asked.map(describe).collect()
    }

    /// DescribeInstances.
    pub(crate) fn describe_instances(&self, ids: &[InstanceId], at: impl Fn(Ms) -> Timestamp) -> Vec<Ec2Instance> {
        let ids: BTreeSet<&InstanceId> = ids.iter().collect();
        let asked = self.instances.values().filter(|one| ids.contains(&one.id));
        let describe = |one: &Instance| Ec2Instance {
            id: one.id.clone(),
            image: Some(one.image.clone()),
            launched: at(one.launched),
        };
        let warm = self.groups.iter().flat_map(|group| &group.warm.members).filter(|one| ids.contains(&one.id));
        asked.map(describe).chain(warm.map(|one| one.describe(&at))).collect()
    }

    /// DescribeScalingActivities, those that failed in the last hour, newest first.
    pub(crate) fn describe_refusals(&self, group: &GroupName, now: Ms, at: impl Fn(Ms) -> Timestamp) -> Vec<Refusal> {
        let Some(number) = self.group_no(group) else { return Vec::new() };
        let recent =
            self.groups[number].refusals.iter().rev().take_while(|(when, ..)| when + 60 * crate::clock::MINUTE > now);
        recent
            .map(|(when, kind, zone)| Refusal {
                at: at(*when),
                kind: *kind,
                message: announce::words(*kind).to_owned(),
                zone: zone.clone(),
            })
            .collect()
    }

    /// DescribeSpotInstanceRequests.
    pub(crate) fn describe_requests(&self, instances: &[InstanceId], at: impl Fn(Ms) -> Timestamp) -> Vec<SpotRequest> {
        let known = instances.iter().filter_map(|id| self.requests.get(id).map(|found| (id, found)));
        known.map(|(id, (code, when))| SpotRequest { instance: id.clone(), code: *code, at: at(*when) }).collect()
    }
}
