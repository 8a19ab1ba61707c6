"""How the messages of one direction are told apart: by the member that has a constant of its own in each.

A document may say so in many ways; what comes out has one. Each schema is flat, and there is one for each constant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from protocol.asyncapi import Payload
from protocol.exceptions import ConfigurationError
from protocol.fuzzing.jsonschema import (
    JsonSchema,
    Subschema,
    alternatives,
    complete,
    discriminator,
    types,
)

_USUAL: Final = "type"
"""The member that is looked at first."""

_WORST: Final = (inf, inf)

_Constant = str | int


class Tags:
    """Reads the tags of messages whose ``schemas`` are known by tag."""

    def __init__(self, schemas: Mapping[str, JsonSchema]) -> None:
        found = {tag: discriminator(schema, tag) for tag, schema in schemas.items()}
        unmarked = [tag for tag, member in found.items() if member is None]
        self.members: Final = tuple(dict.fromkeys(member for member in found.values() if member is not None))
        self._known = schemas.keys()
        self._unmarked = unmarked[0] if len(unmarked) == 1 else None

    def of(self, body: Mapping[str, Any] | None) -> str | None:
        """The tag of a message; that of the only one without a constant for what has no known one."""
        if body is None:
            return None
        for member in self.members:
            value = body.get(member)
            if _is_constant(value) and str(value) in self._known:
                return str(value)
        return self._unmarked


@dataclass(frozen=True, slots=True)
class Messages:
    """What one direction has: schemas by tag, and the tags by where a message stands in the document."""

    schemas: dict[str, JsonSchema]
    tags: dict[str, list[str]]


def told_apart(*directions: Iterable[Payload]) -> list[Messages]:
    """The messages of each direction; those of several go by the same member if they can.

    Raises ``ConfigurationError`` for messages that cannot be told apart, and for one that is no JSON object.
    """
    found = [_parts(payloads) for payloads in directions]
    return [
        _messages(parts, _member(parts, [other for other in found if other is not parts])) for parts in found
    ]


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the alternatives of a message."""

    name: str
    pointers: list[str]
    schema: JsonSchema
    constants: Mapping[str, Sequence[_Constant]]


def _parts(payloads: Iterable[Payload]) -> list[_Part]:
    found: list[_Part] = []
    for payload in payloads:
        for schema in _flattened(payload):
            same = next((part for part in found if part.schema == schema), None)
            if same is None:
                found.append(_Part(payload.name, [payload.pointer], schema, dict(_constants(schema))))
            else:
                same.pointers.append(payload.pointer)
    return found


def _flattened(payload: Payload) -> Iterator[JsonSchema]:
    for branch in alternatives(payload.schema, payload.schema):
        if branch.get("enum") == []:
            continue
        if "object" not in (types(branch) or ("object",)):
            raise ConfigurationError(
                f"The message {payload.name!r} is no JSON object: only such messages can be fuzzed."
            )
        yield complete(payload.schema, branch)


def _constants(schema: JsonSchema) -> Iterator[tuple[str, Sequence[_Constant]]]:
    for name, sub in schema.get("properties", {}).items():
        if values := _values(schema, sub):
            yield name, values


def _values(root: JsonSchema, schema: Subschema) -> Sequence[_Constant]:
    """All that a schema admits, if that are certain texts or integers."""
    found = [one.get("enum", [None]) for one in alternatives(root, schema)]
    values = [value for enum in found for value in enum]
    return list(dict.fromkeys(values)) if all(map(_is_constant, values)) else ()


def _is_constant(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _member(parts: Sequence[_Part], others: Sequence[Sequence[_Part]]) -> str:
    members = dict.fromkeys([_USUAL, *(name for part in parts for name in part.constants)])
    costs = {member: cost for member in members if (cost := _cost(parts, member)) is not None}
    if not costs:
        names = ", ".join(dict.fromkeys(part.name for part in parts))
        raise ConfigurationError(
            f"Messages of one direction cannot be told apart: no member has a constant of its own in each of {names}."
        )
    return min(costs, key=lambda member: (costs[member], [_cost(o, member) or _WORST for o in others]))


def _cost(parts: Sequence[_Part], member: str) -> tuple[int, int] | None:
    """How many messages ``member`` leaves without a constant, and how many it makes; ``None`` if it tells not all."""
    values = [part.constants.get(member, ()) for part in parts]
    tags = [str(value) for one in values for value in one]
    unmarked = sum(not one for one in values)
    return None if unmarked > 1 or len(set(tags)) < len(tags) else (unmarked, len(tags))


def _messages(parts: Iterable[_Part], member: str) -> Messages:
    found = Messages({}, {})
    for part in parts:
        made = {str(value): _marked(part.schema, member, value) for value in part.constants.get(member, ())}
        made = made or {part.name: part.schema}
        found.schemas.update(made)
        for pointer in part.pointers:
            found.tags.setdefault(pointer, []).extend(made)
    return found


def _marked(schema: JsonSchema, member: str, value: _Constant) -> JsonSchema:
    """``schema`` in which ``member`` is the first that has its one value as a constant."""
    if discriminator(schema, str(value)) == member:
        return schema
    own = schema["properties"]
    return {
        **schema,
        "properties": {member: {"const": value}, **{k: v for k, v in own.items() if k != member}},
    }
