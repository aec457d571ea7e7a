//! The settings of a binary: environment variables, read once in `main`.

use std::collections::BTreeSet;

use evenkeel_aws::{Also, Settings};
use evenkeel_model::FleetName;
use evenkeel_model::ids::InvalidId;
use evenkeel_turn::FleetCache;

/// The fleets that the function serves, with commas in between.
const FLEETS: &str = "EVENKEEL_FLEETS";
/// The ledger's table.
const TABLE: &str = "EVENKEEL_TABLE";
/// The URL of the queue that wakes the function.
const BEAT_QUEUE: &str = "EVENKEEL_BEAT_QUEUE";
/// The URL of the queue for events that can never be used.
const DEAD_LETTERS: &str = "EVENKEEL_DEAD_LETTERS";
/// A file of certificates to trust instead of Amazon's, as AWS's command line takes it.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// Without a table's name.
const DEFAULT_TABLE: &str = "evenkeel";

/// What a binary is told.
pub struct Setup {
    /// One for each fleet.
    pub fleets: Vec<FleetCache>,
    /// For the clients.
    pub settings: Settings,
}

/// Why the environment is not one to start in.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A variable is missing or empty.
    #[error("environment variable {FLEETS} names no fleet")]
    NoFleet,
    /// A fleet is named twice: it would have two turns for each event.
    #[error("environment variable {FLEETS} names fleet {0} twice")]
    Twice(FleetName),
    /// A name is none.
    #[error("environment variable {FLEETS}")]
    Fleet(#[from] InvalidId),
    /// The certificates cannot be read.
    #[error("the file that environment variable {CA_BUNDLE} names")]
    Roots(#[from] std::io::Error),
}

impl Setup {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`SetupError`] where no fleet is named, or a name is invalid.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where a binary's settings are read")]
    pub fn from_environment() -> Result<Self, SetupError> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SetupError> {
        let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let names = given(FLEETS).ok_or(SetupError::NoFleet)?;
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names = names.map(FleetName::new).collect::<Result<Vec<_>, _>>()?;
        let mut known = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !known.insert(*name)) {
            return Err(SetupError::Twice(twice.clone()));
        }
        Ok(Self {
            fleets: names.into_iter().map(FleetCache::new).collect(),
            settings: Settings {
                table: given(TABLE).unwrap_or_else(|| DEFAULT_TABLE.to_owned()),
                beat_queue: given(BEAT_QUEUE),
                dead_letters: given(DEAD_LETTERS),
                roots: given(CA_BUNDLE).map(std::fs::read).transpose()?,
                also: Also::NOTHING,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fleets: &str) -> Result<Vec<String>, String> {
        let setup = Setup::from(|name| (name == FLEETS).then(|| fleets.to_owned()));
        setup
            .map(|setup| setup.fleets.iter().map(|fleet| fleet.name().to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn fleets_are_named_with_commas_in_between() {
        assert_eq!(read("shop"), Ok(vec!["shop".to_owned()]));
        assert_eq!(read(" shop, depot ,"), Ok(vec!["shop".to_owned(), "depot".to_owned()]));
        assert!(read(" ").is_err());
        assert!(read("a fleet").is_err());
        let twice = read("shop,depot,shop");
        assert!(twice.is_err_and(|error| error.ends_with("names fleet shop twice")));
    }
}
