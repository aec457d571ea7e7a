//! What tasks need and hosts have: CPU units, memory, GPUs and static host ports.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// CPU units (1,024 for a vCPU), memory in MiB and whole GPUs: what ECS counts when it places a task.
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
}

impl Resources {
    /// CPU units and MiB, without GPUs.
    #[must_use]
    pub const fn new(cpu: u32, memory: u32) -> Self {
        Self { cpu, memory, gpu: 0 }
    }

    /// The three kinds in a fixed order, for rules that treat them alike.
    #[must_use]
    pub const fn parts(self) -> [u32; 3] {
        [self.cpu, self.memory, self.gpu]
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
        }
    }

    /// Takes away, stopping at zero (a host may have registered less than its tasks reserve after a resize).
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            gpu: self.gpu.saturating_sub(other.gpu),
        }
    }

    /// `self` taken `count` times.
    #[must_use]
    pub const fn scaled(self, count: u32) -> Self {
        Self {
            cpu: self.cpu.saturating_mul(count),
            memory: self.memory.saturating_mul(count),
            gpu: self.gpu.saturating_mul(count),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory, gpu } = *self;
        write!(f, "{cpu} CPU units, {memory} MiB")?;
        if gpu > 0 {
            write!(f, ", {gpu} GPU")?;
        }
        Ok(())
    }
}

/// What is free on a host, or what a task takes: resources and static host ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Room {
    /// CPU, memory and GPUs.
    #[serde(flatten)]
    pub resources: Resources,
    /// Static host ports: those a task needs, or those that are taken on a host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<u16>,
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
        let host = Resources { cpu: 2048, memory: 3900, gpu: 0 };
        assert_eq!(host.times(Resources::new(256, 512)), 7);
        assert_eq!(host.times(Resources::new(1024, 512)), 2);
        assert_eq!(host.times(Resources { cpu: 1, memory: 1, gpu: 1 }), 0);
        assert_eq!(host.times(Resources::default()), u32::MAX);
    }
}
