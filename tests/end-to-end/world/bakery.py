"""EC2's part in baking an image, where moto leaves it out or does it at once: builders that take their time and stop
themselves, images that are pending first, versions of a template that are made from others, one answer for one token."""

import hashlib
import time

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.launch_templates import LaunchTemplate

from .where import ACCOUNT, REGION

ROLL = "evenkeel:roll"
make_image = AmiBackend.create_image
make_template = LaunchTemplate.__init__


def create_image(self, instance_id, name, description, tag_specifications):
    """Names are the account's own (EC2 API reference, CreateImage); moto does not look, and cannot tag snapshots."""
    if any(image.name == name and image.owner_id == ACCOUNT for image in self.amis.values()):
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use")
    tags = {one["ResourceType"]: one["Tags"] for one in tag_specifications}
    image = make_image(self, instance_id, name, description, [])
    image.state = "pending"
    # Of its root device moto says the volume's kind (botocore's model of EC2, DeviceType).
    image.root_device_type = "ebs"
    for made, kind in ((image, "image"), (image.ebs_snapshot, "snapshot")):
        made.add_tags({tag["Key"]: tag["Value"] for tag in tags.get(kind, [])})
    return image


def template_of_a_name(self, backend, name, *given):
    """A fleet that is built anew has the template that it had, because roles name templates by their ids."""
    make_template(self, backend, name, *given)
    self.id = f"lt-{hashlib.sha256(name.encode()).hexdigest()[:17]}"


AmiBackend.create_image = create_image
LaunchTemplate.__init__ = template_of_a_name


class Bakery:
    """What is being built and made."""

    def __init__(self, pace):
        self.pace = pace
        self.installed_at = {}
        self.available_at = {}
        self.answers = {}

    @property
    def ec2(self):
        return ec2_backends[ACCOUNT][REGION]

    def finds_a_subnet(self, given):
        """Whoever names none, nor has a template that does, is launched in the default VPC (EC2 API reference, RunInstances,
        `SubnetId`, and "Error codes", VPCIdNotSpecified), which this account does not have."""
        template = given.get("LaunchTemplate.LaunchTemplateId")
        version = given.get("LaunchTemplate.Version") or "$Default"
        data = self.ec2.get_launch_template(template).get_version(version).data if template else {}
        interfaces = data.get("NetworkInterfaces") or []
        named = "SubnetId" in given or "NetworkInterface.1.SubnetId" in given
        return named or any("SubnetId" in one for one in interfaces)

    def answered(self, call):
        """What was answered to the same call with the same token."""
        return self.answers.get(_token(call))

    def done(self, call, answer):
        """After a call that moto has answered."""
        given = call["given"]
        if call["action"] == "ec2:CreateLaunchTemplateVersion" and "SourceVersion" in given:
            template = self.ec2.get_launch_template(given["LaunchTemplateId"])
            newest = template.latest_version()
            newest.data = template.get_version(given["SourceVersion"]).data | newest.data
        if "ClientToken" in given:
            self.answers[_token(call)] = answer

    def tick(self):
        now = time.time()
        for instance in list(self.ec2.all_instances()):
            running = instance.state == "running" and ROLL in self.ec2.tags.get(instance.id, {})
            if running and now >= self.installed_at.setdefault(instance.id, now + self.pace.install):
                self.ec2.stop_instances([instance.id])
        for image in self.ec2.amis.values():
            if image.state == "pending" and now >= self.available_at.setdefault(image.id, now + self.pace.image):
                image.state = "available"


def _token(call):
    return call["action"], call["given"].get("ClientToken")
