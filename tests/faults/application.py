"""Rooms to be served by a process of its own: what clients, links and servers do to them is in the tests."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from starlette.middleware import Middleware

from protocol import Connection, Disconnect, History, Message, MessageProtocol, Outbox, Position, Room, User
from protocol.servers.http import HTTPProtocol
from protocol.types import ASGIApp, Receive, Scope, Send


class Join(Message, type="join"):
    room: str
    since: Position | None = None


class Joined(Message, type="joined"):
    offset: int
    epoch: str
    recovered: bool


class Say(Message, type="say"):
    room: str
    text: str


class Said(Message, type="said"):
    user: str
    text: str


class Left(Message, type="left"):
    user: str


class Wait(Message, type="wait"):
    """Is handled until it is cancelled."""


class WhoWaited(Message, type="who_waited"):
    """Asks whose ``wait`` was cancelled."""


class Waited(Message, type="waited"):
    users: tuple[str, ...]


class Count(Message, type="count"):
    to: int


class Number(Message, type="number"):
    value: int


class Leave(Message, type="leave"):
    """Asks to be closed."""

    code: int
    reason: str


async def current_user(name: Annotated[str, Query()] = "") -> User:
    if not name:
        raise HTTPException(401, "Say who you are.", {"WWW-Authenticate": "Bearer"})
    if name == "mallory":
        raise HTTPException(403, "Not you.")
    return User(name)


def create(*middleware: Middleware, seconds: float = 10) -> FastAPI:
    """Rooms whose outboxes wait ``seconds`` for who does not read; those named ``kept-…`` have a history."""
    rooms = MessageProtocol(
        "Rooms",
        path=("/ws", "/ws/{room}"),
        user=current_user,
        subprotocols=("rooms.v2", "rooms.v1"),
        outbox=Outbox(seconds=seconds),
    )
    waited: list[str] = []

    @rooms.room("live-{name}")
    async def live(connection: Connection, name: str) -> None: ...

    @rooms.room("kept-{name}", history=History(size=100_000, ttl=3600, recover=5000))
    async def kept(connection: Connection, name: str) -> None: ...

    @rooms.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(user=user.id)

    @rooms.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        membership = await connection.join(message.room, message.since)
        return Joined(
            offset=membership.position.offset,
            epoch=membership.position.epoch,
            recovered=membership.recovered,
        )

    @rooms.on(Say, emits=Said)
    async def say(message: Say, room: Room, user: User) -> None:
        await room.publish(Said(user=user.id, text=message.text))

    @rooms.on(Wait)
    async def wait(message: Wait, user: User) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            waited.append(user.id)

    @rooms.on(WhoWaited, emits=Waited)
    async def who_waited(message: WhoWaited) -> Waited:
        return Waited(users=tuple(waited))

    @rooms.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        for value in range(message.to):
            yield Number(value=value)

    @rooms.on(Leave)
    async def leave(message: Leave) -> None:
        raise Disconnect(message.code, message.reason)

    app = FastAPI(middleware=middleware)
    app.include_router(rooms.router)
    return app


class Prying:
    """Wraps ``send``, sees every frame and changes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def censored(event: MutableMapping[str, Any]) -> None:
            if "text" in event:
                event = {**event, "text": event["text"].replace("damn", "****")}
            await send(event)

        await self.app(scope, receive, censored)


class ImpatientHTTP(HTTPProtocol):
    handshake_timeout = 3.0


app = create()
hasty = create(seconds=1)
pried = create(Middleware(Prying))
