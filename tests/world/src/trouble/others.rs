//! Trouble with everything around a fleet: zones, warnings in vain, late news, alarms and metrics that are gone, edited files,
//! functions that are switched off, limits, images and versions that are deleted, and clocks that jump.

use evenkeel_model::FunctionName;
use evenkeel_model::fleet::Purchase;
use rand::RngExt;

use crate::clock::{MINUTE, Ms};
use crate::cloud::{GroupNo, HostKind, Instance};
use crate::cluster::{HostNo, ServiceNo};
use crate::core::{Core, Event};
use crate::trouble::Trouble;

/// One thing that befalls the fleet, or ends again.
#[derive(Debug, Clone)]
pub(crate) enum Mishap {
    /// Draw the next one.
    Next,
    /// A zone is there again.
    Zone(evenkeel_model::Zone),
    /// An alarm is made again.
    Alarm(evenkeel_model::AlarmName),
    /// A metric has points again.
    Metric(ServiceNo),
    /// The fleet file is what it was.
    File(String),
    /// A function is switched on again.
    Function(FunctionName),
    /// A group may have as many as before.
    Max(GroupNo, u32),
    /// A sound version is published.
    Version(GroupNo),
    /// A clock is right again.
    Clock(FunctionName),
}

impl Core {
    /// The first mishap, where there is trouble.
    pub(crate) fn begin_mishaps(&mut self) {
        if self.faults.mishaps {
            self.next_mishap();
        }
    }

    fn next_mishap(&mut self) {
        let wait = self.rng.mishaps.random_range(4 * MINUTE..25 * MINUTE);
        self.after(wait, Event::Trouble(Trouble::Mishap(Mishap::Next)));
    }

    pub(crate) fn mishap(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Next => {
                self.make_mishap();
                self.next_mishap();
            }
            Mishap::Zone(zone) => self.restore_zone(&zone),
            Mishap::Alarm(alarm) => self.signals.delete(&alarm, false),
            Mishap::Metric(service) => self.stop_metric(service, false),
            Mishap::File(text) => self.edit_file(&text),
            Mishap::Function(function) => self.audit.liveness.switched(function, false, self.now),
            Mishap::Max(group, most) => self.set_max(group, most),
            Mishap::Version(group) => {
                self.publish(group, HostKind::Sound);
            }
            Mishap::Clock(function) => {
                self.skew.remove(&function);
            }
        }
    }

    fn make_mishap(&mut self) {
        let group = self.rng.mishaps.random_range(0..self.cloud.groups.len().max(1));
        let service = self.rng.mishaps.random_range(0..self.fleet.services.len().max(1));
        let functions = self.functions();
        let function = functions.get(self.rng.mishaps.random_range(0..functions.len().max(1))).copied();
        let wait: Ms = self.rng.mishaps.random_range(2 * MINUTE..25 * MINUTE);
        match (self.rng.mishaps.random_range(0..11), function) {
            (0, _) => {
                let zones = &self.cloud.groups[group].setup.zones;
                let Some(zone) = zones.get(self.rng.mishaps.random_range(0..zones.len().max(1))).cloned() else {
                    return;
                };
                self.lose_zone(&zone);
                self.ends_after(wait, Mishap::Zone(zone));
            }
            (1, _) => {
                let spot = |one: &Instance| one.works && one.purchase == Purchase::Spot;
                let hosts: Vec<HostNo> =
                    self.cloud.instances.iter().filter(|(_, one)| spot(one)).map(|(host, _)| *host).collect();
                if let Some(host) = hosts.get(self.rng.mishaps.random_range(0..hosts.len().max(1))) {
                    self.warn_in_vain(*host);
                }
            }
            (2, _) => self.late = Some((self.now + wait, self.rng.mishaps.random_range(10 * MINUTE..180 * MINUTE))),
            (3, _) => {
                let Some(alarm) = self.signals.any_alarm(service) else { return };
                self.signals.delete(&alarm, true);
                self.ends_after(wait, Mishap::Alarm(alarm));
            }
            (4, _) if service < self.fleet.services.len() => {
                self.stop_metric(service, true);
                self.ends_after(wait, Mishap::Metric(service));
            }
            (5, Some(function)) => {
                self.audit.liveness.switched(function, true, self.now);
                self.ends_after(wait, Mishap::Function(function));
            }
            (6, _) => {
                let most = self.cloud.groups[group].max;
                let lower = self.rng.mishaps.random_range(0..=most);
                self.set_max(group, lower);
                self.ends_after(wait, Mishap::Max(group, most));
            }
            (7, _) => {
                self.cloud.deregister(group);
                self.ends_after(wait, Mishap::Version(group));
            }
            (8, _) => {
                let now = self.now;
                self.cloud.delete_version(group, now);
            }
            (9, Some(function)) => {
                let by = self.rng.mishaps.random_range(-30_000_i64..30_000);
                self.skew.insert(function, by);
                self.ends_after(wait, Mishap::Clock(function));
            }
            (10, _) => self.edit_some_of_the_file(wait),
            (_, _) => {}
        }
    }

    fn ends_after(&mut self, wait: Ms, end: Mishap) {
        self.after(wait, Event::Trouble(Trouble::Mishap(end)));
    }

    /// Somebody takes a section or a service out of the file, gives a pool or the fleet another name, or writes nonsense; later
    /// it is as it was.
    fn edit_some_of_the_file(&mut self, wait: Ms) {
        let text = self.fleet_text.clone();
        let Ok(mut file) = serde_json::from_str::<serde_json::Value>(&text) else { return };
        let pools = file["pool"].as_array().map_or(0, Vec::len);
        let pool = self.rng.mishaps.random_range(0..pools.max(1));
        match self.rng.mishaps.random_range(0..6) {
            0 => drop(file.as_object_mut().and_then(|file| file.remove("patch"))),
            1 => drop(file.as_object_mut().and_then(|file| file.remove("backfill"))),
            2 => file["pool"][pool]["name"] = "renamed".into(),
            3 if pools > 1 => drop(file["pool"].as_array_mut().map(|pools| pools.remove(pool))),
            4 => file["name"] = "somebody-elses".into(),
            _ => file["hosts"] = "many".into(),
        }
        self.edit_file(&file.to_string());
        self.ends_after(wait, Mishap::File(text));
    }
}
