"""An application behind a real socket, in a thread of this process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from protocol.types import ASGIApp
from tests.process import PATIENCE


class Server(uvicorn.Server):
    """uvicorn on a free port, which leaves the logging of the process as it is."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(uvicorn.Config(app, **{"port": 0, "log_config": None, "loop": "asyncio"} | options))
        self.started_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_up.set()

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[Server]:
    """A server that accepts connections, for as long as the context."""
    server = Server(app, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.started_up.wait(PATIENCE)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()
