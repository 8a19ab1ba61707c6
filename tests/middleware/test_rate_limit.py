import asyncio
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware

from protocol.limits import Rate
from protocol.middleware import RateLimitMiddleware
from protocol.types import Receive, Scope, Send, User
from tests.middleware.peer import Peer, assert_others_pass
from tests.misdeclared import refusal


def create_app(**options: object) -> FastAPI:
    app = FastAPI(middleware=[Middleware(RateLimitMiddleware, **options)])  # type: ignore[arg-type]

    @app.websocket("/ws")
    @app.websocket("/other/{name}")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"echo {text}")

    return app


async def test_a_frame_over_the_rate_is_answered_and_never_reaches_the_endpoint() -> None:
    async with Peer(create_app(rate=Rate(2, burst=3))) as peer:
        assert await peer.handshake() == 101
        for number in range(5):
            peer.send(str(number))
        # The answer comes from the middleware at once, the echo from the endpoint in its turn.
        answers = [await peer.text() for _ in range(5)]
        assert [a for a in answers if a.startswith("echo")] == ["echo 0", "echo 1", "echo 2"]
        refused = [json.loads(a) for a in answers if not a.startswith("echo")]
        assert refused == 2 * [
            {
                "type": "error",
                "code": "rate_limited",
                "detail": "Too many messages: try again in 0.5 s",
                "retryable": True,
                "retry_after": 0.5,
            }
        ]


async def test_whoever_waits_as_long_as_the_answer_says_gets_through() -> None:
    async with Peer(create_app(rate=Rate(1, burst=1))) as peer:
        assert await peer.handshake() == 101
        peer.send("a")
        assert await peer.text() == "echo a"
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.25))])
        peer.send("b")
        wait = json.loads(await peer.text())["retry_after"]
        assert wait == 0.75
        await asyncio.wait([asyncio.create_task(asyncio.sleep(wait))])
        peer.send("c")
        assert await peer.text() == "echo c"


async def test_a_reconnect_and_a_second_connection_reset_nothing() -> None:
    app = create_app(rate=Rate(1, burst=2))
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        peer.send("a")
        assert await peer.text() == "echo a"
    async with Peer(app) as first, Peer(app) as second, Peer(app, client=("192.0.2.2", 1)) as other:
        for each in (first, second, other):
            assert await each.handshake() == 101
        first.send("b")
        assert await first.text() == "echo b"
        second.send("c")
        assert json.loads(await second.text())["code"] == "rate_limited"
        other.send("d")
        assert await other.text() == "echo d"


async def test_a_user_has_one_rate_from_everywhere_and_users_behind_one_address_have_their_own() -> None:
    app = create_app(rate=Rate(1, burst=1))
    alice, bob = User("alice"), User("bob")
    async with (
        Peer(app, user=alice) as first,
        Peer(app, user=alice, client=("192.0.2.2", 1)) as second,
        Peer(app, user=bob) as third,
    ):
        for each in (first, second, third):
            assert await each.handshake() == 101
        first.send("a")
        assert await first.text() == "echo a"
        second.send("b")
        assert json.loads(await second.text())["code"] == "rate_limited"
        third.send("c")
        assert await third.text() == "echo c"


@pytest.mark.parametrize(
    "answer, expected", [("slow down: {:.1f}", {"text": "slow down: 1.0"}), (b"\x01", {"bytes": b"\x01"})]
)
async def test_the_answer_is_of_the_applications_choosing(
    answer: str | bytes, expected: dict[str, object]
) -> None:
    app = create_app(
        rate=Rate(1, burst=1),
        answer=lambda wait: answer.format(wait) if isinstance(answer, str) else answer,
    )
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        peer.send("a")
        peer.send("b")
        sent = [dict(await peer.next()) for _ in range(2)]
    assert {"type": "websocket.send", **expected} in sent


async def test_binary_frames_count_too_and_control_events_do_not() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])
        await send({"type": "websocket.accept"})
        while seen[-1] != "websocket.disconnect":
            seen.append((await receive())["type"])

    async with Peer(RateLimitMiddleware(app, rate=Rate(1, burst=1))) as peer:
        assert await peer.handshake() == 101
        peer.send_bytes(b"a")
        peer.send_bytes(b"b")
        assert json.loads(await peer.text())["code"] == "rate_limited"
    assert seen == ["websocket.connect", "websocket.receive", "websocket.disconnect"]


async def test_only_the_given_routes_are_limited() -> None:
    app = create_app(rate=Rate(1, burst=1), paths=["/other/{name}"])
    async with Peer(app) as free, Peer(app, "/other/x") as limited:
        assert await free.handshake() == await limited.handshake() == 101
        for peer in (free, limited):
            peer.send("a")
            assert await peer.text() == "echo a"
            peer.send("b")
        assert await free.text() == "echo b"
        assert json.loads(await limited.text())["code"] == "rate_limited"


async def test_routes_are_those_of_the_application_wherever_it_is_mounted() -> None:
    app = create_app(rate=Rate(1, burst=1), paths=["/ws"])
    async with Peer(app, "/api/ws", root_path="/api") as peer:
        assert await peer.handshake() == 101
        peer.send("a")
        assert await peer.text() == "echo a"
        peer.send("b")
        assert json.loads(await peer.text())["code"] == "rate_limited"


async def test_after_a_close_nothing_is_answered() -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})
        await release.wait()
        assert (await receive())["type"] == "websocket.receive"
        assert (await receive())["type"] == "websocket.disconnect"

    peer = Peer(RateLimitMiddleware(app, rate=Rate(1, burst=1)))
    async with peer:
        peer.send("a")
        peer.send("b")
        assert await peer.handshake() == 101
        assert await peer.close() == (4000, "")
        release.set()
        assert await peer.next() == {"type": "end"}


async def test_a_peer_that_is_gone_is_no_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with Peer(RateLimitMiddleware(app, rate=Rate(1, burst=1))) as peer:
        assert await peer.handshake() == 101
        peer.send("a")
        peer.send("b")
        peer.leave(1006)
        assert await peer.next() == {"type": "end"}


async def test_10_000_users_over_time_stay_within_the_table() -> None:
    frames: list[dict[str, object]] = [
        {"type": "websocket.receive", "text": "hello"},
        {"type": "websocket.disconnect", "code": 1006},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def send(message: object) -> None: ...

    limit = RateLimitMiddleware(app, rate=Rate(1, burst=1), capacity=1000)
    most = 0
    for number in range(10_000):
        events = iter(frames)

        async def receive(events: Iterator[dict[str, object]] = events) -> dict[str, object]:
            return next(events)

        await limit({"type": "websocket", "path": "/ws", "user": User(f"user-{number}")}, receive, send)
        most = max(most, len(limit.limiter))
    assert most == 1000


def test_one_path_is_no_list() -> None:
    assert refusal(lambda: RateLimitMiddleware(FastAPI(), paths="/ws")) == (
        "paths is a list of paths, not '/ws'."
    )


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(RateLimitMiddleware)
