import asyncio
import logging
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware

from protocol.middleware import LoggingMiddleware, OriginMiddleware
from protocol.middleware.logging import escaped
from protocol.types import OBSERVERS, Receive, Scope, Send, User
from tests.middleware.peer import Peer, assert_others_pass


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "protocol.access")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines, without what differs from run to run."""
    found = [record for record in caplog.records if record.name == "protocol.access"]
    return [record.getMessage().replace(f"connection={vars(record)['connection']} ", "") for record in found]


def fields(caplog: pytest.LogCaptureFixture, *names: str) -> dict[str, Any]:
    """Attributes of the last record."""
    return {name: getattr(caplog.records[-1], name) for name in names}


def create_app(**options: object) -> FastAPI:
    app = FastAPI(middleware=[Middleware(LoggingMiddleware, **options)])  # type: ignore[arg-type]

    @app.websocket("/ws/{name}")
    async def echo(websocket: WebSocket, name: str) -> None:
        websocket.scope["user"] = User(name)
        await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
        async for text in websocket.iter_text():
            match text.split():
                case ["close", code, *reason]:
                    await websocket.close(int(code), " ".join(reason))
                    return
                case ["return"]:
                    return
                case ["crash"]:
                    raise RuntimeError
                case ["sleep", seconds]:
                    await asyncio.sleep(float(seconds))
                case _:
                    await websocket.send_bytes(b"echo")

    return app


async def test_a_connection_is_three_lines(caplog: pytest.LogCaptureFixture) -> None:
    async with Peer(create_app(), "/ws/alice", subprotocols=["v2"], query="token=secret") as peer:
        assert await peer.handshake() == 101
        peer.send("hello")
        assert (await peer.next())["bytes"] == b"echo"
        peer.send("sleep 12.5")
        peer.send("close 4001 enough said")
        assert await peer.close() == (4001, "enough said")
    known = 'client="192.0.2.1" path="/ws/alice"'
    assert lines(caplog) == [
        f"attempt {known}",
        f'accepted {known} user="alice" subprotocol="v2"',
        f'closed {known} user="alice" code=4001 reason="enough said" by="server" seconds=12.5 received=text:3 sent=binary:1',
    ]


async def test_every_record_is_structured(caplog: pytest.LogCaptureFixture) -> None:
    async with Peer(create_app(), "/ws/alice") as peer:
        assert await peer.handshake() == 101
        peer.leave(1001, "tab closed")
        await peer.next()
    attempt, accepted, closed = (vars(record) for record in caplog.records)
    assert attempt["connection"] == accepted["connection"] == closed["connection"]
    assert (attempt["event"], accepted["event"], closed["event"]) == ("attempt", "accepted", "closed")
    assert (attempt["user"], accepted["user"], accepted["subprotocol"]) == (None, "alice", None)
    assert fields(
        caplog, "client", "path", "code", "reason", "by", "received", "sent", "errors", "dropped"
    ) == {
        "client": "192.0.2.1",
        "path": "/ws/alice",
        "code": 1001,
        "reason": "tab closed",
        "by": "peer",
        "received": {},
        "sent": {},
        "errors": {},
        "dropped": {},
    }


@pytest.mark.parametrize("command", ["return", "crash"])
async def test_an_endpoint_that_ends_without_a_close_is_1006(
    command: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(create_app(), "/ws/alice")
    try:
        async with peer:
            assert await peer.handshake() == 101
            peer.send(command)
            await peer.next()
    except RuntimeError:
        assert command == "crash"
    assert fields(caplog, "event", "code") == {"event": "closed", "code": 1006}


async def test_a_refusal_is_a_warning_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    app = LoggingMiddleware(OriginMiddleware(create_app(), origins=[]))
    async with Peer(app, "/ws/alice", headers=[("origin", "https://evil.example")]) as peer:
        assert await peer.handshake() == 403
    assert lines(caplog) == [
        'attempt client="192.0.2.1" path="/ws/alice"',
        'refused client="192.0.2.1" path="/ws/alice" status=403',
    ]
    assert caplog.records[-1].levelno == logging.WARNING


async def test_a_refusal_by_close_is_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    app = LoggingMiddleware(OriginMiddleware(create_app(), origins=[], refuse="close"))
    async with Peer(app, "/ws/alice", headers=[("origin", "https://evil.example")]) as peer:
        assert await peer.handshake() == 101
    assert [record.__dict__["event"] for record in caplog.records] == ["attempt", "refused"]
    assert fields(caplog, "status") == {"status": 403}


async def test_a_close_before_accept_is_403(caplog: pytest.LogCaptureFixture) -> None:
    async with Peer(create_app(), "/nowhere", extensions=()) as peer:
        assert await peer.handshake() == 403
    assert fields(caplog, "event", "status") == {"event": "refused", "status": 403}


async def test_an_application_that_does_not_answer_is_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async with Peer(LoggingMiddleware(app)):
        pass
    assert fields(caplog, "event", "status") == {"event": "refused", "status": 500}


async def test_a_client_that_leaves_before_the_answer_abandoned_it(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with Peer(LoggingMiddleware(app)):
        pass
    assert fields(caplog, "event") == {"event": "abandoned"}


async def test_a_protocol_reports_types_and_the_frames_themselves_are_not_counted_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        (observer,) = scope[OBSERVERS]
        await receive()
        await send({"type": "websocket.accept"})
        observer.attached(int)
        await receive()
        observer.message_received("say")
        await send({"type": "websocket.send", "text": "{}"})
        observer.frames_sent("ack", 1, 2)
        observer.message_handled("say", "ok", 0.1)
        observer.message_received("say")
        observer.message_handled("say", "rate_limited", 0.1)
        observer.frame_refused("malformed_frame")
        observer.frames_sent("tick", 3, 10)
        observer.frames_dropped("tick", 2)
        observer.closed_slow()

    async with Peer(LoggingMiddleware(app)) as peer:
        assert await peer.handshake() == 101
        peer.send("{}")
        assert await peer.text() == "{}"
    assert fields(caplog, "received", "sent", "errors", "dropped", "code", "reason", "by") == {
        "received": {"say": 2},
        "sent": {"ack": 1, "tick": 3},
        "errors": {"rate_limited": 1, "malformed_frame": 1},
        "dropped": {"tick": 2},
        "code": 3008,
        "reason": "slow consumer",
        "by": "server",
    }


async def test_names_and_reasons_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    forged = 'x\nclosed client="10.0.0.1"\r\x1b[2J\u2028\u202e\\ \ud800'
    async with Peer(create_app(), "/ws/" + forged) as peer:
        assert await peer.handshake() == 101
        peer.leave(4000, forged)
        await peer.next()
    shown = r"x\nclosed client=\"10.0.0.1\"\r\x1b[2J\u2028\u202e\\ \ud800"
    assert fields(caplog, "reason", "user", "path") == {
        "reason": shown,
        "user": shown,
        "path": f"/ws/{shown}",
    }
    for line in lines(caplog):
        assert line.isprintable()


def test_long_names_are_shortened_and_other_scripts_stay_readable() -> None:
    assert escaped("愛麗絲 é") == "愛麗絲 é"
    assert escaped("a" * 200) == "a" * 200
    assert escaped("a" * 201) == "a" * 199 + "…"


async def test_the_address_behind_trusted_proxies_is_the_clients(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(trusted_proxies=["192.0.2.1"])
    async with Peer(app, "/ws/alice", headers=[("x-forwarded-for", "6.6.6.6, 198.51.100.7")]) as peer:
        assert await peer.handshake() == 101
    assert fields(caplog, "client") == {"client": "198.51.100.7"}
    async with Peer(app, "/ws/alice", client=None) as peer:
        assert await peer.handshake() == 101
    assert fields(caplog, "client") == {"client": "unknown"}


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(LoggingMiddleware)
