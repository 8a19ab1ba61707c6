"""The envelope: what stands beside the body of a message in the same flat JSON object.

Inbound ``id`` and ``key``, outbound ``ref`` and ``offset``; and the tags of the control messages. The body is
the model's alone.
"""

from dataclasses import dataclass, fields
from functools import cache
from itertools import chain, combinations
from typing import Final

import orjson
from pydantic_core import CoreSchema, core_schema

from protocol.exceptions import ConfigurationError
from protocol.types import MAX_INTEGER, Ref

ID = "<id>"
KEY = "<key>"
OFFSET = "<offset>"
"""Where the validator leaves the envelope in a message's ``__dict__``; no field can have such a name."""

# One complaint instead of one for each member of the union.
_id_schema = core_schema.union_schema(
    [
        core_schema.str_schema(max_length=64, strict=True),
        core_schema.int_schema(ge=-MAX_INTEGER, le=MAX_INTEGER, strict=True),
    ],
    custom_error_type="invalid_id",
    custom_error_message="Input should be a string of at most 64 characters, or an integer within ±2^53",
)
_key_schema = core_schema.str_schema(min_length=16, max_length=64, strict=True)


# What stands side by side in one object, or in one union, and must be told apart.
_TOGETHER: Final = (
    ("id", "key"),
    ("ref", "offset"),
    ("ack", "error", "pong"),
    ("cancel", "ping", "authenticate"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The names of the envelope's fields and of the control messages; ``None`` removes one.

    ``id``
        str of at most 64 characters, or int within ±2^53: "answer me".
    ``key``
        random str of 16 to 64 characters: "apply me once".
    ``ref``
        the ``id`` that is answered.
    ``offset``
        the position of a publication in a room with history.
    ``ack``, ``error``, ``cancel``, ``ping``, ``pong``, ``authenticate``
        the tags of the control messages. Without ``error`` no failure is ever answered; without ``ack`` a
        message whose handler returns nothing is not answered.
    """

    id: str | None = "id"
    key: str | None = "key"
    ref: str | None = "ref"
    offset: str | None = "offset"
    ack: str | None = "ack"
    error: str | None = "error"
    cancel: str | None = "cancel"
    ping: str | None = "ping"
    pong: str | None = "pong"
    authenticate: str | None = "authenticate"

    def __post_init__(self) -> None:
        for field in fields(self):
            name = getattr(self, field.name)
            if name is not None and not (isinstance(name, str) and name):
                raise ConfigurationError(
                    f"Envelope({field.name}=…) takes a non-empty string or None, not {name!r}."
                )
        for one, other in chain.from_iterable(combinations(names, 2) for names in _TOGETHER):
            if getattr(self, one) is not None and getattr(self, one) == getattr(self, other):
                raise ConfigurationError(
                    f"Envelope: {one} and {other} have the same name {getattr(self, one)!r}."
                )
        if (self.id is None) != (self.ref is None):
            raise ConfigurationError("Envelope: id and ref go together: name both, or remove both.")
        if (self.ping is None) != (self.pong is None):
            raise ConfigurationError("Envelope: ping and pong go together: name both, or remove both.")

    @property
    def inbound(self) -> tuple[str, ...]:
        """The names beside an inbound body."""
        return tuple(name for name in (self.id, self.key) if name is not None)

    @property
    def outbound(self) -> tuple[str, ...]:
        """The names beside an outbound body."""
        return tuple(name for name in (self.ref, self.offset) if name is not None)

    def inbound_fields(self) -> dict[str, core_schema.ModelField]:
        """The envelope as fields of an inbound model's core schema."""
        found = ((ID, self.id, _id_schema), (KEY, self.key, _key_schema))
        return {inner: _optional(name, schema) for inner, name, schema in found if name is not None}

    def outbound_fields(self) -> dict[str, core_schema.ModelField]:
        """The envelope as fields of an outbound model's core schema."""
        offset = core_schema.int_schema(ge=0, le=MAX_INTEGER, strict=True)
        found = ((ID, self.ref, _id_schema), (OFFSET, self.offset, offset))
        return {inner: _optional(name, schema) for inner, name, schema in found if name is not None}


def _optional(name: str, schema: CoreSchema) -> core_schema.ModelField:
    return core_schema.model_field(
        core_schema.with_default_schema(schema, default=None),
        validation_alias=name,
        serialization_alias=name,
    )


def readable_id(value: object) -> Ref | None:
    """``value`` if it is a valid ``id``, else ``None``."""
    if isinstance(value, str) and len(value) <= 64:
        return value
    if type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER:
        return value
    return None


def splice(body: bytes, name: str, value: Ref) -> bytes:
    """Add a member to the end of an encoded, non-empty JSON object, without decoding it."""
    return body[:-1] + _member(name) + orjson.dumps(value) + b"}"


@cache
def _member(name: str) -> bytes:
    return b",%b:" % orjson.dumps(name)
