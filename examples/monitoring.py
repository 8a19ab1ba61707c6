"""Count connections, messages, errors and latencies, for Prometheus and as JSON.

Where an OpenTelemetry SDK is set up, each handshake and message is a span too. Run it with
``protocol run examples.monitoring:app``, and look at http://127.0.0.1:8000/metrics and /health.
"""

from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol, Reject
from protocol.middleware import Metrics, MonitoringMiddleware

Number = Annotated[int, Field(ge=-(10**9), le=10**9)]


class Divide(Message, type="divide"):
    dividend: Number
    divisor: Number


class Quotient(Message, type="quotient"):
    value: float


class DivisionByZero(Reject, code="division_by_zero"): ...


calculator = MessageProtocol("Calculator")


@calculator.on(Divide, emits=Quotient, raises=DivisionByZero)
async def divide(message: Divide) -> Quotient:
    if message.divisor == 0:
        raise DivisionByZero
    return Quotient(value=message.dividend / message.divisor)


metrics = Metrics()
app = FastAPI(middleware=[Middleware(MonitoringMiddleware, metrics=metrics)])
app.include_router(calculator.router)
app.get("/metrics")(metrics.prometheus())  # needs the extra `metrics`


@app.get("/health")
async def health() -> dict[str, Any]:
    return {"status": "ok", **metrics.snapshot()}
