"""An application and a client that behave, on our class."""

import asyncio
from typing import Any

import pytest
import websockets
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from protocol.servers.uvicorn import WebSocketProtocol
from protocol.types import WIRE, Receive, Scope, Send, Wire
from tests.servers.harness import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    RESET,
    TEXT,
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


async def test_everything_that_a_client_library_sends_comes_back() -> None:
    messages: list[str | bytes] = [
        "",
        "a",
        "é" * 60_000,
        "x" * 125,
        "x" * 126,
        "x" * 65535,
        b"",
        b"\0" * 1000,
        "x" * 65537,
    ]
    async with serving(echo, ws_max_size=2**20, ws_per_message_deflate=True) as server:
        for compression in (None, "deflate"):
            async with websockets.connect(
                f"ws://127.0.0.1:{server.port}/", compression=compression, max_size=2**20
            ) as client:
                for message in messages:
                    await client.send(message)
                    assert await client.recv() == message
                await client.send(["frag", "men", "ted"])
                assert await client.recv() == "fragmented"
            assert client.close_code == 1000


async def test_small_frames_after_other_ones_are_read_in_place_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(echo) as server, connected(server) as peer:
        read_by_library: list[bytes] = []
        library = server.protocol.conn
        receive_data = library.receive_data

        def recorded(data: bytes) -> None:
            read_by_library.append(data)
            receive_data(data)

        monkeypatch.setattr(library, "receive_data", recorded)
        others = [
            frame(TEXT, b"fr", fin=False) + frame(PING) + frame(CONT, b"ag"),
            frame(BINARY, b"binary"),
            frame(PONG, b"unsolicited"),
        ]
        peer.send(text("a"), *(other + text("b") for other in others))
        seen = [await peer.frame() for _ in range(7)]
        assert [payload for opcode, payload in seen if opcode != PONG] == [
            b"a",
            b"frag",
            b"b",
            b"binary",
            b"b",
            b"b",
        ]
        assert b"".join(read_by_library) == b"".join(others)


async def test_a_stream_in_single_bytes_is_read_too() -> None:
    async with serving(echo) as server, connected(server) as peer:
        for byte in text("a") + frame(TEXT, b"b" * 200) + frame(PING, b"?") + frame(BINARY, b"c"):
            peer.send(bytes([byte]))
            await peer.writer.drain()
        seen = [await peer.frame() for _ in range(4)]
        seen.remove((PONG, b"?"))
        assert seen == [(TEXT, b"a"), (TEXT, b"b" * 200), (BINARY, b"c")]
        for byte in frame(CLOSE, b"\x03\xe8"):
            peer.send(bytes([byte]))
        assert await peer.closed() == (1000, "")


async def test_a_batch_is_received_without_suspending() -> None:
    switches: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        coroutine = receive()
        # Step by hand: a suspension would yield a future here.
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)  # type: ignore[attr-defined]
        await send({"type": "websocket.send", "text": stop.value.value["text"]})
        switches.append(1)

    async with serving(app) as server, connected(server) as peer:
        peer.send(text("a") + text("b"))
        assert await peer.text() == "b"
        assert await peer.closed() == (1000, "")
    assert switches == [1]


class Framework:
    """What the framework's connection does with a wire: one queue, written at the end of a batch."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.queue: list[bytes] = []
        self.calls: list[Any] = []

    def flush(self) -> None:
        self.wire.write(b"".join(self.queue))
        self.queue.clear()

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def drain(self, code: int, reason: str) -> None:
        self.calls.append(("drain", code, reason))


async def test_direct_writes_and_sends_keep_their_order_up_to_the_close() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wire: Wire = scope["extensions"][WIRE]
        assert wire.send is wire.send is send
        framework = Framework(wire)
        wire.attach(framework)
        for number in range(5):
            framework.queue.append(server_frame(b"direct %d" % number))
            await send({"type": "websocket.send", "text": f"sent {number}"})
        framework.queue.append(server_frame(b"last"))
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        wire.write(server_frame(b"too late"))
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "too late"})

    async with serving(app) as server, connected(server) as peer:
        for number in range(5):
            assert await peer.text() == f"direct {number}"
            assert await peer.text() == f"sent {number}"
        assert await peer.text() == "last"
        assert await peer.closed() == (4000, "enough")


async def test_the_close_echo_comes_behind_what_is_queued() -> None:
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        framework = Framework(scope["extensions"][WIRE])
        framework.wire.attach(framework)
        framework.queue.append(server_frame(b"queued"))
        assert await receive() == {"type": "websocket.disconnect", "code": 4321, "reason": "bye"}
        done.set()

    async with serving(app) as server, connected(server) as peer:
        peer.send(frame(CLOSE, b"\x10\xe1bye"))
        assert await peer.text() == "queued"
        assert await peer.closed() == (4321, "bye")
        await done.wait()


async def test_pings_are_answered_with_their_payload() -> None:
    async with serving(echo) as server, connected(server) as peer:
        peer.send(frame(PING, b"one"), text("a"), frame(PING, b"two"), text("b"))
        seen = [await peer.frame() for _ in range(4)]
        assert [answer for answer in seen if answer[0] == PONG] == [(PONG, b"one"), (PONG, b"two")]
        assert [answer for answer in seen if answer[0] == TEXT] == [(TEXT, b"a"), (TEXT, b"b")]


async def test_an_application_that_returns_closes_with_1000() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "bye"})

    async with serving(app) as server, connected(server) as peer:
        assert await peer.text() == "bye"
        assert await peer.closed() == (1000, "")


async def test_an_application_that_raises_is_logged_once_and_its_client_reconnects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last words"})
        raise ZeroDivisionError

    async with serving(app) as server, connected(server) as peer:
        assert await peer.text() == "last words"
        assert await peer.closed() == RESET
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "Exception in ASGI application\n"
    caplog.clear()


async def test_an_application_that_raises_before_it_accepts_refuses_with_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async with serving(app) as server, raw(server) as peer:
        peer.send(handshake())
        assert (await peer.response())[0] == 500
    caplog.clear()


@pytest.mark.parametrize(
    "denial, status",
    [
        ([{"type": "websocket.close"}], 403),
        (
            [
                {"type": "websocket.http.response.start", "status": 429, "headers": [(b"retry-after", b"3")]},
                {"type": "websocket.http.response.body", "body": b"slow down"},
            ],
            429,
        ),
    ],
)
async def test_a_refusal_is_nothing_to_complain_about(denial: list[dict[str, Any]], status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in denial:
            await send(message)
        assert (await receive())["type"] == "websocket.disconnect"

    async with serving(app) as server, raw(server) as peer:
        peer.send(handshake())
        seen, head = await peer.response()
        assert seen == status
        assert (b"retry-after: 3" in head.lower()) == (status == 429)
        body = await peer.reader.read()
        assert body == (b"slow down" if status == 429 else b"")


async def test_an_application_that_neither_accepts_nor_refuses_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async with serving(app) as server, raw(server) as peer:
        peer.send(handshake())
        assert (await peer.response())[0] == 500
    assert "ASGI callable returned without completing handshake." in caplog.messages
    caplog.clear()


async def test_a_client_that_leaves_before_the_answer_is_nothing_to_complain_about() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        arrived.set()
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        left.set()
        await send({"type": "websocket.accept"})

    async with serving(app) as server:
        async with raw(server) as peer:
            peer.send(handshake())
            await arrived.wait()
        await left.wait()


async def test_frames_before_the_answer_wait_for_it() -> None:
    early = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await early.wait()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    async with serving(app) as server, raw(server) as peer:
        peer.send(handshake())
        await until(lambda: server.state.tasks)
        protocol = server.protocol
        peer.send(text("a"), frame(PING))
        await until(lambda: protocol.read_paused)
        early.set()
        assert (await peer.response())[0] == 101
        assert {await peer.frame(), await peer.frame()} == {(TEXT, b"a"), (PONG, b"")}


async def test_an_application_that_closes_still_reads_the_echo_behind_a_full_inbox() -> None:
    full = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await full.wait()
        await send({"type": "websocket.close", "code": 4000})

    async with serving(app, ws=limits(max_messages=2)) as server, connected(server) as peer:
        protocol = server.protocol
        peer.send(text("a") * 10, frame(CLOSE, b"\x0f\xa0"))
        await until(lambda: protocol.read_paused)
        full.set()
        assert await peer.closed() == (4000, "")


async def test_reading_pauses_at_the_bound_and_nothing_is_lost() -> None:
    paused = asyncio.Event()
    got: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await paused.wait()
        while (event := await receive())["type"] == "websocket.receive":
            got.append(event.get("text") or event["bytes"].decode())
        done.set()

    done = asyncio.Event()
    async with serving(app, ws=limits(max_messages=4, max_inbox=100)) as server, connected(server) as peer:
        protocol = server.protocol
        peer.send(*(frame(TEXT if number % 3 else BINARY, b"%d" % number) for number in range(1000)))
        peer.send(frame(TEXT, b"x" * 200), text("last"), frame(CLOSE))
        await until(lambda: protocol.read_paused)
        paused.set()
        await done.wait()
    assert got == [*map(str, range(1000)), "x" * 200, "last"]


def test_the_attributes_of_uvicorns_class_that_ours_leans_on_are_there() -> None:
    wire: type[Wire] = WebSocketProtocol
    assert issubclass(wire, WebSocketsSansIOProtocol)
    base = WebSocketsSansIOProtocol
    overridden = {
        "connection_made", "connection_lost", "data_received", "eof_received", "handle_cont", "handle_close",
        "handle_parser_exception", "handle_ping", "keepalive_timeout", "pause_writing", "receive", "resume_writing",
        "run_asgi", "send", "send_receive_event_to_app", "shutdown",
    }  # fmt: skip
    used = {"handle_events", "start_keepalive", "schedule_ping", "send_keepalive_ping", "handle_connect"}
    assert overridden | used <= set(vars(base))
    names = set(base.__init__.__code__.co_names)
    assert {
        "app", "close_sent", "close_timer", "config", "conn", "curr_msg_data_type", "disconnected", "frames",
        "handshake_initiated", "logger", "loop", "ping_timeout", "pong_timer", "queue", "read_paused", "transport",
        "writable",
    } <= names  # fmt: skip
