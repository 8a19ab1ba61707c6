"""What a server has promised: what it takes, what it sends, how it answers and how it ends a connection.

Made from a protocol, or from the AsyncAPI document of a server that may have been written in any language. The
fuzzer generates from it, and the checks hold the server to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import jsonschema_rs

from protocol import codes
from protocol.asyncapi import document
from protocol.asyncapi.served import protocols
from protocol.envelope import readable_id
from protocol.exceptions import ConfigurationError
from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.jsonschema import JsonSchema, validator
from protocol.fuzzing.rooms import Address, RoomRules
from protocol.fuzzing.tags import Tags
from protocol.testing.steps import Body, Connect, Data, dumped, parsed
from protocol.testing.transcript import VARYING, Barrier
from protocol.types import Ref

BROKEN_CODES: Final = codes.BROKEN_FRAME | {
    "bad_request", "invalid", "invalid_payload", "invalid_request", "malformed", "parse_error", "unknown_message",
    "unsupported_type", "validation_error",
}  # fmt: skip
INTERNAL_CODES: Final = frozenset({codes.INTERNAL_ERROR, "internal", "internal_server_error", "server_error"})

Range = tuple[int, int]


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
        addresses: where it is served, the usual one first.
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
    addresses: tuple[Address, ...] = (Address("/ws"),)
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
        from protocol.fuzzing.channel import Channel

        found = [protocol for protocol in protocols(app) if isinstance(protocol, MessageProtocol)]
        if not found:
            raise ConfigurationError(
                "The application serves no protocol: is its router included, app.include_router(chat.router)? Where it "
                "is not of this framework, give its AsyncAPI document: document=…, or --schema FILE|URL."
            )
        if len(found) > 1:
            titles = ", ".join(repr(protocol.title) for protocol in found)
            raise ConfigurationError(
                f"The application serves several protocols, {titles}: give the AsyncAPI document of one: document=…, "
                "or --schema FILE|URL. `protocol schema --title TITLE` prints it."
            )
        protocol = found[0]
        return Channel(document(app, protocol), None).contract(protocol.envelope, Grammar.of(protocol))

    @classmethod
    def of_document(cls, document: Mapping[str, Any], *, channel: str | None = None) -> "Contract":
        """The contract in an AsyncAPI 3 document; ``channel`` where it has several, else the first.

        Raises ``ConfigurationError`` for a document from which no message can be sent.
        """
        from protocol.fuzzing.channel import Channel

        return Channel(document, channel).contract()

    def with_rooms(self, rules: RoomRules) -> "Contract":
        """The contract with rules for rooms that somebody knows better.

        Raises ``ConfigurationError`` for a message that there is not, or that does not name a room so.
        """
        for tag in rules.joins | rules.leaves:
            if rules.member not in self.grammar.schemas.get(tag, {}).get("properties", {}):
                raise ConfigurationError(f"No message {tag!r} with a member {rules.member!r} is received.")
        for tag in rules.public:
            if rules.member not in self.sends.get(tag, {}).get("properties", {}):
                raise ConfigurationError(f"No message {tag!r} with a member {rules.member!r} is sent.")
        return replace(self, room=rules)

    def with_barrier(self, message: Body) -> "Contract":
        """The contract with a request that has no effect, and whose answer says that all before it is done.

        Raises ``ConfigurationError`` for one that the server does not say to answer, or not by a text as its id.
        """
        if self.id is None or self.ref is None:
            raise ConfigurationError("A barrier is known by its id, and no message has one that is answered.")
        data = dumped({**message, self.id: "barrier-1"})
        if (objection := self.objection(data)) is not None:
            raise ConfigurationError(f"The barrier is no message that the server takes ({objection}): {data}")
        if not self.is_answered(self.tag(parsed(data), sent=True)):
            raise ConfigurationError(f"The barrier is no message that the server answers: {data}")
        return replace(self, barrier=Barrier(message, self.id, self.ref))

    # Reading steps and frames.

    @property
    def path(self) -> str:
        """The path of a client that connects to no other."""
        return self.addresses[0].path()

    def parameters(self, step: Connect) -> Mapping[str, str]:
        """The values of the parameters in the path of a handshake."""
        path = self.path if step.path is None else step.path
        found = (address.values(path) for address in self.addresses)
        return next((values for values in found if values is not None), {})

    @lru_cache(maxsize=4096)  # noqa: B019 a contract lives as long as its campaign
    def objection(self, data: Data) -> str | None:
        """What is wrong with a frame to the server, for a person."""
        return self.grammar.objection(data)

    def tag(self, body: Body | None, *, sent: bool) -> str | None:
        """The tag of a body that goes to the server (``sent``), or comes from it."""
        return (self._inbound_tags if sent else self._outbound_tags).of(body)

    def asked(self, body: Body | None) -> Ref | None:
        """The id by which a message asks for an answer."""
        return None if self.id is None or body is None else readable_id(body.get(self.id))

    def answered(self, body: Body | None) -> Ref | None:
        """The id that a message answers."""
        return None if self.ref is None or body is None else readable_id(body.get(self.ref))

    def is_final(self, tag: str | None, answer: str | None) -> bool:
        """Whether a message of ``tag`` gets nothing more behind an answer with the tag ``answer``."""
        return tag not in self.streams or answer in {self.error, self.ack}

    def may_answer(self, tag: str, answer: str | None) -> bool:
        """Whether a message of ``tag`` may be answered so; by anything where the document does not say how."""
        declared = self.answers.get(tag) or {self.ack} - {None}
        return not declared or answer in declared

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
        try:
            return next(error.message for error in found.iter_errors(body))
        except UnicodeEncodeError:  # What is wrong cannot be said: it has half of a character in it.
            return "It does not fit its schema"

    def is_for_later(self, body: Body | None) -> bool:
        """Whether a message is the error of a moment, as of a rate that is exceeded: it says nothing of the state."""
        if body is None or self.tag(body, sent=False) != self.error:
            return False
        return body.get("retryable") is True or body.get("code") in {"rate_limited", "too_many_requests"}

    def closes_with(self, code: int) -> bool:
        """Whether a close with ``code`` is declared."""
        return self.close_codes is None or any(low <= code <= high for low, high in self.close_codes)

    @cached_property
    def _inbound_tags(self) -> Tags:
        return Tags(self.grammar.schemas)

    @cached_property
    def _outbound_tags(self) -> Tags:
        return Tags(self.sends)

    __hash__ = object.__hash__
