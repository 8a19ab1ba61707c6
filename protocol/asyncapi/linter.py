"""What is wrong with an AsyncAPI document, beyond what AsyncAPI's own parser sees.

A document can be valid and still of no use: an example that its own payload refuses, two messages that nobody can
tell apart.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any, Final

from protocol.asyncapi.draft07 import JsonSchema
from protocol.asyncapi.reading import Payload, Reader, escaped
from protocol.exceptions import ConfigurationError

CODES: Final = {
    "broken_reference": "A reference leads nowhere, in a circle, or out of the document.",
    "missing_address": "A channel has no address, so nobody can connect.",
    "missing_parameter": "A parameter of an address is not declared.",
    "unused_parameter": "A declared parameter is not in the address.",
    "parameter_without_default": "A parameter has no default, so the address cannot be filled in.",
    "scheme_in_host": "A server's host has a scheme or a path: `host` is host and port only.",
    "missing_channel": "An operation does not refer to a channel.",
    "message_elsewhere": "An operation's message is not one of its channel's.",
    "reply_elsewhere": "A reply's message is not one of the channel's that it comes on.",
    "broken_correlation": "A correlationId is at a place that the payload does not declare.",
    "invalid_schema": "A payload is no valid JSON Schema of Draft 07.",
    "invalid_example": "An example is not valid against its payload.",
    "ambiguous_messages": "Two messages of one direction cannot be told apart: no required property separates them.",
}
"""Every code of a finding, and what it means."""

_PARAMETER: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``pointer`` is where, a JSON pointer in a fragment."""

    code: str
    pointer: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code} at {self.pointer}: {self.detail}"


def lint(document: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with ``document`` (AsyncAPI 3); empty where nothing is. Needs the extra ``fuzz``."""
    reader = Reader(document)
    broken = list(_references(reader))
    if broken:
        # The other checks follow references.
        return broken
    return [
        *_servers(reader),
        *_channels(reader),
        *_operations(reader),
        *_messages(reader),
    ]


def _references(reader: Reader) -> Iterator[Finding]:
    for pointer, node in _walk(reader.document, "#"):
        try:
            reader.resolve(node)
        except ConfigurationError as error:
            yield Finding("broken_reference", pointer, str(error))


def _servers(reader: Reader) -> Iterator[Finding]:
    for name, server in reader.document.get("servers", {}).items():
        host = reader.resolve(server).get("host", "")
        if "://" in host or "/" in host:
            yield Finding("scheme_in_host", f"#/servers/{name}", f"The host is {host!r}.")


def _channels(reader: Reader) -> Iterator[Finding]:
    for name, channel in reader.channels().items():
        pointer, address = f"#/channels/{escaped(name)}", channel.get("address")
        if address is None:
            yield Finding("missing_address", pointer, "The address is null or absent.")
        used = _PARAMETER.findall(address or "")
        declared = channel.get("parameters", {})
        for missing in [one for one in used if one not in declared]:
            yield Finding("missing_parameter", pointer, f"{missing!r} in {address!r} is not declared.")
        for parameter, node in declared.items():
            if parameter not in used:
                yield Finding(
                    "unused_parameter", f"{pointer}/parameters/{parameter}", f"It is not in {address!r}."
                )
            if "default" not in reader.resolve(node):
                yield Finding(
                    "parameter_without_default", f"{pointer}/parameters/{parameter}", "It has no default."
                )
        for action in ("receive", "send"):
            for one, other in combinations(reader.messages(name, action), 2):
                if not _apart(reader, one.schema, other.schema):
                    yield Finding(
                        "ambiguous_messages",
                        one.pointer,
                        f"It may be taken for {other.pointer} on {pointer}.",
                    )


def _operations(reader: Reader) -> Iterator[Finding]:
    for name, operation in reader.operations().items():
        pointer, channel = f"#/operations/{name}", operation.get("channel", {})
        if "$ref" not in channel:
            yield Finding("missing_channel", pointer, "It has no reference to a channel.")
            continue
        for message in _strangers(reader, channel, reader.pointers(operation)):
            yield Finding("message_elsewhere", pointer, f"{message} is not of {channel['$ref']}.")
        if "reply" not in operation:
            continue
        reply = reader.resolve(operation["reply"])
        answered = reply.get("channel", channel)
        for message in _strangers(reader, answered, reader.pointers({"channel": channel, **reply})):
            yield Finding("reply_elsewhere", pointer, f"{message} is not of {answered['$ref']}.")


def _messages(reader: Reader) -> Iterator[Finding]:
    seen: set[int] = set()
    for name, channel in reader.channels().items():
        for key in channel.get("messages", {}):
            pointer = f"#/channels/{escaped(name)}/messages/{escaped(key)}"
            message = reader.resolve({"$ref": pointer})
            if id(message) not in seen:
                seen.add(id(message))
                yield from _payload(reader.payload(pointer), reader.message(pointer))
                if problem := _correlation(reader, reader.message(pointer)):
                    yield Finding("broken_correlation", pointer, problem)


def _payload(payload: Payload, message: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        validator = payload.validator()
    except ValueError as error:
        yield Finding("invalid_schema", payload.pointer, str(error).splitlines()[0])
        return
    for index, example in enumerate(message.get("examples", ())):
        for problem in validator.iter_errors(example["payload"]) if "payload" in example else ():
            yield Finding("invalid_example", f"{payload.pointer}/examples/{index}", problem.message)


def _strangers(reader: Reader, channel: Mapping[str, str], messages: Sequence[str]) -> list[str]:
    """Those of ``messages`` that are not in ``channel``, neither by reference nor by what they resolve to."""
    own = reader.resolve(channel).get("messages", {}).values()
    known = [id(reader.resolve(one)) for one in own]
    return [one for one in messages if id(reader.resolve({"$ref": one})) not in known]


def _correlation(reader: Reader, message: Mapping[str, Any]) -> str | None:
    """What is wrong with the correlation id of a message."""
    location: str = reader.resolve(message.get("correlationId", {})).get("location", "")
    source, _, path = location.partition("#/")
    name = path.split("/")[0]
    branches = _alternatives(reader, message.get("payload", {}))
    if source == "$message.payload" and not any(name in _properties(reader, parts) for parts in branches):
        return f"Its correlationId is at {location}, and the payload declares no {name!r}."
    return None


def _apart(reader: Reader, one: JsonSchema, other: JsonSchema) -> bool:
    """Whether all alternatives of one have a property that both require, and no value of it in common."""
    return all(
        any(not set(first[name]) & set(second[name]) for name in first.keys() & second.keys())
        for first in _constants(reader, one)
        for second in _constants(reader, other)
    )


def _constants(reader: Reader, schema: JsonSchema) -> Iterator[dict[str, list[str | int]]]:
    """For each alternative the required properties that have only certain texts or integers for values."""
    for parts in _alternatives(reader, schema):
        required = {name for part in parts for name in part.get("required", ())}
        found: dict[str, list[str | int]] = {}
        for name, node in _properties(reader, parts).items():
            values = [node["const"]] if "const" in node else node.get("enum", [])
            if name in required and values and all(isinstance(value, str | int) for value in values):
                found[name] = values
        yield found


def _properties(reader: Reader, parts: Sequence[JsonSchema]) -> dict[str, JsonSchema]:
    """The properties of a conjunction, each with all that its parts say of it."""
    found: dict[str, JsonSchema] = {}
    for part in parts:
        for name, node in part.get("properties", {}).items():
            if isinstance(sub := reader.resolve(node), dict):
                found[name] = {**found.get(name, {}), **sub}
    return found


def _alternatives(reader: Reader, schema: Any) -> list[list[JsonSchema]]:
    """The conjunctions, one of which binds every valid value: a schema, with all of its ``allOf`` and one each else."""
    found = reader.resolve(schema)
    if not isinstance(found, dict):
        return [[]]
    chosen = [
        *([inner] for inner in found.get("allOf", ())),
        *(found[keyword] for keyword in ("anyOf", "oneOf") if keyword in found),
    ]
    choices = [[parts for inner in one for parts in _alternatives(reader, inner)] for one in chosen]
    return [[found, *chain.from_iterable(parts)] for parts in product(*choices)]


def _walk(node: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Every object of the document, but those of examples, which are data."""
    if isinstance(node, Mapping):
        yield pointer, node
        for name, inner in node.items():
            if name not in {"const", "default", "enum", "examples"}:
                yield from _walk(inner, f"{pointer}/{escaped(name)}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _walk(inner, f"{pointer}/{index}")
