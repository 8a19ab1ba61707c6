"""Both ways to the socket keep the same promises."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Outbox, Room
from protocol.outbox import Budget, Frame, OutboxQueue
from protocol.testing import Client, settle
from protocol.types import OBSERVERS, WIRE, Observer, Send, Wire, passes
from protocol.writer import DirectWriter, SendWriter, direct_wire


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
async def test_whatever_is_published_at_once_a_peer_that_reads_is_not_slow(wire: bool) -> None:
    rig = Rig(wire)
    ann, bob = await rig.joined("ann"), await rig.joined("bob")
    texts = [f"{number} {'x' * 10_000}" for number in range(300)]
    for text in texts:
        delivery = await rig.chat.rooms["a"].publish(Say(room="a", text=text))
        assert (delivery.receivers, delivery.dropped) == (2, 0)
    for text in texts:
        await rig.chat.users["ann"].send(Say(room="a", text=text))
    [connection] = rig.chat.users["bob"].connections()
    for text in texts:
        await connection.send(Say(room="a", text=text))
    await settle()
    for client in (ann, bob):
        assert [frame["text"] for frame in client.frames] == texts * 2
        await client.close()


@both
@pytest.mark.parametrize("before, asks", [(1, 60), (120, 1)], ids=["answers", "sends"])
async def test_what_a_peer_asks_for_comes_at_the_pace_of_its_reading(
    wire: bool, before: int, asks: int
) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    client.pause()
    for number in range(asks):
        await client.send(Ask(before=before), id=number)
    await settle()
    assert rig.chat.at(rig.app)._budget.used < 200_000
    # What cancels or waits for its turn is seen meanwhile.
    await client.send({"type": "cancel", "ref": asks - 1}, id="cancel")
    await settle()
    client.resume()
    await settle()
    refs = [frame["ref"] for frame in client.frames if "ref" in frame]
    assert sorted(map(str, refs)) == sorted(["cancel", *map(str, range(asks))])
    errors = [(frame["ref"], frame["code"]) for frame in client.frames if frame["type"] == "error"]
    assert errors == [(asks - 1, "cancelled")]
    await client.close()


async def test_a_room_as_busy_as_its_peer_is_fast_keeps_no_message_from_its_turn() -> None:
    rig = Rig(wire=True)
    client = await rig.joined("ann")
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 70_000))
    await client.send(Ask(), id="mine")
    for _ in range(10):
        await settle()
        # Everything is taken, and as much comes behind it.
        client.resume()
        client.pause()
        await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 70_000))
    [connection] = rig.chat.users["ann"].connections()
    assert connection.full
    assert "mine" in [frame.get("ref") for frame in client.frames]
    await client.close()


@both
async def test_more_answers_than_an_outbox_holds_reach_who_asks_for_them_at_once(wire: bool) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    for number in range(150):
        await client.send(Ask(), id=number)
    await settle()
    assert [frame["ref"] for frame in client.frames if frame["type"] == "say"] == list(range(150))
    await client.close()


@both
async def test_who_asks_and_does_not_read_is_given_up_in_time(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    seen = Seen()
    client = await rig.joined("ann", seen)
    client.pause()
    for number in range(300):
        await client.send(Ask(), id=number)
    await asyncio.sleep(6)
    assert seen.events.count("slow") == 1
    assert len(rig.chat.at(rig.app).hub.fanout) == 0
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@both
async def test_who_leaves_while_its_answers_wait_is_forgotten_at_once(wire: bool) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    client.pause()
    for number in range(300):
        await client.send(Ask(), id=number)
    await settle()
    client.drop()
    await settle()
    assert len(rig.chat.at(rig.app).hub.fanout) == 0
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


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
    deliveries = []
    for _ in range(6):
        deliveries.append(await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 500)))
        await settle()
    assert [delivery.dropped for delivery in deliveries].count(1) == 1
    assert (deliveries[0].receivers, deliveries[-1].receivers) == (2, 1)
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
async def test_every_old_message_that_makes_room_for_a_new_one_is_told_to_its_publisher(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(bytes=2048))
    seen = Seen()
    client, reading = await rig.joined("ann", seen), await rig.joined("bob")
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="first"))
    await settle()
    deliveries = [await rig.chat.rooms["a"].publish(Line(text=str(n) * 200)) for n in range(10)]
    assert not deliveries[0].dropped
    assert {delivery.receivers for delivery in deliveries} == {2}
    large = await rig.chat.rooms["a"].publish(Line(text="x" * 1500))
    assert large.dropped > 1
    client.resume()
    await settle()
    got = [frame["text"] for frame in client.frames if frame["type"] == "line"]
    told = sum(delivery.dropped for delivery in (*deliveries, large))
    assert got == [*(str(n) * 200 for n in range(told, 10)), "x" * 1500]
    assert [frame["text"][0] for frame in reading.frames if frame["type"] == "line"] == [*"0123456789x"]
    assert f"dropped {large.dropped} line" in seen.events
    for one in (client, reading):
        await one.close()


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


async def test_a_peer_that_reads_slowly_is_not_given_up() -> None:
    rig = Rig(wire=True, outbox=Outbox(seconds=5))
    seen = Seen()
    client = await rig.joined("ann", seen)
    [connection] = rig.chat.users["ann"].connections()
    writer = connection._writer
    assert isinstance(writer, DirectWriter)
    backlog = 1000
    writer._wire.backlog = lambda: backlog  # type: ignore[method-assign]
    writer.pause()
    for _ in range(5):
        backlog -= 100
        await asyncio.sleep(5)
    assert "slow" not in seen.events
    await asyncio.sleep(6)
    assert "slow" in seen.events
    await client.close()


async def test_a_transport_that_fills_after_the_end_counts_for_nothing() -> None:
    rig = Rig(wire=True)
    seen = Seen()
    client = await rig.joined("ann", seen)
    [connection] = rig.chat.users["ann"].connections()
    writer = connection._writer
    assert isinstance(writer, DirectWriter)
    await connection.close()
    await client.expect_close()
    writer.pause()
    await asyncio.sleep(60)
    assert rig.chat.at(rig.app)._budget.used == 0
    assert "slow" not in seen.events
    await client.close()


class Queued:
    """A connection with nothing but its queue."""

    def __init__(self) -> None:
        self.queue = OutboxQueue(1 << 20, Budget(1 << 20))

    def put(self, text: str) -> None:
        self.queue.put(Frame(text.encode(), "x"))

    def refill(self) -> None: ...

    def too_slow(self) -> None: ...

    def drain(self, code: int, reason: str) -> None: ...


async def test_who_waits_for_a_send_waits_for_nothing_that_others_queue_meanwhile() -> None:
    source, sent, taken = Queued(), list[str](), asyncio.Semaphore(0)

    async def send(event: Any) -> None:
        await taken.acquire()
        sent.append(event["text"])

    writer = SendWriter(source, send, 10)
    source.put("before")
    writer.flush()
    await settle()
    source.put("mine")
    ready = asyncio.create_task(writer.ready())
    while not ready.done():
        source.put("another")
        taken.release()
        await settle()
        assert len(sent) < 10
        assert ready.done() <= ("mine" in sent)
    assert writer.waiting()
    assert await ready
    await writer.close(None)


async def test_who_waits_for_the_wire_waits_for_nothing_that_others_queue_meanwhile() -> None:
    class Full:
        """A transport that every write fills."""

        written = b""

        def attach(self, peer: DirectWriter) -> None:
            self.peer = peer

        def write(self, frames: bytes) -> None:
            self.written += frames
            self.peer.pause()

        def backlog(self) -> int:
            return 1

    source, wire = Queued(), Full()

    async def send(event: Any) -> None: ...

    writer = DirectWriter(source, cast(Wire, wire), send, 10)
    source.put("before")
    writer.flush()
    source.put("mine")
    ready = asyncio.create_task(writer.ready())
    await settle()
    assert not ready.done()
    source.put("another")
    writer.resume()
    await settle()
    assert b"mine" in wire.written
    assert writer._paused
    assert ready.done()
    assert await ready
    await writer.close(None)


async def test_a_server_that_cannot_send_any_more_ends_the_writer_quietly() -> None:
    async def send(event: Any) -> None:
        raise OSError("The peer is gone.")

    source = Queued()
    writer = SendWriter(source, send, 1)
    source.put("{}")
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
