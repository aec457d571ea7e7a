"""Lists of names that have to fit: into a parameter of CloudFormation, a policy of IAM, a pattern of EventBridge.

What fits is told name by name. What does not is told by beginnings that names share: the longest that make it fit.
"""

import json
import os.path
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Told:
    """A name as it is, or what all names meant begin with."""

    text: str
    begins: bool = False


def narrowed(names, most, cost):
    """`names`, each once and in order; where the sum of `cost` over them is more than `most`, with shared beginnings in
    place of the names that share most."""
    kept = [Told(name) for name in dict.fromkeys(names)]
    if sum(map(cost, kept)) <= most:
        return kept
    kept = sorted(kept)
    while sum(map(cost, kept)) > most:
        if len(kept) == 1:
            over = sum(map(cost, kept)) - most
            return [Told(kept[0].text[: max(0, len(kept[0].text) - over - cost(Told("", begins=True)))], begins=True)]
        # Sorted names that share most stand side by side.
        shared = [os.path.commonprefix([one.text, other.text]) for one, other in zip(kept, kept[1:])]
        longest = max(shared, key=len)
        kept = sorted([one for one in kept if not one.text.startswith(longest)] + [Told(longest, begins=True)])
    return kept


def for_policy(names, most):
    """As ARNs and names stand in a policy, `*` for what comes after a shared beginning; quotes and a comma count."""
    written = [f"{one.text}{'*' if one.begins else ''}" for one in narrowed(names, most, lambda one: len(one.text) + 3 + one.begins)]
    return list(dict.fromkeys(written))


def for_pattern(names, most):
    """As values stand in an event pattern (EventBridge user guide, "Prefix matching"), without the brackets."""
    return ",".join(map(written, narrowed(names, most, lambda one: len(written(one)) + 1)))


def written(one):
    return json.dumps({"prefix": one.text} if one.begins else one.text, separators=(",", ":"))


def beginnings(names, kept):
    """What of a policy's list stands for more than was named, to be told to a person."""
    named = set(names)
    return [one for one in kept if one not in named]
