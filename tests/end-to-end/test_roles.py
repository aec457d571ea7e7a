"""Each role allows what its function was seen to call in all stories, and nothing else. `run` tells it after all others."""

import json
from pathlib import Path

import pytest
from strict.known import STORIES, gone


# What is only called where a cluster has a hundred hosts, by the deployment of `test_size.py`, which asks for it.
LARGE_ONLY = {"ecs:DescribeClusters"}


@pytest.mark.last
@pytest.mark.calm
def test_each_role_allows_what_its_function_calls_and_nothing_else(request):
    seen = [json.loads(path.read_text()) for path in Path(request.config.getoption("--recorded")).glob("*.json")]
    accounts = [one["functions"] for one in seen if one["functions"]]
    assert accounts, "no story has deployed anything"
    refused, unused = [], []
    for function, roles in accounts[0].items():
        allowed, by_lambda = set(roles["allowed"]), set(roles["by_lambda"])
        assert all(set(one[function]["allowed"]) == allowed for one in accounts), f"{function} has another role elsewhere"
        called = {action for one in accounts for action in one[function]["called"]}
        refused += [f"{function}: {action} was called" for action in sorted(called - allowed - by_lambda)]
        used = {tuple(pair) for one in accounts for pair in one[function]["used"]}
        for sid, action in sorted({tuple(pair) for pair in roles["statements"]} - used):
            if action in called:
                unused.append(f"{function}: {action} was called, but never allowed by {sid}")
        never = sorted(allowed - called - LARGE_ONLY)
        unused += [f"{function}: {action} is allowed, but was never called" for action in never]
    assert not refused, "\n".join(refused)
    if unused and not all(one["everything"] for one in seen):
        pytest.skip("some stories were left out or failed; without them: " + "; ".join(unused))
    assert not unused, "\n".join(unused)


@pytest.mark.last
@pytest.mark.calm
def test_what_is_known_of_the_wire_still_occurs(request):
    """A known finding that is gone leaves the table, so that it is found when it comes back."""
    seen = [json.loads(path.read_text()) for path in Path(request.config.getoption("--recorded")).glob("*.json")]
    left = gone(STORIES, {words for one in seen for words in one["known"]})
    words = "; ".join(f"{one.words} ({one.whose})" for one in left)
    if left and not all(one["everything"] for one in seen):
        pytest.skip(f"some stories were left out or failed; without them: {words}")
    assert not left, f"does not occur any more, so take it out of strict/known.py: {words}"
