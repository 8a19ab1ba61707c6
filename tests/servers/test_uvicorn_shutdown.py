"""What clients, applications and the log see when uvicorn shuts down."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected

from protocol.servers.http import HTTPProtocol
from protocol.servers.uvicorn import WebSocketProtocol
from protocol.types import WIRE, ASGIApp, Receive, Scope, Send, Wire
from tests.servers.harness import (
    CLOSE,
    RESET,
    Server,
    connected,
    echo,
    frame,
    handshake,
    limits,
    raw,
    server_frame,
    text,
    until,
)

SOON = 10.0
"""Seconds in which even a busy machine stops, if nothing waits for the end of the grace time."""


class Uvicorn(uvicorn.Server):
    """uvicorn as it is, in this loop and without its signal handlers."""

    task: asyncio.Task[None]

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "timeout_graceful_shutdown": 15,
            "ws": WebSocketProtocol,
            "http": HTTPProtocol,
        }
        super().__init__(uvicorn.Config(app, lifespan="off", log_config=None, **(defaults | options)))

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def stopped(self) -> float:
        """Ask it to stop; the seconds until it has."""
        began = asyncio.get_running_loop().time()
        self.should_exit = True
        await self.task
        return asyncio.get_running_loop().time() - began


@asynccontextmanager
async def running(app: ASGIApp, **options: Any) -> AsyncIterator[tuple[Uvicorn, Server]]:
    uvicorn_server = Uvicorn(app, **options)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        uvicorn_server.task = asyncio.create_task(uvicorn_server.serve([listener]))
        yield uvicorn_server, Server(listener.getsockname()[1], uvicorn_server.server_state)
        await uvicorn_server.stopped()


async def test_every_client_is_told_when_to_come_back_behind_what_was_sent() -> None:
    async with running(echo) as (server, address), contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(connected(address)) for _ in range(20)]
        for peer in peers:
            peer.send(text("a"))
            assert await peer.text() == "a"
        stopped = asyncio.create_task(server.stopped())
        advice = []
        for peer in peers:
            code, reason = await peer.closed()
            assert code == 3001
            advice.append(json.loads(reason)["reconnect_after"])
        assert all(0 <= seconds <= 2 for seconds in advice)
        assert len(set(advice)) > 5
        assert await stopped < SOON


async def test_the_application_sees_the_messages_before_the_shutdown_and_then_the_disconnect() -> None:
    got: list[Any] = []
    here = asyncio.Event()
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        got.append(await receive())
        here.set()
        await go_on.wait()
        got.extend([await receive(), await receive()])
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "too late"})

    async with running(app) as (server, address), connected(address) as peer:
        peer.send(text("a"), text("b"))
        await here.wait()
        stopped = asyncio.create_task(server.stopped())
        assert (await peer.closed())[0] == 3001
        go_on.set()
        assert await stopped < SOON
    assert [event.get("text") or event["code"] for event in got] == ["a", "b", 3001]


class Draining:
    """The framework's connection: it finishes what is under way, then closes as it is told."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.advice: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def flush(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def drain(self, code: int, reason: str) -> None:
        self.advice.set_result((code, reason))


async def test_what_is_under_way_is_finished_before_the_close() -> None:
    finish = asyncio.Event()
    draining = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        peer = Draining(scope["extensions"][WIRE])
        peer.wire.attach(peer)
        code, reason = await peer.advice
        draining.set()
        await finish.wait()
        peer.wire.write(server_frame(b"finished"))
        await send({"type": "websocket.close", "code": code, "reason": reason})

    async with running(app) as (server, address), connected(address) as peer:
        stopped = asyncio.create_task(server.stopped())
        await draining.wait()
        finish.set()
        assert await peer.text() == "finished"
        code, reason = await peer.closed()
        assert code == 3001
        assert 0 <= json.loads(reason)["reconnect_after"] <= 2
        assert await stopped < SOON


async def never_read(address: Server, stack: contextlib.AsyncExitStack) -> None:
    await stack.enter_async_context(connected(address, receive_buffer=4096))
    await until(lambda: not address.protocol.writable.is_set())


@pytest.mark.parametrize("direct", [False, True])
async def test_a_stuck_reader_is_reset_within_the_grace_time_and_nobody_complains(direct: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wire = scope["extensions"][WIRE]
        if direct:
            wire.attach(Draining(wire))
            wire.write(server_frame(b"x" * 100) * 100_000)
            assert (await receive())["type"] == "websocket.disconnect"
        while True:
            await send({"type": "websocket.send", "bytes": bytes(100_000)})

    options = {"timeout_graceful_shutdown": 1}
    async with running(app, **options) as (server, address), contextlib.AsyncExitStack() as stack:
        await never_read(address, stack)
        assert 0.5 < await server.stopped() < SOON


async def test_without_a_grace_time_a_stuck_reader_is_reset_all_the_same() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": bytes(100_000)})

    options: dict[str, Any] = {"timeout_graceful_shutdown": None, "ws": limits(closing_timeout=0.1)}
    async with running(app, **options) as (server, address), contextlib.AsyncExitStack() as stack:
        await never_read(address, stack)
        assert await server.stopped() < SOON


async def test_a_client_that_does_not_answer_the_close_is_reset_at_the_end_of_the_grace_time() -> None:
    async with running(echo, timeout_graceful_shutdown=1) as (server, address), connected(address) as peer:
        stopped = asyncio.create_task(server.stopped())
        opcode, _ = await peer.frame()
        assert opcode == CLOSE
        assert await peer.closed() == RESET
        assert await stopped < SOON


async def test_an_application_that_does_not_end_is_cancelled_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async with running(app, timeout_graceful_shutdown=1) as (server, address), connected(address) as peer:
        stopped = asyncio.create_task(server.stopped())
        assert (await peer.closed())[0] == 3001
        assert await stopped < SOON
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "Cancel 1 running task(s), timeout graceful shutdown exceeded"
    caplog.clear()


async def test_a_handshake_that_is_not_answered_yet_is_refused_with_503() -> None:
    here = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        here.set()
        assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": "websocket.accept"})

    async with running(app) as (server, address), raw(address) as peer, raw(address) as idle:
        peer.send(handshake())
        idle.send(handshake()[:20])
        await here.wait()
        stopped = asyncio.create_task(server.stopped())
        assert (await peer.response())[0] == 503
        assert await idle.reader.read() == b""
        assert await stopped < SOON


async def test_a_client_that_is_closing_already_is_left_in_peace() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    asked = asyncio.Event()

    class Watched(WebSocketProtocol):
        def shutdown(self) -> None:
            super().shutdown()
            asked.set()

    async with running(app, ws=Watched) as (server, address), connected(address) as peer:
        opcode, payload = await peer.frame()
        assert opcode == CLOSE
        stopped = asyncio.create_task(server.stopped())
        await asked.wait()
        peer.send(frame(CLOSE, payload))
        assert await peer.closed() == RESET, "a second close frame"
        assert await stopped < SOON
