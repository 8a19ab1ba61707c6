"""How the messages of a server speak of rooms, and where it is reached: as far as its document says, or its words do."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocol.fuzzing.jsonschema import JsonSchema, alternatives
from protocol.rooms import PARAMETER

JOINING: Final = frozenset({"join", "enter", "subscribe", "sub"})
LEAVING: Final = frozenset({"leave", "exit", "part", "unsubscribe", "unsub"})
ROOM_MEMBERS: Final = ("room", "channel", "topic")

_PARAMETER: Final = re.compile(r"\{([^}]*)\}")
_BETWEEN_WORDS: Final = re.compile(r"[-_./:\s]|(?<=[a-z])(?=[A-Z])")
_VALUES: Final = ("1", "a", "B_-2")
"""Values of parameters, of the name of a room or of a path: the first is one for every type."""


@dataclass(frozen=True, slots=True)
class RoomRules:
    """How messages speak of rooms.

    Attributes:
        member: the member of a message that names a room, and the parameter of a path that does.
        joins: the tags of messages that let one in.
        leaves: the tags of those that let one out.
        patterns: those of the declared rooms, where the schema of the member says less.
        public: the tags of messages about a room that are for whoever is not in it, too, as an invitation.
    """

    member: str
    joins: frozenset[str] = frozenset()
    leaves: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    public: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """Some names that declared rooms have."""
        return tuple(_PARAMETER.sub(value, pattern) for value in _VALUES for pattern in self.patterns)

    def fresh(self, room: str, suffix: str) -> str:
        """The name of another such room: a declared one differs by what its last parameter ends with, if at all."""
        for pattern in self.patterns:
            match = re.compile(
                f"({PARAMETER})".join(map(re.escape, _PARAMETER.split(pattern)[::2]))
            ).fullmatch
            if (found := match(room)) is not None:
                end = found.end(found.lastindex or 0)
                named = room[:end] + suffix + room[end:]
                return named if found.lastindex is not None and match(named) else room
        return room + suffix


@dataclass(frozen=True, slots=True)
class Address:
    """A path; names in braces stand for ``parameters``, of each of which some values are known, the usual one first."""

    template: str
    parameters: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, channel: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]) -> "Address":
        """That of a channel of an AsyncAPI document."""
        template = str(channel["address"])
        return cls(
            template,
            tuple((name, _values(parameters.get(name, {}))) for name in _PARAMETER.findall(template)),
        )

    def path(self, values: Mapping[str, str] | None = None) -> str:
        """The path with ``values``, and with the usual ones of the other parameters."""
        given = {**{name: known[0] for name, known in self.parameters}, **(values or {})}
        return _PARAMETER.sub(lambda found: given[found[1]], self.template)

    def values(self, path: str) -> dict[str, str] | None:
        """The values that a path has; ``None`` for the path of something else."""
        parts = _PARAMETER.split(self.template)
        fixed, names = map(re.escape, parts[::2]), parts[1::2]
        found = re.fullmatch("([^/]+)".join(fixed), path.partition("?")[0])
        return None if found is None else dict(zip(names, found.groups(), strict=True))


def _values(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    if parameter.get("enum"):
        return tuple(map(str, parameter["enum"]))
    usual = [parameter["default"]] if "default" in parameter else []
    return tuple(dict.fromkeys(map(str, (*usual, *parameter.get("examples", ()), *_VALUES))))


def recognised(
    schemas: Mapping[str, JsonSchema], addresses: Iterable[Address], patterns: tuple[str, ...]
) -> RoomRules | None:
    """The rules that can be told from the words of a document: the tags, the members, the parameters of its paths.

    Where rooms are declared (``patterns``), the only text of a message that joins is the name of one.
    """
    parameters = {name for address in addresses for name, _ in address.parameters}
    joining = [tag for tag in schemas if _says(tag, JOINING)]
    declared = [texts[0] for tag in joining if patterns and len(texts := _texts(schemas[tag])) == 1]
    for member in (*ROOM_MEMBERS, *declared):
        tags = [tag for tag in schemas if member in schemas[tag].get("properties", {})]
        rules = RoomRules(
            member,
            frozenset(tag for tag in tags if tag in joining),
            frozenset(tag for tag in tags if _says(tag, LEAVING)),
            patterns,
        )
        if rules.joins or member in parameters:
            return rules
    return None


def naming(rules: RoomRules, schemas: Mapping[str, JsonSchema]) -> tuple[JsonSchema, JsonSchema]:
    """How messages name a room, and the same as a schema complete in itself.

    Those that join one say it best, and where none does it is any text.
    """
    tags = [tag for tag in schemas if rules.member in schemas[tag].get("properties", {})]
    for tag in sorted(tags, key=lambda tag: (tag not in rules.joins, tag)):
        own = schemas[tag]["properties"][rules.member]
        return own, {
            **own,
            **{name: schemas[tag][name] for name in ("$defs", "components") if name in schemas[tag]},
        }
    return {"type": "string"}, {"type": "string"}


def _says(tag: str, words: frozenset[str]) -> bool:
    return not words.isdisjoint(word.lower() for word in _BETWEEN_WORDS.split(tag))


def _texts(schema: JsonSchema) -> list[str]:
    """The members that a message has to have, and that may be many texts."""
    return [
        name
        for name in schema.get("required", ())
        if any(
            one.get("type") == "string" and "enum" not in one
            for one in alternatives(schema, schema.get("properties", {}).get(name, True))
        )
    ]
