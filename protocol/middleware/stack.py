"""The middleware that a served application should have, in the order in which it protects best."""

from collections.abc import Iterable

from starlette.middleware import Middleware

from protocol.middleware.connection_limit import ConnectionLimitMiddleware
from protocol.middleware.logging import LoggingMiddleware
from protocol.middleware.metrics import Metrics
from protocol.middleware.monitoring import MonitoringMiddleware
from protocol.middleware.origin import OriginMiddleware
from protocol.middleware.refusal import Refuse


def recommended(
    auth: Middleware,
    *,
    origins: Iterable[str] | None = None,
    per_user: int | None = 20,
    per_address: int | None = 100,
    total: int | None = None,
    trusted_proxies: Iterable[str] = (),
    metrics: Metrics | None = None,
    refuse: Refuse = "http",
) -> list[Middleware]:
    """The stack around ``auth``, outermost first, as ``FastAPI(middleware=recommended(…))`` takes it.

    1. Monitoring (with ``metrics``) and logging see everything, refusals too.
    2. The origin check costs next to nothing, and a foreign page must not learn what its visitor's cookie
       is worth.
    3. The limits per address and in all hold a flood back before a signature is checked for it.
    4. Authentication, such as ``Middleware(JWTAuthMiddleware, key=…)``.
    5. The limit per user, which needs one.

    With ``refuse="auto"`` a foreign page is still refused by HTTP: it has nothing to learn from a code.

    The result is an ordinary list, to be changed as one likes. With ``app.add_middleware`` the order is the
    reverse, as the last one added is the outermost.
    """
    proxies = tuple(trusted_proxies)
    stack = [] if metrics is None else [Middleware(MonitoringMiddleware, metrics=metrics)]
    stack += [
        Middleware(LoggingMiddleware, trusted_proxies=proxies),
        Middleware(OriginMiddleware, origins=origins, refuse="http" if refuse == "auto" else refuse),
        Middleware(
            ConnectionLimitMiddleware,
            per_address=per_address,
            total=total,
            trusted_proxies=proxies,
            refuse=refuse,
        ),
        auth,
        Middleware(ConnectionLimitMiddleware, per_user=per_user, per_address=None, refuse=refuse),
    ]
    return stack
