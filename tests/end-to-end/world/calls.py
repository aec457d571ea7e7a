"""Who called what: read off each request's own signature, and judged by the caller's role."""

import json
import re
import time
from urllib.parse import parse_qs

from . import policies
from .authorize import checks


class Calls:
    """Every request to this server."""

    def __init__(self, group_of):
        """`group_of` gives the group that an instance is or was in, or none."""
        self.group_of = group_of
        self.seen = []
        # Access key to the statements of the role that it stands for; keys that are not here may do everything.
        self.roles = {}

    def read(self, environment, body):
        """The call, or none where the request is no signed one."""
        found = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", environment.get("HTTP_AUTHORIZATION", ""))
        if not found:
            return None
        key, service = found.groups()
        target = environment.get("HTTP_X_AMZ_TARGET", "")
        if target:
            action, given = target.rsplit(".", 1)[-1], json.loads(body or b"{}")
        else:
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            action, given = form.get("Action", ""), form
        return {"at": time.time(), "key": key, "action": f"{service}:{action}", "given": given}

    def judged(self, call):
        """Whether the caller's role allows all that the call is, and what IAM is asked about it; notes each action of it."""
        statements = self.roles.get(call["key"])
        actions, asked = {}, checks(call, self.group_of)
        for action, resource, context in asked:
            fine = statements is None or policies.allows(statements, action, resource, context)
            noted = {"at": call["at"], "key": call["key"], "action": action, "resources": [], "allowed": True}
            noted = actions.setdefault(action, noted)
            noted["resources"].append(resource)
            noted["allowed"] &= fine
        self.seen += actions.values()
        return all(noted["allowed"] for noted in actions.values()), asked
