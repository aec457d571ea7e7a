"""Events as AWS sends them, put into EventBridge through PutEvents, so that only the deployed rules route them."""

import json
import queue
import threading
import uuid
from datetime import datetime, timezone

import boto3

from .where import ACCOUNT, REGION


class Announce:
    """Sends events in order, beside whatever holds the world's lock."""

    def __init__(self, endpoint):
        self.api = boto3.client("events", endpoint_url=endpoint, region_name=REGION) if endpoint else None
        self.waiting = queue.Queue()
        self.sent = []
        self.muted = set()
        threading.Thread(target=self._send, daemon=True).start()

    def put(self, source, kind, detail, resources, at=None):
        event = {
            "Source": source,
            "DetailType": kind,
            "Detail": json.dumps(detail),
            "Resources": resources,
            "Time": at or datetime.now(timezone.utc),
        }
        if kind not in self.muted:
            self.waiting.put(event)

    def _send(self):
        while True:
            event = self.waiting.get()
            try:
                answer = self.api.put_events(Entries=[event])
                problem = answer["FailedEntryCount"] and answer["Entries"]
            except Exception as error:  # told to the tests, which look whether all were taken
                problem = repr(error)
            self.sent.append({"kind": event["DetailType"], "detail": event["Detail"], "problem": problem or None})

    def instance_state(self, instance, state):
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance}"
        detail = {"instance-id": instance, "state": state}
        self.put("aws.ec2", "EC2 Instance State-change Notification", detail, [arn])

    def spot_warning(self, instance, at=None):
        # The ARN has the zone where the region belongs, and no account, as in real ones.
        arn = f"arn:aws:ec2:{REGION}a:instance/{instance}"
        detail = {"instance-id": instance, "instance-action": "terminate"}
        self.put("aws.ec2", "EC2 Spot Instance Interruption Warning", detail, [arn], at)

    def activity(self, kind, group, instance=""):
        """A launch or an end; without an instance, a launch that was refused."""
        arn = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{group}"
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        ends = kind.startswith("EC2 Instance Terminate")
        detail = {
            "ActivityId": str(uuid.uuid4()),
            "RequestId": str(uuid.uuid4()),
            "AutoScalingGroupName": group,
            "EC2InstanceId": instance,
            "StatusCode": "InProgress" if instance else "Failed",
            "StatusMessage": "",
            "Description": kind,
            "Cause": "",
            "Details": {"Availability Zone": f"{REGION}a", "Subnet ID": "subnet-0123456789abcdef0"},
            "StartTime": now,
            "EndTime": now,
            "Origin": "AutoScalingGroup" if ends else "EC2",
            "Destination": "EC2" if ends else "AutoScalingGroup",
        }
        instances = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance}"] if instance else []
        self.put("aws.autoscaling", kind, detail, [arn, *instances])

    def host(self, cluster, host, version, status=None):
        detail = {
            "agentConnected": host.agent_connected,
            "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}",
            "containerInstanceArn": host.container_instance_arn,
            "ec2InstanceId": host.ec2_instance_id,
            "registeredResources": host.registered_resources,
            "remainingResources": host.remaining_resources,
            "status": status or host.status,
            "version": version,
            "versionInfo": host.version_info,
            "updatedAt": datetime.now(timezone.utc).isoformat(),
        }
        self.put("aws.ecs", "ECS Container Instance State Change", detail, [host.container_instance_arn])

    def placement_failure(self, cluster, service):
        detail = {
            "eventType": "ERROR",
            "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
            "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}",
            "reason": "RESOURCE:MEMORY",
            "createdAt": datetime.now(timezone.utc).isoformat(),
        }
        self.put("aws.ecs", "ECS Service Action", detail, [service.arn])
