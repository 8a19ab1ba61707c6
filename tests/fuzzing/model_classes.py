"""A strategy for pydantic model classes, of everything that people put into messages."""

import dataclasses
import enum
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, Union

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import (
    UUID4,
    UUID7,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    ConfigDict,
    Field,
    FileUrl,
    FiniteFloat,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyNetwork,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    PositiveInt,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    StringConstraints,
    WebsocketUrl,
    create_model,
)
from typing_extensions import TypedDict

RECENT = datetime.fromisoformat("2000-01-01")
STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    HALF = 0.5
    TEXT = "text"
    NONE = None


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Options(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    name: str
    size: NotRequired[int]


@dataclasses.dataclass(frozen=True)
class Pair:
    __pydantic_config__ = STRICT
    left: str
    right: Annotated[int, Field(ge=0)] = 0


class Leaf(BaseModel):
    model_config = STRICT
    kind: Literal["leaf"]
    value: int


class Tree(BaseModel):
    model_config = STRICT
    kind: Literal["tree"]
    label: Annotated[str, Field(max_length=8)]
    children: "list[Node]" = []
    parent: "Tree | None" = None


Node = Annotated[Leaf | Tree, Field(discriminator="kind")]
Tree.model_rebuild()


class Chain(BaseModel):
    """Three types that lead to one another before one can end."""

    model_config = STRICT

    class Link(BaseModel):
        model_config = STRICT
        ends: "tuple[Chain, Chain] | None"

    link: Link


Chain.Link.model_rebuild(_types_namespace={"Chain": Chain})
Chain.model_rebuild()

HASHABLE: tuple[Any, ...] = (str, int, bool, date, uuid.UUID, Colour, Level, Literal["a", "b", "c"])
PLAIN: tuple[Any, ...] = (
    *HASHABLE, float, FiniteFloat, PositiveInt, None, Any, Mixed, Literal[1, 2], Literal[1, "a", None, True],
    Decimal, bytes, Base64Bytes, Base64Str, Base64UrlBytes, SecretStr, Json, Json[list[int]], Path,
    datetime, time, timedelta, AwareDatetime, NaiveDatetime, PastDate, PastDatetime, FutureDate, FutureDatetime,
    UUID4, UUID7, IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPvAnyAddress, IPvAnyNetwork,
    HttpUrl, WebsocketUrl, FileUrl, RedisDsn, PostgresDsn, dict, list, set[str] | None,
    Leaf, Tree, Node, Chain, Point, Options, Pair,
)  # fmt: skip

OPEN_PATTERNS = (
    "^[a-z]+$", "^[a-z0-9][a-z0-9-]{0,63}$", r"^\w*$", r"^\S+$", "^[^/]*$", ".*", r"^\p{Lu}\p{Ll}*$", "^[^\\W\\d_]+$",
    r"^[a-z]+@[a-z]+$", "b", r"^x", r"\d$", r"^[\u0430-\u044f]+$", "^.{2,}$", r"^[a-z]+(?:-[a-z]+)*$", "^(?:ab|c)*$",
)  # fmt: skip
CLOSED_PATTERNS = (
    r"^\d{4}-\d{2}$", "^(foo|bar)+$", "^$", "^a{2,3}b?$", "(?i)^abc$", r"^x\.y\$$", r"^\+?[1-9]\d{1,14}$", "^a|b$",
    r"^[\]\[\\^-]$", r"^\x{41}\x42$", "^(?<year>[0-9]{4})$", r"^[+-]?\d+(?:\.\d+)?$", r"\A\d\z", r"^[\p{L}\d_]{2,8}$",
    r"^\P{L}$", r"^\bword\b$", "^[-a-z.]+?$", r"^\d+,\d+;$", r"^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$", r"^\s$", r"^a\nb$",
)  # fmt: skip


def bounds(values: SearchStrategy[Any], width: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """``ge`` or ``gt``, ``le`` or ``lt``, some of them, with room between."""

    def made(low: Any, width: Any, lower: str | None, upper: str | None) -> dict[str, Any]:
        return {name: bound for name, bound in ((lower, low), (upper, low + width)) if name is not None}

    return st.builds(
        made, values, width, st.sampled_from(["ge", "gt", None]), st.sampled_from(["le", "lt", None])
    )


def constrained(base: Any, constraints: SearchStrategy[dict[str, Any]]) -> SearchStrategy[Any]:
    return constraints.map(lambda found: Annotated[base, Field(**found)])


@st.composite
def lengths(draw: DrawFn, most: int = 12) -> dict[str, Any]:
    low = draw(st.integers(0, most))
    found = {"min_length": low, "max_length": draw(st.integers(low, most + 4))}
    return {name: found[name] for name in draw(st.sets(st.sampled_from(sorted(found))))}


@st.composite
def transformed(draw: DrawFn) -> Any:
    names = draw(st.sets(st.sampled_from(["strip_whitespace", "to_lower", "to_upper"])))
    flags: dict[str, Any] = dict.fromkeys(names, True)
    return Annotated[str, StringConstraints(**flags, **draw(lengths()))]


@st.composite
def digits(draw: DrawFn) -> dict[str, int]:
    places = draw(st.integers(0, 4))
    return {"max_digits": places + draw(st.integers(1, 6)), "decimal_places": places}


CONSTRAINED: SearchStrategy[Any] = st.one_of(
    constrained(int, bounds(st.integers(-(2**60), 2**60) | st.integers(-9, 9), st.integers(2, 50))),
    constrained(int, st.fixed_dictionaries({"multiple_of": st.integers(1, 50)})),
    constrained(
        int, bounds(st.integers(-9, 9), st.integers(20, 50)).map(lambda found: {**found, "multiple_of": 5})
    ),
    constrained(float, bounds(st.floats(-1e6, 1e6), st.floats(0.5, 1e6))),
    constrained(float, st.fixed_dictionaries({"multiple_of": st.sampled_from([0.1, 0.01, 0.25, 3, 2.5])})),
    constrained(Decimal, bounds(st.decimals(-99, 99, places=2), st.just(Decimal("1.5")))),
    constrained(Decimal, digits()),
    constrained(
        Decimal, st.just({"max_digits": 4, "decimal_places": 1, "gt": 0, "multiple_of": Decimal("0.5")})
    ),
    constrained(str, lengths()),
    constrained(bytes, lengths()),
    constrained(str, st.fixed_dictionaries({"pattern": st.sampled_from(OPEN_PATTERNS + CLOSED_PATTERNS)})),
    st.builds(
        lambda pattern, low, room: Annotated[
            str, Field(pattern=pattern, min_length=low, max_length=low + room)
        ],
        st.sampled_from(OPEN_PATTERNS[:10]),
        st.integers(3, 30),
        st.integers(0, 20),
    ),
    transformed(),
    constrained(datetime, bounds(st.datetimes(RECENT, RECENT + timedelta(9999)), st.just(timedelta(days=3)))),
    constrained(AwareDatetime, st.just({"ge": datetime(2020, 1, 1, tzinfo=UTC)})),
    constrained(date, bounds(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.just(timedelta(days=3)))),
    constrained(
        timedelta, bounds(st.timedeltas(timedelta(-9), timedelta(9)), st.just(timedelta(seconds=90)))
    ),
    constrained(
        time, st.sampled_from([{"gt": time(12)}, {"le": time(18, 30)}, {"ge": time(1), "lt": time(2)}])
    ),
)

KEYS: SearchStrategy[Any] = st.sampled_from(
    [
        *(
            str,
            int,
            float,
            bool,
            Decimal,
            Colour,
            Level,
            uuid.UUID,
            date,
            datetime,
            time,
            timedelta,
            Literal["a", "b"],
        ),
        Annotated[int, Field(ge=0, le=99)],
        Annotated[str, Field(pattern="^k[0-9]*$")],
        Annotated[str, Field(min_length=2, max_length=5)],
    ]
)


def containers(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    sized: Callable[[Any, dict[str, Any]], Any] = lambda kind, found: Annotated[kind, Field(**found)]
    return st.one_of(
        inner.map(lambda kind: Optional[kind]),  # noqa: UP045 None has no `|`
        st.builds(lambda one, other: Union[one, other], inner, inner),  # noqa: UP007 None has no `|`
        st.builds(sized, inner.map(lambda kind: list[kind]), lengths(4)),  # type: ignore[valid-type]
        st.builds(sized, st.sampled_from(HASHABLE[:2]).map(lambda kind: set[kind]), lengths(4)),  # type: ignore[valid-type]
        st.sampled_from(HASHABLE).map(lambda kind: frozenset[kind]),  # type: ignore[valid-type]
        st.lists(inner, max_size=3).map(lambda kinds: tuple[tuple(kinds)]),  # type: ignore[misc]
        inner.map(lambda kind: tuple[kind, ...]),  # type: ignore[valid-type]
        st.builds(lambda key, kind: dict[key, kind], KEYS, inner),  # type: ignore[valid-type]
        st.builds(sized, inner.map(lambda kind: dict[str, kind]), lengths(4)),  # type: ignore[valid-type]
        st.lists(inner, min_size=1, max_size=3).map(lambda kinds: model("Inner", kinds)),
    )


def model(name: str, kinds: list[Any]) -> type[BaseModel]:
    """A strict model with one field of each kind."""
    fields: dict[str, Any] = {f"field_{number}": (kind, ...) for number, kind in enumerate(kinds)}
    return create_model(name, __config__=STRICT, **fields)


KINDS = st.recursive(st.sampled_from(PLAIN) | CONSTRAINED, containers, max_leaves=4)


@st.composite
def message_classes(draw: DrawFn) -> type[BaseModel]:
    """Strict message models with the tag ``m``: required, optional, aliased and defaulted fields of all kinds."""
    fields: dict[str, Any] = {"type": (Literal["m"], "m")}
    for number, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=3))):
        options: list[dict[str, Any]] = [
            {},
            {"default": None},
            {"alias": f"alias-{number}"},
            {"description": "One."},
        ]
        extra = draw(st.sampled_from(options))
        fields[f"field_{number}"] = (kind, Field(**extra))
    extras: Literal["forbid", "allow", "ignore"] = draw(
        st.sampled_from(["forbid", "forbid", "allow", "ignore"])
    )
    made: type[BaseModel] = create_model(
        "Generated", __config__=ConfigDict({**STRICT, "extra": extras}), **fields
    )
    return made
