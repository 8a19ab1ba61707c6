"""Keeps tokens out of the log lines that uvicorn writes about a handshake.

Uvicorn logs the query of every handshake and request, and at level debug all headers. Our own lines carry
neither; see :mod:`protocol.middleware.logging`.
"""

import logging
import re
from functools import cache
from typing import Final

LOGGERS: Final = ("uvicorn.access", "uvicorn.error", "uvicorn.asgi")

_MASK: Final = "***"

# By its form, as under a misspelt or quoted name (``tok%65n=``): a JSON header, base64url, begins like this.
_SIGNED: Final = r"\beyJ[\w-]*\.[\w-]+\.[\w-]+"


class Redaction(logging.Filter):
    """Masks the values of ``NAME=…`` in queries and cookies, what follows ``bearer``, and ``"token"`` in JSON.

    A signed JSON Web Token is masked wherever it stands.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        places = (
            rf"(?<![\w-]){re.escape(name)}=",
            r"\bbearer['\"]?(?:[\s,]|%20)+['\"]?",
            r"\"token\"\s*:\s*\"",
        )
        self._secret = re.compile(rf"({'|'.join(places)})[^\s&;,\"'#]+|{_SIGNED}", re.IGNORECASE)

    def filter(self, record: logging.LogRecord) -> bool:
        # The arguments stay apart: uvicorn's formatter for access lines reads them one by one.
        if isinstance(record.args, tuple) and record.args:
            record.args = tuple(self.redact(value) for value in record.args)
        else:
            record.msg = self.redact(record.msg)
        return True

    def redact(self, value: object) -> object:
        """Return ``value`` as it is where its text has nothing to mask, or that text with a mask."""
        text = str(value)
        masked = self._secret.sub(rf"\g<1>{_MASK}", text)
        return value if masked == text else masked


def redact_logs(*names: str) -> None:
    """From now on mask the query parameters and cookies ``names`` in uvicorn's log; again changes nothing."""
    for logger in map(logging.getLogger, LOGGERS):
        for name in names:
            logger.addFilter(_redaction(name))


_redaction = cache(Redaction)  # A logger takes the same filter only once.
