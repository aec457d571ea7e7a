//! The traits through which a turn sees and changes the world. Reading and changing are different traits, so that what
//! only looks (the page, a dry run) cannot change anything.

use std::future::Future;
use std::time::Duration;

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::observed::{EcsService, Host, Signal, Task};
use evenkeel_model::{AlarmName, ClusterName, FleetName, QueueName, ServiceName, Timestamp};

use crate::ledger::{Item, Key, LedgerError, Write};

/// Why a call did not give what was asked for. Kept to what a turn answers differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Too many calls: nothing was done, and a later try may work.
    #[error("throttled")]
    Throttled,
    /// No answer, or an error on the other side: it may have been done all the same.
    #[error("no answer: {0}")]
    Unavailable(String),
    /// What the call is about does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Refused for good: trying again gives the same answer.
    #[error("refused: {0}")]
    Refused(String),
}

impl PortError {
    /// Whether the same call may work in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable(_) => true,
            Self::NotFound(_) | Self::Refused(_) => false,
        }
    }
}

/// The answer of a port.
pub type Answer<T> = Result<T, PortError>;

/// Time.
pub trait Clock: Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Comes back after `pause`; only ever used for the fraction of a second between two tries of a call.
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// Looks at an ECS cluster.
pub trait ReadEcs: Sync {
    /// All container instances of the cluster.
    fn hosts(&self, cluster: &ClusterName) -> impl Future<Output = Answer<Vec<Host>>> + Send;
    /// All tasks of the cluster that are not STOPPED.
    fn tasks(&self, cluster: &ClusterName) -> impl Future<Output = Answer<Vec<Task>>> + Send;
    /// Those of the named services that exist.
    fn services(
        &self,
        cluster: &ClusterName,
        names: &[ServiceName],
    ) -> impl Future<Output = Answer<Vec<EcsService>>> + Send;
}

/// Changes an ECS cluster.
pub trait ChangeEcs: Sync {
    /// Sets a service's desired count.
    fn set_desired_count(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        count: u32,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// Reads what demand is made from.
pub trait ReadSignals: Sync {
    /// The newest complete period of each metric, in the order of `sources`.
    fn metrics(&self, sources: &[MetricSource]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
    /// Messages waiting in each queue, in the order of `queues`.
    fn backlogs(&self, queues: &[QueueName]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
    /// The state of each alarm, in the order of `alarms`.
    fn alarms(&self, alarms: &[AlarmName]) -> impl Future<Output = Answer<Vec<Signal>>> + Send;
}

/// Asks for turns between two ticks.
pub trait Beats: Sync {
    /// Wakes this function for `fleet` once after each of `delays`.
    fn wake_after(&self, fleet: &FleetName, delays: &[Duration]) -> impl Future<Output = Answer<()>> + Send;
}

/// Where fleet files are kept.
pub trait FleetFiles: Sync {
    /// The text of the fleet's file.
    fn text(&self, fleet: &FleetName) -> impl Future<Output = Answer<String>> + Send;
}

/// The table. Item versions make every write conditional; several writes are taken together or not at all.
pub trait Ledger: Sync {
    /// The items under `keys`, in their order, read consistently.
    fn get(&self, keys: &[Key]) -> impl Future<Output = Answer<Vec<Option<Item>>>> + Send;
    /// Takes all of `writes`, or none.
    fn write(&self, writes: Vec<Write>) -> impl Future<Output = Result<(), LedgerError>> + Send;
}
