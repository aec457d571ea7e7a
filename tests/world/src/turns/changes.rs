//! How a turn changes the world, and what it leaves in the ledger.

use std::time::Duration;

use evenkeel_model::decision::{HostStep, ImageStep};
use evenkeel_model::observed::HostStatus;
use evenkeel_model::templates::{Launch, TemplateUse, TemplateVersion};
use evenkeel_model::{
    ClusterName, FleetName, FunctionName, GroupName, ImageId, InstanceId, RollId, ServiceName, TemplateId,
};
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeEcs, ChangeGroups, ChangeHosts, ChangeImages, ChangeTemplates, Ledger, PortError,
};

use super::Ports;
use crate::api::Api;
use crate::clock::since_begin;
use crate::setup::millis;

impl ChangeEcs for Ports {
    async fn set_desired_count(&self, _: &ClusterName, service: &ServiceName, count: u32) -> Answer<()> {
        self.call(Api::UpdateService, |core, under, _| {
            let Some(number) = core.service_no(service) else {
                return Err(PortError::NotFound(format!("service {service}")));
            };
            core.audit.effect(self.turn, service, count, core.now);
            let counts = core.cluster.services.iter().map(|service| (service.name.clone(), service.desired));
            for (service, count) in counts {
                let most = under.seen.counts.entry(service).or_default();
                *most = count.max(*most);
            }
            under.seen.sets.push((service.clone(), count));
            core.set_desired(number, count);
            Ok(())
        })
        .await
    }
}

impl ChangeHosts for Ports {
    async fn set_status(&self, _: &ClusterName, hosts: &[InstanceId], status: HostStatus) -> Answer<()> {
        self.call(Api::UpdateContainerInstancesState, |core, under, _| {
            let step = HostStep::SetStatus { hosts: hosts.to_vec(), status };
            under.notes_depth(status == HostStatus::Draining, &mut core.measure.depths.drain);
            core.host_effect(self.turn, &step);
            core.set_host_status(hosts, status)?;
            core.note_roll_status(self.function, hosts, status);
            Ok(())
        })
        .await
    }

    async fn mark_old(&self, _: &ClusterName, hosts: &[InstanceId], old: bool) -> Answer<()> {
        self.call(Api::PutAttributes, |core, _, _| {
            core.host_effect(self.turn, &HostStep::Mark { hosts: hosts.to_vec(), old });
            core.note_roll_step(self.function);
            core.mark_old(hosts, old)
        })
        .await
    }
}

impl ChangeGroups for Ports {
    async fn set_capacity(&self, group: &GroupName, hosts: u32) -> Answer<()> {
        self.call(Api::SetDesiredCapacity, |core, under, _| {
            let raises = core.cloud.group_no(group).is_some_and(|number| core.cloud.groups[number].desired < hosts);
            under.notes_depth(raises, &mut core.measure.depths.launch);
            core.capacity_effect(self.turn, group, hosts);
            core.busy(self.function, group)?;
            core.set_capacity(self.function, group, hosts)
        })
        .await
    }

    async fn terminate(&self, host: &InstanceId, shrink: bool) -> Answer<()> {
        self.call(Api::TerminateInstance, |core, _, _| {
            core.terminate_effect(self.turn, host, shrink);
            if let Some(group) = core.group_of(host).filter(|_| self.function == FunctionName::Patchroll) {
                core.busy(self.function, &group)?;
            }
            core.terminate(self.function, host, shrink)
        })
        .await
    }

    async fn end_warm(&self, host: &InstanceId) -> Answer<()> {
        self.call(Api::SetInstanceHealth, |core, _, _| {
            core.note_roll_step(self.function);
            core.warm_effect(self.turn, host);
            core.end_warm(host)
        })
        .await
    }
}

impl ChangeTemplates for Ports {
    async fn new_version(&self, from: &TemplateVersion, image: &ImageId, note: &str) -> Answer<()> {
        self.call(Api::CreateTemplateVersion, |core, _, _| {
            let step = ImageStep::NewVersion { from: from.clone(), image: image.clone(), note: note.to_owned() };
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &step);
            core.new_version(from, image, note)
        })
        .await
    }

    async fn set_default(&self, template: &TemplateId, version: u64) -> Answer<()> {
        self.call(Api::ModifyTemplate, |core, _, _| {
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &ImageStep::SetDefault { template: template.clone(), version });
            core.set_default(template, version)
        })
        .await
    }

    async fn use_version(&self, group: &GroupName, template: &TemplateUse) -> Answer<()> {
        self.call(Api::UpdateGroup, |core, _, _| {
            core.note_roll_step(self.function);
            core.use_effect(self.turn, group, template);
            core.busy(self.function, group)?;
            core.use_version(group, template)
        })
        .await
    }
}

impl ChangeImages for Ports {
    async fn run_builder(&self, fleet: &FleetName, roll: &RollId, launch: &Launch, commands: &[String]) -> Answer<()> {
        self.call(Api::RunInstances, |core, _, _| {
            let step = ImageStep::RunBuilder { roll: roll.clone(), launch: launch.clone() };
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &step);
            core.run_builder(fleet, roll, launch, commands.len())
        })
        .await
    }

    async fn make_image(&self, fleet: &FleetName, roll: &RollId, builder: &InstanceId, name: &str) -> Answer<()> {
        self.call(Api::CreateImage, |core, _, _| {
            let (roll_id, builder_id) = (roll.clone(), builder.clone());
            let step = ImageStep::MakeImage { roll: roll_id, builder: builder_id, name: name.to_owned() };
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &step);
            core.make_image(fleet, roll, builder, name)
        })
        .await
    }

    async fn end_builder(&self, builder: &InstanceId) -> Answer<()> {
        self.call(Api::TerminateInstances, |core, _, _| {
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &ImageStep::EndBuilder { builder: builder.clone() });
            core.end_builder(builder)
        })
        .await
    }

    async fn delete_image(&self, image: &ImageId) -> Answer<()> {
        // The image, and its snapshot.
        self.calls(Api::DeregisterImage, 2, |core, _, _| {
            core.note_roll_step(self.function);
            core.image_effect(self.turn, &ImageStep::DeleteImage { image: image.clone() });
            core.delete_image(image)
        })
        .await
    }
}

impl Beats for Ports {
    async fn wake_after(&self, fleet: &FleetName, delays: &[Duration], hop: u32) -> Answer<()> {
        self.call(Api::SendMessageBatch, |core, under, _| {
            for delay in delays {
                core.send_beat(self.function, fleet, millis(*delay), hop, under.chain + 1);
            }
            Ok(())
        })
        .await
    }
}

impl Ledger for Ports {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        self.call(Api::BatchGetItem, |core, _, _| Ok(core.table.get(keys))).await
    }

    async fn get_together(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        self.call(Api::Query, |core, _, _| Ok(core.table.get(keys))).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        // A conflict is an answer, not a failure of the call.
        let taken = self.call(Api::TransactWriteItems, |core, _, _| {
            let expires = |write: &Write| write.expires.map(since_begin);
            let taken = core.table.write(&writes, expires);
            if taken.is_ok() {
                let idle = core.idle_hosts();
                core.audit.recorded(self.turn, &writes, &idle, core.now);
                core.note_state(&writes);
            }
            Ok(taken)
        });
        taken.await?
    }
}
