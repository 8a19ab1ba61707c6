"""A server's wire in memory, so that what is written past ASGI ``send`` can be tested without sockets."""

from collections.abc import Callable

from protocol.types import Peer, Send


class MemoryWire:
    """The :class:`protocol.types.Wire` of a test client.

    ``take`` gets the payload of every frame, ``reset`` is called for an abort. While it is paused, nothing is
    taken, and the peer is told so.
    """

    def __init__(self, send: Send, take: Callable[[str | bytes], None], reset: Callable[[], None]) -> None:
        self.send = send
        self._take = take
        self._reset = reset
        self._peer: Peer | None = None
        self._written = bytearray()
        self._paused = False

    def attach(self, peer: Peer) -> None:
        self._peer = peer
        if self._paused:
            peer.pause()

    def write(self, frames: bytes) -> None:
        self._written += frames
        self._deliver()

    def backlog(self) -> int:
        return len(self._written)

    def abort(self) -> None:
        self._written.clear()
        self._reset()

    def flush(self) -> None:
        """The server is about to write a frame of its own."""
        if self._peer is not None:
            self._peer.flush()

    def pause(self) -> None:
        """The client stops reading."""
        self._paused = True
        if self._peer is not None:
            self._peer.pause()

    def resume(self) -> None:
        """The client reads again."""
        if self._paused:
            self._paused = False
            self._deliver()
            if self._peer is not None:
                self._peer.resume()

    def _deliver(self) -> None:
        while self._written and not self._paused:
            opcode, size = self._written[0] & 15, self._written[1]
            start = {126: 4, 127: 10}.get(size, 2)
            if start > 2:
                size = int.from_bytes(self._written[2:start])
            payload = bytes(self._written[start : start + size])
            del self._written[: start + size]
            self._take(payload.decode() if opcode == 1 else payload)
