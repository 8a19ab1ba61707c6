"""The document of a served protocol says what a client meets."""

from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
from pydantic import ConfigDict, Field
from starlette.middleware import Middleware

from protocol import Connection, Envelope, History, Message, MessageProtocol, Rate, Reject, Room, User
from protocol.asyncapi import Reader
from protocol.middleware import ConnectionLimitMiddleware
from tests.asyncapi.documents import of, served


class Say(Message, type="say"):
    """Say something.

    Everybody in the room hears it.
    """

    room: str = Field(description="Where.", examples=["lobby"])
    text: str


class Said(Message, type="say", slow="drop_oldest"):
    room: str
    text: str


class Count(Message, type="count"):
    to: int = 3


class Number(Message, type="number"):
    value: int


class Came(Message, type="came"):
    user: str


class TooLoud(Reject, code="too_loud", retryable=True):
    """Not everything may be shouted."""


def replies(operation: dict[str, Any]) -> list[str]:
    return [of(one) for one in operation["reply"]["messages"]]


def test_a_handler_is_an_operation_with_its_replies() -> None:
    chat = MessageProtocol("Chat", version="1.2.3")

    @chat.on(Say, emits=Said, raises=TooLoud, rate_limit=Rate(10, burst=40))
    async def say(message: Say) -> None:
        """Tell everybody.

        In the order of arrival.
        """

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        yield Number(value=1)

    found = served(chat)
    assert found["asyncapi"] == "3.1.0"
    assert found["info"] == {"title": "Chat", "version": "1.2.3"}
    operation = found["operations"]["ws.receive.say"]
    assert operation == {
        "action": "receive",
        "channel": {"$ref": "#/channels/ws"},
        "title": "say",
        "summary": "Tell everybody.",
        "description": "In the order of arrival.",
        "x-rate-limit": {"perSecond": 10, "burst": 40},
        "x-error-codes": ["too_loud"],
        "messages": [{"$ref": "#/channels/ws/messages/receive.say"}],
        "reply": {
            "channel": {"$ref": "#/channels/ws"},
            "messages": [
                {"$ref": "#/channels/ws/messages/send.ack"},
                {"$ref": "#/channels/ws/messages/send.error"},
            ],
        },
    }
    stream = found["operations"]["ws.receive.count"]
    assert (stream["x-stream"], stream["x-concurrent"]) == (True, True)
    assert replies(stream) == ["send.number", "send.ack", "send.error"]
    assert found["channels"]["ws"]["x-error-codes"]["too_loud"] == {
        "retryable": True,
        "description": "Not everything may be shouted.",
    }
    assert found["channels"]["ws"]["x-error-codes"]["rate_limited"] == {"retryable": True}


def test_a_handler_that_always_replies_gives_no_acknowledgement_unless_a_transform_may_drop() -> None:
    def create(*, drops: bool) -> MessageProtocol:
        chat = MessageProtocol("Chat")

        @chat.on(Count, emits=Number)
        async def count(message: Count) -> Number:
            return Number(value=message.to)

        if drops:

            @chat.transform
            def drop(message: Count) -> Count | None:
                return None

        return chat

    operation = "ws.receive.count"
    assert replies(served(create(drops=False))["operations"][operation]) == ["send.number", "send.error"]
    assert "send.ack" in replies(served(create(drops=True))["operations"][operation])


def test_what_comes_unasked_is_a_send_operation() -> None:
    chat = MessageProtocol("Chat", sends=Number)

    @chat.on(Say, emits=Said)
    async def say(message: Say, room: Room) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(user=user.id)

    found = served(chat)["operations"]
    sends = [name for name, operation in found.items() if operation["action"] == "send"]
    assert sends == ["ws.send.say", "ws.send.came", "ws.send.number", "ws.send.error"]


def test_a_message_is_body_and_envelope_as_one() -> None:
    chat = MessageProtocol("Chat")

    @chat.on(Say, emits=Said)
    async def say(message: Say) -> None: ...

    found = served(chat)
    message = found["components"]["messages"]["receive.say"]
    assert {key: message[key] for key in ("name", "title", "summary", "description")} == {
        "name": "say",
        "title": "Say",
        "summary": "Say something.",
        "description": "Everybody in the room hears it.",
    }
    assert list(message["payload"]["properties"]) == ["type", "room", "text", "id", "key"]
    assert message["payload"]["required"] == ["type", "room", "text"]
    assert message["payload"]["properties"]["room"]["description"] == "Where."
    assert found["components"]["correlationIds"] == {
        "request": {"location": "$message.payload#/id"},
        "answer": {"location": "$message.payload#/ref"},
    }
    assert [one["payload"] for one in message["examples"]] == [
        {"type": "say", "room": "lobby", "text": "text"},
        {"type": "say", "room": "lobby", "text": "text", "id": "id", "key": "keykeykeykeykeyk"},
    ]
    back = found["components"]["messages"]["send.say"]
    assert list(back["payload"]["properties"]) == ["type", "room", "text", "ref", "offset"]
    assert back["x-slow"] == {"policy": "drop_oldest"}


def test_the_examples_of_a_model_are_taken_with_its_tag() -> None:
    class Told(Message, type="told"):
        model_config = ConfigDict(json_schema_extra={"examples": [{"text": "hello"}]})
        text: str

    chat = MessageProtocol("Chat", receives=Told)
    message = served(chat)["components"]["messages"]["receive.told"]
    assert message["examples"] == [{"payload": {"type": "told", "text": "hello"}}]
    assert "examples" not in message["payload"]


def test_renamed_and_removed_parts_of_the_envelope_are_in_the_document_as_they_are() -> None:
    chat = MessageProtocol(
        "Chat", receives=Say, envelope=Envelope(id=None, ref=None, ack=None, error="failed")
    )
    found = served(chat)
    assert "correlationIds" not in found["components"]
    assert "send.failed" in found["components"]["messages"]
    assert "send.ack" not in found["components"]["messages"]


def test_rooms_and_limits_are_said() -> None:
    chat = MessageProtocol(
        "Chat", receives=Say, rate_limit=Rate(100), max_frame=1000, subprotocols=("chat.v1",)
    )

    @chat.room("team-{team}", history=History(size=10, ttl=60, recover=5))
    async def team(connection: Connection, team: str) -> None:
        """For the team."""

    limits = [
        Middleware(ConnectionLimitMiddleware, per_address=7),
        Middleware(ConnectionLimitMiddleware, per_address=None, total=9),
    ]
    channel = served(chat, middleware=limits)["channels"]["ws"]
    assert channel["x-rooms"] == [
        {
            "pattern": "team-{team}",
            "presence": True,
            "summary": "For the team.",
            "parameters": {"team": "[A-Za-z0-9_-]{1,64}"},
            "history": {"size": 10, "ttl": 60, "recover": 5},
        }
    ]
    assert channel["x-limits"] == {
        "maxFrame": 1000,
        "maxRooms": 32,
        "maxPending": 16,
        "brokenFrames": {"row": 50, "minute": 200},
        "outbox": {"bytes": 1 << 20, "seconds": 10},
        "rate": {"perSecond": 100, "burst": 100},
        "connections": {"perAddress": 7, "total": 9},
    }
    assert channel["x-subprotocols"] == ["chat.v1"]
    assert channel["x-close-codes"]["3001"] == {"reason": "shutdown", "reconnect": True}
    assert "3008" not in channel["x-close-codes"]


def test_a_reader_finds_the_messages_of_each_direction() -> None:
    chat = MessageProtocol("Chat")

    @chat.on(Say, emits=Said)
    async def say(message: Say) -> None: ...

    reader = Reader(served(chat))
    names = {action: [one.name for one in reader.messages("ws", action)] for action in ("receive", "send")}
    assert names == {"receive": ["say", "ping", "cancel"], "send": ["ack", "error", "pong", "say"]}
    sent = {one.name: one.validator() for one in reader.messages("ws", "send")}
    assert sent["say"].is_valid({"type": "say", "room": "a", "text": "b", "offset": 3})
    assert not sent["say"].is_valid({"type": "say", "room": "a"})
    with pytest.raises(jsonschema_rs.ValidationError):
        sent["error"].validate({"type": "error", "code": "x"})
