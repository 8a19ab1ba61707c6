"""Watching one connection from outside: how its handshake ended, what passed, how it closed.

What is made of it, a log line or a number, is up to the subclasses, which implement the rest of
:class:`protocol.types.Observer` too.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from protocol import codes
from protocol.middleware.refusal import REFUSED
from protocol.types import OBSERVERS, ASGIApp, Observer, Receive, Scope, Send, passes


class Watch(Observer):
    """One connection. Changes nothing, so that a server may write frames past it.

    A frame is counted once: by what the protocol reports where one is attached, for only that knows the type,
    and that some frames are written directly; otherwise as it passes, as a message of the type ``text`` or
    ``binary``.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._attached = False
        self._accepted_at: float | None = None
        self._refused = False
        self._close: tuple[int, str] | None = None
        self._by_peer = True

    def accepted(self, subprotocol: str | None) -> None:
        """The handshake succeeded."""

    def refused(self, status: int) -> None:
        """The handshake was refused, with this HTTP status or, for ``refuse="close"``, in its place."""

    def abandoned(self) -> None:
        """The client left before its handshake was answered."""

    def closed(self, code: int, reason: str, seconds: float, *, by_peer: bool) -> None:
        """An accepted connection ended, ``seconds`` after it was accepted.

        Without a close frame ``code`` is 1006, or what the server made of it; of a peer that was too slow 3008.
        ``by_peer``: this side sent no close frame.
        """

    def attached(self, waiting: Callable[[], int]) -> None:
        self._attached = True

    def closed_slow(self) -> None:
        self._close, self._by_peer = (codes.SLOW, codes.REASONS[codes.SLOW]), False

    async def follow(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        """Run the connection."""
        self.scope.setdefault(OBSERVERS, []).append(self)

        async def watched_receive() -> MutableMapping[str, Any]:
            message = await receive()
            self._saw_inbound(message)
            return message

        async def watched_send(message: MutableMapping[str, Any]) -> None:
            await send(message)
            self._saw_outbound(message)

        try:
            await app(self.scope, watched_receive, passes(watched_send, send))
        finally:
            self._ended()

    def _saw_inbound(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.receive" if not self._attached:
                self.message_received(_kind_and_size(message)[0])
            case "websocket.disconnect" if self._close is None:
                self._close = message.get("code", codes.NO_STATUS), message.get("reason") or ""

    def _saw_outbound(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.send" if not self._attached:
                kind, size = _kind_and_size(message)
                self.frames_sent(kind, 1, size)
            case "websocket.accept" if REFUSED not in self.scope:
                self._accepted_at = asyncio.get_running_loop().time()
                self.accepted(message.get("subprotocol"))
            case "websocket.accept":
                self._refuse(self.scope[REFUSED])
            case "websocket.close" if self._accepted_at is None:
                self._refuse(self.scope.get(REFUSED, 403))
            case "websocket.close" if self._close is None:
                self._close = message.get("code", codes.NORMAL), message.get("reason") or ""
                self._by_peer = False
            case "websocket.http.response.start":
                self._refuse(message["status"])

    def _refuse(self, status: int) -> None:
        if not self._refused:
            self._refused = True
            self.refused(status)

    def _ended(self) -> None:
        if self._accepted_at is not None:
            code, reason = self._close or (codes.ABNORMAL, "")
            seconds = asyncio.get_running_loop().time() - self._accepted_at
            self.closed(code, reason, seconds, by_peer=self._by_peer)
        elif self._refused:
            pass
        elif self._close is not None:
            self.abandoned()
        else:
            self.refused(500)  # What servers answer for an application that did not.


def _kind_and_size(message: MutableMapping[str, Any]) -> tuple[str, int]:
    text: str | None = message.get("text")
    if text is not None:
        return "text", len(text.encode())
    return "binary", len(message.get("bytes") or b"")
