//! What is waited for about hosts.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AlarmName, GroupName, InstanceId, PoolName};

/// One thing about hosts that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostWait {
    /// Hosts are on their way.
    Coming {
        /// How many.
        hosts: u32,
        /// Of which pool.
        pool: PoolName,
    },
    /// A pool refuses launches.
    Refused {
        /// The pool.
        pool: PoolName,
        /// AWS's words.
        because: String,
        /// It is tried again then.
        until: Timestamp,
    },
    /// More is needed than any pool can give now.
    NoPool {
        /// Capacity units that are missing.
        missing: u32,
    },
    /// On-demand hosts without a reason are kept until the dwell is over.
    Dwell {
        /// How many.
        hosts: u32,
        /// Until when.
        until: Timestamp,
    },
    /// The disruption budget is spent.
    BudgetSpent {
        /// Hosts that are out.
        out: u32,
        /// `max_out` of the fleet file.
        allowed: u32,
    },
    /// As many hosts were given back in the last hour as may be.
    MovesSpent {
        /// How many.
        moves: u32,
        /// The next may go then.
        until: Timestamp,
    },
    /// Somebody asked that nothing be given back.
    Held {
        /// On-demand hosts without a reason.
        hosts: u32,
    },
    /// A host without a reason is kept, because what runs on it has no other place.
    Tied {
        /// The host.
        host: InstanceId,
        /// What has no place, and why.
        because: String,
    },
    /// Fewer hosts than `minimum` would be left.
    Minimum {
        /// Units in service.
        in_service: u32,
        /// `minimum` of the fleet file.
        minimum: u32,
    },
    /// A host becomes empty.
    Draining {
        /// The host.
        host: InstanceId,
        /// What still runs on it.
        tasks: u32,
        /// Given up then.
        deadline: Timestamp,
    },
    /// A host that is taken will not be empty in time.
    DrainAtRisk {
        /// The host.
        host: InstanceId,
        /// When it goes.
        deadline: Timestamp,
        /// What is at risk, and why.
        because: String,
    },
    /// A host runs and has not joined the cluster.
    NotJoined {
        /// The host.
        host: InstanceId,
        /// Since when it is known.
        waited: Duration,
    },
    /// The account has no group of this name.
    NoSuchGroup {
        /// The group.
        group: GroupName,
    },
    /// Somebody else set a group's capacity.
    ForeignCapacity {
        /// The pool.
        pool: PoolName,
        /// What we set last.
        wrote: u32,
        /// What is there.
        found: u32,
    },
    /// A group keeps hosts without a reason, because it may not have fewer.
    GroupMinimum {
        /// The pool.
        pool: PoolName,
        /// Its group's `MinSize`.
        minimum: u32,
    },
    /// An alarm is quiet only because on-demand hosts help.
    AlarmLevel {
        /// The alarm.
        alarm: AlarmName,
        /// At how many hundredths of its threshold it would be with one capacity unit less.
        percent: u32,
        /// Capacity units that stay.
        hosts: u32,
    },
    /// Hosts stay longer than usual, because an alarm whose level is not known fired soon after some were given back.
    FiredAgain {
        /// Capacity units that stay.
        hosts: u32,
        /// Until when.
        until: Timestamp,
    },
    /// An alarm cannot be read: its last boost is held.
    UnknownAlarm {
        /// The alarm.
        alarm: AlarmName,
        /// Why.
        because: String,
    },
}

impl fmt::Display for HostWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coming { hosts, pool } => write!(f, "{hosts} hosts of pool {pool} are on their way"),
            Self::Refused { pool, because, until } => {
                write!(f, "pool {pool} gives none until {until:.0}: {because}")
            }
            Self::NoPool { missing } => write!(f, "{missing} hosts are missing, and no pool can give more now"),
            Self::Dwell { hosts, until } => write!(f, "{hosts} on-demand hosts stay until {until:.0} at least"),
            Self::BudgetSpent { out, allowed } => write!(f, "{out} hosts are out, and {allowed} may be"),
            Self::MovesSpent { moves, until } => {
                write!(f, "{moves} hosts were given back within an hour; the next at {until:.0}")
            }
            Self::Held { hosts } => write!(f, "{hosts} on-demand hosts are held by request"),
            Self::Tied { host, because } => write!(f, "{host} stays: {because}"),
            Self::Minimum { in_service, minimum } => {
                write!(f, "{in_service} hosts are in service, and {minimum} must be")
            }
            Self::Draining { host, tasks, deadline } => {
                write!(f, "{host} drains, {tasks} tasks are left, until {deadline:.0}")
            }
            Self::DrainAtRisk { host, deadline, because } => {
                write!(f, "{host} goes at {deadline:.0}, and may not be empty: {because}")
            }
            Self::NotJoined { host, waited } => {
                write!(f, "{host} has not joined the cluster after {} s", waited.as_secs())
            }
            Self::NoSuchGroup { group } => write!(f, "there is no Auto Scaling group {group}"),
            Self::ForeignCapacity { pool, wrote, found } => {
                write!(f, "pool {pool} was set to {found} by somebody else, after we set {wrote}")
            }
            Self::GroupMinimum { pool, minimum } => {
                write!(f, "pool {pool} keeps {minimum} hosts: its group may not have fewer (MinSize)")
            }
            Self::AlarmLevel { alarm, percent, hosts } => {
                write!(f, "alarm {alarm} would be at {percent} % of its threshold with one less, so {hosts} hosts stay")
            }
            Self::FiredAgain { hosts, until } => {
                write!(f, "an alarm fired soon after hosts were given back, so {hosts} stay until {until:.0} at least")
            }
            Self::UnknownAlarm { alarm, because } => write!(f, "alarm {alarm} is not known: {because}"),
        }
    }
}
