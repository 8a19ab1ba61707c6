"""Strategies for strings that match a regular expression, whoever's dialect it is in.

A pattern in a JSON Schema is ECMA 262 by the book, and Rust's ``regex`` where pydantic wrote it. What is made here
matches in these two and in Python: ``\\d``, ``\\w`` and ``\\s`` stand for ASCII, ``$`` for the very end, and where
a pattern negates one of those classes everything is ASCII. A sequence of repeated characters, which most patterns
are, becomes ``text`` within exact lengths; any other goes through hypothesis' ``from_regex``.
"""

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.exceptions import ConfigurationError

_ASCII: Final = "".join(map(chr, range(128)))
_UNICODE: Final = _ASCII + "".join(
    [chr(code) for code in range(0xA1, 0x180)]
    + [
        chr(code)
        for code in (*range(0x391, 0x3CA), *range(0x410, 0x450), *range(0x5D0, 0x5EB))
        if chr(code).isalpha()
    ]
    + list("ابتثجح١२あア中文字漢한글€†→≠😀👍🏽🇩\u0301\u202e\ufeff")
)

_UNBOUNDED: Final = 16
"""How often ``*`` and ``+`` repeat at most, unless a minimum length asks for more."""

# Where these stand, a character outside ASCII may match in one dialect and not in another.
_NEGATED: Final = re.compile(r"\\[WDSbB]|\[\^[^\]]*\\[wds]")

_CLASS: Final = r"\[(?!\^?\])\^?(?:\\.|[^\]\\])+\]"
_PROPERTY: Final = r"\\[pP](?:\{[\w=]+\}|[A-Z])"
_CODE: Final = r"\\[ux]\{[0-9a-fA-F]{1,6}\}"
_ATOM: Final = re.compile(
    rf"(?P<atom>{_CLASS}|{_PROPERTY}|{_CODE}|\\u[0-9a-fA-F]{{4}}|\\x[0-9a-fA-F]{{2}}|\\[dDwWsSnrtfv]|\\[^\w]|[^\\^$.|?*+()\[\]{{}}]|\.)"
    r"(?:(?P<symbol>[?*+])|\{(?P<low>\d+)(?P<comma>,(?P<high>\d*))?\})?\??"
)
_FOREIGN: Final = re.compile(
    rf"{_CLASS}|{_PROPERTY}|{_CODE}|\\z|\\.|\(\?<(?=[A-Za-z_])|\$|\[\^?\]", re.DOTALL
)
_SPELLINGS: Final = {"$": r"\Z", r"\z": r"\Z", "(?<": "(?P<"}
_IN_CLASS: Final = re.compile(rf"{_PROPERTY}|{_CODE}|\\.", re.DOTALL)

_CATEGORIES: Final = {
    "Alphabetic": "L", "Letter": "L", "Lowercase": "Ll", "Lowercase_Letter": "Ll", "Uppercase": "Lu",
    "Uppercase_Letter": "Lu", "Mark": "M", "Number": "N", "Decimal_Number": "Nd", "Punctuation": "P", "Symbol": "S",
    "Separator": "Z", "White_Space": "Zs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Piece:
    """Between ``low`` and ``high`` characters out of ``alphabet``."""

    alphabet: str
    low: int
    high: int | None


def matching(pattern: str, low: int = 0, high: int | None = None) -> SearchStrategy[str]:
    """Strings of ``low`` to ``high`` characters in which ``pattern`` is found.

    Raises ``ConfigurationError`` for a pattern that Python cannot read.
    """
    regex = compiled(pattern)
    universe = _universe(pattern)
    pieces = _pieces(pattern, universe)
    if pieces is None:
        found = st.from_regex(regex, alphabet=st.sampled_from(universe))
        return found.filter(lambda text: low <= len(text) and (high is None or len(text) <= high))
    fitted = _fitted(pieces, low, high)
    if fitted is None:
        return st.nothing()
    return st.tuples(*(_text(piece) for piece in fitted)).map("".join)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """``pattern`` for Python; it matches a subset of what it matches at home."""
    with warnings.catch_warnings():
        # `[[:alpha:]]`, `[a&&b]` and `[a--b]` mean something else elsewhere.
        warnings.simplefilter("error", FutureWarning)
        try:
            source = _FOREIGN.sub(partial(_translated, universe=_universe(pattern)), pattern)
            return re.compile(source, re.ASCII)
        except (re.error, FutureWarning, OverflowError) as error:
            raise ConfigurationError(
                f"The pattern {pattern!r} cannot be generated from ({error}): "
                f"give a strategy for its place, overrides={{'Name.field': …}}."
            ) from None


def _universe(pattern: str) -> str:
    """The characters to choose from: those that every dialect classifies alike, and the pattern's own."""
    base = _ASCII if _NEGATED.search(pattern) else _UNICODE
    if "." in pattern:
        base = base.replace("\r", "")  # a line terminator in ECMA 262, none in Rust and Python
    return "".join(dict.fromkeys(base + pattern))


def _translated(match: re.Match[str], universe: str) -> str:
    found = match.group()
    if found in {"[]", "[^]"}:
        raise re.error(f"{found} is a class in ECMA 262, and the beginning of one elsewhere")
    if found[0] == "[":
        return _IN_CLASS.sub(lambda inner: _character(inner.group(), universe, nested=True), found)
    return _SPELLINGS.get(found) or _character(found, universe, nested=False)


def _character(escape: str, universe: str, *, nested: bool) -> str:
    """What an escape that Python does not know stands for."""
    if re.fullmatch(_CODE, escape):
        return re.escape(chr(int(escape[3:-1], 16)))
    if not re.fullmatch(_PROPERTY, escape):
        return escape
    has = _property(escape[2:].strip("{}").rpartition("=")[2])
    characters = "".join(re.escape(char) for char in universe if has(char) == (escape[1] == "p"))
    return characters if nested else f"[{characters}]"


def _property(name: str) -> Callable[[str], bool]:
    """Whether a character has a general category, by short or long name, or is of a script."""
    category = _CATEGORIES.get(name, name)
    if len(category) <= 2:
        return lambda char: unicodedata.category(char).startswith(category)
    return lambda char: unicodedata.name(char, "").startswith(name.upper())


def _pieces(pattern: str, universe: str) -> list[_Piece] | None:
    """``pattern`` as a sequence of repeated characters, or ``None`` where it is something else."""
    start = re.match(r"\^|\\A", pattern)
    end = re.search(r"(?<!\\)(?:\\\\)*(\$|\\z|\\Z)\Z", pattern)
    body = pattern[start.end() if start else 0 : end.start(1) if end else None]
    around = _Piece(universe, 0, None)
    pieces = [] if start else [around]
    position = 0
    for match in _atoms(body):
        position = match.end()
        regex = compiled(match["atom"])
        alphabet = "".join(char for char in universe if regex.fullmatch(char))
        pieces.append(_Piece(alphabet, *_repeats(match)))
    if position != len(body):
        return None
    return pieces if end else [*pieces, around]


def _atoms(body: str) -> Iterator[re.Match[str]]:
    position = 0
    while match := _ATOM.match(body, position):
        yield match
        position = match.end()


def _repeats(match: re.Match[str]) -> tuple[int, int | None]:
    if match["symbol"]:
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[match["symbol"]]
    if match["low"] is None:
        return 1, 1
    low = int(match["low"])
    if match["comma"] is None:
        return low, low
    return low, int(match["high"]) if match["high"] else None


def _fitted(pieces: list[_Piece], low: int, high: int | None) -> list[_Piece] | None:
    """Narrow the repetitions so that whatever is chosen from them, the length is right; ``None`` if it cannot be."""
    least = sum(piece.low for piece in pieces)
    if high is not None:
        if least > high:
            return None
        open_ = [index for index, piece in enumerate(pieces) if piece.high is None or piece.high > piece.low]
        pieces = list(pieces)
        slack = high - least
        for left, index in zip(range(len(open_), 0, -1), open_, strict=True):
            piece = pieces[index]
            room = -(-slack // left)
            pieces[index] = replace(
                piece, high=piece.low + (room if piece.high is None else min(room, piece.high - piece.low))
            )
            slack -= (pieces[index].high or 0) - piece.low
    missing = low - least
    fitted: list[_Piece] = []
    for piece in reversed(pieces):
        more = max(0, missing if piece.high is None else min(missing, piece.high - piece.low))
        missing -= more
        raised = piece.low + more
        ceiling = raised + _UNBOUNDED
        fitted.append(
            _Piece(piece.alphabet, raised, ceiling if piece.high is None else min(piece.high, 4096 + raised))
        )
    return None if missing > 0 else fitted[::-1]


def _text(piece: _Piece) -> SearchStrategy[str]:
    if piece.high == 0:
        return st.just("")
    if not piece.alphabet:
        return st.just("") if piece.low == 0 else st.nothing()
    if piece.low == piece.high and len(piece.alphabet) == 1:
        return st.just(piece.alphabet * piece.low)
    return st.text(piece.alphabet, min_size=piece.low, max_size=piece.high)
