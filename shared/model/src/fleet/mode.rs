//! Whether functions act, or only observe.

use schemars::JsonSchema;
use serde::Serialize;

use crate::decision::FunctionName;

/// Whether a function acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It takes the steps that it plans.
    #[default]
    Act,
    /// It looks, plans and records what it would do, and takes no step.
    Observe,
}

impl Mode {
    /// Whether steps are taken.
    #[must_use]
    pub const fn is_act(&self) -> bool {
        matches!(self, Self::Act)
    }

    /// What to say first, where it only observes.
    #[must_use]
    pub fn says(self, function: FunctionName) -> Option<String> {
        let says = || format!("OBSERVING: {function} takes no step, and records what it would do (mode = \"observe\")");
        (!self.is_act()).then(says)
    }
}

/// What microscale may do besides what the services say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Microscale {
    /// Whether microscale acts; absent: as the fleet's `mode` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}
