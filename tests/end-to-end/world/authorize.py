"""What IAM is asked about a call: actions, each with a resource and the condition keys that the call fills in.

Most calls are one action. Some are several: who launches from a template passes the role that it names, and tags what is
launched (Service Authorization Reference; EC2 user guide, "Example policies"; Auto Scaling user guide, "Control Amazon EC2
launch template usage in Auto Scaling groups").
"""

from moto.ec2.models import ec2_backends

from .where import ACCOUNT, REGION

# The field that names what an ECS call is about, and its kind.
ECS_FIELDS = {
    "DescribeContainerInstances": ("containerInstances", "container-instance"),
    "UpdateContainerInstancesState": ("containerInstances", "container-instance"),
    "DescribeTasks": ("tasks", "task"),
    "GetTaskProtection": ("tasks", "task"),
    "DescribeServices": ("services", "service"),
}
# Calls about no resource of which AWS says the cluster all the same.
WITH_CLUSTER = ("ListTasks",)
FLEET = "evenkeel:fleet"


def checks(call, group_of):
    """Triples of action, ARN and context; the ARN is `*` where AWS knows no resource for the action."""
    service, action = call["action"].split(":")
    asked = {"ecs": _ecs, "autoscaling": _groups, "ec2": _ec2}.get(service)
    found = list(asked(action, call["given"], group_of)) if asked else []
    return found or [(call["action"], "*", {})]


def _ecs(action, given, _):
    cluster = given.get("cluster", "default").rsplit("/", 1)[-1]
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    context = {"ecs:cluster": f"{arn}:cluster/{cluster}"}
    if action in ECS_FIELDS:
        field, kind = ECS_FIELDS[action]
        about = [f"{arn}:{kind}/{cluster}/{one.rsplit('/', 1)[-1]}" for one in given.get(field, [])]
    elif action == "DescribeCapacityProviders":
        # Providers belong to no cluster.
        about, context = [f"{arn}:capacity-provider/{one.rsplit('/', 1)[-1]}" for one in given.get("capacityProviders", [])], {}
    elif action == "UpdateService":
        about = [f"{arn}:service/{cluster}/{given['service'].rsplit('/', 1)[-1]}"]
    elif action in ("PutAttributes", "DeleteAttributes"):
        targets = [one["targetId"].rsplit("/", 1)[-1] for one in given.get("attributes", [])]
        about = [f"{arn}:container-instance/{cluster}/{one}" for one in targets]
    elif action == "ListContainerInstances":
        # Its cluster is its resource, and no condition key.
        about, context = [context["ecs:cluster"]], {}
    elif action == "DescribeClusters":
        about, context = [f"{arn}:cluster/{one.rsplit('/', 1)[-1]}" for one in given.get("clusters", [])], {}
    else:
        about, context = ["*"], context if action in WITH_CLUSTER else {}
    return [(f"ecs:{action}", resource, context) for resource in about]


def _groups(action, given, group_of):
    if action in ("SetDesiredCapacity", "UpdateAutoScalingGroup"):
        yield f"autoscaling:{action}", _group(given["AutoScalingGroupName"]), {}
        template = given.get("LaunchTemplate.LaunchTemplateId")
        if template:
            yield from _launch(template, given.get("LaunchTemplate.Version"), tags=False)
    elif action in ("SetInstanceHealth", "TerminateInstanceInAutoScalingGroup"):
        yield f"autoscaling:{action}", _group(group_of(given["InstanceId"]) or "none"), {}


def _ec2(action, given, _):
    name = f"ec2:{action}"
    match action:
        case "RunInstances":
            template = given.get("LaunchTemplate.LaunchTemplateId")
            yield from _launch(template, given.get("LaunchTemplate.Version"), tags=_tags(given))
            if "SubnetId" in given:
                yield name, _arn("subnet", given["SubnetId"]), {"ec2:LaunchTemplate": _arn("launch-template", template)}
        case "CreateLaunchTemplateVersion" | "ModifyLaunchTemplate":
            yield name, _arn("launch-template", given["LaunchTemplateId"]), {}
        case "TerminateInstances":
            yield name, _arn("instance", given["InstanceId.1"]), _tagged(given["InstanceId.1"])
        case "CreateImage":
            # The image and its snapshots are not there yet, and so have no tags.
            yield name, _arn("instance", given["InstanceId"]), _tagged(given["InstanceId"])
            yield name, _arn("image", "*", ""), {}
            yield name, _arn("snapshot", "*", ""), {}
            if _tags(given):
                yield "ec2:CreateTags", _arn("image", "*", ""), {"ec2:CreateAction": action}
        case "DeregisterImage":
            yield name, _arn("image", given["ImageId"], ""), _tagged(given["ImageId"])
            image = _backend().amis.get(given["ImageId"])
            if image and given.get("DeleteAssociatedSnapshots") == "true":
                snapshot = image.ebs_snapshot.id
                yield "ec2:DeleteSnapshot", _arn("snapshot", snapshot, ""), _tagged(snapshot)


def _launch(template, version, tags):
    """A launch from a template, or leave to have it launched from."""
    yield "ec2:RunInstances", _arn("instance", "*"), {"ec2:LaunchTemplate": _arn("launch-template", template)}
    data = _backend().get_launch_template(template).get_version(version or "$Default").data
    if tags or data.get("TagSpecifications"):
        yield "ec2:CreateTags", _arn("instance", "*"), {"ec2:CreateAction": "RunInstances"}
    profile = data.get("IamInstanceProfile", {}).get("Name")
    if profile:
        # The profiles of the stories have the names of their roles.
        yield "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{profile}", {"iam:PassedToService": "ec2.amazonaws.com"}


def _backend():
    return ec2_backends[ACCOUNT][REGION]


def _tags(given):
    return any(field.startswith("TagSpecification.") for field in given)


def _tagged(resource):
    tags = _backend().tags.get(resource, {})
    return {f"aws:ResourceTag/{FLEET}": tags[FLEET]} if FLEET in tags else {}


def _arn(kind, name, account=ACCOUNT):
    """Images and snapshots belong to no account in their ARNs."""
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def _group(name):
    return f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{name}"
