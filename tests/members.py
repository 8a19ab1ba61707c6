"""An application with rooms, and a look at what its node holds, for the tests of the hub."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from protocol import Connection, History, Message, MessageProtocol, Position, Reject, Room, User
from protocol.node import Node
from protocol.testing import Client
from tests.served import served


class Join(Message, type="join"):
    room: str
    since: Position | None = None
    wait: float = 0


class Leave(Message, type="leave"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Status(Message, type="status"):
    status: str


class Joined(Message, type="joined"):
    room: str
    members: list[str]
    count: int
    offset: int
    recovered: bool


class Text(Message, type="text"):
    text: str


class Came(Message, type="came"):
    user: str


class Left(Message, type="left"):
    user: str


class Has(Message, type="has"):
    user: str
    status: str


KEY = "0123456789abcdef"


def joinable(chat: MessageProtocol) -> FastAPI:
    """Serve it to whoever joins its rooms."""

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room, message.since)

    return served(chat)


class Rig:
    """An application with rooms of three kinds, and a look at what its node holds."""

    def __init__(self, **options: Any) -> None:
        self.chat = chat = MessageProtocol("Hub", sends=(Text, Joined), **options)
        self.authorised: list[str] = []

        @chat.room("kept-{name}", history=History(size=1000, recover=1000))
        async def kept(connection: Connection, name: str) -> None: ...

        @chat.room("quiet-{name}", presence=False)
        async def quiet(connection: Connection, name: str) -> None: ...

        @chat.room("r{number}")
        async def room(connection: Connection, number: int) -> None:
            self.authorised.append(f"{connection.user.id} r{number}")
            if number == 403:
                raise Reject("forbidden")

        @chat.on_join
        async def came(user: User, room: Room) -> Came:
            return Came(user=user.id)

        @chat.on_leave
        async def left(user: User, room: Room) -> Left:
            return Left(user=user.id)

        @chat.on_status
        async def has(user: User, status: str) -> Has:
            return Has(user=user.id, status=status)

        @chat.on(Join, emits=Joined)
        async def join(message: Join, connection: Connection) -> Joined:
            membership = await connection.join(message.room, message.since)
            await asyncio.sleep(message.wait)
            return Joined(
                room=message.room,
                members=[member.user for member in membership.members.users],
                count=membership.members.count,
                offset=membership.position.offset,
                recovered=membership.recovered,
            )

        @chat.on(Leave)
        async def leave(message: Leave, connection: Connection) -> None:
            await connection.leave(message.room)

        @chat.on(Say, emits=Text)
        async def say(message: Say, room: Room) -> None:
            await room.publish(Text(text=message.text))

        @chat.on(Status)
        async def status(message: Status, connection: Connection) -> None:
            await connection.set_status(message.status)

        self.app = served(chat)

    def client(self, user: str) -> Client:
        return Client(self.app, user=user)

    @property
    def node(self) -> Node:
        return self.chat.at(self.app)

    def connection(self, user: str) -> Connection:
        (connection,) = self.node.hub.fanout.users[user]
        return connection

    def assert_empty(self) -> None:
        assert len(self.node.hub.fanout) == 0
        assert len(self.node.presence) == 0  # type: ignore[arg-type]
        assert self.node._budget.used == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Failing:
    """Fails a method of an object, or holds it up."""

    def __init__(self, target: Any, name: str, effect: Callable[[], Any]) -> None:
        self.target, self.name, self.effect = target, name, effect
        self.method = getattr(target, name)

    def __enter__(self) -> None:
        async def instead(*args: Any, **kwargs: Any) -> Any:
            await self.effect()
            return await self.method(*args, **kwargs)

        setattr(self.target, self.name, instead)

    def __exit__(self, *error: object) -> None:
        setattr(self.target, self.name, self.method)
