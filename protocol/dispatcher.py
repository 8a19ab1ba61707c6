"""The loop of one connection: handle what was read, message by message, in order.

What arrives is :mod:`protocol.reader`'s, and how it is answered :mod:`protocol.answers`'. One task owns a connection
and runs its handlers one after another; as long as handlers do not suspend there is no other task. ``concurrent``
handlers and streams have tasks of their own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, MutableMapping
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from protocol import codes
from protocol.answers import Answers
from protocol.connection import Connection, Handling, handling
from protocol.exceptions import Unauthenticated, UnknownType
from protocol.failures import close_of
from protocol.node import CompiledHandler, Node
from protocol.owner import Owner, cause_of
from protocol.reader import Reader
from protocol.types import Receive, Ref, Request
from protocol.writer import Writer

logger = logging.getLogger("protocol")


class Forward(Protocol):
    """The way on to an endpoint, for messages without a handler."""

    def __call__(self, body: str | bytes, message: BaseModel | None, request: Request) -> Awaitable[None]:
        """Hand over a message; ``message`` is set where a transform has changed what is in ``body``."""


class Dispatcher:
    """Reads one connection, and calls its handlers; to be made in the task that owns the connection."""

    def __init__(self, connection: Connection, node: Node, receive: Receive) -> None:
        self.connection = connection
        self._node = node
        self._max_pending = node.plan.settings.max_pending
        self._pipeline = node.plan.pipeline
        self._tag = node.plan.pipeline.registry.inbound.tag
        self._handlers = node.plan.handlers
        self._limits = node.limits
        self._time = node.loop.time
        self._observers = connection.observers
        self._user = connection.user.id
        self._answers = Answers(connection, node)
        self._forward: Forward | None = None
        self._reader = Reader(
            connection, node, receive, self._answers, cancel=self._cancel, lost=self._interrupt
        )
        self._owner = Owner(self._reader.suspended)
        self._current: Handling | None = None
        self._beside: dict[asyncio.Task[None], Handling] = {}
        self._ending: tuple[int, str] | None = None
        self._draining: tuple[int, str] | None = None
        # One of both is set: no further message is handled.
        self._stopped = False

    @property
    def disconnect(self) -> MutableMapping[str, Any] | None:
        """The ASGI event that ended the connection, once it has come."""
        return self._reader.disconnect

    async def run(self, writer: Writer, forward: Forward | None = None) -> None:
        """Serve the connection until it is gone, then forget it everywhere.

        ``forward`` takes the messages that have no handler. Raises for nothing that a peer or a handler does,
        only what ``receive`` raises.
        """
        self._forward = forward
        self.connection.attach(writer, self)
        try:
            if self._ending is None:
                await self._owner.run(self._connect())
            await self._serve()
        finally:
            await self._node.finish(self._end(writer))
        if self._reader.broken is not None:
            raise self._reader.broken

    # What a connection asks (connection.Driver).

    async def receive(self, types: tuple[type[BaseModel], ...], timeout: float | None) -> BaseModel:
        async with asyncio.timeout(timeout):
            while True:
                item = await self._reader.next_of(types or (BaseModel,))
                started = self._time()
                message = self._admitted(item, started)
                if item.error is not None:
                    await self._pass_over(item, item.error, started)
                    continue
                self._answers.acknowledge(item.request)
                if message is not None:
                    return message

    async def _pass_over(self, item: Handling, error: Exception, started: float) -> None:
        """Answer a message that is refused, while somebody waits for the next one."""
        try:
            await self._call(None, None, item, started)
        except asyncio.CancelledError:
            # Nobody waits any more, and the message has to be answered all the same.
            self._answers.refuse(error, item)
            raise

    def stop(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self._stopped = True
        self._interrupt()

    def drain(self, code: int, reason: str) -> None:
        self._draining = (code, reason)
        self._stopped = True
        if self._current is None:
            self._interrupt()

    def _interrupt(self) -> None:
        self._owner.interrupt()

    # The order of things.

    async def _connect(self) -> None:
        current = Handling(self.connection, Request())
        token = handling.set(current)
        try:
            await self._node.hub.connect(self.connection)
            await self._node.hooks.connected(self.connection)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 an application's hook
            await self._refused(cause_of(error), current)
        finally:
            self._node.hub.release(current)
            handling.reset(token)

    async def _refused(self, error: Exception, current: Handling) -> None:
        """Say why the connection cannot go on, and close it."""
        code = close_of(await self._answers.failed(error, current))
        self.connection.stop(code, codes.REASONS[code])

    async def _serve(self) -> None:
        while not (self._stopped or self._reader.gone):
            finished = await self._owner.run(self._work())
            item, self._current = self._current, None
            if item is not None and item.cancelled and not finished:
                self._answers.cancelled(item)
        while self._beside and self._ending is None and not self._reader.gone:
            await self._owner.run(self._one_ended())
        if self._draining is not None:
            self.connection.stop(*self._draining)

    async def _work(self) -> None:
        """Read and handle, until anybody interrupts."""
        owner, reader, inbox, connection = self._owner, self._reader, self._reader.inbox, self.connection
        while not (self._stopped or reader.gone or (owner.waited and owner.disturbed())):
            if inbox and connection.full:
                # Who asks for more than it reads waits for its answers; what it sends is read on meanwhile. Once for
                # each message: a busy room may keep an outbox full for ever.
                await connection.ready()
            if inbox:
                item = self._current = reader.next()
                if not item.cancelled:
                    await self._turn(item)
                self._current = None
            else:
                await reader.read()

    async def _one_ended(self) -> None:
        await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)

    async def _end(self, writer: Writer) -> None:
        """Close, and forget the connection everywhere; nothing here may keep another part from its turn."""
        connection = self.connection
        connection.closing = True
        tasks = [*self._beside, *self._reader.stop()]
        for task in self._beside:
            task.cancel()
        # A room that keeps others waiting holds up no close frame, and a peer that reads slowly stays in no room.
        tasks.append(self._node.loop.create_task(self._leave()))
        await writer.close(None if self._reader.gone else self._ending)
        await asyncio.wait(tasks)
        await self._node.hooks.disconnected(connection)

    async def _leave(self) -> None:
        try:
            await self._node.hub.disconnect(self.connection)
        except Exception:
            logger.exception(
                "A connection could not be taken out of its rooms", extra={"connection": self.connection.id}
            )

    def _cancel(self, ref: Ref, request: Request) -> None:
        """End the message with the id ``ref``, wherever it is."""
        self._answers.good()
        if self._current is not None and self._current.request.id == ref:
            self._current.cancelled = True
            self._interrupt()
        elif found := next((task for task, item in self._beside.items() if item.request.id == ref), None):
            self._beside[found].cancelled = True
            found.cancel()
        elif waiting := next(
            (item for item in self._reader.inbox if item.request.id == ref and not item.cancelled), None
        ):
            waiting.cancelled = True
            self._answers.cancelled(waiting)
        self._answers.acknowledge(request)

    # Handling.

    def _turn(self, item: Handling) -> Coroutine[Any, Any, None]:
        """Admit a message; what is returned handles it, or answers why not."""
        started = self._time()
        message = self._admitted(item, started) if item.error is None else None
        handler = None if message is None else self._handlers.get(type(message))
        call = self._call if handler is None or not handler.concurrent else self._call_beside
        return call(handler, message, item, started)

    def _admitted(self, item: Handling, now: float) -> BaseModel | None:
        """The limit stage and the inbound transforms.

        ``None`` where a transform dropped the message, or it has an ``error`` now.
        """
        message = item.message
        assert message is not None
        self._answers.good()
        if self._observers:
            tag = self._tag(message)
            self.connection.tell(lambda observer: observer.message_received(tag))
        try:
            self._limits.admit(type(message), self._user, self.connection.id, now)
            return self._pipeline.inbound(message)
        except ValidationError as error:
            item.error = self._pipeline.registry.inbound.invalid(error, item.request)
        except Exception as error:  # noqa: BLE001 whatever an application's transform raises
            item.error = error
        return None

    async def _call(
        self, handler: CompiledHandler | None, message: BaseModel | None, item: Handling, started: float
    ) -> None:
        token = handling.set(item)
        outcome = codes.CANCELLED
        try:
            if (refusal := item.error) is not None:
                item.error = None  # its traceback refers to the item
                outcome = await self._answers.failed(refusal, item)
                return
            if message is None:
                self._answers.acknowledge(item.request)
            elif handler is None:
                await self._pass_on(item, message)
            else:
                if item.key is not None:
                    self._check_user()
                reply = await handler.call(message, self.connection, self._node)
                if reply is None or not self.connection.reply(reply, item.request.id):
                    self._answers.acknowledge(item.request, item.offset)
            outcome = "ok"
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 an application's handler
            outcome = await self._answers.failed(cause_of(error), item)
        finally:
            item.ended = True
            if item.joined:
                self._node.hub.release(item)
            handling.reset(token)
            if self._observers and item.message is not None:
                self._handled(item.message, outcome, started)

    def _check_user(self) -> None:
        """A message with a key is refused before its handler does anything, not at the publication that takes it."""
        if not self.connection.authenticated:
            raise Unauthenticated("A key needs a user: log in first.")

    async def _call_beside(
        self, handler: CompiledHandler | None, message: BaseModel | None, item: Handling, started: float
    ) -> None:
        while len(self._beside) >= self._max_pending:
            await self._one_ended()
        task = self._node.loop.create_task(self._call(handler, message, item, started))
        self._beside[task] = item
        task.add_done_callback(self._ended_beside)

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        # Answered here, because a task that is cancelled before its first step never runs.
        item = self._beside.pop(task)
        if item.cancelled and task.cancelled():
            self._answers.cancelled(item)

    async def _pass_on(self, item: Handling, message: BaseModel) -> None:
        if self._forward is None:
            raise UnknownType("Nothing handles this message now.", id=item.request.id, frame=item.body)
        await self._forward(item.body, None if message is item.message else message, item.request)

    def _handled(self, message: BaseModel, outcome: str, started: float) -> None:
        tag, seconds = self._tag(message), self._time() - started
        self.connection.tell(lambda observer: observer.message_handled(tag, outcome, seconds))
