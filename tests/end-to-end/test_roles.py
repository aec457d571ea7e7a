"""Each role allows what its function was seen to call in all stories, and nothing else. Runs last."""

import json

import pytest

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


def allowed_to_call(statements):
    """What a role allows its function itself."""
    return {action for one in statements if one["Sid"] not in BY_LAMBDA for action in listed(one["Action"])}


@pytest.mark.last
@pytest.mark.calm
def test_each_role_allows_what_its_function_calls_and_nothing_else(cloud, deployed, everything_was_told):
    api, refused, unused = cloud.client("lambda"), [], []
    for key, function in deployed.keys().items():
        statements = deployed.statements(api.get_function_configuration(FunctionName=f"keel-{function}")["Role"])
        by_lambda = {action for one in statements if one["Sid"] in BY_LAMBDA for action in listed(one["Action"])}
        allowed = allowed_to_call(statements)
        called = called_on_ministack(cloud, key)
        called |= {call["action"] for call in cloud.world("calls") if call["key"] == key}
        refused += [f"{function}: {action} was called" for action in sorted(called - allowed - by_lambda)]
        unused += [f"{function}: {action} is allowed, but was never called" for action in sorted(allowed - called)]
    assert not refused, "\n".join(refused)
    if unused and not everything_was_told:
        pytest.skip("some stories were left out or failed; without them: " + "; ".join(unused))
    assert not unused, "\n".join(unused)
