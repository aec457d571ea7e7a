"""Groups with a policy: by which line of it a group launches each host, whether as a spot host, and what that host counts.

moto launches all of them as the first line says, and counts only those in service.
"""

from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.ec2.models.instance_types import INSTANCE_TYPES

from . import market


def of_group(group):
    """The lines of a group's policy (Auto Scaling API reference, LaunchTemplateOverrides); none where all hosts are alike."""
    return ((group.mixed_instances_policy or {}).get("LaunchTemplate") or {}).get("Overrides") or []


def of_member(state):
    """The line that a host was launched by."""
    return state.__dict__.get("line") or {}


def weight(state):
    return int(of_member(state).get("WeightedCapacity") or 1)


def asked(group, line):
    """The launch template that a line launches from, and the version of it that is asked for: its own, or the group's."""
    policy = group.mixed_instances_policy
    own = line.get("LaunchTemplateSpecification")
    own = own or (policy["LaunchTemplate"]["LaunchTemplateSpecification"] if policy else group.launch_template) or {}
    by_id, by_name = own.get("LaunchTemplateId"), own.get("LaunchTemplateName")
    ec2 = group.ec2_backend
    if by_id:
        return ec2.get_launch_template(by_id), own.get("Version") or "$Default"
    return by_name and ec2.get_launch_template_by_name(by_name), own.get("Version") or "$Default"


def set_desired_capacity(self, new_capacity):
    """Launches until all hosts together weigh what is desired, or more, those on their way included; ends those that it can
    do without (Auto Scaling user guide, "Configure a mixed instances group to use instance weights")."""
    self.desired_capacity = self.min_size if new_capacity is None else new_capacity
    desired = self.desired_capacity or 0
    if self.mixed_instances_policy:
        while sum(map(weight, self.instance_states)) < desired:
            on_demand = sum(weight(state) for state in self.instance_states if not market.is_spot(state))
            self.replace_autoscaling_group_instances(1, self.get_propagated_tags())
            launched = self.instance_states[-1]
            launched.instance.lifecycle = "spot" if market.is_next_spot(self, on_demand) else None
            follow(self, launched)
    elif len(self.instance_states) < desired:
        self.replace_autoscaling_group_instances(desired - len(self.instance_states), self.get_propagated_tags())
    for state in [one for one in self.instance_states if not one.protected_from_scale_in]:
        if sum(map(weight, self.instance_states)) - weight(state) >= desired:
            self.ec2_backend.terminate_instances([state.instance.id])
            self.instance_states.remove(state)
    if self.name in self.autoscaling_backend.autoscaling_groups:
        self.autoscaling_backend.update_attached_elbs(self.name)
        self.autoscaling_backend.update_attached_target_groups(self.name)


def follow(group, state):
    """Which line it is depends on the market; here it is that of which the group has fewest hosts."""
    lines = of_group(group)
    if not lines:
        return
    has = [of_member(other).get("InstanceType") for other in group.instance_states]
    state.line = min(lines, key=lambda line: has.count(line["InstanceType"]))
    kind = state.line["InstanceType"]
    state.instance_type = state.instance.instance_type = kind


def processor(instance):
    """moto takes it from the image, whatever the instance is."""
    [one] = INSTANCE_TYPES[instance.instance_type]["ProcessorInfo"]["SupportedArchitectures"]
    return one


def template_of_a_group(self):
    """A group with a policy names its template there, and only there (Auto Scaling API reference, AutoScalingGroup)."""
    return None if self.mixed_instances_policy else alike(self)


alike = FakeAutoScalingGroup.launch_template.fget
FakeAutoScalingGroup.launch_template = property(template_of_a_group)
FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
# A member has the weight of its line (Auto Scaling API reference, Instance).
InstanceState.weighted_capacity = property(lambda state: of_member(state).get("WeightedCapacity"))
