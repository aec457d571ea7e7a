"""Each request of the product, and what it was answered, as both went over the wire: `strict` judges them after a story.

A line of JSON for each. What the stories themselves ask is left out: it is theirs, not the product's.
"""

import base64
import io
import json
import os
import re
import threading
import time

from .where import ACCOUNT

# The name under which infra/deploy and what it starts introduce themselves (SDKs reference guide, "Application ID").
DEPLOYING = "evenkeel-deploy"
# A function's code, of which nothing is looked at.
CODE = re.compile(rb'"ZipFile": ?"[^"]*"')
# What the driver puts in the name of AWS is judged as well.
PLAYED = "AWSEvents.PutEvents"
SIGNED = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")


class Recorder:
    """A file that lines are added to."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (as long as the process)
        self.lock = threading.Lock()

    def note(self, headers, request, body, status, answer, asked=(), error=""):
        """`headers` have small letters; `request` is the method, the path and the query; `error` is the answer's own header."""
        found = SIGNED.search(headers.get("authorization", ""))
        agent = headers.get("user-agent", "") + headers.get("x-amz-user-agent", "")
        played = headers.get("x-amz-target", "") == PLAYED
        if not found or (found[1] == ACCOUNT and f"app/{DEPLOYING}" not in agent and not played):
            return
        method, path, query = request
        if b"ZipFile" in body:
            body = CODE.sub(rb'"ZipFile":"AAAA"', body)
        line = {
            "at": time.time(),
            "key": found[1],
            "service": found[2],
            "method": method,
            "path": path,
            "query": query,
            "target": headers.get("x-amz-target", ""),
            "kind": headers.get("content-type", ""),
            "invocation": headers.get("amz-sdk-invocation-id", ""),
            "body": text(body),
            "status": status,
            "answer": text(answer),
            "error": error,
            "asked": list(asked),
        }
        with self.lock:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


def text(body):
    """As text where it is some, and else in base 64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def wsgi(application, path):
    """A WSGI application that is recorded. It may leave what IAM is asked in the environment, as `asked`."""
    recorder = Recorder(path)

    def recorded(environment, start):
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        environment["wsgi.input"] = io.BytesIO(body)
        begun = []

        def started(status, headers, *more):
            begun.append(status)
            return start(status, headers, *more)

        answer = list(application(environment, started))
        headers = {key[5:].lower().replace("_", "-"): value for key, value in environment.items() if key.startswith("HTTP_")}
        headers["content-type"] = environment.get("CONTENT_TYPE", "")
        request = environment["REQUEST_METHOD"], environment["PATH_INFO"], environment.get("QUERY_STRING", "")
        recorder.note(headers, request, body, int(begun[0].split()[0]), b"".join(answer), environment.get("asked", ()))
        return answer

    return recorded


def asgi(application, path):
    """An ASGI application that is recorded."""
    recorder = Recorder(path)

    async def recorded(scope, receive, send):
        if scope["type"] != "http":
            return await application(scope, receive, send)
        came, went, status, errors = [], [], [], []

        async def received():
            message = await receive()
            came.append(message.get("body", b""))
            return message

        async def sent(message):
            status.append(message.get("status"))
            errors.extend(value.decode() for key, value in message.get("headers", ()) if key.lower() == b"x-amzn-errortype")
            went.append(message.get("body", b""))
            await send(message)

        done = await application(scope, received, sent)
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        request = scope["method"], scope["path"], scope.get("query_string", b"").decode()
        if status:
            recorder.note(headers, request, b"".join(came), status[0], b"".join(went), error="".join(errors[:1]))
        return done

    return recorded


def path_of(name):
    """Where an emulator writes, if anything is to be written at all."""
    folder = os.environ.get("EVENKEEL_WIRE")
    return os.path.join(folder, f"{name}.jsonl") if folder else os.devnull
