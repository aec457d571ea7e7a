"""What the templates are told, read out of the fleet files and the account."""

from .fleet import namespace, split
from .trouble import Trouble

# What one parameter may hold (CloudFormation user guide, "Quotas").
LONGEST = 4096


def foundation(options, fleets, functions, account):
    clusters = list({fleet.cluster.name: None for fleet in fleets if fleet.cluster})
    services = [
        account.arn("ecs", f"service/{fleet.cluster.name}/{place.name}")
        for fleet in fleets
        if fleet.cluster
        for place in fleet.services
    ]
    bakes = [fleet.base_image_parameter for fleet in fleets if fleet.base_image_parameter]
    group = lambda name: account.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")  # noqa: E731
    return told(
        {
            "Name": options.name,
            "ExistingTable": options.existing_table,
            "LogDays": str(options.log_days),
            **chosen(functions),
            "LedgerKeys": [f"fleet#{fleet.name}" for fleet in fleets],
            "FleetNames": [fleet.name for fleet in fleets],
            "FleetParameterArns": [account.arn("ssm", f"parameter{parameter_of(fleet.name)}") for fleet in fleets],
            "ClusterArns": [account.arn("ecs", f"cluster/{name}") for name in clusters],
            "ServiceArns": list(dict.fromkeys(services)),
            "HostArns": [account.arn("ecs", f"container-instance/{name}/*") for name in clusters],
            "TaskArns": [account.arn("ecs", f"task/{name}/*") for name in clusters],
            "GroupArns": [group(name) for name in split(fleets, "groups")],
            "CapacityGroupArns": [group(name) for name in split(fleets, "capacity_groups")],
            "Beats": yes(any(fleet.beats for fleet in fleets)),
            "MetricDemand": yes(any(fleet.metrics for fleet in fleets)),
            "DemandQueueArns": [account.arn("sqs", name) for name in split(fleets, "queues")],
            "DemandNamespaces": list(dict.fromkeys(namespace(metric) for metric in split(fleets, "metrics"))),
            "MicroscaleAlarms": split(fleets, "microscale_alarms"),
            "BackfillAlarms": split(fleets, "backfill_alarms"),
            "PatchrollAlarms": split(fleets, "patchroll_alarms"),
            "LaunchFirst": yes(any(fleet.launches_first for fleet in fleets)),
            "RollBack": yes(any(fleet.rolls_back for fleet in fleets)),
            "Bake": yes(bool(bakes)),
            "BaseImageParameterArns": [base_image_arn(name, account) for name in dict.fromkeys(bakes)],
            "TemplateArns": account.templates,
            "HostRoleArns": account.host_roles,
        }
    )


def triggers(options, fleets, functions, account, dead_letters):
    clusterless = [fleet for fleet in fleets if not fleet.cluster]
    bakes = [fleet.base_image_parameter for fleet in fleets if fleet.base_image_parameter]
    all_of_them = foundation(options, fleets, functions, account)
    return told(
        {
            "Name": options.name,
            **chosen(functions),
            "Ticking": "DISABLED" if options.no_ticks else "ENABLED",
            "DeadLettersArn": dead_letters,
            "GroupNames": split(fleets, "groups"),
            "ClusterlessGroupNames": split(clusterless, "groups"),
            "BaseImageParameters": list(dict.fromkeys(bakes)),
        }
    ) | {
        key: all_of_them[key]
        for key in ("Beats", "ClusterArns", "ServiceArns", "MicroscaleAlarms", "BackfillAlarms", "PatchrollAlarms")
    }


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


def parameter_of(fleet):
    """Where the functions look for a fleet's file."""
    return f"/evenkeel/fleets/{fleet}"


def base_image_arn(name, account):
    """Parameters under /aws are AWS's own and belong to no account."""
    path = name if name.startswith("/") else f"/{name}"
    return account.arn("ssm", f"parameter{path}", number="" if path.startswith("/aws/") else None)


def yes(given):
    return "yes" if given else "no"


def told(values):
    """Lists with commas in between. One that is too long for CloudFormation is refused here, where it can be explained."""
    parameters = {key: value if isinstance(value, str) else ",".join(value) for key, value in values.items()}
    problems = [
        f"{key}: {len(value)} characters, and CloudFormation takes {LONGEST}: serve some of the fleets with a deployment of "
        "their own (--name)"
        for key, value in parameters.items()
        if len(value) > LONGEST
    ]
    if problems:
        raise Trouble(*problems)
    return parameters
