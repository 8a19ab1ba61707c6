"""What a publication has brought is looked up even where there was none, because the broker did not answer."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Delivery, History, Message, MessageProtocol, Room, Unavailable

CHECK = "server_error"
NODES = 3
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1}},
    {"do": "isolate", "node": 0},
    {"do": "send", "client": 0, "message": {"type": "say", "room": "a", "text": "1", "id": 2}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: str


class Said(Message, type="said"):
    at: int


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Outage")
    said: dict[str, Delivery] = {}

    @chat.room("{name}", history=History())
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=(Say, Said))
    async def say(message: Say, room: Room, connection: Connection) -> Said:
        try:
            said[connection.id] = await room.publish(message)
        except Unavailable:
            if not bug:
                raise
        position = said.pop(connection.id).position
        assert position is not None
        return Said(at=position.offset)

    app = FastAPI()
    app.include_router(chat.router)
    return app
