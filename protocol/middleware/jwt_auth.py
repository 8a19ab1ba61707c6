"""Authentication by JSON Web Token, before accept and for as long as the token lasts.

What a valid token is, and where a handshake carries it, is in :mod:`protocol.middleware.tokens`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, get_args

from protocol import codes
from protocol.exceptions import ConfigurationError
from protocol.middleware.redaction import redact_logs
from protocol.middleware.refusal import Refusal, Refuse
from protocol.middleware.tokens import InvalidToken, Key, Source, Token, TokenReader, find_token
from protocol.types import VERIFIER, ASGIApp, Receive, Scope, Send, User, passes


class TokenExpired(OSError):
    """Raised into an application that sends after its connection was closed for an expired token.

    An ``OSError``, as servers raise for a peer that is gone, so that what ends on that ends on this.
    """


class JWTAuthMiddleware:
    """Refuses handshakes without a valid token, with 401, and closes connections whose token runs out.

    The user is in ``scope["user"]``. At expiry the connection is closed with 3005: nothing that arrives later
    reaches the application, and nothing that it sends later reaches the client. A fresh token for the same
    user moves the expiry: the ``authenticate`` message of a protocol, or ``await scope["protocol.verifier"](token)``.

    ``key``: the secret, or the public key; ``algorithms``: those of its one family that are accepted.
    ``audience``, ``issuer``: required and compared when given.
    ``sources``: where a token is looked for, in that order, the first one found decides: the header
    ``Authorization: Bearer``, the subprotocols ``bearer, <token>`` (``bearer`` is selected unless the
    application selects another; the token is taken out of ``scope["subprotocols"]``, so it is never sent
    back), the query parameter and the cookie ``name``. A cookie comes along from foreign pages too, so it
    needs ``OriginMiddleware``; a query is written into the logs of proxies (uvicorn's own log is redacted).
    ``required=False`` lets handshakes without a token pass, without a user; the verifier then takes any first
    token, for a plain endpoint that asks for it. A protocol's connection stays what it was at accept: there
    ``authenticate`` only refreshes. A token that is presented must be valid all the same.
    ``revoked`` is asked about every user whose token is valid; one that is revoked later is disconnected by
    ``chat.users[id].disconnect(…)``.
    ``now`` is the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        key: Key,
        algorithms: Sequence[str] = ("HS256",),
        audience: str | Iterable[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 0.0,
        sources: Sequence[Source] = get_args(Source),
        name: str = "token",
        required: bool = True,
        revoked: Callable[[User], Awaitable[bool]] | None = None,
        refuse: Refuse = "http",
        now: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(sources, str) or not sources or not set(sources) <= set(get_args(Source)):
            raise ConfigurationError(
                f"sources must list one or more of {', '.join(get_args(Source))}, not {sources!r}."
            )
        self.app = app
        self.reader = TokenReader(key, algorithms=algorithms, audience=audience, issuer=issuer, leeway=leeway)
        self.sources = tuple(sources)
        self.name = name
        self.required = required
        self.revoked = revoked
        self.now = now
        self.missing = _refusal("Not authenticated", "Bearer", refuse)
        self.invalid = _refusal("Invalid token", 'Bearer error="invalid_token"', refuse)
        if "query" in sources:
            redact_logs(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        session = _Session(self, scope, send)
        try:
            text = find_token(scope, self.sources, self.name)
            if text is not None:
                session.use(await self.verify(text))
        except InvalidToken:
            await self.invalid(scope, receive, send)
            return
        if text is None and self.required:
            await self.missing(scope, receive, send)
            return
        scope[VERIFIER] = session
        await session.run(receive)

    async def verify(self, text: str) -> Token:
        """Return the token; raises ``InvalidToken`` for one that is not valid now, or is revoked."""
        token = self.reader.read(text, self.now())
        if self.revoked is not None and await self.revoked(token.user):
            raise InvalidToken("revoked")
        return token


def _refusal(detail: str, challenge: str, refuse: Refuse) -> Refusal:
    headers = {"WWW-Authenticate": challenge}  # RFC 6750, section 3
    return Refusal(status=401, code=codes.INVALID_TOKEN, detail=detail, headers=headers, by=refuse)


class _Session:
    """The token of one connection: takes fresh ones in band, and closes when the last one has run out."""

    def __init__(self, middleware: JWTAuthMiddleware, scope: Scope, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._token: Token | None = None
        self._open = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __call__(self, token: str) -> User | None:
        try:
            fresh = await self._middleware.verify(token)
        except InvalidToken:
            return None
        if self._closing is not None or (self._token is not None and self._token.user.id != fresh.user.id):
            return None
        self.use(fresh)
        return fresh.user

    def use(self, token: Token) -> None:
        """From now on the connection speaks for this user, and lasts as long as this token."""
        self._token = token
        self._scope["user"] = token.user
        if self._open:
            self._watch()

    async def run(self, receive: Receive) -> None:
        bearer = "subprotocol" in self._middleware.sources and self._take_out_token()

        async def receive_until_expiry() -> MutableMapping[str, Any]:
            message = await receive()
            if self._closing is not None and message["type"] == "websocket.receive":
                return {"type": "websocket.disconnect", **_EXPIRED}
            return message

        async def send_until_expiry(message: MutableMapping[str, Any]) -> None:
            if self._closing is not None:
                raise TokenExpired("The connection was closed: its token has expired.")
            if message["type"] == "websocket.close":
                self._end()
            if bearer and message["type"] == "websocket.accept" and not message.get("subprotocol"):
                message = {**message, "subprotocol": "bearer"}
            await self._send(message)
            if message["type"] == "websocket.accept":
                self._open = True
                self._watch()

        try:
            await self._middleware.app(
                self._scope, receive_until_expiry, passes(send_until_expiry, self._send)
            )
        except TokenExpired:
            pass
        finally:
            self._end()
            if self._closing is not None:
                await self._closing

    def _take_out_token(self) -> bool:
        """Leave the application the subprotocols that it may select; return whether ``bearer`` was offered."""
        offered: list[str] = self._scope.get("subprotocols", [])
        if "bearer" not in offered:
            return False
        at = offered.index("bearer")
        self._scope["subprotocols"] = offered[:at] + offered[at + 2 :]
        return True

    def _watch(self) -> None:
        """Set the timer to the token's end."""
        if self._timer is not None:
            self._timer.cancel()
        if self._token is not None:
            wait = max(0.0, self._token.expires - self._middleware.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        assert self._token is not None
        if self._token.expires > self._middleware.now():  # The wall clock was set back.
            self._watch()
            return
        self._end()
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        # Servers raise either when the peer, or they themselves, have ended the connection in the meantime.
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", **_EXPIRED})

    def _end(self) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_EXPIRED = {"code": codes.TOKEN_EXPIRED, "reason": codes.REASONS[codes.TOKEN_EXPIRED]}
