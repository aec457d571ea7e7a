"""Judges what was recorded: each request, each answer, each write that is sent twice, and what IAM would be asked."""

import hashlib
import json
import time
from dataclasses import dataclass, field

from world.where import ACCOUNT

from . import deployer, errors, events, limits, models, read, roles, shapes
from .findings import Finding
from .writes import Writes


# How the access keys of roles begin (IAM user guide, "Unique identifiers").
OF_A_ROLE = "ASIA"


@dataclass
class Call:
    """A request and its answer, read."""

    service: str
    operation: str
    given: dict
    key: str
    who: str
    at: float
    status: int
    invocation: str = ""
    asked: list = field(default_factory=list)

    @property
    def request(self):
        return f"{self.who}: {self.service}:{self.operation}"


class Wire:
    """The recordings of one account, read on from where the last story ended."""

    def __init__(self, paths):
        self.paths = list(paths)
        self.read = dict.fromkeys(self.paths, 0)
        # What was judged before, and found fine or not: most of what goes over the wire was there before.
        self.known = {}
        # What was judged so far, and what that took of the processor, in seconds.
        self.calls, self.seconds = 0, 0.0

    def lines(self):
        """What has been written since the last time, in the order in which it was answered. A last line that is still
        being written is read the next time."""
        found = []
        for path in self.paths:
            with path.open("rb") as file:
                file.seek(self.read[path])
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self.read[path] += len(whole)
            found += [json.loads(line) for line in whole.splitlines()]
        return sorted(found, key=lambda line: line["at"])

    def judge(self, whose):
        """Findings, and what IAM was asked, by function. `whose` gives the function of a key, and since when and until when
        its role has had which statements."""
        began = time.process_time()
        try:
            return self.judged(whose)
        finally:
            self.seconds += time.process_time() - began

    def judged(self, whose):
        findings, asked, writes = set(), {}, Writes()
        for line in self.lines():
            self.calls += 1
            who, allowed = whose.get(line["key"], ("infra/deploy", None))
            statements = allowed and [one for since, until, then in allowed if since <= line["at"] <= until for one in then]
            try:
                operation = models.operation_of(line)
                model = models.operation(line["service"], operation)
            except (LookupError, *models.Unknown) as problem:
                words = str(problem)
                findings.add(Finding("request", f"{who}: {line['service']}", line["path"], words, shapes.MODEL))
                continue
            call = Call(
                line["service"], operation, {}, line["key"], who, line["at"], line["status"], line["invocation"], line["asked"]
            )
            findings.update(self.request(call, model, line))
            if line["answer"] is None:
                continue  # A request alone, as tests of adapters record them: nobody says what came of it.
            findings.update(self.answer(call, model, line))
            if line["target"] == "AWSEvents.PutEvents":
                findings.update(found for entry in call.given["Entries"] for found in events.check(entry))
                continue
            findings.update(finding("write", call, found) for found in writes.check(call))
            if statements is None and call.key.startswith(OF_A_ROLE):
                words = "a role calls of which nobody knows what it allows"
                findings.add(Finding("role", call.request, "", words, "tests/end-to-end/cloud.py: Cloud.roles"))
            if statements is not None:
                findings.update(self.roles(call, statements, asked.setdefault(who, set())))
            elif call.key == ACCOUNT and f"{call.service}:{call.operation}" not in deployer.FREE:
                findings.update(self.deployer(call))
        return sorted(findings), asked

    def once(self, kind, about, judge):
        """What `judge` finds, or found before in the same words."""
        name = kind, hashlib.blake2b(repr(about).encode(), digest_size=16).digest()
        if name not in self.known:
            self.known[name] = list(judge())
        return self.known[name]

    def request(self, call, model, line):
        call.given = read.request(line, model)
        size = len(line["body"]) if isinstance(line["body"], str) else len(read.raw(line["body"]))

        def judge():
            found = shapes.check(model.input_shape, call.given) if model.input_shape else []
            yield from (finding("request", call, (place, words, shapes.MODEL)) for place, words in found)
            yield from (finding("request", call, one) for one in limits.check(call.service, call.operation, call.given, size))

        return self.once("request", (call.who, call.operation, line["path"], line["query"], line["body"]), judge)

    def answer(self, call, model, line):
        def judge():
            if line["status"] >= 300:
                yield from (finding("answer", call, ("", words, shapes.MODEL)) for words in errors.check(line, model))
                return
            try:
                value = read.answer(line, model)
            except ValueError as problem:
                yield finding("answer", call, ("", f"cannot be read: {problem}", shapes.MODEL))
                return
            if value is not None:
                for place, words in shapes.check(model.output_shape, value):
                    yield finding("answer", call, (place, words, shapes.MODEL))

        return self.once("answer", (call.who, call.operation, line["status"], line["answer"]), judge)

    def roles(self, call, statements, asked):
        key = json.dumps(call.asked or [call.operation, call.given], sort_keys=True, default=str)

        def judge():
            return [*roles.judge(call, statements)], {*roles.used(roles.asks(call), statements)}

        found, used = self.once("role", (call.who, call.operation, key, statements), judge)
        asked.update(used)
        return found

    def deployer(self, call):
        """A call of infra/deploy, by the policy that is handed out for it."""

        def judge():
            mine = list(deployer.asks(call)) if call.service in deployer.NAMED else None
            return roles.judge(call, deployer.statements(), mine)

        key = json.dumps([call.asked, call.operation, call.given], sort_keys=True, default=str)
        return self.once("deployer", key, judge)


def finding(kind, call, found):
    place, words, source = found
    return Finding(kind, call.request, place, words, source)
