"""Demand rises and falls: work that can wait makes room within a beat, and takes the room again."""

from cloud import eventually

METRIC = "shop/RequestsPerSecond"


def settled(fleet, hosts):
    """So many hosts are in the cluster."""
    return lambda: len(fleet.hosts()) == hosts


def test_demand_rises_and_falls_through_the_metric(story):
    """5 hosts hold 20 tasks. Demand for 4 leaves 16 to reports; for 10, ten; and back."""
    shop = story.shop
    eventually(settled(shop, 5), 20, "five hosts")

    def see(web, reports, within=40):
        want = {"web": web, "reports": reports}
        demand = web * 50

        def meanwhile():
            shop.demand(METRIC, demand)

        shop.demand(METRIC, demand)
        story.deployed.tick()
        eventually(lambda: shop.running() == want, within, f"{want} running", meanwhile=meanwhile, every=1)

    see(4, 16)
    see(10, 10)
    see(4, 16)
    # ECS was never asked for more than fits: it punishes that with minutes of silence.
    assert story.cloud.world("failures")["placement"] == 0
    steps = [decision["step"] for decision in story.deployed.decisions("shop")]
    assert len(steps) >= 6, steps


def test_an_application_pushes_its_demand(story):
    """2 hosts hold 8 tasks. A push is answered when the counts are set, without a tick or a beat in between."""
    depot = story.depot
    eventually(settled(depot, 2), 20, "two hosts")
    for pick, pack in ((2, 6), (5, 3), (1, 7)):
        want = {"pick": pick, "pack": pack}

        def push():
            error, said = story.deployed.invoke("microscale", {"fleet": "depot", "demand": {"pick": pick * 10}})
            assert error is None, said

        push()
        eventually(lambda: depot.running() == want, 30, f"{want} running", meanwhile=push, every=1)
    assert story.cloud.world("failures")["placement"] == 0
