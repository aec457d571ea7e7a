//! What woke a function: a fact plus its own time, parsed once by `intake` and trusted afterwards.
//!
//! A trigger only says "look now". What is done is computed from the observed fleet, so a lost, late, doubled or
//! reordered trigger cannot do harm.
//!
//! Architecture invariant: nothing here knows how a trigger travelled (EventBridge, SQS, SNS, a direct call).

mod ecs;
mod hosts;
mod manual;
mod names;
mod notices;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::FleetName;

pub use ecs::{
    ContainerInstanceChange, ContainerInstanceStatus, DeploymentChange, DeploymentEvent, ServiceAction, ServiceEvent,
    TaskChange, TaskStatus,
};
pub use hosts::{
    InstanceRefresh, InstanceState, InstanceStateChange, InterruptionAction, LifecycleAction, LifecyclePlace,
    LifecycleTransition, RebalanceRecommendation, RefreshState, ScalingActivity, ScalingKind, SpotInterruption,
};
pub use manual::{Amount, BackfillVerb, InvalidAmount, Manual, MicroscaleVerb, Request, RollVerb};
pub use names::{
    ContainerInstanceId, DeploymentId, EventTypeCode, HookName, LifecycleToken, ParameterName, RefreshId, RuleName,
};
pub use notices::{
    AlarmChange, AlarmState, Compliance, ComplianceStatus, Finding, FindingKind, FindingStatus, HealthCategory,
    HealthEvent, ParameterChange, ParameterOperation, Severity,
};

/// What woke a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "trigger", rename_all = "kebab-case")]
pub enum Trigger {
    /// The clock of a schedule.
    Tick(Tick),
    /// Our own delayed queue message between two ticks.
    Beat(Beat),
    /// EC2 will take a spot host.
    SpotInterruption(SpotInterruption),
    /// EC2 sees a higher risk for a spot host.
    RebalanceRecommendation(RebalanceRecommendation),
    /// An EC2 instance came, went, or stopped.
    InstanceState(InstanceStateChange),
    /// An Auto Scaling group waits at a lifecycle hook.
    LifecycleAction(LifecycleAction),
    /// An Auto Scaling group launched or terminated a host, or could not.
    ScalingActivity(ScalingActivity),
    /// An instance refresh, which is somebody else's roll.
    InstanceRefresh(InstanceRefresh),
    /// An ECS task changed.
    TaskState(TaskChange),
    /// An ECS container instance changed.
    ContainerInstanceState(ContainerInstanceChange),
    /// ECS says something about a service.
    ServiceAction(ServiceAction),
    /// ECS says something about a deployment.
    DeploymentState(DeploymentChange),
    /// A CloudWatch alarm changed its state.
    Alarm(AlarmChange),
    /// AWS Health announces something.
    Health(HealthEvent),
    /// Amazon Inspector found, or no longer finds, a vulnerability.
    Finding(Finding),
    /// Systems Manager judged a host's compliance.
    Compliance(Compliance),
    /// A parameter of the Parameter Store changed, such as a fleet file or an image alias.
    Parameter(ParameterChange),
    /// A person or an application asks.
    Manual(Manual),
}

impl Trigger {
    /// The fact's own time, which is not the time it arrived: EventBridge retries for up to 24 hours (EventBridge user
    /// guide, "Event retry policy"). `None` where the event carried no usable time.
    #[must_use]
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Tick(Tick { at, .. })
            | Self::SpotInterruption(SpotInterruption { at, .. })
            | Self::RebalanceRecommendation(RebalanceRecommendation { at, .. })
            | Self::InstanceState(InstanceStateChange { at, .. })
            | Self::LifecycleAction(LifecycleAction { at, .. })
            | Self::ScalingActivity(ScalingActivity { at, .. })
            | Self::InstanceRefresh(InstanceRefresh { at, .. })
            | Self::TaskState(TaskChange { at, .. })
            | Self::ContainerInstanceState(ContainerInstanceChange { at, .. })
            | Self::ServiceAction(ServiceAction { at, .. })
            | Self::DeploymentState(DeploymentChange { at, .. })
            | Self::Alarm(AlarmChange { at, .. })
            | Self::Health(HealthEvent { at, .. })
            | Self::Finding(Finding { at, .. })
            | Self::Compliance(Compliance { at, .. })
            | Self::Parameter(ParameterChange { at, .. })
            | Self::Manual(Manual { at, .. }) => *at,
            Self::Beat(Beat { at, .. }) => Some(*at),
        }
    }

    /// The same as it was sent: under a name that it has however often it comes.
    #[must_use]
    pub fn sent_as(mut self, id: &str) -> Self {
        if let Self::Manual(manual) = &mut self {
            manual.id = Some(id.to_owned());
        }
        self
    }

    /// How many beats have led to it, each asked for by the turn of the one before.
    #[must_use]
    pub const fn hops(&self) -> u32 {
        if let Self::Beat(beat) = self { beat.hop } else { 0 }
    }

    /// The kind in one word, for counts. The same word names the variant in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tick(_) => "tick",
            Self::Beat(_) => "beat",
            Self::SpotInterruption(_) => "spot-interruption",
            Self::RebalanceRecommendation(_) => "rebalance-recommendation",
            Self::InstanceState(_) => "instance-state",
            Self::LifecycleAction(_) => "lifecycle-action",
            Self::ScalingActivity(_) => "scaling-activity",
            Self::InstanceRefresh(_) => "instance-refresh",
            Self::TaskState(_) => "task-state",
            Self::ContainerInstanceState(_) => "container-instance-state",
            Self::ServiceAction(_) => "service-action",
            Self::DeploymentState(_) => "deployment-state",
            Self::Alarm(_) => "alarm",
            Self::Health(_) => "health",
            Self::Finding(_) => "finding",
            Self::Compliance(_) => "compliance",
            Self::Parameter(_) => "parameter",
            Self::Manual(_) => "manual",
        }
    }
}

/// The clock of a schedule: an EventBridge rule or EventBridge Scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The minute it stands for.
    pub at: Option<Timestamp>,
    /// The rule, or `GROUP/SCHEDULE`, where the event names it.
    pub rule: Option<RuleName>,
}

/// A turn between two ticks: our own delayed queue message, `{"fleet":"shop","beat":"2026-01-05T00:00:10Z"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The fleet that asked for beats.
    pub fleet: FleetName,
    /// The moment it stands for.
    pub at: Timestamp,
    /// How many beats have led to it, one asked for by the turn of another; itself included.
    #[serde(default)]
    pub hop: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_survives_json_and_names_its_kind_there() {
        let trigger = Trigger::TaskState(TaskChange {
            at: Some("2026-01-05T00:00:10Z".parse().unwrap()),
            cluster: "shop".parse().unwrap(),
            task: "t-1".parse().unwrap(),
            container_instance: None,
            last_status: TaskStatus::Stopped,
            desired_status: Some(TaskStatus::Stopped),
            version: Some(6),
            service: Some("web".parse().unwrap()),
            stop_code: Some("TaskFailedToStart".into()),
            reason: None,
        });
        let json = serde_json::to_value(&trigger).unwrap();
        assert_eq!(json["trigger"], trigger.kind());
        assert_eq!(serde_json::from_value::<Trigger>(json).unwrap(), trigger);
    }

    #[test]
    fn a_word_that_aws_adds_later_is_other() {
        assert_eq!(serde_json::from_str::<TaskStatus>("\"FROZEN\"").unwrap(), TaskStatus::Other);
    }
}
