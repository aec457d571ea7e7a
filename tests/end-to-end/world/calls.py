"""Who called what: read off each request's own signature, and judged by the caller's role."""

import json
import re
import time
from urllib.parse import parse_qs

from . import policies
from .where import ACCOUNT, REGION

SERVICES = {"elasticloadbalancing": "elasticloadbalancing"}


class Calls:
    """Every request to this server."""

    def __init__(self, group_of):
        """`group_of` gives the group that an instance is or was in, or none."""
        self.group_of = group_of
        self.seen = []
        # Access key to the statements of the role that it stands for; keys that are not here may do everything.
        self.roles = {}

    def read(self, environment, body):
        """The call, or none where the request is no signed one."""
        found = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", environment.get("HTTP_AUTHORIZATION", ""))
        if not found:
            return None
        key, service = found.groups()
        target = environment.get("HTTP_X_AMZ_TARGET", "")
        if target:
            action, given = target.rsplit(".", 1)[-1], json.loads(body or b"{}")
        else:
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            action, given = form.get("Action", ""), form
        return {"at": time.time(), "key": key, "action": f"{service}:{action}", "given": given}

    def allowed(self, call):
        """Whether the caller's role allows the call; notes it."""
        statements = self.roles.get(call["key"])
        resources, context = resources_of(call, self.group_of)
        fine = statements is None or policies.allows(statements, call["action"], resources, context)
        self.seen.append({name: call[name] for name in ("at", "key", "action")} | {"resources": resources, "allowed": fine})
        return fine


def resources_of(call, group_of):
    """The ARNs that a call is about, `*` where AWS knows none for it, and the condition keys that it fills in."""
    given, action = call["given"], call["action"].split(":")[1]
    if call["action"].startswith("ecs:"):
        cluster = given.get("cluster", "default").rsplit("/", 1)[-1]
        arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
        context = {"ecs:cluster": f"{arn}:cluster/{cluster}"}
        several = {
            "DescribeContainerInstances": ("containerInstances", "container-instance"),
            "UpdateContainerInstancesState": ("containerInstances", "container-instance"),
            "DescribeTasks": ("tasks", "task"),
            "GetTaskProtection": ("tasks", "task"),
            "DescribeServices": ("services", "service"),
        }
        if action in several:
            field, kind = several[action]
            return [f"{arn}:{kind}/{cluster}/{one.rsplit('/', 1)[-1]}" for one in given.get(field, [])], context
        if action == "UpdateService":
            return [f"{arn}:service/{cluster}/{given['service'].rsplit('/', 1)[-1]}"], context
        if action in ("PutAttributes", "DeleteAttributes"):
            targets = [one["targetId"].rsplit("/", 1)[-1] for one in given.get("attributes", [])]
            return [f"{arn}:container-instance/{cluster}/{one}" for one in targets], context
        if action == "ListContainerInstances":
            return [context["ecs:cluster"]], context
        return ["*"], context
    if call["action"] in (
        "autoscaling:SetDesiredCapacity",
        "autoscaling:UpdateAutoScalingGroup",
    ):
        return [group_arn(given["AutoScalingGroupName"])], {}
    if call["action"] == "autoscaling:TerminateInstanceInAutoScalingGroup":
        return [group_arn(group_of(given["InstanceId"]) or "none")], {}
    return ["*"], {}


def group_arn(name):
    return f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{name}"

