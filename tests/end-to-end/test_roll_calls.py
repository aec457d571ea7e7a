"""What replacing one host costs in calls: a fleet at rest, a roll of the one host that is old, and rest again."""

import time
from collections import Counter

import pytest
from called import requests_since
from cloud import Deployed, alarm, eventually
from conftest import ROOM, SHOP, read
from played import Played
from test_roll import ask, says

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("with_patchroll")]

FUNCTIONS = ("microscale", "backfill", "patchroll")
# Of all three together, to these; their table, queues and fleet files aside.
COUNTED = ("ecs", "ec2", "autoscaling", "elasticloadbalancing", "monitoring")
MOST_CALLS = 120
FULL = {"web": 4, "reports": 16}


class Pier:
    """A fleet like the shop's with turns every ten seconds and a deployment of its own, which nobody but its rules wakes."""

    def __init__(self, story, options, path):
        self.cloud = story.cloud
        text = SHOP.read_text().replace("shop", "pier")
        assert 'beat = "5s"' in text
        path.write_text(text.replace('beat = "5s"', 'beat = "10s"'))
        self.fleet = Played(story.cloud, read(path), {"pier-base": 1}, {"web": ROOM, "reports": ROOM})
        self.fleet.build()
        # One host is old, and four are new.
        [self.old] = self.fleet.members("pier-base")
        self.fleet.new_image()
        for group, hosts in (("pier-base", 3), ("pier-spot", 2)):
            self.fleet.groups.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=hosts)
        for name in ("pier-cpu-high", "pier-5xx"):
            alarm(story.cloud, name)
        self.deployed = Deployed(story.cloud, options, name="pier")
        made = self.deployed.deploy(path)
        assert made.returncode == 0, made.stderr

    def until(self, check, within, what):
        """Demand is measured meanwhile, and nothing else is done."""
        return eventually(check, within, what, every=0.5, meanwhile=lambda: self.fleet.demand("pier/RequestsPerSecond", 200))

    def at_rest(self):
        hosts = self.fleet.hosts()
        return len(hosts) == 5 and {one["status"] for one in hosts.values()} == {"ACTIVE"} and self.fleet.running() == FULL

    def turns(self):
        """One more with each turn of a function."""
        return {name.rsplit("#", 1)[-1]: lease["epoch"] for name, lease in self.deployed.items("pier", "turn#lease#")}

    def rolled(self):
        """Whether there was a roll, and it is over."""
        [(_, shown)] = self.deployed.items("pier", "view#patchroll")
        return bool(shown["ended"]) and shown["roll"] is None

    def pause(self, seconds):
        over = time.time() + seconds
        self.until(lambda: time.time() >= over, seconds + 5, "time")

    def tick(self):
        """Waits for the next tick of the rule itself, and the turns that it leads to."""
        before = self.turns()
        ticked = ("backfill", "patchroll")
        self.until(lambda: all(self.turns().get(one, 0) > before.get(one, 0) for one in ticked), 90, "a tick")


@pytest.fixture
def pier(story, options, tmp_path):
    pier = Pier(story, options, tmp_path / "pier.toml")
    yield pier
    pier.deployed.run("destroy", "--yes")
    story.cloud.client("cloudwatch").delete_alarms(AlarmNames=["pier-cpu-high", "pier-5xx"])


@pytest.mark.takes(130)
def test_one_host_is_replaced_with_few_calls(pier, cloud):
    # What a deployment begins with is no part of it.
    pier.deployed.tick()
    pier.until(pier.at_rest, 240, "the fleet is full")
    pier.tick()
    pier.until(pier.at_rest, 60, "the fleet is still full")

    began, turns = time.time(), pier.turns()
    ask(pier, "start", "pier")
    # Looked for without asking a function, whose answer is made of calls.
    pier.until(lambda: pier.old not in pier.fleet.members() and pier.rolled() and pier.at_rest(), 240, "rolled, and at rest")
    took = time.time() - began
    pier.pause(5)
    assert pier.at_rest() and pier.fleet.capacity("pier-burst") == 0, "what came after that has changed nothing"
    assert len(pier.fleet.members()) == 5 and pier.fleet.launched_from() == {pier.fleet.images[1]}

    keys = pier.deployed.keys()
    calls, own = {name: Counter() for name in FUNCTIONS}, Counter()
    for key, service, operation in requests_since(cloud, began):
        if keys.get(key) in FUNCTIONS:
            if service in COUNTED:
                calls[keys[key]][f"{service}:{operation}"] += 1
            else:
                own[keys[key], service] += 1
    total = sum(found.total() for found in calls.values())
    print(f"one host replaced in {took:.0f} s: {total} calls")
    for name, found in calls.items():
        each = ", ".join(f"{action} {count}" for action, count in found.most_common())
        beside = ", ".join(f"{service} {count}" for (whose, service), count in sorted(own.items()) if whose == name)
        print(f"{name}: {pier.turns()[name] - turns[name]} turns, {found.total()} calls ({each}); besides: {beside}")
    assert total <= MOST_CALLS, calls
    assert says(pier, '"done"', "pier")
