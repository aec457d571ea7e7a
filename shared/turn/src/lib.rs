//! Ports to the outside, and the one loop that every function runs:
//! `trigger -> fleet file -> lease -> observe -> plan -> record -> apply -> save -> release`.
//!
//! Architecture invariant: this crate names no AWS SDK and reads no clock of its own; all it knows of the world comes
//! through the traits in [`ports`].

mod account;
mod board;
mod body;
mod budget;
mod call;
mod cluster;
mod compared;
mod error;
mod files;
mod fingerprint;
mod found;
mod function;
mod handled;
mod in_words;
mod lease;
pub mod ledger;
pub mod look;
mod observe;
mod picture;
mod port_error;
pub mod ports;
mod reads;
mod record;
mod retry;
mod round;
mod run;
mod save;
mod scorecard;
mod standings;
mod stored;
mod summary;
#[cfg(feature = "testing")]
pub mod testing;
mod view;
mod wake;
pub mod window;

pub use account::{Account, Accounts, Change, HostLevel, Levels, Looked, Plan, PoolLevel, TaskLevel, Thing, Unmet};
pub use board::{
    Ask, Board, Borrow, NoticeKind, Notices, Order, Orders, Pushed, Tell, Told, change, hold, order, push_demand,
    stored, try_again,
};
pub use budget::{Budget, Out, OutCause, REPAID_WITHIN, Stands};
pub use call::{Call, Limits};
pub use cluster::{Memory, cluster, hosts};
pub use error::{HandleError, TurnError};
pub use files::{FleetCache, FleetError, InForce, Refusal, good_file_key};
pub use fingerprint::fingerprint;
pub use found::state_key;
pub use function::{Applied, Function, Given, Outlook, Remembers};
pub use handled::Handled;
pub use in_words::InWords;
pub use lease::Lease;
pub use ports::OLD_ANSWERS;
pub use record::{feed_key, records_end, records_from};
pub use retry::{retry, retry_throttled};
pub use run::{dry_run, run};
pub use scorecard::{Bought, HostScore, Scorecard, ServiceScore, Watched};
pub use standings::Standings;
pub use summary::Summary;
pub use view::{Snapshot, lease_key, put_together, rest_of, shown, view_key};
pub use wake::{SOON, wake};
