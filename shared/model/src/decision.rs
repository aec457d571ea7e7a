//! Steps a turn takes, and the decision that is recorded before each.

mod hosts;
mod images;
mod rolls;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use hosts::{HostStep, HostWhy, LossCause, Need, Sign};
pub use images::ImageStep;
pub use rolls::{Ending, Halt, RollStep, RollWhy, Stuck};

use crate::ids::ServiceName;

/// A function of Even Keel that decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionName {
    /// Sets task counts by priority.
    Microscale,
    /// Rides out spot loss and peaks with on-demand hosts.
    Backfill,
    /// Replaces hosts wave by wave.
    Patchroll,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Microscale => "microscale",
            Self::Backfill => "backfill",
            Self::Patchroll => "patchroll",
        })
    }
}

/// One change to AWS. All but [one](Step::may_be_repeated) may be taken twice without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// ECS UpdateService with this desired count.
    SetDesiredCount {
        /// The service.
        service: ServiceName,
        /// The count that was observed.
        from: u32,
        /// The count that is set.
        to: u32,
    },
    /// A change to hosts.
    Host(HostStep),
    /// A change to what hosts are launched from.
    Image(ImageStep),
    /// No change: a roll begins, ends, or is steered.
    Roll(RollStep),
}

impl Step {
    /// Whether the same call may be made again when nobody knows whether it was taken. A host that leaves twice takes its
    /// group's capacity down twice (Auto Scaling API reference, TerminateInstanceInAutoScalingGroup).
    #[must_use]
    pub const fn may_be_repeated(&self) -> bool {
        !matches!(self, Self::Host(HostStep::Terminate { host: _, pool: _, shrink: true }))
    }
}

impl Step {
    /// Whether it only notes what has happened, which is true whether or not anybody acts.
    #[must_use]
    pub const fn is_a_note(&self) -> bool {
        matches!(self, Self::Host(HostStep::Lost { hosts: _ }))
    }

    /// The step as what would be done: all begin with a verb then.
    #[must_use]
    pub fn would(&self) -> String {
        let verb = match self {
            Self::SetDesiredCount { .. } | Self::Host(HostStep::SetCapacity { .. }) => "set ",
            Self::Host(HostStep::Lost { .. }) => "have ",
            Self::Image(ImageStep::NewVersion { .. }) => "make a ",
            Self::Image(ImageStep::SetDefault { .. } | ImageStep::UseVersion { .. }) => "have it that ",
            Self::Host(
                HostStep::SetStatus { .. }
                | HostStep::Mark { .. }
                | HostStep::Terminate { .. }
                | HostStep::EndWarm { .. },
            )
            | Self::Image(
                ImageStep::RunBuilder { .. }
                | ImageStep::MakeImage { .. }
                | ImageStep::EndBuilder { .. }
                | ImageStep::DeleteImage { .. },
            )
            | Self::Roll(_) => "",
        };
        format!("would {verb}{self}")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetDesiredCount { service, from, to } => write!(f, "{service} {from} -> {to}"),
            Self::Host(step) => step.fmt(f),
            Self::Image(step) => step.fmt(f),
            Self::Roll(step) => step.fmt(f),
        }
    }
}

/// A step with its reason, before it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What is done.
    pub step: Step,
    /// Why.
    pub why: Why,
    /// The steps, by their place in the plan, without which this one would do harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
    /// It may be taken at the same time as the step before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The service's want rose and there is room.
    WantRose {
        /// The tasks wanted.
        want: u32,
        /// The tasks that are there.
        live: u32,
    },
    /// The highest want of the dwell fell.
    WantFell {
        /// The tasks wanted.
        want: u32,
        /// How long the want stayed at or below this.
        dwell: Duration,
    },
    /// A higher tier's tasks do not fit otherwise, and with this they do.
    MakesRoom {
        /// The service that gets the room.
        service: ServiceName,
        /// The tasks of it that this step lets start, together with the other steps for it.
        starts: u32,
    },
    /// Holes were open long enough.
    FillsHoles {
        /// How many holes, of this service's size.
        holes: u32,
        /// How long they were open at least.
        dwell: Duration,
    },
    /// The count asked for more than fits; nothing that runs is stopped by asking for less.
    AskedTooMuch {
        /// What fits, running tasks included.
        feasible: u32,
    },
    /// `min_tasks` or `max_tasks` of the fleet file say so.
    Limits {
        /// The tasks wanted within the limits.
        want: u32,
    },
    /// A reason for a step about hosts.
    Host(HostWhy),
    /// A reason for a step of a roll.
    Roll(RollWhy),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WantRose { want, live } => write!(f, "{want} wanted, {live} there, and there is room"),
            Self::WantFell { want, dwell } => write!(f, "no more than {want} wanted for {} s", dwell.as_secs()),
            Self::MakesRoom { service, starts } => {
                write!(f, "so that {service} can start {starts}, whichever tasks ECS stops")
            }
            Self::FillsHoles { holes, dwell } => write!(f, "{holes} free for {} s or longer", dwell.as_secs()),
            Self::AskedTooMuch { feasible } => write!(f, "only {feasible} fit"),
            Self::Limits { want } => write!(f, "the fleet file allows {want}"),
            Self::Host(why) => why.fmt(f),
            Self::Roll(why) => why.fmt(f),
        }
    }
}

/// A recorded step: written before it is taken, completed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was decided.
    pub at: Timestamp,
    /// By which function.
    pub function: FunctionName,
    /// What is done.
    pub step: Step,
    /// Why.
    pub why: Why,
    /// What became of it.
    pub outcome: Outcome,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: _, function: _, step, why, outcome } = self;
        if *outcome == Outcome::Would {
            return write!(f, "{}: {why}", step.would());
        }
        write!(f, "{step}: {why}")?;
        match outcome {
            Outcome::Would => Ok(()),
            Outcome::Undone => write!(f, " (not known whether it was done)"),
            Outcome::Done => Ok(()),
            Outcome::Failed(reason) => write!(f, " (failed: {reason})"),
            Outcome::Left(reason) => write!(f, " (left for the next turn: {reason})"),
        }
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Recorded, nothing known yet; stays so when the turn was killed.
    Undone,
    /// AWS took it.
    Done,
    /// AWS refused it or did not answer.
    Failed(String),
    /// Not tried any more in this turn.
    Left(String),
    /// Not done: the function only observes.
    Would,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_says_so_and_every_kind_of_it_is_a_sentence() {
        let (pool, group) = ("burst".parse().unwrap(), "shop-burst".parse().unwrap());
        let hosts = vec!["i-1".parse().unwrap()];
        let steps = [
            (Step::SetDesiredCount { service: "web".parse().unwrap(), from: 4, to: 6 }, "would set web 4 -> 6: "),
            (Step::Host(HostStep::SetCapacity { pool, group, from: 0, to: 1 }), "would set pool burst 0 -> 1: "),
            (
                Step::Host(HostStep::SetStatus { hosts, status: crate::observed::HostStatus::Draining }),
                "would drain i-1: ",
            ),
            (Step::Roll(RollStep::Start { roll: "r-1".parse().unwrap(), pool: None }), "would start roll r-1: "),
        ];
        for (step, begins) in steps {
            let (at, why) = (Timestamp::UNIX_EPOCH, Why::AskedTooMuch { feasible: 5 });
            let decision = Decision { at, function: FunctionName::Microscale, step, why, outcome: Outcome::Would };
            let said = decision.to_string();
            assert!(said.starts_with(begins), "{said}");
            let done = Decision { outcome: Outcome::Done, ..decision }.to_string();
            assert!(!done.contains("would"), "{done}");
        }
    }
}
