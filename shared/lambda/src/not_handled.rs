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

    /// The same for a person, who can mend it.
    pub(crate) fn told_by_hand(self) -> Self {
        match self {
            Self::Malformed(words) => Self::Malformed(format!(
                "{words}; a request is a JSON object such as {{\"fleet\":\"shop\",\"roll\":\"plan\"}}, and infra/README.md, \"Operating\", \
                 lists them all"
            )),
            Self::Failed(words) => Self::Failed(words),
        }
    }
}
