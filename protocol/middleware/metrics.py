"""The numbers that :class:`protocol.middleware.MonitoringMiddleware` keeps, and their two outward forms.

Kept as plain numbers, so that nothing else needs to be installed; Prometheus's format is made by its own
client library (the extra ``metrics``).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from protocol.exceptions import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client import Metric

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""

_COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "handshakes": ("Handshakes, by how they ended: accepted, abandoned, or the status.", ("outcome",)),
    "closes": ("Accepted connections that ended, by close code.", ("code",)),
    "messages_received": ("Valid messages, or frames of a plain endpoint.", ("type",)),
    "messages_handled": ("Messages, by outcome: ok or an error code.", ("type", "outcome")),
    "frames_refused": ("Frames that were no message, by error code.", ("code",)),
    "frames_sent": ("Frames queued for clients.", ("type",)),
    "sent_bytes": ("Payload bytes queued for clients.", ("type",)),
    "frames_dropped": ("Frames that slow consumers lost.", ("type",)),
    "slow_closes": ("Connections that were reset because they did not read.", ()),
}
_GAUGES: Final = {
    "connections_active": "Accepted connections that are open.",
    "outbox_bytes": "Bytes for clients that the kernel has not taken yet.",
}
_LATENCY: Final = ("handler_seconds", "Time from a message's turn to its outcome.")


class Histogram:
    """How many values fell into each bucket, and their sum."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.buckets, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """Upper bound and the number of values up to it, the last of them ``+Inf``."""
        bounds = [*map(str, self.buckets), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


class Metrics:
    """What happens to all connections of the applications that count into it, in this process.

    Register it with a Prometheus registry of your own (``registry.register(metrics)``), or serve
    :meth:`prometheus`. Label values are message types, error codes and close codes that the protocol
    declares, so that no client can make up new series.
    """

    def __init__(self, *, buckets: Sequence[float] = BUCKETS) -> None:
        if not buckets or list(buckets) != sorted(set(buckets)):
            raise ConfigurationError(f"buckets must be seconds in rising order, not {buckets!r}.")
        self.active = 0
        self.backlogs: set[Callable[[], int]] = set()
        self._buckets = tuple(map(float, buckets))
        # What has no labels is there from the start, so that its first rise is seen as one.
        self._counts: dict[str, Counter[tuple[str, ...]]] = {
            name: Counter() if labels else Counter({(): 0}) for name, (_, labels) in _COUNTERS.items()
        }
        self._latency: dict[str, Histogram] = {}

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        self._counts[name][labels] += by

    def observe_latency(self, type: str, seconds: float) -> None:
        if type not in self._latency:
            self._latency[type] = Histogram(self._buckets)
        self._latency[type].observe(seconds)

    def snapshot(self) -> dict[str, Any]:
        """All numbers as JSON: one object per metric, nested by its labels."""
        return {
            **self._gauges(),
            **{name: _nested(labels, self._counts[name]) for name, (_, labels) in _COUNTERS.items()},
            _LATENCY[0]: {
                type: {"count": sum(found.counts), "sum": found.sum, "buckets": dict(found.cumulative())}
                for type, found in self._latency.items()
            },
        }

    def prometheus(self) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that serves the numbers to Prometheus: ``app.add_route("/metrics", metrics.prometheus())``.

        Raises ``ConfigurationError`` where prometheus-client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry
            from prometheus_client.exposition import choose_encoder
        except ImportError:
            raise ConfigurationError(
                "Metrics for Prometheus need prometheus-client: pip install 'fastapi-protocol[metrics]'. "
                "Metrics.snapshot() works without."
            ) from None
        registry = CollectorRegistry()
        registry.register(self)

        async def prometheus_metrics(request: Request) -> Response:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(registry), media_type=content_type)

        return prometheus_metrics

    def collect(self) -> Iterator["Metric"]:
        """The numbers, as Prometheus's client library asks a collector for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"websocket_{name}", _GAUGES[name], value=value)
        for name, (text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(f"websocket_{name}", text, labels=labels)
            for values, number in self._counts[name].items():
                counter.add_metric(values, number)
            yield counter
        histogram = HistogramMetricFamily(f"websocket_{_LATENCY[0]}", _LATENCY[1], labels=["type"])
        for type, found in self._latency.items():
            histogram.add_metric([type], found.cumulative(), found.sum)
        yield histogram

    def _gauges(self) -> dict[str, int]:
        return {
            "connections_active": self.active,
            "outbox_bytes": sum(backlog() for backlog in self.backlogs),
        }


def _nested(labels: tuple[str, ...], values: Counter[tuple[str, ...]]) -> Any:
    if not labels:
        return values[()]
    nested: dict[str, Any] = {}
    for (*outer, last), number in values.items():
        inner = nested
        for label in outer:
            inner = inner.setdefault(label, {})
        inner[last] = number
    return nested
