//! Amazon EC2: spot requests, instances, their types, launch templates and images.
//!
//! Instances are asked for by a filter, never by `InstanceIds`: one that is gone would fail the whole call, and filtered
//! describes have twice the API budget.

#[cfg(feature = "ssm")]
mod images;
#[cfg(feature = "ssm")]
mod launch;
#[cfg(feature = "autoscaling")]
mod spot;
mod templates;
#[cfg(feature = "ecs")]
mod types;

use aws_sdk_ec2::types::Filter;

/// Values of one filter (EC2 user guide, "List and filter using the CLI and API": 200).
const MOST_VALUES: usize = 200;
/// Answers in one page; the most that these calls take is 1,000.
const PAGE: i32 = 1000;

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(str::to_owned).collect())).build()
}

#[cfg(feature = "ssm")]
fn tag<'a>(tags: &'a [aws_sdk_ec2::types::Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key))?.value()
}
