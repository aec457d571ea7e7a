"""A spot host is taken: drained before it is gone, stood in for, and the stand-in is given back when spot returns."""

from datetime import datetime, timedelta, timezone

import pytest
from cloud import Patience, alarm

# AWS gives 120 s; hosts here drain in about two.
NOTICE = 30


def launches(story):
    """The decisions that asked for on-demand hosts."""
    decisions = [one for one in story.deployed.decisions("shop") if one["function"] == "backfill"]
    return [one for one in decisions if "set-capacity" in str(one["step"])]


@pytest.mark.takes(100)
def test_notice_to_drained_stood_in_for_and_given_back(story):
    shop = story.shop
    story.shop_at_rest()
    story.cloud.world("drought", group="shop-spot", on=True)
    taken = sorted(shop.members("shop-spot"))[0]
    story.cloud.world("reclaim", instance=taken, notice=NOTICE * Patience.factor)

    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: taken not in shop.hosts() or shop.hosts()[taken]["status"] == "DRAINING", 10, "DRAINING")
    # Empty while it is still there, and web never fell below what it wanted.
    seen = []

    def empty():
        host = shop.hosts().get(taken)
        assert host, f"{taken} was gone before it was empty: {seen}"
        seen.append(len(shop.tasks_on(host)))
        return seen[-1] == 0

    story.until(empty, NOTICE, "drained within the notice")
    assert shop.running()["web"] >= 4
    story.until(lambda: taken not in shop.hosts(), NOTICE + 5, "gone")
    story.until(lambda: len(shop.hosts()) == 5, 30, "five hosts again")
    story.until(lambda: shop.running() == {"web": 4, "reports": 16}, 30, "full again")
    assert len(shop.members("shop-spot")) == 1

    # Spot returns: six hosts for a while, then the stand-in goes, drained first.
    story.cloud.world("drought", group="shop-spot", on=False)
    story.until(lambda: len(shop.members("shop-spot")) == 2, 10, "spot is back")
    story.until(lambda: shop.capacity("shop-burst") == 0, 120, "the stand-in is given back")
    story.until(lambda: len(shop.hosts()) == 5, 10, "five hosts")
    story.until(lambda: shop.running() == {"web": 4, "reports": 16}, 30, "full again")
    assert not shop.members("shop-burst")
    drained = [one for one in story.deployed.decisions("shop") if "set-status" in str(one["step"])]
    assert len(drained) >= 2, drained
    # The stand-in and the new spot host came; the host that was taken and the stand-in went.
    story.launched_and_ended(launched=7, ended=2)


def test_a_doubled_and_a_late_warning_change_nothing_twice(story):
    """The same warning three times, one of an hour ago for a host that is fine, and one for a host of somebody else."""
    shop = story.shop
    story.shop_at_rest()
    story.cloud.world("drought", group="shop-spot", on=True)
    taken, stays = sorted(shop.members("shop-spot"))
    late = datetime.now(timezone.utc) - timedelta(hours=1)

    def warn(instance, at=None):
        detail = {"instance-id": instance, "instance-action": "terminate"}
        arn = f"arn:aws:ec2:us-east-1a:instance/{instance}"
        shop.put("aws.ec2", "EC2 Spot Instance Interruption Warning", detail, [arn], at)

    warn(stays, late)
    warn("i-0000000000000000f")
    for _ in range(3):
        warn(taken)
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "one on-demand host")
    story.cloud.world("lose", instance=taken)
    story.until(lambda: len(shop.hosts()) == 5 and taken not in shop.hosts(), 40, "five hosts")
    warn(taken)
    story.until(lambda: shop.running() == {"web": 4, "reports": 16}, 30, "full again")
    assert len(launches(story)) == 1, launches(story)
    assert shop.capacity("shop-burst") == 1
    assert shop.hosts()[stays]["status"] == "ACTIVE"
    story.launched_and_ended(launched=6, ended=1)


@pytest.mark.takes(40)
def test_a_host_at_risk_is_ended_when_another_stands_in(story):
    """Its group launches another: the stand-in is asked for, and the host at risk is not taken out of the group's size."""
    shop = story.shop
    story.shop_at_rest()
    risky = sorted(shop.members("shop-spot"))[0]
    arn = f"arn:aws:ec2:us-east-1a:instance/{risky}"
    shop.put("aws.ec2", "EC2 Instance Rebalance Recommendation", {"instance-id": risky}, [arn])
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: risky not in shop.members("shop-spot"), 60, "the host at risk is gone")
    story.until(lambda: len(shop.members("shop-spot")) == 2, 20, "another in its place")
    assert shop.capacity("shop-spot") == 2
    story.launched_and_ended(launched=7, ended=1)


def test_a_host_gone_without_a_word_is_noticed_by_the_tick(story):
    """No warning, no state change, no activity: all of its events are lost."""
    shop = story.shop
    story.shop_at_rest()
    story.cloud.world("drought", group="shop-spot", on=True)
    story.cloud.world(
        "mute",
        kinds=[
            "EC2 Spot Instance Interruption Warning",
            "EC2 Instance State-change Notification",
            "EC2 Instance Terminate Successful",
            "ECS Container Instance State Change",
        ],
    )
    story.cloud.world("lose", instance=sorted(shop.members("shop-spot"))[0])
    story.until(lambda: shop.capacity("shop-burst") == 1, 20, "an on-demand host asked for")
    story.until(lambda: len(shop.hosts()) == 5, 40, "five hosts")


def test_an_alarm_starts_hosts_up_to_the_maximum(story):
    """While it fires, one host each cooldown, and never more than seven in all."""
    shop = story.shop
    story.shop_at_rest()
    try:
        alarm(story.cloud, "shop-cpu-high", "ALARM")
        detail = {
            "alarmName": "shop-cpu-high",
            "state": {"value": "ALARM", "reason": "a story says so", "timestamp": "2026-01-05T09:00:00.000+0000"},
            "previousState": {"value": "OK", "timestamp": "2026-01-05T08:00:00.000+0000"},
            "configuration": {"metrics": [{"id": "cpu", "returnData": True}]},
        }
        arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-cpu-high"
        shop.put("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [arn])
        story.until(lambda: shop.capacity("shop-burst") == 1, 20, "the first host")
        story.until(lambda: shop.capacity("shop-burst") == 2, 30, "the second host")
        story.until(lambda: len(shop.hosts()) == 7, 40, "seven hosts")
        for _ in range(4):
            story.deployed.tick()
            story.until(lambda: True, 1, "a tick")
        assert shop.capacity("shop-burst") == 2
        story.launched_and_ended(launched=7, ended=0)
    finally:
        shop.cloudwatch.delete_alarms(AlarmNames=["shop-cpu-high"])
