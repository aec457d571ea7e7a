"""MiniStack, with what the stories need of it and its version of today lacks.

    python -m world.ministack

Its log says `DENIED` with the action, the caller and the resource for each call that a role did not allow.
"""

import contextvars
import json
import sys

import ministack.core.iam_actions as iam
import ministack.services.eventbridge as eventbridge
import ministack.services.lambda_svc as functions
from ministack.app import main

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
    print("DENIED", action, principal, named.get("resource_arn"), file=sys.stderr, flush=True)
    return refuse(service, action, principal, *given, **named)


iam.extract_iam_action = extract_iam_action
iam.access_denied_response = access_denied_response

if __name__ == "__main__":
    main()
