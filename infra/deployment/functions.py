"""The functions on AWS: deployed by cargo-lambda, and left alone where nothing about them has changed.

What cargo-lambda cannot do is done beside it: to change a function's architecture, to let it wake itself as often as it
likes, to keep versions from piling up, and to deploy where there is no Rust.
"""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from botocore.exceptions import ClientError

from .code import ALL as ALL
from .trouble import Trouble, code_of

# Those that wake themselves through a queue. Lambda ends what calls itself through SQS after some 16 times, unless told that
# it is meant (Lambda developer guide, "Use Lambda recursive loop detection").
WITH_QUEUE = ("microscale", "backfill", "patchroll")
RUNTIME = "provided.al2023"
# The tag that says what was deployed last, written when it was deployed whole.
DEPLOYED = "evenkeel:bootstrap"
# What is set without the code.
SETTINGS = {"role", "environment", "memory", "timeout", "log format"}
# The longest that Lambda may take over an update.
LONGEST = 300
# The longest that a new role may be unknown to Lambda.
ROLE_KNOWN = 60


class Functions:
    """The functions of one deployment on AWS. `environment` is what cargo-lambda needs to reach the account."""

    def __init__(self, api, name, say, repository=None, environment=None):
        self.api = api
        self.name = name
        self.say = say
        self.repository = repository
        self.environment = environment

    def full(self, function):
        return f"{self.name}-{function}"

    def describe(self, function):
        """The function with its tags and whether it may wake itself, or none."""
        full = self.full(function)
        try:
            found = self.api.get_function(FunctionName=full)
            if function in WITH_QUEUE:
                found["RecursiveLoop"] = self.api.get_function_recursion_config(FunctionName=full)["RecursiveLoop"]
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise
        return found

    def differs(self, function, code, settings, dry_run=False):
        """What of the function is not as it should be; without `code` its code is not looked at."""
        found = self.describe(function)
        differs = differences(found, settings, code and code.digest)
        full = self.full(function)
        if not differs:
            self.say(f"{full}: unchanged" + ("" if code else ", as far as is known: its code was not looked at"))
        else:
            what = f"update ({', '.join(differs)})" if found else "deploy"
            self.say(f"{full}: {'would ' if dry_run else ''}{what}")
        return differs

    def apply(self, function, code, settings, differs, arguments):
        """Deploys the function as `settings` say, given how it differs."""
        full = self.full(function)
        if "not there" in differs:
            self._upload(full, code, settings, arguments, new=True)
        else:
            # What an earlier update failed at is no reason not to try again.
            self._settle(full, failed_before=True)
            if SETTINGS & set(differs):
                self._configure(full, settings)
            if "architecture" in differs:
                # cargo-lambda says an architecture only when it makes a function.
                self._replace(full, code, settings)
            elif "code" in differs:
                self._upload(full, code, settings, arguments, new=False)
        self._settle(full)
        if self.api.get_function_configuration(FunctionName=full).get("LoggingConfig", {}).get("LogFormat") != "JSON":
            self._configure(full, settings)
        if function in WITH_QUEUE:
            self.api.put_function_recursion_config(FunctionName=full, RecursiveLoop="Allow")
        self._forget_versions(full)
        arn = self.api.get_function_configuration(FunctionName=full)["FunctionArn"]
        self.api.tag_resource(Resource=arn, Tags={DEPLOYED: code.digest, "evenkeel:name": self.name})
        left = differences(self.describe(function), settings, code.digest)
        if left:
            raise Trouble(f"{full}: was deployed, but is not as it should be: {', '.join(left)}")

    def delete(self, function):
        """Deletes the function. False if there was none."""
        try:
            self.api.delete_function(FunctionName=self.full(function))
            return True
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return False
            raise

    def _upload(self, full, code, settings, arguments, new):
        """Without Rust the zip is handed to Lambda as it is: cargo-lambda asks cargo for metadata, whatever it deploys."""
        if not code.zipped:
            self._deploy(full, code, settings, arguments)
        elif new:
            self._patiently(lambda: self.api.create_function(FunctionName=full, **made_of(settings), Code={"ZipFile": code.zipped}))
        else:
            self._replace(full, code, settings)

    def _replace(self, full, code, settings):
        self.api.update_function_code(FunctionName=full, ZipFile=code.as_zip(), Architectures=[settings["Architecture"]])
        self._settle(full)

    def _configure(self, full, settings):
        """What a function is told, without its code: nothing is packed and sent again."""
        given = {key: value for key, value in made_of(settings).items() if key in ("Role", "MemorySize", "Timeout", "Environment")}
        self._patiently(
            lambda: self.api.update_function_configuration(FunctionName=full, LoggingConfig={"LogFormat": "JSON"}, **given)
        )
        self._settle(full)

    def _deploy(self, full, code, settings, arguments):
        # cargo-lambda takes commas in `--env-var` for the next variable, so they go through a file.
        with tempfile.TemporaryDirectory() as folder:
            variables = Path(folder) / "environment"
            lines = [f"{key}={value}\n" for key, value in settings["Environment"].items()]
            variables.write_text("".join(lines), encoding="utf-8")
            # It packs beside the binary, where somebody else may be packing.
            binary = shutil.copy2(code.bootstrap, Path(folder) / "bootstrap")
            command = ["cargo", "lambda", "deploy", "--binary-path", str(binary)]
            command += ["--runtime", RUNTIME, "--role", settings["Role"]]
            command += ["--memory", str(settings["MemorySize"]), "--timeout", str(settings["Timeout"])]
            command += ["--env-file", str(variables), "--retry-attempts", "5", *arguments, full]
            self._patiently(lambda: self._run(full, command))

    def _run(self, full, command):
        # It wants a manifest beside it, though it reads nothing there that is not given here.
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.repository, env=self.environment)
        if done.returncode != 0:
            raise Trouble(f"{full}: `cargo lambda deploy` ended with code {done.returncode}: {unwrapped(done.stderr)}")

    def _patiently(self, work):
        """A role that was made a moment ago is not known everywhere in AWS yet, for some ten seconds."""
        until = time.time() + ROLE_KNOWN
        while True:
            try:
                return work()
            except (ClientError, Trouble) as error:
                if "cannot be assumed by Lambda" not in str(error) or time.time() > until:
                    raise
            time.sleep(3)

    def _forget_versions(self, full):
        """cargo-lambda publishes a version each time, and all of an account's versions share 75 GB (Lambda developer guide,
        "Lambda quotas"). Nothing here calls one; one that somebody gave an alias stays."""
        pages = self.api.get_paginator("list_versions_by_function").paginate(FunctionName=full)
        for version in [one["Version"] for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"]:
            try:
                self.api.delete_function(FunctionName=full, Qualifier=version)
            except ClientError as error:
                if code_of(error) != "ResourceConflictException":
                    raise

    def _settle(self, full, failed_before=False):
        """Waits until the function may be changed. One that was not called for weeks is Inactive until its next call."""
        until = time.time() + LONGEST
        while time.time() < until:
            found = self.api.get_function_configuration(FunctionName=full)
            state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
            if state == "Failed":
                raise Trouble(f"{full}: {found.get('StateReason') or 'Lambda could not make it, and does not say why'}")
            if update == "Failed" and not failed_before:
                raise Trouble(f"{full}: {found.get('LastUpdateStatusReason') or 'its update failed, and Lambda does not say why'}")
            if state in ("Active", "Inactive") and update != "InProgress":
                return
            time.sleep(0.5)
        raise Trouble(f"{full}: not ready in {LONGEST} s")


def made_of(settings):
    return {
        "Runtime": RUNTIME,
        "Handler": "bootstrap",
        "Role": settings["Role"],
        "MemorySize": settings["MemorySize"],
        "Timeout": settings["Timeout"],
        "Architectures": [settings["Architecture"]],
        "Environment": {"Variables": settings["Environment"]},
        "LoggingConfig": {"LogFormat": "JSON"},
    }


def differences(found, settings, digest):
    """What of a function is not as it should be, in words."""
    if not found:
        return ["not there"]
    has = found["Configuration"]
    differs = []
    if digest and found.get("Tags", {}).get(DEPLOYED) != digest:
        differs.append("code")
    if has.get("Environment", {}).get("Variables", {}) != settings["Environment"]:
        differs.append("environment")
    for key, word in [("Role", "role"), ("MemorySize", "memory"), ("Timeout", "timeout")]:
        if has.get(key) != settings[key]:
            differs.append(word)
    if has.get("Architectures", ["x86_64"]) != [settings["Architecture"]]:
        differs.append("architecture")
    if has.get("LoggingConfig", {}).get("LogFormat") != "JSON":
        differs.append("log format")
    if found.get("RecursiveLoop", "Allow") != "Allow":
        differs.append("recursive loop")
    return differs


def unwrapped(text):
    """cargo-lambda's errors as one line: it draws them as a tree, and wraps them at 80 columns."""
    return " ".join(re.sub(r"[│├╰─▶×]", " ", text).split())
