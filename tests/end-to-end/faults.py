"""What goes wrong between a function and AWS, where the stories are told behind the fault proxy (microburst).

About one call in ten fails, each in a way that AWS's own services have: the proxy reads botocore's models, so the SDK sees
what it would see from AWS.
"""

# What a service says that is asked too often, and with which status (each API's reference, "Common errors").
THROTTLED = {
    "ecs": ("ThrottlingException", 400),
    "autoscaling": ("Throttling", 400),
    "ec2": ("RequestLimitExceeded", 503),
    "elasticloadbalancing": ("Throttling", 400),
    "monitoring": ("Throttling", 400),
    "ssm": ("ThrottlingException", 400),
    "sqs": ("RequestThrottled", 400),
    "dynamodb": ("ProvisionedThroughputExceededException", 400),
}


def rules():
    """The first that draws true is what happens to a call."""
    throttled = [
        {"service": service, "probability": 0.03, "error": {"code": code, "status": status}}
        for service, (code, status) in THROTTLED.items()
    ]
    return [
        *throttled,
        {"service": "*", "probability": 0.02, "error": {"code": "InternalFailure", "status": 500}},
        {"service": "*", "probability": 0.015, "reset": True},
        # Longer than the SDK waits for one try.
        {"service": "*", "probability": 0.005, "timeout_ms": 4000},
        # It was done, and nobody hears of it.
        {"service": "*", "probability": 0.025, "response": {"abort_frac": 0.0}},
        {"service": "*", "probability": 0.05, "latency": {"min": 100, "max": 800}},
    ]
