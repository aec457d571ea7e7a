//! The limits of the fleet file, in one place, each with its reason.
//!
//! The reader enforces them and the schema names them.

use std::time::Duration;

/// Bytes of a file. An SSM parameter holds 8 KB at most (SSM API reference, PutParameter, advanced tier); a local file
/// with comments may be longer, but nobody writes a fleet of this size by hand.
pub(super) const BYTES: usize = 256 * 1024;
/// Levels of tables and lists. The deepest real place is `service[0].demand.dimensions.NAME`: five.
pub(super) const DEPTH: usize = 16;
/// Problems in one answer: more than anyone reads, few enough for a log line's 256 KB.
pub(super) const PROBLEMS: usize = 200;
/// Characters of the file that a message repeats.
pub(super) const SHOWN: usize = 60;

/// Pools: what one call can ask for by name (EC2 Auto Scaling API reference, DescribeAutoScalingGroups: 50).
pub(super) const POOLS: usize = 50;
/// Services: 50 calls of ten each (ECS API reference, DescribeServices), which a turn can make within seconds.
pub(super) const SERVICES: usize = 500;
/// Hosts: the default quota of container instances per cluster (ECS service quotas: 5,000).
pub(super) const HOSTS: u32 = 5_000;
/// Tasks of a service: the default quota of tasks per service (ECS service quotas: 5,000).
pub(super) const TASKS: u32 = 5_000;
/// Messages that one task works on at the same time: SQS's limit of those in flight (SQS developer guide, quotas).
pub(super) const AT_ONCE: u32 = 120_000;
/// Priorities: more levels than anyone can tell apart.
pub(super) const PRIORITY: u32 = 1_000;
/// Units of a host: the largest instance type has some hundred times the memory of the smallest sensible one.
pub(super) const UNITS: u32 = 1_000;
/// Alarms in one list: DescribeAlarms takes 100 names a call.
pub(super) const ALARMS: usize = 100;
/// Windows of a patch policy: a week has 168 hours, and a list is read at every tick.
pub(super) const WINDOWS: usize = 50;
/// Dimensions of a metric (CloudWatch service quotas: 30).
pub(super) const DIMENSIONS: usize = 30;
/// Characters of a dimension's name and of its value (CloudWatch API reference, Dimension).
pub(super) const DIMENSION_NAME: usize = 255;
/// See [`DIMENSION_NAME`].
pub(super) const DIMENSION_VALUE: usize = 1_024;
/// Characters of an SSM parameter's name, an ARN included (SSM API reference, GetParameter).
pub(super) const PARAMETER_NAME: usize = 2_048;
/// Baked images that are kept: each costs storage, and nobody goes back further.
pub(super) const KEEP: u32 = 50;
/// Commands of a bake.
pub(super) const COMMANDS: usize = 100;
/// Bytes of all commands together: user data holds 16 KB (EC2 user guide), and Even Keel's own part needs some.
pub(super) const COMMAND_BYTES: usize = 12 * 1024;

/// A positive number such as `per_task`. The bounds keep every quotient with a metric's value finite.
pub(super) const POSITIVE: (f64, f64) = (1e-9, 1e15);
/// A tolerance is a part of the target.
pub(super) const TOLERANCE: (f64, f64) = (0.0, 1.0);

/// A hundredth of ECS's reads is one in five seconds: with less, no look would follow another within a minute.
pub(super) const API_SHARE: (f64, f64) = (0.01, 1.0);

/// The least and the most that a duration may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

const fn seconds(least: u64, most: u64) -> Limits {
    Limits { least: Duration::from_secs(least), most: Duration::from_secs(most) }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A turn takes a few seconds, and the schedule that carries the beats comes once a minute.
pub(super) const BEAT: Limits = seconds(5, MINUTE);
/// A step per cooldown: the fastest alarm looks every 10 s, and one step a day is as good as none.
pub(super) const COOLDOWN: Limits = seconds(10, DAY);
/// EC2 bills at least a minute of every host, so a faster release only costs launches.
pub(super) const RELEASE_AFTER: Limits = seconds(MINUTE, DAY);
/// Zero is fine (no dwell). The wants of the dwell are kept in the ledger, so a day is the end.
pub(super) const DWELL: Limits = seconds(0, DAY);
/// CloudWatch's periods reach one day (CloudWatch API reference, MetricStat).
pub(super) const PERIOD: Limits = seconds(1, DAY);
/// A backlog that may take longer than a day needs no scaling.
pub(super) const DRAIN_WITHIN: Limits = seconds(1, DAY);
/// A value that the application sends is stale within a day.
pub(super) const VALID_FOR: Limits = seconds(1, DAY);
/// A roll with more quiet than a day between two waves never ends.
pub(super) const SETTLE: Limits = seconds(0, DAY);
/// Zero would kill tasks; a host that drains for more than a day is stuck.
pub(super) const DRAIN_TIMEOUT: Limits = seconds(1, DAY);
/// The agent's connection drops for minutes in normal operation, and a host that reboots comes back.
pub(super) const AGENT_TIMEOUT: Limits = seconds(6 * MINUTE, DAY);
/// A virtual machine needs about a minute to boot.
pub(super) const REPLACE_TIMEOUT: Limits = seconds(MINUTE, DAY);
/// A builder has to boot, and creating an image takes minutes; a bake of half a day is stuck and costs money.
pub(super) const BAKE_TIMEOUT: Limits = seconds(5 * MINUTE, 12 * HOUR);
