"""What arrives on one connection: events become messages, and wait for their turn.

The task that owns the connection reads here itself; while it waits for something of the application's, another task
reads on into a bounded inbox, so that a disconnect or a ``cancel`` is seen at once. How messages are handled is
:mod:`protocol.dispatcher`'s.
"""

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from pydantic import BaseModel

from protocol import codes
from protocol.answers import Answers
from protocol.connection import Connection, Handling
from protocol.exceptions import Cancelled, Disconnect, RemoteProtocolError
from protocol.node import Node
from protocol.types import Receive, Ref, Request
from protocol.validation import read_id

MAX_INBOX: Final = 64
"""Messages that wait behind a suspended handler; reading stops there until one is taken."""


class Reader:
    """Reads one connection. ``cancel`` is called for a message that ends another, ``lost`` for a lost peer.

    Attributes:
        inbox: what waits for its turn.
        gone: nothing comes any more.
        disconnect: the ASGI event that ended the connection, once it has come.
        broken: what ``receive`` has raised.
    """

    def __init__(
        self,
        connection: Connection,
        node: Node,
        receive: Receive,
        answers: Answers,
        *,
        cancel: Callable[[Ref, Request], None],
        lost: Callable[[], None],
    ) -> None:
        self.inbox: deque[Handling] = deque()
        self.gone = False
        self.disconnect: MutableMapping[str, Any] | None = None
        self.broken: Exception | None = None
        self._connection = connection
        self._receive = receive
        self._answers = answers
        self._cancel = cancel
        self._lost = lost
        self._loop = node.loop
        self._max_frame = node.plan.settings.max_frame
        self._bodies = node.plan.pipeline.codec.decode
        self._decode = node.plan.pipeline.decode
        self._id_name = node.plan.pipeline.envelope.id
        self._cancel_type = node.plan.cancel
        # Something of the application's is under way in the owner's task, for a message or a hook.
        self._busy = True
        # Who reads on, and who is told when something has come or may come again.
        self._task: asyncio.Task[None] | None = None
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._takers: dict[asyncio.Future[Handling], tuple[type[BaseModel], ...]] = {}

    async def read(self) -> None:
        """Wait for the next event, in the owner's task."""
        self._busy = False
        try:
            if self._task is None:
                self._event(await self._receive())
            else:
                self._arrival.clear()
                await self._arrival.wait()
        except Exception as error:  # noqa: BLE001 raised again by the dispatcher, when the connection is forgotten
            self._fail(error)
        finally:
            self._busy = True

    def next(self) -> Handling:
        """Take the first of the inbox."""
        item = self.inbox.popleft()
        if self._task is not None:
            self._space.set()
        return item

    async def next_of(self, types: tuple[type[BaseModel], ...]) -> Handling:
        """The next message of ``types``, out of the order."""
        for item in self.inbox:
            if isinstance(item.message, types) and not item.cancelled:
                self.inbox.remove(item)
                self._space.set()
                return item
        if self.gone or self._connection.closing:
            raise Disconnect(codes.GOING_AWAY)
        taker: asyncio.Future[Handling] = self._loop.create_future()
        self._takers[taker] = types
        self._check_flood()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                # It came at the last moment, and has to be answered all the same.
                self._answers.refuse(Cancelled("Nobody waits for the message any more."), taker.result())
            raise
        finally:
            del self._takers[taker]

    def suspended(self) -> None:
        """The owner's task waits for something: read on meanwhile, unless it is this that it waits for."""
        if self._busy and self._task is None and not self.gone:
            self._task = self._loop.create_task(self._read_on())

    def stop(self) -> list[asyncio.Task[None]]:
        """Read no more; returns the tasks that are about to end."""
        for taker in self._takers:
            if not taker.done():
                taker.set_exception(Disconnect(codes.GOING_AWAY))
        if self._task is None:
            return []
        self._task.cancel()
        return [self._task]

    async def _read_on(self) -> None:
        """Read while a handler is suspended, until the owner's task can take over again."""
        try:
            while not self.gone:
                while len(self.inbox) >= MAX_INBOX:
                    self._check_flood()
                    self._space.clear()
                    await self._space.wait()
                self._event(await self._receive())
                self._arrival.set()
                if not self._busy:
                    break
        except Exception as error:  # noqa: BLE001 as above
            self._fail(error)
            self._arrival.set()
        finally:
            self._task = None
        if self.gone:
            self._lost()

    def _fail(self, error: Exception) -> None:
        self.broken = error
        self._end({"type": "websocket.disconnect", "code": codes.ABNORMAL})

    def _end(self, event: MutableMapping[str, Any]) -> None:
        self.disconnect = event
        self.gone = True

    def _event(self, event: MutableMapping[str, Any]) -> None:
        """Put the messages of a frame into the inbox, or what is wrong with it."""
        if event["type"] != "websocket.receive":
            self._end(event)
            return
        frame = event.get("text")
        if frame is None:
            frame = event.get("bytes") or b""
        # No character has more than four bytes, and most frames are small.
        if len(frame) * 4 > self._max_frame and _size(frame) > self._max_frame:
            self._connection.stop(codes.TOO_BIG, codes.REASONS[codes.TOO_BIG])
            return
        # A codec and the validators of a model are the application's too, and may raise anything.
        try:
            bodies = self._bodies(frame)
        except Exception as error:  # noqa: BLE001
            self._put_broken(frame, error, getattr(error, "id", None))
            return
        for body in bodies:
            try:
                message, request = self._decode(body)
            except RemoteProtocolError as error:
                self._put_broken(body, error, error.id)
            except Exception as error:  # noqa: BLE001
                self._put_broken(body, error, read_id(body, self._id_name))
            else:
                if type(message) is self._cancel_type:
                    self._cancel(message.ref, request)  # type: ignore[attr-defined]
                    continue
                item = Handling(self._connection, request, body, message)
                if not self._takers or not self._taken(item):
                    self.inbox.append(item)

    def _put_broken(self, body: str | bytes, error: Exception, id: Ref | None) -> None:
        self.inbox.append(Handling(self._connection, Request(id), body, error=error))

    def _taken(self, item: Handling) -> bool:
        """Give a message to who waits for it out of the order."""
        for taker, types in self._takers.items():
            if not taker.done() and isinstance(item.message, types):
                taker.set_result(item)
                return True
        return False

    def _check_flood(self) -> None:
        """Who is asked for one message, and sends as many others as may wait, will never be heard."""
        if len(self.inbox) >= MAX_INBOX and self._takers:
            self._connection.stop(codes.BAD_REQUEST, codes.REASONS[codes.BAD_REQUEST])


def _size(frame: str | bytes) -> int:
    # Some servers let surrogates pass, which the codec refuses.
    return len(frame.encode(errors="surrogatepass") if isinstance(frame, str) else frame)
