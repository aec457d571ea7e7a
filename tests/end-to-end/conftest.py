"""One account for all stories; each begins with the fleets as they were built, an empty ledger and empty queues."""

import os
import random
import shutil
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest
from cloud import ALL, HERE, Cloud, Deployed, Fleet, Patience, Played, eventually

SHOP = HERE / "fleets" / "shop.toml"
DEPOT = HERE / "fleets" / "depot.toml"
ROOM = {"cpu": 1024, "memory": 1500}  # four tasks to a host


def pytest_addoption(parser):
    parser.addoption("--bins", required=True, help="built functions, DIR/NAME/bootstrap")
    parser.addoption("--evenkeel", required=True, help="a built `evenkeel`")
    parser.addoption("--arch", default="x86_64")
    parser.addoption("--faults", action="store_true", help="behind the fault proxy: about one call in ten of the functions fails")
    parser.addoption("--shuffle", type=int, metavar="SEED", help="the stories in another order")


def pytest_configure(config):
    config.addinivalue_line("markers", "last: after all others, because it looks at what they did")
    config.addinivalue_line("markers", "calm: not behind the fault proxy, because it is not about what functions do to a fleet")
    if config.option.faults:
        Patience.factor = 4


def pytest_collection_modifyitems(session, config, items):
    if config.option.faults:
        items[:] = [item for item in items if not item.get_closest_marker("calm")]
    if config.option.shuffle is not None:
        random.Random(config.option.shuffle).shuffle(items)
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
    # With -k, -m or a part of the files, some stories are left out; what they would have called is not seen.
    files = {path.name for path in HERE.glob("test_*.py")}
    config.stash[TOLD] = not config.option.keyword and {item.path.name for item in items} == files


TOLD = pytest.StashKey[bool]()


@pytest.fixture
def everything_was_told(request):
    """Whether all stories run, and ran without a failure."""
    return request.config.stash[TOLD] and not request.session.testsfailed


def read(path):
    text = path.read_text()
    return Fleet(path, text, tomllib.loads(text))


@pytest.fixture(scope="session")
def cloud(request, tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("emulators"), request.config.getoption("--faults"))
    try:
        cloud.start()
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
    return shop, depot


@pytest.fixture(scope="session")
def functions(request):
    """The functions that are built."""
    folder = Path(request.config.getoption("--bins")).resolve()
    found = [name for name in ALL if (folder / name / "bootstrap").is_file() or (folder / name).is_file()]
    assert found, f"{folder} holds no functions"
    return found


@pytest.fixture(scope="session")
def options(request, functions):
    bins = Path(request.config.getoption("--bins")).resolve()
    evenkeel = Path(request.config.getoption("--evenkeel")).resolve()
    arch = request.config.getoption("--arch")
    # The stories make their own demand; the random one is another deployment's.
    chosen = ",".join(name for name in functions if name != "demand")
    return ["--bins", bins, "--evenkeel", evenkeel, "--arch", arch, "--functions", chosen]


@pytest.fixture(scope="session")
def deployed(cloud, options):
    """`infra/deploy`, run once; stories that change the deployment put it back."""
    for fleet in fleets_of(cloud):
        fleet.build()
    deployed = Deployed(cloud, options)
    done = deployed.deploy(SHOP, DEPOT)
    assert done.returncode == 0, done.stderr + done.stdout
    return deployed


@pytest.fixture
def story(cloud, deployed):
    """Both fleets, built anew, and nothing in the ledger."""
    shop, depot = fleets_of(cloud)
    story = Story(cloud, deployed, shop, depot)
    story.forget_clusters()
    deployed.forget()
    for fleet in (shop, depot):
        fleet.build()
    yield story
    problems = cloud.world("failures")["faults"] + [one for one in cloud.world("sent") if one["problem"]]
    refused = cloud.denied() + [call for call in cloud.world("calls") if not call["allowed"]]
    assert not problems, "the world itself failed"
    assert not refused, "a role did not allow what its function called"


METRIC = "shop/RequestsPerSecond"


class Story:
    """What a story is told with."""

    def __init__(self, cloud, deployed, shop, depot):
        self.cloud, self.deployed, self.shop, self.depot = cloud, deployed, shop, depot
        self.began = time.time()
        self.load = 0
        self.ticked = 0.0

    def forget_clusters(self):
        """ECS, EC2 and Auto Scaling as if there had never been anything."""
        self.cloud.world("reset")
        urllib.request.urlopen(f"{self.cloud.urls['world']}/moto-api/reset", data=b"", timeout=10).close()

    def lives(self):
        """What goes on while a story waits: demand is measured, and the tick comes, every five seconds here."""
        self.shop.demand(METRIC, self.load)
        if time.time() - self.ticked >= 5:
            self.ticked = time.time()
            self.deployed.tick()

    def until(self, check, within, what):
        return eventually(check, within, what, every=0.5, meanwhile=self.lives)

    def pause(self, seconds):
        """Lets time go by."""
        over = time.time() + seconds
        self.until(lambda: time.time() >= over, seconds + 5, "time")

    def launched_and_ended(self, launched, ended):
        """Nothing was launched or ended twice: as many as there have to be for what the story tells, its first hosts
        included. The depot's two are not the shop's."""
        seen = self.cloud.world("instances")
        count = {what: [one for one in seen[what] if one["group"].startswith("shop-")] for what in seen}
        assert len(count["launched"]) == launched, count["launched"]
        assert len(count["ended"]) == ended, count["ended"]

    def shop_at_rest(self, web=4, reports=16, hosts=5):
        """The shop as most stories begin: full, and nothing to do."""
        self.load = web * 50
        self.until(lambda: len(self.shop.hosts()) == hosts, 40, f"{hosts} hosts")
        want = {"web": web, "reports": reports}
        self.until(lambda: self.shop.running() == want, 60, f"{want} running")
