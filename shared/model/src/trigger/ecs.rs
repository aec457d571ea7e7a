//! Facts from Amazon ECS. They come at least once and in no order: `version` orders the changes of one task or host
//! (ECS developer guide, "Amazon ECS events").

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{ContainerInstanceId, DeploymentId};
use crate::ids::{ClusterName, InstanceId, ServiceName, TaskId};

/// An ECS task changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChange {
    /// When.
    pub at: Option<Timestamp>,
    /// The cluster.
    pub cluster: ClusterName,
    /// The task.
    pub task: TaskId,
    /// The host, once the task is placed on one.
    pub container_instance: Option<ContainerInstanceId>,
    /// Where the task is.
    pub last_status: TaskStatus,
    /// Where ECS wants it.
    pub desired_status: Option<TaskStatus>,
    /// Grows with every change of this task.
    pub version: Option<u64>,
    /// The service that owns it; a standalone task has none.
    pub service: Option<ServiceName>,
    /// Why it stopped, as a code such as `ServiceSchedulerInitiated`.
    pub stop_code: Option<String>,
    /// Why it stopped, in AWS's words.
    pub reason: Option<String>,
}

/// Where a task is in its life (ECS developer guide, "Task lifecycle").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskStatus {
    /// Its resources are being prepared.
    Provisioning,
    /// It waits for its host's agent.
    Pending,
    /// Its containers run; the load balancer does not know it yet.
    Activating,
    /// It runs.
    Running,
    /// It leaves the load balancer.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// Its resources are being given back.
    Deprovisioning,
    /// It is over.
    Stopped,
    /// It is forgotten.
    Deleted,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// An ECS container instance changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInstanceChange {
    /// When.
    pub at: Option<Timestamp>,
    /// The cluster.
    pub cluster: ClusterName,
    /// The host as ECS names it.
    pub container_instance: ContainerInstanceId,
    /// The host as EC2 names it; absent for a host that is not an EC2 instance.
    pub instance: Option<InstanceId>,
    /// Its status.
    pub status: ContainerInstanceStatus,
    /// Whether its agent is connected. It drops several times an hour in normal operation.
    pub agent_connected: Option<bool>,
    /// Grows with every change of this container instance.
    pub version: Option<u64>,
}

/// A container instance's status (ECS API reference, ContainerInstance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerInstanceStatus {
    /// It is joining.
    Registering,
    /// It could not join.
    RegistrationFailed,
    /// It takes tasks.
    Active,
    /// It takes no new tasks and loses the old ones.
    Draining,
    /// It is leaving the cluster.
    Deregistering,
    /// It left the cluster.
    Inactive,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// ECS says something about a service (ECS developer guide, "Amazon ECS service action events").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAction {
    /// When.
    pub at: Option<Timestamp>,
    /// The cluster.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// What happened.
    pub event: ServiceEvent,
    /// Such as `RESOURCE:MEMORY`; only failures have one.
    pub reason: Option<String>,
}

/// What happened to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceEvent {
    /// It has what it wants.
    ServiceSteadyState,
    /// A task set has what it wants.
    TasksetSteadyState,
    /// Its capacity provider has what it wants.
    CapacityProviderSteadyState,
    /// Its desired count was set.
    ServiceDesiredCountUpdated,
    /// Its tasks fail to start, again and again.
    ServiceTaskStartImpaired,
    /// Service discovery calls a task unhealthy.
    ServiceDiscoveryInstanceUnhealthy,
    /// A daemon task sits where its constraint forbids it.
    ServiceDaemonPlacementConstraintViolated,
    /// ECS was throttled by another service.
    EcsOperationThrottled,
    /// Service discovery was throttled.
    ServiceDiscoveryOperationThrottled,
    /// No host had room: ECS backs off for minutes after a few of these.
    ServiceTaskPlacementFailure,
    /// The task definition cannot be run.
    ServiceTaskConfigurationFailure,
    /// ECS cannot tell whether its tasks are healthy.
    ServiceHealthUnknown,
    /// A word that AWS added since.
    #[serde(other)]
    Other,
}

/// ECS says something about a deployment (ECS developer guide, "Amazon ECS service deployment state change events").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentChange {
    /// When.
    pub at: Option<Timestamp>,
    /// The cluster; a service ARN in the format before 2018 does not name it, and the event has no other place for it.
    pub cluster: Option<ClusterName>,
    /// The service.
    pub service: ServiceName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// What happened.
    pub event: DeploymentEvent,
    /// In AWS's words.
    pub reason: Option<String>,
}

/// What happened to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentEvent {
    /// It began.
    #[serde(rename = "SERVICE_DEPLOYMENT_IN_PROGRESS")]
    InProgress,
    /// It is done.
    #[serde(rename = "SERVICE_DEPLOYMENT_COMPLETED")]
    Completed,
    /// The circuit breaker gave up.
    #[serde(rename = "SERVICE_DEPLOYMENT_FAILED")]
    Failed,
    /// A word that AWS added since.
    #[serde(rename = "OTHER", other)]
    Other,
}
