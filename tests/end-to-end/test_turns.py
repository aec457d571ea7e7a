"""What keeps turns apart: the lease, the fleet file in force, and the dead-letter queue."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from cloud import NAME, eventually
from conftest import FLEETS, SHOP

PARAMETER = "/evenkeel/fleets/depot"


def push(story, pick):
    return story.deployed.invoke("microscale", {"fleet": "depot", "demand": {"pick": pick}})


def two_hosts(story):
    eventually(lambda: len(story.depot.hosts()) == 2, 30, "two hosts")


LEASE = {"TableName": NAME, "Key": {"pk": {"S": "fleet#depot"}, "sk": {"S": "turn#lease#microscale"}}}


def lease_of_depot(story):
    found = story.cloud.client("dynamodb").get_item(ConsistentRead=True, **LEASE)
    return json.loads(found["Item"]["body"]["S"])


def test_several_invocations_at_once_set_each_count_once(story):
    """Eight processes are told the same at the same time: one turn after the other, and each count is set once."""
    two_hosts(story)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: push(story, 30), range(8)))
    assert all(error is None for error, _ in answers), answers
    want = {"pick": 3, "pack": 5}
    eventually(lambda: story.depot.running() == want, 60, f"{want}", meanwhile=lambda: push(story, 30), every=1)
    counts = [one["step"]["set-desired-count"] for one in story.deployed.decisions("depot")]
    picks = [(count["from"], count["to"]) for count in counts if count["service"] == "pick"]
    assert picks in ([(0, 3)], [(0, 1), (1, 3)]), picks
    key = {value: name for name, value in story.deployed.keys().items()}["microscale"]
    made = [call for call in story.cloud.world("calls") if call["key"] == key and call["action"] == "ecs:UpdateService"]
    since = [call for call in made if call["at"] >= story.began and call["resources"][0].endswith("service/depot/pick")]
    # What is applied with its answer lost is asked again, with the same count.
    assert len(since) == len(picks) or story.cloud.with_faults, since


def test_whoever_finds_the_lease_taken_marks_it(story):
    """A holder that was killed in the middle: nobody takes a turn until its lease runs out, and then somebody does."""
    two_hosts(story)
    # The hosts' own events take turns as well.
    eventually(lambda: push(story, 20)[1].get("held"), 30, "a turn of its own", every=1)
    eventually(lambda: story.depot.desired()["pick"] == 2, 30, "two picks", every=1)

    def lease():
        return lease_of_depot(story)

    # Nothing else happens from here on, so that nobody but this test asks for turns.
    story.cloud.world("run", paused=True)
    eventually(lambda: lease()["holder"] is None, 40, "the last turn over", every=1)
    time.sleep(2)
    free = lease()
    assert free["holder"] is None and not free["again"], free
    until = datetime.now(timezone.utc) + timedelta(seconds=6)
    dead = free | {"holder": "somebody killed", "expires": until.strftime("%Y-%m-%dT%H:%M:%SZ"), "again": False}
    story.cloud.client("dynamodb").update_item(
        UpdateExpression="SET body = :body ADD version :one",
        ExpressionAttributeValues={":body": {"S": json.dumps(dead)}, ":one": {"N": "1"}},
        **LEASE,
    )
    error, said = push(story, 50)
    assert error is None and not said["held"], said
    assert lease()["again"], lease()
    assert story.depot.desired()["pick"] == 2
    time.sleep(max(0.0, (until - datetime.now(timezone.utc)).total_seconds()) + 1)
    error, said = push(story, 50)
    assert error is None and said["held"], said
    assert story.depot.desired()["pick"] == 5


@pytest.mark.calm
def test_a_turn_that_fails_gives_its_lease_back(story):
    """The cluster is not there for a while: whoever comes next does not wait for the lease to run out."""
    two_hosts(story)
    eventually(lambda: push(story, 10)[1].get("held"), 30, "a turn of its own", every=1)
    story.forget_clusters()

    def failure():
        error, said = push(story, 20)
        # An event may have taken a turn at the same time.
        assert error == "Failed" or not said["held"], said
        return said["errorMessage"] if error else None

    assert "Cluster" in eventually(failure, 20, "a turn of its own that fails", every=1)
    eventually(lambda: lease_of_depot(story)["holder"] is None, 3, "the lease is free")
    story.build()
    # Its counts went with it, which looks as if somebody else had set them: they are left alone for a while.
    eventually(lambda: push(story, 20)[1].get("held"), 10, "a turn", every=1)


@pytest.mark.takes(60)
def test_the_tick_comes_by_itself(story):
    """Nobody asks and nothing happens: within a minute the rule wakes each function, and beats follow from it."""
    story.shop_at_rest()

    def epoch(function):
        """One more with each turn; none before the first."""
        return dict(story.deployed.items("shop", "turn#lease#")).get(f"turn#lease#{function}", {"epoch": 0})["epoch"]

    # What the story did itself has to be over: backfill has no beats of its own while no host drains.
    quiet = [time.time(), epoch("backfill")]

    def still():
        if epoch("backfill") != quiet[1]:
            quiet[:] = [time.time(), epoch("backfill")]
        return time.time() - quiet[0] > 8

    eventually(still, 90, "no turn of backfill for a while", every=1)
    eventually(lambda: epoch("backfill") > quiet[1], 80, "a turn of backfill", every=1)
    after = epoch("microscale")
    eventually(lambda: epoch("microscale") >= after + 3, 40, "beats of five seconds", every=1)


@pytest.mark.takes(60)
def test_a_fleet_file_is_broken_and_mended(story):
    """A broken file changes nothing, and is told; the last good one stays in force until the next good one is there."""
    two_hosts(story)
    assert not push(story, 20)[1].get("fleet_file_refused")
    ssm = story.cloud.client("ssm")
    good = ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"]
    try:
        ssm.put_parameter(Name=PARAMETER, Value='name = "depot"\npriority = 1\n', Type="String", Overwrite=True)

        def refused():
            error, said = push(story, 40)
            assert error is None, said
            return said.get("fleet_file_refused")

        # A process looks at the file once a minute.
        told = eventually(refused, 90, "the broken file is told", every=3)
        assert "priority" in told, told
        want = lambda pick: lambda: story.depot.running()["pick"] == pick  # noqa: E731
        eventually(want(4), 30, "the last good file is in force", every=1, meanwhile=refused)

        ssm.put_parameter(
            Name=PARAMETER, Value=good.replace("max_tasks = 6", "max_tasks = 5"), Type="String", Overwrite=True
        )

        def mended():
            error, said = push(story, 60)
            assert error is None, said
            return not said.get("fleet_file_refused")

        # A process that was told of the broken file looks in every turn for a better one. One that is warm since a
        # story before may not have met the broken file at all, and has the old one until its minute is over.
        eventually(mended, 10, "the mended file is in force", every=1)
        eventually(want(5), 90, "five, as the new file says", every=1, meanwhile=mended)
    finally:
        # Put back as everybody would: deploy again.
        done = story.deployed.deploy(*FLEETS)
        assert done.returncode == 0, done.stderr
        assert f"{PARAMETER}: written" in done.stdout


def dead_letters(story, words):
    """Those that say so. Others may be there: of events that came while a story before had no cluster."""
    return [letter for letter in story.deployed.dead_letters() if words in json.dumps(letter).lower()]


def test_dead_letters_are_kept_and_alarmed(story):
    """What can never be used goes to the dead-letter queue with the reason, and the alarm sees it there."""
    assert not dead_letters(story, "malformed")
    story.depot.put("aws.ec2", "EC2 Spot Instance Interruption Warning", {"instance-action": "terminate"})
    letters = eventually(lambda: dead_letters(story, "malformed"), 60, "a dead letter")
    assert "instance-id" in str(letters), letters

    # CloudWatch counts queues by itself; here the test carries the number over, and the alarm judges it.
    sqs, watch = story.cloud.client("sqs"), story.cloud.client("cloudwatch")
    url = sqs.get_queue_url(QueueName=f"{NAME}-dead-letters")["QueueUrl"]

    def state():
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        count = int(told["Attributes"]["ApproximateNumberOfMessages"])
        point = {
            "MetricName": "ApproximateNumberOfMessagesVisible",
            "Dimensions": [{"Name": "QueueName", "Value": f"{NAME}-dead-letters"}],
            "Value": count,
        }
        watch.put_metric_data(Namespace="AWS/SQS", MetricData=[point])
        found = watch.describe_alarms(AlarmNames=[f"{NAME}-dead-letters"])["MetricAlarms"]
        return found[0]["StateValue"]

    eventually(lambda: state() == "ALARM", 90, "the alarm on dead letters", every=2)


def test_a_bad_message_does_not_stop_a_good_one(story):
    """One batch with a beat and with nonsense: the turn is taken, and the nonsense ends in the dead-letter queue."""
    two_hosts(story)
    sqs = story.cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{NAME}-microscale-beats")["QueueUrl"]
    # A failed message is hidden for six timeouts; here for one second, so that its three tries take three.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "5"})
    try:
        beat = json.dumps({"fleet": "depot", "beat": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")})
        entries = [{"Id": "good", "MessageBody": beat}, {"Id": "bad", "MessageBody": '{"fleet": "depot", "beat": "soon"}'}]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
        eventually(lambda: story.depot.desired()["pick"] == 1, 30, "the turn of the beat")
        eventually(lambda: dead_letters(story, "soon"), 60, "a dead letter")

        def none_waits():
            left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
            return left["ApproximateNumberOfMessages"] == "0"

        # Beats of the turns that followed come and go in the same queue.
        eventually(none_waits, 20, "nothing is left in the queue")
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "180"})


def test_an_event_that_says_nothing_is_a_success(story):
    """Of a kind that nobody acts on: counted, not failed."""
    kind = (SHOP.parent.parent.parent.parent / "events" / "unknown-kind.json").read_text()
    error, said = story.deployed.invoke("microscale", kind)
    assert error is None, said
    assert not dead_letters(story, json.loads(kind)["detail-type"].lower())
