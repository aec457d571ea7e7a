//! The account, over AWS's SDK.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use evenkeel_aws::{Aws, Person, Settings};
use evenkeel_turn::ports::Answer;

use super::{Account, Deployment, Place, Reply, Trouble};

/// A file of certificates to trust instead of the public ones, as AWS's command line takes it.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

impl Account for Aws {
    async fn invoke(&self, function: &str, payload: &str) -> Answer<Reply> {
        let evenkeel_aws::Reply { body, failed } = Self::invoke(self, function, payload).await?;
        Ok(Reply { body, failed })
    }

    async fn environment(&self, function: &str) -> Answer<BTreeMap<String, String>> {
        Self::environment(self, function).await
    }
}

/// The deployment that `place` names, with the credentials that the AWS CLI would find. Calls nobody yet.
#[expect(clippy::disallowed_methods, reason = "the edge: whose credentials are used is told by the environment")]
pub(crate) async fn connect(place: Place) -> Result<Deployment<Aws>> {
    let roots = std::env::var(CA_BUNDLE).ok().filter(|path| !path.is_empty());
    let roots =
        roots.map(|path| std::fs::read(&path).with_context(|| format!("{CA_BUNDLE} names {path}"))).transpose()?;
    let settings = Settings { table: place.table.clone(), roots, ..Settings::default() };
    let person = Person { profile: place.profile.clone(), region: place.region.clone() };
    let found = Aws::of_person(&person, settings).await;
    let (account, region) = found.map_err(|_| Trouble::NoRegion { profile: place.profile.clone() })?;
    let profile = place.profile.or_else(|| std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty()));
    Ok(Deployment { account, place: Place { region: Some(region), profile, ..place } })
}
