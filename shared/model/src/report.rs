//! What a plan is waiting for, and why nothing more was done: a value, not a log line.

mod hosts;
mod rolls;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use hosts::{HostWait, Source};
pub use rolls::RollWait;

use crate::ids::{GroupName, ServiceName};
use crate::observed::HandsOff;
use crate::resources::Resources;
use jiff::Timestamp;

/// What a turn's plan could not do, or does not do yet.
#[must_use]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Everything that is waited for, in the order of the services.
    pub waits: Vec<Wait>,
    /// Wanted tasks that fit nowhere: a reason for backfill.
    pub shortfall: Vec<Shortfall>,
}

/// Wanted tasks of one service that fit nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// The service.
    pub service: ServiceName,
    /// The tasks that are missing.
    pub tasks: u32,
    /// What one of them needs.
    pub task: Resources,
    /// The groups whose hosts alone would take them; none: any host would.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
}

/// One thing that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Tasks do not fit, and no guaranteed preemption helps.
    NoRoom {
        /// The service.
        service: ServiceName,
        /// The tasks that are missing.
        short: u32,
        /// What is free, what is needed, and why stopping others does not help.
        because: String,
    },
    /// Room was asked of ECS for other tasks in this turn; the next turn knows where they went.
    Placement {
        /// The service that waits.
        service: ServiceName,
        /// Its tasks that wait.
        tasks: u32,
    },
    /// The demand is not known: the last want is held.
    UnknownDemand {
        /// The service.
        service: ServiceName,
        /// The want that is held.
        held: u32,
        /// Why it is not known.
        because: String,
    },
    /// The want fell, and the dwell is not over.
    ScaleDown {
        /// The service.
        service: ServiceName,
        /// The want now.
        want: u32,
        /// The highest want of the dwell, which is kept.
        held: u32,
    },
    /// Holes are open, not long enough yet.
    Refill {
        /// The service.
        service: ServiceName,
        /// The holes of its size.
        holes: u32,
        /// How long a hole must have been open.
        dwell: Duration,
    },
    /// The service's count is not ours to set now.
    HandsOff {
        /// The service.
        service: ServiceName,
        /// Why.
        because: HandsOff,
    },
    /// The fleet file names a service that the cluster does not have.
    NoSuchService {
        /// The service.
        service: ServiceName,
    },
    /// A placement constraint that is not understood: the service is not raised.
    Constraint {
        /// The service.
        service: ServiceName,
        /// The expression.
        expression: String,
    },
    /// Somebody else changed the count.
    ForeignWriter {
        /// The service.
        service: ServiceName,
        /// The count that was last written by us.
        wrote: u32,
        /// The count that is there.
        found: u32,
    },
    /// ECS does not place or start tasks where there seems to be room: the hosts that were there are not counted on.
    Distrust {
        /// The service.
        service: ServiceName,
        /// Its live tasks.
        cap: u32,
        /// What was seen.
        because: String,
        /// One more is tried then, or on a host that joins before.
        until: Timestamp,
    },
    /// The newest fleet file is not in force; what is planned is planned by the one before.
    FileRefused {
        /// What is wrong with it.
        because: String,
    },
    /// A first look at a large cluster takes more than one turn.
    FirstLook {
        /// So many tasks were looked at.
        seen: usize,
        /// So many there are.
        all: usize,
    },
    /// Looks have cost more of ECS's API than they may: beats are left out.
    Looks {
        /// The share of the account's reads that they may have, in percent.
        percent: u32,
        /// When that is made up for.
        until: Timestamp,
    },
    /// Something about hosts.
    Host(HostWait),
    /// Something about a roll.
    Roll(RollWait),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { service, short, because } => write!(f, "{service} is {short} short: {because}"),
            Self::Placement { service, tasks } => {
                write!(f, "{service} waits with {tasks} until ECS has placed the tasks before it")
            }
            Self::UnknownDemand { service, held, because } => {
                write!(f, "{service} holds {held}: {because}")
            }
            Self::ScaleDown { service, want, held } => {
                write!(f, "{service} keeps {held} although {want} would do, until its dwell is over")
            }
            Self::Refill { service, holes, dwell } => {
                write!(f, "{service} waits until {holes} holes were open for {} s", dwell.as_secs())
            }
            Self::HandsOff { service, because } => {
                let because = match because {
                    HandsOff::Deploying => "a deployment is in progress",
                    HandsOff::ScaledElsewhere => "Application Auto Scaling sets its count",
                    HandsOff::Daemon => "it is a daemon",
                    HandsOff::Deleted => "it is being deleted",
                    HandsOff::DeploymentFailed => "its last deployment failed; deploy it again, or roll it back",
                    HandsOff::Fargate => "it runs on Fargate, on no host of the fleet",
                    HandsOff::Anywhere => "it runs on machines outside AWS (launch type EXTERNAL)",
                    HandsOff::ManagedInstances => "it runs on ECS Managed Instances, which AWS scales",
                    HandsOff::TaskSets => {
                        "its deployment controller is EXTERNAL: its task sets say how many tasks there are"
                    }
                };
                write!(f, "{service} is left alone: {because}")
            }
            Self::NoSuchService { service } => write!(f, "{service} is not in the cluster"),
            Self::Constraint { service, expression } => {
                write!(f, "{service} is not raised: its constraint {expression:?} is not understood")
            }
            Self::ForeignWriter { service, wrote, found } => {
                write!(f, "{service} was set to {found} by somebody else, after we set {wrote}")
            }
            Self::FileRefused { because } => write!(f, "the newest fleet file was refused: {because}"),
            Self::FirstLook { seen, all } => {
                write!(f, "nothing is planned before all was looked at: {seen} of {all} tasks so far")
            }
            Self::Looks { percent, until } => write!(
                f,
                "looks have cost more than {percent} % of the account's ECS reads (api_share): beats are left out until {until:.0}"
            ),
            Self::Host(wait) => wait.fmt(f),
            Self::Roll(wait) => wait.fmt(f),
            Self::Distrust { service, cap, because, until } => {
                write!(f, "{service} has {cap}: {because}; one more is tried at {until:.0}, or on a new host")
            }
        }
    }
}
