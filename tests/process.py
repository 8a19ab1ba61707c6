"""A server in a process of its own: its log, its memory and its end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PATIENCE: Final = 20.0
"""Seconds to wait for what must come."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


class Process:
    """A command of Python that serves on ``port`` until it is stopped."""

    def __init__(
        self,
        arguments: Sequence[str],
        port: int,
        *,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.log = ""
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_it_accepts(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                break
            time.sleep(0.02)  # what each server logs, and whether it is true, is its own

    def ask_to_stop(self, by: int = signal.SIGTERM) -> None:
        self._process.send_signal(by)

    def ended_within(self, seconds: float) -> bool:
        """Whether it has ended by then; its log is whole afterwards."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join()
        return True

    def kill(self) -> None:
        """End it with all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()

    def resident(self, field: str = "VmRSS") -> int:
        """Bytes in memory; with ``VmHWM``, the most there ever were. Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) * 1024

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.log += line


@contextmanager
def serving(
    arguments: Sequence[str],
    port: int,
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """A process that accepts connections, for as long as the context."""
    process = Process(arguments, port, folder=folder, environment=environment)
    try:
        process.wait_until_it_accepts()
        yield process
    finally:
        process.kill()
