"""The first turns: each function is asked how things stand, so that a person hears at once if it cannot run, and so that the
alarm on silence has something to look at when it is made. An alarm that finds nothing at all says ALARM."""

import json
import time
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError

from .trouble import words_of

# How each says how things stand; none of these changes anything (README.md, "Operating").
ASKED = {
    "microscale": {"microscale": "status"},
    "backfill": {"backfill": "status"},
    "patchroll": {"roll": "status"},
}
# The longest that a call may take to be counted in CloudWatch.
COUNTED = 240


def have(session, functions, wanted, fleets, say, pause):
    waiting = []
    for name in (name for name in ASKED if name in wanted):
        fleet = next((one for one in fleets if name in one.functions), fleets[0])
        full = functions.full(name)
        try:
            answer = functions.api.invoke(FunctionName=full, Payload=json.dumps({"fleet": fleet.name} | ASKED[name]))
        except ClientError as error:
            say(f"note: {full} was not asked how things stand: {words_of(error)}")
            continue
        if answer.get("FunctionError"):
            said = answer["Payload"].read().decode(errors="replace")
            say(f"note: {full} runs, but answers with an error: {said[:500]}")
        waiting.append(full)
    watch, until = session.client("cloudwatch"), time.time() + COUNTED
    if waiting:
        say("first turns: waiting until CloudWatch has counted them, so that no alarm says silence")
    while waiting:
        try:
            waiting = [full for full in waiting if not counted(watch, full)]
        except ClientError as error:
            say(f"note: the first turns were not looked for, so an alarm may say silence once: {words_of(error)}")
            return
        if waiting and time.time() > until:
            say(f"note: not counted in {COUNTED} s: {', '.join(waiting)}; an alarm may say silence once")
            return
        if waiting:
            time.sleep(5 * pause)


def counted(watch, full):
    now = datetime.now(timezone.utc)
    found = watch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": full}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return any(point["Sum"] >= 1 for point in found["Datapoints"])
