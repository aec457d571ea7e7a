//! What each on-demand pool should launch: the first that gives, past those that refused lately.

use std::time::Duration;

use evenkeel_model::decision::{HostStep, HostWhy, Need, Planned, Step, Why};
use evenkeel_model::fleet::{Pool, Purchase};
use evenkeel_model::groups::{Group, Refusal, RefusalKind};
use evenkeel_model::report::{HostWait, Report, Wait};
use evenkeel_model::{PoolName, Timestamp};

use crate::hosts::Hosts;
use crate::seen::Seen;
use crate::state::{PoolMemory, Refused, State};

/// Pauses after launches that were refused for want of capacity. A group left alone retries some thirteen times in the
/// first hour; with these, and the capacity taken back in between, it is refused at most nine times.
const PAUSES: [Duration; 3] = [Duration::from_secs(300), Duration::from_secs(600), Duration::from_secs(900)];
/// A quota is raised by people.
const QUOTA_PAUSE: Duration = Duration::from_secs(3_600);
/// After somebody else set a capacity, it is not lowered for this long.
const FOREIGN_HOLD: Duration = Duration::from_secs(60);

/// An on-demand pool.
pub(crate) struct Source<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) group: &'a Group,
    /// Hosts that are there or launching, and not being given back.
    pub(crate) there: u32,
    /// Hosts that the group should have launched and has not yet.
    pub(crate) unborn: u32,
    /// It gives none until then.
    refused_until: Option<Timestamp>,
    /// Its newest refusal was not known before.
    fresh: Option<(RefusalKind, String)>,
    foreign: bool,
}

impl Source<'_> {
    /// Capacity units that are there or on their way.
    pub(crate) const fn units(&self) -> u32 {
        (self.there + self.unborn) * self.pool.units
    }
}

/// The on-demand pools, and what is new about them.
pub(crate) fn sources<'a>(
    hosts: &Hosts<'a>,
    seen: &Seen,
    state: &mut State,
    now: Timestamp,
    report: &mut Report,
) -> Vec<Source<'a>> {
    let names: Vec<&PoolName> = hosts.groups.iter().map(|(pool, _)| &pool.name).collect();
    state.pools.retain(|name, _| names.contains(&name));
    let own = hosts.groups.iter().filter(|(pool, _)| pool.purchase == Purchase::OnDemand);
    own.filter_map(|(pool, group)| {
        let group = (*group)?;
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let leaves = |member: &&evenkeel_model::groups::Member| {
            state.hosts.get(&member.id).is_some_and(|memory| memory.leaving.is_some())
        };
        let leaving = u32::try_from(group.staying().filter(leaves).count()).unwrap_or(u32::MAX);
        let memory = state.pools.entry(pool.name.clone()).or_default();
        let foreign = memory.is_foreign(pool, group.desired, now, report);
        let fresh = memory.note_refusals(seen.refusals.get(&group.name).map_or(&[][..], Vec::as_slice), now);
        let refused_until = memory.refused.as_ref().map(|refused| refused.until).filter(|until| *until > now);
        if let Some(refused) = memory.refused.as_ref().filter(|_| refused_until.is_some()) {
            let Refused { message, until, .. } = refused;
            let because = message.clone();
            report.waits.push(Wait::Host(HostWait::Refused { pool: pool.name.clone(), because, until: *until }));
        }
        let unborn = group.desired.saturating_sub(staying);
        Some(Source { pool, group, there: staying - leaving, unborn, refused_until, fresh, foreign })
    })
    .collect()
}

impl PoolMemory {
    /// Whether somebody else set the capacity a moment ago.
    fn is_foreign(&mut self, pool: &Pool, found: u32, now: Timestamp, report: &mut Report) -> bool {
        if !self.expected.is_empty() && !self.expected.contains(&found) {
            let wrote = self.expected.last().copied().unwrap_or(0);
            self.foreign_until = Some(now + FOREIGN_HOLD);
            report.waits.push(Wait::Host(HostWait::ForeignCapacity { pool: pool.name.clone(), wrote, found }));
        }
        self.expected = [found].into();
        self.foreign_until = self.foreign_until.filter(|until| *until > now);
        self.foreign_until.is_some()
    }

    /// Takes note of a refusal that is newer than the known ones and than the last raise.
    fn note_refusals(&mut self, refusals: &[Refusal], now: Timestamp) -> Option<(RefusalKind, String)> {
        let known = self.refused.as_ref().map_or(Timestamp::MIN, |refused| refused.at);
        let raised = self.raised.unwrap_or(Timestamp::MIN);
        let newest =
            refusals.iter().filter(|refusal| refusal.at > known && refusal.at >= raised).max_by_key(|one| one.at)?;
        let tries = self.refused.as_ref().map_or(0, |refused| refused.tries) + 1;
        let pause = match newest.kind {
            RefusalKind::Quota => QUOTA_PAUSE,
            RefusalKind::Capacity | RefusalKind::Other => {
                PAUSES[usize::try_from(tries - 1).unwrap_or(0).min(PAUSES.len() - 1)]
            }
        };
        let Refusal { at, kind, message } = newest.clone();
        self.refused = Some(Refused { at, kind, message: message.clone(), until: now + pause, tries });
        Some((kind, message))
    }
}

/// The steps that bring the pools to `need`; `kept` units are there for a dwell although nothing needs them now, and never
/// are there more than `most`.
pub(crate) fn capacities(
    sources: &[Source<'_>],
    need: &Need,
    kept: u32,
    most: u32,
    state: &mut State,
    now: Timestamp,
    report: &mut Report,
) -> Vec<Planned> {
    let firm: u32 = sources.iter().map(|source| source.there * source.pool.units).sum();
    let mut missing = need.on_demand.saturating_sub(firm);
    let mut spare = kept.saturating_sub(firm);
    let mut space = most.saturating_sub(firm);
    let mut steps = Vec::new();
    for source in sources {
        let Source { pool, group, there: _, unborn, refused_until, fresh, foreign } = source;
        let memory = state.pools.entry(pool.name.clone()).or_default();
        let staying = group.desired - unborn;
        let room = group.max.saturating_sub(staying);
        let launches = match refused_until {
            Some(_) => 0,
            // What is on its way stays as long as the dwell would keep it.
            None => {
                let stay = (*unborn).min(spare.div_ceil(pool.units));
                missing.div_ceil(pool.units).max(stay).min(room).min(space / pool.units)
            }
        };
        space -= launches * pool.units;
        missing = missing.saturating_sub(launches * pool.units);
        spare = spare.saturating_sub(launches * pool.units);
        // A group that may not have fewer keeps asking, whoever refuses.
        let target = (staying + launches).max(group.min.min(group.desired));
        if launches > 0 {
            let (hosts, pool) = (launches, pool.name.clone());
            report.waits.push(Wait::Host(HostWait::Coming { hosts, pool }));
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

/// A pool that launched is trusted again.
pub(crate) fn forgive(hosts: &Hosts<'_>, state: &mut State) {
    for (name, memory) in &mut state.pools {
        let Some(refused) = &memory.refused else { continue };
        let at = refused.at;
        let launched = hosts.all.iter().any(|(id, kept)| {
            kept.pool.name == *name && state.hosts.get(*id).is_some_and(|host| host.since > at && host.loss.is_none())
        });
        if launched {
            memory.refused = None;
        }
    }
}
