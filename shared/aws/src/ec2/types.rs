//! Instance types.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::InstanceType;
use evenkeel_turn::ports::Answer;

use crate::Aws;
use crate::convert::{all, count};
use crate::error::port_error;

/// Types in one call (EC2 API reference, DescribeInstanceTypes: 100 names).
const MOST_TYPES: usize = 100;

impl Aws {
    /// The most network interfaces of these instance types, their own included; those that EC2 does not know are left out.
    pub(crate) async fn ec2_most_interfaces(&self, types: &[&str]) -> Answer<BTreeMap<String, u32>> {
        let pages = all(types.chunks(MOST_TYPES).map(async |chunk| {
            // A filter, because one name that does not exist fails the whole call otherwise.
            let asked =
                self.ec2.describe_instance_types().filters(super::filter("instance-type", chunk.iter().copied()));
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let most = |found: &aws_sdk_ec2::types::InstanceTypeInfo| {
            let most = found.network_info()?.maximum_network_interfaces()?;
            Some((found.instance_type().map(InstanceType::as_str)?.to_owned(), count(Some(most))))
        };
        Ok(pages.await?.iter().flatten().filter_map(most).collect())
    }
}
