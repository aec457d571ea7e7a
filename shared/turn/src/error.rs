//! Why a turn could not be taken.

use crate::files::FleetError;
use crate::ledger::LedgerError;
use crate::ports::PortError;

/// Why a trigger led to nothing. All of these are worth another try by the platform.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// There is no usable fleet file.
    #[error("no fleet file in force")]
    Fleet(#[from] FleetError),
    /// The turn could not be taken.
    #[error("turn not taken")]
    Turn(#[from] TurnError),
}

/// Why a turn ended without saving.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The world could not be looked at.
    #[error("not observed")]
    Observe(#[source] PortError),
    /// The ledger could not be read or written.
    #[error("ledger not available")]
    Ledger(#[source] LedgerError),
    /// Another turn took the lease over while this one was thought dead.
    #[error("lease lost to a later turn")]
    LeaseLost,
    /// A stored item is not what this version can read.
    #[error("item {key} not understood")]
    Stored {
        /// Its sort key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl From<LedgerError> for TurnError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<PortError> for TurnError {
    fn from(error: PortError) -> Self {
        Self::Ledger(error.into())
    }
}
