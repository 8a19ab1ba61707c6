import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from opentelemetry import trace
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol
from protocol.middleware import Metrics, MonitoringMiddleware, OriginMiddleware
from protocol.testing import Client, settle
from protocol.types import OBSERVERS, WIRE, ASGIApp, Observer, Receive, Scope, Send
from tests.middleware.peer import Peer, assert_others_pass
from tests.misdeclared import refusal

EVIL = [("origin", "https://evil.example")]


def create_app(metrics: Metrics, **options: object) -> FastAPI:
    app = FastAPI(
        middleware=[
            Middleware(MonitoringMiddleware, metrics=metrics, **options),  # type: ignore[arg-type]
            Middleware(OriginMiddleware, origins=[]),
        ]
    )

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            if text == "close":
                await websocket.close(4000)
                return
            await websocket.send_text(text)

    return app


def reporting(report: Callable[[Observer], None]) -> ASGIApp:
    """A protocol, as far as an observer can tell."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for observer in scope[OBSERVERS]:
            observer.attached(int)
        await receive()
        for observer in scope[OBSERVERS]:
            report(observer)
        await send({"type": "websocket.send", "text": "{}"})

    return app


def busy(observer: Observer) -> None:
    observer.message_received("say")
    observer.message_handled("say", "ok", 0.003)
    observer.message_received("say")
    observer.message_handled("say", "rate_limited", 0.0)
    observer.message_received("say")
    observer.message_handled("say", "internal_error", 99.0)
    observer.frame_refused("malformed_frame")
    observer.frames_sent("say", 2, 50)
    observer.frames_dropped("tick", 3)
    observer.closed_slow()


async def watched(app: ASGIApp, **options: Any) -> None:
    async with Peer(app, **options) as peer:
        assert await peer.handshake() == 101
        peer.send("{}")
        await peer.next()


async def get(app: ASGIApp, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


async def test_connections_and_frames_of_a_plain_endpoint_are_counted() -> None:
    metrics = Metrics()
    app = create_app(metrics)
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        assert metrics.snapshot()["connections_active"] == 1
        peer.send("hällo")
        assert await peer.text() == "hällo"
        peer.send("close")
        assert await peer.close() == (4000, "")
    async with Peer(app, headers=EVIL) as peer:
        assert await peer.handshake() == 403
    async with Peer(app) as peer:
        assert await peer.handshake() == 101
        peer.leave(1001)
        assert await peer.next() == {"type": "end"}
    assert metrics.snapshot() == {
        "connections_active": 0,
        "outbox_bytes": 0,
        "handshakes": {"accepted": 2, "403": 1},
        "closes": {"4000": 1, "1001": 1},
        "messages_received": {"text": 2},
        "messages_handled": {},
        "frames_refused": {},
        "frames_sent": {"text": 1},
        "sent_bytes": {"text": 6},
        "frames_dropped": {},
        "slow_closes": 0,
        "handler_seconds": {},
    }


async def test_what_a_protocol_reports_is_counted_once() -> None:
    metrics = Metrics(buckets=[0.001, 0.01, 1])
    await watched(MonitoringMiddleware(reporting(busy), metrics=metrics))
    found = metrics.snapshot()
    latency = found.pop("handler_seconds")
    assert found == {
        "connections_active": 0,
        "outbox_bytes": 0,
        "handshakes": {"accepted": 1},
        "closes": {"3008": 1},
        "messages_received": {"say": 3},
        "messages_handled": {"say": {"ok": 1, "rate_limited": 1, "internal_error": 1}},
        "frames_refused": {"malformed_frame": 1},
        "frames_sent": {"say": 2},
        "sent_bytes": {"say": 100},
        "frames_dropped": {"tick": 3},
        "slow_closes": 1,
    }
    assert latency == {
        "say": {
            "count": 3,
            "sum": pytest.approx(99.003),
            "buckets": {"0.001": 1, "0.01": 2, "1.0": 2, "+Inf": 3},
        }
    }
    json.dumps(found)


async def test_two_middlewares_of_one_application_both_see_everything() -> None:
    inner, outer = Metrics(), Metrics()
    await watched(MonitoringMiddleware(MonitoringMiddleware(reporting(busy), metrics=inner), metrics=outer))
    assert inner.snapshot() == outer.snapshot()


async def test_a_client_that_left_early_is_counted_as_such() -> None:
    metrics = Metrics()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with Peer(MonitoringMiddleware(app, metrics=metrics)):
        pass
    assert metrics.snapshot()["handshakes"] == {"abandoned": 1}
    assert metrics.snapshot()["connections_active"] == 0


async def test_close_codes_that_a_peer_makes_up_make_up_no_series() -> None:
    metrics = Metrics()
    app = create_app(metrics)
    for code in (1000, 1001, 3001, 3999, 4000, 4001, 4999):
        async with Peer(app) as peer:
            assert await peer.handshake() == 101
            peer.leave(code)
            assert await peer.next() == {"type": "end"}
    assert metrics.snapshot()["closes"] == {"1000": 1, "1001": 1, "3001": 1, "3xxx": 1, "4xxx": 3}


async def test_what_the_kernel_has_not_taken_is_read_from_the_servers_wire() -> None:
    class Wire:
        def backlog(self) -> int:
            return 70_000

    metrics = Metrics()
    extensions = {WIRE: Wire(), "websocket.http.response": {}}
    async with Peer(create_app(metrics)) as peer:
        peer.scope["extensions"] = extensions
        assert await peer.handshake() == 101
        assert metrics.snapshot()["outbox_bytes"] == 70_000
    assert metrics.snapshot()["outbox_bytes"] == 0


class Tick(Message, type="tick"):
    number: int


@pytest.mark.parametrize("wire", [False, True], ids=["send", "wire"])
async def test_what_waits_in_the_outbox_of_a_client_that_does_not_read_counts(wire: bool) -> None:
    metrics = Metrics()
    clock = MessageProtocol("Clock", sends=Tick)
    app = FastAPI(middleware=[Middleware(MonitoringMiddleware, metrics=metrics)])
    app.include_router(clock.router)
    async with Client(app, user="ann", wire=wire) as client:
        client.pause()
        for number in range(3):
            await clock.users["ann"].send(Tick(number=number))
        await settle()
        assert metrics.snapshot()["outbox_bytes"] == 3 * len('{"type":"tick","number":0}')
        client.resume()
        await client.expect(Tick, number=2)
        assert metrics.snapshot()["outbox_bytes"] == 0
        client.pause()
        await clock.users["ann"].send(Tick(number=3))
    assert metrics.backlogs == set()


async def test_the_numbers_are_served_to_prometheus() -> None:
    metrics = Metrics(buckets=[0.01, 1])
    await watched(MonitoringMiddleware(reporting(busy), metrics=metrics))
    app = FastAPI()
    app.add_route("/metrics", metrics.prometheus())
    response = await get(app, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *dict(sorted(sample.labels.items(), reverse=True)).values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples == {
        ("websocket_connections_active",): 0,
        ("websocket_outbox_bytes",): 0,
        ("websocket_handshakes_total", "accepted"): 1,
        ("websocket_closes_total", "3008"): 1,
        ("websocket_messages_received_total", "say"): 3,
        ("websocket_messages_handled_total", "say", "ok"): 1,
        ("websocket_messages_handled_total", "say", "rate_limited"): 1,
        ("websocket_messages_handled_total", "say", "internal_error"): 1,
        ("websocket_frames_refused_total", "malformed_frame"): 1,
        ("websocket_frames_sent_total", "say"): 2,
        ("websocket_sent_bytes_total", "say"): 100,
        ("websocket_frames_dropped_total", "tick"): 3,
        ("websocket_slow_closes_total",): 1,
        ("websocket_handler_seconds_bucket", "say", "0.01"): 2,
        ("websocket_handler_seconds_bucket", "say", "1.0"): 2,
        ("websocket_handler_seconds_bucket", "say", "+Inf"): 3,
        ("websocket_handler_seconds_count", "say"): 3,
        ("websocket_handler_seconds_sum", "say"): pytest.approx(99.003),
    }


async def test_a_scraper_may_ask_for_openmetrics() -> None:
    app = FastAPI()
    app.add_route("/metrics", Metrics().prometheus())
    response = await get(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")


def test_the_numbers_can_be_registered_elsewhere() -> None:
    registry = CollectorRegistry()
    registry.register(Metrics())
    assert registry.get_sample_value("websocket_connections_active") == 0


def test_without_prometheus_client_the_remedy_is_named_and_the_snapshot_works() -> None:
    script = """
import sys
sys.modules["prometheus_client"] = None
from protocol.middleware import Metrics
Metrics().snapshot()
try:
    Metrics().prometheus()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "ConfigurationError Metrics for Prometheus need prometheus-client: "
        "pip install 'fastapi-protocol[metrics]'. Metrics.snapshot() works without.\n"
    )


@pytest.mark.parametrize("buckets", [[], [1, 1], [2, 1]])
def test_buckets_rise(buckets: list[float]) -> None:
    assert refusal(lambda: Metrics(buckets=buckets)) == (
        f"buckets must be seconds in rising order, not {buckets!r}."
    )


class Span(trace.NonRecordingSpan):
    """One that remembers."""

    def __init__(self, name: str, parent: object, start: int | None, attributes: dict[str, object]) -> None:
        super().__init__(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1)))
        self.name = name
        self.parent = parent
        self.start = start
        self.ended: int | None = None
        self.attributes = dict(attributes)
        self.status: object = None

    def is_recording(self) -> bool:
        return self.ended is None

    def set_attribute(self, key: str, value: object) -> None:
        self.attributes[key] = value

    def set_status(self, status: object, description: str | None = None) -> None:
        self.status = (status, description)

    def end(self, end_time: int | None = None) -> None:
        self.ended = -1 if end_time is None else end_time


class Tracer(trace.NoOpTracer):
    def __init__(self) -> None:
        self.spans: list[Span] = []

    def start_span(self, name: str, context: Any = None, *_: Any, **options: Any) -> Span:
        span = Span(name, trace.get_current_span(context), options.get("start_time"), options["attributes"])
        self.spans.append(span)
        return span


class Provider(trace.NoOpTracerProvider):
    def __init__(self) -> None:
        self.tracer = Tracer()

    def get_tracer(self, *_: object, **__: object) -> Tracer:
        return self.tracer


async def test_a_span_for_the_handshake_and_one_for_each_message() -> None:
    provider = Provider()
    app = MonitoringMiddleware(reporting(busy), metrics=Metrics(), tracer_provider=provider)
    await watched(app, query="token=secret")
    handshake, *messages = provider.tracer.spans
    assert (handshake.name, handshake.attributes) == ("websocket connect", {"url.path": "/ws"})
    assert handshake.ended is not None
    assert [span.name for span in messages] == ["websocket message say"] * 3
    assert all(span.parent is handshake for span in messages)
    assert messages[0].attributes == {"websocket.message.type": "say", "websocket.message.outcome": "ok"}
    assert [span.status for span in messages] == [None, None, (StatusCode.ERROR, "internal_error")]
    seconds = [((span.ended or 0) - (span.start or 0)) / 1e9 for span in messages]
    assert seconds == pytest.approx([0.003, 0.0, 99.0])


async def test_a_refused_handshake_has_its_status_in_the_span() -> None:
    provider = Provider()
    async with Peer(create_app(Metrics(), tracer_provider=provider), headers=EVIL) as peer:
        assert await peer.handshake() == 403
    (handshake,) = provider.tracer.spans
    assert handshake.attributes == {"url.path": "/ws", "http.response.status_code": 403}
    assert handshake.ended is not None


async def test_http_and_lifespan_pass_untouched() -> None:
    await assert_others_pass(lambda app: MonitoringMiddleware(app, metrics=Metrics()))
