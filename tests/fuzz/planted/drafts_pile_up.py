"""A table with an entry for each connection is never cleared."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol

CHECK = "no_growth"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "draft", "text": ""}},
]


class Draft(Message, type="draft"):
    text: Annotated[str, Field(max_length=100)]


def create_app(bug: bool) -> FastAPI:
    editor = MessageProtocol("Editor")
    drafts: dict[str, str] = {}

    @editor.on(Draft)
    async def draft(message: Draft, connection: Connection) -> None:
        drafts[connection.id] = message.text

    @editor.on_disconnect
    async def forget(connection: Connection) -> None:
        if not bug:
            drafts.pop(connection.id, None)

    app = FastAPI()
    app.include_router(editor.router)
    app.state.drafts = drafts
    return app
