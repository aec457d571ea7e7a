"""Limits that AWS states in words only: no model has them, and no emulator keeps them."""

ECS = "ECS API reference"
# By service and operation: the member on the wire, the most of it, and who says so.
MOST = {
    ("ecs", "DescribeTasks"): [("tasks", 100, f"{ECS}, DescribeTasks")],
    ("ecs", "DescribeServices"): [("services", 10, f"{ECS}, DescribeServices")],
    ("ecs", "DescribeContainerInstances"): [("containerInstances", 100, f"{ECS}, DescribeContainerInstances")],
    ("ecs", "DescribeClusters"): [("clusters", 100, f"{ECS}, DescribeClusters")],
    ("ecs", "DescribeCapacityProviders"): [("capacityProviders", 100, f"{ECS}, DescribeCapacityProviders")],
    ("ecs", "UpdateContainerInstancesState"): [("containerInstances", 10, f"{ECS}, UpdateContainerInstancesState")],
    ("ecs", "GetTaskProtection"): [("tasks", 100, f"{ECS}, GetTaskProtection")],
    ("ecs", "UpdateTaskProtection"): [("tasks", 10, f"{ECS}, UpdateTaskProtection")],
    ("ecs", "PutAttributes"): [("attributes", 10, f"{ECS}, PutAttributes")],
    ("ecs", "DeleteAttributes"): [("attributes", 10, f"{ECS}, DeleteAttributes")],
    ("ecs", "ListContainerInstances"): [("maxResults", 100, f"{ECS}, ListContainerInstances")],
    ("ecs", "ListTasks"): [("maxResults", 100, f"{ECS}, ListTasks")],
    ("autoscaling", "DescribeAutoScalingGroups"): [
        ("AutoScalingGroupNames", 50, "Auto Scaling API reference, DescribeAutoScalingGroups"),
        ("MaxRecords", 100, "Auto Scaling API reference, DescribeAutoScalingGroups"),
    ],
    ("autoscaling", "DescribeScalingActivities"): [
        ("MaxRecords", 100, "Auto Scaling API reference, DescribeScalingActivities"),
    ],
    ("autoscaling", "DescribeInstanceRefreshes"): [
        ("MaxRecords", 100, "Auto Scaling API reference, DescribeInstanceRefreshes"),
    ],
    ("autoscaling", "DescribeWarmPool"): [("MaxRecords", 50, "Auto Scaling API reference, DescribeWarmPool")],
    ("elasticloadbalancing", "DescribeTargetGroups"): [("PageSize", 400, "ELB API reference, DescribeTargetGroups")],
    ("ec2", "DescribeInstances"): [
        ("InstanceId", 1000, "EC2 user guide, API request throttling: fewer than a thousand ids in a request"),
    ],
    ("ec2", "DescribeInstanceTypes"): [("InstanceType", 100, "EC2 API reference, DescribeInstanceTypes")],
    ("ec2", "TerminateInstances"): [("InstanceId", 1000, "EC2 user guide, API request throttling")],
    ("monitoring", "GetMetricData"): [("MetricDataQueries", 500, "CloudWatch API reference, GetMetricData")],
    ("monitoring", "PutMetricData"): [("MetricData", 1000, "CloudWatch API reference, PutMetricData")],
    ("monitoring", "DescribeAlarms"): [("AlarmNames", 100, "CloudWatch API reference, DescribeAlarms")],
    ("dynamodb", "BatchGetItem"): [("RequestItems", 100, "DynamoDB API reference, BatchGetItem")],
    ("dynamodb", "BatchWriteItem"): [("RequestItems", 25, "DynamoDB API reference, BatchWriteItem")],
    ("dynamodb", "TransactWriteItems"): [("TransactItems", 100, "DynamoDB API reference, TransactWriteItems")],
    ("sqs", "SendMessageBatch"): [("Entries", 10, "SQS API reference, SendMessageBatch")],
    ("sqs", "SendMessage"): [("DelaySeconds", 900, "SQS API reference, SendMessage")],
    ("events", "PutEvents"): [("Entries", 10, "EventBridge API reference, PutEvents")],
    ("ssm", "GetParameters"): [("Names", 10, "Systems Manager API reference, GetParameters")],
    ("application-autoscaling", "DescribeScalableTargets"): [
        ("ResourceIds", 50, "Application Auto Scaling API reference, DescribeScalableTargets"),
        ("MaxResults", 50, "Application Auto Scaling API reference, DescribeScalableTargets"),
    ],
}
# The most bytes of a request as it is sent.
BYTES = {
    ("monitoring", "PutMetricData"): (1_000_000, "CloudWatch API reference, PutMetricData"),
    ("sqs", "SendMessage"): (1_048_576, "SQS developer guide, Message quotas"),
    ("events", "PutEvents"): (1_048_576, "EventBridge user guide, PutEvents"),
    ("lambda", "Invoke"): (6 * 1024 * 1024, "Lambda developer guide, Quotas"),
}
# Only one of these members may be in a request.
ONE_OF = {
    ("elasticloadbalancing", "DescribeTargetGroups"): (
        ("LoadBalancerArn", "TargetGroupArns", "Names"), "ELB API reference, DescribeTargetGroups",
    ),
}  # fmt: skip
# EC2's own pages: not with ids beside them (EC2 API reference, each operation's MaxResults).
NOT_WITH_IDS = {
    ("ec2", "DescribeInstances"): ("InstanceId", "maxResults"),
    ("ec2", "DescribeSpotInstanceRequests"): ("SpotInstanceRequestId", "MaxResults"),
    ("ec2", "DescribeImages"): ("ImageId", "MaxResults"),
    ("ec2", "DescribeInstanceTypes"): ("InstanceType", "MaxResults"),
}


def check(service, operation, given, size):
    """What is over a limit, as triples of place, words and source. `given` by the names on the wire, `size` in bytes."""
    name = service, operation
    for member, most, source in MOST.get(name, ()):
        if member in given and amount(given[member]) > most:
            yield member, f"{amount(given[member])}, and at most {most} are allowed", source
    if name in BYTES and size > BYTES[name][0]:
        yield "", f"{size} bytes, and at most {BYTES[name][0]} are allowed", BYTES[name][1]
    if name in ONE_OF:
        members, source = ONE_OF[name]
        both = [member for member in members if given.get(member)]
        if len(both) > 1:
            yield " and ".join(both), "only one of them may be given", source
    if name in NOT_WITH_IDS and all(given.get(member) for member in NOT_WITH_IDS[name]):
        yield " and ".join(NOT_WITH_IDS[name]), "pages are not for what is named by ids", f"EC2 API reference, {operation}"


def amount(value):
    """A number, the members of a list, or all keys and requests of a batch by tables."""
    if isinstance(value, dict):
        return sum(len(part["Keys"] if isinstance(part, dict) else part) for part in value.values())
    return value if isinstance(value, int) else len(value)
