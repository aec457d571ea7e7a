"""A way to the account that sees what goes through it: which calls a process makes, and where to end it."""

import re
import threading
import urllib.error
import urllib.request
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from botocore.session import get_session

# What changes nothing.
LOOKS = ("Describe", "List", "Get", "BatchGet", "Detect")
# What IAM calls a service that signs under another name.
PREFIXES = {"monitoring": "cloudwatch"}


class Through:
    """Passes every call on, and notes it. `after`, if set, is told of each that was answered, before its caller is."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.calls = []
        self.after = None
        self.lock = threading.Lock()
        through = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                through.passed(self)

            do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # Whoever was ended did not wait for its answer.

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def passed(self, asked):
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        request = urllib.request.Request(self.upstream + asked.path, data=body or None, method=asked.command)
        for key, value in asked.headers.items():
            if key.lower() not in ("connection", "content-length", "accept-encoding", "expect"):
                request.add_header(key, value)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        text = answer.read()
        action = action_of(asked, body)
        with self.lock:
            self.calls.append(action)
            if self.after:
                self.after(action)
        try:
            asked.send_response(answer.status)
            for key, value in answer.headers.items():
                if key.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server"):
                    asked.send_header(key, value)
            asked.send_header("Content-Length", str(len(text)))
            asked.end_headers()
            asked.wfile.write(text)
        except OSError:
            pass  # Whoever asked is not there any more.

    def changes(self):
        return [call for call in self.calls if not call.split(":")[1].startswith(LOOKS)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def action_of(asked, body):
    """As IAM calls it: `service:Action`."""
    signed = re.search(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/", asked.headers.get("Authorization", ""))
    service = signed[1] if signed else "unsigned"
    target, path = asked.headers.get("X-Amz-Target"), urlsplit(asked.path).path
    if target:
        action = target.rsplit(".", 1)[1]
    elif "/operation/" in path:
        action = path.rsplit("/operation/", 1)[1]
    elif service == "lambda":
        action = rest(asked.command, path)
    else:
        action = parse_qs(body.decode(errors="replace")).get("Action", ["unknown"])[0]
    return f"{PREFIXES.get(service, service)}:{action}"


@cache
def operations():
    """Lambda's operations by their method and path, from its own model."""
    model, found = get_session().get_service_model("lambda"), []
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = re.sub(r"\\\{\w+\\?\+?\\\}", "[^/]+", re.escape(http["requestUri"].split("?")[0].rstrip("/")))
        found.append((http["method"], re.compile(pattern + "/?"), name))
    return found


def rest(method, path):
    return next((name for verb, pattern, name in operations() if verb == method and pattern.fullmatch(path)), "unknown")
