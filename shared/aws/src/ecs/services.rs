//! Services, with what of their task definitions and target groups matters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::{PlacementConstraint, PlacementStrategy, SchedulingStrategy, Service};
use evenkeel_model::observed::{Constraint, EcsService, Field, HandsOff, Leaving, Placement};
use evenkeel_model::{ClusterName, ServiceName, Timestamp};
use evenkeel_turn::ports::Answer;
use futures_util::future::try_join3;

use super::definitions::Definition;
use super::distinct;
use crate::Aws;
use crate::convert::{all, count, id, timestamp};
use crate::error::port_error;

/// Services in one call (ECS API reference, DescribeServices).
const MOST_SERVICES: usize = 10;
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
        let definitions = distinct(found.iter().filter_map(Service::task_definition).map(str::to_owned));
        let groups = distinct(found.iter().flat_map(target_groups));
        let also = self.settings.also;
        let delays = async { if also.deregistration_delays { self.delays(groups).await } else { Ok(BTreeMap::new()) } };
        let scaled = async {
            if also.scaled_elsewhere { self.scaled_elsewhere(cluster, names).await } else { Ok(BTreeSet::new()) }
        };
        let (definitions, delays, scaled) = try_join3(self.definitions(definitions), delays, scaled).await?;
        let of = |found: &Service| {
            let definition = definitions.get(found.task_definition()?).and_then(Option::as_deref);
            let mut service = service(found, definition, &delays)?;
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

/// A service; none where its task definition says nothing, so that there is nothing to count with.
fn service(
    found: &Service,
    definition: Option<&Definition>,
    delays: &BTreeMap<String, Duration>,
) -> Option<EcsService> {
    let definition = definition?;
    let configuration = found.deployment_configuration();
    let default = Leaving::default();
    let percent = |given: Option<i32>, default: u32| given.map_or(default, |percent| count(Some(percent)));
    let delay = |group: String| delays.get(&group).copied().unwrap_or(DEREGISTRATION_DELAY);
    Some(EcsService {
        name: id(found.service_name())?,
        desired: count(Some(found.desired_count())),
        task: definition.room(),
        strategy: found.placement_strategy().iter().filter_map(placement).collect(),
        constraints: found.placement_constraints().iter().filter_map(constraint).collect(),
        stop_timeout: definition.stop_timeout,
        leaving: Leaving {
            minimum_percent: percent(configuration.and_then(|c| c.minimum_healthy_percent()), default.minimum_percent),
            maximum_percent: percent(configuration.and_then(|c| c.maximum_percent()), default.maximum_percent),
            deregistration_delay: target_groups(found).into_iter().map(delay).max().unwrap_or_default(),
        },
        hands_off: hands_off(found),
        placement_failed: placement_failed(found),
    })
}

/// A first deployment that has not settled is no reason: it would not settle while its count is left alone.
fn hands_off(found: &Service) -> Option<HandsOff> {
    if found.status() == Some("DRAINING") {
        Some(HandsOff::Deleted)
    } else if found.scheduling_strategy() == Some(&SchedulingStrategy::Daemon) {
        Some(HandsOff::Daemon)
    } else if found.deployments().len() > 1 || found.task_sets().len() > 1 {
        Some(HandsOff::Deploying)
    } else {
        None
    }
}

/// ECS keeps a hundred events of a service; one that repeats itself is written again after hours only.
fn placement_failed(found: &Service) -> Option<Timestamp> {
    let failures = found
        .events()
        .iter()
        .filter(|event| event.message().is_some_and(|message| message.contains("was unable to place a task")));
    failures.filter_map(|event| timestamp(event.created_at()?)).max()
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
