"""The account that the stories play in: two emulators as processes of our own, and the deployment on them."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import boto3
import faults
from botocore.config import Config

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "infra"))

from deployment.fleet import Fleet  # noqa: E402
from deployment.functions import ALL  # noqa: E402, F401
from world.recorder import DEPLOYING  # noqa: E402
from world.where import ACCOUNT, REGION  # noqa: E402

PLAYED_BY_THE_WORLD = ("ECS", "EC2", "AUTO_SCALING", "APPLICATION_AUTO_SCALING", "ELASTIC_LOAD_BALANCING_V2")
NAME = "keel"
# The longest that an emulator may take to be there.
READY = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cloud:
    """Both emulators, and clients for them; with faults, what the functions call goes through a proxy for each."""

    def __init__(self, folder, with_faults=False):
        self.folder = folder
        self.with_faults = with_faults
        names = ["world", "ministack"] + ["world-proxy", "ministack-proxy"] * with_faults
        self.ports = {name: free_port() for name in names}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.processes = []
        # Access key to the function that it stands for, and what its role allows: since when, until when, and the statements.
        self.roles = {}

    def environment(self, through=""):
        """What a process needs to find the emulators, and nothing of the account of whoever runs the tests."""
        foreign = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
        mine = {key: value for key, value in os.environ.items() if key not in foreign}
        mine |= {
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "EVENKEEL_WIRE": str(self.folder),
            "AWS_ENDPOINT_URL": self.urls["ministack" + through],
            "PYTHONPATH": str(HERE),
        }
        return mine | {f"AWS_ENDPOINT_URL_{service}": self.urls["world" + through] for service in PLAYED_BY_THE_WORLD}

    def deploying(self):
        """The same for infra/deploy, of which everything is recorded."""
        return self.environment() | {"AWS_SDK_UA_APP_ID": DEPLOYING}

    def start(self):
        os.environ.update(self.environment())
        world = [sys.executable, "-m", "world.server", str(self.ports["world"]), self.urls["ministack"]]
        self._run("world", world, self.environment())
        emulator = {
            "GATEWAY_PORT": str(self.ports["ministack"]),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "CLOUDTRAIL_RECORDING": "1",
            "AUTH": "true",
            # What it unpacks and keeps is nobody else's.
            "STATE_DIR": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        # Functions inherit this process's environment, and with it whom they call.
        through = "-proxy" if self.with_faults else ""
        self._run("ministack", [sys.executable, "-m", "world.ministack"], self.environment(through) | emulator)
        self._ready(f"{self.urls['ministack']}/_ministack/ready")
        self._ready(f"{self.urls['world']}/moto-api/data.json")
        for name in ("world", "ministack") if self.with_faults else ():
            self._start_proxy(name)

    def _start_proxy(self, name):
        config = self.folder / f"{name}-faults.json"
        config.write_text(json.dumps({"rules": faults.rules()}))
        proxy = f"{name}-proxy"
        command = [sys.executable, "-m", "world.proxy", "--host", "127.0.0.1", "--port", str(self.ports[proxy])]
        self._run(proxy, [*command, "--upstream", self.urls[name], "--config", str(config), "--no-resign"], self.environment())
        self._ready(f"{self.urls[proxy]}/_microburst/health")

    def fired(self):
        """How often each fault happened to each service."""
        count = Counter()
        for name in ("world-proxy", "ministack-proxy"):
            with urllib.request.urlopen(f"{self.urls[name]}/_microburst/fired?limit=100000", timeout=10) as answer:
                count.update(f"{one['service']} {one['action'].split(':')[0]}" for one in json.load(answer))
        return count

    def _run(self, name, command, environment):
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=HERE, start_new_session=True
            )
        self.processes.append((name, process))

    def _ready(self, url):
        until = time.time() + READY
        while time.time() < until:
            for name, process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"{url} did not answer in {READY} s")

    def recordings(self):
        """What the product asked of both emulators, and what it was answered."""
        return [self.folder / f"{name}.jsonl" for name in ("world", "ministack")]

    def stop(self):
        """Each emulator with the processes that it started: functions are its children."""
        for _, process in self.processes:
            for sign, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
                try:
                    os.killpg(process.pid, sign)
                except ProcessLookupError:
                    break
                try:
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def denied(self):
        """The calls that MiniStack's IAM refused, as its log says them."""
        lines = (self.folder / "ministack.log").read_text().splitlines()
        return [line for line in lines if line.startswith("DENIED")]

    @cache  # noqa: B019 (one cloud a run, and a client takes a while to make)
    def client(self, service):
        # A turn is waited for, and an answer is looked at once: what fails is the story's business.
        return boto3.client(service, region_name=REGION, config=Config(read_timeout=40, retries={"max_attempts": 1}))

    @cache  # noqa: B019 (the same after each reset, and hundreds of them)
    def images(self, processor="x86_64"):
        """The images for a processor that the world begins with, in order."""
        of = [{"Name": "architecture", "Values": [processor]}]
        return sorted(image["ImageId"] for image in self.client("ec2").describe_images(Owners=["amazon"], Filters=of)["Images"])

    def world(self, command, **given):
        """Tells the world something, or asks it."""
        body = json.dumps(given).encode()
        request = urllib.request.Request(f"{self.urls['world']}/world/{command}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class Deployed:
    """What `infra/deploy` made of fleet files, and what may be asked of it."""

    def __init__(self, cloud, options, name=NAME):
        self.cloud = cloud
        self.options = options
        self.name = name
        self.functions = []
        self.known_at = 0.0

    def run(self, script, *arguments, **given):
        command = [sys.executable, str(REPOSITORY / "infra" / script), "--name", self.name, *map(str, arguments)]
        command += ["--endpoint-url", self.cloud.urls["ministack"]]
        return subprocess.run(command, capture_output=True, text=True, env=self.cloud.deploying(), **given)

    def deploy(self, *fleets, more=()):
        files = [argument for fleet in fleets for argument in ("--fleet", fleet)]
        done = self.run("deploy", *files, *self.options, *more)
        self.know_roles()
        return done

    def know_roles(self):
        """Tells the world which access key is which role, so that it allows what IAM would. What a role allows now may have
        been so since the last look, and what it allowed then until now."""
        before, self.known_at = self.known_at, time.time()
        api, roles = self.cloud.client("lambda"), {}
        self.functions = []
        for found in api.list_functions()["Functions"]:
            if found["FunctionName"].startswith(f"{self.name}-"):
                self.functions.append(found["FunctionName"].removeprefix(f"{self.name}-"))
                roles[key_of(found)] = self.statements(found["Role"])
                _, allowed = self.cloud.roles.setdefault(key_of(found), (found["FunctionName"], []))
                if not allowed or allowed[-1][2] != roles[key_of(found)]:
                    allowed[-1:] = [(since, self.known_at, last) for since, _, last in allowed[-1:]]
                    allowed.append((before, float("inf"), roles[key_of(found)]))
        self.cloud.world("roles", roles=roles)

    def statements(self, role):
        """All statements of a role, of its own policies and of those that it shares."""
        iam, name, statements = self.cloud.client("iam"), role.rsplit("/", 1)[-1], []
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            statements += document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])["Statement"]
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]
            statements += document(found["Document"])["Statement"]
        return statements

    def keys(self):
        """Access key to function."""
        found = self.cloud.client("lambda").list_functions()["Functions"]
        mine = [one for one in found if one["FunctionName"].startswith(f"{self.name}-")]
        return {key_of(one): one["FunctionName"].removeprefix(f"{self.name}-") for one in mine}

    def invoke(self, function, payload):
        """Calls a function and waits. Gives its error's kind, if it failed, and its answer: that about the fleet, where it is one.
        Behind the fault proxy it asks again, as a person would who is told that AWS was not reached."""
        body = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        for _ in range(8 if self.cloud.with_faults else 1):
            answer = self.cloud.client("lambda").invoke(FunctionName=f"{self.name}-{function}", Payload=body)
            said = json.loads(answer["Payload"].read() or b"null")
            error = said["errorType"] if answer.get("FunctionError") else None
            if error != "Failed":
                break
        answers = said.get("answers") if isinstance(said, dict) else None
        return error, answers[0] if answers and len(answers) == 1 else said

    def tick(self):
        """What the rule of the tick does each minute, now: its targets are read off the rule."""
        event = json.loads((REPOSITORY / "events" / "tick-rule.json").read_text())
        event["time"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        targets = self.cloud.client("events").list_targets_by_rule(Rule=f"{self.name}-tick")["Targets"]
        if not targets:
            raise AssertionError("the tick's rule has no targets")
        api = self.cloud.client("lambda")
        for target in targets:
            api.invoke(FunctionName=target["Arn"], Payload=json.dumps(event), InvocationType="Event")

    def items(self, fleet, begins=""):
        """The ledger's items of a fleet, with their bodies read."""
        table = self.cloud.client("dynamodb")
        found, more = [], {}
        while True:
            answer = table.query(
                TableName=self.name,
                KeyConditionExpression="pk = :pk and begins_with(sk, :sk)" if begins else "pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"fleet#{fleet}"}, **({":sk": {"S": begins}} if begins else {})},
                ConsistentRead=True,
                **more,
            )
            found += [(item["sk"]["S"], read_body(item["body"])) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def decisions(self, fleet):
        """All that was decided, in order; an item holds what one round decided."""
        return [decision for _, decisions in self.items(fleet, "decision#") for decision in decisions]

    def dead_letters(self):
        """What waits in the dead-letter queue; it stays there."""
        sqs = self.cloud.client("sqs")
        url = sqs.get_queue_url(QueueName=f"{self.name}-dead-letters")["QueueUrl"]
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]

    def put_in_force(self, fleet):
        """Puts another file of a fleet in force. A process reads it once a minute, and at once where it is told that others
        work by another one: here that of nobody."""
        ssm, parameter = self.cloud.client("ssm"), f"/evenkeel/fleets/{fleet.name}"
        if ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == fleet.text:
            return
        ssm.put_parameter(Name=parameter, Value=fleet.text, Type="String", Overwrite=True)
        self.cloud.client("dynamodb").update_item(
            TableName=self.name,
            Key={"pk": {"S": f"fleet#{fleet.name}"}, "sk": {"S": "turn#fleet-file"}},
            UpdateExpression="SET body = :body ADD version :one",
            ExpressionAttributeValues={":body": {"S": "0"}, ":one": {"N": "1"}},
        )

    def forget(self):
        """Empties the ledger and the queues, as if nothing had happened yet. The last good fleet file stays: functions
        that run already have it, and do not write it again."""
        table = self.cloud.client("dynamodb")
        keys, stays = {"ProjectionExpression": "pk, sk"}, ("good-file", "turn#fleet-file")
        for page in table.get_paginator("scan").paginate(TableName=self.name, PaginationConfig={"PageSize": 25}, **keys):
            gone = [{"DeleteRequest": {"Key": key}} for key in page["Items"] if key["sk"]["S"] not in stays]
            if gone:
                table.batch_write_item(RequestItems={self.name: gone})
        self.purge()

    def purge(self):
        """Empties the queues."""
        sqs = self.cloud.client("sqs")
        for url in sqs.list_queues(QueueNamePrefix=f"{self.name}-").get("QueueUrls", []):
            sqs.purge_queue(QueueUrl=url)


def read_body(attribute):
    """Large bodies are deflated. Most are JSON; the last good fleet file is kept as it was written."""
    text = attribute.get("S") or zlib.decompress(attribute["B"]).decode()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def key_of(function):
    """The access key that MiniStack gives a function: it stands for the function and its role."""
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    return f"ASIA{digest[:16].upper()}"


def document(given):
    return json.loads(given) if isinstance(given, str) else given


def alarm(cloud, name, state="OK"):
    """An alarm whose state is what stories set: there is nothing to measure."""
    watch = cloud.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName=name,
        Namespace="stories",
        MetricName=name,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=10,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    watch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a story says so")


class Patience:
    """How much longer than usual everything may take: behind the fault proxy calls and turns are repeated."""

    factor = 1


def eventually(check, within, what, every=0.3, meanwhile=None):
    """Waits until `check` gives something true, and gives it. `meanwhile` runs between two looks and may raise."""
    within *= Patience.factor
    until = time.time() + within
    while True:
        seen = check()
        if seen:
            return seen
        if time.time() > until:
            raise AssertionError(f"not within {within} s: {what}; last seen: {seen!r}")
        if meanwhile:
            meanwhile()
        time.sleep(every)
