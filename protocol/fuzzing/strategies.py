"""From a JSON Schema (2020-12) to a hypothesis strategy for what it describes.

The structure is here: references, alternatives, objects, arrays; values without structure are in
:mod:`protocol.fuzzing.scalars`. What is made is valid nearly always, not always: the last word has a validator, which
is not here.
"""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.jsonschema import (
    JsonSchema,
    Subschema,
    constraints,
    flat,
    references,
    resolve,
    subschemas,
    types,
    validator,
)
from protocol.fuzzing.overrides import Overrides
from protocol.fuzzing.patterns import compiled
from protocol.fuzzing.scalars import ANYTHING, integers, numbers, pooled, strings

# Assertions from which nothing can be made: what is made from the others is filtered by them.
_FILTERED: Final = frozenset(
    {
        "contains", "maxContains", "minContains", "dependentRequired", "dependentSchemas", "else", "if", "not", "then",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip


_HAS: Final = st.booleans()


def from_schema(schema: JsonSchema, overrides: Overrides, *, name: str) -> SearchStrategy[Any]:
    """JSON values, as Python has them, that satisfy ``schema``; ``name`` is what overrides call it.

    Strings and numbers for the wire only: no ``Decimal``, no NaN or infinity, no lone surrogate.
    Raises ``ConfigurationError`` where nothing finite satisfies it, or a pattern cannot be read.
    """
    for depth in range(3, 4 + len(schema.get("$defs", {}))):
        found = _Compiler(schema, overrides, depth).compile(schema, 0, (name,))
        if not found.is_empty:
            return found
    raise ConfigurationError(
        f"Nothing satisfies the schema of {name!r}: no finite value has all that it requires."
    )


class _Compiler:
    """The strategies of one document, in which recursion ends at ``limit`` references."""

    def __init__(self, root: JsonSchema, overrides: Overrides, limit: int) -> None:
        self._root = root
        self._overrides = overrides
        self._limit = limit
        self._recursive = _recursive(root)
        self._references: dict[tuple[str, int], SearchStrategy[Any]] = {}

    def compile(self, schema: Subschema, depth: int, names: tuple[str, ...] = ()) -> SearchStrategy[Any]:
        """The strategy for ``schema``, which ``depth`` recursive references led to, and which is called ``names``."""
        if isinstance(schema, bool):
            return ANYTHING if schema else st.nothing()
        if (override := self._overrides.of(schema)) is not None:
            return override
        if "$ref" in schema and not constraints(schema).keys() - {"$ref"}:
            return self._reference(schema["$ref"], depth)
        found = references(schema)
        if not self._recursive.isdisjoint(found):
            if depth == self._limit:
                return st.nothing()
            depth += 1
        return self._flat(flat(self._root, schema), depth, (*names, *map(_last, found), *_title(schema)))

    def _reference(self, reference: str, depth: int) -> SearchStrategy[Any]:
        inner = depth + (reference in self._recursive)
        if inner > self._limit:
            return st.nothing()
        if (reference, inner) not in self._references:
            schema = resolve(self._root, reference)
            self._references[reference, inner] = self.compile(schema, inner, (_last(reference),))
        return self._references[reference, inner]

    def _flat(self, schema: JsonSchema, depth: int, names: tuple[str, ...]) -> SearchStrategy[Any]:
        if schema.get("not") in ({}, True):
            return st.nothing()
        if filtered := schema.keys() & _FILTERED:
            rest = {key: value for key, value in schema.items() if key not in filtered}
            accepts = validator(self._root, schema).is_valid
            return self._flat(rest, depth, names).filter(accepts)
        if "enum" in schema:
            return self._enum(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                rest = {key: value for key, value in schema.items() if key != keyword}
                branches = [{"allOf": [rest, branch]} if rest else branch for branch in schema[keyword]]
                return st.one_of(
                    [self.compile(branch, depth, names) for branch in sorted(branches, key=_complexity)]
                )
        if not (kinds := types(schema)):
            return ANYTHING
        return st.one_of([self._of_type(kind, schema, depth, names) for kind in kinds])

    def _of_type(
        self, kind: str, schema: JsonSchema, depth: int, names: tuple[str, ...]
    ) -> SearchStrategy[Any]:
        match kind:
            case "null":
                return st.none()
            case "boolean":
                return st.booleans()
            case "integer":
                return integers(schema)
            case "number":
                return numbers(schema)
            case "string":
                return self._strings(schema, depth)
            case "array":
                return self._arrays(schema, depth)
            case "object":
                return self._objects(schema, depth, names)
            case _:
                raise ConfigurationError(f"{kind!r} is no type of JSON Schema.")

    def _enum(self, schema: JsonSchema) -> SearchStrategy[Any]:
        is_valid = validator(self._root, schema).is_valid
        values = [value for value in schema["enum"] if is_valid(value)]
        return st.sampled_from(values) if values else st.nothing()

    def _strings(self, schema: JsonSchema, depth: int) -> SearchStrategy[str]:
        if schema.get("contentMediaType") == "application/json" and "contentSchema" in schema:
            return pooled(schema, self.compile(schema["contentSchema"], depth).map(json.dumps))
        return strings(schema)

    def _arrays(self, schema: JsonSchema, depth: int) -> SearchStrategy[list[Any]]:
        low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        prefix = [self.compile(sub, depth) for sub in schema.get("prefixItems", ())]
        lengths = range(low, int(min(high, len(prefix))) + 1) if prefix or high == 0 else ()
        found: list[SearchStrategy[list[Any]]] = [st.tuples(*prefix[:length]).map(list) for length in lengths]
        items = schema.get("items", not prefix)
        if items is not False and high > len(prefix):
            least = max(0, low - len(prefix))
            most = min(high - len(prefix), least + _breadth(depth))
            unique = _identity if schema.get("uniqueItems") else None
            tail = _lists(self.compile(items, depth), least, most, unique)
            found.append(st.tuples(*prefix, tail).map(lambda parts: [*parts[:-1], *parts[-1]]))
        return st.one_of(found)

    def _objects(
        self, schema: JsonSchema, depth: int, names: tuple[str, ...]
    ) -> SearchStrategy[dict[str, Any]]:
        properties: JsonSchema = schema.get("properties", {})
        members: dict[str, SearchStrategy[Any]] = {}
        required = dict.fromkeys(schema.get("required", ()), schema.get("additionalProperties", True))
        patterns: JsonSchema = schema.get("patternProperties", {})
        for name, sub in {**required, **properties}.items():
            parts = [sub, *(patterns[pattern] for pattern in patterns if compiled(pattern).search(name))]
            made = self._overrides.at(names, name)
            if made is None:
                made = self.compile({"allOf": parts} if len(parts) > 1 else sub, depth)
            if name in required and made.is_empty:
                return st.nothing()
            if not made.is_empty:
                members[name] = made
        # Members in the order of the schema, the tag first: that is how people read a transcript.
        order = sorted(members, key=lambda name: "const" not in _as_dict(properties.get(name)))
        found = _members({name: members[name] for name in order}, required.keys())
        low, high = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        entries, known, fixed = self._entries(schema, depth), len(members), len(required)
        if entries is not None:
            least = max(0, low - fixed)
            more = _lists(entries, least, min(least + _breadth(depth), high - fixed), _first)
            found = st.tuples(found, more).map(lambda parts: parts[0] | dict(parts[1]))
        elif low > known:
            return st.nothing()
        if low > fixed or high < known:
            found = found.filter(lambda value: low <= len(value) <= high)
        return st.nothing() if high < fixed else found

    def _entries(self, schema: JsonSchema, depth: int) -> SearchStrategy[tuple[str, Any]] | None:
        """The members of an object that have no name in the schema; ``None`` where there are none."""
        patterns: JsonSchema = schema.get("patternProperties", {})
        additional = schema.get("additionalProperties", not (patterns or schema.get("properties")))
        regexes = [compiled(pattern) for pattern in patterns]
        taken = schema.get("properties", {}).keys()
        of_names = schema.get("propertyNames", True)
        found = []
        for pattern, sub in patterns.items():
            names = self.compile({"allOf": [{"type": "string", "pattern": pattern}, of_names]}, depth)
            found.append(st.tuples(names.filter(lambda name: name not in taken), self.compile(sub, depth)))
        if additional is not False:
            names = self.compile({"allOf": [{"type": "string"}, of_names]}, depth)
            free = names.filter(
                lambda name: name not in taken and not any(regex.search(name) for regex in regexes)
            )
            found.append(st.tuples(free, self.compile(additional, depth)))
        return st.one_of(found) if found else None


def _recursive(root: JsonSchema) -> frozenset[str]:
    """The references that lead back to themselves."""
    reached: dict[str, set[str]] = {}
    todo = [sub["$ref"] for sub in subschemas(root) if "$ref" in sub]
    while todo:
        reference = todo.pop()
        if reference not in reached:
            reached[reference] = {
                sub["$ref"] for sub in subschemas(resolve(root, reference)) if "$ref" in sub
            }
            todo += reached[reference]
    for through, further in reached.items():
        for found in reached.values():
            if through in found:
                found.update(further)
    return frozenset(reference for reference, found in reached.items() if reference in found)


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _title(schema: JsonSchema) -> tuple[str, ...]:
    return (schema["title"],) if "title" in schema else ()


def _as_dict(schema: Subschema | None) -> JsonSchema:
    return schema if isinstance(schema, dict) else {}


def _complexity(schema: Subschema) -> int:
    """Shrinking goes to the first branch: null, then what is not nested, then the rest."""
    kind = _as_dict(schema).get("type")
    return 0 if kind == "null" else 2 if kind in (None, "array", "object") else 1


def _breadth(depth: int) -> int:
    return 5 if depth == 0 else 2


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def _identity(value: Any) -> Any:
    """Equal for values that JSON Schema, or Python in a set, takes for the same."""
    if isinstance(value, dict):
        return frozenset((key, _identity(item)) for key, item in value.items())
    return tuple(map(_identity, value)) if isinstance(value, list) else value


@st.composite
def _members(
    draw: DrawFn, members: Mapping[str, SearchStrategy[Any]], required: Collection[str]
) -> dict[str, Any]:
    """Those that are ``required``, and each of the others or not.

    ``st.fixed_dictionaries`` shuffles them, which costs as many choices again.
    """
    return {name: draw(made) for name, made in members.items() if name in required or draw(_HAS)}


def _lists(
    items: SearchStrategy[Any], low: int, high: float, unique_by: Any = None
) -> SearchStrategy[list[Any]]:
    if high < low or (low and items.is_empty):
        return st.nothing()
    return st.lists(items, min_size=low, max_size=0 if items.is_empty else int(high), unique_by=unique_by)
