"""The router of a protocol in an application: what has to stand apart, stands apart or is refused."""

import asyncio

import pytest
from fastapi import APIRouter, FastAPI

from protocol import ConfigurationError, Message, MessageProtocol


class Say(Message, type="say"):
    text: str


def start(app: FastAPI) -> None:
    async def lifespan() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(lifespan())


def test_two_protocols_cannot_have_one_document() -> None:
    app = FastAPI()
    app.include_router(MessageProtocol("Chat", path="/chat").router)
    app.include_router(MessageProtocol("News", path="/news").router)
    with pytest.raises(ConfigurationError) as caught:
        start(app)
    assert str(caught.value) == (
        "The protocols 'Chat' and 'News' have the same asyncapi_url, '/asyncapi.json', so that nobody can reach that "
        "of 'News'. Give each its own: MessageProtocol('News', asyncapi_url=…), or a prefix to its router."
    )


def test_two_protocols_cannot_have_one_path() -> None:
    app = FastAPI()
    app.include_router(MessageProtocol("Chat").router)
    app.include_router(MessageProtocol("News", asyncapi_url=None).router)
    with pytest.raises(ConfigurationError) as caught:
        start(app)
    assert str(caught.value) == (
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
