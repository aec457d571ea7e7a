"""A Lambda runtime API on loopback (Lambda developer guide, "Using the Lambda runtime API")."""

import itertools
import json
import os
import queue
import re
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# The longest that a process may take to ask for work, or for a turn.
PATIENCE = 20
ARN = "arn:aws:lambda:us-east-1:123456789012:function:startup"


class Failed(Exception):
    """A process did not do what it is measured by; with its own words."""


def environment(address, more):
    """What Lambda sets, and nothing of whoever measures."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "startup",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "EVENKEEL_FLEETS": "shop",
        **more,
    }


def peak_kib(process):
    """The most memory that a process had; none where no /proc tells."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) if found else None


def end(process):
    process.kill()
    process.wait()
    process.stderr.close()


def words(process):
    process.kill()
    return process.stderr.read().decode(errors="replace").strip()[-400:]


class FirstPolls:
    """Takes the first request of each process, and never answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.asked = threading.Event()
        self.at = 0
        self.held = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            head = connection.recv(4096)
            if b"/invocation/next" in head.split(b"\r\n", 1)[0]:
                self.at = time.perf_counter_ns()
                self.held.append(connection)
                self.asked.set()
            else:
                connection.close()

    def start(self, command, cwd=None):
        """Milliseconds until `command` asks for work, and its memory then in KiB."""
        env = environment(self.address, {})
        self.asked.clear()
        began = time.perf_counter_ns()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            if not self.asked.wait(PATIENCE):
                raise Failed(f"{command[0]} did not ask for work: {words(process)}")
            return (self.at - began) / 1e6, peak_kib(process)
        finally:
            end(process)
            for connection in self.held:
                connection.close()
            self.held.clear()


class Server(ThreadingHTTPServer):
    """One whose clients may go whenever they like: processes that are measured are killed."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Turns:
    """Hands out events to one process, and waits for its answers."""

    def __init__(self):
        self.events, self.answers, ids = queue.Queue(), queue.Queue(), itertools.count()
        turns = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer's head and body are two writes, and the second would wait for the first one's acknowledgement.
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self):
                event = turns.events.get()
                body = json.dumps(event).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.send_header("lambda-runtime-aws-request-id", f"00000000-0000-4000-8000-{next(ids):012}")
                self.send_header("lambda-runtime-deadline-ms", str(int((time.time() + 30) * 1000)))
                self.send_header("lambda-runtime-invoked-function-arn", ARN)
                self.end_headers()
                self.wfile.write(body)
                turns.began = time.perf_counter_ns()
                self.wfile.flush()

            def do_POST(self):
                at = time.perf_counter_ns()
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if "transfer-encoding" in self.headers:
                    body = dechunk(self.rfile)
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()
                turns.answers.put((at, self.path.endswith("/response"), body))

            def log_message(self, *given):
                pass

        self.began = 0
        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, command, cwd, more, event, count, before_each=lambda: None):
        """Milliseconds of each of `count` turns of one process, its memory after them in KiB, and all lines that it logged."""
        env, log = environment(self.address, more), tempfile.TemporaryFile()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=subprocess.PIPE)
        try:
            took = []
            for _ in range(count):
                before_each()
                self.events.put(event())
                try:
                    at, fine, body = self.answers.get(timeout=PATIENCE)
                except queue.Empty:
                    raise Failed(f"{command[0]} did not answer: {words(process)}") from None
                if not fine:
                    raise Failed(f"{command[0]} failed: {body.decode(errors='replace')[:400]}")
                took.append((at - self.began) / 1e6)
            log.seek(0)
            return took, peak_kib(process), log.read().decode().splitlines()
        finally:
            end(process)
            log.close()


def dechunk(file):
    """A body in chunks."""
    body = b""
    while size := int(file.readline().split(b";")[0], 16):
        body += file.read(size)
        file.readline()
    file.readline()
    return body
