//! How many tasks with network interfaces of their own a host takes.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::observed::Host;

use crate::Aws;

/// The attribute that tells a host's instance type (ECS developer guide, "Amazon ECS container instance attributes").
const TYPE: &str = "ecs.instance-type";
/// The attribute of a host with a trunk (ECS developer guide, "Increasing Amazon ECS Linux container instance network
/// interfaces").
const TRUNK: &str = "ecs.awsvpc-trunk-id";

/// Tasks on a host with a trunk, by the size of the instance type, for families whose larger sizes have 60 (ECS developer
/// guide, "Supported instances for increased Amazon ECS container network interfaces", as of 2023).
const TRUNKS: [(&str, u32); 12] = [
    ("medium", 4),
    ("large", 10),
    ("xlarge", 20),
    ("2xlarge", 40),
    ("4xlarge", 60),
    ("8xlarge", 60),
    ("9xlarge", 60),
    ("12xlarge", 60),
    ("16xlarge", 120),
    ("18xlarge", 120),
    ("24xlarge", 120),
    ("metal", 120),
];
/// Families that follow that.
const WITH_SIXTY: [&str; 27] = [
    "a1", "c5", "c5a", "c5ad", "c5d", "c6g", "c6gd", "c6gn", "c7g", "im4gn", "is4gen", "m5", "m5a", "m5ad", "m5d",
    "m5n", "m6g", "m6gd", "m7g", "r5", "r5a", "r5ad", "r5d", "r6g", "r6gd", "r7g", "x2gd",
];
/// Families with more on 8xlarge and 12xlarge (the same page).
const WITH_NINETY: [&str; 14] =
    ["c6a", "c6i", "c6id", "c6in", "m6a", "m6i", "m6id", "m6idn", "m6in", "r6a", "r6i", "r6id", "r6idn", "r6in"];

/// How many tasks with interfaces of their own a host takes. Where that is not known, as many as there are: ECS's refusals
/// tell soon enough, and nobody is stopped for what a number made up here says.
pub(super) fn interfaces(host: &Host, limits: &BTreeMap<String, u32>) -> u32 {
    let Some(kind) = host.attributes.get(TYPE) else { return u32::MAX };
    if host.attributes.contains_key(TRUNK) {
        return trunk(kind).unwrap_or(u32::MAX);
    }
    // The first is the host's own.
    limits.get(kind).map_or(u32::MAX, |most| most.saturating_sub(1))
}

fn trunk(kind: &str) -> Option<u32> {
    let (family, size) = kind.split_once('.')?;
    let usual = || TRUNKS.iter().find(|(of, _)| *of == size).map(|(_, most)| *most);
    match (family, size) {
        ("a1" | "x2gd", "medium") => Some(10),
        (family, "8xlarge") if WITH_NINETY.contains(&family) => Some(90),
        (family, "12xlarge" | "32xlarge" | "48xlarge") if WITH_NINETY.contains(&family) => Some(120),
        (family, _) if WITH_SIXTY.contains(&family) || WITH_NINETY.contains(&family) => usual(),
        _ => None,
    }
}

impl Aws {
    /// The most network interfaces of the hosts' instance types, as far as EC2 says. Each type is asked for once; one that is
    /// not told about now is asked for again with the next look.
    #[cfg(feature = "ec2")]
    pub(super) async fn interface_limits(&self, hosts: &[Host]) -> BTreeMap<String, u32> {
        let known = self.known.lock().interfaces.clone();
        let without_trunk = hosts.iter().filter(|host| !host.attributes.contains_key(TRUNK));
        let kinds: BTreeSet<&String> = without_trunk.filter_map(|host| host.attributes.get(TYPE)).collect();
        let unknown: Vec<&str> =
            kinds.into_iter().filter(|kind| !known.contains_key(*kind)).map(String::as_str).collect();
        let found = self.ec2_most_interfaces(&unknown).await.unwrap_or_default();
        let mut inner = self.known.lock();
        inner.interfaces.extend(found);
        inner.interfaces.clone()
    }

    #[cfg(not(feature = "ec2"))]
    #[expect(clippy::unused_async, reason = "with the feature ec2 it asks")]
    pub(super) async fn interface_limits(&self, _: &[Host]) -> BTreeMap<String, u32> {
        BTreeMap::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunks_are_as_the_developer_guide_lists_them() {
        let cases = [
            ("c5.large", Some(10)),
            ("m5.16xlarge", Some(120)),
            ("m6g.medium", Some(4)),
            ("a1.medium", Some(10)),
            ("a1.4xlarge", Some(60)),
            ("m6i.8xlarge", Some(90)),
            ("m5.8xlarge", Some(60)),
            ("c6a.48xlarge", Some(120)),
            ("r7g.8xlarge", Some(60)),
            ("t3.large", None),
        ];
        for (kind, expect) in cases {
            assert_eq!(trunk(kind), expect, "{kind}");
        }
    }
}
