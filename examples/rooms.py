"""Rooms: who may enter, what those see who come back, and what the others hear of it.

Run it with ``protocol run examples.rooms:app``.
"""

from typing import Annotated

from fastapi import FastAPI, Header

from protocol import Connection, History, Message, MessageProtocol, Position, Reject, Room, User


class Enter(Message, type="enter"):
    room: str
    offset: int | None = None  # the last message seen, to get what was missed
    epoch: str = ""


class Entered(Message, type="entered"):
    members: list[str]
    offset: int
    epoch: str
    recovered: bool


class Say(Message, type="say"):
    room: str
    text: str


class Said(Message, type="said"):
    user: str
    text: str


class Came(Message, type="came"):
    user: str


def who(x_user: Annotated[str, Header()]) -> User:
    """A demo: whoever connects says who it is."""
    return User(x_user)


team = MessageProtocol("Team", user=who)


@team.room("lobby")
async def lobby(connection: Connection) -> None: ...


@team.room("floor-{number}", history=History(size=100, ttl=3600, recover=50))
async def floor(connection: Connection, number: int) -> None:
    if number > 3 and connection.user.id != "boss":
        raise Reject("forbidden", "The upper floors are not for everybody.")


@team.on(Enter, emits=Entered)
async def enter(message: Enter, connection: Connection) -> Entered:
    since = None if message.offset is None else Position(message.offset, message.epoch)
    joined = await connection.join(message.room, since)
    members = [member.user for member in joined.members.users]
    offset, epoch = joined.position.offset, joined.position.epoch
    return Entered(members=members, offset=offset, epoch=epoch, recovered=joined.recovered)


@team.on(Say, emits=Said)
async def say(message: Say, room: Room, user: User) -> None:
    await room.publish(Said(user=user.id, text=message.text))


@team.on_join
async def came(user: User, room: Room) -> Came:
    return Came(user=user.id)


app = FastAPI()
app.include_router(team.router)
