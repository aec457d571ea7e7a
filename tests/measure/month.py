"""What an idle fleet costs in a month, from what its quiet turns were counted to call, to read, to write and to log.

List prices of us-east-1 in November 2025, without free tiers. What EC2, ECS, Auto Scaling, SSM's standard parameters and the
rules of EventBridge's own events are asked for costs nothing.
"""

import json
import math
from dataclasses import dataclass

MINUTES = 43_800
# USD: Lambda (arm64), DynamoDB on demand, SQS, CloudWatch and its logs.
INVOCATION = 0.20e-6
GB_SECOND = 0.0000133334
READ_UNIT = 0.125e-6
WRITE_UNIT = 0.625e-6
SQS_REQUEST = 0.40e-6
METRIC_READ = 0.01e-3
LOGGED_BYTE = 0.50e-9
# What `infra/deploy` gives a function, and what a turn takes with AWS's latencies, generously.
GIGABYTES = 0.125
SECONDS = 0.1
# Lambda asks a quiet queue with two pollers, for twenty seconds each time (Lambda developer guide, "Amazon SQS event source
# mappings"; how many it keeps is not promised).
POLLS_A_MINUTE = 2 * 3
# CloudWatch counts so many bytes more for each line.
LINE = 26
REQUEST = "00000000-0000-4000-8000-000000000000"
# What Lambda adds to the log of an invocation (Lambda developer guide, "Lambda Telemetry API event schema").
LAMBDAS_LINES = [
    {"time": "2026-01-05T00:00:00.000Z", "type": "platform.start", "record": {"requestId": REQUEST, "version": "$LATEST"}},
    {
        "time": "2026-01-05T00:00:00.100Z",
        "type": "platform.report",
        "record": {
            "requestId": REQUEST,
            "metrics": {"durationMs": 99.999, "billedDurationMs": 100, "memorySizeMB": 128, "maxMemoryUsedMB": 25},
            "status": "success",
        },
    },
]


@dataclass
class Quiet:
    """A quiet turn of one function: units of DynamoDB, metrics that it asked for, and what it wrote to its log."""

    reads: float
    writes: float
    metrics: float
    logged: float


def read_units(size):
    """A consistent read of so many bytes, found together or under one key (DynamoDB developer guide, "Read consistency")."""
    return max(1, math.ceil(size / 4096))


def write_units(size):
    return max(1, math.ceil(size / 1024))


def size_of(item):
    """The bytes that DynamoDB counts (developer guide, "Item sizes and formats")."""

    def value(typed):
        (kind, inside), = typed.items()
        return {"S": lambda: len(inside.encode()), "N": lambda: len(inside) // 2 + 2, "B": lambda: len(inside) * 3 // 4}[kind]()

    return sum(len(name.encode()) + value(typed) for name, typed in item.items())


def logged(lines):
    """The bytes that CloudWatch counts for an invocation that wrote these lines."""
    lines = [*lines, *(json.dumps(line, separators=(",", ":")) for line in LAMBDAS_LINES)]
    return sum(len(line.encode()) + LINE for line in lines)


def month(turns, beat=60, pushed=False):
    """USD by service. `turns` are the quiet turns by function; `beat` is in seconds, and a minute is none; where the demand is
    pushed, no metric is read."""
    cost = dict.fromkeys(("Lambda", "DynamoDB", "SQS", "CloudWatch: demand", "Logs"), 0.0)
    for function, turn in turns.items():
        beats = MINUTES * 60 / beat if function == "microscale" and beat < 60 else 0
        count = MINUTES + beats
        cost["Lambda"] += count * (INVOCATION + SECONDS * GIGABYTES * GB_SECOND)
        cost["DynamoDB"] += count * (turn.reads * READ_UNIT + turn.writes * WRITE_UNIT)
        # A beat is sent, and deleted; without beats microscale's queue is not polled.
        if function != "microscale" or beats:
            cost["SQS"] += (MINUTES * POLLS_A_MINUTE + 2 * beats) * SQS_REQUEST
        cost["CloudWatch: demand"] += 0 if pushed else count * turn.metrics * METRIC_READ
        cost["Logs"] += count * turn.logged * LOGGED_BYTE
    return cost


def table(turns):
    """The months of an idle fleet, in the words of `infra/README.md`, and what the dearest without a beat costs."""
    kinds = [("beat 10 s, one metric", 10, False), ("no beat, one metric", 60, False)]
    kinds += [("beat 10 s, pushed demand", 10, True), ("no beat, pushed demand", 60, True)]
    months = [month(turns, beat, pushed) for _, beat, pushed in kinds]
    rows = [[line, *(f"{one[line]:.2f}" for one in months)] for line in months[0]]
    rows.append(["USD a month", *(f"{sum(one.values()):.2f}" for one in months)])
    return [["", *(name for name, _, _ in kinds)], *rows], sum(months[1].values())
