"""Peers that do not read, read slowly or say nothing: reset in time, and never told 1011."""

import asyncio
from collections.abc import Callable

import pytest

from protocol.types import WIRE, Receive, Scope, Send
from tests.servers.harness import (
    BINARY,
    PING,
    PONG,
    RESET,
    TEXT,
    Server,
    connected,
    echo,
    frame,
    handshake,
    limits,
    raw,
    server_frame,
    serving,
    text,
    until,
)


def stuck(server: Server) -> Callable[[], bool]:
    """That the peer, which does not read, has been sent more than the transport likes to keep."""
    return lambda: not server.protocol.writable.is_set()


async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "bytes": bytes(100_000)})


async def test_a_peer_that_does_not_read_is_reset_after_the_write_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="uvicorn.error")
    async with (
        serving(flood, ws=limits(write_timeout=0.05)) as server,
        connected(server, receive_buffer=4096) as peer,
    ):
        await until(stuck(server))
        await until(server.idle)
        assert await peer.closed() == RESET
    assert [text.partition(" - ")[2] for text in caplog.messages if "reset" in text] == [
        "WebSocket reset: it does not read"
    ]


async def test_a_peer_that_does_not_read_is_reset_after_a_close() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(10_000_000)})
        await send({"type": "websocket.close"})

    async with (
        serving(app, ws=limits(closing_timeout=0.05)) as server,
        connected(server, receive_buffer=4096) as peer,
    ):
        await until(server.idle)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await peer.reader.readexactly(10_000_000)


async def test_a_peer_that_does_not_read_is_reset_after_a_refusal() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404})
        await send({"type": "websocket.http.response.body", "body": bytes(10_000_000)})

    async with (
        serving(app, ws=limits(closing_timeout=0.05)) as server,
        raw(server, receive_buffer=4096) as peer,
    ):
        peer.send(handshake())
        assert (await peer.response())[0] == 404
        await until(server.idle)


async def test_a_peer_that_does_not_read_is_reset_after_it_closed_its_half() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(10_000_000)})
        assert (await receive())["code"] == 1006

    async with (
        serving(app, ws=limits(closing_timeout=0.05)) as server,
        connected(server, receive_buffer=4096) as peer,
    ):
        await until(stuck(server))
        peer.writer.write_eof()
        await until(server.idle)


async def test_a_peer_that_pings_and_does_not_read_costs_one_pong() -> None:
    written: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(10_000_000)})
        for _ in range(2):
            written.append(scope["extensions"][WIRE].backlog())
            await receive()

    async with serving(app) as server, connected(server, receive_buffer=4096) as peer:
        await until(stuck(server))
        peer.send(*(frame(PING, b"%5d" % number + b"x" * 120) for number in range(2000)), text("done"))
        await until(lambda: len(written) == 2)
        assert written[1] <= written[0]
        assert await peer.frame() == (BINARY, bytes(10_000_000))
        assert await peer.frame() == (PONG, b" 1999" + b"x" * 120)


async def test_the_peer_of_the_wire_is_told_to_pause_and_to_resume() -> None:
    calls: list[str] = []
    resumed = asyncio.Event()

    class Told:
        def flush(self) -> None: ...

        def pause(self) -> None:
            calls.append("pause")

        def resume(self) -> None:
            calls.append("resume")
            resumed.set()

        def drain(self, code: int, reason: str) -> None: ...

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wire = scope["extensions"][WIRE]
        wire.write(server_frame(b"x" * 100) * 100_000)
        wire.attach(Told())
        assert calls == ["pause"]
        await resumed.wait()
        assert calls == ["pause", "resume"]

    async with serving(app) as server, connected(server, receive_buffer=4096) as peer:
        await until(stuck(server))
        assert await peer.reader.readexactly(102 * 100_000) == server_frame(b"x" * 100) * 100_000
        assert await peer.closed() == (1000, "")


async def test_a_peer_that_does_not_answer_pings_is_reset_and_never_told_1011() -> None:
    async with (
        serving(echo, ws_ping_interval=0.02, ws_ping_timeout=0.02) as server,
        connected(server) as peer,
    ):
        opcode, _ = await peer.frame()
        assert opcode == PING
        assert await peer.closed() == RESET
        await until(server.idle)


async def test_a_peer_that_answers_pings_stays() -> None:
    async with serving(echo, ws_ping_interval=0.01, ws_ping_timeout=5) as server, connected(server) as peer:
        for _ in range(5):
            opcode, payload = await peer.frame()
            assert opcode == PING
            peer.send(frame(PONG, payload))
        peer.send(text("still here"))
        while (seen := await peer.frame())[0] == PING:
            peer.send(frame(PONG, seen[1]))
        assert seen == (TEXT, b"still here")


async def test_the_pong_deadline_waits_while_reading_is_paused() -> None:
    """The pong stands behind messages that the application has not taken."""
    expired: list[bool] = []
    go_on = asyncio.Event()

    class Watched(limits(max_messages=1)):  # type: ignore[misc]
        def keepalive_timeout(self) -> None:
            expired.append(self.read_paused)
            if len(expired) == 3:
                go_on.set()
            super().keepalive_timeout()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    async with (
        serving(app, ws=Watched, ws_ping_interval=0.01, ws_ping_timeout=0.02) as server,
        connected(server) as peer,
    ):
        peer.send(text("a"), text("b"))
        opcode, payload = await peer.frame()
        assert opcode == PING
        peer.send(frame(PONG, payload))
        assert [await peer.text(), await peer.text()] == ["a", "b"]
    assert expired[:3] == [True, True, True]


async def test_the_pong_deadline_starts_again_where_reading_does() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (await receive())["type"] == "websocket.receive":
            pass

    async with (
        serving(app, ws=limits(max_messages=1), ws_ping_interval=0.01, ws_ping_timeout=10) as server,
        connected(server) as peer,
    ):
        protocol = server.protocol
        peer.send(text("a"), text("b"))
        assert (await peer.frame())[0] == PING
        await until(lambda: protocol.read_paused)
        before = protocol.pong_timer
        assert before is not None
        go_on.set()
        await until(lambda: not protocol.read_paused)
        assert before.cancelled()
        assert protocol.pong_timer is not None
        assert not protocol.pong_timer.cancelled()


async def test_a_peer_that_reads_slowly_is_not_reset() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(30_000_000)})
        await send({"type": "websocket.send", "text": "done"})

    async with (
        serving(app, ws=limits(write_timeout=1.0)) as server,
        connected(server, receive_buffer=4096) as peer,
    ):
        assert await peer.reader.readexactly(10) == b"\x82\x7f" + (30_000_000).to_bytes(8)
        for _ in range(15):
            # As much at once as makes the kernel, which buffers megabytes, ask for more.
            await peer.reader.readexactly(2_000_000)
            rested = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, rested.set)
            await rested.wait()
        assert await peer.text() == "done"
