//! The account, over AWS's SDK.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use evenkeel_aws::{Also, Aws, Person, Settings};
use evenkeel_model::survey::Survey;
use evenkeel_model::{ClusterName, GroupName};
use evenkeel_turn::ports::Answer;

use super::{Account, Deployment, Eyes, Place, Reply, Trouble};

/// What each function asks besides, as its own `main.rs` says, so that a look here sees what the function would.
pub(super) const MICROSCALE: Also = Also { scaled_elsewhere: true, ..Also::NOTHING };
pub(super) const BACKFILL: Also = Also { deregistration_delays: true, scaled_groups: true, ..Also::NOTHING };
pub(super) const PATCHROLL: Also = Also { scaled_groups: true, ..Also::NOTHING };

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

/// The account as each function asks about it. Calls nobody yet.
pub(crate) async fn eyes(place: Place) -> Result<(Eyes<Aws>, Place)> {
    let Deployment { account, place } = connect(place).await?;
    let [microscale, backfill, patchroll] = [MICROSCALE, BACKFILL, PATCHROLL].map(|also| account.asking(also));
    Ok((Eyes { microscale, backfill, patchroll }, place))
}

/// What was found.
pub(crate) enum Surveyed {
    /// The clusters that there are, where none was named.
    Clusters(Vec<ClusterName>),
    /// All of a cluster, and of the groups that were named.
    Fleet(Box<Survey>),
}

/// What the account holds.
pub(crate) async fn survey(
    place: Place,
    cluster: Option<&ClusterName>,
    groups: &[GroupName],
) -> Result<(Surveyed, Place)> {
    let Deployment { account, place } = connect(place).await?;
    let account = account.asking(BACKFILL);
    let trouble = |error, tried: &str| Trouble::unseen(error, tried.to_owned(), &place);
    let found = if cluster.is_none() && groups.is_empty() {
        Surveyed::Clusters(account.clusters().await.map_err(|error| trouble(error, "listed the clusters"))?)
    } else {
        let tried = cluster.map_or_else(|| "read the groups".to_owned(), |name| format!("read cluster {name}"));
        let found = account.survey(cluster, groups).await.map_err(|error| trouble(error, &tried))?;
        Surveyed::Fleet(Box::new(found))
    };
    Ok((found, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_asks_besides_what_each_function_asks_besides() {
        let mains = [
            (include_str!("../../../../functions/microscale/src/main.rs"), MICROSCALE),
            (include_str!("../../../../functions/backfill/src/main.rs"), BACKFILL),
            (include_str!("../../../../functions/patchroll/src/main.rs"), PATCHROLL),
        ];
        for (main, Also { scaled_elsewhere, deregistration_delays, scaled_groups }) in mains {
            let line = main.lines().find(|line| line.contains("const ALSO: Also")).unwrap();
            let says = |field: &str| line.contains(&format!("{field}: true"));
            let told = [says("scaled_elsewhere"), says("deregistration_delays"), says("scaled_groups")];
            assert_eq!(told, [scaled_elsewhere, deregistration_delays, scaled_groups], "{line}");
        }
    }
}
