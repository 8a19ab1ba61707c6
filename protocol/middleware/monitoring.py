"""Counts what happens to connections, and traces it.

The numbers, and how they are read, are in :mod:`protocol.middleware.metrics`; log lines in
:mod:`protocol.middleware.logging`.
"""

from collections.abc import Callable
from time import time_ns
from typing import Final

from opentelemetry import trace

from protocol import codes
from protocol.middleware.metrics import Metrics
from protocol.middleware.watch import Watch
from protocol.types import WIRE, ASGIApp, Receive, Scope, Send, Wire

_FAULTS: Final = frozenset({codes.INTERNAL_ERROR, codes.UNAVAILABLE, codes.TIMEOUT})
"""The outcomes that are this side's failure, and make a span an error."""


class MonitoringMiddleware:
    """Counts connections, messages, drops and bytes into ``metrics``, and writes OpenTelemetry spans.

    One span for each handshake, and one for each message with its handler's time as a child of it, where an
    OpenTelemetry SDK is configured. ``tracer_provider`` defaults to the global one.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, tracer_provider: trace.TracerProvider | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.tracer = trace.get_tracer("protocol", tracer_provider=tracer_provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        span = self.tracer.start_span("websocket connect", attributes={"url.path": scope["path"]})
        watch = _MetricsWatch(scope, self.metrics, self.tracer, span)
        await watch.follow(self.app, receive, send)


class _MetricsWatch(Watch):
    def __init__(self, scope: Scope, metrics: Metrics, tracer: trace.Tracer, handshake: trace.Span) -> None:
        super().__init__(scope)
        self._metrics = metrics
        self._tracer = tracer
        self._handshake = handshake
        self._traced = handshake.is_recording()
        self._backlogs: list[Callable[[], int]] = []

    def accepted(self, subprotocol: str | None) -> None:
        self._metrics.active += 1
        wire: Wire | None = self.scope.get("extensions", {}).get(WIRE)
        if wire is not None:
            self._waits(wire.backlog)
        self._answered("accepted")

    def attached(self, waiting: Callable[[], int]) -> None:
        super().attached(waiting)
        self._waits(waiting)

    def refused(self, status: int) -> None:
        self._handshake.set_attribute("http.response.status_code", status)
        self._answered(str(status))

    def abandoned(self) -> None:
        self._answered("abandoned")

    def closed(self, code: int, reason: str, seconds: float, *, by_peer: bool) -> None:
        self._metrics.active -= 1
        self._metrics.backlogs.difference_update(self._backlogs)
        # A peer may make up codes from 3000 to 4999; they must not make up series.
        unknown = by_peer and code >= 3000 and code not in codes.REASONS
        self._metrics.count("closes", f"{code // 1000}xxx" if unknown else str(code))

    def message_received(self, type: str) -> None:
        self._metrics.count("messages_received", type)

    def message_handled(self, type: str, outcome: str, seconds: float) -> None:
        self._metrics.count("messages_handled", type, outcome)
        self._metrics.observe_latency(type, seconds)
        if self._traced:
            self._trace(type, outcome, seconds)

    def frame_refused(self, code: str) -> None:
        self._metrics.count("frames_refused", code)

    def frames_sent(self, type: str, count: int, size: int) -> None:
        self._metrics.count("frames_sent", type, by=count)
        self._metrics.count("sent_bytes", type, by=count * size)

    def frames_dropped(self, type: str, count: int) -> None:
        self._metrics.count("frames_dropped", type, by=count)

    def closed_slow(self) -> None:
        super().closed_slow()
        self._metrics.count("slow_closes")

    def _waits(self, backlog: Callable[[], int]) -> None:
        self._backlogs.append(backlog)
        self._metrics.backlogs.add(backlog)

    def _answered(self, outcome: str) -> None:
        self._metrics.count("handshakes", outcome)
        self._handshake.end()

    def _trace(self, type: str, outcome: str, seconds: float) -> None:
        ended = time_ns()
        span = self._tracer.start_span(
            f"websocket message {type}",
            context=trace.set_span_in_context(self._handshake),
            attributes={"websocket.message.type": type, "websocket.message.outcome": outcome},
            start_time=ended - round(seconds * 1e9),
        )
        if outcome in _FAULTS:
            span.set_status(trace.StatusCode.ERROR, outcome)
        span.end(ended)
