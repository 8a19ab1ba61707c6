"""JSON Schema 2020-12, as pydantic writes it, in the words of Draft 07, as AsyncAPI wants it.

What Draft 07 cannot say is left out, so that a lowered schema never refuses what the schema admits.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

JsonSchema = dict[str, Any]
Place = Callable[[str], str]

DEFINITIONS: Final = "#/$defs/"

MAPS: Final = frozenset({"properties", "patternProperties"})
LISTS: Final = frozenset({"allOf", "anyOf", "oneOf"})
SINGLE: Final = frozenset({"additionalProperties", "contains", "else", "if", "not", "propertyNames", "then"})

_UNKNOWN: Final = frozenset(
    {
        "$anchor", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$schema", "$vocabulary", "contentSchema",
        "discriminator", "maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_LEFT_OUT: Final = frozenset(
    {"$dynamicRef", "maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties"}
)
# Inline flags, atomic groups, possessive quantifiers and ``\x{41}`` are no ECMA 262, which Draft 07 refers to (section 4.3).
_FOREIGN: Final = re.compile(r"\(\?[a-zA-Z-]+[:)]|\(\?>|[*+?}]\+|\\x\{")


def lower_definitions(schema: JsonSchema, place: Place) -> dict[str, JsonSchema]:
    """What ``schema`` has under ``$defs``, in Draft 07, by name. ``place`` makes the reference to a name.

    The members of a union that is told apart by a tag require the tag. Pydantic does too, and does not say so
    where the tag has a default.
    """
    definitions = {name: lower_node(found, place) for name, found in schema.get("$defs", {}).items()}
    for node in _nodes(schema):
        match node.get("discriminator"):
            case {"propertyName": tag, "mapping": mapping}:
                for reference in mapping.values():
                    _require(definitions[reference.removeprefix(DEFINITIONS)], tag)
    return definitions


def lower_node(node: Any, place: Place) -> Any:
    """One schema in Draft 07, without its definitions."""
    if not isinstance(node, dict):
        return node
    found: JsonSchema = {}
    for keyword, value in node.items():
        if keyword in MAPS:
            found[keyword] = {name: lower_node(inner, place) for name, inner in value.items()}
        elif keyword in LISTS:
            found[keyword] = [lower_node(inner, place) for inner in value]
        elif keyword in SINGLE:
            found[keyword] = lower_node(value, place)
        elif keyword == "$ref":
            found[keyword] = place(value.removeprefix(DEFINITIONS))
        elif keyword == "prefixItems":
            found["items"] = [lower_node(inner, place) for inner in value]
        elif keyword == "items":
            found["additionalItems" if "prefixItems" in node else "items"] = lower_node(value, place)
        elif keyword == "dependentRequired":
            found.setdefault("dependencies", {}).update(value)
        elif keyword == "dependentSchemas":
            lowered = {name: lower_node(inner, place) for name, inner in value.items()}
            found.setdefault("dependencies", {}).update(lowered)
        elif keyword == "pattern":
            found.update(_pattern(value))
        elif keyword not in _UNKNOWN:
            found[keyword] = value
    for name in _stricter(node):
        found.pop(name, None)
    tag = node.get("discriminator", {}).get("propertyName")
    for inner in found.get("oneOf", ()):
        if tag in inner.get("properties", ()):
            _require(inner, tag)
    if "$ref" in found and len(found) > 1:
        # Draft 07 ignores what stands beside a reference.
        found = {"allOf": [{"$ref": found.pop("$ref")}, *found.pop("allOf", ())], **found}
    return found


def without_other_names(schema: JsonSchema) -> JsonSchema:
    """``schema`` without ``propertyNames`` that refer to another type than text.

    Pydantic writes the type that a key is read as; JSON Schema asks it of the name as it stands, which is a text.
    """
    found = copy.deepcopy(schema)
    for node in list(_nodes(found)):
        reference = node.get("propertyNames", {}).get("$ref")
        if reference and found["$defs"][reference.removeprefix(DEFINITIONS)].get("type") != "string":
            del node["propertyNames"]
    return found


def _require(schema: JsonSchema, name: str) -> None:
    if name not in schema.get("required", ()):
        schema["required"] = [name, *schema.get("required", ())]


def _stricter(node: JsonSchema) -> Iterator[str]:
    """The keywords of ``node`` that would refuse more once something is left out."""
    if node.get("minContains") == 0:
        yield "contains"  # which demands one in Draft 07
    if _says_less(node.get("not")):
        yield "not"
    if _says_less(node.get("if")):
        yield from ("if", "then", "else")


def _says_less(node: Any) -> bool:
    """Whether something in a schema is left out, so that it admits more in Draft 07."""
    return any(
        _LEFT_OUT & inner.keys() or "x-pattern" in _pattern(inner.get("pattern", ""))
        for inner in _nodes(node)
    )


def _pattern(pattern: str) -> JsonSchema:
    """A pattern in the syntax of ECMA 262; what that cannot say is for people."""
    translated = pattern.replace("(?P<", "(?<").replace(r"\A", "^").replace(r"\Z", "$")
    translated = translated.replace(r"\z", "$")
    return {"x-pattern": pattern} if _FOREIGN.search(translated) else {"pattern": translated}


def _nodes(node: Any) -> Iterator[JsonSchema]:
    """Every schema in a schema; a default or an example is none."""
    if isinstance(node, list):
        for inner in node:
            yield from _nodes(inner)
    elif isinstance(node, dict):
        yield node
        for keyword, value in node.items():
            if keyword in MAPS | {"$defs", "dependentSchemas"}:
                yield from _nodes(list(value.values()))
            elif keyword in LISTS | SINGLE | {"items", "prefixItems"}:
                yield from _nodes(value)
