//! Microscale sets ECS task counts by priority: what is important runs first, what can wait fills the rest.
//!
//! Architecture invariant: everything but [`handler`] is pure. ECS places the tasks and picks the victims of a scale-in;
//! this crate only decides on desired counts, and never asks for more than is certain to fit.

mod books;
pub mod constraint;
mod demand;
mod grant;
pub mod handler;
mod looked;
mod plan;
mod proof;
mod short;
mod split;
mod state;
mod trust;
mod victims;
mod view;
mod writer;

pub use handler::{Microscale, beat_phase};
pub use plan::plan;
pub use proof::{Stays, moves_off};
pub use state::{Memory, State};
