"""What the acting roles may change is tried with the roles of a deployment that only observes: all of it is refused."""

import boto3
import pytest
from botocore.exceptions import ClientError
from called import actions
from cloud import ALL, Deployed
from conftest import SHOP, YARD, fleets_of
from test_deploy import build_once
from test_strict_templates import OWN, READS
from world.where import REGION

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("with_patchroll")]

FUNCTIONS = ("microscale", "backfill", "patchroll")
REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
TAGGED = [{"Key": "evenkeel:fleet", "Value": "yard"}]


@pytest.fixture
def observing(cloud, deployed, options, tmp_path):
    """A deployment that observes the same groups and services, of fleets with other names."""
    build_once(cloud)
    files = []
    for path, name in ((SHOP, "shop"), (YARD, "yard")):
        text = path.read_text()
        assert f'\nname = "{name}"\ncluster' in text
        files.append(tmp_path / path.name)
        files[-1].write_text(text.replace(f'\nname = "{name}"\ncluster', f'\nname = "{name}-seen"\ncluster', 1))
    observing = Deployed(cloud, options, name="seen")
    made = observing.deploy(*files, more=["--observe", "--watch", "none"])
    assert made.returncode == 0, made.stderr
    yield observing
    observing.run("destroy", "--yes")


def statements(cloud, deployment):
    """What the role of each function allows, as it is deployed."""
    api = cloud.client("lambda")
    roles = {name: api.get_function_configuration(FunctionName=f"{deployment.name}-{name}")["Role"] for name in FUNCTIONS}
    return {name: deployment.statements(role) for name, role in roles.items()}


def changes(of_role):
    """The actions of a role that change something besides what is the function's own."""
    assert all(one["Effect"] == "Allow" for one in of_role)
    return {one for one in actions(of_role) if one not in OWN and not one.split(":")[1].startswith(READS)}


class Somebody:
    """Whoever has a role's statements, and tries everything that changes a fleet."""

    def __init__(self, cloud, name, may):
        self.cloud, self.key, self.clients = cloud, f"TRIES-{name}", {}
        cloud.world("tries", key=self.key, statements=may)
        self.shop, _, self.yard = fleets_of(cloud)

    def client(self, service):
        if service not in self.clients:
            keys = {"aws_access_key_id": self.key, "aws_secret_access_key": "test"}
            self.clients[service] = boto3.client(service, region_name=REGION, **keys)
        return self.clients[service]

    def tries_everything(self, builder, image):
        """Gives the codes with which it was refused, by call. `builder` and `image` are of a bake of the yard."""
        self.answers = {}
        [base] = self.shop.groups.describe_auto_scaling_groups(AutoScalingGroupNames=["yard-base"])["AutoScalingGroups"]
        host, template = next(iter(self.shop.hosts().values())), base["LaunchTemplate"]
        launch = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": template["Version"]}
        hosts = {"cluster": "shop", "containerInstances": [host["containerInstanceArn"]]}
        mark = {"name": "evenkeel.old", "targetType": "container-instance"}
        mark["targetId"] = host["containerInstanceArn"].rsplit("/", 1)[-1]
        ecs, groups, ec2 = (self.client(name) for name in ("ecs", "autoscaling", "ec2"))
        self.asks(ecs.update_service, cluster="shop", service="web", desiredCount=2)
        self.asks(ecs.update_container_instances_state, **hosts, status="ACTIVE")
        self.asks(ecs.put_attributes, cluster="shop", attributes=[mark])
        self.asks(ecs.delete_attributes, cluster="shop", attributes=[mark])
        self.asks(groups.set_desired_capacity, AutoScalingGroupName="shop-burst", DesiredCapacity=0)
        self.asks(groups.set_desired_capacity, AutoScalingGroupName="yard-base", DesiredCapacity=base["DesiredCapacity"])
        self.asks(groups.update_auto_scaling_group, AutoScalingGroupName="yard-base", LaunchTemplate=launch)
        member = next(iter(self.shop.members("shop-base")))
        self.asks(groups.set_instance_health, InstanceId=member, HealthStatus="Healthy")
        end = {"InstanceId": member, "ShouldDecrementDesiredCapacity": False}
        self.asks(groups.terminate_instance_in_auto_scaling_group, **end)
        tags = [{"ResourceType": "instance", "Tags": TAGGED}]
        one = {"MinCount": 1, "MaxCount": 1, "SubnetId": base["VPCZoneIdentifier"].split(",")[0]}
        self.asks(ec2.run_instances, LaunchTemplate=launch, **one, TagSpecifications=tags)
        of_template = {"LaunchTemplateId": launch["LaunchTemplateId"]}
        self.asks(ec2.create_launch_template_version, **of_template, LaunchTemplateData={"InstanceType": "m7i.large"})
        self.asks(ec2.modify_launch_template, **of_template, DefaultVersion="1")
        self.asks(ec2.create_image, InstanceId=builder, Name=f"evenkeel-yard-{self.key}")
        self.asks(ec2.deregister_image, ImageId=image, DeleteAssociatedSnapshots=True)
        self.asks(ec2.terminate_instances, InstanceIds=[builder])
        return self.answers

    def asks(self, call, **given):
        try:
            call(**given)
            answer = None
        except ClientError as error:
            answer = error.response["Error"]["Code"]
        self.answers.setdefault(call.__name__, []).append(answer)

    def seen(self):
        """The actions that it was judged by, and whether all were allowed each time."""
        found = {}
        for call in self.cloud.world("calls"):
            if call["key"] == self.key:
                found[call["action"]] = found.get(call["action"], True) and call["allowed"]
        return found


def bake(cloud):
    """A builder and an image of it, as a bake of the yard makes them."""
    ec2 = cloud.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": TAGGED}]
    [template] = ec2.describe_launch_templates(LaunchTemplateNames=["yard"])["LaunchTemplates"]
    launch = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = ec2.run_instances(LaunchTemplate=launch, SubnetId=subnet, MinCount=1, MaxCount=1, TagSpecifications=tags)
    builder = made["Instances"][0]["InstanceId"]
    image = ec2.create_image(InstanceId=builder, Name="evenkeel-yard-baked")["ImageId"]
    [snapshot] = [one["Ebs"]["SnapshotId"] for one in ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]]
    ec2.create_tags(Resources=[image, snapshot], Tags=TAGGED)
    return builder, image


@pytest.mark.takes(40)
def test_what_acting_roles_may_change_is_refused_to_observing_ones(cloud, deployed, observing):
    acting, watching = statements(cloud, deployed), statements(cloud, observing)
    assert {name for name in FUNCTIONS if changes(acting[name])} == set(FUNCTIONS)
    every = set().union(*(changes(acting[name]) for name in FUNCTIONS))
    builder, image = bake(cloud)
    for name in FUNCTIONS:
        watcher = Somebody(cloud, f"seen-{name}", watching[name])
        answers = watcher.tries_everything(builder, image)
        assert all(code in REFUSED for codes in answers.values() for code in codes), answers
        judged = watcher.seen()
        assert set(judged) == every, f"not tried: {every - set(judged)}; no acting role has: {set(judged) - every}"
        # What is asked beside an action is refused with it.
        assert not any(judged.values()), judged
    # The same calls by the acting roles: each is allowed what it may change, so that it is the role that refuses.
    allowed = set()
    for name in FUNCTIONS:
        actor = Somebody(cloud, f"keel-{name}", acting[name])
        actor.tries_everything(builder, image)
        allowed |= {action for action, fine in actor.seen().items() if fine}
    assert allowed == every, every - allowed


def test_every_function_that_works_on_fleets_is_looked_at():
    assert set(FUNCTIONS) == set(ALL) - {"livefeed", "demand"}
