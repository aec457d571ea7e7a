//! A deployment in somebody's account: what it is called, how it is asked, and what is said where it cannot be.

mod anonymous;
#[cfg(feature = "aws")]
mod aws;
mod draft;
mod live;
mod looking;
mod standing;
mod trouble;

use std::collections::BTreeMap;
use std::future::Future;

use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_turn::Accounts;
use evenkeel_turn::ports::{Answer, Clock, History, Ledger, PortError};

pub(crate) use anonymous::anonymous;
#[cfg(feature = "aws")]
pub(crate) use aws::{Surveyed, connect, eyes, survey};
pub(crate) use draft::Draft;
pub(crate) use live::{Eyes, Sight, Thought, Thoughts, see, think};
pub(crate) use looking::{Looking, Reads};
pub(crate) use standing::{Recorded, Standing, recorded, roll_of, says};
pub(crate) use trouble::{Place, Trouble};

/// A deployment as it is reached.
pub(crate) trait Account: Clock + Ledger + History {
    /// Calls a function by its full name, and waits.
    fn invoke(&self, function: &str, payload: &str) -> impl Future<Output = Answer<Reply>> + Send;
    /// The environment variables that a function is told.
    fn environment(&self, function: &str) -> impl Future<Output = Answer<BTreeMap<String, String>>> + Send;
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// JSON: the answer, or the error's type and words.
    pub(crate) body: String,
    /// It is an error.
    pub(crate) failed: bool,
}

/// A deployment, and where it is.
pub(crate) struct Deployment<A> {
    /// How it is reached.
    pub(crate) account: A,
    /// Where, in words for errors.
    pub(crate) place: Place,
}

/// Those of the functions that know the fleets, in the order in which they are asked: the page's is always deployed.
const KNOW_FLEETS: [&str; 4] = ["livefeed", "microscale", "backfill", "patchroll"];
/// What they are told.
const FLEETS: &str = "EVENKEEL_FLEETS";

impl<A: Account> Deployment<A> {
    /// The full name of a function.
    pub(crate) fn function(&self, name: impl std::fmt::Display) -> String {
        format!("{}-{name}", self.place.deployment)
    }

    /// The fleet that is meant: the one that was named, or the only one that there is.
    pub(crate) async fn fleet(&self, named: Option<&FleetName>) -> Result<FleetName, Trouble> {
        if let Some(named) = named {
            return Ok(named.clone());
        }
        let mut fleets = self.fleets().await?;
        if fleets.len() == 1 {
            Ok(fleets.remove(0))
        } else {
            Err(Trouble::Several { fleets, place: self.place.clone() })
        }
    }

    /// All fleets of the deployment, as its functions are told them.
    pub(crate) async fn fleets(&self) -> Result<Vec<FleetName>, Trouble> {
        let tried = || "asked which fleets the deployment serves".to_owned();
        for known in KNOW_FLEETS {
            let function = self.function(known);
            match self.account.environment(&function).await {
                Err(PortError::NotFound(_)) => {}
                Err(error) => return Err(Trouble::of(error, tried(), "lambda:GetFunctionConfiguration", &self.place)),
                Ok(told) => {
                    let names = told.get(FLEETS).map(String::as_str).unwrap_or_default().split(',').map(str::trim);
                    return Ok(names.filter_map(|name| FleetName::new(name).ok()).collect());
                }
            }
        }
        Err(Trouble::NoDeployment { place: self.place.clone() })
    }

    /// How a fleet stood after its functions' last turns.
    pub(crate) async fn standing(&self, fleet: &FleetName) -> Result<Standing, Trouble> {
        let tried = format!("read how fleet {fleet} stands");
        let read = Standing::read(&self.account, fleet).await;
        let read = read.map_err(|error| Trouble::of(error, tried, "dynamodb:BatchGetItem", &self.place))?;
        read.ok_or_else(|| Trouble::NoTurns { fleet: fleet.clone(), place: self.place.clone() })
    }

    /// What was decided about a fleet since `since`, newest first.
    pub(crate) async fn decided(
        &self,
        fleet: &FleetName,
        since: Timestamp,
        pages: usize,
    ) -> Result<(Vec<Recorded>, bool), Trouble> {
        let tried = format!("read what was decided about fleet {fleet}");
        let read = self.account.records(fleet, since, pages).await;
        let read = read.map_err(|error| Trouble::of(error, tried, "dynamodb:Query", &self.place))?;
        Ok((recorded(&read.bodies), read.all))
    }

    /// What observing turns took into account of a fleet since `since`.
    pub(crate) async fn accounts(&self, fleet: &FleetName, since: Timestamp) -> Result<Accounts, Trouble> {
        let tried = format!("read what was observed of fleet {fleet}");
        let keys = Accounts::keys(fleet, since, self.account.now());
        let read = self.account.get(&keys).await;
        let items = read.map_err(|error| Trouble::of(error, tried, "dynamodb:BatchGetItem", &self.place))?;
        Ok(Accounts::of(since, &items))
    }

    /// Asks a function for something, by hand.
    pub(crate) async fn ask(&self, function: FunctionName, payload: &str, tried: String) -> Result<Reply, Trouble> {
        let called = self.account.invoke(&self.function(function), payload).await;
        let place = &self.place;
        called.map_err(|error| {
            if matches!(error, PortError::NotFound(_)) {
                Trouble::NoFunction { function, tried, place: place.clone() }
            } else {
                Trouble::of(error, tried, "lambda:InvokeFunction", place)
            }
        })
    }
}
