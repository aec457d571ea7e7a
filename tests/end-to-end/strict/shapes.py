"""Whether a value is what a shape of AWS's says: members, types, lengths, patterns, ranges, values.

botocore itself checks types, required members and a few lengths of what is sent, and nothing of what comes back.
"""

from functools import cache

import regex

# Whoever has more to say about one shape than this is not read anyway.
MOST = 20
MODEL = "botocore's model of the service"


def check(shape, value, place=""):
    """What is wrong with a value, as pairs of place and words."""
    found = []
    _check(shape, value, place, found)
    return found[:MOST]


def _check(shape, value, place, found):
    checker = CHECKERS.get(shape.type_name)
    if value is None:
        found.append((place, "null, which AWS never sends"))
    elif checker is None:
        raise NotImplementedError(shape.type_name)
    else:
        checker(shape, value, place, found)


@cache
def members_of(shape):
    """Members by their names on the wire, and the names of those that have to be there."""
    names = {name: member.serialization.get("name", name) for name, member in shape.members.items()}
    by_wire = {names[name]: member for name, member in shape.members.items()}
    return by_wire, [names[name] for name in shape.required_members]


def structure(shape, value, place, found):
    if not isinstance(value, dict):
        found.append((place, f"{said(value)}, expected a structure"))
        return
    members, required = members_of(shape)
    for name in required:
        if name not in value:
            found.append((f"{place}.{name}".strip("."), "missing, and required"))
    if shape.is_tagged_union and len(value) != 1:
        found.append((place, f"{len(value)} members of a union, expected one"))
    for name, part in value.items():
        inside = f"{place}.{name}".strip(".")
        if name not in members:
            found.append((inside, "AWS knows no such member"))
        else:
            _check(members[name], part, inside, found)


def listed(shape, value, place, found):
    if not isinstance(value, (list, tuple)):
        found.append((place, f"{said(value)}, expected a list"))
        return
    sized(shape, len(value), place, "members", found)
    for part in value:
        # One place for all members: what is wrong with one of them is wrong with its kind.
        _check(shape.member, part, f"{place}[]", found)


def mapped(shape, value, place, found):
    if not isinstance(value, dict):
        found.append((place, f"{said(value)}, expected a map"))
        return
    sized(shape, len(value), place, "entries", found)
    for key, part in value.items():
        _check(shape.key, key, f"{place} (key)", found)
        _check(shape.value, part, f"{place}[{key}]", found)


def string(shape, value, place, found):
    if not isinstance(value, str):
        found.append((place, f"{said(value)}, expected text"))
        return
    sized(shape, len(value), place, "characters", found)
    allowed = values_of(shape)
    if allowed and value not in allowed:
        found.append((place, f"{value!r} is none of {', '.join(sorted(allowed))[:200]}"))
    pattern = shape.metadata.get("pattern")
    if pattern and not matches(pattern, value):
        found.append((place, f"{value[:80]!r} does not match {pattern}"))


def number(*kinds):
    def checked(shape, value, place, found):
        if isinstance(value, bool) or not isinstance(value, kinds):
            found.append((place, f"{said(value)}, expected a number ({shape.type_name})"))
            return
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            found.append((place, f"{value} is below {low}"))
        if high is not None and value > high:
            found.append((place, f"{value} is above {high}"))

    return checked


def boolean(shape, value, place, found):
    if not isinstance(value, bool):
        found.append((place, f"{said(value)}, expected true or false"))


def timestamp(shape, value, place, found):
    """Seconds as a number in JSON and CBOR; text as RFC 3339 has it in XML."""
    fine = TIME.fullmatch(value) if isinstance(value, str) else not isinstance(value, (bool, dict, list))
    if not fine:
        found.append((place, f"{said(value)}, expected a time"))


def blob(shape, value, place, found):
    if not isinstance(value, (str, bytes)):
        found.append((place, f"{said(value)}, expected bytes"))


def anything(shape, value, place, found):
    pass


CHECKERS = {
    "structure": structure,
    "list": listed,
    "map": mapped,
    "string": string,
    "character": string,
    "integer": number(int),
    "long": number(int),
    "float": number(int, float),
    "double": number(int, float),
    "boolean": boolean,
    "timestamp": timestamp,
    "blob": blob,
    "document": anything,
}
TIME = regex.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")


def sized(shape, size, place, what, found):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        found.append((place, f"{size} {what}, and at least {low} are needed"))
    if high is not None and size > high:
        found.append((place, f"{size} {what}, and at most {high} are allowed"))


@cache
def values_of(shape):
    return frozenset(getattr(shape, "enum", ()))


@cache
def compiled(pattern):
    # Java writes what lies beyond the basic plane as pairs of surrogates.
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff"), regex.DOTALL)


@cache
def matches(pattern, value):
    """Whether the whole text matches, which is how the services judge it."""
    return compiled(pattern).fullmatch(value) is not None


def said(value):
    words = repr(value)
    return words if len(words) < 60 else f"{words[:60]}…"
