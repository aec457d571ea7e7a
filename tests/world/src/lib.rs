//! The simulated cloud: deterministic from a seed, in virtual time, seen by the functions through the ports of `turn`.
//!
//! It delivers events as AWS's real JSON, so that the handlers run whole, and takes their calls through the same traits
//! that the AWS adapters implement. What is known of AWS only as a number is a parameter in [`setup`].

pub mod account;
mod api;
mod audit;
pub mod clock;
mod cloud;
pub mod cluster;
mod core;
mod delivery;
pub mod demand;
mod dry;
pub mod faults;
pub mod ledger;
mod losses;
mod measure;
mod mishaps;
mod notices;
mod outages;
mod people;
pub mod report;
mod rolls;
mod scheduler;
pub mod setup;
mod signals;
mod sim;
mod standing;
mod trouble;
mod turns;
mod watched;

pub use api::Calls;
pub use audit::Violation;
pub use cloud::spot;
pub use cloud::{BakeFate, HostKind, Interruption};
pub use faults::Faults;
pub use measure::Depths;
pub use outages::Outage;
pub use report::Report;
pub use setup::room_for;
pub use signals::Source;
pub use sim::{LIMITS, Tally, World};
pub use turns::Ports;
