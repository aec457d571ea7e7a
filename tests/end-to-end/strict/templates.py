"""Templates: what CloudFormation makes of them with given parameters, and what cfn-lint says of them in every region."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from world.where import ACCOUNT, REGION

from .findings import Finding

PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "keel-stack",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/keel-stack/0",
}
NOTHING = object()
LISTS = ("CommaDelimitedList", "List<", "AWS::SSM::Parameter::Value<List")


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which become the long ones."""


def short_form(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    construct = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return {name: construct(node, deep=True)}


Loader.add_multi_constructor("!", short_form)


def load(path):
    return yaml.load(path.read_text(), Loader)  # noqa: S506 (a safe loader with a few forms more)


class Rendered:
    """A template as CloudFormation reads it with some parameters."""

    def __init__(self, template, given):
        self.template = template
        self.parameters = {}
        for name, parameter in template.get("Parameters", {}).items():
            value = str(given.get(name, parameter.get("Default", "")))
            self.parameters[name] = value.split(",") if parameter["Type"].startswith(LISTS) else value
        self.resources = {
            name: self.of({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in template["Resources"].items()
            if self.holds(resource.get("Condition"))
        }
        self.outputs = {
            name: output for name, output in template.get("Outputs", {}).items() if self.holds(output.get("Condition"))
        }

    def holds(self, condition):
        return condition is None or self.judged(self.template["Conditions"][condition])

    def judged(self, condition):
        (name, given), = condition.items()
        match name:
            case "Condition":
                return self.holds(given)
            case "Fn::Equals":
                return self.of(given[0]) == self.of(given[1])
            case "Fn::Not":
                return not self.judged(given[0])
            case "Fn::And":
                return all(self.judged(one) for one in given)
            case "Fn::Or":
                return any(self.judged(one) for one in given)
        raise NotImplementedError(name)

    def of(self, value):
        """A value with all functions done; what is no value is left out."""
        if isinstance(value, list):
            return [one for one in map(self.of, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, given), = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self.done(name, given)
        return {key: one for key, one in ((key, self.of(one)) for key, one in value.items()) if one is not NOTHING}

    def done(self, name, given):
        match name:
            case "Ref":
                return self.named(given)
            case "Fn::If":
                return self.of(given[1] if self.holds(given[0]) else given[2])
            case "Fn::Sub":
                text, more = given if isinstance(given, list) else (given, {})
                more = {key: self.of(one) for key, one in more.items()}
                return re.sub(r"\$\{([^!}]+)\}", lambda part: str(more.get(part[1]) or self.named(part[1])), text)
            case "Fn::GetAtt":
                return self.attribute(*given)
            case "Fn::Join":
                return given[0].join(map(str, self.of(given[1])))
            case "Fn::Split":
                return self.of(given[1]).split(given[0])
            case "Fn::Select":
                return self.of(given[1])[int(self.of(given[0]))]
            case "Fn::FindInMap":
                top, second = self.of(given[1]), self.of(given[2])
                found = self.template["Mappings"][given[0]].get(top, {})
                return found[second] if second in found else self.of(given[3]["DefaultValue"])
            case "Fn::GetAZs":
                return [f"{self.of(given) or REGION}{letter}" for letter in "abc"]
            case "Fn::Base64":
                return base64.b64encode(self.of(given).encode()).decode()
            case "Fn::Length":
                return len(self.of(given))
            case "Fn::ToJsonString":
                return json.dumps(self.of(given))
        raise NotImplementedError(name)

    def named(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.attribute(*name.split(".", 1)) if "." in name else self.attribute(name, "Ref")

    def attribute(self, resource, attribute):
        """An attribute of a resource that is not made yet: an ARN of its kind, as long as a true one is."""
        kind = self.template["Resources"][resource]["Type"].split("::")
        properties = self.template["Resources"][resource].get("Properties", {})
        names = ("QueueName", "TableName", "LogGroupName", "FunctionName", "Name")
        name = next((self.of(properties[key]) for key in names if key in properties), f"keel-stack-{resource}-0123456789AB")
        if attribute.endswith("Name"):
            return name
        if kind[1] == "Logs":
            return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"
        before = {"DynamoDB": "table/", "IAM": f"{kind[2].lower()}/", "Events": "rule/", "Lambda": "function:"}
        between = before.get(kind[1], "")
        where = "" if kind[1] == "IAM" else REGION
        return f"arn:aws:{kind[1].lower()}:{where}:{ACCOUNT}:{between}{name}"


# Rules that ask for words for readers, which CloudFormation does not read.
FOR_READERS = ("I4010", "I4011")


def lint(paths):
    """What cfn-lint says of templates in all regions that it knows, with all its rules."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--include-experimental"]
    command += ["--ignore-checks", *FOR_READERS, "--regions", "ALL_REGIONS"]
    done = subprocess.run([*command, "--format", "json", "--", *map(str, paths)], capture_output=True, text=True)
    if not done.stdout.strip():
        raise RuntimeError(done.stderr)
    for problem in json.loads(done.stdout):
        place = "/".join(map(str, problem["Location"]["Path"] or [problem["Location"]["Start"]["LineNumber"]]))
        name = problem["Filename"].rsplit("/", 1)[-1]
        yield Finding("template", name, place, problem["Message"], f"cfn-lint {problem['Rule']['Id']}")


def statements_of(rendered, role):
    """All statements of a role's own policies and of the managed ones in the same template."""
    properties = rendered.resources[role]["Properties"]
    found = [one for policy in properties.get("Policies", []) for one in policy["PolicyDocument"]["Statement"]]
    for resource, raw in rendered.template["Resources"].items():
        managed = raw["Type"] == "AWS::IAM::ManagedPolicy" and resource in rendered.resources
        if managed and rendered.named(resource) in properties.get("ManagedPolicyArns", []):
            found += rendered.resources[resource]["Properties"]["PolicyDocument"]["Statement"]
    return found
