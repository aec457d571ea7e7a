//! Facts about hosts from EC2 and Auto Scaling.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{HookName, LifecycleToken, RefreshId};
use crate::ids::{GroupName, InstanceId};

/// EC2 will take this spot host, about two minutes after `at` (EC2 user guide, "Spot Instance interruption notices").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotInterruption {
    /// When the notice was given.
    pub at: Option<Timestamp>,
    /// The host.
    pub instance: InstanceId,
    /// What EC2 will do with it.
    pub action: InterruptionAction,
}

/// What EC2 does with an interrupted spot host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterruptionAction {
    /// It is terminated.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is hibernated.
    Hibernate,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// EC2 sees a higher risk of interruption for this spot host (EC2 user guide, "EC2 instance rebalance recommendations").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceRecommendation {
    /// When it was given.
    pub at: Option<Timestamp>,
    /// The host.
    pub instance: InstanceId,
}

/// An EC2 instance's state changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStateChange {
    /// When.
    pub at: Option<Timestamp>,
    /// The instance.
    pub instance: InstanceId,
    /// The state it is in now.
    pub state: InstanceState,
}

/// An EC2 instance's state (EC2 API reference, InstanceState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// Running.
    Running,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone for good.
    Terminated,
    /// On its way to stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// An Auto Scaling group waits at a hook (Auto Scaling user guide, "Lifecycle actions"). Warm pools fire the same hooks:
/// look at `origin` and `destination` before taking a host for lost or won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleAction {
    /// When the hook fired.
    pub at: Option<Timestamp>,
    /// The group.
    pub group: GroupName,
    /// The host.
    pub instance: InstanceId,
    /// The hook.
    pub hook: HookName,
    /// What CompleteLifecycleAction needs; it also takes the instance id instead.
    pub token: Option<LifecycleToken>,
    /// Coming or going.
    pub transition: LifecycleTransition,
    /// Where the host comes from; older events lack it.
    pub origin: Option<LifecyclePlace>,
    /// Where the host goes to; older events lack it.
    pub destination: Option<LifecyclePlace>,
}

/// Which way a host goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecycleTransition {
    /// Into the group.
    #[serde(rename = "autoscaling:EC2_INSTANCE_LAUNCHING")]
    Launching,
    /// Out of the group.
    #[serde(rename = "autoscaling:EC2_INSTANCE_TERMINATING")]
    Terminating,
}

/// One end of a host's way (Auto Scaling user guide, "Warm pool events").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecyclePlace {
    /// Amazon EC2: the host is new, or gone for good.
    #[serde(rename = "EC2")]
    Ec2,
    /// In service, or meant to be.
    AutoScalingGroup,
    /// The group's warm pool.
    WarmPool,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// An Auto Scaling group launched or terminated a host, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingActivity {
    /// When the activity was reported.
    pub at: Option<Timestamp>,
    /// The group.
    pub group: GroupName,
    /// The host; a refused launch often has none.
    pub instance: Option<InstanceId>,
    /// What was tried.
    pub activity: ScalingKind,
    /// Whether it worked.
    pub succeeded: bool,
    /// Such as `InProgress`, `Failed` or `MidTerminatingLifecycleAction`.
    pub status_code: Option<String>,
    /// AWS's words: a refused launch says here whether capacity (`UnfulfillableCapacity`) or quota (`VcpuLimitExceeded`).
    pub message: Option<String>,
    /// Why the group did it, in AWS's words.
    pub cause: Option<String>,
}

/// What an Auto Scaling group tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalingKind {
    /// A launch.
    Launch,
    /// A termination.
    Terminate,
}

/// An instance refresh of a group: another roll, with which ours must not run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRefresh {
    /// When.
    pub at: Option<Timestamp>,
    /// The group.
    pub group: GroupName,
    /// The refresh.
    pub refresh: RefreshId,
    /// What became of it.
    pub state: RefreshState,
}

/// What became of an instance refresh (Auto Scaling user guide, "Event reference").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshState {
    /// It began.
    Started,
    /// Every instance is new.
    Succeeded,
    /// It gave up.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}
