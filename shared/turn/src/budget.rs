//! The disruption budget: hosts that are out, on purpose or not, over all functions.
//!
//! It is one item with all hosts that are out, written only where nobody else has written since. So taking a place,
//! giving one back and the count of them cannot disagree, and a storm of any size fits one write: a DynamoDB
//! transaction takes at most 100 items (DynamoDB developer guide, "Amazon DynamoDB Transactions").

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::fleet::Disruption;
use evenkeel_model::{Entries, FleetName, FunctionName, InstanceId, PoolName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Key;

/// A loss is repaid by a host in service; where none is to be had for longer than this, its place is given back, and the
/// fleet is patched as it is.
pub const REPAID_WITHIN: Duration = Duration::from_hours(1);

/// The hosts that are out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// By host. Those of later versions count as out, and are theirs to give back.
    #[serde(default)]
    pub outs: Entries<InstanceId, Out>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// A host that is out or leaving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// Why.
    pub cause: OutCause,
    /// Who noted it, and gives it back.
    pub by: FunctionName,
    /// Its pool, where its group replaces it: until it has, its place counts as capacity on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Since when.
    pub since: Timestamp,
    /// After this its holder is taken for dead: whoever looks at the host may give it back.
    pub deadline: Timestamp,
}

impl Out {
    /// A host that was lost at `at`: backfill gives its place back as soon as something has made up for it.
    #[must_use]
    pub fn lost(at: Timestamp) -> Self {
        Self { cause: OutCause::Lost, by: FunctionName::Backfill, pool: None, since: at, deadline: at + REPAID_WITHIN }
    }
}

/// Why a host is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutCause {
    /// It was taken from the fleet, and nothing has taken its place yet.
    Lost,
    /// On-demand capacity is given back.
    Release,
    /// It is replaced because EC2 sees a risk.
    Rebalance,
    /// A roll replaces it.
    Roll,
}

/// How a host is whose place in the budget nobody answers for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It takes work.
    In,
    /// It is there and takes no tasks.
    Draining,
    /// It does not exist any more.
    Gone,
}

impl Budget {
    /// Judges the places whose holders, others than `by`, were silent past their deadlines: by the hosts themselves, as far
    /// as `stands` knows of them. One that is gone or takes work is out no more. Gives those that still drain: whoever
    /// asks is to have them take tasks again, after which their places are free.
    pub fn judge_silent(
        &mut self,
        by: FunctionName,
        now: Timestamp,
        stands: impl Fn(&InstanceId) -> Option<Stands>,
    ) -> Vec<InstanceId> {
        let mut draining = Vec::new();
        self.outs.retain(|id, out| {
            if out.by == by || out.deadline > now {
                return true;
            }
            match (out.cause, stands(id)) {
                // What was lost is gone, and its time to be made up for is over.
                (OutCause::Lost, _) => false,
                (OutCause::Release | OutCause::Rebalance | OutCause::Roll, stands) => {
                    if stands == Some(Stands::Draining) {
                        draining.push(id.clone());
                    }
                    !matches!(stands, Some(Stands::In | Stands::Gone))
                }
            }
        });
        draining
    }

    /// Gives back the place that `by` took for a host; one that another function holds is that function's to give back.
    pub fn give_back(&mut self, host: &InstanceId, by: FunctionName) {
        if self.outs.get(host).is_some_and(|out| out.by == by) {
            self.outs.remove(host);
        }
    }

    /// Hosts that were lost and that nothing has made up for, in the order of their names.
    pub fn losses(&self) -> impl Iterator<Item = &InstanceId> {
        self.outs.iter().filter(|(_, out)| out.cause == OutCause::Lost).map(|(id, _)| id)
    }

    /// The item's key.
    #[must_use]
    pub fn key(fleet: &FleetName) -> Key {
        Key::turn(fleet, "budget")
    }

    /// Hosts that are out.
    #[must_use]
    pub fn out(&self) -> u32 {
        u32::try_from(self.outs.len() + self.outs.later().len()).unwrap_or(u32::MAX)
    }

    /// Drops what later versions noted and its time is over: its holder is dead, or was taken back to this version.
    pub fn forget_later(&mut self, now: Timestamp) {
        let deadline = |out: &Value| out["deadline"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        self.outs.retain_later(|_, out| deadline(out).is_none_or(|deadline| deadline > now));
    }

    /// How many more may go on purpose. Hosts that were taken from us count too, so more than `max_out` may be out.
    #[must_use]
    pub fn free(&self, disruption: Disruption) -> u32 {
        disruption.max_out.saturating_sub(self.out())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_overdraws_and_blocks_until_it_is_repaid() {
        let mut budget = Budget::default();
        let disruption = Disruption { max_out: 1 };
        assert_eq!(budget.free(disruption), 1);
        for host in ["spot-1", "spot-2"] {
            let out = Out {
                cause: OutCause::Lost,
                by: FunctionName::Backfill,
                pool: None,
                since: Timestamp::UNIX_EPOCH,
                deadline: Timestamp::UNIX_EPOCH,
            };
            budget.outs.insert(host.parse().unwrap(), out);
        }
        assert_eq!((budget.out(), budget.free(disruption)), (2, 0));
        budget.outs.pop_first();
        assert_eq!(budget.free(disruption), 0, "one is still out");
        budget.outs.pop_first();
        assert_eq!(budget.free(disruption), 1);
    }

    #[test]
    fn places_of_a_silent_holder_are_judged_by_their_hosts() {
        let mut budget = Budget::default();
        let now = Timestamp::UNIX_EPOCH + Duration::from_hours(1);
        let mut note = |host: &str, cause, by, deadline| {
            let out = Out { cause, by, pool: None, since: Timestamp::UNIX_EPOCH, deadline };
            budget.outs.insert(host.parse().unwrap(), out);
        };
        let (patchroll, backfill) = (FunctionName::Patchroll, FunctionName::Backfill);
        for host in ["in", "drains", "gone", "unseen"] {
            note(host, OutCause::Roll, patchroll, now);
        }
        note("lost", OutCause::Lost, patchroll, now);
        note("in-time", OutCause::Roll, patchroll, now + Duration::from_secs(1));
        note("own", OutCause::Release, backfill, now);
        let draining = budget.judge_silent(backfill, now, |host| match host.as_str() {
            "drains" => Some(Stands::Draining),
            "gone" => Some(Stands::Gone),
            "unseen" => None,
            _ => Some(Stands::In),
        });
        assert_eq!(draining, ["drains".parse().unwrap()]);
        let left: Vec<&str> = budget.outs.keys().map(InstanceId::as_str).collect();
        assert_eq!(left, ["drains", "in-time", "own", "unseen"]);
    }

    #[test]
    fn fields_of_a_later_version_survive() {
        let stored = r#"{"outs":{},"mood":"calm"}"#;
        let budget: Budget = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&budget).unwrap(), stored);
    }
}
