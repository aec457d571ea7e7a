"""MiniStack, with what the stories need of it and its version of today lacks.

    python -m world.ministack

Its log says `DENIED` with the action, the caller and the resource for each call that a role did not allow.
"""

import sys

import ministack.core.iam_actions as iam
import ministack.services.eventbridge as eventbridge
from ministack.app import main

# Only AWS itself may send events of its own services; here a test plays AWS. The one default is `allow_aws_source`.
assert eventbridge._put_events.__code__.co_varnames[:2] == ("data", "allow_aws_source")
eventbridge._put_events.__defaults__ = (True,)

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
