"""The chat as people run it: a process of its own, by ``protocol run``."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chat.people import SECRET

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds to wait for what must come."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


class Server:
    """One port, and a process that serves it as often as it is started."""

    def __init__(self, *, port: int | None = None, **settings: Any) -> None:
        self.port = free_port() if port is None else port
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/ws"
        self.log = ""
        self._settings = {"secret": SECRET, **settings}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and return as soon as connections are accepted."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        environment["PORT"] = "1"  # what is left from elsewhere must not count
        environment |= {f"CHAT_{name.upper()}": str(value) for name, value in self._settings.items()}
        command = [sys.executable, "-m", "protocol", "run", "examples.chat.app:app", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, ready), daemon=True)
        self._reader.start()
        assert ready.wait(PATIENCE), self.log
        assert self._process.poll() is None, self.log

    def stop(self, by: int = signal.SIGTERM) -> None:
        """Stop, and return when the process has ended and its log is whole."""
        assert self._process is not None
        self._process.send_signal(by)
        self._process.wait(PATIENCE)
        self._reader.join()

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log += line
                if "Uvicorn running on" in line:
                    ready.set()
        ready.set()  # It has ended, and its log says why.


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A server that runs."""
    server = Server(**settings)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
