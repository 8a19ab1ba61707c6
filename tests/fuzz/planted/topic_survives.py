"""The topic of a room is still there when everybody has left, and who opens the room anew gets it."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, NotAMember

CHECK = "clean_room"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1}},
    {"do": "send", "client": 0, "message": {"type": "set_topic", "room": "a", "topic": "0"}},
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Joined(Message, type="joined"):
    room: RoomName
    topic: str


class SetTopic(Message, type="set_topic"):
    room: RoomName
    topic: Annotated[str, Field(max_length=20)]


@dataclass
class Talk:
    topic: str = ""
    inside: set[str] = field(default_factory=set)


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Topics")
    talks: dict[str, Talk] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        await connection.join(message.room)
        talk = talks.setdefault(message.room, Talk())
        talk.inside.add(connection.id)
        return Joined(room=message.room, topic=talk.topic)

    @chat.on(SetTopic)
    async def set_topic(message: SetTopic, connection: Connection) -> None:
        if message.room not in connection.rooms:
            raise NotAMember("You are not in that room.")
        talks[message.room].topic = message.topic

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        for room, talk in list(talks.items()):
            talk.inside.discard(connection.id)
            if not talk.inside and not bug:
                del talks[room]

    app = FastAPI()
    app.include_router(chat.router)
    return app
