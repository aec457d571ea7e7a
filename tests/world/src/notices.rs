//! What Inspector and Systems Manager say about hosts and images, as real events, and the alarms that halt rolls.

use evenkeel_model::AlarmName;
use evenkeel_model::observed::Signal;
use serde_json::{Value, json};

use crate::clock::timestamp;
use crate::cloud::{GroupNo, Phase};
use crate::cluster::HostNo;
use crate::core::Core;
use crate::delivery::Promise;

impl Core {
    /// Inspector2 Finding about a package on all hosts of a group.
    pub(crate) fn announce_finding(&mut self, number: GroupNo, active: bool) {
        let there = self.cloud.members(number).filter(|(_, one)| one.phase == Phase::InService && !one.ended);
        let ids: Vec<_> = there.map(|(_, one)| one.id.clone()).collect();
        let resource = |id: &evenkeel_model::InstanceId| json!({ "id": id, "type": "AWS_EC2_INSTANCE", "partition": "aws", "region": "eu-west-1", "details": {} });
        let resources: Vec<Value> = ids.iter().map(resource).collect();
        let detail = json!({
            "awsAccountId": "123456789012",
            "description": "An invented weakness of an invented package.",
            "findingArn": "arn:aws:inspector2:eu-west-1:123456789012:finding/f10d0000000000000000000000000001",
            "fixAvailable": "YES",
            "severity": "CRITICAL",
            "status": if active { "ACTIVE" } else { "CLOSED" },
            "title": "CVE-0000-00000 - example",
            "type": "PACKAGE_VULNERABILITY",
            "resources": resources,
        });
        if active {
            self.audit.liveness.hosts_found(self.now);
        }
        let payload = self.envelope("aws.inspector2", "Inspector2 Finding", json!(ids), detail);
        self.send(&payload, Promise::BestEffort, 0);
    }

    /// Configuration Compliance State Change of a host.
    pub(crate) fn announce_noncompliance(&mut self, host: HostNo) {
        let Some(id) = self.cloud.instances.get(&host).map(|one| one.id.clone()) else { return };
        let arn = format!("arn:aws:ssm:eu-west-1:123456789012:managed-instance/{id}");
        let detail = json!({
            "resource-type": "managed-instance",
            "resource-id": id,
            "compliance-status": "non_compliant",
            "compliance-type": "Patch",
            "patch-baseline-id": "pb-0a11ce00000000001",
            "severity": "critical",
        });
        self.audit.liveness.hosts_found(self.now);
        let payload = self.envelope("aws.ssm", "Configuration Compliance State Change", json!([arn]), detail);
        self.send(&payload, Promise::BestEffort, 0);
    }

    /// Parameter Store Change of the base image's parameter.
    pub(crate) fn announce_base_image(&mut self) {
        let bake = self.fleet.patch.as_ref().and_then(|patch| patch.bake.as_ref());
        let Some(name) = bake.map(|bake| bake.base_image_parameter.clone()) else { return };
        let arn = format!("arn:aws:ssm:eu-west-1:123456789012:parameter{name}");
        let detail = json!({ "operation": "Update", "name": name, "type": "String" });
        let payload = self.envelope("aws.ssm", "Parameter Store Change", json!([arn]), detail);
        self.send(&payload, Promise::BestEffort, 0);
    }

    /// Sets an alarm that halts rolls.
    pub(crate) fn set_halt_alarm(&mut self, alarm: &AlarmName, firing: bool) {
        let now = self.now;
        let Some(state) = self.signals.halts.get_mut(alarm) else { return };
        if state.0 != firing {
            *state = (firing, now);
            self.send_alarm(alarm.as_str(), firing);
        }
    }

    /// What DescribeAlarms says of an alarm that halts rolls.
    pub(crate) fn halt_alarm(&self, alarm: &AlarmName) -> Option<Signal> {
        let (firing, since) = self.signals.halts.get(alarm)?;
        Some(Signal::Alarm { firing: *firing, since: timestamp(*since) })
    }
}
