"""Example values of a JSON Schema: always the same for the same schema, and readable.

An example need not satisfy every keyword; who shows one validates it first.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from protocol.asyncapi.draft07 import JsonSchema

MAX_DEPTH: Final = 3
"""Below it optional members are left out, so that a recursive schema ends."""

_FORMATS: Final[Mapping[str, str]] = {
    "date": "2026-01-01", "date-time": "2026-01-01T12:00:00Z", "duration": "PT1H", "email": "alice@example.com",
    "hostname": "example.com", "idn-email": "alice@example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "ipvanyaddress": "192.0.2.1", "json-string": "{}", "time": "12:00:00Z", "uri": "https://example.com/",
    "uuid": "6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9",
}  # fmt: skip

# Tried on a pattern behind the name of the field.
_CANDIDATES: Final = (
    "general",
    "a",
    "A",
    "1",
    "0",
    "a-1",
    "a_1",
    "12",
    "123",
    "1234",
    "abc-123",
    "#ffffff",
    "en",
)


class NoExample(Exception):
    """No value was found for a schema."""


def example(
    schema: JsonSchema, components: Mapping[str, JsonSchema], *, full: bool, name: str = "text"
) -> Any:
    """A value of ``schema`` (Draft 07), whose references lead to ``components`` by their last part.

    ``full``: with optional members. Raises ``NoExample``.
    """
    return _Examples(components, full=full).value(schema, name, 0)


class _Examples:
    def __init__(self, components: Mapping[str, JsonSchema], *, full: bool) -> None:
        self._components = components
        self._full = full

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if depth > 4 * MAX_DEPTH or schema is False:
            raise NoExample
        if not isinstance(schema, dict):
            return name
        schema = self._whole(schema)
        for keyword in ("examples", "enum"):
            if schema.get(keyword):
                return schema[keyword][0]
        if "const" in schema:
            return schema["const"]
        if schema.get("default") not in (None, [], {}):
            return schema["default"]
        for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            if inner != {"type": "null"}:
                rest = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
                return self.value(_both(inner, rest), name, depth + 1)
        return self._of_type(schema, name, depth)

    def _whole(self, schema: JsonSchema) -> JsonSchema:
        """``schema`` without references and conjunctions."""
        for _ in range(MAX_DEPTH * 4):
            if "$ref" in schema:
                schema = self._components[schema["$ref"].rpartition("/")[2]]
            elif "allOf" in schema:
                first, *more = schema["allOf"]
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                first = self._whole(first)
                schema = _both(_both(first, {"allOf": more} if more else {}), rest)
            else:
                return schema
        raise NoExample

    def _of_type(self, schema: JsonSchema, name: str, depth: int) -> Any:
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        kind = kinds if isinstance(kinds, str) else next(one for one in kinds if one != "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return _text(schema, name)

    def _object(self, schema: JsonSchema, depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        found = {
            name: self.value(inner, name, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or (self._full and depth < MAX_DEPTH)
        }
        extra = schema.get("additionalProperties")
        while isinstance(extra, dict) and len(found) < max(schema.get("minProperties", 0), int(not found)):
            key = str(self.value(schema.get("propertyNames", {}), f"key{len(found) + 1}", depth + 1))
            if key in found:
                raise NoExample
            found[key] = self.value(extra, "value", depth + 1)
        return found

    def _array(self, schema: JsonSchema, name: str, depth: int) -> list[Any]:
        items = schema.get("items", {})
        if isinstance(items, list):
            return [self.value(inner, name, depth + 1) for inner in items]
        least = 1 if self._full and depth < MAX_DEPTH else 0
        size = min(max(schema.get("minItems", 0), least), schema.get("maxItems", MAX_DEPTH * 1000))
        return [self.value(items, name, depth + 1) for _ in range(size)]


def _both(one: Any, other: JsonSchema) -> JsonSchema:
    """A conjunction, where a keyword of ``other`` wins and members are collected."""
    if not isinstance(one, dict):
        return other
    found = {**one, **other}
    if "properties" in one and "properties" in other:
        found["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        found["required"] = [*one["required"], *other["required"]]
    return found


def _number(schema: JsonSchema, *, whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = 1 if step == 1 else step
    if low is not None and value <= low:
        value = -(-low // step) * step
        value += step if value == schema.get("exclusiveMinimum") else 0
    if high is not None and value >= high:
        value = high // step * step
        value -= step if value == schema.get("exclusiveMaximum") else 0
        if low is not None and not whole and value <= low:
            value = (low + high) / 2
    return int(value) if whole or value == int(value) else float(value)


def _text(schema: JsonSchema, name: str) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if (found := _FORMATS.get(schema.get("format", ""))) is not None:
        return found
    pattern = schema.get("pattern")
    if pattern is None:
        repeated = name * -(-least // len(name)) if name and len(name) < least else name
        return repeated[: max(least, len(name))][:most]
    for candidate in (name, name.lower(), name.upper(), *_CANDIDATES, spelled(pattern)):
        if candidate is None or not least <= len(candidate) <= (len(candidate) if most is None else most):
            continue
        if _matches(pattern, candidate):
            return candidate
    raise NoExample


def _matches(pattern: str, text: str) -> bool:
    """Whether ``text`` matches; never for a pattern that Python cannot read."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def spelled(pattern: str) -> str | None:
    """A short text of a simple pattern: literals, classes, groups and repetitions; ``None`` for another one."""
    found, rest = "", pattern.removeprefix("^").removesuffix("$")
    while rest:
        atom = _ATOM.match(rest)
        if atom is None:
            return None
        rest = rest[atom.end() :]
        if atom["group"] is not None:
            text = spelled(atom["group"].removeprefix("?:").split("|")[0])
        else:
            text = next((one for one in _LETTERS if _matches(f"^(?:{atom['one']})$", one)), None)
        if text is None:
            return None
        found += text * _least(atom["least"], atom["sign"])
    return found


_ATOM: Final = re.compile(
    r"(?:\((?P<group>(?:\?:)?[^()?]*)\)|(?P<one>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()\[\]{}*+?|^$]))"
    r"(?:\{(?P<least>\d+)(?:,\d*)?\}|(?P<sign>[*+?]))?"
)
_LETTERS: Final = [chr(code) for code in (97, 65, 48, *range(32, 127))]


def _least(least: str | None, sign: str | None) -> int:
    if least is not None:
        return int(least)
    return 0 if sign in {"*", "?"} else 1
