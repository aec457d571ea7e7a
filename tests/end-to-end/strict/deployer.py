"""infra/deploy, judged by infra/deployer-policy.json as if that were the policy of whoever deploys."""

import json
from functools import cache
from pathlib import Path

from world.where import ACCOUNT

from . import authorization as reference
from .roles import arn

POLICY = Path(__file__).resolve().parents[3] / "infra" / "deployer-policy.json"
# Nobody needs leave for it (Service Authorization Reference, "AWS STS").
FREE = {"sts:GetCallerIdentity"}


@cache
def statements():
    """The policy's statements. It is for the name `evenkeel`, and stories deploy under many."""
    return json.loads(POLICY.read_text().replace("evenkeel", "*"))["Statement"]


def asks(call):
    """Triples of action, ARN and context, for the services of which roles.asks does not know how they name things."""
    found = NAMED[call.service](call.given)
    for action in reference.actions_of(call.service, call.operation, call.given):
        yield action, found or "*", {}
    if call.service == "lambda" and "Role" in call.given:
        yield "iam:PassRole", call.given["Role"], {"iam:PassedToService": "lambda.amazonaws.com"}


def _stack(given):
    name = given.get("StackName", "")
    return name if name.startswith("arn:") or not name else arn("cloudformation", f"stack/{name}/0")


def _function(given):
    name = given.get("FunctionName") or given.get("Resource", "")
    return name if name.startswith("arn:") or not name else arn("lambda", f"function:{name}")


def _identity(given):
    if "InstanceProfileName" in given:
        return f"arn:aws:iam::{ACCOUNT}:instance-profile/{given['InstanceProfileName']}"
    # The linked role for spot, which has a path of its own.
    return f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/spot.amazonaws.com/{given['RoleName']}"


# By service, how a request says what it is about.
NAMED = {"cloudformation": _stack, "lambda": _function, "iam": _identity}
