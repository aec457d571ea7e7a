"""Whether an error is one that AWS's model names for the operation, or one that every operation may answer."""

import json
import re

from . import read

# Each API's reference, "Common errors", and botocore's retry rules.
COMMON = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InvalidAction",
    "InvalidClientTokenId",
    "InvalidParameterValue",
    "MissingParameter",
    "OptInRequired",
    "RequestExpired",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "Throttling",
    "ThrottlingException",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
}
# EC2's model names no errors at all; its codes are in a list of their own (EC2 API reference, "Error codes").
WITHOUT = ("ec2",)


def check(line, operation):
    """Words for what is wrong with an answer that is an error."""
    if line["status"] >= 500:
        yield f"status {line['status']}: the emulator itself failed, or does not know the call, and an SDK tries again"
        return
    code = code_of(line)
    if not code:
        yield f"status {line['status']} without a code that an SDK would find"
    elif line["service"] not in WITHOUT and code not in COMMON and code not in known(operation):
        yield f"{code}: AWS's model does not name this error for the operation"


def code_of(line):
    """Where each protocol has it."""
    body = read.raw(line["answer"])
    if read.protocol_of(line) in ("query", "ec2"):
        found = re.search(rb"<Code>([^<]+)</Code>", body)
        return found[1].decode() if found else ""
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = read.cbor(body)
    named = said.get("__type") or said.get("code") or line.get("error", "")
    return named.rsplit("#", 1)[-1].split(":")[0]


def known(operation):
    """Names and codes: some services answer with a code that is not the shape's name."""
    for shape in operation.error_shapes:
        yield shape.name
        yield shape.metadata.get("error", {}).get("code")
