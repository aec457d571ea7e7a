"""The steps of a deployment, in their order. Each leaves alone what is as it should be, and can be run again where it stopped."""

import os
import zlib
from pathlib import Path

from botocore.exceptions import ClientError

from . import firstturns, fleet, functions, parameters, table
from .stacks import Stacks
from .trouble import Trouble, code_of

INFRA = Path(__file__).resolve().parent.parent


class Deployment:
    """One deployment: what is there of it, and what is wanted."""

    def __init__(self, options, session, progress, found, fleets, wanted):
        self.options, self.session, self.progress = options, session, progress
        self.say = progress.say
        self.account, self.fleets, self.wanted = found, fleets, wanted
        self.stacks = Stacks(session.client("cloudformation"), self.say, options.pause)
        self.functions = functions.Functions(session.client("lambda"), options.name, self.say, INFRA.parent)
        self.ssm, self.dynamodb = session.client("ssm"), session.client("dynamodb")
        self.foundation = f"{options.name}-foundation"
        self.triggers = f"{options.name}-triggers"
        self.alarms = f"{options.name}-watch"
        self.before = self.stacks.parameters(self.foundation)
        self.tags = {"evenkeel:name": options.name}
        options.existing_table = self.table_left()

    def table_left(self):
        """A table of this name that no stack of ours made: an earlier deployment left it, or one that could not be made
        whole, and it is used again."""
        name = self.options.name
        is_there = table.there(self.dynamodb, name)
        if self.before and not is_there:
            raise Trouble(
                f"table {name}: is gone, deleted by hand, and with it what was decided: `infra/destroy --name {name} --keep-table`, "
                "then deploy again, makes a new one"
            )
        if self.before:
            return self.before.get("ExistingTable", "")
        if is_there:
            self.say(f"note: table {name} is there already, and is used")
        return name if is_there else ""

    def refuse_foreign_parameters(self):
        """Two deployments must not write the same fleet file."""
        problems = []
        for one in self.fleets:
            owner = self.owner(parameters.parameter_of(one.name))
            if owner not in (None, self.options.name):
                problems.append(
                    f"{one.path}: name: fleet {one.name} is served by the deployment {owner}: "
                    f"give it another name, or deploy with --name {owner}"
                )
        if problems:
            raise Trouble(*problems)

    def say_what_others_have(self):
        """What fleet files of other deployments in this account and region have in common with these."""
        mine = {parameters.parameter_of(one.name) for one in self.fleets}
        mine |= {parameters.parameter_of(key.removeprefix("fleet#")) for key in self.before.get("LedgerKeys", "").split(",")}
        for path, text in parameters.texts_there(self.ssm, parameters.parameter_of("")).items():
            # Deeper ones are parts of files.
            if path in mine or "/" in path.removeprefix(parameters.parameter_of("")):
                continue
            try:
                data = fleet.whole(path, text, lambda path=path: parameters.texts_there(self.ssm, path))
                shared = fleet.in_common([fleet.Fleet(path, text, data), *self.fleets])
            except (ValueError, KeyError, TypeError, zlib.error) as error:
                self.say(f"note: {path}: was not read, so whether it shares anything with these is not known: {error}")
                continue
            for problem in shared:
                self.say(f"note: {problem.replace('only one fleet may have it', 'two deployments would undo the work of each other')}")

    def owner(self, path):
        """The deployment that wrote a parameter; none if there is none, or if it was interrupted there."""
        try:
            tags = self.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=path)
        except ClientError as error:
            if code_of(error) in ("InvalidResourceId", "ParameterNotFound"):
                return None
            raise
        return next((tag["Value"] for tag in tags["TagList"] if tag["Key"] == "evenkeel:name"), None)

    def say_how_it_fits(self):
        """Makes everything fit before anything is changed, or says why it cannot."""
        parameters.foundation(self.options, self.fleets, self.wanted, self.account)
        self.trigger_parameters(self.wanted)
        stored = {one.name: one.stored() for one in self.fleets}
        for line in parameters.widened(self.fleets, self.account):
            self.say(f"note: {line}")
        in_parts = [f"{name} in {len(parts) - 1} parts" for name, parts in stored.items() if len(parts) > 1]
        self.say("policies, event patterns and parameters: all fit" + (f" ({', '.join(in_parts)})" if in_parts else ""))

    def take_away(self):
        """Takes away functions and fleets that are not wanted any more: the way in first, then the function."""
        had = [name for name in functions.ALL if self.before.get(name.capitalize()) == "yes"]
        gone = [name for name in had if name not in self.wanted]
        if gone:
            self.say(f"not needed any more: {', '.join(gone)}")
            stay = [name for name in had if name in self.wanted]
            if self.stacks.describe(self.triggers):
                self.apply(self.triggers, "triggers.yaml", self.trigger_parameters(stay))
            if self.stacks.describe(self.alarms) and not self.options.dry_run:
                with self.progress.changing(f"{self.alarms}, deleted", f"{self.alarms} deleted"):
                    self.stacks.delete(self.alarms)
            for name in [] if self.options.dry_run else gone:
                full = self.functions.full(name)
                with self.progress.changing(f"{full}, deleted", f"{full} deleted"):
                    self.functions.delete(name)
        fleets = {key.removeprefix("fleet#") for key in self.before.get("LedgerKeys", "").split(",") if key}
        left = sorted(fleets - {one.name for one in self.fleets})
        for name in left:
            path = parameters.parameter_of(name)
            self.say(f"{path}: {'would be ' if self.options.dry_run else ''}deleted: fleet {name} is not served any more")
            if not self.options.dry_run:
                with self.progress.changing(f"{path}, deleted", f"{path} deleted"):
                    parameters.delete(self.ssm, [path, *parameters.parts_there(self.ssm, path)])
        return bool(gone or left)

    def found(self):
        given = parameters.foundation(self.options, self.fleets, self.wanted, self.account)
        changed = self.apply(self.foundation, "foundation.yaml", given)
        name = self.options.existing_table
        if name and not table.forgets(self.dynamodb, name):
            self.say(f"table {name}: {'would be told' if self.options.dry_run else 'told'} to forget items at their time")
            if not self.options.dry_run:
                table.let_forget(self.dynamodb, name)
            return True
        return changed

    def store(self):
        """Writes the fleet files. Parts come first, then what names them, then those of before go."""
        changed = False
        for one in self.fleets:
            path, stored = parameters.parameter_of(one.name), one.stored()
            there = set(parameters.parts_there(self.ssm, path))
            wanted = {f"{path}{rest}" for rest in stored if rest}
            if self.value(path) == stored[""] and there == wanted and self.owner(path) == self.options.name:
                self.say(f"{path}: unchanged")
                continue
            changed = True
            in_parts = f", in {len(wanted)} parts" if wanted else ""
            self.say(f"{path}: {'would be ' if self.options.dry_run else ''}written{in_parts}")
            if self.options.dry_run:
                continue
            with self.progress.changing(path, f"{path} written"):
                for rest, text in stored.items():
                    self.write(f"{path}{rest}", text, one.name)
                parameters.delete(self.ssm, sorted(there - wanted))
        return changed

    def write(self, path, text, name):
        # Systems Manager takes the dearer tier where a text needs it, and does not refuse to where an earlier one did.
        said = f"Even Keel's fleet file of {name}"
        given = {"Name": path, "Value": text, "Type": "String", "Overwrite": True, "Description": said}
        self.ssm.put_parameter(**given, Tier="Intelligent-Tiering")
        tags = [{"Key": "evenkeel:name", "Value": self.options.name}]
        self.ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=path, Tags=tags)

    def value(self, path):
        try:
            return self.ssm.get_parameter(Name=path)["Parameter"]["Value"]
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                return None
            raise

    def deploy(self, codes):
        outputs = self.stacks.outputs(self.foundation)
        arguments = ["--region", self.account.region]
        if self.options.endpoint_url:
            arguments += ["--endpoint-url", self.options.endpoint_url]
        changed = self.disconnect_what_is_gone()
        for name in self.wanted:
            if not outputs.get(f"{name.capitalize()}Role"):  # a dry run before the first deployment
                self.say(f"{self.functions.full(name)}: would be deployed")
                changed = True
                continue
            settings = self.settings(name, outputs)
            differs = self.functions.differs(name, codes[name], settings, self.options.dry_run)
            if not differs:
                continue
            changed = True
            if not self.options.dry_run:
                full = self.functions.full(name)
                with self.progress.changing(full, f"{full} deployed"):
                    self.functions.environment = self.environment()
                    self.functions.apply(name, codes[name], settings, differs, arguments)
        return changed

    def settings(self, name, outputs):
        environment = {
            "EVENKEEL_FLEETS": ",".join(one.name for one in self.fleets),
            "EVENKEEL_TABLE": outputs["Table"],
        }
        queue = outputs.get(f"{name.capitalize()}BeatsUrl")
        if queue:
            environment["EVENKEEL_BEAT_QUEUE"] = queue
        if name != "livefeed":
            environment["EVENKEEL_DEAD_LETTERS"] = outputs["DeadLettersUrl"]
        return {
            "Role": outputs[f"{name.capitalize()}Role"],
            "MemorySize": self.options.memory,
            "Timeout": self.options.timeout,
            "Architecture": self.options.arch,
            "Environment": environment,
        }

    def environment(self):
        """This process's environment, with the credentials that boto3 found: cargo-lambda knows fewer ways to sign in, and
        nobody is asked twice for a code."""
        given = self.session.get_credentials()
        if not given:
            raise Trouble("no credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE")
        keys = given.get_frozen_credentials()
        others = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
        environment = {key: value for key, value in os.environ.items() if key not in others}
        environment |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        return environment | ({"AWS_SESSION_TOKEN": keys.token} if keys.token else {})

    def disconnect_what_is_gone(self):
        """A function that was deleted by hand took its permissions and its queue's mapping with it, and the stack does not
        know: so that is made anew, before the function is."""
        connected = self.stacks.parameters(self.triggers)
        gone = [name for name in self.wanted if connected.get(name.capitalize()) == "yes" and not self.functions.describe(name)]
        for name in gone:
            self.say(f"{self.functions.full(name)}: is gone, deleted by hand; {self.triggers} is made anew with it")
        if gone and not self.options.dry_run:
            with self.progress.changing(f"{self.triggers}, deleted", f"{self.triggers} deleted"):
                self.stacks.delete(self.triggers)
        return bool(gone)

    def connect(self):
        return self.apply(self.triggers, "triggers.yaml", self.trigger_parameters(self.wanted))

    def trigger_parameters(self, wanted):
        dead_letters = self.account.arn("sqs", f"{self.options.name}-dead-letters")
        return parameters.triggers(self.options, self.fleets, wanted, self.account, dead_letters)

    def watch(self):
        if self.options.watch != "none":
            first = not self.stacks.parameters(self.alarms)
            if first and not self.options.dry_run and not self.options.no_ticks:
                firstturns.have(self.session, self.functions, self.wanted, self.fleets, self.say, self.options.pause)
            return self.apply(self.alarms, "watch.yaml", parameters.watch(self.options, self.wanted))
        if not self.stacks.describe(self.alarms):
            return False
        self.say(f"{self.alarms}: {'would be ' if self.options.dry_run else ''}deleted")
        if not self.options.dry_run:
            with self.progress.changing(f"{self.alarms}, deleted", f"{self.alarms} deleted"):
                self.stacks.delete(self.alarms)
        return True

    def say_what_was_changed_by_hand(self):
        """Templates and parameters tell nothing of what somebody else has changed since; the resources do."""
        if self.options.dry_run:
            self.say("note: whether anything was changed by hand was not looked at; without --dry-run it is")
            return False
        stacks = [name for name in (self.foundation, self.triggers, self.alarms) if self.stacks.describe(name)]
        changed, unseen = self.stacks.changed_by_hand(stacks)
        for line in changed:
            self.say(f"note: {line}")
        if unseen:
            self.say(f"note: not looked at, because CloudFormation cannot: {'; '.join(unseen)}")
        return bool(changed)

    def apply(self, stack, template, given):
        if self.options.dry_run:
            return self.stacks.apply(stack, INFRA / template, given, self.tags, dry_run=True)
        with self.progress.trying(stack):
            changed = self.stacks.apply(stack, INFRA / template, given, self.tags, dry_run=False)
        if changed:
            self.progress.done.append(f"{stack} changed")
        return changed
