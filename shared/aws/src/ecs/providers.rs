//! Capacity providers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::CapacityProvider;
use evenkeel_model::{ProviderName, Timestamp};
use evenkeel_turn::ports::{Answer, Clock};

use crate::Aws;
use crate::convert::{all, id};
use crate::error::port_error;

/// Names in one call (ECS API reference, DescribeCapacityProviders: 100 in an answer).
const MOST_NAMES: usize = 100;
/// What a provider launches into never changes; that there is one of a name may.
const READ_AGAIN: Duration = Duration::from_secs(600);

/// When which provider was described, and whether it launches ECS Managed Instances.
pub(super) type Described = BTreeMap<ProviderName, (Timestamp, bool)>;

impl Aws {
    /// Those of these providers whose hosts AWS scales by itself.
    pub(super) async fn managed_instances(&self, names: &BTreeSet<ProviderName>) -> Answer<BTreeSet<ProviderName>> {
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
        inner.providers.extend(found.iter().filter_map(|provider| {
            Some((id(provider.name())?, (now, provider.managed_instances_provider().is_some())))
        }));
        let managed = |name: &&ProviderName| inner.providers.get(*name).is_some_and(|(_, managed)| *managed);
        Ok(names.iter().filter(managed).cloned().collect())
    }
}
