"""Templates and events, held against what AWS takes and sends; and that what it would not take is found."""

import json
import re

import pytest
from cloud import REPOSITORY
from deployment import fleet
from strict import deployer, events, known, largest, quotas, roles, templates

pytestmark = pytest.mark.calm

INFRA = sorted((REPOSITORY / "infra").glob("*.yaml"))


@pytest.fixture(scope="module")
def told():
    """What each template is told of the largest fleet file, and what of that deploy refuses."""
    return largest.told(largest.fleet())


@pytest.fixture(scope="module")
def small():
    """The same of one that has two of everything."""
    return largest.told(largest.fleet(at_most=2))


def rendered(path, told):
    return templates.Rendered(templates.load(path), told[0].get(path.name, {}))


@pytest.mark.takes(20)
def test_every_template_is_what_aws_takes_in_every_region_at_the_schemas_limits(told):
    findings = [*templates.lint(INFRA), *told[1]]
    for path in INFRA:
        findings += quotas.check(path.name, path.read_text(), rendered(path, told))
    fresh, seen = known.split(findings)
    assert not fresh, "\n".join(map(str, fresh))
    left = known.gone(known.TEMPLATES, seen)
    assert not left, f"does not occur any more, so take it out of strict/known.py: {left}"


def test_every_policy_of_a_function_says_what_aws_understands(small):
    path = REPOSITORY / "infra" / "foundation.yaml"
    made = rendered(path, small)
    assert not small[1]
    functions = [name for name, one in made.resources.items() if one["Type"] == "AWS::IAM::Role"]
    assert functions
    found = [str(one) for role in functions for one in roles.lint(role, templates.statements_of(made, role))]
    assert not found, "\n".join(found)


# Verbs of actions that change nothing.
READS = ("BatchGet", "Describe", "Get", "List", "Query")
# What an observing function writes: its ledger, its log, its own beats and what it gives up.
OWN = {
    "dynamodb:UpdateItem",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
}


def changes(told, observe):
    """What the roles of the functions that work on fleets allow that changes something besides their own."""
    path = REPOSITORY / "infra" / "foundation.yaml"
    made = templates.Rendered(templates.load(path), told[0][path.name] | {"Observe": observe})
    found = set()
    for role in ("MicroscaleRole", "BackfillRole", "PatchrollRole"):
        for statement in templates.statements_of(made, role):
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                assert "*" not in action, f"{role}: {action}"
                if action not in OWN and not action.split(":")[1].startswith(READS):
                    found.add(f"{role}: {action}")
    return found


def test_the_roles_of_an_observing_deployment_may_change_nothing_but_the_ledger(small):
    acting = changes(small, "no")
    assert {one.split(":")[0] for one in acting} == {"MicroscaleRole", "BackfillRole", "PatchrollRole"}
    assert {one.split(" ")[1].split(":")[0] for one in acting} >= {"autoscaling", "ec2", "ecs", "iam"}
    assert changes(small, "yes") == set()


def test_a_file_that_is_observed_says_so_for_every_function():
    text = (REPOSITORY / "infra" / "fleets" / "shop.toml").read_text()
    plain = fleet.Fleet("shop.toml", text, fleet.parsed(text)).observed()
    assert plain.data["mode"] == "observe" and fleet.parsed(plain.text) == plain.data
    assert "# A shop" in plain.text, "it keeps its comments"
    other = "mode = \"act\"\n" + text.replace("[patch]\n", "[patch]\nmode = \"act\"\n")
    own = fleet.Fleet("shop.toml", other, fleet.parsed(other)).observed()
    assert fleet.parsed(own.text) == own.data == plain.data


def test_the_deployers_policy_says_what_aws_understands():
    """That it allows some things on everything is meant: which fleets there will be, nobody knows."""
    found = [str(one) for one in roles.lint("deployer-policy.json", deployer.statements())]
    found = [one for one in found if "is allowed on everything" not in one]
    assert not found, "\n".join(found)


def test_the_readers_policy_says_what_aws_understands():
    """It is for whoever looks before there is a fleet: on everything."""
    statements = json.loads((REPOSITORY / "infra" / "reader-policy.json").read_text())["Statement"]
    found = [str(one) for one in roles.lint("reader-policy.json", statements)]
    found = [one for one in found if "is allowed on everything" not in one]
    assert not found, "\n".join(found)


def test_no_rule_lets_through_what_no_function_handles(small):
    rules = [one for path in INFRA for one in events.rules(rendered(path, small).resources)]
    assert not rules, "\n".join(map(str, rules))


def test_every_sample_is_an_event_as_aws_sends_it():
    """The samples of events/, of the kinds that have a schema."""
    judged, wrong = 0, []
    for path in sorted((REPOSITORY / "events").glob("*.json")):
        event = json.loads(path.read_text())
        kind = f"{event.get('source')}: {event.get('detail-type')}"
        if kind in events.kinds()["events"]:
            judged += 1
            found = events.judged(event["source"], event["detail-type"], event["detail"], event["resources"])
            wrong += [f"{path.name}: {one}" for one in found]
    assert judged > 10 and not wrong, "\n".join(wrong)


# The readings of `shared/intake` by kind of event.
READ_AS = {
    events.TICK: "Tick",
    events.HOST: "ContainerInstanceState",
    events.ALARM: "Alarm",
    events.REBALANCE: "RebalanceRecommendation",
    **dict.fromkeys(events.ACTIVITIES, "ScalingActivity"),
    **dict.fromkeys(events.REFRESHES, "InstanceRefresh"),
    "aws.ecs: ECS Service Action": "ServiceAction",
    "aws.ecs: ECS Deployment State Change": "DeploymentState",
    "aws.ec2: EC2 Spot Instance Interruption Warning": "SpotInterruption",
    "aws.ec2: EC2 Instance State-change Notification": "InstanceState",
    "aws.autoscaling: EC2 Instance-terminate Lifecycle Action": "LifecycleAction",
    "aws.health: AWS Health Event": "Health",
    "aws.inspector2: Inspector2 Finding": "Finding",
    "aws.ssm: Configuration Compliance State Change": "Compliance",
    "aws.ssm: Parameter Store Change": "Parameter",
}


@pytest.mark.parametrize("function", ["microscale", "backfill", "patchroll"])
def test_the_kinds_that_a_function_is_said_to_handle_are_those_of_its_handler(function):
    """A handler binds what it acts on, and has a `_` for the rest; the tick has nothing to bind."""
    text = (REPOSITORY / "functions" / function / "src" / "handler.rs").read_text().split("#[cfg(test)]")[0]
    bound = set(re.findall(r"Trigger::(\w+)\([a-z]\w*\)", text)) - {"Manual", "Beat"}
    assert bound | {"Tick"} == {READ_AS[kind] for kind in events.HANDLED[function]}


# --- that faults are found ---


def test_a_template_that_no_region_takes_is_found(tmp_path):
    bad = (REPOSITORY / "infra" / "triggers.yaml").read_text().replace("ScheduleExpression: rate(1 minute)", "Schedule: often")
    path = tmp_path / "triggers.yaml"
    path.write_text(bad)
    words = [str(one) for one in templates.lint([path])]
    assert any("Schedule" in one and "Tick" in one for one in words), words


def over(kind, properties):
    template = {"Resources": {"It": {"Type": kind, "Properties": properties}}}
    return [str(one) for one in quotas.check("t.yaml", "", templates.Rendered(template, {}))]


OVER = [
    ("AWS::Events::Rule", {"EventPattern": {"detail": {"a": ["x" * 2048]}}}, "at most 2048"),
    ("AWS::Events::Rule", {"ScheduleExpression": "rate(1 minute)", "Targets": [{}] * 6}, "6 targets, and at most 5"),
    ("AWS::IAM::ManagedPolicy", {"PolicyDocument": {"Statement": ["x" * 6144]}}, "at most 6144"),
    (
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": {}, "Policies": [{"PolicyDocument": {"a": "x" * 6000}}] * 2},
        "at most 10240",
    ),
    ("AWS::IAM::Role", {"AssumeRolePolicyDocument": {}, "ManagedPolicyArns": ["a"] * 11}, "at most 10 are"),
    ("AWS::SQS::Queue", {"QueueName": "q" * 81}, "at most 80"),
    ("AWS::CloudWatch::Alarm", {"AlarmName": "a" * 256}, "at most 255"),
]


@pytest.mark.parametrize(("kind", "properties", "words"), OVER)
def test_what_is_over_a_quota_is_found(kind, properties, words):
    assert any(words in one for one in over(kind, properties)), over(kind, properties)


def test_a_template_that_is_too_large_is_found():
    template = {"Parameters": {f"P{index}": {"Type": "String"} for index in range(201)}, "Resources": {}}
    found = [str(one) for one in quotas.check("t", "x" * 51_201, templates.Rendered(template, {"P1": "x" * 4097}))]
    for words in ("51201 bytes", "201 parameters", "Parameters/P1: 4097 bytes"):
        assert any(words in one for one in found), found


def test_a_template_is_rendered_as_cloudformation_renders_it(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("""
Parameters: { Names: { Type: CommaDelimitedList, Default: "a,b" }, Switch: { Type: String } }
Conditions: { IsOn: !Equals [!Ref Switch, "yes"], IsOff: !Not [!Condition IsOn], Both: !And [!Condition IsOn, !Condition IsOff] }
Resources:
  Queue: { Type: "AWS::SQS::Queue", Properties: { QueueName: !Sub "${AWS::Region}-q" } }
  One:
    Type: A::B::C
    Condition: IsOn
    Properties:
      Names: !Ref Names
      First: !Select [0, !Ref Names]
      Joined: !Join ["-", !Ref Names]
      Arn: !GetAtt Queue.Arn
      Gone: !Ref AWS::NoValue
      List: [1, !If [IsOn, 2, 3], !If [IsOff, 4, !Ref AWS::NoValue]]
      Sub: !Sub ["${X}/${AWS::Partition}", { X: !If [IsOn, x, y] }]
  Never: { Type: A::B::C, Condition: Both }
""")
    made = templates.Rendered(templates.load(path), {"Switch": "yes"}).resources
    assert made["One"]["Properties"] == {
        "Names": ["a", "b"],
        "First": "a",
        "Joined": "a-b",
        "Arn": "arn:aws:sqs:us-east-1:123456789012:us-east-1-q",
        "List": [1, 2],
        "Sub": "x/aws",
    }
    assert "Never" not in made


WARNING = {"instance-id": "i-0123456789abcdef0", "instance-action": "terminate"}
HOST_ARN = "arn:aws:ec2:us-east-1a:instance/i-0123456789abcdef0"


def put(detail, resources=(HOST_ARN,), kind="EC2 Spot Instance Interruption Warning", source="aws.ec2"):
    entry = {"Source": source, "DetailType": kind, "Detail": json.dumps(detail), "Resources": list(resources)}
    return [str(one) for one in events.check(entry)]


def test_an_event_that_aws_would_not_send_is_found():
    assert put(WARNING) == []
    assert any("'instance-action' is a required property" in one for one in put({"instance-id": "i-0123456789abcdef0"}))
    assert any("is not one of" in one for one in put(WARNING | {"instance-action": "explode"}))
    assert any("does not match" in one for one in put(WARNING | {"instance-id": "shop-1"}))
    assert any("was unexpected" in one for one in put(WARNING | {"notice": 120}))
    assert any("has nothing like" in one for one in put(WARNING, []))
    assert any("is none of" in one for one in put(WARNING, [HOST_ARN, "shop-1"]))
    assert any("no schema" in one for one in put(WARNING, kind="EC2 Instance Explosion"))
    assert put({"anything": 1}, [], "Order", "shop.orders") == []


def test_a_rule_that_wakes_somebody_for_nothing_is_found():
    target = [{"Arn": "arn:aws:lambda:us-east-1:123456789012:function:keel-microscale"}]

    def found(pattern):
        return [str(one) for one in events.rule("Rule", {"EventPattern": pattern, "Targets": target})]

    action = {"source": ["aws.ecs"], "detail-type": ["ECS Service Action"]}
    assert found(action | {"detail": {"eventName": ["SERVICE_TASK_PLACEMENT_FAILURE"]}}) == []
    assert any("lets through anything" in one for one in found(action))
    warning = {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]}
    assert any("wakes microscale, which does nothing with it" in one for one in found(warning))
    assert any("lets through every kind" in one for one in found({"detail": {}}))
