"""Zips of the functions, made on one machine and deployed from another that has no Rust; and what a deployer has to be allowed."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase

import pytest
from cloud import REPOSITORY, Deployed
from conftest import DEPOT
from test_deploy import build_once
from through import Through

pytestmark = pytest.mark.calm

NAME = "zipped"
INFRA = REPOSITORY / "infra"
# Of AWS's own, without which nobody can call anything (Service Authorization Reference, "AWS STS").
NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
# IAM's word for an API's (Lambda developer guide, "Lambda resource access permissions").
CALLED_OTHERWISE = {"lambda:Invoke": "lambda:InvokeFunction"}


@pytest.fixture(scope="module")
def zips(options, functions, tmp_path_factory):
    if "demand" not in functions:
        pytest.skip("demand is not built")
    folder = tmp_path_factory.mktemp("zips")
    given = dict(zip(options[::2], options[1::2]))
    command = [sys.executable, INFRA / "package", "--to", folder, "--arch", given["--arch"], "--bins", given["--bins"]]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class WithoutRust(Deployed):
    """A deployment from a machine on which there is neither cargo nor cargo-lambda."""

    def run(self, script, *arguments, **given):
        command = [sys.executable, str(INFRA / script), "--name", self.name, *map(str, arguments)]
        environment = self.cloud.deploying() | {"PATH": "/usr/bin:/bin"} | getattr(self, "through", {})
        assert not shutil.which("cargo", path=environment["PATH"])
        url = environment["AWS_ENDPOINT_URL"]
        return subprocess.run([*command, "--endpoint-url", url], capture_output=True, text=True, env=environment, **given)


@pytest.fixture
def zipped(cloud, deployed, zips, options):
    build_once(cloud)
    third = cloud.folder / "zipped.toml"
    text = DEPOT.read_text().replace('name = "depot"', 'name = "fifth"', 1)
    third.write_text(text + "\n[patch]\n")
    arch = options[options.index("--arch") + 1]
    zipped = WithoutRust(cloud, ["--zips", zips, "--arch", arch, "--fleet", third], name=NAME)
    zipped.file = third
    yield zipped
    zipped.run("destroy", "--yes")


def test_a_package_is_whole_and_the_same_each_time(zips, options, tmp_path):
    arch = options[options.index("--arch") + 1]
    lines = dict(reversed(line.split("  ")) for line in (zips / "SHA256SUMS").read_text().splitlines())
    assert set(lines) == {path.name for path in zips.iterdir()} - {"SHA256SUMS"}
    for name, digest in lines.items():
        assert hashlib.sha256((zips / name).read_bytes()).hexdigest() == digest
    [entry] = zipfile.ZipFile(zips / f"livefeed-{arch}.zip").infolist()
    assert entry.filename == "bootstrap" and entry.external_attr >> 16 == 0o755
    bill = json.loads((zips / "sbom.cdx.json").read_text())
    refs = {one["bom-ref"] for one in bill["components"]}
    assert len(refs) == len(bill["components"]) > 100
    assert any(one["name"] == "aws-sdk-ecs" and one["hashes"] for one in bill["components"])
    assert all(set(one["dependsOn"]) <= refs for one in bill["dependencies"])
    bins = options[options.index("--bins") + 1]
    command = [sys.executable, INFRA / "package", "--to", tmp_path, "--arch", arch, "--bins", bins]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    assert (tmp_path / "SHA256SUMS").read_text() == (zips / "SHA256SUMS").read_text()


@pytest.mark.takes(60)
def test_zips_are_deployed_without_rust(cloud, zipped, zips):
    made = zipped.deploy(more=["--with-demand"])
    assert made.returncode == 0, made.stderr + made.stdout
    assert "are held against the schema only" in made.stdout
    error, said = zipped.invoke("microscale", {"fleet": "fifth", "microscale": "status"})
    assert error is None and said, said
    api = cloud.client("lambda")
    found = api.get_function_configuration(FunctionName=f"{NAME}-demand")
    assert (found["Runtime"], found["LoggingConfig"]["LogFormat"]) == ("provided.al2023", "JSON")
    again = zipped.deploy(more=["--with-demand"])
    assert again.stdout.rstrip().endswith(f"{NAME}: nothing to change"), again.stdout + again.stderr
    # Other code is another deployment, and versions do not pile up.
    arn = found["FunctionArn"]
    api.tag_resource(Resource=arn, Tags={"evenkeel:bootstrap": "earlier"})
    api.publish_version(FunctionName=f"{NAME}-demand")
    changed = zipped.deploy(more=["--with-demand"])
    assert f"{NAME}-demand: update (code)" in changed.stdout
    assert [one["Version"] for one in api.list_versions_by_function(FunctionName=f"{NAME}-demand")["Versions"]] == ["$LATEST"]


@pytest.mark.parametrize("wrong", ["other", "missing", "checksums", "arch"])
def test_zips_that_are_not_what_they_should_be_are_refused(cloud, zipped, zips, tmp_path, wrong):
    folder = tmp_path / "zips"
    shutil.copytree(zips, folder)
    arch = zipped.options[3]
    path, more = folder / f"livefeed-{arch}.zip", []
    if wrong == "other":
        path.write_bytes(path.read_bytes()[:-1])
        says = f"{path}: is not what SHA256SUMS says"
    elif wrong == "missing":
        path.unlink()
        says = f"{path}: there is no such file"
    elif wrong == "checksums":
        (folder / "SHA256SUMS").unlink()
        says = "SHA256SUMS: there is no such file"
    else:
        other = "arm64" if arch == "x86_64" else "x86_64"
        for zipped_one in folder.glob("*.zip"):
            zipped_one.rename(folder / zipped_one.name.replace(arch, other))
        sums = folder / "SHA256SUMS"
        sums.write_text(sums.read_text().replace(arch, other))
        more, says = ["--arch", other], f"is built for {arch}; --arch says {other}"
    zipped.options = ["--zips", folder, *zipped.options[2:]]
    done = zipped.deploy(more=more)
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert "nothing was changed before that" in done.stderr


@pytest.mark.takes(30)
def test_another_processor_and_role_are_taken_on(cloud, zipped):
    """cargo-lambda leaves an existing function's processor; this does not. Nothing is run: the emulator's machine has one."""
    assert zipped.deploy(more=["--watch", "none", "--functions", "livefeed"]).returncode == 0
    api = cloud.client("lambda")
    config = api.get_function_configuration(FunctionName=f"{NAME}-livefeed")
    other = "arm64" if config["Architectures"] == ["x86_64"] else "x86_64"
    code = zipfile.ZipFile(zipped.options[1] / f"livefeed-{zipped.options[3]}.zip")
    packed = zipped.cloud.folder / "other.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bootstrap", code.read("bootstrap"))
    api.update_function_code(FunctionName=f"{NAME}-livefeed", ZipFile=packed.read_bytes(), Architectures=[other])
    done = zipped.deploy(more=["--watch", "none", "--functions", "livefeed"])
    assert f"{NAME}-livefeed: update (architecture)" in done.stdout, done.stderr
    assert api.get_function_configuration(FunctionName=f"{NAME}-livefeed")["Architectures"] == config["Architectures"]


@pytest.mark.takes(90)
def test_the_deployers_policy_allows_what_deploying_calls_and_nothing_else(cloud, zipped):
    """Made, looked at, mended, changed in every way, and taken away, with all that is called on the way seen."""
    ways = {"": Through(cloud.urls["ministack"])}
    ways |= {f"_{name}": Through(cloud.urls["world"]) for name in ("ECS", "EC2", "AUTO_SCALING")}
    zipped.through = {f"AWS_ENDPOINT_URL{name}": way.url for name, way in ways.items()}
    bakes = '[patch]\nroll_back = true\nbake = { base_image_parameter = "/yard/base-image" }\n'
    zipped.file.write_text(zipped.file.read_text().replace("[patch]\n", bakes).replace("depot-base", "yard-base"))
    zipped.file.write_text(zipped.file.read_text().replace('purchase = "reserved"', 'purchase = "spot"'))
    ecs, groups = cloud.client("ecs"), cloud.client("autoscaling")
    group = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["yard-base"])["AutoScalingGroups"][0]
    given = {"autoScalingGroupArn": group["AutoScalingGroupARN"]}
    ecs.create_capacity_provider(name="zipped", autoScalingGroupProvider=given)
    both = {"capacityProviders": ["zipped"], "defaultCapacityProviderStrategy": []}
    ecs.put_cluster_capacity_providers(cluster="depot", **both)
    text = zipped.file.read_text()
    try:
        for more in (["--with-demand"], ["--with-demand"], ["--dry-run"]):
            done = zipped.deploy(more=more)
            assert done.returncode == 0, done.stderr
        queued = text.replace("manual = true", 'queue = "orders"', 1).replace('valid_for = "1m"', 'drain_within = "1m"', 1)
        zipped.file.write_text(queued.replace("[patch]\n", '[patch]\nhalt_alarms = ["x"]\n'))
        api = cloud.client("lambda")
        arn = api.get_function_configuration(FunctionName=f"{NAME}-livefeed")["FunctionArn"]
        api.publish_version(FunctionName=f"{NAME}-livefeed")
        api.tag_resource(Resource=arn, Tags={"evenkeel:bootstrap": "earlier"})
        done = zipped.deploy(more=["--memory", "256"])
        assert done.returncode == 0, done.stderr
        zipped.file.write_text(text.replace('"fifth"', '"sixth"'))
        assert zipped.deploy(more=["--memory", "256", "--watch", "none"]).returncode == 0
        assert zipped.run("destroy", "--keep-table").returncode == 0
        # A table that was left without an end for its items.
        off = {"AttributeName": "ttl", "Enabled": False}
        cloud.client("dynamodb").update_time_to_live(TableName=NAME, TimeToLiveSpecification=off)
        for more in (["--dry-run"], []):
            assert zipped.deploy(more=["--functions", "livefeed", "--watch", "none", *more]).returncode == 0
        assert zipped.run("destroy", "--yes").returncode == 0
    finally:
        ecs.put_cluster_capacity_providers(cluster="depot", capacityProviders=[], defaultCapacityProviderStrategy=[])
        ecs.delete_capacity_provider(capacityProvider="zipped")
        for way in ways.values():
            way.close()
    called = {CALLED_OTHERWISE.get(call, call) for way in ways.values() for call in way.calls} - NEEDS_NO_PERMISSION
    policy = json.loads((INFRA / "deployer-policy.json").read_text())
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    allowed, own = set(), set()
    for statement in policy["Statement"]:
        allowed |= set(statement["Action"])
        own |= set() if statement["Sid"].startswith("ForStacks") else set(statement["Action"])
        assert statement["Action"] == sorted(statement["Action"])
    assert not called - allowed, f"called, but not allowed: {sorted(called - allowed)}"
    # What stacks need is called by CloudFormation in the deployer's name, which no emulator does.
    assert not own - called - ONLY_ON_FAILURE, f"allowed, but never called: {sorted(own - called)}"
    mine = [one for one in policy["Statement"] if one["Resource"] != "*"]
    assert all("evenkeel" in one or "log-group" in one or "spot.amazonaws.com" in one for each in mine for one in listed(each["Resource"]))
    assert fnmatchcase(f"arn:aws:lambda:x:1:function:evenkeel-{NAME}", "arn:*:lambda:*:*:function:evenkeel-*")


# Read where a stack has failed.
ONLY_ON_FAILURE = {"cloudformation:DescribeStackEvents"}


def listed(value):
    return value if isinstance(value, list) else [value]
