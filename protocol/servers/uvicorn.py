"""The WebSocket class for uvicorn: what its own one lacks for a connection that lives long and is not trusted.

Small texts are read in place, and reading pauses by the batch; frames that are built already go straight to the
transport (:class:`protocol.types.Wire`); a peer that does not read, answer or come to an end is reset in time; every
close has a code that is meant, none of them 1011; a shutdown tells clients when to come back. It is one long class
because uvicorn's, which it extends, is one state machine.

How long a client may take before this class exists is bounded in :mod:`protocol.servers.http`; how frames are told
apart stands in :mod:`protocol.servers.framing`.

    uvicorn app:app --ws protocol.servers.uvicorn:WebSocketProtocol --http protocol.servers.http:HTTPProtocol
"""

import asyncio
import os
import random
import socket
import struct
from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from collections.abc import MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.protocol import State

from protocol.codes import ABNORMAL, INVALID_UTF8, NORMAL, REASONS, SHUTDOWN, TOO_BIG
from protocol.servers.framing import MAX_TEXT, FrameCutter, read_texts
from protocol.servers.inbox import Inbox
from protocol.types import WIRE, Peer

__all__ = ["WebSocketProtocol", "half_close"]

_RESET: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

_POLL: Final = 0.25
"""Seconds before the end of the grace time; uvicorn looks only every 0.1 s whether connections and tasks are gone."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection: the server's side of ASGI, and the :class:`protocol.types.Wire` that it offers.

    The attributes are limits; a subclass sets others. What uvicorn configures itself is taken from there: message
    size, compression, the keepalive and the grace time of a shutdown.
    """

    max_messages = 256
    """Messages received and not taken by the application, before reading pauses."""
    max_inbox = 1 << 18
    """Characters of text, or bytes, of such messages."""
    max_fragments = 1024
    """Frames per message, empty ones included."""
    max_burst = 256
    """Frames that the library parses for one connection before others get their turn."""
    handshake_timeout = 10.0
    """Seconds from the request, or what :meth:`answer_by` says, until the application has answered it."""
    write_timeout = 10.0
    """Seconds that ``send`` waits for a peer that reads nothing."""
    closing_timeout = 10.0
    """Seconds that a peer has from our last word until the connection is gone."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.queue: Inbox = Inbox(max_messages=self.max_messages, max_size=self.max_inbox)  # type: ignore[assignment]
        # One object for good: the framework recognises the server's own `send` by identity.
        self.send = self.send  # type: ignore[method-assign]
        self.peer: Peer | None = None
        self._frames_in = FrameCutter()
        self._max_text = min(config.ws_max_size, MAX_TEXT)
        self._unread = b""
        self._late_pong = b""

    # The handshake

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._handshake_timer = self._refuse_at(self.loop.time() + self.handshake_timeout)

    def answer_by(self, when: float) -> None:
        """Refuse the handshake with 503 at the loop's time ``when``, unless it has been answered by then."""
        self._handshake_timer.cancel()
        self._handshake_timer = self._refuse_at(when)

    def _refuse_at(self, when: float) -> TimerHandle:
        return self.loop.call_at(when, self._refuse, HTTPStatus.SERVICE_UNAVAILABLE)

    def _read_handshake(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()
        if not self.handshake_initiated:
            # The library has an answer to oversized heads, none to a request that it cannot read.
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or self.conn.reject(HTTPStatus.BAD_REQUEST, "").serialize())
            self._end()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a handshake that is still open; nothing happens to one that is answered."""
        if self.close_sent or self.conn.state is not State.CONNECTING:
            return
        self.conn.send_response(self.conn.reject(status, ""))
        self.queue.put_nowait(_disconnect(ABNORMAL))
        self._end()

    async def run_asgi(self) -> None:
        self.scope["extensions"][WIRE] = self  # type: ignore[assignment]
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except asyncio.CancelledError:
            # The server says itself that its grace time is over.
            self.abort()
            raise
        except Exception:
            self.logger.exception("Exception in ASGI application\n")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            if not self._over():
                # Without a close frame, which would need the code 1011: the client sees 1006, and reconnects.
                self._end()
        else:
            if self._over():
                pass
            elif self.conn.state is State.OPEN:
                self._close(NORMAL, "")
            else:
                self.logger.error("ASGI callable returned without completing handshake.")
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)

    # Reading

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._read_handshake(data)
        elif self.conn.eof_sent:
            pass  # RFC 6455, section 7.1.7: nothing is read after a failure
        elif self.read_paused or self.conn.state is State.CONNECTING:
            self._pause_reading(self._unread + data)
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Take frames out of ``data`` as far as the bounds allow; where they end, keep the rest."""
        offset = 0
        burst = self.max_burst
        while offset < len(data) and not self.conn.eof_sent:
            if not burst:
                self._pause_reading(data[offset:])
                self.loop.call_soon(self._resume_reading)
                break
            if self.queue.full and not self.close_sent:
                self._pause_reading(data[offset:])
                break
            if self._frames_in.between_frames and self.conn.current_size is None and not self.close_sent:
                texts, offset = read_texts(data, offset, max_size=self._max_text, count=self.queue.room)
                if texts:
                    self.queue.put_texts(texts)
                    continue
            # Anything else goes to the library: one frame at a time, to know when it is done with it.
            stop = self._frames_in.cut(data, offset)
            self.conn.receive_data(data[offset:stop])
            offset = stop
            burst -= 1
            if self.conn.parser_exc is not None:
                self.handle_parser_exception()
            else:
                self.handle_events()
        self._answer_pings()

    def _pause_reading(self, unread: bytes) -> None:
        self._unread = unread
        self.read_paused = True
        self.transport.pause_reading()

    def _resume_reading(self) -> None:
        """Go on with what is here already, then with the network, unless a bound is still reached."""
        if not self.read_paused or self.disconnected or self.conn.state is State.CONNECTING:
            return
        if self.queue.full and not self.close_sent:
            return
        self.read_paused = False
        unread, self._unread = self._unread, b""
        if self.pong_timer is not None:
            # The pong may stand behind what we did not read.
            self._start_pong_timer()
        self._read(unread)
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) == self.max_fragments:
            self._fail(TOO_BIG, f"more than {self.max_fragments} fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        data = b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
            return
        try:
            self.queue.put_texts([data.decode()])
        except UnicodeDecodeError:
            self._fail(INVALID_UTF8, REASONS[INVALID_UTF8])

    async def receive(self) -> ASGIReceiveEvent:
        """The next event, without suspending while there is one; after the disconnect always that."""
        event = await self.queue.get()
        if self.read_paused and self.queue.empty:
            # Not at once: an application that never suspends would hold up the others.
            self.loop.call_soon(self._resume_reading)
        return cast(ASGIReceiveEvent, event)

    # Writing

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]
        """Write behind what the peer has queued. Raises uvicorn's ``ClientDisconnected`` after any close."""
        if self._over():
            raise ClientDisconnected
        if self.conn.state is State.CONNECTING:
            await super().send(cast(ASGISendEvent, message))
            if self.close_sent:
                self._end()
            self._resume_reading()
        elif message["type"] == "websocket.send":
            await self._until_writable()
            if (data := message.get("bytes")) is not None:
                self.conn.send_binary(data)
            elif (text := message.get("text")) is not None:
                self.conn.send_text(text.encode())
            self._emit()
        elif message["type"] == "websocket.close":
            # Not when the peer reads on: within `closing_timeout` it is gone.
            self._close(message.get("code", NORMAL), message.get("reason") or "")
        else:
            raise RuntimeError(
                f"Expected ASGI message 'websocket.send' or 'websocket.close', but got '{message['type']}'."
            )

    async def _until_writable(self) -> None:
        while not self.writable.is_set():
            backlog = self.backlog()
            try:
                async with asyncio.timeout(self.write_timeout):
                    await self.writable.wait()
            except TimeoutError:
                if self.backlog() >= backlog:
                    self._reset("it does not read")
        if self._over():
            raise ClientDisconnected

    def _emit(self) -> None:
        """Write what the library has to say, behind what the peer has queued."""
        if self.peer is not None:
            self.peer.flush()
        self.transport.write(b"".join(self.conn.data_to_send()))

    def attach(self, peer: Peer) -> None:
        """See :meth:`protocol.types.Wire.attach`."""
        self.peer = peer
        if not self.writable.is_set():
            peer.pause()

    def write(self, frames: bytes) -> None:
        """See :meth:`protocol.types.Wire.write`."""
        if not self.close_sent:
            self.transport.write(frames)

    def backlog(self) -> int:
        """See :meth:`protocol.types.Wire.backlog`."""
        return self.transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.peer is not None:
            self.peer.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        late_pong, self._late_pong = self._late_pong, b""
        self.write(late_pong)
        if self.peer is not None:
            self.peer.resume()

    # Keepalive

    def handle_ping(self) -> None:
        """Pings are answered at the end of a burst."""

    def _answer_pings(self) -> None:
        pongs = self.conn.data_to_send()
        if not pongs:
            return
        if self.writable.is_set():
            self.write(b"".join(pongs))
        else:
            # RFC 6455, section 5.5.3: the last one is enough; a peer that pings and does not read costs nothing.
            self._late_pong = pongs[-1]

    def _start_pong_timer(self) -> None:
        assert self.ping_timeout is not None
        if self.pong_timer is not None:
            self.pong_timer.cancel()
        self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)

    def keepalive_timeout(self) -> None:
        if self.read_paused:
            self._start_pong_timer()
        else:
            # A close frame would not reach this peer, and its code would be 1011.
            self._reset("it does not answer pings")

    # The end

    def _over(self) -> bool:
        """Whether a close was sent, or the transport has failed and will say so in the loop's next turn."""
        return self.close_sent or self.transport.is_closing()

    def handle_close(self, event: Frame) -> None:
        assert self.conn.close_rcvd is not None
        self.queue.put_nowait(_disconnect(self.conn.close_rcvd.code, self.conn.close_rcvd.reason))
        self._end()

    def handle_parser_exception(self) -> None:
        """The library has failed the connection: pass its close frame on, and read no more."""
        close = self.conn.close_sent
        self.queue.put_nowait(_disconnect(close.code, close.reason) if close else _disconnect(ABNORMAL))
        self._emit()
        self.close_sent = True
        # A peer in the middle of a large message would lose the close frame to a reset.
        half_close(self.transport)
        self._reset_within(self.closing_timeout)

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""
        self.conn.send_close(code, reason)
        self.queue.put_nowait(_disconnect(code, reason))
        self._emit()
        self.close_sent = True
        self._reset_within(self.closing_timeout)
        self._resume_reading()

    def _end(self) -> None:
        """Close the connection as soon as the peer has taken what is written."""
        if not self.close_sent:
            self._emit()
            self.close_sent = True
        self.transport.close()
        self._reset_within(self.closing_timeout)

    def abort(self) -> None:
        """See :meth:`protocol.types.Wire.abort`."""
        # Later the number of the socket may be another connection's.
        if not self.disconnected:
            self.close_sent = True
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _reset(self, why: str) -> None:
        if not self.disconnected:
            self.logger.info("%s - WebSocket reset: %s", ":".join(map(str, self.client or ())), why)
            self.abort()

    def _reset_within(self, seconds: float) -> None:
        if self.disconnected:
            return
        when = self.loop.time() + seconds
        if self.close_timer is not None:
            if self.close_timer.when() <= when:
                return
            self.close_timer.cancel()
        self.close_timer = self.loop.call_at(when, self._reset, "it does not come to an end")

    def shutdown(self) -> None:
        """Ask the client to come back, spread over two seconds; at the end of the grace time reset it."""
        grace = self.config.timeout_graceful_shutdown
        if grace is not None:
            self._reset_within(max(0.0, grace - _POLL))
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        if self.close_sent:
            return
        advice = f'{{"reconnect_after":{random.uniform(0, 2):.2f}}}'  # noqa: S311 it only spreads load
        if self.peer is not None:
            self.peer.drain(SHUTDOWN, advice)
        else:
            self._close(SHUTDOWN, advice)

    def eof_received(self) -> None:
        self.queue.put_nowait(_disconnect(ABNORMAL))
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshake_timer.cancel()
        self.close_sent = True
        self.queue.put_nowait(_disconnect(ABNORMAL))
        self._unread = b""
        self.peer = None
        super().connection_lost(exc)


def half_close(transport: asyncio.Transport) -> None:
    """Say no more, but keep reading, where the transport can (TLS cannot): the peer gets our last words."""
    with suppress(OSError):  # the peer was faster
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()


def _disconnect(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}
