//! What a turn is told of who takes it.

use std::time::Duration;

use crate::board::Notices;

/// Who takes a turn, and with what news.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// A name that no other invocation has.
    pub holder: &'a str,
    /// How long it may take.
    pub limits: Limits,
    /// What the trigger says about hosts.
    pub news: &'a Notices,
    /// It is woken by a beat, which falls away where looks have cost more than they may.
    pub beat: bool,
}

/// How long a turn may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After this no new step is begun.
    pub budget: Duration,
    /// The lease's length: a little over the function's timeout, so that a killed holder is known to be dead.
    pub lease: Duration,
}
