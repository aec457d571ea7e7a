//! Ports to the outside, and the one loop that every function runs:
//! `trigger -> fleet file -> lease -> observe -> plan -> record -> apply -> save -> release`.
//!
//! Architecture invariant: this crate names no AWS SDK and reads no clock of its own; all it knows of the world comes
//! through the traits in [`ports`].

mod files;
mod lease;
pub mod ledger;
pub mod ports;
mod retry;
mod run;

pub use files::{FleetCache, FleetError, InForce};
pub use lease::Lease;
pub use retry::retry;
pub use run::{
    Applied, Function, Given, Limits, Outlook, Pushed, Summary, TurnError, dry_run, feed_key, push_demand, run,
    view_key,
};
