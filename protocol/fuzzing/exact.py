"""The JSON Schema of a pydantic model, with what the standard generator leaves out.

JSON Schema cannot say everything that a pydantic type demands, and pydantic does not say everything that
JSON Schema can. Generating values needs all of it. Nothing here makes a value.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

_BOUNDS: Final = {
    "ge": "formatMinimum",
    "gt": "formatExclusiveMinimum",
    "le": "formatMaximum",
    "lt": "formatExclusiveMaximum",
}

# Far enough from today that a run, and a replay years later, sees the same values accepted.
_PAST: Final[dict[type, date]] = {date: date(2020, 1, 1), datetime: datetime.fromisoformat("2020-01-01")}
_FUTURE: Final[dict[type, date]] = {date: date(2100, 1, 1), datetime: datetime.fromisoformat("2100-01-01")}


class ExactJsonSchema(GenerateJsonSchema):
    """A generator for ``json_schema(schema_generator=ExactJsonSchema)`` that says more.

    - Whether a time has an offset: ``date-time`` and ``time`` have one, ``date-time-local`` and ``time-local``
      do not (formats of the OpenAPI registry).
    - Bounds of temporal types: ``formatMinimum`` and its three sisters (JSON Schema proposal, as in ajv-formats).
    - The schemes of a URL: ``x-schemes``.
    - That the white space around a string does not count: ``x-stripped``.
    - A decimal is a number or a string of format ``decimal``, and the numeric keywords bind both.
    - Keys of a mapping that are no strings are JSON in a string, by ``contentSchema``.
    """

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {**super().date_schema(schema), **_bounds(schema, date)}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return _zoned(super().datetime_schema(schema), schema, datetime)

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return _zoned(super().time_schema(schema), schema, time)

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        found = {**super().timedelta_schema(schema), **_bounds(schema, timedelta)}
        if not found.keys() & {"formatMinimum", "formatExclusiveMinimum"}:
            # A duration is positive, as ISO 8601 has it; pydantic takes negative ones.
            found["formatMinimum"] = to_jsonable_python(timedelta.min)
        return found

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        stripped = schema.get("strip_whitespace", self._config.str_strip_whitespace)
        return {**super().str_schema(schema), **({"x-stripped": True} if stripped else {})}

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        return {**super().url_schema(schema), **_schemes(schema)}

    def multi_host_url_schema(self, schema: core_schema.MultiHostUrlSchema) -> JsonSchemaValue:
        return {**super().multi_host_url_schema(schema), **_schemes(schema)}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        found: JsonSchemaValue = {"type": ["number", "string"], "format": "decimal"}
        bounds: Mapping[str, Any] = schema
        for name, keyword in self.ValidationsMapping.numeric.items():
            if (bound := bounds.get(name)) is not None:
                found[keyword] = float(bound)
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        if digits is not None or places is not None:
            places = places or 0
            limits: JsonSchemaValue = {"multipleOf": float(Fraction(1, 10**places))}
            if digits is not None:
                limits |= {
                    "exclusiveMinimum": -(10 ** (digits - places)),
                    "exclusiveMaximum": 10 ** (digits - places),
                }
            found["allOf"] = [limits]
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        if "keys_schema" not in schema or "patternProperties" in found:
            return found
        keys = self.generate_inner(schema["keys_schema"])
        kind = (self.get_schema_from_definitions(keys["$ref"]) or {} if "$ref" in keys else keys).get("type")
        if kind in ("boolean", "integer", "number"):
            keys = {"type": "string", "contentMediaType": "application/json", "contentSchema": keys}
        if keys not in ({}, {"type": "string"}):
            found["propertyNames"] = keys
        return found


def _bounds(schema: Mapping[str, Any], kind: type) -> JsonSchemaValue:
    found = {_BOUNDS[name]: to_jsonable_python(schema[name]) for name in _BOUNDS.keys() & schema.keys()}
    if schema.get("now_op") == "past":
        found.setdefault("formatMaximum", to_jsonable_python(_PAST[kind]))
    elif schema.get("now_op") == "future":
        found.setdefault("formatMinimum", to_jsonable_python(_FUTURE[kind]))
    return found


def _zoned(found: JsonSchemaValue, schema: Mapping[str, Any], kind: type) -> JsonSchemaValue:
    zoned = {**found, **_bounds(schema, kind)}
    local = {**zoned, "format": f"{found['format']}-local"}
    match schema.get("tz_constraint"):
        case None:
            return {"anyOf": [zoned, local]}
        case "naive":
            return local
        case _:
            return zoned


def _schemes(schema: Mapping[str, Any]) -> JsonSchemaValue:
    return {"x-schemes": schema["allowed_schemes"]} if schema.get("allowed_schemes") else {}
