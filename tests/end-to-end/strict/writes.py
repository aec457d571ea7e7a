"""Writes that are sent twice for one decision, where AWS does not say that the second does nothing.

An SDK sends again what was answered by nobody, and so does a turn that is tried again. That is right for what sets a state and
for what carries a token; it is wrong for what adds one more.
"""

import json
import re

from . import authorization

REFERENCE = "API reference"
# What may be sent again: it sets a state, or says what it would say anyway. By service and operation, with who says so.
AGAIN = {
    "ecs:UpdateService": "sets the desired count",
    "ecs:UpdateContainerInstancesState": "sets the status",
    "ecs:PutAttributes": f"an attribute that exists is replaced (ECS {REFERENCE}, PutAttributes)",
    "ecs:DeleteAttributes": "sets that the attribute is not there",
    "autoscaling:SetDesiredCapacity": "sets the capacity, as a number and not as a difference",
    "autoscaling:UpdateAutoScalingGroup": "sets what it names",
    "autoscaling:SetInstanceHealth": "sets the health of one instance, which is replaced once",
    "ec2:ModifyLaunchTemplate": "sets the default version",
    "ec2:TerminateInstances": f"this operation is idempotent (EC2 {REFERENCE}, TerminateInstances)",
    "ec2:CreateTags": "sets tags",
    "ec2:CreateImage": f"a name is taken once: InvalidAMIName.Duplicate (EC2 {REFERENCE}, CreateImage)",
    "ec2:DeregisterImage": "an image that is gone is not found",
    "sqs:SendMessage": "a standard queue may deliver twice anyway (SQS developer guide, At-least-once delivery)",
    "sqs:SendMessageBatch": "a standard queue may deliver twice anyway (SQS developer guide, At-least-once delivery)",
    "dynamodb:UpdateItem": "with a condition, or without a sum; looked at one by one",
    "dynamodb:TransactWriteItems": "with a token, a condition, or without a sum; looked at one by one",
    "dynamodb:BatchWriteItem": "puts and deletes whole items",
    "ssm:PutParameter": "sets the value",
    "ssm:AddTagsToResource": "sets tags",
    "ssm:DeleteParameters": "a parameter that is gone is named as such",
    "lambda:CreateFunction": "a name is taken once: ResourceConflictException",
    "lambda:UpdateFunctionCode": "sets the code",
    "lambda:UpdateFunctionConfiguration": "sets what it names",
    "lambda:DeleteFunction": "a function that is gone is not found",
    "lambda:TagResource": "sets tags",
    "lambda:CreateFunctionUrlConfig": "a function has one",
    "lambda:PutFunctionRecursionConfig": "sets it",
    "lambda:PublishVersion": f"code that did not change makes no version (Lambda {REFERENCE}, PublishVersion)",
    "cloudformation:CreateChangeSet": "a name is taken once: AlreadyExistsException",
    "cloudformation:ExecuteChangeSet": "a change set is executed once: InvalidChangeSetStatus",
    "cloudformation:DeleteChangeSet": f"succeeds for one that is gone (CloudFormation {REFERENCE}, DeleteChangeSet)",
    "cloudformation:DeleteStack": f"succeeds for one that is gone (CloudFormation {REFERENCE}, DeleteStack)",
    "logs:PutRetentionPolicy": "sets the days",
    "logs:DeleteLogGroup": "a group that is gone is not found",
    "dynamodb:UpdateTable": "sets what it names",
    "dynamodb:UpdateTimeToLive": f"what is on already is refused: ValidationException (DynamoDB {REFERENCE}, UpdateTimeToLive)",
    "dynamodb:DeleteTable": "a table that is gone is not found",
}
END = "autoscaling:TerminateInstanceInAutoScalingGroup"
# What does one more with each call: which of its members say what it is about, and who says that it does.
ONCE = {
    END: (
        ("InstanceId",),
        "not documented as idempotent, and decrements again while the instance ends (kubernetes/autoscaler #5411, #3255)",
    ),
    "ecs:RunTask": (None, f"idempotent with a clientToken only (ECS {REFERENCE}, RunTask)"),
    "ecs:StartTask": (None, f"no token (ECS {REFERENCE}, StartTask)"),
    "ecs:CreateService": (None, f"idempotent with a clientToken only (ECS {REFERENCE}, CreateService)"),
    "ecs:RegisterTaskDefinition": (None, f"a new revision each time (ECS {REFERENCE}, RegisterTaskDefinition)"),
    "ec2:RunInstances": (None, f"idempotent with a ClientToken only (EC2 {REFERENCE}, Ensuring idempotency)"),
    "ec2:CreateLaunchTemplateVersion": (
        None, f"idempotent with a ClientToken only (EC2 {REFERENCE}, CreateLaunchTemplateVersion)",
    ),
    "ec2:CreateFleet": (None, f"idempotent with a ClientToken only (EC2 {REFERENCE}, CreateFleet)"),
    "autoscaling:ExecutePolicy": (None, f"scales again (Auto Scaling {REFERENCE}, ExecutePolicy)"),
    "autoscaling:StartInstanceRefresh": (None, f"one begins each time (Auto Scaling {REFERENCE}, StartInstanceRefresh)"),
    "autoscaling:EnterStandby": (("InstanceIds",), f"decrements (Auto Scaling {REFERENCE}, EnterStandby)"),
    "autoscaling:DetachInstances": (("InstanceIds",), f"decrements (Auto Scaling {REFERENCE}, DetachInstances)"),
    "monitoring:PutMetricData": (None, f"the same value is counted twice (CloudWatch {REFERENCE}, PutMetricData)"),
    "events:PutEvents": (None, f"an event each time (EventBridge {REFERENCE}, PutEvents)"),
    "lambda:Invoke": (None, "a call each time (Lambda developer guide, Invocation)"),
    "sns:Publish": (None, f"a message each time (SNS {REFERENCE}, Publish)"),
}  # fmt: skip
ATOMIC = "DynamoDB developer guide, Atomic counters: not idempotent"
TOKENS = ("ClientToken", "clientToken", "ClientRequestToken", "IdempotencyToken")


class Writes:
    """What one story wrote so far."""

    def __init__(self):
        self.done = {}

    def check(self, call):
        """What is wrong with a call beside those before it, as triples of place, words and source."""
        name = f"{call.service}:{call.operation}"
        if name in ("dynamodb:UpdateItem", "dynamodb:TransactWriteItems"):
            yield from summed(call.given)
        if name in AGAIN or not authorization.writes(call.service, call.operation):
            return
        if name not in ONCE:
            yield "", "a write of which nobody says whether it may be sent twice", "tests/end-to-end/strict/writes.py"
            return
        if name == "lambda:Invoke" and looks(call.given):
            return
        if name == END and call.given.get("ShouldDecrementDesiredCapacity") is False:
            return  # The second finds the instance ending, and the group has not become smaller.
        members, source = ONCE[name]
        token = next((call.given[token] for token in TOKENS if call.given.get(token)), None)
        if token is not None:
            # One token for two different requests is refused by AWS: IdempotentParameterMismatch.
            before = self.done.setdefault((name, token), call)
            if before.given != call.given:
                yield "ClientToken", "the same token as an earlier request that asks for something else", source
            return
        about = name, call.key, repr({key: call.given.get(key) for key in members} if members else call.given)
        before = self.done.get(about)
        if before is not None:
            again = "by the SDK's own retry" if before.invocation == call.invocation else "by another call"
            yield "", f"sent again {call.at - before.at:.1f} s after it was done, {again}", source
        # What was refused was not done; what failed inside AWS, or was not answered, may have been.
        if call.status < 400 or call.status >= 500:
            self.done[about] = call


def looks(given):
    """Whether a function is only asked how things stand, as infra/deploy does once there is something to ask: that changes
    nothing (README.md, "Operating")."""
    try:
        payload = json.loads(given.get("Payload") or "{}")
    except ValueError:
        return False
    return isinstance(payload, dict) and "status" in payload.values()


# A sum that may be made twice: it only tells one writing of an item from another.
VERSION = "#version = if_not_exists(#version, :zero) + :one"


def summed(given):
    """A sum without a condition is added twice by a retry (DynamoDB developer guide, Atomic counters). A transaction fails
    as a whole where one condition does, and with a token it is done once."""
    members = [part for item in given["TransactItems"] for part in item.values()] if "TransactItems" in given else [given]
    if given.get("ClientRequestToken") or any(one.get("ConditionExpression") for one in members):
        return
    for one in members:
        expression = one.get("UpdateExpression", "").replace(VERSION, "")
        if re.search(r"\bADD\b|[+-]\s*:|list_append", expression, re.IGNORECASE):
            yield "UpdateExpression", f"a sum without a condition: {expression}", ATOMIC
