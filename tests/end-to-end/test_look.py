"""What the `evenkeel` command says of an account in which nothing need be deployed, and that it only reads there."""

import json
import re
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from cloud import HERE, NAME, alarm
from test_command import Command

pytestmark = pytest.mark.usefixtures("with_patchroll")
POLICY = HERE.parents[1] / "infra" / "reader-policy.json"
# The actions of a query protocol say no service; their credentials' scope does.
SCOPES = {"monitoring": "cloudwatch"}


@pytest.fixture(autouse=True)
def quiet_alarms(cloud):
    names = ["shop-5xx", "shop-cpu-high"]
    for name in names:
        alarm(cloud, name)
    yield
    cloud.client("cloudwatch").delete_alarms(AlarmNames=names)


class Watching:
    """Passes requests on to an emulator, and adds the actions that they are to `actions`."""

    def __init__(self, upstream, actions):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                actions.add(action(self.path, self.headers, body))
                request = urllib.request.Request(upstream + self.path, data=body, headers=dict(self.headers), method="POST")
                try:
                    answer = urllib.request.urlopen(request, timeout=20)
                except urllib.error.HTTPError as error:
                    answer = error
                with answer:
                    said = answer.read()
                    self.send_response(answer.status)
                    self.send_header("content-type", answer.headers["content-type"] or "text/xml")
                    self.send_header("content-length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def action(path, headers, body):
    scope = re.search(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/", headers["authorization"])[1]
    target = headers.get("x-amz-target")
    if target:
        name = target.rsplit(".", 1)[1]
    elif "/operation/" in path:
        name = path.rsplit("/", 1)[1]
    else:
        name = parse_qs(body.decode())["Action"][0]
    return f"{SCOPES.get(scope, scope)}:{name}"


@pytest.mark.calm
@pytest.mark.takes(60)
def test_a_cluster_becomes_a_fleet_file_is_looked_at_and_planned_and_only_read(story, request, cloud, tmp_path):
    story.shop_at_rest()
    file, seen = tmp_path / "fleet.toml", tmp_path / "seen.json"
    allowed = {action for one in json.loads(POLICY.read_text())["Statement"] for action in one["Action"]}
    # Each emulator has services of its own.
    urls = {name: url for name, url in cloud.environment().items() if name.startswith("AWS_ENDPOINT_URL")}
    actions = set()
    with ExitStack() as stack:
        watched = {name: stack.enter_context(Watching(url, actions)).url for name, url in urls.items()}
        evenkeel = Command(request.config.getoption("--evenkeel"), cloud)

        def says(line):
            return evenkeel.says(line, **watched)

        assert "evenkeel init --cluster shop" in says("init")
        assert "plan" in says(f"init --cluster shop --group shop-burst --out {file}")
        assert "is there already" in evenkeel.refused(f"init --cluster shop --out {file}", **watched)
        assert "fleet shop is fine: 3 pools, 2 services" in says(f"check {file}"), file.read_text()

        screen = says(f"look {file} --out {seen}")
        rows = {line.split()[0]: line.split() for line in screen.splitlines() if line.split()}
        assert rows["web"][2:4] == ["4", "4"] and rows["shop-base"][1:3] == ["3", "3"], screen
        assert "NOT LIVE" in says(f"plan {file} --observed {seen}")
        made_up = says(f"look {file} --json --anonymous")
        assert "shop" not in made_up and "service-1" in made_up, made_up

        plan = says(f"plan {file} --live")
        assert plan.startswith("LIVE: fleet shop") and "A turn of microscale" in plan and "A turn of backfill" in plan, plan
        # The stories' own fleet file, with what its deployment remembers: at rest there is nothing to do.
        own = HERE / "fleets" / "shop.toml"
        plan = json.loads(says(f"plan {own} --live --deployment {NAME} --json"))
        assert plan["steps"] == [] and plan["backfill"]["steps"] == [], plan
        assert "is not there" in evenkeel.refused("init --cluster nobody", **watched)
    assert {"ecs:DescribeTasks", "autoscaling:DescribeAutoScalingInstances"} <= actions, actions
    assert actions <= allowed, actions - allowed


@pytest.mark.calm
@pytest.mark.takes(40)
def test_every_example_of_the_commands_that_look_works_as_it_is_printed(story, request, cloud, tmp_path):
    story.shop_at_rest()
    evenkeel = Command(request.config.getoption("--evenkeel"), cloud)
    lines = [line for command in ("look", "init", "plan") for line in evenkeel.examples(command)]
    lines = [line for line in lines if not line.startswith("plan") or "--live" in line]
    assert len(lines) >= 7, lines
    for line in lines:
        line = line.replace("infra/fleets/shop.toml", str(HERE / "fleets" / "shop.toml"))
        line = line.replace("fleet.toml", str(tmp_path / "fleet.toml")).replace("seen.json", str(tmp_path / "seen.json"))
        line = line.replace("--deployment evenkeel", f"--deployment {NAME}")
        assert evenkeel.says(line)
