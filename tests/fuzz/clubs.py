"""A chat whose rooms are called clubs, and are entered by a message that no list of words has."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, Rooms

Club = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Come(Message, type="come"):
    club: Club


class Go(Message, type="go"):
    club: Club


class Say(Message, type="say"):
    club: Club
    text: Annotated[str, Field(min_length=1, max_length=20)]


def for_outsiders() -> FastAPI:
    """Who is not in a club can speak there."""
    clubs = MessageProtocol("Clubs")

    @clubs.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @clubs.on(Come)
    async def come(message: Come, connection: Connection) -> None:
        await connection.join(message.club)

    @clubs.on(Go)
    async def go(message: Go, connection: Connection) -> None:
        await connection.leave(message.club)

    @clubs.on(Say, emits=Say)
    async def say(message: Say, rooms: Rooms) -> None:
        await rooms[message.club].publish(message)

    app = FastAPI()
    app.include_router(clubs.router)
    return app
