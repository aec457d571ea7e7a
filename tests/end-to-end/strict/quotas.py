"""The quotas that a template meets, each with its source; nothing but AWS itself keeps them."""

import json

from .findings import Finding

CLOUDFORMATION = "CloudFormation user guide, Quotas"
IAM = "IAM user guide, IAM and AWS STS quotas"
EVENTS = "EventBridge user guide, Quotas"
# What deploy hands over in the request itself.
BODY = 51_200
# Of a template: what is counted, and the most of it.
COUNTED = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}


def check(name, text, rendered):
    """What of a template and of what it becomes is over a quota."""

    def over(place, has, most, what, source):
        if has > most:
            yield Finding("quota", name, place, f"{has} {what}, and at most {most} are allowed", source)

    yield from over("", len(text.encode()), BODY, "bytes in TemplateBody", CLOUDFORMATION)
    yield from over("Description", len(rendered.template.get("Description", "").encode()), 1024, "bytes", CLOUDFORMATION)
    for part, most in COUNTED.items():
        yield from over(part, len(rendered.template.get(part, {})), most, part.lower(), CLOUDFORMATION)
    for parameter, value in rendered.parameters.items():
        size = len((",".join(value) if isinstance(value, list) else value).encode())
        yield from over(f"Parameters/{parameter}", size, 4096, "bytes", CLOUDFORMATION)
    for resource, made in rendered.resources.items():
        judge = KINDS.get(made["Type"])
        for place, has, most, what, source in judge(made.get("Properties", {})) if judge else ():
            yield from over(f"{resource}/{place}", has, most, what, source)


def compact(document):
    """IAM and EventBridge do not count white space."""
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def rule(properties):
    if "EventPattern" in properties:
        # One that is told as a text goes to EventBridge as it is.
        pattern = properties["EventPattern"]
        size = len(pattern) if isinstance(pattern, str) else compact(pattern)
        yield "EventPattern", size, 2048, "characters", EVENTS
    yield "Targets", len(properties.get("Targets", [])), 5, "targets", EVENTS
    yield "Name", len(properties.get("Name", "")), 64, "characters", "EventBridge API reference, PutRule"


def role(properties):
    size = sum(compact(policy["PolicyDocument"]) for policy in properties.get("Policies", []))
    yield "Policies", size, 10_240, "characters in all of a role's inline policies", IAM
    yield "ManagedPolicyArns", len(properties.get("ManagedPolicyArns", [])), 10, "managed policies", IAM
    yield "AssumeRolePolicyDocument", compact(properties["AssumeRolePolicyDocument"]), 2048, "characters", IAM
    yield "Description", len(properties.get("Description", "")), 1000, "characters", "IAM API reference, CreateRole"


def managed_policy(properties):
    yield "PolicyDocument", compact(properties["PolicyDocument"]), 6144, "characters", IAM
    yield "Description", len(properties.get("Description", "")), 1000, "characters", "IAM API reference, CreatePolicy"


def queue(properties):
    yield "QueueName", len(properties.get("QueueName", "")), 80, "characters", "SQS developer guide, Queue quotas"


def queue_policy(properties):
    statements = properties["PolicyDocument"]["Statement"]
    yield "PolicyDocument", compact(properties["PolicyDocument"]), 8192, "bytes", "SQS developer guide, Policy quotas"
    yield "Statement", len(statements), 20, "statements", "SQS developer guide, Policy quotas"


def alarm(properties):
    source = "CloudWatch API reference, PutMetricAlarm"
    yield "AlarmName", len(properties.get("AlarmName", "")), 255, "characters", source
    yield "AlarmDescription", len(properties.get("AlarmDescription", "")), 1024, "characters", source
    yield "Metrics", len(properties.get("Metrics", [])), 20, "metrics", source


def dashboard(properties):
    source = "CloudWatch user guide, CloudWatch quotas"
    body = json.loads(properties["DashboardBody"])
    yield "DashboardBody", len(body["widgets"]), 500, "widgets", source
    for index, widget in enumerate(body["widgets"]):
        yield f"widgets/{index}", len(widget["properties"].get("metrics", [])), 500, "metrics", source


def function(properties):
    yield "FunctionName", len(properties.get("FunctionName", "")), 64, "characters", "Lambda API reference, CreateFunction"


KINDS = {
    "AWS::Events::Rule": rule,
    "AWS::IAM::Role": role,
    "AWS::IAM::ManagedPolicy": managed_policy,
    "AWS::SQS::Queue": queue,
    "AWS::SQS::QueuePolicy": queue_policy,
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": dashboard,
    "AWS::Lambda::Function": function,
}
