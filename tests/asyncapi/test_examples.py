"""Examples are readable, always the same, and valid for what pydantic writes."""

import json
import re
from datetime import date, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from protocol.asyncapi.examples import NoExample, example, spelled
from protocol.asyncapi.schemas import Schemas


class Colour(StrEnum):
    RED = "red"


class Node(BaseModel):
    value: int
    children: "list[Node]" = []
    parent: "Node | None" = None


class Address(BaseModel):
    street: str = Field(examples=["Main Street 1"])
    zip: Annotated[str, Field(pattern=r"^\d{5}$")]


def made(annotation: Any, *, full: bool = True, name: str = "text") -> Any:
    schemas = Schemas()
    schema = schemas.add(TypeAdapter(annotation).json_schema())
    found = example(schema, schemas.components, full=full, name=name)
    whole = {**schema, "components": {"schemas": schemas.components}}
    jsonschema_rs.Draft7Validator(whole, validate_formats=True).validate(found)
    TypeAdapter(annotation).validate_json(json.dumps(found))
    return found


@pytest.mark.parametrize(
    "annotation, expected",
    [
        (str, "text"),
        (Annotated[str, Field(min_length=10, max_length=12)], "texttextte"),
        (Annotated[str, Field(max_length=2)], "te"),
        (Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")], "text"),
        (Annotated[str, Field(pattern=r"^x_\d{3}[A-F]+$")], "x_000A"),
        (int, 1),
        (Annotated[int, Field(ge=10)], 10),
        (Annotated[int, Field(gt=10, multiple_of=5)], 15),
        (Annotated[int, Field(le=-3)], -3),
        (Annotated[float, Field(gt=0, lt=1)], 0.5),
        (bool, True),
        (None, None),
        (datetime, "2026-01-01T12:00:00Z"),
        (timedelta, "PT1H"),
        (UUID, "6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"),
        (IPv4Address, "192.0.2.1"),
        (Colour, "red"),
        (Literal["b", "a"], "b"),
        (int | None, 1),
        (list[int], [1]),
        (Annotated[list[str], Field(min_length=2)], ["text", "text"]),
        (tuple[int, str], [1, "text"]),
        (dict[str, int], {"key1": 1}),
        (Annotated[dict[str, int], Field(min_length=2)], {"key1": 1, "key2": 1}),
        (dict[date, int], {"2026-01-01": 1}),
        (Address, {"street": "Main Street 1", "zip": "00000"}),
        (Any, "text"),
    ],
)
def test_there_is_a_plain_example_of(annotation: Any, expected: Any) -> None:
    assert made(annotation) == expected


def test_a_text_is_named_after_its_field() -> None:
    assert made(str, name="room") == "room"


def test_a_recursive_model_ends() -> None:
    assert made(Node, full=False) == {"value": 1}
    assert made(Node)["children"][0]["value"] == 1


@pytest.mark.parametrize("pattern", ["a|b", "(?=x)y", r"\bword", "[", "(a(b)c)"])
def test_what_cannot_be_spelled_is_left(pattern: str) -> None:
    assert spelled(pattern) is None


@pytest.mark.parametrize("pattern", [r"a{2}b*c?d+", r"(ab|cd){2}", r"[^a]\.\w", r"(?:x)+-[0-9]{2,4}"])
def test_what_is_spelled_matches(pattern: str) -> None:
    text = spelled(pattern)
    assert text is not None
    assert re.fullmatch(pattern, text)


def test_there_may_be_no_example() -> None:
    with pytest.raises(NoExample):
        made(Annotated[str, Field(pattern=r"^\bq(?:u(?:x))$")])
