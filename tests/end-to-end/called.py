"""What functions called, and what their roles allow."""

import json

from strict import models

# Not called by a function, but by Lambda in its name: the log, the poller of its queue, and what is given up.
BY_LAMBDA = {"Log", "BeWoken", "GiveUp"}


def listed(value):
    return value if isinstance(value, list) else [value]


def calls_on_ministack(cloud, key):
    """The actions that came with an access key, in order, as MiniStack's log says them."""
    found = []
    for line in (cloud.folder / "ministack.log").read_text().splitlines():
        if line.startswith("CALL "):
            call = json.loads(line.removeprefix("CALL "))
            if call["key"] == key:
                found += call["actions"]
    return found


def called_on_ministack(cloud, key):
    return set(calls_on_ministack(cloud, key))


def requests_since(cloud, began):
    """The requests that went over the wire since then, in order: who made each, as its access key, the service, and the
    operation. What the stories themselves ask is not among them."""
    made = []
    for path in cloud.recordings():
        text = path.read_text()
        # A last line may still be being written.
        lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
        made += [line for line in lines if line["at"] >= began]
    made.sort(key=lambda line: line["at"])
    return [(line["key"], line["service"], models.operation_of(line)) for line in made]


def actions(statements, by_lambda=False):
    """What a role allows its function itself, or Lambda in its name."""
    return {action for one in statements if (one["Sid"] in BY_LAMBDA) == by_lambda for action in listed(one["Action"])}


def pairs(statements):
    """Each action of each statement that is there for the function itself."""
    return {(one["Sid"], action) for one in statements if one["Sid"] not in BY_LAMBDA for action in listed(one["Action"])}


def recorded(cloud, deployed, used):
    """By function: what it called so far, what its role allows, and which statements were `used` for it. Stories are told in
    several accounts, and the last one looks at what was called in all of them."""
    api, found = cloud.client("lambda"), {}
    for key, function in deployed.keys().items():
        role = api.get_function_configuration(FunctionName=f"{deployed.name}-{function}")["Role"]
        statements = deployed.statements(role)
        called = called_on_ministack(cloud, key)
        called |= {call["action"] for call in cloud.world("calls") if call["key"] == key}
        found[function] = {
            "called": sorted(called),
            "allowed": sorted(actions(statements)),
            "by_lambda": sorted(actions(statements, by_lambda=True)),
            "statements": sorted(pairs(statements)),
            "used": sorted(used.get(f"{deployed.name}-{function}", ())),
        }
    return found
