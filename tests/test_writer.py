"""Both ways to the socket keep the same promises."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Outbox, Room
from protocol.outbox import Budget, Frame, OutboxQueue
from protocol.testing import Client, settle
from protocol.types import OBSERVERS, WIRE, Observer, Send, Wire, passes
from protocol.writer import SendWriter, direct_wire


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
    symbol: str
    price: int


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
        self.chat = MessageProtocol("Writer", sends=(Say, Tick), **options)

        @self.chat.room("{name}")
        async def anyone(connection: Connection, name: str) -> None: ...

        @self.chat.on(Join)
        async def join(message: Join, connection: Connection) -> None:
            await connection.join(message.room)

        @self.chat.on(Say)
        async def say(message: Say, room: Room) -> None:
            await room.publish(message)

        self.app = FastAPI()
        self.app.include_router(self.chat.router)

    async def joined(self, user: str, seen: Seen | None = None) -> Client:
        client = Client(self.app, user=user, wire=self.wire)
        if seen is not None:
            observers: list[Observer] = [seen]
            client.scope[OBSERVERS] = observers
        await client.connect()
        await client.request(Join(room="a"))
        return client


both = pytest.mark.parametrize("wire", [False, True], ids=["send", "wire"])


@both
async def test_a_peer_that_reads_nothing_is_given_up_in_time_and_slows_nobody(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    seen = Seen()
    stuck, other = await rig.joined("stuck", seen), await rig.joined("other")
    stuck.pause()
    await other.request(Say(room="a", text="hi"))
    await other.expect(Say)
    await asyncio.sleep(4)
    assert "slow" not in seen.events
    await asyncio.sleep(2)
    assert seen.events[0] == "attached"
    assert seen.events.count("slow") == 1
    assert len(rig.chat.at(rig.app).hub.fanout.users) == 1
    if wire:
        assert stuck.closed == (1006, "")
    for client in (stuck, other):
        await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@both
async def test_a_full_outbox_ends_the_connection_and_nothing_of_it_stays(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(bytes=2048))
    seen = Seen()
    stuck, other = await rig.joined("stuck", seen), await rig.joined("other")
    stuck.pause()
    for _ in range(6):
        await other.request(Say(room="a", text="x" * 500))
    assert seen.events.count("slow") == 1
    assert len(rig.chat.at(rig.app).hub.fanout.users) == 1
    for client in (stuck, other):
        await client.close()
    assert rig.chat.at(rig.app)._budget.used == 0


@both
async def test_of_what_may_be_lost_a_slow_peer_gets_the_latest(wire: bool) -> None:
    rig = Rig(wire)
    seen = Seen()
    client = await rig.joined("ann", seen)
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="first"))
    await settle()
    lost = 0
    for price in range(5):
        for symbol in ("x", "y"):
            lost += (await rig.chat.rooms["a"].publish(Tick(symbol=symbol, price=price))).dropped
    client.resume()
    await settle()
    ticks = [(frame["symbol"], frame["price"]) for frame in client.frames if frame["type"] == "tick"]
    assert {("x", 4), ("y", 4)} <= {*ticks}
    assert len(ticks) + lost == 10
    assert seen.events.count("dropped 1 tick") == lost > 0
    await client.close()


@both
async def test_a_close_comes_behind_everything_and_a_peer_that_never_takes_it_is_given_up(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    reading, stuck = await rig.joined("reading"), await rig.joined("stuck")
    stuck.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="last"))
    for user in ("reading", "stuck"):
        await rig.chat.users[user].disconnect(4001, "bye")
    assert await reading.expect_close() == (4001, "bye")
    assert [frame["text"] for frame in reading.frames] == ["last"]
    await asyncio.sleep(6)
    await settle()
    assert len(rig.chat.at(rig.app).hub.fanout) == 0
    for client in (reading, stuck):
        await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_that_cannot_send_any_more_ends_the_writer_quietly() -> None:
    class Source:
        queue = OutboxQueue(1 << 20, Budget(1 << 20))

        def refill(self) -> None: ...

        def too_slow(self) -> None: ...

        def drain(self, code: int, reason: str) -> None: ...

    async def send(event: Any) -> None:
        raise OSError("The peer is gone.")

    writer = SendWriter(Source(), send, 1)
    Source.queue.put(Frame(b"{}", "x"))
    writer.flush()
    assert not await writer.ready()
    await writer.close((1000, ""))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_wire_is_used_only_where_nothing_would_be_bypassed() -> None:
    client = Client(FastAPI(), wire=True)
    wire: Wire = client.scope["extensions"][WIRE]

    def wrapped(send: Send) -> Send:
        async def look(event: Any) -> None:
            await send(event)

        return look

    assert direct_wire(client.scope, wire.send) is wire
    assert direct_wire(client.scope, passes(wrapped(wire.send), wire.send)) is wire
    assert direct_wire(client.scope, wrapped(wire.send)) == (
        "test_the_wire_is_used_only_where_nothing_would_be_bypassed"
    )
    assert direct_wire({"type": "websocket"}, wire.send) is None
