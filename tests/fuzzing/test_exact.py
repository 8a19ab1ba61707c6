"""What the exact generator says beyond pydantic's own."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AwareDatetime,
    Field,
    FutureDatetime,
    HttpUrl,
    NaiveDatetime,
    PastDate,
    PostgresDsn,
    TypeAdapter,
)

from protocol.fuzzing import ExactJsonSchema


class Level(IntEnum):
    LOW = 1


class Colour(Enum):
    RED = "red"


def exact(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema(schema_generator=ExactJsonSchema)


def string(format: str, **more: object) -> dict[str, Any]:
    return {"type": "string", "format": format, **more}


@pytest.mark.parametrize(
    "kind, schema",
    [
        (datetime, {"anyOf": [string("date-time"), string("date-time-local")]}),
        (AwareDatetime, string("date-time")),
        (NaiveDatetime, string("date-time-local")),
        (time, {"anyOf": [string("time"), string("time-local")]}),
        (PastDate, string("date", formatMaximum="2020-01-01")),
        (Annotated[date, Field(gt=date(2024, 2, 29))], string("date", formatExclusiveMinimum="2024-02-29")),
        (
            Annotated[AwareDatetime, Field(le=datetime(2024, 1, 1, tzinfo=UTC))],
            string("date-time", formatMaximum="2024-01-01T00:00:00Z"),
        ),
        (
            FutureDatetime,
            {
                "anyOf": [
                    string(name, formatMinimum="2100-01-01T00:00:00")
                    for name in ("date-time", "date-time-local")
                ]
            },
        ),
        (timedelta, string("duration", formatMinimum="-P2739726Y9D")),
        (Annotated[timedelta, Field(ge=timedelta(0))], string("duration", formatMinimum="PT0S")),
    ],
)
def test_times_say_their_offset_and_their_bounds(kind: Any, schema: dict[str, Any]) -> None:
    assert exact(kind) == schema


def test_urls_say_their_schemes() -> None:
    assert exact(HttpUrl)["x-schemes"] == ["http", "https"]
    assert "postgresql" in exact(PostgresDsn)["x-schemes"]


@pytest.mark.parametrize(
    "constraints, keywords",
    [
        ({}, {}),
        ({"gt": 0, "le": Decimal("1.5")}, {"exclusiveMinimum": 0.0, "maximum": 1.5}),
        (
            {"max_digits": 5, "decimal_places": 2},
            {"allOf": [{"multipleOf": 0.01, "exclusiveMinimum": -1000, "exclusiveMaximum": 1000}]},
        ),
        (
            {"max_digits": 2},
            {"allOf": [{"multipleOf": 1.0, "exclusiveMinimum": -100, "exclusiveMaximum": 100}]},
        ),
        ({"decimal_places": 1}, {"allOf": [{"multipleOf": 0.1}]}),
    ],
)
def test_decimals_are_bound_as_numbers_and_as_strings(
    constraints: dict[str, Any], keywords: dict[str, Any]
) -> None:
    schema = exact(Annotated[Decimal, Field(**constraints)])
    assert schema == {"type": ["number", "string"], "format": "decimal", **keywords}


@pytest.mark.parametrize(
    "key, names",
    [
        (str, None),
        (Any, None),
        (UUID, string("uuid")),
        (datetime, {"anyOf": [string("date-time"), string("date-time-local")]}),
        (
            Annotated[int, Field(ge=1)],
            {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"type": "integer", "minimum": 1},
            },
        ),
        (
            bool,
            {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "boolean"}},
        ),
        (Colour, {"$ref": "#/$defs/Colour"}),
        (
            Level,
            {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/$defs/Level"},
            },
        ),
    ],
)
def test_keys_of_a_mapping_say_how_they_are_written(key: Any, names: dict[str, Any] | None) -> None:
    assert exact(dict[key, int]).get("propertyNames") == names


def test_keys_with_a_pattern_stay_what_they_are() -> None:
    schema = exact(dict[Annotated[str, Field(pattern="^k")], int])
    assert schema == {"type": "object", "patternProperties": {"^k": {"type": "integer"}}}
