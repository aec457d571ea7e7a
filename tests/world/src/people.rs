//! What people and other systems do to a fleet that is being patched: publish, ask, suspend, protect, meddle.

use std::collections::BTreeMap;

use evenkeel_model::groups::Process;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::{Builder, Image, NoBuilder, VersionSpec};
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{AlarmName, FunctionName, InstanceId, PoolName, Resources, Room, ServiceName};
use evenkeel_patchroll::{PatchView, State};
use evenkeel_turn::state_key;
use serde_json::json;

use crate::clock::{Ms, timestamp};
use crate::cloud::{BakeFate, GroupNo, HostKind, Phase};
use crate::cluster::{HostNo, ServiceNo};
use crate::core::{Core, Event};
use crate::sim::World;

impl Core {
    fn pool_no(&self, pool: &PoolName) -> Option<GroupNo> {
        self.cloud.groups.iter().position(|group| group.pool == *pool)
    }

    /// A fresh image, a new version with it, and the group launches that from now on.
    pub(crate) fn publish(&mut self, number: GroupNo, kind: HostKind) -> u64 {
        let now = timestamp(self.now);
        let pool = self.cloud.groups[number].pool.to_string();
        let image = self.cloud.templates.add_public_image(&pool, now, kind);
        let asks = self.cloud.groups[number].template.clone();
        let version = self.cloud.templates.publish(&asks.id, image);
        match asks.version {
            VersionSpec::Latest => {}
            VersionSpec::Default => {
                let _it_was_just_made = self.cloud.templates.set_default(&asks.id, version);
            }
            VersionSpec::Number(_) => self.cloud.groups[number].template.version = VersionSpec::Number(version),
        }
        self.cloud.note_launches(self.now);
        version
    }

    /// All pools get a new version, and patchroll is asked to roll the fleet onto it.
    pub(crate) fn patch(&mut self) {
        for number in 0..self.cloud.groups.len() {
            self.publish(number, HostKind::Sound);
        }
        self.ask_for_roll(RollVerb::Start, None);
    }

    /// A person's request to patchroll.
    pub(crate) fn ask_for_roll(&mut self, verb: RollVerb, pool: Option<&PoolName>) {
        self.ask_for_roll_as(verb, pool, None);
    }

    fn ask_for_roll_as(&mut self, verb: RollVerb, pool: Option<&PoolName>, by: Option<&str>) {
        let mut request = json!({ "fleet": self.fleet.name, "roll": verb });
        if let Some(pool) = pool {
            request["pool"] = json!(pool);
        }
        if let Some(by) = by {
            request["by"] = json!(by);
        }
        self.audit.liveness.asked(verb, pool, self.now);
        self.send(&request, crate::delivery::Promise::AtLeastOnce, 0);
    }

    /// A person sets a group's desired capacity.
    pub(crate) fn meddle_with_capacity(&mut self, number: GroupNo, hosts: u32) {
        let group = &mut self.cloud.groups[number];
        let to = hosts.min(group.max);
        let from = std::mem::replace(&mut group.desired, to);
        self.audit.capacity_meddled(number, from, to, self.now);
        self.measure.rolls.meddled(number);
        self.group_looks(number, 0);
    }

    /// Protects the tasks that a service has now from being stopped, or ends that.
    pub(crate) fn protect_tasks_of(&mut self, service: ServiceNo, protected: bool) {
        self.cluster.protect(service, protected);
    }

    /// A host in service of a pool, the oldest.
    fn any_of(&self, pool: &PoolName) -> Option<HostNo> {
        let number = self.pool_no(pool)?;
        let there = |(_, one): &(HostNo, &crate::cloud::Instance)| one.phase == Phase::InService && !one.ended;
        self.cloud.members(number).find(there).map(|(host, _)| host)
    }
}

/// What becomes of a pool's launches, and what is asked of patchroll. A pool that the fleet does not have is passed over.
impl World {
    /// Publishes a new version of a pool's launch template, with a fresh image whose hosts are of this kind, and has the
    /// group launch it. Gives its number, or 0 where there is no such pool.
    pub fn publish_version(&mut self, pool: &PoolName, kind: HostKind) -> u64 {
        let mut core = self.lock();
        core.pool_no(pool).map_or(0, |number| core.publish(number, kind))
    }

    /// The same for every pool.
    pub fn publish_versions(&mut self, kind: HostKind) {
        let mut core = self.lock();
        for number in 0..core.cloud.groups.len() {
            core.publish(number, kind);
        }
    }

    /// Publishes versions with fresh images for every pool, and asks for a roll: now.
    pub fn patch(&mut self) {
        self.lock().patch();
    }

    /// The same at a later moment.
    pub fn patch_at(&mut self, at: Ms) {
        self.lock().at(at, Event::Patch);
    }

    /// Asks patchroll, as a person does.
    pub fn roll(&mut self, verb: RollVerb, pool: Option<&PoolName>) {
        self.lock().ask_for_roll(verb, pool);
    }

    /// Somebody who gives a name asks patchroll.
    pub fn roll_by(&mut self, verb: RollVerb, by: &str) {
        self.lock().ask_for_roll_as(verb, None, Some(by));
    }

    /// Has a group name its launch template's version in another way; a number is clamped to those that there are.
    pub fn set_spec(&mut self, pool: &PoolName, version: VersionSpec) {
        let mut core = self.lock();
        let Some(number) = core.pool_no(pool) else { return };
        let mut asks = core.cloud.groups[number].template.clone();
        asks.version = version;
        if core.cloud.templates.resolve(&asks).is_some() {
            core.cloud.groups[number].template = asks;
            let now = core.now;
            core.cloud.note_launches(now);
        }
    }

    /// Has the launch template of a pool's group say what only a group can launch.
    pub fn set_no_builder(&mut self, pool: &PoolName, because: NoBuilder) {
        let mut core = self.lock();
        let Some(number) = core.pool_no(pool) else { return };
        let template = core.cloud.groups[number].template.id.clone();
        core.cloud.templates.only_for_groups(&template, because);
    }

    /// Begins somebody else's instance refresh of a pool's group.
    pub fn begin_refresh(&mut self, pool: &PoolName) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.begin_refresh(number);
        }
    }

    /// Ends an instance refresh: `Cancelled` or `Failed`.
    pub fn end_refresh(&mut self, pool: &PoolName, cancelled: bool) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.end_refresh(number, if cancelled { "Cancelled" } else { "Failed" });
        }
    }

    /// Protects a pool's hosts from scale-in, new ones too, or ends that.
    pub fn protect(&mut self, pool: &PoolName, protected: bool) {
        let mut core = self.lock();
        let Some(number) = core.pool_no(pool) else { return };
        core.cloud.groups[number].protects = protected;
        for instance in core.cloud.instances.values_mut().filter(|one| one.group == number) {
            instance.protected = protected;
        }
    }

    /// Suspends a process of a pool's group.
    pub fn suspend(&mut self, pool: &PoolName, process: Process) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.cloud.groups[number].suspended.insert(process);
        }
    }

    /// Resumes a process of a pool's group.
    pub fn unsuspend(&mut self, pool: &PoolName, process: Process) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.resume_process(number, process);
        }
    }

    /// A person sets a group's desired capacity.
    pub fn set_capacity(&mut self, pool: &PoolName, hosts: u32) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.meddle_with_capacity(number, hosts);
        }
    }

    /// Puts a task that belongs to no service on a pool's oldest host; it runs until its host ends.
    pub fn run_standalone(&mut self, pool: &PoolName) {
        let mut core = self.lock();
        let Some(host) = core.any_of(pool) else { return };
        let now = core.now;
        let task = core.cluster.add_task(host, None, Room::from(Resources::new(64, 64)), now);
        core.runs_already(task);
    }

    /// Somebody else sets a service's count: a person, or another controller.
    pub fn set_count(&mut self, service: &ServiceName, count: u32) {
        let mut core = self.lock();
        if let Some(number) = core.service_no(service) {
            core.meddle(number, count);
        }
    }

    /// Protects all tasks of a service from being stopped, or ends that.
    pub fn protect_tasks(&mut self, service: &ServiceName, protected: bool) {
        let mut core = self.lock();
        if let Some(number) = core.service_no(service) {
            core.protect_tasks_of(number, protected);
        }
    }

    /// The agent of a pool's oldest host goes away, and does not come back.
    pub fn lose_agent(&mut self, pool: &PoolName) -> Option<InstanceId> {
        let mut core = self.lock();
        let host = core.any_of(pool)?;
        let found = core.cluster.hosts.get_mut(&host)?;
        found.seen.connected = false;
        let id = found.seen.id.clone();
        core.announce_host(host, "ACTIVE");
        Some(id)
    }

    /// ECS loses all agents, or has them again: the hosts go on as they were.
    pub fn lose_all_agents(&mut self, lost: bool) {
        let mut core = self.lock();
        let hosts: Vec<HostNo> = core.cluster.hosts.keys().copied().collect();
        for host in hosts {
            if let Some(found) = core.cluster.hosts.get_mut(&host) {
                found.seen.connected = !lost;
            }
            core.announce_host(host, "ACTIVE");
        }
        core.look_at_short_services();
    }

    /// The next bakes end so.
    pub fn bake_goes(&mut self, fate: BakeFate) {
        self.lock().setup.bake.fate = fate;
    }

    /// The parameter of the base image names a fresh one, and says so.
    pub fn publish_base_image(&mut self) {
        let mut core = self.lock();
        let now = timestamp(core.now);
        let image = core.cloud.templates.add_public_image("base", now, HostKind::Sound);
        core.cloud.base = Some(image);
        core.announce_base_image();
    }

    /// Somebody else's image gets this name.
    pub fn take_image_name(&mut self, name: &str) {
        self.lock().take_name(name);
    }

    /// Inspector finds a vulnerable package on a pool's hosts, or no longer.
    pub fn find_vulnerability(&mut self, pool: &PoolName, active: bool) {
        let mut core = self.lock();
        if let Some(number) = core.pool_no(pool) {
            core.announce_finding(number, active);
        }
    }

    /// Systems Manager finds a pool's oldest host not compliant with its patch baseline.
    pub fn find_noncompliant(&mut self, pool: &PoolName) {
        let mut core = self.lock();
        if let Some(host) = core.any_of(pool) {
            core.announce_noncompliance(host);
        }
    }

    /// Sets a halt alarm of the fleet to ALARM, or to OK.
    pub fn halt(&mut self, alarm: &AlarmName, firing: bool) {
        self.lock().set_halt_alarm(alarm, firing);
    }

    /// A host of a pool dies without a word. Gives which; none where the pool has none in service.
    pub fn fails(&mut self, pool: &PoolName) -> Option<InstanceId> {
        let mut core = self.lock();
        let host = core.any_of(pool)?;
        core.fail(host);
        core.cloud.instances.get(&host).map(|one| one.id.clone())
    }

    /// A person puts a host of a pool into Standby, and the group does without it (EnterStandby, with decrement).
    pub fn set_aside(&mut self, pool: &PoolName) -> Option<InstanceId> {
        let mut core = self.lock();
        let host = core.any_of(pool)?;
        let one = core.cloud.instances.get_mut(&host)?;
        one.aside = true;
        let (group, id) = (one.group, one.id.clone());
        core.cloud.groups[group].desired -= 1;
        let (hosts, now) = (core.cloud.groups[group].desired, core.now);
        core.audit.liveness.capacity_meddled(group, hosts, now);
        Some(id)
    }

    /// From now on a service needs something that no host has, and that no answer tells of: an attribute, an interface.
    pub fn needs_what_no_host_has(&mut self, service: &ServiceName, needs: bool) {
        let mut core = self.lock();
        if let Some(number) = core.service_no(service) {
            core.cluster.services[number].hidden_need = needs;
        }
    }

    /// ECS's answers leave out a host of a pool, on which all goes on. Gives which.
    pub fn hide(&mut self, pool: &PoolName) -> Option<InstanceId> {
        let mut core = self.lock();
        let host = core.any_of(pool)?;
        let found = core.cluster.hosts.get_mut(&host)?;
        found.hidden = true;
        Some(found.seen.id.clone())
    }

    /// AWS Health says that it retires an instance at `begins`, or that this is over: the event is closed, or the instance
    /// resolved. Gives the event, to be sent again.
    pub fn retires(&mut self, host: &InstanceId, begins: Ms, status: &str, entity: Option<&str>) -> serde_json::Value {
        let mut core = self.lock();
        let over = status == "closed" || entity == Some("RESOLVED");
        if let Some(number) = core.cloud.number(host)
            && let Some(one) = core.cloud.instances.get_mut(&number)
        {
            one.planned = (!over).then_some(begins);
        }
        let affected =
            entity.map_or(json!({ "entityValue": host }), |entity| json!({ "entityValue": host, "status": entity }));
        let detail = json!({
            "service": "EC2",
            "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
            "eventTypeCategory": "scheduledChange",
            "statusCode": status,
            "startTime": timestamp(begins).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            "affectedEntities": [affected],
        });
        let mut event = core.envelope("aws.health", "AWS Health Event", json!([host]), detail);
        event["time"] = json!(timestamp(core.now).to_string());
        core.send(&event, crate::delivery::Promise::AtLeastOnce, 0);
        event
    }

    /// A person switches a function off (its concurrency is zero), or on again: nothing reaches it meanwhile.
    pub fn switch_off(&mut self, function: FunctionName, off: bool) {
        let mut core = self.lock();
        let now = core.now;
        core.audit.liveness.switched(function, off, now);
    }

    /// Sabotage, for tests of the auditor: from now on a function does nothing, and the auditor believes that it should.
    pub fn stall(&mut self, function: FunctionName) {
        self.lock().stalled.insert(function);
    }

    /// The metric of one of the fleet's alarms has no data points from now on, or has them again.
    pub fn silence(&mut self, alarm: &AlarmName, silent: bool) {
        self.lock().silence_alarm(alarm, silent);
    }
}

/// What a story looks at.
impl World {
    /// What patchroll shows; none before its first turn.
    #[must_use]
    pub fn patch_view(&self) -> Option<PatchView> {
        self.shown(FunctionName::Patchroll)
    }

    /// What patchroll remembers.
    #[must_use]
    pub fn patchroll_state(&self) -> State {
        let key = state_key(&self.lock().fleet.name, FunctionName::Patchroll);
        self.stored(&key).unwrap_or_default()
    }

    /// A pool's hosts in service, by the launch template version that they were launched from.
    #[must_use]
    pub fn versions(&self, pool: &PoolName) -> BTreeMap<u64, usize> {
        let core = self.lock();
        let mut found = BTreeMap::new();
        let Some(number) = core.pool_no(pool) else { return found };
        for (_, one) in core.cloud.members(number).filter(|(_, one)| one.phase == Phase::InService && !one.ended) {
            *found.entry(one.version.version).or_default() += 1;
        }
        found
    }

    /// What waits in a pool's warm pool, by the launch template version that it was launched from.
    #[must_use]
    pub fn warm_versions(&self, pool: &PoolName) -> BTreeMap<u64, usize> {
        let core = self.lock();
        let mut found = BTreeMap::new();
        let Some(number) = core.pool_no(pool) else { return found };
        for one in &core.cloud.groups[number].warm.members {
            *found.entry(one.version.version).or_default() += 1;
        }
        found
    }

    /// A pool's hosts that are there or coming, oldest first.
    #[must_use]
    pub fn hosts(&self, pool: &PoolName) -> Vec<InstanceId> {
        let core = self.lock();
        let Some(number) = core.pool_no(pool) else { return Vec::new() };
        let staying = core.cloud.members(number).filter(|(_, one)| one.phase != Phase::Terminating && !one.ended);
        staying.map(|(_, one)| one.id.clone()).collect()
    }

    /// A group's desired capacity.
    #[must_use]
    pub fn desired(&self, pool: &PoolName) -> u32 {
        let core = self.lock();
        core.pool_no(pool).map_or(0, |number| core.cloud.groups[number].desired)
    }

    /// Hosts that are DRAINING.
    #[must_use]
    pub fn draining(&self) -> Vec<InstanceId> {
        let core = self.lock();
        let draining = core.cluster.hosts.values().filter(|host| host.seen.status == HostStatus::Draining);
        draining.map(|host| host.seen.id.clone()).collect()
    }

    /// Hosts that are marked as about to be replaced.
    #[must_use]
    pub fn marked_old(&self) -> Vec<InstanceId> {
        let core = self.lock();
        let old = evenkeel_model::decision::HostStep::OLD;
        let marked = core.cluster.hosts.values().filter(|host| host.seen.attributes.contains_key(old));
        marked.map(|host| host.seen.id.clone()).collect()
    }

    /// The fleet's builders that have not ended.
    #[must_use]
    pub fn builders(&self) -> Vec<Builder> {
        let core = self.lock();
        let mut found = core.cloud.describe_builders(&core.fleet.name, core.now);
        found.retain(|one| one.state != evenkeel_model::templates::BuilderState::Gone);
        found
    }

    /// The images that were baked for the fleet and that exist.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        let core = self.lock();
        let mut found = core.cloud.describe_images(&core.fleet.name, "evenkeel");
        found.retain(|image| image.roll.is_some());
        found
    }
}
