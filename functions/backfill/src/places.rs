//! Places in the disruption budget: taken by losses, given back by what comes into service, and judged where their holders
//! are silent.

use std::collections::BTreeMap;

use evenkeel_model::decision::{HostStep, HostWhy, Planned, Sign, Step, Why};
use evenkeel_model::groups::MemberState;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::report::Source;
use evenkeel_model::{FunctionName, InstanceId, Timestamp};
use evenkeel_turn::{Out, OutCause, Stands};

use crate::judge::Standing;
use crate::plan::Planning;
use crate::state::HostMemory;

/// A place of a host that was lost and that nothing has made up for.
fn is_loss(out: &Out) -> bool {
    out.cause == OutCause::Lost && out.by == FunctionName::Backfill
}

impl Planning<'_, '_> {
    /// Every new loss debits the budget, below zero if need be; what came into service repays.
    pub(crate) fn debit_losses(&mut self) {
        let now = self.given.now;
        let winds_down = self.given.fleet.backfill.is_none();
        let mut by_sign: BTreeMap<(Sign, Option<Timestamp>), Vec<InstanceId>> = BTreeMap::new();
        for (id, memory) in &self.state.hosts {
            let Some(kept) = self.hosts.all.get(id).filter(|kept| !kept.left && !winds_down) else { continue };
            let before = self.given.state.hosts.get(id).and_then(|memory| memory.loss);
            let Some(loss) = memory.loss.filter(|_| before.is_none()) else { continue };
            if let Some(sign) = kept.sign {
                by_sign.entry((sign, loss.deadline)).or_default().push(id.clone());
            }
            // A host that was leaving anyway is out already.
            self.budget.outs.entry(id.clone()).or_insert_with(|| Out::lost(loss.at));
        }
        let vanished = self.hosts.vanished.iter().filter(|_| !winds_down);
        for id in vanished.clone() {
            self.budget.outs.entry(id.clone()).or_insert_with(|| Out::lost(now));
        }
        self.budget.outs.retain(|_, out| !is_loss(out) || (out.deadline > now && !winds_down));
        if self.seen.has(Source::Groups) {
            self.repay();
        }
        // A roll may have replaced a host since the last look: then nothing is missing, and nothing was lost.
        let missed: Vec<InstanceId> = vanished.filter(|id| self.budget.outs.contains_key(id)).cloned().collect();
        if !missed.is_empty() {
            by_sign.insert((Sign::LeftGroup, None), missed);
        }
        for ((sign, deadline), hosts) in by_sign {
            let (step, why) = (Step::Host(HostStep::Lost { hosts }), Why::Host(HostWhy::Seen { sign, deadline }));
            self.steps.push(Planned { step, why, needs: Vec::new(), beside: false });
        }
        self.judge_places();
        let coming = self.hosts.all.values().any(|kept| kept.standing == Standing::Coming);
        if self.budget.outs.is_empty() {
            // While one comes, or is not known, there are no fewer than there were.
            let before = self.state.reach.filter(|_| coming).unwrap_or(0);
            self.state.reach = Some(self.hosts.working().max(before).min(self.given.fleet.hosts.steady));
        }
    }

    /// What came into service repays the oldest losses.
    fn repay(&mut self) {
        // No more is made up for than there was: where `steady` is out of reach, a loss is repaid all the same.
        let reach = self.state.reach.unwrap_or(self.given.fleet.hosts.steady);
        let missing = reach.saturating_sub(self.hosts.working());
        let mut lost: Vec<(Timestamp, InstanceId)> =
            self.budget.outs.iter().filter(|(_, out)| is_loss(out)).map(|(id, out)| (out.since, id.clone())).collect();
        lost.sort();
        let over = lost.len().saturating_sub(missing as usize);
        for (_, id) in lost.into_iter().take(over) {
            self.budget.outs.remove(&id);
        }
    }

    /// Gives back the places of hosts that are out no more, and of functions that are silent.
    fn judge_places(&mut self) {
        let now = self.given.now;
        let hosts = self.hosts;
        let state = &self.state;
        self.budget.outs.retain(|id, out| match (out.by, out.cause) {
            (FunctionName::Backfill, OutCause::Release | OutCause::Rebalance | OutCause::Roll) => {
                // Given back when the host is gone; a record without a memory of it is one of a turn that died.
                let leaves = |memory: &HostMemory| memory.leaving.is_some() || memory.back;
                hosts.all.contains_key(id) && state.hosts.get(id).is_some_and(leaves)
            }
            (FunctionName::Backfill, OutCause::Lost) => true,
            (FunctionName::Microscale | FunctionName::Patchroll, _) => true,
        });
        let read = self.seen.has(Source::Groups);
        let clustered = self.given.fleet.cluster.is_some();
        let draining = self.budget.judge_silent(FunctionName::Backfill, now, |id| {
            let Some(kept) = hosts.all.get(id) else { return read.then_some(Stands::Gone) };
            match kept.host.map(|host| host.status) {
                _ if kept.member.state != MemberState::InService || kept.recalled => None,
                Some(HostStatus::Active) => Some(Stands::In),
                Some(HostStatus::Draining) => Some(Stands::Draining),
                Some(HostStatus::Leaving) => None,
                None => (!clustered).then_some(Stands::In),
            }
        });
        for id in draining {
            if let Some(memory) = self.state.hosts.get_mut(&id) {
                memory.back = true;
            }
        }
    }
}
