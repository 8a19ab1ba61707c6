import asyncio
from importlib.metadata import version
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from protocol.servers.http import HeadLimits, HTTPProtocol
from protocol.types import Receive, Scope, Send
from tests.servers.harness import connected, echo, handshake, limits, raw, serving, text, until

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    HttpToolsProtocol = None  # type: ignore[assignment, misc]


@pytest.fixture(params=["h11", "httptools"])
def base(request: pytest.FixtureRequest) -> Any:
    if request.param == "httptools" and HttpToolsProtocol is None:
        pytest.skip("httptools is not installed")
    return H11Protocol if request.param == "h11" else HttpToolsProtocol


@pytest.fixture
def http(base: Any) -> Any:
    return type("HTTP", (HeadLimits, base), {})


@pytest.fixture
def hasty(base: Any) -> Any:
    return type("HastyHTTP", (HeadLimits, base), {"handshake_timeout": 0.2})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


# Before release 17 the websockets library did not tell what was wrong.
OVERSIZED = {431} if version("websockets") >= "17" else {400}
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def test_requests_and_handshakes_in_time_are_served(http: Any) -> None:
    async with serving(hello, http=http) as server, raw(server) as peer:
        for _ in range(3):
            peer.send(REQUEST)
            assert (await peer.response())[0] == 200
            assert await peer.reader.readexactly(2) == b"hi"
    async with serving(echo, http=http) as server, connected(server) as peer:
        peer.send(text("a"))
        assert await peer.text() == "a"


async def test_slow_handshakes_are_refused_in_time(hasty: Any) -> None:
    async with serving(echo, http=hasty) as server:
        clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        for number, (_, writer) in enumerate(clients):
            writer.write(handshake()[: number * 5])
        for reader, writer in clients:
            assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            writer.close()
        await until(server.idle)


async def test_the_time_runs_from_the_first_byte_of_a_later_request_too(hasty: Any) -> None:
    async with serving(hello, http=hasty) as server, raw(server) as peer:
        peer.send(REQUEST)
        assert (await peer.response())[0] == 200
        assert await peer.reader.readexactly(2) == b"hi"
        peer.send(REQUEST[:10])
        assert (await peer.response())[0] == 408


async def test_the_time_of_a_request_ends_with_its_head(hasty: Any) -> None:
    timeouts = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_later(0.1, timeouts.set)
        await timeouts.wait()
        await hello(scope, receive, send)

    async with serving(app, http=hasty) as server, raw(server) as peer:
        peer.send(REQUEST)
        assert (await peer.response())[0] == 200


async def test_the_time_runs_on_until_the_application_has_answered(hasty: Any) -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        left.set()
        await send({"type": "websocket.accept"})

    # The WebSocket class alone would give ten seconds more.
    async with serving(app, http=hasty) as server, raw(server) as peer, asyncio.timeout(5):
        peer.send(handshake())
        assert (await peer.response())[0] == 503
        await left.wait()


async def test_the_websocket_class_has_its_own_time_behind_another_http_class(base: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    async with serving(app, http=base, ws=limits(handshake_timeout=0.05)) as server, raw(server) as peer:
        peer.send(handshake())
        assert (await peer.response())[0] == 503


async def test_a_connection_that_is_established_outlives_the_time(hasty: Any) -> None:
    async with serving(echo, http=hasty) as server, connected(server) as peer:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, over.set)
        await over.wait()
        peer.send(text("still here"))
        assert await peer.text() == "still here"


async def test_a_head_without_end_is_refused(http: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, http=http) as server:
        for endless in (b"GET / HTTP/1.1\r\nx: ", b"GET /"):
            async with raw(server) as peer:
                peer.send(endless, b"a" * 300_000)
                assert (await peer.response())[0] == 431
                peer.send(b"a" * 300_000)
                assert await peer.reader.read() == b""
    assert {*caplog.messages} <= {"Invalid HTTP request received."}
    caplog.clear()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"X-Long: {'a' * 9000}"], id="a line over 8 KiB"),
        pytest.param([f"X-{number}: a" for number in range(200)], id="200 headers"),
    ],
)
async def test_a_handshake_with_oversized_headers_is_refused(http: Any, headers: list[str]) -> None:
    async with serving(echo, http=http) as server, raw(server) as peer:
        peer.send(handshake(*headers))
        assert (await peer.response())[0] in OVERSIZED
        await peer.reader.read()
        await until(server.idle)


async def test_a_handshake_with_an_oversized_path_is_refused(http: Any) -> None:
    async with serving(echo, http=http) as server, raw(server) as peer:
        peer.send(handshake(path="/" + "a" * 9000))
        assert (await peer.response())[0] in {414, *OVERSIZED}


async def test_a_handshake_that_the_library_cannot_read_is_refused(http: Any) -> None:
    async with serving(echo, http=http) as server, raw(server) as peer:
        peer.send(handshake("Content-Length: 5"), b"hello")
        assert (await peer.response())[0] == 400


async def test_a_handshake_that_breaks_the_rules_is_refused(http: Any) -> None:
    async with serving(echo, http=http) as server, raw(server) as peer:
        peer.send(handshake().replace(b"Version: 13", b"Version: 12"))
        assert (await peer.response())[0] in {400, 426}


async def test_garbage_is_refused(http: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, http=http) as server, raw(server) as peer:
        peer.send(b"\x00\x01\x02\r\n\r\n")
        assert (await peer.response())[0] == 400
    assert "Invalid HTTP request received." in caplog.messages
    caplog.clear()


async def test_uvicorns_own_websocket_class_may_follow(hasty: Any) -> None:
    async with (
        serving(echo, http=hasty, ws=WebSocketsSansIOProtocol) as server,
        connected(server) as peer,
    ):
        peer.send(text("a"))
        assert await peer.text() == "a"


def test_the_attributes_of_uvicorns_classes_that_ours_leans_on_are_there(base: Any) -> None:
    assert {"connection_made", "connection_lost", "data_received", "handle_websocket_upgrade"} <= set(
        vars(base)
    )
    assert "send_400_response" in vars(base)
    assert {"loop", "transport", "cycle"} <= set(base.__init__.__code__.co_names)
    assert issubclass(HTTPProtocol, HeadLimits)
