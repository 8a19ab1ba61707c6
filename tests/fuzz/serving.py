"""An application behind a real socket, in a thread of this process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from protocol.cli.run import config


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve ``app`` as ``protocol run`` does; yields ``127.0.0.1:PORT``."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    options = {**config("", port=listening.getsockname()[1]), "app": app, "log_config": None}
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(
        uvicorn.Config(**{key: options[key] for key in options if key not in {"workers", "reload"}})
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert started.wait(10)
        yield "{}:{}".format(*listening.getsockname())
    finally:
        server.should_exit = True
        thread.join()
