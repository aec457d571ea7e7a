"""Capacity providers with managed scaling, of which moto only notes that it is wanted: it is a scaling policy of the provider's
group, which comes and goes with it, and the group has a tag (ECS developer guide, "Automatically manage Amazon ECS capacity with
cluster auto scaling"). That policy sets no capacity here."""

import uuid

from moto.autoscaling.models import autoscaling_backends
from moto.ecs.models import EC2ContainerServiceBackend

MANAGED = "ECSManagedAutoScalingPolicy-"
TAG = {"Key": "AmazonECSManaged", "Value": "", "PropagateAtLaunch": True, "ResourceType": "auto-scaling-group"}
# What a policy that tracks a target does not have.
LEFT_OUT = (
    "metric_aggregation_type",
    "adjustment_type",
    "min_adjustment_magnitude",
    "scaling_adjustment",
    "cooldown",
    "step_adjustments",
    "estimated_instance_warmup",
    "predictive_scaling_configuration",
)
makes = EC2ContainerServiceBackend.create_capacity_provider
changes = EC2ContainerServiceBackend.update_capacity_provider


def create_capacity_provider(self, *given, **named):
    return followed(self, makes(self, *given, **named))


def update_capacity_provider(self, *given, **named):
    return followed(self, changes(self, *given, **named))


def followed(backend, provider):
    own = provider.auto_scaling_group_provider
    api = autoscaling_backends[backend.account_id][backend.region_name]
    [group] = [name for name, one in api.autoscaling_groups.items() if one.arn == own["autoScalingGroupArn"]]
    for name, policy in list(api.policies.items()):
        if policy.auto_scaling_group_name == group and name.startswith(MANAGED):
            api.delete_policy(name)
    scaling = own["managedScaling"]
    if scaling["status"] == "ENABLED":
        tracks = {"CustomizedMetricSpecification": reserved(provider), "TargetValue": scaling["targetCapacity"]}
        name, others = f"{MANAGED}{uuid.uuid4()}", dict.fromkeys(LEFT_OUT)
        api.put_scaling_policy(name, "TargetTrackingScaling", as_name=group, target_tracking_config=tracks, **others)
        api.create_or_update_tags([TAG | {"ResourceId": group}])
    return provider


def reserved(provider):
    """How much of the provider's hosts is in use."""
    named = [{"Name": "CapacityProviderName", "Value": provider.name}]
    metric = {"MetricName": "CapacityProviderReservation", "Namespace": "AWS/ECS/ManagedScaling", "Statistic": "Average"}
    return metric | {"Dimensions": named}


EC2ContainerServiceBackend.create_capacity_provider = create_capacity_provider
EC2ContainerServiceBackend.update_capacity_provider = update_capacity_provider
