import logging
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from protocol.middleware.redaction import LOGGERS, Redaction, redact_logs
from tests.process import PATIENCE, free_port, serving

MARKER = "MARKERmarker0123456789"
SIGNED = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.{MARKER}-_"


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"/ws?token={MARKER}", "/ws?token=***"),
        (f"/ws?a=1&token={MARKER}&b=2", "/ws?a=1&token=***&b=2"),
        (f"GET /ws?TOKEN={MARKER} HTTP/1.1", "GET /ws?TOKEN=*** HTTP/1.1"),
        (f"Bearer {MARKER}", "Bearer ***"),
        (f"bearer, {MARKER}", "bearer, ***"),
        (f"v1,bearer,{MARKER}, v2", "v1,bearer,***, v2"),
        (f"['v1', 'bearer', '{MARKER}']", "['v1', 'bearer', '***']"),
        (f"a=1; token={MARKER}; b=2", "a=1; token=***; b=2"),
        (
            f"{{'query_string': b'token={MARKER}', 'path': '/ws'}}",
            "{'query_string': b'token=***', 'path': '/ws'}",
        ),
        (f'{{"type":"authenticate","token": "{MARKER}"}}', '{"type":"authenticate","token": "***"}'),
        (f"/ws?tok%65n={SIGNED}&a=1", "/ws?tok%65n=***&a=1"),
        (f"/ws/{SIGNED} HTTP/1.1", "/ws/*** HTTP/1.1"),
        ("/ws?a=eyJ.b&c=1.2.3", "/ws?a=eyJ.b&c=1.2.3"),
        ("/ws?token=", "/ws?token="),
        ("/ws?mytoken=abc&access-token=abc", "/ws?mytoken=abc&access-token=abc"),
        ("/bearer", "/bearer"),
        ("", ""),
    ],
)
def test_what_is_masked(text: str, expected: str) -> None:
    assert Redaction("token").redact(text) == expected


def test_other_values_stay_what_they_are() -> None:
    values = ("127.0.0.1:5", 200, None, {"path": "/ws"})
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 1, "%s %d %s %s", values, None)
    assert Redaction("token").filter(record)
    assert record.args == values
    assert record.msg == "%s %d %s %s"


def test_a_line_without_arguments_is_masked_too() -> None:
    record = logging.LogRecord(
        "uvicorn.error", logging.INFO, "", 1, f"token={MARKER} is 100% wrong", (), None
    )
    assert Redaction("token").filter(record)
    assert record.getMessage() == "token=*** is 100% wrong"


def test_masking_twice_adds_no_second_filter() -> None:
    def filters() -> list[int]:
        return [len(logging.getLogger(name).filters) for name in LOGGERS]

    redact_logs("token", "ticket")
    before = filters()
    redact_logs("ticket")
    redact_logs("token")
    assert filters() == before


APP = """
import logging
from fastapi import FastAPI, WebSocket
from starlette.middleware import Middleware
from protocol.middleware import JWTAuthMiddleware, recommended

logging.basicConfig(level=logging.DEBUG)
stack = recommended(Middleware(JWTAuthMiddleware, key="correct horse battery staple, 32+"))
app = FastAPI(middleware=stack)

@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None: ...

plain = FastAPI(middleware=stack[:1])

@plain.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept("bearer" if "bearer" in websocket.scope["subprotocols"] else None)
    await websocket.receive_text()
    await websocket.close()
"""


@pytest.mark.parametrize("app", ["app", "plain"])
def test_a_marker_token_is_in_no_line_of_a_real_server(app: str, tmp_path: Path) -> None:
    """Refused handshakes and accepted ones, at uvicorn's most talkative level, in every place for a token."""
    (tmp_path / "served.py").write_text(APP)
    port = free_port()
    # fmt: off
    arguments = [
        "-m", "uvicorn", f"served:{app}", "--app-dir", str(tmp_path), "--port", str(port),
        "--log-level", "trace", "--ws", "websockets-sansio", "--no-use-colors",
    ]
    # fmt: on
    url = f"ws://127.0.0.1:{port}/ws"
    with serving(arguments, port) as server:
        for options in (
            {"uri": f"{url}?token={MARKER}"},
            {"uri": f"{url}?tok%65n={SIGNED}"},
            {"uri": url, "additional_headers": {"Authorization": f"Bearer {MARKER}"}},
            {"uri": url, "additional_headers": {"Cookie": f"a=1; token={MARKER}"}},
            {"uri": url, "subprotocols": ["bearer", MARKER]},
        ):
            # The one application refuses the token, the other one asks for none.
            with suppress(InvalidStatus), connect(**options) as websocket:
                websocket.send(f'{{"type":"authenticate","token":"{MARKER}"}}')
                for _ in websocket:
                    pass
        server.ask_to_stop()
        assert server.ended_within(PATIENCE)
    assert MARKER not in server.log
    assert ("[accepted]" if app == "plain" else " 401") in server.log
    assert '"WebSocket /ws?token=***"' in server.log
    assert "attempt connection=1" in server.log
    assert "Traceback" not in server.log
