"""Capacity providers: whose hosts a service's tasks go to."""

from collections import Counter

import pytest


def on_each(story, service):
    """How many tasks of a service the hosts of each group run."""
    shop, hosts = story.shop, story.shop.hosts()
    groups = [pool["auto_scaling_group"] for pool in shop.fleet.data["pool"]]
    there = [(group, hosts[name]) for group in groups for name in shop.members(group) if name in hosts]
    tasks = [(group, task) for group, host in there for task in shop.tasks_on(host) if task["desiredStatus"] == "RUNNING"]
    return Counter(group for group, task in tasks if task["group"] == f"service:{service}")


def fewer(story, service):
    """The decisions that took tasks from a service."""
    counts = [one["step"].get("set-desired-count") for one in story.deployed.decisions("shop")]
    return [one for one in counts if one and one["service"] == service and one["to"] < one["from"]]


@pytest.mark.takes(45)
@pytest.mark.shop(providers={"web": {"shop-base": (0, 1)}, "cluster": {"shop-spot": (0, 1)}})
def test_services_on_different_providers_leave_each_other_alone(story):
    """12 places for web by its own strategy, 8 for reports by the cluster's. Demand up and down stops nobody of reports."""
    for web in (4, 12, 6):
        story.shop_at_rest(web, 8)
        assert on_each(story, "web") == {"shop-base": web}
        assert on_each(story, "reports") == {"shop-spot": 8}
    assert not fewer(story, "reports")
    assert story.cloud.world("placement_failures") == 0


@pytest.mark.takes(35)
@pytest.mark.shop(providers={"web": {"shop-base": (2, 1), "shop-spot": (0, 1)}, "cluster": {"shop-spot": (0, 1)}})
def test_a_service_on_two_providers_has_as_many_tasks_as_neither_is_short_of(story):
    """Two on base first, then one on each in turn. reports fills what spot has left, and is never stopped for web."""
    story.load = 200

    def full():
        on_spot = on_each(story, "web")["shop-spot"] + on_each(story, "reports")["shop-spot"]
        return on_spot == 8 and story.shop.desired() == story.shop.running()

    story.until(lambda: story.shop.running()["web"] == 4 and full(), 60, "spot is full")
    assert on_each(story, "web")["shop-base"] >= 2
    before, lowered = on_each(story, "reports"), len(fewer(story, "reports"))
    assert set(before) == {"shop-spot"}
    story.load = 600
    for _ in range(5):
        story.pause(2)
    # base has room for more, and spot has none: the next task might have to go there.
    assert len(fewer(story, "reports")) == lowered and on_each(story, "reports") == before
    assert full() and story.shop.desired()["web"] < 8, story.shop.desired()
    error, said = story.deployed.invoke("microscale", {"fleet": "shop", "microscale": "status"})
    assert error is None and [wait["no-room"]["service"] for wait in said["report"]["waits"]] == ["web"], said
    assert story.cloud.world("placement_failures") == 0
