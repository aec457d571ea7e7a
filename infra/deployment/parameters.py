"""What the templates are told, read out of the fleet files and the account, and made to fit.

Policies and event patterns hold so many characters and no more (`MOST`). A long list is told by beginnings that its names
share, so that no number of services or groups is too many; what that allows beyond the names is said (`widened`).
"""

from . import narrow
from .chunks import chunks
from .fleet import namespace, split
from .trouble import Trouble

# What one parameter may hold (CloudFormation user guide, "Quotas").
LONGEST = 4096
# Characters of each list in the policies that hold it. A managed policy holds 6,144, a role's own ones 10,240 together,
# white space aside (IAM user guide, "IAM and AWS STS quotas"); the tests look at policies of the largest fleet files.
MOST = {
    "ClusterArns": 500,
    "HostArns": 600,
    "TaskArns": 600,
    "ServiceArns": 2200,
    "GroupArns": 4000,
    "CapacityGroupArns": 2700,
    "OtherGroupArns": 2700,
    "TemplateArns": 2300,
    "HostRoleArns": 2200,
    "ImageParameterArns": 2200,
    "BaseImageParameterArns": 2200,
    "FleetParameterArns": 1300,
    "FleetTags": 1100,
    "DemandQueueArns": 3000,
    "DemandNamespaces": 3000,
}
# An event pattern has 2,048 characters (EventBridge user guide, "Quotas"); what stands around a list takes up to 250.
MOST_PATTERN = 1750
# Both in one policy, and in the functions' environment, which holds 4 KB (Lambda developer guide, "Quotas").
MOST_KEYS = 3300


def foundation(options, fleets, functions, account):
    lists = policy_lists(fleets, account)
    bakes = [fleet.base_image_parameter for fleet in fleets if fleet.base_image_parameter]
    keys = ",".join(f"fleet#{fleet.name}" for fleet in fleets)
    if len(keys) > MOST_KEYS:
        raise Trouble(
            f"the names of {len(fleets)} fleets have {len(keys)} characters, and {MOST_KEYS} are the most: serve some of the "
            "fleets with a deployment of their own (--name)"
        )
    return told(
        {
            "Name": options.name,
            "ExistingTable": options.existing_table,
            "PermissionsBoundary": options.permissions_boundary,
            "LogDays": str(options.log_days),
            **chosen(functions),
            "Observe": yes(options.observe),
            "LedgerKeys": keys,
            **{key: narrow.for_policy(names, MOST[key]) for key, names in lists.items()},
            "Beats": yes(any(fleet.beats for fleet in fleets)),
            "MetricDemand": yes(any(fleet.metrics for fleet in fleets)),
            "MicroscaleAlarms": yes(split(fleets, "microscale_alarms")),
            "BackfillAlarms": yes(split(fleets, "backfill_alarms")),
            "PatchrollAlarms": yes(split(fleets, "patchroll_alarms")),
            "LaunchFirst": yes(any(fleet.launches_first for fleet in fleets)),
            "RollBack": yes(any(fleet.rolls_back for fleet in fleets)),
            "Bake": yes(bakes),
        }
    )


def policy_lists(fleets, account):
    """What policies name, before it is made to fit."""
    clusters = list({fleet.cluster.name: None for fleet in fleets if fleet.cluster})
    services = service_arns(fleets, account)
    bakes = [fleet.base_image_parameter for fleet in fleets if fleet.base_image_parameter]
    files = [account.arn("ssm", f"parameter{path}") for fleet in fleets for path in files_of(fleet)]
    group = lambda name: account.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")  # noqa: E731
    capacity = split(fleets, "capacity_groups")
    return {
        "FleetTags": [fleet.name for fleet in fleets],
        "FleetParameterArns": files,
        "ClusterArns": [account.arn("ecs", f"cluster/{name}") for name in clusters],
        "ServiceArns": services,
        "HostArns": [account.arn("ecs", f"container-instance/{name}/*") for name in clusters],
        "TaskArns": [account.arn("ecs", f"task/{name}/*") for name in clusters],
        "GroupArns": [group(name) for name in split(fleets, "groups")],
        "CapacityGroupArns": [group(name) for name in capacity],
        "OtherGroupArns": [group(name) for name in split(fleets, "groups") if name not in capacity],
        "DemandQueueArns": [account.arn("sqs", name) for name in split(fleets, "queues")],
        "DemandNamespaces": list(dict.fromkeys(namespace(metric) for metric in split(fleets, "metrics"))),
        "BaseImageParameterArns": [parameter_arn(name, account) for name in dict.fromkeys(bakes)],
        "ImageParameterArns": [parameter_arn(name, account) for name in account.image_parameters],
        "TemplateArns": account.templates,
        "HostRoleArns": account.host_roles,
    }


def widened(fleets, account):
    """Where a policy allows more than the fleet files name, because it could not hold all names: in words."""
    found = []
    for key, names in policy_lists(fleets, account).items():
        begin = narrow.beginnings(names, narrow.for_policy(names, MOST[key]))
        if begin:
            shown = ", ".join(one.rsplit(":", 1)[-1] for one in begin[:3]) + (" and others" if len(begin) > 3 else "")
            found.append(f"{len(names)} {key} do not fit a policy name by name; it has {len(begin)} beginnings of names: {shown}")
    return found


def triggers(options, fleets, functions, account, dead_letters):
    clusterless = [fleet for fleet in fleets if not fleet.cluster]
    bakes = [fleet.base_image_parameter for fleet in fleets if fleet.base_image_parameter]
    clusters = dict.fromkeys(account.arn("ecs", f"cluster/{fleet.cluster.name}") for fleet in fleets if fleet.cluster)
    patterns = {
        "Clusters": clusters,
        "Services": service_arns(fleets, account),
        "Groups": split(fleets, "groups"),
        "ClusterlessGroups": split(clusterless, "groups"),
        "MicroscaleAlarms": split(fleets, "microscale_alarms"),
        "BackfillAlarms": split(fleets, "backfill_alarms"),
        "PatchrollAlarms": split(fleets, "patchroll_alarms"),
        "BaseImages": bakes,
    }
    return told(
        {
            "Name": options.name,
            **chosen(functions),
            "FunctionUrls": yes(account.has_function_urls),
            "Ticking": "DISABLED" if options.no_ticks else "ENABLED",
            "Beats": yes(any(fleet.beats for fleet in fleets)),
            "DeadLettersArn": dead_letters,
            **{key: narrow.for_pattern(names, MOST_PATTERN) for key, names in patterns.items()},
        }
    )


def watch(options, functions):
    told_functions = {key: value for key, value in chosen(functions).items() if key not in ("Livefeed", "Demand")}
    return told(
        {
            "Name": options.name,
            "Watch": options.watch,
            "Ticking": "DISABLED" if options.no_ticks else "ENABLED",
            "Silence": str(options.silence),
            "SlowMilliseconds": str(options.timeout * 800),
            "AlarmTopic": options.alarm_topic,
            **told_functions,
        }
    )


def chosen(functions):
    names = ("microscale", "backfill", "patchroll", "livefeed", "demand")
    return {name.capitalize(): yes(name in functions) for name in names}


def service_arns(fleets, account):
    services = [
        account.arn("ecs", f"service/{fleet.cluster.name}/{place.name}")
        for fleet in fleets
        if fleet.cluster
        for place in fleet.services
    ]
    return list(dict.fromkeys(services))


def parameter_of(fleet):
    """Where the functions look for a fleet's file."""
    return f"/evenkeel/fleets/{fleet}"


def files_of(fleet):
    """The parameters of a fleet's file, as a policy names them."""
    path = parameter_of(fleet.name)
    return [path, f"{path}/*"] if len(fleet.stored()) > 1 else [path]


def parameter_arn(name, account):
    """Parameters under /aws are AWS's own and belong to no account."""
    if name.startswith("arn:"):
        return name
    path = name if name.startswith("/") else f"/{name}"
    return account.arn("ssm", f"parameter{path}", number="" if path.startswith("/aws/") else None)


def yes(given):
    return "yes" if given else "no"


def told(values):
    """Lists with commas in between. One that is too long for CloudFormation is refused here, where it can be explained."""
    parameters = {key: value if isinstance(value, str) else ",".join(value) for key, value in values.items()}
    problems = [
        f"{key}: {len(value)} characters, and CloudFormation takes {LONGEST}"
        for key, value in parameters.items()
        if len(value) > LONGEST
    ]
    if problems:
        raise Trouble(*problems)
    return parameters


def parts_there(ssm, path):
    """The parameters under a fleet file's, whichever content they are of."""
    return list(texts_there(ssm, path))


def texts_there(ssm, path):
    """What is under a path, name to value."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path.rstrip("/"), Recursive=True)
    return {one["Name"]: one["Value"] for page in pages for one in page["Parameters"]}


def delete(ssm, paths):
    for chunk in chunks(paths, 10):
        ssm.delete_parameters(Names=chunk)
