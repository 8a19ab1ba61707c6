"""A user's own strategies, and the places in a schema that they are for."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.exact import ExactJsonSchema
from protocol.fuzzing.jsonschema import JsonSchema, resolve, shape, subschemas
from protocol.messages import tag_field, tags_of

Override = SearchStrategy[Any] | Mapping[str, SearchStrategy[Any]]


class Overrides:
    """Strategies by place, type and format; :func:`protocol.fuzzing.messages` describes the keys.

    Raises ``ConfigurationError`` for a key that is none of these, or that none of ``schemas`` has a place for.
    """

    def __init__(self, given: Mapping[Any, Override], schemas: Mapping[str, JsonSchema]) -> None:
        self._places: dict[tuple[str, str], SearchStrategy[Any]] = {}
        self._formats: dict[str, SearchStrategy[Any]] = {}
        self._shapes: dict[str, SearchStrategy[Any]] = {}
        known = _Known(schemas if given else {})
        for key, value in given.items():
            if isinstance(value, Mapping):
                for name, strategy in value.items():
                    self._add_place(known, _names(key), name, strategy)
            elif isinstance(key, str) and "." in key:
                owner, _, name = key.rpartition(".")
                self._add_place(known, [owner], name, value)
            elif isinstance(key, str):
                if key not in known.formats:
                    raise _unknown(f"the format {key!r}", key, known.formats)
                self._formats[key] = _jsonable(key, value)
            else:
                shapes = _shapes(key)
                if not shapes & known.shapes:
                    raise _unknown(f"the type {getattr(key, '__name__', key)}", "", ())
                self._shapes.update(dict.fromkeys(shapes, _jsonable(key, value)))

    def at(self, owners: Iterable[str], name: str) -> SearchStrategy[Any] | None:
        """The strategy for the member ``name`` of an object that goes by the names ``owners``."""
        return next(
            (self._places[owner, name] for owner in (*owners, "*") if (owner, name) in self._places), None
        )

    def of(self, schema: JsonSchema) -> SearchStrategy[Any] | None:
        """The strategy for every value that ``schema`` describes."""
        by_format = self._formats.get(schema.get("format", ""))
        return self._shapes.get(shape(schema)) if by_format is None and self._shapes else by_format

    def _add_place(self, known: "_Known", owners: list[str], name: str, value: SearchStrategy[Any]) -> None:
        found = [(owner, name) for owner in owners if (owner, name) in known.places]
        key = f"{owners[-1]}.{name}"
        if not found:
            raise _unknown(repr(key), key, {f"{owner}.{member}" for owner, member in known.places})
        self._places.update(dict.fromkeys(found, _jsonable(key, value)))


class _Known:
    """The places, types and formats that there are."""

    def __init__(self, schemas: Mapping[str, JsonSchema]) -> None:
        self.places: set[tuple[str, str]] = set()
        self.formats: set[str] = set()
        self.shapes: set[str] = set()
        for tag, schema in schemas.items():
            self._add((tag,), schema)
            for name, definition in schema.get("$defs", {}).items():
                self._add((name,), definition)
            for sub in subschemas(schema):
                self._add((), sub)
                self.shapes.add(shape(sub))
                if isinstance(sub.get("format"), str):
                    self.formats.add(sub["format"])

    def _add(self, names: tuple[str, ...], schema: JsonSchema) -> None:
        names = (*names, schema["title"]) if isinstance(schema.get("title"), str) else names
        for member in schema.get("properties", {}):
            self.places.update((name, member) for name in (*names, "*"))


def _unknown(what: str, key: str, known: Iterable[str]) -> ConfigurationError:
    near = get_close_matches(key, sorted(known), n=2)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ConfigurationError(f"overrides: no message has a place for {what}.{hint}")


def _names(key: Any) -> list[str]:
    """What the object that a class stands for is called in a schema."""
    if isinstance(key, str):
        return [key]
    if not isinstance(key, type):
        raise ConfigurationError(f"overrides: fields go under a class or its name, not {key!r}.")
    tags = tags_of(key) if issubclass(key, BaseModel) and tag_field(key) is not None else ()
    return [*tags, key.__name__]


def _shapes(key: Any) -> set[str]:
    """What the schema of a type looks like, by pydantic's generator and by the exact one."""
    adapter = TypeAdapter(key)
    found = set()
    for schema in (adapter.json_schema(), adapter.json_schema(schema_generator=ExactJsonSchema)):
        found.add(shape(resolve(schema, schema["$ref"]) if "$ref" in schema else schema))
    return found


def _jsonable(key: Any, strategy: object) -> SearchStrategy[Any]:
    """``st.uuids()`` for a UUID is what people write; the wire has strings."""
    if not isinstance(strategy, SearchStrategy):
        raise ConfigurationError(f"overrides: {key!r} needs a hypothesis strategy, not {strategy!r}.")
    return strategy.map(to_jsonable_python)
