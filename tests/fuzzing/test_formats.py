"""A string of a format is accepted by the type whose format it is, and by a validator of JSON Schema."""

import ipaddress
import uuid
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema_rs
import pydantic
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from protocol.fuzzing.formats import formatted
from tests.profiles import examples

few = examples(12)

TYPES: dict[str, Any] = {
    "date": date,
    "date-time": pydantic.AwareDatetime,
    "date-time-local": pydantic.NaiveDatetime,
    "time": time,
    "time-local": time,
    "duration": timedelta,
    "uuid": uuid.UUID,
    "uuid1": pydantic.UUID1,
    "uuid4": pydantic.UUID4,
    "uuid7": pydantic.UUID7,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "ipv4network": ipaddress.IPv4Network,
    "ipv6network": ipaddress.IPv6Network,
    "ipv4interface": ipaddress.IPv4Interface,
    "ipv6interface": ipaddress.IPv6Interface,
    "ipvanyaddress": pydantic.IPvAnyAddress,
    "ipvanynetwork": pydantic.IPvAnyNetwork,
    "ipvanyinterface": pydantic.IPvAnyInterface,
    "uri": pydantic.HttpUrl,
    "multi-host-uri": pydantic.AnyUrl,
    "base64": pydantic.Base64Str,
    "base64url": pydantic.Base64UrlStr,
    "fraction": Fraction,
    "zoneinfo": ZoneInfo,
}


@pytest.mark.parametrize("name", TYPES)
@few
@given(data=st.data())
def test_pydantic_accepts_what_is_made(name: str, data: st.DataObject) -> None:
    strategy = formatted({"format": name})
    assert strategy is not None
    TypeAdapter(TYPES[name]).validate_json(f'"{data.draw(strategy)}"', strict=True)


@pytest.mark.parametrize(
    "name",
    [
        "date", "date-time", "time", "duration", "uuid", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
        "uri", "iri", "uri-reference", "iri-reference", "uri-template", "json-pointer", "relative-json-pointer", "regex",
    ],
)  # fmt: skip
@few
@given(data=st.data())
def test_json_schema_accepts_what_is_made(name: str, data: st.DataObject) -> None:
    strategy = formatted({"format": name})
    assert strategy is not None
    assert jsonschema_rs.validator_for({"format": name}, validate_formats=True).is_valid(data.draw(strategy))


@few
@given(data=st.data())
def test_bounds_are_kept(data: st.DataObject) -> None:
    def drawn(**schema: str) -> str:
        strategy = formatted(schema)
        assert strategy is not None
        return data.draw(strategy)

    assert (
        "2020-02-28"
        <= drawn(format="date", formatMinimum="2020-02-28", formatExclusiveMaximum="2020-03-02")
        < "2020-03-02"
    )
    bounds = {"formatExclusiveMinimum": "2020-01-01T02:00:00+02:00", "formatMaximum": "2020-01-01T00:00:01Z"}
    low, high = (
        datetime.fromisoformat("2020-01-01T00:00:00+00:00"),
        datetime.fromisoformat("2020-01-01T00:00:01+00:00"),
    )
    assert low < datetime.fromisoformat(drawn(format="date-time", **bounds)) <= high
    negative = TypeAdapter(timedelta).validate_python(
        drawn(format="duration", formatMinimum="-PT1S", formatMaximum="PT0S")
    )
    assert timedelta(seconds=-1) <= negative <= timedelta(0)


def test_bounds_that_leave_nothing_yield_nothing() -> None:
    strategy = formatted({"format": "duration", "formatMaximum": "-P1D"})
    assert strategy is not None
    assert strategy.is_empty


@pytest.mark.parametrize("schemes", [["file"], ["ws", "wss"], ["redis", "file"]])
@few
@given(data=st.data())
def test_urls_have_one_of_the_schemes(schemes: list[str], data: st.DataObject) -> None:
    strategy = formatted({"format": "uri", "x-schemes": schemes})
    assert strategy is not None
    url = TypeAdapter(pydantic.AnyUrl).validate_python(data.draw(strategy))
    assert url.scheme in schemes


def test_times_have_many_offsets() -> None:
    strategy = formatted({"format": "date-time"})
    assert strategy is not None
    # Without the database, in which hypothesis takes both for one test.
    apart = settings(database=None)
    assert find(strategy, lambda text: True, settings=apart) == "2000-01-01T00:00:00Z"
    assert find(strategy, lambda text: text.endswith("+05:45"), settings=apart)


def test_a_format_that_is_not_known_is_no_error() -> None:
    assert formatted({"format": "shoe-size"}) is None
