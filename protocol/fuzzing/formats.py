"""Strategies for the strings of JSON Schema's ``format``.

Those of JSON Schema 2020-12, of the OpenAPI registry and of pydantic. A string of a format is accepted by the RFC
that it names and by pydantic, so of two ways to write a value only one that both know is used.
"""

import base64
import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

_ALPHANUMERIC: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_OFFSETS: Final = ("Z", "+00:00", "+05:45", "-07:30", "+14:00", "-12:00")


def formatted(schema: Mapping[str, Any]) -> SearchStrategy[str] | None:
    """Strings of the schema's ``format``; ``None`` for a format that is not known here.

    Of the other keywords only the bounds of temporal formats and ``x-schemes`` are seen.
    """
    name = schema["format"]
    if name in _TEMPORAL:
        return _TEMPORAL[name](schema)
    if name in {"uri", "iri", "url", "multi-host-uri"}:
        return _urls(schema.get("x-schemes", ("http", "https")))
    return _FORMATS.get(name)


def _within(
    schema: Mapping[str, Any], kind: type[Any], between: Callable[..., SearchStrategy[Any]], **bounds: Any
) -> SearchStrategy[Any]:
    """Values of ``kind`` within the bounds of the schema, else within ``bounds``."""
    excluded = set()
    for keyword, side in (("Minimum", "min_value"), ("Maximum", "max_value")):
        for exclusive in ("", "Exclusive"):
            if (text := schema.get(f"format{exclusive}{keyword}")) is not None:
                bounds[side] = _parsed(kind, text)
                if exclusive:
                    excluded.add(bounds[side])
    if len(bounds) == 2 and bounds["min_value"] > bounds["max_value"]:
        return st.nothing()
    found = between(**bounds)
    return found.filter(lambda value: value not in excluded) if excluded else found


def _parsed(kind: type[Any], text: str) -> Any:
    """A bound, in UTC where it has an offset, and without it."""
    value = TypeAdapter(kind).validate_python(text)
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    return value.replace(tzinfo=None) if isinstance(value, datetime | time) else value


def _dates(schema: Mapping[str, Any]) -> SearchStrategy[str]:
    return _within(schema, date, st.dates).map(date.isoformat)


def _local_datetimes(schema: Mapping[str, Any]) -> SearchStrategy[str]:
    return _within(schema, datetime, st.datetimes).map(datetime.isoformat)


def _local_times(schema: Mapping[str, Any]) -> SearchStrategy[str]:
    return _within(schema, time, st.times).map(time.isoformat)


def _offset(
    local: Callable[[Mapping[str, Any]], SearchStrategy[str]],
) -> Callable[[Mapping[str, Any]], SearchStrategy[str]]:
    """Times with an offset; only UTC where there are bounds, which an offset could cross."""

    def offset(schema: Mapping[str, Any]) -> SearchStrategy[str]:
        offsets = st.just("Z") if _bounded(schema) else st.sampled_from(_OFFSETS)
        return st.tuples(local(schema), offsets).map("".join)

    return offset


def _durations(schema: Mapping[str, Any]) -> SearchStrategy[str]:
    """By RFC 3339, appendix A: positive, in whole seconds. Where bounds say otherwise, as pydantic reads them."""
    found = _within(schema, timedelta, st.timedeltas, min_value=timedelta(0))
    return found.map(_exact_duration if _bounded(schema) else _whole_duration)


def _bounded(schema: Mapping[str, Any]) -> bool:
    return any(keyword.startswith("format") and keyword != "format" for keyword in schema)


def _exact_duration(value: timedelta) -> str:
    return str(to_jsonable_python(value))


def _whole_duration(value: timedelta) -> str:
    minutes, seconds = divmod(value.seconds, 60)
    return f"P{value.days}DT{minutes // 60}H{minutes % 60}M{seconds}S"


_TEMPORAL: Final[Mapping[str, Callable[[Mapping[str, Any]], SearchStrategy[str]]]] = {
    "date": _dates,
    "date-time": _offset(_local_datetimes),
    "date-time-local": _local_datetimes,
    "time": _offset(_local_times),
    "time-local": _local_times,
    "duration": _durations,
}


def _labels(least: int = 1) -> SearchStrategy[str]:
    return st.text(_ALPHANUMERIC, min_size=least, max_size=12)


def _joined(*parts: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


def _urls(schemes: list[str] | tuple[str, ...]) -> SearchStrategy[str]:
    ports = st.sampled_from(["", ":1", ":8080", ":65535"])
    after = st.sampled_from(["", "?", "?q=1&q=2", "?q=%F0%9F%98%80", "#", "#top"])
    remote = [f"{scheme}://" for scheme in schemes if scheme != "file"]
    return st.one_of(
        [
            *([_joined(st.sampled_from(remote), _HOSTS, ports, _PATHS, after)] if remote else []),
            *([_joined(st.just("file:///"), _labels(0))] if "file" in schemes else []),
        ]
    )


def _uuids(version: int | None) -> SearchStrategy[str]:
    if version is None:
        return st.uuids().map(str)
    # RFC 9562, section 4: the version is digit 13, the variant the top bits of digit 17.
    return st.uuids().map(lambda value: f"{str(value)[:14]}{version}{str(value)[15:19]}8{str(value)[20:]}")


def _networks(version: int) -> SearchStrategy[str]:
    prefixes = st.integers(0, 32 if version == 4 else 128)
    addresses = st.ip_addresses(v=4 if version == 4 else 6)
    return st.tuples(addresses, prefixes).map(lambda pair: str(ipaddress.ip_network(pair, strict=False)))


def _interfaces(version: int) -> SearchStrategy[str]:
    prefixes = st.integers(0, 32 if version == 4 else 128)
    return st.tuples(st.ip_addresses(v=4 if version == 4 else 6), prefixes).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )


# example.com and its sisters (RFC 2606) are the only names that are nobody's; e-mail validators refuse `.test`.
_DOMAINS: Final = st.one_of(
    st.sampled_from(["example.com", "example.org", "xn--bcher-kva.example.com"]),
    _joined(_labels(), st.just(".example.net")),
)
_HOSTS: Final = st.one_of(st.sampled_from(["localhost", "127.0.0.1", "[::1]"]), _DOMAINS)
_PATHS: Final = st.one_of(
    st.sampled_from(["", "/", "/a//b", "/%2e%2e/", "/;a=b"]), _joined(st.just("/"), _labels())
)
_MAILBOXES: Final = _joined(
    _labels(), st.sampled_from(["", "+tag", ".last", "_", "-1"]), st.just("@"), _DOMAINS
)
_IPV4: Final = st.ip_addresses(v=4).map(str)
_IPV6: Final = st.ip_addresses(v=6).map(str)
_POINTERS: Final = st.sampled_from(["", "/", "/a", "/a/0", "/a~0b/c~1d"])
# UTF-8 inside, because the same format stands for text that was encoded.
_BINARY: Final = st.text(max_size=12).map(str.encode)

_FORMATS: Final[Mapping[str, SearchStrategy[str]]] = {
    "uuid": _uuids(None),
    **{f"uuid{version}": _uuids(version) for version in range(1, 9)},
    "email": _MAILBOXES,
    "idn-email": _MAILBOXES,
    "name-email": st.one_of(_MAILBOXES, _joined(_labels(), st.just(" <"), _MAILBOXES, st.just(">"))),
    "hostname": _DOMAINS,
    "idn-hostname": _DOMAINS,
    "uri-reference": st.one_of(_urls(("http", "https")), _PATHS),
    "iri-reference": st.one_of(_urls(("http", "https")), _PATHS),
    "uri-template": st.sampled_from(["/", "/rooms/{room}", "https://example.com/{?q}"]),
    "json-pointer": _POINTERS,
    "relative-json-pointer": _joined(st.sampled_from(["0", "1", "12"]), _POINTERS),
    "regex": st.sampled_from(["", ".", "^a+$", "[a-z]{2,3}", r"\d+"]),
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "ipvanyaddress": st.one_of(_IPV4, _IPV6),
    "ipv4network": _networks(4),
    "ipv6network": _networks(6),
    "ipvanynetwork": st.one_of(_networks(4), _networks(6)),
    "ipv4interface": _interfaces(4),
    "ipv6interface": _interfaces(6),
    "ipvanyinterface": st.one_of(_interfaces(4), _interfaces(6)),
    "base64": _BINARY.map(lambda data: base64.b64encode(data).decode()),
    "byte": _BINARY.map(lambda data: base64.b64encode(data).decode()),
    "base64url": _BINARY.map(lambda data: base64.urlsafe_b64encode(data).decode()),
    "fraction": st.fractions(max_denominator=1000).map(str),
    "zoneinfo": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
}
