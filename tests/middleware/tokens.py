"""Tokens as an issuer, or a forger, makes them."""

import base64
import hashlib
import hmac
import json
from typing import Any

KEY = "correct horse battery staple, 32+"
NOW = 1_800_000_000
HEADER = {"alg": "HS256", "typ": "JWT"}


def segment(value: object) -> str:
    """One part of a token: JSON of a value, a ``str`` or ``bytes`` as they are."""
    data = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def signed(payload: object, header: object = HEADER, *, key: str = KEY, digest: str = "sha256") -> str:
    """A token with a right signature, whatever it says."""
    body = f"{segment(header)}.{segment(payload)}"
    return f"{body}.{segment(hmac.new(key.encode(), body.encode(), digest).digest())}"


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token; a change to ``None`` removes the claim."""
    return {k: v for k, v in ({"sub": "alice", "exp": NOW + 60} | changes).items() if v is not None}


def token(**changes: Any) -> str:
    return signed(claims(**changes))


assert hashlib.sha256().digest_size <= len(KEY)
