"""The fleet to try Even Keel on: its template makes what its fleet file names. In moto's own CloudFormation."""

import boto3
import pytest
from cloud import REPOSITORY
from conftest import read
from deployment import account
from moto import mock_aws
from world.where import REGION

pytestmark = pytest.mark.calm


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_the_template_makes_what_the_fleet_file_names(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_AUTO_SCALING"):
        monkeypatch.delenv(name, raising=False)
    fleet = read(REPOSITORY / "infra" / "fleets" / "demo-aws.toml")
    template = (REPOSITORY / "infra" / "demo.yaml").read_text()
    with mock_aws():
        session = boto3.Session(region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
        stacks = session.client("cloudformation")
        stacks.create_stack(StackName=fleet.name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        [stack] = stacks.describe_stacks(StackName=fleet.name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        found = account.look(session, [fleet], wants_templates=True)
        groups = session.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert not found.missing
    assert len(found.templates) == len(fleet.groups) and len(found.host_roles) == 1
    # moto's CloudFormation makes no alarms.
    alarms = {*fleet.backfill_alarms, *fleet.patchroll_alarms}
    said = [note.split(": alarm ")[1] for note in found.notes if ": alarm " in note]
    assert {note.split()[0] for note in said} == alarms
    # Nobody else sets the groups' sizes, and no group ends a busy host by itself.
    assert not [note for note in found.notes if "capacity" in note or "scale-in" in note]
    assert all(group["NewInstancesProtectedFromScaleIn"] for group in groups)
    assert all(f'AlarmName: !Sub "${{Name}}-{alarm.removeprefix("demo-aws-")}"' in template for alarm in alarms)
    sizes = {group["AutoScalingGroupName"]: (group["DesiredCapacity"], group["MaxSize"]) for group in groups}
    hosts = fleet.data["hosts"]
    assert sum(desired for desired, _ in sizes.values()) == hosts["steady"]
    assert sum(most for _, most in sizes.values()) >= hosts["maximum"]
