//! What each on-demand pool should launch: the first that gives, past those that refused lately.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_model::decision::{HostStep, HostWhy, LossCause, Need, Planned, Step, Why};
use evenkeel_model::fleet::{Backfill, Pool, Purchase};
use evenkeel_model::groups::{Group, Process, Refusal, RefusalKind};
use evenkeel_model::report::{HostWait, Report, Wait};
use evenkeel_model::{InstanceId, Timestamp, Zone};
use evenkeel_turn::Given;

use crate::hosts::Hosts;
use crate::judge::Standing;
use crate::seen::Seen;
use crate::state::{HostMemory, PoolMemory, Refused, State, Untold};

/// Pauses after launches that were refused for want of capacity. A group left alone retries some thirteen times in the
/// first hour; with these, and the capacity taken back in between, it is refused at most nine times.
const PAUSES: [Duration; 3] = [Duration::from_secs(300), Duration::from_secs(600), Duration::from_secs(900)];
/// A quota is raised by people.
const QUOTA_PAUSE: Duration = Duration::from_secs(3_600);
/// After somebody else lowered a capacity, it is not lowered for this long.
const FOREIGN_HOLD: Duration = Duration::from_secs(60);
/// A group that spans several zones tries the others within seconds; after so long it has.
const OTHER_ZONES: Duration = Duration::from_secs(60);
/// A group that was told to launch shows an instance, or a refusal, within seconds.
const LAUNCHES_WITHIN: Duration = Duration::from_secs(120);
/// A pool that could not be told to launch for so long is not counted on.
const TOLD_WITHIN: Duration = Duration::from_secs(45);
/// So many hosts in a row that never join are no accident.
const MOST_STRAYS: u32 = 10;
/// What they are launched from is mended by people.
const STRAYS_PAUSE: Duration = Duration::from_secs(3_600);

/// An on-demand pool.
pub(crate) struct Supply<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) group: &'a Group,
    /// Hosts that are there or launching, and not being given back.
    pub(crate) there: u32,
    /// Of those, hosts that are not counted on: lost while their group keeps them.
    lost: u32,
    /// Of those, hosts that should have joined by now.
    late: u32,
    /// Hosts that the group should have launched and has not yet.
    pub(crate) unborn: u32,
    /// It gives none now.
    closed: bool,
    /// Its newest refusal was not known before.
    fresh: Option<(RefusalKind, String)>,
    foreign: bool,
}

impl Supply<'_> {
    /// Capacity units that are there or on their way.
    pub(crate) const fn units(&self) -> u32 {
        (self.there + self.unborn) * self.pool.units
    }

    /// Those of them that are not counted on.
    pub(crate) const fn idle(&self) -> u32 {
        (self.lost + self.late) * self.pool.units
    }
}

/// The on-demand pools, and what is new about them.
pub(crate) fn sources<'a>(
    given: &Given<'_, State>,
    policy: &Backfill,
    seen: &Seen,
    hosts: &Hosts<'a>,
    state: &mut State,
    report: &mut Report,
) -> Vec<Supply<'a>> {
    let now = given.now;
    let own = hosts.groups.iter().filter(|(pool, _)| pool.purchase == Purchase::OnDemand);
    own.filter_map(|(pool, group)| {
        let group = group.filter(|group| group.scaled_by.is_none())?;
        let count = |of: &dyn Fn(&InstanceId, &HostMemory) -> bool| {
            let own = group.staying().filter_map(|member| Some((&member.id, state.hosts.get(&member.id)?)));
            u32::try_from(own.filter(|(id, memory)| of(id, memory)).count()).unwrap_or(u32::MAX)
        };
        let there = count(&|_, memory| memory.leaving.is_none());
        let is_lost = |memory: &HostMemory| memory.loss.is_some_and(|loss| loss.cause == LossCause::AgentAway);
        let lost = count(&|_, memory| memory.leaving.is_none() && is_lost(memory));
        let is_late = |id: &InstanceId, memory: &HostMemory| {
            let out = hosts.all.get(id).is_some_and(|kept| kept.standing == Standing::Out);
            out && given.fleet.cluster.is_some() && !memory.joined && memory.loss.is_none() && memory.leaving.is_none()
        };
        let late = count(&is_late);
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let unborn = group.desired.saturating_sub(staying);
        let memory = state.groups.entry(group.name.clone()).or_default();
        let foreign = memory.is_foreign(pool, group.desired, now, policy.release_after, report);
        memory.try_again(given.board.retried);
        memory.awaits_since = (unborn > 0 && memory.awaits).then(|| memory.awaits_since.unwrap_or(now));
        let refusals = seen.refusals.get(&group.name).map_or(&[][..], Vec::as_slice);
        let fresh = memory.note_refusals(refusals, group, now);
        let closed = memory.is_closed(pool, group, late, now, report);
        Some(Supply { pool, group, there, lost, late, unborn, closed, fresh, foreign })
    })
    .collect()
}

impl PoolMemory {
    /// Whether somebody else set the capacity a moment ago. What was raised is left as long as a stand-in's dwell.
    fn is_foreign(&mut self, pool: &Pool, found: u32, now: Timestamp, dwell: Duration, report: &mut Report) -> bool {
        if !self.expected.is_empty() && !self.expected.contains(&found) {
            let wrote = self.expected.last().copied().unwrap_or(0);
            let raised = found > wrote;
            self.foreign_until = Some(now + if raised { dwell } else { FOREIGN_HOLD });
            self.theirs = if raised { found } else { 0 };
            report.waits.push(Wait::Host(HostWait::ForeignCapacity { pool: pool.name.clone(), wrote, found }));
        }
        self.expected = [found].into();
        self.foreign_until = self.foreign_until.filter(|until| *until > now);
        if let (Some(until), hosts @ 1..) = (self.foreign_until, self.theirs) {
            report.waits.push(Wait::Host(HostWait::LeftToOthers { pool: pool.name.clone(), hosts, until }));
        }
        self.foreign_until.is_some()
    }

    /// Somebody asked at `asked` that it be tried again: what it refused before then counts no more.
    fn try_again(&mut self, asked: Option<Timestamp>) {
        if let (Some(asked), Some(refused)) = (asked, &mut self.refused)
            && asked >= refused.at
        {
            refused.until = refused.until.min(asked);
            self.rests_until = self.rests_until.filter(|until| *until < asked);
        }
    }

    /// Capacity that somebody else set and that is left alone now.
    pub(crate) const fn left_to_others(&self) -> u32 {
        if self.foreign_until.is_some() { self.theirs } else { 0 }
    }

    /// Whether the pool gives nothing now, and says why.
    fn is_closed(&self, pool: &Pool, group: &Group, late: u32, now: Timestamp, report: &mut Report) -> bool {
        let pool = pool.name.clone();
        if let Some(Refused { message, until, .. }) = self.refused.as_ref().filter(|refused| refused.until > now) {
            let because = message.clone();
            report.waits.push(Wait::Host(HostWait::Refused { pool, because, until: *until }));
        } else if group.suspended.contains(&Process::Launch) {
            report.waits.push(Wait::Host(HostWait::Suspended { pool }));
        } else if late > 0 {
            report.waits.push(Wait::Host(HostWait::Overdue { pool, hosts: late }));
        } else {
            return false;
        }
        true
    }

    /// Takes note of a refusal that is newer than the known ones and than the last raise, or of launches that nothing is
    /// seen of.
    fn note_refusals(&mut self, refusals: &[Refusal], group: &Group, now: Timestamp) -> Option<(RefusalKind, String)> {
        let known = self.refused.as_ref().map_or(Timestamp::MIN, |refused| refused.at);
        let raised = self.raised.unwrap_or(Timestamp::MIN);
        let new = || refusals.iter().filter(|refusal| refusal.at > known && refusal.at >= raised);
        let newest = match new().max_by_key(|one| one.at) {
            Some(_) if has_other_zones(new(), group, now) => return None,
            Some(newest) => newest.clone(),
            None => {
                let waited = now.duration_since(self.awaits_since?).unsigned_abs();
                let message = format!("nothing was launched in {} s", waited.as_secs());
                let silent = waited >= LAUNCHES_WITHIN && self.refused.as_ref().is_none_or(|one| one.until <= now);
                silent.then_some(Refusal { at: now, kind: RefusalKind::Other, message, zone: None })?
            }
        };
        let Refusal { at, kind, message, zone: _ } = newest;
        self.refuse(at, kind, &message, now);
        Some((kind, message))
    }

    /// Leaves the pool in peace for a while, longer each time.
    fn refuse(&mut self, at: Timestamp, kind: RefusalKind, message: &str, now: Timestamp) {
        let tries = self.refused.as_ref().map_or(0, |refused| refused.tries) + 1;
        let pause = match kind {
            RefusalKind::Quota => QUOTA_PAUSE,
            RefusalKind::Capacity | RefusalKind::Other => {
                PAUSES[usize::try_from(tries - 1).unwrap_or(0).min(PAUSES.len() - 1)]
            }
        };
        self.awaits_since = None;
        let message = message.to_owned();
        self.refused = Some(Refused { at, kind, message, until: now + pause, tries, joins: false });
    }

    /// A host of the pool never joined the cluster: others are tried before the next of its kind.
    pub(crate) fn note_stray(&mut self, id: &InstanceId, runs: Option<String>, now: Timestamp) {
        self.strays += 1;
        self.stray_runs = runs;
        self.refuse(now, RefusalKind::Other, &format!("{id} did not join the cluster"), now);
        let rests = self.strays >= MOST_STRAYS;
        if rests {
            self.rests_until = Some(now + STRAYS_PAUSE);
        }
        if let Some(refused) = &mut self.refused {
            refused.joins = true;
            refused.until = self.rests_until.map_or(refused.until, |until| until.max(refused.until));
        }
    }

    /// Whether too many hosts in a row never joined for another to be tried now; says what they run.
    pub(crate) fn rests(&self, pool: &Pool, now: Timestamp) -> Option<HostWait> {
        let until = self.rests_until.filter(|until| *until > now)?;
        let runs = self.stray_runs.clone().unwrap_or_else(|| "something that is not known".to_owned());
        Some(HostWait::NeverJoin { pool: pool.name.clone(), hosts: self.strays, runs, until })
    }
}

/// Whether a group that was refused for want of capacity spans zones that have not refused it yet, and had no time to
/// try them.
fn has_other_zones<'r>(new: impl Iterator<Item = &'r Refusal> + Clone, group: &Group, now: Timestamp) -> bool {
    let refused: BTreeSet<&Zone> = new.clone().filter_map(|refusal| refusal.zone.as_ref()).collect();
    let by_zone = new.clone().all(|refusal| refusal.kind == RefusalKind::Capacity && refusal.zone.is_some());
    let first = new.map(|refusal| refusal.at).min();
    let in_time = first.is_some_and(|first| now.duration_since(first).unsigned_abs() < OTHER_ZONES);
    by_zone && in_time && group.zones.iter().any(|zone| !refused.contains(zone))
}

/// The steps that bring the pools to `need`; `kept` units are there for a dwell although nothing needs them now, and never
/// are there more than `most`.
pub(crate) fn capacities(
    sources: &[Supply<'_>],
    need: &Need,
    kept: u32,
    most: u32,
    state: &mut State,
    now: Timestamp,
    report: &mut Report,
) -> Vec<Planned> {
    let firm: u32 = sources.iter().map(|source| source.there * source.pool.units).sum();
    let idle: u32 = sources.iter().map(Supply::idle).sum();
    let mut missing = need.on_demand.saturating_sub(firm.saturating_sub(idle));
    let mut spare = kept.saturating_sub(firm);
    let mut space = most.saturating_sub(firm);
    let mut steps = Vec::new();
    for source in sources {
        let Supply { pool, group, there: _, lost: _, late: _, unborn, closed, fresh, foreign } = source;
        let memory = state.groups.entry(group.name.clone()).or_default();
        let staying = group.desired - unborn;
        let room = group.max.saturating_sub(staying);
        // What is on its way stays as long as the dwell would keep it.
        let stay = (*unborn).min(spare.div_ceil(pool.units));
        let asked = missing.div_ceil(pool.units).max(stay).min(room).min(space / pool.units);
        let launches = if *closed { 0 } else { asked };
        let untold = memory.untold.clone().filter(|_| launches > *unborn);
        // One that cannot be told is told again, and others are asked as if it were not there.
        let counts = untold.as_ref().is_none_or(|untold| now.duration_since(untold.since).unsigned_abs() < TOLD_WITHIN);
        if counts {
            space -= launches * pool.units;
            missing = missing.saturating_sub(launches * pool.units);
            spare = spare.saturating_sub(launches * pool.units);
        }
        // A group that may not have fewer keeps asking, whoever refuses.
        let target = (staying + launches).max(group.min.min(group.desired));
        match untold {
            Some(Untold { since, because }) => {
                report.waits.push(Wait::Host(HostWait::NotTold { pool: pool.name.clone(), because, since }));
            }
            None if launches > 0 => {
                let (hosts, pool) = (launches, pool.name.clone());
                report.waits.push(Wait::Host(HostWait::Coming { hosts, pool }));
            }
            None => memory.untold = None,
        }
        memory.awaits = launches > 0;
        if target == group.desired || (*foreign && target < group.desired) {
            continue;
        }
        if target > group.desired {
            memory.raised = Some(now);
        }
        memory.expected.insert(target);
        let why = match (target > group.desired, fresh, &memory.refused) {
            (true, _, _) => HostWhy::Short(*need),
            (false, Some((kind, message)), Some(refused)) => {
                HostWhy::Refused { kind: *kind, message: message.clone(), until: refused.until }
            }
            (false, _, _) => HostWhy::NotNeeded,
        };
        let (from, to) = (group.desired, target);
        let step = HostStep::SetCapacity { pool: pool.name.clone(), group: group.name.clone(), from, to };
        steps.push(Planned {
            step: Step::Host(step),
            why: Why::Host(why),
            needs: Vec::new(),
            beside: !steps.is_empty(),
        });
    }
    if missing > 0 {
        report.waits.push(Wait::Host(HostWait::NoPool { missing }));
    }
    steps
}

/// A pool that launched is trusted again, and one whose host joined is known to take no longer than that.
pub(crate) fn forgive(hosts: &Hosts<'_>, before: &State, state: &mut State, now: Timestamp) {
    for (id, host) in &state.hosts {
        let new = host.joined && before.hosts.get(id).is_some_and(|before| !before.joined);
        let Some(memory) = hosts.all.get(id).and_then(|kept| state.groups.get_mut(&kept.group.name)) else { continue };
        if new {
            let took = now.duration_since(host.since).unsigned_abs();
            memory.slowest = memory.slowest.max(Some(took));
            (memory.strays, memory.stray_runs, memory.rests_until) = (0, None, None);
        }
    }
    for (name, memory) in &mut state.groups {
        let Some(refused) = &memory.refused else { continue };
        let (at, joins) = (refused.at, refused.joins);
        let launched = hosts.all.iter().any(|(id, kept)| {
            let trusted = |host: &HostMemory| host.since > at && host.loss.is_none() && (host.joined || !joins);
            kept.group.name == *name && state.hosts.get(*id).is_some_and(trusted)
        });
        if launched {
            memory.refused = None;
        }
    }
}
