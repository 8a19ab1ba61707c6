import logging
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

import protocol.middleware
from protocol.limits import Rate
from protocol.middleware import (
    ConnectionLimitMiddleware,
    JWTAuthMiddleware,
    LoggingMiddleware,
    Metrics,
    MonitoringMiddleware,
    OriginMiddleware,
    RateLimitMiddleware,
    recommended,
)
from protocol.middleware.tokens import Token
from protocol.types import ASGIApp, Receive, Scope, Send
from protocol.writer import direct_wire
from tests.middleware.conftest import Serve
from tests.middleware.peer import Peer
from tests.middleware.tokens import KEY, NOW, token

SITE = "https://chat.example"
EVIL = "https://evil.example"


def now() -> float:
    return NOW


def create_app(*stack: Middleware) -> FastAPI:
    app = FastAPI(middleware=stack)

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"{websocket.scope['user'].id}: {text}")

    return app


class Counted(JWTAuthMiddleware):
    """Authentication that counts the signatures it has to check."""

    checked = 0

    async def verify(self, text: str) -> Token:
        type(self).checked += 1
        return await super().verify(text)


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Counted.checked = 0


AUTH = Middleware(Counted, key=KEY, now=now)
LIMIT = Middleware(ConnectionLimitMiddleware, per_address=10)
ORIGIN = Middleware(OriginMiddleware, origins=[SITE])


def test_the_recommended_order() -> None:
    stack: list[object] = [each.cls for each in recommended(AUTH, metrics=Metrics())]
    assert stack == [
        MonitoringMiddleware,
        LoggingMiddleware,
        OriginMiddleware,
        ConnectionLimitMiddleware,
        Counted,
        ConnectionLimitMiddleware,
    ]
    assert [each.cls for each in recommended(AUTH)] == stack[1:]


async def test_the_whole_stack_over_a_plain_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "protocol.access")
    metrics = Metrics()
    stack = recommended(AUTH, origins=[SITE], per_user=2, per_address=3, total=100, metrics=metrics)
    app = create_app(*stack, Middleware(RateLimitMiddleware, rate=Rate(1, burst=1)))

    def peer(user: str = "alice", origin: str = SITE, text: str | None = None) -> Peer:
        headers = [("origin", origin), ("authorization", f"Bearer {text or token(sub=user)}")]
        return Peer(app, headers=headers)

    async with peer() as first, peer() as second:
        assert await first.handshake() == await second.handshake() == 101
        first.send("hello")
        assert await first.text() == "alice: hello"
        second.send("hello again")
        assert '"code":"rate_limited"' in await second.text()
        async with peer(origin=EVIL) as refused:
            assert await refused.handshake() == 403
        async with peer(text="forged") as refused:
            assert await refused.handshake() == 401
        async with peer() as refused:
            assert await refused.handshake() == 429
        async with peer("bob") as third, peer("carol") as refused:
            assert await third.handshake() == 101
            assert await refused.handshake() == 429
    assert metrics.snapshot()["handshakes"] == {"accepted": 3, "403": 1, "401": 1, "429": 2}
    assert metrics.snapshot()["connections_active"] == 0
    events = [vars(record)["event"] for record in caplog.records]
    assert {name: events.count(name) for name in events} == {
        "attempt": 7,
        "accepted": 3,
        "refused": 4,
        "closed": 3,
    }


@pytest.mark.parametrize("stack, checked", [((LIMIT, AUTH), 10), ((AUTH, LIMIT), 500)])
async def test_limits_before_authentication_spare_it_the_flood(
    stack: tuple[Middleware, ...], checked: int
) -> None:
    app = create_app(*stack)
    async with AsyncExitStack() as peers:
        answers = []
        for _ in range(500):
            peer = Peer(app, headers=[("authorization", f"Bearer {token()}")])
            answers.append(await (await peers.enter_async_context(peer)).handshake())
    assert answers == [101] * 10 + [429] * 490
    assert Counted.checked == checked


@pytest.mark.parametrize(
    "stack, told", [((ORIGIN, AUTH), [403, 403, 403]), ((AUTH, ORIGIN), [403, 401, 401])]
)
async def test_origin_before_authentication_tells_a_foreign_page_nothing_about_the_cookie(
    stack: tuple[Middleware, ...], told: list[int]
) -> None:
    app = create_app(*stack)
    answers = []
    for cookie in (token(), token(exp=NOW - 1), ""):
        async with Peer(app, headers=[("origin", EVIL), ("cookie", f"token={cookie}")]) as peer:
            answers.append(await peer.handshake())
    assert answers == told


async def test_a_limit_per_user_works_after_authentication_only() -> None:
    per_user = Middleware(ConnectionLimitMiddleware, per_user=1, per_address=None)
    headers = [("authorization", f"Bearer {token()}")]
    async with Peer(create_app(AUTH, per_user), headers=headers) as peer:
        assert await peer.handshake() == 101
    with pytest.raises(Exception, match="list it after the middleware that authenticates"):
        async with Peer(create_app(per_user, AUTH), headers=headers):
            pass


async def test_logging_outside_sees_the_refusals_of_what_is_inside(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "protocol.access")
    log = Middleware(LoggingMiddleware)
    for stack, lines in (((log, ORIGIN), 2), ((ORIGIN, log), 0)):
        caplog.clear()
        async with Peer(create_app(*stack), headers=[("origin", EVIL)]) as peer:
            assert await peer.handshake() == 403
        assert len(caplog.records) == lines


async def test_add_middleware_makes_the_last_one_the_outermost() -> None:
    app = create_app()
    app.add_middleware(Counted, key=KEY, now=now)
    app.add_middleware(OriginMiddleware, origins=[SITE])
    async with Peer(app, headers=[("origin", EVIL)]) as peer:
        assert await peer.handshake() == 403
    assert Counted.checked == 0


async def test_frames_may_be_written_past_every_middleware_of_ours() -> None:
    class Wire:
        send: Send

    wire = Wire()
    found: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"]["protocol.wire"] = wire
        found.append(direct_wire(scope, send))

    stacked: ASGIApp = RateLimitMiddleware(app)
    for middleware in (
        OriginMiddleware,
        ConnectionLimitMiddleware,
        LoggingMiddleware,
    ):
        stacked = middleware(stacked)
    stacked = JWTAuthMiddleware(stacked, key=KEY, now=now)
    stacked = MonitoringMiddleware(stacked, metrics=Metrics())
    peer = Peer(stacked, headers=[("authorization", f"Bearer {token()}")])
    wire.send = peer._send
    async with peer:
        assert await peer.next() == {"type": "end"}
    assert found == [wire]


def test_over_a_socket(serve: Serve) -> None:
    auth = Middleware(JWTAuthMiddleware, key=KEY)
    url = serve(create_app(*recommended(auth, origins=[SITE], per_address=1))) + "/ws"
    good = token(exp=4_000_000_000)
    with connect(
        url, origin=Origin(SITE), subprotocols=[Subprotocol("bearer"), Subprotocol(good)]
    ) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "alice: hello"
        for options, status in (
            ({"origin": EVIL}, 403),
            ({"additional_headers": {"Authorization": f"Bearer {good}"}}, 429),
        ):
            with pytest.raises(InvalidStatus) as refused:
                connect(url, **options)
            assert refused.value.response.status_code == status
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 401


def test_what_is_exported() -> None:
    for name in protocol.middleware.__all__:
        assert getattr(protocol.middleware, name).__name__ == name
