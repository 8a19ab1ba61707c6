"""A contract from a channel of a document that somebody has written."""

import json
from typing import Any

import pytest

from protocol import Message, MessageProtocol
from protocol.asyncapi import document
from protocol.fuzzing.channel import modern
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.coverage import examples
from protocol.testing.steps import Send
from tests.fuzz import plain
from tests.served import served


class Say(Message, type="say"):
    text: str


def test_no_frame_is_longer_than_the_document_admits() -> None:
    chat = MessageProtocol("Chat", max_frame=2048)

    @chat.on(Say)
    async def say(message: Say) -> None: ...

    app = served(chat)
    assert Contract.of_document(document(app, chat)).grammar.max_frame == 2048
    assert Contract.of(app).grammar.max_frame == 2048


def test_a_document_that_names_no_limit_has_that_of_most_servers() -> None:
    found = plain.document({"say": ({"text": plain.TEXT}, ())}, {})
    assert Contract.of_document(found).grammar.max_frame == 65_536


@pytest.mark.parametrize(
    "schema, found",
    [
        (
            {"items": [{"items": [True]}], "additionalItems": False},
            {"prefixItems": [{"prefixItems": [True]}], "items": False},
        ),
        ({"items": {"items": [{}]}, "additionalItems": False}, {"items": {"prefixItems": [{}]}}),
        (
            {"dependencies": {"a": ["b"], "c": {"items": [{}]}}},
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"prefixItems": [{}]}}},
        ),
        ({"$id": "x", "$schema": "y", "not": {"$id": "x"}}, {"not": {}}),
        (
            {"components": {"schemas": {"items": {"items": [{}]}}}},
            {"components": {"schemas": {"items": {"prefixItems": [{}]}}}},
        ),
    ],
)
def test_a_schema_of_draft_07_is_said_in_new_words(schema: dict[str, Any], found: dict[str, Any]) -> None:
    assert modern(schema) == found


@pytest.mark.parametrize("kind", ["properties", "patternProperties", "definitions", "$defs"])
def test_a_name_is_not_taken_for_a_keyword(kind: str) -> None:
    names = (
        "$id",
        "$schema",
        "items",
        "additionalItems",
        "dependencies",
        "properties",
        "const",
        "components",
    )
    schema = {kind: {name: {"type": "array", "items": {}} for name in names}}
    assert modern(schema) == schema


def test_data_is_not_taken_for_a_schema() -> None:
    schema = {keyword: {"items": [1], "$id": 1} for keyword in ("const", "default", "x-data")}
    assert modern(schema) == schema


def test_the_examples_of_messages_and_of_payloads_are_those_of_their_types() -> None:
    found = plain.document({"say": ({"text": plain.TEXT}, ())}, {})
    message = found["channels"]["ws"]["messages"]["receive.say"]
    one, other = ({"type": "say", "text": text, "id": 1} for text in "ab")
    message["payload"]["examples"] = [one]
    message["examples"] = [{"name": "other", "payload": other}, {"headers": {}}]
    (program,) = examples(Contract.of_document(found))
    assert [json.loads(step.data) for step in program if isinstance(step, Send)] == [one, other]


@pytest.mark.parametrize(
    "others, error",
    [
        (["Problem"], "Problem"),
        (["problem", "error"], "error"),
        (["problem", "failure"], None),
        (["problems"], None),
    ],
)
def test_an_error_is_recognised_by_its_word_if_that_is_the_only_one(
    others: list[str], error: str | None
) -> None:
    text = json.dumps(plain.document({"say": ({"text": plain.TEXT}, ())}, {tag: {} for tag in others}))
    if "error" not in others:
        text = text.replace('{"const": "error"}', '{"const": "said"}')
    assert Contract.of_document(json.loads(text)).error == error
