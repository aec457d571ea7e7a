//! How an invocation fails.

/// Why an invocation is to be tried again, or to go to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHandled {
    /// The event cannot be used, ever; the platform's tries end in the dead-letter queue, with these words.
    #[error("malformed event: {0}")]
    Malformed(String),
    /// Our fault or AWS's.
    #[error("{0}")]
    Failed(String),
}

impl NotHandled {
    /// The error's type, as the runtime API and the dead-letter queue show it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::Failed(_) => "Failed",
        }
    }
}
