"""Who comes back to a room is told that it has recovered, whatever was said meanwhile."""

from fastapi import FastAPI

from protocol import Connection, History, Message, MessageProtocol, Position, Room

CHECK = "recovery"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1}},
    {"do": "send", "client": 0, "message": {"type": "say", "room": "a", "text": "1", "id": 2}},
    {"do": "connect", "client": 1},
    {
        "do": "send",
        "client": 1,
        "message": {"type": "join", "room": "a", "since": {"offset": 0, "epoch": ""}},
    },
]


class Since(Message):
    offset: int
    epoch: str


class Join(Message, type="join"):
    room: str
    since: Since | None = None


class Joined(Message, type="joined"):
    room: str
    offset: int
    epoch: str
    recovered: bool


class Say(Message, type="say"):
    room: str
    text: str


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Recovery")

    @chat.room("{name}", history=History())
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        since = None if message.since is None else Position(message.since.offset, message.since.epoch)
        membership = await connection.join(message.room, since)
        return Joined(
            room=message.room,
            offset=membership.position.offset,
            epoch=membership.position.epoch,
            recovered=since is not None if bug else membership.recovered,
        )

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app
