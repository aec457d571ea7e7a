"""Events that the driver puts, held against what AWS sends; and rules, against what functions do with what they let through.

`events.json` has a JSON schema for the detail of each kind, with its source: AWS's own schema registry where it has the kind,
with the values that the user guides name; else the guides' examples.
"""

import json
import re
from functools import cache
from pathlib import Path

import jsonschema

from .findings import Finding

HERE = Path(__file__).resolve().parent


@cache
def kinds():
    return json.loads((HERE / "events.json").read_text())


@cache
def validator(kind):
    read = kinds()
    return jsonschema.Draft202012Validator(read["events"][kind]["detail"] | {"$defs": read["$defs"]})


def check(entry):
    """What is wrong with an entry of PutEvents that says it comes from AWS, as findings."""
    source, name = entry.get("Source", ""), entry.get("DetailType", "")
    if source.startswith("aws."):
        yield from judged(source, name, json.loads(entry["Detail"]), entry.get("Resources", []))


def judged(source, name, detail, resources):
    kind = f"{source}: {name}"
    known = kinds()["events"].get(kind)
    if known is None:
        yield Finding("event", kind, "", "no schema: nobody says that AWS sends this", "tests/end-to-end/strict/events.json")
        return
    for problem in validator(kind).iter_errors(detail):
        place = ".".join(["detail", *map(str, problem.absolute_path)])
        yield Finding("event", kind, place, problem.message[:200], known["source"])
    if known["resources"] and not any(re.match(known["resources"][0], one) for one in resources):
        words = f"{resources} has nothing like {known['resources'][0]}"
        yield Finding("event", kind, "resources", words, known["source"])
    for one in resources:
        if not any(re.match(form, one) for form in known["resources"]):
            yield Finding("event", kind, "resources", f"{one} is none of {' '.join(known['resources'])}", known["source"])


# --- rules ---

# What each function acts on (`asks` in its handler.rs): the other events of a rule would wake it for nothing.
HOW = ("Successful", "Unsuccessful")
ACTIVITIES = {f"aws.autoscaling: EC2 Instance {what} {how}" for what in ("Launch", "Terminate") for how in HOW}
REFRESHES = {
    f"aws.autoscaling: EC2 Auto Scaling Instance Refresh {how}" for how in ("Started", "Succeeded", "Failed", "Cancelled")
}
HOST, ALARM = "aws.ecs: ECS Container Instance State Change", "aws.cloudwatch: CloudWatch Alarm State Change"
TICK, REBALANCE = "aws.events: Scheduled Event", "aws.ec2: EC2 Instance Rebalance Recommendation"
HANDLED = {
    "microscale": {TICK, HOST, ALARM, "aws.ecs: ECS Service Action", "aws.ecs: ECS Deployment State Change"},
    "backfill": {
        TICK,
        HOST,
        ALARM,
        REBALANCE,
        *ACTIVITIES,
        "aws.ec2: EC2 Spot Instance Interruption Warning",
        "aws.ec2: EC2 Instance State-change Notification",
        "aws.autoscaling: EC2 Instance-terminate Lifecycle Action",
        "aws.health: AWS Health Event",
    },
    "patchroll": {
        TICK,
        HOST,
        ALARM,
        REBALANCE,
        "aws.autoscaling: EC2 Instance Launch Successful",
        *REFRESHES,
        "aws.inspector2: Inspector2 Finding",
        "aws.ssm: Configuration Compliance State Change",
        "aws.ssm: Parameter Store Change",
    },
    "demand": {TICK},
    "livefeed": set(),
}
# Values of details that are acted on, where a kind has more: a rule that lets others through wakes for nothing.
ACTED_ON = {
    "aws.ec2: EC2 Instance State-change Notification": ("state", {"shutting-down", "terminated", "stopping", "stopped"}),
    "aws.ecs: ECS Service Action": ("eventName", {"SERVICE_TASK_PLACEMENT_FAILURE"}),
    "aws.ecs: ECS Deployment State Change": ("eventName", {"SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_DEPLOYMENT_FAILED"}),
}


def rules(resources):
    """What is wrong with the rules among a template's resources, once it is rendered."""
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Events::Rule":
            yield from rule(name, resource["Properties"])


def rule(name, properties):
    pattern = properties.get("EventPattern", {})
    pattern = json.loads(pattern) if isinstance(pattern, str) else pattern
    let_through = {TICK} if "ScheduleExpression" in properties else kinds_of(pattern)
    source = "functions/*/src/handler.rs"
    if not let_through:
        yield Finding("rule", name, "EventPattern", "lets through every kind of event", source)
    detail = pattern.get("detail", {})
    for target in properties["Targets"]:
        function = re.search(r"[a-z]+$", target["Arn"])[0]
        for kind in sorted(let_through - HANDLED[function]):
            yield Finding("rule", name, kind, f"wakes {function}, which does nothing with it", source)
    for kind in sorted(let_through & set(ACTED_ON)):
        field, values = ACTED_ON[kind]
        others = {*detail.get(field, ["anything"])} - values
        if others:
            yield Finding("rule", name, f"detail.{field}", f"lets through {', '.join(sorted(others))}", source)


def kinds_of(pattern):
    return {f"{source}: {name}" for source in pattern.get("source", []) for name in pattern.get("detail-type", [])}
