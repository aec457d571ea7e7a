//! What a person or an application asks for, as a JSON object that names a fleet and one verb.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{FleetName, PoolName, ServiceName};

/// A request such as `{"fleet":"shop","roll":"start","pool":"base"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manual {
    /// When it was asked, where the request says so; only a demand may.
    pub at: Option<Timestamp>,
    /// The fleet it is about.
    pub fleet: FleetName,
    /// What is asked for.
    pub request: Request,
    /// What its sender calls it, however often it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// An application says what its services have to do now, in each service's own unit of demand.
    Demand(BTreeMap<ServiceName, Amount>),
    /// Asks microscale.
    Microscale(MicroscaleVerb),
    /// Asks backfill.
    Backfill(BackfillVerb),
    /// Asks patchroll.
    Roll {
        /// What is asked.
        verb: RollVerb,
        /// One pool, or the whole fleet.
        pool: Option<PoolName>,
        /// Who asks, as far as the request says: for people to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
}

/// What microscale can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MicroscaleVerb {
    /// How things are.
    Status,
    /// What a turn would do.
    Plan,
}

/// What backfill can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackfillVerb {
    /// How things are.
    Status,
    /// Give no on-demand host back until released.
    Hold,
    /// End the hold.
    Release,
    /// Try pools again at once that refused launches: there is capacity, or a quota was raised.
    Retry,
    /// What a turn would do.
    Plan,
}

/// What patchroll can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollVerb {
    /// The waves, the expected end, and what would block.
    Plan,
    /// Begin, outside the window too.
    Start,
    /// Begin no new wave.
    Pause,
    /// Go on from the exact step.
    Resume,
    /// Stop for good and keep what is done.
    Abort,
    /// How things are.
    Status,
}

/// How much demand there is: finite, from zero to [`Amount::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Amount(f64);

/// Why a number is not an amount of demand.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not an amount of demand: a number from 0 to 1e12")]
pub struct InvalidAmount(pub f64);

impl Amount {
    /// A million million: beyond any real demand, and small enough that sums of them stay exact.
    pub const MAX: f64 = 1e12;

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Amount {
    type Error = InvalidAmount;
    fn try_from(number: f64) -> Result<Self, InvalidAmount> {
        // NaN is in no range. Adding zero turns -0.0, which is in the range, into 0.0.
        if (0.0..=Self::MAX).contains(&number) { Ok(Self(number + 0.0)) } else { Err(InvalidAmount(number)) }
    }
}

impl From<Amount> for f64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_finite_and_not_negative() {
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1e13] {
            assert!(Amount::try_from(bad).is_err(), "{bad} was accepted");
        }
        assert_eq!(Amount::try_from(1200.0).map(Amount::get), Ok(1200.0));
        assert!(Amount::try_from(-0.0).is_ok_and(|zero| zero.get().is_sign_positive()));
    }
}
