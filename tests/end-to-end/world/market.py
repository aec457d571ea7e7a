"""Spot hosts: which of a group's launches they are, and the requests that EC2 keeps of them.

moto launches all hosts of a group on demand.
"""

from datetime import datetime, timezone
from math import ceil

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import random_spot_request_id

# What becomes of a request, by its status code (EC2 user guide, "State changes for a Spot request"): those of a group are
# one-time requests.
STATES = {
    "fulfilled": "active",
    "marked-for-termination": "active",
    "instance-terminated-no-capacity": "closed",
    "instance-terminated-by-user": "closed",
}
# Why a launch was refused, by whether it is one of a spot host (Auto Scaling user guide, "Troubleshoot launch failures"; for
# spot hosts as people were told it, hortonworks/cloudbreak #11254 and buildkite/elastic-ci-stack-for-aws #851).
REFUSALS = {
    True: "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request "
    "configuration. Please adjust your request and try again. Launching EC2 instance failed.",
    False: "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient "
    "m7i.large capacity in the Availability Zone you requested (us-east-1a). Launching EC2 instance failed.",
}


def distribution(group):
    """A group's on-demand base, and how much of a hundred beyond it is on demand (Auto Scaling API reference,
    InstancesDistribution)."""
    said = (group.mixed_instances_policy or {}).get("InstancesDistribution") or {}
    return int(said.get("OnDemandBaseCapacity", 0)), int(said.get("OnDemandPercentageAboveBaseCapacity", 100))


def has_spot(group):
    return distribution(group)[1] < 100


def is_spot(state):
    return state.instance.lifecycle == "spot"


def is_next_spot(group, on_demand):
    """Whether a group that has so much on demand launches a spot host next. The base comes first, and is measured as the
    group's capacity is (Auto Scaling API reference, InstancesDistribution)."""
    base, percentage = distribution(group)
    beyond = max(0, group.desired_capacity - base)
    return on_demand >= base + ceil(beyond * percentage / 100)


class Request(TaggedEC2Resource):
    """One for each spot host (EC2 API reference, SpotInstanceRequest)."""

    type, product_description, instance_interruption_behavior = "one-time", "Linux/UNIX", "terminate"

    def __init__(self, ec2, instance):
        self.ec2_backend = ec2
        self.id = self.spot_instance_request_id = random_spot_request_id()
        self.instance_id = instance.id
        self.launched_availability_zone = instance.placement.zone
        self.create_time = now()
        self.becomes("fulfilled")

    def becomes(self, code):
        self.state = STATES[code]
        self.status = {"Code": code, "Message": code.replace("-", " "), "UpdateTime": now()}


def now():
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}"


def ask(ec2, instance):
    """The request that a new spot host came by."""
    request = Request(ec2, instance)
    instance.spot_instance_request_id = request.id
    ec2.spot_instance_requests[request.id] = request


def tell(ec2, instance, code):
    """What becomes of the request of an instance, if it had one that is not over."""
    for request in ec2.spot_instance_requests.values():
        if request.instance_id == instance and request.state == "active":
            request.becomes(code)
