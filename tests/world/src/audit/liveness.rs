//! The auditor's rules about what must happen: nobody waits for it longer than is stated, whatever the functions say.
//!
//! Something is *owed* while it is true in the cloud that it should be done and is not. It is overdue when that was so for
//! the stated time without a break, and two turns of the function that owes it have begun since and gone well: with a
//! fault in each turn nobody gets anything done. Faults excuse no more than a quarter of an hour.

mod hosts;
mod rolls;
mod tiers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evenkeel_model::fleet::Fleet;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{FunctionName, InstanceId, PoolName};
use evenkeel_turn::{Budget, OutCause};

use crate::audit::Violation;
use crate::clock::{MINUTE, Ms, SECOND, seconds};
use crate::cloud::GroupNo;
use crate::cluster::{HostNo, ServiceNo};
use crate::core::Core;
use crate::setup::millis;
use crate::turns::Under;

/// The number of these rules among the invariants.
pub(super) const LIVENESS: u8 = 12;
/// Two ticks, and what the second turn takes.
const TWO_TICKS: Ms = 2 * MINUTE + A_TURN;
/// A turn ends so long after it began at the latest: its budget of ten seconds, and its last call.
const A_TURN: Ms = 12 * SECOND;
/// It is looked so often what is owed.
const LOOKS: Ms = 5 * SECOND;
/// Faults excuse this much more.
const EXCUSED: Ms = 15 * MINUTE;
/// A group without a cluster sees the end of an instance with its next health check.
const HEALTH_CHECK: Ms = MINUTE;
/// A pool that refused a launch is left in peace for a quarter of an hour at most, and until the next tick; one that is
/// at its quota for an hour.
const REFUSED: Ms = 16 * MINUTE;
const AT_QUOTA: Ms = 61 * MINUTE;
/// A host that was not taken after its notice takes tasks again after this.
const NOTICE_COUNTS: Ms = 5 * MINUTE;
/// A count that a person set is left alone for a minute, and until the next look.
const FOREIGN_COUNT: Ms = 150 * SECOND;
/// Without a roll in the file, a launch may take this long until nobody counts on it.
const PATIENCE: Ms = 15 * MINUTE;
/// After a failed placement, hosts are not counted on for a minute, and twice as long with each failure more.
const DISTRUST: (Ms, Ms) = (MINUTE, 30 * MINUTE);
/// A loss counts for so long at most.
const REPAID: Ms = 60 * MINUTE;

/// What may be owed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    /// A stand-in for what is missing; asked anew with each refusal.
    StandIn(Option<Ms>),
    /// Room that a tier wants and could have.
    Room(ServiceNo),
    /// Holes for a tier that fills them; asked anew with each that is taken.
    Holes(ServiceNo, u32),
    /// The roll's next wave; asked anew with each of its steps.
    Wave(Ms),
    /// The end of a drain.
    Drain(HostNo),
    /// A place in the budget of a host that is not out, or whose group is whole again.
    Place(InstanceId, bool),
    /// Places of losses that are made up for.
    Repaid,
    /// The removal of a mark.
    Mark(HostNo),
    /// A group's own capacity; asked anew with each step of a roll.
    Capacity(GroupNo, Ms),
}

/// Something that is owed.
struct Owed {
    duty: Duty,
    by: FunctionName,
    within: Ms,
    /// Nobody may do it before it was owed for so long.
    dwell: Ms,
    /// What is wrong when it is overdue.
    detail: String,
}

/// What a person asked of patchroll last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    verb: RollVerb,
    pool: Option<PoolName>,
    at: Ms,
}

/// What the auditor remembers to know what is owed.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    looked: Ms,
    /// Since when each thing has been owed, and whether that it is overdue was said.
    since: BTreeMap<Duty, (Ms, bool)>,
    /// When the newest two turns of each function began that went well.
    sound: BTreeMap<FunctionName, [Option<Ms>; 2]>,
    /// Functions that are switched off.
    off: BTreeSet<FunctionName>,
    /// When a function was last switched on again.
    on_again: BTreeMap<FunctionName, Ms>,
    /// Hosts that a function has told to drain: which, when, and how long they have.
    drains: BTreeMap<HostNo, (FunctionName, Ms, Ms)>,
    /// Hosts that a roll has told to drain and that take tasks again: it has given them up, or is stopped.
    spared: BTreeMap<HostNo, Ms>,
    /// Since when a host's agent is away.
    away: BTreeMap<HostNo, Ms>,
    /// Hosts that patchroll has ended, which their groups replace: when.
    ended: BTreeMap<GroupNo, Vec<Ms>>,
    /// The hosts that have a place in the budget.
    places: BTreeMap<InstanceId, (FunctionName, OutCause)>,
    /// What each service needed, over the last while.
    needs: BTreeMap<ServiceNo, VecDeque<(Ms, Option<u32>)>>,
    /// Placements that failed in the last hour, and the newest one known.
    failures: BTreeMap<ServiceNo, VecDeque<Ms>>,
    /// When a count was last set by a person, and when a service last had a need that nobody tells of.
    meddled: BTreeMap<ServiceNo, Ms>,
    odd: BTreeMap<ServiceNo, Ms>,
    /// What people want of rolls.
    asked: Option<Asked>,
    /// A roll was asked for, and has not been ended or come to its end since.
    sought: bool,
    /// When hosts were first found to be vulnerable, or not compliant: the roll that answers it replaces all that there are.
    found: Option<Ms>,
    /// Patchroll's last step.
    stepped: Ms,
    /// What the groups have by people's will; none until somebody looks.
    pub(super) own: BTreeMap<GroupNo, u32>,
    /// When a person last set a group's capacity.
    capacity_set: BTreeMap<GroupNo, Ms>,
    /// Since when a group has not had what it should have.
    broken: BTreeMap<GroupNo, Ms>,
    /// A roll is halted: a halt alarm fired, or others did not come, since somebody let it go on.
    halted: bool,
}

impl Liveness {
    /// A turn has ended.
    pub(crate) fn turn_ended(&mut self, function: FunctionName, under: &Under, held: bool) {
        if held && !under.killed && !under.faulted {
            let known = self.sound.entry(function).or_default();
            *known = [known[1], Some(under.began)];
        }
    }

    /// The budget was written.
    pub(super) fn budget(&mut self, budget: &Budget) {
        self.places = budget.outs.iter().map(|(id, out)| (id.clone(), (out.by, out.cause))).collect();
    }

    /// A person has set a service's count.
    pub(super) fn count_meddled(&mut self, service: ServiceNo, now: Ms) {
        self.meddled.insert(service, now);
    }

    /// A person wants a group to have so many hosts. Gives what was wanted before.
    pub(crate) fn capacity_meddled(&mut self, group: GroupNo, hosts: u32, now: Ms) -> Option<u32> {
        self.capacity_set.insert(group, now);
        self.own.insert(group, hosts)
    }

    /// A person asks patchroll for something.
    pub(crate) fn asked(&mut self, verb: RollVerb, pool: Option<&PoolName>, now: Ms) {
        match verb {
            RollVerb::Start | RollVerb::Resume => self.halted = false,
            RollVerb::Pause | RollVerb::Abort | RollVerb::Plan | RollVerb::Status => {}
        }
        match verb {
            RollVerb::Start => self.sought = true,
            RollVerb::Abort => self.sought = false,
            // Who pauses a roll or lets it go on asks for none.
            RollVerb::Resume | RollVerb::Pause | RollVerb::Plan | RollVerb::Status => {}
        }
        match verb {
            RollVerb::Plan | RollVerb::Status => {}
            RollVerb::Start | RollVerb::Resume | RollVerb::Pause | RollVerb::Abort => {
                // What is paused, let go on or ended is what was begun.
                let begun = self.asked.take().and_then(|asked| asked.pool);
                let pool = if verb == RollVerb::Start { pool.cloned() } else { begun };
                self.asked = Some(Asked { verb, pool, at: now });
            }
        }
    }

    /// Since when a host's agent is away, if it is.
    pub(super) fn away_since(&self, host: HostNo) -> Option<Ms> {
        self.away.get(&host).copied()
    }

    /// Hosts are found to be vulnerable, or not compliant.
    pub(crate) fn hosts_found(&mut self, now: Ms) {
        self.found.get_or_insert(now);
    }

    /// A message to patchroll was given up, or came while it was switched off: what it asked for is not known to anybody.
    pub(crate) fn unheard(&mut self) {
        self.asked = None;
    }

    /// Whether two turns of a function have begun since then and gone well.
    fn had_two_turns(&self, function: FunctionName, since: Ms) -> bool {
        self.sound.get(&function).and_then(|known| known[0]).is_some_and(|began| began >= since)
    }

    /// A person switches a function off, or on again.
    pub(crate) fn switched(&mut self, function: FunctionName, off: bool, now: Ms) {
        if off {
            self.off.insert(function);
        } else {
            self.off.remove(&function);
            self.on_again.insert(function, now);
        }
    }

    /// Whether nothing has woken a function since it was switched on again: its own beats have ceased, and come again with
    /// the next tick.
    fn waits_for_a_tick(&self, function: FunctionName, now: Ms) -> bool {
        self.on_again.get(&function).is_some_and(|at| now < (at / MINUTE + 1) * MINUTE)
    }

    pub(crate) fn is_off(&self, function: FunctionName) -> bool {
        self.off.contains(&function)
    }
}

impl Core {
    /// Looks what is owed, before time passes until `until` in which nothing happens.
    pub(crate) fn audit_liveness(&mut self, until: Ms) {
        if until < self.audit.liveness.looked + LOOKS {
            return;
        }
        self.audit.liveness.looked = until;
        self.note_history();
        self.note_places();
        let owed = self.owed();
        let now = self.now;
        let Self { audit, faults, .. } = self;
        let known = &mut audit.liveness.since;
        known.retain(|duty, _| owed.iter().any(|one| one.duty == *duty));
        let mut overdue = Vec::new();
        for Owed { duty, by, within, dwell, detail } in owed {
            let (since, said) = *audit.liveness.since.entry(duty.clone()).or_insert((now, false));
            let waited = until.saturating_sub(since);
            let excused =
                !audit.liveness.had_two_turns(by, since + dwell) && waited < within + EXCUSED && faults.are_any();
            if waited >= within && !excused && !said {
                audit.liveness.since.insert(duty, (since, true));
                overdue.push(format!("{detail}, for {} s; {} s are allowed", waited / SECOND, within / SECOND));
            }
        }
        for detail in overdue {
            self.audit.overdue.push(Violation { invariant: LIVENESS, at_seconds: seconds(until), detail });
        }
    }

    /// Notes what is not to be seen any more later.
    fn note_history(&mut self) {
        let now = self.now;
        let window = self.longest_window();
        for service in 0..self.fleet.services.len() {
            let needs = self.signals.known_needs(service);
            let known = self.audit.liveness.needs.entry(service).or_default();
            known.push_back((now, needs));
            while known.len() > 1 && known[1].0 + window < now {
                known.pop_front();
            }
            let found = &self.cluster.services[service];
            if found.hidden_need {
                self.audit.liveness.odd.insert(service, now);
            }
            if let Some(failed) = found.placement_failed {
                let known = self.audit.liveness.failures.entry(service).or_default();
                known.retain(|at| now - at <= REPAID);
                if known.back().is_none_or(|last| *last < failed) {
                    known.push_back(failed);
                }
            }
        }
        let away = self.cluster.hosts.iter().filter(|(_, host)| !host.seen.connected);
        let away: Vec<HostNo> = away.map(|(number, _)| *number).collect();
        let ready: Vec<(GroupNo, bool)> =
            (0..self.cloud.groups.len()).map(|group| (group, self.is_whole(group))).collect();
        let patience = patience(&self.fleet);
        // A roll ends with its section in the fleet file, and nobody asks for another by putting that back.
        let over = self.is_rolled() || self.fleet.patch.is_none();
        let halts = self.signals.halts.values().any(|(firing, _)| *firing)
            || self.fleet.patch.iter().flat_map(|patch| &patch.halt_alarms).any(|alarm| self.signals.fires(alarm));
        let Self { audit, cloud, cluster, .. } = self;
        let known = &mut audit.liveness;
        known.away.retain(|host, _| away.contains(host));
        for host in away {
            known.away.entry(host).or_insert(now);
        }
        for (group, whole) in ready {
            if whole {
                known.broken.remove(&group);
            } else {
                let since = *known.broken.entry(group).or_insert(now);
                known.halted |= now - since >= patience;
            }
        }
        known.halted |= halts;
        known.sought &= !over;
        for (group, found) in cloud.groups.iter().enumerate() {
            known.own.entry(group).or_insert(found.desired);
        }
        let drains =
            |host: &HostNo| cluster.hosts.get(host).is_some_and(|host| host.seen.status == HostStatus::Draining);
        known.drains.retain(|host, _| drains(host));
        known.spared.retain(|host, _| cloud.instances.contains_key(host));
        for ended in known.ended.values_mut() {
            ended.retain(|at| now - at <= patience);
        }
    }

    /// Whether nothing can be expected of a function: it is switched off, or the fleet file has it observe only.
    fn rests(&self, function: FunctionName) -> bool {
        self.audit.liveness.is_off(function) || self.fleet.observes(function)
    }

    /// Everything that is owed now.
    fn owed(&self) -> Vec<Owed> {
        let mut owed: Vec<Owed> = Vec::new();
        owed.extend(self.stand_in());
        owed.extend((0..self.fleet.services.len()).filter_map(|service| self.room(service)));
        owed.extend(self.next_wave());
        owed.extend(self.ends_of_drains());
        owed.extend(self.places());
        owed.extend(self.marks());
        owed.extend(self.capacities());
        owed.retain(|one| !self.rests(one.by));
        owed
    }

    /// A function has told hosts to drain, or to take tasks again.
    pub(crate) fn watch_status(&mut self, function: FunctionName, hosts: &[InstanceId], status: HostStatus) {
        let now = self.now;
        let allowed = match function {
            FunctionName::Patchroll => self.fleet.patch.as_ref().map(|patch| millis(patch.drain_timeout)),
            FunctionName::Backfill => {
                self.fleet.backfill.as_ref().map(|policy| millis(policy.drain_timeout).max(NOTICE_COUNTS))
            }
            FunctionName::Microscale => None,
        };
        let numbers: Vec<HostNo> = hosts.iter().filter_map(|id| self.cloud.number(id)).collect();
        let known = &mut self.audit.liveness;
        for number in numbers {
            if status == HostStatus::Active {
                known.drains.remove(&number);
                if function == FunctionName::Patchroll {
                    known.spared.insert(number, now);
                }
            } else {
                known.drains.entry(number).or_insert((function, now, allowed.unwrap_or(0)));
            }
        }
        self.watch_step(function);
    }

    /// A function has ended a host.
    pub(crate) fn watch_end(&mut self, function: FunctionName, group: GroupNo, shrink: bool) {
        let now = self.now;
        if function == FunctionName::Patchroll && !shrink {
            self.audit.liveness.ended.entry(group).or_default().push(now);
        }
        self.watch_step(function);
    }

    /// A function has taken a step about hosts.
    pub(crate) fn watch_step(&mut self, function: FunctionName) {
        if function == FunctionName::Patchroll {
            self.audit.liveness.stepped = self.now;
        }
    }
}

/// How long a launch may take until nobody counts on it.
fn patience(fleet: &Fleet) -> Ms {
    fleet.patch.as_ref().map_or(PATIENCE, |patch| millis(patch.replace_timeout))
}
