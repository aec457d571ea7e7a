"""What the deploy script finds about a fleet's groups, templates and account: refused with its place, or said with a way out."""

import json
import shlex
import subprocess
import sys

import boto3
import pytest
from botocore.exceptions import ClientError
from cloud import REPOSITORY
from conftest import DEPOT, SHOP, read
from deployment import account, fleet, groups, launch, limits, parameters
from deployment.account import Account
from deployment.trouble import Trouble
from moto import mock_aws
from world.where import ACCOUNT, REGION

pytestmark = pytest.mark.calm


@pytest.fixture
def aws(monkeypatch):
    """moto in this process: what the account says is set up by the story alone."""
    for name in ("", "_ECS", "_EC2", "_AUTO_SCALING"):
        monkeypatch.delenv(f"AWS_ENDPOINT_URL{name}", raising=False)
    with mock_aws():
        yield boto3.Session(region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def build(session, one, template=None, **group):
    """The fleet as its file says; `group` and `template` are said of every group and of their template."""
    ec2, image = session.client("ec2"), session.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "m7i.large"} | (template or {})
    made = ec2.create_launch_template(LaunchTemplateName=one.name, LaunchTemplateData=data)["LaunchTemplate"]
    launched = {"LaunchTemplateId": made["LaunchTemplateId"], "Version": "$Latest"}
    for place in one.groups:
        given = {"AutoScalingGroupName": place.name, "MinSize": 0, "MaxSize": 9, "AvailabilityZones": [f"{REGION}a"]}
        if "Overrides" in group:
            policy = {"LaunchTemplateSpecification": launched, "Overrides": group["Overrides"]}
            given["MixedInstancesPolicy"] = {"LaunchTemplate": policy, "InstancesDistribution": group.get("Distribution", {})}
        else:
            given["LaunchTemplate"] = launched
        session.client("autoscaling").create_auto_scaling_group(**given, **{k: v for k, v in group.items() if k not in ("Overrides", "Distribution")})
    ecs = session.client("ecs")
    ecs.create_cluster(clusterName=one.cluster.name)
    definition = ecs.register_task_definition(family="x", containerDefinitions=[{"name": "x", "image": "x", "memory": 9}])
    for place in one.services:
        arn = definition["taskDefinition"]["taskDefinitionArn"]
        ecs.create_service(cluster=one.cluster.name, serviceName=place.name, taskDefinition=arn, desiredCount=0)
    return made["LaunchTemplateId"]


def look(session, one, wants_templates=False):
    return account.look(session, [one], wants_templates)


def command_in(notes, word):
    """The command that a note about something gives."""
    [note] = [note for note in notes if word in note]
    return shlex.split(note.rsplit("`", 2)[1])


def test_whoever_else_sets_a_groups_size_is_named_with_what_turns_it_off(aws):
    shop = read(SHOP)
    build(aws, shop)
    groups, ecs = aws.client("autoscaling"), aws.client("ecs")
    assert not [note for note in look(aws, shop).notes if "sets its capacity" in note]
    arns = {one["AutoScalingGroupName"]: one["AutoScalingGroupARN"] for one in groups.describe_auto_scaling_groups()["AutoScalingGroups"]}
    for name, status in [("on", "ENABLED"), ("off", "DISABLED")]:
        arn = arns["shop-spot" if status == "ENABLED" else "shop-base"]
        given = {"autoScalingGroupArn": arn, "managedScaling": {"status": status, "targetCapacity": 90}}
        ecs.create_capacity_provider(name=name, autoScalingGroupProvider=given)
    both = {"capacityProviders": ["on", "off", "FARGATE"], "defaultCapacityProviderStrategy": []}
    ecs.put_cluster_capacity_providers(cluster=shop.cluster.name, **both)
    tracking = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
    of_burst = {"AutoScalingGroupName": "shop-burst"}
    policy = {"PolicyName": "cpu half", "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": tracking}
    groups.put_scaling_policy(**of_burst, **policy)
    groups.put_scheduled_update_group_action(**of_burst, ScheduledActionName="nights", Recurrence="0 22 * * *", DesiredCapacity=0)
    notes = [note for note in look(aws, shop).notes if "sets its capacity" in note]
    assert len(notes) == 3, notes
    assert command_in(notes, "group shop-spot: capacity provider on ")[:5] == ["aws", "ecs", "update-capacity-provider", "--name", "on"]
    off = command_in(notes, "scaling policy cpu half")
    assert off[1:3] == ["autoscaling", "delete-policy"] and off[off.index("--policy-name") + 1] == "cpu half"
    # What is said is what helps.
    api = {"delete-policy": groups.delete_policy, "delete-scheduled-action": groups.delete_scheduled_action}
    for word in ("scaling policy", "scheduled action"):
        _, _, call, *rest = command_in(notes, word)
        given = dict(zip(rest[::2], rest[1::2]))
        assert given.pop("--region") == REGION
        api[call](**{key[2:].title().replace("-", ""): value for key, value in given.items()})
    ecs.update_capacity_provider(name="on", autoScalingGroupProvider={"managedScaling": {"status": "DISABLED"}})
    assert not [note for note in look(aws, shop).notes if "sets its capacity" in note]


def test_what_may_not_be_read_is_said_and_not_taken_for_nothing(aws):
    shop = read(SHOP)
    build(aws, shop)
    denied = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}

    def refuse(params, model, **_):
        raise ClientError(denied, model.name)

    for call in ("auto-scaling.DescribePolicies", "ecs.DescribeCapacityProviders"):
        aws.events.register(f"before-call.{call}", refuse)
    aws.client("ecs").create_capacity_provider(name="x", autoScalingGroupProvider={"autoScalingGroupArn": "arn:aws:autoscaling:x"})
    both = {"capacityProviders": ["x"], "defaultCapacityProviderStrategy": []}
    aws.client("ecs").put_cluster_capacity_providers(cluster=shop.cluster.name, **both)
    said = look(aws, shop).notes
    for what in ("scaling policies and scheduled actions", "capacity providers"):
        assert any(f"not all {what} were looked at" in note for note in said), said


def test_weights_are_refused_where_stand_ins_are_counted(aws):
    shop = read(SHOP)
    overrides = [{"InstanceType": "m7i.large", "WeightedCapacity": "1"}, {"InstanceType": "m7i.xlarge", "WeightedCapacity": "2"}]
    build(aws, shop, Overrides=overrides)
    refused = [line for line in look(aws, shop).missing if "has weights (2)" in line]
    # Only the on-demand group's capacity is set in hosts.
    assert [line.split(": ")[1] for line in refused] == ["pool[2].auto_scaling_group"]
    assert [one["purchase"] for one in shop.data["pool"]] == ["reserved", "spot", "on-demand"]


PER_POLICY = "OnDemandPercentageAboveBaseCapacity"


@pytest.mark.parametrize(
    "purchase, distribution, refused, noted",
    [
        ("on-demand", {PER_POLICY: 50}, "must be none", ""),
        ("on-demand", {"OnDemandBaseCapacity": 9, PER_POLICY: 0}, "must be none", ""),
        # What is not said: all on-demand.
        ("on-demand", {}, "", ""),
        ("on-demand", {"SpotAllocationStrategy": "price-capacity-optimized"}, "", ""),
        ("spot", {"OnDemandBaseCapacity": 2, PER_POLICY: 0}, "", 'say purchase = "mixed"'),
        ("spot", {PER_POLICY: 25}, "", 'say purchase = "mixed"'),
        ("spot", {}, "", 'say purchase = "mixed"'),
        ("spot", {PER_POLICY: 0}, "", ""),
        ("spot", None, "", ""),
        ("mixed", {"OnDemandBaseCapacity": 2, PER_POLICY: 0}, "", ""),
        ("mixed", {"OnDemandBaseCapacity": 2}, "", "launches no spot hosts"),
        ("mixed", None, "", "launches no spot hosts"),
        ("reserved", {"OnDemandBaseCapacity": 2, PER_POLICY: 0}, "", 'say purchase = "mixed"'),
        ("reserved", {}, "", ""),
        ("reserved", None, "", ""),
    ],
)
def test_a_pools_purchase_is_held_against_what_its_group_launches(purchase, distribution, refused, noted):
    [place, *_] = read(SHOP).groups
    group = {} if distribution is None else {"MixedInstancesPolicy": {"InstancesDistribution": distribution}}
    said = list(groups.refused(place, {"purchase": purchase}, group)), list(groups.purchase_notes(place, {"purchase": purchase}, group))
    for lines, words in zip(said, (refused, noted)):
        assert [words in line and place.name in line for line in lines] == [True] * bool(words), lines


def test_a_pool_of_stand_ins_whose_group_would_launch_spot_is_refused(aws):
    shop = read(SHOP)
    policy = {"OnDemandBaseCapacity": 1, PER_POLICY: 0}
    build(aws, shop, Overrides=[{"InstanceType": "m7i.large"}], Distribution=policy)
    found = look(aws, shop)
    [said] = [line for line in found.missing if "must be none" in line]
    assert said.startswith(f"{shop.path}: pool[2].auto_scaling_group: group shop-burst launches spot hosts (OnDemandBaseCapacity 1")
    assert len([note for note in found.notes if 'purchase = "mixed"' in note]) == 2


def test_groups_that_count_in_something_else_are_refused():
    [place, *_] = read(SHOP).groups
    for kind in ("vcpu", "memory-mib"):
        [said] = groups.refused(place, {"purchase": "reserved"}, {"DesiredCapacityType": kind})
        assert f"counts its capacity in {kind}" in said and said.startswith(place.where)
    assert not list(groups.refused(place, {"purchase": "reserved"}, {"DesiredCapacityType": "units"}))


def test_protection_from_scale_in_is_recommended_where_it_is_missing(aws):
    depot = read(DEPOT)
    build(aws, depot)
    off = command_in(look(aws, depot).notes, "not protected from scale-in: depot-base")
    assert off[1:3] == ["autoscaling", "update-auto-scaling-group"] and "--new-instances-protected-from-scale-in" in off
    given = {"AutoScalingGroupName": "depot-base", "NewInstancesProtectedFromScaleIn": True}
    aws.client("autoscaling").update_auto_scaling_group(**given)
    assert not [note for note in look(aws, depot).notes if "scale-in" in note]


def test_images_by_parameter_and_keys_are_found(aws):
    yard = fleet.Fleet("yard.toml", "", read(DEPOT).data | {"patch": {"bake": {"base_image_parameter": "/base"}}})
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "KmsKeyId": key}}
    template = {"ImageId": "resolve:ssm:/golden/image:7", "BlockDeviceMappings": [disk]}
    made = build(aws, read(DEPOT), template)
    found = look(aws, yard, wants_templates=True)
    assert found.image_parameters == ["/golden/image"]
    assert found.templates == [f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/{made}"]
    assert any(key in note and "AWSServiceRoleForAutoScaling" in note for note in found.notes)
    lists = parameters.policy_lists([yard], found)
    assert lists["ImageParameterArns"] == [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/golden/image"]
    assert parameters.parameter_arn(f"arn:aws:ssm:{REGION}:1:parameter/x", found) == f"arn:aws:ssm:{REGION}:1:parameter/x"


@pytest.mark.parametrize("other", ["m7g.large", "m7i.xlarge"])
def test_a_bake_for_two_processors_is_refused(aws, other):
    bakes = fleet.Fleet("depot.toml", "", read(DEPOT).data | {"patch": {"bake": {"base_image_parameter": "/base"}}})
    build(aws, read(DEPOT), Overrides=[{"InstanceType": "m7i.large"}, {"InstanceType": other}])
    missing = look(aws, bakes, wants_templates=True).missing
    if other == "m7i.xlarge":
        assert not missing
        return
    [said] = missing
    assert said.startswith("depot.toml: patch.bake: makes one image") and "arm64 in depot-base, x86_64 in depot-base" in said


NEEDS = {"InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 2048}}}
SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


@pytest.mark.parametrize("templates", [[SPOT], [NEEDS], [SPOT, NEEDS], [SPOT, {}], [{}]])
def test_a_bake_needs_a_template_that_can_give_a_builder(templates):
    """Of templates that only groups can launch from, all together are refused: one other is enough."""
    shop = read(SHOP)
    names = [place.name for place in shop.groups]
    groups = {name: {"LaunchTemplate": {"LaunchTemplateId": f"lt-{at % len(templates)}"}} for at, name in enumerate(names)}
    assert len(groups) >= len(templates)
    unfit = {(f"lt-{at}", "$Default"): launch.why_no_builder(data) for at, data in enumerate(templates)}
    found = Account(ACCOUNT, REGION, "aws")
    launch.refuse_builders(shop, groups, unfit, found)
    assert bool(found.missing) == ({} not in templates)
    for said in found.missing:
        assert "patch.bake: no launch template of the fleet can give a builder (lt-0 " in said
    # One that was not looked at may be the one.
    found = Account(ACCOUNT, REGION, "aws")
    launch.refuse_builders(shop, groups, {}, found)
    assert not found.missing


def test_one_template_that_may_not_be_read_does_not_hide_the_others(aws):
    shop, other = read(SHOP), read(DEPOT)
    build(aws, other, {"ImageId": "resolve:ssm:/golden"})
    gone = build(aws, shop)
    aws.client("ec2").delete_launch_template(LaunchTemplateId=gone)
    found = account.look(aws, [shop, other], wants_templates=True)
    assert any(f"launch template {gone} was not looked at" in note for note in found.notes)
    assert found.image_parameters == ["/golden"]


def test_a_new_account_is_told_what_it_lacks(aws, monkeypatch):
    shop = read(SHOP)
    found = Account(ACCOUNT, REGION, "aws")
    limits.look_at_linked_roles(aws, [shop], found)
    assert any("aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in note for note in found.notes)
    aws.client("iam").create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    role = aws.client("iam").list_roles()["Roles"][0]["RoleName"]
    found = Account(ACCOUNT, REGION, "aws")
    limits.look_at_linked_roles(aws, [shop], found)
    assert bool(found.notes) == (role != "AWSServiceRoleForEC2Spot")
    api = aws.client("lambda")
    for free, words in [(10, "no more than 10 calls at once"), (1000, None)]:
        monkeypatch.setattr(api, "get_account_settings", lambda free=free: {"AccountLimit": {"UnreservedConcurrentExecutions": free}})
        monkeypatch.setattr(aws, "client", lambda service: api)
        found = Account(ACCOUNT, REGION, "aws-us-gov")
        limits.look_at_concurrency(aws, found)
        assert [words in note for note in found.notes] == ([True] if words else [])


def test_fleets_that_share_a_group_or_a_service_are_refused_with_both_places(tmp_path, options):
    text = DEPOT.read_text()
    second = tmp_path / "second.toml"
    given = [*map(str, options), "--fleet", str(DEPOT), "--fleet", str(second)]

    def deploy():
        command = [sys.executable, str(REPOSITORY / "infra" / "deploy"), "--endpoint-url", "http://127.0.0.1:9", *given]
        return subprocess.run(command, capture_output=True, text=True).stderr

    second.write_text(text.replace('name = "depot"', 'name = "second"', 1))
    said = deploy()
    assert f"{second}: pool[0].auto_scaling_group: Auto Scaling group depot-base is also in {DEPOT}: pool[0]" in said
    assert f"{second}: service[1].name: service pack in cluster depot is also in {DEPOT}: service[1].name" in said
    assert "nothing was changed" in said
    # The same name in another cluster is another service.
    mine = text.replace('name = "depot"', 'name = "second"', 1).replace('cluster = "depot"', 'cluster = "other"')
    second.write_text(mine.replace("depot-base", "other-base"))
    assert "is also in" not in deploy()
    other = fleet.Fleet(second, "", json.loads(json.dumps(read(DEPOT).data)))
    assert len(fleet.in_common([read(DEPOT), other])) == 3
    with pytest.raises(Trouble, match="is a folder"):
        fleet.read([tmp_path], None, REPOSITORY, print, builds=False)
