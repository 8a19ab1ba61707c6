"""Strategies for JSON values without structure: strings, numbers, and anything at all.

Each is told the flat schema of its value, and sees the keywords of its own type. What a format or a pattern becomes is
in :mod:`protocol.fuzzing.formats` and :mod:`protocol.fuzzing.patterns`.
"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.fuzzing.formats import formatted
from protocol.fuzzing.jsonschema import JsonSchema, shape
from protocol.fuzzing.patterns import compiled, matching

EDGE_TEXTS: Final = (
    "", " ", "0", "null", "__proto__", "constructor", "toString", "\0", "a\nb", "\\", '"', "<b>&amp;</b>", "../..",
    "%s%n", "{}", "e\u0301", "שלום", "\u202eabc", "\u200b", "ﬃ", "İ", "ß", "👍🏽", "🇩🇪", "\U0001d4b3", "\ufeff", "\uffff",
)  # fmt: skip
"""Strings that are valid and break programs: escapes, property names, scripts, case folding, what is not seen."""

_POWERS: Final = (2**31, 2**53, 2**63)
_EDGE_INTEGERS: Final = (
    *(0, 1, -1, 255),
    *(sign * power + near for power in _POWERS for sign in (1, -1) for near in (0, 1, -1)),
)
_INTEGER_FORMATS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}

_LONG: Final = 4096
"""Where a length has a high maximum, or none, nothing longer is made."""

_SHORT: Final = 256
"""So many characters at most are drawn one by one, and shrunk so; longer strings come in one piece."""

_POOL: Final = 2
"""How many strings of one kind come again and again within one test case, so that messages meet."""


def strings(schema: JsonSchema) -> SearchStrategy[str]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if low > high:
        return st.nothing()
    pattern = schema.get("pattern")
    if (found := _encoded(schema)) is not None:
        if pattern is not None:
            found = found.filter(compiled(pattern).search)
        return pooled(schema, found.filter(lambda text: low <= len(text) <= high))
    if pattern is not None:
        return pooled(schema, matching(pattern, low, None if high == math.inf else int(high)))
    return _texts(schema, low, min(high, max(low, _LONG)))


def integers(schema: JsonSchema) -> SearchStrategy[int]:
    # The integers among the multiples of a fraction in lowest terms are those of its numerator.
    step = Fraction(str(schema.get("multipleOf", 1))).numerator
    low, high = _limits(schema, Fraction(step))
    if low is not None and high is not None and low > high:
        return st.nothing()
    found: SearchStrategy[int] = st.integers(low, high)
    if step != 1:
        return found.map(lambda multiple: multiple * step)
    edges = [n for n in _EDGE_INTEGERS if (low is None or low <= n) and (high is None or n <= high)]
    return st.one_of(found, st.sampled_from(edges)) if len(edges) > 3 else found


def numbers(schema: JsonSchema) -> SearchStrategy[float]:
    """Integers too: Python writes 1.0 what JavaScript writes 1, and both are numbers."""
    step = Fraction(str(schema.get("multipleOf", 1)))
    low, high = _limits(schema, step)
    multiples: SearchStrategy[float] = st.nothing()
    if low is None or high is None or low <= high:
        # So near to zero a float is close enough to its multiple for pydantic too.
        low, high = _window(low, high, 10**6)
        multiples = st.integers(low, high).map(lambda multiple: _exact(step * multiple))
    return multiples if "multipleOf" in schema else st.one_of(multiples, _floats(schema))


def pooled(schema: JsonSchema, *strategies: SearchStrategy[str]) -> SearchStrategy[str]:
    """One of ``strategies``, and often a value that the test case has had already for an equal schema."""
    key = f"protocol.fuzzing {shape(schema)}"
    return st.one_of(
        [*(st.shared(strategies[0], key=f"{key} {number}") for number in range(_POOL)), *strategies]
    )


def _encoded(schema: JsonSchema) -> SearchStrategy[str] | None:
    """Strings that say something else in a way that is known here."""
    if schema.get("format") == "decimal":
        return numbers(schema).map(_plain)
    if "contentEncoding" in schema:
        return formatted({"format": schema["contentEncoding"]})
    return formatted(schema) if "format" in schema else None


def _plain(number: float) -> str:
    """Without an exponent, which not every reader of decimals knows."""
    return format(Decimal(str(number)), "f")


def _texts(schema: JsonSchema, low: int, high: int) -> SearchStrategy[str]:
    """Any text of ``low`` to ``high`` code points."""
    # Bytes are counted where binary data is in a string, so ASCII makes both counts the same.
    ascii = schema.get("format") == "binary"
    alphabet = st.characters(codec="ascii" if ascii else "utf-8")
    counted = str.strip if "x-stripped" in schema else str
    edges = [
        text for text in EDGE_TEXTS if low <= len(counted(text)) <= high and (text.isascii() or not ascii)
    ]
    if low <= _SHORT:
        free = st.text(alphabet, min_size=low, max_size=min(high, _SHORT)).filter(
            lambda text: len(counted(text)) >= low
        )
    else:
        free = st.text(alphabet, max_size=_SHORT).map(lambda text: counted(text).ljust(low, "a"))
    return pooled(schema, free, st.sampled_from([*edges, "a" * low, "a" * high]))


def _limits(schema: JsonSchema, step: Fraction) -> tuple[int | None, int | None]:
    """The multiples of ``step`` within the bounds of the schema: the first and the last, divided by ``step``."""
    lows = [math.ceil(Fraction(str(schema["minimum"])) / step)] if "minimum" in schema else []
    highs = [math.floor(Fraction(str(schema["maximum"])) / step)] if "maximum" in schema else []
    if "exclusiveMinimum" in schema:
        lows.append(math.floor(Fraction(str(schema["exclusiveMinimum"])) / step) + 1)
    if "exclusiveMaximum" in schema:
        highs.append(math.ceil(Fraction(str(schema["exclusiveMaximum"])) / step) - 1)
    if schema.get("format") in _INTEGER_FORMATS:
        least, most = _INTEGER_FORMATS[schema["format"]]
        lows.append(math.ceil(least / step))
        highs.append(math.floor(most / step))
    return max(lows, default=None), min(highs, default=None)


def _window(low: int | None, high: int | None, width: int) -> tuple[int, int]:
    """Bounds where there are none, around zero if that is within those there are."""
    least = (-width if high is None else min(-width, high - width)) if low is None else low
    return least, max(width, least + width) if high is None else high


def _exact(number: Fraction) -> float:
    return number.numerator if number.denominator == 1 else float(number)


def _floats(schema: JsonSchema) -> SearchStrategy[float]:
    lows = [
        (float(schema[key]), key != "minimum") for key in ("minimum", "exclusiveMinimum") if key in schema
    ]
    highs = [
        (float(schema[key]), key == "maximum") for key in ("maximum", "exclusiveMaximum") if key in schema
    ]
    low, without_low = max(lows, default=(-math.inf, False))
    high, with_high = min(highs, default=(math.inf, True))
    if low > high or (low == high and (without_low or not with_high)):
        return st.nothing()
    return st.floats(
        None if low == -math.inf else low,
        None if high == math.inf else high,
        exclude_min=without_low,
        exclude_max=not with_high,
        allow_nan=False,
        allow_infinity=False,
    )


_LEAVES: Final[SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(EDGE_TEXTS),
    st.text(max_size=8),
)
_KEYS: Final = st.one_of(st.sampled_from(EDGE_TEXTS), st.text(max_size=4))
ANYTHING: Final[SearchStrategy[Any]] = st.one_of(
    _LEAVES,
    st.lists(st.one_of(_LEAVES, st.lists(_LEAVES, max_size=2)), max_size=3),
    st.dictionaries(_KEYS, st.one_of(_LEAVES, st.dictionaries(_KEYS, _LEAVES, max_size=2)), max_size=3),
)
"""Any JSON value, two levels deep; depth itself is a matter of garbage."""
