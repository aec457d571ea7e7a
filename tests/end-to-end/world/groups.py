"""Auto Scaling and EC2: launches that take time, terminations, spot droughts, launch template versions."""

import time
from datetime import datetime, timezone

from moto.autoscaling.models import InstanceState, autoscaling_backends
from moto.ec2.models import ec2_backends

from . import lines, market
from .where import ACCOUNT, REGION


def _template_at_launch(state):
    """moto says the template's default version of today; Auto Scaling says the one that the instance was launched with."""
    return state.instance.__dict__.get("launched_from")


InstanceState.launch_template = property(_template_at_launch)


class Groups:
    """The groups, and the instances that are on their way in or out."""

    def __init__(self, pace, announce):
        self.pace = pace
        self.announce = announce
        self.ready_at = {}
        self.ending = {}
        self.gone_from = {}
        self.drought = set()
        self.refill_at = {}
        self.refused = []
        self.reclaims = {}
        # Every instance that there ever was, and every one that is gone or going, with its group.
        self.launched = []
        self.ended = []
        # What waits in warm pools, by group, with the version that it was launched from.
        self.warm = {}
        self.warmed = 0
        # Targets that came after this time fail their load balancer's checks; none: all pass.
        self.sick_since = None

    @property
    def api(self):
        return autoscaling_backends[ACCOUNT][REGION]

    @property
    def ec2(self):
        return ec2_backends[ACCOUNT][REGION]

    def members(self):
        for group in self.api.autoscaling_groups.values():
            for state in group.instance_states:
                yield group, state

    def group_of(self, name):
        """The group that an instance is or was in; none for an instance of nobody."""
        waiting = (group for group, pool in self.warm.items() if name in pool)
        return next((one["group"] for one in self.launched if one["instance"] == name), next(waiting, None))

    def has(self, name):
        return any(state.instance.id == name for _, state in self.members())

    def ready(self):
        """Instances whose agent runs, with their group."""
        return {state.instance.id: group for group, state in self.members() if state.lifecycle_state == "InService"}

    def notice(self):
        """Called after every request: what moto launched or ended at once, begins here."""
        known = set()
        for group, state in list(self.members()):
            name = state.instance.id
            if name in self.ready_at:
                known.add(name)
                continue
            if not self._gives(group, state):
                self._refuse(group, state)
                continue
            known.add(name)
            self.launched.append({"instance": name, "group": group.name, "at": time.time()})
            self.ready_at[name] = time.time() + self.pace.boot
            self.gone_from[name] = group.name
            state.lifecycle_state = "Pending"
            self._launched_from(group, state)
            if market.is_spot(state):
                market.ask(self.ec2, state.instance)
            self.announce.instance_state(name, "pending")
        for name in [name for name in self.gone_from if name not in known and name not in self.ending]:
            self.ending[name] = time.time() + self.pace.terminate
            self.ended.append({"instance": name, "group": self.gone_from[name], "at": time.time()})
            market.tell(self.ec2, name, "instance-terminated-by-user")
            self.announce.instance_state(name, "shutting-down")

    def _gives(self, group, state):
        """In a drought a group has no spot hosts, where it launches some, and else none at all."""
        return group.name not in self.drought or (market.has_spot(group) and not market.is_spot(state))

    def _refuse(self, group, state):
        """moto launched what the market does not give: it was never there."""
        group.instance_states.remove(state)
        self.ec2.terminate_instances([state.instance.id])
        words = market.REFUSALS[market.is_spot(state)]
        self.refused.append({"group": group.name, "at": datetime.now(timezone.utc), "words": words})
        self.refill_at[group.name] = time.time() + self.pace.try_again
        self.announce.activity("EC2 Instance Launch Unsuccessful", group.name)

    def _launched_from(self, group, state):
        line = lines.of_member(state)
        version = self._launches(group, line)
        if version is None:
            return
        state.instance.launched_from = named(version)
        state.instance.image_id = line.get("ImageId") or version.image_id

    def _launches(self, group, line):
        """The version that a group launches now by one of its lines."""
        template, asked = lines.asked(group, line)
        if template is None:
            return None
        number = {"$Latest": template.latest_version_number, "$Default": template.default_version_number}.get(asked)
        return template.get_version(int(number or asked))

    def warm_up(self, name):
        """One more in a group's warm pool, of what the group launches now."""
        self.warmed += 1
        version = self._launches(self.api.autoscaling_groups[name], {})
        self.warm.setdefault(name, {})[f"i-{self.warmed:017x}"] = named(version)

    def end_warm(self, instance):
        """A group replaces one of its warm pool, which it was told is unhealthy. Gives whether it waits in one."""
        name = next((name for name, pool in self.warm.items() if instance in pool), None)
        if name is not None:
            del self.warm[name][instance]
            self.warm_up(name)
        return name is not None

    def tick(self):
        now = time.time()
        for group, state in list(self.members()):
            name = state.instance.id
            if state.lifecycle_state == "Pending" and now >= self.ready_at[name]:
                state.lifecycle_state = "InService"
                self.announce.instance_state(name, "running")
                self.announce.activity("EC2 Instance Launch Successful", group.name, name)
        for name in [name for name, at in self.ending.items() if now >= at]:
            self.announce.instance_state(name, "terminated")
            self.announce.activity("EC2 Instance Terminate Successful", self.gone_from[name], name)
            del self.ending[name], self.gone_from[name]
        for name in [name for name, at in self.reclaims.items() if now >= at]:
            del self.reclaims[name]
            self.lose(name)
        self._refill(now)

    def _refill(self, now):
        """A group launches what it misses, a moment later, unless the market gives nothing."""
        for group in self.api.autoscaling_groups.values():
            missing = (group.desired_capacity or 0) - sum(map(lines.weight, group.instance_states))
            if missing <= 0:
                self.refill_at.pop(group.name, None)
            elif now >= self.refill_at.setdefault(group.name, now + self.pace.replace):
                del self.refill_at[group.name]
                group.set_desired_capacity(group.desired_capacity)
                self.notice()

    def give_again(self, name):
        """The market has room again: what is missing is launched at once."""
        self.drought.discard(name)
        self.refill_at.pop(name, None)

    def health(self, target_group):
        """The targets of a target group, as its load balancer sees them."""
        now = time.time()
        for group, state in self.members():
            if target_group in group.target_group_arns:
                name = state.instance.id
                since = self.ready_at[name]
                sick = self.sick_since is not None and since > self.sick_since
                fine = state.lifecycle_state == "InService" and now >= since + self.pace.healthy and not sick
                yield name, "healthy" if fine else "initial"

    def reclaim(self, name, notice):
        """EC2 takes a spot instance: a warning, then the end."""
        self.announce.spot_warning(name)
        market.tell(self.ec2, name, "marked-for-termination")
        self.reclaims[name] = time.time() + notice

    def lose(self, name):
        """An instance ends without anybody in its group asking for it."""
        for group, state in list(self.members()):
            if state.instance.id == name:
                group.instance_states.remove(state)
                self.ec2.terminate_instances([name])
                market.tell(self.ec2, name, "instance-terminated-no-capacity")
        self.notice()


def named(version):
    """A launch template's version, as Auto Scaling names it."""
    template = version.template
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}
