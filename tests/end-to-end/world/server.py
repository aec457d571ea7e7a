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
from moto.moto_api._internal import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from . import answers, providers, recorder, truths  # noqa: F401 (providers changes moto)
from .announce import Announce
from .bakery import Bakery
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
        self.calls = Calls(lambda instance: self.groups.group_of(instance))
        self.paused = True
        self.faults = []
        # The keys of those who try what a role allows: what is refused to them is what a test is about.
        self.trying = set()
        self.begin()

    def begin(self):
        self.pace = Pace()
        self.groups = Groups(self.pace, self.announce)
        self.scheduler = Scheduler(self.pace, self.groups, self.announce)
        self.bakery = Bakery(self.pace)

    def __call__(self, environment, start):
        length = int(environment.get("CONTENT_LENGTH") or 0)
        body = environment["wsgi.input"].read(length)
        with self.lock:
            if environment["PATH_INFO"].startswith("/world/"):
                return self.told(environment["PATH_INFO"].removeprefix("/world/"), json.loads(body or b"{}"), start)
            call = self.calls.read(environment, body)
            allowed, environment["asked"] = self.calls.judged(call) if call else (True, [])
            if not allowed:
                return refused(call, start)
            played = call and self.play(call["action"], call["given"], start)
            if played:
                return played
            again = call and self.bakery.answered(call)
            status, headers, answered = again or self.ask_moto(environment, body)
            if call and not again and status.startswith("200"):
                self.bakery.done(call, (status, headers, answered))
            self.groups.notice()
            start(status, headers)
            return answered

    def ask_moto(self, environment, body):
        """Status, headers and body of moto's answer."""
        environment["wsgi.input"] = io.BytesIO(body)
        begun = []
        answered = list(self.moto(environment, lambda status, headers, *_: begun.extend((status, headers))))
        return *begun, answered

    def play(self, action, given, start):
        """The answer to what moto does not know, or says otherwise than AWS; none for all the rest."""
        match action:
            case "ecs:GetTaskProtection":
                # Nothing is protected.
                tasks = [{"taskArn": arn, "protectionEnabled": False} for arn in given.get("tasks", [])]
                return answer(start, {"protectedTasks": tasks, "failures": []})
            case "autoscaling:DescribeInstanceRefreshes":
                # There never was one.
                return queried(start, action, "<InstanceRefreshes/>")
            case "autoscaling:DescribeScalingActivities":
                group = given["AutoScalingGroupName"]
                refused = [one for one in reversed(self.groups.refused) if one["group"] == group]
                members = "".join(member(REFUSED.format(**one, time=f"{one['at']:%Y-%m-%dT%H:%M:%SZ}")) for one in refused)
                return queried(start, action, f"<Activities>{members}</Activities>")
            case "autoscaling:DescribeWarmPool":
                waiting = self.groups.warm.get(given["AutoScalingGroupName"], {})
                members = "".join(member(WARM.format(instance=name, **version)) for name, version in waiting.items())
                return queried(start, action, f"<Instances>{members}</Instances>")
            case "autoscaling:SetInstanceHealth" if self.groups.end_warm(given["InstanceId"]):
                return queried(start, action, "")
            case "autoscaling:TerminateInstanceInAutoScalingGroup" if not self.groups.has(given["InstanceId"]):
                words = f"Instance Id not found - No managed instance found for instance ID: {given['InstanceId']}"
                return error(start, action, "ValidationError", words, "400 Bad Request")
            case "ec2:RunInstances" if not self.bakery.finds_a_subnet(given):
                return error(start, action, "VPCIdNotSpecified", "No default VPC for this user.", "400 Bad Request")
            case "elasticloadbalancing:DescribeTargetHealth":
                health = self.groups.health(given["TargetGroupArn"])
                members = "".join(member(TARGET.format(instance=name, state=state)) for name, state in health)
                return queried(start, action, f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>")
        return None

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
        """As if there had never been anything; at once, so that no call sees one half of it."""
        self.paused = True
        moto_api_backend.reset()
        self.begin()
        self.announce.sent.clear()
        self.announce.muted.clear()

    def do_pace(self, **times):
        for name, seconds in times.items():
            setattr(self.pace, name, seconds)

    def do_reclaim(self, instance, notice):
        self.groups.reclaim(instance, notice)

    def do_warm(self, group, hosts):
        for _ in range(hosts):
            self.groups.warm_up(group)

    def do_lose(self, instance):
        self.groups.lose(instance)

    def do_drought(self, group, on):
        (self.groups.drought.add if on else self.groups.give_again)(group)

    def do_sick(self, on):
        """New targets of load balancers fail their checks from now on."""
        self.groups.sick_since = time.time() if on else None

    def do_instances(self):
        """Every instance that was ever launched, and every one that was ended by whomever."""
        return {"launched": self.groups.launched, "ended": self.groups.ended}

    def do_mute(self, kinds):
        """Events of these kinds are lost from now on."""
        self.announce.muted = set(kinds)

    def do_roles(self, roles):
        self.calls.roles.update(roles)

    def do_tries(self, key, statements):
        """Whoever has this key may do what these statements allow, and tries more."""
        self.calls.roles[key] = statements
        self.trying.add(key)

    def do_calls(self):
        return self.calls.seen

    def do_placement_failures(self):
        return self.scheduler.placement_failures

    def do_wrong(self):
        """What must never be: faults of the world's own, events that were not taken, calls that a role did not allow."""
        lost = [one for one in self.announce.sent if one["problem"]]
        refused = [call for call in self.calls.seen if not call["allowed"] and call["key"] not in self.trying]
        return {"faults": self.faults + lost, "refused": refused}

    def run(self):
        while True:
            time.sleep(self.pace.look)
            with self.lock:
                if self.paused:
                    continue
                try:
                    self.groups.tick()
                    self.scheduler.tick()
                    self.bakery.tick()
                except Exception:
                    self.faults.append(traceback.format_exc())
                    traceback.print_exc()


def answer(start, value, status="200 OK"):
    start(status, [("content-type", "application/json")])
    return [json.dumps(value).encode()]


# A launch that EC2 refused (Auto Scaling user guide, "Troubleshoot launch failures").
REFUSED = """<ActivityId>{time}</ActivityId><AutoScalingGroupName>{group}</AutoScalingGroupName>
<Description>Launching a new EC2 instance.  Status Reason: no capacity</Description><Cause>a story says so</Cause>
<StartTime>{time}</StartTime><EndTime>{time}</EndTime><StatusCode>Failed</StatusCode><Progress>100</Progress><Details/>
<StatusMessage>{words}</StatusMessage>"""
WARM = """<InstanceId>{instance}</InstanceId><AvailabilityZone>us-east-1a</AvailabilityZone>
<LifecycleState>Warmed:Stopped</LifecycleState><HealthStatus>Healthy</HealthStatus>
<ProtectedFromScaleIn>false</ProtectedFromScaleIn>
<LaunchTemplate><LaunchTemplateId>{LaunchTemplateId}</LaunchTemplateId>
<LaunchTemplateName>{LaunchTemplateName}</LaunchTemplateName><Version>{Version}</Version></LaunchTemplate>"""
TARGET = """<Target><Id>{instance}</Id><Port>80</Port></Target><TargetHealth><State>{state}</State></TargetHealth>"""
# The query protocol's namespaces.
SPACES = {
    "autoscaling": "http://autoscaling.amazonaws.com/doc/2011-01-01/",
    "elasticloadbalancing": "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
}


def member(inner):
    return f"<member>{inner}</member>"


def queried(start, action, inner):
    """An answer in the query protocol."""
    service, name = action.split(":")
    start("200 OK", [("content-type", "text/xml")])
    text = f'<{name}Response xmlns="{SPACES[service]}"><{name}Result>{inner}</{name}Result></{name}Response>'
    return [text.encode()]


def refused(call, start):
    action = call["action"]
    message = f"not authorized to perform: {action}"
    if action.startswith(("ecs:", "application-autoscaling:")):
        return answer(start, {"__type": "AccessDeniedException", "message": message}, "400 Bad Request")
    code = "UnauthorizedOperation" if action.startswith("ec2:") else "AccessDenied"
    return error(start, action, code, message, "403 Forbidden")


def error(start, action, code, message, status):
    """An error in EC2's protocol or in the query protocol."""
    start(status, [("content-type", "text/xml")])
    if action.startswith("ec2:"):
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
    answers.remember()
    truths.of_moto()
    threading.Thread(target=world.run, daemon=True).start()
    served = recorder.wsgi(world, recorder.path_of("world"))
    make_server("127.0.0.1", port, served, threaded=True, request_handler=Quiet).serve_forever()


if __name__ == "__main__":
    main()
