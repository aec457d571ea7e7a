//! Why a turn could not be taken.

use crate::files::FleetError;
use crate::ledger::LedgerError;
use crate::port_error::PortError;

/// Why a trigger led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// There is no usable fleet file.
    #[error("no fleet file in force")]
    Fleet(#[from] FleetError),
    /// The turn could not be taken.
    #[error("turn not taken")]
    Turn(#[from] TurnError),
    /// Metrics were not taken.
    #[error("metrics not published")]
    Publish(#[source] PortError),
}

impl HandleError {
    /// Whether the same trigger may lead to something in a while. What is not passing needs a person: a fleet file, a
    /// permission, a quota, or a newer version of the function.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Fleet(FleetError::Unread { source, .. })
            | Self::Turn(TurnError::Observe(source) | TurnError::Ledger(LedgerError::Port(source)))
            | Self::Fleet(FleetError::Ledger { source: LedgerError::Port(source), .. })
            | Self::Publish(source) => match source {
                PortError::Throttled
                | PortError::Unavailable(_)
                | PortError::Busy(_)
                | PortError::Conflict(_)
                | PortError::NoCapacity(_) => true,
                PortError::NotFound(_) | PortError::OverQuota(_) | PortError::Refused(_) => false,
            },
            Self::Turn(TurnError::Ledger(LedgerError::Conflict) | TurnError::LeaseLost)
            | Self::Fleet(FleetError::Ledger { source: LedgerError::Conflict, .. }) => true,
            Self::Fleet(FleetError::Invalid { .. } | FleetError::Misnamed { .. })
            | Self::Turn(TurnError::Stored { .. }) => false,
        }
    }
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
    #[error(
        "item {key} of the ledger's table is not understood: another version of this function wrote it, or somebody by hand; \
         deploy that version again, or delete the item, and what it remembered is forgotten"
    )]
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

impl From<LedgerError> for HandleError {
    fn from(error: LedgerError) -> Self {
        TurnError::from(error).into()
    }
}
