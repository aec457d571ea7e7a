"""Checks a fleet file against fleet.schema.json where no `evenkeel` is there to check it whole: types, names, bounds.

Of JSON Schema it knows what that file uses, and refuses to guess at anything else.
"""

import json
import re
from pathlib import Path

SCHEMA = Path(__file__).resolve().parent.parent / "fleet.schema.json"
SAYS_NOTHING = {"$schema", "$defs", "title", "description", "format", "default", "examples"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
WORDS = {
    "object": "a table",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


def problems(data):
    """What is wrong, each with its place; empty if nothing is."""
    root = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return list(wrong(data, root, root, ""))


def wrong(value, schema, root, place):
    unknown = set(schema) - SAYS_NOTHING - set(RULES) - {"properties", "additionalProperties", "items"}
    if unknown:
        raise NotImplementedError(f"{SCHEMA.name} says {', '.join(sorted(unknown))}, which is not read here")
    for rule, check in RULES.items():
        if rule in schema:
            found = list(check(value, schema[rule], root, place))
            yield from found
            if found and rule == "type":
                return
    if isinstance(value, dict):
        yield from wrong_members(value, schema, root, place)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from wrong(item, schema["items"], root, f"{place}[{index}]")


def wrong_members(value, schema, root, place):
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, member in value.items():
        at = f"{place}.{key}" if place else key
        if key in known:
            yield from wrong(member, known[key], root, at)
        elif isinstance(others, dict):
            yield from wrong(member, others, root, at)
        elif others is False:
            yield f"{at}: unknown; known here are {', '.join(sorted(known))}"


def of_type(value, wanted, root, place):
    kinds = wanted if isinstance(wanted, list) else [wanted]
    if any(isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds if kind != "null"):
        return
    yield f"{place or 'file'}: expected {' or '.join(WORDS[kind] for kind in kinds if kind != 'null')}"


def referred(value, path, root, place):
    yield from wrong(value, root["$defs"][path.removeprefix("#/$defs/")], root, place)


def one_of(value, choices, root, place):
    """No choice fits: the words of the one that comes nearest, or all values where each is one value."""
    found = [list(wrong(value, choice, root, place)) for choice in choices]
    if any(not one for one in found):
        return
    values = [choice["const"] for choice in choices if "const" in choice]
    if len(values) == len(choices):
        yield f"{place}: expected one of {', '.join(map(str, values))}"
    else:
        yield from min(found, key=len)


def required(value, names, root, place):
    if isinstance(value, dict):
        yield from (f"{place + '.' if place else ''}{name}: is missing" for name in names if name not in value)


def said_if(told, holds):
    """A rule of one comparison."""

    def check(value, wanted, root, place):
        if not holds(value, wanted):
            yield f"{place}: {told.format(wanted)}"

    return check


def number(holds):
    return lambda value, wanted: not isinstance(value, (int, float)) or isinstance(value, bool) or holds(value, wanted)


def sized(kind, holds):
    return lambda value, wanted: not isinstance(value, kind) or holds(len(value), wanted)


RULES = {
    "type": of_type,
    "$ref": referred,
    "const": said_if("expected {}", lambda value, wanted: value == wanted),
    "enum": said_if("expected one of {}", lambda value, wanted: value in wanted),
    "oneOf": one_of,
    "anyOf": one_of,
    "required": required,
    "pattern": said_if("does not match {}", lambda value, wanted: not isinstance(value, str) or re.search(wanted, value)),
    "minimum": said_if("at least {}", number(lambda value, wanted: value >= wanted)),
    "maximum": said_if("at most {}", number(lambda value, wanted: value <= wanted)),
    "exclusiveMinimum": said_if("more than {}", number(lambda value, wanted: value > wanted)),
    "minLength": said_if("at least {} characters", sized(str, lambda size, wanted: size >= wanted)),
    "maxLength": said_if("at most {} characters", sized(str, lambda size, wanted: size <= wanted)),
    "minItems": said_if("at least {} of them", sized(list, lambda size, wanted: size >= wanted)),
    "maxProperties": said_if("at most {} of them", sized(dict, lambda size, wanted: size <= wanted)),
    "maxItems": said_if("at most {} of them", sized(list, lambda size, wanted: size <= wanted)),
}
