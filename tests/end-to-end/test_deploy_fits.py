"""Large fleets: everything that a deployment of them writes fits into AWS's quotas, and the deploy script says so beforehand."""

import json
import random
import re
import runpy
import string
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from cloud import REPOSITORY
from deployment import code, limits, narrow, parameters
from deployment.account import Account
from deployment.fleet import Fleet, whole
from deployment.stacks import Stacks
from deployment.trouble import Trouble
from world.where import ACCOUNT

pytestmark = pytest.mark.calm

INFRA = REPOSITORY / "infra"
SERVICES, POOLS = 500, 50
# IAM user guide, "IAM and AWS STS quotas"; EventBridge user guide, "Quotas"; CloudFormation user guide, "Quotas"; Systems
# Manager, "Parameter Store quotas"; Lambda developer guide, "Lambda quotas" (resource-based policy 20,480 bytes).
MANAGED, INLINE, ATTACHED, PATTERN, PARAMETER, TEMPLATE, STORED = 6144, 10240, 10, 2048, 4096, 51200, 8192


def name_of(kind, number, length, spread):
    """Names that share a beginning, or with `spread` share nothing, of exactly so many characters."""
    if spread:
        return "".join(random.Random(f"{kind}{number}").choices(string.ascii_letters + string.digits, k=length))
    return f"{kind}-{number:03}-".ljust(length, "x")


def large(tmp_path, name="large", length=100, spread=False, clusterless=False):
    """A fleet file at the schema's limits: all functions, an alarm, a metric or a queue for each service."""
    of = lambda kind, number: name_of(f"{name}-{kind}", number, length, spread)  # noqa: E731
    kinds = ["reserved", "spot", "on-demand"]
    pools = [
        {"name": f"p{number}", "purchase": kinds[number % 3], "auto_scaling_group": of("group", number)} for number in range(POOLS)
    ]
    demands = [
        lambda number: {"metric": f"{of('space', number)}/Orders", "per_task": 10},
        lambda number: {"queue": of("queue", number)[:80], "per_task": 10, "drain_within": "1m"},
        lambda number: {"alarm": of("alarm", number), "add": 1},
    ]
    services = [
        {"name": of("service", number), "priority": 1 + number, "max_tasks": 9, "demand": demands[number % 3](number)}
        for number in range(SERVICES)
    ]
    alarms = [of("halt", number) for number in range(100)]
    data = {"name": name, "hosts": {"minimum": 1, "steady": 2, "maximum": 1000}, "pool": pools, "backfill": {"alarms": alarms}}
    data["patch"] = {"strategy": "launch-first", "roll_back": True, "halt_alarms": alarms}
    data["patch"]["bake"] = {"base_image_parameter": "/" + of("base", 0)}
    if not clusterless:
        data |= {"cluster": of("cluster", 0), "service": services}
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(data))
    return Fleet(path, path.read_text(), data)


def look(fleets, region="ap-southeast-3", partition="aws-iso-b"):
    """What the account would say of them, with the longest names that there are."""
    found = Account(ACCOUNT, region, partition)
    found.templates = [found.arn("ec2", f"launch-template/lt-{number:017x}") for number in range(POOLS * len(fleets))]
    found.host_roles = [found.arn("iam", f"role/{name_of('hosts', number, 64, False)}", region="") for number in range(POOLS)]
    found.image_parameters = [f"/{name_of('image', number, 100, True)}" for number in range(POOLS)]
    return found


def options(**given):
    known = {
        "name": "a" * 32,
        "existing_table": "",
        "permissions_boundary": "",
        "observe": False,
        "log_days": 14,
        "no_ticks": False,
        "watch": "all",
        "silence": 5,
        "timeout": 30,
        "alarm_topic": "",
    }
    return SimpleNamespace(**(known | given))


def without_space(document):
    return len(json.dumps(document if isinstance(document, dict) else json.loads(document), separators=(",", ":")))


def functions(cloud, outputs, chosen):
    """What rules and queues are connected to: never called here."""
    for name in chosen:
        cloud.client("lambda").create_function(
            FunctionName=f"fits-{name}",
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=outputs[f"{name.capitalize()}Role"],
            Code={"ZipFile": code.packed(b"never called")},
        )


@pytest.mark.takes(40)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"spread": True},
        {"length": 255},
        {"length": 255, "spread": True},
        {"clusterless": True, "length": 255, "spread": True},
    ],
    ids=["alike", "spread", "longest", "longest-spread", "clusterless"],
)
def test_what_the_largest_fleet_needs_fits_every_quota(cloud, tmp_path, shape):
    """Its stacks are made, and what they made is measured."""
    fleets = [large(tmp_path, **shape)]
    found, chosen = look(fleets, "us-east-1", "aws"), ("microscale", "backfill", "patchroll", "livefeed", "demand")
    given = options(name="fits", no_ticks=True)
    stacks = Stacks(cloud.client("cloudformation"), lambda line: None, 0.2)
    told = {
        "fits-foundation": ("foundation.yaml", parameters.foundation(given, fleets, chosen, found)),
        "fits-triggers": ("triggers.yaml", parameters.triggers(given, fleets, chosen, found, found.arn("sqs", "dead"))),
    }
    try:
        for name, (template, values) in told.items():
            assert (INFRA / template).stat().st_size <= TEMPLATE
            assert max(map(len, values.values())) <= PARAMETER
            stacks.apply(name, INFRA / template, values, {"evenkeel:name": "fits"}, dry_run=False)
            if name == "fits-foundation":
                functions(cloud, stacks.outputs(name), chosen)
        iam = cloud.client("iam")
        sizes = {"inline": [], "managed": [], "pattern": []}
        roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("fits-foundation-")]
        assert len(roles) == len(chosen)
        for role in roles:
            own = iam.list_role_policies(RoleName=role)["PolicyNames"]
            inline = sum(without_space(iam.get_role_policy(RoleName=role, PolicyName=one)["PolicyDocument"]) for one in own)
            assert 0 < inline <= INLINE, (role, inline)
            sizes["inline"].append(inline)
            attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
            assert len(attached) <= ATTACHED
            for policy in attached:
                version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
                document = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
                assert 0 < without_space(document) <= MANAGED, (policy["PolicyName"], without_space(document))
                sizes["managed"].append(without_space(document))
        rules = [rule for rule in cloud.client("events").list_rules(NamePrefix="fits-")["Rules"] if "EventPattern" in rule]
        assert len(rules) >= 10
        for rule in rules:
            assert len(rule["EventPattern"]) <= PATTERN, (rule["Name"], len(rule["EventPattern"]))
            json.loads(rule["EventPattern"])
            sizes["pattern"].append(len(rule["EventPattern"]))
        most = {kind: max(found) for kind, found in sizes.items()}
        print(f"{len(fleets[0].stored())} parameters; most characters: {most}, in {max(map(len, told['fits-foundation'][1].values()))}")
    finally:
        for name in reversed(told):
            stacks.delete(name)
        for function in cloud.client("lambda").list_functions()["Functions"]:
            if function["FunctionName"].startswith("fits-"):
                cloud.client("lambda").delete_function(FunctionName=function["FunctionName"])
        table = cloud.client("dynamodb")
        if "fits" in table.list_tables()["TableNames"]:
            table.update_table(TableName="fits", DeletionProtectionEnabled=False)
            table.delete_table(TableName="fits")


def test_lists_fit_with_the_longest_partition_and_region(tmp_path):
    """Every parameter of the template, with several fleets whose names share nothing, keeps what its policies count on."""
    fleets = [large(tmp_path, name=f"fleet{number}", spread=True) for number in range(3)]
    found = look(fleets)
    told = parameters.foundation(options(), fleets, ("microscale", "backfill", "patchroll"), found)
    for key, most in parameters.MOST.items():
        assert sum(len(one) + 3 for one in told[key].split(",")) <= most, key
    patterns = parameters.triggers(options(), fleets, ("microscale",), found, "arn")
    assert all(len(patterns[key]) <= parameters.MOST_PATTERN for key in ("Groups", "Services", "Clusters", "PatchrollAlarms"))
    # Whoever reads what deploy says learns what is allowed beyond the names.
    said = parameters.widened(fleets, found)
    assert any("GroupArns" in line for line in said) and any("ServiceArns" in line for line in said)


def test_what_fits_is_named_and_what_does_not_is_covered():
    cost = lambda one: len(one.text) + 3  # noqa: E731
    few = ["b", "a", "b"]
    assert narrow.for_policy(few, 8) == ["b", "a"]
    names = [f"shop-{number:03}-{'x' * 90}" for number in range(50)] + ["other"]
    kept = narrow.for_policy(names, 1000)
    assert sum(len(one) + 3 for one in kept) <= 1000
    assert all(any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), name) for one in kept) for name in names)
    assert "other" in kept and "*" not in kept, "no wider than has to be"
    patterns = json.loads(f"[{narrow.for_pattern(names, 1000)}]")
    begins = [one["prefix"] for one in patterns if isinstance(one, dict)]
    assert all(name in patterns or name.startswith(tuple(begins)) for name in names)
    assert narrow.narrowed(["x" * 100], 50, cost)[0].begins


def test_the_longest_fleet_file_is_kept_in_parts(tmp_path):
    import base64
    import zlib

    fleet = large(tmp_path, spread=True)
    stored = fleet.stored()
    assert list(stored)[-1] == "", "what makes it valid is written last"
    word, digest, count = stored[""].split()
    assert word == "evenkeel:parts" and len(stored) == int(count) + 1
    assert all(len(text) <= STORED for text in stored.values())
    packed = "".join(stored[f"/{digest}/{number}"] for number in range(1, int(count) + 1))
    assert json.loads(zlib.decompress(base64.b64decode(packed))) == fleet.data
    under = {f"/evenkeel/fleets/large{rest}": text for rest, text in stored.items() if rest}
    assert whole("/evenkeel/fleets/large", stored[""], lambda: under) == fleet.data
    fleet.data["service"] = [one | {"name": name_of("s", n, 255, True)} for n, one in enumerate(fleet.data["service"] * 4)]
    fleet.text = json.dumps(fleet.data)
    with pytest.raises(Trouble, match="are the most"):
        fleet.stored()


def dry_run(cloud, path, endpoint=None):
    """On a machine that has Python with boto3, and neither Rust nor anything built."""
    environment = cloud.deploying() | {"PATH": "/usr/bin:/bin"}
    command = [sys.executable, str(INFRA / "deploy"), "--name", "fits", "--fleet", str(path), "--dry-run"]
    command += ["--endpoint-url", endpoint or cloud.urls["ministack"]]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.takes(40)
def test_a_dry_run_says_in_seconds_that_the_largest_fleet_fits(cloud, deployed, tmp_path, request):
    """500 services, 50 pools, names of 100 characters; with nothing built, no cargo and no cargo-lambda."""
    fleet = large(tmp_path)
    cloud.world("reset")
    ecs, groups, ec2 = (cloud.client(name) for name in ("ecs", "autoscaling", "ec2"))
    ecs.create_cluster(clusterName=fleet.data["cluster"])
    hardware = {"ImageId": cloud.images()[0], "InstanceType": "m7i.large"}
    template = ec2.create_launch_template(LaunchTemplateName="large", LaunchTemplateData=hardware)["LaunchTemplate"]
    launched = {"LaunchTemplate": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}}
    for pool in fleet.data["pool"]:
        sizes = {"MinSize": 0, "MaxSize": 9, "AvailabilityZones": ["us-east-1a"]}
        groups.create_auto_scaling_group(AutoScalingGroupName=pool["auto_scaling_group"], **sizes, **launched)
    definition = ecs.register_task_definition(family="large", containerDefinitions=[{"name": "x", "image": "x", "memory": 9}])
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    for service in fleet.data["service"]:
        ecs.create_service(cluster=fleet.data["cluster"], serviceName=service["name"], taskDefinition=arn, desiredCount=0)
    began = time.time()
    done = dry_run(cloud, fleet.path)
    assert done.returncode == 0, done.stderr
    assert time.time() - began < 30
    assert "policies, event patterns and parameters: all fit (large in " in done.stdout
    assert "are held against the schema only" in done.stdout
    assert done.stdout.rstrip().endswith("fits: dry run, nothing was changed")
    # And before anything else is looked at, the file is.
    fleet.path.write_text(fleet.path.read_text().replace('"priority": 7,', '"priorty": 7,', 1))
    wrong = dry_run(cloud, fleet.path, endpoint="http://127.0.0.1:9")
    assert wrong.returncode == 1
    assert "service[6].priorty: unknown" in wrong.stderr and "nothing was changed" in wrong.stderr


def test_memory_follows_the_largest_fleet():
    memory_for = runpy.run_path(str(INFRA / "deploy"), run_name="looked at")["memory_for"]
    for most, memory in [(5, 128), (250, 128), (251, 256), (1000, 512), (5000, 1024)]:
        fleets = [Fleet(None, "", {"hosts": {"maximum": hosts}}) for hosts in (3, most)]
        assert memory_for(fleets) == memory


def test_every_role_is_bounded_where_a_boundary_is_given():
    from cfnlint.decode import decode

    template, _ = decode(str(INFRA / "foundation.yaml"))
    roles = [one for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    wanted = {"Fn::If": ["Bounded", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    assert len(roles) == 5 and all(role["Properties"]["PermissionsBoundary"] == wanted for role in roles)


def test_every_rule_comes_after_the_permissions_of_what_it_calls():
    from cfnlint.decode import decode

    template, _ = decode(str(INFRA / "triggers.yaml"))
    rules = [one for one in template["Resources"].values() if one["Type"] == "AWS::Events::Rule"]
    assert len(rules) > 15
    for rule in rules:
        called = set(re.findall(r"\$\{Name\}-(microscale|backfill|patchroll|demand)\"", json.dumps(rule["Properties"]["Targets"])))
        after = json.dumps([rule.get("DependsOn"), rule.get("Metadata")])
        assert called and all(f'"{name.capitalize()}ByRules"' in after for name in called), rule["Properties"]["Name"]


def test_the_regions_without_function_urls_are_those_of_the_specification():
    from cfnlint.helpers import REGIONS
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    kinds = {
        kind
        for template in ("foundation", "triggers", "watch")
        for kind in re.findall(r"^    Type: (AWS::\w+::\w+)$", (INFRA / f"{template}.yaml").read_text(), re.MULTILINE)
    }
    assert "AWS::Lambda::Url" in kinds and len(kinds) > 10
    missing = {region: kinds - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region)) for region in REGIONS}
    assert {region for region, lacks in missing.items() if "AWS::Lambda::Url" in lacks} == limits.WITHOUT_FUNCTION_URLS
    assert all(lacks <= {"AWS::Lambda::Url"} for lacks in missing.values()), missing


def test_a_region_without_function_urls_has_all_but_the_page(cloud, deployed, tmp_path):
    fleets = [large(tmp_path, clusterless=True)]
    found = look(fleets, "ca-west-1", "aws")
    found.has_function_urls = False
    told = parameters.triggers(options(), fleets, ("livefeed", "backfill"), found, "arn")
    assert told["FunctionUrls"] == "no" and told["Livefeed"] == "yes"
    done = deployed.run("deploy", "--fleet", fleets[0].path, "--region", "ca-west-1", "--dry-run")
    assert "note: ca-west-1 has no function URLs" in done.stdout
    assert done.returncode == 1 and "there is no Auto Scaling group" in done.stderr
