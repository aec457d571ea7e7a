//! What becomes of a roll, why a step of one is taken, and why a host cannot be replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AlarmName, ImageId, InstanceId, PoolName, RollId, ServiceName};

/// What becomes of a roll. No call: it is noted, so that everybody can read when, why, and who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollStep {
    /// It begins.
    Start {
        /// The roll.
        roll: RollId,
        /// One pool, or all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<PoolName>,
    },
    /// It begins no new wave.
    Pause {
        /// The roll.
        roll: RollId,
    },
    /// It goes on.
    Resume {
        /// The roll.
        roll: RollId,
    },
    /// It takes no more hosts out.
    Halt {
        /// The roll.
        roll: RollId,
    },
    /// It is to end.
    Abort {
        /// The roll.
        roll: RollId,
    },
    /// It is over.
    End {
        /// The roll.
        roll: RollId,
        /// How.
        ending: Ending,
    },
}

impl fmt::Display for RollStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { roll, pool: None } => write!(f, "start roll {roll}"),
            Self::Start { roll, pool: Some(pool) } => write!(f, "start roll {roll} of pool {pool}"),
            Self::Pause { roll } => write!(f, "pause roll {roll}"),
            Self::Resume { roll } => write!(f, "resume roll {roll}"),
            Self::Halt { roll } => write!(f, "halt roll {roll}"),
            Self::Abort { roll } => write!(f, "abort roll {roll}"),
            Self::End { roll, ending } => write!(f, "end roll {roll}, {ending}"),
        }
    }
}

/// How a roll ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// No outdated host is left.
    Done,
    /// Some hosts could not be replaced.
    Incomplete,
    /// Somebody asked for it.
    Aborted,
    /// No image could be baked, so nothing was rolled.
    NotBaked(String),
    /// It was taken back: the groups launch what they launched before, and so do its hosts.
    RolledBack(Halt),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Incomplete => f.write_str("incomplete"),
            Self::Aborted => f.write_str("aborted"),
            Self::NotBaked(because) => write!(f, "without an image ({because})"),
            Self::RolledBack(because) => write!(f, "rolled back ({because})"),
        }
    }
}

/// Why a step of a roll is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollWhy {
    /// A person or an application asked for it.
    Asked {
        /// Who, as far as the request says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A window opened, or an event asked for it.
    Due {
        /// What happened.
        because: String,
    },
    /// The roll takes no more hosts out.
    Halted {
        /// Why.
        because: Halt,
    },
    /// What a roll that is over has done.
    Ended {
        /// Hosts that were replaced.
        replaced: u32,
        /// Waves in which that was.
        waves: u32,
        /// Hosts that went by themselves.
        went: u32,
        /// Hosts that could not be replaced.
        left: u32,
        /// The first [`RollWhy::MOST_NAMED`] of these, and why.
        named: BTreeMap<InstanceId, Stuck>,
    },
    /// The host was not launched from what its group would use now.
    Outdated {
        /// What it runs, such as `version 3`.
        runs: String,
        /// What its group would use.
        newest: String,
    },
    /// The host was launched before the roll began, and new hosts update when they boot.
    LaunchedBefore {
        /// When it was launched.
        launched: Timestamp,
    },
    /// Tasks that move should move once, not from old host to old host.
    Unattractive,
    /// The roll is over, or the host is not to be replaced any more.
    NoLongerOld,
    /// The new host comes before the old one goes.
    LaunchFirst {
        /// Hosts of the wave.
        hosts: u32,
    },
    /// The hosts that the group grew by are not wanted any more, or did not come.
    Withdrawn {
        /// Why.
        because: String,
    },
    /// The host cannot be replaced: it takes tasks again, and its place in the disruption budget is free.
    Abandoned {
        /// What is in the way.
        cause: Stuck,
    },
    /// The roll stopped while the host was becoming empty.
    Stopped {
        /// Why.
        because: Halt,
    },
    /// Back to what the group launched before.
    RollBack {
        /// Why.
        because: Halt,
    },
    /// A new host of a roll that is taken back.
    TakenBack,
    /// The roll begins with a fresh image.
    Bake,
    /// The builder has stopped: its updates are installed.
    Installed,
    /// The image is there.
    Baked {
        /// The image.
        image: ImageId,
    },
    /// More images than are kept.
    TooMany {
        /// `keep` of the fleet file.
        keep: u32,
    },
    /// The bake ends without an image, and leaves nothing behind.
    BakeFailed {
        /// Why.
        because: String,
    },
}

impl RollWhy {
    /// Hosts that are named where a roll ends without having replaced them: a feed is read by people.
    pub const MOST_NAMED: usize = 5;
}

impl fmt::Display for RollWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { by: None } => f.write_str("a manual request"),
            Self::Asked { by: Some(by) } => write!(f, "a manual request by {by}"),
            Self::Due { because } => f.write_str(because),
            Self::Halted { because } => because.fmt(f),
            Self::Ended { replaced, waves, went, left, named } => {
                write!(f, "{} replaced in {}", some(*replaced, "host"), some(*waves, "wave"))?;
                if *went > 0 {
                    write!(f, ", {} gone without it", some(*went, "host"))?;
                }
                if *left > 0 {
                    write!(f, ", {} not replaced: ", some(*left, "host"))?;
                    let hosts: Vec<String> = named.iter().map(|(host, cause)| format!("{host} ({cause})")).collect();
                    f.write_str(&hosts.join(", "))?;
                }
                if *left as usize > named.len() { f.write_str(" and others") } else { Ok(()) }
            }
            Self::Outdated { runs, newest } => write!(f, "it runs {runs}, and its group would use {newest}"),
            Self::LaunchedBefore { launched } => {
                write!(f, "launched at {launched:.0}, before the roll; new hosts update when they boot")
            }
            Self::Unattractive => f.write_str("about to be replaced: tasks should not move here"),
            Self::NoLongerOld => f.write_str("not about to be replaced any more"),
            Self::LaunchFirst { hosts } => write!(f, "{hosts} new hosts come before the old ones go"),
            Self::Withdrawn { because } | Self::BakeFailed { because } => f.write_str(because),
            Self::Abandoned { cause } => write!(f, "it cannot be replaced: {cause}"),
            Self::Stopped { because } => write!(f, "the roll stopped: {because}"),
            Self::RollBack { because } => write!(f, "rolled back: {because}"),
            Self::TakenBack => f.write_str("launched by a roll that is taken back"),
            Self::Bake => f.write_str("the roll begins with a fresh image"),
            Self::Installed => f.write_str("its updates are installed"),
            Self::Baked { image } => write!(f, "{image} is baked"),
            Self::TooMany { keep } => write!(f, "the newest {keep} are kept"),
        }
    }
}

fn some(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Why a roll takes no more hosts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halt {
    /// A halt alarm is in ALARM.
    Alarm(AlarmName),
    /// A replacement did not come into service.
    Replacement(Stuck),
    /// The bake gave no image.
    Bake(String),
    /// Somebody asked for it.
    Request,
    /// Somebody else is at work on its group.
    Yields,
    /// The fleet file has no `[patch]` any more.
    NoSection,
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alarm(alarm) => write!(f, "alarm {alarm} is in ALARM"),
            Self::Replacement(stuck) => stuck.fmt(f),
            Self::Bake(because) => write!(f, "no image was baked: {because}"),
            Self::Request => f.write_str("by request"),
            Self::Yields => f.write_str("somebody else is at work on its group"),
            Self::NoSection => f.write_str("the fleet file has no [patch] any more"),
        }
    }
}

/// What keeps a host from being replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stuck {
    /// Minimum and maximum percent of a service are both 100: none may stop first, none may start first.
    MinMaxPercent {
        /// The service.
        service: ServiceName,
        /// Its tasks on the host.
        tasks: u32,
    },
    /// Tasks have no other place.
    NoRoom {
        /// Which, and how much they need.
        because: String,
    },
    /// Tasks that belong to no service: ECS does not move them.
    Standalone {
        /// How many.
        tasks: u32,
    },
    /// Tasks are protected from being stopped.
    Protected {
        /// Their service.
        service: ServiceName,
        /// How many.
        tasks: u32,
    },
    /// Tasks wait for their load balancer to let go of them, or for their stop timeout.
    Stopping {
        /// How many.
        tasks: u32,
    },
    /// The agent is away, so ECS cannot empty the host.
    AgentAway,
    /// The fleet file does not name its group any more.
    NotListed,
    /// What its pool would launch is not known.
    UnknownTemplate {
        /// Why.
        because: String,
    },
    /// The group's launches are refused.
    LaunchFailing {
        /// AWS's words.
        because: String,
    },
    /// The group launched nothing.
    NotLaunched {
        /// How long was waited.
        waited: Duration,
    },
    /// A new host is there and did not come into service.
    NeverHealthy {
        /// What it lacks.
        lacks: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A new host is as outdated as the one before.
    StillOutdated {
        /// What it runs.
        runs: String,
    },
    /// Nothing that is known.
    Unknown {
        /// What is still on the host.
        tasks: u32,
    },
}

impl Stuck {
    /// Whether all that is left on a host is on its way out.
    #[must_use]
    pub const fn goes_by_itself(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMaxPercent { service, tasks } => {
                write!(f, "{tasks} tasks of {service} can never move: minimum and maximum percent are both 100")
            }
            Self::NoRoom { because } => f.write_str(because),
            Self::Standalone { tasks } => write!(f, "{tasks} standalone tasks, which ECS does not move"),
            Self::Protected { service, tasks } => write!(f, "{tasks} tasks of {service} are protected"),
            Self::Stopping { tasks } => write!(f, "{tasks} tasks are stopping or leave their load balancer"),
            Self::AgentAway => f.write_str("its agent is away"),
            Self::NotListed => f.write_str("the fleet file does not name its group any more"),
            Self::UnknownTemplate { because } => write!(f, "what its pool would launch is not known: {because}"),
            Self::LaunchFailing { because } => write!(f, "launches are refused: {because}"),
            Self::NotLaunched { waited } => write!(f, "nothing was launched in {} s", waited.as_secs()),
            Self::NeverHealthy { lacks, waited } => {
                write!(f, "the new host did not come into service in {} s: {lacks}", waited.as_secs())
            }
            Self::StillOutdated { runs } => write!(f, "the new host runs {runs}, which is outdated as well"),
            Self::Unknown { tasks } => write!(f, "{tasks} tasks are still on it, for no reason that is known"),
        }
    }
}
