"""Clients of the rooms: people, and those who never read."""

import asyncio
import json
import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.process import PATIENCE
from tests.servers.harness import handshake, text


class Client:
    """A client; what comes is kept until it is asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []
        self._last = 0

    async def send(self, **body: Any) -> None:
        await self.socket.send(json.dumps(body))

    async def request(self, **body: Any) -> dict[str, Any]:
        """The answer; what comes before it is in ``seen``."""
        self._last += 1
        await self.send(**body, id=self._last)
        return await self.expect(ref=self._last)

    async def expect(self, **fields: Any) -> dict[str, Any]:
        """The first frame with these fields, of those that have come or will."""
        for frame in [*self.seen]:
            if fields.items() <= frame.items():
                self.seen.remove(frame)
                return frame
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = json.loads(await self.socket.recv())
                if fields.items() <= frame.items():
                    return dict(frame)
                self.seen.append(frame)

    def reset(self) -> None:
        """End the connection as a cable does that is cut, and a host that comes back."""
        raw = self.socket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()


class Clients(AsyncExitStack):
    """Who is connected to one server, until the end of the test."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def enter(self, name: str, **options: Any) -> Client:
        url = f"ws://127.0.0.1:{self.port}/ws?name={name}"
        options = {"compression": None, "ping_interval": None, "max_queue": None} | options
        return Client(await self.enter_async_context(connect(url, **options)))

    async def enter_deaf(self, name: str, **body: Any) -> socket.socket:
        """A client that sends one message, reads the first bytes of the answer, and nothing ever again."""
        return await self.enter_async_context(_deaf(self.port, name, body))


@asynccontextmanager
async def _deaf(port: int, name: str, body: Any) -> AsyncIterator[socket.socket]:
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        await loop.sock_sendall(deaf, handshake(path=f"/ws?name={name}"))
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += await loop.sock_recv(deaf, 100)
        await loop.sock_sendall(deaf, text(json.dumps(body)))
        while b'{"type"' not in seen:
            seen += await loop.sock_recv(deaf, 100)
        yield deaf


async def ended(deaf: socket.socket, *, within: float) -> bool:
    """Whether the kernel hears of the end of a connection that nobody reads."""
    poll = select.poll()
    poll.register(deaf, 0)  # what is always reported: error and hang-up
    return bool(await asyncio.to_thread(poll.poll, within * 1000))
