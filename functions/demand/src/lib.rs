//! The demo's demand: each minute the next values of a random walk, published as the CloudWatch metrics that the fleet file
//! reads its demand from.
//!
//! Architecture invariant: what is published follows from the fleet file and the minute alone, so that a second process, a
//! late tick or a restart goes on where the walk was.

pub mod handler;
mod points;
mod walk;

pub use points::points;
pub use walk::Walk;
