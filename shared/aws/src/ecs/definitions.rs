//! Task definitions: what a task needs of its host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ecs::types::{
    Attribute, ContainerDefinition, ContainerOverride, CpuArchitecture, NetworkMode, ResourceRequirement, ResourceType,
    RuntimePlatform, Task, TaskDefinition, TransportProtocol,
};
use evenkeel_model::observed::Constraint;
use evenkeel_model::resources::{Port, Resources, Room};
use evenkeel_turn::ports::{Answer, PortError};

use crate::Aws;
use crate::convert::{all, count};
use crate::error::port_error;

/// ECS's default on EC2 where neither the container nor the agent says otherwise (ECS developer guide, `stopTimeout`).
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What matters of a task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// What the task as a whole says; ECS reserves that instead of what its containers say.
    cpu: Option<u32>,
    memory: Option<u32>,
    containers: Vec<Container>,
    ports: BTreeSet<Port>,
    /// Network interfaces of its own.
    interfaces: u32,
    /// Where its tasks may be, whatever the service says.
    pub(super) constraints: Vec<Constraint>,
    /// The longest of its containers.
    pub(super) stop_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    name: String,
    cpu: u32,
    /// The hard limit.
    memory: Option<u32>,
    /// The soft limit, which is what ECS reserves where there is one.
    reservation: Option<u32>,
    gpu: u32,
}

impl Definition {
    /// What one task without overrides needs.
    pub(super) fn room(&self) -> Room {
        self.with(None, None, &[])
    }

    fn with(&self, cpu: Option<u32>, memory: Option<u32>, overrides: &[ContainerOverride]) -> Room {
        let mut sum = Resources::default();
        for container in &self.containers {
            let over = overrides.iter().find(|over| over.name() == Some(container.name.as_str()));
            sum = sum.plus(container.with(over));
        }
        let cpu = cpu.or(self.cpu).unwrap_or(sum.cpu);
        let memory = memory.or(self.memory).unwrap_or(sum.memory);
        let resources = Resources { cpu, memory, gpu: sum.gpu, interfaces: self.interfaces };
        Room { resources, ports: self.ports.clone() }
    }
}

impl Container {
    fn with(&self, over: Option<&ContainerOverride>) -> Resources {
        let number = |field: Option<i32>| field.map(|number| count(Some(number)));
        let memory = over.and_then(|over| number(over.memory())).or(self.memory);
        let reservation = over.and_then(|over| number(over.memory_reservation())).or(self.reservation);
        let gpu = over.map(|over| gpus(over.resource_requirements())).filter(|gpu| *gpu > 0);
        Resources {
            cpu: over.and_then(|over| number(over.cpu())).unwrap_or(self.cpu),
            memory: reservation.or(memory).unwrap_or(0),
            gpu: gpu.unwrap_or(self.gpu),
            interfaces: 0,
        }
    }
}

impl Aws {
    /// These task definitions by ARN; none for one that cannot be described any more.
    pub(super) async fn definitions(&self, arns: Vec<String>) -> Answer<BTreeMap<String, Option<Arc<Definition>>>> {
        let known = self.known.lock().definitions.clone();
        let unknown: Vec<&String> = arns.iter().filter(|arn| !known.contains_key(*arn)).collect();
        let found = all(unknown.iter().map(async |arn| {
            match self.ecs.describe_task_definition().task_definition(arn.as_str()).send().await.map_err(port_error) {
                Ok(answer) => Ok(((*arn).clone(), answer.task_definition.map(|found| Arc::new(definition(&found))))),
                Err(PortError::NotFound(_)) => Ok(((*arn).clone(), None)),
                Err(error) => Err(error),
            }
        }))
        .await?;
        let mut inner = self.known.lock();
        inner.definitions.extend(found);
        let of = |arn: String| inner.definitions.get(&arn).map(|found| (arn.clone(), found.clone()));
        Ok(arns.into_iter().filter_map(of).collect())
    }
}

/// What a running task takes, the overrides of whoever started it included.
pub(super) fn room_of(task: &Task, definition: Option<&Definition>) -> Room {
    let over = task.overrides();
    let cpu = over.and_then(|over| units(over.cpu()));
    let memory = over.and_then(|over| mebibytes(over.memory()));
    match definition {
        Some(definition) => definition.with(cpu, memory, over.map_or(&[], |over| over.container_overrides())),
        None => {
            // What the answer itself says; `cpu` may be empty, absent, or the word null.
            let part = |container: &aws_sdk_ecs::types::Container| {
                let reservation = mebibytes(container.memory_reservation()).filter(|memory| *memory > 0);
                Resources {
                    cpu: units(container.cpu()).unwrap_or(0),
                    memory: reservation.or_else(|| mebibytes(container.memory())).unwrap_or(0),
                    gpu: u32::try_from(container.gpu_ids().len()).unwrap_or(0),
                    interfaces: 0,
                }
            };
            let sum = task.containers().iter().map(part).fold(Resources::default(), Resources::plus);
            let cpu = cpu.or_else(|| units(task.cpu())).unwrap_or(sum.cpu);
            let memory = memory.or_else(|| mebibytes(task.memory())).unwrap_or(sum.memory);
            let own_address =
                task.attachments().iter().any(|attached| attached.r#type() == Some("ElasticNetworkInterface"));
            let resources = Resources { cpu, memory, gpu: sum.gpu, interfaces: u32::from(own_address) };
            Room { resources, ports: BTreeSet::new() }
        }
    }
}

fn definition(found: &TaskDefinition) -> Definition {
    let network = found.network_mode();
    let timeout = |container: &ContainerDefinition| {
        container.stop_timeout().map_or(STOP_TIMEOUT, |seconds| Duration::from_secs(count(Some(seconds)).into()))
    };
    let definitions = found.container_definitions();
    Definition {
        cpu: units(found.cpu()),
        memory: mebibytes(found.memory()),
        containers: definitions.iter().map(container).collect(),
        ports: definitions.iter().flat_map(|container| static_ports(container, network)).collect(),
        interfaces: u32::from(network == Some(&NetworkMode::Awsvpc)),
        constraints: constraints(found),
        stop_timeout: definitions.iter().map(timeout).max().unwrap_or(STOP_TIMEOUT),
    }
}

fn container(found: &ContainerDefinition) -> Container {
    let set = |field: Option<i32>| field.map(|number| count(Some(number)));
    Container {
        name: found.name().unwrap_or_default().to_owned(),
        cpu: count(Some(found.cpu())),
        memory: set(found.memory()),
        reservation: set(found.memory_reservation()),
        gpu: gpus(found.resource_requirements()),
    }
}

/// Where ECS places the tasks of a definition: its own constraints, the attributes that it requires of a host, and its
/// platform, which hosts tell as attributes (ECS API reference, TaskDefinition; ECS developer guide, "Amazon ECS container
/// instance attributes").
fn constraints(found: &TaskDefinition) -> Vec<Constraint> {
    let own = found.placement_constraints().iter();
    let own = own.filter_map(|constraint| constraint.expression()).map(str::to_owned);
    let requires = |attribute: &Attribute| match attribute.value() {
        Some(value) => format!("attribute:{} == {value}", attribute.name()),
        None => format!("attribute:{} exists", attribute.name()),
    };
    let platform = found.runtime_platform().into_iter().flat_map(platform);
    own.chain(found.requires_attributes().iter().map(requires)).chain(platform).map(Constraint::MemberOf).collect()
}

fn platform(found: &RuntimePlatform) -> Vec<String> {
    let architecture = match found.cpu_architecture() {
        Some(CpuArchitecture::Arm64) => Some("arm64"),
        Some(CpuArchitecture::X8664) => Some("x86_64"),
        _ => None,
    };
    // Windows versions are families of their own; hosts tell only which kind of system they are.
    let system = found.operating_system_family().map(|family| match family.as_str().starts_with("WINDOWS") {
        true => "windows",
        false => "linux",
    });
    let of = |name: &str, value: Option<&str>| value.map(|value| format!("attribute:{name} == {value}"));
    [of("ecs.cpu-architecture", architecture), of("ecs.os-type", system)].into_iter().flatten().collect()
}

/// Ports that the task takes of its host: `host` networking takes the container's own, `bridge` those that are named;
/// with `awsvpc` the task has an address of its own (ECS API reference, PortMapping).
fn static_ports(container: &ContainerDefinition, network: Option<&NetworkMode>) -> Vec<Port> {
    let of = |mapping: &aws_sdk_ecs::types::PortMapping| {
        let named = mapping.host_port().filter(|port| *port > 0);
        let port = match network {
            Some(NetworkMode::Awsvpc | NetworkMode::None) => None,
            Some(NetworkMode::Host) => named.or_else(|| mapping.container_port()),
            _ => named,
        };
        let kind = if mapping.protocol() == Some(&TransportProtocol::Udp) { Port::Udp } else { Port::Tcp };
        port.and_then(|port| u16::try_from(port).ok()).map(kind)
    };
    container.port_mappings().iter().filter_map(of).collect()
}

fn gpus(requirements: &[ResourceRequirement]) -> u32 {
    let gpu = |requirement: &&ResourceRequirement| *requirement.r#type() == ResourceType::Gpu;
    requirements.iter().filter(gpu).filter_map(|requirement| requirement.value().parse::<u32>().ok()).sum()
}

/// CPU units, as `1024` or `1 vCPU` (ECS API reference, RegisterTaskDefinition).
fn units(text: Option<&str>) -> Option<u32> {
    scaled(text?, &[("vcpu", 1024.0)])
}

/// Memory in MiB, as `2048` or `2 GB`.
fn mebibytes(text: Option<&str>) -> Option<u32> {
    scaled(text?, &[("gb", 1024.0), ("mb", 1.0)])
}

fn scaled(text: &str, words: &[(&str, f64)]) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let (number, factor) =
        words.iter().find_map(|(word, factor)| Some((text.strip_suffix(word)?, *factor))).unwrap_or((&text, 1.0));
    let value = number.trim().parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range of the type")]
    (0.0..=f64::from(u32::MAX)).contains(&value).then_some(value.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_form_that_ecs_sends() {
        let cpu = [("1024", Some(1024)), ("0.5 vCPU", Some(512)), ("1vcpu", Some(1024)), ("null", None), ("", None)];
        for (text, expect) in cpu {
            assert_eq!(units(Some(text)), expect, "{text:?}");
        }
        let memory = [("2048", Some(2048)), ("2 GB", Some(2048)), ("null", None), ("-1", None)];
        for (text, expect) in memory {
            assert_eq!(mebibytes(Some(text)), expect, "{text:?}");
        }
    }
}
