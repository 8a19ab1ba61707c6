"""What is told of a frame that is no message, and what is not."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel

from protocol import InvalidMessage, MalformedFrame, Message, ProtocolError, Request, UnknownType
from tests.unions import Say, body, failure, inbound


@pytest.mark.parametrize(
    "frame",
    ["", " ", "[", "[]", "1", '""', "null", "x", "{", '{"type":"say"', '{"type":"say"} x', "[" * 30_000, '{"a":' * 10_000,
     '{"type":"say","room":"a","text":"\\ud800"}', '{"type":"say","room":"a","text":"\ud800"}', b'{"type":"\xff"}'],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(frame: str | bytes) -> None:
    error = failure(inbound(Say), frame)
    assert isinstance(error, MalformedFrame)
    assert error.detail in {"The frame is not valid JSON.", "The frame is not a JSON object."}
    assert (error.id, list(error.errors), error.frame) == (None, [], frame)


@pytest.mark.parametrize("tag", [1, None, [], {}, True, "sing", "", "__proto__", "x" * 60_000])
def test_a_tag_that_is_not_received_is_unknown(tag: object) -> None:
    error = failure(inbound(Say), body(type=tag, id=3))
    assert isinstance(error, UnknownType)
    assert error.detail == "The 'type' of the message is not one that is received."
    assert (error.id, list(error.errors)) == (3, [])


def test_a_missing_tag_is_unknown() -> None:
    error = failure(inbound(Say), body(room="a", id="x"))
    assert isinstance(error, UnknownType)
    assert (error.detail, error.id) == ("The message has no 'type'.", "x")


def test_a_protocol_that_receives_nothing_knows_no_type() -> None:
    error = failure(inbound(), body(type="say", id=1))
    assert isinstance(error, UnknownType)
    assert error.id == 1


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json_are_invalid_everywhere(constant: str) -> None:
    class Loose(BaseModel):
        type: Literal["loose"]
        value: Any = None
        number: float = 0

    for field in ("value", "number"):
        text = f'{{"type":"loose","{field}":{constant},"id":4}}'
        for frame in (text, text.encode()):
            error = failure(inbound(Loose), frame)
            assert isinstance(error, InvalidMessage)
            assert (error.detail, error.id, error.frame) == ("NaN and Infinity are not JSON.", 4, frame)


@pytest.mark.parametrize("id", [True, None, 1.5, [], {}, "x" * 65, 2**53 + 1, -(2**53) - 1, 10**400])
def test_an_invalid_id_is_named_and_not_answered_to(id: object) -> None:
    frame = f'{{"type":"say","room":"a","text":"hi","id":{id if isinstance(id, int) and id is not True else body(x=id)[5:-1]}}}'
    error = failure(inbound(Say), frame)
    text = "Input should be a string of at most 64 characters, or an integer within ±2^53"
    assert isinstance(error, InvalidMessage)
    assert (error.detail, error.id) == (f"id: {text}", None)
    assert error.errors == [{"loc": ["id"], "type": "invalid_id", "msg": text}]


@pytest.mark.parametrize("id", ["", "x" * 64, 0, 2**53, -(2**53)])
def test_a_valid_id_comes_back_as_it_is(id: str | int) -> None:
    assert inbound(Say).decode(body(type="say", room="a", text="hi", id=id))[1] == Request(id, None)


def test_an_invalid_key_is_named() -> None:
    error = failure(inbound(Say), body(type="say", room="a", text="hi", key="short", id=1))
    assert (error.detail, error.id) == ("key: String should have at least 16 characters", 1)


def test_of_a_duplicate_member_the_last_wins() -> None:
    message, request = inbound(Say).decode(
        '{"type":"x","type":"say","room":"a","room":"b","text":"","id":1,"id":2}'
    )
    assert (message, request) == (Say(room="b", text=""), Request(2, None))


def test_a_place_that_the_schema_does_not_know_is_not_shown() -> None:
    class Table(Message, type="table"):
        cells: dict[str, int]

    union = inbound(Table)
    assert failure(union, body(type="table", cells={}, __proto__=1)).errors == [
        {"loc": ["?"], "type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    ]
    assert (
        failure(union, body(type="table", cells={"secret": "x"})).detail
        == "cells.?: Input should be a valid integer"
    )


@pytest.mark.parametrize("count", [5, 999, 1000, 5000, 16_000])
def test_of_many_wrong_items_five_are_told(count: int) -> None:
    class Numbers(Message, type="numbers"):
        items: list[int]

    error = failure(inbound(Numbers), body(type="numbers", items=["secret"] * count, id=1))
    assert isinstance(error, InvalidMessage)
    assert (error.detail, error.id) == ("items.0: Input should be a valid integer", 1)
    assert error.errors == [
        {"loc": ["items", index], "type": "int_type", "msg": "Input should be a valid integer"}
        for index in range(5)
    ]


def test_many_wrong_items_in_a_place_too_long_to_tell_are_one_error() -> None:
    class Table(Message, type="table"):
        rows: dict[str, list[int]]

    error = failure(inbound(Table), body(type="table", rows={"x" * 20_000: [""] * 2000}))
    assert error.errors == [{"loc": [], "type": "too_many", "msg": "Too many errors"}]


def test_every_refusal_is_a_protocol_error_and_never_pydantics() -> None:
    for frame in ("{}", body(type="say"), "[1]", '{"type":"say","room":"a","text":NaN}'):
        with pytest.raises(ProtocolError):
            inbound(Say).decode(frame)
