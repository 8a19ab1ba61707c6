"""The ``Origin`` check of WebSocket handshakes.

CORS does not apply to WebSockets: any page may open a socket to any server, and the browser sends the cookies
along. HTTP requests pass untouched; they have CORS.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers

from protocol import codes
from protocol.exceptions import ConfigurationError
from protocol.middleware.refusal import Refusal, Refuse
from protocol.types import ASGIApp, Receive, Scope, Send

# As browsers serialise an origin (WHATWG HTML, section 7.1.1): scheme, host and port, nothing else.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]*[a-z0-9_-])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class OriginMiddleware:
    """Refuses handshakes from other pages' origins, with 403.

    Stands outside authentication, so that a foreign page learns nothing about the cookies it rides on.

    ``origins``: the origins that may connect, such as ``"https://example.com"``, compared as a whole: scheme,
    host and port. Without a list: same origin, that is, the ``Host`` of the request. That keeps foreign pages
    out, but not a foreign name which resolves to this server (DNS rebinding), for such a page sends its own
    name as ``Host`` too. List the origins in production, or check ``Host`` with ``TrustedHostMiddleware``.

    ``missing``: whether a handshake without ``Origin`` passes. Browsers always send one; other clients don't.
    ``null``: whether ``Origin: null`` passes, which any page can send from a sandboxed frame.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Iterable[str] | None = None,
        missing: bool = True,
        null: bool = False,
        refuse: Refuse = "http",
    ) -> None:
        if isinstance(origins, str):
            raise ConfigurationError(f"origins is a list of origins, not {origins!r}.")
        self.app = app
        self.origins = None if origins is None else frozenset(_declared(origin) for origin in origins)
        self.missing = missing
        self.null = null
        self.refusal = Refusal(status=403, code=codes.CLOSE_FORBIDDEN, detail="Origin not allowed", by=refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or self._allows(scope):
            await self.app(scope, receive, send)
        else:
            await self.refusal(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        sent = Headers(scope=scope).getlist("origin")
        if not sent:
            return self.missing
        if len(sent) > 1:
            return False
        if sent == ["null"]:
            return self.null
        if self.origins is not None:
            return sent[0] in self.origins
        return sent[0] == _own_origin(scope)


def _own_origin(scope: Scope) -> str | None:
    hosts = Headers(scope=scope).getlist("host")
    if len(hosts) != 1:
        return None
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return _serialised(f"{scheme}://{hosts[0]}")


def _declared(origin: str) -> str:
    serialised = _serialised(origin)
    if serialised is None:
        raise ConfigurationError(
            f"origins: expected scheme://host or scheme://host:port, a name in another script as punycode, "
            f"not {origin!r}."
        )
    return serialised


def _serialised(origin: str) -> str | None:
    """``origin`` as a browser would write it, or ``None``."""
    match = _ORIGIN.fullmatch(origin.lower()) if origin.isascii() else None
    if match is None:
        return None
    scheme, host, port = match.groups()
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"
