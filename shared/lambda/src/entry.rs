//! What differs between the binaries.

use std::future::Future;

use evenkeel_aws::Also;
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::{FleetCache, HandleError, Handled, InWords, Limits, Summary};
use serde::Serialize;
use serde_json::{Value, json};

use crate::says;

/// A function as the runtime calls it.
pub trait Entry<P>: Sync {
    /// Its name in log lines and metrics.
    const NAME: &'static str;
    /// What it decides by, besides what every function sees of a service.
    const ALSO: Also = Also::NOTHING;

    /// Does what `trigger` asks of it for one fleet.
    fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> impl Future<Output = Result<Done, HandleError>> + Send;
}

/// What a trigger led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It says nothing to this function about this fleet.
    NotForUs,
    /// A turn was taken, or another one marked to go again.
    Turned(Box<Summary>),
    /// Something else, for whoever asked and for the log: what a turn would do, or what was done without one.
    Answered(Value),
}

impl<S, V: Serialize + InWords> From<Handled<S, V>> for Done {
    fn from(handled: Handled<S, V>) -> Self {
        match handled {
            Handled::NotForUs => Self::NotForUs,
            Handled::Turned(summary) => Self::Turned(summary),
            Handled::Refused(because) => Self::Answered(json!({ "says": [because], "refused": because })),
            Handled::Planned(parts) => {
                let (outlook, view) = *parts;
                let says = says::of_outlook(&outlook, &view);
                let view = says::brief(serde_json::to_value(view).unwrap_or_default());
                Self::Answered(json!({ "says": says, "steps": outlook.steps, "report": outlook.report, "view": view }))
            }
        }
    }
}
