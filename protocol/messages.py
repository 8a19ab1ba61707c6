"""Message types: the base class, its tag, and validated copies.

What a set of message types becomes (the unions, decoding, encoding) is in :mod:`protocol.registry`.
"""

import enum
import inspect
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from protocol.exceptions import ConfigurationError

M = TypeVar("M", bound=BaseModel)

Direction = Literal["inbound", "outbound"]
SlowPolicy = Literal["close", "drop_oldest", "latest"]


@dataclass(frozen=True, slots=True)
class Slow:
    """What a consumer that does not keep up loses of one message type.

    ``close``: the connection. ``drop_oldest``: the oldest queued messages of the type. ``latest``: all but the
    newest, for each value of the field ``key``.
    """

    policy: SlowPolicy = "close"
    key: str | None = None


CLOSE = Slow()


def replace(message: M, /, **changes: Any) -> M:
    """Return a copy of any pydantic ``message`` with ``changes``, by field name, validated as a whole.

    Raises pydantic's ``ValidationError``.
    """
    model = type(message)
    fields, values = model.__pydantic_fields__, message.__dict__
    if len(values) > len(fields):
        # A cached_property leaves its value there too.
        values = {name: values[name] for name in fields if name in values}
    if message.__pydantic_extra__:
        values = values | message.__pydantic_extra__
    copy: M = model.__pydantic_validator__.validate_python(values | changes, by_name=True, by_alias=False)
    return copy


class Message(BaseModel):
    """Base of message types: frozen, strict, no extra fields, no NaN or Infinity.

    A plain model in a field keeps the configuration of its own, as in pydantic.

    Class arguments:

    ``type="say"``
        adds the tag, the field ``type: Literal["say"] = "say"``; writing the field by hand is the same.
        Type checkers see ``message.type`` only where it is written by hand.
    ``discriminator="event"``
        on a base: the tags of its subclasses are in that field.
    ``slow="latest", slow_key="symbol"``
        what a slow consumer loses, see :class:`Slow`. Default ``close``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    __discriminator__: ClassVar[str] = "type"
    __slow__: ClassVar[Slow] = CLOSE

    # Pydantic collects the fields of a class after this has run, so a field can still be added here.
    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        discriminator: str | None = None,
        slow: SlowPolicy | None = None,
        slow_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            super().__init_subclass__(**kwargs)
        except TypeError as error:
            names = ", ".join(kwargs)
            raise ConfigurationError(
                f"{cls.__qualname__}: unknown class argument {names}. A message takes type, discriminator, slow and "
                f"slow_key, and what pydantic's ConfigDict takes."
            ) from error
        if discriminator is not None:
            if not discriminator.isidentifier() or discriminator.startswith("_"):
                raise ConfigurationError(
                    f"{cls.__qualname__}: the discriminator must be a field name, not {discriminator!r}."
                )
            cls.__discriminator__ = discriminator
        if type is not None:
            _add_tag(cls, type)
        if slow is not None or slow_key is not None:
            if slow is None or slow not in get_args(SlowPolicy):
                raise ConfigurationError(
                    f"{cls.__qualname__}: slow must be one of {', '.join(get_args(SlowPolicy))}, not {slow!r}."
                )
            if slow_key is not None and slow != "latest":
                raise ConfigurationError(f"{cls.__qualname__}: slow_key goes with slow='latest' only.")
            cls.__slow__ = CLOSE if slow == CLOSE.policy else Slow(slow, slow_key)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        key = cls.__slow__.key
        if key is None:
            return
        if key not in cls.model_fields:
            raise ConfigurationError(f"{cls.__qualname__}: slow_key {key!r} is not a field of the message.")
        if not _hashable(cls.model_fields[key].annotation):
            raise ConfigurationError(
                f"{cls.__qualname__}: slow_key {key!r} cannot be hashed: name a field with a simple value."
            )

    replace = replace


def _hashable(annotation: Any) -> bool:
    """Whether all values can be hashed, members of unions and items of tuples too, as far as the annotation says."""
    kind = get_origin(annotation) or annotation
    return getattr(kind, "__hash__", None) is not None and all(map(_hashable, get_args(annotation)))


def _add_tag(cls: type[Message], tag: str) -> None:
    name = cls.__discriminator__
    if not tag:
        raise ConfigurationError(f"{cls.__qualname__}: type must be a non-empty string, not {tag!r}.")
    own = inspect.get_annotations(cls)
    if name in own:
        raise ConfigurationError(
            f"{cls.__qualname__} has both the class argument type={tag!r} and a field {name!r}: keep one of them."
        )
    cls.__annotations__ = {name: Literal[tag], **own}
    setattr(cls, name, tag)


def slow_policy(model: type[BaseModel]) -> Slow:
    """What a slow consumer loses of ``model``; a plain ``BaseModel`` has the default."""
    return model.__slow__ if issubclass(model, Message) else CLOSE


def wire_name(name: str, field: FieldInfo) -> str:
    """The name under which a field is read from the wire; of several, the first."""
    match field.validation_alias:
        case None:
            return name
        case str() as alias:
            return alias
        case AliasPath(path=path) | AliasChoices(choices=[AliasPath(path=path), *_]):
            return str(path[0])
        case AliasChoices(choices=[str() as alias, *_]):
            return alias
    return name


def wire_names(model: type[BaseModel], direction: Direction) -> set[str]:
    """All names of the wire object that the fields of ``model`` read, or write."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        if direction == "outbound":
            names.add(field.serialization_alias or name)
            continue
        names.add(wire_name(name, field))
        if isinstance(field.validation_alias, AliasChoices):
            names.update(str(path[0]) for path in field.validation_alias.convert_to_aliases())
        if model.model_config.get("validate_by_name") or model.model_config.get("populate_by_name"):
            names.add(name)
    if direction == "outbound":
        names.update(field.alias or name for name, field in model.model_computed_fields.items())
    return names


def discriminator_of(model: type[BaseModel]) -> str:
    """The wire name of the field that holds the tag of ``model``."""
    name = model.__discriminator__ if issubclass(model, Message) else "type"
    field = model.model_fields.get(name)
    return name if field is None else wire_name(name, field)


def tag_field(model: type[BaseModel]) -> str | None:
    """The name of the field that holds the tag of ``model``, or ``None``."""
    wire = discriminator_of(model)
    return next((name for name, field in model.model_fields.items() if wire_name(name, field) == wire), None)


def tags_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The tags under which ``model`` is on the wire.

    Raises ``ConfigurationError`` where there is none, or one that is not a string.
    """
    name = tag_field(model)
    annotation = None if name is None else model.model_fields[name].annotation
    if get_origin(annotation) is not Literal:
        wire = discriminator_of(model)
        raise ConfigurationError(
            f"{model.__qualname__} has no tag: write class {model.__name__}(Message, type='…'), "
            f"or a field {wire}: Literal['…'] = '…'."
        )
    tags = get_args(annotation)
    # Pydantic reads the member of an enum in a Literal from JSON only where it is a string itself.
    if wrong := [tag for tag in tags if not isinstance(tag, str)]:
        remedy = "; make its enum a StrEnum" if isinstance(wrong[0], enum.Enum) else ""
        raise ConfigurationError(f"{model.__qualname__}: a tag must be a string, not {wrong[0]!r}{remedy}.")
    return tuple(tag.value if isinstance(tag, enum.Enum) else tag for tag in tags)
