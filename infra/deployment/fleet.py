"""Fleet files: checked by `evenkeel check`, then read for what the templates need to know of them.

What a fleet file may say is decided by `evenkeel check` alone. Here it is only looked up; where no `evenkeel` is there, the
schema that it writes is what a file is held against.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from . import schema
from .trouble import Trouble

# What a parameter may hold (Systems Manager user guide, "Managing parameter tiers").
STANDARD_BYTES = 4096
ADVANCED_BYTES = 8192
# How a parameter begins that says which parts hold the file.
IN_PARTS = "evenkeel:parts "
# Read one by one by each function that takes a new file up: a limit, so that a turn does not spend its time on it.
MOST_PARTS = 80


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

    def observed(self):
        """The same file with every function only observing, whatever it says itself."""
        data = {"name": self.name, "mode": "observe"} | {key: value for key, value in self.data.items() if key != "mode"}
        for section in ("microscale", "backfill", "patch"):
            if section in data:
                data[section] = {key: value for key, value in data[section].items() if key != "mode"}
        # A file that says nothing of it keeps its comments; keys at the top come before any table.
        text = f'mode = "observe"   # infra/deploy --observe\n{self.text}'
        try:
            kept = tomllib.loads(text) == data
        except ValueError:
            kept = False
        return Fleet(self.path, text if kept else json.dumps(data, indent=2, ensure_ascii=False), data)

    def stored(self):
        """What its parameters hold, by what comes after the fleet's name in theirs; the last one written makes it valid.

        The file as it is, or without its comments where it is too long. Where that is still too long, it is deflated
        (zlib) and encoded (base 64), and cut into parts: the parameter itself says which, and how many.
        """
        if len(self.text.encode()) <= STANDARD_BYTES:
            return {"": self.text}
        short = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)
        if len(short.encode()) <= ADVANCED_BYTES:
            return {"": short}
        packed = base64.b64encode(zlib.compress(short.encode(), 9)).decode()
        parts = [packed[at : at + STANDARD_BYTES] for at in range(0, len(packed), STANDARD_BYTES)]
        if len(parts) > MOST_PARTS:
            raise Trouble(f"{self.path}: {len(packed)} bytes even when deflated; {MOST_PARTS * STANDARD_BYTES} are the most")
        # A name of its own for each content, so that nobody ever reads half of one and half of another.
        digest = hashlib.sha256(short.encode()).hexdigest()[:16]
        stored = {f"/{digest}/{number}": part for number, part in enumerate(parts, 1)}
        return stored | {"": f"{IN_PARTS}{digest} {len(parts)}"}


def read(paths, checker, repository, say, builds=True):
    """Checks and reads the fleet files. All that is wrong with all of them is said at once."""
    checker = command_of(checker, repository, builds)
    if not checker:
        say("note: fleet files are held against the schema only: name a built `evenkeel` with --evenkeel to check them whole")
    problems, fleets = [], []
    for path in paths:
        if not path.is_file():
            problems.append(f"{path}: is a folder, not a fleet file" if path.is_dir() else f"{path}: there is no such file")
            continue
        said = check(path, checker) if checker else check_shape(path)
        if said:
            problems.append(said)
            continue
        text = path.read_text(encoding="utf-8")
        fleets.append(Fleet(path, text, parsed(text)))
    seen = {}
    for fleet in fleets:
        if fleet.name in seen:
            problems.append(f"{fleet.path}: name: {fleet.name} is also the name of {seen[fleet.name]}")
        seen.setdefault(fleet.name, fleet.path)
    problems += in_common(fleets)
    if problems:
        raise Trouble(*problems)
    return fleets


def parsed(text):
    return json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)


def whole(path, text, parts):
    """The data of a fleet file as its parameter has it; `parts` gives what is under that."""
    if not text.startswith(IN_PARTS):
        return parsed(text)
    digest, count = text.removeprefix(IN_PARTS).split()
    there = parts()
    packed = "".join(there[f"{path}/{digest}/{number}"] for number in range(1, int(count) + 1))
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def in_common(fleets):
    """Two fleets that set one group's capacity, or one service's count, would never agree."""
    problems, seen = [], {}
    for fleet in fleets:
        claims = [(("group", place.name), f"Auto Scaling group {place.name}", place) for place in fleet.groups]
        if fleet.cluster:
            in_cluster = f"in cluster {fleet.cluster.name}"
            claims += [
                (("service", fleet.cluster.name, place.name), f"service {place.name} {in_cluster}", place)
                for place in fleet.services
            ]
        for key, what, place in claims:
            other, elsewhere = seen.setdefault(key, (fleet, place.where))
            if other is not fleet:
                problems.append(f"{place.where}: {what} is also in {elsewhere}: only one fleet may have it")
    return problems


def command_of(checker, repository, builds):
    """The command that checks fleet files; none where nothing is built and nothing shall be."""
    if checker:
        return [checker]
    if not builds:
        return None
    if shutil.which("cargo"):
        return ["cargo", "run", "--release", "--quiet", "--manifest-path", str(repository / "Cargo.toml"), "--"]
    return None


def check(path, command):
    """What `evenkeel check` says is wrong; empty if nothing is."""
    try:
        done = subprocess.run([*command, "check", str(path)], capture_output=True, text=True)
    except OSError as error:
        raise Trouble(f"--evenkeel {command[0]}: {error.strerror}") from error
    if done.returncode == 0:
        return ""
    said = (done.stderr + done.stdout).strip()
    return said or f"{path}: `{' '.join(command)} check` ended with code {done.returncode} and said nothing"


def check_shape(path):
    """What the schema says is wrong, a line each; empty if nothing is."""
    try:
        found = schema.problems(parsed(path.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        found = [str(error)]
    return "\n".join(f"{path}: {problem}" for problem in found)


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
