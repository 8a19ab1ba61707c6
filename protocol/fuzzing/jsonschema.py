"""What a JSON Schema (2020-12) says, as far as values and mutations are made from it.

Pure functions on schemas: references, conjunction, alternatives, the schema at a place. Nothing is generated here,
and whether a value is valid is asked of jsonschema-rs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from math import gcd
from typing import Any, Final

import jsonschema_rs

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.patterns import compiled

JsonSchema = dict[str, Any]
Subschema = JsonSchema | bool
Path = tuple[str | int, ...]

NOTHING: Final[JsonSchema] = {"enum": []}
"""The schema that nothing satisfies, as a ``dict``."""

_ANNOTATIONS: Final = frozenset(
    {
        "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description", "discriminator",
        "example", "examples", "externalDocs", "readOnly", "title", "writeOnly",
    }
)  # fmt: skip
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_CONTAINERS: Final = ("$defs", "definitions", "components")

_KEYWORDS_OF_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset(
        {
            "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
            "maxProperties",
        }
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"}),
    "string": frozenset({"pattern", "minLength", "maxLength", "format", "contentEncoding", "contentMediaType"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
}  # fmt: skip


def resolve(root: JsonSchema, reference: str) -> Subschema:
    """The schema at a reference within the document (RFC 6901 in a fragment)."""
    found: Any = root
    if not reference.startswith("#"):
        raise ConfigurationError(f"The reference {reference!r} leaves the document: bundle the schema first.")
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key) if isinstance(found, list) else key]
        except (LookupError, TypeError, ValueError):
            raise ConfigurationError(f"The reference {reference!r} leads nowhere in the schema.") from None
    return found if isinstance(found, bool) else dict(found)


def constraints(schema: JsonSchema) -> JsonSchema:
    """``schema`` without what does not bind a value."""
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}


def shape(schema: Subschema) -> str:
    """The same string for schemas that say the same in the same words, titles and other annotations aside."""
    return json.dumps(_shape(schema), sort_keys=True, default=str)


def _shape(node: Any) -> Any:
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _shape(sub) for name, sub in value.items()} if key in _NAMED else _shape(value)
        for key, value in constraints(node).items()
    }


def subschemas(node: Any) -> Iterator[JsonSchema]:
    """Every schema that stands in ``node``, itself first."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key in _NAMED or key in _CONTAINERS:
                for sub in value.values():
                    yield from subschemas(sub)
            elif key not in {"const", "enum", "default", "example", "examples"}:
                yield from subschemas(value)
    elif isinstance(node, list):
        for item in node:
            yield from subschemas(item)


def references(schema: JsonSchema) -> list[str]:
    """The references that bind the same value as ``schema`` itself."""
    found = [schema["$ref"]] if "$ref" in schema else []
    for part in schema.get("allOf", ()):
        found += references(part) if isinstance(part, dict) else []
    return found


def flat(root: JsonSchema, schema: Subschema) -> JsonSchema:
    """One schema without ``$ref`` and ``allOf`` at its top that says the same.

    Where two patterns or two formats bind one string, the first is kept: the rest is left to the validator.
    """
    if isinstance(schema, bool):
        return {} if schema else NOTHING
    own = {key: value for key, value in constraints(schema).items() if key not in {"$ref", "allOf"}}
    if "const" in own:
        own["enum"] = [own.pop("const")]
    parts = [flat(root, resolve(root, schema["$ref"]))] if "$ref" in schema else []
    parts += [flat(root, part) for part in schema.get("allOf", ())]
    return reduce(_both, parts, own)


def alternatives(root: JsonSchema, schema: Subschema) -> Iterator[JsonSchema]:
    """Flat schemas, without ``anyOf`` and ``oneOf``, one of which binds every valid value."""
    whole = flat(root, schema)
    for keyword in ("anyOf", "oneOf"):
        if keyword in whole:
            rest = {key: value for key, value in whole.items() if key != keyword}
            for branch in whole[keyword]:
                yield from alternatives(root, {"allOf": [rest, branch]} if rest else branch)
            return
    yield whole


def at(root: JsonSchema, schema: Subschema, path: Path) -> list[JsonSchema]:
    """The flat schemas that may bind what is found at ``path`` in a value that ``schema`` describes."""
    found = list(alternatives(root, schema))
    for step in path:
        inner = [_member(outer, step) if isinstance(step, str) else _item(outer, step) for outer in found]
        found = [one for sub in inner if sub is not None for one in alternatives(root, sub)]
    return found


def _member(schema: JsonSchema, name: str) -> Subschema | None:
    if name in schema.get("properties", {}):
        return schema["properties"][name]  # type: ignore[no-any-return]
    for pattern, sub in schema.get("patternProperties", {}).items():
        if compiled(pattern).search(name):
            return sub  # type: ignore[no-any-return]
    return schema.get("additionalProperties")


def _item(schema: JsonSchema, index: int) -> Subschema | None:
    prefix = schema.get("prefixItems", [])
    return prefix[index] if index < len(prefix) else schema.get("items")


def discriminator(schema: JsonSchema, tag: str) -> str | None:
    """The property of a message's schema that holds its tag."""
    properties: JsonSchema = schema.get("properties", {})
    found = (
        name for name, sub in properties.items() if isinstance(sub, dict) and _is_tag(sub.get("const"), tag)
    )
    return next(found, None)


def _is_tag(constant: object, tag: str) -> bool:
    return isinstance(constant, str | int) and not isinstance(constant, bool) and str(constant) == tag


def with_tag(schema: JsonSchema, tag: str) -> JsonSchema:
    """``schema`` with the tag required: pydantic does not demand a ``Literal`` that has a default."""
    name = discriminator(schema, tag)
    required = schema.get("required", [])
    return schema if name is None or name in required else {**schema, "required": [name, *required]}


def types(schema: JsonSchema) -> Sequence[str]:
    """The JSON types of what a flat schema describes; empty where it says nothing of it."""
    if "type" in schema:
        found = schema["type"]
        return found if isinstance(found, list) else [found]
    return [type for type, keywords in _KEYWORDS_OF_TYPE.items() if keywords & schema.keys()]


def complete(root: JsonSchema, schema: JsonSchema) -> JsonSchema:
    """``schema``, a part of the document ``root``, with what it may refer to."""
    return {**{name: root[name] for name in _CONTAINERS if name in root}, **schema}


def validator(root: JsonSchema, schema: JsonSchema) -> jsonschema_rs.Validator:
    """What decides whether a value satisfies ``schema``, a part of the document ``root``."""
    return jsonschema_rs.validator_for(complete(root, schema), validate_formats=True)


def _both(one: JsonSchema, other: JsonSchema) -> JsonSchema:
    """What satisfies two flat schemas."""
    merged = {**other, **one}
    for keyword in one.keys() & other.keys():
        if combine := _COMBINED.get(keyword):
            merged[keyword] = combine(one[keyword], other[keyword])
    if "properties" in merged:
        merged["properties"] = {**_closed(one, other), **_closed(other, one), **_common(one, other)}
    return NOTHING if merged.get("type") == [] else merged


def _closed(one: JsonSchema, other: JsonSchema) -> JsonSchema:
    """The properties of ``one`` alone, to which what ``other`` says of additional ones applies."""
    own = {
        name: sub
        for name, sub in one.get("properties", {}).items()
        if name not in other.get("properties", {})
    }
    additional = other.get("additionalProperties", True)
    return own if additional is True else {name: _all(sub, additional) for name, sub in own.items()}


def _common(one: JsonSchema, other: JsonSchema) -> JsonSchema:
    theirs = other.get("properties", {})
    return {
        name: _all(sub, theirs[name]) for name, sub in one.get("properties", {}).items() if name in theirs
    }


def _all(one: Subschema, other: Subschema) -> Subschema:
    return one if one == other else {"allOf": [one, other]}


def _each(one: JsonSchema, other: JsonSchema) -> JsonSchema:
    return {**one, **{name: _all(one[name], sub) if name in one else sub for name, sub in other.items()}}


def _product(one: list[Subschema], other: list[Subschema]) -> list[Subschema]:
    return [_all(left, right) for left in one for right in other]


def _types(one: str | list[str], other: str | list[str]) -> str | list[str]:
    ones, others = ([found] if isinstance(found, str) else found for found in (one, other))
    wide = [[*found, *(["integer"] if "number" in found else [])] for found in (ones, others)]
    both = [type for type in wide[0] if type in wide[1]]
    found = [type for type in both if type != "integer" or "number" not in both]
    return found[0] if len(found) == 1 else found


def _enums(one: list[Any], other: list[Any]) -> list[Any]:
    theirs = {json.dumps(value, sort_keys=True) for value in other}
    return [value for value in one if json.dumps(value, sort_keys=True) in theirs]


def _common_multiple(one: float, other: float) -> float:
    left, right = Fraction(str(one)), Fraction(str(other))
    numerator = left.numerator * right.denominator
    factor = numerator // gcd(numerator, right.numerator * left.denominator)
    multiple = right * factor
    return int(multiple) if multiple.denominator == 1 else float(multiple)


_COMBINED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(
        ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"), max
    ),
    **dict.fromkeys(
        ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), min
    ),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames", "contentSchema"), _all),
    **dict.fromkeys(("anyOf", "oneOf"), _product),
    "type": _types,
    "enum": _enums,
    "multipleOf": _common_multiple,
    "uniqueItems": lambda one, other: one or other,
    "required": lambda one, other: list(dict.fromkeys([*one, *other])),
    "patternProperties": _each,
    "not": lambda one, other: {"anyOf": [one, other]},
}
