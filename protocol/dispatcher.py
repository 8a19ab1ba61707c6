"""The loop of one connection: read frames, handle messages in order, answer each once.

One task owns a connection and runs its handlers one after another. While a handler is suspended another task
reads on into a bounded inbox, so that a disconnect or a ``cancel`` is seen at once; as long as handlers do not
suspend there is no such task. ``concurrent`` handlers and streams have tasks of their own.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from contextlib import suppress
from typing import Any, Final, Protocol

from fastapi import HTTPException, WebSocketException
from pydantic import BaseModel, ValidationError

from protocol import codes
from protocol.connection import Connection, Handling, handling
from protocol.exceptions import (
    Cancelled,
    Disconnect,
    LocalProtocolError,
    Reject,
    RemoteProtocolError,
    UnknownType,
    checked_close,
)
from protocol.limits import ToleranceMeter
from protocol.node import Handler, Node
from protocol.outbox import Frame
from protocol.pipeline import Failure
from protocol.types import Receive, Ref, Request
from protocol.writer import Writer

logger = logging.getLogger("protocol")

MAX_INBOX: Final = 64
"""Messages that wait behind a suspended handler; reading stops there until one is taken."""

_HTTP_CODES: Final = {
    401: codes.UNAUTHENTICATED,
    403: codes.FORBIDDEN,
    404: codes.NOT_FOUND,
    409: codes.CONFLICT,
    429: codes.RATE_LIMITED,
    503: codes.UNAVAILABLE,
}


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
        error: RemoteProtocolError | None = None,
    ) -> None:
        self.body = body
        self.message = message
        self.request = request
        self.error = error
        self.cancelled = False


class Dispatcher:
    """Reads one connection, and calls its handlers."""

    def __init__(
        self,
        connection: Connection,
        node: Node,
        receive: Receive,
    ) -> None:
        self.connection = connection
        self._node = node
        self._pipeline = node.plan.pipeline
        self._handlers = node.plan.handlers
        self._hooks = node.hooks
        self._receive = receive
        self._cancel_type = node.plan.cancel
        self._forward: Forward | None = None
        self._loop = asyncio.get_running_loop()
        self._meter = ToleranceMeter(node.plan.settings.tolerance)
        self._inbox: deque[Item] = deque()
        self._task: asyncio.Task[Any] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._beside: dict[asyncio.Task[None], Item] = {}
        self._current: Item | None = None
        # A handler or hook is under way in the owner's task, and whether it waits for something.
        self._busy = False
        self._suspended = False
        # Set while the owner's task is cancelled by us: by whom.
        self._interrupted: str | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._space: asyncio.Future[None] | None = None
        self._gone = False
        self._ending: tuple[int, str] | None = None
        self._draining: tuple[int, str] | None = None

    async def run(self, writer: Writer, forward: Forward | None = None) -> None:
        """Serve the connection until it is gone, then forget it everywhere. Never raises for what a peer does.

        ``forward`` takes the messages that have no handler.
        """
        connection = self.connection
        self._forward = forward
        self._task = asyncio.current_task()
        connection.attach(writer, self)
        try:
            await self._node.hub.connect(connection)
            self._busy = True
            if await self._interruptible(self._connect()):
                await self._serve()
        finally:
            await self._node.finish(self._end(writer))

    # What a connection asks (connection.Driver).

    async def receive(self, types: tuple[type[BaseModel], ...], timeout: float | None) -> BaseModel:
        async with asyncio.timeout(timeout):
            while True:
                for item in self._inbox:
                    if isinstance(item.message, types):
                        return self._taken(item)
                if self._gone or self._ending is not None:
                    raise Disconnect(codes.GOING_AWAY)
                await self._arrived()

    def stop(self, code: int, reason: str) -> None:
        if self._ending is None:
            self._ending = (code, reason)
            if asyncio.current_task() is not self._task:
                self._interrupt("stop")

    def drain(self, code: int, reason: str) -> None:
        self._draining = (code, reason)
        if self._current is None and not self._beside:
            self.stop(code, reason)

    # Reading.

    async def _serve(self) -> None:
        while self._ending is None and not (self._gone and not self._inbox):
            if not self._inbox:
                if not await self._interruptible(self._read()):
                    return
                continue
            item = self._inbox.popleft()
            if self._space is not None and not self._space.done():
                self._space.set_result(None)
            if not item.cancelled:
                await self._turn(item)
            if self._draining is not None and self._current is None and not self._beside:
                self.stop(*self._draining)

    async def _read(self) -> None:
        if self._reader is None:
            self._event(await self._receive())
        else:
            await self._arrived()

    async def _read_on(self) -> None:
        """Read while a handler is suspended, and until the owner's task can take over again."""
        try:
            while not self._gone:
                if len(self._inbox) >= MAX_INBOX:
                    self._space = self._loop.create_future()
                    await self._space
                self._event(await self._receive())
                if self._arrival is not None and not self._arrival.done():
                    self._arrival.set_result(None)
                if not self._suspended:
                    break
        finally:
            self._reader = None
        if self._gone:
            self._interrupt("gone")

    async def _arrived(self) -> None:
        self._arrival = self._loop.create_future()
        await self._arrival

    def _event(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] != "websocket.receive":
            self._gone = True
            return
        frame = event.get("text")
        if frame is None:
            frame = event.get("bytes") or b""
        try:
            bodies = self._pipeline.bodies(frame)
        except RemoteProtocolError as error:
            self._inbox.append(Item(frame, None, Request(error.id), error))
            return
        for body in bodies:
            try:
                message, request = self._pipeline.decode(body)
            except RemoteProtocolError as error:
                self._inbox.append(Item(body, None, Request(error.id), error))
                continue
            if type(message) is self._cancel_type:
                self._cancel(message.ref, request)  # type: ignore[attr-defined]
            else:
                self._inbox.append(Item(body, message, request))

    def _taken(self, item: Item) -> BaseModel:
        self._inbox.remove(item)
        message = None if item.message is None else self._pipeline.inbound(item.message)
        if item.request.id is not None:
            self._put(self._pipeline.ack(item.request.id))
        if message is None:
            raise Reject(codes.FORBIDDEN, "The message was dropped.")
        return message

    # Interrupting.

    def _interrupt(self, why: str) -> None:
        """Cancel what the owner's task waits for. It waits, or this would not run."""
        if self._task is not None and self._interrupted is None:
            self._interrupted = why
            self._task.cancel()

    async def _interruptible(self, work: Coroutine[Any, Any, None]) -> bool:
        """Await ``work``, reading on where it suspends; false where it was interrupted."""
        try:
            await Watched(work, self._suspend)
        except asyncio.CancelledError:
            if self._interrupted is None:
                raise
            return False
        finally:
            self._busy = self._suspended = False
            if self._interrupted is not None and self._task is not None:
                self._task.uncancel()
                self._interrupted = None
        return True

    def _suspend(self) -> None:
        self._suspended = True
        if self._busy and self._reader is None and not self._gone:
            self._reader = self._loop.create_task(self._read_on())

    def _cancel(self, ref: Ref, request: Request) -> None:
        """End the message with the id ``ref``, wherever it is."""
        if self._current is not None and self._current.request.id == ref and self._suspended:
            self._current.cancelled = True
            self._interrupt("cancel")
        elif found := next((task for task, item in self._beside.items() if item.request.id == ref), None):
            self._beside[found].cancelled = True
            found.cancel()
        elif waiting := next(
            (item for item in self._inbox if item.request.id == ref and not item.cancelled), None
        ):
            waiting.cancelled = True
            self._refuse(Cancelled("The message was cancelled."), ref)
        if request.id is not None:
            self._put(self._pipeline.ack(request.id))

    # Handling.

    async def _connect(self) -> None:
        current = Handling(self.connection, Request())
        handling.set(current)
        try:
            await self._hooks.connected(self.connection)
        except Exception as error:
            await self._failed(error, None)
            if self._ending is None:
                self.stop(*_refusal(error))
        finally:
            self._node.hub.release(current)

    async def _turn(self, item: Item) -> None:
        self._current = item
        self._busy = True
        if not await self._interruptible(self._handle(item)) and item.cancelled:
            self._refuse(Cancelled("The message was cancelled."), item.request.id)
        self._current = None

    async def _handle(self, item: Item) -> None:
        try:
            if item.error is not None:
                raise item.error
            assert item.message is not None
            self._meter.good()
            message = self._admit(item.message, item.request)
            if message is None:
                self._acknowledge(item.request)
                return
            handler = self._handlers.get(type(message))
            if handler is None:
                await self._pass_on(item, message)
            elif handler.concurrent:
                while len(self._beside) >= self._node.plan.settings.max_pending:
                    await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)
                task = self._loop.create_task(self._run_beside(handler, message, item))
                self._beside[task] = item
                task.add_done_callback(self._ended)
            else:
                await self._call(handler, message, item.request)
        except Exception as error:
            await self._failed(error, item)

    def _admit(self, message: BaseModel, request: Request) -> BaseModel | None:
        """The limit stage and the inbound transforms."""
        connection = self.connection
        for observer in connection.observers:
            observer.message_received(self._pipeline.registry.inbound.tag(message))
        self._node.limits.admit(type(message), connection.user.id, connection.id, self._loop.time())
        try:
            return self._pipeline.inbound(message)
        except ValidationError as error:
            raise self._pipeline.registry.inbound.invalid(error, request) from None

    async def _call(self, handler: Handler, message: BaseModel, request: Request) -> None:
        current = Handling(self.connection, request)
        handling.set(current)
        started = self._loop.time()
        outcome = "ok"
        try:
            reply = await handler(message, self.connection, self._node)
            if reply is None or not self.connection.reply(reply, request.id):
                self._acknowledge(request, current.offset)
        except Exception as error:
            outcome = await self._failed(error, Item("", message, request))
        finally:
            self._node.hub.release(current)
            for observer in self.connection.observers:
                observer.message_handled(
                    self._pipeline.registry.inbound.tag(message), outcome, self._loop.time() - started
                )

    async def _run_beside(self, handler: Handler, message: BaseModel, item: Item) -> None:
        try:
            await self._call(handler, message, item.request)
        except asyncio.CancelledError:
            if not item.cancelled:
                raise
            self._refuse(Cancelled("The message was cancelled."), item.request.id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._beside[task]
        if self._draining is not None and self._current is None and not self._beside:
            self.stop(*self._draining)

    async def _pass_on(self, item: Item, message: BaseModel) -> None:
        if self._forward is None:
            raise UnknownType("Nothing handles this message now.", id=item.request.id, frame=item.body)
        await self._forward(item.body, None if message is item.message else message, item.request)

    # Answering.

    async def _failed(self, error: Exception, item: Item | None) -> str:
        """Answer what went wrong; returns the error code, or ``closed``."""
        ref = None if item is None else item.request.id
        try:
            answer = await self._hooks.failed(self.connection, error)
            if answer is not None and self.connection.reply(answer, ref):
                return self._counted(error)
        except Exception as raised:
            error = raised
        if isinstance(error, Disconnect):
            self.stop(error.code, error.reason)
            return "closed"
        if isinstance(error, WebSocketException):
            with suppress(LocalProtocolError):
                self.stop(*checked_close(error.code, error.reason))
            self.stop(codes.BAD_REQUEST, codes.REASONS[codes.BAD_REQUEST])
            return "closed"
        self._refuse(error, ref)
        return self._counted(error)

    def _counted(self, error: Exception) -> str:
        """Count a broken frame against the connection's tolerance."""
        code = getattr(error, "code", codes.INTERNAL_ERROR)
        if isinstance(error, RemoteProtocolError) and code in codes.BROKEN_FRAME:
            for observer in self.connection.observers:
                observer.frame_refused(code)
            if self._meter.broken(self._loop.time()):
                self.stop(codes.TOO_MANY_ERRORS, codes.REASONS[codes.TOO_MANY_ERRORS])
        return str(code)

    def _refuse(self, error: Exception, ref: Ref | None) -> None:
        failure = failure_of(error)
        if failure.error_id is not None:
            logger.error(
                "A handler failed",
                exc_info=error,
                extra={"error_id": failure.error_id, "connection": self.connection.id},
            )
        self._put(self._pipeline.error(failure, ref))

    def _acknowledge(self, request: Request, offset: int | None = None) -> None:
        if request.id is not None:
            self._put(self._pipeline.ack(request.id, offset))

    def _put(self, frame: Frame | None) -> None:
        if frame is not None:
            self.connection.put(frame)

    # Ending.

    async def _end(self, writer: Writer) -> None:
        """Forget the connection everywhere; nothing here may keep another part from its turn."""
        connection = self.connection
        tasks = [*self._beside, *([] if self._reader is None else [self._reader])]
        self._interrupted = "end"
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            await self._node.hub.disconnect(connection)
        except Exception:
            logger.exception(
                "A connection could not be taken out of its rooms", extra={"connection": connection.id}
            )
        if self._ending is not None and not self._gone:
            with suppress(Exception):
                await writer.close(*self._ending)
        connection.closing = True
        writer.lost()
        try:
            await self._hooks.disconnected(connection)
        except Exception:
            logger.exception("A disconnect hook failed", extra={"connection": connection.id})


class Watched:
    """Awaits a coroutine, and tells when it suspends for the first time.

    It runs in the same task all the time, so that timeouts, cancel scopes and context variables in it work as
    if it was awaited directly.
    """

    __slots__ = ("_coroutine", "_suspended")

    def __init__(self, coroutine: Coroutine[Any, Any, None], suspended: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine = self._coroutine
        try:
            waits_for = coroutine.send(None)
            self._suspended()
            while True:
                try:
                    value = yield waits_for
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as error:
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(value)
        except StopIteration:
            return


def failure_of(error: Exception) -> Failure:
    """What an error that left a handler says to the client; anything unknown is an ``internal_error``."""
    if isinstance(error, RemoteProtocolError | Reject):
        return Failure.of(error)
    if isinstance(error, HTTPException) and error.status_code in _HTTP_CODES:
        code = _HTTP_CODES[error.status_code]
        detail = error.detail if isinstance(error.detail, str) else code.replace("_", " ")
        return Failure(code, detail, code in codes.RETRYABLE, retry_after=_retry_after(error))
    if isinstance(error, TimeoutError):
        return Failure(codes.TIMEOUT, "It took too long.", retryable=True)
    return Failure(codes.INTERNAL_ERROR, "Something went wrong here.", error_id=secrets.token_hex(8))


def _retry_after(error: HTTPException) -> float | None:
    value = (error.headers or {}).get("Retry-After")
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None


def _refusal(error: Exception) -> tuple[int, str]:
    """How a connection ends whose ``on_connect`` failed."""
    code = failure_of(error).code
    close = {
        codes.UNAUTHENTICATED: codes.INVALID_TOKEN,
        codes.FORBIDDEN: codes.CLOSE_FORBIDDEN,
        codes.INTERNAL_ERROR: codes.INSUFFICIENT_STATE,
        codes.UNAVAILABLE: codes.INSUFFICIENT_STATE,
    }.get(code, codes.BAD_REQUEST)
    return close, codes.REASONS[close]
