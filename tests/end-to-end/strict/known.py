"""Findings that are known. Each is here until it does not occur any more: then the stories fail until its line is gone."""

import re
from dataclasses import dataclass

# Where a finding is looked for: in the account of a story, of which only all stories together see everything; or in templates.
STORIES, TEMPLATES = "stories", "templates"


@dataclass(frozen=True)
class Known:
    """What is known, as an expression over a finding's words, whose it is, and why it stays for now."""

    where: str
    words: str
    whose: str
    why: str


KNOWN = (
    Known(
        STORIES,
        r"answer: .*dynamodb:BatchGetItem: UnprocessedKeys: 0 entries",
        "AWS",
        "the model asks for an entry, and AWS answers with an empty map when all was read (DynamoDB API reference)",
    ),
    Known(
        STORIES,
        r"event: aws\.ec2: EC2 Spot Instance Interruption Warning: .*('instance-id' is a required|\[\] has nothing like)",
        "the story about dead letters",
        "puts a malformed event on purpose",
    ),
    Known(
        STORIES,
        r"answer: .*ec2:DescribeInstanceTypes: .*supportedFeatures\[\]: 'metal-compatibility' is none of",
        "AWS",
        "moto's instance types were read off AWS, which says more of them than the model knows; no function reads it",
    ),
    Known(
        TEMPLATES,
        r"template: triggers\.yaml: .*'AWS::Lambda::Url' does not exist in '",
        "cfn-lint",
        "infra/deploy leaves the page out there (FunctionUrls), and a linter knows no parameter's value by region; a story "
        "holds the regions that deploy knows against cfn-lint's own data",
    ),
)


def known(finding):
    """The line that knows a finding, or none."""
    return next((one for one in KNOWN if re.match(one.words, str(finding))), None)


def split(findings):
    """What nobody knows of yet, and the lines that know the others."""
    fresh = [finding for finding in findings if known(finding) is None]
    return fresh, {one.words for one in map(known, findings) if one}


def gone(where, seen):
    """The lines of one place that know nothing any more."""
    return [one for one in KNOWN if one.where == where and one.words not in seen]
