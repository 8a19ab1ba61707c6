"""What goes wrong, and whose fault it is.

:class:`RemoteProtocolError`: the peer broke the protocol; it becomes an error frame. :class:`LocalProtocolError`:
this program did; it raises where the mistake is. :class:`Reject` and :class:`Disconnect` are raised by handlers
to answer. :class:`ConfigurationError` is raised at import or start-up only.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from protocol import codes
from protocol.types import Ref


class ProtocolError(Exception):
    """Base of the errors of a conversation."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow.

    Attributes:
        code: the error code of the answer.
        detail: one sentence for a person; never echoes input.
        errors: what was wrong with the message, as ``{"loc": […], "type": …, "msg": …}``.
        id: the ``id`` of the message, as far as it could be read.
        frame: the raw frame, where there is one.
        retryable: whether the same message may succeed later.
        retry_after: seconds to wait before that, where it is known.
    """

    code: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        id: Ref | None = None,
        frame: str | bytes | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.id = id
        self.frame = frame
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        return self.code in codes.RETRYABLE


class MalformedFrame(RemoteProtocolError):
    """Not a JSON object in a text frame."""

    code = codes.MALFORMED_FRAME


class UnknownType(RemoteProtocolError):
    """A tag that the protocol does not receive, or none."""

    code = codes.UNKNOWN_TYPE


class InvalidMessage(RemoteProtocolError):
    """A message that its model refuses."""

    code = codes.INVALID_MESSAGE


class NotAMember(RemoteProtocolError):
    """The connection is not in the room that the message speaks of."""

    code = codes.NOT_A_MEMBER


class Unauthenticated(RemoteProtocolError):
    """The message needs a user, and the connection has none."""

    code = codes.UNAUTHENTICATED


class NotFound(RemoteProtocolError):
    """A room that no declared room matches."""

    code = codes.NOT_FOUND


class RateLimited(RemoteProtocolError):
    """Over the limit; ``retry_after`` says for how long."""

    code = codes.RATE_LIMITED


class TooManyRooms(RemoteProtocolError):
    """The connection is in as many rooms as one may be."""

    code = codes.TOO_MANY_ROOMS


class Cancelled(RemoteProtocolError):
    """The client cancelled the message."""

    code = codes.CANCELLED


class Unavailable(RemoteProtocolError):
    """A part behind the server did not answer. The outcome is unknown: repeat with the same key."""

    code = codes.UNAVAILABLE


class LocalProtocolError(ProtocolError):
    """This program broke the protocol: an undeclared outbound message, a send after close."""


_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Reject(Exception):
    """Raised by a handler, transform, room function or dependency: answer with this error.

    A subclass declares a code of the application::

        class TooLate(Reject, code="too_late"): ...

    and is named in ``raises=`` of the handlers that raise it.
    """

    code: str = codes.FORBIDDEN
    retryable: bool = False

    def __init_subclass__(cls, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = _checked(code)
        if retryable is not None:
            cls.retryable = retryable

    def __init__(
        self, code: str | None = None, detail: str | None = None, *, retryable: bool | None = None
    ) -> None:
        """``code`` defaults to the class's; ``detail`` to the code in words."""
        if code is not None:
            self.code = _checked(code)
        self.detail = self.code.replace("_", " ") if detail is None else detail
        if retryable is not None:
            self.retryable = retryable
        super().__init__(self.code, self.detail)


def _checked(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ConfigurationError(
            f"An error code is lower-case words joined by underscores, such as 'too_late', not {code!r}; "
            "a text for people is the detail."
        )
    if code == codes.INTERNAL_ERROR:
        raise ConfigurationError(
            "The error code 'internal_error' is what any other exception becomes, with an id for the log. Give the "
            "rejection a code of its own."
        )
    return code


class Disconnect(Exception):
    """Raised by a handler or hook: close the connection; frames that were sent before arrive first.

    ``code`` is 1000 or one of an application (4000 to 4499: the client reconnects; 4500 to 4999: it does
    not) or of :mod:`protocol.codes`; ``reason`` is at most 123 bytes of UTF-8 (RFC 6455, section 5.5).
    """

    def __init__(self, code: int = codes.NORMAL, reason: str | None = None) -> None:
        self.code, self.reason = checked_close(code, reason)
        super().__init__(self.code, self.reason)


def checked_close(code: int, reason: str | None) -> tuple[int, str]:
    """Return the code and reason of a close frame, the default reason for ``None``.

    Raises ``LocalProtocolError`` for a code that must not be sent (RFC 6455, section 7.4.2; 1003, 1011 and 1013
    are never sent by this framework) and for a reason over 123 bytes.
    """
    if code not in {codes.NORMAL, codes.GOING_AWAY, codes.PROTOCOL_ERROR, 1007, 1008, 1009, 1012} and not (
        3000 <= code <= 4999
    ):
        raise LocalProtocolError(f"Close with 1000, or a code from 3000 to 4999, not {code}.")
    text = codes.REASONS.get(code, "") if reason is None else reason
    if len(text.encode()) > 123:
        raise LocalProtocolError("A close reason is at most 123 bytes of UTF-8 (RFC 6455, section 5.5).")
    return code, text


class ConfigurationError(Exception):
    """The declaration is wrong. Names the place and the remedy; raised at import or start-up."""


def check_count(option: str, value: object, *, least: int = 1, or_none: bool = False) -> None:
    """Refuse a value of ``option`` that is no whole number, or below ``least``."""
    if or_none and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        unlimited = ", or None for no limit" if or_none else ""
        raise ConfigurationError(
            f"{option} takes a whole number of at least {least}{unlimited}, not {value!r}."
        )


def check_flag(option: str, value: object) -> None:
    """Refuse a value of ``option`` that is neither ``True`` nor ``False``."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{option} takes True or False, not {value!r}.")


def check_positive(option: str, value: object, unit: str) -> None:
    """Refuse a value of ``option`` that is no number, infinite, or not above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ConfigurationError(f"{option} takes a finite number of {unit} above 0, not {value!r}.")
