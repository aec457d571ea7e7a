//! What is asked for in turn, a few with each look, whether anything says that it has changed or not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use evenkeel_model::{TaskId, Timestamp};

use crate::ports::MOST_TASKS;

/// Everything is asked for once in this time, where it is not more than looks have requests for.
pub(crate) const ROUND: Duration = Duration::from_secs(300);
/// So many requests of a look at most are for what is only asked in turn.
const MOST_BATCHES: u32 = 20;

/// A walk through all tasks, a batch at a time.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    /// The last task that was asked for.
    pub(crate) from: Option<TaskId>,
    pub(crate) at: Timestamp,
}

impl Round {
    /// The tasks whose turn has come, in whole batches.
    pub(crate) fn due<T>(&mut self, tasks: &BTreeMap<TaskId, T>, now: Timestamp) -> BTreeSet<TaskId> {
        let batches = u32::try_from(tasks.len().div_ceil(MOST_TASKS)).unwrap_or(u32::MAX).max(1);
        let each = ROUND / batches;
        let passed = now.duration_since(self.at).unsigned_abs();
        let most = batches.min(MOST_BATCHES);
        let due = u32::try_from(passed.as_millis() / each.as_millis().max(1)).unwrap_or(u32::MAX).min(most);
        if due == 0 {
            return BTreeSet::new();
        }
        self.at = if due == most { now } else { self.at + each * due };
        let wanted = usize::try_from(due).unwrap_or(usize::MAX).saturating_mul(MOST_TASKS).min(tasks.len());
        let after = self.from.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let later = tasks.range((after, Bound::Unbounded)).chain(tasks.iter());
        let due: Vec<&TaskId> = later.map(|(id, _)| id).take(wanted).collect();
        self.from = due.last().copied().cloned().or(self.from.take());
        due.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_their_turn_and_no_look_asks_for_more_than_it_has_requests_for() {
        let tasks: BTreeMap<TaskId, ()> =
            (0..32_500).map(|number| (format!("t-{number:05}").parse().unwrap(), ())).collect();
        let most = usize::try_from(MOST_BATCHES).unwrap() * MOST_TASKS;
        let mut now = Timestamp::UNIX_EPOCH;
        let mut round = Round { from: None, at: now };
        let mut asked = BTreeSet::new();
        assert_eq!(round.due(&tasks, now), BTreeSet::new());
        for look in 1..=17 {
            now += Duration::from_secs(60);
            let due = round.due(&tasks, now);
            assert_eq!(due.len(), most, "look {look}");
            asked.extend(due);
        }
        assert_eq!(asked.len(), tasks.len(), "32,500 tasks are 325 requests: 17 looks of 20");
        // A few have theirs within the time of a round, however often they are looked at.
        let few: BTreeMap<TaskId, ()> = tasks.into_iter().take(950).collect();
        let mut round = Round { from: None, at: now };
        let mut asked = BTreeSet::new();
        for _ in 0..30 {
            now += ROUND / 30;
            asked.extend(round.due(&few, now));
        }
        assert_eq!(asked.len(), few.len());
    }
}
