"""A message limit for plain WebSocket endpoints.

The messages of a protocol are limited by its pipeline, which answers by ``ref``; how many connections may be
open is :mod:`protocol.middleware.connection_limit`'s business.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any, Final

from starlette._utils import get_route_path
from starlette.routing import compile_path

from protocol import codes
from protocol.control import Error
from protocol.exceptions import ConfigurationError
from protocol.limits import Limiter, Rate
from protocol.middleware.client import TrustedProxies, user_id
from protocol.types import ASGIApp, Receive, Scope, Send, passes

RATE: Final = Rate(10, burst=40)


def rate_limited(seconds: float) -> str:
    """The error frame of a protocol, for a frame that may be sent again in ``seconds``."""
    error = Error(
        code=codes.RATE_LIMITED,
        detail=f"Too many messages: try again in {seconds:.1f} s",
        retryable=True,
        retry_after=round(seconds, 3),
    )
    return error.model_dump_json(exclude_none=True)


class RateLimitMiddleware:
    """Keeps frames above ``rate`` away from the endpoint, and answers each with what ``answer`` returns.

    Counted per user where authentication outside has left one, otherwise per address (an IPv6 address as its
    /64), in one table for all connections: a reconnect resets nothing. ``answer`` gets the seconds to wait;
    a ``str`` is sent as text, ``bytes`` as binary.

    ``paths``: the routes it applies to, such as ``"/echo/{name}"``; by default all. Those of a protocol have
    their own limits. ``capacity`` bounds the table, see :class:`protocol.limits.Limiter`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rate: Rate = RATE,
        paths: Iterable[str] | None = None,
        answer: Callable[[float], str | bytes] = rate_limited,
        capacity: int = 100_000,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        if isinstance(paths, str):
            raise ConfigurationError(f"paths is a list of paths, not {paths!r}.")
        self.app = app
        self.answer = answer
        self.proxies = TrustedProxies(trusted_proxies)
        self.limiter = Limiter(rate, capacity=capacity)
        self._paths = None if paths is None else [compile_path(path)[0] for path in paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or not self._applies(scope):
            await self.app(scope, receive, send)
            return
        key = self._key(scope)
        loop = asyncio.get_running_loop()
        closed = False

        async def receive_within_rate() -> MutableMapping[str, Any]:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return message
                wait = self.limiter.take(key, loop.time())
                if not wait:
                    return message
                if not closed:
                    # The peer or the server may have ended the connection: the next event says so.
                    with suppress(OSError, RuntimeError):
                        await send(self._answered(wait))

        async def send_noting_close(message: MutableMapping[str, Any]) -> None:
            nonlocal closed
            closed = closed or message["type"] == "websocket.close"
            await send(message)

        await self.app(scope, receive_within_rate, passes(send_noting_close, send))

    def _applies(self, scope: Scope) -> bool:
        return self._paths is None or any(path.match(get_route_path(scope)) for path in self._paths)

    def _key(self, scope: Scope) -> Hashable:
        user = user_id(scope)
        return ("address", self.proxies.network(scope)) if user is None else ("user", user)

    def _answered(self, wait: float) -> dict[str, Any]:
        answer = self.answer(wait)
        return {"type": "websocket.send", "text" if isinstance(answer, str) else "bytes": answer}
