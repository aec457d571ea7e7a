//! Lifecycle hooks: how long one holds an instance, and what comes of it.

use serde::Deserialize;

/// A hook holds an instance for this long at most, whatever heartbeats come (Auto Scaling user guide, "Lifecycle hooks").
const LONGEST_SECONDS: u64 = 48 * 3_600;
/// And for as many heartbeat timeouts.
const MOST_TIMEOUTS: u64 = 100;

/// A lifecycle hook of a group, and what whoever minds it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookSetup {
    /// `HeartbeatTimeout`.
    pub heartbeat_seconds: u64,
    /// `DefaultResult`: what comes of it when nobody answers in time.
    pub default_result: HookResult,
    /// CompleteLifecycleAction with CONTINUE comes after so long; none: never.
    pub completes_after_seconds: Option<u64>,
    /// RecordLifecycleActionHeartbeat comes in time so often.
    pub heartbeats: u64,
}

/// What comes of a hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookResult {
    /// A launch is given up, and tried again; a termination goes on.
    #[default]
    Abandon,
    /// It goes on.
    Continue,
}

impl Default for HookSetup {
    fn default() -> Self {
        // AWS's defaults: an hour, and ABANDON.
        Self {
            heartbeat_seconds: 3_600,
            default_result: HookResult::Abandon,
            completes_after_seconds: None,
            heartbeats: 0,
        }
    }
}

impl HookSetup {
    /// How many seconds it holds an instance, and what comes of it.
    #[must_use]
    pub fn ends(&self) -> (u64, HookResult) {
        let timeouts = self.heartbeats.saturating_add(1).min(MOST_TIMEOUTS);
        let lapses = self.heartbeat_seconds.saturating_mul(timeouts).min(LONGEST_SECONDS);
        match self.completes_after_seconds {
            Some(after) if after <= lapses => (after, HookResult::Continue),
            Some(_) | None => (lapses, self.default_result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_completed_or_lapses_and_no_heartbeat_holds_it_for_ever() {
        let hook = |text: &str| toml::from_str::<HookSetup>(text).expect("a hook").ends();
        assert_eq!(hook(""), (3_600, HookResult::Abandon));
        assert_eq!(hook("completes_after_seconds = 90"), (90, HookResult::Continue));
        assert_eq!(hook("heartbeat_seconds = 60\ncompletes_after_seconds = 90"), (60, HookResult::Abandon));
        let beats = "heartbeat_seconds = 60\nheartbeats = 2\ncompletes_after_seconds = 90";
        assert_eq!(hook(beats), (90, HookResult::Continue));
        let beats = "heartbeat_seconds = 60\nheartbeats = 2\ndefault_result = \"continue\"";
        assert_eq!(hook(beats), (180, HookResult::Continue));
        assert_eq!(hook("heartbeat_seconds = 60\nheartbeats = 5000").0, 6_000, "a hundred timeouts");
        assert_eq!(hook("heartbeat_seconds = 7200\nheartbeats = 5000").0, 48 * 3_600, "two days");
    }
}
