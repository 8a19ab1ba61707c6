"""The application keeps a list of who is in a room, and forgets to take out who vanishes without a ``leave``."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol

CHECK = "clean_room"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1}},
    {"do": "drop", "client": 0},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Joined(Message, type="joined"):
    room: RoomName
    others: int


class Leave(Message, type="leave"):
    room: RoomName


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Ghosts")
    inside: dict[str, set[str]] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        await connection.join(message.room)
        there = inside.setdefault(message.room, set())
        others = len(there - {connection.id})
        there.add(connection.id)
        return Joined(room=message.room, others=others)

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)
        remove(connection, message.room)

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        for room in () if bug else list(inside):
            remove(connection, room)

    def remove(connection: Connection, room: str) -> None:
        there = inside.get(room, set())
        there.discard(connection.id)
        if not there:
            inside.pop(room, None)

    app = FastAPI()
    app.include_router(chat.router)
    return app
