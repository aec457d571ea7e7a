//! Capacity providers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::CapacityProvider;
use evenkeel_model::{GroupName, ProviderName, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};

use crate::Aws;
use crate::convert::{all, id};
use crate::error::port_error;

/// Names in one call (ECS API reference, DescribeCapacityProviders: 100 in an answer).
const MOST_NAMES: usize = 100;
/// What a provider launches into never changes; that there is one of a name may.
const READ_AGAIN: Duration = Duration::from_secs(600);

/// When which provider was described, and what is behind it.
pub(super) type Described = BTreeMap<ProviderName, (Timestamp, Behind)>;

/// What is behind a capacity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Behind {
    /// The hosts of an Auto Scaling group.
    Group(GroupName),
    /// ECS Managed Instances, which AWS scales by itself.
    ManagedInstances,
    /// Nothing that is known.
    Unknown,
}

impl Aws {
    /// What is behind each of these providers, as far as they exist.
    pub(super) async fn providers(&self, names: &BTreeSet<ProviderName>) -> Answer<BTreeMap<ProviderName, Behind>> {
        let now = self.now();
        let known = self.known.lock().providers.clone();
        let fresh = |name: &ProviderName| {
            known.get(name).is_some_and(|(at, _)| now.duration_since(*at).unsigned_abs() < READ_AGAIN)
        };
        let unknown: Vec<&ProviderName> = names.iter().filter(|name| !fresh(name)).collect();
        let pages = all(unknown.chunks(MOST_NAMES).map(async |chunk| {
            let names = chunk.iter().map(|name| name.as_str().to_owned()).collect();
            let asked = self.ecs.describe_capacity_providers().set_capacity_providers(Some(names));
            let answer = asked.send().await.map_err(port_error)?;
            // Its failures are providers that do not exist.
            Ok(answer.capacity_providers.unwrap_or_default())
        }));
        let found: Vec<CapacityProvider> = pages.await?.into_iter().flatten().collect();
        let mut inner = self.known.lock();
        inner
            .providers
            .extend(found.iter().filter_map(|provider| Some((id(provider.name())?, (now, behind(provider))))));
        let known = |name: &ProviderName| Some((name.clone(), inner.providers.get(name)?.1.clone()));
        Ok(names.iter().filter_map(known).collect())
    }
}

/// A group's ARN ends with its name (Service Authorization Reference, "Resource types defined by Amazon EC2 Auto Scaling");
/// the name alone is allowed, too (ECS API reference, AutoScalingGroupProvider).
fn behind(found: &CapacityProvider) -> Behind {
    if found.managed_instances_provider().is_some() {
        return Behind::ManagedInstances;
    }
    let arn = found.auto_scaling_group_provider().map(|group| group.auto_scaling_group_arn());
    let name = arn.map(|arn| arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name));
    id(name).map_or(Behind::Unknown, Behind::Group)
}
