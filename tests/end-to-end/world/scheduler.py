"""ECS: agents that join and leave, a scheduler that places and stops tasks, hosts that drain."""

import time
from collections import Counter
from math import ceil

from moto.core.utils import utcnow
from moto.ecs.models import ecs_backends

from . import lines
from .where import ACCOUNT, REGION


class Scheduler:
    """The clusters, and the tasks that are on their way."""

    def __init__(self, pace, groups, announce):
        self.pace = pace
        self.groups = groups
        self.announce = announce
        self.running_at = {}
        self.stopped_at = {}
        self.versions = {}
        self.seen = {}
        self.without_room = {}
        self.failed_at = {}
        self.placement_failures = 0

    @property
    def api(self):
        return ecs_backends[ACCOUNT][REGION]

    def tick(self):
        now = time.time()
        for cluster in list(self.api.clusters):
            self._agents(cluster)
            self._tasks(cluster, now)
            services = [one for one in self.api.services.values() if one.cluster_name == cluster]
            # Where one count falls and another rises in the same moment, ECS may act on either first; what is waited for
            # here is only that both are done, so the stops come first.
            for service in sorted(services, key=lambda one: one.desired_count - one.running_count):
                self._service(cluster, service, now)
            self._told(cluster)

    def hosts(self, cluster):
        return self.api.container_instances.get(cluster, {})

    def tasks(self, cluster):
        return self.api.tasks.get(cluster, {})

    def _agents(self, cluster):
        """A host that is in service joins the cluster that its group's tag names; one that has ended leaves it."""
        ready = self.groups.ready()
        known = {host.ec2_instance_id for host in self.hosts(cluster).values()}
        for name, group in ready.items():
            if name not in known and tag_of(group, "ecs-cluster") == cluster:
                host = self.api.register_container_instance(cluster, name)
                host.capacity_provider_name = self._provider(cluster, group)
                # The agent says it, moto does not (ECS developer guide, "Define which container instances Amazon ECS uses for
                # tasks", attributes).
                host.attributes["ecs.cpu-architecture"] = lines.processor(self.groups.ec2.get_instance(name))
        there = set(ready) | {state.instance.id for _, state in self.groups.members()}
        for key, host in list(self.hosts(cluster).items()):
            if host.ec2_instance_id in there:
                continue
            for task in self.tasks(cluster).values():
                if task.container_instance_arn == host.container_instance_arn and task.last_status != "STOPPED":
                    self._stopped(task, "Host EC2 terminated.")
            self.announce.host(cluster, host, self._version(host), status="INACTIVE")
            del self.hosts(cluster)[key]
            self.seen.pop(key, None)

    def _provider(self, cluster, group):
        """The capacity provider of a cluster that launches into a group: a host has it from its registration on."""
        mine = [self.api.capacity_providers[name] for name in self.api.clusters[cluster].capacity_providers or ()]
        of = lambda one: one.auto_scaling_group_provider["autoScalingGroupArn"] == group.arn  # noqa: E731
        return next((one.name for one in mine if of(one)), None)

    def _tasks(self, cluster, now):
        """Tasks become RUNNING and STOPPED in their time."""
        for task in self.tasks(cluster).values():
            host = self.hosts(cluster).get((task.container_instance_arn or "").rsplit("/", 1)[-1])
            if task.last_status == "PENDING" and task.desired_status == "RUNNING" and now >= self.running_at[task.id]:
                task.last_status = "RUNNING"
                task.started_at = utcnow()
                if host:
                    host.pending_tasks_count -= 1
                    host.running_tasks_count += 1
            elif task.id in self.stopped_at and now >= self.stopped_at[task.id]:
                del self.stopped_at[task.id]
                self._stopped(task, task.stopped_reason)

    def _stopped(self, task, reason):
        task.last_status = task.desired_status = "STOPPED"
        task.stopped_reason = reason
        task.stopped_at = utcnow()

    def _service(self, cluster, service, now):
        mine = [
            task
            for task in self.tasks(cluster).values()
            if task.group == f"service:{service.name}" and task.desired_status == "RUNNING"
        ]
        hosts = {host.container_instance_arn: host for host in self.hosts(cluster).values()}
        draining = [task for task in mine if hosts[task.container_instance_arn].status == "DRAINING"]
        staying = [task for task in mine if task not in draining]
        want = service.desired_count if service.status == "ACTIVE" else 0
        for task in [task for task in draining if task.last_status == "PENDING"]:
            self._stop(cluster, task, now)
            draining.remove(task)
        if len(staying) < want:
            staying += self._place(cluster, service, want - len(staying), now)
        if len(staying) >= want:
            self.without_room.pop(service.arn, None)
        for task in self._victims(staying, len(staying) - want):
            self._stop(cluster, task, now)
            staying.remove(task)
        # A task leaves a draining host when its service would still run at least its minimum, 100 % by default, or is not
        # wanted any more.
        running = [task for task in staying if task.last_status == "RUNNING"]
        least = ceil(want * 1.0)
        for task in draining:
            others = len(running) + sum(other.desired_status == "RUNNING" for other in draining) - 1
            if others >= least:
                self._stop(cluster, task, now)
        alive = [task for task in mine + staying if task.desired_status == "RUNNING"]
        alive = list({task.id: task for task in alive}.values())
        service.running_count = sum(task.last_status == "RUNNING" for task in alive)
        service.pending_count = len(alive) - service.running_count
        if service.deployments:
            done = service.running_count == want
            service.deployments[0].update(
                desiredCount=want,
                runningCount=service.running_count,
                pendingCount=service.pending_count,
                rolloutState="COMPLETED" if done else "IN_PROGRESS",
            )

    def _place(self, cluster, service, missing, now):
        """Spreads over hosts. What finds no room is a placement failure, told now and then."""
        placed = []
        definition = self.api.describe_task_definition(service.task_definition)
        need = self.api._calculate_task_resource_requirements(definition)
        provider_of = {host.container_instance_arn: host.capacity_provider_name for host in self.hosts(cluster).values()}
        on = Counter(
            task.container_instance_arn
            for task in self.tasks(cluster).values()
            if task.group == f"service:{service.name}" and task.desired_status == "RUNNING"
        )
        for _ in range(missing):
            provider = next_provider(service, Counter(provider_of[host] for host in on.elements()))
            fits = [
                host
                for host in self.hosts(cluster).values()
                if host.status == "ACTIVE" and host.agent_connected and suits(definition, host)
                if provider is None or host.capacity_provider_name == provider
                if self.api._can_be_placed(host, need)
            ]
            if not fits:
                since = self.without_room.setdefault(service.arn, now)
                told = self.failed_at.get(service.arn, 0)
                if now - since >= self.pace.failure_after and now - told >= self.pace.failure_repeats:
                    self.failed_at[service.arn] = now
                    self.placement_failures += 1
                    message = f"(service {service.name}) was unable to place a task because no container instance met all"
                    message += " of its requirements."
                    service.events.insert(0, {"id": str(now), "createdAt": utcnow(), "message": message})
                    self.announce.placement_failure(cluster, service)
                break
            host = min(fits, key=lambda host: (on[host.container_instance_arn], host.ec2_instance_id))
            on[host.container_instance_arn] += 1
            group = f"service:{service.name}"
            started_by = f"ecs-svc/{service.name}"
            task = self.api.start_task(cluster, definition.arn, [host.id], {}, started_by, group=group)[0]
            task.last_status = "PENDING"
            task.launch_type = "EC2"
            task.created_at = utcnow()
            host.running_tasks_count -= 1
            host.pending_tasks_count += 1
            self.running_at[task.id] = now + self.pace.start
            placed.append(task)
        return placed

    def _victims(self, tasks, count):
        """From the hosts with most of them, the newest first."""
        left, victims = list(tasks), []
        for _ in range(max(0, count)):
            on = lambda task: sum(other.container_instance_arn == task.container_instance_arn for other in left)  # noqa: E731
            victim = max(left, key=lambda task: (on(task), self.running_at.get(task.id, 0)))
            left.remove(victim)
            victims.append(victim)
        return victims

    def _stop(self, cluster, task, now):
        """Frees its room for placement at once, as ECS does; STOPPED comes later."""
        was = task.last_status
        host = self.hosts(cluster)[task.container_instance_arn.rsplit("/", 1)[-1]]
        if was == "PENDING":
            host.pending_tasks_count -= 1
            host.running_tasks_count += 1
        self.api.stop_task(cluster, task.task_arn, "Scaling activity or draining")
        task.last_status = was
        self.stopped_at[task.id] = now + self.pace.stop

    def _told(self, cluster):
        """An event for each host whose state, connection or tasks changed."""
        for key, host in self.hosts(cluster).items():
            cpu = next(part["integerValue"] for part in host.remaining_resources if part["name"] == "CPU")
            state = (host.status, host.agent_connected, cpu)
            if self.seen.get(key) != state:
                self.seen[key] = state
                self.announce.host(cluster, host, self._version(host))

    def _version(self, host):
        # The same number is in its description (ECS API reference, ContainerInstance); moto's stays zero.
        self.versions[host.id] = host.version = self.versions.get(host.id, 0) + 1
        return host.version


def next_provider(service, has):
    """The capacity provider whose hosts a service's next task goes to: each gets its base first, and then a part by its weight.
    One that is full is not passed over (ECS developer guide, "Amazon ECS capacity providers for EC2 workloads"). None where
    the service may have any host."""
    strategy = getattr(service, "capacity_provider_strategy", None) or []
    for one in strategy:
        if has[one["capacityProvider"]] < one.get("base", 0):
            return one["capacityProvider"]
    share = lambda one: (has[one["capacityProvider"]] - one.get("base", 0)) / one["weight"]  # noqa: E731
    weighty = [one for one in strategy if one.get("weight")]
    return min(weighty, key=share)["capacityProvider"] if weighty else None


# How ECS calls the processors of hosts (ECS API reference, RuntimePlatform).
PROCESSORS = {"X86_64": "x86_64", "ARM64": "arm64"}


def suits(definition, host):
    """Whether a task that is for one kind of processor finds it there."""
    wanted = (definition.runtime_platform or {}).get("cpuArchitecture")
    return wanted is None or host.attributes["ecs.cpu-architecture"] == PROCESSORS[wanted]


def tag_of(group, key):
    for tag in group.tags:
        if (tag.get("key") or tag.get("Key")) == key:
            return tag.get("value") or tag.get("Value")
    return None
