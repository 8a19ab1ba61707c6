"""What a peer may send: the schemas to generate from, and the verdict on what was generated.

The only place of the fuzzer that knows :class:`protocol.MessageProtocol`; a document of another server becomes the
same two things.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import jsonschema_rs
from pydantic import BaseModel

from protocol.exceptions import ConfigurationError, RemoteProtocolError
from protocol.fuzzing.exact import ExactJsonSchema
from protocol.fuzzing.jsonschema import JsonSchema, flat, validator
from protocol.fuzzing.tags import Tags
from protocol.messages import tags_of
from protocol.registry import MessageUnion

if TYPE_CHECKING:
    from protocol.application import MessageProtocol

MAX_FRAME: Final = 65_536
"""Bytes that every server takes in a frame, unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The messages of one direction.

    Attributes:
        schemas: the JSON Schema (2020-12) of the wire object of each tag, with its ``$defs``.
        objection: what is wrong with a frame, for a person, or ``None``. A ``str`` is a text frame, ``bytes`` are a
            binary one.
        control: the tags of messages that are generated only where they are asked for by name.
        max_frame: the most bytes in a frame; nothing longer is generated, for its answer is a close.
    """

    schemas: Mapping[str, JsonSchema]
    objection: Callable[[str | bytes], str | None]
    control: frozenset[str] = frozenset()
    max_frame: int = MAX_FRAME

    @classmethod
    def of(cls, target: "MessageProtocol | Grammar") -> "Grammar":
        """The grammar of what a protocol receives."""
        if isinstance(target, Grammar):
            return target
        codec, inbound, envelope = target.codec, target.registry.inbound, target.registry.envelope

        def objection(frame: str | bytes) -> str | None:
            try:
                for body in codec.decode(frame):
                    inbound.decode(body)
            except RemoteProtocolError as error:
                return error.detail
            return None

        names = (envelope.ping, envelope.cancel, envelope.authenticate)
        control = frozenset(tag for tag in inbound.models if tag in names)
        schemas = {tag: _exact(inbound, tag) for tag in inbound.models}
        return cls(schemas, objection, control, target.settings.max_frame)

    @classmethod
    def from_schemas(cls, schemas: Mapping[str, JsonSchema]) -> "Grammar":
        """A grammar without models: jsonschema-rs has the last word, formats included."""
        validators = {tag: validator(schema, schema) for tag, schema in schemas.items()}
        tags = Tags(schemas)

        def objection(frame: str | bytes) -> str | None:
            if isinstance(frame, bytes):
                return "A binary frame."
            try:
                value = json.loads(frame, parse_constant=_no_constant)
                json.dumps(value, ensure_ascii=False).encode()  # JSON can escape what is not Unicode
                if not isinstance(value, dict):
                    return "Not a JSON object."
                if any(found.is_valid(value) for found in validators.values()):
                    return None
                tag = tags.of(value)
                return "No known type." if tag is None else _complaint(validators[tag], value)
            except (ValueError, RecursionError) as error:
                return f"Not JSON: {error}"

        return cls(schemas, objection)

    def fits(self, frame: str | bytes) -> bool:
        """Whether a frame is not longer than ``max_frame``."""
        return len(frame.encode() if isinstance(frame, str) else frame) <= self.max_frame

    def tags(self, types: Iterable[type[BaseModel] | str]) -> list[str]:
        """The tags that ``types``, message classes or tags, stand for; without any, all but control messages.

        Raises ``ConfigurationError`` for one that is not in the grammar.
        """
        found: dict[str, None] = {}
        for type in types:
            for tag in (type,) if isinstance(type, str) else tags_of(type):
                if tag not in self.schemas:
                    known = ", ".join(self.schemas)
                    raise ConfigurationError(f"No message {tag!r} is received; there are {known}.")
                found[tag] = None
        return list(found) or [tag for tag in self.schemas if tag not in self.control]


def _exact(inbound: MessageUnion, tag: str) -> JsonSchema:
    """The schema of a message on the wire, with what the standard generator leaves out."""
    wire = inbound.schema(tag)
    body = inbound.models[tag].model_json_schema(schema_generator=ExactJsonSchema)
    own = dict(flat(body, body)["properties"])
    own.pop(inbound.discriminator, None)
    definitions = {**wire.get("$defs", {}), **body.get("$defs", {})}
    return {**wire, "properties": {**wire["properties"], **own}, "$defs": definitions}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _complaint(validator: jsonschema_rs.Validator, value: Any) -> str:
    return next((error.message for error in validator.iter_errors(value)), "No known type.")
