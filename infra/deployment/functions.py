"""The functions: built and deployed by cargo-lambda, and left alone where nothing about them has changed."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from botocore.exceptions import ClientError

from .trouble import Trouble, code_of

ALL = ("microscale", "backfill", "patchroll", "livefeed", "demand")
RUNTIME = "provided.al2023"
# The tag that says what was deployed last, written when it was deployed whole.
DEPLOYED = "evenkeel:bootstrap"
# `e_machine` of an ELF file (System V ABI, "ELF Header").
MACHINES = {62: "x86_64", 183: "arm64"}
# What differs where a function's code and role stay.
SETTINGS = {"environment", "memory", "timeout"}
# The longest that Lambda may take over an update.
LONGEST = 300
# The longest that a new role may be unknown to Lambda.
ROLE_KNOWN = 60


def build(names, arch, repository, target_dir):
    """Builds the functions; gives the folder that holds NAME/bootstrap for each."""
    if not shutil.which("cargo-lambda"):
        raise Trouble("cargo-lambda is not in PATH: `python3 -m pip install cargo-lambda`, or give built ones with --bins")
    command = ["cargo", "lambda", "build", "--profile", "lambda", "--locked", "--workspace"]
    command += ["--arm64" if arch == "arm64" else "--x86-64"]
    # This machine's own target is there; for another one cargo-lambda looks, and asks rustup to install it.
    if {"aarch64": "arm64"}.get(platform.machine(), platform.machine()) == arch and platform.system() == "Linux":
        command.append("--skip-target-check")
    for name in names:
        command += ["--bin", name]
    target_dir = Path(target_dir or os.environ.get("CARGO_TARGET_DIR") or repository / "target")
    # `lambda` in there is where cargo itself puts what it builds with the profile of that name.
    built = target_dir / "functions"
    command += ["--lambda-dir", str(built)]
    # cargo-lambda hands an option `--target-dir` on to `cargo metadata`, which knows none.
    done = subprocess.run(command, cwd=repository, env=os.environ | {"CARGO_TARGET_DIR": str(target_dir)})
    if done.returncode != 0:
        raise Trouble(f"`{' '.join(command)}` ended with code {done.returncode}; nothing was deployed")
    return built


def bootstraps(names, folder, arch):
    """The binaries by function name. Each has to be there and to be for `arch`."""
    found, problems = {}, []
    for name in names:
        candidates = [folder / name / "bootstrap", folder / name]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if not path:
            problems.append(f"{candidates[0]}: there is no such file, nor {candidates[1]}")
            continue
        machine = machine_of(path)
        if machine != arch:
            problems.append(f"{path}: is built for {machine}; --arch says {arch}")
        found[name] = path
    if problems:
        raise Trouble(*problems)
    return found


def machine_of(path):
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return "no Linux machine (it is no ELF file)"
    return MACHINES.get(int.from_bytes(head[18:20], "little"), "another machine")


class Functions:
    """The functions of one deployment on AWS."""

    def __init__(self, api, name, say, repository=None):
        self.api = api
        self.name = name
        self.say = say
        self.repository = repository

    def full(self, function):
        return f"{self.name}-{function}"

    def describe(self, function):
        """The function with its tags, or none."""
        try:
            return self.api.get_function(FunctionName=self.full(function))
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise

    def apply(self, function, bootstrap, settings, arguments, dry_run):
        """Deploys the function as `settings` say. True if that changed anything."""
        full, digest = self.full(function), hashlib.sha256(bootstrap.read_bytes()).hexdigest()
        found = self.describe(function)
        differs = differences(found, settings, digest)
        if not differs:
            self.say(f"{full}: unchanged")
            return False
        what = f"{'update' if found else 'deploy'} ({', '.join(differs)})" if found else "deploy"
        self.say(f"{full}: {'would ' if dry_run else ''}{what}")
        if dry_run:
            return True
        if set(differs) <= SETTINGS:
            self._configure(full, settings)
        else:
            self._deploy(full, bootstrap, settings, arguments)
        self._settle(full)
        if self.api.get_function_configuration(FunctionName=full).get("LoggingConfig", {}).get("LogFormat") != "JSON":
            self.api.update_function_configuration(FunctionName=full, LoggingConfig={"LogFormat": "JSON"})
            self._settle(full)
        arn = self.api.get_function_configuration(FunctionName=full)["FunctionArn"]
        self.api.tag_resource(Resource=arn, Tags={DEPLOYED: digest, "evenkeel:name": self.name})
        left = differences(self.describe(function), settings, digest)
        if left:
            raise Trouble(f"{full}: was deployed, but is not as it should be: {', '.join(left)}")
        return True

    def delete(self, function):
        """Deletes the function. False if there was none."""
        try:
            self.api.delete_function(FunctionName=self.full(function))
            return True
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return False
            raise

    def _configure(self, full, settings):
        """What a function is told, without its code: nothing is packed and sent again."""
        self.api.update_function_configuration(
            FunctionName=full,
            MemorySize=settings["MemorySize"],
            Timeout=settings["Timeout"],
            Environment={"Variables": settings["Environment"]},
        )

    def _deploy(self, full, bootstrap, settings, arguments):
        # cargo-lambda takes commas in `--env-var` for the next variable, so they go through a file.
        with tempfile.TemporaryDirectory() as folder:
            variables = Path(folder) / "environment"
            lines = [f"{key}={value}\n" for key, value in settings["Environment"].items()]
            variables.write_text("".join(lines), encoding="utf-8")
            # It packs beside the binary, where somebody else may be packing.
            binary = shutil.copy2(bootstrap, Path(folder) / "bootstrap")
            command = ["cargo", "lambda", "deploy", "--binary-path", str(binary)]
            command += ["--runtime", RUNTIME, "--role", settings["Role"]]
            command += ["--memory", str(settings["MemorySize"]), "--timeout", str(settings["Timeout"])]
            command += ["--env-file", str(variables), "--retry-attempts", "5", *arguments, full]
            done = self._patiently(command)
        if done.returncode != 0:
            raise Trouble(f"{full}: `cargo lambda deploy` ended with code {done.returncode}: {done.stderr.strip()}")

    def _patiently(self, command):
        """A role that was made a moment ago is not known everywhere in AWS yet, for some ten seconds."""
        until = time.time() + ROLE_KNOWN
        while True:
            # It wants a manifest beside it, though it reads nothing there that is not given here.
            done = subprocess.run(command, capture_output=True, text=True, cwd=self.repository)
            if "cannot be assumed by Lambda" not in done.stderr or time.time() > until:
                return done
            time.sleep(3)

    def _settle(self, full):
        until = time.time() + LONGEST
        while time.time() < until:
            found = self.api.get_function_configuration(FunctionName=full)
            if found.get("State", "Active") == "Failed" or found.get("LastUpdateStatus") == "Failed":
                raise Trouble(f"{full}: {found.get('StateReason') or found.get('LastUpdateStatusReason')}")
            if found.get("State", "Active") == "Active" and found.get("LastUpdateStatus", "Successful") == "Successful":
                return
            time.sleep(0.5)
        raise Trouble(f"{full}: not ready in {LONGEST} s")


def differences(found, settings, digest):
    """What of a function is not as it should be, in words."""
    if not found:
        return ["not there"]
    has = found["Configuration"]
    differs = []
    if found.get("Tags", {}).get(DEPLOYED) != digest:
        differs.append("code")
    if has.get("Environment", {}).get("Variables", {}) != settings["Environment"]:
        differs.append("environment")
    for key, word in [("Role", "role"), ("MemorySize", "memory"), ("Timeout", "timeout")]:
        if has.get(key) != settings[key]:
            differs.append(word)
    if has.get("Architectures", ["x86_64"]) != [settings["Architecture"]]:
        differs.append("architecture")
    return differs
