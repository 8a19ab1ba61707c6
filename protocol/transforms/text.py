"""Transforms that edit the text of a message: which text that is, how it is reached, and two plain edits."""

import functools
import operator
import types
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, ForwardRef, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from protocol.exceptions import ConfigurationError
from protocol.messages import replace

M = TypeVar("M", bound=BaseModel)

_CONTAINERS = (list, tuple, set, frozenset, dict, Sequence, AbstractSet, Mapping)


class TextTransform(ABC):
    """Edits every text of a message by :meth:`edit`.

    A field is text when ``str`` stands in its annotation without a ``pattern``: by itself or in an optional,
    a list, tuple, set, the values of a dict, or a nested model that has such a field. Then all strings in its
    value are. What has a pattern, a ``Literal``, an enum or a type of its own is a name of something and is
    left alone; a ``TypedDict`` or dataclass is not entered. Where plain strings are names too, as that of a
    recipient, say which ``fields`` of the message are text.

    A changed message is validated as a whole, and pydantic's ``ValidationError`` passes through; one from a
    nested model has a location inside that model. An unchanged message is returned itself.
    """

    def __init__(self, *, fields: Collection[str] | None = None) -> None:
        if isinstance(fields, str):
            raise ConfigurationError(f"fields is a collection of field names: write fields=({fields!r},).")
        self._fields = None if fields is None else frozenset(fields)
        self._covered: dict[type[BaseModel], tuple[str, ...]] = {}

    @abstractmethod
    def edit(self, text: str) -> str:
        """Return ``text`` edited. Must depend on nothing else, and take time linear in its length."""

    def covers(self, model: type[BaseModel]) -> tuple[str, ...]:
        """The names of the fields of ``model`` that are edited; it may be none."""
        return tuple(name for name in text_fields(model) if self._fields is None or name in self._fields)

    def __call__(self, message: M) -> M:
        model = type(message)
        names = self._covered.get(model)
        if names is None:
            names = self._covered[model] = self.covers(model)
        return self._edited(message, names)

    def _edited(self, message: M, names: tuple[str, ...]) -> M:
        changes = {}
        for name in names:
            value = getattr(message, name)
            changed = self._walk(value)
            if changed is not value:
                changes[name] = changed
        return replace(message, **changes) if changes else message

    def _walk(self, value: Any) -> Any:
        """Return ``value`` with its text edited, and itself when nothing changed."""
        kind: type[Any] = type(value)
        if kind is str:
            text = self.edit(value)
            return value if text == value else text
        if isinstance(value, RootModel):
            root = self._walk(value.root)
            return value if root is value.root else kind(root)
        if isinstance(value, BaseModel):
            return self._edited(value, _text_fields(type(value)))
        if kind is dict:
            values = [self._walk(item) for item in value.values()]
            return (
                value
                if all(map(operator.is_, values, value.values()))
                else dict(zip(value, values, strict=True))
            )
        if kind in {list, tuple, set, frozenset}:
            items = [self._walk(item) for item in value]
            return value if all(map(operator.is_, items, value)) else kind(items)
        return value


class Uppercase(TextTransform):
    """Makes text upper-case, as ``str.upper`` does: some letters become two, as the German ß does."""

    def edit(self, text: str) -> str:
        return text.upper()


class Trim(TextTransform):
    """Removes white space from both ends of text, as ``str.strip`` does; not invisible characters.

    Constraints see the text before and after: three spaces are a text of length 3 first, then of length 0.
    """

    def edit(self, text: str) -> str:
        return text.strip()


def text_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of the fields of ``model`` that are text, see :class:`TextTransform`."""
    return tuple(name for name, field in model.model_fields.items() if _has_text(_annotated(field)))


_text_fields = functools.cache(text_fields)
"""For the models of instances, which are complete."""


def _annotated(field: FieldInfo) -> Any:
    """The annotation of ``field`` with what pydantic has taken out of it put back."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _has_text(annotation: Any) -> bool:
    """Whether text can be reached from ``annotation``; recursive models and aliases are entered once."""
    entered: list[Any] = []
    ahead = [annotation]
    while ahead:
        part = ahead.pop()
        if part is str or isinstance(part, str | ForwardRef):  # what is not resolved yet may be text
            return True
        if part in entered:
            continue
        entered.append(part)
        origin = get_origin(part)
        if origin is Annotated:
            if not _is_name(part.__metadata__):
                ahead.append(part.__origin__)
        elif origin in {Union, types.UnionType}:
            ahead.extend(get_args(part))
        elif isinstance(origin, type) and issubclass(origin, _CONTAINERS):
            arguments = get_args(part)
            ahead.extend(arguments[1:] if issubclass(origin, Mapping) else arguments)
        elif isinstance(part, type) and issubclass(part, BaseModel):
            ahead.extend(map(_annotated, part.model_fields.values()))
        elif (aliased := getattr(part, "__value__", None)) is not None:  # a `type` statement
            ahead += aliased, *get_args(part)
    return False


def _is_name(metadata: Sequence[Any]) -> bool:
    return any(
        getattr(item, "pattern", None) is not None or _is_name(getattr(item, "metadata", ()))
        for item in metadata
    )
