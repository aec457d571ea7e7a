//! Launch templates and the instances that were launched from them.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplateVersion, MarketType, RequestLaunchTemplateData, ResponseLaunchTemplateData,
};
use evenkeel_model::templates::{Denied, Instance, NoBuilder, Resolved, Template, TemplateUse, TemplateVersion};
#[cfg(feature = "autoscaling")]
use evenkeel_model::{GroupName, TemplateId};
use evenkeel_model::{ImageId, InstanceId};
use evenkeel_turn::ports::{Answer, PortError, ReadTemplates};

use super::{MOST_VALUES, PAGE, filter};
use crate::Aws;
use crate::convert::{all, id, timestamp};
use crate::error::port_error;

/// EC2 forgets a terminated instance after an hour or so; here it does not exist any more at once.
const THERE: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];
/// Characters of a token (EC2 API reference, CreateLaunchTemplateVersion: 128 ASCII characters).
const MOST_TOKEN: usize = 64;

impl ReadTemplates for Aws {
    async fn templates(&self, uses: &[TemplateUse]) -> Answer<Resolved> {
        let distinct: BTreeSet<&TemplateUse> = uses.iter().collect();
        // One call for each: an answer does not say which of `$Latest` and `$Default` it is for, and one version that does
        // not exist fails the whole call.
        let answers = all(distinct.into_iter().map(async |asks| {
            let asked = self.ec2.describe_launch_template_versions().launch_template_id(asks.id.as_str());
            let asked = asked.versions(asks.version.to_string()).resolve_alias(true).send().await;
            match asked.map_err(port_error) {
                Ok(answer) => {
                    Ok(answer.launch_template_versions().first().and_then(|found| template(asks, found)).map(Ok))
                }
                Err(PortError::NotFound(_)) => Ok(None),
                Err(PortError::Refused(because)) => Ok(Some(Err(Denied { asks: asks.clone(), because }))),
                Err(error) => Err(error),
            }
        }));
        let mut templates = Resolved::default();
        for answer in answers.await?.into_iter().flatten() {
            match answer {
                Ok(found) => templates.found.push(found),
                Err(denied) => templates.denied.push(denied),
            }
        }
        Ok(templates)
    }

    async fn instances(&self, ids: &[InstanceId]) -> Answer<Vec<Instance>> {
        let distinct: BTreeSet<&str> = ids.iter().map(InstanceId::as_str).collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let pages = all(distinct.chunks(MOST_VALUES).map(async |chunk| {
            let asked = self.ec2.describe_instances().filters(filter("instance-id", chunk.iter().copied()));
            let asked = asked.filters(filter("instance-state-name", THERE)).max_results(PAGE);
            let pages = asked.into_paginator().items().send();
            pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)
        }));
        let instance = |found: &aws_sdk_ec2::types::Instance| {
            Some(Instance {
                id: id(found.instance_id())?,
                image: id(found.image_id()),
                launched: found.launch_time().and_then(timestamp)?,
            })
        };
        let found = pages.await?;
        let instances = found.iter().flatten().flat_map(|reservation| reservation.instances());
        Ok(instances.filter_map(instance).collect())
    }
}

#[cfg(feature = "autoscaling")]
impl evenkeel_turn::ports::ChangeTemplates for Aws {
    async fn new_version(&self, from: &TemplateVersion, image: &ImageId, note: &str) -> Answer<()> {
        self.ec2_new_version(from, image, note).await
    }

    async fn set_default(&self, template: &TemplateId, version: u64) -> Answer<()> {
        let set = self.ec2.modify_launch_template().launch_template_id(template.as_str());
        set.default_version(version.to_string()).send().await.map_err(port_error)?;
        Ok(())
    }

    async fn use_version(&self, group: &GroupName, template: &TemplateUse) -> Answer<()> {
        self.asg_use_version(group, template).await
    }
}

impl Aws {
    #[cfg_attr(not(feature = "autoscaling"), expect(dead_code, reason = "the port needs both services"))]
    async fn ec2_new_version(&self, from: &TemplateVersion, image: &ImageId, note: &str) -> Answer<()> {
        let data = RequestLaunchTemplateData::builder().image_id(image.as_str());
        let create = self.ec2.create_launch_template_version().launch_template_id(from.id.as_str());
        let create = create.source_version(from.version.to_string()).launch_template_data(data.build());
        create.version_description(note).client_token(token(note)).send().await.map_err(port_error)?;
        Ok(())
    }
}

fn template(asks: &TemplateUse, found: &LaunchTemplateVersion) -> Option<Template> {
    let data = found.launch_template_data();
    Some(Template {
        asks: asks.clone(),
        version: u64::try_from(found.version_number()?).ok()?,
        image: id(data.and_then(|data| data.image_id())),
        instance_type: id(data.and_then(|data| data.instance_type()).map(InstanceType::as_str)),
        no_builder: data.and_then(no_builder),
        note: found.version_description().map(str::to_owned),
    })
}

fn no_builder(data: &ResponseLaunchTemplateData) -> Option<NoBuilder> {
    let market = data.instance_market_options().and_then(|options| options.market_type());
    match (market, data.instance_requirements()) {
        (Some(MarketType::Spot), _) => Some(NoBuilder::Spot),
        (_, Some(_)) => Some(NoBuilder::Requirements),
        (_, None) => None,
    }
}

/// A token for a note: the same for the same note, and within EC2's limits. Its end is a hash (FNV-1a) of the whole note,
/// because notes that differ may begin alike.
fn token(note: &str) -> String {
    let hash = note
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let readable = note.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let begin: String = readable.take(MOST_TOKEN - 17).collect();
    format!("{begin}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_short_plain_and_as_different_as_its_note() {
        let long = "evenkeel shop 20260105T020000-7: ein Ü, and so on ".repeat(9);
        let (one, other) = (token(&format!("{long}1")), token(&format!("{long}2")));
        assert_ne!(one, other);
        assert_eq!(one, token(&format!("{long}1")));
        assert!(one.len() <= MOST_TOKEN && one.is_ascii(), "{one}");
    }
}
