"""A client of a server in a process of its own, as a library sees it."""

import json
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.process import PATIENCE


class Client:
    """A connection; what comes is kept until it is asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self.socket = connection
        self.seen: list[dict[str, Any]] = []
        self._last = 0

    def send(self, **body: Any) -> None:
        self.socket.send(json.dumps(body))

    def request(self, **body: Any) -> dict[str, Any]:
        """The answer; what comes before it is in ``seen``."""
        self._last += 1
        self.send(**body, id=self._last)
        return self.expect(ref=self._last)

    def expect(self, **fields: Any) -> dict[str, Any]:
        """The first frame with these fields, of those that have come or will."""
        for frame in [*self.seen]:
            if fields.items() <= frame.items():
                self.seen.remove(frame)
                return frame
        while True:
            frame = json.loads(self.socket.recv(PATIENCE))
            if fields.items() <= frame.items():
                return dict(frame)
            self.seen.append(frame)

    def closed(self) -> tuple[int, str]:
        """Code and reason of the server's close, 1006 without one; frames before it are in ``seen``."""
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                self.seen.append(json.loads(self.socket.recv(PATIENCE)))
        close = caught.value.rcvd
        return (1006, "") if close is None else (close.code, close.reason)

    def reset(self) -> None:
        """End the connection as a cable does that is cut, and a host that comes back."""
        raw = self.socket.socket
        with self.socket.protocol_mutex, suppress(OSError):  # the server may have been faster
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Else the library's thread goes on reading, and the kernel keeps the connection.
            raw.shutdown(socket.SHUT_RD)
            raw.close()  # and the library says no goodbye


def refusal(url: str, **options: Any) -> int:
    """The HTTP status that refuses a handshake."""
    with pytest.raises(InvalidStatus) as caught, connect(url, compression=None, **options):
        pass
    return caught.value.response.status_code
