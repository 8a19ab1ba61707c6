"""One connection, as handlers and dependencies see it.

Its outbox is the only way to the socket. Membership and fan-out are the hub's; the loop that reads frames and
calls handlers is the dispatcher's.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, overload

from pydantic import BaseModel
from starlette.datastructures import State
from starlette.requests import HTTPConnection

from protocol import codes
from protocol.exceptions import LocalProtocolError, checked_close
from protocol.outbox import OVERFLOW, Budget, Frame, Outbox, OutboxQueue
from protocol.pipeline import Pipeline
from protocol.rooms import Membership
from protocol.types import OBSERVERS, Observer, Position, Ref, Request, Scope, User
from protocol.writer import Writer

logger = logging.getLogger("protocol")

M1 = TypeVar("M1", bound=BaseModel)
M2 = TypeVar("M2", bound=BaseModel)
M3 = TypeVar("M3", bound=BaseModel)


class Handling:
    """What is under way for one inbound message, for a frame that is none, or for a hook.

    Attributes:
        body: what has come; empty for a hook.
        message: what has become of it, or else ``error``, why it is none.
        key: what the first publication to a room will take.
        offset: that of the last publication to a room with history, for the ``ack``.
        joined: the rooms that were joined by it, and their replays; what they have to say follows behind its answer.
        cancelled: the client wants no more of it.
        ended: it has been answered. What its handler has left running is not part of it any more.
    """

    __slots__ = (
        "body",
        "cancelled",
        "connection",
        "ended",
        "error",
        "joined",
        "key",
        "message",
        "offset",
        "request",
    )

    def __init__(
        self,
        connection: "Connection",
        request: Request,
        body: str | bytes = b"",
        message: BaseModel | None = None,
        error: Exception | None = None,
    ) -> None:
        self.connection = connection
        self.request = request
        self.body = body
        self.message = message
        self.error = error
        self.key = request.key
        self.offset: int | None = None
        self.joined: tuple[Any, ...] = ()
        self.cancelled = False
        self.ended = False


handling: ContextVar[Handling | None] = ContextVar("protocol.handling", default=None)
"""The message under way in this context."""


message_scope: ContextVar[tuple[HTTPConnection, Scope] | None] = ContextVar("protocol.scope", default=None)
"""The scope that a connection shows while the dependencies of one message are solved."""


class ConnectionHub(Protocol):
    """What a connection asks of the hub."""

    async def join(self, connection: "Connection", room: str, since: Position | None) -> Membership: ...

    async def leave(self, connection: "Connection", room: str) -> None: ...

    async def set_status(self, connection: "Connection", status: str) -> None: ...

    def schedule(self, connection: "Connection") -> None:
        """Flush the outbox at the end of this turn of the loop."""


class Driver(Protocol):
    """What a connection asks of the dispatcher that reads it."""

    async def receive(self, types: tuple[type[BaseModel], ...], timeout: float | None) -> BaseModel: ...

    def stop(self, code: int, reason: str) -> None:
        """Close as soon as possible; handlers under way are cancelled. Called at most once."""

    def drain(self, code: int, reason: str) -> None:
        """Close when what is under way is finished."""


class Replay(Protocol):
    """What a room still has to send before its live messages may pass."""

    def next(self) -> Frame | None:
        """The next frame; ``None`` when there is none for now."""


class Connection(HTTPConnection):
    """A client's connection.

    Attributes:
        id: unique among all nodes.
        user: who it speaks for; without authentication a user of its own, whose id is the connection's.
        state: for whatever an application wants to keep.
        rooms: the names of the rooms that it is in.
        closing: nothing can be sent any more.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        id: str,
        user: User | None,
        pipeline: Pipeline,
        hub: ConnectionHub,
        outbox: Outbox,
        budget: Budget,
    ) -> None:
        super().__init__(scope)
        self.id = id
        self.authenticated = user is not None
        self._user = User(id) if user is None else user
        self._state = State()
        self.queue = OutboxQueue(outbox.bytes, budget)
        self.observers: list[Observer] = scope.setdefault(OBSERVERS, [])
        self.memberships: dict[str, Any] = {}
        self.replays: deque[Replay] = deque()
        self.scheduled = False
        self.closing = False
        self._enough = outbox.enough
        self._held: Frame | None = None
        self._slow = False
        self._ending: tuple[int, str] | None = None
        self._pipeline = pipeline
        self._hub = hub
        self._writer: Writer | None = None
        self._driver: Driver | None = None

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the socket."""
        shown = message_scope.get()
        return shown[1] if shown is not None and shown[0] is self else self._scope

    @scope.setter
    def scope(self, scope: Scope) -> None:
        self._scope = scope

    # Overrides Starlette's, which asks for its authentication middleware.
    @property
    def user(self) -> User:
        return self._user

    @property
    def state(self) -> State:
        return self._state

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self.memberships)

    @property
    def request(self) -> Request:
        """The ``id`` and ``key`` of the message under way."""
        current = handling.get()
        return Request() if current is None else current.request

    # What handlers do.

    async def send(self, message: BaseModel) -> None:
        """Queue ``message`` for this connection only.

        Handlers of this connection wait while its peer is far behind; others never do. Raises
        ``LocalProtocolError`` for a type that is not declared as outbound, and after a close.
        """
        if self.closing:
            raise LocalProtocolError("The connection is closed: nothing can be sent any more.")
        self.reply(message)
        if self.full:
            current = handling.get()
            if current is not None and current.connection is self:
                await self.ready()
            else:
                # Who sends much at once lets the loop write it.
                await asyncio.sleep(0)

    async def join(self, room: str, since: Position | None = None) -> Membership:
        """Enter ``room``; its messages follow behind the answer to the message under way.

        ``since`` is the position of the last message that the client saw. A second join of the same room
        changes nothing and recovers nothing. Raises ``NotFound`` where no declared room has that name,
        ``TooManyRooms``, and whatever the room function raises.
        """
        return await self._hub.join(self, room, since)

    async def leave(self, room: str) -> None:
        """Leave ``room``. Raises ``NotAMember`` where the connection is not in it."""
        await self._hub.leave(self, room)

    async def set_status(self, status: str) -> None:
        """Set the user's status, for all connections; the rooms hear of it when it changes."""
        await self._hub.set_status(self, status)

    @overload
    async def receive(self, t1: type[M1], /, *, timeout: float | None = None) -> M1: ...

    @overload
    async def receive(self, t1: type[M1], t2: type[M2], /, *, timeout: float | None = None) -> M1 | M2: ...

    @overload
    async def receive(
        self, t1: type[M1], t2: type[M2], t3: type[M3], /, *, timeout: float | None = None
    ) -> M1 | M2 | M3: ...

    @overload
    async def receive(self, *types: type[BaseModel], timeout: float | None = None) -> BaseModel: ...

    async def receive(self, *types: type[BaseModel], timeout: float | None = None) -> BaseModel:
        """Take the next message of ``types``, or any, out of the order; others wait. It is acknowledged.

        For ``on_connect`` and for handlers that ask something back. Messages over their limit, and those that a
        transform refuses or drops, are answered and passed over. Raises ``TimeoutError`` after ``timeout``
        seconds, and ``Disconnect`` where no message can come any more.
        """
        if self._driver is None:
            raise LocalProtocolError(
                "The connection is not open: receive belongs into on_connect or a handler."
            )
        return await self._driver.receive(types, timeout)

    async def close(self, code: int = codes.NORMAL, reason: str | None = None) -> None:
        """Close the connection; what was sent before arrives first. A second call does nothing.

        Everything under way for it is cancelled where it waits next, the caller's handler too.
        """
        self.stop(*checked_close(code, reason))

    # What the runtime does.

    def attach(self, writer: Writer, driver: Driver) -> None:
        """From now on write through ``writer``; ``driver`` reads."""
        self._writer = writer
        self._driver = driver
        self.tell(lambda observer: observer.attached(writer.waiting))
        if self._ending is not None:
            driver.stop(*self._ending)

    def put(self, frame: Frame) -> int:
        """Queue a frame and have it written at the end of this turn of the loop.

        Returns the verdict of :meth:`protocol.outbox.OutboxQueue.put`; after a close every frame is lost.
        """
        if self.closing:
            return 1
        lost = self.queue.put(frame)
        if lost == OVERFLOW:
            self.too_slow()
            return lost
        if self.observers:
            self._tell_of(frame, lost)
        if not self.scheduled:
            self.scheduled = True
            self._hub.schedule(self)
        return lost

    def tell(self, report: Callable[[Observer], None]) -> None:
        """Report to every observer. One that raises is logged, and told nothing more of this connection."""
        for observer in tuple(self.observers):
            try:
                report(observer)
            except Exception as error:  # noqa: BLE001 a middleware's
                self._mute(observer, error)

    def _tell_of(self, frame: Frame, lost: int = 0) -> None:
        # Not by `tell`: a function for each frame and receiver would cost as much as the queue does.
        for observer in tuple(self.observers):
            try:
                observer.frames_sent(frame.type, 1, frame.size)
                if lost:
                    observer.frames_dropped(frame.type, lost)
            except Exception as error:  # noqa: BLE001 a middleware's
                self._mute(observer, error)

    def _mute(self, observer: Observer, error: Exception) -> None:
        logger.error(
            "An observer failed: it is told nothing more", exc_info=error, extra={"connection": self.id}
        )
        self.observers[:] = [one for one in self.observers if one is not observer]

    async def ready(self) -> None:
        """Wait until the peer has taken what is queued, where that is more than is good at once.

        Others get their turn even if the peer takes everything at once, or nothing any more: a stream waits for
        nothing else, and has to hear of its end.
        """
        if self.closing or self.full:
            await asyncio.sleep(0)
        if self._writer is not None and self.full:
            await self._writer.ready()

    def reply(self, message: BaseModel, ref: Ref | None = None) -> bool:
        """Transform a message for this connection and queue it; false where a transform dropped it."""
        changed = self._pipeline.addressed(message, self)
        if changed is None:
            return False
        self.put(self._pipeline.frame(changed, ref))
        return True

    def stop(self, code: int, reason: str) -> None:
        """Close as soon as what is queued is written; handlers under way are cancelled."""
        if not self.closing:
            self.closing = True
            self._ending = (code, reason)
            if self._driver is not None:
                self._driver.stop(code, reason)

    def flush(self) -> None:
        """Hand what is queued to the server."""
        self.scheduled = False
        if self._writer is not None:
            self._writer.flush()

    def replay(self, replay: Replay) -> None:
        """Take what ``replay`` has into the outbox, at the pace of the peer."""
        if replay not in self.replays:
            self.replays.append(replay)
        if not self.scheduled:
            self.scheduled = True
            self._hub.schedule(self)

    def refill(self) -> None:
        """Let rooms that still replay what was missed put more into the outbox, at the pace of the peer.

        Never raises: whatever fails here is no fault of the socket's, and ends this connection only.
        """
        try:
            self._refill()
        except Exception:
            logger.exception("A replay failed", extra={"connection": self.id})
            self.stop(codes.INSUFFICIENT_STATE, codes.REASONS[codes.INSUFFICIENT_STATE])

    def _refill(self) -> None:
        while self.replays and not self.closing and not self.full:
            frame = self._held or self.replays[0].next()
            self._held = None
            if frame is None:
                self.replays.popleft()
            elif self.queue.fits(frame):
                self.queue.put(frame)
                self._tell_of(frame)
            else:
                # Too large to go beside others: it waits until they are written.
                self._held = frame
                break

    def holds(self, replay: Replay) -> bool:
        """Whether the last frame of ``replay`` still waits to be queued."""
        return self._held is not None and self.replays[0] is replay

    def withdraw(self, replay: Replay) -> None:
        """A replay has nothing to send any more: the connection leaves its room."""
        if replay in self.replays:
            if self.replays[0] is replay:
                self._held = None
            self.replays.remove(replay)

    @property
    def full(self) -> bool:
        """Whether more is queued than is good at once."""
        return self.queue.size + self.queue.behind >= self._enough

    def too_slow(self) -> None:
        """Reset the connection of a peer that does not read; it sees 1006, the log and the metrics *slow*."""
        if not self._slow and self._writer is not None:
            self._slow = True
            logger.warning(
                "A slow consumer is given up: connection=%s", self.id, extra={"connection": self.id}
            )
            self.tell(lambda observer: observer.closed_slow())
            self._writer.abort()
            self.stop(codes.SLOW, codes.REASONS[codes.SLOW])

    def drain(self, code: int, reason: str) -> None:
        """The server shuts down."""
        if self._driver is not None:
            self._driver.drain(code, reason)

    def __repr__(self) -> str:
        return f"Connection(id={self.id!r}, user={self.user.id!r})"
