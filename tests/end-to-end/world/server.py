"""The server: moto, and the world beside it, with requests and the world's own steps one at a time.

    python -m world.server PORT EVENTBRIDGE_ENDPOINT
"""

import io
import json
import sys
import threading
import time
import traceback

from moto.moto_api import state_manager
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from .announce import Announce
from .calls import Calls
from .groups import Groups
from .pace import Pace
from .scheduler import Scheduler

# moto moves a task on with every look at it; here only the scheduler does.
state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})


class World:
    """Everything, behind one lock."""

    def __init__(self, endpoint):
        self.lock = threading.RLock()
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.announce = Announce(endpoint)
        self.pace = Pace()
        self.calls = Calls()
        self.paused = True
        self.faults = []
        self.begin()

    def begin(self):
        self.groups = Groups(self.pace, self.announce)
        self.scheduler = Scheduler(self.pace, self.groups, self.announce)

    def __call__(self, environment, start):
        length = int(environment.get("CONTENT_LENGTH") or 0)
        body = environment["wsgi.input"].read(length)
        with self.lock:
            if environment["PATH_INFO"].startswith("/world/"):
                return self.told(environment["PATH_INFO"].removeprefix("/world/"), json.loads(body or b"{}"), start)
            call = self.calls.read(environment, body)
            if call and not self.calls.allowed(call):
                return refused(call, start)
            if call and call["action"] == "ecs:GetTaskProtection":
                return answer(start, self.protection(call["given"]))
            if call and call["action"] == "autoscaling:DescribeInstanceRefreshes":
                return no_refreshes(start)
            environment["wsgi.input"] = io.BytesIO(body)
            done = list(self.moto(environment, start))
            self.groups.notice()
            return done

    def protection(self, given):
        """moto has no task protection: nothing is protected."""
        tasks = [{"taskArn": arn, "protectionEnabled": False} for arn in given.get("tasks", [])]
        return {"protectedTasks": tasks, "failures": []}

    def told(self, command, given, start):
        """What a test tells the world, or asks it."""
        try:
            return answer(start, getattr(self, f"do_{command}")(**given))
        except Exception as error:
            traceback.print_exc()
            return answer(start, {"error": repr(error)}, "500 Internal Server Error")

    def do_run(self, paused):
        self.paused = paused

    def do_reset(self):
        self.paused = True
        self.begin()
        self.announce.sent.clear()
        self.announce.muted.clear()

    def do_pace(self, **times):
        for name, seconds in times.items():
            setattr(self.pace, name, seconds)

    def do_reclaim(self, instance, notice):
        self.groups.reclaim(instance, notice)

    def do_lose(self, instance):
        self.groups.lose(instance)

    def do_drought(self, group, on):
        (self.groups.drought.add if on else self.groups.drought.discard)(group)

    def do_mute(self, kinds):
        """Events of these kinds are lost from now on."""
        self.announce.muted = set(kinds)

    def do_roles(self, roles):
        self.calls.roles.update(roles)

    def do_calls(self):
        return self.calls.seen

    def do_sent(self):
        return self.announce.sent

    def do_failures(self):
        return {"placement": self.scheduler.placement_failures, "faults": self.faults}

    def run(self):
        while True:
            time.sleep(self.pace.look)
            with self.lock:
                if self.paused:
                    continue
                try:
                    self.groups.tick()
                    self.scheduler.tick()
                except Exception:
                    self.faults.append(traceback.format_exc())
                    traceback.print_exc()


def answer(start, value, status="200 OK"):
    start(status, [("content-type", "application/json")])
    return [json.dumps(value).encode()]


def no_refreshes(start):
    """moto has no instance refreshes: there never was one."""
    start("200 OK", [("content-type", "text/xml")])
    name = "DescribeInstanceRefreshes"
    space = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
    text = f'<{name}Response xmlns="{space}"><{name}Result><InstanceRefreshes/></{name}Result></{name}Response>'
    return [text.encode()]


def refused(call, start):
    message = f"not authorized to perform: {call['action']}"
    if call["action"].startswith(("ecs:", "application-autoscaling:")):
        return answer(start, {"__type": "AccessDeniedException", "message": message}, "400 Bad Request")
    code = "UnauthorizedOperation" if call["action"].startswith("ec2:") else "AccessDenied"
    start("403 Forbidden", [("content-type", "text/xml")])
    if call["action"].startswith("ec2:"):
        text = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    else:
        text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return [text.encode()]


class Quiet(WSGIRequestHandler):
    def log_request(self, *given):
        pass


def main():
    port, endpoint = int(sys.argv[1]), sys.argv[2]
    world = World(endpoint)
    threading.Thread(target=world.run, daemon=True).start()
    make_server("127.0.0.1", port, world, threaded=True, request_handler=Quiet).serve_forever()


if __name__ == "__main__":
    main()
