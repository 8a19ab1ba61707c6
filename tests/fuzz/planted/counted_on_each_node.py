"""Who is in a room is kept in a variable of the process, and each node counts its own."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol

CHECK = "transparency"
NODES = 3
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1}},
    {"do": "connect", "client": 1},
    {"do": "send", "client": 1, "message": {"type": "join", "room": "a", "id": 2}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Joined(Message, type="joined"):
    room: RoomName
    count: int


class Leave(Message, type="leave"):
    room: RoomName


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Counting")
    here: dict[str, set[Connection]] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        membership = await connection.join(message.room)
        there = here.setdefault(message.room, set())
        there.add(connection)
        return Joined(room=message.room, count=len(there) if bug else membership.members.count)

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)
        remove(connection, message.room)

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        for room in list(here):
            remove(connection, room)

    def remove(connection: Connection, room: str) -> None:
        there = here.get(room, set())
        there.discard(connection)
        if not there:
            here.pop(room, None)

    app = FastAPI()
    app.include_router(chat.router)
    return app
