"""What an error that left the application's code becomes: an error frame, a close, or an HTTP status.

Verdicts only; who sends them is the dispatcher's and the middleware's matter.
"""

import secrets
from typing import Final

from starlette.exceptions import HTTPException

from protocol import codes
from protocol.exceptions import Reject, RemoteProtocolError
from protocol.pipeline import Failure

_FROM_HTTP: Final = {
    400: codes.INVALID_MESSAGE,
    422: codes.INVALID_MESSAGE,
    401: codes.UNAUTHENTICATED,
    403: codes.FORBIDDEN,
    404: codes.NOT_FOUND,
    409: codes.CONFLICT,
    429: codes.RATE_LIMITED,
    503: codes.UNAVAILABLE,
}

_TO_HTTP: Final = {
    codes.UNAUTHENTICATED: 401,
    codes.NOT_FOUND: 404,
    codes.RATE_LIMITED: 429,
    codes.TOO_MANY_ROOMS: 429,
    codes.TIMEOUT: 503,
    codes.UNAVAILABLE: 503,
    codes.INTERNAL_ERROR: 503,
}

_TO_CLOSE: Final = {
    codes.UNAUTHENTICATED: codes.INVALID_TOKEN,
    codes.FORBIDDEN: codes.CLOSE_FORBIDDEN,
    codes.INTERNAL_ERROR: codes.INSUFFICIENT_STATE,
    codes.TIMEOUT: codes.INSUFFICIENT_STATE,
    codes.UNAVAILABLE: codes.INSUFFICIENT_STATE,
}


def failure_of(error: BaseException) -> Failure:
    """What ``error`` says to the client; anything unknown is an ``internal_error`` with an id for the log."""
    if isinstance(error, RemoteProtocolError | Reject):
        return Failure.of(error)
    if isinstance(error, HTTPException) and error.status_code in _FROM_HTTP:
        code = _FROM_HTTP[error.status_code]
        return Failure(code, str(error.detail), code in codes.RETRYABLE, retry_after=_retry_after(error))
    if isinstance(error, TimeoutError):
        return Failure(codes.TIMEOUT, "It took too long.", retryable=True)
    return Failure(codes.INTERNAL_ERROR, "Something went wrong here.", error_id=secrets.token_hex(8))


def status_of(code: str) -> int:
    """The HTTP status that refuses a handshake for an error with ``code``."""
    return _TO_HTTP.get(code, 403)


def close_of(code: str) -> int:
    """The close code of a connection that cannot go on after an error with ``code``."""
    return _TO_CLOSE.get(code, codes.BAD_REQUEST)


def _retry_after(error: HTTPException) -> float | None:
    """The seconds of a ``Retry-After``; its other form, a date, is left out."""
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
