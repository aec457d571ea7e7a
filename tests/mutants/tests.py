"""The tests: built once, and run one by one, each in a process of its own."""

import hashlib
import json
import os
import resource
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
# With a bug a test may take longer than without, but not for ever: this many times as long, and some seconds more.
SLOWER, MORE = 5, 30
# A bug that allocates without end must not take the machine with it.
MOST_MEMORY = 6 << 30


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

    @property
    def function(self):
        return self.name.rsplit("::", 1)[-1]


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

    def of_build(self):
        binaries = sorted({test.executable for test in self.all})
        said = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in binaries]
        return hashlib.sha256(json.dumps([said, self.seeds]).encode()).hexdigest()

    def read_kept(self):
        kept = json.loads(self.kept.read_text()) if self.kept.is_file() else {}
        if kept.get("build") != self.of_build():
            return {}
        return {name: Sound(seconds, frozenset(reached)) for name, (seconds, reached) in kept["tests"].items()}

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
        kept = {name: [sound.seconds, sorted(sound.reached)] for name, sound in self.sound.items()}
        self.kept.write_text(json.dumps({"build": self.of_build(), "tests": kept}))

    def without(self, test):
        with tempfile.TemporaryDirectory() as folder:
            reached = Path(folder) / "reached"
            how, seconds, said = self.run(test, {"EVENKEEL_MUTANTS_REACHED": str(reached)}, 1_800)
            names = reached.read_text().split() if reached.exists() else []
            return how, Sound(round(seconds, 2), frozenset(names)), said

    def with_bug(self, test, name):
        """How a test ends where a bug is on: `passed`, or how it caught it."""
        how, _, _ = self.run(test, {"EVENKEEL_MUTANT": name}, SLOWER * self.sound[str(test)].seconds + MORE)
        return how

    def run(self, test, environment, most_seconds):
        """How a test ends, after how long, and the end of what it says."""
        began = time.monotonic()
        command = [test.executable, test.name, "--exact", "--include-ignored", "--test-threads", "1"]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                cwd=test.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=limit_memory,
            )
            with self.lock:
                self.running.add(process)
            try:
                how = {0: "passed"}.get(process.wait(most_seconds), "failed")
            except subprocess.TimeoutExpired:
                how = f"did not end in {most_seconds:.0f} s"
            finally:
                stop(process)
                with self.lock:
                    self.running.discard(process)
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4_000))
            return how, time.monotonic() - began, said.read().decode(errors="replace")

    def stop(self):
        with self.lock:
            for process in self.running:
                stop(process)


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


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
            yield message["target"]["name"], message["executable"], str(Path(message["manifest_path"]).parent)


def listed(binary, executable, folder, every):
    """The tests of a binary; without those that only the long tests run, unless `every` one is asked for."""

    def names(*more):
        command = [executable, "--list", "--format", "terse", *more]
        said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        return {line.removesuffix(": test") for line in said.splitlines() if line.endswith(": test")}

    left_out = set() if every else names("--ignored")
    return [Test(binary, name, executable, folder) for name in names() - left_out]
