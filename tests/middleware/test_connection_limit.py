import asyncio
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware

from protocol.exceptions import ConfigurationError
from protocol.middleware import ConnectionLimitMiddleware
from protocol.types import VERIFIER, ASGIApp, Receive, Scope, Send, User
from tests.middleware.peer import Peer, assert_others_pass, never_receive, never_send
from tests.misdeclared import refusal


class Names:
    """Authentication that believes what the header says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[VERIFIER] = None
        for name, value in scope["headers"]:
            if name == b"user":
                scope["user"] = User(value.decode())
        await self.app(scope, receive, send)


def create_app(*, users: bool = False, **options: object) -> FastAPI:
    limit = Middleware(ConnectionLimitMiddleware, **options)  # type: ignore[arg-type]
    app = FastAPI(middleware=[Middleware(Names), limit] if users else [limit])

    @app.websocket("/ws")
    async def wait(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    @app.websocket("/crash")
    async def crash(websocket: WebSocket) -> None:
        raise RuntimeError

    @app.websocket("/refuse")
    async def refuse(websocket: WebSocket) -> None:
        await websocket.close()

    return app


async def test_an_address_may_hold_so_many_connections_and_then_gets_429() -> None:
    app = create_app(per_address=2, retry_after=1.2)
    async with Peer(app) as first, Peer(app) as second, Peer(app) as third:
        assert await first.handshake() == 101
        assert await second.handshake() == 101
        assert await third.handshake() == 429
        assert third.body == b'{"detail":"Too many connections"}'
        assert (b"retry-after", b"2") in third.answer["headers"]
        async with Peer(app, client=("192.0.2.2", 1)) as other:
            assert await other.handshake() == 101


async def test_an_ended_connection_makes_room_however_it_ended() -> None:
    app = create_app(per_address=1)
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
    with pytest.raises(RuntimeError):
        async with Peer(app, "/crash"):
            pass
    async with Peer(app, "/refuse") as peer:
        assert await peer.handshake() == 403
    async with Peer(app, "/nowhere") as peer:
        assert await peer.handshake() in {403, 404}
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        async with Peer(app) as second:
            assert await second.handshake() == 429


async def test_a_cancelled_connection_makes_room() -> None:
    limit = ConnectionLimitMiddleware(create_app(per_address=None, total=100), per_address=1)
    peer = Peer(limit)
    await peer.__aenter__()
    assert await peer.handshake() == 101
    peer._task.cancel()
    await asyncio.wait([peer._task])
    assert limit._open == {}


async def test_handshakes_under_way_count() -> None:
    release = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await release.wait()
        await send({"type": "websocket.accept"})

    app = ConnectionLimitMiddleware(slow, per_address=1)
    async with Peer(app) as first, Peer(app) as second:
        assert await second.handshake() == 429
        release.set()
        assert await first.handshake() == 101


async def test_a_user_may_hold_so_many_connections_from_anywhere() -> None:
    app = create_app(users=True, per_user=1, per_address=None)
    alice = [("user", "alice")]
    async with Peer(app, headers=alice) as peer, Peer(app, headers=[("user", "bob")]) as bob:
        assert await peer.handshake() == 101
        assert await bob.handshake() == 101
        async with Peer(app, headers=alice, client=("192.0.2.2", 1)) as second:
            assert await second.handshake() == 429
        async with Peer(app) as anonymous, Peer(app) as another:
            assert await anonymous.handshake() == 101
            assert await another.handshake() == 101


async def test_a_user_limit_outside_authentication_fails_at_the_first_connection() -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with Peer(create_app(per_user=20)):
            pass
    assert str(caught.value) == (
        "ConnectionLimitMiddleware(per_user=20) sees no user: list it after the middleware that authenticates, "
        "such as JWTAuthMiddleware."
    )


async def test_all_connections_together_have_a_limit() -> None:
    app = create_app(per_address=None, total=3)
    async with AsyncExitStack() as peers:
        answers = []
        for number in range(5):
            peer = await peers.enter_async_context(Peer(app, client=(f"192.0.2.{number}", 1)))
            answers.append(await peer.handshake())
    assert answers == [101, 101, 101, 429, 429]


async def test_refuse_close_says_that_reconnecting_is_of_no_use() -> None:
    app = create_app(per_address=1, refuse="close")
    async with Peer(app) as first, Peer(app) as second:
        assert await first.handshake() == 101
        assert await second.handshake() == 101
        assert await second.close() == (3504, "connection limit")


@pytest.mark.parametrize(
    "trusted, client, expected",
    [
        ([], "203.0.113.9", 100),  # A header that nobody vouches for.
        (["10.0.0.0/8"], "10.0.0.1", 100),  # What the client wrote stands left of what the proxy did.
    ],
)
async def test_2000_connections_with_made_up_addresses_count_as_one_address(
    trusted: list[str], client: str, expected: int
) -> None:
    limit = ConnectionLimitMiddleware(create_app(per_address=None, total=5000), trusted_proxies=trusted)
    answers: list[int] = []
    async with AsyncExitStack() as peers:
        for number in range(2000):
            made_up = f"{number % 223 + 1}.{number // 223}.7.7"
            headers = [("x-forwarded-for", f"{made_up}, 2001:db8::{number:x}, 198.51.100.7")]
            peer = Peer(limit, headers=headers, client=(client, number))
            answers.append(await (await peers.enter_async_context(peer)).handshake())
        assert len(limit._open) == 1
    assert answers.count(101) == expected
    assert answers.count(429) == 2000 - expected
    assert limit._open == {}


async def test_20_000_names_over_time_leave_nothing_behind() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert len(limit._open) <= 3

    limit = ConnectionLimitMiddleware(app, per_user=1, per_address=1, total=1)
    for number in range(20_000):
        await limit(
            {
                "type": "websocket",
                "headers": [],
                "client": (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1),
                "user": User(f"user-{number}"),
            },
            never_receive,
            never_send,
        )
    assert limit._open == {}


@pytest.mark.parametrize("name", ["per_user", "per_address", "total"])
def test_a_limit_is_a_positive_number(name: str) -> None:
    assert refusal(lambda: ConnectionLimitMiddleware(FastAPI(), **{name: 0})) == (  # type: ignore[arg-type]
        f"ConnectionLimitMiddleware({name}=…) takes a whole number of at least 1, or None for no limit, not 0."
    )


def test_retry_after_is_a_positive_number() -> None:
    assert refusal(lambda: ConnectionLimitMiddleware(FastAPI(), retry_after=0)) == (
        "ConnectionLimitMiddleware(retry_after=…) takes a finite number of seconds above 0, not 0."
    )


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(ConnectionLimitMiddleware)
