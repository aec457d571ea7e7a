"""The Auto Scaling groups that the fleet files name: whether they are there, what they count, and who else sets their size."""

import shlex

from botocore.exceptions import ClientError

from .chunks import chunks
from .trouble import code_of, words_of

# Without any of these nothing else is known to be wrong; it is said that it was not looked at.
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
BY_MANAGED_SCALING = "ECSManagedAutoScalingPolicy-"


def look(session, fleets, account):
    """The groups by name. What is wrong with one, and what is worth a word, goes to the account."""
    pools = [(place, pool) for fleet in fleets for place, pool in zip(fleet.groups, fleet.data["pool"])]
    api, found = session.client("autoscaling"), {}
    for chunk in chunks(sorted({place.name for place, _ in pools}), 50):
        answer = api.describe_auto_scaling_groups(AutoScalingGroupNames=chunk, MaxRecords=100)
        found.update({group["AutoScalingGroupName"]: group for group in answer["AutoScalingGroups"]})
    for place, pool in pools:
        if place.name in found:
            account.missing += refused(place, pool, found[place.name])
            account.notes += purchase_notes(place, pool, found[place.name])
        else:
            account.missing.append(f"{place.where}: there is no Auto Scaling group {place.name} in {account.region}")
    look_at_who_else_scales(session, fleets, found, account)
    recommend_protection(found, account)
    return found


def refused(place, pool, group):
    """What a group counts in: the functions set capacity in hosts."""
    mixed = group.get("MixedInstancesPolicy", {})
    kind = group.get("DesiredCapacityType") or mixed.get("DesiredCapacityType") or "units"
    if kind != "units":
        yield (
            f"{place.where}: group {place.name} counts its capacity in {kind}, not in units: "
            f"`aws autoscaling update-auto-scaling-group --auto-scaling-group-name {shlex.quote(place.name)} "
            "--desired-capacity-type units`, with sizes that mean hosts"
        )
    if pool["purchase"] == "on-demand" and (spot := spot_words(group)):
        yield (
            f"{place.where}: group {place.name} launches spot hosts ({spot}), and stand-ins for spot hosts must be none: "
            "set OnDemandPercentageAboveBaseCapacity to 100 in its mixed instances policy, or give stand-ins a group of their own"
        )
    overrides = mixed.get("LaunchTemplate", {}).get("Overrides", [])
    weights = sorted({one["WeightedCapacity"] for one in overrides if one.get("WeightedCapacity")} - {"1"}, key=int)
    if weights and pool["purchase"] == "on-demand":
        yield (
            f"{place.where}: group {place.name} has weights ({', '.join(weights)}), so that its capacity is no number of hosts: "
            "take them out of its mixed instances policy, or give stand-ins a group of their own"
        )


def distribution(group):
    """A group's on-demand base, and how much of a hundred hosts beyond it is on-demand. What is not said has these defaults
    (Auto Scaling API reference, "InstancesDistribution"); without a mixed instances policy a template alone says what is spot."""
    said = group.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
    return said.get("OnDemandBaseCapacity", 0), said.get("OnDemandPercentageAboveBaseCapacity", 100)


def spot_words(group):
    """What a group's policy says of its spot part; nothing where it has none."""
    base, percentage = distribution(group)
    return f"OnDemandBaseCapacity {base}, OnDemandPercentageAboveBaseCapacity {percentage}" if percentage < 100 else ""


def purchase_notes(place, pool, group):
    """Where a pool's word is not the best one for what its group launches. Each host counts as what it is in mixed pools only."""
    base, percentage = distribution(group)
    spot = spot_words(group)
    if pool["purchase"] == "spot" and "MixedInstancesPolicy" in group and (base or percentage):
        yield (
            f"{place.where}: group {place.name} launches on-demand hosts, too (OnDemandBaseCapacity {base}, "
            f'OnDemandPercentageAboveBaseCapacity {percentage}), and all count as spot: say purchase = "mixed"'
        )
    if pool["purchase"] == "reserved" and spot:
        yield (
            f"{place.where}: group {place.name} launches spot hosts, too ({spot}), and all count as reserved: "
            'say purchase = "mixed", or "spot" where all are'
        )
    if pool["purchase"] == "mixed" and not spot:
        yield (
            f"{place.where}: group {place.name} is mixed in the fleet file and launches no spot hosts: set "
            "OnDemandPercentageAboveBaseCapacity below 100 in its mixed instances policy, "
            'or say purchase = "reserved"'
        )


def look_at_who_else_scales(session, fleets, found, account):
    """Two that set one group's capacity would undo each other's work."""
    others = scaled_by_providers(session, fleets, found, account)
    others += scaled_by_policies(session, found, {name for name, *_ in others}, account)
    for name, what, off in others:
        account.notes.append(f"group {name}: {what} sets its capacity too, and it is left alone until: `{command(off, account)}`")


def scaled_by_providers(session, fleets, found, account):
    """Providers of the fleets' clusters with managed scaling: each as its group, its name and what turns it off."""
    arns = {group["AutoScalingGroupARN"]: name for name, group in found.items()}
    clusters = sorted({fleet.cluster.name for fleet in fleets if fleet.cluster})
    api, names, others = session.client("ecs"), [], []
    try:
        for chunk in chunks(clusters, 100):
            for cluster in api.describe_clusters(clusters=chunk)["clusters"]:
                names += [name for name in cluster.get("capacityProviders", []) if not name.startswith("FARGATE")]
        for chunk in chunks(sorted(set(names)), 100):
            for provider in api.describe_capacity_providers(capacityProviders=chunk)["capacityProviders"]:
                own = provider.get("autoScalingGroupProvider", {})
                group = arns.get(own.get("autoScalingGroupArn"))
                if group and own.get("managedScaling", {}).get("status") == "ENABLED":
                    off = ["ecs", "update-capacity-provider", "--name", provider["name"]]
                    off += ["--auto-scaling-group-provider", "managedScaling={status=DISABLED}"]
                    others.append((group, f"capacity provider {provider['name']}", off))
    except ClientError as error:
        not_looked_at(error, "capacity providers", account)
    return others


def scaled_by_policies(session, found, managed, account):
    """Scaling policies that are on, and scheduled actions, in the same way. What managed scaling has made goes with it."""
    api, others = session.client("autoscaling"), []
    try:
        for name in sorted(found):
            of_group = ["--auto-scaling-group-name", name]
            for page in api.get_paginator("describe_policies").paginate(AutoScalingGroupName=name):
                for policy in page["ScalingPolicies"]:
                    title = policy["PolicyName"]
                    if policy.get("Enabled", True) and not (name in managed and title.startswith(BY_MANAGED_SCALING)):
                        off = ["autoscaling", "delete-policy", *of_group, "--policy-name", title]
                        others.append((name, f"scaling policy {title}", off))
            for page in api.get_paginator("describe_scheduled_actions").paginate(AutoScalingGroupName=name):
                for action in page["ScheduledUpdateGroupActions"]:
                    title = action["ScheduledActionName"]
                    off = ["autoscaling", "delete-scheduled-action", *of_group, "--scheduled-action-name", title]
                    others.append((name, f"scheduled action {title}", off))
    except ClientError as error:
        not_looked_at(error, "scaling policies and scheduled actions", account)
    return others


def not_looked_at(error, what, account):
    if code_of(error) not in DENIED:
        raise error
    account.notes.append(f"not all {what} were looked at, and some may set a group's capacity: {words_of(error)}")


def recommend_protection(found, account):
    """A group that shrinks chooses by itself whom to end (kubernetes/autoscaler #9182): only protection keeps busy hosts."""
    bare = sorted(name for name, group in found.items() if not group.get("NewInstancesProtectedFromScaleIn"))
    if not bare:
        return
    off = ["autoscaling", "update-auto-scaling-group", "--auto-scaling-group-name", bare[0]]
    shown = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
    account.notes.append(
        f"not protected from scale-in: {shown}; recommended, so that no group ends a busy host by itself: "
        f"`{command([*off, '--new-instances-protected-from-scale-in'], account)}`"
    )


def command(words, account):
    return " ".join(["aws", *map(shlex.quote, words), "--region", account.region])
