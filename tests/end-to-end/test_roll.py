"""A roll: every host is replaced by one of the new image, one at a time, from a manual request to the end."""

import json

import pytest
from cloud import alarm


pytestmark = pytest.mark.usefixtures("with_patchroll")


@pytest.fixture(autouse=True)
def quiet_halt_alarm(cloud):
    """It is there and says OK: an alarm that nobody knows holds a roll back."""
    alarm(cloud, "shop-5xx")
    yield
    cloud.client("cloudwatch").delete_alarms(AlarmNames=["shop-5xx"])


def ask(story, verb, fleet="shop", **more):
    error, said = story.deployed.invoke("patchroll", {"fleet": fleet, "roll": verb, **more})
    assert error is None, said
    return said


def says(story, words, fleet="shop"):
    return words in json.dumps(ask(story, "status", fleet)).lower()


def base_is_new(story, old):
    """The three reserved hosts are of the new image, and the roll knows."""
    shop = story.shop
    story.until(lambda: not old & set(shop.members("shop-base")), 120, "three new hosts")
    story.until(lambda: says(story, '"done"'), 60, "the roll says that it is done")


@pytest.mark.takes(45)
def test_five_hosts_are_rolled_by_hand(story):
    shop = story.shop
    story.shop_at_rest()
    old = set(shop.members())
    assert len(old) == 5
    shop.new_image()
    plan = ask(story, "plan")
    assert "steps" in plan, plan
    assert set(shop.members()) == old, "a plan changes nothing"

    ask(story, "start")
    fewest, most_leaving = [5], [0]

    def watched():
        hosts = shop.hosts()
        working = [name for name, host in hosts.items() if host["status"] == "ACTIVE"]
        fewest[0] = min(fewest[0], len(working))
        most_leaving[0] = max(most_leaving[0], len([name for name in hosts if hosts[name]["status"] == "DRAINING"]))
        members = shop.members()
        return len(members) == 5 and not old & set(members) and len(working) == 5

    story.until(watched, 240, "five new hosts")
    assert fewest[0] >= 4, "never more than one out"
    assert most_leaving[0] <= 1
    assert shop.launched_from() == {shop.images[1]}
    story.until(lambda: shop.running() == {"web": 4, "reports": 16}, 60, "full again")
    story.until(lambda: says(story, '"done"'), 30, "the roll says that it is done")
    assert not [host for host in shop.hosts().values() if host["status"] != "ACTIVE"]
    story.until(lambda: shop.capacity("shop-burst") == 0, 120, "nobody stands in")
    story.launched_and_ended(launched=10, ended=5)


@pytest.mark.takes(85)
def test_a_roll_whose_launches_are_refused_says_so_and_goes_on(story):
    """The first host's replacement is not to be had: the roll is halted with EC2's words, until there is room again."""
    shop = story.shop
    story.shop_at_rest()
    old = set(shop.members("shop-base"))
    shop.new_image()
    # On-demand hosts are not to be had either, so nobody stands in.
    for group in ("shop-base", "shop-burst"):
        story.cloud.world("drought", group=group, on=True)
    ask(story, "start", pool="base")
    story.until(lambda: says(story, "launches are refused: could not launch"), 150, "the refusal is named")
    assert len(old & set(shop.members("shop-base"))) == 2, "no other host was touched"
    story.cloud.world("drought", group="shop-base", on=False)
    story.until(lambda: len(shop.hosts()) == 5, 30, "the market gives again")
    ask(story, "resume")
    base_is_new(story, old)
    story.launched_and_ended(launched=8, ended=3)


@pytest.mark.takes(40)
def test_a_roll_waits_until_new_hosts_pass_their_load_balancers_checks(story):
    shop = story.shop
    story.shop_at_rest()
    shop.behind_a_load_balancer("shop-base")
    old = set(shop.members("shop-base"))
    shop.new_image()
    story.cloud.world("sick", on=True)
    ask(story, "start", pool="base")
    story.until(lambda: len(old & set(shop.members("shop-base"))) == 2, 60, "the first host replaced")
    story.until(lambda: len(shop.hosts()) == 5, 30, "its replacement is there")
    for _ in range(6):
        story.pause(2)
    assert len(old & set(shop.members("shop-base"))) == 2, "the next host was ended before the first new one was healthy"
    story.cloud.world("sick", on=False)
    base_is_new(story, old)


@pytest.mark.takes(45)
def test_what_waits_in_a_warm_pool_is_replaced_before_the_hosts(story):
    shop = story.shop
    story.shop_at_rest()
    shop.groups.put_warm_pool(AutoScalingGroupName="shop-base", MinSize=2)
    story.cloud.world("warm", group="shop-base", hosts=2)
    old = set(shop.members("shop-base"))
    shop.new_image()

    def waiting():
        found = shop.groups.describe_warm_pool(AutoScalingGroupName="shop-base")["Instances"]
        return [one["LaunchTemplate"]["Version"] for one in found]

    assert waiting() == ["1", "1"]
    ask(story, "start", pool="base")
    story.until(lambda: waiting() == ["2", "2"], 60, "what waited is of the new image")
    base_is_new(story, old)


def test_a_roll_is_paused_resumed_and_aborted(story):
    """Paused: the wave that is under way ends, and no other begins. Aborted: what is done stays."""
    shop = story.shop
    story.shop_at_rest()
    old = set(shop.members())
    shop.new_image()
    ask(story, "start")
    story.until(lambda: old - set(shop.members()), 60, "the first host replaced")
    ask(story, "pause")
    story.until(lambda: len(shop.hosts()) == 5, 30, "its wave has ended")
    left = len(old & set(shop.members()))
    assert left >= 3
    for _ in range(3):
        story.deployed.tick()
        story.until(lambda: True, 1, "a tick")
    assert len(old & set(shop.members())) >= left - 1
    ask(story, "resume")
    story.until(lambda: len(old & set(shop.members())) < left - 1, 60, "it goes on")
    ask(story, "abort")
    story.until(lambda: len(shop.hosts()) == 5, 60, "five hosts")
    story.until(lambda: all(host["status"] == "ACTIVE" for host in shop.hosts().values()), 30, "none left draining")
    stays = old & set(shop.members())
    for _ in range(3):
        story.deployed.tick()
        story.until(lambda: True, 1, "a tick")
    assert old & set(shop.members()) == stays
