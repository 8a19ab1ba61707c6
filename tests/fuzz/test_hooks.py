"""The functions that say who a client is, and what it says first, where they are wrong; and servers that exit."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import headers_of
from protocol.fuzzing.checks import selected
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.simulated import local
from protocol.testing.steps import Connect, Send, opened
from tests.fuzz import plain


def fails(client: int) -> Any:
    raise RuntimeError("the token service is down")


async def comes_later(client: int) -> Any: ...


def says_nothing(client: int) -> Any: ...


def says_many(client: int) -> Any:
    return ["a"]


@pytest.mark.parametrize(
    "hook, complaint",
    [
        (fails, "{} failed for client 3: RuntimeError('the token service is down')"),
        (comes_later, "{} is a coroutine function: give a function that returns {}."),
        (says_nothing, "{} has to return {}, and returned None for client 3."),
        (says_many, "{} has to return {}, and returned ['a'] for client 3."),
    ],
)
def test_a_wrong_hook_is_no_failure_of_the_server(hook: Callable[[int], Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as failed:
        headers_of(hook)(3)
    assert str(failed.value) == complaint.format("login", "a token, or the headers of a handshake")
    with pytest.raises(ConfigurationError) as failed:
        opened([Connect(1)], hook, 2)
    assert str(failed.value) == complaint.format("opening", "a message, as a dict")


def test_a_handler_that_exits_does_not_end_the_fuzzer() -> None:
    document = plain.document({"quit": ({}, ())}, {})

    def create_app() -> FastAPI:
        app = FastAPI()

        @app.websocket("/ws")
        async def serve(websocket: WebSocket) -> None:
            async with plain.Peer(websocket, document) as peer:
                if await peer.receive() is not None:
                    raise SystemExit(3)

        return app

    arena = local(create_app, Contract.of_document(document), measured=False)
    failure = Fuzzer(arena, selected()).check((Connect(0), Send(0, '{"type":"quit","id":1}')))
    assert failure is not None
    assert failure.check.code == "server_error"
    assert "SystemExit(3) ends the server" in failure.finding.detail
