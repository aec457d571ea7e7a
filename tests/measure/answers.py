"""What AWS answers about a quiet fleet of a hundred hosts, ten services and two hundred tasks, as fast as loopback allows.

The answers are as large as AWS's own: a host has some forty attributes, a service its last hundred events. The table is one
that knows the expressions of the ledger and no others.
"""

import json
import struct
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl

from .month import read_units, size_of, write_units
from .runtime import Server

HOSTS = {"large-base": range(0, 60), "large-spot": range(60, 100), "large-burst": range(0)}
SERVICES = {"web": 20, **{f"job-{number}": 15 for number in range(1, 9)}, "reports": 60}
ECS = "arn:aws:ecs:us-east-1:123456789012"
LONG_AGO = 1_767_571_200
ISO = "2026-01-05T00:00:00.000Z"


def instance(number):
    return f"i-{number:017x}"


def host(number):
    parts = {"CPU": 4096, "MEMORY": 7482}
    left = {"CPU": 0, "MEMORY": 1482}
    resources = lambda values: [  # noqa: E731
        *({"name": name, "type": "INTEGER", "integerValue": value} for name, value in values.items()),
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2375", "2376", "51678", "51679"]},
        {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
    ]
    capabilities = [{"name": f"com.amazonaws.ecs.capability.docker-remote-api.1.{minor}"} for minor in range(17, 52)]
    return {
        "containerInstanceArn": f"{ECS}:container-instance/large/{number:032x}",
        "ec2InstanceId": instance(number),
        "version": 7,
        "versionInfo": {"agentVersion": "1.97.0", "agentHash": "abcdef12", "dockerVersion": "DockerVersion: 25.0.8"},
        "status": "ACTIVE",
        "agentConnected": True,
        "runningTasksCount": 2,
        "pendingTasksCount": 0,
        "registeredResources": resources(parts),
        "remainingResources": resources(left),
        "registeredAt": LONG_AGO,
        "attributes": [
            {"name": "ecs.availability-zone", "value": "us-east-1a"},
            {"name": "ecs.ami-id", "value": "ami-00000001"},
            {"name": "ecs.instance-type", "value": "m7i.large"},
            *capabilities,
        ],
        "tags": [],
    }


def tasks():
    """Task number to its service, two to a host."""
    return [name for name, count in SERVICES.items() for _ in range(count)]


def task(number, service):
    definition = f"{ECS}:task-definition/{service}:1"
    arn = f"{ECS}:task/large/{number:032x}"
    return {
        "taskArn": arn,
        "clusterArn": f"{ECS}:cluster/large",
        "containerInstanceArn": f"{ECS}:container-instance/large/{number // 2:032x}",
        "taskDefinitionArn": definition,
        "group": f"service:{service}",
        "startedBy": f"ecs-svc/{number:019}",
        "launchType": "EC2",
        "desiredStatus": "RUNNING",
        "lastStatus": "RUNNING",
        "healthStatus": "HEALTHY",
        "connectivity": "CONNECTED",
        "cpu": "2048",
        "memory": "3000",
        "createdAt": LONG_AGO,
        "startedAt": LONG_AGO + 9,
        "version": 3,
        "attachments": [],
        "overrides": {"containerOverrides": [{"name": service}], "inferenceAcceleratorOverrides": []},
        "containers": [
            {
                "containerArn": f"{ECS}:container/large/{number:032x}/c",
                "taskArn": arn,
                "name": service,
                "image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{service}:1",
                "imageDigest": "sha256:" + "0" * 64,
                "runtimeId": "0" * 64,
                "lastStatus": "RUNNING",
                "networkBindings": [{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}],
                "cpu": "2048",
                "memory": "3000",
            }
        ],
    }


def service(name):
    definition = f"{ECS}:task-definition/{name}:1"
    event = {"createdAt": LONG_AGO, "message": f"(service {name}) has reached a steady state."}
    deployment = {
        "id": "ecs-svc/1",
        "status": "PRIMARY",
        "taskDefinition": definition,
        "desiredCount": SERVICES[name],
        "runningCount": SERVICES[name],
        "pendingCount": 0,
        "rolloutState": "COMPLETED",
        "createdAt": LONG_AGO,
        "updatedAt": LONG_AGO,
    }
    return {
        "serviceArn": f"{ECS}:service/large/{name}",
        "serviceName": name,
        "clusterArn": f"{ECS}:cluster/large",
        "status": "ACTIVE",
        "desiredCount": SERVICES[name],
        "runningCount": SERVICES[name],
        "pendingCount": 0,
        "launchType": "EC2",
        "taskDefinition": definition,
        "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
        "deploymentController": {"type": "ECS"},
        "deployments": [deployment],
        "schedulingStrategy": "REPLICA",
        "placementConstraints": [],
        "placementStrategy": [{"type": "spread", "field": "instanceId"}],
        "loadBalancers": [],
        "createdAt": LONG_AGO,
        "events": [{"id": f"{number:036}", **event} for number in range(100)],
    }


def definition(arn):
    name = arn.split("/")[-1].split(":")[0]
    container = {"name": name, "image": name, "cpu": 2048, "memory": 3000, "essential": True}
    found = {"taskDefinitionArn": arn, "family": name, "revision": 1, "networkMode": "bridge", "status": "ACTIVE"}
    return {"taskDefinition": {**found, "requiresCompatibilities": ["EC2"], "containerDefinitions": [container]}}


def group(name):
    members = HOSTS[name]
    of = "".join(
        f"<member><InstanceId>{instance(number)}</InstanceId><InstanceType>m7i.large</InstanceType>"
        "<AvailabilityZone>us-east-1a</AvailabilityZone><LifecycleState>InService</LifecycleState>"
        "<HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn><LaunchTemplate>"
        "<LaunchTemplateId>lt-00000001</LaunchTemplateId><LaunchTemplateName>large</LaunchTemplateName><Version>1</Version>"
        "</LaunchTemplate></member>"
        for number in members
    )
    return (
        f"<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>110</MaxSize>"
        f"<DesiredCapacity>{len(members)}</DesiredCapacity><Instances>{of}</Instances><LaunchTemplate>"
        "<LaunchTemplateId>lt-00000001</LaunchTemplateId><Version>$Latest</Version></LaunchTemplate></member>"
    )


def items(each, numbers):
    return "".join(f"<item>{each(number)}</item>" for number in numbers)


EC2 = {
    "DescribeSpotInstanceRequests": "<spotInstanceRequestSet>{}</spotInstanceRequestSet>".format(
        items(
            lambda number: f"<instanceId>{instance(number)}</instanceId><state>active</state><status><code>fulfilled</code>"
            f"<updateTime>{ISO}</updateTime></status>",
            HOSTS["large-spot"],
        )
    ),
    "DescribeInstances": "<reservationSet>{}</reservationSet>".format(
        items(
            lambda number: f"<instancesSet><item><instanceId>{instance(number)}</instanceId><imageId>ami-00000001</imageId>"
            f"<launchTime>{ISO}</launchTime><instanceState><code>16</code><name>running</name></instanceState>"
            "</item></instancesSet>",
            range(100),
        )
    ),
    "DescribeLaunchTemplateVersions": "<launchTemplateVersionSet><item><launchTemplateId>lt-00000001</launchTemplateId>"
    "<launchTemplateName>large</launchTemplateName><versionNumber>1</versionNumber><defaultVersion>true</defaultVersion>"
    "<launchTemplateData><imageId>ami-00000001</imageId></launchTemplateData></item></launchTemplateVersionSet>",
}


def cbor(value):
    """The part of CBOR (RFC 8949) that the answers need."""

    def head(kind, size):
        if size < 24:
            return bytes([kind << 5 | size])
        return bytes([kind << 5 | 26]) + struct.pack(">I", size)

    match value:
        case str():
            return head(3, len(value.encode())) + value.encode()
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case int():
            return head(0, value)
        case datetime():
            return b"\xc1" + cbor(value.timestamp())
        case list():
            return head(4, len(value)) + b"".join(map(cbor, value))
        case dict():
            return head(5, len(value)) + b"".join(cbor(key) + cbor(inner) for key, inner in value.items())
    raise TypeError(type(value))


def metric_data(_):
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    begin = datetime.fromtimestamp(now.timestamp() - 60, timezone.utc)
    result = {"Label": "Requests", "StatusCode": "Complete", "Timestamps": [begin], "Values": [900.0]}
    # As many as anybody could ask for: what nobody asked for is passed over.
    return {"MetricDataResults": [{"Id": f"m{number}", **result} for number in range(len(SERVICES))]}


class Table:
    """DynamoDB as far as the ledger uses it."""

    def __init__(self):
        self.items = {}
        self.reads = self.writes = 0
        # Whoever makes the calls of another turn again expects versions that are over.
        self.lenient = False

    def BatchGetItem(self, given):
        (name, asked), = given["RequestItems"].items()
        found = [self.items[place(key)] for key in asked["Keys"] if place(key) in self.items]
        self.reads += len(asked["Keys"]) - len(found) + sum(read_units(size_of(item)) for item in found)
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def Query(self, given):
        values = given["ExpressionAttributeValues"]
        partition, begins = values[":pk"]["S"], values[":begins"]["S"]
        found = [item for (pk, sk), item in sorted(self.items.items()) if pk == partition and sk.startswith(begins)]
        self.reads += read_units(sum(map(size_of, found)))
        return {"Items": found, "Count": len(found)}

    def UpdateItem(self, given):
        values = given["ExpressionAttributeValues"]
        found = self.items.get(place(given["Key"]))
        expects = values.get(":expected")
        there = "attribute_not_exists" in given.get("ConditionExpression", "") and found
        other = expects and (not found or expects != found["version"])
        if (there or other) and not self.lenient:
            raise ValueError("ConditionalCheckFailedException")
        version = int(found["version"]["N"]) + 1 if found else 1
        written = {**given["Key"], "body": values[":body"], "version": {"N": str(version)}}
        self.writes += write_units(max(size_of(written), size_of(found or {})))
        self.items[place(given["Key"])] = written
        return {}

    def TransactWriteItems(self, given):
        before = self.writes
        for item in given["TransactItems"]:
            self.UpdateItem(item["Update"])
        # A transaction costs twice what its writes would.
        self.writes += self.writes - before
        return {}


def place(key):
    return key["pk"]["S"], key["sk"]["S"]


class Answers:
    """The server. `calls` are the operations and what they were given, and `metrics` how many were asked for, since it last
    forgot them; so are the table's units."""

    def __init__(self, fleet_file):
        self.table, self.calls, self.metrics, self.made, self.lock = Table(), [], 0, {}, threading.Lock()
        hosts = {one["containerInstanceArn"]: one for one in map(host, range(100))}
        of_task = {one["taskArn"]: one for one in (task(number, name) for number, name in enumerate(tasks()))}
        arns = list(of_task)

        def list_tasks(given):
            if given.get("desiredStatus") == "STOPPED":
                return {"taskArns": []}
            first = int(given.get("nextToken") or 0)
            more = {"nextToken": str(first + 100)} if first + 100 < len(arns) else {}
            return {"taskArns": arns[first : first + 100], **more}

        parameter = {"Name": "fleet", "Type": "String", "Value": fleet_file, "Version": 1}
        self.json = {
            "GetParameter": lambda given: {"Parameter": parameter},
            "ListContainerInstances": lambda given: {"containerInstanceArns": list(hosts)},
            "DescribeContainerInstances": lambda given: {
                "containerInstances": [hosts[arn] for arn in given["containerInstances"]],
                "failures": [],
            },
            "ListTasks": list_tasks,
            "DescribeTasks": lambda given: {"tasks": [of_task[arn] for arn in given["tasks"]], "failures": []},
            "GetTaskProtection": lambda given: {
                "protectedTasks": [{"taskArn": arn, "protectionEnabled": False} for arn in given["tasks"]],
                "failures": [],
            },
            "DescribeServices": lambda given: {"services": [service(name) for name in given["services"]], "failures": []},
            "DescribeTaskDefinition": lambda given: definition(given["taskDefinition"]),
            "DescribeScalableTargets": lambda given: {"ScalableTargets": []},
            "BatchGetItem": self.table.BatchGetItem,
            "Query": self.table.Query,
            "UpdateItem": self.table.UpdateItem,
            "TransactWriteItems": self.table.TransactWriteItems,
        }
        # CloudWatch speaks both JSON and CBOR.
        self.cloudwatch = {"GetMetricData": metric_data, "DescribeAlarms": lambda given: {"MetricAlarms": []}}
        self.json |= self.cloudwatch
        self.query = {
            "DescribeAutoScalingGroups": "<AutoScalingGroups>{}</AutoScalingGroups>".format("".join(map(group, HOSTS))),
            "DescribeScalingActivities": "<Activities/>",
            "DescribeInstanceRefreshes": "<InstanceRefreshes/>",
        }
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forget(self):
        self.calls.clear()
        self.metrics = self.table.reads = self.table.writes = 0

    def answer(self, headers, path, body):
        """Status, content type and body of an answer."""
        if target := headers.get("x-amz-target"):
            service_of = headers["authorization"].split("/")[3]
            operation, given = target.split(".")[-1], json.loads(body)
            with self.lock:
                self.calls.append((service_of, operation, given))
                # What never changes is made once, so that making it is not what is measured.
                kept = None if service_of == "dynamodb" else (operation, body)
                if kept not in self.made:
                    try:
                        self.made[kept] = json.dumps(self.json[operation](given), default=datetime.timestamp).encode()
                    except ValueError as error:
                        return 400, "application/x-amz-json-1.0", json.dumps({"__type": str(error)}).encode()
                made = self.made[kept]
                self.made.pop(None, None)
            return 200, "application/x-amz-json-1.1", made
        if "/operation/" in path:
            operation = path.rsplit("/", 1)[1]
            self.calls.append(("cloudwatch", operation, None))
            # The key of each query, as CBOR has it.
            self.metrics += body.count(b"MetricStat")
            return 200, "application/cbor", cbor(self.cloudwatch[operation](None))
        form = dict(parse_qsl(body.decode()))
        operation = form["Action"]
        if operation in EC2:
            self.calls.append(("ec2", operation, None))
            text = f'<{operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{EC2[operation]}</{operation}Response>'
        else:
            self.calls.append(("autoscaling", operation, None))
            space = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
            inner = f"<{operation}Result>{self.query[operation]}</{operation}Result>"
            text = f'<{operation}Response xmlns="{space}">{inner}</{operation}Response>'
        return 200, "text/xml", text.encode()

    def handler(self):
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, kind, answer = answers.answer(headers, self.path, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                if kind == "application/cbor":
                    self.send_header("smithy-protocol", "rpc-v2-cbor")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()

            def log_message(self, *given):
                pass

        return Handler
