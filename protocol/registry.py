"""The message types of a protocol: one tagged union for each direction.

Compiled once from the declared models. Decoding is a single ``validate_json`` of body and envelope together;
encoding is pydantic's own serializer. Frames, codecs and transforms are not known here.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, Final, Literal, cast

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema, from_json

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
from protocol.validation import invalid, refused

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
        for model in unique:
            schema = self._with_envelope(model)
            for tag in tags_of(model):
                if tag in self.models:
                    raise ConfigurationError(
                        f"Two {direction} messages have the {self.discriminator} {tag!r}: "
                        f"{_place(self.models[tag])} and {_place(model)}. Rename one of them."
                    )
                self.models[tag] = model
                choices[tag] = schema
        self._choices = choices
        self._tag_fields = {model: tag_field(model) or "" for model in unique}
        self.known = frozenset(_names(unique)) | {*envelope.inbound, "[key]"}
        # Where the validator left nothing, though the envelope has the field, the message was replaced by its model.
        self._no_id = None if envelope.id is None or direction == "outbound" else _LOST
        self._no_key = None if envelope.key is None or direction == "outbound" else _LOST
        union = core_schema.tagged_union_schema(choices, self.discriminator)
        with _rebuilt(unique):
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
        values = message.__dict__
        if self.direction == "outbound":
            values.pop(OFFSET, None)
            message.__pydantic_fields_set__.discard(OFFSET)
        id, key = values.pop(ID, self._no_id), values.pop(KEY, self._no_key)
        if id is _LOST or key is _LOST:
            found = from_json(body)
            id, key = found.get(self.envelope.id), found.get(self.envelope.key)
        if _CONSTANTS[type(body)](body):
            _refuse_constants(body, id)
        if id is None and key is None:
            return message, NO_REQUEST
        message.__pydantic_fields_set__.difference_update((ID, KEY))
        return message, Request(id, key)

    def tag(self, message: BaseModel) -> str:
        """The tag of a message of this direction. Raises ``KeyError`` for another."""
        tag = getattr(message, self._tag_fields[type(message)])
        return cast(str, getattr(tag, "value", tag))

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

    def _with_envelope(self, model: type[BaseModel]) -> CoreSchema:
        """The core schema of ``model`` with the envelope's fields beside its own."""
        inbound = self.direction == "inbound"
        taken = wire_names(model, self.direction)
        # A model may have an `offset` of its own: it is refused where it meets a room with history.
        if collision := taken & {*(self.envelope.inbound if inbound else (self.envelope.ref,))}:
            raise ConfigurationError(
                f"{_place(model)}: the field {collision.pop()!r} collides with the envelope of {self.direction} "
                f"messages. Rename the field, or rename or remove the envelope's: "
                f"MessageProtocol(…, envelope=Envelope(…))."
            )
        fields = self.envelope.inbound_fields() if inbound else self.envelope.outbound_fields()
        fields = {inner: field for inner, field in fields.items() if field["validation_alias"] not in taken}
        schema, definitions = _core_schema(model)
        self._definitions.update(definitions)
        return _extended(schema, model, fields, definitions)


class Registry:
    """Both directions of a protocol."""

    def __init__(
        self, receives: Iterable[type[BaseModel]], sends: Iterable[type[BaseModel]], envelope: Envelope
    ) -> None:
        self.envelope = envelope
        self.inbound = MessageUnion(receives, envelope, "inbound")
        self.outbound = MessageUnion(sends, envelope, "outbound")
        self._encoders = {model: _encoder(model) for model in self.outbound.models.values()}
        self._slow = {model: slow_policy(model) for model in self.outbound.models.values()}

    def encode(self, message: BaseModel) -> bytes:
        """The JSON body of an outbound message, without envelope.

        Raises ``LocalProtocolError`` for a type that is not declared as outbound.
        """
        try:
            encoder = self._encoders[type(message)]
        except KeyError:
            raise LocalProtocolError(undeclared(type(message))) from None
        return encoder(message)

    def tag(self, message: BaseModel) -> str:
        """The tag of an outbound message."""
        try:
            return self.outbound.tag(message)
        except KeyError:
            raise LocalProtocolError(undeclared(type(message))) from None

    def slow(self, message: BaseModel) -> Slow:
        """What a slow consumer loses of the type of ``message``."""
        return self._slow.get(type(message), CLOSE)

    def slow_of(self, tag: str) -> Slow:
        """The same by tag."""
        model = self.outbound.models.get(tag)
        return CLOSE if model is None else self._slow[model]


def undeclared(model: type) -> str:
    return (
        f"{model.__qualname__} is not declared as an outbound message: "
        f"name it in emits= of the handler, or in sends= of the protocol."
    )


def _encoder(model: type[BaseModel]) -> Callable[[BaseModel], bytes]:
    to_json = model.__pydantic_serializer__.to_json
    # The argument is not free, and most models have no alias anywhere.
    aliased = any(field.keys() & {"serialization_alias", "alias"} for _, field in _fields([model]))
    return partial(to_json, by_alias=True) if aliased else to_json


def _one_discriminator(models: list[type[BaseModel]], direction: Direction) -> str:
    names = {discriminator_of(model): model for model in models}
    if len(names) > 1:
        (one, first), (other, second), *_ = names.items()
        raise ConfigurationError(
            f"All {direction} messages need the same discriminator: {_place(first)} has {one!r}, "
            f"{_place(second)} has {other!r}."
        )
    return next(iter(names), "type")


def _place(model: type[BaseModel]) -> str:
    file = getattr(sys.modules.get(model.__module__), "__file__", None)
    return f"{model.__qualname__} ({file or model.__module__})"


_LOST: Final = object()

# Whether a body may have one of the constants in it, which is rare.
_CONSTANTS: Final[Mapping[type, Callable[[Any], bool]]] = {
    str: lambda body: "NaN" in body or "Infinity" in body,
    bytes: lambda body: b"NaN" in body or b"Infinity" in body,
}


def _refuse_constants(body: str | bytes, id: Ref | None) -> None:
    """Pydantic reads ``NaN`` and ``Infinity``, which are not JSON; a model with ``Any`` would let them in."""
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        raise InvalidMessage("NaN and Infinity are not JSON.", id=id, frame=body) from None


def _core_schema(model: type[BaseModel]) -> tuple[CoreSchema, dict[str, CoreSchema]]:
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ConfigurationError(
            f"{_place(model)} refers to a type that is not defined: {str(error).splitlines()[0]}. "
            f"Define it before the handlers, or call {model.__name__}.model_rebuild() where it is known."
        ) from None
    schema = model.__pydantic_core_schema__
    if schema["type"] == "definitions":
        return schema["schema"], {definition["ref"]: definition for definition in schema["definitions"]}
    return schema, {}


@contextmanager
def _rebuilt(models: list[type[BaseModel]]) -> Iterator[None]:
    """pydantic-core takes the validator that a complete class has already, whatever schema it is given."""
    for model in models:
        model.__pydantic_complete__ = False
    try:
        yield
    finally:
        for model in models:
            model.__pydantic_complete__ = True


def _extended(
    schema: CoreSchema,
    model: type[BaseModel],
    fields: Mapping[str, Any],
    definitions: Mapping[str, CoreSchema],
) -> CoreSchema:
    """A copy of the schema of ``model`` with ``fields`` added to its own; validators around it stay."""
    node = cast(dict[str, Any], copy(schema))
    if node["type"] == "definition-ref":
        return _extended(definitions[node["schema_ref"]], model, fields, definitions)
    # The copy is another schema than the one that other models may refer to.
    node.pop("ref", None)
    if node["type"] == "model-fields":
        node["fields"] = {**node["fields"], **fields}
        return cast(CoreSchema, node)
    if node.get("root_model") or node.get("custom_init") or "schema" not in node:
        raise ConfigurationError(
            f"{_place(model)} cannot be a message: a message is a model with fields, without an __init__ of its own."
        )
    node["schema"] = _extended(node["schema"], model, fields, definitions)
    return cast(CoreSchema, node)


def _names(models: Iterable[type[BaseModel]]) -> Iterator[str]:
    """Every name that pydantic may put into a location for a place that the schema knows."""
    for name, field in _fields(models):
        yield name
        alias = field.get("validation_alias", ())
        paths = alias if isinstance(alias, list) else [[alias]]
        yield from (part for path in paths for part in path if isinstance(part, str))


# The keys of a core schema under which other core schemas stand.
_NESTED: Final = {
    "schema", "definitions", "choices", "items_schema", "keys_schema", "values_schema", "extras_schema", "steps",
    "json_schema", "python_schema", "lax_schema", "strict_schema", "arguments_schema", "computed_fields",
    "return_schema",
}  # fmt: skip


def _fields(models: Iterable[type[BaseModel]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields, wherever they stand in the core schemas of ``models``, as pydantic-core has them."""
    todo: list[Any] = [model.__pydantic_core_schema__ for model in models]
    while todo:
        node = todo.pop()
        if isinstance(node, list | tuple):
            todo.extend(node)
        elif isinstance(node, dict) and isinstance(node.get("type"), str):
            if node["type"] in {"model-fields", "typed-dict", "dataclass-args"}:
                members = node["fields"]
                pairs = (
                    members.items() if isinstance(members, dict) else ((one["name"], one) for one in members)
                )
                for name, field in pairs:
                    yield name, field
                    todo.append(field)
            elif node["type"] == "computed-field":
                yield node["property_name"], node
            todo.extend(node[key] for key in node.keys() & _NESTED)
            if node["type"] == "tagged-union":
                todo.extend(node["choices"].values())
