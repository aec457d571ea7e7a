//! From a trigger to a turn of backfill: who is woken by what, and how it looks and acts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::decision::{HostStep, Planned, Step};
use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_model::groups::{Group, Refusal};
use evenkeel_model::report::{HostWait, Source, Wait};
use evenkeel_model::trigger::{
    BackfillVerb, HealthCategory, HealthEvent, InstanceState, LifecycleTransition, Request, ScalingKind, Trigger,
};
use evenkeel_model::{FunctionName, GroupName, InstanceId, Timestamp};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeGroups, ChangeHosts, Clock, FleetFiles, Ledger, PortError, ReadEcs, ReadGroups, ReadSignals,
};
use evenkeel_turn::{
    Applied, Budget, Call, FleetCache, Function, Given, HandleError, Limits, Looked, Memory, NoticeKind, Notices,
    Outlook, SOON, Standings, Summary, cluster, dry_run, hold, hosts, look, retry, run, state_key, stored, try_again,
    wake,
};
use futures_util::future::{join, join3, try_join_all};

use crate::hosts::left_pools;
use crate::looked::looked;
use crate::plan::plan;
use crate::seen::{Seen, known};
use crate::state::State;
use crate::view::{BackfillView, view};

/// While a host drains it is looked at this often; the tick alone would let an empty one stand for a minute.
const DRAIN_BEAT: Duration = Duration::from_secs(10);
/// The next tick goes on from here.
const TICK: Duration = Duration::from_secs(60);

/// The function.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backfill;

/// Everything that backfill needs of the world.
pub trait Ports:
    Clock + ReadEcs + ChangeHosts + ReadGroups + ChangeGroups + ReadSignals + Beats + Ledger + FleetFiles
{
}
impl<P> Ports for P where
    P: Clock + ReadEcs + ChangeHosts + ReadGroups + ChangeGroups + ReadSignals + Beats + Ledger + FleetFiles
{
}

/// What a trigger led to.
pub type Handled = evenkeel_turn::Handled<State, Option<BackfillView>>;

/// What a trigger asks for.
enum Asks {
    Nothing,
    Turn(Notices),
    /// A turn that ends what was begun before the fleet file lost its section, if anything was.
    WindDown,
    Hold(bool),
    /// Pools that refused launches are tried again at once.
    Retry,
    DryRun,
}

impl Backfill {
    /// Does what `trigger` asks for; `holder` is a name that no other invocation has.
    ///
    /// # Errors
    /// [`HandleError`] when nothing could be decided or saved.
    pub async fn handle<P: Ports>(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Handled, HandleError> {
        let in_force = fleets.in_force_for(trigger, ports).await?;
        let fleet = in_force.fleet.as_ref();
        let news = match self.asks(fleet, fleets.memory().hosts(), trigger, ports.now()) {
            Asks::Nothing => return Ok(Handled::NotForUs),
            Asks::DryRun => return Ok(Handled::Planned(Box::new(dry_run(self, ports, fleets, limits, |_| {}).await?))),
            Asks::Hold(held) => {
                hold(ports, &fleet.name, held).await?;
                Notices::default()
            }
            Asks::Retry => {
                try_again(ports, &fleet.name, ports.now()).await?;
                Notices::default()
            }
            Asks::Turn(news) => news,
            Asks::WindDown => {
                let begun = stored::<_, State>(ports, &state_key(&fleet.name, FunctionName::Backfill)).await?;
                let budget = stored::<_, Budget>(ports, &Budget::key(&fleet.name)).await?;
                let ours = |budget: Budget| budget.outs.values().any(|out| out.by == FunctionName::Backfill);
                if !begun.is_some_and(|state| state.is_begun()) && !budget.is_some_and(ours) {
                    return Ok(Handled::NotForUs);
                }
                Notices::default()
            }
        };
        let mut summary = run(self, ports, fleets, Call { holder, limits, news: &news, beat: false }).await?;
        summary.not_woken = wake(ports, &fleet.name, &looks_again(trigger, &summary), trigger.hops()).await;
        Ok(Handled::Turned(Box::new(summary)))
    }

    /// What a trigger asks of this function. Events say "look now"; those about one host are also believed, as long as
    /// they are fresh, because AWS's answers may lag behind them. What the last look has shown asks for nothing.
    fn asks(&self, fleet: &Fleet, seen: &Standings, trigger: &Trigger, now: Timestamp) -> Asks {
        let Some(policy) = &fleet.backfill else {
            return if matches!(trigger, Trigger::Tick(_)) { Asks::WindDown } else { Asks::Nothing };
        };
        let at = trigger.at().unwrap_or(now);
        let look = || Asks::Turn(Notices::default());
        let look_if = |yes: bool| if yes { look() } else { Asks::Nothing };
        let news = |hosts: &[InstanceId], kind: NoticeKind| {
            let mut notices = Notices::default();
            for host in hosts {
                notices.add(host, kind, at);
            }
            Asks::Turn(notices)
        };
        let ours = |group: &GroupName| fleet.pools.iter().any(|pool| pool.auto_scaling_group == *group);
        match trigger {
            Trigger::Tick(_) => look(),
            Trigger::Beat(beat) => look_if(beat.fleet == fleet.name),
            Trigger::SpotInterruption(warning) => {
                news(std::slice::from_ref(&warning.instance), NoticeKind::Interruption)
            }
            Trigger::RebalanceRecommendation(risk) => news(std::slice::from_ref(&risk.instance), NoticeKind::AtRisk),
            Trigger::InstanceState(change) => {
                use InstanceState::{ShuttingDown, Stopped, Stopping, Terminated};
                let ends = matches!(change.state, ShuttingDown | Terminated | Stopping | Stopped);
                if ends && seen.is_news_of_an_end(&change.instance, now) {
                    news(std::slice::from_ref(&change.instance), NoticeKind::Gone)
                } else {
                    Asks::Nothing
                }
            }
            Trigger::LifecycleAction(action) => {
                look_if(ours(&action.group) && action.transition == LifecycleTransition::Terminating)
            }
            Trigger::ScalingActivity(activity) => {
                // With a cluster, a host counts from its registration on, which ECS announces.
                let arrives = activity.activity == ScalingKind::Launch && activity.succeeded && fleet.cluster.is_some();
                let ended = activity.instance.as_ref().filter(|_| activity.activity == ScalingKind::Terminate);
                let known = activity.succeeded && ended.is_some_and(|host| !seen.is_news_of_an_end(host, now));
                look_if(ours(&activity.group) && !arrives && !known)
            }
            Trigger::ContainerInstanceState(change) => {
                look_if(fleet.cluster.as_ref() == Some(&change.cluster) && seen.is_news(change, now))
            }
            Trigger::Alarm(change) => look_if(policy.alarms.contains(&change.alarm)),
            Trigger::Health(event) => health(event, at),
            Trigger::Manual(manual) if manual.fleet == fleet.name => match &manual.request {
                Request::Backfill(BackfillVerb::Status | BackfillVerb::Plan) => Asks::DryRun,
                Request::Backfill(BackfillVerb::Hold) => Asks::Hold(true),
                Request::Backfill(BackfillVerb::Release) => Asks::Hold(false),
                Request::Backfill(BackfillVerb::Retry) => Asks::Retry,
                Request::Demand(_) | Request::Microscale(_) | Request::Roll { .. } => Asks::Nothing,
            },
            Trigger::Manual(_)
            | Trigger::InstanceRefresh(_)
            | Trigger::TaskState(_)
            | Trigger::ServiceAction(_)
            | Trigger::DeploymentState(_)
            | Trigger::Finding(_)
            | Trigger::Compliance(_)
            | Trigger::Parameter(_) => Asks::Nothing,
        }
    }
}

/// What AWS Health announces about hosts, and what it takes back.
fn health(event: &HealthEvent, at: Timestamp) -> Asks {
    let mut notices = Notices::default();
    for host in &event.over {
        notices.add(host, NoticeKind::Over, at);
    }
    for host in &event.instances {
        match (event.category, event.starts) {
            (HealthCategory::ScheduledChange, Some(begins)) => notices.plan(host, begins, at),
            (HealthCategory::ScheduledChange | HealthCategory::Issue, _) => notices.add(host, NoticeKind::AtRisk, at),
            (HealthCategory::AccountNotification | HealthCategory::Investigation | HealthCategory::Other, _) => {}
        }
    }
    if notices.is_empty() { Asks::Nothing } else { Asks::Turn(notices) }
}

/// When to look again between two ticks: while a host drains.
fn looks_again(trigger: &Trigger, summary: &Summary) -> Vec<Duration> {
    let waits = summary.report.waits.iter().any(|wait| matches!(wait, Wait::Host(HostWait::Draining { .. })));
    let begins =
        summary.decisions.iter().any(|decision| matches!(decision.step, Step::Host(HostStep::SetStatus { .. })));
    let beats = u32::try_from(TICK.as_secs() / DRAIN_BEAT.as_secs()).unwrap_or(1);
    let mut delays: Vec<Duration> = Vec::new();
    if summary.unfinished {
        delays.push(SOON);
    }
    if begins || (waits && matches!(trigger, Trigger::Tick(_))) {
        delays.extend((1..beats).map(|beat| DRAIN_BEAT * beat));
    }
    delays
}

impl<P: Ports> Function<P> for Backfill {
    const NAME: FunctionName = FunctionName::Backfill;
    type State = State;
    type Seen = Seen;
    type View = BackfillView;

    async fn observe(&self, given: &Given<'_, State>, ports: &P, deadline: Timestamp, memory: &Memory) -> Answer<Seen> {
        let fleet = given.fleet;
        let left = left_pools(fleet, given.state);
        let pools = || fleet.pools.iter().chain(&left);
        let names: Vec<GroupName> =
            pools().map(|pool| pool.auto_scaling_group.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let of_kind = |id: &InstanceId, is: fn(Purchase) -> bool| {
            let memory = given.state.hosts.get(id);
            memory.is_some_and(|memory| pools().any(|known| memory.is_of(known) && is(known.purchase)))
        };
        let spot: Vec<InstanceId> =
            given.state.hosts.keys().filter(|id| of_kind(id, Purchase::has_spot)).cloned().collect();
        // EC2 tells of every instance of the account.
        let noticed = || given.board.notices.hosts().chain(given.state.notices.hosts());
        let leaves = noticed().any(|id| given.state.hosts.contains_key(id))
            || given.state.hosts.iter().any(|(id, memory)| {
                let dear = |purchase| purchase == Purchase::OnDemand;
                memory.loss.is_some() || memory.leaving.is_some() || of_kind(id, dear)
            });
        let looked = join3(
            retry(ports, deadline, || ports.groups(&names)),
            async {
                match &fleet.cluster {
                    Some(_) if leaves || memory.pays(given.now) => cluster(fleet, ports, deadline, memory).await,
                    Some(cluster) => (hosts(cluster, ports, deadline, memory).await, Ok(None)),
                    None => (Ok(Vec::new()), Ok(None)),
                }
            },
            async {
                if spot.is_empty() {
                    Ok(Vec::new())
                } else {
                    retry(ports, deadline, || ports.spot_requests(&spot)).await
                }
            },
        );
        let alarms = fleet.backfill.as_ref().map_or(&[][..], |policy| &policy.alarms);
        // Only hosts that came for an alarm are kept because of a level.
        let near = if given.state.boost.level > 0 { alarms } else { &[] };
        let also = join3(
            look::alarms(alarms, ports, deadline),
            look::alarm_levels(near, ports, deadline),
            refusals(given, ports, deadline),
        );
        let ((groups, (hosts, running), requests), (alarms, levels, refusals)) = join(looked, also).await;
        memory.hosts().note_members(groups.as_ref().ok().and_then(|groups| members(&names, groups)), given.now);
        // Who knows neither of the groups nor of the cluster knows nothing.
        let (groups, hosts) = match (groups, hosts) {
            (Err(error), hosts) if fleet.cluster.is_none() || hosts.is_err() => return Err(error),
            read => read,
        };
        let mut unread = BTreeMap::new();
        let groups = known(Source::Groups, groups, &mut unread);
        let hosts = known(Source::Cluster, hosts, &mut unread);
        let requests = known(Source::SpotRequests, requests, &mut unread);
        let running = known(Source::Tasks, running, &mut unread);
        let refusals = known(Source::Refusals, refusals, &mut unread);
        Ok(Seen { at: given.now, unread, groups, hosts, requests, alarms, levels, refusals, running })
    }

    fn plan(&self, given: &Given<'_, State>, seen: &Seen) -> Outlook<State> {
        plan(given, seen)
    }

    async fn apply(&self, fleet: &Fleet, planned: &Planned, ports: &P) -> Answer<()> {
        let Step::Host(step) = &planned.step else {
            return Err(PortError::Refused(format!("not a step of backfill: {}", planned.step)));
        };
        match (step, &fleet.cluster) {
            (HostStep::SetCapacity { pool: _, group, from: _, to }, _) => ports.set_capacity(group, *to).await,
            (HostStep::SetStatus { hosts, status }, Some(cluster)) => ports.set_status(cluster, hosts, *status).await,
            // That it is in the feed is all.
            (HostStep::Lost { hosts: _ }, _) => Ok(()),
            (HostStep::SetStatus { .. } | HostStep::Mark { .. } | HostStep::EndWarm { .. }, _) => {
                Err(PortError::Refused(format!("not a step for a fleet like this: {step}")))
            }
            (HostStep::Terminate { host, pool: _, shrink }, _) => match ports.terminate(host, *shrink).await {
                // It is gone already: that is what was wanted.
                Err(PortError::NotFound(_)) => Ok(()),
                answer => answer,
            },
        }
    }

    fn settle(&self, state: &mut State, applied: &Applied<'_>) {
        state.settle(applied);
    }

    fn looked(
        &self,
        given: &Given<'_, State>,
        seen: &Seen,
        outlook: &Outlook<State>,
        planned: &[Planned],
    ) -> Option<Looked> {
        Some(looked(given, seen, outlook, planned))
    }

    fn view(&self, given: &Given<'_, State>, seen: &Seen, outlook: &Outlook<State>) -> Option<BackfillView> {
        given.fleet.backfill.as_ref().map(|_| view(given, seen, outlook))
    }
}

/// The instances that are to stay in the groups; none where one of these was not shown.
fn members(names: &[GroupName], groups: &[Group]) -> Option<BTreeSet<InstanceId>> {
    let all = names.iter().all(|name| groups.iter().any(|group| group.name == *name));
    all.then(|| groups.iter().flat_map(Group::staying).map(|member| member.id.clone()).collect())
}

/// Refused launches of the pools that should have launched.
async fn refusals<P: ReadGroups + Clock>(
    given: &Given<'_, State>,
    ports: &P,
    deadline: Timestamp,
) -> Answer<BTreeMap<GroupName, Vec<Refusal>>> {
    let awaits = |pool: &&evenkeel_model::fleet::Pool| {
        given.state.groups.get(&pool.auto_scaling_group).is_some_and(|memory| memory.awaits)
    };
    let groups: Vec<&GroupName> =
        given.fleet.pools.iter().filter(awaits).map(|pool| &pool.auto_scaling_group).collect();
    let answers = try_join_all(groups.iter().map(|group| retry(ports, deadline, || ports.refusals(group)))).await?;
    Ok(groups.into_iter().cloned().zip(answers).collect())
}
