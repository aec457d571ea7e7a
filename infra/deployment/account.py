"""Looks at the account before anything is changed: whether what the fleet files name is there, and what it is."""

from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from . import groups, launch, limits
from .chunks import chunks
from .trouble import code_of


@dataclass
class Account:
    """What is there."""

    number: str
    region: str
    partition: str
    # What is too wrong to go on, each with its place; and what is worth a word.
    missing: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    templates: list = field(default_factory=list)
    host_roles: list = field(default_factory=list)
    # The parameters that launch templates name in place of an image.
    image_parameters: list = field(default_factory=list)
    has_function_urls: bool = True

    def arn(self, service, rest, number=None, region=None):
        number = self.number if number is None else number
        return f"arn:{self.partition}:{service}:{self.region if region is None else region}:{number}:{rest}"


def look(session, fleets, wants_templates):
    """Looks at everything that the fleet files name; reads only."""
    identity = session.client("sts").get_caller_identity()
    account = Account(identity["Account"], session.region_name, identity["Arn"].split(":")[1])
    limits.look(session, fleets, account)
    found = groups.look(session, fleets, account)
    look_at_clusters(session, fleets, account)
    look_at_alarms(session, fleets, account)
    look_at_queues(session, fleets, account)
    if wants_templates:
        launch.look(session, found, fleets, account)
    return account


def look_at_clusters(session, fleets, account):
    api = session.client("ecs")
    for fleet in fleets:
        if not fleet.cluster:
            continue
        there = api.describe_clusters(clusters=[fleet.cluster.name])["clusters"]
        if not any(cluster.get("status") != "INACTIVE" for cluster in there):
            account.missing.append(f"{fleet.cluster.where}: there is no ECS cluster {fleet.cluster.name} in {account.region}")
            continue
        there = set()
        for chunk in chunks(fleet.services, 10):
            names = [place.name for place in chunk]
            answer = api.describe_services(cluster=fleet.cluster.name, services=names)
            there |= {service["serviceName"] for service in answer["services"] if service["status"] != "INACTIVE"}
        for place in fleet.services:
            if place.name not in there:
                account.missing.append(f"{place.where}: there is no service {place.name} in cluster {fleet.cluster.name}")


def look_at_alarms(session, fleets, account):
    """An alarm that is not there yet is unknown to the functions, which harms nothing."""
    api = session.client("cloudwatch")
    for fleet in fleets:
        names = sorted({*fleet.microscale_alarms, *fleet.backfill_alarms, *fleet.patchroll_alarms})
        there = set()
        for chunk in chunks(names, 100):
            answer = api.describe_alarms(AlarmNames=chunk, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100)
            alarms = answer.get("MetricAlarms", []) + answer.get("CompositeAlarms", [])
            there |= {alarm["AlarmName"] for alarm in alarms}
        for name in names:
            if name not in there:
                so = "no roll begins a wave" if name in fleet.patchroll_alarms else "it counts as unknown"
                account.notes.append(f"{fleet.path}: alarm {name} is not there; {so} until it is")


def look_at_queues(session, fleets, account):
    api = session.client("sqs")
    for fleet in fleets:
        for name in fleet.queues:
            try:
                api.get_queue_url(QueueName=name)
            except ClientError as error:
                if "NonExistentQueue" not in code_of(error) and "QueueDoesNotExist" not in code_of(error):
                    raise
                account.notes.append(f"{fleet.path}: queue {name} is not there; its demand is unknown until it is")
