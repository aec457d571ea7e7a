//! The fleet file: what the owner of a fleet wants, as types.
//!
//! [`Fleet`] is the whole file. [`read()`] turns TOML or JSON into it and reports *all* problems at once; [`schema()`]
//! is the JSON schema for editors, made from the same types.

pub mod read;
pub mod window;
pub mod words;

mod check;
mod demand;
mod field;
mod format;
mod kinds;
mod limits;
mod mode;
mod nearest;
mod parts;
mod place;
mod remarks;
mod schema;
mod tree;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use demand::{
    Demand, ManualDemand, MetricDemand, MetricSource, Missing, Per, QueueDemand, Statistic, StepsDemand, TrackingDemand,
};
pub use format::Format;
pub use mode::{Microscale, Mode};
pub use nearest::nearest;
pub use read::{Problem, Problems, read};
pub use schema::schema;
pub use window::{InvalidWindow, Window};

use crate::decision::FunctionName;
use crate::ids::{AlarmName, ClusterName, FleetName, GroupName, PoolName, ServiceName};

/// One fleet: an ECS cluster (optional), its pools of hosts and its services.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// The fleet's name: part of every ledger key.
    pub name: FleetName,
    /// The ECS cluster; absent for a fleet of groups behind a load balancer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Time between turns of microscale: 5 s to 60 s, a whole part of a minute.
    #[serde(with = "words", default = "default_beat")]
    #[schemars(schema_with = "words::schema")]
    pub beat: Duration,
    /// The share that this fleet's looks may have of the account's ECS reads in its region, which everybody shares (ECS API
    /// reference, "Request throttling": 20 a second), 0.01 to 1. A look that costs more makes beats fall away.
    #[serde(default = "default_api_share")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub api_share: f64,
    /// Whether the functions act, or only observe: look, plan and record what they would do, and take no step. `mode` in
    /// `[microscale]`, `[backfill]` or `[patch]` says otherwise for that function.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// What microscale may do besides what `[[service]]` says.
    #[serde(default, skip_serializing_if = "is_default")]
    pub microscale: Microscale,
    /// How many hosts the fleet has.
    pub hosts: Hosts,
    /// The Auto Scaling groups, each with a purchase kind; on-demand pools are tried in this order.
    #[serde(rename = "pool")]
    #[schemars(length(min = 1, max = limits::POOLS))]
    pub pools: Vec<Pool>,
    /// What backfill may do; absent: backfill leaves this fleet alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// The ECS services that microscale sets the counts of.
    #[serde(rename = "service", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::SERVICES))]
    pub services: Vec<Service>,
    /// What a patch roll may do; absent: no rolls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
    /// The disruption budget that all functions share.
    #[serde(default)]
    pub disruption: Disruption,
}

impl Fleet {
    /// Whether `function` acts for this fleet, or only observes.
    #[must_use]
    pub fn mode_of(&self, function: FunctionName) -> Mode {
        let own = match function {
            FunctionName::Microscale => self.microscale.mode,
            FunctionName::Backfill => self.backfill.as_ref().and_then(|backfill| backfill.mode),
            FunctionName::Patchroll => self.patch.as_ref().and_then(|patch| patch.mode),
        };
        own.unwrap_or(self.mode)
    }

    /// Whether `function` only observes.
    #[must_use]
    pub fn observes(&self, function: FunctionName) -> bool {
        self.mode_of(function) == Mode::Observe
    }

    /// Whether backfill acts: where it only observes, or has no section, nobody stands in for hosts that are lost.
    #[must_use]
    pub fn is_backfilled(&self) -> bool {
        self.backfill.is_some() && !self.observes(FunctionName::Backfill)
    }
}

/// How many hosts the fleet has, over all pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// Never voluntarily fewer hosts in service than this.
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub minimum: u32,
    /// The number the fleet runs best on.
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub steady: u32,
    /// Never more than this.
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub maximum: u32,
}

/// How the hosts of a pool are bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purchase {
    /// Paid for whether used or not; always there.
    Reserved,
    /// Cheap, and taken away at two minutes' notice or none.
    Spot,
    /// Both in one group: an on-demand base that is always there, and spot hosts beyond it.
    Mixed,
    /// Dear, and there when asked for.
    OnDemand,
}

impl Purchase {
    /// Whether hosts of such a pool may be spot; in a mixed one only the host tells.
    #[must_use]
    pub const fn has_spot(self) -> bool {
        matches!(self, Self::Spot | Self::Mixed)
    }
}

impl fmt::Display for Purchase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reserved => "reserved",
            Self::Spot => "spot",
            Self::Mixed => "mixed",
            Self::OnDemand => "on-demand",
        })
    }
}

/// One Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The name that reports and decisions use.
    pub name: PoolName,
    /// How its hosts are bought.
    pub purchase: Purchase,
    /// The Auto Scaling group.
    pub auto_scaling_group: GroupName,
    /// What one host of this pool counts for where pools differ in size.
    #[serde(default = "default_units")]
    #[schemars(range(min = 1, max = limits::UNITS))]
    pub units: u32,
}

/// What backfill may do: on-demand hosts that stand in for lost or overloaded capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// Whether backfill acts; absent: as the fleet's `mode` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// CloudWatch alarms that ask for more hosts while in ALARM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::ALARMS))]
    pub alarms: Vec<AlarmName>,
    /// Hosts added for each cooldown that an alarm stays in ALARM.
    #[serde(default = "default_step")]
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub step: u32,
    /// The time between two such steps.
    #[serde(with = "words", default = "default_cooldown")]
    #[schemars(schema_with = "words::schema")]
    pub cooldown: Duration,
    /// Alarms quiet and spot whole for this long before an on-demand host goes.
    #[serde(with = "words", default = "default_release_after")]
    #[schemars(schema_with = "words::schema")]
    pub release_after: Duration,
    /// On-demand hosts given back within an hour at most; absent: as many as `hosts.steady`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub moves_per_hour: Option<u32>,
    /// A host that is given back ends after this long, even if tasks are left on it.
    #[serde(with = "words", default = "default_drain_timeout")]
    #[schemars(schema_with = "words::schema")]
    pub drain_timeout: Duration,
    /// A host whose agent was away for this long is drained as far as possible, ended, and replaced.
    #[serde(with = "words", default = "default_agent_timeout")]
    #[schemars(schema_with = "words::schema")]
    pub agent_timeout: Duration,
    /// The answer to a rebalance recommendation.
    #[serde(default)]
    pub rebalance: Rebalance,
}

impl Default for Backfill {
    fn default() -> Self {
        Self {
            mode: None,
            alarms: Vec::new(),
            step: default_step(),
            cooldown: default_cooldown(),
            release_after: default_release_after(),
            moves_per_hour: None,
            drain_timeout: default_drain_timeout(),
            agent_timeout: default_agent_timeout(),
            rebalance: Rebalance::default(),
        }
    }
}

/// The answer to EC2's hint that a spot host is at elevated risk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rebalance {
    /// Do nothing: the hint is often noise.
    Ignore,
    /// Start a replacement, and leave the host until it is taken.
    #[default]
    Replace,
    /// Start a replacement and drain the host at once.
    Drain,
}

/// One ECS service whose count microscale sets.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The ECS service's name.
    pub name: ServiceName,
    /// 1 is served first.
    #[schemars(range(min = 1, max = limits::PRIORITY))]
    pub priority: u32,
    /// Takes every hole that is left, instead of having a demand.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fill: bool,
    /// Never asked to run fewer.
    #[serde(default)]
    #[schemars(range(max = limits::TASKS))]
    pub min_tasks: u32,
    /// Never asked to run more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::TASKS))]
    pub max_tasks: Option<u32>,
    /// Where the wanted number of tasks comes from; absent exactly for `fill` services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// Slots that `fill` services leave free for this service.
    #[serde(default)]
    #[schemars(range(max = limits::TASKS))]
    pub headroom_tasks: u32,
    /// The count follows the highest want of this long: up at once, down late.
    #[serde(with = "words", default = "default_scale_down_after")]
    #[schemars(schema_with = "words::schema")]
    pub scale_down_after: Duration,
    /// A hole must have been open this long before a `fill` service takes it.
    #[serde(with = "words", default = "default_refill_after")]
    #[schemars(schema_with = "words::schema")]
    pub refill_after: Duration,
}

impl Service {
    /// `max_tasks`, or no limit.
    #[must_use]
    pub fn ceiling(&self) -> u32 {
        self.max_tasks.unwrap_or(u32::MAX)
    }
}

/// How hosts are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Whether patchroll acts; absent: as the fleet's `mode` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// When a roll may start a wave, such as `Sun 02:00-05:00 Europe/London`; empty: only by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::WINDOWS))]
    pub windows: Vec<Window>,
    /// Which comes first: the new host or the end of the old one.
    #[serde(default)]
    pub strategy: Strategy,
    /// Hosts that are out together, as a number or a share of the fleet.
    #[serde(default)]
    pub wave: Wave,
    /// Which hosts a roll replaces.
    #[serde(default)]
    pub refresh: Refresh,
    /// Quiet time after each wave.
    #[serde(with = "words", default = "default_settle")]
    #[schemars(schema_with = "words::schema")]
    pub settle: Duration,
    /// Alarms that stop a roll.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::ALARMS))]
    pub halt_alarms: Vec<AlarmName>,
    /// Go back to the previous launch template version when a roll is halted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub roll_back: bool,
    /// The longest that a host may take to become empty.
    #[serde(with = "words", default = "default_drain_timeout")]
    #[schemars(schema_with = "words::schema")]
    pub drain_timeout: Duration,
    /// The longest that a replacement may take until it is in service.
    #[serde(with = "words", default = "default_replace_timeout")]
    #[schemars(schema_with = "words::schema")]
    pub replace_timeout: Duration,
    /// Ask backfill for a host when a wave does not fit otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub borrow: bool,
    /// Bake a fresh image before the roll; absent: hosts update when they boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake: Option<Bake>,
}

/// What a fleet file says that only has the section.
impl Default for Patch {
    fn default() -> Self {
        Self {
            mode: None,
            windows: Vec::new(),
            strategy: Strategy::default(),
            wave: Wave::default(),
            refresh: Refresh::default(),
            settle: default_settle(),
            halt_alarms: Vec::new(),
            roll_back: false,
            drain_timeout: default_drain_timeout(),
            replace_timeout: default_replace_timeout(),
            borrow: false,
            bake: None,
        }
    }
}

/// Which comes first in a wave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The old host ends, then its group launches a new one.
    #[default]
    TerminateFirst,
    /// The group grows by the new host, then the old one ends.
    LaunchFirst,
}

/// Which hosts a roll replaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Refresh {
    /// Those with an older template version or image than their group would use now.
    #[default]
    Outdated,
    /// Also those that were launched before the roll started, so that boot-time updates count.
    All,
}

/// Hosts that are out together: `1` or `"10%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Wave {
    /// So many hosts.
    Hosts(#[schemars(range(min = 1, max = limits::HOSTS))] u32),
    /// So many of a hundred, rounded down, at least one.
    #[serde(serialize_with = "words::percent")]
    Percent(#[schemars(schema_with = "words::percent_schema")] u32),
}

impl Default for Wave {
    fn default() -> Self {
        Self::Hosts(1)
    }
}

/// How an image is baked before a roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// The SSM parameter that names the base image.
    #[schemars(length(min = 1, max = limits::PARAMETER_NAME))]
    pub base_image_parameter: String,
    /// Shell commands that install the updates on the builder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::COMMANDS))]
    pub commands: Vec<String>,
    /// The baked images that are kept; older ones are deleted.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = limits::KEEP))]
    pub keep: u32,
    /// The longest that a bake may take.
    #[serde(with = "words", default = "default_bake_timeout")]
    #[schemars(schema_with = "words::schema")]
    pub timeout: Duration,
}

/// The disruption budget: one for patch, release, repair and return to spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disruption {
    /// Hosts out at once on purpose; hosts that were taken from the fleet count too.
    #[serde(default = "default_max_out")]
    #[schemars(range(min = 1, max = limits::HOSTS))]
    pub max_out: u32,
}

impl Default for Disruption {
    fn default() -> Self {
        Self { max_out: default_max_out() }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

// The defaults, one function each because serde and the schema name them; `read` calls the same functions.
macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(pub(crate) const fn $name() -> $type { $value })* };
}

defaults! {
    default_beat: Duration = Duration::from_secs(60);
    default_api_share: f64 = 0.2;
    default_units: u32 = 1;
    default_step: u32 = 1;
    default_at_once: u32 = 1;
    default_cooldown: Duration = Duration::from_secs(180);
    default_release_after: Duration = Duration::from_secs(600);
    default_scale_down_after: Duration = Duration::from_secs(60);
    default_refill_after: Duration = Duration::from_secs(30);
    default_period: Duration = Duration::from_secs(60);
    default_tolerance: f64 = 0.1;
    default_valid_for: Duration = Duration::from_secs(300);
    default_settle: Duration = Duration::from_secs(60);
    default_drain_timeout: Duration = Duration::from_secs(600);
    default_agent_timeout: Duration = Duration::from_secs(1200);
    default_replace_timeout: Duration = Duration::from_secs(900);
    default_keep: u32 = 3;
    default_bake_timeout: Duration = Duration::from_secs(3600);
    default_max_out: u32 = 1;
}
