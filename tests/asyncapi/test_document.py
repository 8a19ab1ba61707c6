"""The document of a served protocol says what a client meets."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import jsonschema_rs
import pytest
from fastapi import Depends, FastAPI, Header, Query, WebSocket
from fastapi.security import APIKeyQuery, OAuth2PasswordBearer
from pydantic import ConfigDict, Field
from starlette.middleware import Middleware

from protocol import (
    ConfigurationError,
    Connection,
    Envelope,
    History,
    Message,
    MessageProtocol,
    Rate,
    Reject,
    Room,
    User,
)
from protocol.asyncapi import Reader, document, lint
from protocol.middleware import (
    ConnectionLimitMiddleware,
    JWTAuthMiddleware,
    OriginMiddleware,
)
from protocol.middleware.protocol import ProtocolMiddleware

SECRET = "a secret of more than thirty-two characters"


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


def served(chat: MessageProtocol, **options: Any) -> dict[str, Any]:
    app = FastAPI(**options)
    app.include_router(chat.router)
    found = document(app, chat)
    assert lint(found) == []
    return found


def of(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


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


def test_paths_have_the_prefixes_and_mounts_of_the_application() -> None:
    chat = MessageProtocol("Chat", path=("/ws", "/ws/{room}", "/n/{number:int}"), receives=Say)
    inner, app = FastAPI(), FastAPI()
    inner.include_router(chat.router, prefix="/v1")
    app.mount("/chat", inner)
    app.include_router(chat.router)
    found = document(app, chat)
    assert lint(found) == []
    assert [channel["address"] for channel in found["channels"].values()] == [
        "/chat/v1/ws",
        "/chat/v1/ws/{room}",
        "/chat/v1/n/{number}",
        "/ws",
        "/ws/{room}",
        "/n/{number}",
    ]
    parameters = {name: channel.get("parameters") for name, channel in found["channels"].items()}
    assert parameters["ws"] is None
    assert parameters["ws.room"] == {"room": {"description": "The room that is joined.", "default": "lobby"}}
    assert parameters["n.number"] == {"number": {"default": "1"}}


def test_each_kind_of_security_is_a_server() -> None:
    chat = MessageProtocol("Chat", receives=Say)
    inner = FastAPI(
        middleware=[Middleware(JWTAuthMiddleware, key=SECRET, sources=("header", "query"), name="t")]
    )
    inner.include_router(chat.router)
    app = FastAPI()
    app.mount("/private", inner)
    app.include_router(chat.router)
    found = document(app, chat, server="wss://chat.example.com/api")
    assert lint(found) == []
    address = {"host": "chat.example.com", "protocol": "wss", "pathname": "/api"}
    assert found["servers"] == {
        "default": {
            **address,
            "security": [
                {"$ref": "#/components/securitySchemes/jwt-header"},
                {"$ref": "#/components/securitySchemes/jwt-query"},
            ],
        },
        "default-2": address,
    }
    assert {name: of(channel["servers"][0]) for name, channel in found["channels"].items()} == {
        "private.ws": "default",
        "ws": "default-2",
    }
    assert found["components"]["securitySchemes"] == {
        "jwt-header": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A JSON Web Token.",
        },
        "jwt-query": {"type": "httpApiKey", "in": "query", "name": "t", "description": "A JSON Web Token."},
    }


@pytest.mark.parametrize("authenticates", [True, False])
def test_a_token_in_band_is_taken_where_one_can_be_checked(authenticates: bool) -> None:
    chat = MessageProtocol("Chat", receives=Say)
    auth = [Middleware(JWTAuthMiddleware, key=SECRET, required=False)] if authenticates else []
    found = served(chat, middleware=auth)
    assert ("receive.authenticate" in found["components"]["messages"]) is authenticates
    assert ("ws.receive.authenticate" in found["operations"]) is authenticates
    assert found["servers"]["default"].get("x-security-optional", False) is authenticates


def test_the_handshake_is_in_the_binding() -> None:
    async def user(
        key: Annotated[str, Depends(APIKeyQuery(name="key"))],
        token: Annotated[str, Depends(OAuth2PasswordBearer("token", scopes={"talk": "Talk."}))],
        page: Annotated[int, Query(ge=1, description="Where to begin.")],
        accept_language: Annotated[str, Header()] = "en",
        hidden: Annotated[str, Query(include_in_schema=False)] = "",
    ) -> User:
        return User(key)

    chat = MessageProtocol("Chat", receives=Say, user=user)
    found = served(
        chat, middleware=[Middleware(OriginMiddleware, origins=["https://a.example"], missing=False)]
    )
    binding = found["channels"]["ws"]["bindings"]["ws"]
    assert binding["query"] == {
        "type": "object",
        "properties": {
            "page": {"type": "integer", "minimum": 1, "description": "Where to begin."},
        },
        "required": ["page"],
    }
    assert binding["headers"]["properties"]["Origin"]["enum"] == ["https://a.example"]
    assert binding["headers"]["properties"]["accept-language"]["default"] == "en"
    assert binding["headers"]["required"] == ["Origin"]
    assert found["components"]["securitySchemes"] == {
        "APIKeyQuery": {"type": "httpApiKey", "in": "query", "name": "key"},
        "OAuth2PasswordBearer": {
            "type": "oauth2",
            "flows": {
                "password": {
                    "tokenUrl": "http://localhost:8000/token",
                    "availableScopes": {"talk": "Talk."},
                }
            },
        },
    }


def test_a_protocol_over_a_plain_endpoint_is_found_by_its_middleware() -> None:
    chat = MessageProtocol("Chat", receives=Say, sends=Said)
    app = FastAPI()
    app.add_middleware(ProtocolMiddleware, protocol=chat, path="/talk/{room}")

    @app.websocket("/talk/{room}")
    async def talk(websocket: WebSocket, room: str, volume: int = 3) -> None: ...

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None: ...

    found = document(app, chat)
    assert lint(found) == []
    (channel,) = found["channels"].values()
    assert channel["address"] == "/talk/{room}"
    assert channel["bindings"]["ws"]["query"]["properties"]["volume"]["type"] == "integer"
    assert "reply" not in found["operations"]["talk.room.receive.say"]
    assert document(ProtocolMiddleware(app, chat), chat)["channels"].keys() == {"talk.room", "echo"}


def test_a_protocol_around_an_application_of_no_framework_has_its_path() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None: ...

    chat = MessageProtocol("Chat", receives=Say)
    found = document(ProtocolMiddleware(endpoint, chat, path="/raw"), chat)
    assert [channel["address"] for channel in found["channels"].values()] == ["/raw"]


def test_a_protocol_that_is_not_served_has_no_document() -> None:
    chat = MessageProtocol("Chat", receives=Say)
    with pytest.raises(ConfigurationError) as caught:
        document(FastAPI(), chat)
    assert str(caught.value) == (
        "The application does not serve the protocol 'Chat': app.include_router(….router), or "
        "app.add_middleware(ProtocolMiddleware, protocol=…)."
    )


async def got(app: FastAPI, url: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.get(url)


async def test_the_document_is_served_for_the_address_that_is_asked() -> None:
    chat = MessageProtocol("Chat", receives=Say)
    inner, app = FastAPI(), FastAPI()
    inner.include_router(chat.router)
    app.mount("/chat", inner)
    found = (await got(app, "https://example.com:8443/chat/asyncapi.json")).json()
    assert found["servers"] == {
        "default": {"host": "example.com:8443", "protocol": "wss", "pathname": "/chat"}
    }
    assert found["channels"]["ws"]["address"] == "/ws"
    assert "/asyncapi.json" not in inner.openapi()["paths"]


@pytest.mark.parametrize("url, status", [("/asyncapi.json", 404), ("/docs/chat.json", 200)])
async def test_where_the_document_is_served_can_be_said(url: str, status: int) -> None:
    chat = MessageProtocol("Chat", receives=Say, asyncapi_url=None if status == 404 else url)
    app = FastAPI()
    app.include_router(chat.router)
    assert (await got(app, f"http://test{url}")).status_code == status


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
