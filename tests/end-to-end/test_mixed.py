"""Groups whose hosts are not alike: several instance types, with weights, and with launch templates of their own."""

import pytest
from cloud import Patience
from test_roll import ask, quiet_halt_alarm, says  # noqa: F401 (a fixture)

# Work that is built for one kind of processor each; base has two hosts for web and one for reports, spot has one for each.
TWO_LINES = {"m7i.large": None, "m7g.large": None}
graviton_beside_x86 = pytest.mark.shop(
    types={"shop-base": TWO_LINES, "shop-spot": TWO_LINES}, processors={"web": "X86_64", "reports": "ARM64"}
)


def kinds(story, group=None):
    """The hosts by their instance type."""
    found = {}
    for name, member in story.shop.members(group).items():
        found.setdefault(member["InstanceType"], set()).add(name)
    return found


@pytest.mark.takes(60)
@graviton_beside_x86
def test_work_finds_its_kind_of_processor_and_a_lost_host_is_made_up_for(story):
    """12 places for web on three hosts, 8 for reports on two. A spot host of web goes: an on-demand one stands in."""
    shop = story.shop
    for web in (4, 12, 4):
        story.shop_at_rest(web, 8)
    assert story.cloud.world("placement_failures") == 0
    story.cloud.world("drought", group="shop-spot", on=True)
    [taken] = kinds(story, "shop-spot")["m7i.large"]
    story.cloud.world("reclaim", instance=taken, notice=10 * Patience.factor)
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: len(shop.hosts()) == 5 and taken not in shop.hosts(), 60, "five hosts again")
    story.shop_at_rest(12, 8)
    story.launched_and_ended(launched=6, ended=1)


@pytest.mark.takes(90)
@graviton_beside_x86
def test_a_host_is_rolled_when_its_own_line_has_a_new_version(story, with_patchroll):
    """First only the Graviton hosts, and then only the others."""
    shop = story.shop
    story.shop_at_rest(4, 8)
    x86 = shop.new_image, "m7i.large", "m7g.large"
    graviton = shop.new_graviton_image, "m7g.large", "m7i.large"
    for publish, of, stays in (graviton, x86):
        before = kinds(story)
        publish()
        ask(story, "start")
        story.until(lambda: not before[of] & set(shop.members()), 120, f"all hosts of {of} replaced")  # noqa: B023
        story.until(lambda: says(story, '"done"'), 60, "the roll says that it is done")
        assert kinds(story)[stays] == before[stays], "a host was replaced whose line has no new version"
        story.shop_at_rest(4, 8)
    assert shop.launched_from() == {shop.images[1], story.cloud.images("arm64")[1]}
    story.launched_and_ended(launched=10, ended=5)


# One host of one unit, and one of two.
WEIGHTY = {"m7i.large": 1, "m7i.xlarge": 2}
UNITS = {"shop-base": 3, "shop-spot": 3}


@pytest.mark.takes(90)
@pytest.mark.shop(types={"shop-spot": WEIGHTY}, sizes=UNITS)
def test_a_lost_host_of_two_units_is_one_host(story):
    """One stands in for it, and is given back when the group has its three units again."""
    shop = story.shop
    story.shop_at_rest()
    story.shop_at_rest(10, 10)
    story.cloud.world("drought", group="shop-spot", on=True)
    [taken] = kinds(story, "shop-spot")["m7i.xlarge"]
    story.cloud.world("reclaim", instance=taken, notice=10 * Patience.factor)
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: taken not in shop.hosts() and len(shop.hosts()) == 5, 60, "five hosts again")
    story.shop_at_rest(10, 10)
    story.cloud.world("drought", group="shop-spot", on=False)
    story.until(lambda: len(shop.members("shop-spot")) == 2, 10, "spot is back")
    story.until(lambda: shop.capacity("shop-burst") == 0, 120, "the stand-in is given back")
    story.shop_at_rest(10, 10)
    assert shop.capacity("shop-spot") == 3
    story.launched_and_ended(launched=7, ended=2)


@pytest.mark.takes(50)
@pytest.mark.shop(types={"shop-spot": WEIGHTY, "shop-base": {"m7i.large": None, "m6i.large": "image"}}, sizes=UNITS)
def test_hosts_of_different_weights_and_images_are_rolled(story, with_patchroll):
    """A host whose line has an image of its own is new when it is of the template's new version."""
    shop = story.shop
    story.shop_at_rest()
    old = set(shop.members())
    shop.new_image()
    ask(story, "start")
    fewest = [5]

    def rolled():
        working = [host for host in shop.hosts().values() if host["status"] == "ACTIVE"]
        fewest[0] = min(fewest[0], len(working))
        return not old & set(shop.members()) and len(working) == 5

    story.until(rolled, 180, "five new hosts")
    story.until(lambda: says(story, '"done"'), 60, "the roll says that it is done")
    assert fewest[0] >= 4, "never more than one out"
    assert {kind: len(hosts) for kind, hosts in kinds(story, "shop-spot").items()} == {"m7i.large": 1, "m7i.xlarge": 1}
    assert shop.launched_from() == {shop.images[1], shop.images[2]}
    story.launched_and_ended(launched=10, ended=5)
