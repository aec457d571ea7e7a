"""Groups that something else scales: `infra/deploy` says so, each turn and the page say so, and nobody fights it."""

import json
import time

import pytest
from cloud import Deployed, alarm, eventually
from conftest import ROOM, SHOP, TICK, read
from played import Played
from test_page import get
from test_roll import ask, says

pytestmark = pytest.mark.calm

# The hosts that stay and the first stand-ins are scaled by their providers, the other stand-ins go to sleep at night.
SECOND = """[[pool]]
name = "second"
purchase = "on-demand"
auto_scaling_group = "quay-second"

[backfill]
"""
BY_PROVIDER = "managed scaling of its capacity provider sets its group's capacity"
LEFT = {"base": BY_PROVIDER, "burst": BY_PROVIDER, "second": "scheduled action nights sets its group's capacity"}
OF_PROVIDER = "aws ecs update-capacity-provider --name quay-{} --auto-scaling-group-provider 'managedScaling={{status=DISABLED}}'"
OFF = {
    "base": OF_PROVIDER.format("base"),
    "burst": OF_PROVIDER.format("burst"),
    "second": "aws autoscaling delete-scheduled-action --auto-scaling-group-name quay-second --scheduled-action-name nights",
}


class Quay:
    """A fleet like the shop's, rolled the other way, with a deployment of its own: what scales a group is asked for every five
    minutes only, and processes of other stories would not know yet."""

    def __init__(self, story, options, path):
        self.cloud = story.cloud
        text = SHOP.read_text().replace("shop", "quay").replace("[backfill]\n", SECOND)
        path.write_text(text.replace("[patch]\n", '[patch]\nstrategy = "launch-first"\n'))
        self.fleet = Played(story.cloud, read(path), {"quay-base": 3, "quay-spot": 2}, {"web": ROOM, "reports": ROOM})
        self.fleet.managed = {"quay-base", "quay-burst"}
        self.fleet.build()
        action = {"ScheduledActionName": "nights", "Recurrence": "0 22 * * *", "DesiredCapacity": 0}
        self.fleet.groups.put_scheduled_update_group_action(AutoScalingGroupName="quay-second", **action)
        for name in ("quay-cpu-high", "quay-5xx"):
            alarm(story.cloud, name)
        self.deployed = Deployed(story.cloud, options, name="quay")
        self.made = self.deployed.deploy(path)
        self.ticked = 0.0

    def lives(self):
        self.fleet.demand("quay/RequestsPerSecond", 200)
        if time.time() - self.ticked >= TICK:
            self.ticked = time.time()
            self.deployed.tick()

    def until(self, check, within, what):
        return eventually(check, within, what, every=0.5, meanwhile=self.lives)

    def sized(self):
        """The groups whose capacity the functions have set."""
        keys = self.deployed.keys()
        calls = [one for one in self.cloud.world("calls") if one["key"] in keys]
        set_by_us = [one for one in calls if one["action"] == "autoscaling:SetDesiredCapacity"]
        return {arn.rsplit("/", 1)[-1] for one in set_by_us for arn in one["resources"]}


def says_why(view):
    """Whether a view names each group that is left alone, with the reason."""
    return all(f"pool {pool} is left as large as it is: {why}" in view["waits"] for pool, why in LEFT.items())


@pytest.fixture
def quay(story, options, tmp_path, with_patchroll):
    quay = Quay(story, options, tmp_path / "quay.toml")
    yield quay
    quay.deployed.run("destroy", "--yes")
    story.cloud.client("cloudwatch").delete_alarms(AlarmNames=["quay-cpu-high", "quay-5xx"])


@pytest.mark.takes(90)
def test_nobody_fights_what_scales_a_group(quay):
    assert quay.made.returncode == 0, quay.made.stderr
    for pool, off in OFF.items():
        [said] = [line for line in quay.made.stdout.splitlines() if f"group quay-{pool}: " in line]
        assert f"it is left alone until: `{off} --region us-east-1`" in said, said
    fleet, full = quay.fleet, {"web": 4, "reports": 16}
    quay.until(lambda: len(fleet.hosts()) == 5 and fleet.running() == full, 90, "the fleet is full")

    # A spot host is lost, and nothing is launched by us, nor given back when spot returns.
    quay.cloud.world("drought", group="quay-spot", on=True)
    taken = sorted(fleet.members("quay-spot"))[0]
    quay.cloud.world("reclaim", instance=taken, notice=10)
    quay.until(lambda: taken not in fleet.hosts() and fleet.running() == {"web": 4, "reports": 12}, 60, "four hosts, full")
    error, said = quay.deployed.invoke("backfill", {"fleet": "quay", "backfill": "status"})
    assert error is None and says_why(said["view"]), said
    [(_, item)] = quay.deployed.items("quay", "view#backfill")
    assert says_why(item) and says_why(json.loads(get(quay, "/api/backfill")[1])), item
    quay.cloud.world("drought", group="quay-spot", on=False)
    quay.until(lambda: len(fleet.hosts()) == 5 and fleet.running() == full, 60, "spot is back")

    # A roll replaces hosts one by one, and does not make the group larger for it.
    old = set(fleet.members("quay-base"))
    fleet.new_image()
    ask(quay, "start", "quay", pool="base")
    quay.until(lambda: not old & set(fleet.members("quay-base")), 120, "three new hosts")
    quay.until(lambda: says(quay, '"done"', "quay"), 60, "the roll says that it is done")
    quay.until(lambda: fleet.running() == full, 60, "full again")
    assert quay.sized() == set()
    assert [fleet.capacity(f"quay-{pool}") for pool in LEFT] == [3, 0, 0]
