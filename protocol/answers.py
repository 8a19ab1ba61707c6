"""The answers of one connection: one for each message with an ``id``, and one for each bad frame.

Which message is handled when is the dispatcher's matter.
"""

import asyncio
import logging

from starlette.exceptions import WebSocketException

from protocol import codes
from protocol.connection import Connection, Handling
from protocol.exceptions import (
    Cancelled,
    Disconnect,
    LocalProtocolError,
    RemoteProtocolError,
    checked_close,
)
from protocol.failures import failure_of
from protocol.limits import ToleranceMeter
from protocol.node import Node
from protocol.outbox import Frame
from protocol.owner import cause_of
from protocol.types import Request

logger = logging.getLogger("protocol")


class Answers:
    """Answers one connection, and counts the broken frames against its tolerance."""

    def __init__(self, connection: Connection, node: Node) -> None:
        self._connection = connection
        self._node = node
        self._pipeline = node.plan.pipeline
        self._meter = ToleranceMeter(node.plan.settings.tolerance)
        self.good = self._meter.good

    def cancelled(self, item: Handling) -> None:
        """Answer a message that the client has cancelled."""
        self.refuse(Cancelled("The message was cancelled."), item)

    async def failed(self, error: Exception, item: Handling) -> str:
        """Answer what went wrong with ``item``; returns the error code, or ``closed``."""
        ref = item.request.id
        if isinstance(error, RemoteProtocolError) and error.frame is None:
            error.frame, error.id = item.body or None, ref
        answered = False
        if not isinstance(error, Disconnect):
            try:
                answer = await self._node.hooks.failed(self._connection, error)
                answered = answer is not None and self._connection.reply(answer, ref)
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 an application's function
                error = cause_of(raised)
        if isinstance(error, Disconnect):
            self._connection.stop(error.code, error.reason)
            return "closed"
        if isinstance(error, WebSocketException) and not answered:
            self._connection.stop(*_close_of(error))
            return "closed"
        code = str(getattr(error, "code", codes.INTERNAL_ERROR)) if answered else self.refuse(error, item)
        if isinstance(error, RemoteProtocolError) and code in codes.BROKEN_FRAME:
            self._connection.tell(lambda observer: observer.frame_refused(code))
            if self._meter.broken(self._node.loop.time()):
                self._connection.stop(codes.TOO_MANY_ERRORS, codes.REASONS[codes.TOO_MANY_ERRORS])
        return code

    def refuse(self, error: Exception, item: Handling) -> str:
        failure = failure_of(error)
        if failure.error_id is not None:
            logger.error(
                "%s failed: error_id=%s connection=%s",
                self._named(item),
                failure.error_id,
                self._connection.id,
                exc_info=error,
                extra={"error_id": failure.error_id, "connection": self._connection.id},
            )
        self._put(self._pipeline.error(failure, item.request.id))
        return failure.code

    def acknowledge(self, request: Request, offset: int | None = None) -> None:
        if request.id is not None:
            self._put(self._pipeline.ack(request.id, offset))

    def _named(self, item: Handling) -> str:
        """What was under way, for the log; which function of it has failed, the traceback says."""
        if item.message is not None:
            return f"A message {self._pipeline.registry.inbound.tag(item.message)!r}"
        return "The reading of a frame" if item.body else "on_connect"

    def _put(self, frame: Frame | None) -> None:
        if frame is not None:
            self._connection.put(frame)


def _close_of(error: WebSocketException) -> tuple[int, str]:
    """The close that an application asks for, unless no such frame may be sent."""
    try:
        return checked_close(error.code, error.reason)
    except LocalProtocolError:
        return codes.BAD_REQUEST, codes.REASONS[codes.BAD_REQUEST]
