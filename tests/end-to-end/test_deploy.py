"""The deploy script itself: a second run changes nothing, a dry run neither, and bad input is refused with its place."""

import json
import subprocess
from datetime import datetime, timezone

import pytest
from called import actions, called_on_ministack
from cloud import NAME, REPOSITORY, Deployed
from conftest import DEPOT, FLEETS, SHOP, fleets_of

pytestmark = pytest.mark.calm

EVERYTHING = {
    "lambda": ("list_functions", "Functions"),
    "sqs": ("list_queues", "QueueUrls"),
    "events": ("list_rules", "Rules"),
    "dynamodb": ("list_tables", "TableNames"),
    "logs": ("describe_log_groups", "logGroups"),
    "ssm": ("describe_parameters", "Parameters"),
    "cloudformation": ("describe_stacks", "Stacks"),
}


def there(cloud):
    """All that there is, by its kind, as the account says it."""
    found = {}
    for service, (call, field) in EVERYTHING.items():
        found[service] = getattr(cloud.client(service), call)().get(field, [])
    iam = cloud.client("iam")
    found["roles"] = iam.list_roles()["Roles"]
    found["policies"] = iam.list_policies(Scope="Local")["Policies"]
    found["alarms"] = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found["mappings"] = cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    return found


def build_once(cloud):
    """The fleets, as whichever story came before has left them."""
    fleets = fleets_of(cloud)
    if not fleets[0].members():
        for fleet in fleets:
            fleet.build()


def test_a_second_run_and_a_dry_run_change_nothing(cloud, deployed):
    def code():
        functions = cloud.client("lambda").list_functions()["Functions"]
        return {one["FunctionName"]: (one["LastModified"], one["CodeSha256"]) for one in functions}

    before = code()
    again = deployed.deploy(*FLEETS)
    assert again.returncode == 0, again.stderr
    assert f"{NAME}: nothing to change" in again.stdout
    assert "unchanged" in again.stdout and ": add " not in again.stdout
    assert code() == before

    dry = deployed.deploy(SHOP, more=["--dry-run"])
    assert dry.returncode == 0, dry.stderr
    assert "fleet depot is not served any more" in dry.stdout
    assert "dry run, nothing was changed" in dry.stdout
    assert deployed.deploy(*FLEETS).stdout.count("unchanged") == again.stdout.count("unchanged")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('auto_scaling_group = "shop-burst"', 'auto_scaling_group = "shop-brust"'), "pool[2].auto_scaling_group: there is no"),
        (('cluster = "shop"', 'cluster = "shoop"'), "cluster: there is no ECS cluster shoop"),
        (('name = "reports"', 'name = "repots"'), "service[1].name: there is no service repots"),
        (("maximum = 7", "maximum = 2"), "hosts.maximum"),
        (("priority = 2", "priorty = 2"), "priorty"),
    ],
)
def test_a_wrong_fleet_file_is_refused_with_its_place(cloud, deployed, tmp_path, change, says):
    build_once(cloud)
    text = SHOP.read_text()
    assert change[0] in text
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace(change[0], change[1], 1))
    before = cloud.client("ssm").get_parameter(Name="/evenkeel/fleets/shop")["Parameter"]["Version"]
    done = deployed.deploy(wrong, *FLEETS[1:])
    assert done.returncode == 1
    assert says in done.stderr, done.stderr
    assert "nothing was changed before that" in done.stderr
    assert cloud.client("ssm").get_parameter(Name="/evenkeel/fleets/shop")["Parameter"]["Version"] == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--name", "No_Name", "--fleet", SHOP], "--name No_Name"),
        (["--fleet", "nowhere.toml"], "nowhere.toml: there is no such file"),
        (["--fleet", SHOP, "--fleet", SHOP], "is also the name of"),
        (["--fleet", SHOP, "--timeout", "300"], "--timeout 300"),
        (["--fleet", SHOP, "--functions", "microscale,macroscale"], "macroscale"),
        (["--fleet", SHOP, "--arch", "arm64"], "is built for x86_64; --arch says arm64"),
        (["--fleet", SHOP, "--name", "other"], "is served by the deployment keel"),
    ],
)
def test_wrong_options_are_refused(deployed, options, arguments, says):
    given = [*map(str, options), *map(str, arguments)]
    done = deployed.run("deploy", *given)
    assert done.returncode in (1, 2)
    assert says in done.stderr, done.stderr


def test_it_builds_what_it_deploys(cloud, deployed, options, request):
    """The five commands end with one that is given no functions."""
    if not request.config.getoption("--built"):
        pytest.skip("building takes a quarter of an hour, and built functions were given")
    build_once(cloud)
    third = cloud.folder / "third.toml"
    third.write_text(DEPOT.read_text().replace('name = "depot"', 'name = "third"', 1))
    given = options[options.index("--evenkeel") : options.index("--functions")]
    beside = Deployed(cloud, [*given, "--functions", "livefeed", "--fleet", third], name="beside")
    try:
        made = beside.deploy()
        assert made.returncode == 0, made.stderr
        assert "beside-livefeed: deploy" in made.stdout
        assert beside.deploy().stdout.rstrip().endswith("nothing to change")
    finally:
        beside.run("destroy", "--yes")


@pytest.fixture
def beside(request, cloud, deployed, functions, options):
    """A deployment of its own beside that of the stories, for a third fleet on the depot's hosts, with random demand: of all
    functions, or of those that the story is about."""
    asked = getattr(request, "param", functions)
    build_once(cloud)
    text = DEPOT.read_text().replace('name = "depot"', 'name = "third"', 1)
    manual = 'demand = { manual = true, per_task = 10, valid_for = "1m" }'
    assert manual in text
    text = text.replace(manual, 'demand = { metric = "third/Orders", period = "10s", per_task = 10 }')
    third = cloud.folder / "third.toml"
    third.write_text(text)
    beside = Deployed(cloud, [*options[:-1], ",".join(asked), "--fleet", third], name="beside")
    yield beside
    beside.run("destroy", "--yes")


@pytest.mark.takes(80)
def test_destroy_leaves_nothing_behind(cloud, beside):
    """Made, taken away with its table kept, made again on that, and taken away whole."""
    before = {kind: len(found) for kind, found in there(cloud).items()}
    made = beside.deploy(more=["--watch", "all"])
    assert made.returncode == 0, made.stderr
    assert len(there(cloud)["lambda"]) > before["lambda"]

    asked = beside.run("destroy", stdin=subprocess.DEVNULL)
    assert asked.returncode == 1 and "--keep-table" in asked.stderr and "nothing was deleted" in asked.stderr
    assert beside.run("destroy", "--keep-table").returncode == 0
    kept = {kind: len(found) for kind, found in there(cloud).items()}
    assert kept == before | {"dynamodb": before["dynamodb"] + 1}

    # Two of its functions are enough to say so.
    again = beside.deploy(more=["--watch", "none", "--functions", "microscale,livefeed"])
    assert again.returncode == 0, again.stderr
    assert "table beside is there already, and is used" in again.stdout
    gone = beside.run("destroy", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert {kind: len(found) for kind, found in there(cloud).items()} == before
    assert "there was nothing" in beside.run("destroy", "--yes").stdout


@pytest.mark.takes(30)
@pytest.mark.parametrize("beside", [["microscale"]], indirect=True, ids=["alone"])
def test_microscale_is_woken_by_its_queue_only_where_a_fleet_asks_for_beats(cloud, beside):
    """Pollers of its queue cost more than the ticks of a month, so they come and go with `beat` in the fleet file."""
    third = cloud.folder / "third.toml"
    without = third.read_text()
    assert "beat" not in without
    third.write_text(without.replace('name = "third"', 'name = "third"\nbeat = "10s"', 1))

    def beats():
        """Whether the queue is polled, the function knows it, and may send to it."""
        made = beside.deploy()
        assert made.returncode == 0, made.stderr
        api = cloud.client("lambda")
        found = api.get_function_configuration(FunctionName="beside-microscale")
        mappings = api.list_event_source_mappings()["EventSourceMappings"]
        mapping = next(one for one in mappings if one["EventSourceArn"].endswith(":beside-microscale-beats"))
        may = "sqs:SendMessage" in actions(beside.statements(found["Role"]))
        return mapping["State"] == "Enabled", "EVENKEEL_BEAT_QUEUE" in found["Environment"]["Variables"], may

    assert beats() == (True, True, True)
    third.write_text(without)
    assert beats() == (False, False, False)


@pytest.mark.takes(30)
@pytest.mark.parametrize("beside", [["demand"]], indirect=True, ids=["alone"])
def test_random_demand_is_published_where_the_fleet_file_says(cloud, beside, functions):
    if "demand" not in functions:
        pytest.skip("demand is not built")
    made = beside.deploy()
    assert made.returncode == 0, made.stderr
    tick = (REPOSITORY / "events" / "tick-rule.json").read_text()
    event = json.loads(tick) | {"time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
    error, said = beside.invoke("demand", event)
    assert error is None, said
    watch = cloud.client("cloudwatch")
    metrics = watch.list_metrics(Namespace="third")["Metrics"]
    assert [metric["MetricName"] for metric in metrics] == ["Orders"]
    key = {name: key for key, name in beside.keys().items()}["demand"]
    assert called_on_ministack(cloud, key) == {"ssm:GetParameter", "cloudwatch:PutMetricData"}
    beside_role = cloud.client("lambda").get_function_configuration(FunctionName="beside-demand")["Role"]
    assert actions(beside.statements(beside_role)) == {"ssm:GetParameter", "cloudwatch:PutMetricData"}
