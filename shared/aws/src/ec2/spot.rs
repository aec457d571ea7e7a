//! What the spot market says about hosts.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::SpotInstanceRequest;
use evenkeel_model::InstanceId;
use evenkeel_model::groups::{SpotCode, SpotRequest};
use evenkeel_turn::ports::{Answer, Clock};

use super::{MOST_VALUES, PAGE, filter};
use crate::Aws;
use crate::convert::{all, id, timestamp};
use crate::error::port_error;

impl Aws {
    pub(crate) async fn ec2_spot_requests(&self, instances: &BTreeSet<&InstanceId>) -> Answer<Vec<SpotRequest>> {
        let now = self.now();
        let instances: Vec<&str> = instances.iter().map(|id| id.as_str()).collect();
        let pages = all(instances.chunks(MOST_VALUES).map(async |chunk| {
            let of_these = filter("instance-id", chunk.iter().copied());
            let asked = self.ec2.describe_spot_instance_requests().filters(of_these).max_results(PAGE);
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let request = |found: &SpotInstanceRequest| {
            let status = found.status()?;
            Some(SpotRequest {
                instance: id(found.instance_id())?,
                code: code(status.code()?),
                at: status.update_time().and_then(timestamp).unwrap_or(now),
            })
        };
        Ok(pages.await?.iter().flatten().filter_map(request).collect())
    }
}

/// EC2 user guide, "Get the status of a Spot Instance request".
fn code(word: &str) -> SpotCode {
    match word {
        "fulfilled" => SpotCode::Fulfilled,
        "marked-for-termination"
        | "marked-for-stop"
        | "marked-for-stop-by-experiment"
        | "marked-for-termination-by-experiment" => SpotCode::Marked,
        _ if word.starts_with("instance-terminated") || word.starts_with("instance-stopped") => SpotCode::Gone,
        _ => SpotCode::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_a_host_goes() {
        let cases = [
            ("fulfilled", SpotCode::Fulfilled),
            ("marked-for-termination", SpotCode::Marked),
            ("instance-terminated-no-capacity", SpotCode::Gone),
            ("instance-stopped-by-price", SpotCode::Gone),
            ("request-canceled-and-instance-running", SpotCode::Other),
            ("capacity-not-available", SpotCode::Other),
        ];
        for (word, expect) in cases {
            assert_eq!(code(word), expect, "{word}");
        }
    }
}
