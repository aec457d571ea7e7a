//! Container instances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::{ContainerInstance, Resource};
use evenkeel_model::observed::{Host, HostStatus, Mark};
use evenkeel_model::resources::{Port, Resources};
use evenkeel_model::{ClusterName, InstanceId, Timestamp};
use evenkeel_turn::ports::{Answer, Clock, PortError};
use futures_util::future::try_join;

use super::interfaces::interfaces;
use super::{Known, MOST_IDS};
use crate::Aws;
use crate::convert::{all, count, id};
use crate::error::port_error;

/// A large cluster's container instances are listed this often although their number has not changed.
const LIST_AGAIN: Duration = Duration::from_secs(300);
/// The attribute that every host has (ECS developer guide, "Amazon ECS container instance attributes").
const ZONE: &str = "ecs.availability-zone";
/// The attribute that a host's user data may set.
const POOL: &str = "evenkeel.pool";

impl Aws {
    pub(super) async fn ecs_hosts(&self, cluster: &ClusterName) -> Answer<Vec<Host>> {
        let known = self.known.all_listed(cluster, self.now());
        // A page of a list costs as much as a count, and tells more.
        let found = if known.len() < MOST_IDS {
            let listed = self.list_all(cluster).await?;
            self.describe_hosts(cluster, &listed).await?
        } else {
            self.describe_changed(cluster, known).await?
        };
        let found = one_for_each(found.into_iter().filter(is_registered).collect());
        self.known.note_all_hosts(cluster, registrations(&found).collect());
        self.hosts_of(cluster, &found).await
    }

    /// Describes hosts that are known, and lists all only where there are more or fewer than those.
    async fn describe_changed(&self, cluster: &ClusterName, known: Vec<String>) -> Answer<Vec<ContainerInstance>> {
        let (there, mut found) = try_join(self.host_count(cluster), self.describe_hosts(cluster, &known)).await?;
        if found.iter().filter(|instance| is_counted(instance)).count() != there {
            let mut new = self.list_all(cluster).await?;
            new.retain(|arn| !known.contains(arn));
            found.extend(self.describe_hosts(cluster, &new).await?);
        }
        Ok(found)
    }

    /// How many container instances are ACTIVE or DRAINING (ECS API reference, Cluster).
    async fn host_count(&self, cluster: &ClusterName) -> Answer<usize> {
        let asked = self.ecs.describe_clusters().clusters(cluster.as_str());
        let answer = asked.send().await.map_err(port_error)?;
        let found = answer.clusters().first().ok_or_else(|| PortError::NotFound(cluster.to_string()))?;
        Ok(usize::try_from(found.registered_container_instances_count()).unwrap_or(0))
    }

    /// Lists all, and notes when.
    async fn list_all(&self, cluster: &ClusterName) -> Answer<Vec<String>> {
        let arns = self.host_arns(cluster, None).await?;
        self.known.lock().listed.insert(cluster.clone(), self.now());
        Ok(arns)
    }

    /// Those of these instances that are in the cluster. Two calls at once at most, one where all are known.
    pub(super) async fn ecs_some_hosts(&self, cluster: &ClusterName, instances: &[InstanceId]) -> Answer<Vec<Host>> {
        let asked: BTreeSet<&InstanceId> = instances.iter().collect();
        let (mut arns, mut unknown) = (Vec::new(), Vec::new());
        for host in &asked {
            match self.known.arn_of(cluster, host) {
                // A host whose agent is away may have registered anew.
                Some(known) if known.connected => arns.push(known.arn),
                Some(_) | None => unknown.push(*host),
            }
        }
        let known = async {
            let found = self.describe_hosts(cluster, &arns).await?;
            self.note_hosts(cluster, &arns, &found);
            Ok(found)
        };
        let (mut found, joined) = try_join(known, self.find_hosts(cluster, &unknown)).await?;
        found.extend(joined);
        let mut found = one_for_each(found.into_iter().filter(is_registered).collect());
        found.retain(|instance| id(instance.ec2_instance_id()).is_some_and(|id: InstanceId| asked.contains(&id)));
        self.hosts_of(cluster, &found).await
    }

    async fn hosts_of(&self, cluster: &ClusterName, found: &[ContainerInstance]) -> Answer<Vec<Host>> {
        let mut hosts: Vec<Host> = found.iter().filter_map(host).collect();
        let (leftovers, limits) = tokio::join!(self.leftovers(cluster, found), self.interface_limits(&hosts));
        let leftovers = leftovers?;
        let arns = found.iter().filter_map(|instance| Some((instance.ec2_instance_id()?, instance)));
        let arns: BTreeMap<&str, &ContainerInstance> = arns.collect();
        for host in &mut hosts {
            let arn = arns.get(host.id.as_str()).and_then(|instance| instance.container_instance_arn());
            host.task_count += arn.and_then(|arn| leftovers.get(arn)).unwrap_or(&0);
            host.registered.interfaces = interfaces(host, &limits);
        }
        Ok(hosts)
    }

    /// Looks for hosts by their EC2 instances (ECS developer guide, "Cluster query language").
    async fn find_hosts(&self, cluster: &ClusterName, hosts: &[&InstanceId]) -> Answer<Vec<ContainerInstance>> {
        let pages = all(hosts.chunks(MOST_IDS).map(async |chunk| {
            let quoted: Vec<String> = chunk.iter().map(|host| format!("'{host}'")).collect();
            let filter = format!("ec2InstanceId in [{}]", quoted.join(", "));
            let arns = self.host_arns(cluster, Some(&filter)).await?;
            let found = self.describe_hosts(cluster, &arns).await?;
            self.note_hosts(cluster, &arns, &found);
            Ok(found)
        }));
        Ok(pages.await?.into_iter().flatten().collect())
    }

    /// Notes what a look at these registrations said; those that are there no more are forgotten.
    fn note_hosts(&self, cluster: &ClusterName, asked: &[String], found: &[ContainerInstance]) {
        let mut inner = self.known.lock();
        let hosts = inner.hosts.entry(cluster.clone()).or_default();
        hosts.retain(|arn, _| !asked.contains(arn));
        let there: Vec<ContainerInstance> = found.iter().filter(|instance| is_registered(instance)).cloned().collect();
        hosts.extend(registrations(&there));
    }

    /// All container instances that are not INACTIVE, or those that `filter` lets through.
    async fn host_arns(&self, cluster: &ClusterName, filter: Option<&str>) -> Answer<Vec<String>> {
        let list = self.ecs.list_container_instances().cluster(cluster.as_str());
        let pages = list.set_filter(filter.map(str::to_owned)).into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)
    }

    async fn describe_hosts(&self, cluster: &ClusterName, arns: &[String]) -> Answer<Vec<ContainerInstance>> {
        let pages = all(arns.chunks(MOST_IDS).map(async |chunk| {
            let asked = self.ecs.describe_container_instances().cluster(cluster.as_str());
            let answer = asked.set_container_instances(Some(chunk.to_vec())).send().await.map_err(port_error)?;
            // Its failures are hosts that left since they were listed.
            Ok(answer.container_instances.unwrap_or_default())
        }));
        Ok(pages.await?.into_iter().flatten().collect())
    }

    /// The EC2 instances of these container instances; those that this process has not seen are asked for.
    pub(super) async fn instances_of(
        &self,
        cluster: &ClusterName,
        arns: BTreeSet<String>,
    ) -> Answer<BTreeMap<String, InstanceId>> {
        let known = |aws: &Self| -> BTreeMap<String, InstanceId> {
            let inner = aws.known.lock();
            let hosts = inner.hosts.get(cluster).into_iter().flatten();
            hosts.map(|(arn, registration)| (arn.clone(), registration.host.clone())).collect()
        };
        let before = known(self);
        let unknown: Vec<String> = arns.into_iter().filter(|arn| !before.contains_key(arn)).collect();
        if unknown.is_empty() {
            return Ok(before);
        }
        let found = self.describe_hosts(cluster, &unknown).await?;
        self.note_hosts(cluster, &unknown, &found);
        Ok(known(self))
    }

    /// The ARNs of these hosts, as far as they are in the cluster. Only those that this process has not seen are asked
    /// for.
    pub(super) async fn arns_of(&self, cluster: &ClusterName, hosts: &[InstanceId]) -> Answer<Vec<String>> {
        let known = |host: &InstanceId| self.known.arn_of(cluster, host).map(|known| known.arn);
        let unknown: Vec<&InstanceId> = hosts.iter().filter(|host| known(host).is_none()).collect();
        self.find_hosts(cluster, &unknown).await?;
        Ok(hosts.iter().filter_map(known).collect())
    }
}

/// What is known of a container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    host: InstanceId,
    connected: bool,
}

/// A container instance of a host.
struct Registered {
    arn: String,
    connected: bool,
}

impl Known {
    /// Notes all hosts of a cluster; nothing is known any more of others.
    fn note_all_hosts(&self, cluster: &ClusterName, hosts: BTreeMap<String, Registration>) {
        let mut inner = self.lock();
        if let Some(leftovers) = inner.leftovers.get_mut(cluster) {
            leftovers.retain(|arn, _| hosts.contains_key(arn));
        }
        inner.hosts.insert(cluster.clone(), hosts);
    }

    /// The container instances that are known, where all were listed not long ago; none otherwise.
    fn all_listed(&self, cluster: &ClusterName, now: Timestamp) -> Vec<String> {
        let inner = self.lock();
        let recent = |at: &Timestamp| now.duration_since(*at).unsigned_abs() < LIST_AGAIN;
        let known = inner.listed.get(cluster).filter(|at| recent(at)).and_then(|_| inner.hosts.get(cluster));
        known.into_iter().flatten().map(|(arn, _)| arn.clone()).collect()
    }

    /// Where a host is registered, as far as this process knows; the registration with a connected agent counts.
    fn arn_of(&self, cluster: &ClusterName, host: &InstanceId) -> Option<Registered> {
        let inner = self.lock();
        let of_host = inner.hosts.get(cluster)?.iter().filter(|(_, registration)| registration.host == *host);
        let (arn, registration) = of_host.max_by_key(|(_, registration)| registration.connected)?;
        Some(Registered { arn: arn.clone(), connected: registration.connected })
    }
}

fn registrations(found: &[ContainerInstance]) -> impl Iterator<Item = (String, Registration)> {
    found.iter().filter_map(|instance| {
        let registration =
            Registration { host: id(instance.ec2_instance_id())?, connected: instance.agent_connected() };
        Some((instance.container_instance_arn()?.to_owned(), registration))
    })
}

/// A container instance that was deregistered can be described for a while, and is in the cluster no more (ECS API
/// reference, ContainerInstance).
fn is_registered(instance: &ContainerInstance) -> bool {
    instance.status() != Some("INACTIVE")
}

/// Whether the cluster counts it among those that are registered.
fn is_counted(instance: &ContainerInstance) -> bool {
    matches!(instance.status(), Some("ACTIVE" | "DRAINING"))
}

/// An agent that lost its memory registers its host a second time, and the first registration stays for a while: the one
/// with a connected agent is the host.
fn one_for_each(found: Vec<ContainerInstance>) -> Vec<ContainerInstance> {
    let mut by_instance: BTreeMap<String, ContainerInstance> = BTreeMap::new();
    for instance in found {
        let Some(id) = instance.ec2_instance_id() else { continue };
        let known = by_instance.get(id).is_some_and(ContainerInstance::agent_connected);
        if !known {
            by_instance.insert(id.to_owned(), instance);
        }
    }
    by_instance.into_values().collect()
}

/// A host; none without an EC2 instance.
fn host(instance: &ContainerInstance) -> Option<Host> {
    let pairs = instance.attributes().iter();
    let attributes: BTreeMap<String, String> =
        pairs.map(|pair| (pair.name().to_owned(), pair.value().unwrap_or_default().to_owned())).collect();
    let registered = instance.registered_resources();
    Some(Host {
        id: id(instance.ec2_instance_id())?,
        zone: id(attributes.get(ZONE).map(String::as_str)),
        pool: id(attributes.get(POOL).map(String::as_str)),
        registered: resources(registered),
        reserved_ports: ports(registered, "PORTS", Port::Tcp)
            .chain(ports(registered, "PORTS_UDP", Port::Udp))
            .collect(),
        provider: id(instance.capacity_provider_name()),
        status: match instance.status() {
            Some("ACTIVE") => HostStatus::Active,
            Some("DRAINING") => HostStatus::Draining,
            _ => HostStatus::Leaving,
        },
        connected: instance.agent_connected(),
        task_count: count(Some(instance.running_tasks_count())) + count(Some(instance.pending_tasks_count())),
        attributes,
        mark: Mark {
            version: u64::try_from(instance.version()).unwrap_or(0),
            running: count(Some(instance.running_tasks_count())),
            pending: count(Some(instance.pending_tasks_count())),
            remaining: Resources { gpu: 0, ..resources(instance.remaining_resources()) },
        },
    })
}

fn resources(registered: &[Resource]) -> Resources {
    let number = |name: &str| {
        let of_name = registered.iter().find(|resource| resource.name() == Some(name));
        of_name.map_or(0, |resource| count(Some(resource.integer_value())))
    };
    let gpu = u32::try_from(strings(registered, "GPU").len()).unwrap_or(0);
    Resources { cpu: number("CPU"), memory: number("MEMORY"), gpu, interfaces: 0 }
}

/// Ports of one protocol that the agent keeps for itself.
fn ports<'a>(registered: &'a [Resource], name: &str, kind: fn(u16) -> Port) -> impl Iterator<Item = Port> + use<'a> {
    strings(registered, name).iter().filter_map(|port| port.parse().ok()).map(kind)
}

fn strings<'a>(registered: &'a [Resource], name: &str) -> &'a [String] {
    registered.iter().find(|resource| resource.name() == Some(name)).map_or(&[], |found| found.string_set_value())
}
