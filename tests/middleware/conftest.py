"""A real server for the tests that need one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from protocol.types import ASGIApp
from tests.threads import serving

Serve = Callable[[ASGIApp], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run an application on a free port in a thread; returns its ``ws://`` address."""
    with ExitStack() as servers:

        def start(app: ASGIApp) -> str:
            server = servers.enter_context(serving(app, ws="websockets-sansio", lifespan="off"))
            return f"ws://127.0.0.1:{server.port}"

        yield start
