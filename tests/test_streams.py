"""Handlers that yield: replies, then one final answer, at the pace of the peer."""

import asyncio
from collections.abc import AsyncIterator

from protocol import MessageProtocol
from protocol.testing import Client, settle
from tests.served import served
from tests.working import Count, Number, cancelled


async def test_a_stream_sends_replies_then_the_ack() -> None:
    chat = MessageProtocol("Count")

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        for value in range(message.to):
            yield Number(value=value)

    async with Client(served(chat)) as client:
        await client.send(Count(to=3), id=1)
        await settle()
        assert client.frames == [
            *({"type": "number", "value": value, "ref": 1} for value in range(3)),
            {"type": "ack", "ref": 1},
        ]


async def test_a_stream_waits_for_a_peer_that_does_not_read_and_loses_nothing() -> None:
    chat = MessageProtocol("Count")
    made = 0

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        nonlocal made
        for value in range(message.to):
            made = value + 1
            yield Number(value=value)

    async with Client(served(chat)) as client:
        client.pause()
        await client.send(Count(to=10_000), id=1)
        await settle()
        assert made < 5_000
        client.resume()
        assert await client.expect("ack", within=9)
        assert [frame["value"] for frame in client.frames] == list(range(10_000))


async def test_a_cancelled_stream_runs_its_cleanup_and_ends_with_one_error() -> None:
    chat = MessageProtocol("Count")
    cleaned: list[str] = []

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        try:
            yield Number(value=0)
            await asyncio.sleep(3600)
        finally:
            cleaned.append("count")

    async with Client(served(chat)) as client:
        await client.send(Count(to=3), id=1)
        await client.expect(Number)
        await client.send({"type": "cancel", "ref": 1}, id=2)
        assert await client.expect("error") == cancelled(1)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
        assert cleaned == ["count"]
        await client.expect_nothing()


async def test_the_stream_of_a_plain_generator_runs_in_a_thread() -> None:
    chat = MessageProtocol("Count")

    @chat.on(Count, emits=Number)
    def count(message: Count):  # type: ignore[no-untyped-def]
        for value in range(message.to):
            yield Number(value=value)

    async with Client(served(chat)) as client:
        await client.send(Count(to=2), id=1)
        assert await client.expect("ack", within=5)
        assert [frame["value"] for frame in client.frames] == [0, 1]
