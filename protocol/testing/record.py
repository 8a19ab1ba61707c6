"""Records what passes the sockets of an application, so that a session becomes a test.

Only what was said is kept: no address, no header, no token.
"""

import json
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from protocol import codes
from protocol.testing.steps import Close, Connect, Data, Drop, Send, Step, dumped, parsed
from protocol.testing.transcript import VARYING, Exchange, Transcript
from protocol.types import WIRE, ASGIApp, Receive, Scope
from protocol.types import Send as ASGISend

SECRETS = ("api_key", "authorization", "cookie", "credential", "jwt", "password", "secret", "ticket", "token")
"""What the names of members and of parameters contain whose values are not written down."""

_REDACTED: Final = "<redacted>"
_BETWEEN_WORDS: Final = re.compile(r"[\s._-]")


class Redaction:
    """Takes out what members and parameters hold that are called as one of ``secrets``, or have one in their name.

    Attributes:
        found: the names of the members of which something was taken out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.found: set[str] = set()
        self._secrets = tuple(map(_plain, secrets))

    def path(self, path: str, query: str) -> str:
        """The path of a handshake with its query, which may say what a client is called."""
        parameters = parse_qsl(query, keep_blank_values=True)
        if any(self._is_secret(name) for name, _ in parameters):
            query = urlencode(
                [(name, _REDACTED if self._is_secret(name) else value) for name, value in parameters]
            )
        return f"{path}?{query}" if query else path

    def frame(self, data: Data) -> Data:
        """A frame; of what is no JSON object nothing is left where such a name is in it."""
        if isinstance(data, bytes):
            return _REDACTED.encode() if self._is_secret(data.decode("latin-1")) else data
        body = parsed(data)
        if body is None:
            return json.dumps(_REDACTED) if self._is_secret(data) else data
        redacted = self._value(body, hidden=False)
        return data if redacted == body else dumped(redacted)

    def _value(self, value: Any, *, hidden: bool) -> Any:
        """``value`` with all that secret members hold replaced. ``hidden``: it belongs to such a member."""
        if isinstance(value, dict):
            secret = {name for name in value if self._is_secret(name)}
            self.found |= secret
            return {name: self._value(item, hidden=hidden or name in secret) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, hidden=hidden) for item in value]
        return _REDACTED if hidden and value is not None and not isinstance(value, bool) else value

    def _is_secret(self, text: str) -> bool:
        plain = _plain(text)
        return any(secret in plain for secret in self._secrets)


class Recorder:
    """The application that is recorded, to be served in its place.

    ``limit``: the exchanges that are kept at most; recording ends there.
    """

    def __init__(self, app: ASGIApp, *, secrets: Iterable[str] = SECRETS, limit: int = 10_000) -> None:
        self._app = app
        self._redaction = Redaction(secrets)
        self._limit = limit
        self._clients = 0
        self._exchanges: list[Exchange] = []
        self._full = limit < 1

    @property
    def transcript(self) -> Transcript:
        """What has passed until now."""
        return Transcript(tuple(self._exchanges), title="recorded", varying=VARYING | self._redaction.found)

    def save(self, path: Path) -> None:
        """Write the transcript to a file, for ``protocol replay``."""
        self.transcript.save(path)

    async def __call__(self, scope: Scope, receive: Receive, send: ASGISend) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        client = self._clients
        self._clients += 1
        ended = False

        async def recorded_receive() -> MutableMapping[str, Any]:
            nonlocal ended
            event = await receive()
            if event["type"] == "websocket.connect":
                query = scope.get("query_string", b"").decode("latin-1")
                self._step(Connect(client, self._redaction.path(str(scope["path"]), query)))
            elif event["type"] == "websocket.receive":
                text = event.get("text")
                data = event.get("bytes", b"") if text is None else text
                self._step(Send(client, self._redaction.frame(data)))
            elif not ended:
                ended = True
                gone = event.get("code") in {codes.ABNORMAL, codes.NO_STATUS}
                self._step(Drop(client) if gone else Close(client))
            return event

        async def recorded_send(event: MutableMapping[str, Any]) -> None:
            nonlocal ended
            if ended:
                pass  # Nobody gets it.
            elif event["type"] == "websocket.send":
                text = event.get("text")
                self._received(client, event.get("bytes", b"") if text is None else text)
            elif event["type"] == "websocket.close":
                ended = True
                self._closed(client, event.get("code", codes.NORMAL), event.get("reason") or "")
            elif event["type"] == "websocket.http.response.start":
                ended = True
                self._refused(client, event["status"])
            await send(event)

        # What is written past ``send`` could not be recorded.
        extensions = {name: value for name, value in scope.get("extensions", {}).items() if name != WIRE}
        await self._app({**scope, "extensions": extensions}, recorded_receive, recorded_send)

    def _step(self, step: Step) -> None:
        self._full = len(self._exchanges) >= self._limit
        if not self._full:
            self._exchanges.append(Exchange(step))

    def _received(self, client: int, data: Data) -> None:
        if not self._full:
            last = self._exchanges[-1]
            frames = (*last.received.get(client, ()), self._redaction.frame(data))
            self._exchanges[-1] = replace(last, received={**last.received, client: frames})

    def _closed(self, client: int, code: int, reason: str) -> None:
        if not self._full:
            last = self._exchanges[-1]
            self._exchanges[-1] = replace(last, closed={**last.closed, client: (code, reason)})

    def _refused(self, client: int, status: int) -> None:
        if not self._full:
            last = self._exchanges[-1]
            self._exchanges[-1] = replace(last, refused={**last.refused, client: status})


def record(app: ASGIApp, *, secrets: Iterable[str] = SECRETS, limit: int = 10_000) -> Recorder:
    """Record the sockets of ``app``: serve what is returned in its place, then ``save`` it.

    What is called as one of ``secrets``, or has one in its name, is not written down: a member of a message, a
    parameter of a query. Handlers see all as it is.
    """
    return Recorder(app, secrets=secrets, limit=limit)


def _plain(name: str) -> str:
    """A name however its words are put together."""
    return _BETWEEN_WORDS.sub("", name).lower()
