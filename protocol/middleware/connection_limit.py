"""How many connections may be open at once: per user, per address, in all.

How often an open one may send is :mod:`protocol.middleware.rate_limit`'s business.
"""

from collections.abc import Hashable, Iterable, Iterator
from math import ceil

from protocol import codes
from protocol.exceptions import ConfigurationError, check_count, check_positive
from protocol.middleware.client import TrustedProxies, user_id
from protocol.middleware.refusal import Refusal, Refuse
from protocol.types import VERIFIER, ASGIApp, Receive, Scope, Send


class ConnectionLimitMiddleware:
    """Refuses handshakes above a limit, with 429 and ``Retry-After``.

    A connection counts from its handshake to its end, so that a flood of handshakes is held back too; one
    that is refused, here or further in, counts no more. An IPv6 address counts as its /64.

    ``per_address`` and ``total`` need no user: they belong outside authentication, and spare it the work.
    ``per_user`` needs one: it belongs inside. Whoever wants both lists this middleware twice, as
    :func:`protocol.middleware.recommended` does. ``None`` means no limit; anonymous connections have no limit
    per user.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        per_user: int | None = None,
        per_address: int | None = 100,
        total: int | None = None,
        trusted_proxies: Iterable[str] = (),
        retry_after: float = 10.0,
        refuse: Refuse = "http",
    ) -> None:
        for name, limit in (("per_user", per_user), ("per_address", per_address), ("total", total)):
            check_count(f"ConnectionLimitMiddleware({name}=…)", limit, or_none=True)
        check_positive("ConnectionLimitMiddleware(retry_after=…)", retry_after, "seconds")
        self.app = app
        self.per_user = per_user
        self.per_address = per_address
        self.total = total
        self.proxies = TrustedProxies(trusted_proxies)
        self.refusal = Refusal(
            status=429,
            code=codes.CONNECTION_LIMIT,
            detail="Too many connections",
            headers={"Retry-After": str(ceil(retry_after))},
            by=refuse,
        )
        self._open: dict[Hashable, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        limits = dict(self._limits(scope))
        if any(self._open.get(key, 0) >= limit for key, limit in limits.items()):
            await self.refusal(scope, receive, send)
            return
        for key in limits:
            self._open[key] = self._open.get(key, 0) + 1
        try:
            await self.app(scope, receive, send)
        finally:
            for key in limits:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]

    def _limits(self, scope: Scope) -> Iterator[tuple[Hashable, int]]:
        """What this connection counts against, and how many may."""
        if self.total is not None:
            yield "total", self.total
        if self.per_address is not None:
            yield ("address", self.proxies.network(scope)), self.per_address
        if self.per_user is not None:
            if "user" not in scope and VERIFIER not in scope:
                raise ConfigurationError(
                    f"ConnectionLimitMiddleware(per_user={self.per_user}) sees no user: list it after the "
                    f"middleware that authenticates, such as JWTAuthMiddleware."
                )
            user = user_id(scope)
            if user is not None:
                yield ("user", user), self.per_user
