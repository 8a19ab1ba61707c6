"""What is said is published by tasks of its own, of which a later one may be faster."""

import asyncio
from itertools import cycle
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, Room

CHECK = "order"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "say", "room": "a", "text": "1"}},
            {"client": 0, "message": {"type": "say", "room": "a", "text": "2"}},
        ],
    },
]

RoomName = Annotated[str, Field(pattern="^[a-z]{1,8}$")]


class Join(Message, type="join"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=20)]


def create_app(bug: bool) -> FastAPI:
    chat = MessageProtocol("Background")
    tasks: set[asyncio.Task[None]] = set()
    steps = cycle((20, 1))  # two translators take turns, and one is faster

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        translated = publish(message, room, next(steps))
        if bug:
            task = asyncio.create_task(translated)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            await translated

    async def publish(message: Say, room: Room, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        await room.publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app
