"""Ours against uvicorn's own class: the same messages, pongs and close from the same stream, however it is cut.

In memory. The stock class gets one frame at a time, because it loses the messages that stand before a broken frame
in the same packet, and what it received is taken before the next, because it reads nothing while one waits.
"""

import asyncio
import logging
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from protocol.servers.uvicorn import WebSocketProtocol
from protocol.types import Receive, Scope, Send
from tests.profiles import examples
from tests.servers.harness import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, handshake, limits, text, until

TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["x" * 125, "x" * 126, "é" * 700])).map(str.encode)
PAYLOADS = st.one_of(
    TEXTS, st.binary(max_size=5), st.sampled_from([b"\xc3", b"\xa9", b"x" * 1000, b"x" * 1001])
)
WHOLE = st.builds(frame, st.sampled_from([TEXT, TEXT, BINARY]), TEXTS)
COMPRESSED = TEXTS.map(lambda payload: frame(TEXT, deflated(payload), rsv=4))
CONTROL = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))
FRAGMENTED = st.lists(st.tuples(PAYLOADS, st.lists(CONTROL, max_size=1)), min_size=2, max_size=4).map(
    lambda parts: [
        piece
        for number, (payload, control) in enumerate(parts)
        for piece in [frame(CONT if number else TEXT, payload, fin=number == len(parts) - 1), *control]
    ]
)
CLOSING = st.builds(
    frame,
    st.just(CLOSE),
    st.one_of(
        st.just(b""),
        st.builds(
            lambda code, reason: code.to_bytes(2) + reason,
            st.sampled_from([999, 1000, 1001, 1005, 1006, 1011, 3000, 4999, 5000]),
            st.one_of(st.text(max_size=5).map(str.encode), st.binary(max_size=3)),
        ),
    ),
)
ANY = st.builds(
    frame,
    st.integers(0, 15),
    PAYLOADS,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 4]),
)
STREAMS = st.lists(
    st.one_of(st.one_of(WHOLE, COMPRESSED, CONTROL, ANY).map(lambda one: [one]), FRAGMENTED), max_size=6
).map(lambda groups: [piece for group in groups for piece in group])


def deflated(payload: bytes) -> bytes:
    """As a message of permessage-deflate (RFC 7692, section 7.2.1)."""
    compress = zlib.compressobj(wbits=-12)
    return (compress.compress(payload) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


async def conversation(
    ws: type[WebSocketsSansIOProtocol], pieces: Sequence[bytes], *, deflate: bool
) -> tuple[list[Any], list[tuple[int, bytes]]]:
    """What the application received, and which control frames were sent."""
    events: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not events or events[-1]["type"] == "websocket.receive":
            events.append(await receive())

    config = Config(
        cast(Any, app),
        ws_max_size=1000,
        ws_per_message_deflate=deflate,
        ws_ping_interval=None,
        log_config=None,
    )
    config.load()
    state = ServerState()
    transport = Wire()
    protocol = ws(config, state, {})
    protocol.connection_made(transport)
    offer = ["Sec-WebSocket-Extensions: permessage-deflate"] if deflate else []
    protocol.data_received(handshake(*offer))
    await turns(transport)
    head = transport.written.index(b"\r\n\r\n") + 4
    assert transport.written.startswith(b"HTTP/1.1 101")
    for piece in pieces:
        if not transport.closing:
            protocol.data_received(piece)
            await turns(transport)
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)
    return events, list(control_frames(transport.written[head:]))


async def turns(transport: Wire) -> None:
    """Let the application take what is there."""
    for _ in range(5):
        await asyncio.sleep(0)
    await until(lambda: not transport.paused)


def control_frames(data: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    while data:
        size = data[1]
        yield data[0] & 15, bytes(data[2 : 2 + size])
        data = data[2 + size :]


def run(ws: type[WebSocketsSansIOProtocol], pieces: Sequence[bytes], *, deflate: bool) -> Any:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(conversation(ws, pieces, deflate=deflate))


def cut(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    marks = [0, *sorted(cuts), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(marks) if begin < end]


def same_as_stock(
    frames: Sequence[bytes], pieces: Sequence[bytes], ws: type[WebSocketProtocol], *, deflate: bool
) -> None:
    expected_events, expected_control = run(WebSocketsSansIOProtocol, frames, deflate=deflate)
    events, control = run(ws, pieces, deflate=deflate)
    end, expected_end = events[-1], expected_events[-1]
    if expected_end == {"type": "websocket.disconnect", "code": 1005}:
        # Cut, without a close frame.
        expected_events[-1] = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    if end["code"] == expected_end["code"] == 1007 and end["reason"] == "invalid UTF-8":
        # uvicorn gives no reason.
        expected_events[-1] = end
        control[-1] = (CLOSE, control[-1][1][:2])
    assert events == expected_events
    assert control == expected_control


@pytest.fixture(autouse=True, scope="module")
def quiet_stock() -> Iterator[None]:
    """Its tracebacks for bad frames are known."""
    logging.getLogger("uvicorn.error").disabled = True
    yield
    logging.getLogger("uvicorn.error").disabled = False


@examples(150)
@given(STREAMS, st.lists(CLOSING, max_size=2), st.lists(st.integers(0, 4000), max_size=6), st.booleans())
@example([text("a"), frame(TEXT, b"b", fin=False), text("c")], [], [], False)
def test_any_stream_cut_anywhere(
    frames: list[bytes], closing: list[bytes], cuts: list[int], deflate: bool
) -> None:
    stream = frames + closing
    whole = b"".join(stream)
    same_as_stock(
        stream,
        cut(whole, [place for place in cuts if place < len(whole)]),
        WebSocketProtocol,
        deflate=deflate,
    )


@examples(100)
@given(STREAMS, st.lists(CLOSING, max_size=1))
def test_any_stream_in_one_piece_past_tight_bounds(frames: list[bytes], closing: list[bytes]) -> None:
    stream = frames + closing
    ws = limits(max_messages=1, max_inbox=1, max_burst=1)
    same_as_stock(stream, [b"".join(stream)], ws, deflate=False)


@examples(50)
@given(STREAMS, st.lists(CLOSING, max_size=1))
def test_any_stream_in_single_bytes(frames: list[bytes], closing: list[bytes]) -> None:
    stream = frames + closing
    same_as_stock(
        stream, cut(b"".join(stream), range(len(b"".join(stream)))), WebSocketProtocol, deflate=False
    )
