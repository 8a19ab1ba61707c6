"""What a server has promised: what it takes, what it sends, how it answers and how it ends a connection.

Made from a protocol, or from the AsyncAPI document of a server that may have been written in any language. The
fuzzer generates from it, and the checks hold the server to it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import jsonschema_rs

from protocol import codes
from protocol.asyncapi import Reader, document
from protocol.asyncapi.reading import Action
from protocol.asyncapi.served import sockets
from protocol.envelope import Envelope, readable_id
from protocol.exceptions import ConfigurationError
from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.jsonschema import JsonSchema, discriminator, validator
from protocol.testing.transcript import VARYING, Barrier, Body, Data
from protocol.types import Ref

JOINING: Final = frozenset({"join", "enter", "subscribe", "sub"})
LEAVING: Final = frozenset({"leave", "exit", "part", "unsubscribe", "unsub"})
ROOM_MEMBERS: Final = ("room", "channel", "topic")
BROKEN_CODES: Final = codes.BROKEN_FRAME | {
    "bad_request", "invalid", "invalid_payload", "invalid_request", "malformed", "parse_error", "unknown_message",
    "unsupported_type", "validation_error",
}  # fmt: skip
INTERNAL_CODES: Final = frozenset({codes.INTERNAL_ERROR, "internal", "internal_server_error", "server_error"})

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_VALUES_OF: Final = ("1", "a", "B_-2")
"""Values of the parameters of a room's name: the first is one for every type."""

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RoomRules:
    """How messages speak of rooms: the member with the name, the tags that let one in, and those that let one out.

    ``names`` are some that a declared room has, where the schema of the member says less.
    """

    member: str
    joins: frozenset[str]
    leaves: frozenset[str]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The promises of one server.

    Attributes:
        grammar: what it takes.
        sends: the schema of what it sends, by tag.
        answers: the tags of the final answer to each tag that it takes; an error is always one.
        streams: the tags that are answered by several messages, then by an acknowledgement.
        unordered: the tags that are handled beside others, so that their answers may come late.
        id, ref: the members in which a message asks for an answer, and in which the answer names it.
        error, ack: the tags of those messages.
        offset: the member with the position of a publication in its room.
        error_codes: the declared ones; ``None`` where the document does not say.
        close_codes: ranges of declared ones; ``None`` where the document does not say.
        paths: where it is served.
        room: how messages speak of rooms, where they do.
        varying: the members whose values are otherwise each time; the checks learn more of them.
    """

    grammar: Grammar
    sends: Mapping[str, JsonSchema]
    answers: Mapping[str, frozenset[str]]
    streams: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()
    id: str | None = None
    ref: str | None = None
    error: str | None = None
    ack: str | None = None
    offset: str | None = None
    barrier: Barrier | None = None
    error_codes: frozenset[str] | None = None
    close_codes: tuple[Range, ...] | None = None
    paths: tuple[str, ...] = ("/ws",)
    room: RoomRules | None = None
    varying: set[str] = field(default_factory=lambda: set(VARYING))
    _validators: dict[str, jsonschema_rs.Validator] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, app: Any) -> "Contract":
        """The contract of an application that serves a protocol of this framework.

        Raises ``ConfigurationError`` where it serves none, or several.
        """
        from protocol.application import MessageProtocol

        served = {id(socket.protocol): socket.protocol for socket in sockets(app)}
        found = [protocol for protocol in served.values() if isinstance(protocol, MessageProtocol)]
        if len(found) != 1:
            raise ConfigurationError(
                f"The application serves {len(found)} protocols: give the AsyncAPI document of what is to be fuzzed."
            )
        protocol = found[0]
        return _Channel(document(app, protocol), None).contract(protocol.envelope, Grammar.of(protocol))

    @classmethod
    def of_document(cls, document: Mapping[str, Any], *, channel: str | None = None) -> "Contract":
        """The contract in an AsyncAPI 3 document; ``channel`` where it has several, else the first.

        Raises ``ConfigurationError`` for a document from which no message can be sent.
        """
        return _Channel(document, channel).contract()

    # Reading frames.

    @lru_cache(maxsize=4096)  # noqa: B019 a contract lives as long as its campaign
    def objection(self, data: Data) -> str | None:
        """What is wrong with a frame to the server, for a person."""
        return self.grammar.objection(data)

    def tag(self, body: Body | None, *, sent: bool) -> str | None:
        """The tag of a body that goes to the server (``sent``), or comes from it."""
        names = self._discriminators if sent else self._outbound_discriminators
        known = self.grammar.schemas if sent else self.sends
        for name in names:
            tag = None if body is None else body.get(name)
            if isinstance(tag, str) and tag in known:
                return tag
        return None

    def asked(self, body: Body | None) -> Ref | None:
        """The id by which a message asks for an answer."""
        return None if self.id is None or body is None else readable_id(body.get(self.id))

    def answered(self, body: Body | None) -> Ref | None:
        """The id that a message answers."""
        return None if self.ref is None or body is None else readable_id(body.get(self.ref))

    def is_answered(self, tag: str | None) -> bool:
        """Whether a message of ``tag`` with an id gets an answer even if nothing is wrong."""
        return tag is not None and bool(self.answers.get(tag))

    def complaint(self, body: Body, tag: str) -> str | None:
        """What is wrong with a message from the server, by its schema."""
        if tag not in self._validators:
            self._validators[tag] = validator(self.sends[tag], self.sends[tag])
        found = self._validators[tag]
        if found.is_valid(body):
            return None
        return next((error.message for error in found.iter_errors(body)), "It does not fit its schema.")

    def is_for_later(self, body: Body | None) -> bool:
        """Whether a message is the error of a moment, as of a rate that is exceeded: it says nothing of the state."""
        if body is None or self.tag(body, sent=False) != self.error:
            return False
        return body.get("retryable") is True or body.get("code") in {"rate_limited", "too_many_requests"}

    def closes_with(self, code: int) -> bool:
        """Whether a close with ``code`` is declared."""
        return self.close_codes is None or any(low <= code <= high for low, high in self.close_codes)

    @cached_property
    def _discriminators(self) -> frozenset[str]:
        return _discriminators(self.grammar.schemas)

    @cached_property
    def _outbound_discriminators(self) -> frozenset[str]:
        return _discriminators(self.sends)

    __hash__ = object.__hash__


def _discriminators(schemas: Mapping[str, JsonSchema]) -> frozenset[str]:
    found = {discriminator(schema, tag) for tag, schema in schemas.items()}
    return frozenset(name for name in found if name is not None)


def _room_rules(grammar: Grammar, names: tuple[str, ...]) -> RoomRules | None:
    """By the names that people give to such messages."""
    for member in ROOM_MEMBERS:
        tags = [tag for tag, schema in grammar.schemas.items() if member in schema.get("properties", {})]
        joins, leaves = (
            frozenset(
                tag for tag in tags if words & set(tag.lower().replace("-", "_").replace(".", "_").split("_"))
            )
            for words in (JOINING, LEAVING)
        )
        if joins:
            return RoomRules(member, joins, leaves, names)
    return None


class _Channel:
    """One channel of an AsyncAPI document."""

    def __init__(self, document: Mapping[str, Any], name: str | None) -> None:
        self._reader = Reader(document)
        channels = self._reader.channels()
        if not channels or (name is not None and name not in channels):
            raise ConfigurationError(
                f"The document has no channel{f' {name!r}' if name else ''}; there are: {', '.join(channels)}."
            )
        self._name = next(iter(channels)) if name is None else name
        self._channel = channels[self._name]
        self._operations = [
            operation
            for operation in self._reader.operations().values()
            if operation["channel"].get("$ref") == f"#/channels/{self._name}"
        ]
        self._ids: dict[Action, str] = {}

    def contract(self, envelope: Envelope | None = None, grammar: Grammar | None = None) -> Contract:
        """The contract; ``envelope`` and ``grammar`` where more is known than the document says."""
        takes, sends = self._schemas("receive"), self._schemas("send")
        if not takes:
            raise ConfigurationError(f"The server receives nothing on the channel {self._name!r}.")
        answers: dict[str, set[str]] = {tag: set() for tag in takes}
        streams, unordered = set[str](), set[str]()
        for operation in self._operations:
            if operation["action"] == "receive":
                reply = self._reader.resolve(operation.get("reply", {}))
                replies = {self._tag(pointer) for pointer in self._reader.pointers(reply)} if reply else set()
                for tag in map(self._tag, self._reader.pointers(operation)):
                    answers.setdefault(tag, set()).update(replies)
                    streams |= {tag} if operation.get("x-stream") else set()
                    unordered |= (
                        {tag} if operation.get("x-stream") or operation.get("x-concurrent") else set()
                    )
        names = self._inferred(takes, sends) if envelope is None else envelope
        control = {name for name in (names.ping, names.cancel, names.authenticate) if name is not None}
        tags = _discriminators(takes)
        barrier = None
        if names.ping in takes and names.id is not None and names.ref is not None and tags:
            barrier = Barrier({next(iter(tags)): names.ping}, names.id, names.ref)
        grammar = grammar or replace(Grammar.from_schemas(takes), control=frozenset(control & takes.keys()))
        return Contract(
            grammar=grammar,
            sends=sends,
            answers={tag: frozenset(found) for tag, found in answers.items()},
            streams=frozenset(streams),
            unordered=frozenset(unordered if names.cancel is None else {*unordered, names.cancel}),
            id=names.id,
            ref=names.ref,
            error=names.error,
            ack=names.ack,
            offset=names.offset,
            barrier=barrier,
            error_codes=self._codes(sends.get(names.error or "")),
            close_codes=self._closes(),
            paths=tuple(
                str(one["address"]) for one in self._reader.channels().values() if one.get("address")
            ),
            room=_room_rules(grammar, self._rooms()),
        )

    def _rooms(self) -> tuple[str, ...]:
        patterns = [room["pattern"] for room in self._channel.get("x-rooms", ())]
        return tuple(_PARAMETER.sub(value, pattern) for value in _VALUES_OF for pattern in patterns)

    def _schemas(self, action: Action) -> dict[str, JsonSchema]:
        found = {}
        for payload in self._reader.messages(self._name, action):
            found[self._tag(payload.pointer)] = modern(payload.schema)
            message = self._reader.at(payload.pointer)
            correlation = self._reader.resolve(self._reader.resolve(message).get("correlationId", {}))
            location = correlation.get("location", "")
            if location.startswith("$message.payload#/"):
                self._ids.setdefault(action, location.rpartition("/")[2])
        return found

    def _tag(self, pointer: str) -> str:
        """The constant by which a message is told apart, or its name."""
        payload = self._reader.payload(pointer)
        properties = payload.schema.get("properties", {})
        for name in ("type", *properties):
            sub = self._reader.resolve(properties.get(name, {}))
            constant = sub.get("const", sub["enum"][0] if len(sub.get("enum", ())) == 1 else None)
            if isinstance(constant, str):
                return constant
        return payload.name

    def _inferred(self, takes: Mapping[str, JsonSchema], sends: Mapping[str, JsonSchema]) -> Envelope:
        """The names that a document of somebody else seems to use."""
        id, ref = self._ids.get("receive"), self._ids.get("send")
        both = id is not None and ref is not None
        ping = both and "ping" in takes and "pong" in sends
        offset = any("offset" in schema.get("properties", {}) for schema in sends.values())
        return Envelope(
            id=id if both else None,
            key=None,
            ref=ref if both else None,
            offset="offset" if offset and ref != "offset" else None,
            ack="ack" if "ack" in sends else None,
            error="error" if "error" in sends else None,
            cancel="cancel" if "cancel" in takes else None,
            ping="ping" if ping else None,
            pong="pong" if ping else None,
            authenticate="authenticate" if "authenticate" in takes else None,
        )

    def _codes(self, error: JsonSchema | None) -> frozenset[str] | None:
        found = self._channel.get("x-error-codes")
        if found is None and error is not None:
            found = error.get("properties", {}).get("code", {}).get("enum")
        return None if found is None else frozenset(found)

    def _closes(self) -> tuple[Range, ...] | None:
        found = self._channel.get("x-close-codes")
        if found is None:
            return None
        ranges = [str(text).partition("-") for text in found]
        return ((1000, 1001), *((int(low), int(high or low)) for low, _, high in ranges))


def modern(schema: Any) -> Any:
    """A schema of Draft 07 in the words of 2020-12, which everything here reads."""
    if isinstance(schema, list):
        return [modern(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: value if key in _VALUES else modern(value)
        for key, value in schema.items()
        if key not in _NO_MORE
    }
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if "additionalItems" in found:
            found["items"] = found.pop("additionalItems")
    if isinstance(found.get("dependencies"), dict):
        for name, value in found.pop("dependencies").items():
            keyword = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
            found.setdefault(keyword, {})[name] = value
    return found


_VALUES: Final = frozenset({"const", "default", "enum", "example", "examples"})
_NO_MORE: Final = frozenset({"$id", "$schema"})
