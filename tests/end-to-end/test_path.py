"""The five commands of the README, on four kinds of site: from a cluster that nobody has looked at to one that Even Keel works
on. Nothing changes a fleet before the fifth, and the first acting turns stop nothing."""

import json
import re
import time
from contextlib import ExitStack

import pytest
from called import requests_since
from cloud import REPOSITORY, Deployed, Fleet, eventually
from conftest import ROOM, TICK
from played import Played
from test_command import Command
from test_look import Watching
from through import LOOKS
from world.where import ACCOUNT, REGION

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("with_patchroll")]

# What a fleet is made of, as requests are signed; the rest is the ledger, the deployment itself, and its queues.
OF_FLEETS = ("application-autoscaling", "autoscaling", "ec2", "ecs", "elasticloadbalancing", "monitoring")
DESIRED = {"web": 4, "reports": 4}
SERVICES = dict.fromkeys(DESIRED, ROOM)
# Reports may have twice as many where there is room: `init` says so for a service of which nothing is known.
FULL = {"web": 4, "reports": 8}


def five_commands():
    """What the README says to type, in order."""
    section = (REPOSITORY / "README.md").read_text().split("## Your own cluster, in five commands\n")[1]
    lines = section.split("```\n")[1].splitlines()
    assert len(lines) == 5, lines
    return lines


def cluster(name, groups):
    """What is known of a cluster before there is a fleet file."""
    return Fleet(None, "", {"cluster": name, "pool": [{"auto_scaling_group": group} for group in groups]})


class Site:
    """Hosts of Auto Scaling groups without ECS."""

    def __init__(self, cloud, image):
        self.groups, ec2 = cloud.client("autoscaling"), cloud.client("ec2")
        made = ec2.create_launch_template(
            LaunchTemplateName="dune", LaunchTemplateData={"InstanceType": "m7i.large", "ImageId": image}
        )
        for name, hosts in (("dune-base", 2), ("dune-burst", 0)):
            self.groups.create_auto_scaling_group(
                AutoScalingGroupName=name,
                MinSize=0,
                MaxSize=3,
                DesiredCapacity=hosts,
                LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"},
                AvailabilityZones=[f"{REGION}a"],
            )

    def members(self, group):
        [found] = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return {one["InstanceId"] for one in found["Instances"]}

    def sizes(self):
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=["dune-base", "dune-burst"])
        return {one["AutoScalingGroupName"]: one["DesiredCapacity"] for one in found["AutoScalingGroups"]}


class Path:
    """Four sites as others have built them, and what is done to them with commands only."""

    def __init__(self, story, options, evenkeel, folder):
        self.cloud, self.evenkeel, self.folder = story.cloud, evenkeel, folder
        alder = Played(story.cloud, cluster("alder", ["alder-base", "alder-burst"]), {"alder-base": 3}, SERVICES)
        birch = Played(story.cloud, cluster("birch", ["birch-base", "birch-more"]), {"birch-base": 2, "birch-more": 2}, SERVICES)
        birch.providers = {"web": {"birch-base": (0, 1)}, "cluster": {"birch-more": (0, 1)}}
        cedar = Played(story.cloud, cluster("cedar", ["cedar-both"]), {"cedar-both": 4}, SERVICES)
        cedar.bases, cedar.types = {"cedar-both": 2}, {"cedar-both": {"m7i.large": None, "m6i.large": None}}
        self.clusters = {"alder": alder, "birch": birch, "cedar": cedar}
        for played in self.clusters.values():
            played.build()
            for name, count in DESIRED.items():
                played.ecs.update_service(cluster=played.cluster, service=name, desiredCount=count)
        self.site = Site(story.cloud, alder.images[0])
        # What `init` is told of each: the groups that no host tells of.
        self.init = {
            "alder": "--cluster alder --group alder-burst",
            "birch": "--cluster birch",
            "cedar": "--cluster cedar",
            "dune-base": "--group dune-base --group dune-burst",
        }
        self.deployed = Deployed(story.cloud, options, name="path")
        self.ticked = 0.0

    def file(self, fleet):
        return self.folder / f"{fleet}.toml"

    def edit(self, fleet, *changes):
        text = self.file(fleet).read_text()
        for pattern, into in changes:
            text, count = re.subn(pattern, into, text, flags=re.MULTILINE | re.DOTALL)
            assert count == 1, f"{fleet}: {pattern} is there {count} times in\n{text}"
        self.file(fleet).write_text(text)

    def deploy(self, command):
        """`infra/deploy` as it is typed for one fleet, for all of them."""
        more = command.removeprefix("infra/deploy --fleet fleet.toml").split()
        assert len(more) == len(command.split()) - 3, command
        done = self.deployed.deploy(*map(self.file, self.init), more=["--watch", "none", *more])
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def stands(self):
        """All that Even Keel could change, but the hosts: counts, capacities, and which hosts drain."""
        found = {"dune": self.site.sizes()}
        for name, played in self.clusters.items():
            groups = [pool["auto_scaling_group"] for pool in played.fleet.data["pool"]]
            sizes = {group: played.capacity(group) for group in groups}
            states = {host: one["status"] for host, one in played.hosts().items()}
            found[name] = played.desired(), sizes, states, {host: one["attributes"] for host, one in played.hosts().items()}
        return found

    def until(self, check, within, what):
        def lives():
            if time.time() - self.ticked >= TICK:
                self.ticked = time.time()
                self.deployed.tick()

        return eventually(check, within, what, every=0.5, meanwhile=lives)

    def said(self, fleet):
        """What was decided for a fleet: the step, and what came of it."""
        return [(one["step"], one["outcome"]) for one in self.deployed.decisions(fleet)]

    def changes(self, began):
        """Every request of the deployment, its functions' and `infra/deploy`'s own, that changes something of a fleet."""
        whose = {*self.deployed.keys(), ACCOUNT}
        made = [one for one in requests_since(self.cloud, began) if one[0] in whose]
        assert made, "nothing was recorded"
        return [f"{service}:{name}" for _, service, name in made if service in OF_FLEETS and not name.startswith(LOOKS)]


@pytest.fixture
def path(story, options, request, tmp_path):
    evenkeel = Command(request.config.getoption("--evenkeel"), story.cloud)
    path = Path(story, options, evenkeel, tmp_path)
    yield path
    path.deployed.run("destroy", "--yes")


def is_full(played, want):
    return played.running() == want and all(one["status"] == "ACTIVE" for one in played.hosts().values())


@pytest.mark.takes(120)
def test_from_a_cluster_that_nobody_looked_at_to_one_that_is_worked_on(path):
    cloud, clusters = path.cloud, path.clusters
    eventually(lambda: all(is_full(played, DESIRED) for played in clusters.values()), 60, "all sites at work")
    began, before = time.time(), path.stands()
    init, plan, deploy, decided, act = five_commands()
    lost = look_and_plan(path, init, plan)
    assert "OBSERVING" in path.deploy(deploy)
    observe(path, lost)
    says_what_it_would(path, decided)
    assert path.changes(began) == []
    assert path.stands() == before

    # One edit of each file.
    for fleet in path.init:
        path.edit(fleet, ('^mode = "observe"', 'mode = "act"'))
    acts = time.time()
    assert "OBSERVING" not in path.deploy(act)
    path.until(lambda: all(is_full(played, FULL) for played in clusters.values()), 90, "holes are filled")
    path.until(lambda: path.site.sizes() == {"dune-base": 2, "dune-burst": 1}, 60, "a host stands in")
    made = path.changes(acts)
    assert set(made) == {"ecs:UpdateService", "autoscaling:SetDesiredCapacity"}, made
    stops_nothing(path, lost)


def look_and_plan(path, init, plan):
    """With rights to read, before anything is deployed. Gives the host that the site has lost meanwhile."""
    cloud, actions, planned = path.cloud, set(), {}
    urls = {name: url for name, url in cloud.environment().items() if name.startswith("AWS_ENDPOINT_URL")}
    with ExitStack() as stack:
        watched = {name: stack.enter_context(Watching(url, actions)).url for name, url in urls.items()}

        def says(line):
            return path.evenkeel.says(line, **watched)

        for fleet, named in path.init.items():
            file = path.file(fleet)
            assert f"evenkeel plan {file} --live" in says(typed(init, ("--cluster shop", named), ("fleet.toml", file)))
            # As the file itself proposes: nothing acts, and what can wait takes what is left.
            path.edit(fleet, ('^# mode = "observe" +#', 'mode = "observe" #'))
            if fleet in path.clusters:
                path.edit(fleet, (REPORTS, r'\g<1>priority = 9\g<2>fill = true\nrefill_after = "1s"\n'))
            assert f"fleet {fleet} is fine" in says(f"check {file}")
            planned[fleet] = says(typed(plan, ("fleet.toml", file)))
            assert planned[fleet].startswith(f"LIVE: fleet {fleet} in {REGION}"), planned[fleet]
        assert 'purchase = "mixed"' in path.file("cedar").read_text()
        assert "# behind capacity provider birch-more" in path.file("birch").read_text()
        assert not re.search("^cluster = ", path.file("dune-base").read_text(), re.MULTILINE)
        assert "reports waits until 4 holes were open for 1 s" in planned["alder"], planned["alder"]

        lost = min(path.site.members("dune-base"))
        cloud.world("drought", group="dune-base", on=True)
        cloud.world("lose", instance=lost)
    changed = sorted(action for action in actions if not action.split(":")[1].startswith(LOOKS))
    assert actions and not changed, changed
    return lost


def typed(command, *others):
    """A command of the README with other words in the place of some of its own."""
    for words, other in others:
        assert words in command, command
        command = command.replace(words, str(other), 1)
    return command.removeprefix("evenkeel ")


# The section of reports from its priority to its demand.
REPORTS = r'(^name = "reports"\n)priority = \d+(.*?)demand = .*?\n'


def observe(path, lost):
    """A deployment that only observes records what it would do, and does nothing."""

    def would(fleet, words):
        return any(words in json.dumps(step) and outcome == "would" for step, outcome in path.said(fleet))

    for fleet in path.clusters:
        path.until(lambda: would(fleet, '"reports"'), 60, f"what would be done with {fleet}")  # noqa: B023
    path.until(lambda: would("dune-base", "dune-burst"), 60, f"what would be done for {lost}")
    done = [one for fleet in path.init for one in path.said(fleet) if one[1] == "done" and "lost" not in one[0].get("host", {})]
    assert not done, done


def says_what_it_would(path, command):
    """What people read before they let it act."""

    def says(fleet):
        return path.evenkeel.says(typed(command, (" shop", f" {fleet}")), EVENKEEL_DEPLOYMENT="path")

    said = {fleet: says(fleet) for fleet in path.init}
    assert all("reports" in said[fleet] and "would" in said[fleet] for fleet in path.clusters), said
    assert "dune" in said["dune-base"], said["dune-base"]


def stops_nothing(path, lost):
    """No task, and no host but the one that was lost."""
    for name, played in path.clusters.items():
        assert not played.ecs.list_tasks(cluster=name, desiredStatus="STOPPED")["taskArns"], name
    ours = tuple(fleet.split("-")[0] for fleet in path.init)
    ended = path.cloud.world("instances")["ended"]
    assert [one["instance"] for one in ended if one["group"].startswith(ours)] == [lost], ended
