//! EC2 instance types: what an hour costs, and what a host's agent registers.

use evenkeel_model::Resources;
use serde::Deserialize;

use super::Usd;

/// Name, vCPU, MiB, and USD an hour on demand in us-east-1 (AWS price list, 2026).
const TYPES: [(&str, u32, u32, f64); 20] = [
    ("t3.medium", 2, 4_096, 0.0416),
    ("t3.large", 2, 8_192, 0.0832),
    ("m5.large", 2, 8_192, 0.096),
    ("m5.xlarge", 4, 16_384, 0.192),
    ("m5.2xlarge", 8, 32_768, 0.384),
    ("m5.4xlarge", 16, 65_536, 0.768),
    ("m6i.large", 2, 8_192, 0.096),
    ("m6i.xlarge", 4, 16_384, 0.192),
    ("m6g.large", 2, 8_192, 0.077),
    ("m7i.large", 2, 8_192, 0.1008),
    ("m7i.xlarge", 4, 16_384, 0.2016),
    ("m7g.large", 2, 8_192, 0.0816),
    ("c5.large", 2, 4_096, 0.085),
    ("c5.xlarge", 4, 8_192, 0.17),
    ("c6i.large", 2, 4_096, 0.085),
    ("c7g.large", 2, 4_096, 0.0725),
    ("r5.large", 2, 16_384, 0.126),
    ("r5.xlarge", 4, 32_768, 0.252),
    ("r5.16xlarge", 64, 524_288, 4.032),
    ("r6i.large", 2, 16_384, 0.126),
];

/// MiB that agents were seen to register, where known (examples of the AWS command line's `ecs` pages; for m5.large published
/// answers of describe-container-instances).
const REGISTERED: [(&str, u32); 2] = [("c5.large", 3_705), ("m5.large", 7_764)];
/// Otherwise agents register 90 to 97.5 % of the memory; this is between.
const REGISTERED_PERCENT: u32 = 94;
/// CPU units of a vCPU.
const CPU: u32 = 1_024;

/// The name of a type that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostType(usize);

/// A type that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown instance type {0:?}: give `registers` and `on_demand_usd` instead, or one of {known}", known = known())]
pub struct UnknownType(String);

fn known() -> String {
    TYPES.map(|(name, ..)| name).join(", ")
}

impl std::str::FromStr for HostType {
    type Err = UnknownType;

    fn from_str(name: &str) -> Result<Self, UnknownType> {
        TYPES.iter().position(|(known, ..)| *known == name).map(Self).ok_or_else(|| UnknownType(name.to_owned()))
    }
}

impl TryFrom<String> for HostType {
    type Error = UnknownType;

    fn try_from(name: String) -> Result<Self, UnknownType> {
        name.parse()
    }
}

impl HostType {
    /// What its agent registers.
    #[must_use]
    pub fn registers(self) -> Resources {
        let (name, vcpu, mib, _) = TYPES[self.0];
        let seen = REGISTERED.iter().find(|(known, _)| *known == name).map(|(_, mib)| *mib);
        Resources::new(CPU * vcpu, seen.unwrap_or(mib / 100 * REGISTERED_PERCENT))
    }

    /// USD an hour on demand.
    #[must_use]
    pub fn on_demand_usd(self) -> Usd {
        Usd::from(TYPES[self.0].3)
    }
}

/// One of several types that a group launches (a mixed-instances policy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedType {
    /// A type that is known here, for what the two below do not say.
    #[serde(default, rename = "type")]
    pub kind: Option<HostType>,
    /// What its agent registers; none: the type's, or the pool's.
    #[serde(default)]
    pub registers: Option<Resources>,
    /// USD an hour on demand; none: the type's, or the pool's.
    #[serde(default)]
    pub on_demand_usd: Option<Usd>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rows(name: &str) -> Option<Vec<csv::StringRecord>> {
        let path = Path::new("../../../shared/data/hosts").join(name);
        match csv::Reader::from_path(&path) {
            Ok(mut reader) => Some(reader.records().map(|row| row.expect("a row")).collect()),
            Err(error) => {
                eprintln!("skipped: {name} is not there ({error})");
                None
            }
        }
    }

    #[test]
    fn sizes_and_prices_are_those_of_the_price_list() {
        let Some(rows) = rows("instance-types.csv") else { return };
        for (name, vcpu, mib, usd) in TYPES {
            let row = rows.iter().find(|row| &row[0] == name).unwrap_or_else(|| panic!("{name} is not in the list"));
            assert_eq!((&row[1], &row[2]), (vcpu.to_string().as_str(), mib.to_string().as_str()), "{name}");
            assert!((row[7].parse::<f64>().expect("a price") - usd).abs() < 1e-6, "{name}");
        }
    }

    #[test]
    fn agents_register_what_was_seen_or_between_90_and_97_5_percent() {
        for (name, _, mib, _) in TYPES {
            let memory = name.parse::<HostType>().expect("known").registers().memory;
            assert!((0.90..0.975).contains(&(f64::from(memory) / f64::from(mib))), "{name} registers {memory}");
        }
        let Some(rows) = rows("ecs-registered.csv") else { return };
        for row in rows {
            let Ok(known) = row[0].parse::<HostType>() else { continue };
            assert_eq!(known.registers().memory.to_string(), row[4], "{}", &row[0]);
        }
    }
}
