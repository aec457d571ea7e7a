//! Even Keel's ports over the AWS SDK for Rust, and the real clock.
//!
//! [`Aws`] holds the clients of the enabled features and implements each port whose services are among them, so that a
//! function compiles only what it calls. Features never change what is asked, because one build of several functions has
//! the features of all of them: what only some functions need to know is in [`Also`].
//!
//! Architecture invariant: the only crate that names an SDK. It decides nothing: it batches, pages, asks at once what can
//! be asked at once, and puts AWS's words into the model's.

#[cfg(feature = "cloudwatch")]
mod alarms;
mod aws;
mod clock;
#[cfg_attr(not(feature = "ecs"), allow(dead_code, unused_imports, reason = "each service uses some of it"))]
mod convert;
#[cfg_attr(not(feature = "ecs"), allow(dead_code, reason = "without a service nothing fails"))]
mod error;
mod https;

#[cfg(feature = "elb")]
mod balancers;
#[cfg(feature = "ec2")]
mod ec2;
#[cfg(feature = "ecs")]
mod ecs;
#[cfg(feature = "ssm")]
mod files;
#[cfg(feature = "lambda")]
mod functions;
#[cfg(feature = "autoscaling")]
#[cfg_attr(not(feature = "ec2"), allow(dead_code, reason = "the port that reads groups needs both services"))]
mod groups;
#[cfg(feature = "dynamodb")]
mod ledger;
#[cfg(feature = "people")]
mod people;
#[cfg(feature = "cloudwatch")]
mod publish;
#[cfg(feature = "sqs")]
mod queues;
#[cfg(feature = "autoscaling")]
#[cfg_attr(not(feature = "ec2"), allow(dead_code, reason = "the port that reads groups needs both services"))]
mod scaling;
#[cfg(feature = "cloudwatch")]
mod signals;
#[cfg(feature = "survey")]
mod survey;

pub use aws::{Also, Aws, Settings};
pub use clock::system_time;
#[cfg(feature = "lambda")]
pub use functions::Reply;
#[cfg(feature = "people")]
pub use people::{NoRegion, Person};
