"""Where a protocol is served, behind what, and where its document is."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, Query, WebSocket
from fastapi.security import APIKeyQuery, OAuth2PasswordBearer
from pydantic import Field
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol, User
from protocol.asyncapi import document, lint
from protocol.middleware import JWTAuthMiddleware, OriginMiddleware
from protocol.middleware.protocol import ProtocolMiddleware
from tests.asyncapi.documents import of, served
from tests.misdeclared import refusal

SECRET = "a secret of more than thirty-two characters"


class Say(Message, type="say"):
    room: str = Field(examples=["lobby"])
    text: str


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
    chat = MessageProtocol("Chat", receives=Say, sends=Say)
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
    assert refusal(lambda: document(FastAPI(), chat)) == (
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
