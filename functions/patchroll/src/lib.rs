//! Replaces a fleet's hosts wave by wave, so that nobody patches a running one.
//!
//! A roll is a state machine in the ledger. Every step of it is one short turn: what is under way is read from the
//! groups, the cluster and the load balancers, and only what they cannot tell (which hosts are to go, which are out, since
//! when) is remembered. So a turn that was killed between any two calls is made up for by the next.
//!
//! Architecture invariant: everything but [`handler`] is pure.

mod arrivals;
mod bake;
mod capacity;
mod gates;
pub mod handler;
mod hosts;
mod in_words;
mod orders;
mod pairs;
mod plan;
mod seen;
mod state;
mod stuck;
mod successors;
mod template;
mod todo;
mod view;
mod warm;
mod wave;
mod withdraw;

pub use evenkeel_model::decision::Ending;
pub use handler::Patchroll;
pub use pairs::{Capacity, Pair, Phase, Wave};
pub use plan::plan;
pub use seen::{Bakery, Seen};
pub use state::{BakeState, Due, Ended, HostNote, Refused, Roll, Stage, State, Target};
pub use view::{HostPatch, PatchState, PatchView, RollView};
