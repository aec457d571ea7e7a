"""MiniStack, with what the stories need of it and its version of today lacks.

    python -m world.ministack

Its log says `DENIED` with the action, the caller and the resource for each call that a role did not allow, and `CALL` with the
caller's key and the action for every call.
"""

import contextlib
import contextvars
import json
import queue
import socket
import socketserver
import sys
import threading
import zlib

import ministack.app as app
import ministack.core.iam_actions as iam
import ministack.core.lambda_runtime as runtime
import ministack.services.cloudtrail as trail
import ministack.services.cloudwatch as watch
import ministack.services.eventbridge as eventbridge
import ministack.services.lambda_svc as functions

from . import recorder, truths



def log(*words):
    """One write, so that the lines of several threads stay whole."""
    sys.stderr.write(" ".join(map(str, words)) + "\n")


# What a function that does nothing costs: MiniStack looks ten times a second, for each that is warm, whether there is an event
# for it, and whether it should end. An event wakes it anyway; seconds.
LOOK = 5


class Events(queue.Queue):
    def get(self, block=True, timeout=None):
        return super().get(block, timeout and max(timeout, LOOK))


class Server(socketserver.ThreadingTCPServer):
    def serve_forever(self, poll_interval=LOOK):
        super().serve_forever(LOOK)

    def shutdown(self):
        """A call of our own lets it look now."""
        ending = threading.Thread(target=super().shutdown)
        ending.start()
        while ending.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(self.server_address, timeout=1).close()
            ending.join(0.05)


class Instead:
    """A module of which some names are others."""

    def __init__(self, module, **others):
        self.__dict__.update(vars(module), **others)


runtime.queue = Instead(queue, Queue=Events)
runtime.socketserver = Instead(socketserver, ThreadingTCPServer=Server)

# Only AWS itself may send events of its own services; here a test plays AWS.
take = eventbridge._put_events
# MiniStack gives every event the time at which it came; a late one has its own.
clock = eventbridge._now_ts
of_event = contextvars.ContextVar("of_event", default=None)


def now():
    return of_event.get() or clock()


def put_events(data, allow_aws_source=True):
    entries = data.get("Entries", [])
    if len(entries) != 1:
        return take(data, True)
    token = of_event.set(entries[0].get("Time"))
    try:
        return take(data, True)
    finally:
        of_event.reset(token)




def dispatch_to_lambda(arn, payload):
    """EventBridge calls functions asynchronously: a failure is tried again twice, and then given to the destination."""
    function, config, _ = functions._get_func_record_for_ref(arn)
    if function and config:
        record = {**function, **functions._execution_record_for_config(function, config)}
        functions.invoke_async_with_retry(record, json.loads(payload))


eventbridge._dispatch_to_lambda = dispatch_to_lambda
eventbridge._now_ts = now
eventbridge._put_events = put_events

# The batch calls of SQS are no actions of their own: IAM knows the single ones (Service Authorization Reference, "Actions
# defined by Amazon SQS").
BATCHES = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
extract = iam.extract_iam_action
refuse = iam.access_denied_response


def extract_iam_action(*given, **named):
    action = extract(*given, **named)
    return BATCHES.get(action, action)


def access_denied_response(service, action, principal, *given, **named):
    log("DENIED", action, principal, named.get("resource_arn"))
    return refuse(service, action, principal, *given, **named)


# What IAM calls a service that signs under another name.
PREFIXES = {"monitoring": "cloudwatch"}
# The members of a transaction are authorized as the actions that they are (DynamoDB developer guide, "IAM and transactions").
MEMBERS = {"Update": "UpdateItem", "Delete": "DeleteItem", "Put": "PutItem", "ConditionCheck": "ConditionCheckItem"}


def record_event(service, event_name, access_key_id, request_params, **_):
    """Each call in the log, with its caller's key: what a role has to allow is read off it."""
    actions = [f"{PREFIXES.get(service, service)}:{event_name}"]
    if event_name == "TransactWriteItems":
        members = {member for item in request_params.get("TransactItems", []) for member in item}
        actions = [f"dynamodb:{MEMBERS[member]}" for member in sorted(members)]
    actions = [BATCHES.get(action, action) for action in actions]
    log("CALL", json.dumps({"key": access_key_id, "actions": actions}))


def event_name(service, method, path, headers, query):
    """The newer protocol of CloudWatch has the action in its path (Smithy RPC v2)."""
    return path.rsplit("/operation/", 1)[1] if "/operation/" in path else name_event(service, method, path, headers, query)


name_event = app._ct_event_name
app._ct_event_name = event_name
trail.record_event = record_event
iam.extract_iam_action = extract_iam_action
iam.access_denied_response = access_denied_response

json_ok = watch._json_ok


def without_nulls(data):
    """AWS's JSON has no null: what an alarm does not have is not in the answer (botocore's model of CloudWatch, MetricAlarm)."""
    alarms = [{key: value for key, value in alarm.items() if value is not None} for alarm in data.get("MetricAlarms", [])]
    return json_ok(data | ({"MetricAlarms": alarms} if alarms else {}))


watch._json_ok = without_nulls
send_response = app._send_response


async def send_truth(send, status, headers, body, **named):
    if isinstance(body, bytes):
        body = truths.of_ministack(body)
        # DynamoDB says the sum of what it sends.
        headers = {key: str(zlib.crc32(body)) if key.lower() == "x-amz-crc32" else value for key, value in headers.items()}
    return await send_response(send, status, headers, body, **named)


app._send_response = send_truth
app.app = recorder.asgi(app.app, recorder.path_of("ministack"))

if __name__ == "__main__":
    app.main()
