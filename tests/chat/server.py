"""The chat as people run it: a process of its own, by ``protocol run``."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.chat.people import SECRET
from tests.process import PATIENCE, Process, free_port


class Server:
    """One port, and a process that serves it as often as it is started."""

    def __init__(self, *, port: int | None = None, **settings: Any) -> None:
        self.port = free_port() if port is None else port
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/ws"
        self._settings = {"secret": SECRET, **settings}
        self._processes: list[Process] = []

    @property
    def log(self) -> str:
        """Of all its processes."""
        return "".join(process.log for process in self._processes)

    def start(self) -> None:
        """Start, and return as soon as connections are accepted."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        environment["PORT"] = "1"  # what is left from elsewhere must not count
        environment |= {f"CHAT_{name.upper()}": str(value) for name, value in self._settings.items()}
        arguments = ["-m", "protocol", "run", "examples.chat.app:app", "--port", str(self.port)]
        process = Process(arguments, self.port, environment=environment)
        self._processes.append(process)
        process.wait_until_it_accepts()

    def stop(self, by: int = signal.SIGTERM) -> None:
        """Stop, and return when the process has ended and its log is whole."""
        self._processes[-1].ask_to_stop(by)
        assert self._processes[-1].ended_within(PATIENCE)


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A server that runs."""
    server = Server(**settings)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
