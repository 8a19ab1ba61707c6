"""Both writers end quietly, and keep nobody waiting for what others queue."""

import asyncio
from typing import Any, cast

from fastapi import FastAPI

from protocol.outbox import Budget, Frame, OutboxQueue
from protocol.testing import Client, settle
from protocol.types import WIRE, Send, Wire, passes
from protocol.writer import DirectWriter, SendWriter, direct_wire
from tests.peers import Rig, Seen


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
    assert rig.node._budget.used == 0
    assert "slow" not in seen.events
    await client.close()


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
