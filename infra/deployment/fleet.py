"""Fleet files: checked by `evenkeel check`, then read for what the templates need to know of them.

What a fleet file may say is decided by `evenkeel check` alone. Here it is only looked up.
"""

import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .trouble import Trouble

# What a parameter may hold (Systems Manager user guide, "Managing parameter tiers").
STANDARD_BYTES = 4096
ADVANCED_BYTES = 8192


@dataclass(frozen=True)
class Place:
    """A name that a fleet file gives something on AWS, and where it does."""

    name: str
    where: str


@dataclass
class Fleet:
    """A fleet file."""

    path: Path
    text: str
    data: dict = field(repr=False)

    @property
    def name(self):
        return self.data["name"]

    @property
    def cluster(self):
        return Place(self.data["cluster"], f"{self.path}: cluster") if "cluster" in self.data else None

    @property
    def groups(self):
        return [
            Place(pool["auto_scaling_group"], f"{self.path}: pool[{index}].auto_scaling_group")
            for index, pool in enumerate(self.data["pool"])
        ]

    @property
    def capacity_groups(self):
        """The groups whose hosts backfill asks for and gives back."""
        return [pool["auto_scaling_group"] for pool in self.data["pool"] if pool["purchase"] == "on-demand"]

    @property
    def services(self):
        return [
            Place(service["name"], f"{self.path}: service[{index}].name")
            for index, service in enumerate(self.data.get("service", []))
        ]

    def _demands(self):
        return [service.get("demand", {}) for service in self.data.get("service", [])]

    @property
    def metrics(self):
        return [demand["metric"] for demand in self._demands() if "metric" in demand]

    @property
    def queues(self):
        return [demand["queue"] for demand in self._demands() if "queue" in demand]

    @property
    def microscale_alarms(self):
        return [demand["alarm"] for demand in self._demands() if "alarm" in demand]

    @property
    def backfill_alarms(self):
        return self.data.get("backfill", {}).get("alarms", [])

    @property
    def patchroll_alarms(self):
        return self.data.get("patch", {}).get("halt_alarms", [])

    @property
    def launches_first(self):
        return self.data.get("patch", {}).get("strategy") == "launch-first"

    @property
    def rolls_back(self):
        return bool(self.data.get("patch", {}).get("roll_back"))

    @property
    def base_image_parameter(self):
        return self.data.get("patch", {}).get("bake", {}).get("base_image_parameter")

    @property
    def beats(self):
        """Whether microscale has turns between two ticks."""
        return self.data.get("beat", "1m") not in ("1m", "60s")

    @property
    def functions(self):
        """The functions that have something to do for this fleet."""
        found = []
        if self.services:
            found.append("microscale")
        if "backfill" in self.data:
            found.append("backfill")
        if "patch" in self.data:
            found.append("patchroll")
        return found

    def stored(self):
        """The text for the parameter, and its tier: the file as it is, or without its comments where it is too long."""
        if len(self.text.encode()) <= STANDARD_BYTES:
            return self.text, "Standard"
        short = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)
        size = len(short.encode())
        if size <= STANDARD_BYTES:
            return short, "Standard"
        if size <= ADVANCED_BYTES:
            return short, "Advanced"
        raise Trouble(f"{self.path}: {size} bytes even without comments; a parameter holds {ADVANCED_BYTES}")


def read(paths, checker, repository):
    """Checks and reads the fleet files. All that is wrong with all of them is said at once."""
    problems, fleets = [], []
    for path in paths:
        if not path.is_file():
            problems.append(f"{path}: there is no such file")
            continue
        said = check(path, checker, repository)
        if said:
            problems.append(said)
            continue
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        fleets.append(Fleet(path, text, data))
    seen = {}
    for fleet in fleets:
        if fleet.name in seen:
            problems.append(f"{fleet.path}: name: {fleet.name} is also the name of {seen[fleet.name]}")
        seen.setdefault(fleet.name, fleet.path)
    if problems:
        raise Trouble(*problems)
    return fleets


def check(path, checker, repository):
    """What `evenkeel check` says is wrong; empty if nothing is."""
    if checker:
        command = [checker]
    elif shutil.which("cargo"):
        command = ["cargo", "run", "--release", "--quiet", "--manifest-path", str(repository / "Cargo.toml"), "--"]
    else:
        raise Trouble("cargo is not in PATH: install Rust, or name a built `evenkeel` with --evenkeel")
    try:
        done = subprocess.run([*command, "check", str(path)], capture_output=True, text=True)
    except OSError as error:
        raise Trouble(f"--evenkeel {checker}: {error.strerror}") from error
    if done.returncode == 0:
        return ""
    said = (done.stderr + done.stdout).strip()
    return said or f"{path}: `{' '.join(command)} check` ended with code {done.returncode} and said nothing"


def split(fleets, attribute):
    """The values of a list-valued attribute over all fleets, each once, in order."""
    values = {}
    for fleet in fleets:
        for value in getattr(fleet, attribute):
            values.setdefault(value.name if isinstance(value, Place) else value)
    return list(values)


def namespace(metric):
    """The namespace of `namespace/name`, which may itself have slashes."""
    return re.sub(r"/[^/]*$", "", metric)
