"""What of a message may be taken from what was received."""

from typing import Any

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.recall import recalls
from tests.fuzz.chat import create_app
from tests.fuzz.plain import COUNT, ROOM, TEXT


def message(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"type": {"const": "x"}, **members}}


def referred(takes: dict[str, Any], sends: dict[str, Any]) -> list[str]:
    found = recalls({"x": takes}, {"y": sends}, {"id"})["x"]
    return [
        ", ".join(f"{'.'.join(one.at)} from {one.member}" for one in recall)
        for recall in found
        if recall[0].back == 0
    ]


def test_a_member_refers_to_one_of_the_same_name_and_type() -> None:
    takes = message(id=COUNT, seat=COUNT, word=TEXT, size=COUNT)
    assert referred(takes, message(id=COUNT, seat=COUNT, word=TEXT, size=TEXT)) == [
        "seat from seat, word from word",
        "seat from seat",
        "word from word",
    ]


def test_a_member_refers_to_one_of_the_same_form() -> None:
    sends = message(members={"type": "array", "items": message(user=ROOM)}, text=TEXT)
    assert referred(message(to=ROOM, body=TEXT), sends) == ["to from user"]


def test_what_the_schema_fixes_refers_to_nothing() -> None:
    assert referred(message(status={"enum": ["a"]}), message(status={"enum": ["a"]})) == []


def test_the_members_of_an_object_refer_together() -> None:
    takes = message(since={"anyOf": [message(offset=COUNT, epoch=TEXT), {"type": "null"}]})
    assert referred(takes, message(offset=COUNT, epoch=TEXT)) == [
        "since.offset from offset, since.epoch from epoch",
        "since.offset from offset",
        "since.epoch from epoch",
    ]


def test_a_client_of_the_chat_can_come_back_to_where_it_was() -> None:
    contract = Contract.of(create_app())
    first = recalls(contract.grammar.schemas, contract.sends, {"id", "key"})["join"][0]
    assert [(one.at, one.member) for one in first] == [
        (("since", "offset"), "offset"),
        (("since", "epoch"), "epoch"),
    ]
