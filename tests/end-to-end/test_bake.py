"""Rolls of a fleet that bakes an image, launches new hosts before old ones go, and takes back what is halted."""

import base64

import pytest
from cloud import alarm
from test_roll import ask, says

ALARM = "yard-5xx"
BASE_IMAGE = "/yard/base-image"


@pytest.fixture(autouse=True)
def yard_at_rest(story, with_patchroll):
    """Six tasks on three hosts, a halt alarm that says OK, and a base image that nobody uses yet."""
    alarm(story.cloud, ALARM)
    value = story.yard.images[1]
    story.cloud.client("ssm").put_parameter(Name=BASE_IMAGE, Value=value, Type="String", Overwrite=True)

    def lives():
        story.deployed.invoke("microscale", {"fleet": "yard", "demand": {"sort": 60}})

    story.until(lambda: len(story.yard.hosts()) == 3, 40, "three hosts")
    lives()
    story.until(lambda: story.yard.running() == {"sort": 6}, 60, "six tasks")
    yield
    story.cloud.client("cloudwatch").delete_alarms(AlarmNames=[ALARM])


def builders(yard):
    """The instances that rolls of the yard have launched by themselves."""
    tagged = [{"Name": "tag:evenkeel:fleet", "Values": ["yard"]}, {"Name": "tag-key", "Values": ["evenkeel:roll"]}]
    pages = yard.ec2.describe_instances(Filters=tagged)["Reservations"]
    return [instance for page in pages for instance in page["Instances"]]


def own_images(yard):
    tagged = [{"Name": "tag:evenkeel:fleet", "Values": ["yard"]}]
    return {image["ImageId"]: image for image in yard.ec2.describe_images(Owners=["self"], Filters=tagged)["Images"]}


def versions(yard):
    """What the groups ask for, and the number of their template's default version."""
    groups = ["yard-base", "yard-spot"]
    found = yard.groups.describe_auto_scaling_groups(AutoScalingGroupNames=groups)["AutoScalingGroups"]
    template = yard.ec2.describe_launch_templates(LaunchTemplateIds=[yard.template])["LaunchTemplates"][0]
    asked = {group["AutoScalingGroupName"]: group["LaunchTemplate"]["Version"] for group in found}
    return asked | {"default": template["DefaultVersionNumber"]}


def an_older_image(yard):
    """What a roll of last month has left."""
    tags = [{"Key": "evenkeel:fleet", "Value": "yard"}, {"Key": "evenkeel:roll", "Value": "20260101T000000-1"}]
    instance = next(iter(yard.members()))
    kinds = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    return yard.ec2.create_image(InstanceId=instance, Name="evenkeel-yard-older", TagSpecifications=kinds)["ImageId"]


@pytest.mark.takes(40)
def test_hosts_are_replaced_by_ones_of_a_baked_image_launched_first(story):
    yard = story.yard
    old = set(yard.members())
    older = an_older_image(yard)
    ask(story, "start", "yard")
    story.until(lambda: builders(yard), 40, "a builder")
    builder = builders(yard)[0]
    assert (builder["ImageId"], [builder["SubnetId"]]) == (yard.images[1], yard.subnets)
    told = yard.ec2.describe_instance_attribute(InstanceId=builder["InstanceId"], Attribute="userData")
    assert "dnf -y upgrade" in base64.b64decode(told["UserData"]["Value"]).decode()
    story.until(lambda: older not in own_images(yard) and len(own_images(yard)) == 1, 60, "the new image, and the older one gone")
    [image] = own_images(yard)
    fewest, most = [3], [3]

    def rolled():
        working = [host for host in yard.hosts().values() if host["status"] == "ACTIVE"]
        fewest[0] = min(fewest[0], len(working))
        members = yard.members()
        most[0] = max(most[0], len(members))
        return len(members) == 3 and not old & set(members) and len(working) == 3

    story.until(rolled, 180, "three new hosts")
    assert fewest[0] >= 3, "a host went before another was there"
    assert most[0] == 4, "one more than before, and no more"
    assert yard.launched_from() == {image}
    assert versions(yard) == {"yard-base": "$Default", "yard-spot": "2", "default": 2}
    assert {one["State"]["Name"] for one in builders(yard)} == {"terminated"}
    story.until(lambda: says(story, '"done"', "yard"), 40, "the roll says that it is done")
    story.until(lambda: yard.running() == {"sort": 6}, 30, "six tasks")
    story.launched_and_ended(launched=6, ended=3, fleet="yard")


def test_a_bake_whose_builder_is_ended_ends_the_roll(story):
    """Somebody ends it: nothing is rolled, and nothing is left of it."""
    yard = story.yard
    story.cloud.world("pace", install=600)
    ask(story, "start", "yard")
    story.until(lambda: builders(yard), 40, "a builder")
    yard.ec2.terminate_instances(InstanceIds=[builders(yard)[0]["InstanceId"]])
    story.until(lambda: says(story, "ended before it was done", "yard"), 60, "the roll says why it ended")
    assert own_images(yard) == {}
    assert versions(yard) == {"yard-base": "$Default", "yard-spot": "1", "default": 1}
    story.launched_and_ended(launched=3, ended=0, fleet="yard")


@pytest.mark.takes(35)
def test_a_roll_that_is_halted_is_taken_back(story):
    """The first hosts of the new image bring errors: the groups launch what they launched before, and so do all hosts."""
    yard = story.yard
    before = yard.launched_from()
    old = set(yard.members())
    ask(story, "start", "yard")
    story.until(lambda: old - set(yard.members()), 90, "the first host replaced")
    story.cloud.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="a story says so")
    story.until(lambda: versions(yard) == {"yard-base": "1", "yard-spot": "1", "default": 2}, 40, "the groups go back")
    story.until(lambda: says(story, '"rolled-back"', "yard"), 180, "the roll says that it was taken back")
    assert yard.launched_from() == before
    assert len(yard.hosts()) == 3 and all(host["status"] == "ACTIVE" for host in yard.hosts().values())
    story.until(lambda: yard.running() == {"sort": 6}, 30, "six tasks")


@pytest.mark.takes(60)
@pytest.mark.yard(away=True)
def test_an_image_is_baked_in_the_groups_own_network(story):
    """The builder is launched in a subnet of the group that it builds for, in that group's own VPC."""
    yard = story.yard
    old = set(yard.members())
    ask(story, "start", "yard")
    story.until(lambda: builders(yard), 40, "a builder")
    assert builders(yard)[0]["SubnetId"] in yard.subnets
    story.until(lambda: len(yard.members()) == 3 and not old & set(yard.members()), 180, "three new hosts")
    story.until(lambda: says(story, '"done"', "yard"), 60, "the roll says that it is done")
    assert yard.launched_from() == set(own_images(yard))
    story.launched_and_ended(launched=6, ended=3, fleet="yard")
