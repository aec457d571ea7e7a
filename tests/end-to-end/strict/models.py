"""AWS's models of its services, as botocore has them."""

from functools import cache

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError

# What is no service, or no operation, of AWS's.
Unknown = (UnknownServiceError, OperationNotFoundError)
# What a service signs as, where botocore calls it something else.
NAMES = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}
# The prefix of a service's actions in policies, where it is not what the service signs as.
PREFIXES = {"monitoring": "cloudwatch"}


@cache
def loaded():
    return botocore.session.get_session()


@cache
def service(signs_as):
    return loaded().get_service_model(NAMES.get(signs_as, signs_as))


@cache
def operation(signs_as, name):
    return service(signs_as).operation_model(name)


def operation_of(line):
    """The name of the operation that a recorded request asks for."""
    if line["target"]:
        return line["target"].rsplit(".", 1)[-1]
    if "/operation/" in line["path"]:  # Smithy RPC v2
        return line["path"].rsplit("/", 1)[-1]
    if isinstance(line["body"], str) and "Action=" in line["body"]:
        return line["body"].split("Action=", 1)[1].split("&", 1)[0]
    return routed(line["service"], line["method"], line["path"])[0]


def routed(signs_as, method, path):
    """The operation of a REST service that a path belongs to, and the labels in it; the most literal one wins."""
    parts = path.strip("/").split("/")
    best = None
    for name in service(signs_as).operation_names:
        http = operation(signs_as, name).http
        wanted = http["requestUri"].split("?")[0].strip("/").split("/")
        if http["method"] != method or len(wanted) != len(parts):
            continue
        pairs = list(zip(wanted, parts, strict=True))
        if all(want == has or want.startswith("{") for want, has in pairs):
            labels = {want.strip("{}+"): has for want, has in pairs if want.startswith("{")}
            if best is None or len(labels) < len(best[1]):
                best = name, labels
    if best is None:
        raise LookupError(f"{signs_as}: {method} {path}: no operation of AWS's has this path")
    return best
