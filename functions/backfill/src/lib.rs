//! Keeps a fleet's capacity through spot loss and peaks: on-demand hosts come when they are needed and go when they are
//! not, each with a reason.
//!
//! Architecture invariant: everything but [`handler`] is pure. Auto Scaling groups launch and end the hosts; this crate
//! decides how many on-demand hosts there should be, which hosts drain, and which are given back.

mod boost;
mod deadline;
pub mod handler;
mod hosts;
mod in_words;
mod judge;
mod leaving;
mod looked;
mod need;
mod places;
mod plan;
mod pools;
mod release;
mod seen;
mod state;
#[cfg(test)]
mod stories;
mod view;

pub use handler::Backfill;
pub use plan::plan;
pub use seen::Seen;
pub use state::State;
pub use view::{AlarmLine, BackfillView, HostLine};
