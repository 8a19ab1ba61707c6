"""Records what passes the sockets of an application, so that a session becomes a test.

Only what was said is kept: no address, no header, no token.
"""

import json
from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from protocol import codes
from protocol.testing.steps import Close, Connect, Data, Drop, Send, Step, dumped, parsed
from protocol.testing.transcript import Exchange, Transcript
from protocol.types import WIRE, ASGIApp, Receive, Scope
from protocol.types import Send as ASGISend

SECRETS = ("authorization", "password", "secret", "token")
"""Members of messages whose values are not written down."""


class Recorder:
    """The application that is recorded, to be served in its place.

    ``limit``: the exchanges that are kept at most; recording ends there.
    """

    def __init__(self, app: ASGIApp, *, secrets: Iterable[str] = SECRETS, limit: int = 10_000) -> None:
        self._app = app
        self._secrets = frozenset(secrets)
        self._limit = limit
        self._clients = 0
        self._exchanges: list[Exchange] = []

    @property
    def transcript(self) -> Transcript:
        """What has passed until now."""
        return Transcript(tuple(self._exchanges), title="recorded")

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
                self._step(Connect(client, scope["path"]))
            elif event["type"] == "websocket.receive":
                text = event.get("text")
                self._step(
                    Send(client, self._without_secrets(event.get("bytes", b"") if text is None else text))
                )
            elif not ended:
                ended = True
                gone = event.get("code") in {codes.ABNORMAL, codes.NO_STATUS}
                self._step(Drop(client) if gone else Close(client))
            return event

        async def recorded_send(event: MutableMapping[str, Any]) -> None:
            nonlocal ended
            if event["type"] == "websocket.send":
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
        if len(self._exchanges) < self._limit:
            self._exchanges.append(Exchange(step))

    def _received(self, client: int, data: Data) -> None:
        if 0 < len(self._exchanges) < self._limit:
            last = self._exchanges[-1]
            frames = (*last.received.get(client, ()), self._without_secrets(data))
            self._exchanges[-1] = replace(last, received={**last.received, client: frames})

    def _closed(self, client: int, code: int, reason: str) -> None:
        last = self._exchanges[-1]
        self._exchanges[-1] = replace(last, closed={**last.closed, client: (code, reason)})

    def _refused(self, client: int, status: int) -> None:
        last = self._exchanges[-1]
        self._exchanges[-1] = replace(last, refused={**last.refused, client: status})

    def _without_secrets(self, data: Data) -> Data:
        if isinstance(data, bytes) or not any(name in data for name in self._secrets):
            return data
        body = parsed(data)
        return json.dumps("<redacted>") if body is None else dumped(_redacted(body, self._secrets))


def record(app: ASGIApp, *, secrets: Iterable[str] = SECRETS, limit: int = 10_000) -> Recorder:
    """Record the sockets of ``app``: serve what is returned in its place, then ``save`` it.

    Values of members called as one of ``secrets`` are not written down. Handlers see all as it is.
    """
    return Recorder(app, secrets=secrets, limit=limit)


def _redacted(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: "<redacted>" if name in names else _redacted(item, names) for name, item in value.items()
        }
    return [_redacted(item, names) for item in value] if isinstance(value, list) else value
