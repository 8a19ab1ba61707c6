"""JSON Web Tokens: where a handshake carries one, and what a valid one is.

No connection is known here, and no clock: the time is an argument. Closing at expiry, and the ``authenticate``
message, are :mod:`protocol.middleware.jwt_auth`'s.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, NoReturn, TypeVar

import jwt
from jwt.algorithms import AllowedPublicKeys
from starlette.datastructures import Headers

from protocol.exceptions import ConfigurationError
from protocol.types import Scope, User

Key = str | bytes | jwt.PyJWK | AllowedPublicKeys

Source = Literal["header", "subprotocol", "query", "cookie"]
"""Where a handshake may carry a token."""

LATEST: Final = 253_402_300_800
"""The end of the year 9999, in seconds since 1970: the end of RFC 3339's dates, and of tokens here."""

MAX_SIZE: Final = 8192
"""Characters of a token; a longer one is not even decoded."""

_T = TypeVar("_T")

# RFC 7515, section 3.1, without the unsecured form, whose signature is empty.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class InvalidToken(Exception):
    """No token that can be trusted. The text is for tests and debuggers: the client learns no more than that."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was checked: for whom, and until when (seconds since 1970)."""

    user: User
    expires: float


class TokenReader:
    """Checks tokens of one issuer, with one key, against RFC 7519 and 8725.

    ``exp`` and ``sub`` are required, ``aud`` and ``iss`` when they are given here; a token for an audience is
    refused without one. Stricter than PyJWT, which takes a string or 10^18 as ``exp``, an empty ``sub`` or
    one with a newline, any ``typ``, the last of two claims of one name, and in older releases spare bits in the encoding.

    Raises ``ConfigurationError`` for a key that is too short for its algorithm, or is no key of its family.
    """

    def __init__(
        self,
        key: Key,
        *,
        algorithms: Sequence[str] = ("HS256",),
        audience: str | Iterable[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 0.0,
    ) -> None:
        _check_key(key, algorithms)
        if not 0 <= leeway <= 600:
            raise ConfigurationError(f"leeway must be 0 to 600 seconds, not {leeway}.")
        self._key = key
        self._algorithms = tuple(algorithms)
        self._audience = audience if audience is None or isinstance(audience, str) else tuple(audience)
        self._issuer = issuer
        self._leeway = leeway

    def read(self, text: str, now: float) -> Token:
        """Return the token; raises ``InvalidToken`` if it is not valid ``now``."""
        if len(text) > MAX_SIZE:
            raise InvalidToken("too long")
        if not _COMPACT.fullmatch(text):
            raise InvalidToken("not a signed token in compact form")
        head, body, _ = map(_decoded, text.split("."))
        try:
            # The times are checked below, against the caller's clock.
            jwt.decode(
                text,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken(str(error)) from None
        _check_header(_json_object(head))
        claims = _json_object(body)
        return Token(User(_subject(claims), claims), self._expiry(claims, now))

    def _expiry(self, claims: dict[str, Any], now: float) -> float:
        for name in ("nbf", "iat"):
            if name in claims and _seconds(claims, name) > now + self._leeway:
                raise InvalidToken(f"{name} is in the future")
        expires = _seconds(claims, "exp") + self._leeway
        if expires <= now:
            raise InvalidToken("expired")
        return expires


def find_token(scope: Scope, sources: Iterable[Source], name: str) -> str | None:
    """The token that the handshake presents, from the first of ``sources`` that has one, be it empty.

    ``name`` is that of the cookie and of the query parameter. Raises ``InvalidToken`` where one source has
    two: which of them was checked must not depend on who reads them.
    """
    for source in sources:
        found = _PRESENTED[source](scope, name)
        if len(found) > 1:
            raise InvalidToken(f"two tokens in the {source}")
        if found:
            return found[0]
    return None


def _in_header(scope: Scope, _name: str) -> list[str]:
    values = (value.partition(" ") for value in Headers(scope=scope).getlist("authorization"))
    return [token.strip(" ") for scheme, _, token in values if scheme.lower() == "bearer"]


def _in_subprotocol(scope: Scope, _name: str) -> list[str]:
    offered: list[str] = scope.get("subprotocols", [])
    return [token for name, token in pairwise([*offered, ""]) if name == "bearer"]


def _in_query(scope: Scope, name: str) -> list[str]:
    return _named(scope.get("query_string", b"").decode("latin-1").split("&"), name)


def _in_cookie(scope: Scope, name: str) -> list[str]:
    return _named(";".join(Headers(scope=scope).getlist("cookie")).split(";"), name)


# Nothing is unquoted: a token needs no quoting, and a name in other letters would escape the redaction of logs.
def _named(pairs: Iterable[str], name: str) -> list[str]:
    return [
        value.strip(" ")
        for key, _, value in (pair.partition("=") for pair in pairs)
        if key.strip(" ") == name
    ]


_PRESENTED: Final = {
    "header": _in_header,
    "subprotocol": _in_subprotocol,
    "query": _in_query,
    "cookie": _in_cookie,
}


def _check_key(key: Key, algorithms: Sequence[str]) -> None:
    families = {name[:2] for name in algorithms}
    if isinstance(algorithms, str) or len(families) != 1 or families == {"no"}:
        raise ConfigurationError(
            f"algorithms must list signatures of one family, as one key serves one, such as ['HS256'] "
            f"or ['RS256', 'RS384'], not {algorithms!r}."
        )
    for name in algorithms:
        try:
            algorithm = jwt.get_algorithm_by_name(name)
            prepared = key.key if isinstance(key, jwt.PyJWK) else algorithm.prepare_key(key)
            problem = algorithm.check_key_length(prepared)
        except NotImplementedError as error:
            raise ConfigurationError(
                f"{name} is not available: RS, PS, ES and EdDSA need pip install 'pyjwt[crypto]'."
            ) from error
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The key does not fit {name}: HS takes a secret, the others take the public key of their kind, "
                f"as PEM."
            ) from error
        if problem is not None:
            raise ConfigurationError(problem)


def _decoded(segment: str) -> bytes:
    try:
        data = urlsafe_b64decode(segment + "==")
    except ValueError as error:
        raise InvalidToken(f"not base64url: {error}") from None
    if urlsafe_b64encode(data).rstrip(b"=") != segment.encode():
        raise InvalidToken("spare bits")  # The same token could be written in several ways.
    return data


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidToken(f"not JSON: {error}") from None
    assert isinstance(value, dict)  # PyJWT has seen to that.
    return value


def _unique(pairs: list[tuple[str, _T]]) -> dict[str, _T]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidToken("two members of one name")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidToken(f"{name} is not JSON")


def _check_header(header: dict[str, Any]) -> None:
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise InvalidToken("typ is not JWT")
    if "crit" in header or "b64" in header:
        raise InvalidToken("an extension that is not understood")


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    # OpenID Connect Core, section 2: at most 255 characters.
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise InvalidToken("sub is not a name of 1 to 255 characters")
    if not subject.isprintable() or subject != subject.strip():
        raise InvalidToken("sub has characters that cannot be seen")
    return subject


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < LATEST:
        raise InvalidToken(f"{name} is not a number of seconds")
    return value
