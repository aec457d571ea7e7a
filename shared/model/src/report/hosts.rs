//! What is waited for about hosts.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::groups::ScaledBy;
use crate::ids::{AlarmName, GroupName, InstanceId, PoolName};

/// What a turn reads, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The Auto Scaling groups with their members.
    Groups,
    /// The cluster's container instances.
    Cluster,
    /// What the spot market says about hosts.
    SpotRequests,
    /// What runs on the hosts.
    Tasks,
    /// Launches that groups have tried in vain.
    Refusals,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Groups => "the Auto Scaling groups",
            Self::Cluster => "the cluster's container instances",
            Self::SpotRequests => "the spot requests",
            Self::Tasks => "the tasks and services",
            Self::Refusals => "the groups' refused launches",
        })
    }
}

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
    /// The cluster does not show a host that leaves, which is not taken for empty.
    NotShown {
        /// The host.
        host: InstanceId,
        /// Given up then.
        until: Timestamp,
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
    /// A pool is neither made larger nor smaller, because something else says how many hosts it has.
    ScaledElsewhere {
        /// The pool.
        pool: PoolName,
        /// What.
        because: ScaledBy,
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
    /// A pool's group launches nothing, because somebody has suspended that.
    Suspended {
        /// The pool.
        pool: PoolName,
    },
    /// A pool was to launch and could not be told.
    NotTold {
        /// The pool.
        pool: PoolName,
        /// Why.
        because: String,
        /// Since when.
        since: Timestamp,
    },
    /// A pool is not asked for more before the hosts that are overdue have come.
    Overdue {
        /// The pool.
        pool: PoolName,
        /// How many.
        hosts: u32,
    },
    /// Capacity that somebody else set is left alone for now.
    LeftToOthers {
        /// The pool.
        pool: PoolName,
        /// Its capacity.
        hosts: u32,
        /// Until when.
        until: Timestamp,
    },
    /// So many agents are away that it is ECS: nothing is launched or ended for it.
    AgentsAway {
        /// Hosts without an agent.
        away: u32,
        /// Of so many.
        hosts: u32,
    },
    /// Hosts of a pool came, one after the other, and never joined the cluster.
    NeverJoin {
        /// The pool.
        pool: PoolName,
        /// In a row.
        hosts: u32,
        /// What they were launched from.
        runs: String,
        /// The next is ended, or launched, then.
        until: Timestamp,
    },
    /// Something could not be read: what it would have said is unknown, and what can be done without it is done.
    Unread {
        /// What.
        source: Source,
        /// Why.
        because: String,
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
            Self::NotShown { host, until } => {
                write!(f, "the cluster does not show {host}, which may not be empty; given up at {until:.0}")
            }
            Self::NoSuchGroup { group } => write!(f, "there is no Auto Scaling group {group}"),
            Self::ForeignCapacity { pool, wrote, found } => {
                write!(f, "pool {pool} was set to {found} by somebody else, after we set {wrote}")
            }
            Self::ScaledElsewhere { pool, because } => write!(f, "pool {pool} is left as large as it is: {because}"),
            Self::GroupMinimum { pool, minimum } => {
                write!(f, "pool {pool} keeps {minimum} hosts: its group may not have fewer (MinSize)")
            }
            Self::AlarmLevel { alarm, percent, hosts } => {
                write!(f, "alarm {alarm} would be at {percent} % of its threshold with one less, so {hosts} hosts stay")
            }
            Self::FiredAgain { hosts, until } => {
                write!(f, "an alarm fired soon after hosts were given back, so {hosts} stay until {until:.0} at least")
            }
            Self::Suspended { pool } => write!(f, "pool {pool} launches nothing: its Launch process is suspended"),
            Self::NotTold { pool, because, since } => {
                write!(f, "pool {pool} cannot be told to launch since {since:.0}: {because}")
            }
            Self::Overdue { pool, hosts } => {
                write!(f, "{hosts} hosts of pool {pool} are overdue, so it is not asked for more")
            }
            Self::LeftToOthers { pool, hosts, until } => {
                write!(f, "pool {pool} was set to {hosts} by somebody else, and is left so until {until:.0}")
            }
            Self::AgentsAway { away, hosts } => {
                write!(f, "the agents of {away} of {hosts} hosts are away: it is ECS, and nothing is launched for it")
            }
            Self::NeverJoin { pool, hosts, runs, until } => {
                write!(f, "{hosts} hosts of pool {pool} in a row never joined the cluster: they run {runs}; {until:.0}")
            }
            Self::Unread { source, because } => write!(f, "{source} could not be read: {because}"),
            Self::UnknownAlarm { alarm, because } => write!(f, "alarm {alarm} is not known: {because}"),
        }
    }
}
