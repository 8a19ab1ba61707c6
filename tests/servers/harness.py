"""A server in this event loop, and a client that can do what no library would."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from protocol.servers.http import HTTPProtocol
from protocol.servers.uvicorn import WebSocketProtocol
from protocol.types import ASGIApp, Receive, Scope, Send

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONT = 0
KEY = b"abcd"
RESET = (1006, "")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame, as a client sends it."""
    head = bytes([(fin << 7) | (rsv << 4) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += b"\xfe" + len(payload).to_bytes(2)
    else:
        head += b"\xff" + len(payload).to_bytes(8)
    return head + KEY + bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))


def text(payload: str) -> bytes:
    return frame(TEXT, payload.encode())


def server_frame(payload: bytes) -> bytes:
    """An unmasked text frame, as a server builds it."""
    assert len(payload) < 126
    return bytes([0x81, len(payload)]) + payload


def handshake(*headers: str, path: str = "/") -> bytes:
    lines = [
        f"GET {path} HTTP/1.1", "Host: test", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True)
class Server:
    port: int
    state: ServerState

    @property
    def protocol(self) -> WebSocketProtocol:
        """The only WebSocket connection."""
        [protocol] = [one for one in self.state.connections if isinstance(one, WebSocketProtocol)]
        return protocol

    def idle(self) -> bool:
        """Whether every connection and every application has come to its end."""
        return not self.state.connections and not self.state.tasks


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` is true."""
    while not condition():  # noqa: ASYNC110 the server's insides have no event
        await asyncio.sleep(0)


def limits(**attributes: Any) -> type[WebSocketProtocol]:
    return type("Limited", (WebSocketProtocol,), attributes)


@asynccontextmanager
async def serving(
    app: ASGIApp, *, ws: type[asyncio.Protocol] = WebSocketProtocol, http: Any = HTTPProtocol, **options: Any
) -> AsyncIterator[Server]:
    """Serve ``app`` without uvicorn's start and stop, which take a fifth of a second."""
    options = {"ws_ping_interval": None, "ws_per_message_deflate": False, "ws_max_size": 65536} | options
    config = Config(app, ws=ws, http=http, lifespan="off", log_config=None, **options)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: http(config, state, {}), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield Server(port, state)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


class Peer:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def response(self) -> tuple[int, bytes]:
        """The status, and the rest, of an HTTP response."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head

    async def frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        first, size = await self.reader.readexactly(2)
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly({126: 2, 127: 8}[size]))
        return first & 15, await self.reader.readexactly(size)

    async def text(self) -> str:
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the server's close frame, answered, to the end of the stream; 1006 without one."""
        code, reason = RESET
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    code, reason = (
                        (int.from_bytes(payload[:2]), payload[2:].decode()) if payload else (1005, "")
                    )
                    self.send(frame(CLOSE, payload[:2]))
                    assert await self.reader.read() == b"", "data after the close frame"
        self.writer.close()
        return code, reason


@asynccontextmanager
async def raw(server: Server, *, receive_buffer: int | None = None) -> AsyncIterator[Peer]:
    """A connection that has said nothing yet. A small ``receive_buffer`` makes one that hardly reads."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    limit = 2**16 if receive_buffer is None else receive_buffer
    reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def connected(
    server: Server, *headers: str, path: str = "/", receive_buffer: int | None = None
) -> AsyncIterator[Peer]:
    """A connection after its handshake."""
    async with raw(server, receive_buffer=receive_buffer) as peer:
        peer.send(handshake(*headers, path=path))
        status, head = await peer.response()
        assert status == 101, head
        yield peer


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every message back until the disconnect."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
