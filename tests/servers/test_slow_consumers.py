"""What a peer that does not read loses by each policy, over real sockets: it stays, and every loss is counted."""

import json
from collections.abc import Iterable

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Outbox
from tests.served import served
from tests.servers.harness import Peer, connected, serving, text

PADDING = "x" * 1000
"""Enough of these fill every buffer between the two ends."""


class Line(Message, type="line", slow="drop_oldest"):
    number: int
    text: str = PADDING


class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
    symbol: str
    number: int
    text: str = PADDING


def create() -> tuple[MessageProtocol, FastAPI]:
    chat = MessageProtocol("Slow", path="/", sends=(Line, Tick), outbox=Outbox(bytes=1 << 18))

    @chat.room("all")
    async def everybody(connection: Connection) -> None: ...

    @chat.on_connect
    async def enter(connection: Connection) -> None:
        await connection.join("all")

    app = served(chat)
    return chat, app


async def publish_all(chat: MessageProtocol, messages: Iterable[Line | Tick]) -> int:
    """Publish ``messages``; returns how many frames were told to be lost."""
    return sum([(await chat.rooms["all"].publish(message)).dropped for message in messages])


async def everything(peer: Peer) -> list[dict[str, object]]:
    """What comes until the answer to a last message."""
    peer.send(text('{"type":"ping","id":"last"}'))
    frames = []
    while (frame := json.loads(await peer.text()))["type"] != "pong":
        frames.append(frame)
    return frames


async def test_a_slow_peer_loses_the_oldest_and_no_more_than_is_told() -> None:
    chat, app = create()
    async with serving(app) as server, connected(server, receive_buffer=4096) as peer:
        peer.send(text('{"type":"ping"}'))
        assert await peer.text() == '{"type":"pong"}'
        lost = await publish_all(chat, (Line(number=number) for number in range(10_000)))
        assert lost > 0
        numbers = [frame["number"] for frame in await everything(peer)]
        kept = 10_000 - lost
        assert len(numbers) == kept
        # What had left already, and the newest.
        gap = next(index for index in range(kept) if numbers[index] != index)
        assert numbers == [*range(gap), *range(gap + lost, 10_000)]


async def test_a_slow_peer_gets_the_latest_of_each_key() -> None:
    chat, app = create()
    async with serving(app) as server, connected(server, receive_buffer=4096) as peer:
        peer.send(text('{"type":"ping"}'))
        assert await peer.text() == '{"type":"pong"}'
        lost = await publish_all(
            chat, (Tick(symbol="abc"[number % 3], number=number) for number in range(10_000))
        )
        assert lost > 0
        numbers = [frame["number"] for frame in await everything(peer)]
        assert len(numbers) == 10_000 - lost
        assert numbers == sorted(numbers)  # type: ignore[type-var]
        assert numbers[-3:] == [9997, 9998, 9999]
