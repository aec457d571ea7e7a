"""Roles: whether their policies say what AWS understands, and whether they allow what functions call, as AWS judges it."""

from urllib.parse import urlsplit

from world import policies
from world.where import ACCOUNT, REGION

from . import authorization as reference
from .findings import Finding

# Actions that a call needs in some cases only: what is asked in those cases is in world/authorize.py.
IN_SOME_CASES = {
    "iam:PassRole": "where a template names an instance profile",
    "ec2:CreateTags": "where the call or the template names tags",
    "ssm:GetParameters": "where a template's image is `resolve:ssm:`; no story has one",
    "ec2:RunInstances": "where a group's template is changed, and asked as such",
    "iam:CreateServiceLinkedRole": "where the account has none yet; a group that exists has had one",
    "cloudformation:ListStacks": "where no stack is named; each call names one",
    "lambda:PassCapacityProvider": "where a function has a capacity provider; none has",
    "kms:Decrypt": "where a customer's key encrypts; no story has one",
    "kms:GenerateDataKey": "where a customer's key encrypts; no story has one",
    "kms:CreateGrant": "where a customer's key encrypts; no story has one",
}  # fmt: skip
# Actions that AWS lets be limited, and that a role allows on everything all the same.
ON_EVERYTHING = {
    "cloudwatch:DescribeAlarms": "tells of composite alarms only where it is allowed on `*` (its API reference)",
    "ecs:ListTasks": "its resource is the host, which is not named; the cluster is a condition",
}


# --- what IAM is asked about a call ---


def asks(call):
    """Triples of action, ARN and context. The world says its own; for the others the request does."""
    if call.asked:
        return [(action, resource, context) for action, resource, context in call.asked]
    actions = reference.actions_of(call.service, call.operation, call.given)
    found = {"dynamodb": _tables, "sqs": _queues, "ssm": _parameters, "monitoring": _metrics}.get(call.service)
    return [ask for action in actions for ask in (found(action, call.given) if found else [(action, "*", {})])]


def arn(service, name):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def _tables(action, given):
    """A table, and each partition key that is named (DynamoDB developer guide, "dynamodb:LeadingKeys")."""
    kind = action.split(":")[1]
    for table, keys in leading(given, kind):
        for key in sorted(keys):
            yield action, arn("dynamodb", f"table/{table}"), {"dynamodb:LeadingKeys": key} if key else {}


def leading(given, kind):
    """Pairs of a table and the partition keys that a request names for it."""
    if "RequestItems" in given:
        for table, asked in given["RequestItems"].items():
            keys = asked["Keys"] if isinstance(asked, dict) else [next(iter(one.values()))["Key"] for one in asked]
            yield table, {key["pk"]["S"] for key in keys}
    elif "TransactItems" in given:
        named = {value: name for name, value in reference.MEMBERS.items()}
        for item in given["TransactItems"]:
            if named[kind] in item:
                one = item[named[kind]]
                yield one["TableName"], {(one.get("Key") or one["Item"])["pk"]["S"]}
    elif "Key" in given:
        yield given["TableName"], {given["Key"]["pk"]["S"]}
    elif "KeyConditionExpression" in given:
        values = given["ExpressionAttributeValues"]
        name = given["KeyConditionExpression"].split("=", 1)[1].split()[0]
        yield given["TableName"], {values[name]["S"]}
    else:
        yield given.get("TableName", "any"), {""}


def _queues(action, given):
    name = given["QueueName"] if "QueueName" in given else urlsplit(given["QueueUrl"]).path.rsplit("/", 1)[-1]
    yield action, arn("sqs", name), {}


def _parameters(action, given):
    one = next((given[member] for member in ("Name", "Path", "ResourceId") if member in given), "")
    for name in given.get("Names", [one]):
        yield action, arn("ssm", f"parameter/{name.lstrip('/')}"), {}


def _metrics(action, given):
    yield action, "*", {"cloudwatch:namespace": given["Namespace"]} if action == "cloudwatch:PutMetricData" else {}


# --- how AWS judges it ---


def judge(call, statements, asked=None):
    """What is wrong with a call of a role: actions that AWS does not know, asked otherwise than AWS asks, or not allowed."""
    asked = asks(call) if asked is None else asked
    for action in sorted({action for action, _, _ in asked}):
        mine = [(resource, context) for one, resource, context in asked if one == action]
        yield from _judged(call, action, mine, statements)
    missing = {need for action, _, _ in asked for need in dependent(action)} - {action for action, _, _ in asked}
    for need in sorted(missing - set(IN_SOME_CASES)):
        yield finding(call, need, "is needed as well by AWS, and nobody asks for it here")


def dependent(action):
    return reference.dependent(action) if reference.privilege(action) else ()


def _judged(call, action, asked, statements):
    if reference.privilege(action) is None:
        yield finding(call, action, "AWS knows no such action")
        return
    types, seen = reference.types_of(action), set()
    everything = [context for resource, context in asked if resource == "*"]
    for resource, context in asked:
        kind = reference.kind_of(action, resource) if resource != "*" else ""
        if kind is None:
            known = ", ".join(types) or "it has none"
            yield finding(call, action, f"{resource} is of no resource type of this action: {known}")
            continue
        seen.add(kind)
        unknown = [key for key in context if not reference.fills_in(action, kind, key)]
        for key in unknown:
            yield finding(call, action, f"AWS does not fill in {key} for {kind or 'it'}, and the world does")
        known = {key: value for key, value in context.items() if key not in unknown}
        if not policies.allows(statements, action, resource, known):
            yield finding(call, action, f"is not allowed on {resource} with {known or 'no condition key'}")
    if everything:
        return
    # What AWS asks about beside that, with what is known of the call.
    shared = {key: value for _, context in asked for key, value in context.items()}
    for kind in sorted(kind for kind, required in types.items() if required and kind not in seen):
        known = {key: value for key, value in shared.items() if reference.fills_in(action, kind, key)}
        if not policies.allows(statements, action, reference.any_of(action, kind), known):
            yield finding(call, action, f"is not allowed on any {kind}, for which AWS asks as well, with {sorted(known)}")


def finding(call, action, words):
    return Finding("role", f"{call.who}: {call.operation}", action, words, reference.SOURCE)


def used(asked, statements):
    """Which statement's which action allows something that was asked for: pairs of Sid and action."""
    for action, resource, context in asked:
        for one in statements:
            if policies.covers(one, action, resource, context):
                yield one.get("Sid", "?"), action


# --- policies by themselves ---


def lint(role, statements):
    """What in a policy AWS would not understand, or would never apply."""
    for one in statements:
        place = f"{role}: {one.get('Sid', '?')}"
        for action in policies.listed(one["Action"]):
            for words in _linted(action, one):
                yield Finding("policy", place, action, words, reference.SOURCE)
        for resource in policies.listed(one["Resource"]):
            actions = [action for action in policies.listed(one["Action"]) if reference.privilege(action)]
            if resource != "*" and not any(reference.kind_of(action, resource) for action in actions):
                yield Finding("policy", place, resource, "is a resource of none of the actions", reference.SOURCE)


def _linted(action, statement):
    if "*" in action or reference.privilege(action) is None:
        yield "AWS knows no such action"
        return
    types, given = reference.types_of(action), policies.listed(statement["Resource"])
    if "*" in given:
        kinds = {*types, ""}
        conditions = statement.get("Condition")
        if types and not conditions and action not in ON_EVERYTHING:
            yield f"is allowed on everything, and AWS lets it be limited to {', '.join(sorted(types))}"
    else:
        kinds = {reference.kind_of(action, resource) for resource in given} - {None}
        if not kinds:
            yield f"none of its resources is one of this action: {', '.join(sorted(types)) or 'it has none, only `*`'}"
    for keys in statement.get("Condition", {}).values():
        for key in keys:
            if kinds and not any(reference.fills_in(action, kind, key) for kind in kinds):
                yield f"AWS does not fill in the condition key {key} for it: the statement never applies"
