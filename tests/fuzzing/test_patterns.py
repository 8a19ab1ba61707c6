"""Strings for a pattern match it in every dialect: pydantic's, ECMA 262 by jsonschema-rs, and Python."""

import warnings
from typing import Annotated, Any

import jsonschema_rs
import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.patterns import compiled, matching
from tests.fuzzing.model_classes import CLOSED_PATTERNS, OPEN_PATTERNS
from tests.profiles import examples

few = examples(12)


def adapter(pattern: str, **lengths: int) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, Field(pattern=pattern, **lengths)])


@pytest.mark.parametrize("pattern", [*OPEN_PATTERNS, *CLOSED_PATTERNS])
@few
@given(data=st.data())
def test_pydantic_accepts_what_is_made(pattern: str, data: st.DataObject) -> None:
    adapter(pattern).validate_python(data.draw(matching(pattern)), strict=True)


@pytest.mark.parametrize(
    "pattern",
    [r"^\d+$", r"^\w+$", r"^\s\S$", r"^[^\w]$", r"^\D{3}$", "^.$", r"^\u{1F600}$", r"^\p{Letter}+$", r"^(?<a>b)\/$"],
)  # fmt: skip
@few
@given(data=st.data())
def test_ecma_262_accepts_what_is_made(pattern: str, data: st.DataObject) -> None:
    assert jsonschema_rs.is_valid({"pattern": pattern}, data.draw(matching(pattern)))


@pytest.mark.parametrize(
    "pattern, low, high",
    [
        ("^[a-z0-9][a-z0-9-]{0,63}$", 60, 64),
        ("^[a-z]+$", 40, 40),
        ("^[a-z]+@[a-z]+[.][a-z]{2,}$", 20, 21),
        ("^a?b*c+$", 0, 1),
        ("b", 0, 3),
        ("^x", 300, 310),
        ("^(?:ab)*$", 4, 9),
        ("^[a-z]{5,}$", 0, 5000),
    ],
)
@few
@given(data=st.data())
def test_lengths_are_kept(pattern: str, low: int, high: int, data: st.DataObject) -> None:
    text = data.draw(matching(pattern, low, high))
    adapter(pattern, min_length=low, max_length=high).validate_python(text)


@pytest.mark.parametrize("pattern, low, high", [("^a$", 2, None), ("^a{3}$", 0, 2), (r"^[^\s\S]$", 0, None)])
def test_where_no_length_fits_there_is_nothing(pattern: str, low: int, high: int | None) -> None:
    assert matching(pattern, low, high).is_empty


def test_the_dollar_is_the_very_end() -> None:
    assert not compiled("^a$").search("a\n")
    assert compiled("^[$]$").search("$")
    assert compiled(r"^\$$").search("$")


def test_a_pattern_finds_characters_of_any_script_and_shrinks_to_a_plain_one() -> None:
    assert find(matching("^[^/]{2}$"), lambda text: not text.isascii())
    assert find(matching("^[^/]{2}$"), lambda text: True) == "00"


@pytest.mark.parametrize("pattern", ["[[:alpha:]]", "[a-z&&[^b]]", "a**", "(", r"\p{Nonsense", "^[^]a]$"])
def test_a_pattern_that_python_cannot_read_asks_for_an_override(pattern: str) -> None:
    with pytest.raises(ConfigurationError) as caught, warnings.catch_warnings():
        matching(pattern)
    assert str(caught.value).startswith(f"The pattern {pattern!r} cannot be generated from (")
    assert str(caught.value).endswith("): give a strategy for its place, overrides={'Name.field': …}.")


@pytest.mark.parametrize("name", ["L", "Lu", "Nd", "Letter", "Greek", "Script=Cyrillic"])
def test_properties_of_characters_are_those_of_pydantic(name: str) -> None:
    def check(kind: str) -> None:
        pattern = rf"^\{kind}{{{name}}}$"
        accepted: Any = adapter(pattern)
        for char in "aZéßαЖ1²١_中 \n-":
            if compiled(pattern).search(char):
                accepted.validate_python(char)

    check("p")
    check("P")
