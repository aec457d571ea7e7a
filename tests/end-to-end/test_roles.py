"""Each role allows what its function was seen to call in all stories, and nothing else. Runs last."""

import json

import pytest

# Not called by a function, but by Lambda in its name: the log, the poller of its queue, and what is given up.
BY_LAMBDA = {"Log", "BeWoken", "GiveUp"}


def listed(value):
    return value if isinstance(value, list) else [value]


def seen(cloud, deployed):
    """Function to the actions that it was seen to call, on both emulators."""
    keys, found = deployed.keys(), {}
    for call in cloud.world("calls"):
        if call["key"] in keys:
            found.setdefault(keys[call["key"]], set()).add(call["action"])
    for line in (cloud.folder / "ministack.log").read_text().splitlines():
        if line.startswith("CALL "):
            call = json.loads(line.removeprefix("CALL "))
            if call["key"] in keys:
                found.setdefault(keys[call["key"]], set()).update(call["actions"])
    return found


@pytest.mark.last
def test_each_role_allows_what_its_function_calls_and_nothing_else(cloud, deployed, everything_was_told):
    if not everything_was_told:
        pytest.skip("some stories were left out, so calls are missing")
    api, calls = cloud.client("lambda"), seen(cloud, deployed)
    problems = []
    for function in deployed.functions:
        role = api.get_function_configuration(FunctionName=f"keel-{function}")["Role"]
        statements = deployed.statements(role)
        allowed = {action for one in statements if one["Sid"] not in BY_LAMBDA for action in listed(one["Action"])}
        by_lambda = {action for one in statements if one["Sid"] in BY_LAMBDA for action in listed(one["Action"])}
        called = calls.get(function, set())
        problems += [f"{function}: {action} is allowed, but was never called" for action in sorted(allowed - called)]
        problems += [f"{function}: {action} was called" for action in sorted(called - allowed - by_lambda)]
    assert not problems, "\n".join(problems)
