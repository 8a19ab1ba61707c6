"""What may be done to a valid message, and where there is a reason for it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fuzzing.jsonschema import Path
from protocol.fuzzing.mutations import REMOVED, Mutation, mutated, places
from tests.profiles import examples

SCHEMA: dict[str, Any] = {
    "properties": {
        "type": {"const": "draw"},
        "text": {"type": "string", "minLength": 2, "maxLength": 4},
        "room": {"type": "string", "pattern": "^[a-z]+$"},
        "level": {"type": "integer", "exclusiveMinimum": 3, "maximum": 9},
        "step": {"type": "integer", "multipleOf": 5},
        "part": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "half": {"type": "number", "multipleOf": 0.5},
        "items": {
            "type": "array",
            "items": {"type": "null"},
            "minItems": 1,
            "maxItems": 2,
            "uniqueItems": True,
        },
        "names": {"type": "object", "minProperties": 1, "maxProperties": 2},
        "either": {
            "anyOf": [{"type": "string", "maxLength": 1}, {"type": "integer", "minimum": 1}, {"type": "null"}]
        },
        "open": {"type": "string"},
    }
}


def at(mutation: Mutation, path: Path, message: dict[str, Any]) -> list[Any]:
    return dict(places(mutation, SCHEMA, "draw", message)).get(path, [])


@pytest.mark.parametrize(
    "name, value, outside",
    [
        ("text", "abc", ["a", "", "abccc", "abc  "]),
        ("room", "ab", ["", "ab\n", " ab", "ab\0", "b", "a", "AB", "abab"]),
        ("level", 5, [5.5, 5.0, 3, 10, 1_000_009]),
        ("step", 5, [5.5, 5.0, 6]),
        ("part", 0.5, [-1, -1_000_000, -5e-324, 1]),
        ("half", 0.5, [0.75]),
        ("items", [None], [[], [None, None, None], [None, None]]),
        ("items", [], [[], [None, None, None]]),
        ("names", {"a": 1}, [{"a": 1, "0": None, "1": None, "2": None}, {}]),
        ("either", "a", ["aa", "a "]),
        ("either", 1, [1.5, 1.0, 0, -999_999, 1.5, 1.0]),
        ("either", None, []),
        ("open", "abc", []),
        ("unknown", "abc", []),
    ],
)
def test_edges_are_just_outside_of_what_the_schema_says(name: str, value: Any, outside: list[Any]) -> None:
    found = at(Mutation.EDGE, (name,), {"type": "draw", name: value})
    assert all(json.dumps(edge) in map(json.dumps, outside) for edge in found)
    assert all(json.dumps(edge) in map(json.dumps, found) for edge in outside)


def test_only_what_is_in_something_can_be_dropped() -> None:
    found = places(Mutation.DROP, SCHEMA, "draw", {"type": "draw", "items": [None, {"a": 1}]})
    assert found == [
        (path, [REMOVED]) for path in [("type",), ("items",), ("items", 0), ("items", 1), ("items", 1, "a")]
    ]


@pytest.mark.parametrize(
    "value, among, never",
    [
        (5, ["5", None, True, []], [0, 0.5]),
        (True, ["true", 1, 0, None], [False]),
        ("5", [5, ["5"], None], ["", "true"]),
        (None, ["null", "None", 0, {}], [None]),
        ([], ["", {}, None], [[None]]),
        ({}, [[], [{}], ""], [{"": None}]),
    ],
)
def test_a_value_of_another_type_is_one_that_a_lax_reader_may_take(
    value: Any, among: list[Any], never: list[Any]
) -> None:
    found = list(map(json.dumps, at(Mutation.RETYPE, ("open",), {"type": "draw", "open": value})))
    among = [0 if item == 5 else item for item in among]
    assert {json.dumps(item) for item in among} <= set(found)
    assert not {json.dumps(item) for item in never} & set(found)
    assert () not in dict(places(Mutation.RETYPE, SCHEMA, "draw", {"type": "draw"}))


def test_extra_members_go_into_every_object() -> None:
    message = {"type": "draw", "names": {"extra": 1}, "items": [None]}
    found = dict(places(Mutation.EXTRA, SCHEMA, "draw", message))
    assert found.keys() == {(), ("names",)}
    assert {**message, "__proto__": None} in found[()]
    assert all(changed["extra"] == 1 and len(changed) == 2 for changed in found["names",])


def test_a_wrong_tag_is_in_the_place_of_the_tag() -> None:
    ((path, tags),) = places(Mutation.WRONG_TAG, SCHEMA, "draw", {"type": "draw", "open": "draw"})
    assert path == ("type",)
    assert "draw" not in tags
    assert {"DRAW", "draw ", "dra", ""} <= {tag for tag in tags if isinstance(tag, str)}


@pytest.mark.parametrize("value", ["é", "", "a" * 300, [], [1], [["abc"] * 9], {}, 5])
def test_oversize_is_far_too_large_but_no_larger_than_a_frame(value: Any) -> None:
    found = at(Mutation.OVERSIZE, ("open",), {"type": "draw", "open": value})
    assert found
    assert all(3_000 < len(json.dumps(large, ensure_ascii=False).encode()) < 65_536 for large in found)
    assert at(Mutation.OVERSIZE, ("open",), {"type": "draw", "open": None}) == []


def test_a_member_twice_is_one_of_the_message_itself() -> None:
    found = dict(places(Mutation.DUPLICATE_KEY, SCHEMA, "draw", {"type": "draw", "names": {"a": 1}}))
    assert found.keys() == {("type",), ("names",)}


@pytest.mark.parametrize("mutation", Mutation)
@examples(30)
@given(data=st.data())
def test_the_message_stays_and_the_change_is_where_it_says(mutation: Mutation, data: st.DataObject) -> None:
    message = {"type": "draw", "text": "abc", "names": {"a": [1, 2]}}
    before = json.dumps(message)
    draw: Any = data.draw
    found = mutated(draw, mutation, SCHEMA, "draw", message)
    assert json.dumps(message) == before
    assert found is not None
    text, path = found
    changed = json.loads(text)
    assert json.dumps(changed) != before
    if path:
        changed.pop(path[0], None)
        rest = {name: value for name, value in message.items() if name != path[0]}
        assert changed == rest


def test_a_mutation_without_a_place_is_none() -> None:
    nothing_is_drawn: Any = None
    assert mutated(nothing_is_drawn, Mutation.EDGE, {}, "draw", {"open": "a"}) is None
