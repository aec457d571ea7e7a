//! Events of Amazon ECS.

use evenkeel_model::ids::{ClusterName, InvalidId, ServiceName};
use evenkeel_model::trigger::{ContainerInstanceChange, DeploymentChange, ServiceAction, TaskChange, Trigger};

use crate::Reading;
use crate::arn::{self, EcsName};
use crate::event::Event;
use crate::malformed::{Malformed, Reason};
use crate::object::Object;

/// A task changed.
pub(crate) fn task(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let EcsName { cluster, name } = arn::ecs(&detail.required_text("taskArn")?, "task", "a task's ARN", "taskArn")?;
    Ok(Reading::Trigger(Trigger::TaskState(TaskChange {
        at: event.at,
        cluster: cluster_of(detail, cluster)?,
        task: name,
        container_instance: container_instance_of(detail)?.map(|EcsName { name, .. }| name),
        last_status: detail.word("lastStatus")?,
        desired_status: detail.maybe_word("desiredStatus"),
        version: detail.count("version"),
        service: service_of(detail)?,
        stop_code: detail.note("stopCode"),
        reason: detail.note("stoppedReason"),
    })))
}

/// A container instance changed.
pub(crate) fn container_instance(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let EcsName { cluster, name } =
        container_instance_of(detail)?.ok_or_else(|| Malformed::at("containerInstanceArn", Reason::Missing))?;
    Ok(Reading::Trigger(Trigger::ContainerInstanceState(ContainerInstanceChange {
        at: event.at,
        cluster: cluster_of(detail, cluster)?,
        container_instance: name,
        instance: detail.maybe_id("ec2InstanceId")?,
        status: detail.word("status")?,
        agent_connected: detail.flag("agentConnected"),
        version: detail.count("version"),
    })))
}

/// ECS did, or could not do, something for a service.
pub(crate) fn service(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let EcsName { cluster, name } = service_resource(event)?;
    Ok(Reading::Trigger(Trigger::ServiceAction(ServiceAction {
        at: event.at,
        cluster: cluster_of(detail, cluster)?,
        service: name,
        event: detail.word("eventName")?,
        reason: detail.note("reason"),
    })))
}

/// A deployment went on. Its detail names neither cluster nor service: they are in the service's ARN in `resources`.
pub(crate) fn deployment(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    let EcsName { cluster, name } = service_resource(event)?;
    Ok(Reading::Trigger(Trigger::DeploymentState(DeploymentChange {
        at: event.at,
        cluster,
        service: name,
        deployment: detail.id("deploymentId")?,
        event: detail.word("eventName")?,
        reason: detail.note("reason"),
    })))
}

fn service_resource(event: &Event<'_>) -> Result<EcsName<ServiceName>, Malformed> {
    let resources = event.resources();
    let arn = resources.first().ok_or_else(|| Malformed::at("resources", Reason::Missing))?;
    arn::ecs(arn, "service", "a service's ARN", "resources")
}

type ContainerInstanceName = EcsName<evenkeel_model::trigger::ContainerInstanceId>;

fn container_instance_of(detail: &Object<'_>) -> Result<Option<ContainerInstanceName>, Malformed> {
    let name = "containerInstanceArn";
    let Some(arn) = detail.text(name)? else { return Ok(None) };
    arn::ecs(&arn, "container-instance", "a container instance's ARN", name).map(Some)
}

/// The cluster as `clusterArn` says, or else as the newer ARNs say themselves.
fn cluster_of(detail: &Object<'_>, named: Option<ClusterName>) -> Result<ClusterName, Malformed> {
    match detail.text("clusterArn")? {
        Some(arn) => Ok(arn::ecs(&arn, "cluster", "a cluster's ARN", "clusterArn")?.name),
        None => named.ok_or_else(|| Malformed::at("clusterArn", Reason::Missing)),
    }
}

/// A task's group is `service:NAME` for a service's task, `family:NAME` or free text for others.
fn service_of(detail: &Object<'_>) -> Result<Option<ServiceName>, Malformed> {
    let group = detail.text("group")?;
    let name = group.as_deref().and_then(|group| group.strip_prefix("service:"));
    name.map(str::parse).transpose().map_err(|problem: InvalidId| Malformed::at("group", problem))
}
