"""A deployment that did not come to its end, or that somebody has changed by hand, and another run of it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import date

import boto3
import pytest
from cloud import REPOSITORY, Deployed, eventually
from conftest import DEPOT
from test_deploy import build_once
from through import Through
from world.where import ACCOUNT, REGION

pytestmark = pytest.mark.calm

NAME = "again"
FUNCTIONS = ("microscale", "livefeed")
# Of all calls after which it could be ended; all of them with EVENKEEL_SEEDS=all.
A_DAY = 3


@pytest.fixture
def again(cloud, deployed, options):
    """A deployment of two functions, whose calls are seen; and a fleet of its own on the depot's hosts."""
    build_once(cloud)
    third = cloud.folder / "again.toml"
    third.write_text(DEPOT.read_text().replace('name = "depot"', 'name = "fourth"', 1))
    given = [*options[:-1], ",".join(FUNCTIONS), "--fleet", third]
    again = Deployed(cloud, given, name=NAME)
    again.through = Through(cloud.urls["ministack"])
    yield again
    again.through.close()
    again.run("destroy", "--yes")


def command(again, *more):
    given = [sys.executable, str(REPOSITORY / "infra" / "deploy"), "--name", NAME, *map(str, again.options), *map(str, more)]
    return [*given, "--endpoint-url", again.through.url]


def deploy(again, *more):
    environment = again.cloud.deploying()
    done = subprocess.run(command(again, *more), capture_output=True, text=True, env=environment)
    again.know_roles()
    return done


def ended_after(again, number):
    """Deploys, and is killed when its change of that number has been made: its answer never comes."""
    again.through.calls.clear()
    environment = again.cloud.deploying()
    process = subprocess.Popen(
        command(again), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )

    def after(_):
        if len(again.through.changes()) == number:
            os.killpg(process.pid, signal.SIGKILL)

    again.through.after = after
    said, _ = process.communicate(timeout=300)
    again.through.after = None
    again.know_roles()
    assert process.returncode == -signal.SIGKILL, said
    return again.through.changes()[number - 1]


def plain(value):
    """Without what is new each time: ids, times, and the endings that CloudFormation gives names."""
    text = json.dumps(value, sort_keys=True, default=str)
    text = re.sub(r"-[A-Za-z0-9]{12,14}(?=[\"/:])", "-X", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", text)


def state(cloud, deployed):
    """All that a deployment is, as the account says it."""
    api, mine = cloud.client("lambda"), {}
    keys = ("Runtime", "Handler", "Role", "MemorySize", "Timeout", "Architectures", "Environment", "LoggingConfig", "State")
    for name in FUNCTIONS:
        full = f"{NAME}-{name}"
        found = api.get_function(FunctionName=full)
        mine[full] = {key: found["Configuration"].get(key) for key in keys} | {"tags": found["Tags"]}
        mine[full]["versions"] = len(api.list_versions_by_function(FunctionName=full)["Versions"])
        mine[full]["loops"] = api.get_function_recursion_config(FunctionName=full)["RecursiveLoop"]
        policy = json.loads(api.get_policy(FunctionName=full)["Policy"]) if name != "livefeed" else {"Statement": []}
        mine[full]["callers"] = sorted(plain([one["Principal"], one["Condition"]]) for one in policy["Statement"])
        mine[full]["statements"] = plain(deployed.statements(found["Configuration"]["Role"]))
    mappings = [one for one in api.list_event_source_mappings()["EventSourceMappings"] if f":{NAME}-" in one["EventSourceArn"]]
    mine["mappings"] = [(one["EventSourceArn"], one["State"]) for one in mappings]
    mine["page"] = api.get_function_url_config(FunctionName=f"{NAME}-livefeed")["AuthType"]
    events = cloud.client("events")
    for rule in events.list_rules(NamePrefix=f"{NAME}-")["Rules"]:
        targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        mine[rule["Name"]] = (rule.get("EventPattern"), rule.get("ScheduleExpression"), rule["State"], targets)
    stacks = cloud.client("cloudformation")
    for stack in ("foundation", "triggers", "watch"):
        [found] = stacks.describe_stacks(StackName=f"{NAME}-{stack}")["Stacks"]
        resources = stacks.describe_stack_resources(StackName=f"{NAME}-{stack}")["StackResources"]
        made = sorted((one["LogicalResourceId"], one["ResourceStatus"].split("_")[-1]) for one in resources)
        mine[stack] = (found["StackStatus"].split("_")[-1], sorted(map(plain, found["Parameters"])), made)
    ssm = cloud.client("ssm")
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/evenkeel/fleets", Recursive=True)
    for one in [one for page in pages for one in page["Parameters"] if "fourth" in one["Name"]]:
        tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=one["Name"])["TagList"]
        mine[one["Name"]] = (one["Value"], tags)
    table = cloud.client("dynamodb").describe_time_to_live(TableName=NAME)["TimeToLiveDescription"]
    mine["table"] = table["TimeToLiveStatus"]
    mine["alarms"] = sorted(one["AlarmName"] for one in cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=NAME)["MetricAlarms"])
    return {key: plain(value) for key, value in mine.items()}


@pytest.mark.takes(150)
def test_a_deployment_that_dies_after_any_of_its_calls_ends_the_same(cloud, again):
    """Each call that changes anything, then another run: the account is as if nothing had happened."""
    made = deploy(again)
    assert made.returncode == 0, made.stderr
    calls, wanted = again.through.changes(), state(cloud, again)
    assert len(calls) >= 18, calls
    # An alarm on silence is made when there was a turn already, and says nothing then.
    stacks = [at for at, call in enumerate(calls) if call == "cloudformation:CreateChangeSet"]
    assert len(stacks) == 3 and stacks[1] < calls.index("lambda:Invoke") < stacks[2], calls
    seeds = os.environ.get("EVENKEEL_SEEDS", date.today().isoformat())
    points = list(range(1, len(calls) + 1))
    if seeds != "all":
        points = sorted(random.Random(seeds).sample(points, A_DAY))
    print(f"{len(calls)} calls change something; ended after {points} (EVENKEEL_SEEDS={seeds} ends it there again)")
    for number in points:
        assert again.run("destroy", "--yes").returncode == 0
        last = ended_after(again, number)
        done = deploy(again)
        assert done.returncode == 0, (number, last, done.stderr, done.stdout)
        now = state(cloud, again)
        differs = {key: (wanted.get(key), now.get(key)) for key in wanted.keys() | now.keys() if wanted.get(key) != now.get(key)}
        assert not differs, (number, last, differs)
        settled = deploy(again)
        assert f"{NAME}: nothing to change" in settled.stdout, (number, last, settled.stdout)
        print(f"{number}: ended after {last}; the next run ends the same", flush=True)


@pytest.mark.takes(40)
def test_whoever_interrupts_it_is_told_what_was_done_and_what_may_be_half_done(cloud, again):
    environment = cloud.environment()
    process = subprocess.Popen(
        command(again), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )

    def after(action):
        if action == "lambda:CreateFunction":
            again.through.after = None
            os.kill(process.pid, signal.SIGINT)

    again.through.after = after
    said, wrong = process.communicate(timeout=120)
    again.know_roles()
    assert process.returncode == 1, said + wrong
    assert "deploy: interrupted" in wrong
    assert f"under way, and perhaps half done: {NAME}-microscale" in wrong
    assert f"done before that: {NAME}-foundation changed; /evenkeel/fleets/fourth written" in wrong
    done = deploy(again)
    assert done.returncode == 0 and done.stdout.rstrip().endswith(f"{NAME}: deployed"), done.stderr


@pytest.mark.takes(60)
def test_what_somebody_has_changed_by_hand_is_mended_or_said(cloud, again):
    made = deploy(again)
    assert made.returncode == 0, made.stderr
    # The stories' own deployment has the depot, too.
    shared = "Auto Scaling group depot-base is also in /evenkeel/fleets/depot: pool[0].auto_scaling_group: two deployments"
    assert shared in made.stdout, made.stdout
    wanted, api, iam = state(cloud, again), cloud.client("lambda"), cloud.client("iam")

    # A function that is gone took its permissions along; one that was changed, its role, its loop and its settings.
    api.delete_function(FunctionName=f"{NAME}-microscale")
    api.put_function_recursion_config(FunctionName=f"{NAME}-livefeed", RecursiveLoop="Terminate")
    iam.create_role(RoleName="elsewhere", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    role = iam.get_role(RoleName="elsewhere")["Role"]["Arn"]
    api.update_function_configuration(FunctionName=f"{NAME}-livefeed", Role=role, MemorySize=256)
    done = deploy(again)
    iam.delete_role(RoleName="elsewhere")
    assert done.returncode == 0, done.stderr
    assert f"{NAME}-microscale: is gone, deleted by hand; {NAME}-triggers is made anew with it" in done.stdout
    assert f"{NAME}-livefeed: update (role, memory)" in done.stdout
    api.put_function_recursion_config(FunctionName=f"{NAME}-livefeed", RecursiveLoop="Terminate")
    api.put_function_recursion_config(FunctionName=f"{NAME}-microscale", RecursiveLoop="Terminate")
    assert f"{NAME}-microscale: update (recursive loop)" in deploy(again).stdout
    now = state(cloud, again)
    loops = '"loops": "Terminate"', '"loops": "Allow"'
    assert {key: value.replace(*loops) for key, value in now.items()} == {key: value.replace(*loops) for key, value in wanted.items()}

    # What only CloudFormation knows of.
    trust = {"Version": "2012-10-17", "Statement": []}
    role = api.get_function_configuration(FunctionName=f"{NAME}-livefeed")["Role"].rsplit("/", 1)[1]
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    cloud.client("events").remove_targets(Rule=f"{NAME}-tick", Ids=["microscale"])
    cloud.client("events").delete_rule(Name=f"{NAME}-tick")
    said = deploy(again).stdout
    assert "note: again-foundation: LivefeedRole (IAM::Role) was changed by hand" in said, said
    assert "note: again-triggers: Tick (Events::Rule) is gone, deleted by hand" in said
    assert "not looked at, because CloudFormation cannot" in said
    assert said.rstrip().endswith(f"{NAME}: nothing to change, but see what was changed by hand")

    # Without its table nothing works, and nothing is changed.
    table = cloud.client("dynamodb")
    table.update_table(TableName=NAME, DeletionProtectionEnabled=False)
    table.delete_table(TableName=NAME)
    gone = deploy(again)
    assert gone.returncode == 1 and f"table {NAME}: is gone, deleted by hand" in gone.stderr
    assert "nothing was changed before that" in gone.stderr


FAILS = {
    "Parameters": {"ExistingTable": {"Type": "String", "Default": ""}},
    "Resources": {"Page": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": "nobody", "AuthType": "AWS_IAM"}}},
}


@pytest.mark.takes(40)
def test_a_first_creation_that_failed_is_tried_again(cloud, again):
    """The stack never was whole, and its table stayed: the next run makes the one, and uses the other."""
    stacks, table = cloud.client("cloudformation"), cloud.client("dynamodb")
    stacks.create_stack(StackName=f"{NAME}-foundation", TemplateBody=json.dumps(FAILS), OnFailure="ROLLBACK")
    eventually(lambda: status(stacks) == "ROLLBACK_COMPLETE", 20, "a stack that never was whole")
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    table.create_table(
        TableName=NAME,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    done = deploy(again)
    assert done.returncode == 0, done.stderr
    assert f"table {NAME} is there already, and is used" in done.stdout
    assert table.describe_time_to_live(TableName=NAME)["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    assert status(stacks) == "CREATE_COMPLETE"
    assert f"{NAME}: nothing to change" in deploy(again).stdout


@pytest.mark.takes(30)
def test_a_queue_that_was_deleted_a_moment_ago_is_waited_for(cloud, deployed, tmp_path, monkeypatch):
    """AWS's words for it come with a failure of the emulator's own, which ends while the minute is waited for."""
    from deployment import code, stacks

    (tmp_path / "fails.json").write_text(json.dumps(FAILS))
    api = boto3.client("cloudformation", region_name=REGION)
    words = "You must wait 60 seconds after deleting a queue before you can create another with the same name. (QueueDeletedRecently)"

    def in_their_words(parsed, **_):
        for event in parsed["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED"):
                event["ResourceStatusReason"] = words

    api.meta.events.register("after-call.cloudformation.DescribeStackEvents", in_their_words)
    rest, waited, functions = time.sleep, [], cloud.client("lambda")

    def sleep(seconds):
        if seconds < stacks.MINUTE:
            return rest(seconds)
        waited.append(seconds)
        role = functions.get_function_configuration(FunctionName=f"{deployed.name}-livefeed")["Role"]
        made = {"Runtime": "provided.al2023", "Handler": "bootstrap", "Role": role}
        functions.create_function(FunctionName="nobody", Code={"ZipFile": code.packed(b"never called")}, **made)

    monkeypatch.setattr(time, "sleep", sleep)
    said, ours = [], None
    try:
        ours = stacks.Stacks(api, said.append, 0.2)
        assert ours.apply("nobody", tmp_path / "fails.json", {"ExistingTable": ""}, {}, dry_run=False)
        assert len(waited) == 1 and any("less than a minute ago" in line for line in said)
        assert ours.describe("nobody")["StackStatus"] == "CREATE_COMPLETE"
    finally:
        ours.delete("nobody")
        functions.delete_function(FunctionName="nobody")


def status(stacks):
    return stacks.describe_stacks(StackName=f"{NAME}-foundation")["Stacks"][0]["StackStatus"]


@pytest.mark.takes(30)
def test_who_deploys_signs_in_once(cloud, again, tmp_path):
    """A profile whose keys a process gives, as one for a code would: cargo-lambda gets what it gave, and asks nobody again."""
    asked, keys = tmp_path / "asked", {"Version": 1, "AccessKeyId": ACCOUNT, "SecretAccessKey": "test", "SessionToken": "token"}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    (tmp_path / "sign-in").write_text(f"#!/bin/sh\necho once >> {asked}\ncat {tmp_path / 'keys.json'}\n")
    (tmp_path / "sign-in").chmod(0o755)
    (tmp_path / "config").write_text(f"[profile people]\ncredential_process = {tmp_path / 'sign-in'}\n")
    environment = cloud.deploying() | {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    done = subprocess.run(command(again, "--profile", "people"), capture_output=True, text=True, env=environment)
    again.know_roles()
    assert done.returncode == 0, done.stderr
    assert "lambda:CreateFunction" in again.through.calls
    assert asked.read_text().splitlines() == ["once"]


def test_a_role_that_lambda_does_not_know_yet_is_waited_for():
    """cargo-lambda draws its errors, and wraps them at 80 columns."""
    from deployment import functions
    from deployment.trouble import Trouble

    drawn = (
        "Error:   × failed to create the new lambda function\n  ├─▶ service error\n  ├─▶ unhandled error\n"
        "  ╰─▶ Error { code: \"InvalidParameterValueException\", message: \"The role defined\n"
        "      │ for the function cannot be\n      │ assumed by Lambda.\" }\n"
    )
    assert "cannot be assumed by Lambda" not in drawn
    tries, waits = [], []

    def work():
        tries.append(time.time())
        if len(tries) < 3:
            raise Trouble(f"again-livefeed: {functions.unwrapped(drawn)}")
        return "made"

    ours = functions.Functions(None, NAME, waits.append)
    assert ours._patiently(work) == "made" and len(tries) == 3
    with pytest.raises(Trouble, match="no space"):
        ours._patiently(lambda: (_ for _ in ()).throw(Trouble("no space left")))
