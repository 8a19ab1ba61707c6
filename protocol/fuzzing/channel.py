"""A contract from a channel of an AsyncAPI document, whoever has written that."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from protocol.asyncapi import Payload, Reader
from protocol.asyncapi.draft07 import LISTS, MAPS, SINGLE
from protocol.asyncapi.reading import Action
from protocol.envelope import Envelope
from protocol.exceptions import ConfigurationError
from protocol.fuzzing.contract import Contract, Range
from protocol.fuzzing.grammar import MAX_FRAME, Grammar
from protocol.fuzzing.jsonschema import JsonSchema, discriminator, shape
from protocol.fuzzing.rooms import Address, recognised
from protocol.fuzzing.tags import Messages, Tags, told_apart
from protocol.testing.transcript import Barrier

ERRORS: Final = frozenset({"error", "failure", "fault", "problem", "refused", "rejected"})


class Channel:
    """One channel of an AsyncAPI document; the first, unless ``name`` says which."""

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
            if self._reader.resolve(operation.get("channel")) is self._channel
        ]
        self._takes, self._sends = told_apart(self._payloads("receive"), self._payloads("send"))

    def contract(self, envelope: Envelope | None = None, grammar: Grammar | None = None) -> Contract:
        """The contract; ``envelope`` and ``grammar`` where more is known than the document says."""
        takes, sends = self._takes.schemas, self._sends.schemas
        if not takes:
            raise ConfigurationError(f"The server receives nothing on the channel {self._name!r}.")
        answers: dict[str, set[str]] = {tag: set() for tag in takes}
        streams, unordered = set[str](), set[str]()
        for operation in self._operations:
            if operation["action"] == "receive":
                replies = self._tags(self._sends, self._reader.reply(operation))
                for tag in self._tags(self._takes, operation):
                    answers[tag].update(replies)
                    streams |= {tag} if operation.get("x-stream") else set()
                    unordered |= (
                        {tag} if operation.get("x-stream") or operation.get("x-concurrent") else set()
                    )
        names = self._inferred(takes, sends) if envelope is None else envelope
        control = {name for name in (names.ping, names.cancel, names.authenticate) if name is not None}
        barrier = None
        if names.ping is not None and names.id is not None and names.ref is not None:
            barrier = _barrier(takes, names.ping, names.id, names.ref)
        addresses = self._addresses()
        grammar = grammar or replace(
            Grammar.from_schemas(self._with_examples(takes)),
            control=frozenset(control & takes.keys()),
            max_frame=self._max_frame(),
        )
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
            addresses=addresses,
            room=recognised(
                grammar.schemas,
                addresses,
                tuple(room["pattern"] for room in self._channel.get("x-rooms", ())),
            ),
        )

    def _addresses(self) -> tuple[Address, ...]:
        """Of this channel, and of the others on which the same is said."""
        channels = self._reader.channels()
        same = [
            name for name in channels if name != self._name and self._says(name) == self._says(self._name)
        ]
        found = [
            Address.of(
                channel,
                {key: self._reader.resolve(one) for key, one in channel.get("parameters", {}).items()},
            )
            for channel in (channels[name] for name in (self._name, *same))
            if channel.get("address")
        ]
        return tuple(sorted(found, key=lambda address: address.template != self._channel.get("address"))) or (
            Address("/ws"),
        )

    def _says(self, name: str) -> list[set[str]]:
        actions: tuple[Action, ...] = ("receive", "send")
        return [
            {
                shape({key: value for key, value in payload.schema.items() if key != "components"})
                for payload in self._reader.messages(name, action)
            }
            for action in actions
        ]

    def _payloads(self, action: Action) -> Iterator[Payload]:
        for payload in self._reader.messages(self._name, action):
            yield replace(payload, schema=modern(payload.schema))

    def _with_examples(self, takes: Mapping[str, JsonSchema]) -> dict[str, JsonSchema]:
        """The schemas with the examples of their messages, and of the payloads."""
        tags = Tags(takes)
        found: dict[str, list[Any]] = {tag: [] for tag in takes}
        for pointer in self._takes.tags:
            given = list(self._reader.payload(pointer).schema.get("examples", ()))
            given += [one.get("payload") for one in self._reader.message(pointer).get("examples", ())]
            for example in given:
                if isinstance(example, dict) and (tag := tags.of(example)) is not None:
                    found[tag].append(example)
        return {tag: {**schema, "examples": found[tag]} for tag, schema in takes.items()}

    def _tags(self, messages: Messages, operation: Mapping[str, Any] | None) -> set[str]:
        """The tags of the messages of an operation, or of a reply, if there is one."""
        pointers = [] if operation is None else self._reader.pointers(operation)
        return {tag for pointer in pointers for tag in messages.tags.get(pointer, ())}

    def _correlated(self, messages: Messages) -> str | None:
        """The member that holds the correlation ids of ``messages``."""
        for pointer in messages.tags:
            message = self._reader.message(pointer)
            location = self._reader.resolve(message.get("correlationId", {})).get("location", "")
            source, _, member = location.partition("#/")
            if source == "$message.payload" and member and "/" not in member:
                return str(member)
        return None

    def _inferred(self, takes: Mapping[str, JsonSchema], sends: Mapping[str, JsonSchema]) -> Envelope:
        """The names that a document of somebody else seems to use."""
        id, ref = self._correlated(self._takes), self._correlated(self._sends)
        both = id is not None and ref is not None
        ping = both and "ping" in takes and "pong" in sends
        offset = any("offset" in schema.get("properties", {}) for schema in sends.values())
        return Envelope(
            id=id if both else None,
            key=None,
            ref=ref if both else None,
            offset="offset" if offset and ref != "offset" else None,
            ack="ack" if "ack" in sends else None,
            error=_error(sends),
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

    def _max_frame(self) -> int:
        match self._channel.get("x-limits"):
            case {"maxFrame": int(most)}:
                return most
        return MAX_FRAME

    def _closes(self) -> tuple[Range, ...] | None:
        found = self._channel.get("x-close-codes")
        if found is None:
            return None
        ranges = [str(text).partition("-") for text in found]
        return ((1000, 1001), *((int(low), int(high or low)) for low, _, high in ranges))


def _error(sends: Collection[str]) -> str | None:
    """The tag that says that something is refused, as far as the words tell."""
    found = [tag for tag in sends if tag.lower() in ERRORS]
    return "error" if "error" in found else found[0] if len(found) == 1 else None


def _barrier(takes: Mapping[str, JsonSchema], ping: str, id: str, ref: str) -> Barrier | None:
    member = discriminator(takes[ping], ping) if ping in takes else None
    return None if member is None else Barrier({member: takes[ping]["properties"][member]["const"]}, id, ref)


def modern(schema: Any) -> Any:
    """A schema of Draft 07 in the words of 2020-12, which everything here reads."""
    if not isinstance(schema, dict):
        return schema
    found: JsonSchema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS:
            found[keyword] = {name: modern(inner) for name, inner in value.items()}
        elif keyword in LISTS or (keyword == "items" and isinstance(value, list)):
            found["prefixItems" if keyword == "items" else keyword] = [modern(inner) for inner in value]
        elif keyword in SINGLE or keyword == "items":
            found[keyword] = modern(value)
        elif keyword == "additionalItems":
            if isinstance(schema.get("items"), list):
                found["items"] = modern(value)
        elif keyword == "dependencies":
            for name, inner in value.items():
                now = "dependentRequired" if isinstance(inner, list) else "dependentSchemas"
                found.setdefault(now, {})[name] = modern(inner)
        elif keyword == "components":
            found[keyword] = {
                "schemas": {name: modern(inner) for name, inner in value.get("schemas", {}).items()}
            }
        elif keyword not in _NO_MORE:
            found[keyword] = value
    return found


_MAPS: Final = MAPS | {"$defs", "definitions", "dependentSchemas"}
_NO_MORE: Final = frozenset({"$id", "$schema"})
