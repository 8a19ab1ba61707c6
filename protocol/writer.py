"""How an outbox reaches the socket: directly through the server's wire, or through ASGI ``send``.

Both keep one order for everything that a connection sends, and send nothing after a close. What may wait, and
what is lost, is decided in :mod:`protocol.outbox`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from protocol.outbox import OutboxQueue
from protocol.types import WIRE, Scope, Send, Wire


class Source(Protocol):
    """The connection, as its writer sees it."""

    queue: OutboxQueue

    def refill(self) -> None:
        """Put more of what waits to be replayed into the queue, as much as is good at once. Never raises."""

    def too_slow(self) -> None:
        """The peer has read nothing for as long as the outbox allows."""

    def drain(self, code: int, reason: str) -> None:
        """The server shuts down."""


class Writer(Protocol):
    """Writes what is in the queue of one connection."""

    def flush(self) -> None:
        """Write what is queued, now or as soon as the peer takes it. Never blocks, never raises."""

    async def close(self, ending: tuple[int, str] | None) -> None:
        """Write what is queued, then a close frame with this code and reason; nothing is written after it.

        Gives the connection up where the peer takes longer than the outbox allows, and at once where ``ending``
        is ``None``: the connection is lost. Never raises; afterwards nothing is left that runs.
        """

    def abort(self) -> None:
        """Give the connection up; nothing more is written."""

    def waiting(self) -> int:
        """Bytes that the server has not been given yet."""

    async def ready(self) -> bool:
        """Wait until the peer has taken what is queued now; false where the connection is lost.

        Whatever others queue meanwhile: in a busy room there may be no moment without anything queued.
        """


async def _close(
    writer: Writer, written: Awaitable[bool], send: Send, ending: tuple[int, str], seconds: float
) -> None:
    """Close when all is ``written``; false: the connection is lost."""
    code, reason = ending
    try:
        async with asyncio.timeout(seconds):
            if await written:
                await send({"type": "websocket.close", "code": code, "reason": reason})
    except TimeoutError:
        writer.abort()
    except Exception:  # noqa: BLE001 a server's way to say that the peer was faster; each has another
        return


class _Waiters:
    """Those who wait until a writer has written something."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        await future

    def wake(self) -> None:
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)


class DirectWriter:
    """Writes prebuilt frames past ASGI ``send``, everything that waits in one write.

    It is the peer of the server's wire, which calls ``flush`` before it sends a frame of its own. To a client
    that says goodbye, or breaks the rules, while it is behind, that frame is a close and comes at once: what
    still waits here is lost, so that the client has everything up to some frame, and nothing after the close.
    """

    def __init__(self, source: Source, wire: Wire, send: Send, seconds: float) -> None:
        self._source = source
        self._wire = wire
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._ended = False
        self._deadline: asyncio.TimerHandle | None = None
        self._waiters = _Waiters()
        wire.attach(self)

    def flush(self) -> None:
        queue = self._source.queue
        while not self._paused and not self._ended:
            self._source.refill()
            if not queue:
                break
            frames = queue.take()
            self._wire.write(
                frames[0].wire if len(frames) == 1 else b"".join([frame.wire for frame in frames])
            )

    def pause(self) -> None:
        self._paused = True
        if not self._ended:
            self._watch(self._wire.backlog())

    def resume(self) -> None:
        self._paused = False
        self._source.queue.behind = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.flush()
        self._waiters.wake()

    def drain(self, code: int, reason: str) -> None:
        self._source.drain(code, reason)

    async def close(self, ending: tuple[int, str] | None) -> None:
        if ending is not None and not self._ended:
            await _close(self, self._written(), self._send, ending, self._seconds)
        self._lose()

    def abort(self) -> None:
        if not self._ended:
            self._lose()
            self._wire.abort()

    def waiting(self) -> int:
        return self._source.queue.size

    async def ready(self) -> bool:
        self.flush()
        if self._paused and not self._ended:
            await self._waiters.wait()
        return not self._ended

    async def _written(self) -> bool:
        while await self.ready():
            if not self._paused:
                return True
        return False

    def _lose(self) -> None:
        self._ended = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._source.queue.behind = 0
        self._source.queue.clear()
        self._waiters.wake()

    def _watch(self, backlog: int) -> None:
        self._source.queue.behind = max(1, backlog)
        self._deadline = self._loop.call_later(self._seconds, self._late, backlog)

    def _late(self, backlog: int) -> None:
        now = self._wire.backlog()
        if now < backlog:
            # It reads, if slowly: the bound is on the time without any progress.
            self._watch(now)
        else:
            self._source.too_slow()


class SendWriter:
    """Writes through ASGI ``send``, for every server and behind every middleware.

    A task of its own awaits ``send``, so that a peer that does not read holds up nobody else. What it cannot do
    is reset the connection of such a peer: it stops writing and leaves the rest to the server.
    """

    def __init__(self, source: Source, send: Send, seconds: float) -> None:
        self._source = source
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._writing = False
        self._batches = 0
        self._sent = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._waiters = _Waiters()
        self._task = self._loop.create_task(self._run())

    def flush(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def close(self, ending: tuple[int, str] | None) -> None:
        if ending is not None and not self._ended:
            await _close(self, self._written(), self._send, ending, self._seconds)
        self.abort()
        with suppress(asyncio.CancelledError):
            await self._task

    def abort(self) -> None:
        if not self._ended:
            self._lose()
            self._task.cancel()

    def waiting(self) -> int:
        return self._source.queue.size + self._source.queue.behind

    async def ready(self) -> bool:
        self.flush()
        # What is being written, and then what is queued.
        last = self._batches + self._writing + bool(self._source.queue)
        while self._batches < last and not self._ended:
            await self._waiters.wait()
        return not self._ended

    async def _written(self) -> bool:
        while await self.ready():
            if not self._source.queue and not self._writing:
                return True
        return False

    def _lose(self) -> None:
        self._ended = True
        self._source.queue.clear()
        self._waiters.wake()

    async def _run(self) -> None:
        queue = self._source.queue
        try:
            while not self._ended:
                self._source.refill()
                if queue:
                    await self._write(queue)
                else:
                    self._wakeup = self._loop.create_future()
                    await self._wakeup
        except Exception:  # noqa: BLE001 a server's way to say that the peer is gone; the reader hears of it too
            self._lose()

    async def _write(self, queue: OutboxQueue) -> None:
        frames = queue.take()
        waiting = sum(map(len, frames))
        self._writing = True
        self._watch()
        try:
            for frame in frames:
                # What is taken and not sent still waits, and counts.
                queue.behind = waiting
                await self._send({"type": "websocket.send", **frame.event})
                self._sent += 1
                waiting -= len(frame)
        finally:
            self._writing = False
            self._batches += 1
            self._waiters.wake()
            queue.behind = 0
            if self._deadline is not None:
                self._deadline.cancel()

    def _watch(self) -> None:
        self._deadline = self._loop.call_later(self._seconds, self._late, self._sent)

    def _late(self, sent: int) -> None:
        if sent < self._sent:
            self._watch()
        else:
            self._source.too_slow()


def direct_wire(scope: Scope, send: Send) -> Wire | str | None:
    """The server's wire, if nothing that wraps ``send`` would be bypassed by writing to it.

    ``None`` where the server offers none, and the name of the wrapper that has not declared itself by
    :func:`protocol.types.passes` where there is one.
    """
    wire: Wire | None = scope.get("extensions", {}).get(WIRE)
    if wire is None:
        return None
    current: Any = send
    while current != wire.send:
        inner = getattr(current, "passes_to", None) or _starlette_sender(current)
        if inner is None:
            return getattr(current, "__qualname__", type(current).__qualname__).split(".")[0]
        current = inner
    return wire


def _starlette_sender(send: Any) -> Callable[..., Any] | None:
    """What Starlette's exception handling wraps; it looks at HTTP responses only."""
    if getattr(send, "__module__", "") != "starlette._exception_handler":
        return None
    names: tuple[str, ...] = send.__code__.co_freevars
    inner: Callable[..., Any] = send.__closure__[names.index("send")].cell_contents
    return inner
