"""The loop of one connection: read frames, and handle messages in order.

How they are answered is :mod:`protocol.answers`'. One task owns a connection and runs its handlers one after another. While a handler is suspended another task
reads on into a bounded inbox, so that a disconnect or a ``cancel`` is seen at once; as long as handlers do not
suspend there is no such task. ``concurrent`` handlers and streams have tasks of their own.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, MutableMapping
from typing import Any, Final, Protocol

from pydantic import BaseModel, ValidationError

from protocol import codes
from protocol.answers import Answers
from protocol.connection import Connection, Handling, handling
from protocol.exceptions import Cancelled, Disconnect, RemoteProtocolError, UnknownType
from protocol.failures import close_of
from protocol.node import Handler, Node
from protocol.owner import Owner, StrayCancellationError, is_cancelled
from protocol.types import Receive, Ref, Request
from protocol.validation import read_id
from protocol.writer import Writer

logger = logging.getLogger("protocol")

MAX_INBOX: Final = 64
"""Messages that wait behind a suspended handler; reading stops there until one is taken."""


class Forward(Protocol):
    """The way on to an endpoint, for messages without a handler."""

    def __call__(self, body: str | bytes, message: BaseModel | None, request: Request) -> Awaitable[None]:
        """Hand over a message; ``message`` is set where a transform has changed what is in ``body``."""


class Item:
    """One inbound message, or a frame that is none, in its turn."""

    __slots__ = ("body", "cancelled", "error", "message", "request")

    def __init__(
        self,
        body: str | bytes,
        message: BaseModel | None,
        request: Request,
        error: Exception | None = None,
    ) -> None:
        self.body = body
        self.message = message
        self.request = request
        self.error = error
        self.cancelled = False


class Dispatcher:
    """Reads one connection, and calls its handlers; to be made in the task that owns the connection.

    Attributes:
        disconnect: the ASGI event that ended the connection, once it has come.
    """

    def __init__(self, connection: Connection, node: Node, receive: Receive) -> None:
        self.connection = connection
        self.disconnect: MutableMapping[str, Any] | None = None
        self._node = node
        self._settings = node.plan.settings
        self._pipeline = node.plan.pipeline
        self._inbound = node.plan.pipeline.registry.inbound
        self._handlers = node.plan.handlers
        self._cancel_type = node.plan.cancel
        self._observers = connection.observers
        self._answers = Answers(connection, node)
        self._receive = receive
        self._forward: Forward | None = None
        self._loop = asyncio.get_running_loop()
        self._owner = Owner(self._suspended)
        # Something of the application's is under way in the owner's task, for a message or a hook.
        self._busy = False
        self._current: Item | None = None
        self._beside: dict[asyncio.Task[None], Item] = {}
        # What is read ahead, who reads, and who is told when something has come or may come again.
        self._inbox: deque[Item] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._takers: dict[asyncio.Future[Item], tuple[type[BaseModel], ...]] = {}
        self._gone = False
        self._broken: Exception | None = None
        self._ending: tuple[int, str] | None = None
        self._draining: tuple[int, str] | None = None

    async def run(self, writer: Writer, forward: Forward | None = None) -> None:
        """Serve the connection until it is gone, then forget it everywhere.

        ``forward`` takes the messages that have no handler. Raises for nothing that a peer or a handler does,
        only what ``receive`` raises.
        """
        self._forward = forward
        self.connection.attach(writer, self)
        try:
            self._busy = True
            if self._ending is None:
                await self._owner.run(self._connect())
            await self._serve()
        finally:
            await self._node.finish(self._end(writer))
        if self._broken is not None:
            raise self._broken

    # What a connection asks (connection.Driver).

    async def receive(self, types: tuple[type[BaseModel], ...], timeout: float | None) -> BaseModel:
        async with asyncio.timeout(timeout):
            while True:
                item = await self._next_of(types or (BaseModel,))
                try:
                    message = self._admit(item, self._loop.time())
                except Exception as error:  # noqa: BLE001 a refusal answers the peer; the caller waits on
                    await self._answers.failed(error, item.request, item.body)
                else:
                    self._answers.acknowledge(item.request)
                    if message is not None:
                        return message

    def stop(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self._owner.interrupt()

    def drain(self, code: int, reason: str) -> None:
        self._draining = (code, reason)
        if self._current is None:
            self._owner.interrupt()

    # The order of things.

    async def _connect(self) -> None:
        current = Handling(self.connection, Request())
        token = handling.set(current)
        try:
            await self._node.hub.connect(self.connection)
            await self._node.hooks.connected(self.connection)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            await self._refused(StrayCancellationError(error))
        except Exception as error:  # noqa: BLE001 whatever an application's hook raises
            await self._refused(error)
        finally:
            self._node.hub.release(current)
            handling.reset(token)

    async def _refused(self, error: Exception) -> None:
        """Say why the connection cannot go on, and close it."""
        code = close_of(await self._answers.failed(error, Request()))
        self.connection.stop(code, codes.REASONS[code])

    async def _serve(self) -> None:
        waited = False
        while self._ending is None and self._draining is None and not self._gone:
            self._busy = False
            if not self._inbox:
                await self._owner.run(self._read())
            elif self.connection.full and not waited:
                # Who asks for more than it reads waits for its answers; what it sends is read on meanwhile.
                self._busy = waited = True
                await self._owner.run(self.connection.ready())
            else:
                # Once for each message: a busy room may keep an outbox full for ever.
                waited = False
                item = self._inbox.popleft()
                self._space.set()
                if not item.cancelled:
                    await self._turn(item)
        self._busy = True
        while self._beside and self._ending is None and not self._gone:
            await self._owner.run(self._one_ended())
        if self._draining is not None:
            self.connection.stop(*self._draining)

    async def _turn(self, item: Item) -> None:
        self._current = item
        self._busy = True
        finished = await self._owner.run(self._handle(item))
        self._current = None
        if item.cancelled and not finished:
            self._answers.cancelled(item.request)

    def _suspended(self) -> None:
        if self._busy and self._reader is None and not self._gone:
            self._reader = self._loop.create_task(self._read_on())

    async def _one_ended(self) -> None:
        await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)

    async def _end(self, writer: Writer) -> None:
        """Forget the connection everywhere; nothing here may keep another part from its turn."""
        connection = self.connection
        connection.closing = True
        tasks = [*self._beside, *([] if self._reader is None else [self._reader])]
        for task in tasks:
            task.cancel()
        for taker in self._takers:
            if not taker.done():
                taker.set_exception(Disconnect(codes.GOING_AWAY))
        try:
            await self._node.hub.disconnect(connection)
        except Exception:
            logger.exception(
                "A connection could not be taken out of its rooms", extra={"connection": connection.id}
            )
        await writer.close(None if self._gone else self._ending)
        if tasks:
            await asyncio.wait(tasks)
        await self._node.hooks.disconnected(connection)

    # Reading.

    async def _read(self) -> None:
        if self._reader is not None:
            self._arrival.clear()
            await self._arrival.wait()
            return
        try:
            event = await self._receive()
        except Exception as error:  # noqa: BLE001 raised again by `run`, when the connection is forgotten
            event = self._lost(error)
        self._event(event)

    async def _read_on(self) -> None:
        """Read while a handler is suspended, until the owner's task can take over again."""
        try:
            while not self._gone:
                while len(self._inbox) >= MAX_INBOX:
                    self._check_flood()
                    self._space.clear()
                    await self._space.wait()
                self._event(await self._receive())
                self._arrival.set()
                if not self._busy:
                    break
        except Exception as error:  # noqa: BLE001 as above
            self._event(self._lost(error))
            self._arrival.set()
        finally:
            self._reader = None
        if self._gone:
            self._owner.interrupt()

    def _lost(self, error: Exception) -> MutableMapping[str, Any]:
        """What is received where the server's ``receive`` has failed."""
        self._broken = error
        return {"type": "websocket.disconnect", "code": codes.ABNORMAL}

    def _event(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] != "websocket.receive":
            self.disconnect = event
            self._gone = True
            return
        frame = event.get("text")
        if frame is None:
            frame = event.get("bytes") or b""
        if self._is_too_big(frame):
            self.connection.stop(codes.TOO_BIG, codes.REASONS[codes.TOO_BIG])
            return
        # A codec and the validators of a model are the application's too, and may raise anything.
        try:
            bodies = self._pipeline.bodies(frame)
        except Exception as error:  # noqa: BLE001
            self._inbox.append(Item(frame, None, Request(getattr(error, "id", None)), error))
            return
        for body in bodies:
            try:
                message, request = self._pipeline.decode(body)
            except RemoteProtocolError as error:
                self._inbox.append(Item(body, None, Request(error.id), error))
            except Exception as error:  # noqa: BLE001
                id = read_id(body, self._pipeline.envelope.id)
                self._inbox.append(Item(body, None, Request(id), error))
            else:
                if type(message) is self._cancel_type:
                    self._cancel(message.ref, request)  # type: ignore[attr-defined]
                else:
                    self._put_in(Item(body, message, request))

    def _is_too_big(self, frame: str | bytes) -> bool:
        """Whether a frame has more bytes than the protocol takes, on servers that allow more."""
        limit = self._settings.max_frame
        # No character has more than four bytes, and most frames are small.
        return len(frame) * 4 > limit and len(frame.encode() if isinstance(frame, str) else frame) > limit

    def _put_in(self, item: Item) -> None:
        """Give a message to who waits for it out of the order, or else queue it."""
        for taker, types in self._takers.items():
            if not taker.done() and isinstance(item.message, types):
                taker.set_result(item)
                return
        self._inbox.append(item)

    async def _next_of(self, types: tuple[type[BaseModel], ...]) -> Item:
        """The next message of ``types``, out of the order."""
        for item in self._inbox:
            if isinstance(item.message, types) and not item.cancelled:
                self._inbox.remove(item)
                self._space.set()
                return item
        if self._gone or self.connection.closing:
            raise Disconnect(codes.GOING_AWAY)
        taker: asyncio.Future[Item] = self._loop.create_future()
        self._takers[taker] = types
        self._check_flood()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                # It came at the last moment, and has to be answered all the same.
                self._answers.refuse(
                    Cancelled("Nobody waits for the message any more."), taker.result().request.id
                )
            raise
        finally:
            del self._takers[taker]

    def _check_flood(self) -> None:
        """Who is asked for one message, and sends as many others as may wait, will never be heard."""
        if len(self._inbox) >= MAX_INBOX and self._takers:
            self.connection.stop(codes.BAD_REQUEST, codes.REASONS[codes.BAD_REQUEST])

    def _cancel(self, ref: Ref, request: Request) -> None:
        """End the message with the id ``ref``, wherever it is."""
        self._answers.good()
        if self._current is not None and self._current.request.id == ref:
            self._current.cancelled = True
            self._owner.interrupt()
        elif found := next((task for task, item in self._beside.items() if item.request.id == ref), None):
            self._beside[found].cancelled = True
            found.cancel()
        elif waiting := next(
            (item for item in self._inbox if item.request.id == ref and not item.cancelled), None
        ):
            waiting.cancelled = True
            self._answers.cancelled(waiting.request)
        self._answers.acknowledge(request)

    # Handling.

    async def _handle(self, item: Item) -> None:
        if item.error is not None:
            await self._answers.failed(item.error, item.request, item.body)
            return
        started = self._loop.time()
        try:
            message = self._admit(item, started)
            handler = None if message is None else self._handlers.get(type(message))
            if handler is not None and handler.concurrent:
                while len(self._beside) >= self._settings.max_pending:
                    await self._one_ended()
        except Exception as error:  # noqa: BLE001 whatever an application's transform raises
            self._handled(item, await self._answers.failed(error, item.request, item.body), started)
            return
        if handler is not None and handler.concurrent:
            task = self._loop.create_task(self._call(handler, message, item, started))
            self._beside[task] = item
            task.add_done_callback(self._ended_beside)
        else:
            await self._call(handler, message, item, started)

    def _admit(self, item: Item, now: float) -> BaseModel | None:
        """The limit stage and the inbound transforms; ``None`` where one of them dropped the message."""
        message, connection = item.message, self.connection
        assert message is not None
        self._answers.good()
        for observer in self._observers:
            observer.message_received(self._inbound.tag(message))
        self._node.limits.admit(type(message), connection.user.id, connection.id, now)
        try:
            return self._pipeline.inbound(message)
        except ValidationError as error:
            raise self._inbound.invalid(error, item.request) from None

    async def _call(
        self, handler: Handler | None, message: BaseModel | None, item: Item, started: float
    ) -> None:
        current = Handling(self.connection, item.request)
        token = handling.set(current)
        outcome = codes.CANCELLED
        try:
            if message is None:
                self._answers.acknowledge(item.request)
            elif handler is None:
                await self._pass_on(item, message)
            else:
                reply = await handler(message, self.connection, self._node)
                if reply is None or not self.connection.reply(reply, item.request.id):
                    self._answers.acknowledge(item.request, current.offset)
            outcome = "ok"
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            outcome = await self._answers.failed(StrayCancellationError(error), item.request, item.body)
        except Exception as error:  # noqa: BLE001 whatever an application's handler raises
            outcome = await self._answers.failed(error, item.request, item.body)
        finally:
            self._node.hub.release(current)
            handling.reset(token)
            self._handled(item, outcome, started)

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        # Answered here, because a task that is cancelled before its first step never runs.
        item = self._beside.pop(task)
        if item.cancelled and task.cancelled():
            self._answers.cancelled(item.request)

    async def _pass_on(self, item: Item, message: BaseModel) -> None:
        if self._forward is None:
            raise UnknownType("Nothing handles this message now.", id=item.request.id, frame=item.body)
        await self._forward(item.body, None if message is item.message else message, item.request)

    def _handled(self, item: Item, outcome: str, started: float) -> None:
        assert item.message is not None
        for observer in self._observers:
            observer.message_handled(self._inbound.tag(item.message), outcome, self._loop.time() - started)
