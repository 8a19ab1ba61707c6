"""The HTTP class for uvicorn: a time and a size for the head of a request.

uvicorn's own classes wait for ever, and its ``httptools`` one stores any amount. The WebSocket class, which takes
over after the head, gets what is left of the time.
"""

import asyncio
from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from protocol.servers.uvicorn import WebSocketProtocol, half_close

__all__ = ["HTTPProtocol", "HeadLimits"]


class HeadLimits(asyncio.Protocol):
    """Mixed into one of uvicorn's HTTP classes, before it."""

    handshake_timeout = 10.0
    """Seconds from the connection, or the first byte of a later request on it, until the head is here, or for a
    WebSocket until the handshake is answered."""
    max_head = 16 * 1024
    """Bytes of a head that is not complete; more than that is answered with 431."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    cycle: Any

    _timer: TimerHandle | None = None
    _head = 0
    _refused = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._between_requests():
            if self._timer is None:
                self._await_head()
            self._head += len(data)
        super().data_received(data)
        if not self._between_requests():
            self._forget_head()
        elif self._head > self.max_head:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        deadline = self._timer.when() if self._timer is not None else None
        self._forget_head()
        super().handle_websocket_upgrade(*event)  # type: ignore[misc]
        successor = self.transport.get_protocol()
        if deadline is not None and isinstance(successor, WebSocketProtocol):
            successor.answer_by(deadline)

    def send_400_response(self, msg: str) -> None:
        # What h11 calls an error above its own limit, the same by default.
        if self._head > self.max_head:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            super().send_400_response(msg)  # type: ignore[misc]

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.handshake_timeout, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _forget_head(self) -> None:
        self._head = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        self.transport.write(head.encode())
        half_close(self.transport)
        self._forget_head()
        self._timer = self.loop.call_later(self.handshake_timeout, self.transport.abort)


# The one that `http="auto"` picks; uvicorn chooses it at run time.
class HTTPProtocol(HeadLimits, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP class with :class:`HeadLimits`."""
