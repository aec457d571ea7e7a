//! What a function does instead of acting, where the fleet file says that it only observes.
//!
//! The one rule for all of them: the plan is made as ever, none of its steps is taken, and of the state that it intended only
//! what was seen is kept ([`Remembers::observed`]). So the next plan is made from the same decisions and newer sights, and
//! what stays in it is recorded once.

use std::collections::BTreeSet;

use evenkeel_model::decision::{Outcome, Planned, Step};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde_json::Value;

use crate::body::{parse, to_json};
use crate::error::TurnError;
use crate::fingerprint::fingerprint;
use crate::function::{Applied, Function, Outlook, Remembers};
use crate::ledger::{Expect, Item, Key, Write};
use crate::record::{MOST_STEPS, Record, decided};

/// Leaves of `outlook` what is true although none of its steps is taken, and gives the steps.
pub(crate) fn take_no_step<P, F: Function<P>>(
    function: &F,
    outlook: &mut Outlook<F::State>,
    before: &F::State,
    at: Timestamp,
) -> Vec<Planned> {
    let steps = std::mem::take(&mut outlook.steps);
    let outcome = Outcome::Left("it only observes".to_owned());
    for planned in &steps {
        function.settle(&mut outlook.state, &Applied { planned, outcome: &outcome, at });
    }
    outlook.state.observed(before);
    outlook.budget = None;
    // They are for what steps lead to; the tick and the beats come all the same.
    outlook.wakes.clear();
    steps
}

/// What would be done, as far as it is to be recorded.
pub(crate) struct Would<'a> {
    fleet: &'a FleetName,
    function: FunctionName,
    now: Timestamp,
    planned: &'a [Planned],
}

impl<'a> Would<'a> {
    pub(crate) const fn new(
        fleet: &'a FleetName,
        function: FunctionName,
        now: Timestamp,
        planned: &'a [Planned],
    ) -> Self {
        Self { fleet, function, now, planned }
    }

    /// The record of the steps that were not in the plan before, if there are any, and what to write: none where the plan is
    /// as it was. `found` is what is stored of the plan before, if the turn before observed as well and it `goes_on`.
    pub(crate) fn news(
        &self,
        found: Option<&Item>,
        goes_on: bool,
        epoch: u64,
    ) -> Result<(Option<Record>, Vec<Write>), TurnError> {
        let key = would_key(self.fleet, self.function);
        let before: BTreeSet<u64> = parse(&key, found)?.unwrap_or_default();
        let prints = self.planned.iter().take(MOST_STEPS).map(|planned| (print(&planned.step), planned));
        let prints: Vec<(u64, &Planned)> = prints.collect();
        let now: BTreeSet<u64> = prints.iter().map(|(print, _)| *print).collect();
        if now == before && goes_on {
            return Ok((None, Vec::new()));
        }
        let mut writes = vec![Write::put(key.clone(), to_json(&key, &now)?, Expect::Anything)];
        let new = prints.iter().filter(|(print, _)| !before.contains(print));
        let decisions: Vec<_> = new.map(|(_, planned)| self.decision(planned)).collect();
        if decisions.is_empty() {
            return Ok((None, writes));
        }
        let record = Record::of(self.function, self.fleet, self.now, epoch, decisions);
        writes.extend(record.writes(self.now)?);
        Ok((Some(record), writes))
    }

    fn decision(&self, planned: &Planned) -> evenkeel_model::decision::Decision {
        let outcome = if planned.step.is_a_note() { Outcome::Done } else { Outcome::Would };
        decided(self.function, self.now, planned, outcome)
    }
}

/// What tells a step from others, whenever it was planned: a roll that does not begin has another name each time.
fn print(step: &Step) -> u64 {
    let mut value = serde_json::to_value(step).unwrap_or_default();
    forget_rolls(&mut value);
    fingerprint(value.to_string().as_bytes())
}

fn forget_rolls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("roll");
            fields.values_mut().for_each(forget_rolls);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_rolls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The key of the plan that was recorded last.
pub(crate) fn would_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::turn(fleet, format_args!("would#{function}"))
}
