"""Answers of the emulators that AWS would not give, made as AWS gives them: nothing of this is worked around in the product."""

import re

# What MiniStack says, what AWS says instead, and who says so.
MINISTACK = (
    # botocore's model of Lambda: a reason has one of its codes, or is not there at all.
    (re.compile(rb',\s*"(State|LastUpdateStatus)ReasonCode":\s*"(Updating)?"'), b""),
    # The same: an ARN of 26 characters at least. Lambda developer guide, "Runtime version updates".
    (re.compile(rb'"RuntimeVersionArn":\s*""'), b'"RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:%s"' % (b"0" * 64)),
    # botocore's model of CloudFormation: a description has a character, or is not there; a change set has no type.
    (re.compile(rb"<Description></Description>"), b""),
    (re.compile(rb"<ChangeSetType>\w*</ChangeSetType>"), b""),
    # DynamoDB developer guide, "Warm throughput": what a new table on demand has.
    (
        re.compile(rb'"WarmThroughput": \{"ReadUnitsPerSecond": 0, "WriteUnitsPerSecond": 0,'),
        b'"WarmThroughput": {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000,',
    ),
    # botocore's model of Systems Manager: there are invalid parameters, or the list is not there.
    (re.compile(rb',\s*"InvalidParameters":\s*\[\]'), b""),
)


def of_ministack(body):
    for untrue, truth in MINISTACK:
        body = untrue.sub(truth, body)
    return body


def of_moto():
    """Changes moto itself. Only its own process has it."""
    from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
    from moto.ecs.models import CapacityProviderFailure, EC2ContainerServiceBackend
    from moto.ecs.responses import EC2ContainerServiceResponse

    # A host's attributes have names (botocore's model of ECS, Attribute); where a host is changed, moto gives them without.
    said = EC2ContainerServiceResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER
    described = "DescribeContainerInstancesResponse.containerInstances.ContainerInstance.attributes"
    said["UpdateContainerInstancesStateResponse.containerInstances.ContainerInstance.attributes"] = said[described]
    targets = ApplicationAutoScalingResponse.describe_scalable_targets

    def describe_scalable_targets(self):
        """There is no next page where there is no token; AWS's JSON has no null."""
        return targets(self).replace(', "NextToken": null', "")

    ApplicationAutoScalingResponse.describe_scalable_targets = describe_scalable_targets
    creates = EC2ContainerServiceResponse.create_service

    def create_service(self):
        """A service has the strategy that it was given, or else its cluster's, unless it was given a launch type; and none
        beside it (ECS API reference, CreateService)."""
        made = creates(self)
        strategy = self._get_param("capacityProviderStrategy")
        if not strategy and not self._get_param("launchType"):
            cluster = self.ecs_backend._get_cluster(self._get_param("cluster") or "default")
            strategy = cluster.default_capacity_provider_strategy
        if strategy:
            service = made.result["service"]
            service.capacity_provider_strategy, service.launch_type = strategy, None
            service.deployments[0] |= {"capacityProviderStrategy": strategy}
            del service.deployments[0]["launchType"]
        return made

    EC2ContainerServiceResponse.create_service = create_service
    updates = EC2ContainerServiceBackend.update_service

    def update_service(self, given):
        """What is desired does not run yet (ECS API reference, Service): moto says that it does until the scheduler looks."""
        before = self._get_service(given.get("cluster", "default"), given["service"].split("/")[-1])
        counts = before.running_count, before.pending_count
        after = updates(self, given)
        after.running_count, after.pending_count = counts
        return after

    EC2ContainerServiceBackend.update_service = update_service
    fails = CapacityProviderFailure.__init__

    def failed(self, *given):
        """The ARN of a provider that is not there (Service Authorization Reference, "Amazon ECS")."""
        fails(self, *given)
        self.arn = self.arn.replace(":capacity_provider/", ":capacity-provider/")

    CapacityProviderFailure.__init__ = failed
