//! Steps about hosts, and why they are taken.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FunctionName, Stuck};
use crate::groups::RefusalKind;
use crate::ids::{GroupName, InstanceId, PoolName};
use crate::observed::HostStatus;

/// One change to hosts. Absolute or about one instance, so that taking it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostStep {
    /// Auto Scaling SetDesiredCapacity.
    SetCapacity {
        /// The pool.
        pool: PoolName,
        /// Its group.
        group: GroupName,
        /// The capacity that was observed.
        from: u32,
        /// The capacity that is set.
        to: u32,
    },
    /// ECS UpdateContainerInstancesState, at most [`HostStep::MOST_HOSTS`] hosts a call.
    SetStatus {
        /// The hosts.
        hosts: Vec<InstanceId>,
        /// DRAINING, or ACTIVE again.
        status: HostStatus,
    },
    /// ECS PutAttributes or DeleteAttributes: [`HostStep::OLD`], at most [`HostStep::MOST_HOSTS`] hosts a call.
    Mark {
        /// The hosts.
        hosts: Vec<InstanceId>,
        /// Whether they have it, or not any more.
        old: bool,
    },
    /// No call: hosts were lost, which is noted, so that everybody can read when and by what sign.
    Lost {
        /// The hosts.
        hosts: Vec<InstanceId>,
    },
    /// Auto Scaling TerminateInstanceInAutoScalingGroup.
    Terminate {
        /// The host.
        host: InstanceId,
        /// Its pool.
        pool: PoolName,
        /// Whether the group shrinks by it; otherwise the group launches another.
        shrink: bool,
    },
    /// Auto Scaling SetInstanceHealth: its group ends an instance of its warm pool, and fills the pool up again.
    EndWarm {
        /// The instance.
        host: InstanceId,
        /// Its pool.
        pool: PoolName,
    },
}

/// What told of a loss first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The two-minute warning came as an event.
    Warning,
    /// The spot request's status says that the host has its two minutes.
    MarkedRequest,
    /// The spot request's status says that it is gone.
    SpotRequest,
    /// EC2 said that the instance ends or stops.
    StateChange,
    /// The cluster has its container instance as leaving.
    Deregistered,
    /// Several looks at the cluster did not show it.
    NotShown,
    /// Its group ends it.
    GroupEnds,
    /// Its group, which had it in service, does not list it any more.
    LeftGroup,
    /// Its group's health checks failed.
    Unhealthy,
    /// Its agent was not connected for minutes.
    AgentAway,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "EC2's warning",
            Self::MarkedRequest => "its spot request is marked",
            Self::SpotRequest => "its spot request says that it is gone",
            Self::StateChange => "EC2's word that it ends or stops",
            Self::Deregistered => "its container instance leaves the cluster",
            Self::NotShown => "the cluster does not show it any more",
            Self::GroupEnds => "its group ends it",
            Self::LeftGroup => "its group does not list it any more",
            Self::Unhealthy => "its group's health checks failed",
            Self::AgentAway => "its agent is away",
        })
    }
}

impl HostStep {
    /// Container instances in one call (ECS API reference, UpdateContainerInstancesState; PutAttributes takes ten
    /// attributes as well).
    pub const MOST_HOSTS: usize = 10;
    /// The ECS attribute of hosts that a roll is about to replace. A placement constraint such as
    /// `attribute:evenkeel.old !exists` keeps tasks that move from going there.
    pub const OLD: &'static str = "evenkeel.old";
}

impl fmt::Display for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetCapacity { pool, group: _, from, to } => write!(f, "pool {pool} {from} -> {to}"),
            Self::SetStatus { hosts, status } => {
                let verb = if *status == HostStatus::Active { "activate" } else { "drain" };
                let names: Vec<&str> = hosts.iter().map(InstanceId::as_str).collect();
                write!(f, "{verb} {}", names.join(", "))
            }
            Self::Mark { hosts, old } => {
                let names: Vec<&str> = hosts.iter().map(InstanceId::as_str).collect();
                write!(f, "{} {} as old", if *old { "mark" } else { "unmark" }, names.join(", "))
            }
            Self::Lost { hosts } => {
                let names: Vec<&str> = hosts.iter().map(InstanceId::as_str).collect();
                write!(f, "lost {}", names.join(", "))
            }
            Self::Terminate { host, pool, shrink } => {
                let what = if *shrink { "give back" } else { "replace" };
                write!(f, "{what} {host} of pool {pool}")
            }
            Self::EndWarm { host, pool } => write!(f, "replace {host} in the warm pool of {pool}"),
        }
    }
}

/// Why a step about hosts is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostWhy {
    /// The fleet has less than it needs.
    Short(Need),
    /// A launch was refused: the group is told to stop trying, and another pool is tried.
    Refused {
        /// What for.
        kind: RefusalKind,
        /// AWS's words.
        message: String,
        /// The pool is tried again then.
        until: Timestamp,
    },
    /// A launch that is not needed any more has not begun.
    NotNeeded,
    /// EC2 takes the host.
    Lost {
        /// How it is known.
        cause: LossCause,
        /// When the host goes, where known.
        deadline: Option<Timestamp>,
    },
    /// EC2 sees a higher risk, its replacement is in service, and the fleet file says `rebalance = "drain"`.
    AtRisk,
    /// No reason to keep it was left for the dwell.
    NoReason {
        /// How long there was none.
        quiet: Duration,
    },
    /// A host that was being given back is needed again.
    NeededAgain,
    /// Another function had it drain, and has not said anything since its time was over.
    Silent {
        /// Which.
        holder: FunctionName,
    },
    /// It is drained: nothing runs on it.
    Empty,
    /// A host was lost, by this sign.
    Seen {
        /// What told of it.
        sign: Sign,
        /// When it goes, where known.
        deadline: Option<Timestamp>,
    },
    /// It cannot be emptied in order: it takes tasks again.
    CannotMove {
        /// What is in the way.
        cause: Stuck,
    },
    /// It did not become empty in time.
    DrainTimeout {
        /// What still runs on it.
        tasks: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// Its agent does not come back.
    AgentGone {
        /// How long it was away.
        waited: Duration,
    },
    /// It never joined the cluster.
    NeverJoined {
        /// How long was waited.
        waited: Duration,
    },
}

impl fmt::Display for HostWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(need) => need.fmt(f),
            Self::Refused { kind, message, until } => {
                let kind = match kind {
                    RefusalKind::Capacity => "no capacity",
                    RefusalKind::Quota => "over the quota",
                    RefusalKind::Other => "refused",
                };
                write!(f, "launch refused, {kind} ({message}); next try {until:.0}")
            }
            Self::NotNeeded => f.write_str("not needed any more, and not launched yet"),
            Self::Lost { cause, deadline: Some(deadline) } => write!(f, "{cause}, gone at {deadline:.0}"),
            Self::Lost { cause, deadline: None } => cause.fmt(f),
            Self::AtRisk => f.write_str("EC2 recommends to rebalance, and its replacement is there"),
            Self::NoReason { quiet } => write!(f, "no reason to keep it for {} s", quiet.as_secs()),
            Self::NeededAgain => f.write_str("needed again"),
            Self::Silent { holder } => write!(f, "{holder} had it drain, and its time is over without a word"),
            Self::Seen { sign, deadline: Some(deadline) } => write!(f, "{sign}; gone at {deadline:.0}"),
            Self::Seen { sign, deadline: None } => sign.fmt(f),
            Self::CannotMove { cause } => write!(f, "it cannot be emptied: {cause}"),
            Self::Empty => f.write_str("nothing runs on it any more"),
            Self::DrainTimeout { tasks: 0, waited } => {
                write!(f, "it is not known to be empty after {} s", waited.as_secs())
            }
            Self::DrainTimeout { tasks, waited } => {
                write!(f, "{tasks} tasks are still on it after {} s", waited.as_secs())
            }
            Self::AgentGone { waited } => write!(f, "its agent did not come back in {} s", waited.as_secs()),
            Self::NeverJoined { waited } => write!(f, "it did not join the cluster in {} s", waited.as_secs()),
        }
    }
}

/// What a fleet needs and has, in capacity units (hosts, where all are of one size).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// `steady` of the fleet file.
    pub steady: u32,
    /// More, because an alarm is in ALARM.
    pub boost: u32,
    /// More, because tasks fit nowhere.
    pub shortfall: u32,
    /// More, because a roll has no room for its next wave.
    #[serde(default)]
    pub borrowed: u32,
    /// Reserved capacity in service or on its way, the on-demand base of mixed groups included.
    pub reserved: u32,
    /// Spot capacity in service or on its way, and not about to be taken.
    pub spot: u32,
    /// Capacity of groups other than on-demand ones that were not shown, which nobody knows to be missing.
    #[serde(default)]
    pub unknown: u32,
    /// On-demand capacity that is needed for the rest, within `maximum`.
    pub on_demand: u32,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steady, boost, shortfall, borrowed, reserved, spot, unknown, on_demand } = self;
        write!(f, "{on_demand} on-demand needed: {steady} steady")?;
        let reasons =
            [(boost, "for alarms"), (shortfall, "for tasks that fit nowhere"), (borrowed, "for a roll's next wave")];
        for (more, why) in reasons {
            if *more > 0 {
                write!(f, " + {more} {why}")?;
            }
        }
        write!(f, " - {reserved} reserved - {spot} spot")?;
        if *unknown > 0 { write!(f, " - {unknown} of groups that are not shown") } else { Ok(()) }
    }
}

/// How it is known that a host is taken from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossCause {
    /// The two-minute warning, or the spot request's status.
    Interruption,
    /// It was shut down, or its group or EC2 says that it is gone.
    Gone,
    /// Its group found it unhealthy, or it hangs in a terminate hook.
    Leaving,
    /// Its agent has been away for too long.
    AgentAway,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interruption => "EC2 takes the spot host",
            Self::Gone => "the host is gone",
            Self::Leaving => "its group ends it",
            Self::AgentAway => "its agent is away",
        })
    }
}
