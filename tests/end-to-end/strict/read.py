"""Requests and answers in AWS's protocols, read as the values that they carry: members by the names that they have on the wire.

Scalars of the form and XML protocols are text there, and become what their shape says; text that is none stays text, and is
found as such.
"""

import json
import re
from base64 import b64decode
from urllib.parse import parse_qs, parse_qsl, unquote
from xml.etree import ElementTree

import cbor2

from . import models

BOOLEANS = {"true": True, "false": False}


def protocol_of(line):
    if "cbor" in line["kind"]:
        return "cbor"
    protocol = models.service(line["service"]).metadata["protocol"]
    # A service of the newer protocol is called by older clients in an older one.
    return ("json" if line["target"] else "query") if "cbor" in protocol else protocol


def cbor(body):
    return cbor2.loads(body)


def raw(body):
    return b64decode(body["base64"]) if isinstance(body, dict) else body.encode()


def request(line, operation):
    """What a request gives, by the names of its members on the wire."""
    match protocol_of(line):
        case "json":
            return json.loads(raw(line["body"]) or b"{}")
        case "cbor":
            return cbor2.loads(raw(line["body"])) if line["body"] else {}
        case "query" | "ec2" as protocol:
            form = dict(parse_qsl(raw(line["body"]).decode(), keep_blank_values=True))
            form.pop("Action"), form.pop("Version")
            return structure_of(operation.input_shape, nested(form), protocol == "ec2") if operation.input_shape else {}
        case "rest-json":
            return rest(line, operation)
    raise NotImplementedError(protocol_of(line))


def rest(line, operation):
    """Labels, the query and the body."""
    shape, found = operation.input_shape, {}
    labels = models.routed(line["service"], line["method"], line["path"])[1]
    query = parse_qs(line["query"], keep_blank_values=True)
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        wire, where = member.serialization.get("name", name), member.serialization.get("location")
        if where == "uri" and wire in labels:
            found[wire] = scalar(member, unquote(labels[wire]))
        elif where == "querystring" and wire in query:
            found[wire] = query[wire] if member.type_name == "list" else scalar(member, query[wire][0])
    if payload:
        return found | ({payload: raw(line["body"])} if line["body"] else {})
    return found | (json.loads(raw(line["body"])) if line["body"] else {})


def answer(line, operation):
    """What an answer gives. What is no error is read; none where the operation gives nothing, or bytes."""
    shape = operation.output_shape
    if shape is None or shape.serialization.get("payload"):
        return None
    match protocol_of(line):
        case "json" | "rest-json":
            return json.loads(raw(line["answer"]) or b"{}")
        case "cbor":
            return cbor2.loads(raw(line["answer"])) if line["answer"] else {}
        case "query":
            top = ElementTree.fromstring(line["answer"])
            return element_of(shape, child(top, shape.serialization.get("resultWrapper")))
        case "ec2":
            found = element_of(shape, ElementTree.fromstring(line["answer"]))
            found.pop("requestId", None)
            return found
    raise NotImplementedError(protocol_of(line))


# --- forms ---


def nested(form):
    """`A.member.1.B=x` as nested dictionaries."""
    tree = {}
    for name, value in form.items():
        here = tree
        *above, last = name.split(".")
        for part in above:
            here = here.setdefault(part, {})
        here[last] = value
    return tree


def form_name(name, member, ec2):
    """What a member is called in a form (botocore.serialize)."""
    serialized = member.serialization
    if ec2:
        given = serialized.get("queryName")
        named = serialized.get("name", name)
        return given or named[0].upper() + named[1:]
    if member.type_name == "list" and serialized.get("flattened"):
        return member.member.serialization.get("name") or serialized.get("name", name)
    return serialized.get("name", name)


def structure_of(shape, tree, ec2):
    """By the members' own names, as forms call members otherwise than answers."""
    names = {form_name(name, member, ec2): (name, member) for name, member in shape.members.items()}
    found = {}
    for wire, value in tree.items():
        if wire not in names:
            found[wire] = value
            continue
        name, member = names[wire]
        found[member.serialization.get("name", name)] = form_value(member, value, ec2)
    return found


def form_value(shape, value, ec2):
    match shape.type_name:
        case "structure":
            return structure_of(shape, value, ec2) if isinstance(value, dict) else value
        case "list":
            if value == "":
                return []
            if not ec2 and not shape.serialization.get("flattened") and isinstance(value, dict):
                value = value.get(shape.member.serialization.get("name", "member"), value)
            if not isinstance(value, dict) or not all(key.isdigit() for key in value):
                return value
            return [form_value(shape.member, value[key], ec2) for key in sorted(value, key=int)]
        case "map":
            entries = value.get("entry", {}) if isinstance(value, dict) else {}
            return {one["key"]: form_value(shape.value, one["value"], ec2) for one in entries.values()}
    return scalar(shape, value)


def scalar(shape, value):
    if not isinstance(value, str):
        return value
    match shape.type_name:
        case "integer" | "long" if re.fullmatch(r"-?\d+", value):
            return int(value)
        case "float" | "double" if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", value):
            return float(value)
        case "boolean":
            return BOOLEANS.get(value, value)
    return value


# --- XML ---


def local(element):
    return element.tag.rsplit("}", 1)[-1]


def child(element, name):
    """The element inside that has a name; an empty one where there is none."""
    if name is None:
        return element
    found = [one for one in element if local(one) == name]
    return found[0] if found else ElementTree.Element(name)


def element_of(shape, element):
    """What an element says, by the names that its parts have on the wire."""
    match shape.type_name:
        case "structure":
            return parts_of(shape, element)
        case "list":
            name = shape.member.serialization.get("name", "member")
            return [element_of(shape.member, one) if local(one) in (name, "member", "item") else one for one in element]
        case "map":
            key, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
            return {child(one, key).text: element_of(shape.value, child(one, value)) for one in element}
    return scalar(shape, element.text or "")


def parts_of(shape, element):
    members = {answer_name(name, member): member for name, member in shape.members.items()}
    found = {}
    for part in element:
        name = local(part)
        member = members.get(name)
        if member is None:
            found[name] = part.text or ""
        elif member.type_name == "list" and member.serialization.get("flattened"):
            found.setdefault(wire_name(shape, name), []).append(element_of(member.member, part))
        else:
            found[name] = element_of(member, part)
    return found


def answer_name(name, member):
    if member.type_name == "list" and member.serialization.get("flattened"):
        return member.member.serialization.get("name") or member.serialization.get("name", name)
    return member.serialization.get("name", name)


def wire_name(shape, name):
    """The name under which a flattened list is checked."""
    for key, member in shape.members.items():
        if answer_name(key, member) == name:
            return member.serialization.get("name", key)
    return name
