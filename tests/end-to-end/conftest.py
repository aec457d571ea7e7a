"""One account for all stories; each begins with the fleets as they were built, an empty ledger and empty queues."""

import json
import os
import random
import shutil
import signal
import time
import tomllib
from pathlib import Path

import pytest
from called import recorded
from cloud import ALL, HERE, Cloud, Deployed, Fleet, Patience, eventually
from played import Played
from strict import known
from strict.wire import Wire

SHOP = HERE / "fleets" / "shop.toml"
DEPOT = HERE / "fleets" / "depot.toml"
YARD = HERE / "fleets" / "yard.toml"
FLEETS = (SHOP, DEPOT, YARD)
ROOM = {"cpu": 1024, "memory": 1500}  # four tasks to a host
# The role of the yard's hosts, and their instance profile.
HOSTS = "yard-hosts"
BY_EC2 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def pytest_addoption(parser):
    parser.addoption("--bins", required=True, help="built functions, DIR/NAME/bootstrap")
    parser.addoption("--evenkeel", required=True, help="a built `evenkeel`")
    parser.addoption("--built", action="store_true", help="they were built as infra/deploy builds, which costs it little now")
    parser.addoption("--arch", default="x86_64")
    parser.addoption("--recorded", required=True, help="where each worker writes down what functions called")
    parser.addoption("--faults", action="store_true", help="behind the fault proxy: about one call in ten of the functions fails")
    parser.addoption("--shuffle", type=int, metavar="SEED", help="the stories in another order")


def pytest_configure(config):
    config.addinivalue_line("markers", "last: after all others, because it looks at what they did")
    config.addinivalue_line("markers", "calm: not behind the fault proxy, because it is not about what functions do to a fleet")
    config.addinivalue_line("markers", "shop(**how): how the shop is built for a story (`played.Played`)")
    config.addinivalue_line("markers", "yard(**how): the same of the yard")
    config.addinivalue_line("markers", "takes(seconds): more than half a minute, so that it begins early")
    if config.option.faults:
        Patience.factor = 4
    # Who ends the tests ends what they started: as if it had been interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell has what it starts in the background pass over Ctrl-C, and that is inherited, by infra/deploy too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def seconds(item):
    marker = item.get_closest_marker("takes")
    return marker.args[0] if marker else 0


def pytest_collection_modifyitems(session, config, items):
    if config.option.faults:
        items[:] = [item for item in items if not item.get_closest_marker("calm")]
    if config.option.shuffle is not None:
        random.Random(config.option.shuffle).shuffle(items)
    else:
        # Workers take the next story when they are done with one: the longest first, so that all end at about the same time.
        items.sort(key=seconds, reverse=True)
    # With -k, -m or a part of the files, some stories are left out; what they would have called is not seen.
    files = {path.name for path in HERE.glob("test_*.py")}
    config.stash[TOLD] = not config.option.keyword and {item.path.name for item in items} == files


TOLD, CALLED = pytest.StashKey[bool](), pytest.StashKey[dict]()
# The recordings of the account, the statements that were used by function, and the known findings that occurred.
WIRE, USED, OCCURRED = pytest.StashKey[Wire](), pytest.StashKey[dict](), pytest.StashKey[set]()


def pytest_sessionfinish(session):
    """What this worker's account has seen. Whoever only hands out stories to workers has nothing to say."""
    config = session.config
    told = config.stash.get(TOLD, None)
    if told is not None and not config.option.markexpr == "last":
        everything = told and not session.testsfailed
        seen = {"everything": everything, "functions": config.stash.get(CALLED, {})}
        seen["known"] = sorted(config.stash.get(OCCURRED, ()))
        wire = config.stash.get(WIRE, None)
        seen["wire"] = {"calls": wire.calls, "seconds": wire.seconds} if wire else {"calls": 0, "seconds": 0}
        name = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        Path(config.option.recorded, f"{name}.json").write_text(json.dumps(seen))


def pytest_terminal_summary(terminalreporter, config):
    """What judging the wire took, over all workers."""
    if config.option.markexpr == "last":
        seen = [json.loads(path.read_text())["wire"] for path in Path(config.option.recorded).glob("*.json")]
        calls, seconds = (sum(one[what] for one in seen) for what in ("calls", "seconds"))
        terminalreporter.write_line(f"strict wire: {calls} calls judged in {seconds:.1f} s of the processor")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """How the fleets stood when a story failed, and what the functions did last, beside the failure."""
    report = yield
    story = item.funcargs.get("story") if report.when == "call" and report.failed else None
    if story:
        report.sections.append(("the fleets then", story.stands()))
    return report


def read(path):
    text = path.read_text()
    return Fleet(path, text, tomllib.loads(text))


@pytest.fixture(scope="session")
def cloud(request, tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("emulators"), request.config.getoption("--faults"))
    try:
        cloud.start()
        request.config.stash[WIRE] = Wire(cloud.recordings())
        yield cloud
        if cloud.with_faults:
            print("\nfaults:", ", ".join(f"{what} {times}" for what, times in sorted(cloud.fired().items())))
    finally:
        cloud.stop()
        kept = os.environ.get("EVENKEEL_KEEP_LOGS")
        if kept:
            shutil.copytree(cloud.folder, Path(kept), dirs_exist_ok=True)


def fleets_of(cloud):
    shop = Played(cloud, read(SHOP), {"shop-base": 3, "shop-spot": 2}, {"web": ROOM, "reports": ROOM}, ["web"])
    depot = Played(cloud, read(DEPOT), {"depot-base": 2}, {"pick": ROOM, "pack": ROOM})
    # The ways in which groups may name a version of their template, but for "$Latest", which the others use.
    versions = {"yard-base": "$Default", "yard-spot": "1"}
    sizes = {"yard-base": 2, "yard-spot": 1}
    yard = Played(cloud, read(YARD), sizes, {"sort": ROOM}, versions=versions, profile=HOSTS)
    return shop, depot, yard


@pytest.fixture(scope="session")
def functions(request):
    """The functions that are built."""
    folder = Path(request.config.getoption("--bins")).resolve()
    found = [name for name in ALL if (folder / name / "bootstrap").is_file() or (folder / name).is_file()]
    assert found, f"{folder} holds no functions"
    return found


@pytest.fixture
def with_patchroll(functions):
    if "patchroll" not in functions:
        pytest.skip("patchroll is not built")


@pytest.fixture(scope="session")
def options(request, functions):
    bins = Path(request.config.getoption("--bins")).resolve()
    evenkeel = Path(request.config.getoption("--evenkeel")).resolve()
    arch = request.config.getoption("--arch")
    # The stories make their own demand; the random one is another deployment's.
    chosen = ",".join(name for name in functions if name != "demand")
    return ["--bins", bins, "--evenkeel", evenkeel, "--arch", arch, "--functions", chosen]


@pytest.fixture(scope="session")
def deployed(cloud, options, request):
    """`infra/deploy`, run once; stories that change the deployment put it back."""
    iam = cloud.client("iam")
    iam.create_role(RoleName=HOSTS, AssumeRolePolicyDocument=json.dumps(BY_EC2))
    iam.create_instance_profile(InstanceProfileName=HOSTS)
    iam.add_role_to_instance_profile(InstanceProfileName=HOSTS, RoleName=HOSTS)
    for fleet in fleets_of(cloud):
        fleet.build()
    deployed = Deployed(cloud, options)
    done = deployed.deploy(*FLEETS)
    assert done.returncode == 0, done.stderr + done.stdout
    yield deployed
    found = look_at_the_wire(request.config, cloud)
    request.config.stash[CALLED] = recorded(cloud, deployed, request.config.stash.get(USED, {}))
    assert not found, "\n".join(map(str, found))


@pytest.fixture(autouse=True)
def strict(request):
    """What went over the wire since the last story is what AWS would take and send (`strict`)."""
    yield
    if "cloud" in request.fixturenames:
        found = look_at_the_wire(request.config, request.getfixturevalue("cloud"))
        assert not found, "\n".join(map(str, found))


def look_at_the_wire(config, cloud):
    """What nobody knows of yet; what is known, and what was used, is noted."""
    findings, used = config.stash[WIRE].judge(cloud.roles)
    for function, pairs in used.items():
        config.stash.setdefault(USED, {}).setdefault(function, set()).update(pairs)
    fresh, seen = known.split(findings)
    config.stash.setdefault(OCCURRED, set()).update(seen)
    return fresh


@pytest.fixture
def story(cloud, deployed, request):
    """All fleets, built anew, and nothing in the ledger."""
    story = Story(cloud, deployed, *fleets_of(cloud))
    for name in ("shop", "yard"):
        for mark in request.node.iter_markers(name):
            getattr(story, name).__dict__.update(mark.kwargs)
    story.forget_clusters()
    deployed.forget()
    deployed.put_in_force(story.shop.fleet)
    story.build()
    # What was on its way while no cluster was there has failed.
    deployed.purge()
    yield story
    deployed.put_in_force(read(SHOP))
    if any("fleet" in mark.kwargs for mark in request.node.iter_markers("shop")):
        # Stories of deployments find the fleets that are deployed.
        story.forget_clusters()
        Story(cloud, deployed, *fleets_of(cloud)).build()
        deployed.purge()
    wrong = cloud.world("wrong")
    assert not wrong["faults"], "the world itself failed"
    # MiniStack tries an event again even where the function is gone, and its role with it; AWS does not.
    there = [one["FunctionName"] for one in cloud.client("lambda").list_functions()["Functions"]]
    denied = [line for line in cloud.denied() if any(f"/{name} " in line for name in there)]
    assert not denied + wrong["refused"], "a role did not allow what its function called"


METRIC = "shop/RequestsPerSecond"
# AWS's is a minute; seconds.
TICK = 2.5


class Story:
    """What a story is told with."""

    def __init__(self, cloud, deployed, shop, depot, yard):
        self.cloud, self.deployed, self.shop, self.depot, self.yard = cloud, deployed, shop, depot, yard
        self.began = time.time()
        self.load = 0
        self.ticked = 0.0

    def forget_clusters(self):
        """ECS, EC2 and Auto Scaling as if there had never been anything."""
        self.cloud.world("reset")

    def build(self):
        for fleet in (self.shop, self.depot, self.yard):
            fleet.build()

    def stands(self):
        """What runs in each fleet, and the last decisions, to be read by people."""
        lines = []
        for fleet in (self.shop, self.depot, self.yard):
            try:
                name = fleet.cluster
                lines += [f"{name}: {fleet.running()}", *map(str, self.deployed.decisions(name)[-8:])]
            except Exception as error:  # The account may be what failed.
                lines.append(f"not known: {error!r}")
        return "\n".join(lines)

    def lives(self):
        """What goes on while a story waits: demand is measured, and the tick comes."""
        self.shop.demand(METRIC, self.load)
        if time.time() - self.ticked >= TICK:
            self.ticked = time.time()
            self.deployed.tick()

    def until(self, check, within, what):
        return eventually(check, within, what, every=0.5, meanwhile=self.lives)

    def pause(self, seconds):
        """Lets time go by."""
        over = time.time() + seconds
        self.until(lambda: time.time() >= over, seconds + 5, "time")

    def launched_and_ended(self, launched, ended, fleet="shop"):
        """Nothing was launched or ended twice: as many as there have to be for what the story tells, the fleet's first
        hosts included."""
        seen = self.cloud.world("instances")
        count = {what: [one for one in seen[what] if one["group"].startswith(f"{fleet}-")] for what in seen}
        assert len(count["launched"]) == launched, count["launched"]
        assert len(count["ended"]) == ended, count["ended"]

    def shop_at_rest(self, web=4, reports=16, hosts=5):
        """The shop as most stories begin: full, and nothing to do."""
        self.load = web * 50
        self.until(lambda: len(self.shop.hosts()) == hosts, 40, f"{hosts} hosts")
        want = {"web": web, "reports": reports}
        self.until(lambda: self.shop.running() == want, 60, f"{want} running")
