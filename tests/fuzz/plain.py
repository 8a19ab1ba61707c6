"""What the plain servers of the corpus have in common: a peer that reads and writes, and the form of their documents.

Nothing of the framework is in here: these servers stand for those that were written without it.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import jsonschema_rs
from starlette.websockets import WebSocket, WebSocketDisconnect

Body = dict[str, Any]
Schema = dict[str, Any]
Members = Mapping[str, Schema]
"""The members of a message beside its type and its id; all of them are required."""

ID: Final[Schema] = {
    "type": ["integer", "string"],
    "minimum": -(2**53),
    "maximum": 2**53,
    "maxLength": 64,
}
TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 20}
ROOM: Final[Schema] = {"type": "string", "pattern": "^[a-z]{1,8}$"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 1_000_000}

GONE: Final = (WebSocketDisconnect, RuntimeError)
"""What Starlette and the server raise for what is sent to a client that is not there any more."""


def document(
    receives: Mapping[str, tuple[Members, Sequence[str]]],
    sends: Mapping[str, Members],
    *,
    errors: Sequence[str] = (),
    closes: Sequence[str] = (),
) -> Body:
    """The AsyncAPI document of a server at ``/ws``.

    ``receives``: for each type its members and the types that answer it; an error may always. ``errors`` are the
    codes beside ``invalid_message``, ``closes`` those beside 1000 and 1001. Every server answers a ``ping``.
    """
    takes = {**receives, "ping": ({}, ("pong",))}
    codes = ["invalid_message", *errors]
    gives: dict[str, Members] = {**sends, "pong": {}, "error": {"code": {"enum": codes}}}
    messages = {
        **{f"receive.{tag}": _message(tag, members, "id") for tag, (members, _) in takes.items()},
        **{f"send.{tag}": _message(tag, members, "ref") for tag, members in gives.items()},
    }
    operations: Body = {
        f"receive.{tag}": {
            **_operation("receive", f"receive.{tag}"),
            "reply": {
                "channel": _CHANNEL,
                "messages": [_reference(f"send.{a}") for a in (*answers, "error")],
            },
        }
        for tag, (_, answers) in takes.items()
    }
    operations.update({f"send.{tag}": _operation("send", f"send.{tag}") for tag in gives})
    channel = {
        "address": "/ws",
        "messages": messages,
        "x-error-codes": {code: {"retryable": False} for code in codes},
        "x-close-codes": {code: {"reconnect": False} for code in closes},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Plain", "version": "1.0.0"},
        "channels": {"ws": channel},
        "operations": operations,
    }


_CHANNEL: Final = {"$ref": "#/channels/ws"}


def _reference(message: str) -> Body:
    return {"$ref": f"#/channels/ws/messages/{message}"}


def _operation(action: str, message: str) -> Body:
    return {"action": action, "channel": _CHANNEL, "messages": [_reference(message)]}


def _message(tag: str, members: Members, correlation: str) -> Body:
    return {
        "name": tag,
        "payload": {
            "type": "object",
            "properties": {"type": {"const": tag}, **members, correlation: ID},
            "required": ["type", *members],
            "additionalProperties": False,
        },
        "correlationId": {"location": f"$message.payload#/{correlation}"},
    }


class Peer:
    """One accepted connection.

    What it sends waits in an outbox, so that a client that does not read holds up nobody. ``takes``: the document
    whose messages it reads; what is none of them gets an error.
    """

    def __init__(self, socket: WebSocket, takes: Body) -> None:
        self._socket = socket
        self._validators = {
            name.removeprefix("receive."): jsonschema_rs.validator_for(message["payload"])
            for name, message in takes["channels"]["ws"]["messages"].items()
            if name.startswith("receive.")
        }
        self._outbox: asyncio.Queue[Body] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._socket.accept()
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._writer is not None
        self._writer.cancel()

    async def receive(self) -> Body | None:
        """The next valid message; ``None`` when the client has gone."""
        while (event := await self._socket.receive())["type"] == "websocket.receive":
            message = self.read(event.get("text"))
            if message is None:
                self.send("error", code="invalid_message")
            elif message["type"] == "ping":
                self.answer(message, "pong")
            else:
                return message
        return None

    def read(self, text: str | None) -> Body | None:
        """The message in a frame, if it is one of those that the document declares."""
        try:
            (text or "").encode()
            body = json.loads(text or "", parse_constant=_refuse)
            tag = body.get("type") if isinstance(body, dict) else None
            known = isinstance(tag, str) and tag in self._validators
            return body if known and self._validators[tag].is_valid(body) else None
        except (ValueError, RecursionError):
            return None

    def send(self, type: str, **members: Any) -> None:
        """Send a message."""
        self._outbox.put_nowait({"type": type, **members})

    def answer(self, message: Body, type: str, **members: Any) -> None:
        """Answer ``message``: with its id, where it has one."""
        self.send(type, **members, **reference(message))

    async def drained(self) -> None:
        """Wait until the client has read all that was sent, or has gone."""
        await self._outbox.join()

    async def close(self, code: int) -> None:
        """Close, when all that was sent has gone."""
        await self.drained()
        with suppress(*GONE):
            await self._socket.close(code)

    async def _write(self) -> None:
        while True:
            text = json.dumps(await self._outbox.get())
            with suppress(*GONE):
                await self._socket.send_text(text)
            self._outbox.task_done()


def reference(message: Body) -> Body:
    """The ``ref`` of what answers ``message``, where it asks for an answer."""
    # To JSON Schema 1.0 is an integer, but nobody could tell it from 1.
    return {"ref": message["id"]} if isinstance(message.get("id"), int | str) else {}


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
