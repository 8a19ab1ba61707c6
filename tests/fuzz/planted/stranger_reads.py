"""What was said last in a room is sent to whoever asks, member or not."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, NotAMember, Room

CHECK = "isolation"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {"do": "send", "client": 0, "message": {"type": "say", "room": "a", "text": "0"}},
    {"do": "connect", "client": 1},
    {"do": "send", "client": 1, "message": {"type": "peek", "room": "a"}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=20)]


class Peek(Message, type="peek"):
    room: RoomName


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Keyholes")
    last: dict[str, Say] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        last[message.room] = message
        await room.publish(message)

    @chat.on(Peek, emits=Say)
    async def peek(message: Peek, connection: Connection) -> None:
        if message.room not in connection.rooms and not bug:
            raise NotAMember("You are not in that room.")
        if message.room in last:
            await connection.send(last[message.room])

    app = FastAPI()
    app.include_router(chat.router)
    return app
