"""One group that holds both an on-demand base and spot hosts: each host counts as what it is."""

import tomllib
from collections import Counter

import pytest
from cloud import Fleet, Patience
from conftest import FLEETS, SHOP
from test_roll import ask, quiet_halt_alarm, says  # noqa: F401 (a fixture)
from test_spot import launches

GROUP = "shop-base"


def shop(purchase):
    """The shop with its reserved and its spot hosts in one pool."""
    head, base, spot, *rest = SHOP.read_text().split("[[pool]]\n")
    assert 'name = "base"\npurchase = "reserved"' in base and 'name = "spot"' in spot
    both = base.replace('"base"', '"both"').replace('"reserved"', f'"{purchase}"')
    text = "[[pool]]\n".join([head, both, *rest])
    return Fleet(SHOP, text, tomllib.loads(text))


pytestmark = pytest.mark.shop(
    fleet=shop("mixed"), bases={GROUP: 3}, sizes={GROUP: 5}, types={GROUP: {"m7i.large": None, "m6i.large": None}}
)


def known(story):
    """The hosts as backfill shows them."""
    error, said = story.deployed.invoke("backfill", {"fleet": "shop", "backfill": "status"})
    assert error is None, said
    return said["view"]["hosts"]


def bought(story):
    """How many hosts there are by how they are bought: of a mixed pool, those that are not known to be spot are its base."""
    return Counter(host["purchase"] for host in known(story))


def at_rest(story, web=4, reports=16):
    """Full, and nothing to do: a base of three and two spot hosts, for EC2 and for backfill."""
    story.shop_at_rest(web, reports)
    story.until(lambda: bought(story) == {"mixed": 3, "spot": 2}, 20, "each host is known as what it is")
    assert len(story.shop.spot(GROUP)) == 2


def one_stood_in(story, base, spot):
    """One host was asked for, and this is what it was asked for beside."""
    [launch] = launches(story)
    need = launch["why"]["host"]["short"]
    assert (need["reserved"], need["spot"], need["on_demand"]) == (base, spot, 1), need


def test_demand_goes_up_and_down(story):
    """All five hosts have work; none is launched for it, and none goes."""
    for web, reports in ((4, 16), (12, 8), (4, 16)):
        at_rest(story, web, reports)
    assert story.cloud.world("placement_failures") == 0
    story.launched_and_ended(launched=5, ended=0)


@pytest.mark.takes(85)
def test_a_spot_host_is_stood_in_for_until_the_market_gives_another(story):
    """The group's base is as large as its policy says: what stands in is a host of the on-demand pool."""
    shop = story.shop
    at_rest(story)
    first = set(shop.members(GROUP))
    story.cloud.world("drought", group=GROUP, on=True)
    taken = sorted(shop.spot(GROUP))[0]
    story.cloud.world("reclaim", instance=taken, notice=10 * Patience.factor)
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: taken not in shop.hosts() and len(shop.hosts()) == 5, 60, "five hosts again")
    story.shop_at_rest()
    assert bought(story) == {"mixed": 3, "spot": 1, "on-demand": 1}
    assert set(shop.members(GROUP)) == first - {taken}

    story.cloud.world("drought", group=GROUP, on=False)
    story.until(lambda: len(shop.spot(GROUP)) == 2, 10, "spot is back")
    story.until(lambda: shop.capacity("shop-burst") == 0, 120, "the stand-in is given back")
    at_rest(story)
    assert shop.capacity(GROUP) == 5 and first - {taken} < set(shop.members(GROUP))
    one_stood_in(story, base=3, spot=1)
    story.launched_and_ended(launched=7, ended=2)


def test_a_warning_that_is_lost_is_read_off_the_spot_request(story):
    """EC2 marks the request of a host that it is about to take: the host drains while it is still there."""
    shop = story.shop
    at_rest(story)
    story.cloud.world("drought", group=GROUP, on=True)
    story.cloud.world("mute", kinds=["EC2 Spot Instance Interruption Warning"])
    taken = sorted(shop.spot(GROUP))[0]
    story.cloud.world("reclaim", instance=taken, notice=15 * Patience.factor)
    story.until(lambda: shop.hosts().get(taken, {}).get("status") == "DRAINING", 15, "DRAINING while it is there")
    story.until(lambda: taken not in shop.hosts() and len(shop.hosts()) == 5, 60, "five hosts again")
    one_stood_in(story, base=3, spot=1)
    story.launched_and_ended(launched=6, ended=1)


def test_a_host_of_the_base_is_stood_in_for_until_the_group_has_launched_another(story):
    """The market gives no spot hosts, and none is asked for in its place."""
    shop = story.shop
    at_rest(story)
    spot = shop.spot(GROUP)
    story.cloud.world("drought", group=GROUP, on=True)
    # As slow as Auto Scaling: somebody has to stand in.
    story.cloud.world("pace", replace=6)
    lost = sorted(set(shop.members(GROUP)) - spot)[0]
    story.cloud.world("lose", instance=lost)
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: len(shop.hosts()) == 6, 40, "five hosts in the group again, and one that stands in")
    assert shop.spot(GROUP) == spot and len(shop.members(GROUP)) == 5 and lost not in shop.members(GROUP)
    assert bought(story) == {"mixed": 3, "spot": 2, "on-demand": 1}
    one_stood_in(story, base=2, spot=2)
    left = lambda: [host["says"] for host in known(story) if host["purchase"] == "on-demand"]  # noqa: E731
    story.until(lambda: left() == ["was needed a moment ago"], 10, "no reason is left for what stands in")
    story.launched_and_ended(launched=7, ended=1)


@pytest.mark.takes(50)
def test_a_roll_leaves_the_group_as_it_was(story, with_patchroll):
    """All hosts are replaced, one at a time: a host of the base by one of the base, a spot host by a spot host."""
    shop = story.shop
    at_rest(story)
    old = set(shop.members())
    shop.new_image()
    ask(story, "start")
    fewest, fewest_spot = [5], [2]

    def rolled():
        working = [host for host in shop.hosts().values() if host["status"] == "ACTIVE"]
        fewest[0] = min(fewest[0], len(working))
        fewest_spot[0] = min(fewest_spot[0], len(shop.spot(GROUP)))
        return not old & set(shop.members()) and len(working) == 5

    story.until(rolled, 180, "five new hosts")
    story.until(lambda: says(story, '"done"'), 60, "the roll says that it is done")
    at_rest(story)
    assert fewest[0] >= 4 and fewest_spot[0] >= 1, "never more than one out"
    assert shop.capacity(GROUP) == 5 and shop.launched_from() == {shop.images[1]}
    assert not launches(story), "nobody stands in for hosts that are replaced"
    story.launched_and_ended(launched=10, ended=5)


@pytest.mark.calm
def test_deploy_says_which_word_is_right_for_the_group(story, tmp_path):
    """With any other word all hosts count as that, and stand-ins for spot hosts must be none."""
    spot = "OnDemandBaseCapacity 3, OnDemandPercentageAboveBaseCapacity 0"
    told = {
        "mixed": [],
        "spot": [f'launches on-demand hosts, too ({spot}), and all count as spot: say purchase = "mixed"'],
        "reserved": [f'launches spot hosts, too ({spot}), and all count as reserved: say purchase = "mixed", or "spot"'],
        "on-demand": [f"launches spot hosts ({spot}), and stand-ins for spot hosts must be none"],
    }
    path = tmp_path / "shop.toml"
    for purchase, words in told.items():
        path.write_text(shop(purchase).text)
        done = story.deployed.deploy(path, *FLEETS[1:], more=["--dry-run"])
        assert done.returncode == (1 if purchase == "on-demand" else 0), done.stderr
        begins = f"{path}: pool[0].auto_scaling_group: group {GROUP} "
        lines = [line.split(begins)[1] for line in (done.stdout + done.stderr).splitlines() if begins in line]
        assert len(lines) == len(words) and all(map(str.startswith, lines, words)), lines
        # The file that is in force is what would be deployed.
        assert purchase != "mixed" or "/evenkeel/fleets/shop: would be written" not in done.stdout, done.stdout
