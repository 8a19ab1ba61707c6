"""The message types of a protocol: one tagged union for each direction.

Compiled once from the declared models. Decoding is a single ``validate_json`` of body and envelope together;
encoding is pydantic's own serializer. Frames, codecs and transforms are not known here.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema, from_json

from protocol.coreschema import COMPUTED, extended, fields_of, names_of, place_of, rebuilt, schema_of
from protocol.envelope import ID, KEY, OFFSET, Envelope
from protocol.exceptions import ConfigurationError, InvalidMessage, LocalProtocolError
from protocol.messages import (
    CLOSE,
    Direction,
    Slow,
    discriminator_of,
    slow_policy,
    tag_field,
    tags_of,
    wire_names,
)
from protocol.types import Ref, Request
from protocol.validation import invalid, read_id, refused

JsonSchema = dict[str, Any]

NO_REQUEST = Request()


class MessageUnion:
    """The messages of one direction, told apart by their tag.

    Attributes:
        models: the model of each tag.
        discriminator: the wire name of the field that holds the tag.
        known: every field name of the models, nested ones too: what an error's location may show.
    """

    def __init__(self, models: Iterable[type[BaseModel]], envelope: Envelope, direction: Direction) -> None:
        self.direction = direction
        self.envelope = envelope
        self.models: dict[str, type[BaseModel]] = {}
        unique = list(dict.fromkeys(models))
        self.discriminator = _one_discriminator(unique, direction)
        self._definitions: dict[str, CoreSchema] = {}
        choices: dict[str, CoreSchema] = {}
        readable: dict[str, CoreSchema] = {}
        for model in unique:
            schema = self._with_envelope(model)
            read = schema if direction == "inbound" else self._with_envelope(model, as_written=True)
            for tag in tags_of(model):
                if tag in self.models:
                    raise ConfigurationError(
                        f"Two {direction} messages have the {self.discriminator} {tag!r}: "
                        f"{place_of(self.models[tag])} and {place_of(model)}. Rename one of them."
                    )
                self.models[tag] = model
                choices[tag] = schema
                readable[tag] = read
        self._choices = choices
        # What the validator of an outbound message leaves beside its fields.
        self._beside = {
            model: (OFFSET, *(COMPUTED + name for name in model.model_computed_fields))
            for model in unique
            if direction == "outbound"
        }
        # A model with one tag need not be asked for it.
        self.tags = {model: tags[0] for model in unique if len(tags := tags_of(model)) == 1}
        self._tag_fields = {model: tag_field(model) or "" for model in unique if model not in self.tags}
        self.known = frozenset(names_of(unique)) | {*envelope.inbound, "[key]"}
        # Where the validator left nothing, though the envelope has the field, the message was replaced by its model.
        self._no_id = None if envelope.id is None or direction == "outbound" else _LOST
        self._no_key = None if envelope.key is None or direction == "outbound" else _LOST
        union = core_schema.tagged_union_schema(readable, self.discriminator)
        with rebuilt(unique):
            validator = SchemaValidator(
                core_schema.definitions_schema(union, list(self._definitions.values()))
            )
        self._validate: Callable[[str | bytes], BaseModel] = validator.validate_json

    def decode(self, body: str | bytes) -> tuple[BaseModel, Request]:
        """Validate one JSON body; return the message and its envelope; of an outbound one ``id`` is the ``ref``.

        Raises ``MalformedFrame``, ``UnknownType`` or ``InvalidMessage``.
        """
        try:
            message = self._validate(body)
        except ValidationError as error:
            raise refused(
                error, body, known=self.known, discriminator=self.discriminator, id=self.envelope.id
            ) from None
        except (RecursionError, OverflowError):
            # From Python's own library, which reads some of pydantic's types, as time zones and patterns.
            raise InvalidMessage(
                "A value is too long, too deep or too large to be read.",
                id=read_id(body, self.envelope.id),
                frame=body,
            ) from None
        values = message.__dict__
        if self._beside:
            for name in self._beside.get(type(message), ()):
                values.pop(name, None)
                message.__pydantic_fields_set__.discard(name)
        id, key = values.pop(ID, self._no_id), values.pop(KEY, self._no_key)
        if id is _LOST or key is _LOST:
            found = from_json(body)
            id, key = found.get(self.envelope.id), found.get(self.envelope.key)
        # Few texts have such a word in them.
        if not isinstance(body, str) or "NaN" in body or "Infinity" in body:
            _refuse_constants(body, id)
        if id is None and key is None:
            return message, NO_REQUEST
        message.__pydantic_fields_set__.difference_update((ID, KEY))
        # `Request(id, key)`, without the function that a named tuple has in between.
        return message, tuple.__new__(Request, (id, key))

    def tag(self, message: BaseModel) -> str:
        """The tag of a message of this direction. Raises ``KeyError`` for another."""
        model = type(message)
        if model in self.tags:
            return self.tags[model]
        tag: str = getattr(message, self._tag_fields[model])
        return tag.value if isinstance(tag, enum.Enum) else tag

    def invalid(self, error: ValidationError, request: Request) -> InvalidMessage:
        """What a validation error that a transform raised becomes."""
        return invalid(error, known=self.known, id=request.id)

    def schema(self, tag: str) -> JsonSchema:
        """The JSON Schema (2020-12) of one message on the wire, body and envelope as one, the tag required."""
        schema = core_schema.definitions_schema(self._choices[tag], list(self._definitions.values()))
        mode: Literal["validation", "serialization"] = (
            "validation" if self.direction == "inbound" else "serialization"
        )
        found: JsonSchema = GenerateJsonSchema(by_alias=True).generate(schema, mode=mode)
        if "$ref" in found:
            name = found.pop("$ref").removeprefix("#/$defs/")
            found = {**found["$defs"].pop(name), **found} if found["$defs"] else found
        properties = {self.discriminator: {"const": tag, "type": "string"}}
        properties.update(
            (name, value) for name, value in found["properties"].items() if name not in properties
        )
        for name in self.envelope.inbound if self.direction == "inbound" else self.envelope.outbound:
            properties[name] = {k: v for k, v in properties[name].items() if k not in {"default", "title"}}
        required = [self.discriminator, *(n for n in found.get("required", ()) if n != self.discriminator)]
        return {**found, "properties": properties, "required": required}

    def schemas(self) -> dict[str, JsonSchema]:
        """The JSON Schema of every tag."""
        return {tag: self.schema(tag) for tag in self.models}

    def _with_envelope(self, model: type[BaseModel], *, as_written: bool = False) -> CoreSchema:
        """The core schema of ``model`` with the envelope's fields beside its own."""
        inbound = self.direction == "inbound"
        taken = wire_names(model, self.direction)
        # A model may have an `offset` of its own: it is refused where it meets a room with history.
        if collision := taken & {*(self.envelope.inbound if inbound else (self.envelope.ref,))}:
            raise ConfigurationError(
                f"{place_of(model)}: the field {collision.pop()!r} collides with the envelope of {self.direction} "
                f"messages. Rename the field, or rename or remove the envelope's: "
                f"MessageProtocol(…, envelope=Envelope(…))."
            )
        fields = self.envelope.inbound_fields() if inbound else self.envelope.outbound_fields()
        fields = {inner: field for inner, field in fields.items() if field["validation_alias"] not in taken}
        schema, definitions = schema_of(model)
        self._definitions.update(definitions)
        return extended(schema, model, fields, definitions, as_written=as_written)


@dataclass(frozen=True, slots=True)
class Form:
    """How messages of one outbound type are written. ``tag`` is ``None`` where the type has several."""

    encode: Callable[[BaseModel], bytes]
    tag: str | None
    slow: Slow


class Registry:
    """Both directions of a protocol."""

    def __init__(
        self, receives: Iterable[type[BaseModel]], sends: Iterable[type[BaseModel]], envelope: Envelope
    ) -> None:
        self.envelope = envelope
        self.inbound = MessageUnion(receives, envelope, "inbound")
        self.outbound = MessageUnion(sends, envelope, "outbound")
        self._forms = {
            model: Form(_encoder(model), self.outbound.tags.get(model), slow_policy(model))
            for model in self.outbound.models.values()
        }

    def form(self, message: BaseModel) -> Form:
        """How ``message`` is written. Raises ``LocalProtocolError`` for a type that is not declared as outbound."""
        try:
            return self._forms[type(message)]
        except KeyError:
            raise LocalProtocolError(undeclared(type(message))) from None

    def encode(self, message: BaseModel) -> bytes:
        """The JSON body of an outbound message, without envelope."""
        return self.form(message).encode(message)

    def tag(self, message: BaseModel) -> str:
        """The tag of an outbound message."""
        return self.form(message).tag or self.outbound.tag(message)

    def slow(self, message: BaseModel) -> Slow:
        """What a slow consumer loses of the type of ``message``."""
        return self.form(message).slow

    def slow_of(self, tag: str) -> Slow:
        """The same by tag."""
        model = self.outbound.models.get(tag)
        return CLOSE if model is None else self._forms[model].slow


def undeclared(model: type) -> str:
    return (
        f"{model.__qualname__} is not declared as an outbound message: "
        f"name it in emits= of the handler, or in sends= of the protocol."
    )


def _encoder(model: type[BaseModel]) -> Callable[[BaseModel], bytes]:
    to_json = model.__pydantic_serializer__.to_json
    # The argument is not free, and most models have no alias anywhere.
    aliased = any(field.keys() & {"serialization_alias", "alias"} for _, field in fields_of([model]))
    return partial(to_json, by_alias=True) if aliased else to_json


def _one_discriminator(models: list[type[BaseModel]], direction: Direction) -> str:
    names = {discriminator_of(model): model for model in models}
    if len(names) > 1:
        (one, first), (other, second), *_ = names.items()
        raise ConfigurationError(
            f"All {direction} messages need the same discriminator: {place_of(first)} has {one!r}, "
            f"{place_of(second)} has {other!r}."
        )
    return next(iter(names), "type")


_LOST: Final = object()


def _refuse_constants(body: str | bytes, id: Ref | None) -> None:
    """Pydantic reads ``NaN`` and ``Infinity``, which are not JSON; a model with ``Any`` would let them in."""
    if isinstance(body, bytes) and b"NaN" not in body and b"Infinity" not in body:
        return
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        raise InvalidMessage("NaN and Infinity are not JSON.", id=id, frame=body) from None
