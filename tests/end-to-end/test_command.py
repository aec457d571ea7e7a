"""The `evenkeel` command as people operate a deployment with it, and what it says where AWS says no."""

import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cloud import NAME, alarm, read_body

pytestmark = pytest.mark.usefixtures("with_patchroll")
# The commands that need a deployment.
LIVE = ("status", "why", "decisions", "hold", "release", "retry", "push", "page")
VERBS = ("plan", "start", "pause", "resume", "abort", "status")


class Command:
    """The command, for the deployment of the stories."""

    def __init__(self, path, cloud):
        self.path = os.path.realpath(path)
        self.cloud = cloud

    def environment(self, **more):
        mine = self.cloud.environment() | {"EVENKEEL_DEPLOYMENT": NAME, "COLUMNS": "1000", "HOME": str(self.cloud.folder)} | more
        return {key: value for key, value in mine.items() if value is not None}

    def __call__(self, line, **more):
        arguments = [self.path, *shlex.split(line)]
        return subprocess.run(arguments, capture_output=True, text=True, env=self.environment(**more), timeout=90)

    def says(self, line, **more):
        done = self(line, **more)
        assert done.returncode == 0, f"evenkeel {line}: {done.stderr}{done.stdout}"
        return done.stdout

    def refused(self, line, **more):
        done = self(line, **more)
        assert done.returncode == 1, f"evenkeel {line} ended with {done.returncode}: {done.stderr}{done.stdout}"
        return done.stderr

    def begin(self, line, **more):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([self.path, *shlex.split(line)], env=self.environment(**more), **pipes)

    def examples(self, *command):
        """What the help of a command prints as examples."""
        lines = iter(self.says(shlex.join([*command, "--help"])).splitlines())
        for line in lines:
            if line.startswith("Example"):
                break
        return [line.strip().removeprefix("evenkeel ") for line in lines if line.startswith("  evenkeel ")]


@pytest.fixture
def evenkeel(request, cloud):
    return Command(request.config.getoption("--evenkeel"), cloud)


@pytest.fixture(autouse=True)
def quiet_halt_alarm(cloud):
    alarm(cloud, "shop-5xx")
    yield
    cloud.client("cloudwatch").delete_alarms(AlarmNames=["shop-5xx"])


@pytest.mark.calm
@pytest.mark.takes(30)
def test_a_fleet_is_looked_at_and_steered_with_the_command(story, evenkeel):
    story.shop_at_rest()

    def numbers():
        screen = evenkeel.says("status shop")
        return screen, {line.split()[0]: line.split() for line in screen.splitlines() if line.split()}

    # Wanted and running: what the last turn saw may be a moment old.
    story.until(lambda: numbers()[1]["web"][3:5] == ["4", "4"], 20, "the screen shows four of web")
    screen, seen = numbers()
    assert seen["base"][1] == "3" and seen["spot"][1] == "2", screen
    assert "STOPPED" not in screen and "\x1b" not in screen, screen
    every = json.loads(evenkeel.says("status --json"))
    assert {"shop"} <= {fleet["fleet"] for fleet in every["fleets"]}, every

    said = evenkeel.says("why web --fleet shop")
    assert "a service of priority 1: 4 wanted, 4 run" in said and "microscale" in said, said
    decided = [json.loads(line) for line in evenkeel.says("decisions --fleet shop --of web --json").splitlines()]
    assert decided and all("web" in json.dumps(one) and one["text"] for one in decided), decided
    assert "did you mean web?" in evenkeel.refused("why wbe --fleet shop")

    assert "no on-demand host is given back" in evenkeel.says("hold --fleet shop")
    assert "on hold by request" in evenkeel.says("status shop")
    assert "given back again" in evenkeel.says("release --fleet shop")

    assert "the demand of pick is 30 now" in evenkeel.says("push pick=30 --fleet depot")
    story.until(lambda: story.depot.desired()["pick"] == 3, 30, "what was sent is followed")
    said = evenkeel.refused("push web=1 --fleet shop")
    assert "demand = { manual = true" in said and "demand can be sent for none" in said, said
    assert "serves several fleets: shop, depot, yard" in evenkeel.refused("why web")


@pytest.mark.calm
@pytest.mark.takes(90)
def test_a_roll_is_watched_to_its_end_and_the_exit_code_says_which(story, evenkeel):
    shop = story.shop
    story.shop_at_rest()
    old = set(shop.members("shop-base"))
    shop.new_image()
    plan = evenkeel.says("roll plan --fleet shop")
    assert "a roll would replace 5 hosts in 5 waves" in plan and "wave 5 would be" in plan, plan
    assert "no roll is under way" in evenkeel.refused("roll pause --fleet shop")

    examples = {line for verb in VERBS for line in evenkeel.examples("roll", verb)}
    evenkeel.says(taken(examples, "roll start --fleet shop --pool base --by anna"))
    assert "is under way" in evenkeel.refused("roll start --fleet shop")
    assert "by anna" in evenkeel.says(taken(examples, "roll status --fleet shop"))
    evenkeel.says(taken(examples, "roll pause --fleet shop"))
    watched = evenkeel.begin(taken(examples, "roll resume --fleet shop --watch"))
    evenkeel.says(taken(examples, "roll abort --fleet shop"))
    story.until(lambda: watched.poll() is not None, 60, "the aborted roll's end")
    assert watched.returncode == 4, watched.communicate()

    started = evenkeel.begin(taken(examples, "roll start --fleet shop --watch"))
    story.pause(3)
    beside = evenkeel.begin(taken(examples, "roll status --fleet shop --watch"))
    story.until(lambda: None not in (started.poll(), beside.poll()), 240, "the roll's end")
    said, complaint = started.communicate()
    assert started.returncode == 0 and beside.returncode == 0, said + complaint
    assert "wave 2 of" in said and re.search(r"ended at .*, done: \d hosts replaced", said), said
    assert not old & set(shop.members("shop-base"))
    assert "end roll" in evenkeel.says("why roll --fleet shop")
    assert taken(examples, "roll plan --fleet shop") and not examples, f"not tried: {examples}"


def taken(examples, line):
    examples.remove(line)
    return line


@pytest.mark.calm
@pytest.mark.takes(40)
def test_every_example_in_the_help_works_as_it_is_printed(story, evenkeel):
    story.shop_at_rest()
    lines = [line for command in LIVE for line in evenkeel.examples(command)]
    assert {line.split()[0] for line in lines} == set(LIVE), lines
    for line in lines:
        if line.startswith("push"):
            # The stories' shop measures its demand; the depot is sent its own.
            line = line.replace("web=1200 --fleet shop", "pick=30 --fleet depot")
        if line.startswith("page"):
            line = re.sub(r" --port \d+", "", line) + " --port 0"
        endless = line.startswith("page") or "--watch" in line or "--follow" in line
        if not endless:
            if line == "status":
                # All fleets of the deployment: the others have turns only when their stories want some.
                for fleet in ("depot", "yard"):
                    story.deployed.invoke("microscale", {"fleet": fleet, "beat": "2026-01-05T00:00:00Z"})
                story.until(lambda: evenkeel(line).returncode == 0, 30, "all fleets")
            evenkeel.says(line)
            continue
        going = evenkeel.begin(line)
        story.pause(3)
        assert going.poll() is None, f"evenkeel {line} ended: {going.communicate()}"
        going.send_signal(signal.SIGINT)
        said, complaint = going.communicate(timeout=20)
        assert said, f"evenkeel {line} said nothing: {complaint}"


@pytest.mark.calm
def test_the_page_is_read_with_ones_own_credentials(story, evenkeel):
    story.shop_at_rest()
    going = evenkeel.begin("page shop --port 0")
    try:
        first = going.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert url and "live" in first, first + going.stderr.read()
        with urllib.request.urlopen(url[0] + "/api/view", timeout=20) as answer:
            assert json.load(answer)["fleet"] == "shop"
        with urllib.request.urlopen(url[0] + "/", timeout=20) as answer:
            assert "<html" in answer.read().decode().lower()
    finally:
        going.send_signal(signal.SIGINT)
    assert going.wait(20) == 0


@pytest.mark.calm
def test_each_error_says_what_to_type_next(story, evenkeel, cloud):
    story.shop_at_rest()
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    iam = cloud.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    stranger = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    cases = [
        ("status shop", nobody, ["no usable credentials", "aws sso login"]),
        ("roll start --fleet shop", nobody, ["no usable credentials", "asked patchroll to start", "aws sso login"]),
        ("status shop", {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, ["no region is set", "--region eu-west-1"]),
        ("status shop --deployment other", {}, ["there is no table other", "--deployment", "aws dynamodb list-tables"]),
        ("status --deployment other", {}, ["there is no deployment other", "aws lambda list-functions"]),
        ("hold --fleet shop --deployment other", {}, ["there is no function other-backfill", "--deployment"]),
        ("status nobody", {}, ["no turn has been taken for fleet nobody", "`evenkeel status`"]),
        ("roll start --fleet nobody", {}, ["fleet nobody is not served here", "shop, depot, yard"]),
        ("status shop", stranger, ["not allowed", "dynamodb:BatchGetItem"]),
        ("roll start --fleet shop", stranger, ["not allowed", "lambda:InvokeFunction"]),
    ]
    try:
        for line, environment, expected in cases:
            said = evenkeel.refused(line, **environment)
            assert all(part in said for part in expected), f"evenkeel {line}: {said}\nlacks one of {expected}"
    finally:
        iam.delete_access_key(UserName="nobody", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="nobody")
    # What no emulator says.
    for code, expected in [
        ("ExpiredTokenException", ["have expired", "aws sso login"]),
        ("ThrottlingException", ["no more calls", "type the same again"]),
        ("UnrecognizedClientException", ["does not know", "aws sts get-caller-identity"]),
    ]:
        with saying(code) as url:
            said = evenkeel.refused("status shop", AWS_ENDPOINT_URL=url)
        assert all(part in said for part in expected), f"{code}: {said}"


class saying:
    """An AWS that answers each call with one error."""

    def __init__(self, code):
        body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "because a story says so"}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(400)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Counting:
    """Passes requests on to an emulator, and counts them."""

    def __init__(self, upstream):
        counting, self.calls = self, []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                counting.calls.append(self.headers.get("x-amz-target") or self.path)
                request = urllib.request.Request(upstream + self.path, data=body, headers=dict(self.headers), method=self.command)
                with urllib.request.urlopen(request, timeout=20) as answer:
                    said = answer.read()
                    self.send_response(answer.status)
                    self.send_header("content-type", answer.headers["content-type"])
                    self.send_header("content-length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.calm
def test_a_hundred_hosts_cost_three_calls_and_a_moment(story, evenkeel, cloud):
    """What the ledger holds of the shop, with a hundred hosts and a thousand decisions."""
    story.shop_at_rest()
    table = cloud.client("dynamodb")
    kept = table.query(TableName=NAME, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "fleet#shop"}})
    mine = []

    def put(sort, body):
        item = {"pk": {"S": "fleet#hundred"}, "sk": {"S": sort}, "version": {"N": "1"}, "body": {"S": body}}
        mine.append({"pk": item["pk"], "sk": item["sk"]})
        table.put_item(TableName=NAME, Item=item)

    decided = None
    for item in kept["Items"]:
        sort, body = item["sk"]["S"], read_body(item["body"])
        if sort.startswith("view#") and isinstance(body["hosts"], list):
            body["hosts"] = [host | {"id": f"i-{number:017x}"} for number in range(100) for host in body["hosts"][:1]]
        elif sort.startswith("decision#"):
            decided = decided or body
            continue
        put(sort, body if isinstance(body, str) else json.dumps(body))
    now = time.time()
    for number in range(1000):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - 3 * number)) + f".{number % 1000:03}Z"
        put(f"decision#{at}#microscale-{number}", json.dumps([one | {"at": at} for one in decided]))
    counting = Counting(cloud.urls["ministack"])
    try:
        for line in ("status hundred", "why web --fleet hundred", "decisions --fleet hundred"):
            counting.calls.clear()
            evenkeel.says(line, AWS_ENDPOINT_URL=counting.url)
            assert len(counting.calls) <= 3, f"evenkeel {line}: {counting.calls}"
            took = []
            for _ in range(5):
                began = time.perf_counter()
                evenkeel.says(line)
                took.append(time.perf_counter() - began)
            print(f"evenkeel {line}: {len(counting.calls)} calls, {statistics.median(took) * 1000:.0f} ms, at best {min(took) * 1000:.0f}")
            # Other stories keep both cores busy meanwhile: the best of five is what it costs.
            assert min(took) <= 0.3, f"evenkeel {line}: {took}"
    finally:
        counting.stop()
        for key in mine:
            table.delete_item(TableName=NAME, Key=key)
