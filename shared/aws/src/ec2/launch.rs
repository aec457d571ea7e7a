//! Where a builder is launched: what its request has to say beside its launch template.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    ConnectionTrackingSpecification, ConnectionTrackingSpecificationRequest, EnaSrdSpecificationRequest,
    EnaSrdUdpSpecificationRequest, InstanceNetworkInterfaceSpecification as Interface, Ipv4PrefixSpecificationRequest,
    Ipv6PrefixSpecificationRequest, LaunchTemplateEnaSrdSpecification,
    LaunchTemplateInstanceNetworkInterfaceSpecification as TemplateInterface,
};
use evenkeel_model::SubnetId;
use evenkeel_model::templates::TemplateVersion;
use evenkeel_turn::ports::{Answer, PortError};

use crate::Aws;
use crate::error::port_error;

impl Aws {
    /// Has a builder come into `subnet`. A template that has network interfaces takes it in these, all of which the request
    /// then repeats: beside interfaces EC2 refuses a subnet of the instance (EC2 API reference, RunInstances, `SubnetId`:
    /// "If you specify a network interface, you must specify any subnets as part of the network interface instead"). The
    /// template's own subnets stay.
    pub(super) async fn ec2_into(
        &self,
        subnet: &SubnetId,
        template: &TemplateVersion,
        run: RunInstancesFluentBuilder,
    ) -> Answer<RunInstancesFluentBuilder> {
        let interfaces = self.ec2_interfaces(template).await?;
        let placed = |one: &TemplateInterface| one.subnet_id().or_else(|| one.network_interface_id()).is_some();
        Ok(match &interfaces[..] {
            [] => run.subnet_id(subnet.as_str()),
            all if all.iter().all(placed) => run,
            _ => {
                let into = |one: TemplateInterface| {
                    let subnet = (!placed(&one)).then(|| subnet.as_str().to_owned());
                    interface(one, subnet)
                };
                run.set_network_interfaces(Some(interfaces.into_iter().map(into).collect()))
            }
        })
    }

    async fn ec2_interfaces(&self, template: &TemplateVersion) -> Answer<Vec<TemplateInterface>> {
        let asked = self.ec2.describe_launch_template_versions().launch_template_id(template.id.as_str());
        let answer = asked.versions(template.version.to_string()).send().await.map_err(port_error)?;
        let found = answer.launch_template_versions.and_then(|found| found.into_iter().next());
        let missing =
            || PortError::NotFound(format!("version {} of launch template {}", template.version, template.id));
        let data = found.ok_or_else(missing)?.launch_template_data;
        Ok(data.and_then(|data| data.network_interfaces).unwrap_or_default())
    }
}

/// A template's interface as a request gives it, in `subnet` where it has none itself.
fn interface(found: TemplateInterface, subnet: Option<String>) -> Interface {
    let prefixes4 = found.ipv4_prefixes.map(|all| {
        let prefix = |ipv4_prefix| Ipv4PrefixSpecificationRequest::builder().set_ipv4_prefix(ipv4_prefix).build();
        all.into_iter().map(|one| prefix(one.ipv4_prefix)).collect()
    });
    let prefixes6 = found.ipv6_prefixes.map(|all| {
        let prefix = |ipv6_prefix| Ipv6PrefixSpecificationRequest::builder().set_ipv6_prefix(ipv6_prefix).build();
        all.into_iter().map(|one| prefix(one.ipv6_prefix)).collect()
    });
    Interface::builder()
        .set_associate_carrier_ip_address(found.associate_carrier_ip_address)
        .set_associate_public_ip_address(found.associate_public_ip_address)
        .set_connection_tracking_specification(found.connection_tracking_specification.as_ref().map(tracking))
        .set_delete_on_termination(found.delete_on_termination)
        .set_description(found.description)
        .set_device_index(found.device_index)
        .set_ena_queue_count(found.ena_queue_count)
        .set_ena_srd_specification(found.ena_srd_specification.as_ref().map(ena_srd))
        .set_groups(found.groups)
        .set_interface_type(found.interface_type)
        .set_ipv4_prefix_count(found.ipv4_prefix_count)
        .set_ipv4_prefixes(prefixes4)
        .set_ipv6_address_count(found.ipv6_address_count)
        .set_ipv6_addresses(found.ipv6_addresses)
        .set_ipv6_prefix_count(found.ipv6_prefix_count)
        .set_ipv6_prefixes(prefixes6)
        .set_network_card_index(found.network_card_index)
        .set_network_interface_id(found.network_interface_id)
        .set_primary_ipv6(found.primary_ipv6)
        .set_private_ip_address(found.private_ip_address)
        .set_private_ip_addresses(found.private_ip_addresses)
        .set_secondary_private_ip_address_count(found.secondary_private_ip_address_count)
        .set_subnet_id(found.subnet_id.or(subnet))
        .build()
}

fn tracking(found: &ConnectionTrackingSpecification) -> ConnectionTrackingSpecificationRequest {
    ConnectionTrackingSpecificationRequest::builder()
        .set_tcp_established_timeout(found.tcp_established_timeout())
        .set_udp_stream_timeout(found.udp_stream_timeout())
        .set_udp_timeout(found.udp_timeout())
        .build()
}

fn ena_srd(found: &LaunchTemplateEnaSrdSpecification) -> EnaSrdSpecificationRequest {
    let udp = found
        .ena_srd_udp_specification()
        .map(|udp| EnaSrdUdpSpecificationRequest::builder().set_ena_srd_udp_enabled(udp.ena_srd_udp_enabled()).build());
    EnaSrdSpecificationRequest::builder()
        .set_ena_srd_enabled(found.ena_srd_enabled())
        .set_ena_srd_udp_specification(udp)
        .build()
}
