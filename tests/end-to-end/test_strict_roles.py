"""The strict wire finds what a role does not allow, what a policy says in vain, and what only seems to be allowed."""

import pytest
from strict import authorization, deployer, roles
from strict.wire import Call

pytestmark = pytest.mark.calm

ECS = "arn:aws:ecs:us-east-1:123456789012"
CLUSTER = {"ecs:cluster": f"{ECS}:cluster/shop"}
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/keel"
TEMPLATE = "arn:aws:ec2:us-east-1:123456789012:launch-template/lt-1"


def allow(action, resource="*", **condition):
    return {"Sid": "One", "Effect": "Allow", "Action": action, "Resource": resource} | (
        {"Condition": condition} if condition else {}
    )


def call(name, given=None, asked=()):
    service, operation = name.split(":")
    return Call(service, operation, given or {}, "KEY", "keel-patchroll", 1.0, 200, asked=[list(one) for one in asked])


def judged(one, *statements):
    return [str(found) for found in roles.judge(one, list(statements))]


DRAIN = [("ecs:UpdateContainerInstancesState", f"{ECS}:container-instance/shop/1", CLUSTER)]


def test_a_call_is_allowed_by_its_action_its_resource_and_its_condition():
    drain = call("ecs:UpdateContainerInstancesState", asked=DRAIN)
    hosts = f"{ECS}:container-instance/shop/*"
    cluster = {"ArnEquals": {"ecs:cluster": CLUSTER["ecs:cluster"]}}
    assert judged(drain, allow("ecs:UpdateContainerInstancesState", hosts, **cluster)) == []
    other = {"ArnEquals": {"ecs:cluster": f"{ECS}:cluster/depot"}}
    for statement in (
        allow("ecs:DescribeContainerInstances", hosts),
        allow("ecs:UpdateContainerInstancesState", f"{ECS}:container-instance/depot/*"),
        allow("ecs:UpdateContainerInstancesState", hosts, **other),
    ):
        assert any("is not allowed on" in one for one in judged(drain, statement))


def test_what_a_ministack_service_is_asked_is_read_off_the_request():
    key = {"pk": {"S": "fleet#shop"}, "sk": {"S": "view"}}
    read = call("dynamodb:BatchGetItem", {"RequestItems": {"keel": {"Keys": [key]}}})
    mine = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["fleet#shop"]}}
    foreign = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["fleet#depot"]}}
    assert judged(read, allow("dynamodb:BatchGetItem", TABLE, **mine)) == []
    assert any("is not allowed on" in one for one in judged(read, allow("dynamodb:BatchGetItem", TABLE, **foreign)))
    change = {"TransactItems": [{"Update": {"TableName": "keel", "Key": key}}]}
    only_reads = allow("dynamodb:Query", TABLE)
    assert any("UpdateItem" in one for one in judged(call("dynamodb:TransactWriteItems", change), only_reads))
    batch = call("sqs:SendMessageBatch", {"QueueUrl": "http://sqs/123456789012/keel-beats"})
    queue = "arn:aws:sqs:us-east-1:123456789012:keel-beats"
    assert judged(batch, allow("sqs:SendMessage", queue)) == []
    assert judged(batch, allow("sqs:SendMessage", queue + "-2"))
    named = call("ssm:GetParameter", {"Name": "/evenkeel/fleets/shop"})
    fleets = "arn:aws:ssm:us-east-1:123456789012:parameter/evenkeel/fleets/shop"
    assert judged(named, allow("ssm:GetParameter", fleets)) == []
    assert judged(named, allow("ssm:GetParameter", fleets + "s"))


def test_what_aws_asks_about_beside_the_named_resource_is_found():
    """RunInstances is asked for each kind of thing that is launched, and not all of them know the template's version."""
    asked = [("ec2:RunInstances", "arn:aws:ec2:us-east-1:123456789012:instance/*", {"ec2:LaunchTemplate": TEMPLATE})]
    launch = call("ec2:RunInstances", asked=asked)
    whole = {"ArnEquals": {"ec2:LaunchTemplate": [TEMPLATE]}}
    assert judged(launch, allow("ec2:RunInstances", "*", **whole)) == []
    only = judged(launch, allow("ec2:RunInstances", "arn:aws:ec2:us-east-1:123456789012:instance/*"))
    assert any("is not allowed on any subnet" in one for one in only), only


def test_what_is_asked_otherwise_than_aws_asks_is_found():
    strange = [("ecs:UpdateContainerInstancesState", f"{ECS}:task/shop/1", CLUSTER)]
    everything = allow("ecs:UpdateContainerInstancesState")
    drain = "ecs:UpdateContainerInstancesState"
    assert any("of no resource type" in one for one in judged(call(drain, asked=strange), everything))
    keyed = [(*DRAIN[0][:2], CLUSTER | {"ecs:moon": "full"})]
    assert any("does not fill in ecs:moon" in one for one in judged(call(drain, asked=keyed), everything))
    unknown = call("ecs:DrainEverything", asked=[("ecs:DrainEverything", "*", {})])
    assert any("AWS knows no such action" in one for one in judged(unknown, allow("*")))


def by_deployer(operation, **given):
    one = call(operation, given)
    return [str(found) for found in roles.judge(one, deployer.statements(), list(deployer.asks(one)))]


def test_what_a_deployer_is_not_allowed_is_found():
    """By the stack, the function and the role that is passed, not by the action alone."""
    role = "arn:aws:iam::123456789012:role/{}"
    made = {"FunctionName": "keel-demand", "Role": role.format("keel-foundation-DemandRole-0123456789AB")}
    assert by_deployer("lambda:CreateFunction", **made) == []
    assert any("iam:PassRole" in one for one in by_deployer("lambda:CreateFunction", **made | {"Role": role.format("admin")}))
    assert by_deployer("cloudformation:DeleteStack", StackName="keel-watch") == []
    assert any("is not allowed on" in one for one in by_deployer("cloudformation:DeleteStack", StackName="payroll"))
    assert any("is not allowed on" in one for one in by_deployer("cloudformation:DescribeStacks"))


def test_an_action_that_another_needs_is_found():
    """What is needed in some cases only is excused, because the world asks for it in those."""
    restore = call("dynamodb:RestoreTableFromBackup", asked=[("dynamodb:RestoreTableFromBackup", TABLE, {})])
    found = judged(restore, allow("dynamodb:RestoreTableFromBackup"))
    assert any("dynamodb:PutItem: is needed as well by AWS" in one for one in found), found
    needs = authorization.dependent("ec2:RunInstances")
    assert "iam:PassRole" in needs and needs <= set(roles.IN_SOME_CASES)


LINTED = [
    (allow("ecs:DescribeEverything"), "AWS knows no such action"),
    (allow("ecs:describetasks"), "AWS knows no such action"),
    (allow("ecs:*"), "AWS knows no such action"),
    (allow("ecs:DescribeTasks", f"{ECS}:service/shop/web"), "none of its resources is one of this action: task"),
    (allow("ecs:DescribeTaskDefinition", f"{ECS}:task-definition/web:1"), "it has none, only `*`"),
    (allow(["ecs:DescribeTasks", "ecs:UpdateService"], f"{ECS}:cluster/shop"), "is a resource of none of the actions"),
    (allow("ecs:UpdateService"), "is allowed on everything, and AWS lets it be limited to service"),
    (
        allow("ec2:DescribeInstances", "*", ArnEquals={"ecs:cluster": "arn"}),
        "AWS does not fill in the condition key ecs:cluster for it: the statement never applies",
    ),
]


@pytest.mark.parametrize(("statement", "words"), LINTED)
def test_what_a_policy_says_in_vain_is_found(statement, words):
    found = [str(one) for one in roles.lint("Role", [statement])]
    assert any(words in one for one in found), found


def test_a_policy_that_aws_understands_is_fine():
    tag = {"StringEquals": {"aws:ResourceTag/evenkeel:fleet": ["shop"]}}
    logs = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/keel:*"
    for statement in (
        allow("ec2:TerminateInstances", "*", **tag),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], logs),
        allow("autoscaling:SetDesiredCapacity", "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:*:autoScalingGroupName/g"),
        allow("ecs:ListTasks", "*", ArnEquals={"ecs:cluster": "arn"}),
    ):
        assert list(roles.lint("Role", [statement])) == []


def test_only_statements_that_allowed_something_count_as_used():
    mine, other = allow("ecs:UpdateContainerInstancesState", f"{ECS}:container-instance/shop/*"), allow("ecs:DescribeTasks")
    elsewhere = mine | {"Sid": "Other", "Resource": f"{ECS}:container-instance/x/*"}
    statements = [mine | {"Sid": "Drain"}, other | {"Sid": "Look"}, elsewhere]
    assert set(roles.used(DRAIN, statements)) == {("Drain", "ecs:UpdateContainerInstancesState")}


def test_patterns_that_have_anything_in_common_meet():
    assert authorization.common("a*c", "ab*") and authorization.common("*", "x") and authorization.common("a*", "*b")
    assert not any(authorization.common(*pair) for pair in (("a*", "b*"), ("ab", "a"), ("a*c", "a*d")))
