//! The words of Even Keel: typed ids, the fleet file, the observed fleet, steps, reports and decisions.
//!
//! Architecture invariant: this crate does no I/O and reads no clock; everything here is a value.

pub mod decision;
mod entries;
pub mod fleet;
pub mod groups;
pub mod ids;
pub mod observed;
pub mod report;
pub mod resources;
pub mod stuck;
pub mod survey;
pub mod templates;
pub mod trigger;
pub mod view;

pub use decision::FunctionName;
pub use entries::Entries;
pub use fleet::Fleet;
pub use ids::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, InstanceType, MetricName, PoolName,
    ProviderName, QueueName, RollId, ServiceName, SubnetId, TargetGroup, TaskId, TemplateId, Zone,
};
pub use resources::{Resources, Room};

/// A moment, always in UTC. Re-exported so that every crate means the same type.
pub use jiff::Timestamp;
