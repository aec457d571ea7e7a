"""What a quiet turn costs with a hundred hosts, ten services and two hundred tasks: calls, time and memory."""

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
from called import calls_on_ministack
from cloud import HERE, REPOSITORY, Deployed, eventually
from conftest import read
from played import Played

pytestmark = pytest.mark.calm

LARGE = HERE / "fleets" / "large.toml"
# Two of them to a host.
ROOM = {"cpu": 2048, "memory": 3000}
MOST_MEMORY = 40_000_000
# By function, its ledger and its queue aside.
MOST_CALLS = {"microscale": 5, "backfill": 4, "patchroll": 99}


@pytest.fixture
def large(cloud, story, functions, options):
    """A deployment of its own, beside that of the stories."""
    fleet = read(LARGE)
    services = [service["name"] for service in fleet.data["service"]]
    large = Played(cloud, fleet, {"large-base": 60, "large-spot": 40}, dict.fromkeys(services, ROOM))
    large.build()
    chosen = ",".join(name for name in MOST_CALLS if name in functions)
    large.deployed = Deployed(cloud, [*options[:-1], chosen], name="large")
    made = large.deployed.deploy(LARGE)
    assert made.returncode == 0, made.stderr
    yield large
    large.deployed.run("destroy", "--yes")


def tick():
    event = json.loads((REPOSITORY / "events" / "tick-rule.json").read_text())
    return event | {"time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}


def peak(function):
    """The most memory that a process of a function ever had, in bytes."""
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={function}\0".encode()
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes() + b"\0":
                found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
                peaks.append(int(found[1]) * 1024)
        except (OSError, TypeError):  # gone, or nothing of ours
            continue
    return max(peaks)


def calls(cloud, key, work):
    """What the owner of a key calls while `work` is done, its ledger and its queue aside; and what `work` gives."""
    before = len(calls_on_ministack(cloud, key)), len(cloud.world("calls"))
    done = work()
    made = calls_on_ministack(cloud, key)[before[0] :]
    made += [call["action"] for call in cloud.world("calls")[before[1] :] if call["key"] == key]
    return [action for action in made if not action.startswith(("dynamodb:", "sqs:"))], done


@pytest.mark.takes(90)
def test_a_quiet_turn_with_a_hundred_hosts(cloud, large, functions):
    eventually(lambda: len(large.hosts()) == 100, 120, "a hundred hosts", every=2)

    def lives():
        large.demand("large/Requests", 900)
        large.deployed.tick()

    want = {"web": 20, **{f"job-{number}": 15 for number in range(1, 9)}, "reports": 60}
    eventually(lambda: large.running() == want, 240, f"{want} running", every=5, meanwhile=lives)
    keys = {name: key for key, name in large.deployed.keys().items()}
    for function in (name for name in MOST_CALLS if name in functions):

        def turn():
            error, said = large.deployed.invoke(function, tick())
            assert error is None, said
            return said

        turns = []
        # One of several, because an event may have taken a turn at the same time.
        for _ in range(4):
            large.demand("large/Requests", 900)
            made, said = calls(cloud, keys[function], turn)
            assert said["decisions"] == [], said
            turns.append(made)
        quiet = min(turns, key=len)
        if function == "patchroll":
            # The most that it ever looks at.
            large.deployed.invoke(function, {"fleet": "large", "roll": "plan"})
        memory = peak(f"large-{function}")
        print(f"{function}: {len(quiet)} calls ({', '.join(quiet)}), {memory / 2**20:.1f} MiB")
        assert len(quiet) <= MOST_CALLS[function], quiet
        # Who looks at all hosts asks how many there are, and lists none.
        if function != "patchroll":
            assert "ecs:DescribeClusters" in quiet and "ecs:ListContainerInstances" not in quiet, quiet
        assert memory < MOST_MEMORY
