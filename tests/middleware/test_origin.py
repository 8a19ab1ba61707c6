import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware
from starlette.types import Message

from protocol.middleware import OriginMiddleware
from protocol.middleware.refusal import Refuse
from tests.middleware.peer import Peer, assert_others_pass
from tests.misdeclared import refusal

SITE = "https://chat.example:8443"

TRICKS = [
    "https://chat.example",  # the port is part of it
    "https://chat.example:443",
    "https://chat.example:84430",
    "https://chat.example:8443.evil.example",
    "https://chat.example:8443@evil.example",
    "https://chat.example:8443/",
    "https://chat.example:8443/chat",
    "https://chat.example:8443?",
    "https://chat.example:8443#",
    "https://chat.example:8443 https://evil.example",
    "https://chat.example:8443, https://evil.example",
    "https://evil.example, https://chat.example:8443",
    " https://chat.example:8443",
    "https://chat.example:8443\t",
    "http://chat.example:8443",
    "wss://chat.example:8443",
    "https://CHAT.example:8443",
    "https://chat.example.:8443",
    "https://chatxexample:8443",
    "https://evil-chat.example:8443",
    "https://sub.chat.example:8443",
    "https://chat.example.evil.example:8443",
    "https://user:secret@chat.example:8443",
    "https://chat.ex\xe4mple:8443",
    "//chat.example:8443",
    "chat.example:8443",
    "https://",
    "https://*",
    "file://",
    "null",
    "NULL",
    "undefined",
    "",
]


def create_app(**options: object) -> FastAPI:
    app = FastAPI(middleware=[Middleware(OriginMiddleware, **options)])  # type: ignore[arg-type]

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


async def status(app: FastAPI, *origins: str, host: str = "chat.example:8443", scheme: str = "ws") -> int:
    headers = [("host", host), *(("origin", origin) for origin in origins)]
    async with Peer(app, headers=headers, scheme=scheme) as peer:
        found = await peer.handshake()
        if found == 101:
            peer.send("hello")
            assert await peer.text() == "hello"
        return found


@pytest.mark.parametrize("origin", TRICKS)
async def test_tricks_are_refused_by_a_list(origin: str) -> None:
    assert await status(create_app(origins=[SITE]), origin) == 403


@pytest.mark.parametrize("origin", TRICKS)
async def test_tricks_are_refused_as_same_origin(origin: str) -> None:
    assert await status(create_app(), origin, scheme="wss") == 403


async def test_a_listed_origin_passes() -> None:
    app = create_app(origins=[SITE, "https://example.com", "http://localhost:8000", "http://[::1]:8000"])
    for origin in (SITE, "https://example.com", "http://localhost:8000", "http://[::1]:8000"):
        assert await status(app, origin) == 101


async def test_a_listed_origin_is_written_as_browsers_do() -> None:
    app = create_app(origins=["HTTPS://Example.COM:443", "chrome-extension://abcdef"])
    assert await status(app, "https://example.com") == 101
    assert await status(app, "chrome-extension://abcdef") == 101


async def test_without_a_list_the_own_origin_passes() -> None:
    app = create_app()
    assert await status(app, SITE, scheme="wss") == 101
    assert await status(app, "http://chat.example", host="chat.example:80") == 101
    assert await status(app, "https://chat.example", host="Chat.Example", scheme="wss") == 101
    assert await status(app, "http://[::1]:8000", host="[::1]:8000") == 101


async def test_without_a_list_a_request_with_no_or_two_hosts_has_no_own_origin() -> None:
    app = create_app()
    for hosts in ([], ["chat.example", "evil.example"], ["chat example"]):
        headers = [("origin", "http://evil.example"), *(("host", host) for host in hosts)]
        async with Peer(app, headers=headers) as peer:
            assert await peer.handshake() == 403


async def test_an_empty_list_lets_no_page_in() -> None:
    assert await status(create_app(origins=[]), SITE) == 403


async def test_two_origins_are_refused_even_if_both_are_listed() -> None:
    assert await status(create_app(origins=[SITE]), SITE, SITE) == 403
    assert await status(create_app(origins=[SITE], null=True), "null", "null") == 403


@pytest.mark.parametrize("missing, expected", [(True, 101), (False, 403)])
async def test_a_missing_origin_is_a_policy(missing: bool, expected: int) -> None:
    assert await status(create_app(origins=[SITE], missing=missing)) == expected


@pytest.mark.parametrize("null, expected", [(True, 101), (False, 403)])
async def test_a_null_origin_is_a_policy(null: bool, expected: int) -> None:
    assert await status(create_app(origins=[SITE], null=null), "null") == expected


async def test_the_refusal_is_a_json_response() -> None:
    async with Peer(create_app(origins=[SITE]), headers=[("origin", "https://evil.example")]) as peer:
        assert await peer.handshake() == 403
        assert peer.body == b'{"detail":"Origin not allowed"}'


async def test_a_server_without_denial_responses_is_told_to_close() -> None:
    app = create_app(origins=[SITE])
    async with Peer(app, headers=[("origin", "https://evil.example")], extensions=()) as peer:
        assert await peer.close() == (3507, "forbidden")


async def test_refuse_close_accepts_first_so_that_a_page_can_read_the_code() -> None:
    app = create_app(origins=[SITE], refuse="close")
    async with Peer(app, headers=[("origin", "https://evil.example")], subprotocols=["v2", "v1"]) as peer:
        assert await peer.handshake() == 101
        assert peer.answer["subprotocol"] == "v2"
        assert await peer.close() == (3507, "forbidden")
        assert await peer.next() == {"type": "end"}


async def test_a_client_that_left_before_its_refusal_is_sent_nothing() -> None:
    app = OriginMiddleware(create_app(), origins=[SITE])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = Peer(app, headers=[("origin", "https://evil.example")]).scope
    await app(scope, receive, send)
    assert sent == []


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(lambda app: OriginMiddleware(app, origins=[]))


@pytest.mark.parametrize(
    "origin",
    ["example.com", "https://example.com/", "https://*.example.com", "https://b\xfccher.example", "null", ""],
)
def test_what_is_no_origin_cannot_be_listed(origin: str) -> None:
    assert refusal(lambda: OriginMiddleware(FastAPI(), origins=[origin])) == (
        "origins: expected scheme://host or scheme://host:port, a name in another script as punycode, "
        f"not {origin!r}."
    )


def test_one_origin_is_no_list() -> None:
    assert refusal(lambda: OriginMiddleware(FastAPI(), origins=SITE)) == (
        f"origins is a list of origins, not '{SITE}'."
    )


def test_a_refusal_is_one_of_two_kinds() -> None:
    wrong: Refuse = "redirect"  # type: ignore[assignment]
    assert refusal(lambda: OriginMiddleware(FastAPI(), refuse=wrong)) == (
        "refuse must be 'http', 'close' or 'auto', not 'redirect'."
    )
