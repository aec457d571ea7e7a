//! What Auto Scaling groups and EC2 do: launch, retry, check health, balance zones, and end instances.

use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::{Process, RefusalKind, SpotCode};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::{Health, ImageState, TemplateVersion};
use evenkeel_model::{FunctionName, GroupName, InstanceId, Zone};
use evenkeel_turn::ports::{Answer, PortError};
use rand::RngExt;

use crate::clock::{Ms, SECOND};
use crate::cloud::warm::{WARM_REFILL, WARM_START};
use crate::cloud::{GroupNo, HostKind, Instance, Phase};
use crate::cluster::{HostNo, SimHost};
use crate::core::{Core, Event};
use crate::setup::{HookResult, Spread};

/// From a change to what a group does about it: an alarm to an instance's start took 6 s (captured).
const REACTION: Spread = Spread { least: 2_000, usual: 4_000, most: 6_000 };
/// The RunInstances call (brevdev cold-boot study, 2026).
const RUN_INSTANCES: Spread = Spread { least: 2_500, usual: 3_500, most: 5_000 };
/// Pending to running (the same study).
pub(super) const TO_RUNNING: Spread = Spread { least: 16_400, usual: 17_000, most: 17_900 };
/// Running to usable (the same study).
pub(super) const TO_USABLE: Spread = Spread { least: 3_000, usual: 4_500, most: 6_000 };
/// From an instance's end to its group noticing: the group polls EC2's status.
pub(super) const HEALTH_CHECK: Spread = Spread { least: 10_000, usual: 30_000, most: 60_000 };
/// From the order to end an instance until it shuts down, its tasks with it.
const SHUT_DOWN: Spread = Spread { least: 1_000, usual: 2_000, most: 5_000 };
/// A zone that refused a launch is not tried first for so long.
const ZONE_RESTS: Ms = 300 * SECOND;
/// Pauses between a group's launches that were refused; then the last one again and again (observed on real groups).
const RETRIES: [Ms; 9] = [11, 11, 65, 65, 120, 120, 240, 480, 600];

impl Core {
    /// SetDesiredCapacity.
    pub(crate) fn set_capacity(&mut self, function: FunctionName, name: &GroupName, hosts: u32) -> Answer<()> {
        let Some(number) = self.cloud.group_no(name) else { return Err(PortError::NotFound(format!("group {name}"))) };
        let group = &mut self.cloud.groups[number];
        // In AWS's words.
        let beyond = |what: &str, limit: u32| {
            let message =
                format!("New SetDesiredCapacity value {hosts} is {what} value {limit} for the AutoScalingGroup.");
            Err(PortError::Refused(format!("ValidationError: {message}")))
        };
        if hosts > group.max {
            return beyond("above max", group.max);
        }
        if hosts < group.setup.min {
            return beyond("below min", group.setup.min);
        }
        if hosts > group.desired {
            group.waits_until = 0;
        }
        let before = std::mem::replace(&mut group.desired, hosts);
        self.note_roll_capacity(function, number, before, hosts);
        let wait = REACTION.draw(&mut self.rng.cloud);
        self.group_looks(number, wait);
        Ok(())
    }

    /// Whether a group does something else at the moment, and takes no order.
    pub(crate) fn busy(&mut self, function: FunctionName, group: &GroupName) -> Answer<()> {
        if Self::chance(self.rng.own(function).faults, self.faults.rate) {
            return Err(PortError::Busy(format!("ScalingActivityInProgress: group {group}")));
        }
        Ok(())
    }

    /// ResumeProcesses: the group makes up for what it left undone.
    pub(crate) fn resume_process(&mut self, number: GroupNo, process: Process) {
        self.cloud.groups[number].suspended.remove(&process);
        let hosts: Vec<HostNo> = self.cloud.members(number).map(|(host, _)| host).collect();
        for host in hosts {
            let in_service = self.cloud.instances.get(&host).is_some_and(|one| one.phase == Phase::InService);
            match process {
                Process::AddToLoadBalancer if in_service => self.register_target(host),
                Process::Terminate => self.sick(host),
                Process::Launch | Process::AddToLoadBalancer => {}
            }
        }
        self.group_looks(number, REACTION.usual);
    }

    /// The group of an instance.
    pub(crate) fn group_of(&self, id: &InstanceId) -> Option<GroupName> {
        let number = self.cloud.number(id)?;
        Some(self.cloud.groups[self.cloud.instances[&number].group].name.clone())
    }

    /// TerminateInstanceInAutoScalingGroup.
    pub(crate) fn terminate(&mut self, function: FunctionName, id: &InstanceId, shrink: bool) -> Answer<()> {
        // One that is on its way out already is taken once more, and its group is smaller by one more.
        let found = self.cloud.number(id).filter(|number| !self.cloud.instances[number].ended);
        let Some(number) = found else { return Err(PortError::NotFound(format!("instance {id}"))) };
        let group = &self.cloud.groups[self.cloud.instances[&number].group];
        if shrink && group.desired <= group.setup.min {
            return Err(PortError::Refused(format!(
                "ValidationError: Currently, desiredSize equals minSize ({}). Terminating instance without replacement will \
                 violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower \
                 group's min size.",
                group.setup.min
            )));
        }
        let again = self.cloud.instances[&number].phase == Phase::Terminating;
        if again && !shrink {
            return Err(PortError::NotFound(format!("instance {id}")));
        }
        let group = self.cloud.instances[&number].group;
        if shrink {
            let group = &mut self.cloud.groups[group];
            group.desired = group.desired.saturating_sub(1);
        }
        if again {
            self.group_looks(group, REACTION.usual);
            return Ok(());
        }
        self.note_roll_end(function, number, shrink);
        self.begin_end(number);
        Ok(())
    }

    /// Has a group look at itself after `wait`, unless it does so before.
    pub(crate) fn group_looks(&mut self, number: GroupNo, wait: Ms) {
        let at = self.now + wait;
        let group = &mut self.cloud.groups[number];
        if group.looks_at.is_none_or(|known| known > at || known < self.now) {
            group.looks_at = Some(at);
            self.at(at, Event::GroupLooks(number));
        }
    }

    /// A group launches what is missing, or ends what is too much.
    pub(crate) fn adjust(&mut self, number: GroupNo) {
        let now = self.now;
        if self.cloud.groups[number].looks_at.take_if(|at| *at == now).is_none() {
            return; // a later look that an earlier one has replaced
        }
        let staying =
            self.cloud.members(number).filter(|(_, one)| one.phase != Phase::Terminating && !one.at_risk && !one.aside);
        let staying = u32::try_from(staying.count()).unwrap_or(u32::MAX);
        let desired = self.cloud.groups[number].desired;
        let may = |process| !self.cloud.groups[number].suspended.contains(&process);
        let (launches, ends) = (may(Process::Launch), may(Process::Terminate));
        if staying > desired {
            for _ in desired..staying {
                if ends {
                    self.scale_in(number);
                }
            }
            return;
        }
        if staying == desired {
            if launches && ends {
                self.balance_zones(number);
            }
            return;
        }
        if !launches {
            return;
        }
        let waits_until = self.cloud.groups[number].waits_until;
        // The spot market's refusals do not hold up a mixed group's base.
        if waits_until > now && self.cloud.buys(number) != Purchase::Mixed {
            self.group_looks(number, waits_until - now);
            return;
        }
        for _ in staying..desired {
            let zone = self.next_zone(number);
            if let Some(zone) = zone.clone().filter(|zone| self.cloud.groups[number].is_starved(zone, now)) {
                // The next try goes to another zone.
                let group = &mut self.cloud.groups[number];
                let pause = RETRIES[0] * SECOND;
                group.waits_until = now + pause;
                group.refusals.push((now, RefusalKind::Capacity, Some(zone)));
                self.group_looks(number, pause);
                self.announce_refusal(number, RefusalKind::Capacity);
                return;
            }
            if let Some(kind) = self.refusal(number) {
                let group = &mut self.cloud.groups[number];
                let pause = RETRIES[(group.refused as usize).min(RETRIES.len() - 1)] * SECOND;
                group.refused += 1;
                group.waits_until = now + pause;
                group.refusals.push((now, kind, None));
                self.group_looks(number, pause);
                self.announce_refusal(number, kind);
                return;
            }
            self.launch(number, zone);
        }
        self.cloud.groups[number].refused = 0;
    }

    /// Why EC2 would refuse a launch now.
    pub(crate) fn refusal(&self, number: GroupNo) -> Option<RefusalKind> {
        let group = &self.cloud.groups[number];
        let buys = self.cloud.buys(number);
        let alive = |of: &dyn Fn(Purchase) -> bool| {
            let there = self.cloud.members(number).filter(|(_, one)| !one.ended && !one.doomed && of(one.purchase));
            u32::try_from(there.count()).unwrap_or(u32::MAX)
        };
        if group.market.quota.is_some_and(|quota| alive(&|_| true) >= quota) {
            return Some(RefusalKind::Quota);
        }
        let (_, image) = self.cloud.launches(number);
        if self.cloud.templates.images.get(&image).is_none_or(|image| image.state != ImageState::Available) {
            return Some(RefusalKind::Other);
        }
        let zones = &group.setup.zones;
        let none_left = !zones.is_empty() && zones.iter().all(|zone| self.cloud.lost_zones.contains(zone));
        // A mixed group's drought is one of its spot part.
        let starved = self.now < group.market.starved_until && buys != Purchase::Mixed;
        let bought_up = buys == Purchase::Spot && alive(&|one| one == Purchase::Spot) >= group.market.gives(self.now);
        (none_left || starved || bought_up).then_some(RefusalKind::Capacity)
    }

    /// Launches one instance of a group, in the zone with fewest unless one is named.
    pub(crate) fn launch(&mut self, number: GroupNo, zone: Option<Zone>) {
        let zone = zone.or_else(|| self.least_zone(number));
        let purchase = self.cloud.buys(number);
        let host = self.cluster.next_number();
        let group = &mut self.cloud.groups[number];
        let id = InstanceId::new(&format!("i-{:.40}-{host}", group.pool.as_str()).replace('_', "-"));
        let rng = &mut self.rng.cloud;
        let from_pool = group.warm.take();
        let warm = from_pool.is_some();
        let running = if warm { WARM_START.draw(rng) } else { RUN_INSTANCES.draw(rng) + TO_RUNNING.draw(rng) };
        let boot = if warm { 0 } else { group.setup.boot.draw(rng) };
        let usable = running + TO_USABLE.draw(rng);
        let (held, result) = group.setup.launch_held();
        let in_service = running + held * SECOND;
        let types = group.setup.types.len();
        let kind_of = if types > 1 { rng.random_range(0..types) } else { 0 };
        let check = if group.balanced { group.setup.check.draw(&mut self.rng.targets) } else { 0 };
        let (protected, spec) = (group.protects, group.template.clone());
        let each_day = group.setup.update_seconds_per_day;
        let (version, image) = self.cloud.launches(number);
        // What waited in the warm pool is what it was launched from.
        let (id, version, image) = match from_pool {
            Some(one) => (Ok(one.id), one.version, one.image),
            None => (id, TemplateVersion { id: spec.id, version }, image),
        };
        let kind = self.cloud.templates.images.get(&image).map(|image| image.hosts).unwrap_or_default();
        let updates = boot
            + if warm { 0 } else { self.updates_of(&image, each_day) }
            + if let HostKind::Slow(longer) = kind { longer } else { 0 };
        // An agent does not wait for a launch hook.
        let joins = usable + updates;
        let clustered = self.fleet.cluster.is_some();
        let works = if clustered { joins } else { in_service + updates + check };
        let group = &self.cloud.groups[number];
        let passes = self.now + if clustered { joins + check } else { works };
        let (joins, passes, mute) = match kind {
            HostKind::Sound | HostKind::Slow(_) => (true, Some(passes), false),
            HostKind::NeverHealthy => (clustered, None, !group.balanced),
            HostKind::NeverJoins => (false, clustered.then_some(passes), false),
        };
        let instance = Instance {
            id: id.unwrap_or_else(|_| unreachable!("pool names are shorter than ids")),
            group: number,
            kind: kind_of,
            purchase,
            zone,
            phase: Phase::Pending,
            floor: REACTION.usual + works,
            works: false,
            ended: false,
            doomed: false,
            risk_at: None,
            planned: None,
            aside: false,
            at_risk: false,
            version,
            image,
            launched: self.now,
            protected,
            healthy: true,
            passes,
            target: None,
            ready_at: None,
            mute,
        };
        if purchase == Purchase::Spot {
            self.cloud.requests.insert(instance.id.clone(), (SpotCode::Fulfilled, self.now));
        }
        self.cloud.instances.insert(host, instance);
        self.measure.launches += 1;
        if warm {
            self.after(WARM_REFILL, Event::WarmsUp(number));
        }
        let held = if result == HookResult::Abandon { Event::Abandoned(host) } else { Event::InService(host) };
        self.after(in_service, held);
        if joins {
            self.after(works, Event::Works(host));
        }
        self.announce_state(host, "pending");
    }

    /// A launch hook gives up on an instance: its group ends it, and tries again.
    pub(crate) fn abandoned(&mut self, host: HostNo) {
        let pending = |one: &&Instance| one.phase == Phase::Pending && !one.ended;
        if self.cloud.instances.get(&host).filter(pending).is_some() {
            self.begin_end(host);
        }
    }

    /// An instance that is there from the start.
    pub(crate) fn stands(&mut self, number: GroupNo) {
        self.launch(number, None);
        let Some((&host, _)) = self.cloud.instances.last_key_value() else { return };
        self.measure.launches = 0;
        self.in_service(host);
        self.works(host);
        if let Some(instance) = self.cloud.instances.get_mut(&host) {
            instance.target = instance.target.map(|_| Health::Healthy);
        }
        self.maybe_ready(host);
    }

    /// The zone of the next launch: the one with fewest hosts, past those that refused lately while others have not.
    fn next_zone(&self, number: GroupNo) -> Option<Zone> {
        let group = &self.cloud.groups[number];
        let lately = |zone: &Zone| {
            let mut of_zone = group.refusals.iter().filter(|(_, _, one)| one.as_ref() == Some(zone));
            of_zone.any(|(at, ..)| at + ZONE_RESTS > self.now)
        };
        let there = |zone: &Zone| self.cloud.members(number).filter(|(_, one)| one.zone.as_ref() == Some(zone)).count();
        group.setup.zones.iter().min_by_key(|zone| (lately(zone), there(zone))).cloned()
    }

    fn least_zone(&self, number: GroupNo) -> Option<Zone> {
        let there = |zone: &Zone| self.cloud.members(number).filter(|(_, one)| one.zone.as_ref() == Some(zone)).count();
        let zones = self.cloud.groups[number].setup.zones.iter().filter(|zone| !self.cloud.lost_zones.contains(*zone));
        zones.min_by_key(|zone| there(zone)).cloned()
    }

    /// AZRebalance: where one zone has two more than another, one is launched there, and one here ends when it is in
    /// service (Auto Scaling user guide, "Rebalancing activities": the group may be above its desired capacity by it).
    fn balance_zones(&mut self, number: GroupNo) {
        let group = &self.cloud.groups[number];
        let settled = self.cloud.members(number).all(|(_, one)| one.phase == Phase::InService && !one.ended);
        let lost = group.setup.zones.iter().any(|zone| self.cloud.lost_zones.contains(zone));
        if !group.setup.az_rebalance || !settled || lost || group.setup.zones.len() < 2 {
            return;
        }
        let there = |zone: &Zone| self.cloud.members(number).filter(|(_, one)| one.zone.as_ref() == Some(zone)).count();
        let (Some(least), Some(most)) = (
            group.setup.zones.iter().min_by_key(|zone| there(zone)),
            group.setup.zones.iter().max_by_key(|zone| there(zone)),
        ) else {
            return;
        };
        if there(most) >= there(least) + 2 && self.refusal(number).is_none() {
            let zone = least.clone();
            self.launch(number, Some(zone));
        }
    }

    /// The instance's group counts it in.
    pub(crate) fn in_service(&mut self, host: HostNo) {
        let Some(instance) = self.cloud.instances.get_mut(&host) else { return };
        if instance.phase != Phase::Pending || instance.ended {
            return;
        }
        instance.phase = Phase::InService;
        let number = instance.group;
        self.register_target(host);
        self.announce_launched(host);
        self.maybe_ready(host);
        // Capacity rebalancing: the replacement is there, so the one at risk may go.
        let at_risk = self.cloud.members(number).find(|(_, one)| one.at_risk && one.phase == Phase::InService);
        if let Some((old, _)) = at_risk {
            self.begin_end(old);
        }
        self.group_looks(number, REACTION.usual);
    }

    /// The instance takes work from now on.
    pub(crate) fn works(&mut self, host: HostNo) {
        let Some(instance) = self.cloud.instances.get_mut(&host) else { return };
        if instance.works || instance.ended || instance.phase == Phase::Terminating {
            return;
        }
        instance.works = true;
        let (group, floor, kind) = (instance.group, instance.floor, instance.kind);
        let (id, zone, mute) = (instance.id.clone(), instance.zone.clone(), instance.mute);
        self.measure.losses.replaced(floor, self.now);
        if self.fleet.cluster.is_some() {
            let group = &self.cloud.groups[group];
            let mut joined = SimHost::new(id, zone, &group.pool, &group.setup);
            joined.seen.registered = group.setup.of_type(kind).0;
            joined.seen.connected = !mute;
            self.cluster.join(host, joined);
            self.start_daemon(host);
            self.announce_host(host, "ACTIVE");
            self.look_at_short_services();
        }
        self.maybe_ready(host);
    }

    /// The group ends the instance that its policy names: of the zone with most of them the oldest, whether others take
    /// work yet or not (Auto Scaling user guide, "Default termination policy"). Of a mixed group's, spot hosts go there
    /// before its base does.
    fn scale_in(&mut self, number: GroupNo) {
        let staying = || {
            self.cloud
                .members(number)
                .filter(|(_, one)| one.phase != Phase::Terminating && !one.protected && !one.aside)
        };
        let zones = |zone: &Option<Zone>| staying().filter(|(_, one)| one.zone == *zone).count();
        let base = self.cloud.groups[number].setup.on_demand_base.unwrap_or(0);
        let whole = self.cloud.in_base(number) <= base as usize;
        let of_base = |one: &Instance| whole && one.purchase == Purchase::Mixed;
        let victim = staying().min_by_key(|(host, one)| (std::cmp::Reverse(zones(&one.zone)), of_base(one), *host));
        if let Some((victim, _)) = victim {
            self.begin_end(victim);
        }
    }

    /// An instance leaves its group: deregistration and the terminate hook first.
    pub(crate) fn begin_end(&mut self, host: HostNo) {
        let Some(instance) = self.cloud.instances.get_mut(&host) else { return };
        instance.phase = Phase::Terminating;
        self.measure.rolls.lost(host);
        instance.target = instance.target.map(|_| Health::Draining);
        let number = instance.group;
        let setup = &self.cloud.groups[number].setup;
        // A terminate hook starts only after the load balancer has let go.
        let wait = (setup.deregistration_seconds + setup.terminate_held()) * SECOND;
        if setup.terminate_held() > 0 {
            self.announce_terminating(host);
        }
        if self.fleet.cluster.is_none()
            && let Some(instance) = self.cloud.instances.get_mut(&host)
        {
            // Without a cluster the load balancer alone sends work, and it has stopped to.
            instance.works = false;
        }
        let wait = wait + SHUT_DOWN.draw(&mut self.rng.cloud);
        self.after(wait, Event::Ends(host));
        self.group_looks(number, REACTION.usual);
    }

    /// EC2 ends an instance, and its tasks with it.
    pub(crate) fn ends(&mut self, host: HostNo) {
        let Some(instance) = self.cloud.instances.get_mut(&host).filter(|one| !one.ended) else { return };
        instance.ended = true;
        instance.works = false;
        instance.target = None;
        let known = instance.phase == Phase::Terminating;
        let id = instance.id.clone();
        self.measure.rolls.lost(host);
        if let Some(request) = self.cloud.requests.get_mut(&id) {
            *request = (SpotCode::Gone, self.now);
        }
        self.announce_state(host, "shutting-down");
        if self.cluster.hosts.contains_key(&host) {
            self.cluster.set_status(host, HostStatus::Leaving, self.now);
            self.announce_host(host, "INACTIVE");
            self.cluster.remove_host(host);
            self.look_at_short_services();
        }
        let wait = if known { SECOND } else { HEALTH_CHECK.draw(&mut self.rng.cloud) };
        self.after(wait, Event::Missed(host));
    }

    /// The group has noticed that an instance is gone.
    pub(crate) fn missed(&mut self, host: HostNo) {
        self.announce_terminated(host);
        let Some(instance) = self.cloud.instances.remove(&host) else { return };
        let wait = REACTION.draw(&mut self.rng.cloud);
        self.group_looks(instance.group, wait);
    }

    /// One of the instances that work, by chance.
    pub(crate) fn any_working(&mut self, of: impl Fn(Purchase) -> bool) -> Option<HostNo> {
        let working = self.cloud.instances.iter().filter(|(_, one)| one.works && !one.doomed && of(one.purchase));
        let working: Vec<HostNo> = working.map(|(host, _)| *host).collect();
        (!working.is_empty()).then(|| working[self.rng.trouble.random_range(0..working.len())])
    }
}
