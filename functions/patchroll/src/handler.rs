//! From a trigger to a turn of patchroll: who is woken by what, and how it looks and acts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::decision::{HostStep, ImageStep, Planned, Step};
use evenkeel_model::fleet::{Fleet, Patch, Refresh};
use evenkeel_model::groups::{Group, MemberState, WarmMember};
use evenkeel_model::templates::{Instance, Resolved, Target, TemplateUse, VersionSpec};
use evenkeel_model::trigger::{
    ContainerInstanceStatus, ParameterChange, ParameterOperation, Request, RollVerb, ScalingKind, Trigger,
};
use evenkeel_model::{FunctionName, GroupName, InstanceId, PoolName, TargetGroup, Timestamp};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeGroups, ChangeHosts, ChangeImages, ChangeTemplates, Clock, FleetFiles, Ledger, PortError,
    ReadEcs, ReadGroups, ReadImages, ReadSignals, ReadTargets, ReadTemplates,
};
use evenkeel_turn::{
    Applied, Ask, Borrow, Call, FleetCache, Function, Given, HandleError, Limits, Memory, NoticeKind, Notices, Outlook,
    SOON, Tell, cluster, dry_run, hosts, look, order, retry, run, state_key, stored, wake,
};
use futures_util::future::{join, join_all, try_join_all, try_join3};

use crate::arrivals::completes_a_wave;
use crate::bake::prefix;
use crate::orders::ONLY_OBSERVES;
use crate::plan::plan;
use crate::seen::{Bakery, LookAt, Looks, Seen};
use crate::state::State;
use crate::view::{PatchView, view};

/// Backfill counts on a wish for three minutes.
const ASKS_AGAIN: Duration = Duration::from_secs(50);

/// The function.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patchroll;

/// The function in one of its turns.
#[derive(Debug, Clone, Copy)]
struct Woken {
    /// Not by a beat of its own: what it asks for now begins a new chain of beats.
    afresh: bool,
}

/// Everything that patchroll needs of the world.
pub trait Ports:
    Clock
    + ReadEcs
    + ChangeHosts
    + ReadGroups
    + ChangeGroups
    + ReadTemplates
    + ChangeTemplates
    + ReadTargets
    + ReadImages
    + ChangeImages
    + ReadSignals
    + Beats
    + Ledger
    + FleetFiles
{
}
impl<P> Ports for P where
    P: Clock
        + ReadEcs
        + ChangeHosts
        + ReadGroups
        + ChangeGroups
        + ReadTemplates
        + ChangeTemplates
        + ReadTargets
        + ReadImages
        + ChangeImages
        + ReadSignals
        + Beats
        + Ledger
        + FleetFiles
{
}

/// What a trigger led to.
pub type Handled = evenkeel_turn::Handled<State, Option<PatchView>>;

/// What a trigger asks for.
enum Asks {
    Nothing,
    Turn(Notices),
    /// The fleet file has no section for rolls: a turn only where something is left of one.
    WhatIsLeft,
    /// A host has joined the cluster.
    Arrival(InstanceId),
    Order(Ask),
    /// How things are; and with an order, what would follow from it.
    DryRun(Option<Ask>),
}

impl Patchroll {
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
        let at = trigger.at().unwrap_or_else(|| ports.now());
        let woken = Woken { afresh: trigger.hops() == 0 };
        let news = match asks(fleet, trigger, at) {
            Asks::Nothing => return Ok(Handled::NotForUs),
            Asks::DryRun(ask) => {
                let suppose = |board: &mut evenkeel_turn::Board| {
                    if let Some(ask) = ask {
                        board.orders.add(at, ask, None);
                    }
                };
                return Ok(Handled::Planned(Box::new(dry_run(&woken, ports, fleets, limits, suppose).await?)));
            }
            Asks::Order(Ask::Roll { .. }) if fleet.observes(FunctionName::Patchroll) => {
                return Ok(Handled::Refused(ONLY_OBSERVES.to_owned()));
            }
            Asks::Order(ask) => {
                let id = if let Trigger::Manual(manual) = trigger { manual.id.as_deref() } else { None };
                order(ports, &fleet.name, at, &ask, id).await?;
                Notices::default()
            }
            Asks::WhatIsLeft => {
                let state: Option<State> = stored(ports, &state_key(&fleet.name, FunctionName::Patchroll)).await?;
                if state.is_none_or(|state| state.is_quiet()) {
                    return Ok(Handled::NotForUs);
                }
                Notices::default()
            }
            Asks::Arrival(host) if completes_a_wave(ports, &fleet.name, &host).await? => Notices::default(),
            Asks::Arrival(_) => return Ok(Handled::NotForUs),
            Asks::Turn(news) => news,
        };
        let mut summary = run(&woken, ports, fleets, Call { holder, limits, news: &news, beat: false }).await?;
        let mut wakes = std::mem::take(&mut summary.wakes);
        if summary.unfinished {
            wakes.push(SOON);
        }
        summary.not_woken = wake(ports, &fleet.name, &wakes, trigger.hops()).await;
        Ok(Handled::Turned(Box::new(summary)))
    }
}

/// What a trigger asks of this function. Events only say "look now", but for those that ask for a roll, and those that say
/// which hosts are at risk anyway.
fn asks(fleet: &Fleet, trigger: &Trigger, at: Timestamp) -> Asks {
    let Some(policy) = &fleet.patch else {
        let beat = matches!(trigger, Trigger::Beat(beat) if beat.fleet == fleet.name);
        return if beat || matches!(trigger, Trigger::Tick(_)) { Asks::WhatIsLeft } else { Asks::Nothing };
    };
    let look_if = |yes: bool| if yes { Asks::Turn(Notices::default()) } else { Asks::Nothing };
    let ours = |group: &GroupName| fleet.pools.iter().any(|pool| pool.auto_scaling_group == *group);
    let due = |because: String, refresh: Refresh, hosts: &[InstanceId]| {
        Asks::Order(Ask::Due { because, refresh, hosts: hosts.to_vec() })
    };
    match trigger {
        Trigger::Tick(_) => look_if(true),
        Trigger::Beat(beat) => look_if(beat.fleet == fleet.name),
        Trigger::RebalanceRecommendation(risk) => {
            let mut notices = Notices::default();
            notices.add(&risk.instance, NoticeKind::AtRisk, at);
            Asks::Turn(notices)
        }
        // With a cluster, a host counts from its registration on, which ECS announces.
        Trigger::ScalingActivity(activity) => {
            let arrives = activity.activity == ScalingKind::Launch && activity.succeeded;
            look_if(arrives && fleet.cluster.is_none() && ours(&activity.group))
        }
        Trigger::InstanceRefresh(refresh) if ours(&refresh.group) => Asks::Order(Ask::Look),
        Trigger::ContainerInstanceState(change) => match &change.instance {
            Some(host)
                if fleet.cluster.as_ref() == Some(&change.cluster)
                    && change.status == ContainerInstanceStatus::Active
                    && change.agent_connected != Some(false) =>
            {
                Asks::Arrival(host.clone())
            }
            Some(_) | None => Asks::Nothing,
        },
        Trigger::Alarm(change) if policy.halt_alarms.contains(&change.alarm) => Asks::Order(Ask::Look),
        Trigger::Finding(finding) if finding.starts_a_roll() => {
            due("Inspector found a vulnerable package".to_owned(), Refresh::All, &finding.instances)
        }
        Trigger::Compliance(found) if found.starts_a_roll() => {
            let hosts = std::slice::from_ref(&found.instance);
            due("a host is not compliant with its patch baseline".to_owned(), Refresh::All, hosts)
        }
        Trigger::Parameter(change) if names_another_image(policy, change) => {
            due(format!("{} names another image", change.parameter), Refresh::Outdated, &[])
        }
        Trigger::Manual(manual) if manual.fleet == fleet.name => match &manual.request {
            Request::Roll { verb: RollVerb::Status, pool: _, by: _ } => Asks::DryRun(None),
            Request::Roll { verb: RollVerb::Plan, pool, by } => {
                Asks::DryRun(Some(Ask::Roll { verb: RollVerb::Start, pool: pool.clone(), by: by.clone() }))
            }
            Request::Roll { verb, pool, by } => {
                Asks::Order(Ask::Roll { verb: *verb, pool: pool.clone(), by: by.clone() })
            }
            Request::Demand(_) | Request::Microscale(_) | Request::Backfill(_) => Asks::Nothing,
        },
        Trigger::Manual(_)
        | Trigger::InstanceRefresh(_)
        | Trigger::Alarm(_)
        | Trigger::SpotInterruption(_)
        | Trigger::InstanceState(_)
        | Trigger::LifecycleAction(_)
        | Trigger::TaskState(_)
        | Trigger::ServiceAction(_)
        | Trigger::DeploymentState(_)
        | Trigger::Health(_)
        | Trigger::Finding(_)
        | Trigger::Compliance(_)
        | Trigger::Parameter(_) => Asks::Nothing,
    }
}

/// Whether a changed parameter means that the fleet's hosts have a newer image to come from: one that is deleted or labelled
/// names no other image than before.
fn names_another_image(policy: &Patch, change: &ParameterChange) -> bool {
    let written = matches!(change.operation, ParameterOperation::Create | ParameterOperation::Update);
    written && policy.bake.as_ref().is_some_and(|bake| bake.base_image_parameter == change.parameter.as_str())
}

impl<P: Ports> Function<P> for Woken {
    const NAME: FunctionName = FunctionName::Patchroll;
    type State = State;
    type Seen = Seen;
    type View = PatchView;

    async fn observe(&self, given: &Given<'_, State>, ports: &P, deadline: Timestamp, memory: &Memory) -> Answer<Seen> {
        let fleet = given.fleet;
        let looks = Looks::of(given);
        let names: Vec<GroupName> = fleet.pools.iter().map(|pool| pool.auto_scaling_group.clone()).collect();
        let alarms = fleet.patch.as_ref().map_or(&[][..], |policy| &policy.halt_alarms);
        let first = try_join3(
            retry(ports, deadline, || ports.groups(&names)),
            async {
                match (&fleet.cluster, &looks.hosts) {
                    (Some(_), LookAt::All) if looks.running => {
                        let (hosts, running) = cluster(fleet, ports, deadline, memory).await;
                        Ok((hosts?, running?))
                    }
                    (Some(cluster), LookAt::All) => Ok((hosts(cluster, ports, deadline, memory).await?, None)),
                    (Some(cluster), LookAt::Some(hosts)) => {
                        Ok((retry(ports, deadline, || ports.some_hosts(cluster, hosts)).await?, None))
                    }
                    (Some(_), LookAt::Nothing) | (None, _) => Ok((Vec::new(), None)),
                }
            },
            async {
                if looks.refreshes {
                    let names = concerned(given);
                    retry(ports, deadline, || ports.refreshes(&names)).await.map(Some)
                } else {
                    Ok(None)
                }
            },
        );
        let also = join(
            async { if looks.alarms { Some(look::alarms(alarms, ports, deadline).await) } else { None } },
            async { if looks.bakery { bakery(fleet, ports, deadline).await.map(Some) } else { Ok(None) } },
        );
        let (first, (alarms, bakery)) = join(first, also).await;
        let (groups, (hosts, running), refreshes) = first?;
        let warm = warm(&looks, &groups, ports, deadline).await?;
        let (templates, instances, targets) = second(given, &looks, (&groups, &warm), ports, deadline).await?;
        let short: Vec<GroupName> =
            groups.iter().filter(|group| looks.refusals && is_short(group)).map(|group| group.name.clone()).collect();
        let refusals = refusals(&short, ports, deadline).await;
        let refusals = refusals.into_iter().collect();
        let bakery = bakery?;
        let some_hosts = looks.hosts != LookAt::All;
        let partial = some_hosts || !looks.templates;
        let (templates, denied) = templates.map(|looked| (looked.found, looked.denied)).unzip();
        Ok(Seen {
            groups,
            warm,
            templates,
            denied: denied.unwrap_or_default(),
            instances,
            hosts,
            some_hosts,
            partial,
            running,
            targets,
            alarms,
            refreshes,
            refusals,
            bakery,
        })
    }

    fn plan(&self, given: &Given<'_, State>, seen: &Seen) -> Outlook<State> {
        plan(given, seen, self.afresh)
    }

    async fn apply(&self, fleet: &Fleet, planned: &Planned, ports: &P) -> Answer<()> {
        match &planned.step {
            Step::Host(step) => apply_to_hosts(fleet, step, ports).await,
            Step::Image(step) => apply_to_images(fleet, step, ports).await,
            Step::Roll(_) => Ok(()),
            Step::SetDesiredCount { .. } => {
                Err(PortError::Refused(format!("not a step of patchroll: {}", planned.step)))
            }
        }
    }

    fn settle(&self, state: &mut State, applied: &Applied<'_>) {
        state.settle(applied);
    }

    fn tells(&self, given: &Given<'_, State>, outlook: &Outlook<State>) -> Option<Tell> {
        let units = outlook.state.borrows;
        let known = given.board.borrow;
        let old = given.now.duration_since(known.at).unsigned_abs() >= ASKS_AGAIN;
        (units != known.units || (units > 0 && old)).then_some(Tell::Borrow(Borrow {
            at: given.now,
            units,
            would: false,
        }))
    }

    fn view(&self, given: &Given<'_, State>, seen: &Seen, outlook: &Outlook<State>) -> Option<PatchView> {
        let none = Patch::default();
        let policy = given.fleet.patch.as_ref().unwrap_or(&none);
        Some(view(given, policy, seen, outlook))
    }
}

/// The groups that a roll could be about: an instance refresh of an empty one is nobody's concern.
fn concerned(given: &Given<'_, State>) -> Vec<GroupName> {
    let pools: BTreeSet<&PoolName> = given.state.hosts.values().map(|note| &note.pool).collect();
    let pools = given.fleet.pools.iter().filter(|pool| pools.contains(&pool.name));
    pools.map(|pool| pool.auto_scaling_group.clone()).collect()
}

/// What waits in the groups' warm pools: a group without one costs no call, and neither does a turn that decides nothing by it.
async fn warm<P: Ports>(looks: &Looks, groups: &[Group], ports: &P, deadline: Timestamp) -> Answer<Warm> {
    let asked = groups.iter().filter(|group| looks.templates && group.warm_pool);
    let answers = asked.map(async |group| {
        let found = retry(ports, deadline, || ports.warm_members(&group.name)).await?;
        Ok((group.name.clone(), found))
    });
    try_join_all(answers).await.map(|found| found.into_iter().collect())
}

type Warm = BTreeMap<GroupName, Vec<WarmMember>>;
type Second = (Option<Resolved>, Vec<Instance>, Option<Vec<Target>>);

/// What can only be asked once the groups are known.
async fn second<P: Ports>(
    given: &Given<'_, State>,
    looks: &Looks,
    (groups, warm): (&[Group], &Warm),
    ports: &P,
    deadline: Timestamp,
) -> Answer<Second> {
    // A group without hosts matters only where it is to launch a baked image.
    let matters = |group: &&Group| looks.bakery || group.warm_pool || !group.members.is_empty();
    let of = |group: &Group| group.template.iter().chain(&group.lines).cloned().collect::<Vec<_>>();
    let mut uses: Vec<TemplateUse> = groups.iter().filter(matters).flat_map(of).collect();
    if looks.bakery {
        // A version with the baked image is the newest one, whichever a group asks for.
        uses.extend(uses.clone().into_iter().map(|asks| TemplateUse { version: VersionSpec::Latest, ..asks }));
    }
    uses.sort();
    uses.dedup();
    let known = |id: &InstanceId| given.state.hosts.get(id).is_some_and(|note| note.launched.is_some());
    let in_service = groups.iter().flat_map(Group::staying).filter(|member| member.state == MemberState::InService);
    // What waits is not remembered: it is few, and starts anew when it comes into service.
    let waiting = warm.values().flatten().map(|member| &member.id);
    let ids = in_service.map(|member| &member.id).chain(waiting);
    let unknown: Vec<InstanceId> = ids.filter(|id| looks.hosts == LookAt::All && !known(id)).cloned().collect();
    let mut target_groups: Vec<TargetGroup> =
        groups.iter().flat_map(|group| group.target_groups.iter().cloned()).collect();
    target_groups.sort();
    target_groups.dedup();
    try_join3(
        async {
            if looks.templates { retry(ports, deadline, || ports.templates(&uses)).await.map(Some) } else { Ok(None) }
        },
        async {
            if unknown.is_empty() { Ok(Vec::new()) } else { retry(ports, deadline, || ports.instances(&unknown)).await }
        },
        async {
            if looks.targets && !target_groups.is_empty() {
                retry(ports, deadline, || ports.targets(&target_groups)).await.map(Some)
            } else {
                Ok(None)
            }
        },
    )
    .await
}

/// Whether a group has not even begun to launch what it should have.
fn is_short(group: &Group) -> bool {
    group.staying().count() < group.desired as usize
}

/// Refused launches. Those that cannot be read are looked at again next turn.
async fn refusals<P: Ports>(
    names: &[GroupName],
    ports: &P,
    deadline: Timestamp,
) -> Vec<(GroupName, Vec<evenkeel_model::groups::Refusal>)> {
    let answers = join_all(names.iter().map(|group| retry(ports, deadline, || ports.refusals(group)))).await;
    names.iter().zip(answers).filter_map(|(group, answer)| Some((group.clone(), answer.ok()?))).collect()
}

/// Builders, images and the base image, which may not be there without that being an error of the turn.
async fn bakery<P: Ports>(fleet: &Fleet, ports: &P, deadline: Timestamp) -> Answer<Bakery> {
    let Some(bake) = fleet.patch.as_ref().and_then(|policy| policy.bake.as_ref()) else {
        return Ok(Bakery::default());
    };
    let prefix = prefix(&fleet.name);
    let base = async {
        match retry(ports, deadline, || ports.base_image(&bake.base_image_parameter)).await {
            Ok(image) => Ok(Some(Ok(image))),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => Ok(Some(Err(error.to_string()))),
        }
    };
    let (base, builders, images) = try_join3(
        base,
        retry(ports, deadline, || ports.builders(&fleet.name)),
        retry(ports, deadline, || ports.images(&fleet.name, &prefix)),
    )
    .await?;
    Ok(Bakery { base, builders, images })
}

async fn apply_to_hosts<P: Ports>(fleet: &Fleet, step: &HostStep, ports: &P) -> Answer<()> {
    match (step, &fleet.cluster) {
        (HostStep::SetCapacity { pool: _, group, from: _, to }, _) => ports.set_capacity(group, *to).await,
        (HostStep::SetStatus { hosts, status }, Some(cluster)) => ports.set_status(cluster, hosts, *status).await,
        (HostStep::Mark { hosts, old }, Some(cluster)) => ports.mark_old(cluster, hosts, *old).await,
        (HostStep::Terminate { host, pool: _, shrink }, _) => gone_is_fine(ports.terminate(host, *shrink).await),
        (HostStep::EndWarm { host, pool: _ }, _) => gone_is_fine(ports.end_warm(host).await),
        (HostStep::Lost { .. }, _) => Ok(()),
        (HostStep::SetStatus { .. } | HostStep::Mark { .. }, None) => {
            Err(PortError::Refused("the fleet has no cluster".to_owned()))
        }
    }
}

async fn apply_to_images<P: Ports>(fleet: &Fleet, step: &ImageStep, ports: &P) -> Answer<()> {
    match step {
        ImageStep::RunBuilder { roll, launch } => {
            let bake = fleet.patch.as_ref().and_then(|policy| policy.bake.as_ref());
            let commands = bake.map_or(&[][..], |bake| &bake.commands);
            ports.run_builder(&fleet.name, roll, launch, commands).await
        }
        ImageStep::MakeImage { roll, builder, name } => ports.make_image(&fleet.name, roll, builder, name).await,
        ImageStep::EndBuilder { builder } => gone_is_fine(ports.end_builder(builder).await),
        ImageStep::DeleteImage { image } => gone_is_fine(ports.delete_image(image).await),
        ImageStep::NewVersion { from, image, note } => ports.new_version(from, image, note).await,
        ImageStep::SetDefault { template, version } => ports.set_default(template, *version).await,
        ImageStep::UseVersion { pool: _, group, template } => ports.use_version(group, template).await,
    }
}

/// What is gone already is what was wanted.
fn gone_is_fine(answer: Answer<()>) -> Answer<()> {
    match answer {
        Err(PortError::NotFound(_)) => Ok(()),
        answer => answer,
    }
}
