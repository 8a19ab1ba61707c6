"""What may be sent, by the word of a protocol or of its document."""

from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from pydantic import Field, NaiveDatetime

from protocol import Envelope, Message, MessageProtocol
from protocol.fuzzing import GeneratedFrame, Grammar, Label, frames, messages
from tests.misdeclared import refusal


class Move(Message, type="move"):
    x: int
    when: NaiveDatetime | None = None
    visits: dict[int, UUID] = {}


class Node(Message, type="node"):
    children: list["Node"] = []
    label: str = Field(alias="the-label")


class Many(Message):
    type: Literal["one", "two"]


DOCUMENT: dict[str, dict[str, Any]] = {
    "say": {
        "type": "object",
        "properties": {"type": {"const": "say"}, "text": {"type": "string", "format": "email"}},
        "required": ["type", "text"],
        "additionalProperties": False,
    },
    "bye": {"type": "object", "properties": {"type": {"const": "bye"}}, "required": ["type"]},
}


def test_a_protocol_says_what_its_models_and_its_envelope_demand() -> None:
    grammar = Grammar.of(MessageProtocol("Game", receives=[Move, Node, Many], max_frame=1000))
    assert list(grammar.schemas) == ["move", "node", "one", "two", "ping", "authenticate", "cancel"]
    assert grammar.control == {"ping", "authenticate", "cancel"}
    assert grammar.max_frame == 1000
    move = grammar.schemas["move"]["properties"]
    assert list(move) == ["type", "x", "when", "visits", "id", "key"]
    assert move["when"]["anyOf"][0] == {"type": "string", "format": "date-time-local"}
    assert move["visits"]["propertyNames"]["contentSchema"] == {"type": "integer"}
    assert move["key"] == {"type": "string", "minLength": 16, "maxLength": 64}
    assert grammar.schemas["two"]["properties"]["type"] == {"type": "string", "const": "two"}
    assert grammar.schemas["node"]["required"] == ["type", "the-label"]


def test_the_names_of_the_envelope_are_those_of_the_protocol() -> None:
    grammar = Grammar.of(
        MessageProtocol("Game", receives=[Many], envelope=Envelope(id="seq", key=None, ping="beat"))
    )
    assert list(grammar.schemas["one"]["properties"]) == ["type", "seq"]
    assert "beat" in grammar.control


def test_a_protocol_objects_as_its_pipeline_does() -> None:
    objection = Grammar.of(MessageProtocol("Game", receives=[Move])).objection
    assert objection('{"type":"move","x":1,"id":7}') is None
    assert objection('{"type":"move","x":"1"}') == "x: Input should be a valid integer"
    assert objection(b'{"type":"move","x":1}') == "Text frames are expected, not binary ones."


def test_a_grammar_is_taken_as_it_is() -> None:
    grammar = Grammar.from_schemas(DOCUMENT)
    assert Grammar.of(grammar) is grammar


@pytest.mark.parametrize(
    "frame, objection",
    [
        ('{"type":"say","text":"a@example.com"}', None),
        ('{"type":"bye","more":1}', None),
        ('{"type":"bye","type":"say","text":"a@example.com"}', None),
        ('{"type":"say","text":"a"}', '"a" is not a "email"'),
        ('{"type":"say"}', '"text" is a required property'),
        ('{"type":"leave"}', "No known type."),
        ("{}", "No known type."),
        ("[]", "Not a JSON object."),
        ("{", "Not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"type":"bye","more":NaN}', "Not JSON: NaN is not JSON"),
        (b'{"type":"bye"}', "A binary frame."),
    ],
)
def test_a_document_objects_by_its_schemas(frame: str | bytes, objection: str | None) -> None:
    assert Grammar.from_schemas(DOCUMENT).objection(frame) == objection


@pytest.mark.parametrize(
    "frame", ["[" * 60_000, '{"type":"say","text":"\\ud800"}', '{"type":"bye","more":"\ud800"}']
)
def test_a_document_objects_to_what_cannot_be_read(frame: str) -> None:
    objection = Grammar.from_schemas(DOCUMENT).objection(frame)
    assert objection is not None
    assert objection.startswith("Not JSON: ")


def test_a_document_is_enough_to_generate_from() -> None:
    grammar = Grammar.from_schemas(DOCUMENT)

    @settings(max_examples=50)
    @given(messages(grammar), frames(grammar))
    def check(message: dict[str, Any], frame: GeneratedFrame) -> None:
        assert message["type"] in {"say", "bye"}
        assert (grammar.objection(frame.data) is None) is (frame.label is Label.VALID)

    check()


def test_types_are_classes_or_tags() -> None:
    grammar = Grammar.of(MessageProtocol("Game", receives=[Move, Many]))
    assert grammar.tags([]) == ["move", "one", "two"]
    assert grammar.tags([Many, "ping", "one"]) == ["one", "two", "ping"]


@pytest.mark.parametrize("type, tag", [("say", "say"), (Node, "node")])
def test_a_type_that_is_not_received_is_an_error(type: Any, tag: str) -> None:
    grammar = Grammar.of(
        MessageProtocol("Game", receives=[Move], envelope=Envelope(authenticate=None, cancel=None))
    )
    assert refusal(lambda: grammar.tags([type])) == f"No message {tag!r} is received; there are move, ping."


def test_a_frame_fits_by_its_bytes() -> None:
    grammar = Grammar(DOCUMENT, lambda frame: None, max_frame=4)
    assert grammar.fits("éé")
    assert not grammar.fits("ééa")
    assert grammar.fits(b"1234")
    assert not grammar.fits(b"12345")
