//! What the Lambda binaries have in common: settings from the environment, clients built once, the bytes of an invocation
//! to turns, one line of metrics and one of summary for each turn, and an answer that says what is to be tried again.
//!
//! Architecture invariant: what an event means is decided by the functions, not here.

mod answer;
mod entry;
mod invocation;
mod log;
mod not_handled;
mod says;
mod setup;
mod start;

pub use entry::{Done, Entry};
pub use invocation::{Invocation, invoke};
/// Why a binary does not start, or ends.
pub use lambda_runtime::Error as StartError;
pub use log::{Counts, Log, Stdout};
pub use not_handled::NotHandled;
pub use setup::{Setup, SetupError};
pub use start::start;
