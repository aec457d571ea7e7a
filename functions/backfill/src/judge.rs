//! What one host counts for, and whether it is taken from us, from all that is known of it.
//!
//! Many signals tell of one loss: a warning, a state change, a hook, a health check, the spot request's status, or only
//! silence. They all end here, in one [`Loss`] of one host. What could not be read says nothing: it neither takes a host
//! from us nor gives it back.

use std::time::Duration;

use evenkeel_model::decision::{LossCause, Sign};
use evenkeel_model::fleet::{Fleet, Pool, Purchase, Rebalance};
use evenkeel_model::groups::{Member, MemberState, SpotCode};
use evenkeel_model::observed::{Host, HostStatus};
use evenkeel_model::report::{HostWait, Report, Source, Wait};
use evenkeel_model::{FunctionName, Timestamp};
use evenkeel_turn::{Given, NoticeKind, Notices};

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
/// A host that its group has in service and that the cluster leaves out is unknown for so long: one answer may be old or
/// short, and an instance that has really ended is announced, or missed by its group, within a minute.
const UNSHOWN: Duration = Duration::from_secs(60);

/// Stand-ins that take longer to join than this, and than twice the slowest before, are not counted on.
const OVERDUE: Duration = Duration::from_secs(300);

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

/// Who takes a host, if anybody does.
enum Taken {
    No,
    ByRoll,
    Lost(Sign, Option<Timestamp>),
}

/// What a sign means; others may tell of the same loss.
const fn cause(sign: Sign) -> LossCause {
    match sign {
        Sign::Warning | Sign::MarkedRequest => LossCause::Interruption,
        Sign::SpotRequest | Sign::StateChange | Sign::Deregistered | Sign::NotShown | Sign::LeftGroup => {
            LossCause::Gone
        }
        Sign::GroupEnds | Sign::Unhealthy => LossCause::Leaving,
        Sign::AgentAway => LossCause::AgentAway,
    }
}

/// One host and all that is known of it.
pub(crate) struct Case<'a, 's> {
    pub(crate) given: &'a Given<'a, State>,
    pub(crate) seen: &'a Seen,
    pub(crate) notices: &'s Notices,
    pub(crate) pool: &'a Pool,
    pub(crate) member: &'a Member,
    pub(crate) host: Option<&'a Host>,
    /// So many agents are away that it is ECS: that says nothing of one host.
    pub(crate) ecs_is_away: bool,
}

impl Case<'_, '_> {
    /// Notes since when the host's agent is there, or away.
    pub(crate) fn note_agent(&self, memory: &mut HostMemory) {
        let now = self.given.now;
        memory.joined |= self.host.is_some();
        if self.member.state == MemberState::InService {
            memory.in_service.get_or_insert(now);
        }
        memory.away = match self.host {
            Some(host) if host.connected => None,
            Some(_) => Some(memory.away.unwrap_or(now)),
            None if self.is_left_out(memory) => Some(memory.away.unwrap_or(now)),
            None => memory.away.filter(|_| !self.seen.has(Source::Cluster)),
        };
    }

    /// Notes that the host is spot; that it is not, nothing tells for certain.
    pub(crate) fn note_request(&self, memory: &mut HostMemory) {
        let asked = || self.seen.requests.iter().any(|request| request.instance == self.member.id);
        memory.spot = memory.spot || (self.pool.purchase.has_spot() && asked());
    }

    /// What the host counts for, and by what sign it was lost, if it is.
    pub(crate) fn judge(&self, memory: &mut HostMemory, report: &mut Report) -> (Standing, Option<Sign>) {
        let now = self.given.now;
        match self.taken(memory) {
            Taken::ByRoll => {
                // The roll replaces it, under the same budget: no loss, and no reason to launch anything.
                memory.loss = None;
                // Once it leaves its group, its place is counted by what the group is about to launch.
                let leaves = self.member.state.is_leaving();
                (if leaves { Standing::Out } else { Standing::Coming }, None)
            }
            Taken::Lost(sign, deadline) => {
                let cause = cause(sign);
                let known = memory.loss.filter(|known| known.cause <= cause);
                let at = memory.loss.map_or(now, |loss| loss.at);
                memory.loss = Some(known.unwrap_or(Loss { cause, at, deadline }));
                (Standing::Out, Some(sign))
            }
            // What was not read may still say so.
            Taken::No if memory.loss.is_some() && (self.ecs_is_away || !self.seen.unread.is_empty()) => {
                (Standing::Out, None)
            }
            Taken::No => {
                memory.loss = None;
                (self.stands(memory, report), None)
            }
        }
    }

    fn taken(&self, memory: &HostMemory) -> Taken {
        let out = self.given.board.budget.outs.get(&self.member.id);
        if out.is_some_and(|out| out.by == FunctionName::Patchroll) {
            return Taken::ByRoll;
        }
        self.loss(memory).map_or(Taken::No, |(sign, deadline)| Taken::Lost(sign, deadline))
    }

    /// What a host counts for that nobody takes.
    fn stands(&self, memory: &mut HostMemory, report: &mut Report) -> Standing {
        let now = self.given.now;
        if memory.leaving.is_some() || self.member.state == MemberState::Aside {
            return Standing::Out;
        }
        let clustered = self.given.fleet.cluster.is_some();
        if clustered && self.host.is_none() && (memory.joined || !self.seen.has(Source::Cluster)) {
            // Nobody knows how it is: it is not made up for, and not counted on either.
            return Standing::Coming;
        }
        let drains = self.host.is_some_and(|host| host.status == HostStatus::Draining);
        memory.drains = drains.then(|| memory.drains.unwrap_or(now));
        if memory.drains.is_some_and(|since| now.duration_since(since).unsigned_abs() < DRAINS_A_MOMENT) {
            return Standing::Coming;
        }
        if self.works(memory) {
            return Standing::Works;
        }
        let waited = self.waited(memory);
        let status = self.host.map(|host| host.status);
        // Its agent may be there before its group has it in service: a launch hook holds it, or it was looked at just then.
        if waited < self.patience() && status.is_none_or(|status| status == HostStatus::Active) {
            return Standing::Coming;
        }
        if status.is_none() {
            report.waits.push(Wait::Host(HostWait::NotJoined { host: self.member.id.clone(), waited }));
        }
        Standing::Out
    }

    /// How long a host may take to join. A stand-in is needed now: others are asked when it takes longer than any before.
    fn patience(&self) -> Duration {
        let most = patience(self.given.fleet);
        if self.pool.purchase != Purchase::OnDemand || self.given.fleet.cluster.is_none() {
            return most;
        }
        let slowest = self.given.state.groups.get(&self.pool.auto_scaling_group).and_then(|memory| memory.slowest);
        most.min(slowest.map_or(OVERDUE, |slowest| OVERDUE.max(2 * slowest)))
    }

    /// How long the host could have joined: not while the cluster could not be read.
    fn waited(&self, memory: &HostMemory) -> Duration {
        let from = self.given.state.blind.map_or(memory.since, |blind| blind.max(memory.since));
        self.given.now.duration_since(from).unsigned_abs()
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
    fn loss(&self, memory: &HostMemory) -> Option<(Sign, Option<Timestamp>)> {
        let now = self.given.now;
        let id = &self.member.id;
        let notices = self.notices;
        let request = self.seen.requests.iter().find(|request| request.instance == *id);
        let ours = memory.leaving.is_some_and(|leaving| leaving.ending);
        let away = |long| memory.away.is_some_and(|since| now.duration_since(since).unsigned_abs() >= long);
        let gone = [
            (notices.fresh(id, NoticeKind::Gone, now, GONE_COUNTS).is_some(), Sign::StateChange),
            (request.is_some_and(|request| request.code == SpotCode::Gone), Sign::SpotRequest),
            (self.is_left_out(memory) && away(UNSHOWN) && !self.ecs_is_away, Sign::NotShown),
            (self.host.is_some_and(|host| host.status == HostStatus::Leaving), Sign::Deregistered),
        ];
        if let Some((_, sign)) = gone.into_iter().find(|(is, _)| *is && !ours) {
            return Some((sign, None));
        }
        let marked = request.filter(|request| request.code == SpotCode::Marked).map(|request| request.at);
        let warned = notices.fresh(id, NoticeKind::Interruption, now, NOTICE_COUNTS);
        if let Some(at) = marked.or(warned) {
            let sign = if warned.is_some() { Sign::Warning } else { Sign::MarkedRequest };
            return Some((sign, Some(at + NOTICE)));
        }
        let ends =
            [(self.member.state == MemberState::Terminating, Sign::GroupEnds), (!self.member.healthy, Sign::Unhealthy)];
        if let Some((_, sign)) = ends.into_iter().find(|(is, _)| *is && !ours) {
            return Some((sign, None));
        }
        let without_agent = self.host.is_some_and(|host| !host.connected) && away(AGENT_AWAY) && !self.ecs_is_away;
        without_agent.then_some((Sign::AgentAway, None))
    }

    /// Whether the cluster does not show a host that was in it.
    fn is_left_out(&self, memory: &HostMemory) -> bool {
        memory.joined && self.host.is_none() && self.given.fleet.cluster.is_some() && self.seen.has(Source::Cluster)
    }

    pub(crate) fn at_risk(&self) -> bool {
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
