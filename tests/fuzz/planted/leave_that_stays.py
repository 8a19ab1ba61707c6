"""``leave`` is acknowledged, and takes the connection out of the application's own list only."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, Room, User

CHECK = "isolation"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {"do": "send", "client": 0, "message": {"type": "leave", "room": "a"}},
    {"do": "send", "client": 0, "message": {"type": "say", "room": "a", "text": "0"}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Leave(Message, type="leave"):
    room: RoomName


class Came(Message, type="came"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=20)]


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("No way out")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None:
        connection.state.entered = entered_by(connection) | {name}

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(room=room.name)

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        if not bug:
            await connection.leave(message.room)
        connection.state.entered = entered_by(connection) - {message.room}

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app


def entered_by(connection: Connection) -> set[str]:
    found: set[str] = getattr(connection.state, "entered", set())
    return found
