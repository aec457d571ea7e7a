"""The strict wire finds what it is there for: each kind of fault in a request, an answer or a write that is sent twice."""

import json
import subprocess
import sys
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.serialize import create_serializer
from cloud import HERE
from strict import known, limits, models, read, shapes
from strict.wire import Call, Wire
from strict.writes import Writes
from world.recorder import text

pytestmark = pytest.mark.calm

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/shop/0"
REFUSED = "<R><Error><Code>ValidationError</Code></Error></R>"
KINDS = {"json": "application/x-amz-json-1.1", "smithy-rpc-v2-cbor": "application/cbor"}


def sent(service, operation, given, answer="", status=200):
    """A line of a recording, made with the serializers that AWS's own SDK for Python sends with."""
    model = models.operation(service, operation)
    protocol = models.service(service).metadata["protocol"]
    made = create_serializer(protocol, include_validation=False).serialize_to_request(given, model)
    body = made["body"]
    if isinstance(body, dict):
        body = urlencode(body)
    if isinstance(body, bytes):
        body = text(body)
    if status == 400 and answer == "":
        answer = REFUSED if protocol in ("query", "ec2") else {"__type": "ValidationException"}
    return {
        "at": 1.0,
        "key": "AKIA",
        "service": service,
        "method": made["method"],
        "path": urlsplit(made["url_path"]).path,
        "query": urlencode(made["query_string"], doseq=True),
        "target": made["headers"].get("X-Amz-Target", ""),
        "kind": made["headers"].get("Content-Type", KINDS.get(protocol, "")),
        "invocation": "",
        "body": body,
        "status": status,
        "answer": answer if isinstance(answer, str) else json.dumps(answer),
        "asked": [],
    }


def judged(tmp_path, *lines):
    """The words of what is found in a recording."""
    path = tmp_path / "recording.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [str(found) for found in Wire([path]).judge({})[0]]


SENT = [
    ("ecs", "UpdateContainerInstancesState", {"cluster": "shop", "containerInstances": [ARN], "status": "DRAINING"}),
    ("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["a", "b"], "MaxRecords": 100}),
    ("autoscaling", "SetDesiredCapacity", {"AutoScalingGroupName": "a", "DesiredCapacity": 3, "HonorCooldown": False}),
    ("ec2", "DescribeInstances", {"InstanceIds": ["i-1", "i-2"], "Filters": [{"Name": "tag:a", "Values": ["b", "c"]}]}),
    ("ec2", "RunInstances", {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "3"}}),
    ("elasticloadbalancing", "DescribeTargetHealth", {"TargetGroupArn": "a"}),
    ("dynamodb", "BatchGetItem", {"RequestItems": {"keel": {"Keys": [{"pk": {"S": "a"}, "sk": {"S": "b"}}]}}}),
    ("monitoring", "DescribeAlarms", {"AlarmNames": ["a"], "MaxRecords": 100}),
    ("sqs", "SendMessage", {"QueueUrl": "http://sqs/1/q", "MessageBody": "x", "DelaySeconds": 5}),
    ("lambda", "GetFunction", {"FunctionName": "keel-microscale", "Qualifier": "1"}),
    ("lambda", "CreateFunction", {"FunctionName": "f", "Role": "arn:aws:iam::123456789012:role/r", "Code": {}}),
    ("cloudformation", "CreateChangeSet", {"StackName": "s", "ChangeSetName": "c", "Parameters": [{"ParameterKey": "A"}]}),
]


@pytest.mark.parametrize(("service", "operation", "given"), SENT, ids=lambda value: value if isinstance(value, str) else "")
def test_what_an_sdk_sends_is_read_as_it_was_given(service, operation, given):
    line = sent(service, operation, given)
    assert models.operation_of(line) == operation
    model = models.operation(service, operation)
    wire = {member.serialization.get("name", name): name for name, member in model.input_shape.members.items()}
    has = {wire[name]: value for name, value in read.request(line, model).items()}
    assert json.loads(json.dumps(has).replace('"Value": [', '"Values": [')) == given
    assert not shapes.check(model.input_shape, read.request(line, model))


WRONG = [
    ("ecs", "UpdateContainerInstancesState", {"containerInstances": [ARN]}, "status: missing, and required"),
    ("ecs", "UpdateContainerInstancesState", {"containerInstances": [ARN], "status": "GONE"}, "status: 'GONE' is none of"),
    ("ecs", "UpdateContainerInstancesState", {"containerInstances": [ARN] * 11, "status": "ACTIVE"}, "11, and at most 10"),
    ("ecs", "DescribeTasks", {"tasks": ["t"] * 101}, "101, and at most 100"),
    ("ecs", "DescribeServices", {"services": ["s"] * 11}, "11, and at most 10"),
    ("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["g"] * 51}, "51, and at most 50"),
    ("autoscaling", "SetDesiredCapacity", {"AutoScalingGroupName": "g" * 256, "DesiredCapacity": 1}, "at most 255"),
    ("autoscaling", "SetDesiredCapacity", {"AutoScalingGroupName": "g"}, "DesiredCapacity: missing"),
    ("monitoring", "DescribeAlarms", {"AlarmNames": ["a"] * 101}, "at most 100"),
    ("monitoring", "DescribeAlarms", {"MaxRecords": 101}, "101 is above 100"),
    ("dynamodb", "BatchGetItem", {"RequestItems": {"t": {"Keys": [{"pk": {"S": "a"}}] * 101}}}, "at most 100"),
    ("ssm", "GetParameter", {"Name": ""}, "at least 1"),
    ("lambda", "GetFunction", {"FunctionName": "not a name"}, "does not match"),
    ("sqs", "SendMessage", {"QueueUrl": "q", "MessageBody": "x", "DelaySeconds": 901}, "901, and at most 900"),
    ("ec2", "DescribeSpotInstanceRequests", {"SpotInstanceRequestIds": ["sir-1"], "MaxResults": 5}, "pages are not for"),
    ("elasticloadbalancing", "DescribeTargetGroups", {"Names": ["a"], "TargetGroupArns": ["b"]}, "only one of them"),
]


@pytest.mark.parametrize(("service", "operation", "given", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_request_that_aws_would_refuse_is_found(tmp_path, service, operation, given, words):
    found = judged(tmp_path, sent(service, operation, given, status=400))
    assert any(one.startswith("request: ") and words in one for one in found), found


def test_a_member_that_nobody_knows_is_found_in_each_protocol(tmp_path):
    json_line = sent("ecs", "DescribeTasks", {"tasks": ["t"]}, status=400)
    json_line["body"] = json_line["body"].replace('"tasks"', '"task"')
    form = sent("autoscaling", "DescribeAutoScalingGroups", {"MaxRecords": 1}, status=400)
    form["body"] += "&MaxRecord=1"
    ec2 = sent("ec2", "DescribeInstances", {"InstanceIds": ["i-1"]}, status=400)
    ec2["body"] = ec2["body"].replace("InstanceId.1", "InstanceIds.1")
    found = judged(tmp_path, json_line, form, ec2)
    for place in ("ecs:DescribeTasks: task", "DescribeAutoScalingGroups: MaxRecord", "DescribeInstances: InstanceIds"):
        assert any(f"{place}: AWS knows no such member" in one for one in found), (place, found)


def test_a_type_that_is_another_is_found(tmp_path):
    line = sent("autoscaling", "SetDesiredCapacity", {"AutoScalingGroupName": "g", "DesiredCapacity": 1}, status=400)
    line["body"] = line["body"].replace("DesiredCapacity=1", "DesiredCapacity=one")
    assert any("'one', expected a number" in one for one in judged(tmp_path, line))


def test_an_operation_that_aws_does_not_have_is_found(tmp_path):
    line = sent("ecs", "DescribeTasks", {"tasks": ["t"]})
    assert any("DescribeEverything" in one for one in judged(tmp_path, line | {"target": "X.DescribeEverything"}))
    path = sent("lambda", "GetFunction", {"FunctionName": "f"}) | {"path": "/2015-03-31/nothing"}
    assert any("no operation of AWS's has this path" in one for one in judged(tmp_path, path))


ANSWERS = [
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": [{"launchType": ""}]}, "tasks[].launchType: '' is none of"),
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": [{"cpu": 1}]}, "tasks[].cpu: 1, expected text"),
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": [], "more": 1}, "more: AWS knows no such member"),
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": None}, "tasks: null, which AWS never sends"),
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, "{", "cannot be read"),
    ("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": [{"createdAt": "noon"}]}, "'noon', expected a time"),
]
GROUP = """<R><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>{}</member></AutoScalingGroups>
</DescribeAutoScalingGroupsResult></R>"""
WHOLE = """<AutoScalingGroupName>g</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>1</MaxSize><DesiredCapacity>1</DesiredCapacity>
<DefaultCooldown>300</DefaultCooldown><AvailabilityZones><member>us-east-1a</member></AvailabilityZones>
<HealthCheckType>EC2</HealthCheckType><CreatedTime>2026-01-01T00:00:00Z</CreatedTime>"""


@pytest.mark.parametrize(("service", "operation", "given", "answer", "words"), ANSWERS)
def test_an_answer_that_aws_would_not_give_is_found(tmp_path, service, operation, given, answer, words):
    found = judged(tmp_path, sent(service, operation, given, answer))
    assert any(one.startswith("answer: ") and words in one for one in found), found


def test_an_answer_in_xml_is_judged_as_well(tmp_path):
    def found(inner):
        return judged(tmp_path, sent("autoscaling", "DescribeAutoScalingGroups", {}, GROUP.format(inner)))

    assert found(WHOLE) == []
    assert any("MinSize: missing" in one for one in found(WHOLE.replace("MinSize", "MinimumSize")))
    assert any("MinimumSize: AWS knows no such member" in one for one in found(WHOLE.replace("MinSize", "MinimumSize")))
    assert any("'zero', expected a number" in one for one in found(WHOLE.replace("<MinSize>0", "<MinSize>zero")))
    image = "<R><imagesSet><item><imageId>ami-1</imageId><rootDeviceType>{}</rootDeviceType></item></imagesSet></R>"
    assert judged(tmp_path, sent("ec2", "DescribeImages", {}, image.format("ebs"))) == []
    found = judged(tmp_path, sent("ec2", "DescribeImages", {}, image.format("gp3")))
    assert any("'gp3' is none of ebs" in one for one in found)


ERRORS = [
    ({"__type": "ClusterNotFoundException"}, 400, ""),
    ({"__type": "com.amazonaws.ecs#ThrottlingException"}, 400, ""),
    ({"__type": "NoSuchClusterException"}, 400, "AWS's model does not name this error"),
    ({"message": "no"}, 400, "without a code"),
    ({"__type": "InternalError"}, 500, "the emulator itself failed"),
]


@pytest.mark.parametrize(("answer", "status", "words"), ERRORS)
def test_an_error_that_aws_does_not_answer_is_found(tmp_path, answer, status, words):
    found = judged(tmp_path, sent("ecs", "DescribeServices", {"services": ["s"]}, answer, status))
    assert any(words in one for one in found) if words else found == [], found


def test_a_recording_is_read_on_from_where_it_was_left(tmp_path):
    path = tmp_path / "recording.jsonl"
    line = json.dumps(sent("ecs", "DescribeTasks", {"tasks": ["t"] * 101}, status=400)) + "\n"
    path.write_text(line[:40])
    wire = Wire([path])
    assert wire.judge({}) == ([], {})
    path.write_text(line)
    assert len(wire.judge({})[0]) == 1
    assert wire.judge({}) == ([], {})


def test_a_request_alone_is_judged_without_an_answer(tmp_path):
    path = tmp_path / "recording.jsonl"
    fine = sent("ecs", "DescribeTasks", {"tasks": ["t"]}) | {"answer": None}
    bad = sent("ecs", "DescribeTasks", {"tasks": ["t"] * 101}) | {"answer": None}
    for lines, code in (([fine, fine], 0), ([fine, bad], 1)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = subprocess.run([sys.executable, "-m", "strict", str(path)], cwd=HERE, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
    assert "101, and at most 100" in done.stdout


def test_a_role_that_nobody_knows_is_found(tmp_path):
    line = sent("ecs", "DescribeTasks", {"tasks": ["t"]}, {"tasks": []})
    assert judged(tmp_path, line) == []
    assert any("nobody knows what it allows" in one for one in judged(tmp_path, line | {"key": "ASIA0123456789ABCDEF"}))


def test_each_limit_is_of_a_member_that_there_is():
    for (service, operation), rows in limits.MOST.items():
        members = models.operation(service, operation).input_shape.members
        names = {member.serialization.get("name", name) for name, member in members.items()}
        assert {member for member, _, _ in rows} <= names, (service, operation)


# --- writes ---

END = {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": True}


def twice(name, given, **second):
    """What is found in the second of two calls."""
    service, operation = name.split(":")
    writes = Writes()
    first = Call(service, operation, given, "KEY", "backfill", 1.0, second.pop("first", 200), "one")
    assert list(writes.check(first)) == []
    again = Call(service, operation, second.pop("then", given), "KEY", "backfill", 2.0, 200, second.pop("invocation", "two"))
    return [words for _, words, _ in writes.check(again)]


def test_a_write_that_adds_one_more_is_found_when_it_is_sent_again():
    assert twice("autoscaling:TerminateInstanceInAutoScalingGroup", END) == ["sent again 1.0 s after it was done, by another call"]
    sdk = twice("autoscaling:TerminateInstanceInAutoScalingGroup", END, invocation="one")
    assert sdk == ["sent again 1.0 s after it was done, by the SDK's own retry"]
    unsure = twice("autoscaling:TerminateInstanceInAutoScalingGroup", END, first=500)
    assert unsure == ["sent again 1.0 s after it was done, by another call"]
    assert twice("ec2:CreateLaunchTemplateVersion", {"LaunchTemplateId": "lt-1"})
    assert twice("monitoring:PutMetricData", {"Namespace": "n", "MetricData": [{"Value": 1}]})


def test_what_was_refused_or_is_about_something_else_may_be_sent():
    assert twice("autoscaling:TerminateInstanceInAutoScalingGroup", END, first=400) == []
    assert twice("autoscaling:TerminateInstanceInAutoScalingGroup", END, then=END | {"InstanceId": "i-2"}) == []
    assert twice("autoscaling:TerminateInstanceInAutoScalingGroup", END | {"ShouldDecrementDesiredCapacity": False}) == []
    assert twice("autoscaling:SetDesiredCapacity", {"DesiredCapacity": 3}) == []
    assert twice("ecs:DescribeTasks", {"tasks": ["t"]}) == []


def test_a_token_makes_a_write_one_and_only_of_one_kind():
    token = {"ClientToken": "roll-1", "MinCount": 1}
    assert twice("ec2:RunInstances", token) == []
    other = twice("ec2:RunInstances", token, then=token | {"MinCount": 2})
    assert other == ["the same token as an earlier request that asks for something else"]


def test_a_write_that_nobody_has_looked_at_is_found():
    call = Call("ecs", "DeleteCluster", {"cluster": "shop"}, "KEY", "backfill", 1.0, 200)
    assert [words for _, words, _ in Writes().check(call)] == ["a write of which nobody says whether it may be sent twice"]


def test_a_sum_without_a_condition_is_found():
    add = {"TableName": "t", "Key": {}, "UpdateExpression": "SET #count = #count + :one"}
    found = [words for _, words, _ in Writes().check(Call("dynamodb", "UpdateItem", add, "KEY", "", 1.0, 200))]
    assert found == ["a sum without a condition: SET #count = #count + :one"]
    guarded = add | {"ConditionExpression": "#version = :expected"}
    assert not list(Writes().check(Call("dynamodb", "UpdateItem", guarded, "KEY", "", 1.0, 200)))
    both = {"TransactItems": [{"Update": add}, {"Update": guarded}]}
    assert not list(Writes().check(Call("dynamodb", "TransactWriteItems", both, "KEY", "", 1.0, 200)))
    alone = {"TransactItems": [{"Update": add}]}
    assert list(Writes().check(Call("dynamodb", "TransactWriteItems", alone, "KEY", "", 1.0, 200)))


# --- what is known ---


def test_a_known_finding_is_kept_apart_and_missed_when_it_is_gone(tmp_path):
    answer = {"Responses": {}, "UnprocessedKeys": {}}
    line = sent("dynamodb", "BatchGetItem", {"RequestItems": {"t": {"Keys": [{"pk": {"S": "a"}}]}}}, answer)
    path = tmp_path / "recording.jsonl"
    path.write_text(json.dumps(line) + "\n" + json.dumps(sent("ssm", "GetParameter", {"Name": ""}, status=400)) + "\n")
    fresh, seen = known.split(Wire([path]).judge({})[0])
    assert [one.place for one in fresh] == ["Name"]
    assert len(seen) == 1
    assert next(iter(seen)) not in {one.words for one in known.gone(known.STORIES, seen)}
    assert next(iter(seen)) in {one.words for one in known.gone(known.STORIES, set())}


def test_a_role_is_judged_by_what_it_allowed_at_the_time(tmp_path):
    path = tmp_path / "recording.jsonl"
    line = sent("ssm", "GetParameter", {"Name": "/evenkeel/fleets/shop"}, {"Parameter": {"Name": "/evenkeel/fleets/shop"}})
    fleets = "arn:aws:ssm:us-east-1:123456789012:parameter/evenkeel/fleets/shop"
    allowed = [{"Sid": "One", "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": fleets}]
    whose = {"AKIA": ("keel-microscale", [(0.0, 2.0, allowed), (1.5, float("inf"), [])])}
    for at, words in ((1.0, None), (1.8, None), (3.0, "is not allowed on")):
        path.write_text(json.dumps(line | {"at": at}) + "\n")
        found = [str(one) for one in Wire([path]).judge(whose)[0]]
        assert len(found) == (words is not None) and all(words in one for one in found), found
