"""The linter finds what makes a document useless, and names the place."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.asyncapi import CODES, Finding, Reader, lint
from tests.misdeclared import refusal

DOCUMENT: dict[str, Any] = {
    "asyncapi": "3.1.0",
    "info": {"title": "Test", "version": "1"},
    "servers": {"main": {"host": "example.com:80", "protocol": "ws"}},
    "channels": {
        "ws": {
            "address": "/ws/{room}",
            "parameters": {"room": {"default": "a"}},
            "messages": {
                "ask": {"$ref": "#/components/messages/ask"},
                "tell": {"$ref": "#/components/messages/tell"},
                "hint": {"$ref": "#/components/messages/hint"},
            },
        },
        "other": {"address": "/other", "messages": {"hint": {"$ref": "#/components/messages/hint"}}},
    },
    "operations": {
        "ask": {
            "action": "receive",
            "channel": {"$ref": "#/channels/ws"},
            "messages": [{"$ref": "#/channels/ws/messages/ask"}],
            "reply": {
                "channel": {"$ref": "#/channels/ws"},
                "messages": [{"$ref": "#/channels/ws/messages/tell"}],
            },
        },
        "hint": {
            "action": "send",
            "channel": {"$ref": "#/channels/ws"},
            "messages": [{"$ref": "#/channels/ws/messages/hint"}],
        },
    },
    "components": {
        "messages": {
            name: {
                "name": name,
                "correlationId": {"location": "$message.payload#/id"},
                "payload": {
                    "allOf": [{"$ref": "#/components/schemas/Base"}],
                    "required": ["type"],
                    "properties": {"type": {"const": name}},
                },
                "examples": [{"payload": {"type": name, "id": 1}}],
            }
            for name in ("ask", "tell", "hint")
        },
        "schemas": {"Base": {"type": "object", "properties": {"id": {"type": "integer"}}}},
    },
}


def changed(pointer: str, value: object) -> dict[str, Any]:
    """The document with another value at a place; ``None`` removes it."""
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    *parts, last = [part.replace("~1", "/") for part in pointer.split("/")]
    node: Any = document
    for part in parts:
        node = node[int(part) if isinstance(node, list) else part]
    if value is None:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    return document


def test_a_good_document_has_no_finding() -> None:
    assert lint(DOCUMENT) == []


BAD = [
    (
        "channels/ws/messages/ask/$ref",
        "#/components/messages/nobody",
        "broken_reference at #/channels/ws/messages/ask: The reference '#/components/messages/nobody' leads nowhere.",
    ),
    (
        "components/schemas/Base",
        {"$ref": "#/components/schemas/Base"},
        (
            "broken_reference at #/components/messages/ask/payload/allOf/0: The reference '#/components/schemas/Base' "
            "leads in a circle."
        ),
    ),
    (
        "components/schemas/Base",
        {"$ref": "other.json#/Base"},
        (
            "broken_reference at #/components/messages/ask/payload/allOf/0: The reference 'other.json#/Base' leaves the "
            "document."
        ),
    ),
    (
        "servers/main/host",
        "ws://example.com",
        "scheme_in_host at #/servers/main: The host is 'ws://example.com'.",
    ),
    ("channels/ws/address", None, "missing_address at #/channels/ws: The address is null or absent."),
    (
        "channels/ws/parameters",
        {},
        "missing_parameter at #/channels/ws: 'room' in '/ws/{room}' is not declared.",
    ),
    (
        "channels/other/parameters",
        {"x": {"default": "1"}},
        "unused_parameter at #/channels/other/parameters/x: It is not in '/other'.",
    ),
    (
        "channels/ws/parameters/room",
        {},
        "parameter_without_default at #/channels/ws/parameters/room: It has no default.",
    ),
    (
        "operations/hint/channel",
        None,
        "missing_channel at #/operations/hint: It has no reference to a channel.",
    ),
    (
        "operations/hint/messages/0/$ref",
        "#/components/messages/ask/payload",
        "message_elsewhere at #/operations/hint: #/components/messages/ask/payload is not of #/channels/ws.",
    ),
    (
        "operations/ask/reply/channel/$ref",
        "#/channels/other",
        "reply_elsewhere at #/operations/ask: #/channels/ws/messages/tell is not of #/channels/other.",
    ),
    (
        "components/messages/ask/correlationId/location",
        "$message.payload#/nonce",
        (
            "broken_correlation at #/channels/ws/messages/ask: Its correlationId is at $message.payload#/nonce, and the "
            "payload declares no 'nonce'."
        ),
    ),
    (
        "components/messages/ask/payload/properties/type",
        {"type": "text"},
        (
            "invalid_schema at #/channels/ws/messages/ask: "
            "\"text\" is not valid under any of the schemas listed in the 'anyOf' keyword"
        ),
    ),
    (
        "components/messages/ask/examples/0/payload/id",
        "1",
        'invalid_example at #/channels/ws/messages/ask/examples/0: "1" is not of type "integer"',
    ),
    (
        "components/messages/hint/payload/properties/type/const",
        "tell",
        (
            "ambiguous_messages at #/channels/ws/messages/tell: It may be taken for #/channels/ws/messages/hint on "
            "#/channels/ws."
        ),
    ),
    (
        "components/messages/hint/payload/required",
        [],
        (
            "ambiguous_messages at #/channels/ws/messages/tell: It may be taken for #/channels/ws/messages/hint on "
            "#/channels/ws."
        ),
    ),
]


@pytest.mark.parametrize("pointer, value, finding", BAD, ids=[finding.split(" ")[0] for *_, finding in BAD])
def test_it_finds(pointer: str, value: object, finding: str) -> None:
    assert finding in [str(found) for found in lint(changed(pointer, value))]


def test_every_code_is_tested() -> None:
    assert {finding.split(" ")[0] for *_, finding in BAD} == set(CODES)


def test_an_operation_without_messages_has_those_of_its_channel() -> None:
    document = changed("operations/hint/messages", None)
    reader = Reader(document)
    assert [one.name for one in reader.messages("ws", "send")] == ["tell", "ask", "hint"]


def test_a_payload_may_say_its_format() -> None:
    document = changed(
        "components/messages/ask/payload",
        {"schemaFormat": "application/vnd.aai.asyncapi;version=3.1.0", "schema": {"type": "string"}},
    )
    assert Finding("invalid_example", "#/channels/ws/messages/ask/examples/0", "x").code in {
        found.code for found in lint(document)
    }


@pytest.mark.parametrize("text", [json.dumps(DOCUMENT), "asyncapi: 3.0.0\ninfo: {title: T, version: '1'}\n"])
def test_a_document_is_read_from_json_and_yaml(text: str) -> None:
    assert Reader.load(text).document["info"]


def test_a_date_in_yaml_is_a_text() -> None:
    assert Reader.load("asyncapi: 3.0.0\ninfo: {version: 2026-01-01}\n").document["info"] == {
        "version": "2026-01-01"
    }


def test_a_channel_may_have_any_key() -> None:
    text = json.dumps(DOCUMENT).replace("#/channels/ws", "#/channels/~1ws~0").replace('"ws": {', '"/ws~": {')
    document = json.loads(text)
    del document["operations"]["hint"]["messages"]
    assert lint(document) == []
    assert [one.name for one in Reader(document).messages("/ws~", "send")] == ["tell", "ask", "hint"]


def test_a_message_has_what_its_traits_have() -> None:
    document = changed("components/messages/ask/correlationId", None)
    document["components"]["messageTraits"] = {"asked": {"correlationId": {"location": "a"}, "name": "no"}}
    document["components"]["messages"]["ask"]["traits"] = [
        {"correlationId": {"location": "b"}, "title": "Ask"},
        {"$ref": "#/components/messageTraits/asked"},
    ]
    found = Reader(document).message("#/channels/ws/messages/ask")
    assert found["name"] == "ask"
    assert found["title"] == "Ask"
    assert found["correlationId"] == {"location": "a"}


ASK: dict[str, Any] = {
    "required": ["op"],
    "properties": {"op": {"enum": [1]}, "id": {"type": "integer"}},
}


@pytest.mark.parametrize(
    "payload, codes",
    [
        ({"oneOf": [ASK, {**ASK, "properties": {"op": {"const": 2}}}]}, set()),
        ({"oneOf": [ASK, {"required": ["op"], "properties": {"op": {"const": 3}}}]}, {"ambiguous_messages"}),
        ({"anyOf": [{"required": ["op"], "properties": {"op": {"const": 2}}}]}, {"broken_correlation"}),
    ],
)
def test_the_alternatives_of_a_payload_are_looked_at(payload: dict[str, Any], codes: set[str]) -> None:
    document = changed("components/messages/tell/payload", payload)
    for name in ("tell", "hint"):
        del document["components"]["messages"][name]["examples"]
    document["components"]["messages"]["hint"]["payload"]["required"].append("op")
    document["components"]["messages"]["hint"]["payload"]["properties"]["op"] = {"const": 3}
    assert {finding.code for finding in lint(document)} == codes


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("[]", "An AsyncAPI document of version 3 was expected: it begins with asyncapi: 3.1.0."),
        (
            "asyncapi: 2.6.0",
            "An AsyncAPI document of version 3 was expected: it begins with asyncapi: 3.1.0.",
        ),
        ("a: [", "The document is neither JSON nor YAML: "),
    ],
)
def test_what_is_no_document_is_refused(text: str, complaint: str) -> None:
    assert refusal(lambda: Reader.load(text)).startswith(complaint)


def test_every_code_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "asyncapi.md").read_text()
    for code, meaning in CODES.items():
        assert f"| `{code}` | {meaning} |" in page
