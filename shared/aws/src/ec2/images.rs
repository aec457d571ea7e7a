//! Builders and the images that are made of them.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{self, LaunchTemplateSpecification, ResourceType, ShutdownBehavior, Tag, TagSpecification};
use aws_smithy_types::base64;
use evenkeel_model::templates::{Builder, BuilderState, Image, ImageState, Launch};
use evenkeel_model::{FleetName, ImageId, InstanceId, RollId};
use evenkeel_turn::ports::{Answer, ChangeImages, PortError, ReadImages};
use futures_util::future::try_join;

use super::{PAGE, filter, tag};
use crate::Aws;
use crate::convert::id;
use crate::error::port_error;

/// The tags of all that a roll makes.
const FLEET: &str = "evenkeel:fleet";
const ROLL: &str = "evenkeel:roll";
/// Bytes of user data before it is encoded (EC2 user guide, "Run commands when you launch an EC2 instance").
const MOST_USER_DATA: usize = 16 * 1024;

impl ReadImages for Aws {
    async fn base_image(&self, parameter: &str) -> Answer<ImageId> {
        let text = self.ssm_parameter(parameter).await?;
        image_of(&text).ok_or_else(|| PortError::Refused(format!("parameter {parameter} names no image: {text:.80}")))
    }

    async fn builders(&self, fleet: &FleetName) -> Answer<Vec<Builder>> {
        let asked = self.ec2.describe_instances().filters(filter(&format!("tag:{FLEET}"), [fleet.as_str()]));
        let asked = asked.filters(filter("tag-key", [ROLL])).max_results(PAGE);
        let pages = asked.into_paginator().items().send();
        let found: Vec<_> = pages.collect::<Result<_, _>>().await.map_err(port_error)?;
        Ok(found.iter().flat_map(|reservation| reservation.instances()).filter_map(builder).collect())
    }

    async fn images(&self, fleet: &FleetName, prefix: &str) -> Answer<Vec<Image>> {
        // Filters of one call must all hold, so these are two.
        let ours = self.ec2_images(filter(&format!("tag:{FLEET}"), [fleet.as_str()]));
        let named = format!("{}*", literal(prefix));
        let (ours, alike) = try_join(ours, self.ec2_images(filter("name", [named.as_str()]))).await?;
        let images = ours.iter().chain(&alike).filter_map(|found| image(fleet, found));
        let by_id: BTreeMap<ImageId, Image> = images.map(|image| (image.id.clone(), image)).collect();
        Ok(by_id.into_values().collect())
    }
}

impl ChangeImages for Aws {
    async fn run_builder(&self, fleet: &FleetName, roll: &RollId, launch: &Launch, commands: &[String]) -> Answer<()> {
        let script = script(commands);
        if script.len() > MOST_USER_DATA {
            let bytes = script.len();
            return Err(PortError::Refused(format!("commands of {bytes} bytes: EC2 takes {MOST_USER_DATA}")));
        }
        let Launch { template, image, subnet, instance_type } = launch;
        let from = LaunchTemplateSpecification::builder()
            .launch_template_id(template.id.as_str())
            .version(template.version.to_string())
            .build();
        let run = self.ec2.run_instances().launch_template(from).image_id(image.as_str()).min_count(1).max_count(1);
        let run = run.set_instance_type(instance_type.as_ref().map(|kind| kind.as_str().into()));
        let run = match subnet {
            Some(subnet) => self.ec2_into(subnet, template, run).await?,
            None => run,
        };
        run.client_token(roll.as_str())
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop)
            .user_data(base64::encode(script))
            .tag_specifications(tags(ResourceType::Instance, fleet, roll))
            .tag_specifications(tags(ResourceType::Volume, fleet, roll))
            .send()
            .await
            .map_err(port_error)?;
        Ok(())
    }

    async fn make_image(&self, fleet: &FleetName, roll: &RollId, builder: &InstanceId, name: &str) -> Answer<()> {
        let create = self.ec2.create_image().instance_id(builder.as_str()).name(name);
        create
            .tag_specifications(tags(ResourceType::Image, fleet, roll))
            .tag_specifications(tags(ResourceType::Snapshot, fleet, roll))
            .send()
            .await
            .map_err(port_error)?;
        Ok(())
    }

    async fn end_builder(&self, builder: &InstanceId) -> Answer<()> {
        self.ec2.terminate_instances().instance_ids(builder.as_str()).send().await.map_err(port_error)?;
        Ok(())
    }

    async fn delete_image(&self, image: &ImageId) -> Answer<()> {
        let deregister = self.ec2.deregister_image().image_id(image.as_str()).delete_associated_snapshots(true);
        deregister.send().await.map_err(port_error)?;
        Ok(())
    }
}

impl Aws {
    async fn ec2_images(&self, which: types::Filter) -> Answer<Vec<types::Image>> {
        let asked = self.ec2.describe_images().owners("self").filters(which).max_results(PAGE);
        asked.into_paginator().items().send().collect::<Result<_, _>>().await.map_err(port_error)
    }
}

/// The first command that fails ends the script, and the builder stays up: that is how a failed bake is seen. The agent of an
/// ECS-optimised image starts when user data is done (amazon-ecs-agent, `ecs.service`: After=cloud-final.service), and
/// without the launch template's own it would take the builder into the cluster `default`: so it is masked first, in `/run`
/// only, which is not part of the image. Images without systemd have none to mask.
fn script(commands: &[String]) -> String {
    let mut script = "#!/bin/bash\nsystemctl mask --runtime --now ecs || true\nset -e\n".to_owned();
    for command in commands {
        script.push_str(command);
        script.push('\n');
    }
    script.push_str("shutdown -h now\n");
    script
}

fn tags(resource: ResourceType, fleet: &FleetName, roll: &RollId) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let specification = TagSpecification::builder().resource_type(resource);
    specification.tags(tag(FLEET, fleet.as_str())).tags(tag(ROLL, roll.as_str())).build()
}

/// An image id as such, or as AWS's `recommended` parameters have it, in JSON under `image_id`.
fn image_of(text: &str) -> Option<ImageId> {
    let text = text.trim();
    if text.starts_with('{') {
        let parameter: serde_json::Value = serde_json::from_str(text).ok()?;
        return id(parameter.get("image_id")?.as_str());
    }
    id(Some(text))
}

fn builder(found: &types::Instance) -> Option<Builder> {
    let state = match found.state()?.name()?.as_str() {
        // One that is stopping is not done: no image can be made of it yet.
        "pending" | "running" | "stopping" => BuilderState::Running,
        "stopped" => BuilderState::Stopped,
        "shutting-down" | "terminated" => BuilderState::Gone,
        _ => return None,
    };
    Some(Builder { id: id(found.instance_id())?, roll: id(tag(found.tags(), ROLL))?, state })
}

fn image(fleet: &FleetName, found: &types::Image) -> Option<Image> {
    let ours = tag(found.tags(), FLEET) == Some(fleet.as_str());
    let state = match found.state().map(types::ImageState::as_str) {
        Some("pending") => ImageState::Pending,
        Some("available") => ImageState::Available,
        _ => ImageState::Failed,
    };
    Some(Image {
        id: id(found.image_id())?,
        name: found.name().unwrap_or_default().to_owned(),
        state,
        created: found.creation_date().and_then(|date| date.parse().ok()).unwrap_or_default(),
        roll: id(tag(found.tags(), ROLL).filter(|_| ours)),
    })
}

/// Filters read `*` and `?` as wildcards unless a backslash comes first.
fn literal(prefix: &str) -> String {
    let mut literal = String::new();
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_stops_at_the_first_failure_and_shuts_down_after_the_last_command() {
        let commands = ["dnf -y update".to_owned(), "needs-restarting -r".to_owned()];
        let expect = "#!/bin/bash\nsystemctl mask --runtime --now ecs || true\nset -e\ndnf -y update\nneeds-restarting -r\n\
            shutdown -h now\n";
        assert_eq!(script(&commands), expect);
    }

    #[test]
    fn a_parameter_names_an_image_in_two_ways() {
        let image = "ami-0abc".parse().ok();
        assert_eq!(image_of("ami-0abc\n"), image);
        assert_eq!(image_of(r#"{"ecs_agent_version":"1.97.0","image_id":"ami-0abc"}"#), image);
        assert_eq!(image_of(r#"{"os":"linux"}"#), None);
        assert_eq!(image_of("not an image"), None);
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(literal(r"a*b?c\"), r"a\*b\?c\\");
    }
}
