"""Peers that are broken, hostile, slow or gone: the right close code in time, and nothing in the log."""

import contextlib
import os
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from protocol.types import WIRE, Receive, Scope, Send
from tests.servers.harness import (
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    connected,
    echo,
    frame,
    limits,
    server_frame,
    serving,
    text,
    until,
)

LONGEST = (2**63 - 1).to_bytes(8)


@pytest.mark.parametrize(
    "bad, code, reason",
    [
        pytest.param(b"\x83\xff", 1002, "invalid opcode", id="two bytes with a reserved opcode"),
        pytest.param(b"\x81\x01a", 1002, "incorrect masking", id="unmasked"),
        pytest.param(frame(TEXT, b"a", rsv=4), 1002, "reserved bits must be 0", id="compressed without extension"),
        pytest.param(frame(TEXT, b"a", rsv=1), 1002, "reserved bits must be 0", id="reserved bit"),
        pytest.param(frame(CONT, b"a"), 1002, "unexpected continuation frame", id="continuation of nothing"),
        pytest.param(
            frame(TEXT, b"a", fin=False) + text("b"), 1002, "expected a continuation frame", id="text inside a text"
        ),
        pytest.param(frame(PING, fin=False), 1002, "fragmented control frame", id="fragmented ping"),
        pytest.param(frame(PING, b"x" * 126), 1002, "control frame too long", id="long ping"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, "close frame too short", id="close of one byte"),
        pytest.param(frame(CLOSE, b"\x03\xed"), 1002, "invalid status code", id="close with 1005"),
        pytest.param(frame(TEXT, b"\xff"), 1007, "invalid UTF-8", id="not UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, "invalid UTF-8", id="surrogate"),
        pytest.param(
            frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"("), 1007, "invalid UTF-8", id="not UTF-8 over fragments"
        ),
        pytest.param(
            b"\x81\xff" + LONGEST, 1009, "frame with 9223372036854775807 bytes exceeds limit of 65536 bytes",
            id="the longest text",
        ),
        pytest.param(
            b"\x82\xff" + LONGEST + b"abcd" + b"x" * 1000, 1009,
            "frame with 9223372036854775807 bytes exceeds limit of 65536 bytes", id="the longest binary, begun",
        ),
        pytest.param(
            frame(TEXT, b"a" * 65537), 1009, "frame with 65537 bytes exceeds limit of 65536 bytes", id="too big"
        ),
        pytest.param(
            frame(TEXT, b"a" * 40000, fin=False) + frame(CONT, b"a" * 40000), 1009,
            "frame with 40000 bytes after reading 40000 bytes exceeds limit of 65536 bytes", id="too big in fragments",
        ),
        pytest.param(
            frame(TEXT, fin=False) + frame(CONT, fin=False) * 5000, 1009, "more than 1024 fragments",
            id="empty fragments without end",
        ),
    ],
)  # fmt: skip
async def test_a_broken_frame_is_closed_with_its_code_behind_what_was_good(
    bad: bytes, code: int, reason: str
) -> None:
    async with serving(echo) as server, connected(server) as peer:
        peer.send(text("good"))
        assert await peer.text() == "good"
        peer.send(bad)
        # Whoever is in the middle of sending gets the close frame all the same.
        peer.send(b"\x00" * 300_000)
        seen_code, seen_reason = await peer.closed()
        assert (seen_code, seen_reason[: len(reason)]) == (code, reason)
        await until(server.idle)


async def test_messages_before_a_broken_frame_in_the_same_packet_are_received() -> None:
    got: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not got or got[-1]["type"] == "websocket.receive":
            got.append(await receive())

    async with serving(app) as server, connected(server) as peer:
        peer.send(text("a"), frame(BINARY, b"b"), frame(TEXT, b"\xff"), text("c"))
        assert await peer.closed() == (1007, "invalid UTF-8")
        await until(lambda: not server.state.tasks)
    assert got == [
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 1007, "reason": "invalid UTF-8"},
    ]


async def test_a_client_in_the_middle_of_sending_is_not_reset_before_it_has_the_close_frame() -> None:
    async with serving(echo) as server, connected(server) as peer:
        peer.send(frame(TEXT, b"a" * 65537))
        assert (await peer.frame())[0] == CLOSE
        for _ in range(20):
            peer.send(b"a" * 100_000)
            await peer.writer.drain()
        assert await peer.reader.read() == b""


async def test_a_frame_inside_the_payload_of_another_is_not_read() -> None:
    async with serving(echo) as server, connected(server) as peer:
        outer = frame(BINARY, bytes(byte ^ KEY[index % 4] for index, byte in enumerate(text("trap"))))
        head, payload = outer[:6], outer[6:]
        assert payload == text("trap")
        cutter = server.protocol._frames_in
        peer.send(head)
        await until(lambda: not cutter.between_frames)
        peer.send(payload)
        assert (await peer.frame())[0] == BINARY


async def test_a_message_may_have_as_many_fragments_as_allowed_and_control_frames_between_them() -> None:
    async with serving(echo, ws=limits(max_fragments=3)) as server, connected(server) as peer:
        whole = (
            frame(TEXT, b"a", fin=False)
            + frame(PING)
            + frame(CONT, fin=False)
            + frame(PONG)
            + frame(CONT, b"c")
        )
        for _ in range(3):
            peer.send(whole)
            assert {await peer.frame(), await peer.frame()} == {(PONG, b""), (TEXT, b"ac")}
        peer.send(frame(TEXT, b"a", fin=False), frame(CONT, fin=False) * 2, frame(CONT))
        assert await peer.closed() == (1009, "more than 3 fragments")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
async def test_deflate_bombs_end_with_1009_and_cost_no_memory() -> None:
    compress = zlib.compressobj(wbits=-12)
    bomb = compress.compress(bytes(2**20 * 50)) + compress.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert len(bomb) < 65536
    async with serving(echo, ws_per_message_deflate=True) as server:
        before = resident()
        async with contextlib.AsyncExitStack() as stack:
            peers = [
                await stack.enter_async_context(
                    connected(server, "Sec-WebSocket-Extensions: permessage-deflate")
                )
                for _ in range(20)
            ]
            for peer in peers:
                peer.send(frame(TEXT, bomb, rsv=4))
            for peer in peers:
                assert (await peer.closed())[0] == 1009
        assert resident() - before < 20 * 2**20


async def test_a_close_that_crosses_ours_ends_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close", "code": 4001})
        assert await receive() == {"type": "websocket.disconnect", "code": 4001, "reason": ""}

    async with serving(app) as server, connected(server) as peer:
        peer.send(text("close!"), text("in flight"), frame(CLOSE, b"\x0f\xa2"), text("after the end"))
        code, _ = await peer.closed()
        # Whose close frame was first depends on whether the application ran before the whole packet was read.
        assert code in {4001, 4002}


async def test_a_client_that_does_not_answer_our_close_is_reset() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})

    async with serving(app, ws=limits(closing_timeout=0.05)) as server, connected(server) as peer:
        assert await peer.frame() == (CLOSE, b"\x0f\xa1")
        with contextlib.suppress(ConnectionError):
            assert await peer.reader.read() == b""
        await until(lambda: not server.state.connections)


async def test_a_client_that_closes_its_half_ends_the_connection_after_what_was_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["text"] == "bye"
        wire = scope["extensions"][WIRE]
        wire.write(server_frame(b"bye"))
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    async with serving(app) as server, connected(server) as peer:
        peer.send(text("bye"))
        peer.writer.write_eof()
        seen = await peer.reader.read()
        assert seen in {server_frame(b"bye"), b""}  # empty where the end came in the same read


async def test_an_aborted_peer_sees_a_reset_and_the_application_the_disconnect() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wire = scope["extensions"][WIRE]
        wire.write(server_frame(b"x" * 100) * 100_000)
        wire.abort()
        wire.abort()
        wire.write(server_frame(b"late"))
        seen.extend([await receive(), await receive()])
        wire.abort()
        wire.write(server_frame(b"later"))
        assert wire.backlog() == 0

    async with serving(app) as server, connected(server, receive_buffer=4096) as peer:
        await until(server.idle)
        arrived = 0
        with contextlib.suppress(ConnectionResetError):
            while data := await peer.reader.read(65536):
                arrived += len(data)
        # What the kernel still had is gone too.
        assert arrived < 1_000_000
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}] * 2


async def test_writing_to_a_client_that_is_gone_is_nothing_to_complain_about() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1006
        wire = scope["extensions"][WIRE]
        await until(lambda: not server.state.connections)
        for _ in range(10):
            wire.write(server_frame(b"late"))
        await send({"type": "websocket.send", "text": "late"})

    async with serving(app) as server:
        async with connected(server) as peer:
            # A reset: the server sees no end of the stream before it.
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(server.idle)


async def test_a_burst_of_control_frames_lets_others_have_their_turn() -> None:
    async with serving(echo, ws=limits(max_burst=10)) as server, connected(server) as peer:
        protocol = server.protocol
        reads = 0
        read = protocol._read

        def counted(data: bytes) -> None:
            nonlocal reads
            reads += 1
            read(data)

        protocol._read = counted  # type: ignore[method-assign]
        peer.send(frame(PING, b"x") * 1000)
        for _ in range(1000):
            assert await peer.frame() == (PONG, b"x")
    assert reads >= 100
