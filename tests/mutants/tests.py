"""The tests: built once, and run one by one, each in a process of its own."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# What compiles without an AWS SDK; the adapters have no deliberate bugs.
PACKAGES = ["model", "intake", "turn", "microscale", "backfill", "patchroll", "livefeed", "demand", "world"]
PROFILE = "test-fast"
# With a bug a test may take longer than without, but not for ever: of a processor's time, this many times as many seconds and
# some more. On a machine that is busy with other things that is much longer on the clock, by which only what waits is ended.
SLOWER, MORE, BUSY = 5, 30, 10
# A bug that allocates without end must not take the machine with it: KiB.
MOST_MEMORY = 6 << 20
# Runs a command with limits on its seconds of a processor and its memory.
LIMITED = ["sh", "-c", 'ulimit -S -t "$1"; ulimit -v "$2"; ulimit -c 0; shift 2; exec "$@"', "limited"]


class Failed(Exception):
    """Nothing can be said of any bug, and why."""


@dataclass(frozen=True, order=True)
class Test:
    """One test of one binary."""

    binary: str
    name: str
    executable: str
    folder: str

    def __str__(self):
        return f"{self.binary} {self.name}"

    def is_one_of(self, names):
        """Whether it, or its whole binary, is among `names`."""
        return self.name.rsplit("::", 1)[-1] in names or self.binary.rsplit("::", 1)[-1] in names


@dataclass(frozen=True)
class Sound:
    """What a test does where no bug is on."""

    seconds: float
    reached: frozenset


class Tests:
    """All tests of a copy of the sources.

    How long each takes, and which bugs it reaches, is kept until something is built anew.
    """

    def __init__(self, copy, target, every, workers):
        self.workers = workers
        self.environment = {**os.environ, "INSTA_UPDATE": "no", "RUST_BACKTRACE": "0"}
        self.environment.pop("EVENKEEL_MUTANT", None)
        self.environment.setdefault("EVENKEEL_SEEDS", "all" if every else time.strftime("%Y-%m-%d", time.gmtime()))
        self.running, self.lock, self.trying = set(), threading.Lock(), threading.Lock()
        self.all = sorted(test for binary in build(copy, target) for test in listed(*binary, every))
        self.kept = target.parent / "sound.json"
        self.sound = self.read_kept()

    @property
    def seeds(self):
        return self.environment["EVENKEEL_SEEDS"]

    def build_of(self, test):
        """What is another one whenever a test's binary was built anew, or another day's seeds are tried."""
        status = os.stat(test.executable)
        return [self.seeds, test.executable, status.st_size, status.st_mtime_ns]

    def read_kept(self):
        kept = json.loads(self.kept.read_text()) if self.kept.is_file() else {}
        found = ((str(test), kept.get(str(test)), self.build_of(test)) for test in self.all)
        same = ((name, one) for name, one, build in found if one is not None and one["build"] == build)
        return {name: Sound(one["seconds"], frozenset(one["reached"])) for name, one in same}

    def try_without(self, tests):
        """Runs those of `tests` that were not run yet without any bug: they must pass."""
        with self.trying, ThreadPoolExecutor(self.workers) as pool:
            left = [test for test in tests if str(test) not in self.sound]
            try:
                for test, (how, sound, said) in zip(left, pool.map(self.without, left), strict=True):
                    if how != "passed":
                        raise Failed(f"without any bug, {test} {how}:\n{said}")
                    self.sound[str(test)] = sound
            finally:
                pool.shutdown(cancel_futures=True)
                self.keep()

    def keep(self):
        known = ((test, self.sound.get(str(test))) for test in self.all)
        kept = {
            str(test): {"build": self.build_of(test), "seconds": sound.seconds, "reached": sorted(sound.reached)}
            for test, sound in known
            if sound is not None
        }
        self.kept.write_text(json.dumps(kept))

    def without(self, test):
        with tempfile.TemporaryDirectory() as folder:
            reached = Path(folder) / "reached"
            how, seconds, said = self.run(test, {"EVENKEEL_MUTANTS_REACHED": str(reached)}, 600)
            names = reached.read_text().split() if reached.exists() else []
            return how, Sound(round(seconds, 2), frozenset(names)), said

    def with_bug(self, test, name):
        """How a test ends where a bug is on: `passed`, or how it caught it."""
        how, _, _ = self.run(test, {"EVENKEEL_MUTANT": name}, SLOWER * self.sound[str(test)].seconds + MORE)
        return how

    def run(self, test, environment, most_seconds):
        """How a test ends, after how long, and the end of what it says; it is ended after `most_seconds` of a processor's
        time."""
        began = time.monotonic()
        limits = [str(round(most_seconds)), str(MOST_MEMORY)]
        command = [*LIMITED, *limits, test.executable, test.name, "--exact", "--include-ignored", "--test-threads", "1"]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                cwd=test.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            with self.lock:
                self.running.add(process)
            try:
                ended = process.wait(BUSY * most_seconds)
            except subprocess.TimeoutExpired:
                ended = -signal.SIGXCPU
            finally:
                stop(process)
                with self.lock:
                    self.running.discard(process)
            how = {0: "passed", -signal.SIGXCPU: f"did not end in {most_seconds:.0f} s"}.get(ended, "failed")
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4_000))
            return how, time.monotonic() - began, said.read().decode(errors="replace")

    def stop(self):
        with self.lock:
            for process in self.running:
                stop(process)


def stop(process):
    """Ends a process and what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def build(copy, target):
    """Builds the tests. Gives the name, the executable and the folder of each binary."""
    command = ["cargo", "test", "--no-run", "--locked", "--profile", PROFILE, "--no-default-features"]
    command += ["--lib", "--bins", "--tests", "--message-format", "json-render-diagnostics"]
    command += [word for package in PACKAGES for word in ("--package", f"evenkeel-{package}")]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    built = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise Failed("the sources with the bugs in them do not compile")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            package = message["package_id"].rsplit("#", 1)[-1].split("@")[0]
            name = f"{package}::{message['target']['name']}"
            yield name, message["executable"], str(Path(message["manifest_path"]).parent)


def listed(binary, executable, folder, every):
    """The tests of a binary; without those that only the long tests run, unless `every` one is asked for."""

    def names(*more):
        command = [executable, "--list", "--format", "terse", *more]
        said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        return {line.removesuffix(": test") for line in said.splitlines() if line.endswith(": test")}

    left_out = set() if every else names("--ignored")
    return [Test(binary, name, executable, folder) for name in names() - left_out]
