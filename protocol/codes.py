"""The vocabulary of failures on the wire: error codes and close codes.

Error codes go into the ``code`` of an error frame and leave the connection open; close codes end it.
The close codes are Centrifugo's, so that a client decides from the number alone whether to reconnect
(https://centrifugal.dev/docs/server/codes). What raises them is in :mod:`protocol.exceptions`.
"""

from typing import Final

# Error codes.
MALFORMED_FRAME: Final = "malformed_frame"
UNKNOWN_TYPE: Final = "unknown_type"
INVALID_MESSAGE: Final = "invalid_message"
NOT_A_MEMBER: Final = "not_a_member"
UNAUTHENTICATED: Final = "unauthenticated"
FORBIDDEN: Final = "forbidden"
NOT_FOUND: Final = "not_found"
CONFLICT: Final = "conflict"
RATE_LIMITED: Final = "rate_limited"
TOO_MANY_ROOMS: Final = "too_many_rooms"
CANCELLED: Final = "cancelled"
UNAVAILABLE: Final = "unavailable"
TIMEOUT: Final = "timeout"
INTERNAL_ERROR: Final = "internal_error"

ERROR_CODES: Final = (
    MALFORMED_FRAME,
    UNKNOWN_TYPE,
    INVALID_MESSAGE,
    NOT_A_MEMBER,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    CONFLICT,
    RATE_LIMITED,
    TOO_MANY_ROOMS,
    CANCELLED,
    UNAVAILABLE,
    TIMEOUT,
    INTERNAL_ERROR,
)
"""Every code that the framework itself sends; applications declare more by subclassing ``Reject``."""

RETRYABLE: Final = frozenset({RATE_LIMITED, UNAVAILABLE, TIMEOUT})
"""The built-in codes after which the same message may succeed if it is sent again."""

BROKEN_FRAME: Final = frozenset({MALFORMED_FRAME, UNKNOWN_TYPE, INVALID_MESSAGE})
"""The codes that count against a connection's tolerance for broken frames."""

# Close codes of RFC 6455, section 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_UTF8: Final = 1007
TOO_BIG: Final = 1009

# 3000 to 3499: reconnect.
SHUTDOWN: Final = 3001
TOKEN_EXPIRED: Final = 3005
SLOW: Final = 3008
INSUFFICIENT_STATE: Final = 3010

# 3500 to 3999: do not reconnect.
INVALID_TOKEN: Final = 3500
BAD_REQUEST: Final = 3501
CONNECTION_LIMIT: Final = 3504
CLOSE_FORBIDDEN: Final = 3507
TOO_MANY_ERRORS: Final = 3509

REASONS: Final = {
    NORMAL: "normal closure",
    GOING_AWAY: "going away",
    PROTOCOL_ERROR: "protocol error",
    INVALID_UTF8: "invalid UTF-8",
    TOO_BIG: "message too big",
    SHUTDOWN: "shutdown",
    TOKEN_EXPIRED: "token expired",
    SLOW: "slow consumer",
    INSUFFICIENT_STATE: "insufficient state",
    INVALID_TOKEN: "invalid token",
    BAD_REQUEST: "bad request",
    CONNECTION_LIMIT: "connection limit",
    CLOSE_FORBIDDEN: "forbidden",
    TOO_MANY_ERRORS: "too many errors",
}
"""The default close reason of each code."""


def reconnects(code: int) -> bool:
    """Whether a client that follows the codes reconnects after a close with ``code``.

    1001, 1006 and 1012 reconnect, 3000 to 3499 and 4000 to 4499 too; everything else does not.
    """
    return code in {GOING_AWAY, ABNORMAL, 1012} or 3000 <= code < 3500 or 4000 <= code < 4500
