//! Dry runs: what the next turn of a function would do, by its own word.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use evenkeel_backfill::{Backfill, handler as backfill};
use evenkeel_model::FunctionName;
use evenkeel_model::trigger::{BackfillVerb, Manual, Request, RollVerb, Trigger};
use evenkeel_patchroll::{PatchView, Patchroll, handler as patchroll};
use evenkeel_turn::Outlook;

use crate::sim::{LIMITS, World};
use crate::turns::Ports;

impl World {
    /// What the next turn of backfill would do; none where the fleet file has no backfill.
    pub fn plan_backfill(&mut self) -> Option<Outlook<evenkeel_backfill::State>> {
        let (ports, fleets) = self.window(FunctionName::Backfill);
        let trigger = self.asks(Request::Backfill(BackfillVerb::Plan));
        let handled = self.finish(async move { Backfill.handle(&ports, &fleets, &trigger, "plan", LIMITS).await });
        match handled?.ok()? {
            backfill::Handled::Planned(planned) => Some(planned.0),
            backfill::Handled::NotForUs | backfill::Handled::Refused(_) | backfill::Handled::Turned(_) => None,
        }
    }

    /// What patchroll would do if somebody started a roll; none where the fleet file has no `[patch]`.
    pub fn plan_roll(&mut self) -> Option<(Outlook<evenkeel_patchroll::State>, Option<PatchView>)> {
        let (ports, fleets) = self.window(FunctionName::Patchroll);
        let trigger = self.asks(Request::Roll { verb: RollVerb::Plan, pool: None, by: None });
        let handled = self.finish(async move { Patchroll.handle(&ports, &fleets, &trigger, "plan", LIMITS).await });
        match handled?.ok()? {
            patchroll::Handled::Planned(planned) => Some(*planned),
            patchroll::Handled::NotForUs | patchroll::Handled::Refused(_) | patchroll::Handled::Turned(_) => None,
        }
    }

    fn asks(&self, request: Request) -> Trigger {
        Trigger::Manual(Manual { at: None, fleet: self.lock().fleet.name.clone(), request, id: None })
    }

    /// A window on the world, as `function` has one in a turn: for others who look as it does.
    pub fn ports(&mut self, function: FunctionName) -> Ports {
        self.window(function).0
    }

    /// Lets the world go on until the answer is there; none where the world ends before.
    pub fn finish<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = Box::pin(work);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match work.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return Some(answer),
                Poll::Pending => {
                    let event = self.lock().next()?;
                    self.take(event);
                }
            }
        }
    }
}
