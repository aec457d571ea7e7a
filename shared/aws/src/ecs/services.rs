//! Services, with what of their task definitions and target groups matters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::{
    CapacityProviderStrategyItem, DeploymentControllerType, DeploymentRolloutState, LaunchType, PlacementConstraint,
    PlacementStrategy, SchedulingStrategy, Service, TaskSet,
};
use evenkeel_model::observed::{Constraint, EcsService, Field, HandsOff, Leaving, Placement, ProviderShare};
use evenkeel_model::resources::Room;
use evenkeel_model::{ClusterName, ProviderName, ServiceName, TaskId, Timestamp};
use evenkeel_turn::ports::Answer;
use futures_util::future::try_join4;

use super::definitions::{Definition, STOP_TIMEOUT};
use super::distinct;
use super::providers::Behind;
use crate::Aws;
use crate::convert::{all, count, id, timestamp};
use crate::error::port_error;

/// Services in one call (ECS API reference, DescribeServices).
const MOST_SERVICES: usize = 10;
/// The providers of every account whose tasks run on Fargate (ECS developer guide, "Amazon ECS capacity providers").
const FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];
/// Where a target group's delay is not known: the load balancer's default (Elastic Load Balancing API reference,
/// `deregistration_delay.timeout_seconds`).
const DEREGISTRATION_DELAY: Duration = Duration::from_secs(300);

impl Aws {
    pub(super) async fn ecs_services(&self, cluster: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        let pages = all(names.chunks(MOST_SERVICES).map(async |chunk| {
            let names = chunk.iter().map(|name| name.as_str().to_owned()).collect();
            let asked = self.ecs.describe_services().cluster(cluster.as_str());
            let answer = asked.set_services(Some(names)).send().await.map_err(port_error)?;
            // Its failures are services that do not exist.
            Ok(answer.services.unwrap_or_default())
        }));
        // A deleted service is shown for a while (ECS API reference, DeleteService).
        let found: Vec<Service> =
            pages.await?.into_iter().flatten().filter(|service| service.status() != Some("INACTIVE")).collect();
        let definitions = distinct(found.iter().filter_map(definition_of).map(str::to_owned));
        let providers = found.iter().flat_map(providers).map(|(provider, _)| provider).collect();
        let groups = distinct(found.iter().flat_map(target_groups));
        let also = self.settings.also;
        let delays = async { if also.deregistration_delays { self.delays(groups).await } else { Ok(BTreeMap::new()) } };
        let scaled = async {
            if also.scaled_elsewhere { self.scaled_elsewhere(cluster, names).await } else { Ok(BTreeSet::new()) }
        };
        let asked = try_join4(self.definitions(definitions), delays, scaled, self.providers(&providers));
        let (definitions, delays, scaled, behind) = asked.await?;
        let of = |found: &Service| {
            let definition = definition_of(found).and_then(|arn| definitions.get(arn)).and_then(Option::as_deref);
            let mut service = service(found, definition, &delays, &behind)?;
            if scaled.contains(&service.name) {
                service.hands_off.get_or_insert(HandsOff::ScaledElsewhere);
            }
            Some(service)
        };
        Ok(found.iter().filter_map(of).collect())
    }

    #[cfg(not(feature = "applicationautoscaling"))]
    #[expect(clippy::unused_async, reason = "with the feature applicationautoscaling it asks")]
    async fn scaled_elsewhere(&self, _: &ClusterName, _: &[ServiceName]) -> Answer<BTreeSet<ServiceName>> {
        Ok(BTreeSet::new())
    }

    #[cfg(not(feature = "elb"))]
    #[expect(clippy::unused_async, reason = "with the feature elb it asks")]
    async fn delays(&self, _: Vec<String>) -> Answer<BTreeMap<String, Duration>> {
        Ok(BTreeMap::new())
    }

    /// The deregistration delays of these target groups. People change them rarely, so they are asked for rarely.
    #[cfg(feature = "elb")]
    async fn delays(&self, groups: Vec<String>) -> Answer<BTreeMap<String, Duration>> {
        use evenkeel_turn::ports::{Clock, PortError};

        const READ_AGAIN: Duration = Duration::from_secs(600);
        let now = self.now();
        let known = self.known.lock().delays.clone();
        let fresh = |group: &String| {
            known.get(group).is_some_and(|(at, _)| now.duration_since(*at).unsigned_abs() < READ_AGAIN)
        };
        let found = all(groups.iter().filter(|group| !fresh(group)).map(async |group| {
            match self.deregistration_delay(group).await {
                // A target group that is gone lets nobody wait.
                Err(PortError::NotFound(_)) => Ok((group.clone(), (now, Duration::ZERO))),
                answer => Ok((group.clone(), (now, answer?.unwrap_or(DEREGISTRATION_DELAY)))),
            }
        }))
        .await?;
        let mut inner = self.known.lock();
        inner.delays.extend(found);
        Ok(groups.into_iter().filter_map(|group| inner.delays.get(&group).map(|(_, delay)| (group, *delay))).collect())
    }
}

/// The task definition of its tasks; one whose task sets are made by others has none of its own.
fn definition_of(found: &Service) -> Option<&str> {
    found.task_definition().or_else(|| primary(found)?.task_definition())
}

fn primary(found: &Service) -> Option<&TaskSet> {
    found.task_sets().iter().find(|set| set.status() == Some("PRIMARY"))
}

/// Its strategy, that of its task sets included.
fn strategy(found: &Service) -> &[CapacityProviderStrategyItem] {
    let own = found.capacity_provider_strategy();
    if own.is_empty() { primary(found).map_or(&[], |set| set.capacity_provider_strategy()) } else { own }
}

/// The capacity providers whose hosts its tasks go to, those of Fargate left out.
fn providers(found: &Service) -> impl Iterator<Item = (ProviderName, &CapacityProviderStrategyItem)> {
    let own = strategy(found).iter().filter(|item| !FARGATE.contains(&item.capacity_provider()));
    own.filter_map(|item| Some((id(Some(item.capacity_provider()))?, item)))
}

/// What part of its tasks goes to each.
fn shares(found: &Service, behind: &BTreeMap<ProviderName, Behind>) -> Vec<ProviderShare> {
    let share = |(provider, item): (ProviderName, &CapacityProviderStrategyItem)| {
        let [base, weight] = [item.base(), item.weight()].map(|number| count(Some(number)));
        let group = match behind.get(&provider) {
            Some(Behind::Group(group)) => Some(group.clone()),
            Some(Behind::ManagedInstances | Behind::Unknown) | None => None,
        };
        ProviderShare { provider, base, weight, group }
    };
    providers(found).map(share).collect()
}

/// A service; none where its task definition says nothing although its count is ours, so that there is nothing to count with.
fn service(
    found: &Service,
    definition: Option<&Definition>,
    delays: &BTreeMap<String, Duration>,
    behind: &BTreeMap<ProviderName, Behind>,
) -> Option<EcsService> {
    let hands_off = hands_off(found, behind);
    if definition.is_none() && hands_off.is_none() {
        return None;
    }
    let configuration = found.deployment_configuration();
    let default = Leaving::default();
    let percent = |given: Option<i32>, default: u32| given.map_or(default, |percent| count(Some(percent)));
    let delay = |group: String| delays.get(&group).copied().unwrap_or(DEREGISTRATION_DELAY);
    let own = found.placement_constraints().iter().filter_map(constraint);
    Some(EcsService {
        name: id(found.service_name())?,
        desired: count(Some(found.desired_count())),
        task: definition.map_or_else(Room::default, Definition::room),
        strategy: found.placement_strategy().iter().filter_map(placement).collect(),
        constraints: own.chain(definition.into_iter().flat_map(|definition| definition.constraints.clone())).collect(),
        providers: shares(found, behind),
        stop_timeout: definition.map_or(STOP_TIMEOUT, |definition| definition.stop_timeout),
        leaving: Leaving {
            minimum_percent: percent(configuration.and_then(|c| c.minimum_healthy_percent()), default.minimum_percent),
            maximum_percent: percent(configuration.and_then(|c| c.maximum_percent()), default.maximum_percent),
            deregistration_delay: target_groups(found).into_iter().map(delay).max().unwrap_or_default(),
        },
        hands_off,
        placement_failed: placement_failed(found),
        told_of: told_of(found),
        counted: count(Some(found.running_count())) + count(Some(found.pending_count())),
    })
}

/// A first deployment that has not settled is no reason: it would not settle while its count is left alone.
fn hands_off(found: &Service, behind: &BTreeMap<ProviderName, Behind>) -> Option<HandsOff> {
    if found.status() == Some("DRAINING") {
        return Some(HandsOff::Deleted);
    }
    if found.scheduling_strategy() == Some(&SchedulingStrategy::Daemon) {
        return Some(HandsOff::Daemon);
    }
    runs_elsewhere(found, behind).or_else(|| deploys(found))
}

/// Whether its tasks run on no host of an Auto Scaling group.
fn runs_elsewhere(found: &Service, behind: &BTreeMap<ProviderName, Behind>) -> Option<HandsOff> {
    let launch = found.launch_type().or_else(|| primary(found)?.launch_type());
    let on_fargate = strategy(found).iter().any(|item| FARGATE.contains(&item.capacity_provider()));
    match launch {
        Some(LaunchType::Fargate) => Some(HandsOff::Fargate),
        Some(LaunchType::External) => Some(HandsOff::Anywhere),
        Some(LaunchType::ManagedInstances) => Some(HandsOff::ManagedInstances),
        _ if on_fargate => Some(HandsOff::Fargate),
        _ => {
            let managed = |share: &ProviderShare| behind.get(&share.provider) == Some(&Behind::ManagedInstances);
            shares(found, behind).iter().any(managed).then_some(HandsOff::ManagedInstances)
        }
    }
}

/// Whether ECS, or who makes its task sets, starts and stops tasks without regard to its count.
fn deploys(found: &Service) -> Option<HandsOff> {
    let failed = found.deployments().iter().any(|deployment| {
        deployment.status() == Some("PRIMARY") && deployment.rollout_state() == Some(&DeploymentRolloutState::Failed)
    });
    if failed {
        return Some(HandsOff::DeploymentFailed);
    }
    if found.deployments().len() > 1 || found.task_sets().len() > 1 {
        return Some(HandsOff::Deploying);
    }
    let by_others = found.deployment_controller().map(|controller| controller.r#type());
    // A task set of a part of the service follows its count by that part only.
    let whole = |set: &TaskSet| set.scale().is_none_or(|scale| scale.value() >= 100.0);
    let in_parts = by_others == Some(&DeploymentControllerType::External) && !primary(found).is_some_and(whole);
    in_parts.then_some(HandsOff::TaskSets)
}

/// ECS keeps a hundred events of a service; one that repeats itself is written again after hours only.
fn placement_failed(found: &Service) -> Option<Timestamp> {
    let failures = found
        .events()
        .iter()
        .filter(|event| event.message().is_some_and(|message| message.contains("was unable to place a task")));
    failures.filter_map(|event| timestamp(event.created_at()?)).max()
}

/// Its scheduler names tasks in its events: "(service web) has started 2 tasks: (task 1a2b) (task 3c4d)." and the same with "has
/// stopped 2 running tasks".
fn told_of(found: &Service) -> BTreeMap<TaskId, Timestamp> {
    let mut told_of: BTreeMap<TaskId, Timestamp> = BTreeMap::new();
    for event in found.events() {
        let (Some(message), Some(at)) = (event.message(), event.created_at().and_then(timestamp)) else { continue };
        if !message.contains(") has started ") && !message.contains(") has stopped ") {
            continue;
        }
        let named = message.split("(task ").skip(1).filter_map(|rest| id(rest.split_once(')').map(|(task, _)| task)));
        for task in named {
            let newest = told_of.entry(task).or_insert(at);
            *newest = at.max(*newest);
        }
    }
    told_of
}

fn target_groups(found: &Service) -> Vec<String> {
    let sets = found.task_sets().iter().flat_map(|set| set.load_balancers());
    let balancers = found.load_balancers().iter().chain(sets);
    balancers.filter_map(|balancer| balancer.target_group_arn()).map(str::to_owned).collect()
}

/// Fields come in upper and lower case, with and without `attribute:` (ECS API reference, PlacementStrategy).
fn placement(found: &PlacementStrategy) -> Option<Placement> {
    let field = found.field().unwrap_or_default();
    match found.r#type()?.as_str() {
        "binpack" if field.eq_ignore_ascii_case("cpu") => Some(Placement::Binpack(Field::Cpu)),
        "binpack" => Some(Placement::Binpack(Field::Memory)),
        "spread" if field.eq_ignore_ascii_case("host") || field.eq_ignore_ascii_case("instanceId") => {
            Some(Placement::Spread("instanceId".to_owned()))
        }
        "spread" => Some(Placement::Spread(field.strip_prefix("attribute:").unwrap_or(field).to_owned())),
        "random" => Some(Placement::Random),
        _ => None,
    }
}

fn constraint(found: &PlacementConstraint) -> Option<Constraint> {
    match found.r#type()?.as_str() {
        "distinctInstance" => Some(Constraint::DistinctInstance),
        "memberOf" => Some(Constraint::MemberOf(found.expression()?.to_owned())),
        _ => None,
    }
}
