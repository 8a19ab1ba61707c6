"""Middleware for WebSocket applications, pure ASGI, each usable alone on any FastAPI or Starlette application.

Requests that are not WebSocket handshakes pass untouched. ``FastAPI(middleware=[…])`` lists the outermost
first; :func:`recommended` is the order that protects best, and says why.
"""

from protocol.middleware.connection_limit import ConnectionLimitMiddleware
from protocol.middleware.jwt_auth import JWTAuthMiddleware
from protocol.middleware.logging import LoggingMiddleware
from protocol.middleware.metrics import Metrics
from protocol.middleware.monitoring import MonitoringMiddleware
from protocol.middleware.origin import OriginMiddleware
from protocol.middleware.protocol import ProtocolMiddleware
from protocol.middleware.rate_limit import RateLimitMiddleware
from protocol.middleware.stack import recommended

__all__ = [
    "ConnectionLimitMiddleware",
    "JWTAuthMiddleware",
    "LoggingMiddleware",
    "Metrics",
    "MonitoringMiddleware",
    "OriginMiddleware",
    "ProtocolMiddleware",
    "RateLimitMiddleware",
    "recommended",
]
