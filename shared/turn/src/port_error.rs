//! How a call to the outside fails.

/// Why a call did not give what was asked for. Kept to what a turn answers differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Too many calls: nothing was done, and a later try may work.
    #[error("throttled")]
    Throttled,
    /// No answer, or an error on the other side: it may have been done all the same.
    #[error("no answer: {0}")]
    Unavailable(String),
    /// What the call is about does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Something else is going on there (`ScalingActivityInProgress`): a later turn may do it.
    #[error("busy: {0}")]
    Busy(String),
    /// Somebody else changed it first, or it is in another state than the call is for: look again before the next try.
    #[error("conflict: {0}")]
    Conflict(String),
    /// EC2 has no such capacity now: another kind or another zone may have it, or the same one later.
    #[error("no capacity: {0}")]
    NoCapacity(String),
    /// The account's limit is reached: only a person can raise it.
    #[error("over the quota: {0}")]
    OverQuota(String),
    /// A first look at everything, which is more than one turn has time for: the next one goes on from there.
    #[error("{seen} of {all} tasks were looked at so far")]
    Unfinished {
        /// So many tasks are known.
        seen: usize,
        /// So many there are.
        all: usize,
    },
    /// Refused for good: trying again gives the same answer.
    #[error("refused: {0}")]
    Refused(String),
}

impl PortError {
    /// Whether the same call may work in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable(_) => true,
            Self::NotFound(_)
            | Self::Busy(_)
            | Self::Conflict(_)
            | Self::NoCapacity(_)
            | Self::OverQuota(_)
            | Self::Unfinished { .. }
            | Self::Refused(_) => false,
        }
    }
}

/// The answer of a port.
pub type Answer<T> = Result<T, PortError>;
