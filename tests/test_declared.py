"""The check that guards every other test is no rubber stamp."""

import pytest
from fastapi import FastAPI, WebSocket

from protocol import Message, MessageProtocol
from tests.declared import complaint
from tests.served import served


class Said(Message, type="said"):
    text: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Chat", path="/ws/{room}", sends=Said)
    app = served(chat)

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None: ...

    return app


@pytest.mark.parametrize(
    "frame, wrong",
    [
        ('{"type":"said","text":"hi","ref":1}', None),
        ('{"type":"pong"}', None),
        ('{"type":"said","text":1}', "The document declares it otherwise: "),
        ('{"type":"said","text":"hi","more":1}', "The document declares it otherwise: "),
        ('{"type":"told"}', "The document declares no such message: {'type': 'told'}"),
        ('{"text":"hi"}', "The document declares no such message: {'text': 'hi'}"),
    ],
)
def test_frames_are_held_to_the_document(frame: str, wrong: str | None) -> None:
    found = complaint(create_app(), "/ws/lobby", frame)
    assert found == wrong if wrong is None else found is not None and found.startswith(wrong)


def test_frames_of_other_endpoints_are_not() -> None:
    assert complaint(create_app(), "/echo", "[]") is None
