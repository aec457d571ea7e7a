//! Changes to services and hosts.

use aws_sdk_ecs::types::{Attribute, ContainerInstanceStatus, TargetType};
use evenkeel_model::decision::HostStep;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::{ClusterName, InstanceId, ServiceName};
use evenkeel_turn::ports::{Answer, ChangeEcs, ChangeHosts, PortError};

use crate::Aws;
use crate::convert::all;
use crate::error::port_error;

impl ChangeEcs for Aws {
    async fn set_desired_count(&self, cluster: &ClusterName, service: &ServiceName, count: u32) -> Answer<()> {
        let update = self.ecs.update_service().cluster(cluster.as_str()).service(service.as_str());
        update.desired_count(i32::try_from(count).unwrap_or(i32::MAX)).send().await.map_err(port_error)?;
        Ok(())
    }
}

impl ChangeHosts for Aws {
    async fn set_status(&self, cluster: &ClusterName, hosts: &[InstanceId], status: HostStatus) -> Answer<()> {
        let status = match status {
            HostStatus::Active => ContainerInstanceStatus::Active,
            HostStatus::Draining => ContainerInstanceStatus::Draining,
            HostStatus::Leaving => return Err(PortError::Refused("a host cannot be set to LEAVING".to_owned())),
        };
        let arns = self.arns_of(cluster, hosts).await?;
        all(arns.chunks(HostStep::MOST_HOSTS).map(async |chunk| {
            let update = self.ecs.update_container_instances_state().cluster(cluster.as_str()).status(status.clone());
            let answer = update.set_container_instances(Some(chunk.to_vec())).send().await.map_err(port_error)?;
            // A host that is MISSING or INACTIVE has left; any other reason is one to report.
            let refused =
                answer.failures().iter().find(|failure| !matches!(failure.reason(), Some("MISSING" | "INACTIVE")));
            match refused {
                None => Ok(()),
                Some(failure) => Err(PortError::Refused(format!(
                    "{}: {}",
                    failure.arn().unwrap_or("a host"),
                    failure.reason().or_else(|| failure.detail()).unwrap_or("no reason given"),
                ))),
            }
        }))
        .await?;
        Ok(())
    }

    async fn mark_old(&self, cluster: &ClusterName, hosts: &[InstanceId], old: bool) -> Answer<()> {
        let arns = self.arns_of(cluster, hosts).await?;
        for chunk in arns.chunks(HostStep::MOST_HOSTS) {
            match self.mark(cluster, chunk, old).await {
                // One host that has left spoils the whole call, so they are taken one by one.
                Err(PortError::NotFound(_)) if chunk.len() > 1 => {
                    all(chunk
                        .iter()
                        .map(async |arn| gone_is_fine(self.mark(cluster, std::slice::from_ref(arn), old).await)))
                    .await?;
                }
                answer => gone_is_fine(answer)?,
            }
        }
        Ok(())
    }
}

impl Aws {
    async fn mark(&self, cluster: &ClusterName, arns: &[String], old: bool) -> Answer<()> {
        let attributes = arns.iter().map(|arn| attribute(arn, old)).collect::<Answer<Vec<_>>>()?;
        if old {
            let put = self.ecs.put_attributes().cluster(cluster.as_str());
            put.set_attributes(Some(attributes)).send().await.map_err(port_error)?;
        } else {
            let delete = self.ecs.delete_attributes().cluster(cluster.as_str());
            delete.set_attributes(Some(attributes)).send().await.map_err(port_error)?;
        }
        Ok(())
    }
}

/// By the short id, which ECS takes as well as the ARN.
fn attribute(arn: &str, old: bool) -> Answer<Attribute> {
    let attribute = Attribute::builder()
        .name(HostStep::OLD)
        .set_value(old.then(|| "true".to_owned()))
        .target_type(TargetType::ContainerInstance)
        .target_id(arn.rsplit('/').next().unwrap_or(arn));
    attribute.build().map_err(|error| PortError::Refused(error.to_string()))
}

fn gone_is_fine(answer: Answer<()>) -> Answer<()> {
    match answer {
        Err(PortError::NotFound(_)) => Ok(()),
        answer => answer,
    }
}
