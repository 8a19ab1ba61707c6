"""The handler takes the room from ``rooms`` by its name, so that who is not in the room can speak there."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, NotAMember, Rooms

CHECK = "isolation"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {"do": "connect", "client": 1},
    {"do": "send", "client": 1, "message": {"type": "say", "room": "a", "text": "0"}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=20)]


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Open doors")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, connection: Connection, rooms: Rooms) -> None:
        if message.room not in connection.rooms and not bug:
            raise NotAMember("You are not in that room.")
        await rooms[message.room].publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app
