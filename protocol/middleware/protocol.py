"""The heart: validation, transforms and routing around any WebSocket endpoint.

What arrives is parsed and validated, bad frames are answered here, transforms run, and messages with a handler go
to it; the rest goes to the endpoint. What the endpoint sends is validated and transformed too. The router of a
protocol serves this very middleware, around an endpoint that only accepts.
"""

import asyncio
import logging
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Final, Protocol

from pydantic import BaseModel
from starlette.exceptions import HTTPException, WebSocketException
from starlette.routing import compile_path

from protocol import codes
from protocol.connection import Connection
from protocol.dispatcher import Dispatcher
from protocol.envelope import splice
from protocol.exceptions import (
    Disconnect,
    LocalProtocolError,
    RemoteProtocolError,
    Unavailable,
    checked_close,
)
from protocol.failures import close_of, failure_of, status_of
from protocol.middleware.refusal import Refusal
from protocol.node import Node, Nodes, Plan, current
from protocol.owner import cause_of
from protocol.types import ASGIApp, Receive, Request, Scope, Send, User
from protocol.writer import DirectWriter, SendWriter, Writer, direct_wire

logger = logging.getLogger("protocol")

SERVE: Final = "protocol.serve"
"""Key in the scope of the function by which an endpoint lets its own task serve the connection."""

MAX_FORWARDED: Final = 64
"""Messages that wait for an endpoint to receive them; handling stops there until it has taken one."""

_NO_DISCONNECT: Final = {"type": "websocket.disconnect", "code": codes.NO_STATUS}
"""What an endpoint receives after we have closed: nothing has come from the peer."""


class Served(Protocol):
    """The protocol, as the middleware sees it."""

    @property
    def nodes(self) -> Nodes: ...

    def freeze(self) -> Plan:
        """Compile now, so that a mistake shows at start-up."""


class ProtocolMiddleware:
    """Speaks ``protocol`` on the sockets under ``path``; HTTP and other sockets pass untouched.

    ``path`` may have parameters, as a route; ``None`` is every socket. A parameter ``room`` names one of the
    protocol's rooms, where it declares any.
    """

    def __init__(self, app: ASGIApp, protocol: Served, *, path: str | None = None) -> None:
        self.app = app
        self.protocol = protocol
        self.path = path
        self._match = None
        if path is not None:
            regex, _, self._convert = compile_path(path)
            self._match = regex.match
        protocol.freeze()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._closing(scope.get("app"), send))
        elif scope["type"] == "websocket" and (ours := self._matched(scope)) is not None:
            await self._speak(ours, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            node = await self.protocol.nodes.of(scope)
        except Unavailable as error:
            logger.warning("The protocol cannot be served now: %s", error)
            await _refusal(error)(scope, receive, send)
            return
        token = current.set(node)
        try:
            user = scope.get("user")
            connection = node.open(scope, user if isinstance(user, User) else None)
            refusal = await _refused(connection, node)
            if refusal is None:
                await _Socket(connection, node, receive, send).run(self.app)
            else:
                await refusal(scope, receive, send)
        finally:
            current.reset(token)

    def _matched(self, scope: Scope) -> Scope | None:
        """The scope of a socket that is ours, with the parameters of our path."""
        if self._match is None:
            return scope
        found = self._match(_route_path(scope))
        if found is None:
            return None
        parameters = {name: self._convert[name].convert(value) for name, value in found.groupdict().items()}
        return {**scope, "path_params": {**scope.get("path_params", {}), **parameters}}

    def _closing(self, app: object, send: Send) -> Send:
        async def close_first(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "lifespan.shutdown.complete":
                await self.protocol.nodes.close(app)
            await send(event)

        return close_first


async def _refused(connection: Connection, node: Node) -> Refusal | None:
    """Where the path names a room, ask for it before accepting. Without declared rooms it names none."""
    name = connection.path_params.get("room")
    if name is None or not node.plan.rooms:
        return None
    try:
        await node.hub.authorise(connection, str(name))
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 an application's room function
        return _refusal(cause_of(error))
    return None


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, Disconnect | WebSocketException):
        return Refusal(status=403, code=error.code, detail=error.reason or "forbidden")
    failure = failure_of(error)
    if isinstance(error, HTTPException):
        return Refusal(
            status=error.status_code,
            code=close_of(failure.code),
            detail=str(error.detail),
            headers=error.headers or {},
        )
    if failure.error_id is not None:
        logger.error("A handshake failed", exc_info=error, extra={"error_id": failure.error_id})
    return Refusal(status=status_of(failure.code), code=close_of(failure.code), detail=failure.detail)


def _route_path(scope: Scope) -> str:
    """The path below the point at which the application is mounted, as the routes match it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


class _Socket:
    """One socket: the dispatcher on its outside, the endpoint on its inside."""

    def __init__(self, connection: Connection, node: Node, receive: Receive, send: Send) -> None:
        self._connection = connection
        self._settings = node.plan.settings
        self._pipeline = node.plan.pipeline
        self._receive = receive
        self._send = send
        self._node = node
        self._accepted = False
        # Once the dispatcher has ended: how, for an endpoint that still receives.
        self._disconnect: MutableMapping[str, Any] | None = None
        # The dispatcher beside an endpoint; without one it runs in the socket's own task.
        self._beside: asyncio.Task[None] | None = None
        self._forwarded: deque[str | bytes] = deque()
        self._changed = asyncio.Event()

    async def run(self, app: ASGIApp) -> None:
        scope = self._connection.scope
        scope[SERVE] = self._serve_alone
        code = codes.INSUFFICIENT_STATE
        try:
            await app(scope, self._inner_receive, self._inner_send)
            code = codes.NORMAL
        finally:
            if self._beside is not None:
                # The endpoint has ended, and so has the connection.
                self._connection.stop(code, codes.REASONS[code])
                await self._beside

    async def _serve_alone(self) -> None:
        """Accept, and serve in this task until the connection is gone."""
        await self._receive()
        await self._accept({"type": "websocket.accept"})
        await Dispatcher(self._connection, self._node, self._receive).run(self._writer())

    async def _serve_beside(self) -> None:
        dispatcher = Dispatcher(self._connection, self._node, self._receive)
        try:
            await dispatcher.run(self._writer(), self._forward)
        finally:
            self._disconnect = dispatcher.disconnect or _NO_DISCONNECT
            self._changed.set()

    async def _accept(self, event: MutableMapping[str, Any]) -> None:
        """Choose the first subprotocol of ours that the client offers, unless the endpoint has chosen."""
        if event.get("subprotocol") is None:
            offered = self._connection.scope.get("subprotocols", [])
            chosen = next((name for name in self._settings.subprotocols if name in offered), None)
            event = {**event, "subprotocol": chosen}
        await self._send(event)
        self._accepted = True

    def _writer(self) -> Writer:
        wire = direct_wire(self._connection.scope, self._send)
        seconds = self._settings.outbox.seconds
        if wire is None or isinstance(wire, str):
            if wire is not None and wire not in self._node.slow_wrappers:
                self._node.slow_wrappers.add(wire)
                logger.warning(
                    "%s wraps `send`, so every frame takes the slow way through it. If it only looks at what is "
                    "sent, declare that by protocol.types.passes(wrapper, send).",
                    wire,
                )
            return SendWriter(self._connection, self._send, seconds)
        return DirectWriter(self._connection, wire, self._send, seconds)

    # The endpoint's side.

    async def _inner_receive(self) -> MutableMapping[str, Any]:
        if not self._accepted:
            return await self._receive()
        while not self._forwarded:
            if self._disconnect is not None:
                return self._disconnect
            self._changed.clear()
            await self._changed.wait()
        frame = self._forwarded.popleft()
        self._changed.set()
        return {"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame}

    async def _inner_send(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "websocket.accept":
            await self._accept(event)
            self._beside = asyncio.get_running_loop().create_task(self._serve_beside())
        elif event["type"] == "websocket.send":
            if self._connection.closing:
                raise OSError("The connection is closed.")  # as the ASGI specification demands
            self._send_message(event.get("text") or event.get("bytes") or b"")
            await self._connection.ready()
        elif event["type"] == "websocket.close" and self._accepted:
            code, reason = checked_close(event.get("code") or codes.NORMAL, event.get("reason") or None)
            self._connection.stop(code, reason)
        else:
            await self._send(event)

    def _send_message(self, frame: str | bytes) -> None:
        try:
            for body in self._pipeline.codec.decode(frame):
                message, answered = self._pipeline.registry.outbound.decode(body)
                self._connection.reply(message, answered.id)
        except RemoteProtocolError as error:
            raise LocalProtocolError(
                f"The endpoint sends what the protocol does not: {error.detail}"
            ) from None

    async def _forward(self, body: str | bytes, message: BaseModel | None, request: Request) -> None:
        """Hand a message without a handler to the endpoint: as it came, or as a transform has changed it."""
        while len(self._forwarded) >= MAX_FORWARDED:
            self._changed.clear()
            await self._changed.wait()
        self._forwarded.append(body if message is None else self._encoded(message, request))
        self._changed.set()

    def _encoded(self, message: BaseModel, request: Request) -> str:
        body = message.__pydantic_serializer__.to_json(message, by_alias=True)
        envelope = self._pipeline.envelope
        for name, value in ((envelope.id, request.id), (envelope.key, request.key)):
            if name is not None and value is not None:
                body = splice(body, name, value)
        return body.decode()
