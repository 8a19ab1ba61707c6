"""Peers that read as fast as a test lets them, on both ways to the socket."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from protocol import Connection, Message, MessageProtocol, Room
from protocol.node import Node
from protocol.testing import Client
from protocol.types import OBSERVERS, Observer
from tests.served import served


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Ask(Message, type="ask"):
    """Is answered with 10,000 characters, after as many messages of them as ``before`` says."""

    before: int = 0


class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
    symbol: str
    price: int


class Line(Message, type="line", slow="drop_oldest"):
    text: str


class Seen:
    """What passes a connection."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def attached(self, waiting: Callable[[], int]) -> None:
        self.events.append("attached")

    def message_received(self, type: str) -> None: ...

    def message_handled(self, type: str, outcome: str, seconds: float) -> None: ...

    def frame_refused(self, code: str) -> None: ...

    def frames_sent(self, type: str, count: int, size: int) -> None:
        self.events.append(f"sent {type}")

    def frames_dropped(self, type: str, count: int) -> None:
        self.events.append(f"dropped {count} {type}")

    def closed_slow(self) -> None:
        self.events.append("slow")


class Rig:
    def __init__(self, wire: bool, **options: Any) -> None:
        self.wire = wire
        self.chat = MessageProtocol("Writer", sends=(Say, Tick, Line), **options)

        @self.chat.room("{name}")
        async def anyone(connection: Connection, name: str) -> None: ...

        @self.chat.on(Join)
        async def join(message: Join, connection: Connection) -> None:
            await connection.join(message.room)

        @self.chat.on(Say)
        async def say(message: Say, room: Room) -> None:
            await room.publish(message)

        @self.chat.on(Ask, emits=Say)
        async def ask(message: Ask, connection: Connection) -> Say:
            for number in range(message.before):
                await connection.send(Say(room=str(number), text="x" * 10_000))
            return Say(room="answer", text="x" * 10_000)

        self.app = served(self.chat)

    @property
    def node(self) -> Node:
        return self.chat.at(self.app)

    async def joined(self, user: str, *observers: Observer) -> Client:
        client = Client(self.app, user=user, wire=self.wire)
        if observers:
            client.scope[OBSERVERS] = [*observers]
        await client.connect()
        await client.request(Join(room="a"))
        return client


async def end(*clients: Client) -> None:
    """Close them; nothing of their connections goes on."""
    for client in clients:
        await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


both = pytest.mark.parametrize("wire", [False, True], ids=["send", "wire"])
