"""Messages are told apart in whatever words a document describes them."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.asyncapi import Payload
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.tags import Tags, told_apart
from protocol.testing.steps import Body
from tests.fuzz import plain
from tests.misdeclared import refusal

Schema = dict[str, Any]

SAY: Schema = {"op": {"const": "say"}, "text": {"type": "string"}}
BYE: Schema = {"op": {"const": "bye"}}


def message(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def payloads(*schemas: Schema) -> list[Payload]:
    return [Payload(f"#/{number}", f"message {number}", schema) for number, schema in enumerate(schemas)]


def schemas_of(*schemas: Schema) -> dict[str, Schema]:
    return told_apart(payloads(*schemas))[0].schemas


@pytest.mark.parametrize(
    "spelled",
    [
        lambda schema, op: schema,
        lambda schema, op: message({**schema["properties"], "op": {"type": "string", "enum": [op]}}),
        lambda schema, op: message(
            {**schema["properties"], "op": {"$ref": "#/$defs/op"}}, **{"$defs": {"op": {"const": op}}}
        ),
        lambda schema, op: {"allOf": [{"type": "object", "required": ["op"]}, schema]},
        lambda schema, op: {"allOf": [message({"op": {"type": "string"}}), schema]},
        lambda schema, op: {"$ref": "#/$defs/whole", "$defs": {"whole": schema}},
        lambda schema, op: {"oneOf": [schema]},
        lambda schema, op: message({"version": {"const": "2.0"}, **schema["properties"]}),
    ],
)
def test_a_constant_is_found_however_it_is_said(spelled: Callable[[Schema, str], Schema]) -> None:
    found = schemas_of(spelled(message(SAY), "say"), spelled(message(BYE), "bye"))
    assert list(found) == ["say", "bye"]
    tags = Tags(found)
    assert tags.members == ("op",)
    assert tags.of({"op": "bye", "version": "2.0"}) == "bye"
    assert tags.of({"op": "die", "version": "2.0"}) is None
    assert found["say"]["properties"]["op"]["const"] == "say"


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
def test_each_alternative_of_a_payload_is_a_message(keyword: str) -> None:
    (found,) = told_apart(payloads({keyword: [message(SAY), message(BYE)]}))
    assert list(found.schemas) == ["say", "bye"]
    assert found.tags == {"#/0": ["say", "bye"]}


def test_each_value_of_a_member_is_a_message() -> None:
    both = message({"op": {"enum": ["on", "off"]}, "light": {"type": "string"}})
    found = schemas_of(both, message(BYE))
    assert list(found) == ["on", "off", "bye"]
    assert found["off"]["properties"]["op"] == {"const": "off"}


def test_integers_are_constants_and_booleans_are_not() -> None:
    found = schemas_of(message({"op": {"const": 1}}), message({"op": {"const": 2}}))
    tags = Tags(found)
    assert list(found) == ["1", "2"]
    assert tags.of({"op": 2}) == "2"
    assert tags.of({"op": True}) is None
    assert list(schemas_of(message({"op": {"const": True}}))) == ["message 0"]


def test_messages_of_both_directions_go_by_the_same_member_if_they_can() -> None:
    one = message({"version": {"const": "2.0"}, **BYE})
    takes, sends = told_apart(payloads(one), payloads(one, message({"op": {"const": "done"}})))
    assert list(takes.schemas) == ["bye"]
    assert list(sends.schemas) == ["bye", "done"]


def test_what_alone_has_no_constant_is_known_by_that() -> None:
    tags = Tags(schemas_of(message(SAY), message({"text": {"type": "string"}})))
    assert tags.of({"op": "say"}) == "say"
    assert tags.of({"text": ""}) == "message 1"
    assert tags.of(None) is None


def test_one_message_in_two_places_is_one() -> None:
    (found,) = told_apart(payloads(message(SAY), {**message(SAY), "title": "The same"}))
    assert list(found.schemas) == ["say"]
    assert found.tags == {"#/0": ["say"], "#/1": ["say"]}


@pytest.mark.parametrize(
    "others",
    [
        [message({**BYE, "at": {"type": "integer"}})],
        [{"oneOf": [message({**BYE, "at": {"type": "integer"}}), message(SAY)]}],
        [message({"a": {"type": "string"}}), message({"b": {"type": "string"}})],
    ],
)
def test_messages_that_cannot_be_told_apart_are_an_error(others: list[Schema]) -> None:
    names = ", ".join(f"message {number}" for number in range(len(others) + 1))
    assert refusal(lambda: schemas_of(message(BYE), *others)) == (
        "Messages of one direction cannot be told apart: "
        f"no member has a constant of its own in each of {names}."
    )


def test_a_message_that_is_no_object_is_an_error() -> None:
    assert refusal(lambda: schemas_of({"type": "array"})) == (
        "The message 'message 0' is no JSON object: only such messages can be fuzzed."
    )


def test_a_barrier_says_its_constant_as_it_is() -> None:
    document = plain.document({"say": ({"text": plain.TEXT}, ())}, {})
    messages: Body = document["channels"]["ws"]["messages"]
    for message in messages.values():
        message["payload"] = {"allOf": [message["payload"], {"type": "object"}]}
    barrier = Contract.of_document(document).barrier
    assert barrier is not None
    assert barrier.message == {"type": "ping"}
