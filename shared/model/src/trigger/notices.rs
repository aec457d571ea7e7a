//! Facts from the services that watch: CloudWatch, AWS Health, Inspector and Systems Manager.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{EventTypeCode, ParameterName};
use crate::ids::{AlarmName, InstanceId};

/// A CloudWatch alarm changed its state, whichever way the news came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmChange {
    /// When the state changed, to the millisecond where AWS says so.
    pub at: Option<Timestamp>,
    /// The alarm.
    pub alarm: AlarmName,
    /// The state it is in now.
    pub state: AlarmState,
    /// The state it was in before.
    pub previous: Option<AlarmState>,
    /// In AWS's words.
    pub reason: Option<String>,
}

/// An alarm's state (CloudWatch API reference, StateValue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Within the threshold.
    Ok,
    /// Outside of it.
    Alarm,
    /// Nobody knows.
    InsufficientData,
}

/// AWS Health announces something, perhaps about several hosts at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthEvent {
    /// When it was announced.
    pub at: Option<Timestamp>,
    /// Such as `AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED`.
    pub code: EventTypeCode,
    /// Problem, plan, or news.
    pub category: HealthCategory,
    /// When it begins.
    pub starts: Option<Timestamp>,
    /// When it ends.
    pub ends: Option<Timestamp>,
    /// The EC2 instances it is about, sorted, each once; none for events about other things.
    pub instances: Vec<InstanceId>,
    /// Those for which it is over: the event is closed, or they are resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<InstanceId>,
}

/// What sort of thing AWS Health announces (AWS Health API reference, EventType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthCategory {
    /// AWS has a problem now.
    Issue,
    /// AWS plans something.
    ScheduledChange,
    /// News about the account.
    AccountNotification,
    /// Somebody should look into something.
    Investigation,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// An Amazon Inspector finding (Inspector user guide, "Amazon EventBridge schema").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// When the finding was sent.
    pub at: Option<Timestamp>,
    /// Whether it still holds.
    pub status: FindingStatus,
    /// What sort of weakness.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// The EC2 instances it is about, sorted, each once; none for container images and functions.
    pub instances: Vec<InstanceId>,
}

impl Finding {
    /// Whether replacing hosts can cure it: it still holds, it is about a package, and hosts have it. A closed finding
    /// needs no cure, and a reachable port comes back on a new host.
    #[must_use]
    pub fn starts_a_roll(&self) -> bool {
        let Self { at: _, status, kind, severity: _, instances } = self;
        *status == FindingStatus::Active && *kind == FindingKind::PackageVulnerability && !instances.is_empty()
    }
}

/// Whether a finding still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingStatus {
    /// It does.
    Active,
    /// It does; a rule of the account hides it.
    Suppressed,
    /// It was cured, or its resource is gone.
    Closed,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// What sort of weakness a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingKind {
    /// An installed package.
    PackageVulnerability,
    /// An open network path.
    NetworkReachability,
    /// The code of a function.
    CodeVulnerability,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// Good to know.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
    /// Nobody has judged it yet.
    Untriaged,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// Systems Manager judged a managed node (Systems Manager user guide, "Configuration Compliance events").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compliance {
    /// When.
    pub at: Option<Timestamp>,
    /// The node: an EC2 instance, or an id that begins with `mi-` for a machine elsewhere.
    pub instance: InstanceId,
    /// `Patch`, `Association`, or a custom type such as `Custom:AntiVirus`.
    pub compliance_type: String,
    /// The judgement.
    pub status: ComplianceStatus,
}

impl Compliance {
    /// Whether replacing the host can cure it: only missing patches can be.
    #[must_use]
    pub fn starts_a_roll(&self) -> bool {
        let Self { at: _, instance: _, compliance_type, status } = self;
        compliance_type == "Patch" && *status == ComplianceStatus::NonCompliant
    }
}

/// The judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ComplianceStatus {
    /// As it should be.
    Compliant,
    /// Not as it should be.
    NonCompliant,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// A parameter of the Parameter Store changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterChange {
    /// When.
    pub at: Option<Timestamp>,
    /// The parameter's full name.
    pub parameter: ParameterName,
    /// What was done to it.
    pub operation: ParameterOperation,
}

/// What was done to a parameter (Systems Manager user guide, "Parameter Store events").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterOperation {
    /// It is new.
    Create,
    /// It has a new value.
    Update,
    /// It is gone.
    Delete,
    /// A label moved to another version.
    LabelParameterVersion,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}
