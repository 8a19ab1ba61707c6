"""Pydantic's JSON Schema, lowered to Draft 07, says the same."""

import enum
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from protocol.asyncapi.schemas import Schemas


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Node(BaseModel):
    value: int
    children: "list[Node]" = []


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Described(BaseModel):
    cat: Annotated[Cat, Field(description="A cat.")]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


def lowered(annotation: Any) -> dict[str, Any]:
    schemas = Schemas()
    found = schemas.add(TypeAdapter(annotation).json_schema())
    return {**found, "components": {"schemas": schemas.components}}


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    return jsonschema_rs.Draft7Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "annotation, valid, invalid",
    [
        (tuple[int, str], [[1, "a"]], [["a", 1], [1], [1, "a", 2]]),
        (tuple[int, ...], [[], [1, 2]], [["a"]]),
        (
            Pet,
            [{"kind": "cat"}, {"kind": "dog", "name": "Rex"}],
            [{"lives": 3}, {"name": "Rex"}, {"kind": "dog"}],
        ),
        (Node, [{"value": 1, "children": [{"value": 2}]}], [{"value": 1, "children": [{}]}]),
        (Described, [{"cat": {}}], [{"cat": 1}, {}]),
        (dict[str, Cat] | None, [None, {"a": {}}], [{"a": 1}]),
        (Literal["a", "b"], ["a"], ["c"]),
        (dict[Level, int], [{}, {"1": 2}], [{"1": "a"}]),
        (dict[Literal["a", "b"], int], [{"a": 2}], [{"c": 2}]),
    ],
)
def test_a_lowered_schema_admits_and_refuses_the_same(
    annotation: Any, valid: list[Any], invalid: list[Any]
) -> None:
    schema = lowered(annotation)
    jsonschema_rs.Draft7Validator(schema)
    assert [value for value in valid if not is_valid(schema, value)] == []
    assert [value for value in invalid if is_valid(schema, value)] == []


def test_nothing_is_left_that_draft_07_does_not_know() -> None:
    text = str(lowered(tuple[int, Pet]))
    assert not [keyword for keyword in ("prefixItems", "$defs", "discriminator'") if keyword in text]


def test_what_stands_beside_a_reference_is_kept() -> None:
    assert lowered(Described)["properties"]["cat"] == {
        "allOf": [{"$ref": "#/components/schemas/Cat"}],
        "description": "A cat.",
    }


def test_dependencies_have_one_keyword_in_draft_07() -> None:
    schema = {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"prefixItems": [{}]}}}
    assert Schemas().add(schema) == {"dependencies": {"a": ["b"], "c": {"items": [{}]}}}


@pytest.mark.parametrize(
    "pattern, found",
    [
        (r"^a\Z", {"pattern": "^a$"}),
        (r"\A(?P<year>\d{4})\z", {"pattern": r"^(?<year>\d{4})$"}),
        (r"(?i)abc", {"x-pattern": "(?i)abc"}),
        (r"a++b", {"x-pattern": "a++b"}),
        (r"^\x{41}$", {"x-pattern": r"^\x{41}$"}),
        (r"[+]+", {"pattern": "[+]+"}),
    ],
)
def test_patterns_are_those_of_ecma_262(pattern: str, found: dict[str, str]) -> None:
    assert Schemas().add({"pattern": pattern}) == found


@pytest.mark.parametrize(
    "schema, value",
    [
        ({"contains": {"type": "string"}, "minContains": 0}, []),
        ({"contains": {"type": "string"}, "minContains": 0, "maxContains": 1}, [1]),
        ({"not": {"pattern": "(?i:x)"}}, "y"),
        ({"not": {"properties": {"a": {"type": "string", "pattern": "a++"}}}}, {"a": "b"}),
        ({"not": {"contains": {"type": "null"}, "minContains": 2}}, [None]),
        ({"if": {"pattern": "(?i:x)"}, "then": False}, "y"),
    ],
)
def test_what_draft_07_cannot_say_refuses_nothing_that_is_admitted(
    schema: dict[str, Any], value: Any
) -> None:
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(value)
    assert is_valid(Schemas().add(schema), value)


def test_what_draft_07_can_say_is_kept() -> None:
    schema = {
        "contains": {"type": "string"},
        "not": {"properties": {"pattern": {"pattern": "^a$"}, "minContains": {}}},
        "if": {"type": "string"},
        "then": {"minLength": 2},
        "else": False,
    }
    assert Schemas().add(schema) == schema


def test_data_is_not_taken_for_a_schema() -> None:
    schema = {
        "default": {"$ref": "x", "prefixItems": 1},
        "examples": [{"discriminator": 1}],
        "properties": {"pattern": {}},
    }
    assert Schemas().add(schema) == schema


def test_a_definition_is_shared_where_it_is_the_same_and_named_apart_where_it_is_not() -> None:
    schemas = Schemas()
    one = {"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"type": "string"}}}
    other = {"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"type": "integer"}}}
    assert schemas.add(one) == schemas.add(one) == {"$ref": "#/components/schemas/A"}
    assert schemas.add(other) == {"$ref": "#/components/schemas/A2"}
    assert schemas.components == {
        "A": {"items": {"$ref": "#/components/schemas/B"}},
        "B": {"type": "string"},
        "A2": {"items": {"$ref": "#/components/schemas/B2"}},
        "B2": {"type": "integer"},
    }
