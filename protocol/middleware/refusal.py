"""Refusing a handshake: as an HTTP response, or as a close right after accept.

Which handshakes are refused, and why, is decided by the middleware.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from protocol import codes
from protocol.exceptions import ConfigurationError
from protocol.types import Receive, Scope, Send

Refuse = Literal["http", "close", "auto"]
"""``"http"``: an HTTP status instead of the upgrade. ``"close"``: accept, then close with a code, for browsers,
which do not show a page the status. ``"auto"``: close where the handshake has an Origin, as a browser's always
has, and answer by HTTP where it has none."""

REFUSED: Final = "protocol.refused"
"""Key in the scope of the HTTP status of a refusal; tells the middleware outside that an accept is none."""

_DENIAL: Final = "websocket.http.response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An ASGI application that refuses the WebSocket handshake it is called with.

    A server without the extension for HTTP responses (``websocket.http.response``) answers 403 instead.
    """

    status: int
    code: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    by: Refuse = "http"

    def __post_init__(self) -> None:
        if self.by not in get_args(Refuse):
            raise ConfigurationError(f"refuse must be 'http', 'close' or 'auto', not {self.by!r}.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[REFUSED] = self.status
        message = await receive()
        if message["type"] != "websocket.connect":
            return  # The client did not wait for the answer.
        close = self.by == "close" or (self.by == "auto" and "origin" in Headers(scope=scope))
        if not close and _DENIAL in scope.get("extensions", {}):
            response = JSONResponse({"detail": self.detail}, self.status, self.headers)
            await response(scope, receive, send)
            return
        if close:
            await send({"type": "websocket.accept", "subprotocol": _selected(scope), "headers": []})
        await send({"type": "websocket.close", "code": self.code, "reason": codes.REASONS.get(self.code, "")})


def _selected(scope: Scope) -> str | None:
    """A subprotocol that may be sent back; browsers fail a connection that selects none of those they offered.

    Never the one that follows ``bearer``, which is a token.
    """
    offered: list[str] = scope.get("subprotocols", [])
    return "bearer" if "bearer" in offered else next(iter(offered), None)
