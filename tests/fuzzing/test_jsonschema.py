"""What is read out of a JSON Schema."""

from typing import Any

import pytest

from protocol.fuzzing.jsonschema import (
    NOTHING,
    alternatives,
    at,
    discriminator,
    flat,
    resolve,
    shape,
    subschemas,
    types,
    validator,
    with_tag,
)
from tests.misdeclared import refusal

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def test_a_reference_is_a_json_pointer() -> None:
    root = {"$defs": {"a/b": {"items": [STRING]}, "yes": True}}
    assert resolve(root, "#/$defs/a~1b/items/0") == STRING
    assert resolve(root, "#/$defs/yes") is True
    assert resolve(root, "#") == root


@pytest.mark.parametrize(
    "reference, text",
    [
        ("#/$defs/B", "The reference '#/$defs/B' leads nowhere in the schema."),
        ("#/$defs/A/type/0/x", "The reference '#/$defs/A/type/0/x' leads nowhere in the schema."),
        ("other.json#/A", "The reference 'other.json#/A' leaves the document: bundle the schema first."),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error(reference: str, text: str) -> None:
    assert refusal(lambda: resolve({"$defs": {"A": STRING}}, reference)) == text


def test_schemas_that_say_the_same_have_one_shape() -> None:
    one = {
        "type": "object",
        "title": "Room",
        "properties": {"title": {"type": "string", "description": "Its title."}},
    }
    other = {"properties": {"title": {"type": "string", "default": ""}}, "type": "object"}
    assert shape(one) == shape(other)
    assert shape(one) != shape({**one, "properties": {"name": STRING}})
    assert shape(True) == "true"


def test_values_are_no_schemas() -> None:
    found = list(subschemas({"enum": [{"type": "x"}], "anyOf": [STRING], "properties": {"const": INTEGER}}))
    assert found[1:] == [STRING, INTEGER]


@pytest.mark.parametrize(
    "one, other, both",
    [
        ({"minimum": 1, "maximum": 9}, {"minimum": 2, "exclusiveMaximum": 9}, {"minimum": 2, "maximum": 9, "exclusiveMaximum": 9}),
        ({"minLength": 1, "maxLength": 9}, {"minLength": 2, "maxLength": 3}, {"minLength": 2, "maxLength": 3}),
        ({"multipleOf": 4}, {"multipleOf": 6}, {"multipleOf": 12}),
        ({"multipleOf": 0.5}, {"multipleOf": 0.2}, {"multipleOf": 1}),
        ({"type": ["number", "string"]}, {"type": ["integer", "null"]}, {"type": "integer"}),
        ({"type": "number"}, {"type": "number"}, {"type": "number"}),
        (STRING, INTEGER, NOTHING),
        ({"const": 1}, {"enum": [1, True, 2]}, {"enum": [1]}),
        ({"required": ["a"]}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
        ({"uniqueItems": False}, {"uniqueItems": True}, {"uniqueItems": True}),
        ({"items": STRING}, {"items": INTEGER}, {"items": {"allOf": [STRING, INTEGER]}}),
        ({"not": STRING}, {"not": INTEGER}, {"not": {"anyOf": [STRING, INTEGER]}}),
        ({"anyOf": [STRING]}, {"anyOf": [STRING, INTEGER]}, {"anyOf": [STRING, {"allOf": [STRING, INTEGER]}]}),
        ({"pattern": "a"}, {"pattern": "b"}, {"pattern": "a"}),
        ({"patternProperties": {"a": STRING}}, {"patternProperties": {"b": STRING}}, {"patternProperties": {"a": STRING, "b": STRING}}),
        (
            {"properties": {"a": STRING, "b": INTEGER}, "additionalProperties": False},
            {"properties": {"a": {"maxLength": 2}, "c": STRING}},
            {
                "properties": {
                    "a": {"allOf": [STRING, {"maxLength": 2}]},
                    "b": INTEGER,
                    "c": {"allOf": [STRING, False]},
                },
                "additionalProperties": False,
            },
        ),
        ({}, True, {}),
        ({}, False, NOTHING),
    ],
)  # fmt: skip
def test_a_conjunction_is_one_schema(
    one: dict[str, Any], other: dict[str, Any] | bool, both: dict[str, Any]
) -> None:
    assert flat({}, {"allOf": [one, other]}) == both


def test_a_reference_is_joined_with_what_stands_beside_it() -> None:
    root = {"$defs": {"Name": {"type": "string", "maxLength": 9, "title": "Name"}}}
    assert flat(root, {"$ref": "#/$defs/Name", "minLength": 1, "description": "Its name."}) == {
        "type": "string",
        "minLength": 1,
        "maxLength": 9,
    }


def test_alternatives_are_flat() -> None:
    schema = {"maxLength": 3, "anyOf": [STRING, {"oneOf": [INTEGER, {"type": "null"}]}]}
    assert list(alternatives({}, schema)) == [
        {"maxLength": 3, **STRING},
        {"maxLength": 3, **INTEGER},
        {"maxLength": 3, "type": "null"},
    ]


def test_the_schema_at_a_place_is_found_through_references_and_alternatives() -> None:
    root = {
        "$defs": {"Node": {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, "value": INTEGER}}},
        "properties": {
            "node": {"$ref": "#/$defs/Node"},
            "pair": {"prefixItems": [STRING], "items": INTEGER},
            "closed": {"additionalProperties": False},
        },
        "patternProperties": {"^x-": STRING},
        "additionalProperties": {"type": "null"},
    }  # fmt: skip
    assert at(root, root, ("node", "next", "next", "value")) == [INTEGER]
    assert at(root, root, ("pair", 0)) == [STRING]
    assert at(root, root, ("pair", 1)) == [INTEGER]
    assert at(root, root, ("x-a",)) == [STRING]
    assert at(root, root, ("other",)) == [{"type": "null"}]
    assert at(root, root, ("closed", "a")) == [NOTHING]
    assert at(root, root, ("pair", 1, "a")) == []


def test_types_are_inferred_from_keywords() -> None:
    assert types({"type": "string"}) == ["string"]
    assert types({"type": ["string", "null"]}) == ["string", "null"]
    assert types({"maxLength": 1, "minimum": 1}) == ["string", "number"]
    assert types({"title": "Anything"}) == []


def test_the_tag_is_required_where_pydantic_does_not_demand_it() -> None:
    schema = {
        "properties": {"kind": {"const": "say", "default": "say"}, "text": STRING},
        "required": ["text"],
    }
    assert discriminator(schema, "say") == "kind"
    assert discriminator(schema, "other") is None
    assert with_tag(schema, "say")["required"] == ["kind", "text"]
    assert with_tag(with_tag(schema, "say"), "say")["required"] == ["kind", "text"]
    assert with_tag(schema, "other") is schema


def test_a_part_of_a_document_is_validated_with_its_definitions() -> None:
    root = {"$defs": {"Name": STRING}}
    found = validator(root, {"items": {"$ref": "#/$defs/Name"}})
    assert found.is_valid(["a"])
    assert not found.is_valid([1])
