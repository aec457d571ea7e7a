"""The same in Python with boto3 and in Node with SDK v3: a start with four clients, and a loop that makes given calls."""

import json
import shutil
import subprocess
import sys

# The four clients that the comparisons of a start make, as microscale has at least these.
PYTHON_START = """
import os, urllib.request, boto3
for service in ("ecs", "autoscaling", "dynamodb", "cloudwatch"):
    boto3.client(service)
urllib.request.urlopen("http://%s/2018-06-01/runtime/invocation/next" % os.environ["AWS_LAMBDA_RUNTIME_API"])
"""
NODE_START = """
import { ECSClient } from "@aws-sdk/client-ecs";
import { AutoScalingClient } from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CloudWatchClient } from "@aws-sdk/client-cloudwatch";
const clients = [ECSClient, AutoScalingClient, DynamoDBClient, CloudWatchClient].map((Client) => new Client({}));
await fetch(`http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next`);
"""
# One call after the other, as such functions are mostly written. What the calls of one turn are is in `CALLS`.
PYTHON_TURNS = """
import http.client, json, os, boto3
from botocore import xform_name
clients, calls = {}, json.loads(os.environ["CALLS"])
for service, operation, given in calls:
    clients.setdefault(service, boto3.client(service))
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    event = runtime.getresponse()
    json.loads(event.read())
    for service, operation, given in calls:
        getattr(clients[service], xform_name(operation))(**given)
    request = event.headers["lambda-runtime-aws-request-id"]
    runtime.request("POST", "/2018-06-01/runtime/invocation/%s/response" % request, b"{}")
    runtime.getresponse().read()
"""
NODE_TURNS = """
const names = { autoscaling: "auto-scaling" };
const calls = JSON.parse(process.env.CALLS), clients = {}, modules = {};
for (const [service, , given] of calls) {
  for (const time of ["StartTime", "EndTime"]) if (given[time]) given[time] = new Date(given[time] * 1000);
  if (clients[service]) continue;
  modules[service] = await import(`@aws-sdk/client-${names[service] ?? service}`);
  const name = Object.keys(modules[service]).find((name) => name.endsWith("Client") && !name.startsWith("__") && name.length > 6);
  clients[service] = new modules[service][name]({});
}
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
for (;;) {
  const event = await fetch(`${runtime}/next`);
  await event.json();
  for (const [service, operation, given] of calls) {
    await clients[service].send(new modules[service][`${operation}Command`](given));
  }
  const request = event.headers.get("lambda-runtime-aws-request-id");
  await (await fetch(`${runtime}/${request}/response`, { method: "POST", body: "{}" })).text();
}
"""
# The packages of everything that the functions call.
NODE_PACKAGES = ["ecs", "auto-scaling", "dynamodb", "cloudwatch", "ec2", "ssm", "sqs"]
# What a call is given whose request is not JSON.
GIVEN = {
    "DescribeAutoScalingGroups": {"AutoScalingGroupNames": ["large-base", "large-spot", "large-burst"], "MaxRecords": 100},
    "DescribeSpotInstanceRequests": {"Filters": [{"Name": "instance-id", "Values": ["i-0"]}]},
    "DescribeInstances": {"Filters": [{"Name": "instance-id", "Values": ["i-0"]}]},
    "DescribeLaunchTemplateVersions": {"LaunchTemplateId": "lt-00000001", "Versions": ["1"]},
    "DescribeAlarms": {"AlarmNames": ["large"]},
}


def given_of(operation, captured, now):
    """The parameters of a call in all SDKs' terms."""
    if captured is not None:
        return captured
    if operation == "GetMetricData":
        metric = {"Namespace": "large", "MetricName": "Requests"}
        query = {"Id": "m0", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
        return {"MetricDataQueries": [query], "StartTime": now - 360, "EndTime": now}
    return GIVEN[operation]


class Python:
    name = "Python + boto3"

    def __init__(self, cache):
        home = cache / "python"
        self.python, self.home = home / "bin" / "python", home
        if not (home / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            subprocess.run([str(self.python), "-m", "pip", "install", "-q", "boto3"], check=True, capture_output=True)
            (home / "ready").touch()

    def start(self):
        return [str(self.python), "-c", PYTHON_START], self.home

    def turns(self, calls):
        return [str(self.python), "-c", PYTHON_TURNS], self.home, {"CALLS": json.dumps(calls)}


class Node:
    name = "Node + SDK v3"

    def __init__(self, cache):
        if shutil.which("npm") is None:
            raise FileNotFoundError("npm is not installed")
        self.home = cache / "node"
        ready = self.home / f"ready-{len(NODE_PACKAGES)}"
        if not ready.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            packages = ["@aws-sdk/client-" + name for name in NODE_PACKAGES]
            install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(self.home), *packages]
            subprocess.run(install, cwd=self.home, check=True, capture_output=True)
            ready.touch()
        (self.home / "start.mjs").write_text(NODE_START)
        (self.home / "turns.mjs").write_text(NODE_TURNS)

    def start(self):
        return ["node", str(self.home / "start.mjs")], self.home

    def turns(self, calls):
        return ["node", str(self.home / "turns.mjs")], self.home, {"CALLS": json.dumps(calls)}


def installed(cache):
    """Those that can be installed here."""
    for other in (Python, Node):
        try:
            yield other(cache)
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"{other.name} is left out: {problem}")
