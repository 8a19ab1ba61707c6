"""What is made from a schema satisfies it, by the word of jsonschema-rs."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.fuzzing.overrides import Overrides
from protocol.fuzzing.strategies import from_schema
from tests.misdeclared import refusal
from tests.profiles import examples

few = examples(12)

NAME = {"type": "string", "pattern": "^[a-z]{2,5}$"}
TREE = {
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            "required": ["value", "children"],
        }
    },
    "$ref": "#/$defs/Tree",
}  # fmt: skip


def made(schema: dict[str, Any]) -> SearchStrategy[Any]:
    return from_schema(schema, Overrides({}, {}), name="it")


def json_like(value: Any) -> bool:
    return bool(json.loads(json.dumps(value)) == value)


SCHEMAS: dict[str, dict[str, Any]] = {
    "anything": {},
    "null": {"type": "null"},
    "several types": {"type": ["string", "integer", "null"], "maxLength": 2, "minimum": 5},
    "types by keywords": {"maxLength": 2, "minimum": 5},
    "enum": {"enum": [1, "a", None, [1], {"a": 1}], "type": ["string", "array"]},
    "const": {"const": {"a": [1]}},
    "integer bounds": {"type": "integer", "exclusiveMinimum": 2, "maximum": 3},
    "negative": {"type": "integer", "maximum": -(10**20)},
    "fractional bounds": {"type": "integer", "minimum": 0.5, "maximum": 2.5},
    "integral multiples of a fraction": {"type": "integer", "multipleOf": 1.5},
    "int32": {"type": "integer", "format": "int32"},
    "number bounds": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "one number": {"type": "number", "minimum": 0.5, "maximum": 0.5},
    "both bounds": {"type": "number", "minimum": 0, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 2},
    "far from zero": {"type": "number", "minimum": 1e20},
    "multiples": {"type": "number", "multipleOf": 0.01, "minimum": -1, "exclusiveMaximum": 1},
    "lengths": {"type": "string", "minLength": 2, "maxLength": 3},
    "long": {"type": "string", "minLength": 5000},
    "format and pattern": {"type": "string", "format": "uuid", "pattern": "^[0-9a-f-]*[a-f][0-9a-f-]*$"},
    "format and length": {"type": "string", "format": "email", "maxLength": 20},
    "base64": {"type": "string", "contentEncoding": "base64"},
    "json": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "integer"}},
    "array": {"type": "array", "items": NAME, "minItems": 1, "maxItems": 2},
    "no items": {"type": "array", "maxItems": 0},
    "untyped array": {"type": "array"},
    "unique": {"type": "array", "items": {"enum": [1, 1.0, True, "1", {"a": 1}, {"a": 1.0}]}, "uniqueItems": True, "minItems": 2},
    "tuple": {"type": "array", "prefixItems": [NAME, {"type": "integer"}], "minItems": 2, "maxItems": 2},
    "tuple with a tail": {"type": "array", "prefixItems": [NAME], "items": {"type": "integer"}, "minItems": 2},
    "open tuple": {"type": "array", "prefixItems": [NAME, NAME], "items": False},
    "contains": {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 0}, "minItems": 1},
    "object": {"properties": {"a": NAME, "b": NAME}, "required": ["b"], "additionalProperties": False},
    "untyped object": {"type": "object"},
    "required only": {"type": "object", "required": ["a"], "additionalProperties": NAME},
    "mapping": {"type": "object", "additionalProperties": NAME, "minProperties": 2, "maxProperties": 3},
    "names": {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "null"}},
    "pattern properties": {
        "type": "object",
        "properties": {"x-a": {"minLength": 4}, "y": {"type": "null"}},
        "patternProperties": {"^x-": NAME},
        "additionalProperties": {"type": "integer"},
        "minProperties": 1,
    },
    "too many": {"properties": dict.fromkeys("abc", NAME), "additionalProperties": False, "minProperties": 1, "maxProperties": 2},
    "all of": {"allOf": [{"properties": {"a": NAME}, "required": ["a"]}, {"properties": {"b": NAME}, "required": ["b"]}]},
    "all of and any of": {"required": ["a"], "properties": {"a": NAME}, "anyOf": [{"required": ["b"]}, {"required": ["c"]}]},
    "not": {"type": "integer", "minimum": 0, "maximum": 9, "not": {"multipleOf": 3}},
    "if": {"enum": [1, 2, "a", "bb"], "if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}},
    "dependent": {"properties": {"a": NAME, "b": NAME}, "dependentRequired": {"a": ["b"]}, "additionalProperties": False},
    "reference with more": {"$defs": {"Name": NAME}, "$ref": "#/$defs/Name", "maxLength": 2},
    "elsewhere": {"components": {"schemas": {"Name": NAME}}, "items": {"$ref": "#/components/schemas/Name"}},
    "tree": TREE,
    "recursion inside all of": {
        "$defs": {"A": {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}, {"maxProperties": 1}]}}}},
        "$ref": "#/$defs/A",
    },
    "impossible option": {"properties": {"a": {"not": {}}, "b": False}, "additionalProperties": False},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
@few
@given(data=st.data())
def test_what_is_made_satisfies_the_schema(name: str, data: st.DataObject) -> None:
    value = data.draw(made(SCHEMAS[name]))
    assert json_like(value)
    assert jsonschema_rs.is_valid(SCHEMAS[name], value)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
        {"type": "number", "multipleOf": 2, "minimum": 3, "maximum": 3},
        {"type": "string", "minLength": 2, "maxLength": 1},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "additionalProperties": False, "minProperties": 1},
        {"type": "object", "required": ["a", "b"], "maxProperties": 1},
        {"$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}, "$ref": "#/$defs/A"},
        {"not": {}},
    ],
)  # fmt: skip
def test_a_schema_that_nothing_satisfies_is_an_error(schema: dict[str, Any]) -> None:
    assert refusal(lambda: made(schema)) == (
        "Nothing satisfies the schema of 'it': no finite value has all that it requires."
    )


def test_a_type_that_json_has_not_is_an_error() -> None:
    assert refusal(lambda: made({"type": "date"})) == "'date' is no type of JSON Schema."


def test_recursion_that_ends_late_is_followed_to_its_end() -> None:
    names = [f"L{number}" for number in range(9)]
    chain: dict[str, Any] = {
        name: {"type": "object", "properties": {"next": {"$ref": f"#/$defs/{then}"}}, "required": ["next"]}
        for name, then in zip(names, [*names[1:], "End"], strict=True)
    }
    end = {"anyOf": [{"$ref": "#/$defs/L0"}, {"type": "null"}]}
    value = find(made({"$defs": {**chain, "End": end}, "$ref": "#/$defs/L0"}), lambda value: True)
    assert json.dumps(value).count("next") == 9


@pytest.mark.parametrize(
    "schema, simplest",
    [
        ({}, None),
        (TREE, {"value": 0, "children": []}),
        ({"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]}, None),
        ({"type": "string", "minLength": 2}, "00"),
        ({"properties": {"text": {"type": "string"}, "type": {"const": "say"}}, "required": ["text", "type"]}, {"type": "say", "text": ""}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {}),
    ],
)  # fmt: skip
def test_shrinking_ends_at_the_simplest_value(schema: dict[str, Any], simplest: Any) -> None:
    found = find(made(schema), lambda value: True)
    assert found == simplest
    assert list(found or ()) == list(simplest or ())


@pytest.mark.parametrize(
    "text", ["__proto__", "constructor", "\0", "👍🏽", "שלום", "e\u0301", "\u202eabc", "a" * 4096]
)
def test_texts_that_break_programs_are_among_the_valid(text: str) -> None:
    assert find(made({"type": "string", "maxLength": 10_000}), lambda found: found == text)


@pytest.mark.parametrize("number", [2**31, -(2**31), 2**53 + 1, 2**63])
def test_numbers_that_break_programs_are_among_the_valid(number: int) -> None:
    assert find(made({"type": "integer", "minimum": -(2**40)}), lambda found: found == number)


def test_numbers_are_written_in_both_ways() -> None:
    numbers = made({"type": "number"})
    assert find(numbers, lambda number: isinstance(number, int)) == 0
    assert isinstance(find(numbers, lambda number: isinstance(number, float)), float)


def test_strings_of_one_kind_meet() -> None:
    one, other = (
        made({"properties": {"room": NAME}, "required": ["room"]}),
        made({"items": NAME, "minItems": 1}),
    )
    room, rooms = find(
        st.tuples(one, other), lambda pair: pair[0]["room"] in pair[1] and pair[0]["room"] != "aa"
    )
    assert room["room"] in rooms
