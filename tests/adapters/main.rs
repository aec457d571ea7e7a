//! The adapters in front of an AWS that answers in its own protocols: batches, pages, odd values, errors, lost answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod balancers;
mod cluster;
mod dynamo;
mod ec2;
mod ecs;
mod errors;
mod fake;
mod groups;
mod hosts;
mod ledger;
mod needs;
mod signals;
