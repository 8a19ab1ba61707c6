"""The other end of an ASGI application: what a server and its client would do, in memory.

After a close it behaves as uvicorn does: the application is told of the disconnect, and may send no more.
"""

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Self

from protocol.types import ASGIApp, Receive, Scope, Send

Event = MutableMapping[str, Any]


class Peer:
    """``async with Peer(app, "/ws") as peer: assert await peer.handshake() == 101``."""

    def __init__(
        self,
        app: ASGIApp,
        path: str = "/ws",
        *,
        headers: Iterable[tuple[str, str]] = (),
        query: str = "",
        subprotocols: Iterable[str] = (),
        client: object = ("192.0.2.1", 50000),
        scheme: str = "ws",
        extensions: Iterable[str] = ("websocket.http.response",),
        **scope: Any,
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "server": ("testserver", 80),
            "client": client,
            "root_path": "",
            "path": path,
            "raw_path": path.encode(errors="surrogatepass"),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "subprotocols": list(subprotocols),
            "state": {},
            "extensions": {name: {} for name in extensions},
            **scope,
        }
        self._app = app
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._outbox: asyncio.Queue[Event] = asyncio.Queue()
        self._closed = False

    async def __aenter__(self) -> Self:
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
        if error is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        else:
            await self._task

    async def handshake(self) -> int:
        """The status of the answer: 101, or that of the refusal."""
        self.answer = await self.next()
        if self.answer["type"] == "websocket.accept":
            return 101
        if self.answer["type"] == "websocket.close":
            return 403
        assert self.answer["type"] == "websocket.http.response.start"
        self.body: bytes = (await self.next())["body"]
        status: int = self.answer["status"]
        return status

    def send(self, text: str) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self, code: int = 1005, reason: str = "") -> None:
        if not self._closed:
            self._closed = True
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def next(self) -> Event:
        """What the application sends next; ``end`` when it returned without."""
        return await self._outbox.get()

    async def text(self) -> str:
        message = await self.next()
        assert message["type"] == "websocket.send", message
        text: str = message["text"]
        return text

    async def close(self) -> tuple[int, str]:
        message = await self.next()
        assert message["type"] == "websocket.close", message
        return message.get("code", 1000), message.get("reason") or ""

    async def _run(self) -> None:
        try:
            await self._app(self.scope, self._inbox.get, self._send)
        finally:
            self._outbox.put_nowait({"type": "end"})

    async def _send(self, message: Event) -> None:
        if self._closed:
            raise RuntimeError(f"{message['type']} after the end of the connection")
        self._outbox.put_nowait(message)
        if message["type"] == "websocket.close":
            self.leave(message.get("code", 1000), message.get("reason") or "")
        if message["type"] == "websocket.http.response.body":
            self.leave(1006)


async def never_receive() -> Event:
    raise AssertionError("received")


async def never_send(message: Event) -> None:
    raise AssertionError(f"sent {message}")


async def assert_others_pass(middleware: Callable[[ASGIApp], ASGIApp]) -> None:
    """Requests and the lifespan pass through the middleware as they came."""
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((dict(scope), receive, send))

    for kind in ("http", "lifespan"):
        await middleware(app)({"type": kind}, never_receive, never_send)
    assert seen == [({"type": kind}, never_receive, never_send) for kind in ("http", "lifespan")]
