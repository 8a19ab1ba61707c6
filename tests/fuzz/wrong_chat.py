"""A small chat, right and in two ways wrong."""

from datetime import UTC, datetime

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Room, Rooms, User


class Join(Message, type="join"):
    room: str


class Joined(Message, type="joined"):
    room: str
    members: list[str]


class Leave(Message, type="leave"):
    room: str


class Say(Message, type="message"):
    room: str
    text: str


class Said(Message, type="message"):
    room: str
    user: str
    text: str
    at: datetime


def create_app(*, says_without_membership: bool = False, leaves_ghosts: bool = False) -> FastAPI:
    """The chat, right unless it is said."""
    chat = MessageProtocol("Chat")
    ghosts: dict[str, dict[str, None]] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        await connection.join(message.room)
        there = ghosts.setdefault(message.room, {})
        there[connection.user.id] = None
        return Joined(room=message.room, members=list(there))

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)

    @chat.on_leave
    async def left(user: User, room: Room) -> None:
        if not leaves_ghosts:
            ghosts.get(room.name, {}).pop(user.id, None)

    async def publish(message: Say, room: Room, user: User) -> None:
        await room.publish(Said(room=message.room, user=user.id, text=message.text, at=datetime.now(UTC)))

    if says_without_membership:

        @chat.on(Say, emits=Said)
        async def say(message: Say, rooms: Rooms, user: User) -> None:
            await publish(message, rooms[message.room], user)

    else:

        @chat.on(Say, emits=Said)
        async def say_as_member(message: Say, room: Room, user: User) -> None:
            await publish(message, room, user)

    app = FastAPI()
    app.include_router(chat.router)
    return app


def for_outsiders() -> FastAPI:
    """Who is not in a room can speak there."""
    return create_app(says_without_membership=True)


def haunted() -> FastAPI:
    """Who has left is still listed."""
    return create_app(leaves_ghosts=True)
