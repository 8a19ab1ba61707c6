"""The router of a protocol in an application: what has to stand apart, stands apart or is refused."""

import asyncio
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from protocol import LocalProtocolError, MessageProtocol, User
from protocol.testing import Client
from tests.misdeclared import refusal


def start(app: FastAPI) -> None:
    async def lifespan() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(lifespan())


def test_two_protocols_cannot_have_one_document() -> None:
    app = FastAPI()
    app.include_router(MessageProtocol("Chat", path="/chat").router)
    app.include_router(MessageProtocol("News", path="/news").router)
    assert refusal(lambda: start(app)) == (
        "The protocols 'Chat' and 'News' have the same asyncapi_url, '/asyncapi.json', so that nobody can reach that "
        "of 'News'. Give each its own: MessageProtocol('News', asyncapi_url=…), or a prefix to its router."
    )


def test_two_protocols_cannot_have_one_path() -> None:
    app = FastAPI()
    app.include_router(MessageProtocol("Chat").router)
    app.include_router(MessageProtocol("News", asyncapi_url=None).router)
    assert refusal(lambda: start(app)) == (
        "The protocols 'Chat' and 'News' have the same path, '/ws', so that nobody can reach that of 'News'. "
        "Give each its own: MessageProtocol('News', path=…), or a prefix to its router."
    )


def test_a_prefix_keeps_protocols_apart_and_one_protocol_may_be_included_twice() -> None:
    chat, app, inner = MessageProtocol("Chat"), FastAPI(), APIRouter(prefix="/v2")
    inner.include_router(MessageProtocol("News").router)
    app.include_router(chat.router)
    app.include_router(chat.router)
    app.include_router(inner)
    start(app)


@pytest.mark.parametrize("returned", ["ann", {"id": "ann"}])
async def test_who_connects_is_a_user_or_nobody(returned: object) -> None:
    async def somebody() -> object:
        return returned

    app = FastAPI()
    app.include_router(MessageProtocol("Chat", user=somebody).router)
    with pytest.raises(LocalProtocolError) as caught:
        await Client(app).connect()
    assert str(caught.value) == (
        "The dependency user= of the protocol 'Chat' has to return a User, or None for nobody, not "
        f"{type(returned).__name__}."
    )


def test_the_id_of_a_user_is_a_string() -> None:
    number: Any = 5
    with pytest.raises(TypeError) as caught:
        User(number)
    assert str(caught.value) == "User(id=…) is a string, not int: write User(str(id))."
