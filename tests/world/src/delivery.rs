//! Events as AWS sends them: real JSON, that comes once, twice, late, or not at all.

use std::sync::Arc;

use evenkeel_model::{FleetName, FunctionName};
use rand::RngExt;
use serde_json::{Value, json};

use crate::clock::{Ms, timestamp};
use crate::cluster::{HostNo, ServiceNo};
use crate::core::{Core, Event, Message};
use crate::faults::EventFault;

/// The account of all simulated ARNs.
const ACCOUNT: &str = "123456789012";
/// The region of all simulated ARNs.
const REGION: &str = "eu-west-1";

/// Messages of a function to itself in a row, after which Lambda takes them for a loop (Lambda developer guide, "Recursive
/// loop detection": about 16).
const LONGEST_CHAIN: u32 = 16;

/// How sure AWS is that an event arrives (aws-facts: best effort, or at least once).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    BestEffort,
    AtLeastOnce,
}

impl Core {
    /// Sends a payload on its way to every function: each has a rule of its own.
    pub(crate) fn send(&mut self, payload: &Value, promise: Promise, delay: Ms) {
        // The schedule and people are never so late.
        let news = payload["source"].as_str().is_some_and(|source| source != "aws.events");
        let late = self.late.filter(|(until, _)| news && self.now < *until).map_or(0, |(_, late)| late);
        let delay = delay + late;
        for function in self.functions() {
            self.send_to(function, payload, promise, delay, 0);
        }
    }

    fn send_to(&mut self, to: FunctionName, payload: &Value, promise: Promise, delay: Ms, chain: u32) {
        let bytes: Arc<[u8]> = payload.to_string().into_bytes().into();
        let streams = self.rng.own(to);
        let own = delay + streams.delivery.random_range(100..900);
        self.sent += 1;
        let id = self.sent;
        let deliver = |bytes: &Arc<[u8]>| Event::Deliver(Message { to, bytes: Arc::clone(bytes), id, tries: 0, chain });
        match self.faults.of_event(streams.faults, promise == Promise::BestEffort) {
            EventFault::None => self.after(own, deliver(&bytes)),
            EventFault::Lost => {}
            EventFault::Late(more) => self.after(own + more, deliver(&bytes)),
            EventFault::Doubled => {
                let again = own + streams.delivery.random_range(0..5_000);
                self.after(own, deliver(&bytes));
                self.after(again, deliver(&bytes));
            }
        }
    }

    pub(crate) fn envelope(&self, source: &str, detail_type: &str, resources: Value, detail: Value) -> Value {
        json!({
            "version": "0",
            "id": format!("00000000-0000-4000-8000-{:012x}", self.now),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": self.stamp(),
            "region": REGION,
            "resources": resources,
            "detail": detail,
        })
    }

    fn arn(&self, kind: &str, name: &str) -> String {
        let cluster = self.fleet.cluster.as_ref().map_or("none", |cluster| cluster.as_str());
        match kind {
            "cluster" => format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"),
            kind => format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{cluster}/{name}"),
        }
    }

    /// The schedule's minute.
    pub(crate) fn send_tick(&mut self) {
        let rule = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/evenkeel-tick");
        let payload = self.envelope("aws.events", "Scheduled Event", json!([rule]), json!({}));
        self.send(&payload, Promise::AtLeastOnce, 0);
    }

    /// A beat, as a delayed message of a standard queue. `chain` is Lambda's own count of the messages that have led to it:
    /// where it is too long, Lambda puts the message away.
    pub(crate) fn send_beat(&mut self, to: FunctionName, fleet: &FleetName, delay: Ms, hop: u32, chain: u32) {
        if chain > LONGEST_CHAIN {
            let now = self.now;
            self.audit.violated(12, now, format!("{to} has woken itself {chain} times in a row, and Lambda cuts that"));
            return;
        }
        let at = timestamp(self.now + delay);
        let body = json!({ "fleet": fleet, "beat": format!("{at:.0}"), "hop": hop }).to_string();
        let message = json!({ "Records": [{
            "messageId": format!("beat-{}", self.now + delay),
            "receiptHandle": "r",
            "body": body,
            "attributes": { "ApproximateReceiveCount": "1" },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:evenkeel-beats"),
            "awsRegion": REGION,
        }] });
        self.send_to(to, &message, Promise::AtLeastOnce, delay, chain);
    }

    /// An application's own demand.
    pub(crate) fn send_demand(&mut self, service: ServiceNo, value: f64) {
        let name = &self.fleet.services[service].name;
        let request = json!({ "fleet": self.fleet.name, "demand": { name.as_str(): value }, "at": self.stamp() });
        self.send(&request, Promise::AtLeastOnce, 0);
    }

    /// An alarm's direct Lambda action and its EventBridge event are the same news; this is the event.
    pub(crate) fn send_alarm(&mut self, alarm: &str, firing: bool) {
        let word = |firing: bool| if firing { "ALARM" } else { "OK" };
        let detail = json!({
            "alarmName": alarm,
            "state": { "value": word(firing), "reason": "Threshold Crossed", "timestamp": self.stamp() },
            "previousState": { "value": word(!firing), "reason": "Threshold Crossed", "timestamp": self.stamp() },
            "configuration": {},
        });
        let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm}");
        let payload = self.envelope("aws.cloudwatch", "CloudWatch Alarm State Change", json!([arn]), detail);
        self.send(&payload, Promise::AtLeastOnce, 0);
    }

    /// ECS Container Instance State Change.
    pub(crate) fn announce_host(&mut self, host: HostNo, status: &str) {
        let Some(found) = self.cluster.hosts.get(&host) else { return };
        let arn = self.arn("container-instance", &format!("{host:032x}"));
        let detail = json!({
            "clusterArn": self.arn("cluster", ""),
            "containerInstanceArn": arn,
            "ec2InstanceId": found.seen.id,
            "status": status,
            "agentConnected": found.seen.connected,
            "version": found.events,
        });
        let payload = self.envelope("aws.ecs", "ECS Container Instance State Change", json!([arn]), detail);
        self.send(&payload, Promise::AtLeastOnce, 0);
    }

    /// ECS Service Action, SERVICE_TASK_PLACEMENT_FAILURE.
    pub(crate) fn announce_placement_failure(&mut self, service: ServiceNo) {
        let arn = self.arn("service", self.cluster.services[service].name.as_str());
        let detail = json!({
            "eventType": "ERROR",
            "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
            "clusterArn": self.arn("cluster", ""),
            "reason": "RESOURCE:CPU",
            "createdAt": self.stamp(),
        });
        let payload = self.envelope("aws.ecs", "ECS Service Action", json!([arn]), detail);
        self.send(&payload, Promise::AtLeastOnce, 0);
    }

    /// ECS Deployment State Change, SERVICE_DEPLOYMENT_COMPLETED.
    pub(crate) fn announce_deployment(&mut self, service: ServiceNo) {
        let state = &self.cluster.services[service];
        let arn = self.arn("service", state.name.as_str());
        let detail = json!({
            "eventType": "INFO",
            "eventName": "SERVICE_DEPLOYMENT_COMPLETED",
            "deploymentId": format!("ecs-svc/{}", state.revision),
            "updatedAt": self.stamp(),
            "reason": "ECS deployment completed.",
        });
        let payload = self.envelope("aws.ecs", "ECS Deployment State Change", json!([arn]), detail);
        self.send(&payload, Promise::AtLeastOnce, 0);
    }
}
