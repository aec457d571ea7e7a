//! Which hosts there are, which are in service, and which are outdated.

use std::collections::BTreeMap;

use evenkeel_model::decision::RollWhy;
use evenkeel_model::fleet::{Pool, Refresh};
use evenkeel_model::groups::{Group, Member, MemberState};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::{HostWait, Report, RollWait, Wait};
use evenkeel_model::templates::{Denied, Health, Template, TemplateUse, TemplateVersion};
use evenkeel_model::{GroupName, ImageId, InstanceId, PoolName, Timestamp};
use evenkeel_turn::Given;

use crate::seen::Seen;
use crate::state::{HostNote, State, Target};

/// A host of the fleet.
pub(crate) struct Kept<'a> {
    pub(crate) member: &'a Member,
    pub(crate) pool: &'a Pool,
    pub(crate) group: &'a Group,
    /// Its container instance.
    pub(crate) host: Option<&'a Host>,
    pub(crate) note: HostNote,
    /// What it lacks to be in service; none when it is.
    pub(crate) lacks: Option<String>,
}

impl Kept<'_> {
    pub(crate) const fn ready(&self) -> bool {
        self.lacks.is_none()
    }

    /// It is not on its way out of its group.
    pub(crate) const fn stays(&self) -> bool {
        !self.member.state.is_leaving()
    }

    /// It is its group's to replace: not on its way out, and not set aside by somebody.
    pub(crate) const fn may_go(&self) -> bool {
        self.stays() && !matches!(self.member.state, MemberState::Aside)
    }

    /// Nothing keeps it from work but that it was told to become empty.
    pub(crate) fn is_draining(&self) -> bool {
        let drains = self.host.is_some_and(|host| host.connected && host.status == HostStatus::Draining);
        drains && self.member.state == MemberState::InService && self.member.healthy
    }

    /// It works, or may: it was told to become empty, or the cluster does not hear from it, and its group finds it in service.
    pub(crate) fn may_work(&self) -> bool {
        let unheard = self.host.is_some_and(|host| !host.connected || host.status == HostStatus::Draining);
        self.ready() || (unheard && self.member.state == MemberState::InService && self.member.healthy)
    }

    /// The cluster was not asked about it, and for its group it is in service.
    pub(crate) fn is_unseen(&self) -> bool {
        self.host.is_none() && self.note.joined && self.member.state == MemberState::InService && self.member.healthy
    }

    /// What it runs, in words.
    pub(crate) fn runs(&self) -> String {
        self.origin().runs()
    }

    const fn origin(&self) -> Origin<'_> {
        let (template, image) = (self.member.template.as_ref(), self.note.image.as_ref());
        Origin { template, image, launched: self.note.launched }
    }

    /// Why it is not what its pool would launch now; `None` where it is, or where that cannot be told.
    pub(crate) fn outdated(&self, target: Option<&Target>) -> Option<RollWhy> {
        self.origin().outdated(target)
    }

    /// Whether it can be told if it is to be replaced.
    pub(crate) const fn can_be_judged(&self, target: Option<&Target>, refresh: Refresh) -> bool {
        target.is_some() || (matches!(refresh, Refresh::All) && self.note.launched.is_some())
    }

    /// The same, or that it was launched before `started` where boot-time updates count.
    pub(crate) fn to_replace(&self, target: Option<&Target>, refresh: Refresh, started: Timestamp) -> Option<RollWhy> {
        self.origin().to_replace(target, refresh, started)
    }
}

/// What an instance was launched from, and when, as far as it is known.
pub(crate) struct Origin<'a> {
    pub(crate) template: Option<&'a TemplateVersion>,
    pub(crate) image: Option<&'a ImageId>,
    pub(crate) launched: Option<Timestamp>,
}

impl Origin<'_> {
    fn runs(&self) -> String {
        match (self.template, self.image) {
            (Some(template), Some(image)) => format!("version {} ({image})", template.version),
            (Some(template), None) => format!("version {}", template.version),
            (None, Some(image)) => image.to_string(),
            (None, None) => "something that is not known".to_owned(),
        }
    }

    pub(crate) fn outdated(&self, target: Option<&Target>) -> Option<RollWhy> {
        let Target { template, version, image, lines: _ } = target?.of(self.template);
        let newest = match image {
            Some(image) => format!("version {version} ({image})"),
            None => format!("version {version}"),
        };
        let other_template = self.template.is_some_and(|own| own.id != *template || own.version != *version);
        let other_image = image.is_some() && self.image.is_some() && self.image != image.as_ref();
        (other_template || other_image).then(|| RollWhy::Outdated { runs: self.runs(), newest })
    }

    pub(crate) fn to_replace(&self, target: Option<&Target>, refresh: Refresh, started: Timestamp) -> Option<RollWhy> {
        let before = || {
            let launched = self.launched.filter(|launched| *launched < started)?;
            Some(RollWhy::LaunchedBefore { launched })
        };
        self.outdated(target).or_else(|| if refresh == Refresh::All { before() } else { None })
    }
}

/// All hosts by id, and the groups by pool, in the fleet file's order.
pub(crate) struct Roster<'a> {
    pub(crate) all: BTreeMap<&'a InstanceId, Kept<'a>>,
    pub(crate) groups: Vec<(&'a Pool, &'a Group)>,
    /// The cluster's container instances that were looked at, those of other groups among them.
    pub(crate) cluster: BTreeMap<&'a InstanceId, &'a Host>,
    /// Pools of which it is not known what they would launch, and why, where that was looked at.
    pub(crate) unknown: BTreeMap<PoolName, String>,
}

impl<'a> Roster<'a> {
    /// Looks through all hosts, and notes in `state` what is new.
    pub(crate) fn take(given: &'a Given<'_, State>, seen: &'a Seen, state: &mut State, report: &mut Report) -> Self {
        let mut groups = Vec::new();
        for pool in &given.fleet.pools {
            match seen.groups.iter().find(|group| group.name == pool.auto_scaling_group) {
                Some(group) => groups.push((pool, group)),
                None => {
                    let group = pool.auto_scaling_group.clone();
                    report.waits.push(Wait::Host(HostWait::NoSuchGroup { group }));
                }
            }
        }
        let unknown = note_targets(&groups, seen, state);
        report.waits.extend(unknown.iter().map(|(pool, because)| {
            Wait::Roll(RollWait::UnknownTemplate { pool: pool.clone(), because: because.clone() })
        }));
        let facts: BTreeMap<&InstanceId, _> = seen.instances.iter().map(|one| (&one.id, one)).collect();
        let cluster: BTreeMap<&InstanceId, &Host> = seen.hosts.iter().map(|host| (&host.id, host)).collect();
        let unhealthy = unhealthy_targets(seen);
        let clustered = given.fleet.cluster.is_some();
        let mut all = BTreeMap::new();
        for (pool, group) in &groups {
            for member in &group.members {
                let note = state.hosts.entry(member.id.clone()).or_insert_with(|| HostNote {
                    pool: pool.name.clone(),
                    group: None,
                    since: given.now,
                    joined: false,
                    changed: None,
                    launched: None,
                    image: None,
                });
                // A pool may have got another name.
                note.pool.clone_from(&pool.name);
                note.group = Some(group.name.clone());
                if let Some(fact) = facts.get(&member.id) {
                    note.launched = Some(fact.launched);
                    note.image.clone_from(&fact.image);
                }
                let host = cluster.get(&member.id).copied();
                note.joined |= host.is_some();
                let lacks = lacks(member, host, clustered, &unhealthy, group, seen.targets.is_some());
                all.insert(&member.id, Kept { member, pool, group, host, note: note.clone(), lacks });
            }
        }
        // A group that is not seen says nothing about its hosts; of one that the fleet file names no more, what a roll began
        // is to be ended.
        let unseen = |note: &HostNote| {
            let is = |name: &GroupName| note.group.as_ref() == Some(name);
            let listed = given.fleet.pools.iter().any(|pool| is(&pool.auto_scaling_group));
            listed && !groups.iter().any(|(_, group)| is(&group.name))
        };
        let State { hosts, drained, marked, .. } = state;
        hosts.retain(|id, note| all.contains_key(id) || unseen(note) || drained.contains(id) || marked.contains(id));
        Self { all, groups, cluster, unknown }
    }

    /// A group and its pool.
    pub(crate) fn group(&self, name: &GroupName) -> Option<(&'a Pool, &'a Group)> {
        self.groups.iter().find(|(_, group)| group.name == *name).copied()
    }

    /// Whether a host is gone from its group, as far as that can be seen; where its group was not looked at, whether the
    /// cluster does not show it either.
    pub(crate) fn is_gone(&self, id: &InstanceId, note: Option<&HostNote>, partial: bool) -> bool {
        let group = note.and_then(|note| note.group.as_ref());
        match group.and_then(|group| self.group(group)) {
            Some(_) => !self.all.contains_key(id),
            None => !partial && !self.cluster.contains_key(id),
        }
    }

    /// Hosts of a group that stay in it.
    pub(crate) fn staying<'r>(&'r self, group: &'r GroupName) -> impl Iterator<Item = (&'a InstanceId, &'r Kept<'a>)> {
        self.all.iter().filter(|(_, kept)| kept.group.name == *group && kept.stays()).map(|(id, kept)| (*id, kept))
    }

    /// Capacity units in service.
    pub(crate) fn working(&self) -> u32 {
        self.all.values().filter(|kept| kept.stays() && kept.ready()).map(|kept| kept.pool.units).sum()
    }
}

/// Notes what each pool would launch now, where that was looked at. Gives the pools of which it is not known, and why.
fn note_targets(groups: &[(&Pool, &Group)], seen: &Seen, state: &mut State) -> BTreeMap<PoolName, String> {
    let mut unknown = BTreeMap::new();
    let Some(templates) = &seen.templates else { return unknown };
    let asked = |group: &Group| templates.iter().any(|template| Some(&template.asks) == group.template.as_ref());
    let mut targets = BTreeMap::new();
    for (pool, group) in groups {
        let because = match &group.template {
            Some(_) if group.members.is_empty() && !group.warm_pool && !asked(group) => continue,
            None => "its group has a launch configuration, not a launch template".to_owned(),
            Some(asks) => match target(asks, group, templates, &seen.denied) {
                Ok(found) => {
                    targets.insert(pool.name.clone(), found);
                    continue;
                }
                Err(because) => because,
            },
        };
        unknown.insert(pool.name.clone(), because);
    }
    state.targets = targets;
    unknown
}

/// What a group launches: from `asks`, and some instance types from templates of their own.
fn target(asks: &TemplateUse, group: &Group, templates: &[Template], denied: &[Denied]) -> Result<Target, String> {
    let resolved = |asks: &TemplateUse| {
        let found = templates.iter().find(|template| template.asks == *asks);
        let found = found.ok_or_else(|| match denied.iter().find(|denied| denied.asks == *asks) {
            Some(Denied { because, .. }) => {
                format!("version {} of {} cannot be read: {because}", asks.version, asks.id)
            }
            None => format!("there is no version {} of {}", asks.version, asks.id),
        })?;
        let image = found.image.clone().filter(|_| !group.own_images);
        Ok::<_, String>(Target { template: asks.id.clone(), version: found.version, image, lines: Vec::new() })
    };
    let lines = group.lines.iter().map(resolved).collect::<Result<_, _>>()?;
    Ok(Target { lines, ..resolved(asks)? })
}

/// Targets that are not healthy, by instance.
fn unhealthy_targets(seen: &Seen) -> BTreeMap<&InstanceId, Vec<Health>> {
    let mut found: BTreeMap<&InstanceId, Vec<Health>> = BTreeMap::new();
    for target in seen.targets.iter().flatten() {
        found.entry(&target.instance).or_default().push(target.health);
    }
    found
}

/// What a host lacks to be in service.
fn lacks(
    member: &Member,
    host: Option<&Host>,
    clustered: bool,
    targets: &BTreeMap<&InstanceId, Vec<Health>>,
    group: &Group,
    targets_known: bool,
) -> Option<String> {
    match member.state {
        MemberState::InService if !member.healthy => return Some("its group finds it unhealthy".to_owned()),
        MemberState::InService => {}
        MemberState::Pending => return Some("it is not in service for its group yet".to_owned()),
        MemberState::Terminating => return Some("it is leaving its group".to_owned()),
        MemberState::Aside => return Some("somebody has set it aside".to_owned()),
    }
    if clustered {
        match host {
            None => return Some("it has not joined the cluster".to_owned()),
            Some(host) if !host.connected => return Some("its agent is not connected".to_owned()),
            Some(host) if host.status != HostStatus::Active => return Some("it is draining".to_owned()),
            Some(_) => {}
        }
    }
    if group.target_groups.is_empty() {
        return None;
    }
    if !targets_known {
        return Some("its load balancer was not asked".to_owned());
    }
    let own = targets.get(&member.id).map_or(&[][..], Vec::as_slice);
    match own.iter().find(|health| **health != Health::Healthy) {
        _ if own.len() < group.target_groups.len() => Some("it is not registered with its load balancer".to_owned()),
        Some(Health::Unhealthy) => Some("it fails its load balancer's checks".to_owned()),
        Some(Health::Initial) => Some("its load balancer's first checks are under way".to_owned()),
        Some(Health::Draining | Health::Other) => Some("its load balancer sends it nothing".to_owned()),
        Some(Health::Healthy) | None => None,
    }
}
