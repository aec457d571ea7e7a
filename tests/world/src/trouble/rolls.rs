//! Trouble around rolls: versions are published and rolls asked for, and people and other systems get in their way.

use evenkeel_model::AlarmName;
use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::Process;
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{Resources, Room};
use rand::RngExt;

use crate::clock::{MINUTE, Ms, SECOND};
use crate::cloud::{GroupNo, HostKind};
use crate::cluster::{HostNo, ServiceNo, SimHost};
use crate::core::{Core, Event};
use crate::trouble::Trouble;

/// One thing that happens around rolls, or ends again.
#[derive(Debug, Clone)]
pub(crate) enum RollTrouble {
    /// Draw the next one.
    Next,
    /// A person asks for something.
    Ask(RollVerb),
    /// A bad version is withdrawn: a sound one is published, and the roll onto the bad one ended.
    Mend(GroupNo),
    /// Somebody else's instance refresh is cancelled.
    EndRefresh(GroupNo),
    /// A process is resumed.
    Unsuspend(GroupNo, Process),
    /// A service's tasks may be stopped again.
    Unprotect(ServiceNo),
    /// A halt alarm is quiet again, and somebody lets the roll go on.
    Quiet(AlarmName),
    /// A group's capacity is what it was.
    Capacity(GroupNo, u32),
}

impl Core {
    /// The first trouble around rolls, where there are any.
    pub(crate) fn begin_roll_trouble(&mut self) {
        if self.faults.trouble && self.fleet.patch.is_some() {
            let wait = self.rng.rolls.random_range(MINUTE..5 * MINUTE);
            self.after(wait, Event::Trouble(Trouble::Roll(RollTrouble::Next)));
        }
    }

    pub(crate) fn roll_trouble(&mut self, trouble: RollTrouble) {
        match trouble {
            RollTrouble::Next => {
                self.make_roll_trouble();
                let wait = self.rng.rolls.random_range(MINUTE..7 * MINUTE);
                self.after(wait, Event::Trouble(Trouble::Roll(RollTrouble::Next)));
            }
            RollTrouble::Ask(verb) => self.ask_for_roll(verb, None),
            RollTrouble::Mend(group) => {
                self.ask_for_roll(RollVerb::Abort, None);
                self.publish(group, HostKind::Sound);
            }
            RollTrouble::EndRefresh(group) => self.end_refresh(group, "Cancelled"),
            RollTrouble::Unsuspend(group, process) => self.resume_process(group, process),
            RollTrouble::Unprotect(service) => self.protect_tasks_of(service, false),
            RollTrouble::Quiet(alarm) => {
                self.set_halt_alarm(&alarm, false);
                self.ask_for_roll(RollVerb::Resume, None);
            }
            RollTrouble::Capacity(group, hosts) => self.meddle_with_capacity(group, hosts),
        }
    }

    fn make_roll_trouble(&mut self) {
        let groups = self.cloud.groups.len();
        let group = self.rng.rolls.random_range(0..groups.max(1));
        // Rolls take a while: what gets in their way is no use without one.
        let kind = if self.measure.rolls.list.is_empty() { 0 } else { self.rng.rolls.random_range(0..16) };
        match kind {
            0..=3 => {
                let all: Vec<GroupNo> = if kind == 3 { vec![group] } else { (0..groups).collect() };
                for group in all {
                    self.publish(group, HostKind::Sound);
                }
                self.ask_for_roll(RollVerb::Start, None);
            }
            4 => {
                self.publish(group, HostKind::Sound);
            }
            5 => self.for_a_while(RollTrouble::Ask(RollVerb::Resume), |core| {
                core.ask_for_roll(RollVerb::Pause, None);
            }),
            6 => self.ask_for_roll(RollVerb::Abort, None),
            7 => self.for_a_while(RollTrouble::EndRefresh(group), |core| core.begin_refresh(group)),
            8 | 9 => {
                let process = if kind == 8 { Process::Launch } else { Process::Terminate };
                self.for_a_while(RollTrouble::Unsuspend(group, process), |core| {
                    core.cloud.groups[group].suspended.insert(process);
                });
            }
            10 => self.leave_a_task(),
            11 => {
                let services = self.cluster.services.len();
                let service = self.rng.rolls.random_range(0..services.max(1));
                self.for_a_while(RollTrouble::Unprotect(service), |core| core.protect_tasks_of(service, true));
            }
            12 => {
                let Some(alarm) = self.signals.halts.keys().next().cloned() else { return };
                self.for_a_while(RollTrouble::Quiet(alarm.clone()), |core| core.set_halt_alarm(&alarm, true));
            }
            13 => self.bend_capacity(group),
            14 => {
                let kind = if group % 2 == 0 { HostKind::NeverHealthy } else { HostKind::NeverJoins };
                self.publish(group, kind);
                self.ask_for_roll(RollVerb::Start, None);
                let wait = self.rng.rolls.random_range(5 * MINUTE..20 * MINUTE);
                self.after(wait, Event::Trouble(Trouble::Roll(RollTrouble::Mend(group))));
            }
            _ => self.announce_finding(group, true),
        }
    }

    /// Does something, and what ends it after some minutes.
    fn for_a_while(&mut self, end: RollTrouble, begin: impl FnOnce(&mut Self)) {
        begin(self);
        let wait: Ms = self.rng.rolls.random_range(20 * SECOND..6 * MINUTE);
        self.after(wait, Event::Trouble(Trouble::Roll(end)));
    }

    /// A person changes a group's size by one, and changes it back. On-demand pools are backfill's.
    fn bend_capacity(&mut self, group: GroupNo) {
        let Some(found) = self.cloud.groups.get(group).filter(|found| found.purchase != Purchase::OnDemand) else {
            return;
        };
        let now = found.desired;
        let other = if now > 1 && self.rng.rolls.random_range(0..2) == 0 { now - 1 } else { now + 1 };
        self.for_a_while(RollTrouble::Capacity(group, now), |core| core.meddle_with_capacity(group, other));
    }

    /// A task that belongs to no service runs on a host for some minutes; draining does not move it.
    fn leave_a_task(&mut self) {
        let hosts: Vec<HostNo> = self.cluster.hosts.keys().copied().collect();
        let chosen = self.rng.rolls.random_range(0..hosts.len().max(1));
        let Some(host) = hosts.get(chosen).copied() else { return };
        let takes = Resources::new(64, 64);
        let takes_it = |host: &SimHost| host.seen.takes_tasks() && host.placeable().times(takes) > 0;
        let fits = self.cluster.hosts.get(&host).is_some_and(takes_it);
        if fits {
            let task = self.cluster.add_task(host, None, Room::from(takes), self.now);
            self.advance_agent(host);
            let wait = self.rng.rolls.random_range(MINUTE..15 * MINUTE);
            self.after(wait, Event::Trouble(Trouble::AloneEnds(task)));
        }
    }
}
