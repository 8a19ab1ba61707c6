import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Callable

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.middleware import Middleware
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from protocol.middleware import JWTAuthMiddleware
from protocol.middleware.jwt_auth import TokenExpired
from protocol.types import VERIFIER, Receive, Scope, Send, User
from tests.middleware.conftest import Serve
from tests.middleware.peer import Peer, assert_others_pass
from tests.middleware.test_tokens import FORGED
from tests.middleware.tokens import KEY, NOW, claims, signed, token
from tests.misdeclared import refusal
from tests.process import PATIENCE

_STARTS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, float] = weakref.WeakKeyDictionary()


def virtual() -> float:
    """A wall clock that goes with the running loop's, from ``NOW`` at its first use."""
    loop = asyncio.get_running_loop()
    return NOW + loop.time() - _STARTS.setdefault(loop, loop.time())


def create_app(*, now: Callable[[], float] = virtual, **options: object) -> FastAPI:
    auth = Middleware(JWTAuthMiddleware, key=KEY, now=now, **options)  # type: ignore[arg-type]
    app = FastAPI(middleware=[auth])

    @app.websocket("/ws")
    async def whoami(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            if text.startswith("authenticate "):
                user = await websocket.scope[VERIFIER](text.removeprefix("authenticate "))
                await websocket.send_text("refused" if user is None else f"fresh {user.id}")
            else:
                user = websocket.scope.get("user")
                await websocket.send_text("nobody" if user is None else user.id)

    return app


def bearer(text: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {text}")]


async def test_the_user_of_a_good_token_reaches_the_endpoint() -> None:
    async with Peer(create_app(), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        peer.send("?")
        assert await peer.text() == "alice"
        assert peer.scope["user"] == User("alice")
        assert peer.scope["user"].claims == claims()


async def test_a_token_in_the_query_or_a_cookie_is_as_good() -> None:
    for options in ({"query": f"token={token()}"}, {"headers": [("cookie", f"token={token()}")]}):
        async with Peer(create_app(), **options) as peer:
            assert await peer.handshake() == 101


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
async def test_forged_tokens_are_refused_before_accept(text: str) -> None:
    if text.isascii():
        async with Peer(create_app(), subprotocols=["bearer", text]) as peer:
            assert await peer.handshake() == 401
            assert (b"www-authenticate", b'Bearer error="invalid_token"') in peer.answer["headers"]
            assert peer.body == b'{"detail":"Invalid token"}'
    async with Peer(create_app(), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        peer.send(f"authenticate {text}")
        assert await peer.text() == "refused"


async def test_no_token_is_refused() -> None:
    async with Peer(create_app()) as peer:
        assert await peer.handshake() == 401
        assert (b"www-authenticate", b"Bearer") in peer.answer["headers"]
        assert peer.body == b'{"detail":"Not authenticated"}'


async def test_two_tokens_are_refused() -> None:
    async with Peer(create_app(), headers=[*bearer(token()), *bearer(token())]) as peer:
        assert await peer.handshake() == 401


async def test_refuse_close_says_that_reconnecting_is_of_no_use() -> None:
    app = create_app(refuse="close")
    for subprotocols in ([], ["bearer", "forged"]):
        async with Peer(app, subprotocols=subprotocols) as peer:
            assert await peer.handshake() == 101
            assert peer.answer["subprotocol"] == ("bearer" if subprotocols else None)
            assert await peer.close() == (3500, "invalid token")


async def test_refuse_auto_closes_a_page_and_answers_a_program_by_http() -> None:
    app = create_app(refuse="auto")
    async with Peer(app, headers=[("origin", "http://localhost")]) as page:
        assert await page.handshake() == 101
        assert await page.close() == (3500, "invalid token")
    async with Peer(app) as program:
        assert await program.handshake() == 401


async def test_the_subprotocol_token_is_never_sent_back() -> None:
    async with Peer(create_app(), subprotocols=["bearer", token()]) as peer:
        assert await peer.handshake() == 101
        assert peer.answer["subprotocol"] == "bearer"
        assert peer.scope["subprotocols"] == []


async def test_the_application_may_select_a_subprotocol_of_its_own() -> None:
    offered: list[list[str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        offered.append(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1]})

    auth = JWTAuthMiddleware(app, key=KEY, now=virtual)
    async with Peer(auth, subprotocols=["v1", "bearer", token(), "v2"]) as peer:
        assert await peer.handshake() == 101
        assert peer.answer["subprotocol"] == "v2"
    assert offered == [["v1", "v2"]]


async def test_a_source_that_is_off_is_not_looked_at() -> None:
    app = create_app(sources=["header"])
    async with Peer(app, subprotocols=["bearer", token()], query=f"token={token()}") as peer:
        assert await peer.handshake() == 401
    async with Peer(app, subprotocols=["bearer", "v1"], headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        assert peer.answer["subprotocol"] is None
        assert peer.scope["subprotocols"] == ["bearer", "v1"]


async def test_the_connection_is_closed_when_the_token_expires() -> None:
    async with Peer(create_app(), headers=bearer(token(exp=NOW + 60))) as peer:
        assert await peer.handshake() == 101
        peer.send("?")
        assert await peer.text() == "alice"
        assert await peer.close() == (3005, "token expired")
        assert virtual() == pytest.approx(NOW + 60, abs=0.01)


async def test_a_token_that_expires_before_accept_closes_right_after_it() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(90)
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with Peer(JWTAuthMiddleware(slow, key=KEY, now=virtual), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        assert await peer.close() == (3005, "token expired")
        assert virtual() == pytest.approx(NOW + 90, abs=0.01)


async def test_a_fresh_token_moves_the_expiry() -> None:
    async with Peer(create_app(), headers=bearer(token(exp=NOW + 60))) as peer:
        assert await peer.handshake() == 101
        peer.send(f"authenticate {token(exp=NOW + 600, role='admin')}")
        assert await peer.text() == "fresh alice"
        assert peer.scope["user"].claims["role"] == "admin"
        assert await peer.close() == (3005, "token expired")
        assert virtual() == pytest.approx(NOW + 600, abs=0.01)


async def test_another_subject_is_refused_and_changes_nothing() -> None:
    async with Peer(create_app(), headers=bearer(token(exp=NOW + 60))) as peer:
        assert await peer.handshake() == 101
        peer.send(f"authenticate {token(sub='bob', exp=NOW + 600)}")
        assert await peer.text() == "refused"
        assert peer.scope["user"] == User("alice")
        assert await peer.close() == (3005, "token expired")
        assert virtual() == pytest.approx(NOW + 60, abs=0.01)


async def test_a_clock_that_was_set_back_gives_the_token_its_time() -> None:
    behind = 0.0

    async with Peer(create_app(now=lambda: virtual() - behind), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        behind = 30.0
        assert await peer.close() == (3005, "token expired")
        assert virtual() == pytest.approx(NOW + 90, abs=0.01)


async def test_nothing_passes_in_either_direction_after_expiry() -> None:
    seen: list[str] = []
    expired = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await expired.wait()
        with pytest.raises(TokenExpired):
            await send({"type": "websocket.send", "text": "late"})
        seen.append((await receive())["type"])
        await send({"type": "websocket.send", "text": "too late"})

    async with Peer(JWTAuthMiddleware(app, key=KEY, now=virtual), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        peer.send("sent in time, read too late")
        assert await peer.close() == (3005, "token expired")
        expired.set()
        assert await peer.next() == {"type": "end"}
    assert seen == ["websocket.disconnect"]


async def test_an_endpoint_that_only_sends_ends_at_expiry() -> None:
    app = FastAPI(middleware=[Middleware(JWTAuthMiddleware, key=KEY, now=virtual)])
    ended = asyncio.Event()

    @app.websocket("/ws")
    async def ticker(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(7)
        except WebSocketDisconnect:
            ended.set()

    async with Peer(app, headers=bearer(token(exp=NOW + 20))) as peer:
        assert await peer.handshake() == 101
        assert [await peer.text() for _ in range(3)] == ["tick"] * 3
        assert await peer.close() == (3005, "token expired")
        await ended.wait()


async def test_the_close_waits_for_its_turn_and_is_not_lost_when_the_application_ends() -> None:
    release = asyncio.Event()
    sent: list[str] = []
    inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()

    async def send_blocking(message: dict[str, object]) -> None:
        if message["type"] == "websocket.close":
            inbox.put_nowait({"type": "websocket.receive", "text": "a frame ends the application"})
            await release.wait()
        sent.append(str(message["type"]))

    scope = Peer(app, headers=bearer(token())).scope
    auth = JWTAuthMiddleware(app, key=KEY, now=virtual)
    running = asyncio.create_task(auth(scope, inbox.get, send_blocking))  # type: ignore[arg-type]
    await asyncio.wait([running], timeout=120)
    assert sent == ["websocket.accept"]
    release.set()
    await running
    assert sent == ["websocket.accept", "websocket.close"]


async def test_a_connection_that_ended_leaves_nothing_behind() -> None:
    async def session() -> weakref.ref[object]:
        async with Peer(create_app(), headers=bearer(token(exp=NOW + 10**6))) as peer:
            assert await peer.handshake() == 101
            return weakref.ref(peer.scope[VERIFIER])

    ended = await session()
    gc.collect()
    assert ended() is None  # A timer that was still set would hold it.
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_close_by_the_application_is_the_only_one() -> None:
    app = FastAPI(middleware=[Middleware(JWTAuthMiddleware, key=KEY, now=virtual)])

    @app.websocket("/ws")
    async def leave(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000, "done")
        await asyncio.sleep(120)

    async with Peer(app, headers=bearer(token(exp=NOW + 60))) as peer:
        assert await peer.handshake() == 101
        assert await peer.close() == (4000, "done")
        assert await peer.next() == {"type": "end"}


async def test_a_peer_that_is_gone_at_expiry_is_no_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.sleep(120)

    async with Peer(JWTAuthMiddleware(app, key=KEY, now=virtual), headers=bearer(token())) as peer:
        assert await peer.handshake() == 101
        peer.leave(1006)
        assert await peer.next() == {"type": "end"}


async def test_a_revoked_user_is_refused_now_and_in_band() -> None:
    revoked: set[str] = set()

    async def is_revoked(user: User) -> bool:
        return user.claims["jti"] in revoked

    app = create_app(revoked=is_revoked)
    async with Peer(app, headers=bearer(token(jti="1"))) as peer:
        assert await peer.handshake() == 101
        revoked.update(("1", "2"))
        peer.send(f"authenticate {token(jti='2')}")
        assert await peer.text() == "refused"
        peer.send(f"authenticate {token(jti='3')}")
        assert await peer.text() == "fresh alice"
    async with Peer(app, headers=bearer(token(jti="1"))) as peer:
        assert await peer.handshake() == 401


async def test_a_token_may_be_optional_but_a_bad_one_is_still_refused() -> None:
    app = create_app(required=False)
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        peer.send("?")
        assert await peer.text() == "nobody"
    async with Peer(app, headers=bearer("forged")) as peer:
        assert await peer.handshake() == 401


async def test_without_a_token_in_the_handshake_the_first_message_may_bring_it() -> None:
    async with Peer(create_app(required=False)) as peer:
        assert await peer.handshake() == 101
        peer.send(f"authenticate {token(exp=NOW + 60)}")
        assert await peer.text() == "fresh alice"
        peer.send(f"authenticate {token(sub='bob')}")
        assert await peer.text() == "refused"
        assert await peer.close() == (3005, "token expired")


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(lambda app: JWTAuthMiddleware(app, key=KEY))


@pytest.mark.parametrize("sources", [[], ["body"], ["header", "body"], "header"])
def test_sources_are_known(sources: list[str]) -> None:
    assert refusal(lambda: JWTAuthMiddleware(FastAPI(), key=KEY, sources=sources)) == (  # type: ignore[arg-type]
        f"sources must list one or more of header, subprotocol, query, cookie, not {sources!r}."
    )


def test_over_a_socket(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    url = serve(create_app(now=time.time)) + "/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"

    soon = signed({"sub": "alice", "exp": time.time() + 2})
    with connect(url, subprotocols=["bearer", soon]) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "bearer"
        websocket.send("?")
        assert websocket.recv() == "alice"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3005, "token expired")
    # Stock uvicorn's only word, about the refusal; nothing about the close.
    assert [record.message for record in caplog.records] == [
        "ASGI callable returned without completing handshake."
    ]
