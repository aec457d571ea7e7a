"""Demand rises and falls: work that can wait makes room, and takes the room again."""

import pytest
from cloud import Patience, eventually


def test_demand_rises_and_falls_through_the_metric(story):
    """5 hosts hold 20 tasks. Demand for 4 leaves 16 to reports; for 10, ten; and back."""
    for web, reports in ((4, 16), (10, 10), (4, 16)):
        story.shop_at_rest(web, reports)
    # ECS was never asked for more than fits: it punishes that with minutes of silence.
    assert story.cloud.world("placement_failures") == 0
    counts = [one["step"]["set-desired-count"] for one in story.deployed.decisions("shop") if one["function"] == "microscale"]
    assert {count["service"] for count in counts} == {"web", "reports"}
    assert all(count["from"] != count["to"] for count in counts), counts


def test_an_application_pushes_its_demand(story):
    """2 hosts hold 8 tasks. A push is answered when the counts are set, without a tick or a beat in between."""
    depot = story.depot
    eventually(lambda: len(depot.hosts()) == 2, 20, "two hosts")
    for pick, pack in ((2, 6), (5, 3), (1, 7)):
        want = {"pick": pick, "pack": pack}

        def push():
            error, said = story.deployed.invoke("microscale", {"fleet": "depot", "demand": {"pick": pick * 10}})
            assert error is None, said

        push()
        eventually(lambda: depot.running() == want, 60, f"{want} running", meanwhile=push, every=1)
    assert story.cloud.world("placement_failures") == 0


@pytest.mark.takes(50)
@pytest.mark.shop(providers={"reports": {"shop-base": (0, 1)}})
def test_a_service_fills_the_hosts_of_its_capacity_provider_only(story):
    """3 hosts of 5 are the provider's, and hold 12 tasks, those of web among them; the rest of the others stays free."""
    story.load = 200

    def full():
        base = story.shop.members("shop-base")
        on = {host: [task["group"] for task in story.shop.tasks_on(one)] for host, one in story.shop.hosts().items()}
        if sum(groups.count("service:web") for groups in on.values()) != 4:
            return False
        assert all("service:reports" not in groups for host, groups in on.items() if host not in base), on
        on_base = sum(len(groups) for host, groups in on.items() if host in base)
        return len(on) == 5 and on_base == 12 and story.shop.desired() == story.shop.running()

    story.until(full, 90, "the provider's hosts are full")
    assert story.cloud.world("placement_failures") == 0
    # Whoever rolls or drains hosts looks at the same.
    error, said = story.deployed.invoke("patchroll", {"fleet": "shop", "roll": "plan"})
    assert error is None, said
    taken = sorted(story.shop.members("shop-spot"))[0]
    story.cloud.world("drought", group="shop-spot", on=True)
    story.cloud.world("reclaim", instance=taken, notice=30 * Patience.factor)
    keys = {key: name for key, name in story.deployed.keys().items() if name != "livefeed"}

    def looked():
        # A process remembers what it was told in an earlier story.
        made = [one for one in story.cloud.world("calls") if one["action"] == "ecs:DescribeCapacityProviders"]
        return {keys[one["key"]] for one in made if one["key"] in keys}

    story.until(lambda: looked() == set(keys.values()), 40, "all functions have looked at the provider")
