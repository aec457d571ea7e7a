//! Which hosts there are, which of them count, and which are being taken from us.
//!
//! Many signals tell of one loss: a warning, a state change, a hook, a health check, the spot request's status, or only
//! silence. They all end here, in one [`Loss`] of one host.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::LossCause;
use evenkeel_model::fleet::{Fleet, Pool, Purchase, Rebalance};
use evenkeel_model::groups::{Group, Member, MemberState, SpotCode};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::{HostWait, Report, Wait};
use evenkeel_model::{FunctionName, InstanceId, PoolName, Timestamp};
use evenkeel_turn::{Budget, Given, NoticeKind, Notices};

use crate::seen::Seen;
use crate::state::{HostMemory, Loss, State};

/// A spot host ends two minutes after its warning (EC2 user guide, "Spot Instance interruption notices").
const NOTICE: Duration = Duration::from_secs(120);
/// A host that still runs this long after its warning was not taken.
const NOTICE_COUNTS: Duration = Duration::from_secs(300);
/// Groups miss an ended instance within a minute or two; until then events know better.
const GONE_COUNTS: Duration = Duration::from_secs(1_800);
/// A rebalance recommendation that nothing followed for so long was noise.
const RISK_COUNTS: Duration = Duration::from_secs(3_600);
/// What AWS plans for a host is acted on so long before it begins, where no patch window comes first.
const PLAN_NEAR: Duration = Duration::from_hours(24);
/// The agent's connection drops several times an hour in normal operation; this long is something else.
const AGENT_AWAY: Duration = Duration::from_secs(300);

/// Without a cluster only the load balancer knows whether a host takes work yet. Its group's word is believed after this
/// long: what boot does besides, such as installing updates, goes on behind a group's back.
const SETTLES: Duration = Duration::from_secs(120);

/// A host that somebody else has drain is missed from here on: a roll that does it takes a place in the budget, which may
/// have been written since this turn has read it.
const DRAINS_A_MOMENT: Duration = Duration::from_secs(30);

/// What a host counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// In service.
    Works,
    /// On its way.
    Coming,
    /// Neither: lost, leaving, set aside, or never arrived.
    Out,
}

/// A host of the fleet.
pub(crate) struct Kept<'a> {
    pub(crate) member: &'a Member,
    pub(crate) pool: &'a Pool,
    /// Its group.
    pub(crate) group: &'a Group,
    /// Its container instance.
    pub(crate) host: Option<&'a Host>,
    pub(crate) standing: Standing,
    /// EC2 recommends to rebalance it, and the fleet file does not ignore that.
    pub(crate) at_risk: bool,
}

impl Kept<'_> {
    /// It is there, or on its way, and counts for what the fleet needs.
    pub(crate) const fn counts(&self) -> bool {
        matches!(self.standing, Standing::Works | Standing::Coming)
    }

    /// Its group may not shrink.
    pub(crate) const fn is_bound(&self) -> bool {
        self.group.min > 0 && self.group.desired <= self.group.min
    }

    /// What still runs on it.
    pub(crate) fn tasks(&self) -> u32 {
        self.host.map_or(0, |host| host.task_count)
    }
}

/// All hosts by id, and the groups by pool, in the fleet file's order.
pub(crate) struct Hosts<'a> {
    pub(crate) all: BTreeMap<&'a InstanceId, Kept<'a>>,
    pub(crate) groups: Vec<(&'a Pool, Option<&'a Group>)>,
}

impl<'a> Hosts<'a> {
    /// Looks through everything that is known of each host, and notes in `state` what is new.
    pub(crate) fn judge(given: &'a Given<'_, State>, seen: &'a Seen, state: &mut State, report: &mut Report) -> Self {
        let fleet = given.fleet;
        let ecs: BTreeMap<&InstanceId, &Host> = seen.hosts.iter().map(|host| (&host.id, host)).collect();
        let find = |pool: &'a Pool| seen.groups.iter().find(|group| group.name == pool.auto_scaling_group);
        let groups: Vec<(&Pool, Option<&Group>)> = fleet.pools.iter().map(|pool| (pool, find(pool))).collect();
        let notices = &state.notices;
        let mut all = BTreeMap::new();
        for (pool, group) in &groups {
            let Some(group) = group else {
                let group = pool.auto_scaling_group.clone();
                report.waits.push(Wait::Host(HostWait::NoSuchGroup { group }));
                continue;
            };
            for member in &group.members {
                let host = ecs.get(&member.id).copied();
                let memory = state.hosts.entry(member.id.clone()).or_insert_with(|| HostMemory {
                    pool: pool.name.clone(),
                    since: given.now,
                    joined: false,
                    in_service: None,
                    away: None,
                    drains: None,
                    loss: None,
                    leaving: None,
                    back: false,
                    lease: None,
                });
                let case = Case { given, seen, notices, pool, member, host };
                let standing = case.judge(memory, report);
                all.insert(&member.id, Kept { member, pool, group, host, standing, at_risk: case.at_risk() });
            }
        }
        state.hosts.retain(|id, _| all.contains_key(id));
        Self { all, groups }
    }

    /// Capacity units of hosts that `of` picks.
    pub(crate) fn units(&self, of: impl Fn(&Kept<'_>) -> bool) -> u32 {
        self.all.values().filter(|kept| of(kept)).map(|kept| kept.pool.units).sum()
    }

    /// Whether a pool's group may not have fewer hosts than those that are not leaving.
    pub(crate) fn at_minimum(&self, pool: &PoolName, state: &State) -> bool {
        let Some((_, Some(group))) = self.groups.iter().find(|(known, _)| known.name == *pool) else { return false };
        let stays = |id: &InstanceId| state.hosts.get(id).is_none_or(|memory| memory.leaving.is_none());
        let staying = group.staying().filter(|member| stays(&member.id)).count();
        group.min > 0 && staying <= group.min as usize
    }

    /// Units in service.
    pub(crate) fn working(&self) -> u32 {
        self.units(|kept| kept.standing == Standing::Works)
    }

    /// Units of a purchase kind that count for what the fleet needs. A host at risk does not: its replacement is wanted.
    /// A host that a roll has ended does, while its group is about to launch the one that takes its place.
    pub(crate) fn counted(&self, purchase: Purchase, budget: &Budget) -> u32 {
        let there = self.units(|kept| kept.pool.purchase == purchase && kept.counts() && !kept.at_risk);
        let of_kind = self.groups.iter().filter(|(pool, _)| pool.purchase == purchase);
        let unborn =
            of_kind.map(|(pool, group)| group.map_or(0, |group| self.unborn(pool, group, budget) * pool.units));
        there + unborn.sum::<u32>()
    }

    /// Hosts of a pool that a roll has ended and whose replacements its group has not launched yet.
    fn unborn(&self, pool: &Pool, group: &Group, budget: &Budget) -> u32 {
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let ended = budget.outs.iter().filter(|(id, out)| {
            let leaves = self.all.get(id).is_none_or(|kept| kept.member.state.is_leaving());
            out.by == FunctionName::Patchroll && out.pool.as_ref() == Some(&pool.name) && leaves
        });
        group.desired.saturating_sub(staying).min(u32::try_from(ended.count()).unwrap_or(u32::MAX))
    }
}

/// One host and all that is known of it.
struct Case<'a> {
    given: &'a Given<'a, State>,
    seen: &'a Seen,
    notices: &'a Notices,
    pool: &'a Pool,
    member: &'a Member,
    host: Option<&'a Host>,
}

impl Case<'_> {
    fn judge(&self, memory: &mut HostMemory, report: &mut Report) -> Standing {
        let now = self.given.now;
        memory.joined |= self.host.is_some();
        if self.member.state == MemberState::InService {
            memory.in_service.get_or_insert(now);
        }
        memory.away = match self.host {
            Some(host) if !host.connected => Some(memory.away.unwrap_or(now)),
            Some(_) | None => None,
        };
        let rolls =
            self.given.board.budget.outs.get(&self.member.id).is_some_and(|out| out.by == FunctionName::Patchroll);
        if rolls {
            // The roll replaces it, under the same budget: no loss, and no reason to launch anything.
            memory.loss = None;
            // Once it leaves its group, its place is counted by what the group is about to launch.
            return if self.member.state.is_leaving() { Standing::Out } else { Standing::Coming };
        }
        match self.loss(memory) {
            Some((cause, deadline)) => {
                let known = memory.loss.filter(|known| known.cause <= cause);
                memory.loss =
                    Some(known.unwrap_or(Loss { cause, at: memory.loss.map_or(now, |loss| loss.at), deadline }));
                return Standing::Out;
            }
            None => memory.loss = None,
        }
        if memory.leaving.is_some() || self.member.state == MemberState::Aside {
            return Standing::Out;
        }
        let drains = self.host.is_some_and(|host| host.status == HostStatus::Draining);
        memory.drains = drains.then(|| memory.drains.unwrap_or(now));
        if memory.drains.is_some_and(|since| now.duration_since(since).unsigned_abs() < DRAINS_A_MOMENT) {
            return Standing::Coming;
        }
        if self.works(memory) {
            return Standing::Works;
        }
        let waited = now.duration_since(memory.since).unsigned_abs();
        let status = self.host.map(|host| host.status);
        // Its agent may be there before its group has it in service: a launch hook holds it, or it was looked at just then.
        if waited < patience(self.given.fleet) && status.is_none_or(|status| status == HostStatus::Active) {
            return Standing::Coming;
        }
        if status.is_none() {
            report.waits.push(Wait::Host(HostWait::NotJoined { host: self.member.id.clone(), waited }));
        }
        Standing::Out
    }

    fn works(&self, memory: &HostMemory) -> bool {
        if self.member.state != MemberState::InService {
            return false;
        }
        match (&self.given.fleet.cluster, self.host) {
            (Some(_), host) => host.is_some_and(|host| host.status == HostStatus::Active),
            (None, _) => {
                memory.in_service.is_some_and(|at| self.given.now.duration_since(at).unsigned_abs() >= SETTLES)
            }
        }
    }

    /// Why and until when the host is taken from us, if it is.
    fn loss(&self, memory: &HostMemory) -> Option<(LossCause, Option<Timestamp>)> {
        let now = self.given.now;
        let id = &self.member.id;
        let notices = self.notices;
        let request = self.seen.requests.iter().find(|request| request.instance == *id);
        let ours = memory.leaving.is_some_and(|leaving| leaving.ending);
        let gone = notices.fresh(id, NoticeKind::Gone, now, GONE_COUNTS).is_some()
            || request.is_some_and(|request| request.code == SpotCode::Gone)
            || (self.given.fleet.cluster.is_some() && memory.joined && self.host.is_none())
            || self.host.is_some_and(|host| host.status == HostStatus::Leaving);
        if gone && !ours {
            return Some((LossCause::Gone, None));
        }
        let marked = request.filter(|request| request.code == SpotCode::Marked).map(|request| request.at);
        let warned = notices.fresh(id, NoticeKind::Interruption, now, NOTICE_COUNTS);
        if let Some(at) = marked.or(warned) {
            return Some((LossCause::Interruption, Some(at + NOTICE)));
        }
        let ends = self.member.state == MemberState::Terminating || !self.member.healthy;
        if ends && !ours {
            return Some((LossCause::Leaving, None));
        }
        let away = memory.away.is_some_and(|since| now.duration_since(since).unsigned_abs() >= AGENT_AWAY);
        away.then_some((LossCause::AgentAway, None))
    }

    fn at_risk(&self) -> bool {
        let answer = self.given.fleet.backfill.as_ref().map_or(Rebalance::Ignore, |backfill| backfill.rebalance);
        let told = self.notices.fresh(&self.member.id, NoticeKind::AtRisk, self.given.now, RISK_COUNTS).is_some();
        answer != Rebalance::Ignore && (told || self.begins_soon()) && self.pool.purchase != Purchase::OnDemand
    }

    /// Something that AWS plans for the host begins within a day, or before the patch window after this one.
    fn begins_soon(&self) -> bool {
        let now = self.given.now;
        let Some(begins) = self.notices.planned(&self.member.id) else { return false };
        let windows = self.given.fleet.patch.iter().flat_map(|patch| &patch.windows);
        let last_window = || {
            let open = windows.clone().any(|window| window.closes(now).is_some());
            let closes = windows.clone().filter_map(|window| window.closes(now)).max().unwrap_or(now);
            open && windows
                .clone()
                .filter_map(|window| window.next_start(closes))
                .min()
                .is_none_or(|next| next >= begins)
        };
        begins <= now + PLAN_NEAR || last_window()
    }
}

/// How long a launch may take until nobody counts on it any more: what the roll allows, 15 minutes without one.
pub(crate) fn patience(fleet: &Fleet) -> Duration {
    fleet.patch.as_ref().map_or(Duration::from_secs(900), |patch| patch.replace_timeout)
}
