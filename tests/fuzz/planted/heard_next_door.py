"""Who enters a room by the path hears what is said in it, and in all the others."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol

CHECK = "isolation"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "connect", "client": 1, "path": "/ws/a"},
    {"do": "send", "client": 1, "message": {"type": "say", "text": "0"}},
]


class Say(Message, type="say"):
    text: Annotated[str, Field(min_length=1, max_length=20)]


class Said(Message, type="said"):
    room: str
    text: str


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Doors", path="/ws/{room}")
    doors: dict[Connection, str] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_connect
    async def enter(connection: Connection) -> None:
        doors[connection] = connection.path_params["room"]

    @chat.on_disconnect
    async def go(connection: Connection) -> None:
        del doors[connection]

    @chat.on(Say, emits=Said)
    async def say(message: Say, connection: Connection) -> None:
        for other, room in list(doors.items()):
            if bug or room == doors[connection]:
                await other.send(Said(room=doors[connection], text=message.text))

    app = FastAPI()
    app.include_router(chat.router)
    return app
