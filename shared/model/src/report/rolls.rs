//! What a roll waits for.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::{Halt, Stuck};
use crate::groups::Process;
use crate::ids::{GroupName, InstanceId, PoolName};

/// One thing that a roll waits for, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollWait {
    /// No window is open.
    OutsideWindow {
        /// What waits for it.
        because: String,
        /// When the next one opens.
        opens: Option<Timestamp>,
    },
    /// Somebody paused it.
    Paused,
    /// It was stopped, and goes on when somebody says so.
    Halted {
        /// Why.
        because: Halt,
    },
    /// What runs on the next hosts has no other place.
    NoRoom {
        /// What has none.
        because: String,
        /// Backfill was asked for a host.
        borrows: bool,
    },
    /// The fleet may not have more hosts, so none can come first.
    Maximum {
        /// `maximum` of the fleet file, or the group's.
        maximum: u32,
        /// The pool.
        pool: PoolName,
    },
    /// New hosts are on their way.
    Replacing {
        /// How many of the wave.
        hosts: u32,
        /// Given up then.
        deadline: Timestamp,
    },
    /// A wave is done; the quiet time after it.
    Settling {
        /// Until when.
        until: Timestamp,
    },
    /// Somebody else replaces the group's instances.
    InstanceRefresh {
        /// The group.
        group: GroupName,
    },
    /// Somebody else set a group's capacity while a wave was under way.
    ForeignCapacity {
        /// The pool.
        pool: PoolName,
        /// What was expected.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// A process of the group is suspended, so a host that goes would not come back.
    Suspended {
        /// The group.
        group: GroupName,
        /// The process.
        process: Process,
    },
    /// Somebody has set an outdated host aside (Standby, or detached): what he does with it is his affair.
    SetAside {
        /// The host.
        host: InstanceId,
    },
    /// A host of the wave will not become empty by itself.
    Stuck {
        /// The host.
        host: InstanceId,
        /// What is in the way.
        cause: Stuck,
        /// Given up then.
        until: Timestamp,
    },
    /// More hosts are to end than calls may be made at once.
    Ends {
        /// How many are left.
        hosts: u32,
    },
    /// Old instances are in a warm pool, from where they would come into service in place of hosts that go.
    OldWarm {
        /// The pool.
        pool: PoolName,
        /// How many.
        hosts: u32,
    },
    /// What the group would launch is not known.
    UnknownTemplate {
        /// The pool.
        pool: PoolName,
        /// Why.
        because: String,
    },
    /// An image is being baked.
    Baking {
        /// How far it is.
        stage: String,
        /// Given up then.
        deadline: Timestamp,
    },
    /// A request was not followed.
    Refused {
        /// What was asked for, such as `start`.
        request: String,
        /// Why not.
        because: String,
    },
}

impl fmt::Display for RollWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideWindow { because, opens: Some(opens) } => {
                write!(f, "{because}: the next window opens at {opens:.0}")
            }
            Self::OutsideWindow { because, opens: None } => {
                write!(f, "{because}: the fleet has no windows, so only a start by hand is followed")
            }
            Self::Paused => f.write_str("the roll is paused"),
            Self::Halted { because } => write!(f, "the roll is halted: {because}"),
            Self::NoRoom { because, borrows } => {
                write!(f, "the next wave waits for room: {because}")?;
                if *borrows { f.write_str("; backfill is asked for a host") } else { Ok(()) }
            }
            Self::Maximum { maximum, pool } => {
                write!(f, "pool {pool} cannot grow first: {maximum} hosts are the maximum")
            }
            Self::Replacing { hosts, deadline } => write!(f, "{hosts} new hosts are on their way, until {deadline:.0}"),
            Self::Settling { until } => write!(f, "quiet until {until:.0} after the wave"),
            Self::InstanceRefresh { group } => write!(f, "an instance refresh of {group} is under way"),
            Self::ForeignCapacity { pool, expected, found } => {
                write!(f, "pool {pool} was set to {found} by somebody else, and {expected} was expected")
            }
            Self::Suspended { group, process } => write!(f, "{} is suspended in {group}", process.name()),
            Self::SetAside { host } => {
                write!(
                    f,
                    "{host} is outdated, and somebody has set it aside: it is not replaced before it is in service again"
                )
            }
            Self::Stuck { host, cause, until } => write!(f, "{host} is stuck until {until:.0}: {cause}"),
            Self::Ends { hosts } => write!(f, "{hosts} more hosts are empty and end in a moment"),
            Self::OldWarm { pool, hosts } => {
                write!(f, "{hosts} in the warm pool of {pool} are outdated: a roll replaces them before its next wave")
            }
            Self::UnknownTemplate { pool, because } => {
                write!(f, "what pool {pool} would launch is not known: {because}")
            }
            Self::Baking { stage, deadline } => write!(f, "{stage}, until {deadline:.0}"),
            Self::Refused { request, because } => write!(f, "{request} was not followed: {because}"),
        }
    }
}
