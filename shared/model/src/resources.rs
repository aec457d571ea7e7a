//! What tasks need and hosts have: CPU units, memory, GPUs, network interfaces and static host ports.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// CPU units (1,024 for a vCPU), memory in MiB, whole GPUs and network interfaces: what ECS counts when it places a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU units, 1,024 for a vCPU.
    #[serde(default)]
    pub cpu: u32,
    /// Memory in MiB.
    #[serde(default)]
    pub memory: u32,
    /// Whole GPUs.
    #[serde(default)]
    pub gpu: u32,
    /// Network interfaces: a task with the `awsvpc` network mode takes one, and a host has as many as EC2 lets it attach
    /// besides its own (ECS developer guide, "Allocate a network interface for an Amazon ECS task").
    #[serde(default, skip_serializing_if = "is_none")]
    pub interfaces: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Resources {
    /// More of everything than any task needs.
    pub const PLENTY: Self = Self { cpu: u32::MAX, memory: u32::MAX, gpu: u32::MAX, interfaces: u32::MAX };

    /// CPU units and MiB, without GPUs and network interfaces.
    #[must_use]
    pub const fn new(cpu: u32, memory: u32) -> Self {
        Self { cpu, memory, gpu: 0, interfaces: 0 }
    }

    /// The kinds in a fixed order, for rules that treat them alike.
    #[must_use]
    pub const fn parts(self) -> [u32; 4] {
        [self.cpu, self.memory, self.gpu, self.interfaces]
    }

    /// The smaller of both, kind by kind.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.min(other.cpu),
            memory: self.memory.min(other.memory),
            gpu: self.gpu.min(other.gpu),
            interfaces: self.interfaces.min(other.interfaces),
        }
    }

    /// How many things of size `need` fit at once; `u32::MAX` when `need` is nothing at all.
    #[must_use]
    pub fn times(self, need: Self) -> u32 {
        self.parts()
            .into_iter()
            .zip(need.parts())
            .filter_map(|(have, need)| have.checked_div(need))
            .min()
            .unwrap_or(u32::MAX)
    }

    /// Adds, stopping at the type's maximum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            gpu: self.gpu.saturating_add(other.gpu),
            interfaces: self.interfaces.saturating_add(other.interfaces),
        }
    }

    /// Takes away, stopping at zero (a host may have registered less than its tasks reserve after a resize).
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            gpu: self.gpu.saturating_sub(other.gpu),
            interfaces: self.interfaces.saturating_sub(other.interfaces),
        }
    }

    /// `self` taken `count` times.
    #[must_use]
    pub const fn scaled(self, count: u32) -> Self {
        Self {
            cpu: self.cpu.saturating_mul(count),
            memory: self.memory.saturating_mul(count),
            gpu: self.gpu.saturating_mul(count),
            interfaces: self.interfaces.saturating_mul(count),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory, gpu, interfaces } = *self;
        write!(f, "{cpu} CPU units, {memory} MiB")?;
        if gpu > 0 {
            write!(f, ", {gpu} GPU")?;
        }
        if interfaces > 0 {
            write!(f, ", {interfaces} network interface")?;
        }
        Ok(())
    }
}

/// A static port of a host. TCP and UDP ports of one number do not collide.
///
/// In JSON a TCP port is its number, and a UDP port a text such as `"53/udp"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// A TCP port.
    Tcp(u16),
    /// A UDP port.
    Udp(u16),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(number) => write!(f, "{number}"),
            Self::Udp(number) => write!(f, "{number}/udp"),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tcp(number) => serializer.serialize_u16(*number),
            Self::Udp(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(u16),
            Text(String),
        }
        let text = match Given::deserialize(deserializer) {
            Ok(Given::Number(number)) => return Ok(Self::Tcp(number)),
            Ok(Given::Text(text)) => text,
            Err(_) => return Err(D::Error::custom("expected a port: a number up to 65535, or a text such as 53/udp")),
        };
        let (number, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        match (number.parse(), protocol) {
            (Ok(number), "tcp") => Ok(Self::Tcp(number)),
            (Ok(number), "udp") => Ok(Self::Udp(number)),
            _ => Err(D::Error::custom(format!("{text:?} is not a port such as 53, 53/tcp or 53/udp"))),
        }
    }
}

/// What is free on a host, or what a task takes: resources and static host ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Room {
    /// CPU, memory, GPUs and network interfaces.
    #[serde(flatten)]
    pub resources: Resources,
    /// Static host ports: those a task needs, or those that are taken on a host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<Port>,
}

impl From<Resources> for Room {
    fn from(resources: Resources) -> Self {
        Self { resources, ports: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_kind_decides_how_many_fit() {
        let host = Resources::new(2048, 3900);
        assert_eq!(host.times(Resources::new(256, 512)), 7);
        assert_eq!(host.times(Resources::new(1024, 512)), 2);
        assert_eq!(host.times(Resources { gpu: 1, ..Resources::new(1, 1) }), 0);
        let with_its_own_address = Resources { interfaces: 1, ..Resources::new(1, 1) };
        assert_eq!(host.times(with_its_own_address), 0);
        assert_eq!(Resources { interfaces: 2, ..host }.times(with_its_own_address), 2);
        assert_eq!(host.times(Resources::default()), u32::MAX);
    }

    #[test]
    fn a_port_is_a_number_or_a_number_with_its_protocol() {
        let read = |text: &str| serde_json::from_str::<Port>(text).map_err(|error| error.to_string());
        for (text, port) in [("53", Port::Tcp(53)), ("\"53/tcp\"", Port::Tcp(53)), ("\"53/udp\"", Port::Udp(53))] {
            assert_eq!(read(text), Ok(port));
            assert_eq!(read(&serde_json::to_string(&port).unwrap()), Ok(port));
        }
        for bad in ["70000", "\"53/icmp\"", "\"udp\"", "[]"] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
    }
}
