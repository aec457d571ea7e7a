//! What was read, as people see it: pure text, coloured by escape codes that are left out where nobody wants them.
//!
//! Architecture invariant: no I/O, no account, no clock.

mod answer;
mod decisions;
mod look;
mod plan;
mod roll;
mod scorecard;
mod status;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod why;
mod words;

pub(crate) use answer::Said;
pub(crate) use decisions::{for_machines, line};
pub(crate) use look::look;
pub(crate) use plan::{plan, waves};
pub(crate) use roll::{Progress, ended_as, standing as roll_standing};
pub(crate) use scorecard::{for_machines as scorecard_for_machines, says_anything, scorecard};
pub(crate) use status::status;
pub(crate) use why::{About, why};
pub(crate) use words::{age, count};
