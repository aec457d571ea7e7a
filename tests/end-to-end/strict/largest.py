"""The largest fleet file that the schema takes, and what infra/deploy tells the templates about it."""

import json
from pathlib import Path
from types import SimpleNamespace

from cloud import REPOSITORY
from deployment import account, parameters
from deployment.fleet import Fleet
from deployment.functions import ALL
from deployment.trouble import Trouble
from world.where import ACCOUNT, REGION

from .findings import Finding

# The longest names of today's clusters, services and groups that anybody was seen to have; AWS and the schema take 255.
LONG = 100


def fleet(at_most=500):
    """As many of everything as the schema takes, or fewer, with long names."""
    schema = json.loads((REPOSITORY / "infra" / "fleet.schema.json").read_text())
    pools, services = (min(at_most, schema["properties"][part]["maxItems"]) for part in ("pool", "service"))
    alarms = min(at_most, schema["$defs"]["Backfill"]["properties"]["alarms"]["maxItems"])
    named = lambda what, count: [f"{what}-{index:03}-".ljust(LONG, "x") for index in range(count)]  # noqa: E731
    purchases = ("on-demand", "spot", "reserved")
    data = {
        "name": "f" * 64,
        "cluster": "c" * LONG,
        "beat": "5s",
        "hosts": {"minimum": 1, "steady": 100, "maximum": 5000},
        "pool": [
            {"name": f"pool-{index}", "purchase": purchases[index % 3], "auto_scaling_group": name}
            for index, name in enumerate(named("group", pools))
        ],
        "service": [{"name": name, "priority": 1, "demand": {"alarm": name}} for name in named("service", services)],
        "backfill": {"alarms": named("backfill", alarms)},
        "patch": {
            "strategy": "launch-first",
            "roll_back": True,
            "halt_alarms": named("halt", alarms),
            "bake": {"base_image_parameter": "/" + "p" * LONG},
        },
    }
    return Fleet(Path("largest.toml"), json.dumps(data), data)


def told(one):
    """What each template is told of a fleet file, and what deploy refuses: by template, and findings."""
    options = SimpleNamespace(
        name="k" * 32,
        existing_table="",
        permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/{'b' * 128}",
        log_days=14,
        observe=False,
        no_ticks=False,
        watch="all",
        silence=5,
        timeout=30,
        alarm_topic="",
    )
    there = account.Account(ACCOUNT, REGION, "aws")
    templates = [f"lt-{index:017x}" for index in range(len(one.data["pool"]))]
    there.templates = [there.arn("ec2", f"launch-template/{template}") for template in templates]
    there.host_roles = [there.arn("iam", f"role/{index:03}".ljust(69, "r"), region="") for index in range(len(templates))]
    there.image_parameters = [f"/{index:03}".ljust(LONG, "i") for index in range(len(templates))]
    dead_letters = there.arn("sqs", f"{options.name}-dead-letters")
    ways = {
        "foundation.yaml": lambda: parameters.foundation(options, [one], ALL, there),
        "triggers.yaml": lambda: parameters.triggers(options, [one], ALL, there, dead_letters),
        "watch.yaml": lambda: parameters.watch(options, ALL),
    }
    found, refused = {}, []
    for name, way in ways.items():
        try:
            found[name] = way()
        except Trouble as trouble:
            refused += [Finding("quota", name, "", problem, "infra/deploy") for problem in trouble.problems]
    return found, refused
