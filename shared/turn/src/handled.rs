//! What a function's handler answers.

use crate::function::Outlook;
use crate::summary::Summary;

/// What a trigger led to, for a function with state `S` that shows `V`.
#[derive(Debug, Clone, PartialEq)]
pub enum Handled<S, V> {
    /// It says nothing to this function about this fleet.
    NotForUs,
    /// A turn was taken, or another one marked to go again.
    Turned(Box<Summary>),
    /// What was asked for cannot be done, and why; nothing was changed.
    Refused(String),
    /// How things are and what a turn would do; nothing was changed.
    Planned(Box<(Outlook<S>, V)>),
}
