"""What can be done to a valid message so that it may be invalid.

Each mutation is one small change, drawn where the schema gives a reason for it. Whether the outcome really is
invalid is asked elsewhere.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from enum import StrEnum
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from protocol.fuzzing.jsonschema import JsonSchema, Path, at, discriminator


class Mutation(StrEnum):
    """What was done to a valid message."""

    DROP = "drop"
    """A member or an item is missing."""
    RETYPE = "retype"
    """A value of another JSON type."""
    EDGE = "edge"
    """Just outside: one too long, one too small, a character for which pattern or format have no place."""
    EXTRA = "extra"
    """A member that the schema does not know."""
    WRONG_TAG = "wrong_tag"
    """Another tag."""
    OVERSIZE = "oversize"
    """A string, array or object that is far too large."""
    DUPLICATE_KEY = "duplicate_key"
    """A member twice; the second, which wins in most parsers, is not valid."""


_JUNK: Final[tuple[Any, ...]] = (
    None,
    False,
    True,
    0,
    1,
    -1,
    0.5,
    "",
    "0",
    "true",
    [],
    {},
    [None],
    {"": None},
)
_NAMES: Final = ("extra", "__proto__", "constructor", "toString", "", "Type", "\0", "id ")
LARGE: Final = 20_000
"""The bytes that are added: far too much for most fields, and not too much for a frame of 64 KiB."""
_HUGE: Final = 10**4_000  # more digits Python does not write by default

REMOVED: Final = object()
"""In place of a value: the member or item goes."""


def mutated(
    draw: DrawFn, mutation: Mutation, schema: JsonSchema, tag: str, message: Any
) -> tuple[str, Path] | None:
    """The text of ``message`` after ``mutation``, and the place of it; ``None`` where it applies nowhere."""
    if not (found := places(mutation, schema, tag, message)):
        return None
    path, values = draw(st.sampled_from(found))
    value = draw(st.sampled_from(values))
    if mutation is Mutation.DUPLICATE_KEY:
        return f"{written(message)[:-1]}, {written(path[0])}: {written(value)}}}", path
    return written(replaced(message, path, value)), path


def places(mutation: Mutation, schema: JsonSchema, tag: str, message: Any) -> list[tuple[Path, list[Any]]]:
    """Where in ``message`` there is a reason for ``mutation``, and the values that may stand there instead."""
    choices = _CHOICES[mutation]
    return [(path, found) for path, value in walk(message) if (found := choices(schema, tag, path, value))]


def written(value: Any) -> str:
    """``value`` as JSON, in as few escapes as there can be."""
    return json.dumps(value, ensure_ascii=False)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value in ``value`` with its place, itself first."""
    yield path, value
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for step, item in inner:
        yield from walk(item, (*path, step))


def replaced(message: Any, path: Path, value: Any) -> Any:
    """``message`` with ``value`` at ``path``, or without it for ``REMOVED``; the message itself stays as it is."""
    if not path:
        return value
    changed = deepcopy(message)
    parent = changed
    for step in path[:-1]:
        parent = parent[step]
    if value is REMOVED:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


def kind(value: Any) -> str:
    """One word for each JSON type."""
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def _drops(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    return [REMOVED] if path else []


def _retypes(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    """Junk, and what a lax reader would convert back."""
    if not path:
        return []
    near = [[value], {"": value}] if isinstance(value, str | list | dict) else [str(value), json.dumps(value)]
    return [*near, *(junk for junk in _JUNK if kind(junk) != kind(value))]


def _extras(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    return [{**value, name: junk} for name in _NAMES if name not in value for junk in _JUNK]


def _tags(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    if path != (discriminator(schema, tag),):
        return []
    return [
        "",
        "unknown",
        "__proto__",
        f"{tag} ",
        tag.swapcase(),
        f"{tag}\0",
        tag[:-1],
        None,
        True,
        0,
        [tag],
        {tag: tag},
    ]


def _oversizes(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    if not path:
        return []
    if isinstance(value, str):
        return [(value or "a") * (LARGE // len(written(value))), value + " " * LARGE]
    if isinstance(value, list):
        return [[*value, *[item] * (LARGE // len(written([item])))] for item in (*value[:1], None)]
    if isinstance(value, dict):
        return [{**value, **{str(number): None for number in range(LARGE // 16)}}]
    return [_HUGE] if kind(value) == "number" else []


def _duplicates(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    return _retypes(schema, tag, path, value) if len(path) == 1 else []


def _edges(schema: JsonSchema, tag: str, path: Path, value: Any) -> list[Any]:
    return [edge for found in at(schema, schema, path) for edge in _outside(found, value)]


def _outside(schema: JsonSchema, value: Any) -> list[Any]:
    """Values next to ``value`` that a flat schema has no place for."""
    if isinstance(value, str):
        return _strings_outside(schema, value)
    if isinstance(value, list):
        return _arrays_outside(schema, value)
    if isinstance(value, dict):
        more = {**value, **{str(number): None for number in range(schema.get("maxProperties", 0) + 1)}}
        few = dict(list(value.items())[: max(0, schema.get("minProperties", 1) - 1)])
        return [found for found, key in ((more, "maxProperties"), (few, "minProperties")) if key in schema]
    return _numbers_outside(schema, value) if kind(value) == "number" else []


def _strings_outside(schema: JsonSchema, value: str) -> list[Any]:
    found = []
    if schema.get("minLength"):
        found += [value[: schema["minLength"] - 1], ""]
    if (high := schema.get("maxLength")) is not None and high < LARGE:
        found += [value + (value[-1:] or "a") * (high + 1 - len(value)), value.ljust(high + 1)]
    if schema.keys() & {"pattern", "format", "enum", "contentSchema", "contentEncoding"}:
        found += [
            "",
            value + "\n",
            f" {value}",
            value + "\0",
            value[1:],
            value[:-1],
            value.swapcase(),
            value * 2,
        ]
    return found


def _arrays_outside(schema: JsonSchema, value: list[Any]) -> list[Any]:
    filler = value[-1:] or [None]
    found = [value[: schema["minItems"] - 1]] if schema.get("minItems") else []
    if (high := schema.get("maxItems")) is not None and high < LARGE // 4:
        found.append(value + filler * (high + 1 - len(value)))
    if schema.get("uniqueItems") and value:
        found.append([*value, value[0]])
    return found


def _numbers_outside(schema: JsonSchema, value: float) -> list[Any]:
    whole = isinstance(value, int)
    found = [value + 0.5, float(value)] if whole and abs(value) < 2**53 else []
    for inclusive, exclusive, direction in (
        ("minimum", "exclusiveMinimum", -1),
        ("maximum", "exclusiveMaximum", 1),
    ):
        if exclusive in schema:
            found.append(schema[exclusive])
        if inclusive in schema:
            bound = schema[inclusive]
            found += [bound + direction, bound + direction * 10**6]
            if not whole:
                found.append(math.nextafter(bound, direction * math.inf))
    if "multipleOf" in schema:
        found.append(value + schema["multipleOf"] / 2 if not whole else value + 1)
    return found


_CHOICES: Final[Mapping[Mutation, Callable[[JsonSchema, str, Path, Any], list[Any]]]] = {
    Mutation.DROP: _drops,
    Mutation.RETYPE: _retypes,
    Mutation.EDGE: _edges,
    Mutation.EXTRA: _extras,
    Mutation.WRONG_TAG: _tags,
    Mutation.OVERSIZE: _oversizes,
    Mutation.DUPLICATE_KEY: _duplicates,
}
