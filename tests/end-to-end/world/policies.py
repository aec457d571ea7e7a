"""Whether the statements of a role allow a call: the part of IAM's logic that these roles use, and an error for the rest."""

import re
from functools import cache


def allows(statements, action, resource, context):
    """Some statement has to allow the action on the resource (IAM user guide, "Policy evaluation logic")."""
    return any(covers(one, action, resource, context) for one in statements)


def covers(statement, action, resource, context):
    if statement["Effect"] != "Allow" or "NotAction" in statement or "NotResource" in statement:
        raise NotImplementedError(f"statement {statement.get('Sid')}")
    acts = any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
    # A call that AWS knows no resource for is allowed by "*" only.
    there = any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
    return acts and there and fulfilled(statement.get("Condition", {}), context)


def fulfilled(conditions, context):
    for operator, keys in conditions.items():
        for key, expected in keys.items():
            has = context.get(key)
            if operator.startswith("ForAllValues:"):
                if has is not None and has not in listed(expected):
                    return False
            elif operator in ("ArnEquals", "ArnLike", "StringLike"):
                if has is None or not any(matches(pattern, has) for pattern in listed(expected)):
                    return False
            elif operator == "StringEquals":
                if has is None or has not in listed(expected):
                    return False
            else:
                raise NotImplementedError(f"condition {operator}")
    return True


def matches(pattern, text):
    return expression(pattern).fullmatch(text) is not None


@cache
def expression(pattern):
    parts = [".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern)]
    return re.compile("".join(parts))


def listed(value):
    return value if isinstance(value, list) else [value]
