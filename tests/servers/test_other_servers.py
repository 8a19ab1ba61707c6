"""One suite over every ASGI server: what each can do, and, marked as a failure that is expected, what it cannot.

What is marked here stands in ``docs/serving.md`` too.
"""

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.process import PATIENCE, Process, free_port, serving

TARGET = "tests.faults.application:hasty"
SERVERS = {
    "protocol": ["-m", "protocol", "run", TARGET, "--grace", "2", "--port"],
    "uvicorn": ["-m", "uvicorn", TARGET, "--timeout-graceful-shutdown", "2", "--port"],
    "hypercorn": ["-m", "hypercorn", TARGET, "--graceful-timeout", "2", "--bind"],
    "granian": ["-m", "granian", TARGET, "--interface", "asgi", "--workers-kill-timeout", "2", "--port"],
    "daphne": ["-m", "daphne", TARGET, "--port"],
}
"""How to run each; the port, or the address, comes last."""


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def started(name: str) -> Any:
    port = free_port()
    return serving([*SERVERS[name], f"127.0.0.1:{port}" if name == "hypercorn" else str(port)], port)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Process]:
    with started(name) as process:
        yield process
        process.stop()
        assert "Traceback" not in process.log


@pytest.fixture
def cannot(request: pytest.FixtureRequest, name: str) -> None:
    """Expect the test to fail on the servers that its mark ``cannot`` names, for the reason that it gives."""


class Client:
    """A client; what comes is kept until it is asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
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
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                self.seen.append(json.loads(self.socket.recv(PATIENCE)))
        close = caught.value.rcvd
        return (1006, "") if close is None else (close.code, close.reason)
