//! What else befalls a fleet, each as a knob for stories and for the random worlds: zones, markets and clocks that do odd
//! things, and people who edit, delete, limit and switch off.

use std::sync::Arc;

use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::groups::SpotCode;
use evenkeel_model::{AlarmName, FunctionName, InstanceId, PoolName, ServiceName, Zone};

use crate::clock::{Ms, SECOND};
use crate::cloud::GroupNo;
use crate::cluster::{HostNo, ServiceNo};
use crate::core::{Core, Event};
use crate::sim::World;
use crate::trouble::Trouble;

/// A host that was warned and not taken is known to stay after this.
const SPARED_AFTER: Ms = 300 * SECOND;

impl Core {
    /// Everything in a zone ends at once, and nothing is launched there until it is back.
    pub(crate) fn lose_zone(&mut self, zone: &Zone) {
        self.cloud.lost_zones.insert(zone.clone());
        let there = self.cloud.instances.iter().filter(|(_, one)| one.zone.as_ref() == Some(zone) && !one.ended);
        let hosts: Vec<HostNo> = there.map(|(host, _)| *host).collect();
        for host in hosts {
            self.fail(host);
        }
    }

    /// A zone is there again.
    pub(crate) fn restore_zone(&mut self, zone: &Zone) {
        self.cloud.lost_zones.remove(zone);
    }

    /// The market warns of taking a host, and does not take it.
    pub(crate) fn warn_in_vain(&mut self, host: HostNo) {
        let (now, missing, units) = (self.now, self.misses_more(), self.units_of(host));
        let Some(one) = self.cloud.instances.get_mut(&host).filter(|one| !one.doomed && !one.ended) else { return };
        one.doomed = true;
        let (works, id) = (one.works, one.id.clone());
        if works {
            self.measure.losses.lost(host, true, units, missing, now);
        }
        self.cloud.note_request(&id, SpotCode::Marked, now);
        self.announce_warning(host);
        self.after(SPARED_AFTER, Event::Trouble(Trouble::Spared(host)));
    }

    /// A host whose notice came to nothing is like any other again.
    pub(crate) fn spared(&mut self, host: HostNo) {
        let now = self.now;
        let Some(one) = self.cloud.instances.get_mut(&host).filter(|one| !one.ended) else { return };
        one.doomed = false;
        let id = one.id.clone();
        self.measure.losses.spared(host);
        self.cloud.note_request(&id, SpotCode::Fulfilled, now);
    }

    /// Somebody lowers what a group may have at most; what it has beyond that goes (UpdateAutoScalingGroup).
    pub(crate) fn set_max(&mut self, group: GroupNo, most: u32) {
        let found = &mut self.cloud.groups[group];
        found.max = most.max(found.setup.min);
        if found.desired > found.max {
            let hosts = found.max;
            self.meddle_with_capacity(group, hosts);
        }
    }

    /// Replaces the fleet file's text. What the file no longer names is nobody's; the world itself stays as it is.
    pub(crate) fn edit_file(&mut self, text: &str) {
        text.clone_into(&mut self.fleet_text);
        let Ok(edited) =
            fleet::read(text.as_bytes(), Format::Toml).or_else(|_| fleet::read(text.as_bytes(), Format::Json))
        else {
            return; // the last good file stays in force
        };
        if edited.name != self.fleet.name {
            return;
        }
        // The world knows groups and services by their places, which no file changes.
        let mut known = Fleet::clone(&self.fleet);
        known.beat = edited.beat;
        (known.mode, known.microscale) = (edited.mode, edited.microscale);
        known.hosts = edited.hosts;
        known.backfill.clone_from(&edited.backfill);
        known.patch.clone_from(&edited.patch);
        known.disruption = edited.disruption;
        self.fleet = Arc::new(known);
        self.audit.file_edited(Arc::new(edited), self.now);
    }

    /// A service's metric has no points from now on, or has them again; an application sends nothing meanwhile.
    pub(crate) fn stop_metric(&mut self, service: ServiceNo, stops: bool) {
        self.signals.stop(service, stops);
    }
}

/// What else may happen. What the fleet does not have is passed over.
impl World {
    /// A zone is lost, or is there again.
    pub fn lose_zone(&mut self, zone: &Zone, lost: bool) {
        let mut core = self.lock();
        if lost { core.lose_zone(zone) } else { core.restore_zone(zone) }
    }

    /// The market warns of taking a host and does not.
    pub fn warn_in_vain(&mut self, host: &InstanceId) {
        let mut core = self.lock();
        if let Some(number) = core.cloud.number(host) {
            core.warn_in_vain(number);
        }
    }

    /// What AWS says from now on until then is so late.
    pub fn delay_events(&mut self, until: Ms, late: Ms) {
        self.lock().late = Some((until, late));
    }

    /// An alarm is deleted, or made again.
    pub fn delete_alarm(&mut self, alarm: &AlarmName, deleted: bool) {
        self.lock().signals.delete(alarm, deleted);
    }

    /// A service's metric has no points from now on, or has them again.
    pub fn stop_metric(&mut self, service: &ServiceName, stops: bool) {
        let mut core = self.lock();
        if let Some(number) = core.service_no(service) {
            core.stop_metric(number, stops);
        }
    }

    /// The fleet file's text as it is now.
    #[must_use]
    pub fn fleet_text(&self) -> String {
        self.lock().fleet_text.clone()
    }

    /// Somebody edits the fleet file.
    pub fn edit_fleet(&mut self, text: &str) {
        self.lock().edit_file(text);
    }

    /// What a pool's group may have at most is set.
    pub fn set_max(&mut self, pool: &PoolName, most: u32) {
        let mut core = self.lock();
        let found = core.cloud.groups.iter().position(|group| group.pool == *pool);
        if let Some(group) = found {
            core.set_max(group, most);
        }
    }

    /// Somebody deregisters the image that a pool launches: nothing can be launched from it any more.
    pub fn deregister_image(&mut self, pool: &PoolName) {
        let mut core = self.lock();
        let found = core.cloud.groups.iter().position(|group| group.pool == *pool);
        if let Some(group) = found {
            core.cloud.deregister(group);
        }
    }

    /// Somebody deletes the newest version of a pool's launch template, where another is left.
    pub fn delete_version(&mut self, pool: &PoolName) {
        let mut core = self.lock();
        let (now, found) = (core.now, core.cloud.groups.iter().position(|group| group.pool == *pool));
        if let Some(group) = found {
            core.cloud.delete_version(group, now);
        }
    }

    /// The functions may not read a pool's launch template any more, or may again.
    pub fn deny_template(&mut self, pool: &PoolName, denied: bool) {
        let mut core = self.lock();
        let Some(found) = core.cloud.groups.iter().position(|group| group.pool == *pool) else { return };
        let template = core.cloud.groups[found].template.id.clone();
        if denied {
            core.cloud.templates.denied.insert(template);
        } else {
            core.cloud.templates.denied.remove(&template);
        }
    }

    /// The clock that a function reads jumps by so much, forwards or back.
    pub fn jump_clock(&mut self, function: FunctionName, by: i64) {
        self.lock().skew.insert(function, by);
    }
}
