"""Log lines about connections, never about what is in their messages.

Counting for dashboards is :mod:`protocol.middleware.monitoring`'s.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final

from protocol.middleware.client import TrustedProxies, user_id
from protocol.middleware.redaction import redact_logs
from protocol.middleware.watch import Watch
from protocol.types import ASGIApp, Receive, Scope, Send

logger: Final = logging.getLogger("protocol.access")

_numbers = count(1)


class LoggingMiddleware:
    """Writes up to three lines per connection to the logger ``protocol.access``.

    ``attempt``; ``accepted``, ``refused`` (a warning, with the status) or ``abandoned``; ``closed``, with code,
    reason, seconds since accept, and messages by type. Each record has these as attributes too, for structured
    formatters: ``event``, ``connection`` (a number that the lines of one connection share), ``client``, ``path``,
    ``user``, and the event's own. Names and reasons are shortened, and escaped where they cannot be
    printed. Payloads, queries and headers are never logged, and in the lines that uvicorn writes the query
    parameters and cookies named in ``redact``, and bearer tokens, are masked.
    """

    def __init__(
        self, app: ASGIApp, *, trusted_proxies: Iterable[str] = (), redact: Iterable[str] = ("token",)
    ) -> None:
        self.app = app
        self.proxies = TrustedProxies(trusted_proxies)
        redact_logs(*redact)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        watch = _LogWatch(scope, self.proxies)
        watch.log(logging.INFO, "attempt")
        await watch.follow(self.app, receive, send)


class _LogWatch(Watch):
    def __init__(self, scope: Scope, proxies: TrustedProxies) -> None:
        super().__init__(scope)
        self._known = {
            "connection": next(_numbers),
            "client": str(proxies.client(scope) or "unknown"),
            "path": escaped(scope["path"]),
        }
        self._received: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def log(self, level: int, event: str, **fields: object) -> None:
        user = user_id(self.scope)
        known = {**self._known, "user": None if user is None else escaped(user), **fields}
        line = " ".join(f"{name}={_shown(value)}" for name, value in known.items() if value not in (None, {}))
        logger.log(level, "%s %s", event, line, extra={"event": event, **known})

    def accepted(self, subprotocol: str | None) -> None:
        self.log(logging.INFO, "accepted", subprotocol=subprotocol and escaped(subprotocol))

    def refused(self, status: int) -> None:
        self.log(logging.WARNING, "refused", status=status)

    def abandoned(self) -> None:
        self.log(logging.INFO, "abandoned")

    def closed(self, code: int, reason: str, seconds: float, *, by_peer: bool) -> None:
        self.log(
            logging.INFO,
            "closed",
            code=code,
            reason=escaped(reason),
            by="peer" if by_peer else "server",
            seconds=round(seconds, 3),
            received=dict(self._received),
            errors=dict(self._errors),
            sent=dict(self._sent),
            dropped=dict(self._dropped),
        )

    def message_received(self, type: str) -> None:
        self._received[type] += 1

    def message_handled(self, type: str, outcome: str, seconds: float) -> None:
        if outcome != "ok":
            self._errors[outcome] += 1

    def frame_refused(self, code: str) -> None:
        self._errors[code] += 1

    def frames_sent(self, type: str, count: int, size: int) -> None:
        self._sent[type] += count

    def frames_dropped(self, type: str, count: int) -> None:
        self._dropped[type] += count


def escaped(text: str, *, limit: int = 200) -> str:
    """``text``, shortened to ``limit`` characters, with an escape for all that could forge or hide a line's parts."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(
        c if c.isprintable() and c not in '"\\' else f"\\{c}" if c in '"\\' else ascii(c)[1:-1] for c in shown
    )


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return ",".join(f"{type}:{count}" for type, count in value.items())
    return str(value)
