"""How long things take here, in seconds."""

from dataclasses import dataclass


@dataclass
class Pace:
    """AWS's own times are in the comments; here they are shorter, so that a story takes seconds."""

    boot: float = 2.0  # from a launch to a running agent: 20-90 s
    start: float = 0.6  # a task from placed to RUNNING: 9 s
    stop: float = 0.8  # a task from told to STOPPED: 30-66 s
    terminate: float = 0.5  # an instance from shutting-down to terminated: 30-60 s
    replace: float = 0.3  # a group from a missing instance to its next launch: 6 s
    try_again: float = 10.0  # a group from a refused launch to its next try: a minute and more
    healthy: float = 1.0  # a target from in service to healthy: some checks of 5 to 30 s each
    install: float = 1.5  # a builder from its launch to the moment it has stopped itself: minutes
    image: float = 1.0  # an image from pending to available: minutes
    look: float = 0.25  # between two looks of the scheduler: about a second
    failure_after: float = 1.0  # from a task without a place to the event that says so: up to 50 s
    failure_repeats: float = 5.0  # between two placement-failure events of a service
