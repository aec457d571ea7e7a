//! What a service's wanted number of tasks comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    default_at_once, default_cooldown, default_period, default_step, default_tolerance, default_valid_for, limits,
    words,
};
use crate::ids::{AlarmName, MetricName, QueueName};

/// Where a service's wanted number of tasks comes from. The keys that are present tell the kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Demand {
    /// A CloudWatch metric divided by what one task serves.
    Metric(MetricDemand),
    /// The running tasks times a utilisation metric over its target.
    Tracking(TrackingDemand),
    /// A queue's backlog, to be worked off in a given time.
    Queue(QueueDemand),
    /// Sent with a trigger by the application itself.
    Manual(ManualDemand),
    /// An alarm in ALARM adds tasks, OK takes them away.
    Steps(StepsDemand),
}

/// Which CloudWatch metric, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricSource {
    /// `namespace/name`.
    pub metric: MetricName,
    /// How the data points of a period become one value.
    #[serde(default)]
    pub statistic: Statistic,
    /// One of CloudWatch's periods: 1, 5, 10, 20 or 30 s, or whole minutes.
    #[serde(with = "words", default = "default_period")]
    #[schemars(schema_with = "words::schema")]
    pub period: Duration,
    /// The metric's dimensions, such as `LoadBalancer`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = limits::DIMENSIONS))]
    pub dimensions: BTreeMap<String, String>,
    /// What no data points mean. What could not be read is unknown in any case, and holds.
    #[serde(default, skip_serializing_if = "Missing::is_default")]
    pub missing: Missing,
    /// What a `Sum` or `SampleCount` is per; the whole period where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
}

impl MetricSource {
    /// What the metric shows for a period where `value` is meant in the fleet file's unit.
    #[must_use]
    pub const fn shown(&self, value: f64) -> f64 {
        match self.per {
            Some(Per::Second) => value * self.period.as_secs_f64(),
            Some(Per::Period) | None => value,
        }
    }

    /// Whether the value grows with the length of the period.
    #[must_use]
    pub const fn adds_up(&self) -> bool {
        match self.statistic {
            Statistic::Sum | Statistic::SampleCount => true,
            Statistic::Average | Statistic::Maximum | Statistic::Minimum => false,
        }
    }
}

/// What it means that a metric has no data points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The demand is unknown: the last want is held.
    #[default]
    Hold,
    /// There is none: a load balancer that serves nobody publishes no requests.
    Zero,
}

impl Missing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a value that adds up over a period is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// As it is: `per_task` is what one task serves in a period.
    Period,
    /// Divided by the period's length: `per_task` is what one task serves in a second.
    Second,
}

/// How the data points of a period become one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Statistic {
    /// All values added up.
    Sum,
    /// Their mean.
    #[default]
    Average,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// How many there were.
    SampleCount,
}

/// `value / per_task` tasks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricDemand {
    /// The metric.
    #[serde(flatten)]
    pub source: MetricSource,
    /// What one task serves, in the metric's own unit and statistic.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::POSITIVE.1))]
    pub per_task: f64,
}

/// `running * value / target` tasks, unless the value is within `tolerance` of the target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackingDemand {
    /// The metric.
    #[serde(flatten)]
    pub source: MetricSource,
    /// What the metric should be, such as 60 (% CPU).
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::POSITIVE.1))]
    pub target: f64,
    /// The part of the target that the value may be off before anything changes, such as 0.1.
    #[serde(default = "default_tolerance")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: f64,
}

/// `backlog / (per_task * drain_within)` tasks, where the backlog is what waits and what is in flight. As many of those that
/// run as can be at work on what is in flight are kept in any case.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueDemand {
    /// The SQS queue.
    pub queue: QueueName,
    /// Messages that one task works off in a second.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::POSITIVE.1))]
    pub per_task: f64,
    /// The time in which the backlog should be gone.
    #[serde(with = "words")]
    #[schemars(schema_with = "words::schema")]
    pub drain_within: Duration,
    /// Messages that one task works on at the same time.
    #[serde(default = "default_at_once")]
    #[schemars(range(min = 1, max = limits::AT_ONCE))]
    pub at_once: u32,
}

/// A value that the application sends with a manual request, divided by `per_task`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualDemand {
    /// Always true: says that the demand is sent, not read.
    #[schemars(extend("const" = true))]
    pub manual: bool,
    /// What one task serves.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::POSITIVE.1))]
    pub per_task: f64,
    /// A value older than this is unknown.
    #[serde(with = "words", default = "default_valid_for")]
    #[schemars(schema_with = "words::schema")]
    pub valid_for: Duration,
}

/// `add` tasks more for each cooldown that the alarm stays in ALARM, `remove` fewer for each that it stays OK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsDemand {
    /// The alarm.
    pub alarm: AlarmName,
    /// Tasks added at a time.
    #[schemars(range(min = 1, max = limits::TASKS))]
    pub add: u32,
    /// Tasks taken away at a time.
    #[serde(default = "default_step")]
    #[schemars(range(min = 1, max = limits::TASKS))]
    pub remove: u32,
    /// The time between two steps.
    #[serde(with = "words", default = "default_cooldown")]
    #[schemars(schema_with = "words::schema")]
    pub cooldown: Duration,
}
