//! What EC2 and Auto Scaling say, as real events.

use evenkeel_model::groups::RefusalKind;
use serde_json::{Value, json};

use crate::cloud::GroupNo;
use crate::cluster::HostNo;
use crate::core::Core;
use crate::delivery::Promise;

/// What a failed launch's activity says (Auto Scaling user guide, "Troubleshoot EC2 Auto Scaling").
pub(super) const fn words(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Capacity => {
            "Could not launch On-Demand or Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your \
             request configuration. Launching EC2 instance failed."
        }
        RefusalKind::Quota => {
            "You have requested more vCPU capacity than your current vCPU limit allows. VcpuLimitExceeded. Launching EC2 \
             instance failed."
        }
        RefusalKind::Other => "Launching EC2 instance failed.",
    }
}

impl Core {
    fn of_ec2(&mut self, host: HostNo, detail_type: &str, mut detail: Value) {
        let Some(instance) = self.cloud.instances.get(&host) else { return };
        detail["instance-id"] = json!(instance.id);
        let arn = format!("arn:aws:ec2:eu-west-1:123456789012:instance/{}", instance.id);
        let payload = self.envelope("aws.ec2", detail_type, json!([arn]), detail);
        self.send(&payload, Promise::BestEffort, 0);
    }

    /// EC2 Spot Instance Interruption Warning.
    pub(crate) fn announce_warning(&mut self, host: HostNo) {
        self.of_ec2(host, "EC2 Spot Instance Interruption Warning", json!({ "instance-action": "terminate" }));
    }

    /// EC2 Instance Rebalance Recommendation.
    pub(crate) fn announce_rebalance(&mut self, host: HostNo) {
        let now = self.now;
        if let Some(instance) = self.cloud.instances.get_mut(&host) {
            instance.risk_at = Some(now);
        }
        self.of_ec2(host, "EC2 Instance Rebalance Recommendation", json!({}));
    }

    /// EC2 Instance State-change Notification.
    pub(crate) fn announce_state(&mut self, host: HostNo, state: &str) {
        self.of_ec2(host, "EC2 Instance State-change Notification", json!({ "state": state }));
    }

    pub(super) fn of_group(&mut self, number: GroupNo, detail_type: &str, mut detail: Value) {
        let name = &self.cloud.groups[number].name;
        detail["AutoScalingGroupName"] = json!(name);
        let arn = format!(
            "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:00000000-0000-4000-8000-{number:012x}:autoScalingGroupName/{name}"
        );
        let payload = self.envelope("aws.autoscaling", detail_type, json!([arn]), detail);
        self.send(&payload, Promise::BestEffort, 0);
    }

    fn activity(&mut self, host: HostNo, detail_type: &str) {
        let Some(instance) = self.cloud.instances.get(&host) else { return };
        let (number, id) = (instance.group, instance.id.clone());
        let detail = json!({ "EC2InstanceId": id, "StatusCode": "InProgress", "Cause": "", "Description": "" });
        self.of_group(number, detail_type, detail);
    }

    /// EC2 Instance Launch Successful.
    pub(crate) fn announce_launched(&mut self, host: HostNo) {
        self.activity(host, "EC2 Instance Launch Successful");
    }

    /// EC2 Instance Terminate Successful.
    pub(crate) fn announce_terminated(&mut self, host: HostNo) {
        self.activity(host, "EC2 Instance Terminate Successful");
    }

    /// EC2 Instance Launch Unsuccessful.
    pub(crate) fn announce_refusal(&mut self, number: GroupNo, kind: RefusalKind) {
        let detail = json!({ "EC2InstanceId": "", "StatusCode": "Failed", "StatusMessage": words(kind), "Cause": "" });
        self.of_group(number, "EC2 Instance Launch Unsuccessful", detail);
    }

    /// EC2 Instance-terminate Lifecycle Action.
    pub(crate) fn announce_terminating(&mut self, host: HostNo) {
        let Some(instance) = self.cloud.instances.get(&host) else { return };
        let (number, id) = (instance.group, instance.id.clone());
        let detail = json!({
            "EC2InstanceId": id,
            "LifecycleActionToken": "00000000-0000-4000-8000-000000000000",
            "LifecycleHookName": "terminate",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "Origin": "AutoScalingGroup",
            "Destination": "EC2",
        });
        self.of_group(number, "EC2 Instance-terminate Lifecycle Action", detail);
    }
}
