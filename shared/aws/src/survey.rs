//! What an account holds of which a fleet could be made: read once, for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_applicationautoscaling::types::{
    MetricStatistic, ScalableDimension, ScalableTarget, ScalingPolicy, ServiceNamespace,
    TargetTrackingScalingPolicyConfiguration,
};
use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm};
use aws_sdk_ecs::types::Service;
use evenkeel_model::fleet::{MetricSource, Missing, Per, Statistic};
use evenkeel_model::groups::Group;
use evenkeel_model::observed::{Host, Signal};
use evenkeel_model::survey::{Balanced, Bought, FoundGroup, FoundPolicy, FoundService, ScalesBy, Survey};
use evenkeel_model::templates::{NoBuilder, TemplateUse};
use evenkeel_model::{AlarmName, ClusterName, GroupName, InstanceId, ProviderName, ServiceName};
use evenkeel_turn::ports::{Answer, PortError, ReadEcs, ReadGroups, ReadSignals, ReadTemplates};

use crate::Aws;
use crate::convert::{all, count, id};
use crate::error::port_error;

/// Instances in one call (Auto Scaling API reference, DescribeAutoScalingInstances).
const MOST_INSTANCES: usize = 50;
/// Names in one call (Auto Scaling API reference, DescribeAutoScalingGroups).
const MOST_NAMES: usize = 50;
/// Services in one call (ECS API reference, DescribeServices).
const MOST_SERVICES: usize = 10;
/// Target groups in one call (Elastic Load Balancing API reference, DescribeTargetGroups).
const MOST_TARGET_GROUPS: usize = 20;
/// A day has its peak and its night.
const DAY: Duration = Duration::from_secs(86_400);
const MINUTES: f64 = 1_440.0;

/// What is behind the capacity providers of a cluster.
type Providers = BTreeMap<GroupName, ProviderName>;

impl Aws {
    /// The names of all clusters.
    ///
    /// # Errors
    /// [`PortError`] where they cannot be listed.
    pub async fn clusters(&self) -> Answer<Vec<ClusterName>> {
        let arns = self.ecs.list_clusters().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let arns = arns.await.map_err(port_error)?;
        let mut names: Vec<ClusterName> = arns.iter().filter_map(|arn| id(arn.rsplit('/').next())).collect();
        names.sort();
        Ok(names)
    }

    /// Everything of a cluster, and of the groups that are named besides. What only tells more, such as alarms, may be
    /// unread; without the cluster and its groups there is nothing to tell.
    ///
    /// # Errors
    /// [`PortError`] where the cluster, its services or the groups cannot be read.
    pub async fn survey(&self, cluster: Option<&ClusterName>, named: &[GroupName]) -> Answer<Survey> {
        let mut found = Survey { cluster: cluster.cloned(), ..Survey::default() };
        let (mut providers, mut hosts) = (Providers::new(), Vec::new());
        if let Some(cluster) = cluster {
            providers = self.providers_of(cluster).await?;
            hosts = self.hosts(cluster).await?;
            found.services = self.services_of(cluster, &mut found.unread).await?;
        }
        let of_hosts = self.groups_of(&hosts).await?;
        found.strays = hosts.iter().filter(|host| !of_hosts.contains_key(&host.id)).count();
        let names: BTreeSet<&GroupName> = of_hosts.values().chain(providers.keys()).chain(named).collect();
        let names: Vec<GroupName> = names.into_iter().cloned().collect();
        found.groups = self.found_groups(&names, &providers, &hosts, &mut found.unread).await?;
        if let Some(missing) = named.iter().find(|name| !found.groups.iter().any(|one| one.group.name == **name)) {
            return Err(PortError::NotFound(format!("there is no Auto Scaling group {missing}")));
        }
        match self.alarms_about(&found).await {
            Ok(alarms) => found.alarms = alarms,
            Err(error) => found.unread.push(format!("alarms: {error}")),
        }
        Ok(found)
    }

    /// The groups behind the cluster's capacity providers.
    async fn providers_of(&self, cluster: &ClusterName) -> Answer<Providers> {
        let answer = self.ecs.describe_clusters().clusters(cluster.as_str()).send().await.map_err(port_error)?;
        let active = answer.clusters().iter().find(|found| found.status() != Some("INACTIVE"));
        let there = active.ok_or_else(|| PortError::NotFound(format!("there is no ECS cluster {cluster}")))?;
        let names: Vec<String> =
            there.capacity_providers().iter().filter(|name| !name.starts_with("FARGATE")).cloned().collect();
        if names.is_empty() {
            return Ok(Providers::new());
        }
        let asked = self.ecs.describe_capacity_providers().set_capacity_providers(Some(names));
        let answer = asked.send().await.map_err(port_error)?;
        let group = |arn: &str| id(Some(arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name)));
        let pair = |found: &aws_sdk_ecs::types::CapacityProvider| {
            Some((group(found.auto_scaling_group_provider()?.auto_scaling_group_arn())?, id(found.name())?))
        };
        Ok(answer.capacity_providers().iter().filter_map(pair).collect())
    }

    async fn groups_of(&self, hosts: &[Host]) -> Answer<BTreeMap<InstanceId, GroupName>> {
        let pages = all(hosts.chunks(MOST_INSTANCES).map(async |chunk| {
            let ids = chunk.iter().map(|host| host.id.to_string()).collect();
            let asked = self.autoscaling.describe_auto_scaling_instances().set_instance_ids(Some(ids));
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let found = pages.await?.into_iter().flatten();
        Ok(found.filter_map(|one| Some((id(one.instance_id())?, id(one.auto_scaling_group_name())?))).collect())
    }

    async fn found_groups(
        &self,
        names: &[GroupName],
        providers: &Providers,
        hosts: &[Host],
        unread: &mut Vec<String>,
    ) -> Answer<Vec<FoundGroup>> {
        let groups = self.groups(names).await?;
        let raw = all(names.chunks(MOST_NAMES).map(async |chunk| {
            let names = chunk.iter().map(ToString::to_string).collect();
            let asked = self.autoscaling.describe_auto_scaling_groups().set_auto_scaling_group_names(Some(names));
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let raw: Vec<AutoScalingGroup> = raw.await?.into_iter().flatten().collect();
        let ids: Vec<InstanceId> = groups.iter().flat_map(|group| &group.members).map(|one| one.id.clone()).collect();
        let requests = match self.spot_requests(&ids).await {
            Ok(requests) => requests,
            Err(error) => {
                unread.push(format!("spot requests: {error}"));
                Vec::new()
            }
        };
        let spot: BTreeSet<InstanceId> = requests.into_iter().map(|request| request.instance).collect();
        let spot_templates = self.spot_templates(&groups, unread).await;
        let found = |group: Group| {
            let raw = raw.iter().find(|one| one.auto_scaling_group_name() == Some(group.name.as_str()));
            let by_template = group.template.as_ref().is_some_and(|template| spot_templates.contains(template));
            let own = |host: &&Host| group.members.iter().any(|member| member.id == host.id);
            FoundGroup {
                bought: raw.map_or(Bought::OnDemand, |raw| bought(raw, by_template)),
                spot: group.members.iter().filter(|member| spot.contains(&member.id)).count(),
                provider: providers.get(&group.name).cloned(),
                room: hosts.iter().find(own).map(|host| host.registered),
                group,
            }
        };
        Ok(groups.into_iter().map(found).collect())
    }

    /// The launch templates that ask for spot instances.
    async fn spot_templates(&self, groups: &[Group], unread: &mut Vec<String>) -> BTreeSet<TemplateUse> {
        let uses: BTreeSet<TemplateUse> = groups.iter().filter_map(|group| group.template.clone()).collect();
        let uses: Vec<TemplateUse> = uses.into_iter().collect();
        if uses.is_empty() {
            return BTreeSet::new();
        }
        match self.templates(&uses).await {
            Ok(resolved) => {
                unread.extend(
                    resolved.denied.iter().map(|one| format!("launch template {}: {}", one.asks.id, one.because)),
                );
                let spot = resolved.found.into_iter().filter(|one| one.no_builder == Some(NoBuilder::Spot));
                spot.map(|one| one.asks).collect()
            }
            Err(error) => {
                unread.push(format!("launch templates: {error}"));
                BTreeSet::new()
            }
        }
    }

    async fn services_of(&self, cluster: &ClusterName, unread: &mut Vec<String>) -> Answer<Vec<FoundService>> {
        let arns = self.ecs.list_services().cluster(cluster.as_str()).into_paginator().items().send();
        let arns = arns.collect::<Result<Vec<_>, _>>().await.map_err(port_error)?;
        let mut names: Vec<ServiceName> = arns.iter().filter_map(|arn| id(arn.rsplit('/').next())).collect();
        names.sort();
        let services = self.services(cluster, &names).await?;
        let (scalable, policies) = match self.scaling_of(cluster).await {
            Ok(found) => found,
            Err(error) => {
                unread.push(format!("Application Auto Scaling: {error}"));
                (BTreeMap::new(), Vec::new())
            }
        };
        let balanced = match self.balanced(cluster, &names).await {
            Ok(found) => found,
            Err(error) => {
                unread.push(format!("load balancers: {error}"));
                BTreeMap::new()
            }
        };
        let of = |resource: &str, name: &ServiceName| resource.rsplit('/').next() == Some(name.as_str());
        let found = services.into_iter().map(|service| {
            let own = policies.iter().filter(|one| of(one.resource_id(), &service.name));
            FoundService {
                scalable: scalable.get(&service.name).copied(),
                policies: own.map(policy).collect(),
                balanced: balanced.get(&service.name).cloned().unwrap_or_default(),
                service,
            }
        });
        Ok(found.collect())
    }

    /// The scalable targets of a cluster's services, with their least and most, and all policies.
    async fn scaling_of(
        &self,
        cluster: &ClusterName,
    ) -> Answer<(BTreeMap<ServiceName, (u32, u32)>, Vec<ScalingPolicy>)> {
        let (namespace, dimension) = (ServiceNamespace::Ecs, ScalableDimension::EcsServiceDesiredCount);
        let begins = format!("service/{cluster}/");
        let targets = self.applicationautoscaling.describe_scalable_targets().service_namespace(namespace.clone());
        let targets = targets.scalable_dimension(dimension.clone()).into_paginator().items().send();
        let targets: Vec<ScalableTarget> = targets.collect::<Result<Vec<_>, _>>().await.map_err(port_error)?;
        let policies = self.applicationautoscaling.describe_scaling_policies().service_namespace(namespace);
        let policies = policies.scalable_dimension(dimension).into_paginator().items().send();
        let mut policies = policies.collect::<Result<Vec<_>, _>>().await.map_err(port_error)?;
        policies.retain(|policy| policy.resource_id().starts_with(&begins));
        policies.sort_by(|one, other| one.policy_name().cmp(other.policy_name()));
        let ours = targets.iter().filter_map(|target| {
            let name = id(target.resource_id().strip_prefix(&begins))?;
            Some((name, (count(Some(target.min_capacity())), count(Some(target.max_capacity())))))
        });
        Ok((ours.collect(), policies))
    }

    /// The services' target groups behind Application Load Balancers.
    async fn balanced(
        &self,
        cluster: &ClusterName,
        names: &[ServiceName],
    ) -> Answer<BTreeMap<ServiceName, Vec<Balanced>>> {
        let pages = all(names.chunks(MOST_SERVICES).map(async |chunk| {
            let names = chunk.iter().map(ToString::to_string).collect();
            let asked = self.ecs.describe_services().cluster(cluster.as_str()).set_services(Some(names));
            Ok(asked.send().await.map_err(port_error)?.services.unwrap_or_default())
        }));
        let services: Vec<Service> = pages.await?.into_iter().flatten().collect();
        let targets = |found: &Service| -> Vec<String> {
            found.load_balancers().iter().filter_map(|one| one.target_group_arn().map(str::to_owned)).collect()
        };
        let arns: BTreeSet<String> = services.iter().flat_map(targets).collect();
        let arns: Vec<String> = arns.into_iter().collect();
        let pages = all(arns.chunks(MOST_TARGET_GROUPS).map(async |chunk| {
            let asked = self.elb.describe_target_groups().set_target_group_arns(Some(chunk.to_vec()));
            Ok(asked.send().await.map_err(port_error)?.target_groups.unwrap_or_default())
        }));
        let known: BTreeMap<String, Balanced> = pages
            .await?
            .into_iter()
            .flatten()
            .filter_map(|found| {
                let arn = found.target_group_arn()?;
                Some((arn.to_owned(), Balanced::of_arns(found.load_balancer_arns().first()?, arn)?))
            })
            .collect();
        let known = self.with_requests(known).await;
        let of = |found: &Service| -> Option<(ServiceName, Vec<Balanced>)> {
            Some((id(found.service_name())?, targets(found).iter().filter_map(|arn| known.get(arn).cloned()).collect()))
        };
        Ok(services.iter().filter_map(of).collect())
    }

    /// With what each target got in a minute of the last day, as far as it can be read: it is only a suggestion.
    async fn with_requests(&self, mut known: BTreeMap<String, Balanced>) -> BTreeMap<String, Balanced> {
        let source = |found: &Balanced| {
            let dimension = |name: &str, value: &String| (name.to_owned(), value.clone());
            Some(MetricSource {
                metric: id(Some("AWS/ApplicationELB/RequestCountPerTarget"))?,
                statistic: Statistic::Sum,
                period: DAY,
                dimensions: BTreeMap::from([
                    dimension("LoadBalancer", &found.load_balancer),
                    dimension("TargetGroup", &found.target_group),
                ]),
                missing: Missing::Hold,
                per: Some(Per::Period),
            })
        };
        let sources: Vec<MetricSource> = known.values().filter_map(source).collect();
        if sources.len() != known.len() || sources.is_empty() {
            return known;
        }
        let values = self.metrics(&sources).await.unwrap_or_default();
        for (found, value) in known.values_mut().zip(values) {
            if let Signal::Value { value, at: _ } = value {
                found.requests = (value > 0.0).then_some(value / MINUTES);
            }
        }
        known
    }

    /// Alarms with a dimension that names the cluster, a group, or a load balancer of a service.
    async fn alarms_about(&self, found: &Survey) -> Answer<Vec<AlarmName>> {
        let pages = self.cloudwatch.describe_alarms().alarm_types(AlarmType::MetricAlarm).into_paginator().send();
        let pages = pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)?;
        let mut named: BTreeSet<(&str, String)> = BTreeSet::new();
        named.extend(found.cluster.iter().map(|cluster| ("ClusterName", cluster.to_string())));
        named.extend(found.groups.iter().map(|one| ("AutoScalingGroupName", one.group.name.to_string())));
        for balanced in found.services.iter().flat_map(|service| &service.balanced) {
            named.insert(("LoadBalancer", balanced.load_balancer.clone()));
        }
        let about = |alarm: &&MetricAlarm| {
            alarm.dimensions().iter().any(|one| {
                let (name, value) = (one.name().unwrap_or_default(), one.value().unwrap_or_default().to_owned());
                named.contains(&(name, value))
            })
        };
        // Target tracking makes alarms of its own (Application Auto Scaling user guide, "Target tracking scaling policies").
        let made = |name: &str| name.starts_with("TargetTracking-");
        let alarms = pages.iter().flat_map(|page| page.metric_alarms()).filter(about);
        Ok(alarms
            .filter_map(|alarm| alarm.alarm_name().filter(|name| !made(name)))
            .filter_map(|name| id(Some(name)))
            .collect())
    }
}

/// Without a mixed instances policy the launch template tells (Auto Scaling API reference, InstancesDistribution: 0 and 100
/// where nothing is said).
fn bought(found: &AutoScalingGroup, spot_template: bool) -> Bought {
    let Some(policy) = found.mixed_instances_policy() else {
        return if spot_template { Bought::Spot } else { Bought::OnDemand };
    };
    let distribution = policy.instances_distribution();
    let base = count(distribution.and_then(|one| one.on_demand_base_capacity()));
    let percent = distribution.and_then(|one| one.on_demand_percentage_above_base_capacity());
    match (base, percent.map_or(100, |percent| count(Some(percent)))) {
        (0, 0) => Bought::Spot,
        (_, 100..) => Bought::OnDemand,
        (base, percent) => Bought::Both { base, percent },
    }
}

fn policy(found: &ScalingPolicy) -> FoundPolicy {
    let by = match found.target_tracking_scaling_policy_configuration() {
        Some(tracking) => tracks(tracking),
        None => ScalesBy::Other(format!("a policy of type {}", found.policy_type().as_str())),
    };
    FoundPolicy { name: found.policy_name().to_owned(), by }
}

fn tracks(tracking: &TargetTrackingScalingPolicyConfiguration) -> ScalesBy {
    let target = tracking.target_value();
    if let Some(own) = tracking.predefined_metric_specification() {
        let kind = own.predefined_metric_type();
        return match kind.as_str() {
            "ECSServiceAverageCPUUtilization" => ScalesBy::Cpu(target),
            "ECSServiceAverageMemoryUtilization" => ScalesBy::Memory(target),
            "ALBRequestCountPerTarget" => match own.resource_label().and_then(Balanced::of_label) {
                Some(balanced) => ScalesBy::Requests(balanced, target),
                None => ScalesBy::Other("its label names no target group".to_owned()),
            },
            // AWS adds some.
            other => ScalesBy::Other(format!("it tracks {other}")),
        };
    }
    let Some(custom) = tracking.customized_metric_specification() else {
        return ScalesBy::Other("it tracks nothing that is known".to_owned());
    };
    let (Some(namespace), Some(name)) = (custom.namespace(), custom.metric_name()) else {
        return ScalesBy::Other("it goes by metric math: publish the result as a metric, and name that".to_owned());
    };
    let statistic = match custom.statistic() {
        Some(MetricStatistic::Sum) => Statistic::Sum,
        Some(MetricStatistic::Maximum) => Statistic::Maximum,
        Some(MetricStatistic::Minimum) => Statistic::Minimum,
        Some(MetricStatistic::SampleCount) => Statistic::SampleCount,
        Some(_) | None => Statistic::Average,
    };
    let dimensions = custom.dimensions().iter().map(|one| (one.name().to_owned(), one.value().to_owned())).collect();
    ScalesBy::Metric { metric: format!("{namespace}/{name}"), statistic, dimensions, target }
}
